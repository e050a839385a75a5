/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening and closing a journal, its lock and identity, and what any thread may ask of it.
 */
#include "journal/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "journal/state.h"

enum {
    META_BYTES = 64,
    META_MAGIC = 0x314a4754, /* "TGJ1" */
    META_VERSION = 1,
    SEGMENT_BYTES_MIN = 1 << 20,
};

/* ---- the lock ---- */

static int read_pid(struct journal *journal)
{
    const struct disk *disk = journal->options.disk;
    char text[16] = {0};
    ssize_t got = disk->pread(disk, journal->lock_fd, text, sizeof text - 1, 0);
    return got > 0 ? atoi(text) : 0;
}

/* The pid in the file is for people only; the lock itself is the kernel's and dies with us. */
static void write_pid(struct journal *journal)
{
    const struct disk *disk = journal->options.disk;
    char text[16];
    int size = snprintf(text, sizeof text, "%-14d\n", (int)getpid());
    disk_write_all(disk, journal->lock_fd, bytes_of(text, (size_t)size), 0);
}

static int take_lock(struct journal *journal, struct err *err)
{
    const struct disk *disk = journal->options.disk;
    char *path = mem_printf("%s/lock", journal->dir);
    int rc = journal->lock_fd = disk->open(disk, path, O_RDWR | O_CREAT);
    if (rc >= 0)
        rc = disk->lock(disk, journal->lock_fd);
    if (rc >= 0)
        write_pid(journal);
    else if (rc == -EWOULDBLOCK)
        rc = err_set(err, GW_ELOCKED, "%s is in use by the process with pid %d: stop it first",
                     journal->dir, read_pid(journal));
    else
        rc = err_set(err, rc == -ENOSPC ? GW_EFULL : GW_EIO, "lock %s: %s", path, strerror(-rc));
    free(path);
    return rc;
}

/* ---- the identity ---- */

static void encode_meta(const struct journal *journal, uint8_t out[META_BYTES])
{
    memset(out, 0, META_BYTES);
    store_u32_le(out, META_MAGIC);
    store_u16_le(out + 4, META_VERSION);
    out[6] = (uint8_t)journal->options.kind;
    store_u64_le(out + 8, journal->identity.bits);
    store_u64_le(out + 16, (uint64_t)clock_wall_ms());
    store_u32_le(out + META_BYTES - 4, crc32c(0, bytes_of(out, META_BYTES - 4)));
}

static int write_meta(struct journal *journal, const char *path, struct err *err)
{
    uint8_t meta[META_BYTES];
    encode_meta(journal, meta);
    int rc = disk_replace_file(journal->options.disk, path, bytes_of(meta, sizeof meta));
    if (rc < 0)
        return err_set(err, rc == -ENOSPC ? GW_EFULL : GW_EIO, "write %s: %s", path, strerror(-rc));
    return 0;
}

/* 0 and the identity, GW_ENOENT, GW_ECORRUPT, GW_EVERSION, GW_EINVAL for another kind. */
static int decode_meta(struct journal *journal, struct bytes in, struct err *err)
{
    struct reader meta = reader_of(in);
    uint32_t magic = reader_u32_le(&meta);
    unsigned version = reader_u16_le(&meta);
    unsigned kind = reader_u8(&meta);
    reader_u8(&meta);
    journal->identity.bits = reader_u64_le(&meta);
    bool whole = in.size >= META_BYTES && magic == META_MAGIC;
    if (whole) {
        struct reader last = reader_of(bytes_of(in.data + in.size - 4, 4));
        whole = reader_u32_le(&last) == crc32c(0, bytes_of(in.data, in.size - 4));
    }
    if (!whole || (version <= META_VERSION && journal->identity.bits == 0)) {
        journal->identity.bits = 0;
        return err_set(err, GW_ECORRUPT, "its identity is damaged");
    }
    if (version > META_VERSION)
        return err_set(err, GW_EVERSION,
                       "written in journal format %u, this program reads up to %d: start the newer "
                       "program again, nothing was changed",
                       version, META_VERSION);
    if (kind != journal->options.kind)
        return err_set(err, GW_EINVAL, "it holds a log of kind %u, not %d", kind,
                       journal->options.kind);
    return 0;
}

static int read_meta(struct journal *journal, const char *path, struct err *err)
{
    struct buffer in = {0};
    int rc = disk_read_file(journal->options.disk, path, 4096, &in);
    if (rc == -ENOENT)
        rc = err_set(err, GW_ENOENT, "it is missing");
    else if (rc < 0 && rc != -EFBIG)
        rc = err_set(err, GW_EIO, "%s", strerror(-rc));
    else
        rc = decode_meta(journal, buffer_bytes(&in), err);
    buffer_fini(&in);
    return rc ? err_wrap(err, rc, "%s", path) : 0;
}

