/* SPDX-License-Identifier: Apache-2.0
 *
 * What a service manager hears, on a socket of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/temp_dir.h"
#include "notify.h"

struct manager {
    struct temp_dir dir;
    int fd;
    char text[1024];
};

static void listen_at(struct manager *manager, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(name);
    memcpy(address.sun_path, name, size);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(manager->fd >= 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    assert_int_equal(bind(manager->fd, (struct sockaddr *)&address, length), 0);
    setenv("NOTIFY_SOCKET", name, 1);
}

/* The next datagram, "" when there is none: a datagram on one machine is there when it was sent. */
static const char *heard(struct manager *manager)
{
    ssize_t size = recv(manager->fd, manager->text, sizeof manager->text - 1, 0);
    manager->text[size > 0 ? size : 0] = '\0';
    return manager->text;
}

static int setup(void **state)
{
    struct manager *manager = calloc(1, sizeof *manager);
    temp_dir_make(&manager->dir);
    *state = manager;
    return 0;
}

static int teardown(void **state)
{
    struct manager *manager = *state;
    notify_close();
    if (manager->fd > 0)
        close(manager->fd);
    temp_dir_remove(&manager->dir);
    free(manager);
    return 0;
}

static void open_at_path(struct manager *manager)
{
    struct err err = {{0}};
    char path[300];
    snprintf(path, sizeof path, "%s/notify", manager->dir.path);
    listen_at(manager, path);
    assert_int_equal(notify_open(&err), 0);
}

static void ready_reloading_and_stopping_are_told_by_their_words(void **state)
{
    struct manager *manager = *state;
    unsigned long long at;
    open_at_path(manager);
    assert_true(notify_listened());
    notify_ready();
    assert_string_equal(heard(manager), "READY=1");
    notify_reloading();
    assert_int_equal(sscanf(heard(manager), "RELOADING=1\nMONOTONIC_USEC=%llu", &at), 1);
    assert_true(at > 0);
    notify_stopping();
    assert_string_equal(heard(manager), "STOPPING=1");
    notify_extend(60000);
    assert_string_equal(heard(manager), "EXTEND_TIMEOUT_USEC=60000000");
}

static void a_status_stays_one_line_however_long_it_is(void **state)
{
    struct manager *manager = *state;
    char text[2000];
    open_at_path(manager);
    memset(text, 'a', sizeof text);
    text[1] = '\n';
    text[sizeof text - 1] = '\0';
    notify_status("%s", text);
    assert_memory_equal(heard(manager), "STATUS=a aaa", 12);
    assert_null(strchr(manager->text, '\n'));
    assert_true(strlen(manager->text) < 512);
}

static void the_watchdog_hears_of_life_at_half_of_its_time(void **state)
{
    struct manager *manager = *state;
    setenv("WATCHDOG_USEC", "10000000", 1);
    open_at_path(manager);
    notify_alive(1000);
    assert_string_equal(heard(manager), "WATCHDOG=1");
    notify_alive(5999);
    assert_string_equal(heard(manager), "");
    notify_alive(6000);
    assert_string_equal(heard(manager), "WATCHDOG=1");
}

static void a_watchdog_of_another_process_or_none_hears_nothing(void **state)
{
    struct manager *manager = *state;
    setenv("WATCHDOG_USEC", "10000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    open_at_path(manager);
    notify_alive(1000);
    assert_string_equal(heard(manager), "");
}

static void an_abstract_name_is_reached(void **state)
{
    struct manager *manager = *state;
    struct err err = {{0}};
    char name[64];
    snprintf(name, sizeof name, "@tidegate-notify-test-%d", (int)getpid());
    listen_at(manager, name);
    assert_int_equal(notify_open(&err), 0);
    notify_ready();
    assert_string_equal(heard(manager), "READY=1");
}

static void children_do_not_inherit_the_socket(void **state)
{
    setenv("WATCHDOG_USEC", "10000000", 1);
    open_at_path(*state);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
}

static void without_a_manager_or_with_a_wrong_address_nothing_happens(void **state)
{
    (void)state;
    struct err err = {{0}};
    assert_int_equal(notify_open(&err), 0);
    assert_false(notify_listened());
    notify_ready();
    notify_alive(1000);
    setenv("NOTIFY_SOCKET", "relative", 1);
    assert_int_equal(notify_open(&err), GW_EINVAL);
    assert_non_null(strstr(err.text, "relative"));
    setenv("NOTIFY_SOCKET", "/nobody/listens/here", 1);
    assert_int_equal(notify_open(&err), GW_EIO);
    notify_ready();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ready_reloading_and_stopping_are_told_by_their_words),
        TEST(a_status_stays_one_line_however_long_it_is),
        TEST(the_watchdog_hears_of_life_at_half_of_its_time),
        TEST(a_watchdog_of_another_process_or_none_hears_nothing),
        TEST(an_abstract_name_is_reached),
        TEST(children_do_not_inherit_the_socket),
        TEST(without_a_manager_or_with_a_wrong_address_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
