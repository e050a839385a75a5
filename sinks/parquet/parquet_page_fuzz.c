/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target for what lies inside a page, where checksums would keep a fuzzer out: the encodings and
 * the Thrift of footers and headers. The first byte chooses.
 */
#include <stdlib.h>

#include "sinks/parquet/encodings.h"
#include "sinks/parquet/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COUNT_MAX = 5000 };

static void fuzz_delta(struct reader in, size_t count)
{
    int64_t *values = mem_alloc(count * sizeof *values);
    struct buffer again = {0};
    delta_decode(&in, values, count);
    if (!in.failed && count) {
        int64_t *back = mem_alloc(count * sizeof *back);
        delta_encode(values, count, &again);
        struct reader second = reader_of(buffer_bytes(&again));
        delta_decode(&second, back, count);
        gw_assert(!second.failed && reader_left(&second) == 0);
        gw_assert(memcmp(values, back, count * sizeof *back) == 0);
        free(back);
    }
    buffer_fini(&again);
    free(values);
}

static void fuzz_rle(struct reader in, size_t count, int width)
{
    uint32_t *values = mem_alloc(count * sizeof *values);
    struct buffer again = {0};
    rle_decode(&in, width, values, count);
    if (!in.failed && count) {
        uint32_t *back = mem_alloc(count * sizeof *back);
        rle_encode(values, count, width, &again);
        struct reader second = reader_of(buffer_bytes(&again));
        rle_decode(&second, width, back, count);
        gw_assert(!second.failed && reader_left(&second) == 0);
        gw_assert(memcmp(values, back, count * sizeof *back) == 0);
        free(back);
    }
    buffer_fini(&again);
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader in = reader_of(bytes_of(data, size));
    uint8_t choice = reader_u8(&in);
    size_t count = (size_t)reader_u16_le(&in) % COUNT_MAX;
    if (in.failed)
        return 0;
    if (choice == 0) {
        fuzz_delta(in, count);
    } else if (choice <= 33) {
        fuzz_rle(in, count, choice - 1);
    } else {
        struct metadata metadata;
        struct err err;
        if (metadata_read(&metadata, bytes_of(in.at, reader_left(&in)), 1 << 20, &err) == 0)
            metadata_fini(&metadata);
    }
    return 0;
}