/* The file `journal` names the identity. When it is lost, the segments still do (recover.c). */
static int find_identity(struct journal *journal, struct journal_recovery *recovery,
                         struct err *err)
{
    char *path = mem_printf("%s/journal", journal->dir);
    struct err why;
    int meta = read_meta(journal, path, &why);
    int rc = meta;
    if (meta == 0 || meta == GW_ENOENT || meta == GW_ECORRUPT)
        rc = journal_recover(journal, recovery, err);
    else
        *err = why;
    bool fresh = rc == 0 && journal->identity.bits == 0;
    if (fresh && (meta == GW_ECORRUPT || journal->options.read_only)) {
        rc = err_set(err, meta,
                     "%s; no segment tells the identity either: restore the folder from a copy, or "
                     "move it away to begin a new journal",
                     why.text);
        fresh = false;
    }
    if (fresh)
        journal->identity =
            journal->options.identity.bits ? journal->options.identity : identity_random();
    if (rc == 0 && meta && !journal->options.read_only) {
        if (!fresh)
            log_event(LOG_ERROR, "journal_identity_rebuilt", "why=\"%s\"", why.text);
        rc = write_meta(journal, path, err);
    }
    free(path);
    return rc;
}

static int check_identity(const struct journal *journal, struct err *err)
{
    struct identity wanted = journal->options.identity;
    char has[IDENTITY_TEXT_SIZE], wants[IDENTITY_TEXT_SIZE];
    if (wanted.bits == 0 || wanted.bits == journal->identity.bits)
        return 0;
    return err_set(err, GW_EINVAL,
                   "it belongs to the journal %s, not to %s: is it the right folder?",
                   identity_format(journal->identity, has), identity_format(wanted, wants));
}

/* ---- life ---- */

static int check_options(const struct journal_options *options, struct err *err)
{
    if (options->segment_bytes < SEGMENT_BYTES_MIN || options->segment_bytes > 4ULL << 30)
        return err_set(err, GW_EINVAL, "segment_bytes must be 1 MiB .. 4 GiB");
    if (options->max_bytes && options->max_bytes < 2 * options->segment_bytes)
        return err_set(err, GW_EINVAL, "max_bytes must hold two segments of %" PRIu64 " bytes",
                       options->segment_bytes);
    return 0;
}

static int make_dir(const struct journal *journal, struct err *err)
{
    const struct disk *disk = journal->options.disk;
    if (journal->options.read_only)
        return 0;
    int rc = disk_make_dirs(disk, journal->dir);
    if (rc < 0)
        return err_set(err, rc == -ENOSPC ? GW_EFULL : GW_EIO, "make %s: %s", journal->dir,
                       strerror(-rc));
    return 0;
}

static struct journal *journal_new(const struct journal_options *options)
{
    struct journal *journal = mem_zalloc(sizeof *journal);
    journal->options = *options;
    journal->dir = mem_strdup(options->dir);
    journal->options.dir = journal->dir;
    journal->lock_fd = -1;
    journal->fd = -1;
    journal->next_seq = 1;
    journal->next_number = 1;
    pthread_mutex_init(&journal->lock, NULL);
    pthread_mutex_init(&journal->retain_lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&journal->grown, &attr);
    pthread_condattr_destroy(&attr);
    if (options->compression_level) {
        journal->zstd = ZSTD_createCCtx();
        gw_assert(journal->zstd != NULL);
        ZSTD_CCtx_setParameter(journal->zstd, ZSTD_c_compressionLevel, options->compression_level);
    }
    return journal;
}

int journal_open(struct journal **out, const struct journal_options *options,
                 struct journal_recovery *recovery, struct err *err)
{
    *recovery = (struct journal_recovery){0};
    *out = NULL;
    int rc = check_options(options, err);
    if (rc < 0)
        return err_wrap(err, rc, "journal %s", options->dir);
    struct journal *journal = journal_new(options);
    rc = make_dir(journal, err);
    if (rc == 0 && !options->read_only)
        rc = take_lock(journal, err);
    if (rc == 0)
        rc = find_identity(journal, recovery, err);
    if (rc == 0)
        rc = check_identity(journal, err);
    if (rc < 0) {
        journal_close(journal);
        return err_wrap(err, rc, "journal %s", options->dir);
    }
    recovery->first_seq = journal_first_seq(journal);
    recovery->next_seq = journal_next_seq(journal);
    *out = journal;
    return 0;
}

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    journal_rotate(journal);
    if (journal->lock_fd >= 0)
        journal->options.disk->close(journal->options.disk, journal->lock_fd);
    for (size_t i = 0; i < journal->count; i++)
        free(journal->segments[i]);
    free(journal->segments);
    ZSTD_freeCCtx(journal->zstd);
    buffer_fini(&journal->out);
    buffer_fini(&journal->head);
    pthread_cond_destroy(&journal->grown);
    pthread_mutex_destroy(&journal->lock);
    pthread_mutex_destroy(&journal->retain_lock);
    free(journal->dir);
    free(journal);
}

/* ---- the table ---- */

