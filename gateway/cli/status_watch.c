/* SPDX-License-Identifier: Apache-2.0
 *
 * See status_watch.h. The terminal's part: the other screen, so that what was there comes back; keys
 * without echo; the size; and all of that undone at every end. A frame is written in one piece over the
 * one before, so nothing flickers. Main thread.
 */
#include "cli/status_watch.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/answer.h"
#include "cli/cli.h"
#include "cli/status_gates.h"

/* The other screen, no cursor, no wrapping; and back. */
#define SCREEN_ENTER "\033[?1049h\033[?25l\033[?7l"
#define SCREEN_LEAVE "\033[?7h\033[?25h\033[?1049l"

static volatile sig_atomic_t stopped;
static volatile sig_atomic_t resized;

struct watch {
    struct http *http;
    int64_t every_ms;
    bool screen;
    struct termios before;
    struct answer last, now; /* the two newest */
    struct err away;         /* why there is no newer; empty: there is */
    struct gates_style style;
};

static void on_stop(int number)
{
    (void)number;
    stopped = 1;
}

static void on_resize(int number)
{
    (void)number;
    resized = 1;
}

static void signals_take(void)
{
    struct sigaction stop = {.sa_handler = on_stop}, resize = {.sa_handler = on_resize};
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    sigaction(SIGWINCH, &resize, NULL);
}

/* ---- terminal ---- */

static void put(const char *text, size_t size)
{
    while (size) {
        ssize_t sent = write(STDOUT_FILENO, text, size);
        if (sent < 0 && errno != EINTR) {
            stopped = 1;
            return;
        }
        text += sent > 0 ? sent : 0;
        size -= sent > 0 ? (size_t)sent : 0;
    }
}

static bool screen_enter(struct watch *watch)
{
    struct termios raw;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ||
        tcgetattr(STDIN_FILENO, &watch->before) != 0)
        return false;
    raw = watch->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
    put(SCREEN_ENTER, sizeof SCREEN_ENTER - 1);
    return true;
}

static void screen_leave(const struct watch *watch)
{
    put(SCREEN_LEAVE, sizeof SCREEN_LEAVE - 1);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &watch->before);
}

static void style_take(struct watch *watch)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    watch->style = (struct gates_style){
        .columns = watch->screen && known ? size.ws_col : 100,
        .rows = watch->screen && known ? size.ws_row - 1 : 1000,
        .colour = watch->screen && getenv("NO_COLOR") == NULL,
        .blocks = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
        .newline = watch->screen ? "\033[K\r\n" : "\n",
    };
}

/* ---- frames ---- */

static void draw(struct watch *watch)
{
    struct buffer out = {0};
    double seconds = (double)(watch->now.at_ms - watch->last.at_ms) / 1000;
    style_take(watch);
    if (watch->screen)
        buffer_add_text(&out, "\033[H");
    status_gates(&watch->style, watch->last.yaml.root, watch->now.yaml.root, seconds,
                 watch->away.text[0] ? watch->away.text : NULL, &out);
    if (watch->screen)
        buffer_printf(&out, "\033[J\033[%d;1H%sq ends%s", watch->style.rows + 1,
                      watch->style.colour ? "\033[2m" : "", watch->style.colour ? "\033[m" : "");
    else
        buffer_add_text(&out, "\n");
    put((const char *)out.data, out.size);
    buffer_fini(&out);
}

/* The answer before stays when there is no new one. */
static int ask(struct watch *watch)
{
    struct answer fresh = {0};
    watch->away = (struct err){{0}};
    int rc = answer_get(watch->http, &fresh, &watch->away);
    if (rc) {
        answer_fini(&fresh);
        return rc;
    }
    watch->away.text[0] = '\0';
    answer_fini(&watch->last);
    watch->last = watch->now;
    watch->now = fresh;
    return 0;
}

/* Until the next frame is due; true: it is to end. */
static bool wait_key(struct watch *watch, int64_t until_ms)
{
    struct pollfd keys = {.fd = watch->screen ? STDIN_FILENO : -1, .events = POLLIN};
    int64_t left_ms;
    while (!stopped && (left_ms = until_ms - clock_monotonic_ms()) > 0) {
        char key = 0;
        if (poll(&keys, 1, (int)left_ms) > 0 && (read(STDIN_FILENO, &key, 1) <= 0 || key == 'q'))
            return true;
        if (resized) {
            resized = 0;
            draw(watch);
        }
    }
    return stopped;
}

int status_watch(struct http *http, int64_t every_ms)
{
    struct watch watch = {.http = http, .every_ms = every_ms};
    int rc = ask(&watch);
    if (rc) {
        int code = cli_fail("status", http_exit_code(rc), "%s", watch.away.text);
        return code;
    }
    setlocale(LC_CTYPE, "");
    signals_take();
    watch.screen = screen_enter(&watch);
    int64_t next_ms = clock_monotonic_ms();
    do {
        draw(&watch);
        next_ms += watch.every_ms;
        if (wait_key(&watch, next_ms))
            break;
        ask(&watch);
    } while (!stopped);
    if (watch.screen)
        screen_leave(&watch);
    answer_fini(&watch.last);
    answer_fini(&watch.now);
    return EXIT_CODE_OK;
}
