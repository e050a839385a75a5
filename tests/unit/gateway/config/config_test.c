/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration: what a text becomes, and what is said about a wrong one. Files are written into
 * a folder of the test's own.
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

#include "base/yaml.h"
#include "config/config.h"
#include "lib/temp_dir.h"

struct fixture {
    struct temp_dir dir;
    struct buffer errors; /* of the last load, NUL-terminated behind its size */
};

static int setup(void **state)
{
    struct fixture *fixture = mem_zalloc(sizeof *fixture);
    temp_dir_make(&fixture->dir);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    temp_dir_remove(&fixture->dir);
    buffer_fini(&fixture->errors);
    free(fixture);
    return 0;
}

static void file_write(const struct fixture *fixture, const char *name, mode_t mode,
                       const char *text)
{
    char *path = mem_printf("%s/%s", fixture->dir.path, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
    free(path);
}

static int load_path(struct fixture *fixture, const char *path, struct config **out)
{
    buffer_clear(&fixture->errors);
    int rc = config_load(path, &disk_real, out, &fixture->errors);
    buffer_reserve(&fixture->errors, 1)[0] = '\0';
    return rc;
}

static int load(struct fixture *fixture, const char *text, struct config **out)
{
    char *path = mem_printf("%s/tidegate.yaml", fixture->dir.path);
    file_write(fixture, "tidegate.yaml", 0600, text);
    int rc = load_path(fixture, path, out);
    free(path);
    return rc;
}

static struct config *load_good(struct fixture *fixture, const char *text)
{
    struct config *config;
    if (load(fixture, text, &config))
        fail_msg("%s", (char *)fixture->errors.data);
    return config;
}

/* The text is refused, and the errors hold `says`. */
static void assert_refused(struct fixture *fixture, const char *text, const char *says)
{
    struct config *config;
    if (load(fixture, text, &config) != GW_EINVAL)
        fail_msg("taken, but wrong (%s): %s", says, text);
    if (strstr((char *)fixture->errors.data, says) == NULL)
        fail_msg("wanted \"%s\" in:\n%s\nfor:\n%s", says, (char *)fixture->errors.data, text);
}

#define ROUTES "routes:\n  - {topic: \"v1/{vendor}/json\", codec: json}\n"
#define SINKS  "sinks:\n  - type: discard\n"

static const char password_line[] =
    "acme:$7$101$a/uI//KGmchNCHHF$PzfRioFnhJRzYgKjyrUjvTXbQD1/MeYH0VjQWFZ854A3mJXfkIbMyCm783ltGFZn"
    "5dU0dIRIp6dbRpvgUJS52g==\n";

/* ---- the embedded default ---- */

static const struct config_route *route_of(const struct config *config, const char *topic)
{
    for (size_t i = 0; i < config->route_count; i++)
        if (strcmp(config->routes[i].topic, topic) == 0)
            return &config->routes[i];
    return NULL;
}

static void embedded_default_is_what_the_design_says(void **state)
{
    struct fixture *fixture = *state;
    struct config *config;
    assert_int_equal(
        config_embedded(&(struct config_places){.data = "somewhere"}, &config, &fixture->errors),
        0);
    assert_int_equal(fixture->errors.size, 0);
    assert_null(config->path);
    assert_string_equal(config->data, "somewhere");
    assert_string_equal(config->mqtt.listen, "127.0.0.1:1883");
    assert_string_equal(config->admin.listen, "127.0.0.1:9464");
    assert_string_equal(config->timezone, "+08:00");
    assert_int_equal(config->anonymous, ANONYMOUS_LOOPBACK);
    assert_int_equal(config->sink_count, 1);
    assert_string_equal(config->sinks[0].type->name, "parquet");
    for (size_t i = 0; codec_at(i); i++) {
        char topic[128];
        snprintf(topic, sizeof topic, "v1/{vendor}/%s", codec_at(i)->name);
        assert_ptr_equal(route_of(config, topic)->codec_type, codec_at(i));
        snprintf(topic, sizeof topic, "v1/{vendor}/{device}/%s", codec_at(i)->name);
        assert_ptr_equal(route_of(config, topic)->codec_type, codec_at(i));
    }
    config_free(config);
}

static char *embedded_text(const struct config_places *places)
{
    struct buffer out = {0};
    config_embedded_text(places, &out);
    char *text = bytes_strdup(buffer_bytes(&out));
    buffer_fini(&out);
    return text;
}

static void embedded_text_as_a_file_means_the_same(void **state)
{
    struct fixture *fixture = *state;
    struct config *embedded;
    assert_int_equal(
        config_embedded(&(struct config_places){.data = "x"}, &embedded, &fixture->errors), 0);
    char *text = embedded_text(&(struct config_places){0});
    struct config *file = load_good(fixture, text);
    free(text);
    assert_int_equal(file->digest, embedded->digest);
    assert_int_equal(file->route_count, embedded->route_count);
    config_free(file);
    config_free(embedded);
}

static void embedded_default_takes_addresses_and_refuses_bad_ones(void **state)
{
    struct fixture *fixture = *state;
    struct config *config;
    struct config_places places = {.data = "x", .listen = "127.0.0.1:0", .admin = "[::1]:0"};
    assert_int_equal(config_embedded(&places, &config, &fixture->errors), 0);
    assert_string_equal(config->mqtt.listen, "127.0.0.1:0");
    assert_string_equal(config->admin.listen, "[::1]:0");
    config_free(config);
    places.listen = "nowhere";
    places.admin = "127.0.0.1:99999";
    assert_int_equal(config_embedded(&places, &config, &fixture->errors), GW_EINVAL);
    buffer_u8(&fixture->errors, '\0');
    assert_non_null(strstr((char *)fixture->errors.data, "--listen nowhere"));
    assert_non_null(strstr((char *)fixture->errors.data, "--admin 127.0.0.1:99999"));
}

/* The sinks that the text has beside Parquet, whatever stands on the command line. */
static void embedded_sinks_hold_what_was_given(void **state)
{
    static const char *const values[] = {"a:1,b:2", "http://h:8123/db", "x\"\n  - type: discard",
                                         "' # \\ \t {", ""};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < array_count(values); i++) {
        struct config_places places = {.kafka = values[i], .clickhouse = values[i]};
        struct yaml yaml;
        char *text = embedded_text(&places);
        assert_int_equal(yaml_parse(&yaml, bytes_text(text), "built-in", &fixture->errors), 0);
        const struct yaml_node *sinks = yaml_find(yaml.root, "sinks");
        assert_int_equal(sinks->count, 3);
        const struct yaml_node *kafka = sinks->first->next, *clickhouse = kafka->next;
        assert_string_equal(yaml_find(sinks->first, "type")->text, "parquet");
        assert_string_equal(yaml_find(kafka, "type")->text, "kafka");
        assert_string_equal(yaml_find(kafka, "brokers")->text, values[i]);
        assert_string_equal(yaml_find(clickhouse, "type")->text, "clickhouse");
        assert_string_equal(yaml_find(clickhouse, "url")->text, values[i]);
        yaml_fini(&yaml);
        free(text);
    }
}

