/* SPDX-License-Identifier: Apache-2.0
 *
 * The only way to the file system for data that must survive. `struct disk` is a table, so a test
 * can put its own in front and make the n-th call fail; disk.c holds the real one and is the only
 * file that makes these system calls. Any thread. Paths are absolute or relative to the working
 * directory. Every function returns 0 (or the count, or a descriptor) or a negative errno.
 */
#ifndef TIDEGATE_BASE_DISK_H
#define TIDEGATE_BASE_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/err.h"

struct disk_stat {
    uint64_t size;
    int64_t modified_ms;
    bool directory;
    bool regular;
};

struct disk_space {
    uint64_t total;
    uint64_t available; /* to this process */
};

struct disk_names {
    char **names;
    size_t count;
};
void disk_names_fini(struct disk_names *names);

struct disk {
    /* O_CLOEXEC and O_NOFOLLOW are always added; new files get mode 0600. */
    int (*open)(const struct disk *disk, const char *path, int flags);
    /* May be short, as the system call; EINTR is repeated inside. */
    ssize_t (*pwrite)(const struct disk *disk, int fd, const void *data, size_t size,
                      uint64_t offset);
    ssize_t (*pread)(const struct disk *disk, int fd, void *data, size_t size, uint64_t offset);
    int (*datasync)(const struct disk *disk, int fd);
    /* Reserve blocks and set the size; the bytes read as zero. */
    int (*allocate)(const struct disk *disk, int fd, uint64_t size);
    int (*truncate)(const struct disk *disk, int fd, uint64_t size);
    int (*close)(const struct disk *disk, int fd);
    /* Exclusive lock for this process, without waiting: -EWOULDBLOCK when another has it. */
    int (*lock)(const struct disk *disk, int fd);
    int (*stat)(const struct disk *disk, const char *path, struct disk_stat *out);
    int (*space)(const struct disk *disk, const char *path, struct disk_space *out);
    int (*rename)(const struct disk *disk, const char *from, const char *to);
    /* renameat2(RENAME_EXCHANGE); -EINVAL or -ENOSYS where the file system lacks it. */
    int (*exchange)(const struct disk *disk, const char *a, const char *b);
    int (*link)(const struct disk *disk, const char *from, const char *to);
    int (*unlink)(const struct disk *disk, const char *path);
    int (*mkdir)(const struct disk *disk, const char *path); /* mode 0700; -EEXIST is an answer */
    int (*rmdir)(const struct disk *disk, const char *path);
    int (*sync_dir)(const struct disk *disk, const char *path);
    /* Names in a directory without "." and "..", sorted by byte order. */
    int (*list)(const struct disk *disk, const char *path, struct disk_names *out);
};

extern const struct disk disk_real;

/* All of it or an error; a short write is continued. */
int disk_write_all(const struct disk *disk, int fd, struct bytes in, uint64_t offset);
/* Exactly `size` bytes, or -EIO when the file ends before. */
int disk_read_all(const struct disk *disk, int fd, void *data, size_t size, uint64_t offset);

/* The whole file into `out` (appended), at most `size_max` bytes: -EFBIG beyond. */
int disk_read_file(const struct disk *disk, const char *path, size_t size_max, struct buffer *out);
/* The same of a file that somebody named to us. `open` refuses symbolic links, and mounted configurations
 * and secrets are symbolic links: here they are followed. */
int disk_read_named(const struct disk *disk, const char *path, size_t size_max, struct buffer *out);
/* Its first line, as a string: a password. `*out` is the caller's, to be given to disk_wipe_line; null
 * on an error. */
int disk_read_line(const struct disk *disk, const char *path, size_t size_max, char **out);
void disk_wipe_line(char *line); /* overwrites and frees; accepts null */

/* Put `in` under `path` so that a crash leaves the old content or the new, never a mixture: write
 * `path`.new, sync, rename, sync the directory. */
int disk_replace_file(const struct disk *disk, const char *path, struct bytes in);

/* mkdir -p, each level's parent synced. */
int disk_make_dirs(const struct disk *disk, const char *path);

#endif
