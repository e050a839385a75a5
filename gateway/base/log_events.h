/* SPDX-License-Identifier: Apache-2.0
 *
 * Every event of the program's own log, one row each: its name, how important it is, what it says,
 * and what to do. The manual is made from these rows; tests/lib/events.py checks that every log_event in
 * the tree has its row, and builds with assertions check it when a line is written.
 */
#ifndef TIDEGATE_BASE_LOG_EVENTS_H
#define TIDEGATE_BASE_LOG_EVENTS_H

#include "base/bytes.h"
#include "base/log.h"

/* A set of enum log_level. */
enum log_levels {
    LEVEL_DEBUG = 1 << LOG_DEBUG,
    LEVEL_INFO = 1 << LOG_INFO,
    LEVEL_WARN = 1 << LOG_WARN,
    LEVEL_ERROR = 1 << LOG_ERROR,
};

struct log_event_row {
    const char *name;
    unsigned levels;      /* at which it may come */
    const char *sentence; /* what happened */
    const char *action;   /* what to do; null: nothing */
};

enum { LOG_EVENTS_MAX = 512 };                  /* rows there may be; log.c counts lines of each */
extern const struct log_event_row log_events[]; /* by name; ends with a null name */

/* The row's index, or -1. */
int log_event_find(const char *name);
/* All of them as text: name, levels, sentence, what to do. Appends. */
void log_events_reference(struct buffer *out);

#endif
