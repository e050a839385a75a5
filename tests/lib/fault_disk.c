/* SPDX-License-Identifier: Apache-2.0
 *
 * The failing disk: each call first asks whether it is its turn to fail, then goes to the real disk,
 * then tells the model of power loss. Any thread.
 */
#include "lib/fault_disk.h"

#include <errno.h>
#include <time.h>

#include "lib/fault_power.h"

static struct fault_disk *fault_of(const struct disk *disk)
{
    return (struct fault_disk *)(uintptr_t)disk; /* it is the first member */
}

/* Takes the lock; 0, or the negative errno that this call shall return. */
static int begin(const struct disk *disk, enum fault_call call)
{
    struct fault_disk *fault = fault_of(disk);
    pthread_mutex_lock(&fault->lock);
    fault->counts[FAULT_ANY]++;
    fault->counts[call]++;
    if (fault->fail_countdown == 0 || (fault->fail_call != FAULT_ANY && fault->fail_call != call))
        return 0;
    if (fault->fail_countdown > 1) {
        fault->fail_countdown--;
        return 0;
    }
    if (!fault->fail_for_ever)
        fault->fail_countdown = 0;
    fault->failed++;
    return -fault->fail_errno;
}

static void end(const struct disk *disk)
{
    pthread_mutex_unlock(&fault_of(disk)->lock);
}

static int fault_open(const struct disk *disk, const char *path, int flags)
{
    int rc = begin(disk, FAULT_OPEN);
    if (rc == 0)
        rc = disk_real.open(&disk_real, path, flags);
    if (rc >= 0)
        fault_power_open(fault_of(disk)->power, path, flags, rc);
    end(disk);
    return rc;
}

static ssize_t fault_pwrite(const struct disk *disk, int fd, const void *data, size_t size,
                            uint64_t offset)
{
    struct fault_disk *fault = fault_of(disk);
    int rc = begin(disk, FAULT_PWRITE);
    size_t take = fault->short_writes || rc < 0 ? (size + 1) / 2 : size;
    ssize_t written = rc;
    if (rc == 0 || fault->write_then_fail) {
        written = disk_real.pwrite(&disk_real, fd, data, take, offset);
        if (written > 0)
            fault_power_write(fault->power, fd, bytes_of(data, (size_t)written), offset);
    }
    end(disk);
    return rc < 0 ? rc : written;
}

static ssize_t fault_pread(const struct disk *disk, int fd, void *data, size_t size,
                           uint64_t offset)
{
    int rc = begin(disk, FAULT_PREAD);
    ssize_t got = rc < 0 ? rc : disk_real.pread(&disk_real, fd, data, size, offset);
    end(disk);
    return got;
}

static int fault_datasync(const struct disk *disk, int fd)
{
    struct fault_disk *fault = fault_of(disk);
    int rc = begin(disk, FAULT_DATASYNC);
    fault->syncs_held++;
    pthread_cond_broadcast(&fault->changed);
    while (fault->hold_syncs)
        pthread_cond_wait(&fault->changed, &fault->lock);
    fault->syncs_held--;
    if (rc == 0)
        rc = disk_real.datasync(&disk_real, fd);
    fault_power_sync(fault->power, fd, rc == 0);
    end(disk);
    return rc;
}

static int fault_allocate(const struct disk *disk, int fd, uint64_t size)
{
    int rc = begin(disk, FAULT_ALLOCATE);
    if (rc == 0)
        rc = disk_real.allocate(&disk_real, fd, size);
    if (rc == 0)
        fault_power_size(fault_of(disk)->power, fd, size, false);
    end(disk);
    return rc;
}

static int fault_truncate(const struct disk *disk, int fd, uint64_t size)
{
    int rc = begin(disk, FAULT_TRUNCATE);
    if (rc == 0)
        rc = disk_real.truncate(&disk_real, fd, size);
    if (rc == 0)
        fault_power_size(fault_of(disk)->power, fd, size, true);
    end(disk);
    return rc;
}

static int fault_close(const struct disk *disk, int fd)
{
    int rc = begin(disk, FAULT_CLOSE);
    /* A close that fails has closed all the same. */
    int real = disk_real.close(&disk_real, fd);
    fault_power_close(fault_of(disk)->power, fd);
    end(disk);
    return rc < 0 ? rc : real;
}

static int fault_lock(const struct disk *disk, int fd)
{
    int rc = begin(disk, FAULT_LOCK);
    if (rc == 0)
        rc = disk_real.lock(&disk_real, fd);
    end(disk);
    return rc;
}

static int fault_stat(const struct disk *disk, const char *path, struct disk_stat *out)
{
    int rc = begin(disk, FAULT_STAT);
    if (rc == 0)
        rc = disk_real.stat(&disk_real, path, out);
    end(disk);
    return rc;
}

static int fault_space(const struct disk *disk, const char *path, struct disk_space *out)
{
    int rc = begin(disk, FAULT_SPACE);
    if (rc == 0)
        rc = disk_real.space(&disk_real, path, out);
    if (rc == 0 && fault_of(disk)->space_limit)
        out->available = fault_of(disk)->space_limit;
    end(disk);
    return rc;
}