static void reference_is_a_text_that_parses(void **state)
{
    struct fixture *fixture = *state;
    struct buffer text = {0};
    config_reference(&text);
    buffer_add_text(&text, ROUTES SINKS);
    buffer_u8(&text, '\0');
    struct config *config = load_good(fixture, (char *)text.data);
    struct config *plain = load_good(fixture, ROUTES SINKS);
    assert_memory_equal(&config->journal, &plain->journal, sizeof config->journal);
    assert_memory_equal(&config->decode, &plain->decode, sizeof config->decode);
    assert_int_equal(config->digest, plain->digest);
    config_free(config);
    config_free(plain);
    buffer_fini(&text);
}

/* ---- a file ---- */

static void file_fills_every_part(void **state)
{
    static const char text[] =
        "data: /var/lib/tidegate\n"
        "timezone: Asia/Shanghai\n"
        "anonymous: allow\n"
        "log: {level: warn}\n"
        "admin: {listen: \"127.0.0.1:1\"}\n"
        "mqtt: {listen: \"0.0.0.0:1884\", insecure: true, max_packet: 64KiB}\n"
        "journal: {segment_size: 8MiB, extent_size: 64KiB, compression: 0, keep: 2h}\n"
        "decode: {readings_max: 7, late_days: 30}\n"
        "metrics:\n"
        "  - {name: nitrate, unit: mg/L, min: 0, max: 500.5}\n"
        "vendors:\n"
        "  - name: acme\n"
        "    passwords: pw\n"
        "    timezone: +02:00\n"
        "    subscribe: accept\n"
        "  - name: borealis\n"
        "    topics: [b/#, \"+/b\"]\n"
        "routes:\n"
        "  - {topic: \"acme/{device}/up\", codec: json, vendor: acme, mapping: map.yaml}\n"
        "  - {topic: \"x/{vendor}/{device}\", codec: cjt188, timezone: UTC}\n"
        "sinks:\n"
        "  - {type: parquet, name: archive, path: files}\n"
        "  - {type: discard}\n";
    struct fixture *fixture = *state;
    file_write(fixture, "pw", 0640, password_line);
    file_write(fixture, "map.yaml", 0644, "device: sn\nfields: {flow: f}\n");
    struct config *config = load_good(fixture, text);
    assert_string_equal(config->data, "/var/lib/tidegate");
    assert_int_equal(config->anonymous, ANONYMOUS_ALLOW);
    assert_int_equal(config->mqtt.max_packet_bytes, 65536);
    assert_int_equal(config->journal.segment_bytes, 8 << 20);
    assert_int_equal(config->journal.keep_ms, 7200000);
    assert_int_equal(config->journal.dead_keep_ms, INT64_C(90) * 86400000);
    assert_int_equal(config->decode.readings_max, 7);
    assert_non_null(vocabulary_find(config->vocabulary, bytes_text("nitrate")));
    assert_int_equal(config->vendor_count, 2);
    assert_true(config->vendors[0].subscribe_accept);
    assert_string_equal(config->vendors[0].timezone, "+02:00");
    assert_string_equal(config->sinks[0].name, "archive");
    assert_string_equal(config->sinks[1].name, "discard");
    config_free(config);
}

