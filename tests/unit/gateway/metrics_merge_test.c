/* SPDX-License-Identifier: Apache-2.0
 *
 * Each metric stands once, with all its samples.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics_merge.h"

static void assert_merged(const char *a, const char *b, const char *wanted)
{
    struct bytes texts[] = {bytes_text(a), bytes_text(b)};
    struct buffer out = {0};
    metrics_merge(texts, 2, &out);
    buffer_u8(&out, 0);
    assert_string_equal((const char *)out.data, wanted);
    buffer_fini(&out);
}

static void samples_of_one_metric_stand_together(void **state)
{
    (void)state;
    assert_merged("# HELP x_total X.\n# TYPE x_total counter\nx_total{sink=\"a\"} 1\n"
                  "# HELP y Y.\n# TYPE y gauge\ny{sink=\"a\"} 2\n",
                  "# HELP x_total X.\n# TYPE x_total counter\nx_total{sink=\"b\"} 3\n"
                  "# HELP z Z.\n# TYPE z gauge\nz{sink=\"b\"} 4\n",
                  "# HELP x_total X.\n# TYPE x_total counter\nx_total{sink=\"a\"} 1\n"
                  "x_total{sink=\"b\"} 3\n"
                  "# HELP y Y.\n# TYPE y gauge\ny{sink=\"a\"} 2\n"
                  "# HELP z Z.\n# TYPE z gauge\nz{sink=\"b\"} 4\n");
}

static void an_empty_text_adds_nothing(void **state)
{
    (void)state;
    assert_merged("", "# HELP y Y.\n# TYPE y gauge\ny 2\n", "# HELP y Y.\n# TYPE y gauge\ny 2\n");
    assert_merged("", "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_of_one_metric_stand_together),
        cmocka_unit_test(an_empty_text_adds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
