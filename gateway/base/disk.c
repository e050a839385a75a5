/* SPDX-License-Identifier: Apache-2.0
 *
 * The real disk: the only file of the program that opens, writes, syncs and renames data that must
 * survive, so that a test can stand in front of every one of these calls. Any thread; no state.
 */
#include "base/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Repeats a call that a signal interrupted; the value is the result or a negative errno. */
#define repeated(type, call)                                                                       \
    ({                                                                                             \
        type result_;                                                                              \
        do                                                                                         \
            result_ = (type)(call);                                                                \
        while (result_ < 0 && errno == EINTR);                                                     \
        result_ < 0 ? (type)-errno : result_;                                                      \
    })

static int real_open(const struct disk *disk, const char *path, int flags)
{
    (void)disk;
    return repeated(int, open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600));
}

static ssize_t real_pwrite(const struct disk *disk, int fd, const void *data, size_t size,
                           uint64_t offset)
{
    (void)disk;
    if (offset > INT64_MAX)
        return -EFBIG;
    return repeated(ssize_t, pwrite(fd, data, size, (off_t)offset));
}

static ssize_t real_pread(const struct disk *disk, int fd, void *data, size_t size, uint64_t offset)
{
    (void)disk;
    if (offset > INT64_MAX)
        return -EINVAL;
    return repeated(ssize_t, pread(fd, data, size, (off_t)offset));
}

static int real_datasync(const struct disk *disk, int fd)
{
    (void)disk;
    return repeated(int, fdatasync(fd));
}

static int real_allocate(const struct disk *disk, int fd, uint64_t size)
{
    (void)disk;
    if (size > INT64_MAX)
        return -EFBIG;
    /* The system call itself: posix_fallocate would write zeros where it is not supported, which is
     * unbounded work. */
    return repeated(int, fallocate(fd, 0, 0, (off_t)size));
}

static int real_truncate(const struct disk *disk, int fd, uint64_t size)
{
    (void)disk;
    if (size > INT64_MAX)
        return -EFBIG;
    return repeated(int, ftruncate(fd, (off_t)size));
}

static int real_close(const struct disk *disk, int fd)
{
    (void)disk;
    /* On Linux the descriptor is gone even when close is interrupted: never repeat it. */
    if (close(fd) == 0 || errno == EINTR)
        return 0;
    return -errno;
}

static int real_lock(const struct disk *disk, int fd)
{
    (void)disk;
    return repeated(int, flock(fd, LOCK_EX | LOCK_NB));
}

static int real_stat(const struct disk *disk, const char *path, struct disk_stat *out)
{
    (void)disk;
    struct stat info;
    int rc = repeated(int, fstatat(AT_FDCWD, path, &info, AT_SYMLINK_NOFOLLOW));
    if (rc < 0)
        return rc;
    *out = (struct disk_stat){
        .size = (uint64_t)info.st_size,
        .modified_ms = (int64_t)info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1000000,
        .directory = S_ISDIR(info.st_mode),
        .regular = S_ISREG(info.st_mode),
    };
    return 0;
}

static int real_space(const struct disk *disk, const char *path, struct disk_space *out)
{
    (void)disk;
    struct statvfs info;
    int rc = repeated(int, statvfs(path, &info));
    if (rc < 0)
        return rc;
    out->total = (uint64_t)info.f_blocks * info.f_frsize;
    out->available = (uint64_t)info.f_bavail * info.f_frsize;
    return 0;
}

static int real_rename(const struct disk *disk, const char *from, const char *to)
{
    (void)disk;
    return repeated(int, rename(from, to));
}

static int real_exchange(const struct disk *disk, const char *a, const char *b)
{
    (void)disk;
    return repeated(int, renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE));
}

static int real_link(const struct disk *disk, const char *from, const char *to)
{
    (void)disk;
    return repeated(int, link(from, to));
}

static int real_unlink(const struct disk *disk, const char *path)
{
    (void)disk;
    return repeated(int, unlink(path));
}

static int real_mkdir(const struct disk *disk, const char *path)
{
    (void)disk;
    return repeated(int, mkdir(path, 0700));
}

static int real_rmdir(const struct disk *disk, const char *path)
{
    (void)disk;
    return repeated(int, rmdir(path));
}

static int real_sync_dir(const struct disk *disk, const char *path)
{
    (void)disk;
    int fd = repeated(int, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd < 0)
        return fd;
    int rc = repeated(int, fsync(fd));
    close(fd);
    return rc;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int real_list(const struct disk *disk, const char *path, struct disk_names *out)
{
    (void)disk;
    *out = (struct disk_names){0};
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -errno;
    size_t capacity = 0;
    struct dirent *entry;
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (out->count == capacity) {
            capacity = capacity ? capacity * 2 : 32;
            out->names = mem_realloc(out->names, capacity * sizeof *out->names);
        }
        out->names[out->count++] = mem_strdup(entry->d_name);
    }
    int rc = -errno;
    closedir(dir);
    if (rc < 0)
        disk_names_fini(out);
    else if (out->count)
        qsort(out->names, out->count, sizeof *out->names, by_bytes);
    return rc;
}

