/* SPDX-License-Identifier: Apache-2.0
 *
 * The folder of files: which days and files are there, and the steps by which files appear. What
 * this object knows it read from the names when it was opened, and has kept up since; nobody else
 * writes here while it holds the lock.
 *
 * One thread at a time: the sink gives it to one job after the other.
 */
#ifndef TIDEGATE_SINKS_PARQUET_STORE_H
#define TIDEGATE_SINKS_PARQUET_STORE_H

#include "base/identity.h"
#include "sinks/parquet/naming.h"

/* A folder in the work folder that is not cleared: pending.h. */
#define STORE_PENDING "replay"

struct store_file {
    struct file_range range;
    uint64_t bytes;
};

struct store_day {
    int64_t day;
    struct store_file *files; /* by name */
    size_t file_count;
    uint64_t bytes;
    bool foreign; /* holds names that are not ours: its folder is never exchanged or removed */
    int64_t changed_ms; /* monotonic, of the last unit; 0: none since the store was opened */
};

struct store {
    const struct disk *disk;
    char *path; /* of the tree that others read */
    char *work; /* beside it, on the same file system: what is being built, what is going */
    int lock_fd;
    struct identity identity;
    struct store_day *days; /* by day */
    size_t day_count;
    uint64_t bytes, file_count;
    bool exchange;              /* the file system can exchange two folders */
    bool opening;               /* temporary files are what a crash left */
    struct file_range *damaged; /* files that a merge could not read: left alone */
    size_t damaged_count;
};

/* Makes the folders, takes the lock, removes what a crash left, lists what is there. `cursor` is the
 * first sequence number without confirmation. GW_EINVAL: the operator must act. Nothing is left open
 * after an error. */
int store_open(struct store *store, const struct disk *disk, const char *path,
               struct identity identity, uint64_t cursor, struct err *err);
void store_close(struct store *store); /* accepts a zeroed object, or twice */

/* 1: the readings of `range` are in that day already; 0: they are not; GW_EINVAL: a file overlaps
 * the range without containing it. */
int store_has(const struct store *store, int64_t day, const struct file_range *range,
              struct err *err);

/* Make the file of `range` in that day from ranked rows in `order`: written under a temporary name,
 * synced, renamed, the folder synced. After an error it may be tried again, with
 * the same rows. */
int store_put(struct store *store, int64_t day, const struct file_range *range,
              const struct parquet_options *options, const struct rows *rows, const uint32_t *order,
              struct err *err);

/* ---- for the parts that change files and whole days ---- */

/* The folder of a day. One that was not there when we looked last must itself survive; that it exists
 * by now does not tell that its parent was synced. */
int store_make_day(struct store *store, int64_t day, struct err *err);
/* Give a file of `bytes` that was written and synced its name, in the place of the one that has it.
 * After an error either may be there. */
int store_place(struct store *store, int64_t day, const struct file_range *range,
                const char *temporary, uint64_t bytes, struct err *err);

struct store_day *store_find_day(const struct store *store, int64_t day); /* null: not there */
/* Paths, allocated. */
char *store_day_path(const struct store *store, int64_t day);
char *store_file_path(const struct store *store, int64_t day, const struct file_range *range);
/* The list of a day's files as it now is on disk. */
int store_read_day(struct store *store, int64_t day, struct err *err);
/* The day's folder is gone. */
void store_forget_day(struct store *store, int64_t day);
/* Remove files of ours whose readings are in a larger file too. */
int store_drop_contained(struct store *store, int64_t day, struct err *err);
/* Remove a folder of plain files. */
int store_remove_dir(const struct store *store, const char *path);
/* GW_EFULL for a full disk, GW_EIO for others, with the text. */
int store_error(struct err *err, int negative_errno, const char *what, const char *path);

#endif
