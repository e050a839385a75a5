/* SPDX-License-Identifier: Apache-2.0
 *
 * A unit that waits is one file in PATH.work/replay, named by its number: a head, its batches as the
 * reading log writes them, a checksum. README.md has the layout. One thread at a time.
 */
#include "sinks/parquet/pending.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/log.h"

static const char magic[8] = "TGREPLY1";
enum { HEAD_SIZE = 60, PENDING_FILE_MAX = 1 << 30, NAME_SIZE = 32 };

struct pending_unit pending_describe(const struct unit *unit)
{
    struct pending_unit out = {.first_seq = unit->first_seq,
                               .last_seq = unit->last_seq,
                               .first_day = INT64_MAX,
                               .last_day = INT64_MIN};
    for (uint32_t b = 0; b < unit->batch_count; b++) {
        const struct batch *batch = unit->batches[b];
        out.rows += batch->count;
        for (uint32_t row = 0; row < batch->count; row++) {
            int64_t day = day_of_ms(batch->ts_ms[row]);
            out.first_day = day < out.first_day ? day : out.first_day;
            out.last_day = day > out.last_day ? day : out.last_day;
        }
    }
    return out;
}

/* ---- names ---- */

static char *path_of(const struct pending *pending, uint64_t number, const char *suffix)
{
    return mem_printf("%s/%020" PRIu64 ".replay%s", pending->folder, number, suffix);
}

static bool parse_name(const char *name, uint64_t *number)
{
    char again[NAME_SIZE];
    if (sscanf(name, "%20" SCNu64 ".replay", number) != 1)
        return false;
    snprintf(again, sizeof again, "%020" PRIu64 ".replay", *number);
    return strcmp(again, name) == 0;
}

/* ---- the head ---- */

static void put_head(struct buffer *out, const struct pending *pending,
                     const struct pending_unit *unit, uint32_t batches)
{
    buffer_add(out, magic, sizeof magic);
    buffer_u64_le(out, pending->gateway);
    buffer_u64_le(out, unit->first_seq);
    buffer_u64_le(out, unit->last_seq);
    buffer_u64_le(out, unit->rows);
    buffer_u64_le(out, (uint64_t)unit->first_day);
    buffer_u64_le(out, (uint64_t)unit->last_day);
    buffer_u32_le(out, batches);
}

/* Sets in->failed for bytes that are no head. */
static uint64_t take_head(struct reader *in, struct pending_unit *unit, uint32_t *batches)
{
    struct bytes mark = reader_bytes(in, sizeof magic);
    if (in->failed || memcmp(mark.data, magic, sizeof magic) != 0) {
        in->failed = true;
        return 0;
    }
    uint64_t gateway = reader_u64_le(in);
    unit->first_seq = reader_u64_le(in);
    unit->last_seq = reader_u64_le(in);
    unit->rows = reader_u64_le(in);
    unit->first_day = (int64_t)reader_u64_le(in);
    unit->last_day = (int64_t)reader_u64_le(in);
    *batches = reader_u32_le(in);
    return gateway;
}

/* ---- opening ---- */

static void note(struct pending *pending, const struct pending_unit *unit)
{
    pending->units = mem_realloc(pending->units, (pending->count + 1) * sizeof *pending->units);
    pending->units[pending->count++] = *unit;
    pending->rows += unit->rows;
    pending->next_number = unit->number + 1;
}

