/* SPDX-License-Identifier: Apache-2.0
 *
 * The real disk and its helpers: what a caller may rely on, and each helper with its n-th call
 * failing and the power going.
 */
#include "base/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/fault_disk.h"
#include "lib/temp_dir.h"

static const struct disk *const disk = &disk_real;

static char *path_in(const struct temp_dir *dir, const char *name)
{
    return mem_printf("%s/%s", dir->path, name);
}

static void a_file_is_written_read_and_sized(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_make(&dir);
    char *path = path_in(&dir, "file");
    assert_int_equal(disk->open(disk, path, O_RDONLY), -ENOENT);
    int fd = disk->open(disk, path, O_RDWR | O_CREAT);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    struct stat mode;
    assert_int_equal(fstat(fd, &mode), 0);
    assert_int_equal(mode.st_mode & 0777, 0600);
    assert_int_equal(disk_write_all(disk, fd, bytes_text("hello"), 3), 0);
    char text[8] = {0};
    assert_int_equal(disk_read_all(disk, fd, text, 8, 0), 0);
    assert_memory_equal(text, "\0\0\0hello", 8);
    assert_int_equal(disk_read_all(disk, fd, text, 8, 1), -EIO); /* it ends before */
    assert_int_equal(disk->allocate(disk, fd, 10000), 0);
    struct disk_stat info;
    assert_int_equal(disk->stat(disk, path, &info), 0);
    assert_int_equal(info.size, 10000);
    assert_true(info.regular && !info.directory && info.modified_ms > 0);
    assert_int_equal(disk->truncate(disk, fd, 4), 0);
    assert_int_equal(disk->datasync(disk, fd), 0);
    assert_int_equal(disk->pread(disk, fd, text, 8, 0), 4);
    assert_int_equal(disk->pread(disk, fd, text, 8, 4), 0);
    assert_int_equal(disk->pwrite(disk, fd, text, 1, UINT64_MAX), -EFBIG);
    assert_int_equal(disk->close(disk, fd), 0);
    assert_int_equal(disk->close(disk, fd), -EBADF);
    free(path);
    temp_dir_remove(&dir);
}

static void a_symbolic_link_is_not_followed(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_make(&dir);
    char *path = path_in(&dir, "link");
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(disk->open(disk, path, O_RDONLY), -ELOOP);
    struct disk_stat info;
    assert_int_equal(disk->stat(disk, path, &info), 0);
    assert_false(info.regular);
    free(path);
    temp_dir_remove(&dir);
}

static void a_lock_is_refused_to_a_second_opening_and_ends_with_the_file(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_make(&dir);
    char *path = path_in(&dir, "lock");
    int first = disk->open(disk, path, O_RDWR | O_CREAT);
    int second = disk->open(disk, path, O_RDWR);
    assert_int_equal(disk->lock(disk, first), 0);
    assert_int_equal(disk->lock(disk, second), -EWOULDBLOCK);
    disk->close(disk, first);
    assert_int_equal(disk->lock(disk, second), 0);
    disk->close(disk, second);
    free(path);
    temp_dir_remove(&dir);
}

static void names_are_listed_sorted_renamed_exchanged_linked_and_removed(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_make(&dir);
    char *a = path_in(&dir, "a");
    char *b = path_in(&dir, "b");
    char *c = path_in(&dir, "c");
    assert_int_equal(disk_replace_file(disk, b, bytes_text("was b")), 0);
    assert_int_equal(disk_replace_file(disk, a, bytes_text("was a")), 0);
    assert_int_equal(disk->exchange(disk, a, b), 0);
    assert_int_equal(disk->link(disk, a, c), 0);
    assert_int_equal(disk->link(disk, a, c), -EEXIST);
    struct buffer out = {0};
    assert_int_equal(disk_read_file(disk, c, 100, &out), 0);
    assert_true(bytes_equal_text(buffer_bytes(&out), "was b"));
    struct disk_names names;
    assert_int_equal(disk->list(disk, dir.path, &names), 0);
    assert_int_equal(names.count, 3);
    assert_string_equal(names.names[0], "a");
    assert_string_equal(names.names[2], "c");
    disk_names_fini(&names);
    assert_int_equal(disk->rename(disk, c, a), 0); /* two names of one file: nothing happens */
    assert_int_equal(disk->unlink(disk, a), 0);
    assert_int_equal(disk->unlink(disk, a), -ENOENT);
    assert_int_equal(disk->list(disk, a, &names), -ENOENT);
    assert_int_equal(disk->sync_dir(disk, dir.path), 0);
    assert_int_equal(disk->sync_dir(disk, a), -ENOENT);
    struct disk_space space;
    assert_int_equal(disk->space(disk, dir.path, &space), 0);
    assert_true(space.available <= space.total && space.total > 0);
    buffer_fini(&out);
    free(a);
    free(b);
    free(c);
    temp_dir_remove(&dir);
}

static void reading_a_file_stops_at_the_limit(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_make(&dir);
    char *path = path_in(&dir, "file");
    struct buffer in = {0};
    for (int i = 0; i < 70000; i++)
        buffer_u8(&in, (uint8_t)i);
    assert_int_equal(disk_replace_file(disk, path, buffer_bytes(&in)), 0);
    struct buffer out = {0};
    assert_int_equal(disk_read_file(disk, path, 69999, &out), -EFBIG);
    buffer_clear(&out);
    assert_int_equal(disk_read_file(disk, path, 70000, &out), 0);
    assert_true(bytes_equal(buffer_bytes(&in), buffer_bytes(&out)));
    buffer_clear(&out);
    assert_int_equal(disk_read_file(disk, "/dev/zero", 1000, &out), -EFBIG); /* it has no end */
    buffer_fini(&in);
    buffer_fini(&out);
    free(path);
    temp_dir_remove(&dir);
}

