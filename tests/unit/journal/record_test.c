/* SPDX-License-Identifier: Apache-2.0
 *
 * Records: what goes in comes out; repeated names cost nothing; unknown kinds are passed over; cut
 * or changed bytes never read past the end.
 */
#include "journal/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void chunk_fini(struct chunk *chunk)
{
    buffer_fini(&chunk->body);
    buffer_fini(&chunk->last_vendor);
    buffer_fini(&chunk->last_client);
    buffer_fini(&chunk->last_topic);
}

/* The body of an extent with this one chunk. */
static void frame(const struct chunk *chunk, struct buffer *out)
{
    uint8_t head[FRAME_HEADER_MAX];
    buffer_add(out, head,
               frame_encode(head, chunk->message_count, chunk->received_ms, chunk->body.size));
    buffer_add_bytes(out, buffer_bytes(&chunk->body));
}

static const struct message full = {
    .received_ms = 1763712000123,
    .vendor = {(const uint8_t *)"acme", 4},
    .client = {(const uint8_t *)"meter-17", 8},
    .topic = {(const uint8_t *)"v1/acme/json", 12},
    .payload = {(const uint8_t *)"{\"device\":\"1\"}", 14},
    .properties = {(const uint8_t *)"\x01\x01", 2},
    .flags = 2 | MESSAGE_RETAIN | MESSAGE_DUP,
    .protocol = 5,
    .packet_id = 65535,
};

static void assert_message(const struct message *got, const struct message *want, uint64_t seq)
{
    assert_int_equal(got->seq, seq);
    assert_true(bytes_equal(got->vendor, want->vendor));
    assert_true(bytes_equal(got->client, want->client));
    assert_true(bytes_equal(got->topic, want->topic));
    assert_true(bytes_equal(got->payload, want->payload));
    assert_true(bytes_equal(got->properties, want->properties));
    assert_int_equal(got->flags, want->flags);
    assert_int_equal(got->protocol, want->protocol);
    assert_int_equal(got->packet_id, want->packet_id);
}

static struct extent extent_of(const struct buffer *body, uint64_t first_seq, uint32_t count)
{
    return (struct extent){.first_seq = first_seq,
                           .seq_count = count,
                           .kind = EXTENT_RECORDS,
                           .body = buffer_bytes(body)};
}

static void messages_and_session_records_come_back_in_order(void **state)
{
    (void)state;
    struct chunk chunk = {0};
    struct message bare = {.received_ms = 9, .payload = bytes_text(""), .protocol = 4};
    struct session_record received = {.kind = RECORD_ID_RECEIVED,
                                      .vendor = full.vendor,
                                      .client = full.client,
                                      .packet_id = 65535};
    struct session_record left = {.kind = RECORD_SESSION_LEFT,
                                  .vendor = bytes_text(""),
                                  .client = bytes_text("other"),
                                  .expiry_s = UINT32_MAX,
                                  .at_ms = -5};
    chunk_add_message(&chunk, &full);
    chunk_add_session(&chunk, &received);
    chunk_add_message(&chunk, &bare);
    chunk_add_session(&chunk, &left);
    assert_int_equal(chunk.message_count, 2);
    assert_int_equal(chunk.record_count, 4);
    assert_int_equal(chunk.received_ms, full.received_ms);
    assert_int_equal(chunk.message_bytes, 14 + 12);
    struct buffer body = {0};
    frame(&chunk, &body);
    frame(&chunk, &body); /* two chunks in one extent */
    const struct extent extent = extent_of(&body, 100, 4);
    struct record_reader reader;
    enum record_kind kind;
    struct message message;
    struct session_record session;
    record_reader_init(&reader, &extent);
    for (uint64_t round = 0; round < 2; round++) {
        assert_int_equal(record_reader_next(&reader, &kind, &message, &session), 1);
        assert_int_equal(kind, RECORD_MESSAGE);
        assert_message(&message, &full, 100 + 2 * round);
        assert_int_equal(message.received_ms, full.received_ms);
        assert_int_equal(record_reader_next(&reader, &kind, &message, &session), 1);
        assert_int_equal(kind, RECORD_ID_RECEIVED);
        assert_true(bytes_equal(session.client, full.client));
        assert_int_equal(session.packet_id, 65535);
        assert_int_equal(record_reader_next(&reader, &kind, &message, &session), 1);
        assert_message(&message, &bare, 101 + 2 * round);
        assert_int_equal(record_reader_next(&reader, &kind, &message, &session), 1);
        assert_int_equal(kind, RECORD_SESSION_LEFT);
        assert_int_equal(session.expiry_s, UINT32_MAX);
        assert_int_equal(session.at_ms, -5);
        assert_true(bytes_equal_text(session.client, "other"));
    }
    assert_int_equal(record_reader_next(&reader, &kind, &message, &session), 0);
    buffer_fini(&body);
    chunk_fini(&chunk);
}