/* A journal that is no longer ours does not go on, and neither do its replays. */
static int take_file(struct pending *pending, const char *name, struct err *err)
{
    struct pending_unit unit = {0};
    uint32_t batches = 0;
    uint8_t head[HEAD_SIZE];
    char *path = mem_printf("%s/%s", pending->folder, name);
    bool ours = parse_name(name, &unit.number);
    struct disk_stat stat = {0};
    int result = pending->disk->stat(pending->disk, path, &stat);
    uint64_t gateway = 0;
    if (result == 0 && ours && stat.size < HEAD_SIZE + 4) {
        log_event(LOG_ERROR, "parquet_replay_damaged", "path=%s why=\"it is cut off\"", path);
    } else if (result == 0 && ours) {
        int fd = pending->disk->open(pending->disk, path, O_RDONLY);
        result = fd < 0 ? fd : disk_read_all(pending->disk, fd, head, sizeof head, 0);
        if (fd >= 0)
            pending->disk->close(pending->disk, fd);
        struct reader in = reader_of(bytes_of(head, sizeof head));
        if (result == 0)
            gateway = take_head(&in, &unit, &batches);
    }
    if (result == 0 && ours && gateway == pending->gateway) {
        note(pending, &unit);
    } else if (result == 0) {
        log_event(LOG_INFO, "parquet_replay_removed", "path=%s", path);
        result = pending->disk->unlink(pending->disk, path);
    }
    if (result < 0)
        result = store_error(err, result, "look at", path);
    free(path);
    return result;
}

int pending_open(struct pending *pending, const struct store *store, struct err *err)
{
    struct disk_names names = {0};
    *pending = (struct pending){.disk = store->disk, .gateway = store->identity.bits};
    pending->folder = mem_printf("%s/%s", store->work, STORE_PENDING);
    int result = disk_make_dirs(pending->disk, pending->folder);
    if (result == 0)
        result = pending->disk->list(pending->disk, pending->folder, &names);
    if (result < 0)
        result = store_error(err, result, "list", pending->folder);
    for (size_t i = 0; i < names.count && result == 0; i++)
        result = take_file(pending, names.names[i], err);
    disk_names_fini(&names);
    if (result < 0)
        pending_close(pending);
    return result;
}

void pending_close(struct pending *pending)
{
    free(pending->folder);
    free(pending->units);
    *pending = (struct pending){0};
}

/* ---- in ---- */

static void put_unit(struct buffer *out, const struct pending *pending, const struct unit *unit,
                     const struct pending_unit *head)
{
    struct buffer batch = {0};
    put_head(out, pending, head, unit->batch_count);
    for (uint32_t b = 0; b < unit->batch_count; b++) {
        buffer_clear(&batch);
        batch_encode(unit->batches[b], &batch);
        buffer_u32_le(out, (uint32_t)batch.size);
        buffer_add(out, batch.data, batch.size);
    }
    buffer_u32_le(out, crc32c(0, buffer_bytes(out)));
    buffer_fini(&batch);
}

static int write_file(const struct pending *pending, const char *path, struct bytes in)
{
    const struct disk *disk = pending->disk;
    disk->unlink(disk, path); /* of an attempt that failed */
    int fd = disk->open(disk, path, O_CREAT | O_EXCL | O_WRONLY);
    int result = fd < 0 ? fd : disk_write_all(disk, fd, in, 0);
    if (result == 0)
        result = disk->datasync(disk, fd);
    if (fd >= 0) {
        int closed = disk->close(disk, fd);
        result = result < 0 ? result : closed;
    }
    return result;
}

int pending_add(struct pending *pending, const struct unit *unit, struct err *err)
{
    const struct disk *disk = pending->disk;
    struct buffer text = {0};
    struct pending_unit head = pending_describe(unit);
    head.number = pending->next_number;
    char *path = path_of(pending, head.number, ""),
         *temporary = path_of(pending, head.number, ".tmp");
    put_unit(&text, pending, unit, &head);
    int result = write_file(pending, temporary, buffer_bytes(&text));
    if (result == 0)
        result = disk->rename(disk, temporary, path);
    if (result == 0)
        result = disk->sync_dir(disk, pending->folder);
    if (result < 0) {
        /* It comes again, under the same number: what is there by then is the same or older. */
        disk->unlink(disk, temporary);
        int gone = disk->unlink(disk, path);
        pending->unsure = true;
        if (gone < 0 && gone != -ENOENT)
            note(pending, &head);
        result = store_error(err, result, "write", path);
    } else {
        pending->unsure = false;
        note(pending, &head);
    }
    buffer_fini(&text);
    free(temporary);
    free(path);
    return result;
}