static void folders_are_made_on_every_level_and_again_without_harm(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_make(&dir);
    char *deep = path_in(&dir, "x//y/z/");
    struct disk_stat info;
    for (int i = 0; i < 2; i++)
        assert_int_equal(disk_make_dirs(disk, deep), 0);
    assert_int_equal(disk->stat(disk, deep, &info), 0);
    assert_true(info.directory);
    char *file = path_in(&dir, "x/file");
    char *below = path_in(&dir, "x/file/below");
    assert_int_equal(disk_replace_file(disk, file, bytes_text("")), 0);
    assert_int_equal(disk_make_dirs(disk, file), -ENOTDIR);
    assert_int_equal(disk_make_dirs(disk, below), -ENOTDIR);
    struct fault_disk fault;
    fault_disk_init(&fault);
    char *more = path_in(&dir, "p/q");
    assert_int_equal(disk_make_dirs(&fault.disk, more), 0);
    assert_int_equal(fault.counts[FAULT_SYNC_DIR], 2); /* the parents of p and of q */
    fault_disk_fini(&fault);
    free(more);
    free(below);
    free(file);
    free(deep);
    temp_dir_remove(&dir);
}

static void writes_are_continued_when_short_and_end_with_an_error(void **state)
{
    (void)state;
    struct temp_dir dir;
    temp_dir_make(&dir);
    char *path = path_in(&dir, "file");
    struct fault_disk fault;
    fault_disk_init(&fault);
    fault.short_writes = true;
    assert_int_equal(disk_replace_file(&fault.disk, path, bytes_text("0123456789")), 0);
    assert_true(fault.counts[FAULT_PWRITE] > 2);
    struct buffer out = {0};
    assert_int_equal(disk_read_file(disk, path, 100, &out), 0);
    assert_true(bytes_equal_text(buffer_bytes(&out), "0123456789"));
    fault_disk_fail(&fault, FAULT_PWRITE, 3, EIO, false);
    assert_int_equal(disk_replace_file(&fault.disk, path, bytes_text("abcdefghij")), -EIO);
    buffer_fini(&out);
    fault_disk_fini(&fault);
    free(path);
    temp_dir_remove(&dir);
}

/* Old content or new, never a mixture, never nothing: with each call failing, and the power gone. */
static void a_replaced_file_is_old_or_new_whatever_fails(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 8; n++) {
        for (uint64_t seed = 0; seed < 8; seed++) {
            struct temp_dir dir;
            temp_dir_make(&dir);
            char *path = path_in(&dir, "file");
            assert_int_equal(disk_replace_file(disk, path, bytes_text("old content")), 0);
            struct fault_disk fault;
            fault_disk_init(&fault);
            fault_disk_track(&fault, dir.path);
            fault_disk_fail(&fault, FAULT_ANY, n, EIO, true);
            int rc = disk_replace_file(&fault.disk, path, bytes_text("new content"));
            fault_disk_lose_power(&fault, seed);
            struct buffer out = {0};
            assert_int_equal(disk_read_file(disk, path, 100, &out), 0);
            bool is_new = bytes_equal_text(buffer_bytes(&out), "new content");
            assert_true(is_new || (rc < 0 && bytes_equal_text(buffer_bytes(&out), "old content")));
            buffer_fini(&out);
            fault_disk_fini(&fault);
            free(path);
            temp_dir_remove(&dir);
        }
    }
}

static void a_named_file_is_read_through_symbolic_links_and_ours_are_not(void **state)
{
    (void)state;
    struct temp_dir dir;
    char path[320], link[320];
    struct buffer out = {0};
    char *line;
    temp_dir_make(&dir);
    snprintf(path, sizeof path, "%s/secret", dir.path);
    snprintf(link, sizeof link, "%s/mounted", dir.path);
    int fd = disk_real.open(&disk_real, path, O_WRONLY | O_CREAT);
    assert_int_equal(disk_write_all(&disk_real, fd, bytes_text("pa ss\r\nmore\n"), 0), 0);
    disk_real.close(&disk_real, fd);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(disk_read_file(&disk_real, link, 100, &out), -ELOOP);
    assert_int_equal(disk_read_named(&disk_real, link, 100, &out), 0);
    assert_int_equal(out.size, 12);
    assert_int_equal(disk_read_line(&disk_real, link, 100, &line), 0);
    assert_string_equal(line, "pa ss");
    disk_wipe_line(line);
    assert_int_equal(disk_read_line(&disk_real, link, 11, &line), -EFBIG);
    assert_null(line);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(disk_read_line(&disk_real, link, 100, &line), -ENOENT);
    assert_null(line);
    disk_wipe_line(line);
    buffer_fini(&out);
    temp_dir_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_written_read_and_sized),
        cmocka_unit_test(a_symbolic_link_is_not_followed),
        cmocka_unit_test(a_lock_is_refused_to_a_second_opening_and_ends_with_the_file),
        cmocka_unit_test(names_are_listed_sorted_renamed_exchanged_linked_and_removed),
        cmocka_unit_test(reading_a_file_stops_at_the_limit),
        cmocka_unit_test(folders_are_made_on_every_level_and_again_without_harm),
        cmocka_unit_test(writes_are_continued_when_short_and_end_with_an_error),
        cmocka_unit_test(a_replaced_file_is_old_or_new_whatever_fails),
        cmocka_unit_test(a_named_file_is_read_through_symbolic_links_and_ours_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
