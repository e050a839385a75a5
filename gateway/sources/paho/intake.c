/* SPDX-License-Identifier: Apache-2.0
 *
 * The ring of intake.h. The file: one page of header, one of what the worker tells, then the ring,
 * which is mapped twice in a row so that a record never has to be cut at its end.
 *
 * A record begins at a multiple of 8: u32 bytes of content, u32 CRC-32C of position and content,
 * content, zeros up to the next multiple of 8. The content: u8 flags, u8 protocol, u16 packet id,
 * varbytes topic, varbytes properties, the payload. `written` is stored after the record is whole;
 * `released` after the raw log has it.
 */
#include "sources/paho/intake.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/log.h"

enum {
    MAGIC = 0x31494754, /* "TGI1" */
    VERSION = 1,
    HEADER_BYTES = 4096,
    RING_OFFSET = 8192,
    RECORD_HEAD = 8,
    CONTENT_HEAD = 4 + 10 + 10, /* fixed part, two lengths */
    RING_BYTES_MIN = 65536,
    WAIT_MS = 100,
};

/* The first page, as it stands in the file. The fixed part has a checksum; the rest changes. */
struct header {
    uint32_t magic;
    uint16_t version, zero;
    uint64_t identity;
    uint64_t ring_bytes;
    uint32_t reserved, crc; /* of the 28 bytes before */
    _Alignas(64) _Atomic uint64_t written;
    _Alignas(64) _Atomic uint64_t released;
    _Alignas(64) _Atomic uint32_t consumer_sleeps;
    _Alignas(64) _Atomic uint32_t producer_waits; /* a futex: changes with every release */
};
_Static_assert(sizeof(struct header) <= HEADER_BYTES, "one page");
_Static_assert(sizeof(struct intake_worker) <= RING_OFFSET - HEADER_BYTES, "one page");

struct intake {
    const struct disk *disk;
    char *path;
    int fd;
    struct header *header;
    struct intake_worker *worker;
    uint8_t *ring; /* ring_bytes, and once more behind */
    uint64_t ring_bytes;
    uint64_t taken; /* the consumer's place, from `released` on */
};

/* ---- mapping ---- */

static uint32_t header_crc(const struct header *header)
{
    return crc32c(0, bytes_of(header, offsetof(struct header, crc)));
}

static int map_ring(struct intake *intake)
{
    size_t size = intake->ring_bytes;
    uint8_t *base = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return -errno;
    intake->ring = base;
    for (int i = 0; i < 2; i++)
        if (mmap(base + i * size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, intake->fd,
                 RING_OFFSET) == MAP_FAILED)
            return -errno;
    return 0;
}

static int map_head(struct intake *intake)
{
    void *head = mmap(NULL, RING_OFFSET, PROT_READ | PROT_WRITE, MAP_SHARED, intake->fd, 0);
    if (head == MAP_FAILED)
        return -errno;
    intake->header = head;
    intake->worker = (struct intake_worker *)(void *)((char *)head + HEADER_BYTES);
    return 0;
}

/* What an existing file says of itself; the ring is mapped when it is one of ours. */
static int check_and_map(struct intake *intake, struct identity identity, struct err *err)
{
    struct disk_stat stat = {0};
    char theirs[IDENTITY_TEXT_SIZE];
    int rc = intake->disk->stat(intake->disk, intake->path, &stat);
    if (rc == 0 && stat.size < RING_OFFSET + RING_BYTES_MIN)
        return err_set(err, GW_ECORRUPT, "intake file %s is cut short: move it away", intake->path);
    if (rc == 0)
        rc = map_head(intake);
    if (rc < 0)
        return err_set(err, GW_EIO, "intake file %s: %s", intake->path, strerror(-rc));
    const struct header *header = intake->header;
    if (header->magic != MAGIC || header->crc != header_crc(header))
        return err_set(err, GW_ECORRUPT, "intake file %s is damaged: move it away", intake->path);
    if (header->version != VERSION)
        return err_set(err, GW_EVERSION, "intake file %s is of format %u, this program knows %d",
                       intake->path, header->version, VERSION);
    if (header->identity != identity.bits)
        return err_set(err, GW_EINVAL,
                       "intake file %s belongs to the journal %s: put the right one there, or move "
                       "it away",
                       intake->path, identity_format((struct identity){header->identity}, theirs));
    intake->ring_bytes = header->ring_bytes;
    if (intake->ring_bytes < RING_BYTES_MIN || intake->ring_bytes % RING_BYTES_MIN ||
        stat.size < RING_OFFSET + intake->ring_bytes)
        return err_set(err, GW_ECORRUPT, "intake file %s is damaged: move it away", intake->path);
    rc = map_ring(intake);
    return rc < 0 ? err_set(err, GW_EIO, "intake file %s: map %" PRIu64 " bytes: %s", intake->path,
                            intake->ring_bytes, strerror(-rc))
                  : 0;
}

