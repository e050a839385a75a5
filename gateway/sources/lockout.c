/* SPDX-License-Identifier: Apache-2.0
 *
 * Four tables of a fixed size: failures by user and address, by address, by user, and who logged in from
 * where. Keys are hashes under a secret of this process, so nobody can aim at a row. Any thread.
 */
#include "sources/lockout.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"

enum {
    ROWS = 2048,
    WAYS = 8, /* of a row: 16,384 entries, 24 bytes each */
    FIRST_MS = 1000,
    USER_MAX_MS = 60000,
    FORGET_MS = 15 * 60000,
    DOUBLINGS_MAX = 30,
};

const char *const lockout_names[LOCKOUT_KINDS] = {
    [LOCKOUT_BY_BOTH] = "user_and_address",
    [LOCKOUT_BY_ADDRESS] = "address",
    [LOCKOUT_BY_USER] = "user",
};

struct entry {
    uint64_t key; /* 0: free */
    uint32_t failures;
    uint32_t heard_s;  /* monotonic, from 1 */
    int64_t locked_ms; /* until then */
};

struct table {
    struct entry rows[ROWS][WAYS];
};

struct lockout {
    pthread_mutex_t lock;
    uint64_t seed;
    struct lockout_options options;
    struct network *exempt; /* owned: of the options */
    uint64_t evicted;
    struct table both, address, user, good;
};

/* ---- life ---- */

struct lockout *lockout_new(void)
{
    struct lockout *lockout = mem_zalloc(sizeof *lockout);
    pthread_mutex_init(&lockout->lock, NULL);
    gw_assert(RAND_bytes((uint8_t *)&lockout->seed, sizeof lockout->seed) == 1);
    return lockout;
}

void lockout_free(struct lockout *lockout)
{
    if (lockout == NULL)
        return;
    pthread_mutex_destroy(&lockout->lock);
    free(lockout->exempt);
    free(lockout);
}

void lockout_configure(struct lockout *lockout, const struct lockout_options *options)
{
    size_t size = options->exempt_count * sizeof *options->exempt;
    struct network *exempt = mem_zalloc(size + 1);
    if (size)
        memcpy(exempt, options->exempt, size);
    pthread_mutex_lock(&lockout->lock);
    free(lockout->exempt);
    lockout->options = *options;
    lockout->options.exempt = lockout->exempt = exempt;
    pthread_mutex_unlock(&lockout->lock);
}

/* ---- addresses ---- */

struct address address_host(const struct address *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct address host = *address;
    if (memcmp(host.bytes, mapped, sizeof mapped) != 0)
        memset(host.bytes + 8, 0, 8);
    return host;
}

/* ---- tables ---- */

/* What a question is about, as keys; 0: nothing is counted by that. */
struct keys {
    uint64_t both, address, user;
};

static struct keys keys_of(const struct lockout *lockout, struct bytes user,
                           const struct address *from)
{
    struct address host = address_host(from);
    bool known = address_known(from) &&
                 !networks_contain(lockout->exempt, lockout->options.exempt_count, from);
    uint64_t of_user =
        XXH3_64bits_withSeed(user.size ? user.data : host.bytes, user.size, lockout->seed);
    uint64_t of_address = XXH3_64bits_withSeed(host.bytes, sizeof host.bytes, lockout->seed);
    uint64_t of_both = XXH3_64bits_withSeed(host.bytes, sizeof host.bytes, of_user);
    return (struct keys){known ? of_both | 1 : 0, known ? of_address | 1 : 0, of_user | 1};
}

static int64_t forget_ms(const struct lockout *lockout)
{
    return lockout->options.max_ms > FORGET_MS ? lockout->options.max_ms : FORGET_MS;
}

static bool stale(const struct lockout *lockout, const struct entry *entry, int64_t now_ms)
{
    return now_ms - (int64_t)entry->heard_s * 1000 > forget_ms(lockout) + 1000 &&
           now_ms >= entry->locked_ms;
}

/* However long ago it was: null when it never was, or others took its place. */
static struct entry *find_ever(struct table *table, uint64_t key)
{
    struct entry *row = table->rows[(key >> 32) % ROWS];
    for (int i = 0; key && i < WAYS; i++)
        if (row[i].key == key)
            return &row[i];
    return NULL;
}

