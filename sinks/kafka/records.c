/* SPDX-License-Identifier: Apache-2.0
 *
 * Packing, sorting: what the lane's thread does for each record. The lane's thread.
 */
#include "sinks/kafka/records.h"

#include <stdlib.h>

#include "codecs/reading/pack.h"

struct records {
    struct reading_pack *pack;
    const struct batch *packed; /* the batch that pack is at, of the unit that begins there */
    uint64_t packed_order;
    uint8_t prefix[2][6]; /* of framing confluent, for readings and events */
    size_t prefix_size;
    struct buffer bytes; /* value, key, value, key ... of a slice */
    struct place {
        size_t value, key, end; /* offsets: the buffer moves while it grows */
        int32_t partition;
    } places[SLICE_RECORDS];
    rd_kafka_message_t messages[SLICE_RECORDS];
    uint32_t *starts; /* counting sort: of each partition */
    int32_t start_capacity;
};

struct records *records_new(struct identity gateway, const struct kafka_sink_options *options)
{
    struct records *records = mem_zalloc(sizeof *records);
    records->pack = reading_pack_new(gateway);
    if (options->framing != KAFKA_FRAMING_CONFLUENT)
        return records;
    /* 0, the schema's number big-endian, and 0 for "the first message of the file". */
    int64_t ids[2] = {options->schema_id_readings, options->schema_id_events
                                                       ? options->schema_id_events
                                                       : options->schema_id_readings};
    for (int i = 0; i < 2; i++)
        for (int byte = 0; byte < 4; byte++)
            records->prefix[i][1 + byte] = (uint8_t)(ids[i] >> (24 - 8 * byte));
    records->prefix_size = sizeof records->prefix[0];
    return records;
}

void records_free(struct records *records)
{
    if (records == NULL)
        return;
    reading_pack_free(records->pack);
    buffer_fini(&records->bytes);
    free(records->starts);
    free(records);
}

/* ---- a slice ---- */

/* Beginning a batch costs as much as some hundred rows. Another unit may have its batch at the same
 * address. */
static void begin_batch(struct records *records, const struct flight *flight,
                        const struct batch *batch)
{
    if (records->packed == batch && records->packed_order == flight->order)
        return;
    reading_pack_begin(records->pack, batch);
    records->packed = batch;
    records->packed_order = flight->order;
}

static void put_record(struct records *records, uint32_t row, enum record_kind kind,
                       struct place *place)
{
    struct buffer *bytes = &records->bytes;
    place->value = bytes->size;
    buffer_add(bytes, records->prefix[kind == RECORD_EVENT], records->prefix_size);
    reading_pack_row(records->pack, row, bytes);
    place->key = bytes->size;
    reading_pack_key(records->pack, row, bytes);
    place->end = bytes->size;
}

static void put_all(struct records *records, const struct flight *flight, const uint64_t *refs,
                    uint32_t count, int32_t partitions)
{
    const struct unit *unit = flight->unit;
    uint32_t batch = 0, first = 0; /* references ascend: one walk over the batches */
    buffer_clear(&records->bytes);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = record_index_of(refs[i]);
        gw_assert(index >= first);
        while (index - first >= unit->batches[batch]->count)
            first += unit->batches[batch++]->count;
        struct place *place = &records->places[i];
        begin_batch(records, flight, unit->batches[batch]);
        put_record(records, index - first, record_kind_of(refs[i]), place);
        struct bytes key = bytes_of(records->bytes.data + place->key, place->end - place->key);
        place->partition = partition_of_key(key, partitions);
    }
}

/* Where each partition's records begin; equal ones keep their order. */
static void count_starts(struct records *records, uint32_t count, int32_t partitions)
{
    if (partitions + 1 > records->start_capacity) {
        records->start_capacity = partitions + 1;
        free(records->starts);
        records->starts = mem_alloc((size_t)records->start_capacity * sizeof *records->starts);
    }
    memset(records->starts, 0, (size_t)(partitions + 1) * sizeof *records->starts);
    for (uint32_t i = 0; i < count; i++)
        records->starts[records->places[i].partition + 1]++;
    for (int32_t i = 1; i <= partitions; i++)
        records->starts[i] += records->starts[i - 1];
}

void records_fill(struct records *records, const struct flight *flight, const uint64_t *refs,
                  uint32_t count, int32_t partitions, struct slice *out)
{
    gw_assert(count > 0 && count <= SLICE_RECORDS && partitions > 0);
    put_all(records, flight, refs, count, partitions);
    count_starts(records, count, partitions);
    for (uint32_t i = 0; i < count; i++) {
        const struct place *place = &records->places[i];
        records->messages[records->starts[place->partition]++] = (rd_kafka_message_t){
            .payload = records->bytes.data + place->value,
            .len = place->key - place->value,
            .key = records->bytes.data + place->key,
            .key_len = place->end - place->key,
            .partition = place->partition,
            ._private = (void *)(uintptr_t)((uint64_t)flight->slot << TOKEN_SLOT_SHIFT | refs[i]),
        };
    }
    *out = (struct slice){
        .topic = record_kind_of(refs[0]) == RECORD_EVENT ? TOPIC_EVENTS : TOPIC_READINGS,
        .messages = records->messages,
        .count = count,
    };
}

void records_one(struct records *records, const struct flight *flight, uint64_t ref,
                 struct bytes *key, struct bytes *value)
{
    uint32_t row;
    const struct batch *batch = flight_row(flight, ref, &row);
    struct place place;
    buffer_clear(&records->bytes);
    begin_batch(records, flight, batch);
    put_record(records, row, record_kind_of(ref), &place);
    *value = bytes_of(records->bytes.data + place.value, place.key - place.value);
    *key = bytes_of(records->bytes.data + place.key, place.end - place.key);
}
