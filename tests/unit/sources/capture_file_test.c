/* SPDX-License-Identifier: Apache-2.0
 *
 * Capture files: what was written comes back; damage and a cut are told, wherever they are, and cost
 * no more than the frame they hit.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/temp_dir.h"
#include "sources/capture/file.h"

enum { MESSAGES = 40, LOST_FIRST = 500, LOST_COUNT = 7 };

static struct temp_dir dir;
static char path[300];
static struct buffer whole;

static int on_put(void *arg, struct bytes in, struct err *err)
{
    (void)err;
    buffer_add_bytes(arg, in);
    return 0;
}

/* Payloads that zstd cannot make small, so that the file has several frames. */
static void message_make(unsigned n, struct message *out, struct buffer *payload)
{
    static const uint8_t properties[] = {0x26, 0, 1, 'k', 0, 1, 'v'};
    uint32_t state = n * 2654435761U + 1;
    size_t size = n == 3 ? 0 : n % 4 == 0 ? 200000 : n;
    buffer_clear(payload);
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        buffer_u8(payload, (uint8_t)(state >> 24));
    }
    *out = (struct message){
        .seq = 1000 + n,
        .received_ms = n == 5   ? INT64_MIN
                       : n == 6 ? INT64_MAX
                                : 1700000000000 + n / 3,
        .vendor = bytes_text(n % 2 ? "acme" : ""),
        .client = bytes_text("client"),
        .topic = bytes_text("v1/acme/json"),
        .payload = buffer_bytes(payload),
        .properties = n % 5 ? (struct bytes){0} : bytes_of(properties, sizeof properties),
        .flags = (uint8_t)(MESSAGE_RETAIN | (n % 3)),
        .protocol = n % 5 ? 4 : 5,
        .packet_id = (uint16_t)(n * 1000),
    };
}

static int setup(void **state)
{
    (void)state;
    struct capture_writer *writer;
    struct capture_header header = {
        .id = 0xabcdef, .gateway = {42}, .made_ms = 1, .from_ms = INT64_MIN, .to_ms = INT64_MAX};
    struct message message;
    struct buffer payload = {0};
    struct err err;
    temp_dir_make(&dir);
    snprintf(path, sizeof path, "%s/file.capture", dir.path);
    assert_int_equal(capture_writer_new(&header, on_put, &whole, &writer, &err), 0);
    for (unsigned n = 0; n < MESSAGES; n++) {
        message_make(n, &message, &payload);
        assert_int_equal(capture_write(writer, &message, &err), 0);
        if (n == 20)
            assert_int_equal(capture_write_lost(writer, LOST_FIRST, LOST_COUNT, &err), 0);
    }
    assert_int_equal(capture_write_end(writer, &err), 0);
    assert_int_equal(capture_written(writer), MESSAGES);
    capture_writer_free(writer);
    buffer_fini(&payload);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buffer_fini(&whole);
    whole = (struct buffer){0};
    temp_dir_remove(&dir);
    return 0;
}

static void store(struct bytes in)
{
    int fd = disk_real.open(&disk_real, path, O_RDWR | O_CREAT);
    assert_true(fd >= 0);
    assert_int_equal(disk_real.truncate(&disk_real, fd, 0), 0);
    assert_int_equal(disk_write_all(&disk_real, fd, in, 0), 0);
    disk_real.close(&disk_real, fd);
}

struct seen {
    unsigned messages, damaged, lost;
    int end;
};

/* Every message that comes is one that was written, under its index. */
static void assert_message(const struct capture_item *item)
{
    struct message wanted;
    struct buffer payload = {0};
    const struct message *got = &item->message;
    message_make((unsigned)item->index, &wanted, &payload);
    assert_int_equal(got->seq, wanted.seq);
    assert_true(got->received_ms == wanted.received_ms);
    assert_true(bytes_equal(got->vendor, wanted.vendor));
    assert_true(bytes_equal(got->client, wanted.client));
    assert_true(bytes_equal(got->topic, wanted.topic));
    assert_true(bytes_equal(got->payload, wanted.payload));
    assert_true(bytes_equal(got->properties, wanted.properties));
    assert_int_equal(got->flags, wanted.flags);
    assert_int_equal(got->protocol, wanted.protocol);
    assert_int_equal(got->packet_id, wanted.packet_id);
    buffer_fini(&payload);
}

static struct seen read_all(uint64_t skip)
{
    struct seen seen = {0};
    struct capture_reader *reader;
    struct capture_item item;
    struct err err;
    uint64_t next = skip;
    int got;
    assert_int_equal(capture_reader_new(&disk_real, path, &reader, &err), 0);
    capture_reader_skip(reader, skip);
    while ((got = capture_reader_next(reader, &item, &err)) != CAPTURE_END && got != CAPTURE_CUT) {
        assert_true(got > 0);
        if (got == CAPTURE_MESSAGE) {
            assert_true(item.index >= next);
            next = item.index + 1;
            assert_message(&item);
            seen.messages++;
        } else if (got == CAPTURE_LOST) {
            assert_int_equal(item.first_seq, LOST_FIRST);
            seen.lost += (unsigned)item.count;
        } else {
            seen.damaged += (unsigned)item.count;
        }
    }
    seen.end = got;
    assert_int_equal(capture_reader_next(reader, &item, &err), got); /* and stays so */
    capture_reader_free(reader);
    return seen;
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    struct capture_reader *reader;
    struct err err;
    uint64_t total = 0;
    store(buffer_bytes(&whole));
    struct seen seen = read_all(0);
    assert_int_equal(seen.messages, MESSAGES);
    assert_int_equal(seen.lost, LOST_COUNT);
    assert_int_equal(seen.damaged, 0);
    assert_int_equal(seen.end, CAPTURE_END);
    assert_int_equal(capture_reader_new(&disk_real, path, &reader, &err), 0);
    assert_int_equal(capture_reader_header(reader)->id, 0xabcdef);
    assert_int_equal(capture_reader_header(reader)->gateway.bits, 42);
    assert_true(capture_reader_header(reader)->from_ms == INT64_MIN);
    assert_true(capture_reader_total(reader, &total));
    assert_int_equal(total, MESSAGES);
    capture_reader_free(reader);
}

