/* SPDX-License-Identifier: Apache-2.0
 *
 * A listener on a free port over the fake raw log, and clients that are plain sockets: what the tests
 * of connections share. Included by one file of a test program.
 */
#ifndef TIDEGATE_TESTS_MQTT_RIG_H
#define TIDEGATE_TESTS_MQTT_RIG_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sources/mqtt/listener.h"
#include "unit/sources/fake_rawlog.h"

#define B(text) bytes_of(text, sizeof(text) - 1)

enum { WAIT_MS = 10000 };

struct rig {
    struct rawlog *rawlog;
    struct access *access;
    struct vendor_table vendors;
    struct listener_options options;
    struct source *source;
    int port;
    _Atomic bool closed;
};

/* Options as name and text, ended by null. */
static inline void rig_listen(struct rig *rig, const char *const *options)
{
    struct err err = {0};
    option_defaults(listener_option_rows, &rig->options);
    const struct option *listen = option_find(listener_option_rows, "listen");
    assert_int_equal(option_set(listen, &rig->options, "127.0.0.1:0", &err), 0);
    for (; options && *options; options += 2) {
        const struct option *row = option_find(listener_option_rows, options[0]);
        assert_non_null(row);
        if (option_set(row, &rig->options, options[1], &err))
            fail_msg("%s", err.text);
    }
    vendor_table_init(&rig->vendors, 64 << 20);
    rig->source = listener_new(&rig->options, rig->rawlog, rig->access, &rig->vendors, &err);
    if (rig->source == NULL || rig->source->type->start(rig->source, &err))
        fail_msg("%s", err.text);
    rig->port = listener_port(rig->source);
    rig->closed = false;
}

static inline void rig_access(struct rig *rig, enum access_anonymous anonymous)
{
    struct err err = {0};
    struct access_rules rules = {.anonymous = anonymous};
    if (access_load(rig->access, NULL, &rules, &err))
        fail_msg("%s", err.text);
}

static inline void rig_start(struct rig *rig, const char *const *options)
{
    *rig = (struct rig){.rawlog = fake_rawlog_new(), .access = access_new()};
    rig_access(rig, ANONYMOUS_LOOPBACK);
    rig_listen(rig, options);
}

static inline void rig_on_closed(void *arg)
{
    ((struct rig *)arg)->closed = true;
}

static inline void rig_unlisten(struct rig *rig, int64_t drain_ms)
{
    rig->source->type->close(rig->source, drain_ms, rig_on_closed, rig);
    int64_t end = clock_monotonic_ms() + WAIT_MS;
    while (!rig->closed) {
        assert_true(clock_monotonic_ms() < end);
        usleep(500);
    }
    rig->source->type->free(rig->source);
    rig->source = NULL;
    vendor_table_fini(&rig->vendors);
    option_fini(listener_option_rows, &rig->options);
}

static inline void rig_stop(struct rig *rig)
{
    if (rig->source)
        rig_unlisten(rig, 2000);
    fake_rawlog_free(rig->rawlog);
    access_free(rig->access);
}

/* Waits until `count` records of that kind are durable; returns the newest of them. */
static inline struct fake_record rig_wait(struct rig *rig, enum record_kind kind, size_t count)
{
    int64_t end = clock_monotonic_ms() + WAIT_MS;
    for (;;) {
        size_t found = 0;
        struct fake_record last = {0};
        pthread_mutex_lock(&rig->rawlog->lock);
        for (size_t i = 0; i < rig->rawlog->log_count; i++)
            if (rig->rawlog->log[i].kind == kind && ++found)
                last = rig->rawlog->log[i];
        pthread_mutex_unlock(&rig->rawlog->lock);
        assert_true(found <= count);
        if (found == count)
            return last;
        if (clock_monotonic_ms() > end)
            fail_msg("%zu records of kind %d, not %zu", found, kind, count);
        usleep(500);
    }
}

static inline size_t rig_count(struct rig *rig, enum record_kind kind)
{
    size_t found = 0;
    pthread_mutex_lock(&rig->rawlog->lock);
    for (size_t i = 0; i < rig->rawlog->log_count; i++)
        found += rig->rawlog->log[i].kind == kind;
    pthread_mutex_unlock(&rig->rawlog->lock);
    return found;
}

/* Waits for a sum of listener_stats. */
#define rig_wait_stat(rig, member, wanted)                                                         \
    do {                                                                                           \
        struct listener_stats stats_;                                                              \
        int64_t end_ = clock_monotonic_ms() + WAIT_MS;                                             \
        for (;;) {                                                                                 \
            listener_stats((rig)->source, &stats_);                                                \
            if (stats_.member == (wanted))                                                         \
                break;                                                                             \
            if (clock_monotonic_ms() > end_)                                                       \
                fail_msg(#member " is %llu", (unsigned long long)stats_.member);                   \
            usleep(500);                                                                           \
        }                                                                                          \
    } while (0)

/* ---- clients ---- */

static inline int peer_open(const struct rig *rig)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)rig->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static inline void peer_send(int fd, struct bytes out)
{
    while (out.size) {
        ssize_t sent = send(fd, out.data, out.size, MSG_NOSIGNAL);
        assert_true(sent > 0);
        out = bytes_of(out.data + sent, out.size - (size_t)sent);
    }
}