/* ---- out ---- */

void pending_batches_fini(struct pending_batches *batches)
{
    for (uint32_t i = 0; i < batches->count; i++)
        batch_release(batches->batches[i]);
    free(batches->batches);
    *batches = (struct pending_batches){0};
}

static int take_batches(struct bytes in, struct pending_batches *out, struct err *err)
{
    struct pending_unit head;
    uint32_t batches = 0;
    if (in.size < HEAD_SIZE + 4)
        return err_set(err, GW_ECORRUPT, "it is cut off");
    struct reader reader = reader_of(bytes_of(in.data, in.size - 4));
    struct reader tail = reader_of(bytes_of(in.data + in.size - 4, 4));
    if (crc32c(0, bytes_of(in.data, in.size - 4)) != reader_u32_le(&tail))
        return err_set(err, GW_ECORRUPT, "its checksum is wrong");
    take_head(&reader, &head, &batches);
    for (uint32_t b = 0; b < batches && !reader.failed; b++) {
        struct batch *batch = NULL;
        struct bytes bytes = reader_bytes(&reader, reader_u32_le(&reader));
        int result = reader.failed ? err_set(err, GW_ECORRUPT, "it is cut off")
                                   : batch_decode(bytes, &batch, err);
        if (result < 0)
            return result;
        out->batches = mem_realloc(out->batches, (out->count + 1) * sizeof(struct batch *));
        out->batches[out->count++] = batch;
    }
    return 0;
}

static int load_unit(const struct pending *pending, const struct pending_unit *unit,
                     struct pending_batches *out, struct err *err)
{
    struct buffer text = {0};
    char *path = path_of(pending, unit->number, "");
    int result = disk_read_file(pending->disk, path, PENDING_FILE_MAX, &text);
    if (result == -ENOENT) /* pending_drop came so far */
        result = 0;
    else if (result < 0)
        result = store_error(err, result, "read", path);
    else
        result = take_batches(buffer_bytes(&text), out, err);
    if (result == GW_ECORRUPT) {
        log_event(LOG_ERROR, "parquet_replay_damaged",
                  "path=%s first_seq=%" PRIu64 " last_seq=%" PRIu64
                  " why=\"%s; replay these messages again\"",
                  path, unit->first_seq, unit->last_seq, err->text);
        result = 0;
    }
    buffer_fini(&text);
    free(path);
    return result;
}

int pending_load(const struct pending *pending, uint64_t below, uint64_t rows_max,
                 struct pending_batches *out, struct err *err)
{
    uint64_t rows = 0;
    *out = (struct pending_batches){0};
    for (size_t i = 0; i < pending->count; i++) {
        const struct pending_unit *unit = &pending->units[i];
        if (unit->last_seq >= below || (i && rows + unit->rows > rows_max))
            break;
        int result = load_unit(pending, unit, out, err);
        if (result < 0) {
            pending_batches_fini(out);
            return result;
        }
        rows += unit->rows;
        out->units = i + 1;
    }
    return 0;
}

int pending_drop(struct pending *pending, size_t units, struct err *err)
{
    int result = 0;
    bool told = false;
    for (size_t i = 0; i < units && result == 0; i++) {
        char *path = path_of(pending, pending->units[i].number, "");
        result = pending->disk->unlink(pending->disk, path);
        if (result == -ENOENT) /* of an attempt that failed */
            result = 0;
        if (result < 0)
            result = store_error(err, result, "remove", path);
        told = result < 0;
        free(path);
    }
    /* What is older must not come back behind what is newer. */
    if (result == 0)
        result = pending->disk->sync_dir(pending->disk, pending->folder);
    if (result < 0)
        return told ? result : store_error(err, result, "sync", pending->folder);
    for (size_t i = 0; i < units; i++)
        pending->rows -= pending->units[i].rows;
    pending->count -= units;
    memmove(pending->units, pending->units + units, pending->count * sizeof *pending->units);
    return 0;
}
