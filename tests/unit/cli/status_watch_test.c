/* SPDX-License-Identifier: Apache-2.0
 *
 * The live screen on a terminal of the test's own: what it does to the terminal is undone at every end. The
 * watcher is a child behind a pseudo terminal, the gateway that it asks another child.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/status_watch.h"

enum { PATIENCE_MS = 60000, EVERY_MS = 100 };

#define ENTERED "\033[?1049h"
#define LEFT    "\033[?1049l"

struct screen {
    pid_t server, watcher;
    char admin[40];
    int terminal;         /* -1: none */
    struct buffer output; /* of the watcher, with a zero behind */
};

/* ---- a gateway ---- */

/* Answers each request with one message more. */
static void serve(int listener)
{
    unsigned received = 0;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        char request[4096];
        size_t size = 0;
        ssize_t got;
        while (fd >= 0 && (got = read(fd, request + size, sizeof request - 1 - size)) > 0) {
            char body[200], head[200];
            size += (size_t)got;
            request[size] = '\0';
            if (strstr(request, "\r\n\r\n") == NULL)
                continue;
            size = 0;
            int length = snprintf(body, sizeof body,
                                  "{\"gateway\":\"00ff\",\"started\":\"a\",\"ready\":true,\"uptime_"
                                  "s\":5,\"received\":%u}",
                                  ++received);
            int header = snprintf(head, sizeof head,
                                  "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", length);
            if (write(fd, head, (size_t)header) < 0 || write(fd, body, (size_t)length) < 0)
                break;
        }
        close(fd);
    }
}

static void server_start(struct screen *screen)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    snprintf(screen->admin, sizeof screen->admin, "127.0.0.1:%d", ntohs(address.sin_port));
    screen->server = fork();
    if (screen->server == 0)
        serve(listener);
    close(listener);
}

static void server_stop(struct screen *screen)
{
    if (screen->server > 0) {
        kill(screen->server, SIGKILL);
        waitpid(screen->server, NULL, 0);
    }
    screen->server = 0;
}

/* ---- the watcher ---- */

static void watch(const struct screen *screen)
{
    unsetenv("NO_COLOR");
    struct http *http = http_new(screen->admin);
    int code = status_watch(http, EVERY_MS);
    http_free(http);
    _exit(code);
}

static void on_terminal(struct screen *screen)
{
    struct winsize size = {.ws_row = 20, .ws_col = 60};
    screen->watcher = forkpty(&screen->terminal, NULL, NULL, &size);
    if (screen->watcher == 0)
        watch(screen);
    assert_true(screen->watcher > 0);
}

static void into_pipe(struct screen *screen)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    screen->watcher = fork();
    if (screen->watcher == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        watch(screen);
    }
    close(ends[1]);
    screen->terminal = ends[0];
}

/* More of the output; false: there is no more. */
static bool hear(struct screen *screen, int64_t until_ms)
{
    char bytes[4096];
    struct pollfd fd = {.fd = screen->terminal, .events = POLLIN};
    int64_t left = until_ms - clock_monotonic_ms();
    if (left <= 0 || poll(&fd, 1, (int)left) <= 0)
        fail_msg("not within a minute; so far:\n%s", (const char *)screen->output.data);
    ssize_t got = read(screen->terminal, bytes, sizeof bytes);
    if (got <= 0) /* a terminal that nobody has gives an error */
        return false;
    screen->output.size -= screen->output.size > 0;
    buffer_add(&screen->output, bytes, (size_t)got);
    buffer_u8(&screen->output, '\0');
    return true;
}

static void expect(struct screen *screen, const char *text)
{
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (screen->output.size == 0 || strstr((const char *)screen->output.data, text) == NULL)
        if (!hear(screen, until_ms))
            fail_msg("it ended without %s:\n%s", text, (const char *)screen->output.data);
}

static void forget(struct screen *screen)
{
    buffer_clear(&screen->output);
    buffer_u8(&screen->output, '\0');
}

