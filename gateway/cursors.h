/* SPDX-License-Identifier: Apache-2.0
 *
 * Every cursor of a data folder, as its files stand: those of sinks that are configured, and those
 * that an operator forgot, which hold the logs all the same. Read only; the lanes write them. One
 * thread for one list.
 */
#ifndef TIDEGATE_CURSORS_H
#define TIDEGATE_CURSORS_H

#include "journal/cursor.h"
#include "journal/journal.h"
#include "missed.h"

struct cursor_file {
    char *name; /* of the sink */
    char *path, *missed_path;
    bool readable;
    struct err err; /* why not */
    struct cursor_state state;
    struct identity identity; /* of its journal */
    int64_t modified_ms;      /* wall clock: the last save */
    struct missed_range *missed;
    size_t missed_count;
};

struct cursor_list {
    struct cursor_file *files; /* by name */
    size_t count;
};

/* `folder` holds NAME.cursor and NAME.missed; one that is not there holds none. A file that cannot
 * be read is in the list. GW_EIO: the folder cannot be. */
int cursor_list_read(const struct disk *disk, const char *folder, struct cursor_list *out,
                     struct err *err);
void cursor_list_fini(struct cursor_list *list); /* accepts a zeroed one */
/* The one of that sink, or null. */
const struct cursor_file *cursor_list_find(const struct cursor_list *list, const char *name);
/* Bytes of that log's segments which this cursor needs and no other one does: what may go when it
 * goes, but for history that is kept anyway. */
uint64_t cursor_list_held(const struct cursor_list *list, const struct cursor_file *file,
                          struct journal *log);
/* Messages in its missed ranges. */
uint64_t cursor_file_missed(const struct cursor_file *file);

#endif
