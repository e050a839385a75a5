/* SPDX-License-Identifier: Apache-2.0
 *
 * What a connection promises, against a raw log whose disk the test holds in its hand: no
 * acknowledgement before the commit (invariant 1), no negative one for what may pass (2), order (4),
 * sessions and packet ids that survive (11), and an end that loses nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/sources/mqtt_rig.h"

#define PUBACK  0x40
#define PUBREC  0x50
#define PUBCOMP 0x70

/* ---- invariants 1 and 4 ---- */

static void puback_waits_for_the_commit(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, NULL);
    int fd = peer_connect(&rig, (struct peer_options){.client = "one"}, false);
    fake_rawlog_tap(rig.rawlog, false);
    peer_publish(fd, 4, 1, 7, "a/b", 10);
    peer_publish(fd, 4, 2, 8, "a/b", 10);
    peer_expect_only_pong(fd);
    fake_rawlog_tap(rig.rawlog, true);
    peer_expect_ack(fd, PUBACK, 7);
    peer_expect_ack(fd, PUBREC, 8);
    struct fake_record record = rig_wait(&rig, RECORD_MESSAGE, 2);
    assert_string_equal(record.topic, "a/b");
    assert_string_equal(record.client, "one");
    assert_int_equal(record.packet_id, 8);
    close(fd);
    rig_stop(&rig);
}

static void acknowledgements_keep_the_order_of_their_messages(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, NULL);
    int fd = peer_connect(&rig, (struct peer_options){.client = "order", .version = 5}, false);
    fake_rawlog_tap(rig.rawlog, false);
    /* The refusal of 2 is known at once, and waits for 1 all the same. */
    peer_publish(fd, 5, 1, 1, "a/b", 10);
    peer_publish(fd, 5, 1, 2, "$SYS/x", 10);
    peer_publish(fd, 5, 1, 3, "a/b", 10);
    peer_expect_only_pong(fd);
    fake_rawlog_tap(rig.rawlog, true);
    peer_expect_ack(fd, PUBACK, 1);
    peer_expect(fd, B("\x40\x03\x00\x02\x87"));
    peer_expect_ack(fd, PUBACK, 3);
    assert_int_equal(rig_count(&rig, RECORD_MESSAGE), 2);
    close(fd);
    rig_stop(&rig);
}

static void commits_group_while_the_disk_is_busy(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"loops", "1", NULL});
    int fd = peer_connect(&rig, (struct peer_options){.client = "group"}, false);
    fake_rawlog_tap(rig.rawlog, false);
    for (uint16_t id = 1; id <= 200; id++) {
        peer_publish(fd, 4, 1, id, "a/b", 10);
        if (id == 1)
            peer_expect_only_pong(fd); /* the first is under way alone */
    }
    peer_expect_only_pong(fd);
    fake_rawlog_tap(rig.rawlog, true);
    for (uint16_t id = 1; id <= 200; id++)
        peer_expect_ack(fd, PUBACK, id);
    assert_true(rig.rawlog->commits <= 3);
    close(fd);
    rig_stop(&rig);
}

/* ---- invariant 2: holding ---- */

static void full_journal_holds_and_still_answers_pings(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"loops", "1", NULL});
    int fd = peer_connect(&rig, (struct peer_options){.client = "hold"}, false);
    pthread_mutex_lock(&rig.rawlog->lock);
    rig.rawlog->chunks_max = 0;
    pthread_mutex_unlock(&rig.rawlog->lock);
    fake_rawlog_tap(rig.rawlog, false);
    uint16_t sent = 0;
    struct listener_stats stats = {0};
    while (!stats.held_connections) { /* the chunk at hand still fills */
        assert_true(sent < 3000);
        peer_publish(fd, 4, 1, ++sent, "a/b", 200);
        peer_expect_only_pong(fd);
        listener_stats(rig.source, &stats);
    }
    peer_publish(fd, 4, 1, ++sent, "a/b", 200);
    peer_expect_only_pong(fd);
    peer_send(fd, B("\xc0\x00\xc0\x00"));
    peer_expect(fd, B("\xd0\x00\xd0\x00"));
    pthread_mutex_lock(&rig.rawlog->lock);
    rig.rawlog->chunks_max = 8;
    pthread_mutex_unlock(&rig.rawlog->lock);
    fake_rawlog_tap(rig.rawlog, true);
    for (uint16_t id = 1; id <= sent; id++)
        peer_expect_ack(fd, PUBACK, id);
    peer_expect_only_pong(fd); /* the pings that were answered are not answered again */
    rig_wait(&rig, RECORD_MESSAGE, sent);
    rig_wait_stat(&rig, held_connections, 0);
    close(fd);
    rig_stop(&rig);
}

