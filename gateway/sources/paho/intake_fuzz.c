/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as the ring of an intake file, behind a header that is right (its checksum keeps others
 * out): whatever comes out lies within the ring, and it ends.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sources/paho/intake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RING = 65536, RING_OFFSET = 8192, WRITTEN_AT = 64, RELEASED_AT = 128 };

static char path[64];

static void path_remove(void)
{
    unlink(path);
}

static void file_make(void)
{
    struct intake *intake;
    struct err err;
    snprintf(path, sizeof path, "/dev/shm/tidegate-fuzz-%d.intake", (int)getpid());
    atexit(path_remove);
    gw_assert(intake_open(&intake, &disk_real, path, (struct identity){1}, RING, 0, &err) == 0);
    intake_close(intake);
}

/* The first 16 bytes are the two counters, the rest stands in the ring. */
static void file_fill(const uint8_t *data, size_t size)
{
    int fd = disk_real.open(&disk_real, path, O_RDWR);
    gw_assert(fd >= 0);
    size_t ring = size - 16 < RING ? size - 16 : RING;
    gw_assert(disk_write_all(&disk_real, fd, bytes_of(data, 8), WRITTEN_AT) == 0);
    gw_assert(disk_write_all(&disk_real, fd, bytes_of(data + 8, 8), RELEASED_AT) == 0);
    gw_assert(disk_write_all(&disk_real, fd, bytes_of(data + 16, ring), RING_OFFSET) == 0);
    disk_real.close(&disk_real, fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct intake *intake;
    struct message message;
    struct err err;
    uint64_t end = 0, before = 0, taken = 0;
    enum intake_take got;
    if (size < 16)
        return 0;
    if (path[0] == '\0')
        file_make();
    file_fill(data, size);
    gw_assert(intake_open(&intake, &disk_real, path, (struct identity){1}, 0, 0, &err) == 0);
    while ((got = intake_take(intake, &message, &end)) != INTAKE_EMPTY) {
        gw_assert(end > before);
        before = end;
        if (got == INTAKE_MESSAGE)
            taken += message.topic.size + message.payload.size + message.properties.size + 8;
        intake_release(intake, end);
    }
    gw_assert(taken <= RING);
    intake_close(intake);
    return 0;
}
