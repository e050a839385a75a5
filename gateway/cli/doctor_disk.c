/* SPDX-License-Identifier: Apache-2.0
 *
 * The volume of the data folder: is it one that keeps what it was given, how fast is it, how long does
 * a sync take, is there room. Before the first start the folder is not there: then the nearest one
 * above it is looked at, and nothing is made.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/doctor.h"

#define MIB (UINT64_C(1) << 20)

enum {
    WRITE_BYTES = 64 << 20,
    PIECE_BYTES = 1 << 20,
    PIECES_PER_SYNC = 8,
    WRITE_MS_MAX = 5000,
    SYNCS = 50,
    SYNC_BYTES = 4096,
    SYNC_MS_MAX = 3000,
};

/* The folder, or the nearest above it that is there; owned. */
static char *folder_there(const char *data)
{
    char *folder = data[0] == '/' ? mem_strdup(data) : mem_printf("./%s", data);
    struct disk_stat stat;
    while (disk_real.stat(&disk_real, folder, &stat) == -ENOENT) {
        char *slash = strrchr(folder, '/');
        if (slash == NULL || slash == folder) {
            free(folder);
            return mem_strdup(slash ? "/" : ".");
        }
        *slash = '\0';
    }
    return folder;
}

/* ---- what kind of volume ---- */

static const struct {
    long type;
    const char *name;
    enum doctor_level level;
    const char *why;
} systems[] = {
    {TMPFS_MAGIC, "tmpfs", DOCTOR_ERROR, "it is memory: a restart of the machine loses everything"},
    {RAMFS_MAGIC, "ramfs", DOCTOR_ERROR, "it is memory: a restart of the machine loses everything"},
    {OVERLAYFS_SUPER_MAGIC, "overlayfs", DOCTOR_WARN,
     "it is the container's own layer, which goes with the container"},
    {NFS_SUPER_MAGIC, "NFS", DOCTOR_WARN, "a sync waits for the network, and locks may be lost"},
    {0xff534d42, "CIFS", DOCTOR_WARN, "a sync waits for the network, and may promise too much"},
    {0xfe534d42, "SMB2", DOCTOR_WARN, "a sync waits for the network, and may promise too much"},
    {0x65735546, "FUSE", DOCTOR_WARN, "whether a sync is one depends on the program behind it"},
    {MSDOS_SUPER_MAGIC, "FAT", DOCTOR_ERROR, "it has no journal and cannot rename safely"},
};

static void system_tell(struct doctor *doctor, const char *folder)
{
    struct statfs info;
    if (statfs(folder, &info))
        return;
    for (size_t i = 0; i < array_count(systems); i++)
        if ((unsigned long)systems[i].type == (unsigned long)info.f_type)
            doctor_tell(doctor, systems[i].level, "file system",
                        "put the data folder on a local volume with ext4 or xfs; its redundancy "
                        "is the operator's",
                        "%s is on %s: %s", folder, systems[i].name, systems[i].why);
}

/* ---- speed ---- */

/* A file without a name in that folder, or a negative errno: it is gone however we end. */
static int scratch_open(const char *folder)
{
    char *path = mem_printf("%s/.tidegate-doctor-%d", folder, (int)getpid());
    int fd = disk_real.open(&disk_real, path, O_RDWR | O_CREAT | O_EXCL);
    if (fd >= 0)
        disk_real.unlink(&disk_real, path);
    free(path);
    return fd;
}

/* Bytes a second, synced; 0 when *rc tells an error. */
static double write_speed(int fd, uint64_t bytes_max, int *rc)
{
    uint8_t *piece = mem_alloc(PIECE_BYTES);
    uint64_t random = 88172645463325252U, written = 0;
    for (size_t i = 0; i < PIECE_BYTES; i++) { /* volumes may compress: nothing to gain here */
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        piece[i] = (uint8_t)random;
    }
    int64_t begun = clock_monotonic_ns();
    *rc = 0;
    for (unsigned i = 1; *rc == 0 && written + PIECE_BYTES <= bytes_max; i++) {
        *rc = disk_write_all(&disk_real, fd, bytes_of(piece, PIECE_BYTES), written);
        written += PIECE_BYTES;
        if (*rc == 0 && i % PIECES_PER_SYNC == 0)
            *rc = disk_real.datasync(&disk_real, fd);
        if (clock_monotonic_ns() - begun > WRITE_MS_MAX * INT64_C(1000000))
            break;
    }
    if (*rc == 0)
        *rc = disk_real.datasync(&disk_real, fd);
    int64_t took = clock_monotonic_ns() - begun;
    free(piece);
    return *rc || took <= 0 ? 0 : (double)written * 1e9 / (double)took;
}

static int by_time(const void *a, const void *b)
{
    int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;
    return (one > other) - (one < other);
}