/* Exactly these bytes come next. */
static inline void peer_expect(int fd, struct bytes wanted)
{
    uint8_t got[256];
    size_t have = 0;
    assert_true(wanted.size <= sizeof got);
    while (have < wanted.size) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, WAIT_MS) != 1)
            fail_msg("%zu of %zu bytes after %d ms", have, wanted.size, WAIT_MS);
        ssize_t size = recv(fd, got + have, wanted.size - have, 0);
        if (size <= 0)
            fail_msg("closed after %zu of %zu bytes", have, wanted.size);
        have += (size_t)size;
    }
    assert_memory_equal(got, wanted.data, wanted.size);
}

static inline void peer_expect_end(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, WAIT_MS), 1);
    uint8_t byte;
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
}

/* Nothing came but the answer to this ping: whatever was sent before is not answered yet. */
static inline void peer_expect_only_pong(int fd)
{
    peer_send(fd, B("\xc0\x00"));
    peer_expect(fd, B("\xd0\x00"));
}

struct peer_options {
    const char *client;
    uint8_t version; /* 0: 3.1.1 */
    bool resume;     /* clean start off */
    uint32_t expiry_s;
    const char *will;
    uint32_t will_delay_s;
    const char *user, *password; /* both or none */
};

static inline void peer_put_text(struct buffer *out, const char *text)
{
    buffer_u16_be(out, (uint16_t)strlen(text));
    buffer_add_text(out, text);
}

static inline void peer_send_connect(int fd, struct peer_options options)
{
    bool v5 = options.version == 5;
    struct buffer body = {0};
    peer_put_text(&body, "MQTT");
    buffer_u8(&body, v5 ? 5 : 4);
    buffer_u8(&body, (uint8_t)((options.resume ? 0 : 2) | (options.will ? 4 : 0) |
                               (options.user ? 0xc0 : 0)));
    buffer_u16_be(&body, 600);
    if (v5) {
        buffer_add(&body, "\x05\x11", 2);
        buffer_u32_be(&body, options.expiry_s);
    }
    peer_put_text(&body, options.client);
    if (options.will) {
        if (v5) {
            buffer_add(&body, "\x05\x18", 2);
            buffer_u32_be(&body, options.will_delay_s);
        }
        peer_put_text(&body, "will/topic");
        peer_put_text(&body, options.will);
    }
    if (options.user) {
        peer_put_text(&body, options.user);
        peer_put_text(&body, options.password);
    }
    uint8_t head[2] = {0x10, (uint8_t)body.size};
    assert_true(body.size < 128);
    peer_send(fd, bytes_of(head, 2));
    peer_send(fd, buffer_bytes(&body));
    buffer_fini(&body);
}

/* The CONNACK, whole: 5.0 has properties behind its first two bytes. */
static inline void peer_expect_connack(int fd, bool present)
{
    uint8_t head[2], body[128];
    for (size_t have = 0; have < 2; have++) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, WAIT_MS), 1);
        assert_int_equal(recv(fd, head + have, 1, 0), 1);
    }
    assert_int_equal(head[0], 0x20);
    assert_true(head[1] <= sizeof body);
    assert_int_equal(recv(fd, body, head[1], MSG_WAITALL), head[1]);
    assert_int_equal(body[1], 0);
    assert_int_equal(body[0], present);
}

static inline int peer_connect(const struct rig *rig, struct peer_options options, bool present)
{
    int fd = peer_open(rig);
    peer_send_connect(fd, options);
    peer_expect_connack(fd, present);
    return fd;
}

/* PUBLISH of MQTT 3.1.1, or of 5.0 with an empty list. */
static inline void peer_publish(int fd, uint8_t version, int qos, uint16_t id, const char *topic,
                                size_t payload_size)
{
    struct buffer out = {0};
    size_t size = 2 + strlen(topic) + (qos ? 2 : 0) + (version == 5) + payload_size;
    buffer_u8(&out, (uint8_t)(0x30 | qos << 1));
    buffer_varint(&out, size);
    peer_put_text(&out, topic);
    if (qos)
        buffer_u16_be(&out, id);
    if (version == 5)
        buffer_u8(&out, 0);
    memset(buffer_reserve(&out, payload_size), 'x', payload_size);
    out.size += payload_size;
    peer_send(fd, buffer_bytes(&out));
    buffer_fini(&out);
}

static inline void peer_expect_ack(int fd, uint8_t first, uint16_t id)
{
    peer_expect(fd, bytes_of((uint8_t[]){first, 2, (uint8_t)(id >> 8), (uint8_t)id}, 4));
}

#endif
