/* SPDX-License-Identifier: Apache-2.0
 *
 * Every example configuration in deploy/examples is good as it stands there, once the password files
 * exist that its comments tell how to make.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "lib/temp_dir.h"
#include "route.h"

#define EXAMPLES TEST_VECTORS "/../../deploy/examples"

/* One user a file. */
static const char user_form[] =
    "%s-user:$7$101$a/uI//KGmchNCHHF$PzfRioFnhJRzYgKjyrUjvTXbQD1/MeYH0VjQWFZ854A3mJXfkIbMyCm783ltGF"
    "Zn5dU0dIRIp6dbRpvgUJS52g==\n";

static void passwords_make(const char *dir, const char *vendor)
{
    char *path = mem_printf("%s/passwords/%s", dir, vendor);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fprintf(file, user_form, vendor);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0640), 0);
    free(path);
}

static void copy(const char *from_dir, const char *to_dir, const char *name)
{
    struct buffer text = {0};
    char *from = mem_printf("%s/%s", from_dir, name);
    char *to = mem_printf("%s/%s", to_dir, name);
    assert_int_equal(disk_read_file(&disk_real, from, 1 << 20, &text), 0);
    assert_int_equal(disk_replace_file(&disk_real, to, buffer_bytes(&text)), 0);
    buffer_fini(&text);
    free(from);
    free(to);
}

static size_t copy_yaml(const char *from_dir, const char *to_dir)
{
    struct disk_names names = {0};
    size_t count = 0;
    assert_int_equal(disk_real.list(&disk_real, from_dir, &names), 0);
    assert_int_equal(disk_make_dirs(&disk_real, to_dir), 0);
    for (size_t i = 0; i < names.count; i++) {
        size_t size = strlen(names.names[i]);
        if (size < 5 || strcmp(names.names[i] + size - 5, ".yaml") != 0)
            continue;
        copy(from_dir, to_dir, names.names[i]);
        count++;
    }
    disk_names_fini(&names);
    return count;
}

static void example_check(const char *dir, const char *name)
{
    struct buffer errors = {0};
    struct config *config;
    struct router *router;
    struct err err;
    char *path = mem_printf("%s/%s", dir, name);
    if (config_load(path, &disk_real, &config, &errors))
        fail_msg("%.*s", (int)errors.size, (char *)errors.data);
    if (router_new(config, &router, &err))
        fail_msg("%s: %s", name, err.text);
    router_free(router);
    config_free(config);
    buffer_fini(&errors);
    free(path);
}

static void every_example_is_good(void **state)
{
    struct temp_dir dir;
    struct disk_names names = {0};
    size_t checked = 0;
    (void)state;
    temp_dir_make(&dir);
    char *mappings = mem_printf("%s/mappings", dir.path);
    char *passwords = mem_printf("%s/passwords", dir.path);
    assert_true(copy_yaml(EXAMPLES, dir.path) >= 3);
    assert_true(copy_yaml(EXAMPLES "/mappings", mappings) >= 1);
    assert_int_equal(disk_make_dirs(&disk_real, passwords), 0);
    passwords_make(dir.path, "acme");
    passwords_make(dir.path, "borealis");
    passwords_make(dir.path, "kafka"); /* any text will do */
    passwords_make(dir.path, "clickhouse");
    passwords_make(dir.path, "acme-broker");
    assert_int_equal(disk_real.list(&disk_real, dir.path, &names), 0);
    for (size_t i = 0; i < names.count; i++) {
        if (strstr(names.names[i], ".yaml") == NULL)
            continue;
        example_check(dir.path, names.names[i]);
        checked++;
    }
    assert_true(checked >= 3);
    disk_names_fini(&names);
    free(mappings);
    free(passwords);
    temp_dir_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_example_is_good)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
