/* SPDX-License-Identifier: Apache-2.0
 *
 * The MQTT sessions that the log knows of (invariant 11): who has one, when it ends, which QoS 2
 * ids were received and not released; and how far each intake file was taken in. Applied in log
 * order, so a restart finds what was durable.
 * The thread that opens, then the journal thread.
 */
#include "journal/sessions.h"

#include <stdlib.h>
#include <uthash.h>

#include "journal/record.h"

struct session {
    UT_hash_handle hh;
    struct session_state state; /* `ids` and the names point into this object's own memory */
    uint16_t *ids;
    uint32_t id_capacity;
    size_t key_size;
    uint8_t key[]; /* size of the vendor (4), vendor, client: no two pairs have the same */
};

struct intake_position {
    UT_hash_handle hh;
    uint64_t position;
    size_t name_size;
    uint8_t name[];
};

struct sessions {
    struct session *table;
    struct intake_position *intakes; /* one for each worker there ever was: few */
};

struct sessions *sessions_new(void)
{
    return mem_zalloc(sizeof(struct sessions));
}

static void drop(struct sessions *sessions, struct session *session)
{
    HASH_DELETE(hh, sessions->table, session);
    free(session->ids);
    free(session);
}

void sessions_free(struct sessions *sessions)
{
    if (sessions == NULL)
        return;
    struct session *session, *next;
    HASH_ITER(hh, sessions->table, session, next)
    drop(sessions, session);
    struct intake_position *intake, *next_intake;
    HASH_ITER(hh, sessions->intakes, intake, next_intake)
    {
        HASH_DELETE(hh, sessions->intakes, intake);
        free(intake);
    }
    free(sessions);
}

static size_t key_size_of(const struct session_record *record)
{
    return 4 + record->vendor.size + record->client.size;
}

static void fill_key(uint8_t *key, const struct session_record *record)
{
    store_u32_le(key, (uint32_t)record->vendor.size);
    if (record->vendor.size)
        memcpy(key + 4, record->vendor.data, record->vendor.size);
    if (record->client.size)
        memcpy(key + 4 + record->vendor.size, record->client.data, record->client.size);
}

static struct session *find(const struct sessions *sessions, const struct session_record *record)
{
    struct session *session;
    size_t size = key_size_of(record);
    uint8_t *key = mem_alloc(size);
    fill_key(key, record);
    HASH_FIND(hh, sessions->table, key, size, session);
    free(key);
    return session;
}

static struct session *find_or_make(struct sessions *sessions, const struct session_record *record)
{
    struct session *session = find(sessions, record);
    if (session)
        return session;
    session = mem_zalloc(sizeof *session + key_size_of(record));
    session->key_size = key_size_of(record);
    fill_key(session->key, record);
    session->state.vendor = bytes_of(session->key + 4, record->vendor.size);
    session->state.client = bytes_of(session->key + 4 + record->vendor.size, record->client.size);
    HASH_ADD_KEYPTR(hh, sessions->table, session->key, session->key_size, session);
    return session;
}

