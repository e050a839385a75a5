/* SPDX-License-Identifier: Apache-2.0
 *
 * Why a connection is held. Read-only, any thread.
 */
#ifndef TIDEGATE_SOURCES_HOLD_H
#define TIDEGATE_SOURCES_HOLD_H

enum hold {
    HOLD_NONE,
    HOLD_WINDOW,  /* it has as much waiting for the disk as one connection may */
    HOLD_JOURNAL, /* the journal takes nothing in */
    HOLD_MEMORY,  /* its vendor has as much waiting for the disk as one vendor may */
    HOLD_RATE,    /* its vendor passed its rate */
    HOLD_SHARE,   /* its vendor has its share of the logs */
    HOLD_KINDS,
};

/* Words for logs, metrics and status. */
extern const char *const hold_names[HOLD_KINDS];

#endif