static void backlog_of_one_connection_is_bounded(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"loops", "1", "held_bytes", "16KiB", NULL});
    int fd = peer_connect(&rig, (struct peer_options){.client = "backlog"}, false);
    int other = peer_connect(&rig, (struct peer_options){.client = "other"}, false);
    fake_rawlog_tap(rig.rawlog, false);
    for (uint16_t id = 1; id <= 40; id++)
        peer_publish(fd, 4, 1, id, "a/b", 1000);
    rig_wait_stat(&rig, held_connections, 1);
    struct listener_stats stats;
    listener_stats(rig.source, &stats);
    assert_true(stats.messages_received <= 16);
    peer_publish(other, 4, 1, 1, "a/b", 10); /* others go on */
    rig_wait_stat(&rig, messages_received, stats.messages_received + 1);
    fake_rawlog_tap(rig.rawlog, true);
    for (uint16_t id = 1; id <= 40; id++)
        peer_expect_ack(fd, PUBACK, id);
    peer_expect_ack(other, PUBACK, 1);
    close(fd);
    close(other);
    rig_stop(&rig);
}

static void held_too_long_ends_without_a_negative_puback(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"loops", "1", "held_bytes", "4096", "hold_max", "1s", NULL});
    int fd = peer_connect(&rig, (struct peer_options){.client = "patience", .version = 5}, false);
    fake_rawlog_tap(rig.rawlog, false);
    for (uint16_t id = 1; id <= 10; id++)
        peer_publish(fd, 5, 1, id, "a/b", 1000);
    peer_expect(fd, B("\xe0\x01\x97"));
    peer_expect_end(fd);
    fake_rawlog_tap(rig.rawlog, true);
    rig_stop(&rig);
}

static void older_client_over_receive_max_waits(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"loops", "1", "receive_max", "5", NULL});
    int fd = peer_connect(&rig, (struct peer_options){.client = "window"}, false);
    fake_rawlog_tap(rig.rawlog, false);
    for (uint16_t id = 1; id <= 20; id++)
        peer_publish(fd, 4, 1, id, "a/b", 10);
    rig_wait_stat(&rig, held_connections, 1);
    rig_wait_stat(&rig, messages_received, 5);
    fake_rawlog_tap(rig.rawlog, true);
    for (uint16_t id = 1; id <= 20; id++)
        peer_expect_ack(fd, PUBACK, id);
    close(fd);
    rig_stop(&rig);
}

static void newer_client_over_receive_max_is_ended_or_counted(void **state)
{
    (void)state;
    for (int strict = 0; strict < 2; strict++) {
        struct rig rig;
        rig_start(&rig, (const char *[]){"receive_max", "3", "receive_max_strict",
                                         strict ? "true" : "false", NULL});
        int fd = peer_connect(&rig, (struct peer_options){.client = "w", .version = 5}, false);
        fake_rawlog_tap(rig.rawlog, false);
        for (uint16_t id = 1; id <= 4; id++)
            peer_publish(fd, 5, 1, id, "a/b", 10);
        if (strict) {
            peer_expect(fd, B("\xe0\x01\x93"));
            fake_rawlog_tap(rig.rawlog, true);
            rig_wait(&rig, RECORD_MESSAGE, 3);
        } else {
            peer_expect_only_pong(fd);
            fake_rawlog_tap(rig.rawlog, true);
            for (uint16_t id = 1; id <= 4; id++)
                peer_expect_ack(fd, PUBACK, id);
        }
        close(fd);
        rig_stop(&rig);
    }
}

/* ---- invariant 11: sessions and QoS 2 ---- */