/* Small writes, each synced, as an idle gateway does; sorted. The number of them, or an errno. */
static int sync_times(int fd, int64_t times_ns[SYNCS])
{
    static const uint8_t block[SYNC_BYTES];
    int64_t end_ns = clock_monotonic_ns() + SYNC_MS_MAX * INT64_C(1000000);
    int count = 0;
    while (count < SYNCS && clock_monotonic_ns() < end_ns) {
        int64_t begun = clock_monotonic_ns();
        int rc = disk_write_all(&disk_real, fd, bytes_of(block, sizeof block),
                                (uint64_t)count * sizeof block);
        if (rc == 0)
            rc = disk_real.datasync(&disk_real, fd);
        if (rc)
            return rc;
        times_ns[count++] = clock_monotonic_ns() - begun;
    }
    qsort(times_ns, (size_t)count, sizeof *times_ns, by_time);
    return count;
}

static void speed_tell(struct doctor *doctor, const char *folder, double speed,
                       const int64_t *times_ns, int count)
{
    double half = (double)times_ns[count / 2] / 1e6, most = (double)times_ns[count - 1] / 1e6;
    enum doctor_level level = half > 100 || speed < 1e6                 ? DOCTOR_ERROR
                              : half > 20 || most > 500 || speed < 20e6 ? DOCTOR_WARN
                                                                        : DOCTOR_OK;
    doctor_tell(doctor, level, "disk",
                level == DOCTOR_OK
                    ? NULL
                    : "every acknowledgement waits for a sync: use a faster volume (SSD, or a "
                      "controller with a protected cache), and see who else uses this one",
                "%s: writes %.0f MB/s; a sync takes %.2f ms, the longest of %d %.2f ms", folder,
                speed / 1e6, half, count, most);
}

static void speed_measure(struct doctor *doctor, const char *folder, uint64_t available)
{
    int64_t times_ns[SYNCS];
    uint64_t bytes = available / 10 < WRITE_BYTES ? available / 10 : WRITE_BYTES;
    int fd = scratch_open(folder), rc = fd < 0 ? fd : 0, count = 0;
    double speed = 0;
    if (fd >= 0) {
        count = sync_times(fd, times_ns);
        if (count > 0)
            speed = write_speed(fd, bytes, &rc);
        else
            rc = count;
        disk_real.close(&disk_real, fd);
    }
    if (rc < 0)
        doctor_tell(doctor, DOCTOR_ERROR, "disk",
                    rc == -EACCES || rc == -EPERM || rc == -EROFS
                        ? "run the doctor as the gateway's user; give that user the folder "
                          "(chown), and mount it writable"
                        : "look at the kernel log (dmesg) and the disk's SMART values",
                    "%s: no file can be written there: %s", folder, strerror(-rc));
    else if (count > 0 && bytes >= PIECE_BYTES)
        speed_tell(doctor, folder, speed, times_ns, count);
}

/* ---- room ---- */

static void space_tell(struct doctor *doctor, const char *folder, const struct disk_space *space)
{
    const struct config_journal *limits = doctor->config ? &doctor->config->journal : NULL;
    uint64_t reserve = limits ? limits->reserve_bytes : 256 * MIB;
    uint64_t free = space->available > reserve ? space->available - reserve : 0;
    /* Two logs of that size; what they hold already is taken off what they may still grow by. */
    uint64_t wanted = limits ? 2 * limits->max_bytes + limits->dead_bytes : 0;
    if (doctor->answered)
        for (int i = 0; i < 2; i++) {
            uint64_t used = (uint64_t)answer_number(
                answer_member(doctor->status.yaml.root, i ? "reading_log" : "raw"), "bytes");
            wanted = wanted > used ? wanted - used : 0;
        }
    if (space->available < reserve + 2 * (limits ? limits->segment_bytes : 64 * MIB))
        doctor_tell(doctor, DOCTOR_ERROR, "space",
                    "make room or enlarge the volume: below the reserve (journal.reserve) nothing "
                    "is taken in",
                    "%s: %llu MiB are free, %llu MiB of them are the reserve", folder,
                    (unsigned long long)(space->available / MIB),
                    (unsigned long long)(reserve / MIB));
    else if (wanted > free)
        doctor_tell(doctor, DOCTOR_WARN, "space",
                    "lower journal.max_size or enlarge the volume: otherwise the volume is full "
                    "before the logs are, and Parquet files stop with them",
                    "%s: %llu MiB are free beyond the reserve, and the logs may grow by %llu MiB",
                    folder, (unsigned long long)(free / MIB), (unsigned long long)(wanted / MIB));
    else
        doctor_tell(doctor, DOCTOR_OK, "space", NULL, "%s: %llu MiB are free of %llu MiB", folder,
                    (unsigned long long)(space->available / MIB),
                    (unsigned long long)(space->total / MIB));
}

void doctor_disk(struct doctor *doctor)
{
    struct disk_space space;
    char *folder = folder_there(doctor->data);
    int rc = disk_real.space(&disk_real, folder, &space);
    if (rc) {
        doctor_tell(doctor, DOCTOR_ERROR, "disk", "name a folder that this user may read", "%s: %s",
                    folder, strerror(-rc));
    } else {
        system_tell(doctor, folder);
        space_tell(doctor, folder, &space);
        speed_measure(doctor, folder, space.available);
    }
    free(folder);
}