/* The place of an id in the ascending row. */
static uint32_t place_of(const struct session *session, uint16_t id)
{
    uint32_t low = 0;
    uint32_t high = session->state.id_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (session->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void add_id(struct session *session, uint16_t id)
{
    uint32_t count = session->state.id_count;
    uint32_t at = place_of(session, id);
    if (at < count && session->ids[at] == id)
        return;
    if (count == session->id_capacity) {
        session->id_capacity = count ? count * 2 : 8;
        session->ids = mem_realloc(session->ids, session->id_capacity * sizeof *session->ids);
        session->state.ids = session->ids;
    }
    memmove(session->ids + at + 1, session->ids + at, (count - at) * sizeof *session->ids);
    session->ids[at] = id;
    session->state.id_count++;
}

static void remove_id(struct session *session, uint16_t id)
{
    uint32_t count = session->state.id_count;
    uint32_t at = place_of(session, id);
    if (at == count || session->ids[at] != id)
        return;
    memmove(session->ids + at, session->ids + at + 1, (count - at - 1) * sizeof *session->ids);
    session->state.id_count--;
}

static void apply_intake(struct sessions *sessions, const struct session_record *record)
{
    struct intake_position *intake;
    struct bytes name = record->client;
    HASH_FIND(hh, sessions->intakes, name.data, name.size, intake);
    if (intake == NULL) {
        intake = mem_zalloc(sizeof *intake + name.size);
        intake->name_size = name.size;
        if (name.size)
            memcpy(intake->name, name.data, name.size);
        HASH_ADD_KEYPTR(hh, sessions->intakes, intake->name, intake->name_size, intake);
    }
    intake->position = record->position;
}

uint64_t sessions_intake(const struct sessions *sessions, struct bytes name)
{
    const struct intake_position *intake;
    HASH_FIND(hh, sessions->intakes, name.data, name.size, intake);
    return intake ? intake->position : 0;
}

void sessions_apply(struct sessions *sessions, const struct session_record *record)
{
    struct session *session = NULL;
    if (record->kind == RECORD_INTAKE) {
        apply_intake(sessions, record);
        return;
    }
    bool makes = record->kind == RECORD_SESSION_MADE || record->kind == RECORD_ID_RECEIVED;
    session = makes ? find_or_make(sessions, record) : find(sessions, record);
    if (session == NULL)
        return;
    switch (record->kind) {
    case RECORD_SESSION_MADE:
        session->state.expiry_s = record->expiry_s;
        session->state.left_ms = 0;
        break;
    case RECORD_SESSION_LEFT:
        session->state.expiry_s = record->expiry_s;
        session->state.left_ms = record->at_ms;
        break;
    case RECORD_SESSION_ENDED: drop(sessions, session); break;
    case RECORD_ID_RECEIVED: add_id(session, record->packet_id); break;
    case RECORD_ID_RELEASED: remove_id(session, record->packet_id); break;
    case RECORD_MESSAGE:
    case RECORD_INTAKE: break;
    }
}

void sessions_each(const struct sessions *sessions,
                   void (*each)(void *arg, const struct session_state *state), void *arg)
{
    const struct session *session, *next;
    HASH_ITER(hh, sessions->table, session, next)
    each(arg, &session->state);
}

uint64_t sessions_count(const struct sessions *sessions)
{
    return HASH_COUNT(sessions->table);
}

/* ---- snapshot ---- */

static void snapshot_one(void *arg, const struct session_state *state)
{
    struct chunk *chunk = arg;
    struct session_record record = {
        .kind = RECORD_SESSION_MADE,
        .vendor = state->vendor,
        .client = state->client,
        .expiry_s = state->expiry_s,
    };
    chunk_add_session(chunk, &record);
    if (state->left_ms) {
        record.kind = RECORD_SESSION_LEFT;
        record.at_ms = state->left_ms;
        chunk_add_session(chunk, &record);
        record.at_ms = 0;
    }
    record.kind = RECORD_ID_RECEIVED;
    record.expiry_s = 0;
    for (uint32_t i = 0; i < state->id_count; i++) {
        record.packet_id = state->ids[i];
        chunk_add_session(chunk, &record);
    }
}

void sessions_snapshot(const struct sessions *sessions, struct buffer *out)
{
    struct chunk records = {0};
    sessions_each(sessions, snapshot_one, &records);
    const struct intake_position *intake, *next;
    HASH_ITER(hh, sessions->intakes, intake, next)
    {
        struct session_record record = {.kind = RECORD_INTAKE,
                                        .client = bytes_of(intake->name, intake->name_size),
                                        .position = intake->position};
        chunk_add_session(&records, &record);
    }
    uint8_t frame[FRAME_HEADER_MAX];
    buffer_add(out, frame, frame_encode(frame, 0, 0, records.body.size));
    buffer_add_bytes(out, buffer_bytes(&records.body));
    buffer_fini(&records.body);
    buffer_fini(&records.last_vendor);
    buffer_fini(&records.last_client);
    buffer_fini(&records.last_topic);
}