static void vendor_without_topics_gets_those_of_its_routes(void **state)
{
    static const char text[] = "vendors:\n"
                               "  - {name: acme}\n"
                               "  - {name: borealis, topics: []}\n"
                               "routes:\n"
                               "  - {topic: \"acme/{device}/up\", codec: json, vendor: acme}\n"
                               "  - {topic: \"b/{device}\", codec: json, vendor: borealis}\n"
                               "  - {topic: \"v1/{vendor}/{device}/#\", codec: json}\n" SINKS;
    struct config *config = load_good(*state, text);
    assert_int_equal(config->vendors[0].topic_count, 2);
    assert_string_equal(config->vendors[0].topics[0], "acme/+/up");
    assert_string_equal(config->vendors[0].topics[1], "v1/acme/+/#");
    assert_int_equal(config->vendors[1].topic_count, 0); /* said so: nothing may be published */
    config_free(config);
}

static void options_of_a_codec_stand_inline_or_in_a_file(void **state)
{
    static const char text[] = "routes:\n"
                               "  - topic: a/{vendor}\n"
                               "    codec: json\n"
                               "    options:\n"
                               "      device: sn\n"
                               "      # a comment\n"
                               "\n"
                               "      fields:\n"
                               "        flow: f\n"
                               "  - {topic: \"b/{vendor}\", codec: json,\n"
                               "     options: {device: '\"a}b\"', # }\n"
                               "               fields: {flow: 'f'}}}\n"
                               "  - {topic: \"c/{vendor}\", codec: cjt188, options: "
                               "{litre_decimals: 0}}\n" SINKS;
    struct config *config = load_good(*state, text);
    for (size_t i = 0; i < 3; i++)
        assert_non_null(config->routes[i].codec_config);
    config_free(config);
}

