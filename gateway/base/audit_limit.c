/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting what repeats. A table of fixed size that is emptied every minute: when it is full, what
 * is refused is only counted by kind, and what was allowed (nobody can do that from outside without
 * a token) is written each time.
 */
#include "base/audit_limit.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/audit_entry.h"

enum { MINUTE_MS = 60000, FILL_MAX = AUDIT_SLOTS * 3 / 4 };

/* The slot of that key, a free one for it, or null when there is no room. */
static struct audit_slot *slot_find(struct audit_limit *limit, uint64_t key)
{
    size_t at = key % AUDIT_SLOTS;
    while (limit->slots[at].key && limit->slots[at].key != key)
        at = (at + 1) % AUDIT_SLOTS;
    if (limit->slots[at].key == 0 && limit->count >= FILL_MAX)
        return NULL;
    return &limit->slots[at];
}

static void slot_take(struct audit_limit *limit, struct audit_slot *slot, uint64_t key,
                      struct bytes members)
{
    *slot = (struct audit_slot){.key = key, .members = bytes_strdup(members)};
    limit->count++;
}

static uint64_t address_key(const struct audit_entry *entry)
{
    uint8_t kind[18] = {(uint8_t)entry->what, (uint8_t)entry->result};
    memcpy(kind + 2, entry->from.bytes, sizeof entry->from.bytes);
    return XXH64(kind, sizeof kind, 2);
}

/* What was refused is the same on whatever object, for the same reason, of which there are few (a
 * lock-out must not hide behind the wrong passwords before it); what was done is the same only when all
 * of it is. */
static uint64_t key_of(const struct audit_entry *entry, struct bytes members)
{
    if (entry->result == AUDIT_OK)
        return XXH64(members.data, members.size, 1) | 1;
    const char *why = entry->why ? entry->why : "";
    uint64_t reason = XXH64(why, strlen(why), address_key(entry));
    return XXH64(entry->who.data, entry->who.size, reason) | 1;
}

/* The slot that counts an address's refusals of this kind. */
static struct audit_slot *address_slot(struct audit_limit *limit, const struct audit_entry *entry)
{
    uint64_t key = (address_key(entry) ^ 2) | 1;
    struct audit_slot *slot = slot_find(limit, key);
    if (slot == NULL || slot->key)
        return slot;
    struct buffer members = {0};
    struct audit_entry only = {.what = entry->what,
                               .result = entry->result,
                               .from = entry->from,
                               .why = "more than 30 refusals a minute from one address"};
    audit_entry_members(&only, &members);
    slot_take(limit, slot, key, buffer_bytes(&members));
    slot->address = true;
    buffer_fini(&members);
    return slot;
}

static bool refusal_passes(struct audit_limit *limit, const struct audit_entry *entry)
{
    bool known = address_known(&entry->from);
    struct audit_slot *slot = known ? address_slot(limit, entry) : NULL;
    if (slot && slot->used >= AUDIT_ADDRESS_MAX) {
        slot->held++;
        return false;
    }
    if (limit->refused >= AUDIT_REFUSED_MAX || (known && slot == NULL)) {
        limit->held[entry->what]++;
        return false;
    }
    limit->refused++;
    if (slot)
        slot->used++;
    return true;
}

bool audit_limit_pass(struct audit_limit *limit, const struct audit_entry *entry,
                      struct bytes members)
{
    uint64_t key = key_of(entry, members);
    struct audit_slot *slot = slot_find(limit, key);
    if (slot && slot->key) {
        slot->held++;
        return false;
    }
    if (entry->result != AUDIT_OK && !refusal_passes(limit, entry))
        return false;
    slot = slot_find(limit, key); /* the address may have taken the place */
    if (slot)
        slot_take(limit, slot, key, members);
    return true;
}

int64_t audit_limit_wait_ms(const struct audit_limit *limit, int64_t monotonic_ms)
{
    if (limit->count == 0 && limit->refused == 0)
        return -1;
    int64_t left = (limit->minute + 1) * MINUTE_MS - monotonic_ms;
    return left > 0 ? left : 0;
}

static size_t tell_slots(struct audit_limit *limit, int64_t wall_ms, struct buffer *out)
{
    size_t lines = 0;
    for (size_t i = 0; i < AUDIT_SLOTS; i++) {
        struct audit_slot *slot = &limit->slots[i];
        if (slot->held) {
            audit_line(wall_ms, bytes_text(slot->members),
                       (struct audit_count){slot->address ? "not_written" : "repeated", slot->held},
                       out);
            lines++;
        }
        free(slot->members);
        *slot = (struct audit_slot){0};
    }
    limit->count = 0;
    return lines;
}

size_t audit_limit_tell(struct audit_limit *limit, int64_t monotonic_ms, int64_t wall_ms, bool now,
                        struct buffer *out)
{
    if (!now && limit->minute == monotonic_ms / MINUTE_MS)
        return 0;
    size_t lines = tell_slots(limit, wall_ms, out);
    for (int what = 0; what < AUDIT_WHATS; what++) {
        if (limit->held[what] == 0)
            continue;
        struct audit_entry entry = {
            .what = what, .result = AUDIT_REFUSED, .why = "more than 120 refusals a minute"};
        audit_entry_line(&entry, wall_ms, (struct audit_count){"not_written", limit->held[what]},
                         out);
        limit->held[what] = 0;
        lines++;
    }
    limit->refused = 0;
    limit->minute = monotonic_ms / MINUTE_MS;
    return lines;
}

void audit_limit_fini(struct audit_limit *limit)
{
    for (size_t i = 0; i < AUDIT_SLOTS; i++)
        free(limit->slots[i].members);
}
