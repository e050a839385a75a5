/* SPDX-License-Identifier: Apache-2.0
 *
 * See audit_owed.h. A message that was decoded again may be in a store in any of its decodings, each
 * whole: a replay goes to one sink, and an older one may have gone to another.
 */
#include "audit_owed.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { FOUND_REPLAY = 0x80, FOUND_LIVE_MAX = 0x7f, FOREIGN_MAX = 1 << 22 };

struct key {
    uint32_t message, hash;
};

/* Of decoding again. */
struct again {
    uint32_t message, generation, hash;
    uint32_t seen; /* the newest generation of such a row */
    bool withdrawn, found;
};

struct owed {
    struct key *keys; /* by message, then hash, when sealed */
    uint8_t *found;   /* of each key; that of the first of equal ones counts */
    size_t count, capacity;
    uint32_t *starts; /* of each message, and the end */
    uint32_t messages;
    bool disordered;
    struct again *again; /* by message, generation, hash */
    size_t again_count, again_capacity;
    struct key *foreign; /* rows that nobody sent; sorted when sealed */
    size_t foreign_count, foreign_capacity;
};

struct owed *owed_new(void)
{
    return mem_zalloc(sizeof(struct owed));
}

void owed_free(struct owed *owed)
{
    if (owed == NULL)
        return;
    free(owed->keys);
    free(owed->found);
    free(owed->starts);
    free(owed->again);
    free(owed->foreign);
    free(owed);
}

void owed_begin(struct owed *owed)
{
    owed->count = owed->again_count = owed->foreign_count = 0;
    owed->messages = 0;
    owed->disordered = false;
}

size_t owed_bytes(const struct owed *owed)
{
    return owed->count * (sizeof *owed->keys + sizeof *owed->found) +
           owed->again_count * sizeof *owed->again;
}

/* ---- filling ---- */

#define GROW(array_, count_, capacity_)                                                            \
    do {                                                                                           \
        if ((count_) == (capacity_)) {                                                             \
            (capacity_) = (capacity_) ? 2 * (capacity_) : 4096;                                    \
            (array_) = mem_realloc((array_), (capacity_) * sizeof *(array_));                      \
        }                                                                                          \
    } while (0)

void owed_add(struct owed *owed, uint32_t message, uint32_t hash)
{
    GROW(owed->keys, owed->count, owed->capacity);
    if (owed->count && owed->keys[owed->count - 1].message > message)
        owed->disordered = true;
    owed->keys[owed->count++] = (struct key){message, hash};
}

void owed_add_again(struct owed *owed, uint32_t message, uint32_t generation, uint32_t hash,
                    bool withdrawn)
{
    GROW(owed->again, owed->again_count, owed->again_capacity);
    owed->again[owed->again_count++] = (struct again){
        .message = message, .generation = generation, .hash = hash, .withdrawn = withdrawn};
}

static int by_key(const void *a, const void *b)
{
    const struct key *left = a, *right = b;
    if (left->message != right->message)
        return left->message < right->message ? -1 : 1;
    return (left->hash > right->hash) - (left->hash < right->hash);
}

static int by_decoding(const void *a, const void *b)
{
    const struct again *left = a, *right = b;
    if (left->message != right->message)
        return left->message < right->message ? -1 : 1;
    if (left->generation != right->generation)
        return left->generation < right->generation ? -1 : 1;
    return (left->hash > right->hash) - (left->hash < right->hash);
}

/* Rows come message by message; only each message's own are to be sorted, and few they are. */
static void keys_sort(struct owed *owed)
{
    if (owed->disordered)
        qsort(owed->keys, owed->count, sizeof *owed->keys, by_key);
    for (size_t first = 0, end; first < owed->count; first = end) {
        for (end = first + 1;
             end < owed->count && owed->keys[end].message == owed->keys[first].message;)
            end++;
        qsort(owed->keys + first, end - first, sizeof *owed->keys, by_key);
    }
}

