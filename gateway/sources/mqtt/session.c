/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of sessions: claim, wait, release, sweep. See session.h for who owns what. Any loop; the
 * lock is held for a few instructions, and letters to loops are posted under it so that a session
 * cannot go between the decision and the letter.
 */
#include "sources/mqtt/session.h"

#include <pthread.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "sources/mqtt/conn.h"
#include "sources/mqtt/mailbox.h"

struct session_table {
    pthread_mutex_t lock;
    struct session **buckets;
    size_t bucket_count; /* a power of two */
    size_t count, left_count, left_max;
    struct session *oldest, *newest; /* left, not owned */
    struct session *swept;           /* where the next look begins; null: at the oldest */
    struct will *wills;
};

/* ---- packet ids ---- */

static uint32_t id_set_find(const struct id_set *set, uint16_t id)
{
    uint32_t low = 0;
    uint32_t high = set->count;
    if (high && set->ids[high - 1] < id) /* ids mostly grow */
        return high;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (set->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool id_set_has(const struct id_set *set, uint16_t id)
{
    uint32_t at = id_set_find(set, id);
    return at < set->count && set->ids[at] == id;
}

void id_set_add(struct id_set *set, uint16_t id)
{
    uint32_t at = id_set_find(set, id);
    gw_assert(at == set->count || set->ids[at] != id);
    if (set->count == set->capacity) {
        set->capacity = set->capacity ? set->capacity * 2 : 4;
        set->ids = mem_realloc(set->ids, set->capacity * sizeof *set->ids);
    }
    memmove(set->ids + at + 1, set->ids + at, (set->count - at) * sizeof *set->ids);
    set->ids[at] = id;
    set->count++;
}

bool id_set_drop(struct id_set *set, uint16_t id)
{
    uint32_t at = id_set_find(set, id);
    if (at == set->count || set->ids[at] != id)
        return false;
    set->count--;
    memmove(set->ids + at, set->ids + at + 1, (set->count - at) * sizeof *set->ids);
    if (set->count == 0)
        id_set_fini(set);
    return true;
}

void id_set_fini(struct id_set *set)
{
    free(set->ids);
    *set = (struct id_set){0};
}

/* ---- table ---- */

struct session_table *session_table_new(int64_t sessions_max)
{
    struct session_table *table = mem_zalloc(sizeof *table);
    pthread_mutex_init(&table->lock, NULL);
    table->bucket_count = 1024;
    table->buckets = mem_zalloc(table->bucket_count * sizeof *table->buckets);
    table->left_max = (size_t)sessions_max;
    return table;
}

static uint32_t hash_names(struct bytes vendor, struct bytes client)
{
    uint64_t seed = XXH3_64bits(vendor.data, vendor.size);
    return (uint32_t)XXH3_64bits_withSeed(client.data, client.size, seed);
}

static void grow(struct session_table *table)
{
    size_t wider = table->bucket_count * 2;
    struct session **buckets = mem_zalloc(wider * sizeof *buckets);
    for (size_t i = 0; i < table->bucket_count; i++) {
        struct session *session = table->buckets[i];
        while (session) {
            struct session *next = session->next;
            struct session **bucket = &buckets[session->hash & (wider - 1)];
            session->next = *bucket;
            *bucket = session;
            session = next;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = wider;
}

static struct session *find_or_make(struct session_table *table, struct bytes vendor,
                                    struct bytes client)
{
    uint32_t hash = hash_names(vendor, client);
    struct session *session = table->buckets[hash & (table->bucket_count - 1)];
    for (; session; session = session->next)
        if (session->hash == hash && bytes_equal(session_vendor(session), vendor) &&
            bytes_equal(session_client(session), client))
            return session;
    if (table->count >= table->bucket_count)
        grow(table);
    gw_assert(vendor.size < ACCESS_VENDOR_SIZE && client.size <= UINT16_MAX);
    session = mem_zalloc(sizeof *session + vendor.size + client.size);
    session->hash = hash;
    session->vendor_size = (uint8_t)vendor.size;
    session->client_size = (uint16_t)client.size;
    if (vendor.size)
        memcpy(session->names, vendor.data, vendor.size);
    memcpy(session->names + vendor.size, client.data, client.size);
    struct session **bucket = &table->buckets[hash & (table->bucket_count - 1)];
    session->next = *bucket;
    *bucket = session;
    table->count++;
    return session;
}

static void list_left(struct session_table *table, struct session *session)
{
    session->listed = true;
    session->newer = NULL;
    session->older = table->newest;
    *(table->newest ? &table->newest->newer : &table->oldest) = session;
    table->newest = session;
    table->left_count++;
}

static void unlist(struct session_table *table, struct session *session)
{
    if (!session->listed)
        return;
    if (table->swept == session)
        table->swept = session->newer;
    *(session->older ? &session->older->newer : &table->oldest) = session->newer;
    *(session->newer ? &session->newer->older : &table->newest) = session->older;
    session->listed = false;
    table->left_count--;
}

static struct will *take_will(struct session_table *table, struct session *session)
{
    struct will *will = session->will;
    if (will) {
        *(will->previous ? &will->previous->next : &table->wills) = will->next;
        if (will->next)
            will->next->previous = will->previous;
        will->session = NULL;
        session->will = NULL;
    }
    return will;
}

static void forget(struct session_table *table, struct session *session)
{
    struct session **link = &table->buckets[session->hash & (table->bucket_count - 1)];
    while (*link != session)
        link = &(*link)->next;
    *link = session->next;
    unlist(table, session);
    will_free(take_will(table, session));
    id_set_fini(&session->received);
    free(session);
    table->count--;
}

void session_table_free(struct session_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->bucket_count; i++)
        while (table->buckets[i])
            forget(table, table->buckets[i]);
    pthread_mutex_destroy(&table->lock);
    free(table->buckets);
    free(table);
}

struct load_arg {
    struct session_table *table;
    int64_t now_ms;
};

static void load_one(void *arg, const struct session_state *state)
{
    struct load_arg *load = arg;
    if (state->vendor.size >= ACCESS_VENDOR_SIZE || state->client.size > UINT16_MAX)
        return; /* not written by us */
    struct session *session = find_or_make(load->table, state->vendor, state->client);
    session->recorded = true;
    session->expiry_s = state->expiry_s;
    session->left_ms = state->left_ms ? state->left_ms : load->now_ms;
    for (uint32_t i = 0; i < state->id_count; i++)
        if (!id_set_has(&session->received, state->ids[i]))
            id_set_add(&session->received, state->ids[i]);
    list_left(load->table, session);
}

void session_table_load(struct session_table *table, const struct sessions *recovered,
                        int64_t now_ms)
{
    struct load_arg load = {table, now_ms};
    pthread_mutex_lock(&table->lock);
    sessions_each(recovered, load_one, &load);
    pthread_mutex_unlock(&table->lock);
}

uint64_t session_table_count(struct session_table *table)
{
    pthread_mutex_lock(&table->lock);
    uint64_t count = table->count;
    pthread_mutex_unlock(&table->lock);
    return count;
}

/* ---- claim and release ---- */

static void post(struct session *session, struct conn *to, enum mail_kind kind)
{
    session->mails++;
    mailbox_post(conn_mailbox(to), kind, session);
}

bool session_claim(struct session_table *table, struct conn *conn, struct bytes vendor,
                   struct bytes client, struct session **out)
{
    pthread_mutex_lock(&table->lock);
    struct session *session = find_or_make(table, vendor, client);
    bool mine = session->owner == NULL && !session->settling;
    if (mine) {
        gw_assert(session->waiters == NULL);
        session->owner = conn;
        unlist(table, session);
    } else {
        struct conn **link = &session->waiters;
        while (*link)
            link = &(*link)->next_waiter;
        *link = conn;
        conn->next_waiter = NULL;
        if (session->owner)
            post(session, session->owner, MAIL_TAKE_OVER);
    }
    pthread_mutex_unlock(&table->lock);
    *out = session;
    return mine;
}

/* Locked. */
static void pass_on(struct session_table *table, struct session *session, int64_t now_ms)
{
    session->owner = NULL;
    session->settling = false;
    session->left_ms = now_ms;
    struct conn *next = session->waiters;
    if (next) {
        session->waiters = next->next_waiter;
        session->owner = next;
        post(session, next, MAIL_SESSION_GRANTED);
        if (session->waiters) /* somebody newer wants it already */
            post(session, next, MAIL_TAKE_OVER);
    } else if (session->recorded) {
        list_left(table, session);
    } else if (session->mails == 0) {
        forget(table, session);
    }
}

void session_settle(struct session_table *table, struct session *session)
{
    pthread_mutex_lock(&table->lock);
    session->owner = NULL;
    session->settling = true;
    pthread_mutex_unlock(&table->lock);
}

void session_release(struct session_table *table, struct session *session, int64_t now_ms)
{
    pthread_mutex_lock(&table->lock);
    pass_on(table, session, now_ms);
    pthread_mutex_unlock(&table->lock);
}

void session_cancel(struct session_table *table, struct session *session, struct conn *conn,
                    int64_t now_ms)
{
    pthread_mutex_lock(&table->lock);
    if (session->owner == conn) {
        int64_t left_ms = session->left_ms;
        pass_on(table, session, left_ms ? left_ms : now_ms);
    } else {
        struct conn **link = &session->waiters;
        while (*link && *link != conn)
            link = &(*link)->next_waiter;
        gw_assert(*link == conn);
        *link = conn->next_waiter;
    }
    pthread_mutex_unlock(&table->lock);
}

struct conn *session_mail_arrived(struct session_table *table, struct session *session,
                                  const struct mailbox *mailbox, bool *wanted)
{
    pthread_mutex_lock(&table->lock);
    session->mails--;
    struct conn *owner = session->owner;
    *wanted = session->waiters != NULL;
    bool idle = owner == NULL && !session->settling && !session->listed && session->mails == 0;
    if (idle) /* recorded ones are always listed, owned or settling */
        forget(table, session);
    if (owner && conn_mailbox(owner) != mailbox)
        owner = NULL;
    pthread_mutex_unlock(&table->lock);
    return owner;
}

/* ---- wills and the sweep ---- */

void session_leave_will(struct session_table *table, struct session *session, struct will *will,
                        int64_t due_ms)
{
    pthread_mutex_lock(&table->lock);
    gw_assert(session->will == NULL);
    will->due_ms = due_ms;
    will->session = session;
    will->previous = NULL;
    will->next = table->wills;
    if (will->next)
        will->next->previous = will;
    table->wills = will;
    session->will = will;
    pthread_mutex_unlock(&table->lock);
}

struct will *session_take_will(struct session_table *table, struct session *session)
{
    pthread_mutex_lock(&table->lock);
    struct will *will = take_will(table, session);
    pthread_mutex_unlock(&table->lock);
    return will;
}

struct will *session_will_due(struct session_table *table, int64_t now_ms, struct buffer *client)
{
    pthread_mutex_lock(&table->lock);
    struct will *will = table->wills;
    while (will && will->due_ms > now_ms)
        will = will->next;
    if (will) {
        buffer_clear(client);
        buffer_add_bytes(client, session_client(will->session));
        take_will(table, will->session);
    }
    pthread_mutex_unlock(&table->lock);
    return will;
}

struct session *session_sweep(struct session_table *table, int64_t now_ms, size_t look,
                              bool *dropped)
{
    pthread_mutex_lock(&table->lock);
    *dropped = table->left_count > table->left_max;
    struct session *found = *dropped ? table->oldest : NULL;
    struct session *at = table->swept ? table->swept : table->oldest;
    for (; found == NULL && at && look > 0; at = at->newer, look--)
        if (session_expired(at, now_ms))
            found = at;
    table->swept = at;
    if (found) {
        unlist(table, found);
        found->settling = true;
    }
    pthread_mutex_unlock(&table->lock);
    return found;
}
