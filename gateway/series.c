/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of series: entries in an array, found through open addressing. Separate from
 * normalise.c because it knows nothing of readings. Decoder thread.
 *
 * Saved form, little-endian, varints as in base/bytes.h:
 *
 *     "TGSR" u16 version | varint count | varint newest heard | count times
 *       { 16 bytes key | varint newest heard - heard | varint zigzag ts |
 *         u8 scale, plus 0x40 for raw, or 0xff for no value | varint zigzag unscaled } | u32 CRC-32C of all before
 */
#include "series.h"

#include <stdlib.h>
#include <xxhash.h>

#include "base/crc32c.h"

enum {
    SLOTS_MIN = 1024,
    SAVE_VERSION = 1,
    SAVED_HEAD = 6,
    SAVED_SERIES_MIN = 20, /* the smallest form of one series */
    SCALE_RAW = 0x40,
    SCALE_NONE = 0xff,
};
static const char magic[4] = {'T', 'G', 'S', 'R'};

/* A slot holds a piece of the key, so that a search reads the entry it wants and hardly another. */
struct slot {
    uint32_t tag;
    uint32_t index; /* of the entry + 1; 0: empty */
};

struct series_table {
    uint64_t count_max;
    struct series *entries;
    uint64_t count;
    uint64_t capacity;
    struct slot *slots;
    uint64_t slot_count; /* a power of two, at least twice the capacity */
};

struct series_table *series_table_new(uint64_t count_max)
{
    struct series_table *table = mem_zalloc(sizeof *table);
    table->count_max = count_max == 0 ? 1 : count_max < UINT32_MAX / 4 ? count_max : UINT32_MAX / 4;
    table->slot_count = SLOTS_MIN;
    table->slots = mem_zalloc(table->slot_count * sizeof *table->slots);
    return table;
}

void series_table_free(struct series_table *table)
{
    if (table == NULL)
        return;
    free(table->entries);
    free(table->slots);
    free(table);
}

uint64_t series_table_count(const struct series_table *table)
{
    return table->count;
}

/* The lengths stand in front, so that ("ab", "c") and ("a", "bc") differ. */
struct series_key series_key_of(struct bytes vendor, struct bytes device, struct bytes metric)
{
    uint8_t name[3 * SERIES_PART_MAX + 3];
    const struct bytes parts[] = {vendor, device, metric};
    size_t size = 3;
    for (int i = 0; i < 3; i++) {
        gw_assert(parts[i].size <= SERIES_PART_MAX);
        name[i] = (uint8_t)parts[i].size;
        if (parts[i].size)
            memcpy(name + size, parts[i].data, parts[i].size);
        size += parts[i].size;
    }
    XXH128_hash_t hash = XXH3_128bits(name, size);
    return (struct series_key){hash.high64, hash.low64};
}

/* ---- slots ---- */

static uint32_t tag_of(struct series_key key)
{
    return (uint32_t)(key.high >> 32);
}

static void slots_put(struct series_table *table, uint64_t index)
{
    struct series_key key = table->entries[index].key;
    uint64_t at = key.low & (table->slot_count - 1);
    while (table->slots[at].index)
        at = (at + 1) & (table->slot_count - 1);
    table->slots[at] = (struct slot){tag_of(key), (uint32_t)index + 1};
}

static void slots_rebuild(struct series_table *table)
{
    memset(table->slots, 0, table->slot_count * sizeof *table->slots);
    for (uint64_t i = 0; i < table->count; i++)
        slots_put(table, i);
}

static void grow(struct series_table *table)
{
    table->capacity = table->capacity ? table->capacity * 2 : SLOTS_MIN / 2;
    if (table->capacity > table->count_max)
        table->capacity = table->count_max;
    table->entries = mem_realloc(table->entries, table->capacity * sizeof *table->entries);
    while (table->slot_count < 2 * table->capacity)
        table->slot_count *= 2;
    table->slots = mem_realloc(table->slots, table->slot_count * sizeof *table->slots);
    slots_rebuild(table);
}

/* ---- eviction ---- */

struct age {
    uint64_t heard;
    struct series_key key;
};

/* Readings of one message are equally old; the key decides, so that a save and a replay agree. */
static int age_compare(const struct age *a, const struct age *b)
{
    if (a->heard != b->heard)
        return a->heard < b->heard ? -1 : 1;
    if (a->key.high != b->key.high)
        return a->key.high < b->key.high ? -1 : 1;
    return (a->key.low > b->key.low) - (a->key.low < b->key.low);
}

static int age_order(const void *a, const void *b)
{
    return age_compare(a, b);
}

static void evict(struct series_table *table, uint64_t count)
{
    struct age *ages = mem_alloc(table->count * sizeof *ages);
    for (uint64_t i = 0; i < table->count; i++)
        ages[i] = (struct age){table->entries[i].heard, table->entries[i].key};
    qsort(ages, table->count, sizeof *ages, age_order);
    struct age newest_gone = ages[count - 1];
    free(ages);
    uint64_t kept = 0;
    for (uint64_t i = 0; i < table->count; i++) {
        struct age age = {table->entries[i].heard, table->entries[i].key};
        if (age_compare(&age, &newest_gone) > 0)
            table->entries[kept++] = table->entries[i];
    }
    table->count = kept;
    slots_rebuild(table);
}

