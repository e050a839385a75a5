/* SPDX-License-Identifier: Apache-2.0
 *
 * Vendors at the listener: who is let in, under which name its messages are stored, and where it may
 * publish. The password files themselves are access_test.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/disk.h"
#include "lib/temp_dir.h"
#include "unit/sources/mqtt_rig.h"

static const char acme_line[] =
    "acme:$7$101$a/uI//KGmchNCHHF$PzfRioFnhJRzYgKjyrUjvTXbQD1/MeYH0VjQWFZ854A3mJXfkIbMyCm783ltGFZn"
    "5dU0dIRIp6dbRpvgUJS52g==\n"; /* correct horse */
static const char borealis_line[] =
    "borealis:$7$101$m8cb7YFJ5gze0Zvh$eVK1v+uZosXbyPE2eMFqrVuLmo1CrxgKvLPkFpUBTDfOhbIiaNEmuAFmvU+0"
    "K0nK+KvZ4DkdjFlAcJ2oJSrhoA==\n"; /* the empty password */

static void write_file(const char *folder, const char *name, const char *text, char path[300])
{
    snprintf(path, 300, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct access_quota acme_quota; /* of the next start() */

/* Two vendors; acme's devices loop on a refused SUBSCRIBE. */
static void start(struct rig *rig, bool with_acme)
{
    struct temp_dir dir;
    char acme[300], borealis[300];
    struct err err = {0};
    const char *const acme_topics[] = {"acme/#"};
    const char *const borealis_topics[] = {"b/+/up", "will/topic"};
    temp_dir_make(&dir);
    write_file(dir.path, "acme", acme_line, acme);
    write_file(dir.path, "borealis", borealis_line, borealis);
    struct access_vendor vendors[] = {
        {.name = "borealis", .passwords = borealis, .topics = borealis_topics, .topic_count = 2},
        {.name = "acme",
         .passwords = acme,
         .topics = acme_topics,
         .topic_count = 1,
         .subscribe_accept = true,
         .quota = acme_quota}};
    struct access_rules rules = {.vendors = vendors, .vendor_count = with_acme ? 2 : 1};
    if (rig->source == NULL)
        rig_start(rig, NULL);
    if (access_load(rig->access, &disk_real, &rules, &err))
        fail_msg("%s", err.text);
    temp_dir_remove(&dir);
}

static const struct peer_options acme_login = {
    .client = "meter", .version = 5, .user = "acme", .password = "correct horse"};
static const struct peer_options borealis_login = {
    .client = "meter", .user = "borealis", .password = ""};

static void expect_refusal(struct rig *rig, struct peer_options options, struct bytes connack)
{
    int fd = peer_open(rig);
    peer_send_connect(fd, options);
    peer_expect(fd, connack);
    peer_expect_end(fd);
}

static void wrong_password_and_unknown_user_are_refused_alike(void **state)
{
    (void)state;
    struct rig rig = {0};
    start(&rig, true);
    struct peer_options options = acme_login;
    options.password = "correct horsf";
    expect_refusal(&rig, options, B("\x20\x03\x00\x86\x00"));
    options.user = "nobody";
    expect_refusal(&rig, options, B("\x20\x03\x00\x86\x00"));
    options.version = 4;
    expect_refusal(&rig, options, B("\x20\x02\x00\x04"));
    close(peer_connect(&rig, acme_login, false));
    rig_wait_stat(&rig, refused, 3);
    rig_stop(&rig);
}

static void vendor_comes_from_the_login_and_parts_equal_client_ids(void **state)
{
    (void)state;
    struct rig rig = {0};
    start(&rig, true);
    int acme = peer_connect(&rig, acme_login, false);
    int borealis = peer_connect(&rig, borealis_login, false);
    peer_publish(borealis, 4, 1, 1, "b/7/up", 3);
    peer_expect_ack(borealis, 0x40, 1);
    assert_string_equal(rig_wait(&rig, RECORD_MESSAGE, 1).vendor, "borealis");
    peer_publish(acme, 5, 1, 1, "acme/7", 3);
    peer_expect_ack(acme, 0x40, 1); /* not taken over */
    assert_string_equal(rig_wait(&rig, RECORD_MESSAGE, 2).vendor, "acme");
    close(acme);
    close(borealis);
    rig_stop(&rig);
}

static void topics_of_others_are_refused_and_not_stored(void **state)
{
    (void)state;
    struct rig rig = {0};
    start(&rig, true);
    int acme = peer_connect(&rig, acme_login, false);
    peer_publish(acme, 5, 0, 0, "b/7/up", 3);
    peer_publish(acme, 5, 1, 1, "b/7/up", 3);
    peer_expect(acme, B("\x40\x03\x00\x01\x87"));
    peer_publish(acme, 5, 2, 2, "b/7/up", 3);
    peer_expect(acme, B("\x50\x03\x00\x02\x87"));
    peer_publish(acme, 5, 1, 3, "acme/1", 3);
    peer_expect_ack(acme, 0x40, 3);
    int borealis = peer_connect(&rig, borealis_login, false);
    peer_publish(borealis, 4, 0, 0, "acme/1", 3);
    peer_expect_only_pong(borealis);
    peer_publish(borealis, 4, 1, 1, "acme/1", 3);
    peer_expect_end(borealis); /* 3.1.1 has no other way to say no */
    rig_wait(&rig, RECORD_MESSAGE, 1);
    close(acme);
    rig_stop(&rig);
}

static void wills_obey_the_same_rules(void **state)
{
    (void)state;
    struct rig rig = {0};
    start(&rig, true);
    struct peer_options options = acme_login;
    options.will = "gone";
    expect_refusal(&rig, options, B("\x20\x03\x00\x87\x00"));
    options = borealis_login;
    options.will = "gone";
    close(peer_connect(&rig, options, false));
    assert_string_equal(rig_wait(&rig, RECORD_MESSAGE, 1).vendor, "borealis");
    rig_stop(&rig);
}

static void subscribe_is_granted_where_configured(void **state)
{
    (void)state;
    struct rig rig = {0};
    start(&rig, true);
    int acme = peer_connect(&rig, acme_login, false);
    peer_send(acme, B("\x82\x0b\x00\x01\x00\x00\x01#\x02\x00\x01+\x00"));
    peer_expect(acme, B("\x90\x05\x00\x01\x00\x02\x00"));
    int borealis = peer_connect(&rig, borealis_login, false);
    peer_send(borealis, B("\x82\x06\x00\x01\x00\x01#\x01"));
    peer_expect(borealis, B("\x90\x03\x00\x01\x80"));
    peer_publish(borealis, 4, 1, 1, "b/7/up", 3);
    peer_expect_ack(borealis, 0x40, 1);
    peer_expect_only_pong(acme); /* nothing is delivered */
    close(acme);
    close(borealis);
    rig_stop(&rig);
}

static void reload_ends_only_the_vendor_that_went(void **state)
{
    (void)state;
    struct rig rig = {0};
    start(&rig, true);
    int acme = peer_connect(&rig, acme_login, false);
    int borealis = peer_connect(&rig, borealis_login, false);
    start(&rig, false);
    peer_expect(acme, B("\xe0\x01\x98"));
    peer_expect_end(acme);
    peer_expect_only_pong(borealis);
    close(borealis);
    rig_stop(&rig);
}

/* acme may send two messages, and then one every hour or so. */
static void start_slow(struct rig *rig, bool qos0_drop)
{
    acme_quota = (struct access_quota){.rate = 1, .burst = 2, .qos0_drop = qos0_drop};
    start(rig, true);
    acme_quota = (struct access_quota){0};
}

static void vendor_over_its_rate_is_held_and_its_pings_are_answered(void **state)
{
    (void)state;
    struct rig rig = {0};
    start_slow(&rig, false);
    int fd = peer_connect(&rig, acme_login, false);
    int other = peer_connect(&rig, borealis_login, false);
    for (uint16_t id = 1; id <= 4; id++)
        peer_publish(fd, 5, 1, id, "acme/1", 10);
    peer_expect_ack(fd, 0x40, 1);
    peer_expect_ack(fd, 0x40, 2);
    rig_wait_stat(&rig, held[HOLD_RATE], 1);
    peer_expect_only_pong(fd);
    for (uint16_t id = 1; id <= 20; id++)
        peer_publish(other, 4, 1, id, "b/1/up", 10);
    for (uint16_t id = 1; id <= 20; id++)
        peer_expect_ack(other, 0x40, id);
    peer_expect_ack(fd, 0x40, 3); /* a second later */
    peer_expect_ack(fd, 0x40, 4);
    rig_wait_stat(&rig, held_connections, 0);
    close(fd);
    close(other);
    rig_stop(&rig);
}

static void held_connections_that_go_leave_no_trace(void **state)
{
    (void)state;
    struct rig rig = {0};
    int fds[40];
    start_slow(&rig, false);
    for (size_t i = 0; i < array_count(fds); i++) {
        char client[16];
        struct peer_options options = acme_login;
        snprintf(client, sizeof client, "meter-%zu", i);
        options.client = client;
        fds[i] = peer_connect(&rig, options, false);
        for (uint16_t id = 1; id <= 12; id++)
            peer_publish(fds[i], 5, 1, id, "acme/1", 10);
    }
    rig_wait_stat(&rig, held[HOLD_RATE], 40);
    for (size_t i = 0; i < array_count(fds); i += 2) { /* with a reset: unread acks */
        struct linger now = {.l_onoff = 1};
        setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(fds[i]);
    }
    rig_wait_stat(&rig, connections, 20);
    rig_wait_stat(&rig, held_connections, 20);
    rig_stop(&rig); /* with the others still held */
    for (size_t i = 1; i < array_count(fds); i += 2)
        close(fds[i]);
}

static void qos_0_over_the_rate_is_dropped_by_policy_and_counted(void **state)
{
    (void)state;
    struct rig rig = {0};
    start_slow(&rig, true);
    int fd = peer_connect(&rig, acme_login, false);
    for (int i = 0; i < 10; i++)
        peer_publish(fd, 5, 0, 0, "acme/1", 10);
    peer_expect_only_pong(fd);
    struct listener_stats stats;
    struct buffer out = {0};
    listener_stats(rig.source, &stats);
    vendor_table_metrics(&rig.vendors, &out);
    buffer_u8(&out, 0);
    assert_int_equal(stats.messages_received, 2);
    assert_int_equal(stats.held_connections, 0);
    assert_non_null(
        strstr((const char *)out.data, "tidegate_mqtt_dropped_total{vendor=\"acme\"} 8\n"));
    buffer_fini(&out);
    close(fd);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_password_and_unknown_user_are_refused_alike),
        cmocka_unit_test(vendor_comes_from_the_login_and_parts_equal_client_ids),
        cmocka_unit_test(topics_of_others_are_refused_and_not_stored),
        cmocka_unit_test(wills_obey_the_same_rules),
        cmocka_unit_test(subscribe_is_granted_where_configured),
        cmocka_unit_test(reload_ends_only_the_vendor_that_went),
        cmocka_unit_test(vendor_over_its_rate_is_held_and_its_pings_are_answered),
        cmocka_unit_test(held_connections_that_go_leave_no_trace),
        cmocka_unit_test(qos_0_over_the_rate_is_dropped_by_policy_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
