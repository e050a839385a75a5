/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash table with open addresses. See hosts.h.
 */
#include "sources/mqtt/hosts.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"
#include "sources/lockout.h"

enum { SIZE_FIRST = 64 };

struct host {
    struct address address;
    uint32_t open, unnamed; /* open 0: a free place */
};

struct hosts {
    pthread_mutex_t lock;
    uint64_t seed;
    uint64_t connections_max, unnamed_max;
    struct host *table;
    size_t size, used; /* size: a power of two */
};

struct hosts *hosts_new(uint64_t connections_max, uint64_t unnamed_max)
{
    struct hosts *hosts = mem_zalloc(sizeof *hosts);
    pthread_mutex_init(&hosts->lock, NULL);
    gw_assert(RAND_bytes((uint8_t *)&hosts->seed, sizeof hosts->seed) == 1);
    hosts->connections_max = connections_max ? connections_max : UINT32_MAX;
    hosts->unnamed_max = unnamed_max ? unnamed_max : UINT32_MAX;
    hosts->size = SIZE_FIRST;
    hosts->table = mem_zalloc(hosts->size * sizeof *hosts->table);
    return hosts;
}

void hosts_free(struct hosts *hosts)
{
    if (hosts == NULL)
        return;
    pthread_mutex_destroy(&hosts->lock);
    free(hosts->table);
    free(hosts);
}

static size_t home(const struct hosts *hosts, const struct address *address)
{
    return XXH3_64bits_withSeed(address->bytes, sizeof address->bytes, hosts->seed) &
           (hosts->size - 1);
}

/* The place of that address, or the free one where it belongs. */
static struct host *place_of(const struct hosts *hosts, const struct address *address)
{
    size_t at = home(hosts, address);
    while (hosts->table[at].open && !address_equal(&hosts->table[at].address, address))
        at = (at + 1) & (hosts->size - 1);
    return &hosts->table[at];
}

static void grow(struct hosts *hosts)
{
    struct host *before = hosts->table;
    size_t size = hosts->size;
    hosts->size *= 2;
    hosts->table = mem_zalloc(hosts->size * sizeof *hosts->table);
    for (size_t i = 0; i < size; i++)
        if (before[i].open)
            *place_of(hosts, &before[i].address) = before[i];
    free(before);
}

/* Those behind it that were put off by it move up, so that no search ends too early. */
static void drop(struct hosts *hosts, struct host *host)
{
    size_t mask = hosts->size - 1;
    size_t hole = (size_t)(host - hosts->table);
    hosts->used--;
    for (size_t at = (hole + 1) & mask; hosts->table[at].open; at = (at + 1) & mask) {
        size_t wanted = home(hosts, &hosts->table[at].address);
        if (((at - wanted) & mask) < ((at - hole) & mask))
            continue;
        hosts->table[hole] = hosts->table[at];
        hole = at;
    }
    hosts->table[hole] = (struct host){0};
}

bool hosts_open(struct hosts *hosts, const struct address *from)
{
    struct address address = address_host(from);
    pthread_mutex_lock(&hosts->lock);
    struct host *host = place_of(hosts, &address);
    bool room = host->open < hosts->connections_max && host->unnamed < hosts->unnamed_max;
    if (room && host->open == 0 && 2 * ++hosts->used > hosts->size) {
        grow(hosts);
        host = place_of(hosts, &address);
    }
    if (room) {
        host->address = address;
        host->open++;
        host->unnamed++;
    }
    pthread_mutex_unlock(&hosts->lock);
    return room;
}

void hosts_named(struct hosts *hosts, const struct address *from)
{
    struct address address = address_host(from);
    pthread_mutex_lock(&hosts->lock);
    struct host *host = place_of(hosts, &address);
    gw_assert(host->unnamed > 0);
    host->unnamed--;
    pthread_mutex_unlock(&hosts->lock);
}

void hosts_closed(struct hosts *hosts, const struct address *from, bool named)
{
    struct address address = address_host(from);
    pthread_mutex_lock(&hosts->lock);
    struct host *host = place_of(hosts, &address);
    gw_assert(host->open > 0 && (named || host->unnamed > 0));
    host->unnamed -= !named;
    if (--host->open == 0)
        drop(hosts, host);
    pthread_mutex_unlock(&hosts->lock);
}

uint64_t hosts_count(struct hosts *hosts)
{
    pthread_mutex_lock(&hosts->lock);
    uint64_t count = hosts->used;
    pthread_mutex_unlock(&hosts->lock);
    return count;
}