static struct series *append(struct series_table *table, struct series_key key)
{
    if (table->count == table->count_max)
        evict(table, (table->count + 7) / 8);
    if (table->count == table->capacity)
        grow(table);
    table->entries[table->count] = (struct series){.key = key};
    slots_put(table, table->count);
    return &table->entries[table->count++];
}

struct series *series_table_touch(struct series_table *table, struct series_key key, uint64_t heard,
                                  bool *fresh)
{
    struct series *series = NULL;
    for (uint64_t at = key.low & (table->slot_count - 1); table->slots[at].index;
         at = (at + 1) & (table->slot_count - 1)) {
        if (table->slots[at].tag != tag_of(key))
            continue;
        struct series *found = &table->entries[table->slots[at].index - 1];
        if (found->key.low == key.low && found->key.high == key.high) {
            series = found;
            break;
        }
    }
    *fresh = series == NULL;
    if (series == NULL)
        series = append(table, key);
    series->heard = heard;
    return series;
}

void series_table_expect(const struct series_table *table, struct series_key key)
{
    __builtin_prefetch(&table->slots[key.low & (table->slot_count - 1)]);
}

/* Mostly the first slot is the right one; a wrong guess costs nothing but the guess. */
void series_table_expect_soon(const struct series_table *table, struct series_key key)
{
    uint32_t index = table->slots[key.low & (table->slot_count - 1)].index;
    if (index)
        __builtin_prefetch(&table->entries[index - 1], 1);
}

/* ---- save and load ---- */

static uint64_t newest_heard(const struct series_table *table)
{
    uint64_t newest = 0;
    for (uint64_t i = 0; i < table->count; i++)
        if (table->entries[i].heard > newest)
            newest = table->entries[i].heard;
    return newest;
}

static uint8_t scale_byte(const struct series *series)
{
    if (!series->has_value)
        return SCALE_NONE;
    return (uint8_t)(series->scale | (series->raw ? SCALE_RAW : 0));
}

void series_table_save(const struct series_table *table, struct buffer *out)
{
    size_t start = out->size;
    uint64_t newest = newest_heard(table);
    buffer_add(out, magic, sizeof magic);
    buffer_u16_le(out, SAVE_VERSION);
    buffer_varint(out, table->count);
    buffer_varint(out, newest);
    for (uint64_t i = 0; i < table->count; i++) {
        const struct series *series = &table->entries[i];
        buffer_u64_le(out, series->key.high);
        buffer_u64_le(out, series->key.low);
        buffer_varint(out, newest - series->heard);
        buffer_varint(out, zigzag_encode(series->ts_ms));
        buffer_u8(out, scale_byte(series));
        buffer_varint(out, zigzag_encode(series->unscaled));
    }
    buffer_u32_le(out, crc32c(0, bytes_of(out->data + start, out->size - start)));
}

/* False when it holds what save never writes. */
static bool load_series(struct reader *in, uint64_t newest, struct series *out)
{
    *out = (struct series){0};
    out->key.high = reader_u64_le(in);
    out->key.low = reader_u64_le(in);
    uint64_t age = reader_varint(in);
    out->heard = newest - age;
    out->ts_ms = zigzag_decode(reader_varint(in));
    uint8_t scale = reader_u8(in);
    out->has_value = scale != SCALE_NONE;
    out->raw = out->has_value && (scale & SCALE_RAW);
    out->scale = out->has_value ? (uint8_t)(scale & ~SCALE_RAW) : 0;
    out->unscaled = zigzag_decode(reader_varint(in));
    return !in->failed && age <= newest && out->scale <= 18;
}

static int load_all(struct series_table *table, struct reader *in, struct err *err)
{
    uint64_t count = reader_varint(in);
    uint64_t newest = reader_varint(in);
    if (in->failed || count > reader_left(in) / SAVED_SERIES_MIN)
        return err_set(err, GW_ECORRUPT, "series: a count of %llu in %zu bytes",
                       (unsigned long long)count, reader_left(in));
    for (uint64_t i = 0; i < count; i++) {
        struct series series;
        bool fresh = false;
        if (!load_series(in, newest, &series))
            return err_set(err, GW_ECORRUPT, "series: entry %llu cannot be", (unsigned long long)i);
        *series_table_touch(table, series.key, series.heard, &fresh) = series;
        if (!fresh)
            return err_set(err, GW_ECORRUPT, "series: entry %llu stands there twice",
                           (unsigned long long)i);
    }
    return reader_left(in) ? err_set(err, GW_ECORRUPT, "series: bytes behind the end") : 0;
}

int series_table_load(struct series_table *table, struct bytes saved, struct err *err)
{
    table->count = 0;
    slots_rebuild(table);
    if (saved.size < SAVED_HEAD + 4 || memcmp(saved.data, magic, sizeof magic) != 0)
        return err_set(err, GW_ECORRUPT, "series: not a saved table");
    struct reader in = reader_of(bytes_of(saved.data + 4, saved.size - 8));
    struct reader tail = reader_of(bytes_of(saved.data + saved.size - 4, 4));
    uint16_t version = reader_u16_le(&in);
    if (version > SAVE_VERSION)
        return err_set(err, GW_EVERSION, "series: saved by a newer version (%u, this reads %d)",
                       version, SAVE_VERSION);
    if (reader_u32_le(&tail) != crc32c(0, bytes_of(saved.data, saved.size - 4)))
        return err_set(err, GW_ECORRUPT, "series: the checksum does not match");
    int result = load_all(table, &in, err);
    if (result != 0) {
        table->count = 0;
        slots_rebuild(table);
    }
    return result;
}