const struct disk disk_real = {
    .open = real_open,
    .pwrite = real_pwrite,
    .pread = real_pread,
    .datasync = real_datasync,
    .allocate = real_allocate,
    .truncate = real_truncate,
    .close = real_close,
    .lock = real_lock,
    .stat = real_stat,
    .space = real_space,
    .rename = real_rename,
    .exchange = real_exchange,
    .link = real_link,
    .unlink = real_unlink,
    .mkdir = real_mkdir,
    .rmdir = real_rmdir,
    .sync_dir = real_sync_dir,
    .list = real_list,
};

void disk_names_fini(struct disk_names *names)
{
    if (names == NULL)
        return;
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i]);
    free(names->names);
    *names = (struct disk_names){0};
}

int disk_write_all(const struct disk *disk, int fd, struct bytes in, uint64_t offset)
{
    while (in.size) {
        ssize_t written = disk->pwrite(disk, fd, in.data, in.size, offset);
        if (written < 0)
            return (int)written;
        /* A write that takes nothing and says nothing would loop for ever. */
        if (written == 0)
            return -EIO;
        in.data += written;
        in.size -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

int disk_read_all(const struct disk *disk, int fd, void *data, size_t size, uint64_t offset)
{
    uint8_t *at = data;
    while (size) {
        ssize_t got = disk->pread(disk, fd, at, size, offset);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return -EIO;
        at += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

int disk_read_file(const struct disk *disk, const char *path, size_t size_max, struct buffer *out)
{
    int fd = disk->open(disk, path, O_RDONLY);
    if (fd < 0)
        return fd;
    size_t total = 0;
    int rc = 0;
    for (;;) {
        /* One byte more than allowed, so that "too big" is seen without asking for the size, which
         * may change, or be zero in /proc. */
        size_t want = size_max - total < 65536 ? size_max - total + 1 : 65536;
        ssize_t got = disk->pread(disk, fd, buffer_reserve(out, want), want, total);
        if (got <= 0) {
            rc = (int)got;
            break;
        }
        total += (size_t)got;
        if (total > size_max) {
            rc = -EFBIG;
            break;
        }
        out->size += (size_t)got;
    }
    disk->close(disk, fd);
    return rc;
}

int disk_read_named(const struct disk *disk, const char *path, size_t size_max, struct buffer *out)
{
    char real[PATH_MAX];
    return realpath(path, real) ? disk_read_file(disk, real, size_max, out) : -errno;
}

int disk_read_line(const struct disk *disk, const char *path, size_t size_max, char **out)
{
    struct buffer text = {0};
    int rc = disk_read_named(disk, path, size_max, &text);
    size_t size = 0;
    while (size < text.size && text.data[size] != '\n' && text.data[size] != '\r')
        size++;
    *out = rc == 0 ? bytes_strdup(bytes_of(text.data, size)) : NULL;
    if (text.data)
        explicit_bzero(text.data, text.capacity);
    buffer_fini(&text);
    return rc;
}

void disk_wipe_line(char *line)
{
    if (line)
        explicit_bzero(line, strlen(line));
    free(line);
}

/* The folder that holds `path`; the caller frees it. */
static char *parent_of(const char *path)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    while (size && path[size - 1] != '/')
        size--;
    while (size > 1 && path[size - 1] == '/')
        size--;
    return size ? bytes_strdup(bytes_of(path, size)) : mem_strdup(".");
}

static int sync_parent(const struct disk *disk, const char *path)
{
    char *parent = parent_of(path);
    int rc = disk->sync_dir(disk, parent);
    free(parent);
    return rc;
}

static int write_new(const struct disk *disk, const char *path, struct bytes in)
{
    int fd = disk->open(disk, path, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0)
        return fd;
    int rc = disk_write_all(disk, fd, in, 0);
    /* Sync before rename: after a crash the final name must never show an empty file. */
    if (rc == 0)
        rc = disk->datasync(disk, fd);
    int closed = disk->close(disk, fd);
    return rc ? rc : closed;
}

int disk_replace_file(const struct disk *disk, const char *path, struct bytes in)
{
    char *fresh = mem_printf("%s.new", path);
    int rc = write_new(disk, fresh, in);
    if (rc == 0)
        rc = disk->rename(disk, fresh, path);
    if (rc == 0)
        rc = sync_parent(disk, path);
    else
        disk->unlink(disk, fresh);
    free(fresh);
    return rc;
}

static int make_level(const struct disk *disk, const char *path)
{
    int rc = disk->mkdir(disk, path);
    if (rc == 0)
        return sync_parent(disk, path);
    if (rc != -EEXIST)
        return rc;
    struct disk_stat info;
    rc = disk->stat(disk, path, &info);
    /* A symbolic link to a folder is the operator's choice of place: the next level finds out. */
    return rc ? rc : info.regular ? -ENOTDIR : 0;
}

int disk_make_dirs(const struct disk *disk, const char *path)
{
    char *level = mem_strdup(path);
    int rc = 0;
    for (char *at = level + 1; rc == 0 && *level && *at; at++) {
        if (*at != '/' || at[-1] == '/')
            continue;
        *at = '\0';
        rc = make_level(disk, level);
        *at = '/';
    }
    if (rc == 0)
        rc = make_level(disk, level);
    free(level);
    return rc;
}
