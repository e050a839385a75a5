/* SPDX-License-Identifier: Apache-2.0
 *
 * Event lines on standard error. Any thread: one write(2) a line, and a line that would block is
 * dropped and counted, because nothing in the gateway may wait for a log reader. What a line looks
 * like: log_line.c.
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_events.h"
#include "base/log_line.h"

static _Atomic int minimum = LOG_INFO;
static _Atomic uint64_t dropped;
static _Atomic int format_wanted = LOG_FORMAT_AUTO;

const char *const log_format_names[] = {"auto", "text", "json", NULL};

void log_set_level(enum log_level level)
{
    atomic_store(&minimum, (int)level);
}

void log_set_format(enum log_format format)
{
    atomic_store(&format_wanted, (int)format);
}

static bool is_json(void)
{
    int wanted = atomic_load(&format_wanted);
    if (wanted == LOG_FORMAT_AUTO)
        return !isatty(STDERR_FILENO);
    return wanted == LOG_FORMAT_JSON;
}

const char *log_format_name(void)
{
    return log_format_names[is_json() ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT];
}

/* ---- lines ---- */

static bool write_line(const void *line, size_t size)
{
    /* Ask first: standard error may be a full pipe whose reader is gone to sleep. Lines stay below
     * PIPE_BUF, so a writable pipe takes one whole. */
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
        return false;
    return write(STDERR_FILENO, line, size) == (ssize_t)size;
}

static void event_write(enum log_level level, const char *event, const char *format, va_list args)
{
    struct buffer line = {0};
    uint64_t lost = atomic_exchange(&dropped, 0);
    struct log_event_head head = {clock_wall_ms(), level, event, lost};
    log_line_make(&head, is_json(), format, args, &line);
    if (!write_line(line.data, line.size))
        atomic_fetch_add(&dropped, lost + 1);
    buffer_fini(&line);
}

/* ---- what repeats ---- */

static struct log_limit limits[LOG_EVENTS_MAX]; /* by row; the last: events without a row */

static void held_write(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void held_write(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    event_write(LOG_WARN, "log_held_back", format, args);
    va_end(args);
}

static void held_tell(int slot, int held)
{
    if (held)
        held_write("of=%s lines=%d", slot == LOG_EVENTS_MAX - 1 ? "others" : log_events[slot].name,
                   held);
}

static bool event_passes(int row)
{
    int held, slot = row < 0 ? LOG_EVENTS_MAX - 1 : row;
    if (!log_limit_pass_burst(&limits[slot], LOG_REPEAT_MAX, &held))
        return false;
    held_tell(slot, held);
    return true;
}

void log_tell_held(void)
{
    int64_t now = clock_monotonic_ms();
    for (int slot = 0; slot < LOG_EVENTS_MAX; slot++)
        if (atomic_load(&limits[slot].suppressed) &&
            now - atomic_load(&limits[slot].window_start_ms) >= LOG_WINDOW_MS)
            held_tell(slot, atomic_exchange(&limits[slot].suppressed, 0));
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if ((int)level < atomic_load(&minimum))
        return;
    int row = log_event_find(event);
#ifndef NDEBUG
    gw_assert(row >= 0 && log_events[row].levels & 1U << level);
#endif
    if (!event_passes(row))
        return;
    va_list args;
    va_start(args, format);
    event_write(level, event, format, args);
    va_end(args);
}

void log_lines(enum log_level level, const char *event, struct bytes text)
{
    if (!is_json()) {
        fwrite(text.data, 1, text.size, stderr);
        return;
    }
    while (text.size) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        size_t taken = size + (end != NULL);
        if (size)
            log_event(level, event, "text=\"%.*s\"", (int)size, (const char *)text.data);
        text = bytes_of(text.data + taken, text.size - taken);
    }
}

const char *log_escape(struct log_text *out, struct bytes in)
{
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;
    for (size_t i = 0; i < in.size; i++) {
        /* Room for an escape, and behind it for the mark and the end. */
        if (used + 6 > sizeof out->text) {
            out->text[used++] = '~';
            break;
        }
        uint8_t byte = in.data[i];
        if (byte < 0x20 || byte > 0x7e || byte == '"' || byte == '\\') {
            out->text[used++] = '\\';
            out->text[used++] = 'x';
            out->text[used++] = digits[byte >> 4];
            out->text[used++] = digits[byte & 15];
        } else {
            out->text[used++] = (char)byte;
        }
    }
    out->text[used] = '\0';
    return out->text;
}

bool log_limit_pass_burst(struct log_limit *limit, int burst, int *suppressed)
{
    int64_t now = clock_monotonic_ms();
    int64_t start = atomic_load(&limit->window_start_ms);
    if (start == 0 || now - start >= LOG_WINDOW_MS) {
        if (atomic_compare_exchange_strong(&limit->window_start_ms, &start, now))
            atomic_store(&limit->used, 0);
    }
    if (atomic_fetch_add(&limit->used, 1) >= burst) {
        atomic_fetch_add(&limit->suppressed, 1);
        return false;
    }
    *suppressed = atomic_exchange(&limit->suppressed, 0);
    return true;
}

bool log_limit_pass(struct log_limit *limit, int *suppressed)
{
    return log_limit_pass_burst(limit, limit->burst, suppressed);
}
