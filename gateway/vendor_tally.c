/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash table of few rows. A batch names each vendor by the index of a string, so the table is asked
 * when the vendor changes from one row to the next and the last few are not it.
 */
#include "vendor_tally.h"

#include <pthread.h>
#include <stdlib.h>
#include <uthash.h>

struct entry {
    UT_hash_handle hh;
    struct vendor_tally_row row;
    char name[]; /* of row.name */
};

struct vendor_tally {
    pthread_mutex_t lock;
    struct entry *table;
    struct entry *others; /* null until somebody found no place */
    size_t found;         /* names that no configuration has */
    int64_t start_ms;
};

struct vendor_tally *vendor_tally_new(int64_t now_ms)
{
    struct vendor_tally *tally = mem_zalloc(sizeof *tally);
    pthread_mutex_init(&tally->lock, NULL);
    tally->start_ms = now_ms;
    return tally;
}

void vendor_tally_free(struct vendor_tally *tally)
{
    struct entry *entry, *next;
    if (tally == NULL)
        return;
    HASH_ITER(hh, tally->table, entry, next)
    {
        HASH_DEL(tally->table, entry);
        free(entry);
    }
    free(tally->others);
    pthread_mutex_destroy(&tally->lock);
    free(tally);
}

/* ---- rows ---- */

static struct entry *entry_new(const struct vendor_tally *tally, struct bytes name)
{
    struct entry *entry = mem_zalloc(sizeof *entry + name.size + 1);
    memcpy(entry->name, name.data, name.size);
    entry->row.name = bytes_of(entry->name, name.size);
    entry->row.last_ms = tally->start_ms;
    return entry;
}

static struct entry *entry_find(struct vendor_tally *tally, struct bytes name, bool configured)
{
    struct entry *entry;
    if (name.size == 0)
        name = bytes_text(""); /* not null: the table hashes it */
    HASH_FIND(hh, tally->table, name.data, name.size, entry);
    if (entry)
        return entry;
    if (!configured && tally->found == VENDOR_TALLY_MAX) {
        if (tally->others == NULL)
            tally->others = entry_new(tally, bytes_text(""));
        tally->others->row.others = true;
        return tally->others;
    }
    tally->found += !configured;
    entry = entry_new(tally, name);
    HASH_ADD_KEYPTR(hh, tally->table, entry->name, name.size, entry);
    return entry;
}

void vendor_tally_configure(struct vendor_tally *tally, const struct config *config)
{
    pthread_mutex_lock(&tally->lock);
    for (size_t i = 0; i < config->vendor_count; i++)
        entry_find(tally, bytes_text(config->vendors[i].name), true);
    for (size_t i = 0; i < config->route_count; i++)
        if (config->routes[i].vendor)
            entry_find(tally, bytes_text(config->routes[i].vendor), true);
    pthread_mutex_unlock(&tally->lock);
}

/* ---- counting ---- */

/* The rows of a batch's strings, as far as they were asked for lately. */
enum { CACHE_SIZE = 64 };
struct cache {
    struct vendor_tally *tally;
    const struct batch *batch;
    uint32_t index[CACHE_SIZE];
    struct vendor_tally_row *row[CACHE_SIZE];
};

static struct vendor_tally_row *cache_row(struct cache *cache, uint32_t index)
{
    size_t at = index % CACHE_SIZE;
    if (cache->row[at] == NULL || cache->index[at] != index) {
        cache->index[at] = index;
        cache->row[at] = &entry_find(cache->tally, cache->batch->strings[index], false)->row;
    }
    return cache->row[at];
}

static void rows_count(struct cache *cache)
{
    const struct batch *batch = cache->batch;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct vendor_tally_row *row = cache_row(cache, batch->vendor[i]);
        if (i == 0 || batch->seq[i] != batch->seq[i - 1])
            row->messages++;
        row->readings[batch->quality[i]]++;
        for (uint32_t flags = batch->flags[i]; flags; flags &= flags - 1)
            row->flagged[__builtin_ctz(flags)]++;
        if (batch->received_ms[i] > row->last_ms)
            row->last_ms = batch->received_ms[i];
    }
}

static void rejects_count(struct cache *cache)
{
    const struct batch *batch = cache->batch;
    for (uint32_t i = 0; i < batch->reject_count; i++) {
        struct vendor_tally_row *row = cache_row(cache, batch->rejects[i].vendor);
        if (batch->rejects[i].stage == STAGE_EMPTY)
            row->messages++;
        else
            row->dead[batch->rejects[i].stage]++;
    }
}

void vendor_tally_add(struct vendor_tally *tally, const struct batch *batch)
{
    struct cache cache = {.tally = tally, .batch = batch};
    pthread_mutex_lock(&tally->lock);
    rows_count(&cache);
    rejects_count(&cache);
    pthread_mutex_unlock(&tally->lock);
}

void vendor_tally_each(struct vendor_tally *tally,
                       void (*each)(void *arg, const struct vendor_tally_row *row), void *arg)
{
    struct entry *entry, *next;
    pthread_mutex_lock(&tally->lock);
    HASH_ITER(hh, tally->table, entry, next)
    each(arg, &entry->row);
    if (tally->others)
        each(arg, &tally->others->row);
    pthread_mutex_unlock(&tally->lock);
}