/* Errors of a codec's own reader name the place in the configuration's file. */
static void errors_in_inline_options_have_the_right_place(void **state)
{
    static const char text[] = "routes:\n"
                               "  - topic: a/{vendor}\n"
                               "    codec: cjt188\n"
                               "    options:\n"
                               "      litre_decimals: 0\n"
                               "      devise: address\n"
                               "  - {topic: \"b/{vendor}\", codec: cjt188, options: "
                               "{litre_decimals: 9}}\n" SINKS;
    assert_refused(*state, text, "tidegate.yaml:6:7: unknown option \"devise\"");
    assert_refused(*state, text, "did you mean \"device\"?\n          devise: address\n");
    assert_refused(*state, text, "tidegate.yaml:7:68: ");
}

static void errors_in_mapping_files_name_that_file(void **state)
{
    struct fixture *fixture = *state;
    file_write(fixture, "map.yaml", 0644, "device: sn\nfeilds: {flow: f}\n");
    assert_refused(fixture,
                   "routes:\n  - {topic: \"a/{vendor}\", codec: json, mapping: map.yaml}\n" SINKS,
                   "map.yaml:2:1: unknown");
    assert_refused(fixture,
                   "routes:\n  - {topic: \"a/{vendor}\", codec: json, mapping: nope.yaml}\n" SINKS,
                   "nope.yaml: cannot be read: No such file");
}

/* ---- brokers ---- */

/* Whose limits hold messages of those topics, without a vendor in the entry. */
static void assert_routed(struct fixture *fixture, const char *topics, const char *vendor)
{
    char text[1000];
    snprintf(text, sizeof text,
             "routes:\n"
             "  - {topic: \"v1/{vendor}/{device}/json\", codec: json}\n"
             "  - {topic: \"acme/+/up/#\", codec: json, vendor: acme}\n"
             "  - {topic: \"acme/{device}\", codec: json, vendor: acme}\n"
             "  - {topic: \"huaxu/{device}\", codec: json, vendor: huaxu}\n" SINKS "brokers:\n"
             "  - {name: b, url: \"mqtt://127.0.0.1:1883\", topics: [%s]}\n",
             topics);
    struct config *config = load_good(fixture, text);
    if (vendor)
        assert_string_equal(config->brokers[0].routed_vendor, vendor);
    else
        assert_null(config->brokers[0].routed_vendor);
    config_free(config);
}

static void broker_counts_for_the_one_vendor_that_its_routes_can_name(void **state)
{
    assert_routed(*state, "\"acme/#\"", "acme");
    assert_routed(*state, "\"acme/+/up\"", "acme");
    assert_routed(*state, "\"acme/1\", \"acme/2\"", "acme");
    assert_routed(*state, "\"v1/blue/#\"", "blue");
    assert_routed(*state, "\"v1/blue/+/json\", \"v1/blue/1/json\"", "blue");
    assert_routed(*state, "\"v1/acme/1/json\", \"acme/#\"", "acme");
    assert_routed(*state, "\"v1/#\"", NULL);
    assert_routed(*state, "\"v1/+/1/json\"", NULL);
    assert_routed(*state, "\"#\"", NULL);
    assert_routed(*state, "\"acme/#\", \"huaxu/#\"", NULL);
    assert_routed(*state, "\"+/1\"", NULL);
    assert_routed(*state, "\"elsewhere/#\"", NULL); /* no route: dead letters, nobody's */
}

