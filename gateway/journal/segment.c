/* SPDX-License-Identifier: Apache-2.0
 *
 * Segment files: names by number (clocks jump), headers, making one. A segment gets its final name
 * only when header and snapshot are on disk, so under that name there is never a half-made one.
 * The thread that opens or appends.
 */
#include "journal/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"

enum { MAGIC = 0x31534754 }; /* "TGS1" */

char *segment_path(const char *dir, uint64_t number, const char *suffix)
{
    return mem_printf("%s/%020" PRIu64 ".%s", dir, number, suffix);
}

uint64_t segment_number(const char *name)
{
    uint64_t number = 0;
    for (int i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9' || number > UINT64_MAX / 20)
            return 0;
        number = number * 10 + (uint64_t)(name[i] - '0');
    }
    return strcmp(name + 20, ".log") == 0 ? number : 0;
}

void segment_header_encode(const struct segment_header *header, uint8_t out[SEGMENT_HEADER_BYTES])
{
    memset(out, 0, SEGMENT_HEADER_BYTES);
    store_u32_le(out, MAGIC);
    store_u16_le(out + 4, SEGMENT_VERSION);
    out[6] = (uint8_t)header->kind;
    store_u64_le(out + 8, header->identity.bits);
    store_u64_le(out + 16, header->number);
    store_u64_le(out + 24, header->salt);
    store_u64_le(out + 32, header->first_seq);
    store_u64_le(out + 40, header->before);
    store_u64_le(out + 48, header->before_end);
    store_u64_le(out + 56, (uint64_t)header->made_ms);
    store_u64_le(out + 64, header->before_extents);
    store_u64_le(out + 72, (uint64_t)header->before_received_min_ms);
    store_u64_le(out + 80, (uint64_t)header->before_received_max_ms);
    uint32_t crc = crc32c(0, bytes_of(out, SEGMENT_HALF_BYTES - 4));
    store_u32_le(out + SEGMENT_HALF_BYTES - 4, crc);
    memcpy(out + SEGMENT_HALF_BYTES, out, SEGMENT_HALF_BYTES);
}

/* Magic, version and the place of the checksum stay the same in all versions to come. Returns the
 * version, or 0 for a half that is not whole. */
static unsigned half_version(const uint8_t *half)
{
    struct reader in = reader_of(bytes_of(half, SEGMENT_HALF_BYTES));
    struct reader last = reader_of(bytes_of(half + SEGMENT_HALF_BYTES - 4, 4));
    if (reader_u32_le(&in) != MAGIC)
        return 0;
#ifndef TIDEGATE_MUTANT_NO_CHECKSUM
    if (reader_u32_le(&last) != crc32c(0, bytes_of(half, SEGMENT_HALF_BYTES - 4)))
        return 0;
#endif
    (void)last;
    return reader_u16_le(&in);
}

static void decode_half(const uint8_t *half, struct segment_header *out)
{
    struct reader in = reader_of(bytes_of(half + 6, SEGMENT_HALF_BYTES - 6));
    out->kind = reader_u8(&in);
    reader_u8(&in);
    out->identity.bits = reader_u64_le(&in);
    out->number = reader_u64_le(&in);
    out->salt = reader_u64_le(&in);
    out->first_seq = reader_u64_le(&in);
    out->before = reader_u64_le(&in);
    out->before_end = reader_u64_le(&in);
    out->made_ms = (int64_t)reader_u64_le(&in);
    out->before_extents = reader_u64_le(&in);
    out->before_received_min_ms = (int64_t)reader_u64_le(&in);
    out->before_received_max_ms = (int64_t)reader_u64_le(&in);
}

int segment_header_decode(const uint8_t in[SEGMENT_HEADER_BYTES], struct segment_header *out,
                          bool *damaged, struct err *err)
{
    unsigned first = half_version(in);
    unsigned second = half_version(in + SEGMENT_HALF_BYTES);
    *damaged = first != second || first == 0;
    unsigned version = first ? first : second;
    if (version == 0)
        return err_set(err, GW_ECORRUPT, "both copies of the segment header are damaged");
    if (version > SEGMENT_VERSION)
        return err_set(err, GW_EVERSION,
                       "written in journal format %u, this program reads up to %d: start the newer "
                       "program again, nothing was changed",
                       version, SEGMENT_VERSION);
    decode_half(first ? in : in + SEGMENT_HALF_BYTES, out);
    return 0;
}

static bool says_full(int rc)
{
    return rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG;
}

/* Reserve, write and sync: 0 or a negative errno. */
static int fill(const struct disk *disk, int fd, uint64_t size, struct bytes head, bool *grows)
{
    int rc = disk->allocate(disk, fd, size);
    *grows = rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -EINVAL;
    if (rc < 0 && !*grows)
        return rc;
    rc = disk_write_all(disk, fd, head, 0);
    return rc < 0 ? rc : disk->datasync(disk, fd);
}

static int publish(const struct disk *disk, const char *dir, const char *fresh, const char *path)
{
    int rc = disk->rename(disk, fresh, path);
    if (rc < 0) {
        disk->unlink(disk, fresh);
        return rc;
    }
#ifndef TIDEGATE_MUTANT_NO_DIR_SYNC
    rc = disk->sync_dir(disk, dir);
#endif
    if (rc < 0)
        disk->unlink(disk, path);
    return rc;
}

int segment_make(const struct disk *disk, const char *dir, uint64_t number, uint64_t size,
                 struct bytes head, bool *grows, struct err *err)
{
    char *fresh = segment_path(dir, number, "new");
    char *path = segment_path(dir, number, "log");
    int fd = disk->open(disk, fresh, O_RDWR | O_CREAT | O_TRUNC);
    int rc = fd < 0 ? fd : fill(disk, fd, size, head, grows);
    if (fd >= 0 && rc < 0)
        disk->unlink(disk, fresh);
    if (rc >= 0)
        rc = publish(disk, dir, fresh, path);
    if (rc < 0) {
        if (fd >= 0)
            disk->close(disk, fd);
        err_set(err, 0, "make %s: %s", path, strerror(-rc));
    }
    free(fresh);
    free(path);
    return rc == 0 ? fd : says_full(rc) ? GW_EFULL : GW_EIO;
}
