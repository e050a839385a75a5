/* SPDX-License-Identifier: Apache-2.0
 *
 * The program's own log: one line an event on standard error, an event name and facts:
 *
 *     2026-11-21T08:00:00.123Z warn sink_retry sink=parquet seq=8812 why="No space left on device"
 *
 * Text where standard error is a terminal; elsewhere the same as a JSON object a line:
 *
 *     {"time":"2026-11-21T08:00:00.123Z","level":"warn","event":"sink_retry","sink":"parquet",
 *      "seq":8812,"why":"No space left on device"}
 *
 * Each event has a row in log_events.c; beyond LOG_REPEAT_MAX lines of one event a minute the rest is
 * counted, and told by log_held_back.
 *
 * Any thread. Never blocks: when standard error does not take a line at once, the line is counted
 * and dropped, and the count is told when it takes lines again. Strings from outside go through
 * log_escape (or the %s of LOG_TEXT), secrets and payloads never come here. What can repeat goes
 * through a `struct log_limit`.
 */
#ifndef TIDEGATE_BASE_LOG_H
#define TIDEGATE_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level);

enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
extern const char *const log_format_names[]; /* by enum log_format; ends with null */
void log_set_format(enum log_format format);
/* What is written now: "text" or "json", for a process that goes on with the same standard error. */
const char *log_format_name(void);

enum { LOG_REPEAT_MAX = 120, LOG_WINDOW_MS = 60000 };

/* log_event(LOG_WARN, "sink_retry", "sink=%s attempt=%d why=\"%s\"", ...): facts as key=value, where
 * the format tells what is a key; a value with blanks stands in quotes there. Words without a key
 * are the member "text" of JSON. Conversions: d i u x (with h l ll z j t), f g, s, c, %. */
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Bytes from outside, made printable: control characters, quotes and bytes above 0x7e become
 * \xNN, cut at the size of `out`. Returns out->text, for use as a %s argument. */
struct log_text {
    char text[256];
};
const char *log_escape(struct log_text *out, struct bytes in);

/* Many lines that were made for people, as they are; in JSON an event each. */
void log_lines(enum log_level level, const char *event, struct bytes text);
/* Tells counts that are due and for which no further line came. Every few seconds; one thread. */
void log_tell_held(void);

/* At most `burst` lines a minute for each limit; the rest is counted and told with the next
 * line that passes. A zeroed object with `burst` set. Thread-safe. */
struct log_limit {
    int burst;
    _Atomic int64_t window_start_ms;
    _Atomic int used;
    _Atomic int suppressed;
};
/* True when a line may be written now; *suppressed gets the number held back before it. */
bool log_limit_pass(struct log_limit *limit, int *suppressed);
bool log_limit_pass_burst(struct log_limit *limit, int burst, int *suppressed);

#endif