/* ---- what is refused ---- */

static void all_errors_come_at_once_with_place_and_caret(void **state)
{
    static const char text[] = "jurnal: {}\n"
                               "mqtt:\n"
                               "  listne: 127.0.0.1:1\n"
                               "journal:\n"
                               "  keep: soon\n"
                               "routes:\n"
                               "  - {topic: \"a/{vendor}\", codec: jsn}\n"
                               "sinks:\n"
                               "  - type: parket\n";
    static const char *const says[] = {
        "tidegate.yaml:1:1: unknown option \"jurnal\": did you mean \"journal\"?\n    jurnal",
        "tidegate.yaml:3:3: unknown option \"listne\": did you mean \"listen\"?",
        "tidegate.yaml:5:9: ",
        "tidegate.yaml:7:34: unknown codec \"jsn\": did you mean \"json\"?",
        "tidegate.yaml:9:11: unknown sink \"parket\": did you mean \"parquet\"?",
    };
    for (size_t i = 0; i < array_count(says); i++)
        assert_refused(*state, text, says[i]);
}

static void wrong_values_are_refused(void **state)
{
    static const char *const cases[][2] = {
        {"", "the file is empty"},
        {"# nothing\n", "the file is empty"},
        {"[]", "the configuration must be"},
        {"a: b: c\n", "tidegate.yaml:1:"},
        {"data: x\n" SINKS, "no `routes`"},
        {"data: x\nroutes: []\n" SINKS, "no `routes`"},
        {ROUTES, "no `sinks`"},
        {ROUTES SINKS "timezone: Mars/Olympus\n", "timezone"},
        {ROUTES SINKS "mqtt: {listen: \"0.0.0.0:1883\"}\n", "say insecure: true"},
        {ROUTES SINKS "mqtt: {listen: \"[::]:1883\"}\n", "without TLS beyond this machine"},
        {ROUTES SINKS "mqtt: {listen: none}\n", "nobody could connect"},
        {ROUTES SINKS "mqtt: {proxy_from: 10.0.0.0/33}\n", "mqtt: proxy_from: "},
        {ROUTES SINKS "mqtt: {proxy_from: \"a,b\"}\n", "mqtt: proxy_from: "},
        {ROUTES SINKS "tls: {listen: \"0.0.0.0:8883\"}\n", "needs certificate_file and key_file"},
        {ROUTES SINKS "tls: {certificate_file: a, key_file: b}\n", "section tls needs `listen`"},
        {ROUTES SINKS
         "tls: {listen: \"0.0.0.0:8883\", certificate_file: no.pem, key_file: no.key}\n",
         "no.pem"},
        {ROUTES SINKS "timezone: ../../etc/passwd\n", "timezone"},
        {ROUTES SINKS "anonymous: everybody\n", "loopback"},
        {ROUTES SINKS "log: loud\n", "log must be a mapping"},
        {ROUTES SINKS "journal: {segment_size: 1}\n", "segment_size"},
        {ROUTES SINKS "journal: {segment_size: 1MiB, extent_size: 1MiB}\n", "a quarter"},
        {ROUTES SINKS "journal: {memory: 1MiB}\n", "two extents"},
        {ROUTES SINKS "journal: {max_size: 64MiB}\n", "four segments"},
        {ROUTES SINKS "journal: {keep_size: 1TiB}\n", "above max_size"},
        {ROUTES SINKS "mqtt: {max_packet: 200MiB}\n", "a quarter of journal.segment_size"},
        {ROUTES SINKS "vendors: {}\n", "vendors must be a list"},
        {ROUTES SINKS "vendors: [{}]\n", "needs a `name`"},
        {ROUTES SINKS "vendors: [{name: a/b}]\n", "letters, digits"},
        {ROUTES SINKS "vendors: [{name: .hidden}]\n", "letters, digits"},
        {ROUTES SINKS "vendors: [{name: a}, {name: a}]\n", "stands there twice"},
        {ROUTES SINKS "vendors: [{name: a, passwords: none}]\n", "cannot be read"},
        {ROUTES SINKS "jurnal: {}\nvendors: [{timezone: x}, {name: a, passwords: none}]\n",
         "cannot be read"},
        {ROUTES SINKS "vendors: [{name: a, topics: [\"a/b#\"]}]\n", "no topic filter"},
        {ROUTES SINKS "vendors: [{name: a, topics: [\"#/a\"]}]\n", "no topic filter"},
        {ROUTES SINKS "vendors: [{name: a, topics: [\"\"]}]\n", "no topic filter"},
        {ROUTES SINKS "vendors: [{name: a, topics: [[a]]}]\n", "a topic must be"},
        {ROUTES SINKS "metrics: [{unit: m3}]\n", "needs a `name`"},
        {ROUTES SINKS "metrics: [{name: flow}]\n", "flow"},
        {ROUTES SINKS "metrics: [{name: x, min: 1}]\n", "go together"},
        {ROUTES SINKS "metrics: [{name: x, min: a, max: 2}]\n", "no decimal number"},
        {ROUTES SINKS "metrics: [{name: x, min: 3, max: 2}]\n", "above max"},
        {ROUTES SINKS "metrics: [{name: X}]\n", "X"},
        {"routes: [{codec: json}]\n" SINKS, "needs a `topic`"},
        {"routes: [{topic: \"a/{vendor}\"}]\n" SINKS, "needs a `codec`: json, cjt188"},
        {"routes: [{topic: a, codec: json}]\n" SINKS, "whose readings"},
        {"routes: [{topic: \"a/{vendor}/{vendor}\", codec: json}]\n" SINKS, "twice"},
        {"routes: [{topic: \"a/x{vendor}\", codec: json}]\n" SINKS, "stand alone"},
        {"routes: [{topic: \"a/#/{vendor}\", codec: json}]\n" SINKS, "stand alone"},
        {"routes: [{topic: \"a/{Vendor}\", codec: json}]\n" SINKS, "small letters"},
        {"routes: [{topic: \"{vendor}/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}\", codec: json}]\n" SINKS,
         "eight"},
        {"routes: [{topic: \"\", codec: json, vendor: a}]\n" SINKS, "1 to"},
        {"vendors: [{name: acme}]\nroutes: [{topic: a, codec: json, vendor: acne}]\n" SINKS,
         "did you mean \"acme\"?"},
        {"vendors: [{name: acme}]\nroutes: [{topic: a, codec: json, vendor: zeta}]\n" SINKS,
         "add `- name: zeta`"},
        {"routes: [{topic: a, codec: json, vendor: b, mapping: x, options: {device: d}}]\n" SINKS,
         "keep one"},
        {"routes: [{topic: a, codec: json, vendor: b}, {topic: a, codec: cjt188, vendor: "
         "b}]\n" SINKS,
         "the first route would take"},
        {ROUTES "sinks: [{name: a}]\n", "needs a `type`"},
        {ROUTES "sinks: [{type: discard}, {type: discard}]\n", "two sinks are named"},
        {ROUTES "sinks: [{type: discard, name: ../x}]\n", "letters, digits"},
        {ROUTES "sinks: [{type: discard, pth: x}]\n", "unknown option \"pth\""},
        {ROUTES "sinks: [discard]\n", "an entry must be"},
    };
    for (size_t i = 0; i < array_count(cases); i++)
        assert_refused(*state, cases[i][0], cases[i][1]);
}