struct segment *journal_add_segment(struct journal *journal, const struct segment *segment)
{
    struct segment *own = mem_alloc(sizeof *own);
    *own = *segment;
    pthread_mutex_lock(&journal->lock);
    if (journal->count == journal->capacity) {
        journal->capacity = journal->capacity ? journal->capacity * 2 : 16;
        journal->segments =
            mem_realloc(journal->segments, journal->capacity * sizeof *journal->segments);
    }
    gw_assert(journal->count == 0 ||
              journal->segments[journal->count - 1]->header.number < own->header.number);
    journal->segments[journal->count++] = own;
    journal->allocated += own->allocated;
    if (own->next_seq > atomic_load(&journal->next_seq))
        atomic_store(&journal->next_seq, own->next_seq);
    pthread_mutex_unlock(&journal->lock);
    return own;
}

bool journal_find_segment(struct journal *journal, uint64_t number, struct segment *out, bool *last)
{
    pthread_mutex_lock(&journal->lock);
    size_t low = 0;
    size_t high = journal->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (journal->segments[middle]->header.number < number)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < journal->count;
    if (found) {
        *out = *journal->segments[low];
        *last = low + 1 == journal->count;
    }
    pthread_mutex_unlock(&journal->lock);
    return found;
}

uint64_t journal_next_seq(const struct journal *journal)
{
    return atomic_load(&journal->next_seq);
}

static struct journal *unconst(const struct journal *journal)
{
    return (struct journal *)(uintptr_t)journal; /* for its lock */
}

uint64_t journal_first_seq(const struct journal *journal)
{
    pthread_mutex_lock(&unconst(journal)->lock);
    uint64_t seq =
        journal->count ? journal->segments[0]->header.first_seq : atomic_load(&journal->next_seq);
    pthread_mutex_unlock(&unconst(journal)->lock);
    return seq;
}

uint64_t journal_bytes(const struct journal *journal)
{
    pthread_mutex_lock(&unconst(journal)->lock);
    uint64_t bytes = journal->allocated;
    pthread_mutex_unlock(&unconst(journal)->lock);
    return bytes;
}

struct identity journal_identity(const struct journal *journal)
{
    return journal->identity;
}

static void info_of(const struct journal *journal, size_t index, struct journal_segment_info *out)
{
    const struct segment *segment = journal->segments[index];
    /* Beside a running gateway the newest segment is the one that it appends to. */
    bool newest_of_another = journal->options.read_only && index + 1 == journal->count;
    *out = (struct journal_segment_info){
        .number = segment->header.number,
        .first_seq = segment->header.first_seq,
        .next_seq = segment->next_seq,
        .bytes_used = segment->end,
        .bytes_allocated = segment->allocated,
        .extents = segment->extents,
        .received_min_ms = segment->received_min_ms,
        .received_max_ms = segment->received_max_ms,
        .sealed = segment->sealed && !newest_of_another,
        .damaged = segment->damaged,
    };
    snprintf(out->name, sizeof out->name, "%020" PRIu64 ".log", out->number);
}

void journal_segments(struct journal *journal,
                      void (*row)(void *arg, const struct journal_segment_info *info), void *arg)
{
    pthread_mutex_lock(&journal->lock);
    size_t count = journal->count;
    struct journal_segment_info *rows = mem_alloc((count + 1) * sizeof *rows);
    for (size_t i = 0; i < count; i++)
        info_of(journal, i, &rows[i]);
    pthread_mutex_unlock(&journal->lock);
    /* Outside the lock: the callback may ask the journal something. */
    for (size_t i = 0; i < count; i++)
        row(arg, &rows[i]);
    free(rows);
}

/* ---- waiting ---- */

int journal_watch(struct journal *journal, void (*on_append)(void *arg), void *arg)
{
    pthread_mutex_lock(&journal->lock);
    int rc = journal->watcher_count == WATCHERS_MAX ? GW_ELIMIT : 0;
    if (rc == 0) {
        journal->watchers[journal->watcher_count].on_append = on_append;
        journal->watchers[journal->watcher_count].arg = arg;
        journal->watcher_count++;
    }
    pthread_mutex_unlock(&journal->lock);
    return rc;
}

bool journal_wait(struct journal *journal, uint64_t seq, int64_t timeout_ms)
{
    int64_t until = clock_monotonic_ns() + timeout_ms * 1000000;
    struct timespec deadline = {until / 1000000000, until % 1000000000};
    pthread_mutex_lock(&journal->lock);
    uint64_t wakes = journal->wakes;
    int rc = 0;
    while (atomic_load(&journal->next_seq) <= seq && journal->wakes == wakes && rc == 0)
        rc = pthread_cond_timedwait(&journal->grown, &journal->lock, &deadline);
    pthread_mutex_unlock(&journal->lock);
    return atomic_load(&journal->next_seq) > seq;
}

void journal_wake(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    journal->wakes++;
    pthread_cond_broadcast(&journal->grown);
    pthread_mutex_unlock(&journal->lock);
}
