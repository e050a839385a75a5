/* SPDX-License-Identifier: Apache-2.0
 *
 * The files of the audit log: one a UTC day, append only. One thread at a time; several processes
 * may append to one file, each line with one write.
 */
#ifndef TIDEGATE_BASE_AUDIT_FILE_H
#define TIDEGATE_BASE_AUDIT_FILE_H

#include "base/audit_log.h"

struct audit_file {
    const struct disk *disk;
    char *dir;
    int64_t keep_ms;
    int fd;          /* -1: none is open */
    int64_t day;     /* since 1970; the open file's */
    unsigned number; /* of the day's files: 1, and one more after each that failed */
    bool ours;       /* we made it and nothing of it was synced */
    bool torn;       /* its end may be half a line */
};

/* The folder is made here. GW_EIO with a text. */
int audit_file_init(struct audit_file *file, const struct audit_log_options *options,
                    struct err *err);
/* Appends whole lines and syncs. GW_EFULL: no room, try again; GW_EIO: that file is given up, the
 * next try takes another. In both cases call again with the same lines. A day that begins removes
 * what is older than `keep_ms`. */
int audit_file_append(struct audit_file *file, int64_t now_ms, struct bytes lines, struct err *err);
void audit_file_fini(struct audit_file *file);

#endif