static void connack_waits_for_the_session_record(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"loops", "1", NULL});
    struct peer_options keep = {.client = "keep", .version = 5, .expiry_s = 60};
    fake_rawlog_tap(rig.rawlog, false);
    int fd = peer_open(&rig);
    peer_send_connect(fd, keep);
    int plain = peer_connect(&rig, (struct peer_options){.client = "plain"}, false); /* at once */
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 0), 0);
    fake_rawlog_tap(rig.rawlog, true);
    peer_expect_connack(fd, false);
    assert_int_equal(rig_wait(&rig, RECORD_SESSION_MADE, 1).expiry_s, 60);
    peer_send(fd, B("\xe0\x00"));
    peer_expect_end(fd);
    rig_wait(&rig, RECORD_SESSION_LEFT, 1);
    keep.resume = true;
    fd = peer_connect(&rig, keep, true);
    close(fd);
    close(plain);
    rig_stop(&rig);
}

static void clean_start_ends_the_old_session_first(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, NULL);
    struct peer_options keep = {.client = "clean", .resume = true};
    close(peer_connect(&rig, keep, false));
    rig_wait(&rig, RECORD_SESSION_LEFT, 1);
    int fd = peer_connect(&rig, (struct peer_options){.client = "clean"}, false);
    rig_wait(&rig, RECORD_SESSION_ENDED, 1);
    close(fd);
    rig_wait_stat(&rig, sessions, 0);
    fd = peer_connect(&rig, keep, false);
    close(fd);
    rig_stop(&rig);
}

static void qos_2_is_stored_once_and_its_id_is_behind_it(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, NULL);
    int fd = peer_connect(&rig, (struct peer_options){.client = "two", .resume = true}, false);
    fake_rawlog_tap(rig.rawlog, false);
    peer_publish(fd, 4, 2, 9, "a/b", 10);
    peer_publish(fd, 4, 2, 9, "a/b", 10);
    peer_expect_only_pong(fd); /* neither PUBREC before the commit */
    fake_rawlog_tap(rig.rawlog, true);
    peer_expect_ack(fd, PUBREC, 9);
    peer_expect_ack(fd, PUBREC, 9);
    assert_int_equal(rig_wait(&rig, RECORD_ID_RECEIVED, 1).packet_id, 9);
    assert_int_equal(rig_count(&rig, RECORD_MESSAGE), 1);
    pthread_mutex_lock(&rig.rawlog->lock);
    size_t last = rig.rawlog->log_count - 1;
    assert_int_equal(rig.rawlog->log[last].kind, RECORD_ID_RECEIVED);
    assert_int_equal(rig.rawlog->log[last - 1].kind, RECORD_MESSAGE);
    pthread_mutex_unlock(&rig.rawlog->lock);
    fake_rawlog_tap(rig.rawlog, false);
    peer_send(fd, B("\x62\x02\x00\x09"));
    peer_expect_only_pong(fd); /* PUBCOMP waits for its record */
    fake_rawlog_tap(rig.rawlog, true);
    peer_expect_ack(fd, PUBCOMP, 9);
    rig_wait(&rig, RECORD_ID_RELEASED, 1);
    close(fd);
    rig_stop(&rig);
}

static void qos_2_ids_survive_a_restart(void **state)
{
    (void)state;
    struct rig rig = {.rawlog = fake_rawlog_new(), .access = access_new()};
    rig_access(&rig, ANONYMOUS_LOOPBACK);
    const uint16_t ids[] = {5, 9};
    rig.rawlog->recovered = (struct sessions){
        .states =
            {{.vendor = B(""), .client = B("back"), .expiry_s = 600, .ids = ids, .id_count = 2},
             {.vendor = B(""), .client = B("over"), .expiry_s = 1, .left_ms = 1000}},
        .count = 2};
    rig_listen(&rig, NULL);
    int fd = peer_connect(&rig, (struct peer_options){.client = "back", .resume = true}, true);
    peer_publish(fd, 4, 2, 9, "a/b", 10);
    peer_expect_ack(fd, PUBREC, 9);
    peer_publish(fd, 4, 2, 6, "a/b", 10);
    peer_expect_ack(fd, PUBREC, 6);
    assert_int_equal(rig_wait(&rig, RECORD_MESSAGE, 1).packet_id, 6);
    peer_send(fd, B("\x62\x02\x00\x05"));
    peer_expect_ack(fd, PUBCOMP, 5);
    assert_int_equal(rig_wait(&rig, RECORD_ID_RELEASED, 1).packet_id, 5);
    close(peer_connect(&rig, (struct peer_options){.client = "over", .resume = true}, false));
    close(fd);
    rig_stop(&rig);
}