static void a_message_from_the_same_place_stores_only_what_is_new(void **state)
{
    (void)state;
    struct chunk chunk = {0};
    struct message message = full;
    message.properties = (struct bytes){0};
    chunk_add_message(&chunk, &message);
    size_t first = chunk.body.size;
    chunk_add_message(&chunk, &message);
    /* kind, size, bits, flags, protocol, packet id */
    assert_int_equal(chunk.body.size - first, message.payload.size + 7);
    assert_int_equal(first, message.payload.size + 7 + 3 + 4 + 8 + 12);
    chunk_fini(&chunk);
}

static void an_unknown_kind_of_record_is_passed_over(void **state)
{
    (void)state;
    struct chunk chunk = {0};
    chunk_add_message(&chunk, &full);
    buffer_u8(&chunk.body, 200);
    buffer_varbytes(&chunk.body, bytes_text("what a later version wrote"));
    chunk_add_message(&chunk, &full);
    struct buffer body = {0};
    frame(&chunk, &body);
    const struct extent extent = extent_of(&body, 1, 2);
    struct record_reader reader;
    enum record_kind kind;
    struct message message;
    struct session_record session;
    record_reader_init(&reader, &extent);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        assert_int_equal(record_reader_next(&reader, &kind, &message, &session), 1);
        assert_message(&message, &full, seq);
    }
    assert_int_equal(record_reader_next(&reader, &kind, &message, &session), 0);
    buffer_fini(&body);
    chunk_fini(&chunk);
}

/* Reads to the end; the records read, or GW_ECORRUPT. Every byte is touched, for the sanitizer. */
static int walk(struct bytes body, uint32_t count)
{
    uint8_t *exact = mem_alloc(body.size); /* so that reading past the end is seen */
    if (body.size)
        memcpy(exact, body.data, body.size);
    const struct extent extent = {
        .first_seq = 1, .seq_count = count, .body = bytes_of(exact, body.size)};
    struct record_reader reader;
    enum record_kind kind;
    struct message message;
    struct session_record session;
    record_reader_init(&reader, &extent);
    int records = 0;
    unsigned sum = 0;
    int rc;
    while ((rc = record_reader_next(&reader, &kind, &message, &session)) == 1) {
        records++;
        struct bytes seen = kind == RECORD_MESSAGE ? message.payload : session.client;
        for (size_t i = 0; i < seen.size; i++)
            sum += seen.data[i];
    }
    free(exact);
    return rc < 0 ? rc : records + (int)(sum & 0);
}

static void cut_and_changed_bytes_are_corrupt_or_read_within_bounds(void **state)
{
    (void)state;
    struct chunk chunk = {0};
    struct session_record received = {
        .kind = RECORD_ID_RECEIVED, .vendor = full.vendor, .client = full.client, .packet_id = 7};
    chunk_add_message(&chunk, &full);
    chunk_add_session(&chunk, &received);
    chunk_add_message(&chunk, &full);
    struct buffer body = {0};
    frame(&chunk, &body);
    assert_int_equal(walk(buffer_bytes(&body), 2), 3);
    assert_int_equal(walk(buffer_bytes(&body), 1), GW_ECORRUPT);
    assert_int_equal(walk(buffer_bytes(&body), 3), GW_ECORRUPT);
    for (size_t cut = 0; cut < body.size; cut++)
        assert_int_equal(walk(bytes_of(body.data, cut), 2), GW_ECORRUPT);
    for (size_t at = 0; at < body.size; at++) {
        for (int value = 0; value < 256; value += 15) {
            uint8_t was = body.data[at];
            body.data[at] = (uint8_t)value;
            assert_in_range(walk(buffer_bytes(&body), 2) + 100, 0, 103);
            body.data[at] = was;
        }
    }
    buffer_fini(&body);
    chunk_fini(&chunk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_and_session_records_come_back_in_order),
        cmocka_unit_test(a_message_from_the_same_place_stores_only_what_is_new),
        cmocka_unit_test(an_unknown_kind_of_record_is_passed_over),
        cmocka_unit_test(cut_and_changed_bytes_are_corrupt_or_read_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