static void password_files_that_others_may_read_are_refused(void **state)
{
    static const mode_t modes[] = {0644, 0604, 0602, 0620, 0660};
    static const char text[] = "vendors: [{name: acme, passwords: pw}]\n" ROUTES SINKS;
    for (size_t i = 0; i < array_count(modes); i++) {
        file_write(*state, "pw", modes[i], password_line);
        assert_refused(*state, text, "chmod 640");
    }
    file_write(*state, "pw", 0640, password_line);
    config_free(load_good(*state, text));
}

static void password_files_that_say_nothing_are_refused(void **state)
{
    static const char text[] = "vendors:\n  - name: acme\n    passwords: pw\n" ROUTES SINKS;
    file_write(*state, "pw", 0600, "");
    assert_refused(*state, text, "tidegate.yaml:3:16: ");
    assert_refused(*state, text, "holds no user");
    file_write(*state, "pw", 0600, "acme:plain\n");
    assert_refused(*state, text, "/pw:1: neither a $scrypt$ nor a $7$ hash");
}

static void user_of_two_vendors_is_refused(void **state)
{
    file_write(*state, "pw", 0600, password_line);
    assert_refused(*state,
                   "vendors: [{name: a, passwords: pw}, {name: b, passwords: pw}]\n" ROUTES SINKS,
                   "`acme` stands twice");
}