static void sessions_beyond_the_limit_drop_the_oldest(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"sessions_max", "3", NULL});
    for (int i = 0; i < 6; i++) {
        char client[16];
        snprintf(client, sizeof client, "many%d", i);
        close(peer_connect(&rig, (struct peer_options){.client = client, .resume = true}, false));
        rig_wait(&rig, RECORD_SESSION_LEFT, (size_t)i + 1);
    }
    assert_string_equal(rig_wait(&rig, RECORD_SESSION_ENDED, 3).client, "many2");
    rig_wait_stat(&rig, sessions, 3);
    rig_stop(&rig);
}

static void client_that_says_all_at_once_and_goes_is_heard(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"loops", "1", NULL});
    fake_rawlog_tap(rig.rawlog, false);
    int fd = peer_open(&rig);
    peer_send_connect(fd, (struct peer_options){.client = "brief", .resume = true, .will = "no"});
    peer_publish(fd, 4, 0, 0, "a/b", 10);
    peer_publish(fd, 4, 1, 1, "a/b", 10);
    peer_send(fd, B("\xe0\x00"));
    shutdown(fd, SHUT_WR); /* all of it before CONNACK */
    rig_wait_stat(&rig, sessions, 1);
    fake_rawlog_tap(rig.rawlog, true);
    rig_wait(&rig, RECORD_SESSION_LEFT, 1);
    assert_int_equal(rig_count(&rig, RECORD_MESSAGE), 2); /* and no will */
    close(fd);
    rig_stop(&rig);
}

/* ---- take-over ---- */

static void take_over_waits_for_what_the_old_connection_said(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"loops", "3", NULL});
    struct peer_options keep = {.client = "same", .version = 5, .resume = true, .expiry_s = 60};
    int old = peer_connect(&rig, keep, false);
    fake_rawlog_tap(rig.rawlog, false);
    peer_publish(old, 5, 2, 4, "a/b", 10);
    peer_expect_only_pong(old);
    int new = peer_open(&rig);
    peer_send_connect(new, keep);
    peer_expect(old, B("\xe0\x01\x8e"));
    peer_expect_end(old);
    struct pollfd ready = {.fd = new, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 20), 0); /* its CONNACK may not come before the tap opens */
    fake_rawlog_tap(rig.rawlog, true);
    peer_expect_connack(new, true);
    peer_publish(new, 5, 2, 4, "a/b", 10); /* sent again, as the PUBREC was lost */
    peer_expect_ack(new, PUBREC, 4);
    rig_wait(&rig, RECORD_MESSAGE, 1);
    close(new);
    rig_stop(&rig);
}

/* ---- wills ---- */

static void will_is_stored_when_the_client_vanishes(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, NULL);
    int fd = peer_connect(&rig, (struct peer_options){.client = "w", .will = "gone"}, false);
    peer_send(fd, B("\xe0\x00"));
    peer_expect_end(fd);
    fd = peer_connect(&rig, (struct peer_options){.client = "w", .will = "lost"}, false);
    close(fd);
    struct fake_record record = rig_wait(&rig, RECORD_MESSAGE, 1);
    assert_memory_equal(record.payload, "lost", 4);
    assert_string_equal(record.topic, "will/topic");
    assert_string_equal(record.client, "w");
    assert_int_equal(record.flags, MESSAGE_WILL);
    assert_int_equal(record.packet_id, 0);
    rig_stop(&rig);
}

