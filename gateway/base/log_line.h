/* SPDX-License-Identifier: Apache-2.0
 *
 * One event as a line, for people or for programs. Private to the log. Any thread.
 */
#ifndef TIDEGATE_BASE_LOG_LINE_H
#define TIDEGATE_BASE_LOG_LINE_H

#include <stdarg.h>

#include "base/bytes.h"
#include "base/log.h"

/* Below PIPE_BUF, so that a pipe takes a line whole or not at all. */
enum { LOG_LINE_MAX = 4000 };

struct log_event_head {
    int64_t now_ms;
    enum log_level level;
    const char *event;
    uint64_t dropped; /* lines that standard error did not take before; 0 is not told */
};

/* Appends the line with its '\n', at most LOG_LINE_MAX bytes. `format` is facts as key=%s or
 * key="%s", and words between them; what a conversion brings cannot end a value or begin a key. */
void log_line_make(const struct log_event_head *head, bool json, const char *format, va_list args,
                   struct buffer *out);

#endif
