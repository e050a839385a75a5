/* SPDX-License-Identifier: Apache-2.0
 *
 * Event lines on standard error. Any thread: one write(2) a line, and a line that would block is
 * dropped and counted, because nothing in the gateway may wait for a log reader.
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

static _Atomic int minimum = LOG_INFO;
static _Atomic uint64_t dropped;

void log_set_level(enum log_level level)
{
    atomic_store(&minimum, (int)level);
}

static bool write_line(const char *line, size_t size)
{
    /* Ask first: standard error may be a full pipe whose reader is gone to sleep. Lines stay below
     * PIPE_BUF, so a writable pipe takes one whole. */
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
        return false;
    return write(STDERR_FILENO, line, size) == (ssize_t)size;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if ((int)level < atomic_load(&minimum))
        return;
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char line[1536];
    char when[CLOCK_TEXT_SIZE];
    size_t room = sizeof line - 1;
    int used = snprintf(line, room, "%s %s %s ", clock_format_ms(clock_wall_ms(), when),
                        names[level], event);
    uint64_t lost = atomic_exchange(&dropped, 0);
    if (lost)
        used += snprintf(line + used, room - (size_t)used, "log_lines_dropped=%llu ",
                         (unsigned long long)lost);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + used, room - (size_t)used, format, args);
    va_end(args);
    used = more < 0 ? used : used + more;
    if ((size_t)used > room - 1)
        used = (int)room - 1;
    line[used] = '\n';
    if (!write_line(line, (size_t)used + 1))
        atomic_fetch_add(&dropped, lost + 1);
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

bool log_limit_pass(struct log_limit *limit, int *suppressed)
{
    int64_t now = clock_monotonic_ns() / 1000000;
    int64_t start = atomic_load(&limit->window_start_ms);
    if (start == 0 || now - start >= 60000) {
        if (atomic_compare_exchange_strong(&limit->window_start_ms, &start, now))
            atomic_store(&limit->used, 0);
    }
    if (atomic_fetch_add(&limit->used, 1) >= limit->burst) {
        atomic_fetch_add(&limit->suppressed, 1);
        return false;
    }
    *suppressed = atomic_exchange(&limit->suppressed, 0);
    return true;
}
