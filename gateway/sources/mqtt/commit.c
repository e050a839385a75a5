/* SPDX-License-Identifier: Apache-2.0
 *
 * A commit and its lists. Loop thread, but for on_durable, which runs on the journal's.
 */
#include "sources/mqtt/commit.h"

#include <stdlib.h>

/* Lists that one burst blew up are not kept for ever. */
enum { KEEP_ENTRIES_MAX = 65536 };

struct commit *commit_new(struct mailbox *mailbox, struct rawlog *rawlog)
{
    struct commit *commit = mem_zalloc(sizeof *commit);
    commit->mailbox = mailbox;
    commit->rawlog = rawlog;
    return commit;
}

static void release_chunk(struct commit *commit)
{
    if (commit->chunk)
        chunk_release(commit->rawlog, commit->chunk);
    commit->chunk = NULL;
}

void commit_free(struct commit *commit)
{
    if (commit == NULL)
        return;
    release_chunk(commit);
    free(commit->slots);
    free(commit->entries);
    free(commit->releases);
    free(commit);
}

void commit_reset(struct commit *commit)
{
    release_chunk(commit);
    commit->next = NULL;
    commit->durable = false;
    commit->slot_count = 0;
    commit->entry_count = 0;
    commit->release_count = 0;
    if (commit->entry_capacity > KEEP_ENTRIES_MAX) {
        free(commit->entries);
        commit->entries = NULL;
        commit->entry_capacity = 0;
    }
}

bool commit_empty(const struct commit *commit)
{
    return commit->slot_count == 0 && commit->release_count == 0 &&
           (commit->chunk == NULL || commit->chunk->record_count == 0);
}

bool commit_open_chunk(struct commit *commit)
{
    if (commit->chunk == NULL)
        commit->chunk = chunk_acquire(commit->rawlog);
    return commit->chunk != NULL;
}

/* Room for one more of `size` bytes each. */
static void *room(void *list, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return list;
    *capacity = *capacity ? *capacity * 2 : 64;
    return mem_realloc(list, *capacity * size);
}

uint32_t commit_add_slot(struct commit *commit, struct conn *conn)
{
    commit->slots =
        room(commit->slots, commit->slot_count, &commit->slot_capacity, sizeof *commit->slots);
    commit->slots[commit->slot_count] =
        (struct commit_slot){.conn = conn, .first = COMMIT_END, .last = COMMIT_END};
    return (uint32_t)commit->slot_count++;
}

void commit_add_entry(struct commit *commit, uint32_t slot, enum packet_type type,
                      uint16_t packet_id, uint8_t reason)
{
    commit->entries = room(commit->entries, commit->entry_count, &commit->entry_capacity,
                           sizeof *commit->entries);
    uint32_t at = (uint32_t)commit->entry_count++;
    commit->entries[at] = (struct commit_entry){
        .next = COMMIT_END, .packet_id = packet_id, .type = (uint8_t)type, .reason = reason};
    struct commit_slot *owner = &commit->slots[slot];
    if (owner->last == COMMIT_END)
        owner->first = at;
    else
        commit->entries[owner->last].next = at;
    owner->last = at;
}

void commit_add_release(struct commit *commit, struct session *session)
{
    commit->releases = room(commit->releases, commit->release_count, &commit->release_capacity,
                            sizeof *commit->releases);
    commit->releases[commit->release_count++] = session;
}

static void on_durable(struct chunk *chunk)
{
    struct commit *commit = chunk->owner;
    if (!mailbox_deliver(commit->mailbox, commit))
        commit_free(commit); /* the listener is gone, nobody waits for the acknowledgements */
}

void commit_submit(struct commit *commit)
{
    commit->chunk->done = on_durable;
    commit->chunk->owner = commit;
    mailbox_expect(commit->mailbox);
    rawlog_submit(commit->rawlog, commit->chunk);
}