/* The same decoding sent twice stands once. */
static void again_unite(struct owed *owed)
{
    size_t kept = 0;
    if (owed->again_count)
        qsort(owed->again, owed->again_count, sizeof *owed->again, by_decoding);
    for (size_t i = 0; i < owed->again_count; i++) {
        if (kept && by_decoding(&owed->again[kept - 1], &owed->again[i]) == 0)
            owed->again[kept - 1].withdrawn &= owed->again[i].withdrawn;
        else
            owed->again[kept++] = owed->again[i];
    }
    owed->again_count = kept;
}

void owed_seal(struct owed *owed, uint32_t messages)
{
    gw_assert(owed->count < UINT32_MAX);
    keys_sort(owed);
    again_unite(owed);
    owed->messages = messages;
    owed->starts = mem_realloc(owed->starts, ((size_t)messages + 1) * sizeof *owed->starts);
    size_t at = 0;
    for (uint32_t message = 0; message <= messages; message++) {
        while (at < owed->count && owed->keys[at].message < message)
            at++;
        owed->starts[message] = (uint32_t)at;
    }
    owed->found = mem_realloc(owed->found, owed->count + 1);
    owed_store_begin(owed);
}

uint32_t owed_readings(const struct owed *owed, uint32_t message)
{
    return owed->starts[message + 1] - owed->starts[message];
}

/* ---- a store ---- */

void owed_store_begin(struct owed *owed)
{
    memset(owed->found, 0, owed->count + 1);
    for (size_t i = 0; i < owed->again_count; i++) {
        owed->again[i].found = false;
        owed->again[i].seen = 0;
    }
    owed->foreign_count = 0;
}

