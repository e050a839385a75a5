/* SPDX-License-Identifier: Apache-2.0
 *
 * What an operator reads when the gateway may not write where it was told to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/owner.h"
#include "lib/temp_dir.h"

static void names_the_owner_of_the_nearest_folder_that_exists(void **state)
{
    (void)state;
    struct temp_dir dir;
    char path[512], expected[512], text[OWNER_TEXT_SIZE];
    temp_dir_make(&dir);
    assert_int_equal(chmod(dir.path, 0750), 0);
    snprintf(path, sizeof path, "%s/journal/raw", dir.path);
    snprintf(expected, sizeof expected,
             "%s belongs to user %u, group %u (mode 0750), this process is", dir.path, getuid(),
             getgid());
    assert_non_null(strstr(owner_explain(path, text), expected));
    assert_non_null(strstr(owner_explain(dir.path, text), expected));
    temp_dir_remove(&dir);
}

static void names_what_to_do_by_number(void **state)
{
    (void)state;
    char expected[64], text[OWNER_TEXT_SIZE];
    snprintf(expected, sizeof expected, "(chown -R %u:%u)", geteuid(), getegid());
    assert_non_null(strstr(owner_explain("/", text), expected));
}

static void relative_and_absent_paths_end_at_the_working_folder(void **state)
{
    (void)state;
    char text[OWNER_TEXT_SIZE];
    assert_memory_equal(owner_explain("not-there/at/all", text), ". belongs to", 12);
    assert_memory_equal(owner_explain("/not-there/at/all", text), "/ belongs to", 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_the_owner_of_the_nearest_folder_that_exists),
        cmocka_unit_test(names_what_to_do_by_number),
        cmocka_unit_test(relative_and_absent_paths_end_at_the_working_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