/* ---- life ---- */

static struct intake *intake_new(const struct disk *disk, const char *path)
{
    struct intake *intake = mem_zalloc(sizeof *intake);
    *intake = (struct intake){.disk = disk, .path = mem_strdup(path), .fd = -1};
    return intake;
}

void intake_close(struct intake *intake)
{
    if (intake == NULL)
        return;
    if (intake->ring)
        munmap(intake->ring, 2 * intake->ring_bytes);
    if (intake->header)
        munmap(intake->header, RING_OFFSET);
    if (intake->fd >= 0)
        intake->disk->close(intake->disk, intake->fd);
    free(intake->path);
    free(intake);
}

/* Made under another name, so that under the final one there is never half a file. */
static int make_file(const struct intake *intake, struct identity identity, uint64_t bytes,
                     uint64_t durable, struct err *err)
{
    const struct disk *disk = intake->disk;
    char *folder = mem_strdup(intake->path);
    char *new_path = mem_printf("%s.new", intake->path);
    *strrchr(folder, '/') = '\0';
    struct header header = {
        .magic = MAGIC,
        .version = VERSION,
        .identity = identity.bits,
        .ring_bytes = bytes,
        .written = durable,
        .released = durable,
    };
    header.crc = header_crc(&header);
    int fd = disk->open(disk, new_path, O_RDWR | O_CREAT | O_TRUNC);
    int rc = fd < 0 ? fd : disk->allocate(disk, fd, RING_OFFSET + bytes);
    if (rc == 0)
        rc = disk_write_all(disk, fd, bytes_of(&header, sizeof header), 0);
    if (rc == 0)
        rc = disk->datasync(disk, fd);
    if (fd >= 0)
        disk->close(disk, fd);
    if (rc == 0)
        rc = disk->rename(disk, new_path, intake->path);
    if (rc == 0)
        rc = disk->sync_dir(disk, folder);
    if (rc < 0)
        err_set(err, rc == -ENOSPC ? GW_EFULL : GW_EIO,
                "make intake file %s of %" PRIu64 " bytes: %s", intake->path, bytes, strerror(-rc));
    free(new_path);
    free(folder);
    return rc < 0 ? (rc == -ENOSPC ? GW_EFULL : GW_EIO) : 0;
}

/* Both counters lie where they can: after a power cut each page of the file may be of another
 * moment, and the raw log knows better what was taken. */
static void settle_positions(struct intake *intake, uint64_t durable)
{
    struct header *header = intake->header;
    uint64_t released = header->released, written = header->written;
    if (released < durable)
        released = durable;
    if (released % RECORD_HEAD || written % RECORD_HEAD || written < released ||
        written - released > intake->ring_bytes) {
        if (written != released)
            log_event(LOG_WARN, "intake_reset",
                      "path=%s written=%" PRIu64 " released=%" PRIu64 " durable=%" PRIu64,
                      intake->path, written, (uint64_t)header->released, durable);
        /* Beyond everything that was ever in use, so no position comes twice. */
        written = written > released ? written : released;
        written = released = (written + RECORD_HEAD - 1) / RECORD_HEAD * RECORD_HEAD;
    }
    header->released = released;
    header->written = written;
    header->consumer_sleeps = 0;
    intake->taken = released;
}

static int open_and_map(struct intake *intake, struct identity identity, struct err *err)
{
    int fd = intake->disk->open(intake->disk, intake->path, O_RDWR);
    if (fd < 0)
        return err_set(err, fd == -ENOENT ? GW_ENOENT : GW_EIO, "intake file %s: %s", intake->path,
                       strerror(-fd));
    intake->fd = fd;
    return check_and_map(intake, identity, err);
}