/* Null: not there, or too long ago. */
static struct entry *find(const struct lockout *lockout, struct table *table, uint64_t key,
                          int64_t now_ms)
{
    struct entry *entry = find_ever(table, key);
    return entry && !stale(lockout, entry, now_ms) ? entry : NULL;
}

/* The entry of that key, made in place of the one that was quiet longest. */
static struct entry *take(struct lockout *lockout, struct table *table, uint64_t key,
                          int64_t now_ms)
{
    struct entry *row = table->rows[(key >> 32) % ROWS];
    struct entry *at = find(lockout, table, key, now_ms);
    if (at == NULL) {
        at = row;
        for (int i = 1; i < WAYS; i++)
            if (row[i].key == key || (at->key != key && row[i].heard_s < at->heard_s))
                at = &row[i];
        lockout->evicted += at->key != 0 && at->key != key && !stale(lockout, at, now_ms);
        *at = (struct entry){.key = key};
    }
    at->heard_s = (uint32_t)(now_ms / 1000) + 1;
    return at;
}

static void count(struct lockout *lockout, struct table *table, uint64_t key, int64_t after,
                  int64_t max_ms, int64_t now_ms)
{
    if (key == 0 || after == 0)
        return;
    struct entry *entry = take(lockout, table, key, now_ms);
    if (entry->failures < UINT32_MAX)
        entry->failures++;
    if (entry->failures < after)
        return;
    int64_t doublings = entry->failures - after;
    int64_t delay = (int64_t)FIRST_MS << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);
    entry->locked_ms = now_ms + (delay < max_ms ? delay : max_ms);
}

static bool locked(const struct lockout *lockout, struct table *table, uint64_t key, int64_t now_ms)
{
    const struct entry *entry = find(lockout, table, key, now_ms);
    return entry && now_ms < entry->locked_ms;
}

/* ---- questions ---- */

enum lockout_by lockout_check(struct lockout *lockout, struct bytes user,
                              const struct address *from, int64_t now_ms)
{
    enum lockout_by by = LOCKOUT_NO;
    pthread_mutex_lock(&lockout->lock);
    struct keys keys = keys_of(lockout, user, from);
    const struct lockout_options *options = &lockout->options;
    bool good = find_ever(&lockout->good, keys.both) != NULL;
    bool failed = find(lockout, &lockout->both, keys.both, now_ms) != NULL;
    if (options->after && locked(lockout, &lockout->both, keys.both, now_ms))
        by = LOCKOUT_BY_BOTH;
    else if (options->address_after && !(good && !failed) &&
             locked(lockout, &lockout->address, keys.address, now_ms))
        by = LOCKOUT_BY_ADDRESS;
    else if (options->user_after && !good && locked(lockout, &lockout->user, keys.user, now_ms))
        by = LOCKOUT_BY_USER;
    pthread_mutex_unlock(&lockout->lock);
    return by;
}

void lockout_failed(struct lockout *lockout, struct bytes user, const struct address *from,
                    int64_t now_ms)
{
    pthread_mutex_lock(&lockout->lock);
    struct keys keys = keys_of(lockout, user, from);
    const struct lockout_options *options = &lockout->options;
    int64_t user_max = options->max_ms < USER_MAX_MS ? options->max_ms : USER_MAX_MS;
    count(lockout, &lockout->both, keys.both, options->after, options->max_ms, now_ms);
    count(lockout, &lockout->address, keys.address, options->address_after, options->max_ms,
          now_ms);
    count(lockout, &lockout->user, keys.user, options->user_after, user_max, now_ms);
    pthread_mutex_unlock(&lockout->lock);
}

bool lockout_succeeded(struct lockout *lockout, struct bytes user, const struct address *from,
                       int64_t now_ms)
{
    pthread_mutex_lock(&lockout->lock);
    struct keys keys = keys_of(lockout, user, from);
    struct entry *entry = find(lockout, &lockout->both, keys.both, now_ms);
    if (entry)
        *entry = (struct entry){0};
    if (keys.both)
        take(lockout, &lockout->good, keys.both, now_ms);
    pthread_mutex_unlock(&lockout->lock);
    return entry != NULL;
}

uint64_t lockout_evicted(struct lockout *lockout)
{
    pthread_mutex_lock(&lockout->lock);
    uint64_t evicted = lockout->evicted;
    pthread_mutex_unlock(&lockout->lock);
    return evicted;
}
