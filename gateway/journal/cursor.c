/* SPDX-License-Identifier: Apache-2.0
 *
 * Cursor files: two slots written in turn. A save touches only the older slot, so a torn write
 * leaves the newer one whole. FORMAT.md, "cursor". One thread for one cursor.
 */
#include "journal/cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/log.h"

enum {
    MAGIC = 0x31434754, /* "TGC1" */
    VERSION = 2,        /* 1 had no settled position and no readings */
    SLOT_BYTES = 512,
    SLOT_STRIDE = 4096, /* a page each: one torn write cannot reach both */
    FILE_BYTES = 2 * SLOT_STRIDE,
    SETTLED_OFFSET = 40 + 16 * CURSOR_UNITS_MAX,
};

struct cursor {
    const struct disk *disk;
    char *path;
    int fd; /* -1 after an error: the next save makes a new file */
    struct identity identity;
    struct cursor_state state;
    uint64_t counter; /* of the newest slot */
    unsigned slot;    /* which one that is */
};

/* ---- the slot on disk ---- */

static void slot_encode(const struct cursor_state *state, struct identity identity,
                        uint64_t counter, uint8_t out[SLOT_BYTES])
{
    memset(out, 0, SLOT_BYTES);
    store_u32_le(out, MAGIC);
    store_u16_le(out + 4, VERSION);
    store_u64_le(out + 8, counter);
    store_u64_le(out + 16, identity.bits);
    store_u64_le(out + 24, state->next_seq);
    store_u32_le(out + 32, state->generation);
    store_u32_le(out + 36, state->unit_count);
    for (uint32_t i = 0; i < state->unit_count; i++) {
        store_u64_le(out + 40 + 16 * i, state->units[i].first_seq);
        store_u64_le(out + 48 + 16 * i, state->units[i].last_seq);
    }
    store_u64_le(out + SETTLED_OFFSET, state->settled_seq);
    store_u64_le(out + SETTLED_OFFSET + 8, state->readings);
    store_u32_le(out + SLOT_BYTES - 4, crc32c(0, bytes_of(out, SLOT_BYTES - 4)));
}

struct slot {
    unsigned version; /* 0: not whole */
    uint64_t counter;
    struct identity identity;
    struct cursor_state state;
};

/* What stands behind the head of a slot of a version that we know; false: never written so. */
static bool fields_decode(const uint8_t *raw, unsigned version, struct cursor_state *state)
{
    if (state->unit_count > CURSOR_UNITS_MAX)
        return false;
    struct reader in = reader_of(bytes_of(raw + 40, SLOT_BYTES - 40));
    for (uint32_t i = 0; i < state->unit_count; i++) {
        state->units[i].first_seq = reader_u64_le(&in);
        state->units[i].last_seq = reader_u64_le(&in);
    }
    /* In version 1 there was no destination that could lose what it had confirmed. */
    state->settled_seq = state->next_seq;
    if (version == 1)
        return true;
    struct reader settled = reader_of(bytes_of(raw + SETTLED_OFFSET, 16));
    state->settled_seq = reader_u64_le(&settled);
    state->readings = reader_u64_le(&settled);
    return state->settled_seq <= state->next_seq;
}

static void slot_decode(const uint8_t *raw, struct slot *out)
{
    *out = (struct slot){0};
    struct reader in = reader_of(bytes_of(raw, SLOT_BYTES));
    struct reader last = reader_of(bytes_of(raw + SLOT_BYTES - 4, 4));
    if (reader_u32_le(&in) != MAGIC)
        return;
#ifndef TIDEGATE_MUTANT_NO_CHECKSUM
    if (reader_u32_le(&last) != crc32c(0, bytes_of(raw, SLOT_BYTES - 4)))
        return;
#endif
    (void)last;
    unsigned version = reader_u16_le(&in);
    reader_u16_le(&in);
    out->counter = reader_u64_le(&in);
    out->identity.bits = reader_u64_le(&in);
    out->state.next_seq = reader_u64_le(&in);
    out->state.generation = reader_u32_le(&in);
    out->state.unit_count = reader_u32_le(&in);
    if (version <= VERSION && !fields_decode(raw, version, &out->state))
        return;
    out->version = version;
}

/* The newer of the slots that are whole; *which is its index. */
static int choose(const char *path, const uint8_t *raw, struct slot *out, unsigned *which,
                  struct err *err)
{
    struct slot slots[2];
    for (unsigned i = 0; i < 2; i++)
        slot_decode(raw + i * SLOT_STRIDE, &slots[i]);
    if (slots[0].version == 0 && slots[1].version == 0)
        return err_set(
            err, GW_ECORRUPT,
            "cursor %s: both copies are damaged: restore the file from a copy, or remove "
            "it to have everything that is kept sent again",
            path);
    *which = slots[0].version == 0 || (slots[1].version && slots[1].counter > slots[0].counter);
    *out = slots[*which];
    if (out->version > VERSION)
        return err_set(err, GW_EVERSION,
                       "cursor %s: written in format %u, this program reads up to %d: start the "
                       "newer program again, nothing was changed",
                       path, out->version, VERSION);
    if (slots[0].version == 0 || slots[1].version == 0)
        log_event(LOG_WARN, "cursor_slot_damaged", "path=%s slot=%u next_seq=%" PRIu64, path,
                  1 - *which, out->state.next_seq);
    return 0;
}