static void delayed_will_is_without_its_delay_and_due_at_the_end(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, NULL);
    struct peer_options options = {.client = "d",
                                   .version = 5,
                                   .expiry_s = 600,
                                   .will = "delayed",
                                   .will_delay_s = 500,
                                   .resume = true};
    close(peer_connect(&rig, options, false));
    rig_wait(&rig, RECORD_SESSION_LEFT, 1);
    assert_int_equal(rig_count(&rig, RECORD_MESSAGE), 0);
    rig_unlisten(&rig, 2000); /* nobody will be there when it is due */
    struct fake_record record = rig_wait(&rig, RECORD_MESSAGE, 1);
    assert_memory_equal(record.payload, "delayed", 7);
    assert_int_equal(record.properties_size, 0);
    rig_stop(&rig);
}

/* ---- properties ---- */

static void properties_are_kept_without_the_alias(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, NULL);
    int fd = peer_connect(&rig, (struct peer_options){.client = "p", .version = 5}, false);
    peer_send(fd, B("\x32\x14\x00\x03"
                    "a/b\x00\x01\x0a\x01\x01\x23\x00\x07\x02\x00\x00\x00\x09{}"));
    peer_expect_ack(fd, PUBACK, 1);
    peer_send(fd, B("\x32\x0a\x00\x00\x00\x02\x03\x23\x00\x07[]"));
    peer_expect_ack(fd, PUBACK, 2);
    struct fake_record second = rig_wait(&rig, RECORD_MESSAGE, 2);
    assert_string_equal(second.topic, "a/b");
    assert_int_equal(second.properties_size, 0);
    assert_memory_equal(second.payload, "[]", 2);
    struct fake_record first = rig.rawlog->log[0];
    assert_int_equal(first.properties_size, 7);
    assert_memory_equal(first.properties, "\x01\x01\x02\x00\x00\x00\x09", 7);
    assert_int_equal(first.protocol, 5);
    close(fd);
    rig_stop(&rig);
}

/* ---- deadlines and limits ---- */

static void silent_and_dribbling_clients_are_closed(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"connect_timeout", "200ms", "packet_timeout", "200ms", NULL});
    int silent = peer_open(&rig);
    int half = peer_open(&rig);
    peer_send(half, B("\x10\x20\x00\x04MQ"));
    int slow = peer_connect(&rig, (struct peer_options){.client = "slow", .version = 5}, false);
    peer_send(slow, B("\x32\x14\x00\x03"
                      "a/b"));
    peer_expect_end(silent);
    peer_expect_end(half);
    peer_expect(slow, B("\xe0\x01\x81"));
    peer_expect_end(slow);
    rig_stop(&rig);
}

static void connections_beyond_the_limit_are_shed(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"connections_max", "2", NULL});
    int one = peer_connect(&rig, (struct peer_options){.client = "1"}, false);
    int two = peer_connect(&rig, (struct peer_options){.client = "2"}, false);
    peer_expect_end(peer_open(&rig));
    rig_wait_stat(&rig, shed, 1);
    close(one);
    rig_wait_stat(&rig, connections, 1);
    int three = peer_connect(&rig, (struct peer_options){.client = "3"}, false);
    close(two);
    close(three);
    rig_stop(&rig);
}

static void peer_that_does_not_read_is_closed(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"write_queue_max", "1024", NULL});
    int fd = peer_connect(&rig, (struct peer_options){.client = "deaf"}, false);
    /* SUBACKs of 20,000 codes each, until the kernel's buffers are full and then ours. */
    struct buffer subscribe = {0};
    buffer_u8(&subscribe, 0x82);
    buffer_varint(&subscribe, 2 + 20000 * 4);
    buffer_u16_be(&subscribe, 1);
    for (int i = 0; i < 20000; i++)
        buffer_add(&subscribe,
                   "\x00\x01"
                   "a\x00",
                   4);
    struct listener_stats stats;
    do {
        if (send(fd, subscribe.data, subscribe.size, MSG_NOSIGNAL) < 0)
            break;
        listener_stats(rig.source, &stats);
    } while (stats.connections);
    rig_wait_stat(&rig, connections, 0);
    buffer_fini(&subscribe);
    close(fd);
    rig_stop(&rig);
}

static void reload_ends_connections_that_lost_their_right(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, NULL);
    int fd = peer_connect(&rig, (struct peer_options){.client = "r", .version = 5}, false);
    rig_access(&rig, ANONYMOUS_LOOPBACK); /* nothing changed for it */
    peer_expect_only_pong(fd);
    rig_access(&rig, ANONYMOUS_REFUSE);
    peer_expect(fd, B("\xe0\x01\x98"));
    peer_expect_end(fd);
    rig_stop(&rig);
}