/* facts: YAML bombs, a disk image in place of a file, a folder, nothing. */
static void files_that_are_no_configuration_are_refused_quickly(void **state)
{
    struct fixture *fixture = *state;
    struct config *config;
    char *path = mem_printf("%s/big.yaml", fixture->dir.path);
    assert_refused(fixture,
                   "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n" ROUTES SINKS,
                   "anchors");
    /* libfyaml never came back from this one. */
    assert_refused(fixture, "a: b\n%  # c\n \xef\xef", "tidegate.yaml:2:1: ");
    struct buffer deep = {0};
    for (int i = 0; i < 5000; i++)
        buffer_add_text(&deep, "[");
    buffer_u8(&deep, '\0');
    assert_refused(fixture, (char *)deep.data, "nested deeper");
    buffer_fini(&deep);
    file_write(fixture, "big.yaml", 0600, "data: x\n");
    assert_int_equal(truncate(path, INT64_C(1) << 30), 0);
    assert_int_equal(load_path(fixture, path, &config), GW_EINVAL);
    assert_non_null(strstr((char *)fixture->errors.data, "is larger than 4 MiB"));
    assert_int_equal(load_path(fixture, fixture->dir.path, &config), GW_EINVAL);
    assert_non_null(strstr((char *)fixture->errors.data, "no regular file"));
    assert_int_equal(load_path(fixture, "/nowhere/at/all.yaml", &config), GW_EINVAL);
    assert_non_null(strstr((char *)fixture->errors.data, "No such file"));
    free(path);
}

static void every_prefix_of_a_file_is_read_or_refused(void **state)
{
    struct fixture *fixture = *state;
    char *whole = embedded_text(&(struct config_places){0});
    size_t size = strlen(whole);
    for (size_t cut = 0; cut < size; cut += 3) {
        char *text = bytes_strdup(bytes_of(whole, cut));
        struct config *config;
        if (load(fixture, text, &config) == 0)
            config_free(config);
        else
            assert_true(fixture->errors.size > 0);
        free(text);
    }
    free(whole);
}

/* ---- digest ---- */

static uint64_t digest_of(struct fixture *fixture, const char *text)
{
    struct config *config = load_good(fixture, text);
    uint64_t digest = config->digest;
    config_free(config);
    return digest;
}