int intake_open(struct intake **out, const struct disk *disk, const char *path,
                struct identity identity, uint64_t bytes, uint64_t durable, struct err *err)
{
    struct intake *intake = intake_new(disk, path);
    uint64_t rounded = (bytes + RING_BYTES_MIN - 1) / RING_BYTES_MIN * RING_BYTES_MIN;
    int rc = open_and_map(intake, identity, err);
    if (rc == GW_ENOENT) {
        rc = make_file(intake, identity, rounded, durable, err);
        if (rc == 0)
            rc = open_and_map(intake, identity, err);
    }
    if (rc) {
        intake_close(intake);
        return rc;
    }
    settle_positions(intake, durable);
    *out = intake;
    return 0;
}

int intake_attach(struct intake **out, const struct disk *disk, const char *path,
                  struct identity identity, struct err *err)
{
    struct intake *intake = intake_new(disk, path);
    int rc = open_and_map(intake, identity, err);
    if (rc) {
        intake_close(intake);
        return rc;
    }
    *out = intake;
    return 0;
}

/* ---- what the worker tells ---- */

struct intake_worker *intake_worker(struct intake *intake)
{
    return intake->worker;
}

void intake_note_set(struct intake *intake, const char *text)
{
    struct intake_worker *worker = intake->worker;
    size_t size = strnlen(text, INTAKE_NOTE_SIZE - 1);
    atomic_fetch_add(&worker->note_version, 1);
    memcpy(worker->note, text, size);
    worker->note[size] = '\0';
    atomic_fetch_add(&worker->note_version, 1);
}

void intake_note(struct intake *intake, char out[INTAKE_NOTE_SIZE])
{
    const struct intake_worker *worker = intake->worker;
    /* The writer may have died in the middle: then what stands there is shown as it is. */
    for (int attempt = 0; attempt < 100; attempt++) {
        uint32_t before = worker->note_version;
        memcpy(out, worker->note, INTAKE_NOTE_SIZE);
        atomic_thread_fence(memory_order_acquire);
        if (before % 2 == 0 && before == worker->note_version)
            break;
    }
    out[INTAKE_NOTE_SIZE - 1] = '\0';
}

/* ---- the worker's side ---- */

uint64_t intake_message_max(const struct intake *intake)
{
    return intake->ring_bytes / 4;
}

static uint64_t record_bytes(uint64_t content)
{
    return (RECORD_HEAD + content + 7) / 8 * 8;
}

static uint32_t record_crc(uint64_t position, struct bytes content)
{
    uint8_t place[8];
    store_u64_le(place, position);
    return crc32c(crc32c(0, bytes_of(place, sizeof place)), content);
}

/* The futex is in the file, so it is shared between the processes. */
static void wait_for_room(struct intake *intake, uint32_t seen)
{
    struct timespec timeout = {.tv_nsec = WAIT_MS * 1000000L};
    syscall(SYS_futex, &intake->header->producer_waits, FUTEX_WAIT, seen, &timeout, NULL, 0);
}

/* True when `bytes` are free behind `written`. */
static bool has_room(const struct intake *intake, uint64_t bytes)
{
    const struct header *header = intake->header;
    return header->written + bytes - header->released <= intake->ring_bytes;
}

static bool room_make(struct intake *intake, uint64_t bytes, bool (*alive)(void *arg), void *arg)
{
    if (has_room(intake, bytes))
        return true;
    intake->worker->holds++;
    for (;;) {
        uint32_t seen = intake->header->producer_waits;
        if (has_room(intake, bytes))
            return true;
        if (!alive(arg))
            return false;
        wait_for_room(intake, seen);
    }
}

static uint8_t *put_varbytes(uint8_t *at, struct bytes in)
{
    at += store_varint(at, in.size);
    if (in.size)
        memcpy(at, in.data, in.size);
    return at + in.size;
}

static size_t content_put(uint8_t *at, const struct message *message)
{
    const uint8_t *start = at;
    at[0] = message->flags;
    at[1] = message->protocol;
    store_u16_le(at + 2, message->packet_id);
    at = put_varbytes(at + 4, message->topic);
    at = put_varbytes(at, message->properties);
    if (message->payload.size)
        memcpy(at, message->payload.data, message->payload.size);
    return (size_t)(at + message->payload.size - start);
}