static void port_of_another_listener_is_refused_unless_shared(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"loops", "2", NULL});
    struct listener_options options = {0};
    struct err err = {0};
    option_defaults(listener_option_rows, &options);
    char listen[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%d", rig.port);
    option_set(option_find(listener_option_rows, "listen"), &options, listen, &err);
    for (int shared = 0; shared < 2; shared++) {
        options.share_port = shared;
        struct source *second = listener_new(&options, rig.rawlog, rig.access, &rig.vendors, &err);
        assert_non_null(second);
        if (shared) {
            assert_int_equal(second->type->start(second, &err), 0);
            assert_int_equal(listener_port(second), rig.port);
            rig.closed = false;
            second->type->close(second, 1000, rig_on_closed, &rig);
            while (!rig.closed)
                usleep(500);
        } else {
            assert_int_equal(second->type->start(second, &err), GW_EIO);
            assert_non_null(strstr(err.text, listen));
            assert_non_null(strstr(err.text, "address already in use"));
        }
        second->type->free(second);
    }
    option_fini(listener_option_rows, &options);
    rig_stop(&rig);
}

/* ---- the end ---- */

static void close_acknowledges_what_becomes_durable(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, NULL);
    rig.rawlog->commit_us = 100000;
    int fd = peer_connect(&rig, (struct peer_options){.client = "end", .version = 5}, false);
    for (uint16_t id = 1; id <= 50; id++)
        peer_publish(fd, 5, 1, id, "a/b", 10);
    rig_wait_stat(&rig, messages_received, 50);
    rig_unlisten(&rig, 5000);
    for (uint16_t id = 1; id <= 50; id++)
        peer_expect_ack(fd, PUBACK, id);
    peer_expect(fd, B("\xe0\x01\x8b"));
    peer_expect_end(fd);
    assert_int_equal(rig_count(&rig, RECORD_MESSAGE), 50);
    rig_stop(&rig);
}

static void close_ends_in_time_when_the_disk_does_not_answer(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"loops", "2", NULL});
    int fd = peer_connect(&rig, (struct peer_options){.client = "end", .resume = true}, false);
    fake_rawlog_tap(rig.rawlog, false);
    peer_publish(fd, 4, 1, 1, "a/b", 10);
    rig_wait_stat(&rig, messages_received, 1);
    int waiting = peer_open(&rig);
    peer_send_connect(waiting, (struct peer_options){.client = "wait", .resume = true});
    rig_wait_stat(&rig, sessions, 2);
    int64_t began = clock_monotonic_ms();
    rig_unlisten(&rig, 300);
    assert_true(clock_monotonic_ms() - began < 3000);
    peer_expect_end(fd); /* no PUBACK */
    close(waiting);
    fake_rawlog_tap(rig.rawlog, true); /* the chunks come back to nobody */
    rig_wait(&rig, RECORD_MESSAGE, 1);
    rig_stop(&rig);
}

static void pause_stops_reading_and_resume_goes_on(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"loops", "1", NULL});
    int fd = peer_connect(&rig, (struct peer_options){.client = "pause"}, false);
    rig.source->type->pause(rig.source);
    int late = peer_open(&rig);
    rig_wait_stat(&rig, connections, 2); /* accepted behind the pause */
    peer_publish(fd, 4, 1, 1, "a/b", 10);
    peer_send_connect(late, (struct peer_options){.client = "late"});
    struct pollfd ready[2] = {{.fd = fd, .events = POLLIN}, {.fd = late, .events = POLLIN}};
    assert_int_equal(poll(ready, 2, 50), 0);
    rig.source->type->resume(rig.source);
    peer_expect_ack(fd, PUBACK, 1);
    peer_expect_connack(late, false);
    close(fd);
    close(late);
    rig_stop(&rig);
}

/* ---- many at once ---- */