static int read_slots(const struct disk *disk, const char *path, struct slot *out, unsigned *which,
                      struct err *err)
{
    struct buffer in = {0};
    int rc = disk_read_file(disk, path, 1 << 20, &in);
    if (rc == -ENOENT) {
        rc = err_set(err, GW_ENOENT, "cursor %s: there is none", path);
    } else if (rc < 0 && rc != -EFBIG) {
        rc = err_set(err, GW_EIO, "cursor %s: %s", path, strerror(-rc));
    } else {
        /* A file that was cut counts as if zeros stood there: no slot is whole in zeros. */
        size_t missing = in.size < FILE_BYTES ? FILE_BYTES - in.size : 0;
        memset(buffer_reserve(&in, missing), 0, missing);
        rc = choose(path, in.data, out, which, err);
    }
    buffer_fini(&in);
    return rc;
}

int cursor_peek(const struct disk *disk, const char *path, struct cursor_state *out,
                struct identity *identity, struct err *err)
{
    struct slot slot;
    unsigned which;
    int rc = read_slots(disk, path, &slot, &which, err);
    if (rc < 0)
        return rc;
    *out = slot.state;
    *identity = slot.identity;
    return 0;
}

/* ---- life ---- */

/* A new file under the same name, both slots alike. */
static int write_anew(struct cursor *cursor, const struct cursor_state *state, struct err *err)
{
    struct buffer file = {0};
    memset(buffer_reserve(&file, FILE_BYTES), 0, FILE_BYTES);
    file.size = FILE_BYTES;
    slot_encode(state, cursor->identity, cursor->counter + 1, file.data);
    slot_encode(state, cursor->identity, cursor->counter + 2, file.data + SLOT_STRIDE);
    int rc = disk_replace_file(cursor->disk, cursor->path, buffer_bytes(&file));
    buffer_fini(&file);
    if (rc < 0)
        return err_set(err, rc == -ENOSPC || rc == -EDQUOT ? GW_EFULL : GW_EIO,
                       "write cursor %s: %s", cursor->path, strerror(-rc));
    cursor->state = *state;
    cursor->counter += 2;
    cursor->slot = 1;
    /* What was saved is safe; without a descriptor the next save writes a new file again. */
    int fd = cursor->disk->open(cursor->disk, cursor->path, O_RDWR);
    cursor->fd = fd < 0 ? -1 : fd;
    return 0;
}

static int open_existing(struct cursor *cursor, const struct slot *slot, unsigned which,
                         struct err *err)
{
    char theirs[IDENTITY_TEXT_SIZE], ours[IDENTITY_TEXT_SIZE];
    if (slot->identity.bits != cursor->identity.bits)
        return err_set(
            err, GW_EINVAL,
            "cursor %s belongs to the journal %s, not to %s: put the right file there, or "
            "remove it to have everything that is kept sent again",
            cursor->path, identity_format(slot->identity, theirs),
            identity_format(cursor->identity, ours));
    cursor->state = slot->state;
    cursor->counter = slot->counter;
    cursor->slot = which;
    int fd = cursor->disk->open(cursor->disk, cursor->path, O_RDWR);
    if (fd < 0)
        return err_set(err, GW_EIO, "open cursor %s: %s", cursor->path, strerror(-fd));
    cursor->fd = fd;
    /* What was read may be in memory only, if a sync failed before the last process ended: save it
     * once more before anybody relies on it. It also renews a damaged slot. */
    return cursor_save(cursor, &cursor->state, err);
}

int cursor_open(struct cursor **out, const struct disk *disk, const char *path,
                struct identity identity, struct err *err)
{
    const struct cursor_state first = {.next_seq = 1, .settled_seq = 1};
    return cursor_open_from(out, disk, path, identity, &first, err);
}

int cursor_open_from(struct cursor **out, const struct disk *disk, const char *path,
                     struct identity identity, const struct cursor_state *first, struct err *err)
{
    struct cursor *cursor = mem_zalloc(sizeof *cursor);
    *cursor =
        (struct cursor){.disk = disk, .path = mem_strdup(path), .fd = -1, .identity = identity};
    struct slot slot;
    unsigned which = 0;
    int rc = read_slots(disk, path, &slot, &which, err);
    if (rc == GW_ENOENT) {
        rc = write_anew(cursor, first, err);
    } else if (rc == 0) {
        rc = open_existing(cursor, &slot, which, err);
    }
    if (rc < 0) {
        cursor_close(cursor);
        cursor = NULL;
    }
    *out = cursor;
    return rc;
}

const struct cursor_state *cursor_state(const struct cursor *cursor)
{
    return &cursor->state;
}

static void distrust(struct cursor *cursor)
{
    cursor->disk->close(cursor->disk, cursor->fd);
    cursor->fd = -1;
}

int cursor_save(struct cursor *cursor, const struct cursor_state *state, struct err *err)
{
    gw_assert(state->unit_count <= CURSOR_UNITS_MAX && state->settled_seq <= state->next_seq);
    if (cursor->fd < 0)
        return write_anew(cursor, state, err);
    uint8_t raw[SLOT_BYTES];
    unsigned slot = 1 - cursor->slot;
    slot_encode(state, cursor->identity, cursor->counter + 1, raw);
    int rc = disk_write_all(cursor->disk, cursor->fd, bytes_of(raw, sizeof raw),
                            (uint64_t)slot * SLOT_STRIDE);
#ifndef TIDEGATE_MUTANT_NO_SYNC
    if (rc == 0)
        rc = cursor->disk->datasync(cursor->disk, cursor->fd);
#endif
    if (rc < 0) {
        distrust(cursor);
        return err_set(err, GW_EIO, "save cursor %s: %s", cursor->path, strerror(-rc));
    }
    if (state != &cursor->state)
        cursor->state = *state;
    cursor->counter++;
    cursor->slot = slot;
    return 0;
}

void cursor_close(struct cursor *cursor)
{
    if (cursor == NULL)
        return;
    if (cursor->fd >= 0)
        cursor->disk->close(cursor->disk, cursor->fd);
    free(cursor->path);
    free(cursor);
}