bool intake_put(struct intake *intake, const struct message *message, bool (*alive)(void *arg),
                void *arg, bool *wake)
{
    struct header *header = intake->header;
    uint64_t most = CONTENT_HEAD + (uint64_t)message->topic.size + message->properties.size +
                    message->payload.size;
    gw_assert(message->topic.size + message->properties.size + message->payload.size <=
              intake_message_max(intake));
    if (!room_make(intake, record_bytes(most), alive, arg))
        return false;
    uint64_t position = header->written;
    uint8_t *at = intake->ring + position % intake->ring_bytes;
    size_t size = content_put(at + RECORD_HEAD, message);
    store_u32_le(at, (uint32_t)size);
    store_u32_le(at + 4, record_crc(position, bytes_of(at + RECORD_HEAD, size)));
    /* Sequentially consistent with consumer_sleeps: either the consumer sees the record, or we see
     * that it sleeps. */
    atomic_store(&header->written, position + record_bytes(size));
    *wake = atomic_load(&header->consumer_sleeps) && atomic_exchange(&header->consumer_sleeps, 0);
    intake->worker->messages++;
    intake->worker->bytes += message->payload.size + message->topic.size;
    return true;
}

/* ---- the gateway's side ---- */

static bool content_read(struct bytes content, struct message *out)
{
    struct reader in = reader_of(content);
    *out = (struct message){.flags = reader_u8(&in)};
    out->protocol = reader_u8(&in);
    out->packet_id = reader_u16_le(&in);
    out->topic = reader_varbytes(&in);
    out->properties = reader_varbytes(&in);
    out->payload = reader_bytes(&in, reader_left(&in));
    return !in.failed;
}

/* Nothing in the file is trusted: not the size, not the counter. */
static bool record_read(const struct intake *intake, uint64_t written, struct message *out,
                        uint64_t *end)
{
    uint64_t position = intake->taken;
    const uint8_t *at = intake->ring + position % intake->ring_bytes;
    struct reader head = reader_of(bytes_of(at, RECORD_HEAD));
    uint64_t size = reader_u32_le(&head);
    uint32_t crc = reader_u32_le(&head);
    if (record_bytes(size) > written - position || record_bytes(size) > intake->ring_bytes)
        return false;
    struct bytes content = bytes_of(at + RECORD_HEAD, (size_t)size);
    if (record_crc(position, content) != crc || !content_read(content, out))
        return false;
    *end = position + record_bytes(size);
    return true;
}

enum intake_take intake_take(struct intake *intake, struct message *out, uint64_t *end)
{
    uint64_t written = atomic_load(&intake->header->written);
    if (written == intake->taken)
        return INTAKE_EMPTY;
    if (record_read(intake, written, out, end)) {
        intake->taken = *end;
        return INTAKE_MESSAGE;
    }
    /* Behind a record that is not whole nothing says where the next begins. */
    log_event(LOG_ERROR, "intake_damaged", "path=%s position=%" PRIu64 " bytes=%" PRIu64,
              intake->path, intake->taken, written - intake->taken);
    intake->taken = *end = written;
    return INTAKE_DAMAGED;
}

uint64_t intake_taken(const struct intake *intake)
{
    return intake->taken;
}

void intake_untake(struct intake *intake, uint64_t position)
{
    gw_assert(position <= intake->taken && position >= intake->header->released);
    intake->taken = position;
}

bool intake_empty(const struct intake *intake)
{
    return atomic_load(&intake->header->written) == intake->taken;
}

void intake_release(struct intake *intake, uint64_t position)
{
    struct header *header = intake->header;
    gw_assert(position <= intake->taken);
    atomic_store(&header->released, position);
    atomic_fetch_add(&header->producer_waits, 1);
    syscall(SYS_futex, &header->producer_waits, FUTEX_WAKE, 1, NULL, NULL, 0);
}

bool intake_sleep(struct intake *intake)
{
    atomic_store(&intake->header->consumer_sleeps, 1);
    if (atomic_load(&intake->header->written) == intake->taken)
        return true;
    atomic_store(&intake->header->consumer_sleeps, 0);
    return false;
}

int intake_sync(struct intake *intake, struct err *err)
{
    int rc = intake->disk->datasync(intake->disk, intake->fd);
    return rc < 0 ? err_set(err, GW_EIO, "sync intake file %s: %s", intake->path, strerror(-rc))
                  : 0;
}

uint64_t intake_waiting_bytes(const struct intake *intake)
{
    return intake->header->written - intake->header->released;
}

uint64_t intake_room_bytes(const struct intake *intake)
{
    return intake->ring_bytes;
}
