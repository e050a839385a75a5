/* SPDX-License-Identifier: Apache-2.0
 *
 * The YAML tree and its errors: place, line, caret, and all of them at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/yaml.h"

static struct buffer errors;

static int parse(struct yaml *yaml, const char *text)
{
    buffer_clear(&errors);
    return yaml_parse(yaml, bytes_text(text), "f.yaml", &errors);
}

static bool says(const char *text)
{
    buffer_u8(&errors, 0);
    errors.size--;
    bool found = strstr((const char *)errors.data, text) != NULL;
    if (!found)
        print_message("not said: %s\nbut: %s\n", text, (const char *)errors.data);
    return found;
}

static void tree_has_values_in_order_with_their_places(void **state)
{
    (void)state;
    struct yaml yaml;
    assert_int_equal(parse(&yaml, "a: 1\nb:\n  - x\n  - {c: \"d e\", f: ~}\n"), 0);
    assert_int_equal(yaml.root->kind, YAML_MAPPING);
    assert_int_equal(yaml.root->count, 2);
    const struct yaml_node *a = yaml_find(yaml.root, "a");
    assert_string_equal(a->text, "1");
    assert_int_equal(a->line, 1);
    assert_int_equal(a->column, 4);
    assert_string_equal(a->key->text, "a");
    const struct yaml_node *b = a->next;
    assert_int_equal(b->kind, YAML_SEQUENCE);
    assert_int_equal(b->count, 2);
    const struct yaml_node *c = yaml_find(b->first->next, "c");
    assert_string_equal(c->text, "d e");
    assert_int_equal(c->line, 4);
    assert_int_equal(c->column, 9);
    assert_true(c->quoted);
    assert_true(yaml_is_null(yaml_find(b->first->next, "f")));
    assert_null(yaml_find(yaml.root, "z"));
    yaml_fini(&yaml);
}

static void empty_documents_have_no_root(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n\n", "# only words\n"};
    for (size_t i = 0; i < array_count(texts); i++) {
        struct yaml yaml;
        assert_int_equal(parse(&yaml, texts[i]), 0);
        assert_true(yaml_is_null(yaml.root));
        yaml_fini(&yaml);
    }
}

static void null_is_plain_only(void **state)
{
    (void)state;
    struct yaml yaml;
    assert_int_equal(parse(&yaml, "a:\nb: null\nc: ~\nd: \"\"\ne: 'null'\nf: []\n"), 0);
    assert_true(yaml_is_null(yaml_find(yaml.root, "a")));
    assert_true(yaml_is_null(yaml_find(yaml.root, "b")));
    assert_true(yaml_is_null(yaml_find(yaml.root, "c")));
    assert_false(yaml_is_null(yaml_find(yaml.root, "d")));
    assert_false(yaml_is_null(yaml_find(yaml.root, "e")));
    assert_false(yaml_is_null(yaml_find(yaml.root, "f")));
    yaml_fini(&yaml);
}

static void bad_documents_are_refused_with_line_and_caret(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"a: 1\nb: 2\na: 3\n", "f.yaml:3:1: key \"a\" stands here twice; the other is in line 1: "
                               "remove one\n    a: 3\n    ^\n"},
        {"a: &x 1\n", "f.yaml:1:7: anchors"},
        {"a: 1\nb: *a\n", "f.yaml:2:5: aliases"},
        {"a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document"},
        {"? [a]\n: 1\n", "a key must be a plain word"},
        {"a: [1, 2\n", "f.yaml:"},
        {"a: b: c\n", "f.yaml:1:"},
        {"- a\nb: c\n", "f.yaml:2:1: "},
        {"a: \"x\n", "f.yaml:"},
        {"a: 1\r\n%YAML\n", "f.yaml:2:1: a line that begins with %"},
        {"\xef\xbb\xbf%TAG", "f.yaml:1:1: a line that begins with %"},
        {"a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
         "nested deeper than 32"},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct yaml yaml;
        assert_int_equal(parse(&yaml, cases[i].text), GW_EINVAL);
        assert_null(yaml.root);
        assert_true(says(cases[i].says));
        yaml_fini(&yaml);
    }
}

static void all_duplicates_are_reported(void **state)
{
    (void)state;
    struct yaml yaml;
    assert_int_equal(parse(&yaml, "a: {x: 1, x: 2}\nb: 1\nb: 2\nb: 3\n"), GW_EINVAL);
    assert_int_equal(yaml.error_count, 3);
    assert_true(says("f.yaml:1:11: key \"x\""));
    assert_true(says("f.yaml:3:1: key \"b\""));
    assert_true(says("f.yaml:4:1: key \"b\""));
    yaml_fini(&yaml);
}

static void caret_counts_characters_and_long_lines_are_cut(void **state)
{
    (void)state;
    struct yaml yaml;
    assert_int_equal(parse(&yaml, "水表: {单位: 吨}\n"), 0);
    yaml_error(&yaml, yaml_find(yaml_find(yaml.root, "水表"), "单位"), "%s", "what");
    assert_true(says("f.yaml:1:10: what\n    水表: {单位: 吨}\n             ^\n"));
    yaml_fini(&yaml);
    char text[2000];
    snprintf(text, sizeof text, "a: [%01500d, b]", 0);
    assert_int_equal(parse(&yaml, text), 0);
    yaml_error(&yaml, yaml_find(yaml.root, "a")->first->next, "end");
    assert_true(errors.size < 300);
    assert_true(says("0, b]\n"));
    yaml_fini(&yaml);
}

static void errors_are_bounded_and_printable(void **state)
{
    (void)state;
    struct yaml yaml;
    assert_int_equal(parse(&yaml, "a: \"\\e[31m\"\n"), 0);
    for (int i = 0; i < 1000; i++)
        yaml_error(&yaml, yaml.root, "%s", yaml_find(yaml.root, "a")->text);
    assert_int_equal(yaml.error_count, 1000);
    assert_true(says("?[31m"));
    assert_true(says("more errors follow"));
    assert_null(memchr(errors.data, 0x1b, errors.size));
    assert_true(errors.size < 10000);
    yaml_fini(&yaml);
}

struct sample {
    int64_t count;
    char *name;
};
static const struct option rows[] = {
    {"count", OPTION_INT, offsetof(struct sample, count), "3", 1, 10, NULL, "How many."},
    {"name", OPTION_STRING, offsetof(struct sample, name), "n", 0, 0, NULL, "A name."},
    {0},
};

static void options_are_set_and_every_mistake_told(void **state)
{
    (void)state;
    static const char *const also[] = {"sinks", NULL};
    struct yaml yaml;
    struct sample sample = {0};
    option_defaults(rows, &sample);
    assert_int_equal(parse(&yaml, "count: 5\nname: ~\nsinks: []\n"), 0);
    assert_int_equal(yaml_set_options(&yaml, yaml.root, rows, &sample, also), 0);
    assert_int_equal(sample.count, 5);
    assert_string_equal(sample.name, "n");
    yaml_fini(&yaml);
    assert_int_equal(parse(&yaml, "cuont: 5\ncount: 50\nname: [x]\nsink: 1\n"), 0);
    assert_int_equal(yaml_set_options(&yaml, yaml.root, rows, &sample, also), GW_EINVAL);
    assert_int_equal(yaml.error_count, 4);
    assert_true(says("f.yaml:1:1: unknown option \"cuont\": did you mean \"count\"?"));
    assert_true(says("f.yaml:2:8: count: 50 is out of range: 1 to 10"));
    assert_true(says("f.yaml:3:7: name must be a single value"));
    assert_true(says("f.yaml:4:1: unknown option \"sink\": did you mean \"sinks\"?"));
    assert_int_equal(sample.count, 5);
    yaml_fini(&yaml);
    assert_int_equal(parse(&yaml, "velocity: 5\n"), 0);
    assert_int_equal(yaml_set_options(&yaml, yaml.root, rows, &sample, also), GW_EINVAL);
    assert_true(says("f.yaml:1:1: unknown option \"velocity\"; here are known: count, "));
    yaml_fini(&yaml);
    option_fini(rows, &sample);
}

static void maps_take_single_values_under_any_name(void **state)
{
    (void)state;
    struct yaml yaml;
    struct option_map map = {0};
    static const struct option row[] = {
        {"extra", OPTION_MAP, 0, NULL, 0, 0, NULL, "What only a library knows."}, {0}};
    assert_int_equal(parse(&yaml, "extra:\n  linger.ms: 5\n  \"a=b\": \"\"\n  flag: true\n"), 0);
    assert_int_equal(yaml_set_options(&yaml, yaml.root, row, &map, NULL), 0);
    assert_int_equal(map.count, 3);
    assert_string_equal(map.keys[1], "a=b");
    assert_string_equal(option_map_find(&map, "linger.ms"), "5");
    assert_string_equal(option_map_find(&map, "a=b"), "");
    assert_string_equal(option_map_find(&map, "flag"), "true");
    yaml_fini(&yaml);
    assert_int_equal(parse(&yaml, "extra: {a: [1], b: {c: 1}, d: ~, \"\": 1, e: \"\\0\"}\n"), 0);
    assert_int_equal(yaml_set_options(&yaml, yaml.root, row, &map, NULL), GW_EINVAL);
    assert_int_equal(yaml.error_count, 5);
    assert_true(says("a must be a single value"));
    assert_true(says("d has no value; an empty one is \"\""));
    yaml_fini(&yaml);
    assert_int_equal(parse(&yaml, "extra: yes\n"), 0);
    assert_int_equal(yaml_set_options(&yaml, yaml.root, row, &map, NULL), GW_EINVAL);
    assert_true(says("extra must be a mapping"));
    assert_int_equal(map.count, 3);
    yaml_fini(&yaml);
    option_fini(row, &map);
}

static void unknown_keys_get_the_nearest(void **state)
{
    (void)state;
    static const char *const names[] = {"path", "unit", NULL};
    struct yaml yaml;
    assert_int_equal(parse(&yaml, "paht: 1\nunit: 2\nelephant: 3\n"), 0);
    assert_int_equal(yaml_check_keys(&yaml, yaml.root, names, "key"), GW_EINVAL);
    assert_true(says("f.yaml:1:1: unknown key \"paht\": did you mean \"path\"?"));
    assert_true(says("f.yaml:3:1: unknown key \"elephant\"\n"));
    assert_false(yaml_expect(&yaml, yaml.root, YAML_SEQUENCE, "x"));
    assert_true(says("x must be a list"));
    assert_false(yaml_expect(&yaml, NULL, YAML_SCALAR, "y"));
    yaml_fini(&yaml);
}

static int teardown(void **state)
{
    (void)state;
    buffer_fini(&errors);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_has_values_in_order_with_their_places),
        cmocka_unit_test(empty_documents_have_no_root),
        cmocka_unit_test(null_is_plain_only),
        cmocka_unit_test(bad_documents_are_refused_with_line_and_caret),
        cmocka_unit_test(all_duplicates_are_reported),
        cmocka_unit_test(caret_counts_characters_and_long_lines_are_cut),
        cmocka_unit_test(errors_are_bounded_and_printable),
        cmocka_unit_test(options_are_set_and_every_mistake_told),
        cmocka_unit_test(maps_take_single_values_under_any_name),
        cmocka_unit_test(unknown_keys_get_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