static void reading_begins_at_any_message(void **state)
{
    (void)state;
    store(buffer_bytes(&whole));
    for (unsigned skip = 0; skip <= MESSAGES; skip++) {
        struct seen seen = read_all(skip);
        assert_int_equal(seen.messages, MESSAGES - skip);
        assert_int_equal(seen.damaged, 0);
        assert_int_equal(seen.lost, skip <= 21 ? LOST_COUNT : 0);
        assert_int_equal(seen.end, CAPTURE_END);
    }
}

static void a_cut_file_is_told_wherever_the_cut_is(void **state)
{
    (void)state;
    unsigned most = 0;
    for (size_t size = CAPTURE_HEADER_BYTES; size < whole.size; size += size % 64 ? 9973 : 61) {
        store(bytes_of(whole.data, size));
        struct seen seen = read_all(0);
        assert_int_equal(seen.end, CAPTURE_CUT);
        assert_int_equal(seen.damaged, 0);
        assert_true(seen.messages >= most); /* frames that are whole are read */
        most = seen.messages;
    }
    assert_true(most > 20);
}

static void damage_is_told_and_costs_one_frame(void **state)
{
    (void)state;
    unsigned least = MESSAGES;
    struct buffer bad = {0};
    buffer_add_bytes(&bad, buffer_bytes(&whole));
    for (size_t at = CAPTURE_HEADER_BYTES; at < whole.size; at += 14983) {
        bad.data[at] ^= 0x40;
        store(buffer_bytes(&bad));
        struct seen seen = read_all(0);
        bad.data[at] ^= 0x40;
        if (seen.end == CAPTURE_END) {
            /* All is accounted for, but for the range that a damaged frame told of. */
            assert_int_equal(seen.messages + seen.damaged, MESSAGES);
            assert_true(seen.damaged > 0 || seen.lost == 0);
        }
        if (seen.messages < least)
            least = seen.messages;
    }
    assert_true(least >= MESSAGES - 24); /* some 20 of them are in one frame of 1 MiB */
    assert_true(least < MESSAGES);
    buffer_fini(&bad);
}

static void damage_of_each_byte_of_a_frame_header_is_told(void **state)
{
    (void)state;
    struct buffer bad = {0};
    buffer_add_bytes(&bad, buffer_bytes(&whole));
    for (size_t i = 0; i < CAPTURE_FRAME_BYTES; i++) {
        bad.data[CAPTURE_HEADER_BYTES + i] ^= 0x01;
        store(buffer_bytes(&bad));
        struct seen seen = read_all(0);
        bad.data[CAPTURE_HEADER_BYTES + i] ^= 0x01;
        assert_int_equal(seen.end, CAPTURE_END);
        assert_true(seen.damaged > 0);
        assert_int_equal(seen.messages + seen.damaged, MESSAGES);
    }
    buffer_fini(&bad);
}

static void frames_of_another_file_are_not_taken(void **state)
{
    (void)state;
    struct buffer mixed = {0};
    uint8_t header[CAPTURE_HEADER_BYTES];
    capture_header_encode(&(struct capture_header){.id = 0xabcdee}, header);
    buffer_add(&mixed, header, sizeof header);
    buffer_add(&mixed, whole.data + sizeof header, whole.size - sizeof header);
    store(buffer_bytes(&mixed));
    struct seen seen = read_all(0);
    assert_int_equal(seen.messages, 0);
    assert_int_equal(seen.end, CAPTURE_CUT);
    buffer_fini(&mixed);
}

static void what_is_no_capture_file_is_refused(void **state)
{
    (void)state;
    struct capture_reader *reader;
    struct err err;
    struct buffer bad = {0};
    assert_int_equal(capture_reader_new(&disk_real, path, &reader, &err), GW_ENOENT);
    store(bytes_text("no capture"));
    assert_int_equal(capture_reader_new(&disk_real, path, &reader, &err), GW_ECORRUPT);
    for (size_t i = 0; i < CAPTURE_HEADER_BYTES; i++) {
        buffer_clear(&bad);
        buffer_add_bytes(&bad, buffer_bytes(&whole));
        bad.data[i] ^= 0x01;
        store(buffer_bytes(&bad));
        int rc = capture_reader_new(&disk_real, path, &reader, &err);
        assert_true(rc == GW_ECORRUPT || rc == GW_EVERSION);
    }
    buffer_clear(&bad);
    buffer_add_bytes(&bad, buffer_bytes(&whole));
    store_u16_le(bad.data + 8, 2);
    store(buffer_bytes(&bad));
    assert_int_equal(capture_reader_new(&disk_real, path, &reader, &err), GW_EVERSION);
    assert_int_equal(capture_reader_new(&disk_real, dir.path, &reader, &err), GW_EINVAL);
    buffer_fini(&bad);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_read),
        TEST(reading_begins_at_any_message),
        TEST(a_cut_file_is_told_wherever_the_cut_is),
        TEST(damage_is_told_and_costs_one_frame),
        TEST(damage_of_each_byte_of_a_frame_header_is_told),
        TEST(frames_of_another_file_are_not_taken),
        TEST(what_is_no_capture_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