static void digest_follows_what_decoding_means(void **state)
{
    static const char base[] = "timezone: UTC\n" ROUTES SINKS;
    static const char *const other[] = {
        "timezone: +08:00\n" ROUTES SINKS,
        "decode: {late_days: 3}\n" ROUTES SINKS,
        "decode: {readings_max: 3}\n" ROUTES SINKS,
        "metrics: [{name: nitrate, unit: mg/L}]\n" ROUTES SINKS,
        "metrics: [{name: nitrate, unit: mg/L, kind: counter}]\n" ROUTES SINKS,
        "vendors: [{name: acme, timezone: +01:00}]\n" ROUTES SINKS,
        "routes: [{topic: \"v1/{vendor}/json\", codec: json, timezone: +01:00}]\n" SINKS,
        "routes: [{topic: \"v2/{vendor}/json\", codec: json}]\n" SINKS,
        "routes: [{topic: \"v1/{vendor}/json\", codec: cjt188}]\n" SINKS,
        "routes: [{topic: \"v1/{vendor}/json\", codec: cjt188, options: {litre_decimals: "
        "0}}]\n" SINKS,
        "routes: [{topic: \"v1/{vendor}/json\", codec: cjt188, options: {litre_decimals: "
        "3}}]\n" SINKS,
        "routes: [{topic: \"v1/{vendor}/json\", codec: json, mapping: map.yaml}]\n" SINKS,
    };
    static const char *const same[] = {
        ROUTES SINKS "# a comment\n",
        "anonymous: allow\nmqtt: {listen: \"127.0.0.1:7\"}\n" ROUTES SINKS,
        "journal: {keep: 1d}\n" ROUTES "sinks: [{type: parquet}]\n",
    };
    struct fixture *fixture = *state;
    uint64_t seen[array_count(other) + 2];
    size_t count = 0;
    seen[count++] = digest_of(fixture, base);
    for (size_t i = 0; i < array_count(same); i++)
        assert_int_equal(digest_of(fixture, same[i]), seen[0]);
    file_write(fixture, "map.yaml", 0600, "device: sn\nfields: {flow: f}\n");
    for (size_t i = 0; i < array_count(other); i++)
        seen[count++] = digest_of(fixture, other[i]);
    file_write(fixture, "map.yaml", 0600, "device: sn\nfields: {flow: g}\n");
    seen[count++] = digest_of(fixture, other[array_count(other) - 1]);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (seen[i] == seen[j])
                fail_msg("texts %zu and %zu have one digest", i, j);
}

static void override_wins_over_the_file(void **state)
{
    struct fixture *fixture = *state;
    struct config *config = load_good(fixture, "data: a\n" ROUTES SINKS);
    struct buffer errors = {0};
    assert_int_equal(config_override(config, "b", NULL, "127.0.0.1:1", &errors), 0);
    assert_string_equal(config->data, "b");
    assert_string_equal(config->mqtt.listen, "127.0.0.1:1883");
    assert_string_equal(config->admin.listen, "127.0.0.1:1");
    assert_int_equal(config_override(config, NULL, "x", NULL, &errors), GW_EINVAL);
    assert_true(errors.size > 0);
    buffer_fini(&errors);
    config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(embedded_default_is_what_the_design_says),
        TEST(embedded_text_as_a_file_means_the_same),
        TEST(embedded_default_takes_addresses_and_refuses_bad_ones),
        TEST(embedded_sinks_hold_what_was_given),
        TEST(reference_is_a_text_that_parses),
        TEST(file_fills_every_part),
        TEST(vendor_without_topics_gets_those_of_its_routes),
        TEST(options_of_a_codec_stand_inline_or_in_a_file),
        TEST(errors_in_inline_options_have_the_right_place),
        TEST(errors_in_mapping_files_name_that_file),
        TEST(broker_counts_for_the_one_vendor_that_its_routes_can_name),
        TEST(all_errors_come_at_once_with_place_and_caret),
        TEST(wrong_values_are_refused),
        TEST(password_files_that_others_may_read_are_refused),
        TEST(password_files_that_say_nothing_are_refused),
        TEST(user_of_two_vendors_is_refused),
        TEST(files_that_are_no_configuration_are_refused_quickly),
        TEST(every_prefix_of_a_file_is_read_or_refused),
        TEST(digest_follows_what_decoding_means),
        TEST(override_wins_over_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