struct worker {
    struct rig *rig;
    int index;
    pthread_t thread;
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    for (int round = 0; round < 12; round++) {
        char client[32]; /* two workers share each name and take it from each other */
        snprintf(client, sizeof client, "shared%d", worker->index / 2);
        int fd = peer_open(worker->rig);
        peer_send_connect(fd, (struct peer_options){.client = client,
                                                    .version = 5,
                                                    .resume = true,
                                                    .expiry_s = round % 3 ? 60 : 0,
                                                    .will = round % 4 ? NULL : "bye"});
        for (uint16_t id = 1; id <= 30; id++) {
            uint8_t out[] = {(uint8_t)(id % 3 == 2 ? 0x34 : 0x32),
                             9,
                             0,
                             3,
                             'a',
                             '/',
                             'b',
                             0,
                             (uint8_t)id,
                             0,
                             '1'};
            if (send(fd, out, sizeof out, MSG_NOSIGNAL) < 0)
                break;
        }
        uint8_t in[512];
        size_t got = 0;
        ssize_t size;
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        while (got < 150 && poll(&ready, 1, 300) == 1 && (size = recv(fd, in, sizeof in, 0)) > 0)
            got += (size_t)size;
        if (round % 2)
            (void)!send(fd, "\xe0\x00", 2, MSG_NOSIGNAL);
        close(fd);
    }
    return NULL;
}

static void loops_that_take_clients_from_each_other_stay_whole(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, (const char *[]){"loops", "3", NULL});
    rig.rawlog->chunks_max = 5;
    rig.rawlog->chunk_bytes = 512;
    rig.rawlog->commit_us = 200;
    struct worker workers[8];
    for (int i = 0; i < 8; i++) {
        workers[i] = (struct worker){.rig = &rig, .index = i};
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (int i = 0; i < 8; i++)
        pthread_join(workers[i].thread, NULL);
    rig_wait_stat(&rig, connections, 0);
    struct listener_stats stats;
    listener_stats(rig.source, &stats);
    rig_wait(&rig, RECORD_MESSAGE, stats.messages_received);
    int fd = peer_open(&rig); /* whatever happened, the names are free */
    peer_send_connect(fd, (struct peer_options){.client = "shared0"});
    peer_expect_connack(fd, false);
    close(fd);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puback_waits_for_the_commit),
        cmocka_unit_test(acknowledgements_keep_the_order_of_their_messages),
        cmocka_unit_test(commits_group_while_the_disk_is_busy),
        cmocka_unit_test(full_journal_holds_and_still_answers_pings),
        cmocka_unit_test(backlog_of_one_connection_is_bounded),
        cmocka_unit_test(held_too_long_ends_without_a_negative_puback),
        cmocka_unit_test(older_client_over_receive_max_waits),
        cmocka_unit_test(newer_client_over_receive_max_is_ended_or_counted),
        cmocka_unit_test(connack_waits_for_the_session_record),
        cmocka_unit_test(clean_start_ends_the_old_session_first),
        cmocka_unit_test(qos_2_is_stored_once_and_its_id_is_behind_it),
        cmocka_unit_test(qos_2_ids_survive_a_restart),
        cmocka_unit_test(sessions_beyond_the_limit_drop_the_oldest),
        cmocka_unit_test(client_that_says_all_at_once_and_goes_is_heard),
        cmocka_unit_test(take_over_waits_for_what_the_old_connection_said),
        cmocka_unit_test(will_is_stored_when_the_client_vanishes),
        cmocka_unit_test(delayed_will_is_without_its_delay_and_due_at_the_end),
        cmocka_unit_test(properties_are_kept_without_the_alias),
        cmocka_unit_test(silent_and_dribbling_clients_are_closed),
        cmocka_unit_test(connections_beyond_the_limit_are_shed),
        cmocka_unit_test(peer_that_does_not_read_is_closed),
        cmocka_unit_test(reload_ends_connections_that_lost_their_right),
        cmocka_unit_test(port_of_another_listener_is_refused_unless_shared),
        cmocka_unit_test(close_acknowledges_what_becomes_durable),
        cmocka_unit_test(close_ends_in_time_when_the_disk_does_not_answer),
        cmocka_unit_test(pause_stops_reading_and_resume_goes_on),
        cmocka_unit_test(loops_that_take_clients_from_each_other_stay_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
