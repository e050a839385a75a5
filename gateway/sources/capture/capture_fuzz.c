/* SPDX-License-Identifier: Apache-2.0
 *
 * A capture file of any bytes behind a header that is right. The first byte chooses: the bytes as frames,
 * which checksums mostly keep out, or as the records of one frame whose header vouches for them. What
 * comes out lies within the file, positions ascend, and it ends.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "sources/capture/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ID = 7 };

static char path[64];

static void path_remove(void)
{
    unlink(path);
}

static void file_store(const struct buffer *file)
{
    if (path[0] == '\0') {
        snprintf(path, sizeof path, "/dev/shm/tidegate-fuzz-%d.capture", (int)getpid());
        atexit(path_remove);
    }
    int fd = disk_real.open(&disk_real, path, O_RDWR | O_CREAT);
    gw_assert(fd >= 0 && disk_real.truncate(&disk_real, fd, 0) == 0);
    gw_assert(disk_write_all(&disk_real, fd, buffer_bytes(file), 0) == 0);
    disk_real.close(&disk_real, fd);
}

static void frame_add(struct buffer *file, uint8_t kind, uint64_t first, uint32_t count,
                      struct bytes body)
{
    uint8_t text[CAPTURE_FRAME_BYTES];
    struct capture_frame frame = {
        .kind = kind,
        .first = first,
        .count = count,
        .raw_bytes = (uint32_t)body.size,
        .stored_bytes = (uint32_t)body.size,
        .body_crc = crc32c(0, body),
        .offset = file->size,
    };
    capture_frame_encode(&frame, ID, text);
    buffer_add(file, text, sizeof text);
    buffer_add_bytes(file, body);
}

static void file_make(const uint8_t *data, size_t size, struct buffer *file)
{
    uint8_t header[CAPTURE_HEADER_BYTES];
    struct bytes rest = bytes_of(data + 2, size - 2);
    capture_header_encode(&(struct capture_header){.id = ID}, header);
    buffer_add(file, header, sizeof header);
    if (data[0] & 1) {
        uint8_t kind = data[0] & 2 ? CAPTURE_KIND_LOST : CAPTURE_KIND_MESSAGES;
        frame_add(file, kind, 0, data[1], rest);
        frame_add(file, CAPTURE_KIND_END, data[1], 0, (struct bytes){0});
    } else {
        buffer_add_bytes(file, rest);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct capture_reader *reader;
    struct capture_item item;
    struct err err;
    struct buffer file = {0};
    uint64_t next = 0, taken = 0, items = 0;
    int got;
    if (size < 2)
        return 0;
    file_make(data, size, &file);
    file_store(&file);
    gw_assert(capture_reader_new(&disk_real, path, &reader, &err) == 0);
    while ((got = capture_reader_next(reader, &item, &err)) > 0 && got != CAPTURE_CUT) {
        gw_assert(item.index >= next && items++ <= file.size);
        if (got == CAPTURE_MESSAGE) {
            next = item.index + 1;
            taken += item.message.topic.size + item.message.payload.size +
                     item.message.properties.size + item.message.client.size +
                     item.message.vendor.size;
        }
    }
    gw_assert(got >= 0 && taken <= file.size);
    capture_reader_free(reader);
    buffer_fini(&file);
    return 0;
}