/* Its exit code. */
static int ended(struct screen *screen)
{
    int status;
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (hear(screen, until_ms))
        ;
    assert_int_equal(waitpid(screen->watcher, &status, 0), screen->watcher);
    screen->watcher = 0;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool echoes(const struct screen *screen)
{
    struct termios now;
    assert_int_equal(tcgetattr(screen->terminal, &now), 0);
    return (now.c_lflag & ECHO) && (now.c_lflag & ICANON);
}

static int setup(void **state)
{
    struct screen *screen = mem_zalloc(sizeof *screen);
    *state = screen;
    screen->terminal = -1;
    forget(screen);
    server_start(screen);
    return 0;
}

static int teardown(void **state)
{
    struct screen *screen = *state;
    if (screen->watcher > 0) {
        kill(screen->watcher, SIGKILL);
        waitpid(screen->watcher, NULL, 0);
    }
    server_stop(screen);
    if (screen->terminal >= 0)
        close(screen->terminal);
    buffer_fini(&screen->output);
    free(screen);
    return 0;
}

/* ---- facts ---- */

static void a_terminal_shows_frame_after_frame_until_q(void **state)
{
    struct screen *screen = *state;
    on_terminal(screen);
    expect(screen, ENTERED);
    expect(screen, "tidegate 00ff");
    expect(screen, "q ends");
    assert_false(echoes(screen));
    expect(screen, "in all 3"); /* it asks again */
    assert_int_equal(write(screen->terminal, "xq", 2), 2);
    expect(screen, LEFT);
    assert_int_equal(ended(screen), 0);
}

/* A second descriptor keeps the terminal, so that it can be asked afterwards. */
static void a_signal_gives_the_terminal_back(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct screen *screen = *state;
    for (size_t i = 0; i < array_count(signals); i++) {
        forget(screen);
        on_terminal(screen);
        int kept = open(ptsname(screen->terminal), O_RDWR | O_NOCTTY);
        assert_true(kept >= 0);
        expect(screen, "q ends");
        assert_false(echoes(screen));
        kill(screen->watcher, signals[i]);
        expect(screen, LEFT);
        int status;
        assert_int_equal(waitpid(screen->watcher, &status, 0), screen->watcher);
        screen->watcher = 0;
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_true(echoes(screen));
        close(kept);
        close(screen->terminal);
        screen->terminal = -1;
    }
}

static void a_terminal_of_another_size_gets_another_frame(void **state)
{
    struct screen *screen = *state;
    const struct winsize size = {.ws_row = 9, .ws_col = 33};
    on_terminal(screen);
    expect(screen, "\033[20;1H"); /* the last line of 20 */
    assert_int_equal(ioctl(screen->terminal, TIOCSWINSZ, &size), 0);
    expect(screen, "\033[9;1H");
    forget(screen);
    expect(screen, "\033[9;1H");
    assert_null(strstr((const char *)screen->output.data, "\033[20;1H"));
}

static void a_gateway_that_goes_leaves_its_last_figures_and_the_reason(void **state)
{
    struct screen *screen = *state;
    on_terminal(screen);
    expect(screen, "in all 2");
    server_stop(screen);
    forget(screen);
    expect(screen, "NO ANSWER: ");
    expect(screen, "in all ");
    assert_int_equal(write(screen->terminal, "q", 1), 1);
    assert_int_equal(ended(screen), 0);
}

static void without_a_terminal_blocks_of_text_follow_each_other(void **state)
{
    struct screen *screen = *state;
    into_pipe(screen);
    expect(screen, "in all 1\n");
    expect(screen, "in all 2\n");
    assert_null(strchr((const char *)screen->output.data, 033));
    kill(screen->watcher, SIGTERM);
    assert_int_equal(ended(screen), 0);
}

static void nobody_to_ask_at_the_start_is_an_error(void **state)
{
    struct screen *screen = *state;
    server_stop(screen);
    into_pipe(screen);
    assert_int_equal(ended(screen), EXIT_CODE_UNAVAILABLE);
    assert_non_null(strstr((const char *)screen->output.data, "is the gateway running"));
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        TEST(a_terminal_shows_frame_after_frame_until_q),
        TEST(a_signal_gives_the_terminal_back),
        TEST(a_terminal_of_another_size_gets_another_frame),
        TEST(a_gateway_that_goes_leaves_its_last_figures_and_the_reason),
        TEST(without_a_terminal_blocks_of_text_follow_each_other),
        TEST(nobody_to_ask_at_the_start_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
