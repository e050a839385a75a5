/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target for packing: whatever batch_decode takes is packed, protobuf-c's generated code reads it
 * back with the values of the columns, and packs the same bytes again. Packed sizes never depend on
 * what was packed before.
 */
#include <stdlib.h>

#include "base/utf8.h"
#include "codecs/reading/pack.h"
#include "codecs/reading/reading.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* protobuf-c gives C strings: compares up to a NUL, which no name has that the normaliser let in. */
static bool same_text(struct bytes in, const char *text)
{
    struct buffer repaired = {0};
    utf8_repair(in, &repaired);
    buffer_u8(&repaired, 0);
    bool same = strcmp((const char *)repaired.data, text) == 0;
    buffer_fini(&repaired);
    return same;
}

static bool has_nul(const struct batch *batch, uint32_t row)
{
    const uint32_t at[] = {batch->vendor[row], batch->device[row], batch->metric[row],
                           batch->unit[row]};
    for (size_t i = 0; i < array_count(at); i++)
        if (batch->strings[at[i]].size &&
            memchr(batch->strings[at[i]].data, 0, batch->strings[at[i]].size))
            return true;
    return false;
}

static void check_columns(const struct batch *batch, uint32_t row,
                          const Tidegate__V1__Reading *reading)
{
    gw_assert(same_text(batch->strings[batch->vendor[row]], reading->vendor));
    gw_assert(same_text(batch->strings[batch->device[row]], reading->device));
    gw_assert(same_text(batch->strings[batch->metric[row]], reading->metric));
    gw_assert(same_text(batch->strings[batch->unit[row]], reading->unit));
    gw_assert(reading->ts == batch->ts_ms[row]);
    gw_assert(reading->has_value == batch->has_value[row]);
    gw_assert(reading->has_unscaled == batch->has_value[row]);
    if (batch->has_value[row]) {
        double value = batch_value(batch, row);
        gw_assert(memcmp(&value, &reading->value, sizeof value) == 0);
    }
    gw_assert(reading->scale == batch->scale[row]);
    gw_assert(reading->seq == (int64_t)batch->seq[row]);
    gw_assert(reading->received == batch->received_ms[row]);
    gw_assert(reading->unscaled == batch->unscaled[row]);
    gw_assert(strcmp(reading->quality, quality_name(batch->quality[row])) == 0);
    gw_assert(strcmp(reading->time_source, time_source_name(batch->time_source[row])) == 0);
}

static void check_row(struct reading_pack *pack, const struct batch *batch, uint32_t row)
{
    struct buffer out = {0}, again = {0}, key = {0};
    reading_pack_row(pack, row, &out);
    reading_pack_key(pack, row, &key);
    gw_assert(utf8_valid(buffer_bytes(&key)) && memchr(key.data, '/', key.size));
    Tidegate__V1__Reading *reading = tidegate__v1__reading__unpack(NULL, out.size, out.data);
    gw_assert(reading != NULL);
    check_columns(batch, row, reading);
    if (!has_nul(batch, row)) {
        size_t size = tidegate__v1__reading__get_packed_size(reading);
        again.size = tidegate__v1__reading__pack(reading, buffer_reserve(&again, size));
        gw_assert(bytes_equal(buffer_bytes(&out), buffer_bytes(&again)));
    }
    tidegate__v1__reading__free_unpacked(reading, NULL);
    buffer_fini(&out);
    buffer_fini(&again);
    buffer_fini(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct batch *batch = NULL;
    struct err err;
    if (batch_decode(bytes_of(data, size), &batch, &err) != 0)
        return 0;
    struct reading_pack *pack = reading_pack_new((struct identity){42});
    reading_pack_begin(pack, batch);
    for (uint32_t row = 0; row < batch->count; row++)
        check_row(pack, batch, row);
    reading_pack_free(pack);
    batch_release(batch);
    return 0;
}