static int fault_rename(const struct disk *disk, const char *from, const char *to)
{
    int rc = begin(disk, FAULT_RENAME);
    if (rc == 0)
        rc = disk_real.rename(&disk_real, from, to);
    if (rc == 0)
        fault_power_rename(fault_of(disk)->power, from, to);
    end(disk);
    return rc;
}

static int fault_exchange(const struct disk *disk, const char *a, const char *b)
{
    int rc = begin(disk, FAULT_EXCHANGE);
    if (rc == 0)
        rc = disk_real.exchange(&disk_real, a, b);
    end(disk);
    return rc;
}

static int fault_link(const struct disk *disk, const char *from, const char *to)
{
    int rc = begin(disk, FAULT_LINK);
    if (rc == 0)
        rc = disk_real.link(&disk_real, from, to);
    end(disk);
    return rc;
}

static int fault_unlink(const struct disk *disk, const char *path)
{
    int rc = begin(disk, FAULT_UNLINK);
    if (rc == 0)
        rc = disk_real.unlink(&disk_real, path);
    if (rc == 0)
        fault_power_unlink(fault_of(disk)->power, path);
    end(disk);
    return rc;
}

static int fault_mkdir(const struct disk *disk, const char *path)
{
    int rc = begin(disk, FAULT_MKDIR);
    if (rc == 0)
        rc = disk_real.mkdir(&disk_real, path);
    end(disk);
    return rc;
}

static int fault_rmdir(const struct disk *disk, const char *path)
{
    int rc = begin(disk, FAULT_RMDIR);
    if (rc == 0)
        rc = disk_real.rmdir(&disk_real, path);
    end(disk);
    return rc;
}

static int fault_sync_dir(const struct disk *disk, const char *path)
{
    int rc = begin(disk, FAULT_SYNC_DIR);
    if (rc == 0)
        rc = disk_real.sync_dir(&disk_real, path);
    if (rc == 0)
        fault_power_sync_dir(fault_of(disk)->power, path);
    end(disk);
    return rc;
}

static int fault_list(const struct disk *disk, const char *path, struct disk_names *out)
{
    int rc = begin(disk, FAULT_LIST);
    if (rc == 0)
        rc = disk_real.list(&disk_real, path, out);
    end(disk);
    return rc;
}

void fault_disk_init(struct fault_disk *fault)
{
    *fault = (struct fault_disk){
        .disk = {.open = fault_open,
                 .pwrite = fault_pwrite,
                 .pread = fault_pread,
                 .datasync = fault_datasync,
                 .allocate = fault_allocate,
                 .truncate = fault_truncate,
                 .close = fault_close,
                 .lock = fault_lock,
                 .stat = fault_stat,
                 .space = fault_space,
                 .rename = fault_rename,
                 .exchange = fault_exchange,
                 .link = fault_link,
                 .unlink = fault_unlink,
                 .mkdir = fault_mkdir,
                 .rmdir = fault_rmdir,
                 .sync_dir = fault_sync_dir,
                 .list = fault_list},
    };
    pthread_mutex_init(&fault->lock, NULL);
    pthread_cond_init(&fault->changed, NULL);
}

void fault_disk_fini(struct fault_disk *fault)
{
    fault_power_free(fault->power);
    pthread_mutex_destroy(&fault->lock);
    pthread_cond_destroy(&fault->changed);
    fault->power = NULL;
}

void fault_disk_fail(struct fault_disk *fault, enum fault_call call, uint64_t n, int error,
                     bool for_ever)
{
    pthread_mutex_lock(&fault->lock);
    fault->fail_call = call;
    fault->fail_countdown = n;
    fault->fail_errno = error;
    fault->fail_for_ever = for_ever;
    fault->failed = 0;
    pthread_mutex_unlock(&fault->lock);
}

uint64_t fault_disk_count(struct fault_disk *fault, enum fault_call call)
{
    pthread_mutex_lock(&fault->lock);
    uint64_t count = fault->counts[call];
    pthread_mutex_unlock(&fault->lock);
    return count;
}

void fault_disk_hold_syncs(struct fault_disk *fault, bool hold)
{
    pthread_mutex_lock(&fault->lock);
    fault->hold_syncs = hold;
    pthread_cond_broadcast(&fault->changed);
    pthread_mutex_unlock(&fault->lock);
}

bool fault_disk_wait_held(struct fault_disk *fault)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 5;
    pthread_mutex_lock(&fault->lock);
    int rc = 0;
    while (fault->syncs_held == 0 && rc == 0)
        rc = pthread_cond_timedwait(&fault->changed, &fault->lock, &until);
    bool held = fault->syncs_held > 0;
    pthread_mutex_unlock(&fault->lock);
    return held;
}

void fault_disk_track(struct fault_disk *fault, const char *dir)
{
    pthread_mutex_lock(&fault->lock);
    fault_power_free(fault->power);
    fault->power = fault_power_new(dir);
    pthread_mutex_unlock(&fault->lock);
}

uint64_t fault_disk_unsure(struct fault_disk *fault)
{
    pthread_mutex_lock(&fault->lock);
    uint64_t count = fault_power_unsure(fault->power);
    pthread_mutex_unlock(&fault->lock);
    return count;
}

void fault_disk_lose_power(struct fault_disk *fault, uint64_t seed)
{
    pthread_mutex_lock(&fault->lock);
    fault_power_lose(fault->power, seed);
    pthread_mutex_unlock(&fault->lock);
}