/* The first of equal keys, or the end. */
static uint32_t key_find(const struct owed *owed, uint32_t message, uint32_t hash)
{
    uint32_t low = owed->starts[message], high = owed->starts[message + 1];
    uint32_t end = high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (owed->keys[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && owed->keys[low].hash == hash ? low : end;
}

/* Where the rows of a message, or of later ones, begin; each row begins with its message. */
static size_t rows_from(const void *rows, size_t count, size_t size, uint32_t message)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t found;
        memcpy(&found, (const uint8_t *)rows + middle * size, sizeof found);
        if (found < message)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t again_find(const struct owed *owed, uint32_t message)
{
    return rows_from(owed->again, owed->again_count, sizeof *owed->again, message);
}

static bool again_found(struct owed *owed, uint32_t message, const struct owed_row *row)
{
    bool known = false;
    for (size_t i = again_find(owed, message);
         i < owed->again_count && owed->again[i].message == message; i++) {
        struct again *again = &owed->again[i];
        if (again->hash != row->hash)
            continue;
        known = true;
        again->found |= row->generation == 0 || row->generation >= again->generation;
        again->seen = row->generation > again->seen ? row->generation : again->seen;
    }
    return known;
}

void owed_found(struct owed *owed, uint32_t message, const struct owed_row *row)
{
    uint32_t at = key_find(owed, message, row->hash);
    bool known = at < owed->starts[message + 1];
    if (known && row->replay)
        owed->found[at] |= FOUND_REPLAY;
    else if (known && (owed->found[at] & FOUND_LIVE_MAX) < FOUND_LIVE_MAX)
        owed->found[at]++;
    known |= again_found(owed, message, row);
    if (known || owed->foreign_count == FOREIGN_MAX)
        return;
    GROW(owed->foreign, owed->foreign_count, owed->foreign_capacity);
    owed->foreign[owed->foreign_count++] = (struct key){message, row->hash};
}

void owed_found_all(struct owed *owed, uint32_t first, uint32_t count)
{
    uint32_t at = owed->starts[first], end = owed->starts[first + count];
    memset(owed->found + at, 1, end - at);
}

bool owed_sum(const struct owed *owed, uint32_t first, uint32_t count, uint64_t *rows,
              uint64_t *sum)
{
    size_t again = again_find(owed, first);
    *rows = *sum = 0;
    if (again < owed->again_count && owed->again[again].message - first < count)
        return false;
    for (uint32_t at = owed->starts[first]; at < owed->starts[first + count]; at++) {
        if (at > owed->starts[first] && by_key(&owed->keys[at - 1], &owed->keys[at]) == 0)
            continue;
        *rows += 1;
        *sum += owed->keys[at].hash;
    }
    return true;
}

void owed_store_seal(struct owed *owed)
{
    if (owed->foreign_count)
        qsort(owed->foreign, owed->foreign_count, sizeof *owed->foreign, by_key);
}

/* ---- judging ---- */

struct judging {
    const struct owed *owed;
    const struct audit_rule *rule;
    uint32_t message;
    size_t again_first, again_end;
    struct owed_verdict *out;
    owed_missing *missing;
    void *arg;
};

static uint32_t foreign_count(const struct owed *owed, uint32_t message)
{
    uint32_t count = 0;
    size_t at = rows_from(owed->foreign, owed->foreign_count, sizeof *owed->foreign, message);
    for (; at < owed->foreign_count && owed->foreign[at].message == message; at++)
        count++;
    return count;
}

/* As the reading log has it, copy by copy. */
static void judge_first(const struct judging *judging)
{
    const struct owed *owed = judging->owed;
    uint32_t at = owed->starts[judging->message], end = owed->starts[judging->message + 1];
    while (at < end) {
        uint32_t copies = 1;
        while (at + copies < end && owed->keys[at + copies].hash == owed->keys[at].hash)
            copies++;
        uint32_t live = owed->found[at] & FOUND_LIVE_MAX;
        uint32_t wanted = judging->rule->one_a_key ? 1 : copies;
        /* Beyond what is counted, there are enough. */
        bool enough = owed->found[at] & FOUND_REPLAY || live == FOUND_LIVE_MAX;
        uint32_t there = enough && live < wanted ? wanted : live;
        judging->out->expected += copies;
        judging->out->repeated += there > wanted ? there - wanted : 0;
        if (there < wanted) {
            uint32_t readings = judging->rule->one_a_key ? copies : wanted - there;
            judging->out->missing += readings;
            if (judging->missing)
                judging->missing(judging->arg, owed->keys[at].hash, readings);
        }
        at += copies;
    }
}

/* The decoding that begins at `first` of the decodings: where it ends. */
static size_t decoding_end(const struct judging *judging, size_t first)
{
    const struct again *again = judging->owed->again;
    size_t end = first + 1;
    while (end < judging->again_end && again[end].generation == again[first].generation)
        end++;
    return end;
}

static const struct again *decoding_has(const struct judging *judging, size_t first, size_t end,
                                        uint32_t hash)
{
    for (size_t i = first; i < end; i++)
        if (judging->owed->again[i].hash == hash)
            return &judging->owed->again[i];
    return NULL;
}

/* Does a store that has this decoding have a row of the key? first == end: the reading log's. */
static bool is_wanted(const struct judging *judging, size_t first, size_t end, uint32_t hash)
{
    const struct owed *owed = judging->owed;
    bool old = key_find(owed, judging->message, hash) < owed->starts[judging->message + 1];
    if (first == end)
        return old;
    const struct again *key = decoding_has(judging, first, end, hash);
    return judging->rule->keeps_old ? old || key : key && !key->withdrawn;
}

/* Of that decoding or a newer one; first == end: of any. */
static bool is_found(const struct judging *judging, size_t first, size_t end, uint32_t hash)
{
    const struct owed *owed = judging->owed;
    const struct again *key = decoding_has(judging, first, end, hash);
    if (key)
        return key->found;
    uint32_t at = key_find(owed, judging->message, hash);
    if (at < owed->starts[judging->message + 1] && owed->found[at])
        return true;
    for (size_t i = judging->again_first; i < judging->again_end; i++)
        if (owed->again[i].hash == hash && owed->again[i].found)
            return true;
    return false;
}

/* The keys of the message in all decodings, each once. */
static uint32_t all_keys(const struct judging *judging, uint32_t **out)
{
    const struct owed *owed = judging->owed;
    uint32_t count = 0, start = owed->starts[judging->message];
    size_t old = owed->starts[judging->message + 1] - start;
    uint32_t *hashes =
        mem_alloc((old + judging->again_end - judging->again_first + 1) * sizeof *hashes);
    for (size_t i = 0; i < old; i++)
        if (i == 0 || owed->keys[start + i].hash != owed->keys[start + i - 1].hash)
            hashes[count++] = owed->keys[start + i].hash;
    for (size_t i = judging->again_first; i < judging->again_end; i++) {
        uint32_t hash = owed->again[i].hash;
        if (key_find(owed, judging->message, hash) < start + old ||
            decoding_has(judging, judging->again_first, i, hash))
            continue;
        hashes[count++] = hash;
    }
    *out = hashes;
    return count;
}

/* How far the store is from that decoding. */
static void distance(const struct judging *judging, const uint32_t *hashes, uint32_t count,
                     size_t first, size_t end, struct owed_verdict *out)
{
    *out = (struct owed_verdict){.expected = 0};
    for (uint32_t i = 0; i < count; i++) {
        bool wanted = is_wanted(judging, first, end, hashes[i]);
        bool found = is_found(judging, wanted ? first : end, end, hashes[i]);
        out->expected += wanted;
        out->missing += wanted && !found;
        out->extra += found && !wanted;
    }
}

/* A row tells that a decoding has arrived: then nothing older is right any more. */
static uint32_t newest_seen(const struct judging *judging)
{
    uint32_t newest = 0;
    for (size_t i = judging->again_first; i < judging->again_end; i++)
        if (judging->owed->again[i].seen > newest)
            newest = judging->owed->again[i].seen;
    return newest;
}

static void judge_decodings(const struct judging *judging)
{
    uint32_t *hashes;
    uint32_t count = all_keys(judging, &hashes);
    size_t best_first = judging->again_first, best_end = best_first;
    struct owed_verdict best, other;
    uint32_t newest = newest_seen(judging);
    bool past = newest >= judging->owed->again[best_first].generation;
    distance(judging, hashes, count, best_first, best_end, &best);
    best.older = true;
    for (size_t first = judging->again_first, end; first < judging->again_end; first = end) {
        end = decoding_end(judging, first);
        distance(judging, hashes, count, first, end, &other);
        if (!past && other.missing + other.extra > best.missing + best.extra)
            continue;
        past = end < judging->again_end && newest >= judging->owed->again[end].generation;
        other.older = end < judging->again_end;
        best = other;
        best_first = first;
        best_end = end;
    }
    for (uint32_t i = 0; judging->missing && i < count; i++)
        if (is_wanted(judging, best_first, best_end, hashes[i]) &&
            !is_found(judging, best_first, best_end, hashes[i]))
            judging->missing(judging->arg, hashes[i], 1);
    *judging->out = best;
    free(hashes);
}

void owed_judge(const struct owed *owed, uint32_t message, const struct audit_rule *rule,
                struct owed_verdict *out, owed_missing *missing, void *arg)
{
    struct judging judging = {
        .owed = owed, .rule = rule, .message = message, .out = out, .missing = missing, .arg = arg};
    *out = (struct owed_verdict){.expected = 0};
    judging.again_first = judging.again_end = again_find(owed, message);
    while (judging.again_end < owed->again_count &&
           owed->again[judging.again_end].message == message)
        judging.again_end++;
    if (judging.again_first == judging.again_end)
        judge_first(&judging);
    else
        judge_decodings(&judging);
    out->extra += foreign_count(owed, message);
}
