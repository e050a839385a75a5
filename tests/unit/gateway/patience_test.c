/* SPDX-License-Identifier: Apache-2.0
 *
 * More time is asked for while the process works, and only then.
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

#include "base/clock.h"
#include "lib/temp_dir.h"
#include "notify.h"
#include "patience.h"

enum { PATIENCE_MS = 60000, STILL_MS = 3500 };

struct manager {
    struct temp_dir dir;
    int fd;
};

static int setup(void **state)
{
    struct manager *manager = calloc(1, sizeof *manager);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct err err;
    temp_dir_make(&manager->dir);
    char *path = mem_printf("%s/notify", manager->dir.path);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(manager->fd, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", path, 1);
    assert_int_equal(notify_open(&err), 0);
    free(path);
    *state = manager;
    return 0;
}

static int teardown(void **state)
{
    struct manager *manager = *state;
    notify_close();
    close(manager->fd);
    temp_dir_remove(&manager->dir);
    free(manager);
    return 0;
}

static bool heard(const struct manager *manager, const char *word)
{
    char text[1024];
    ssize_t size;
    while ((size = recv(manager->fd, text, sizeof text - 1, 0)) > 0) {
        text[size] = '\0';
        if (strncmp(text, word, strlen(word)) == 0)
            return true;
    }
    return false;
}

static void who_works_is_given_more_time(void **state)
{
    const struct manager *manager = *state;
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    bool asked = false;
    patience_begin();
    while (!asked && clock_monotonic_ms() < until_ms) /* this is the work */
        asked = heard(manager, "EXTEND_TIMEOUT_USEC=");
    patience_end();
    assert_true(asked);
}

static void who_stands_still_is_not(void **state)
{
    const struct manager *manager = *state;
    patience_begin();
    usleep(STILL_MS * 1000);
    patience_end();
    assert_false(heard(manager, "EXTEND_TIMEOUT_USEC="));
}

static void without_a_manager_there_is_nobody_to_ask(void **state)
{
    (void)state;
    notify_close();
    patience_begin();
    patience_end();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_works_is_given_more_time),
        TEST(who_stands_still_is_not),
        TEST(without_a_manager_there_is_nobody_to_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
