/* SPDX-License-Identifier: Apache-2.0
 *
 * Saves are files `<seq>.state`: a header with a checksum, then the normaliser's memory compressed
 * by zstd. Separate from the decoder so that the forms on disk stand in one place.
 */
#include "decode_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/crc32c.h"
#include "base/log.h"

/* magic u32, version u32, identity u64, seq u64, raw size u64, crc u32 of all before it and of the
 * compressed memory behind it. */
enum {
    STATE_MAGIC = 0x54534754, /* "TGST" */
    STATE_VERSION = 1,
    STATE_HEADER = 4 + 4 + 8 + 8 + 8 + 4,
    SAVES_MAX = 16,
};
static const uint64_t state_size_max = 4ULL << 30;

static char *state_path(const char *dir, uint64_t seq)
{
    return mem_printf("%s/%020" PRIu64 ".state", dir, seq);
}

static uint32_t state_crc(struct bytes file)
{
    uint32_t crc = crc32c(0, bytes_of(file.data, STATE_HEADER - 4));
    return crc32c(crc, bytes_of(file.data + STATE_HEADER, file.size - STATE_HEADER));
}

static void state_encode(struct identity identity, uint64_t seq, struct bytes memory,
                         struct buffer *out)
{
    buffer_u32_le(out, STATE_MAGIC);
    buffer_u32_le(out, STATE_VERSION);
    buffer_u64_le(out, identity.bits);
    buffer_u64_le(out, seq);
    buffer_u64_le(out, memory.size);
    buffer_u32_le(out, 0);
    size_t bound = ZSTD_compressBound(memory.size);
    size_t size = ZSTD_compress(buffer_reserve(out, bound), bound, memory.data, memory.size, 1);
    gw_assert(!ZSTD_isError(size));
    out->size += size;
    store_u32_le(out->data + STATE_HEADER - 4, state_crc(buffer_bytes(out)));
}

int decode_state_save(const struct disk *disk, const char *dir, struct identity identity,
                      uint64_t seq, const struct normaliser *normaliser, struct err *err)
{
    struct buffer memory = {0};
    struct buffer file = {0};
    char *path = state_path(dir, seq);
    normaliser_save(normaliser, &memory);
    state_encode(identity, seq, buffer_bytes(&memory), &file);
    int rc = disk_replace_file(disk, path, buffer_bytes(&file));
    if (rc < 0)
        rc = err_set(err, rc == -ENOSPC || rc == -EDQUOT ? GW_EFULL : GW_EIO,
                     "decoder state %s: %s", path, strerror(-rc));
    free(path);
    buffer_fini(&file);
    buffer_fini(&memory);
    return rc;
}

static int state_decode(struct bytes file, struct identity identity, uint64_t seq,
                        struct normaliser *normaliser, struct err *err)
{
    struct reader in = reader_of(file);
    uint32_t magic = reader_u32_le(&in);
    uint32_t version = reader_u32_le(&in);
    uint64_t owner = reader_u64_le(&in);
    uint64_t at = reader_u64_le(&in);
    uint64_t size = reader_u64_le(&in);
    uint32_t crc = reader_u32_le(&in);
    if (in.failed || magic != STATE_MAGIC || crc != state_crc(file) || size > state_size_max)
        return err_set(err, GW_ECORRUPT, "checksum or header is wrong");
    if (version != STATE_VERSION)
        return err_set(err, GW_EVERSION, "version %u, this program reads %d", version,
                       STATE_VERSION);
    if (owner != identity.bits || at != seq)
        return err_set(err, GW_EINVAL, "belongs to another journal");
    struct buffer memory = {0};
    size_t got = ZSTD_decompress(buffer_reserve(&memory, size), size, in.at, reader_left(&in));
    int rc = got == size ? normaliser_load(normaliser, bytes_of(memory.data, size), err)
                         : err_set(err, GW_ECORRUPT, "cannot be decompressed");
    buffer_fini(&memory);
    return rc;
}

static int state_read(const struct disk *disk, const char *dir, struct identity identity,
                      uint64_t seq, struct normaliser *normaliser)
{
    char *path = state_path(dir, seq);
    struct buffer file = {0};
    struct err err = {{0}};
    int rc = disk_read_file(disk, path, state_size_max, &file);
    if (rc < 0)
        rc = err_set(&err, GW_EIO, "%s", strerror(-rc));
    else if (file.size < STATE_HEADER)
        rc = err_set(&err, GW_ECORRUPT, "shorter than its header");
    else
        rc = state_decode(buffer_bytes(&file), identity, seq, normaliser, &err);
    if (rc < 0)
        log_event(LOG_WARN, "decode_state_skipped", "file=%s why=\"%s\"", path, err.text);
    buffer_fini(&file);
    free(path);
    return rc;
}

/* The position in a name of ours, or 0. */
static uint64_t state_seq(const char *name)
{
    char *end;
    uint64_t seq = strtoull(name, &end, 10);
    return end == name + 20 && strcmp(end, ".state") == 0 ? seq : 0;
}

uint64_t decode_state_load(const struct disk *disk, const char *dir, struct identity identity,
                           uint64_t seq, struct normaliser *normaliser)
{
    struct disk_names names = {0};
    uint64_t found = 0;
    if (disk->list(disk, dir, &names) == 0)
        for (size_t i = names.count; i-- > 0 && found == 0;) {
            uint64_t at = state_seq(names.names[i]);
            if (at && at <= seq && state_read(disk, dir, identity, at, normaliser) == 0)
                found = at;
        }
    disk_names_fini(&names);
    return found;
}

void decode_state_trim(const struct disk *disk, const char *dir, uint64_t first_kept_seq)
{
    struct disk_names names = {0};
    uint64_t oldest = 0;
    size_t kept = 0;
    if (disk->list(disk, dir, &names) == 0)
        /* From the newest down: once one at or below the bound was seen, older ones go. */
        for (size_t i = names.count; i-- > 0;) {
            uint64_t at = state_seq(names.names[i]);
            if (at == 0)
                continue;
            if (kept == 0 || (oldest > first_kept_seq && kept < SAVES_MAX)) {
                oldest = at;
                kept++;
                continue;
            }
            char *path = state_path(dir, at);
            disk->unlink(disk, path);
            free(path);
        }
    disk_names_fini(&names);
}

int decode_generation(const struct disk *disk, const char *dir, uint64_t digest, uint32_t *out,
                      struct err *err)
{
    char *path = mem_printf("%s/generation", dir);
    struct buffer text = {0};
    uint32_t generation = 0;
    uint64_t known = 0;
    int rc = disk_read_file(disk, path, 128, &text);
    buffer_u8(&text, 0);
    if (rc < 0 && rc != -ENOENT) {
        rc = err_set(err, GW_EIO, "%s: %s", path, strerror(-rc));
    } else if (rc != -ENOENT &&
               sscanf((char *)text.data, "%" SCNu32 " %" SCNx64, &generation, &known) != 2) {
        rc = err_set(err, GW_ECORRUPT,
                     "%s does not hold a generation; restore it, or write \"N 0\" with N above "
                     "every generation in the names of the Parquet files",
                     path);
    } else if (generation == 0 || known != digest) {
        buffer_clear(&text);
        buffer_printf(&text, "%" PRIu32 " %016" PRIx64 "\n", ++generation, digest);
        rc = disk_replace_file(disk, path, buffer_bytes(&text));
        if (rc < 0)
            rc = err_set(err, GW_EIO, "%s: %s", path, strerror(-rc));
    } else {
        rc = 0;
    }
    *out = generation;
    buffer_fini(&text);
    free(path);
    return rc;
}
