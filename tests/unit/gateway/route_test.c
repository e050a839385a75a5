/* SPDX-License-Identifier: Apache-2.0
 *
 * Routes: which vendor, codec, device and zone a topic gets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "route.h"

static const struct codec codec_one = {.name = "one", .version = 1};
static const struct codec codec_two = {.name = "two", .version = 2};

static struct config_vendor vendors[] = {
    {.name = (char *)(uintptr_t) "acme", .timezone = (char *)(uintptr_t) "+02:00"},
    {.name = (char *)(uintptr_t) "blau"},
};

static char *text(const char *literal)
{
    return (char *)(uintptr_t)literal;
}

static struct router *router_of(struct config_route *routes, size_t count)
{
    struct config config = {.timezone = text("+08:00"),
                            .vendors = vendors,
                            .vendor_count = array_count(vendors),
                            .routes = routes,
                            .route_count = count};
    struct router *router;
    struct err err;
    assert_int_equal(router_new(&config, &router, &err), 0);
    return router;
}

static bool match(struct router *router, const char *vendor, const char *topic,
                  struct route_match *out)
{
    struct message message = {.vendor = bytes_text(vendor), .topic = bytes_text(topic)};
    return router_match(router, &message, out);
}

static void assert_bytes(struct bytes got, const char *wanted)
{
    assert_int_equal(got.size, strlen(wanted));
    assert_memory_equal(got.data, wanted, got.size);
}

static void topic_names_vendor_and_device(void **state)
{
    (void)state;
    struct config_route routes[] = {
        {.topic = text("v1/{vendor}/json"), .codec_type = &codec_one},
        {.topic = text("v1/{vendor}/{device}/json"), .codec_type = &codec_two},
    };
    struct router *router = router_of(routes, 2);
    struct route_match got;
    assert_true(match(router, "", "v1/acme/json", &got));
    assert_ptr_equal(got.codec, &codec_one);
    assert_bytes(got.vendor, "acme");
    assert_bytes(got.device, "");
    assert_true(match(router, "", "v1/blau/0012/json", &got));
    assert_ptr_equal(got.codec, &codec_two);
    assert_bytes(got.device, "0012");
    assert_false(match(router, "", "v1/acme/0012/xml", &got));
    assert_false(match(router, "", "v1/acme/0012/json/more", &got));
    assert_false(match(router, "", "v1/acme", &got));
    assert_false(match(router, "", "", &got));
    router_free(router);
}

static void an_empty_level_is_no_device(void **state)
{
    (void)state;
    struct config_route routes[] = {{.topic = text("v1/{vendor}/{device}/json")}};
    struct router *router = router_of(routes, 1);
    struct route_match got;
    assert_false(match(router, "", "v1/acme//json", &got));
    assert_false(match(router, "", "v1//1/json", &got));
    router_free(router);
}

static void first_fitting_route_wins(void **state)
{
    (void)state;
    struct config_route routes[] = {
        {.topic = text("acme/+/up"), .vendor = text("acme"), .codec_type = &codec_one},
        {.topic = text("acme/#"), .vendor = text("acme"), .codec_type = &codec_two},
    };
    struct router *router = router_of(routes, 2);
    struct route_match got;
    assert_true(match(router, "", "acme/7/up", &got));
    assert_ptr_equal(got.codec, &codec_one);
    assert_true(match(router, "", "acme/7/up/more", &got));
    assert_ptr_equal(got.codec, &codec_two);
    assert_true(match(router, "", "acme", &got)); /* MQTT 5.0, 4.7.1.2: # includes the parent */
    router_free(router);
}

static void a_login_cannot_write_as_another_vendor(void **state)
{
    (void)state;
    struct config_route routes[] = {
        {.topic = text("v1/{vendor}/json"), .codec_type = &codec_one},
        {.topic = text("fixed/up"), .vendor = text("blau"), .codec_type = &codec_one},
        {.topic = text("free/up"), .codec_type = &codec_one},
    };
    struct router *router = router_of(routes, 3);
    struct route_match got;
    assert_true(match(router, "acme", "v1/acme/json", &got));
    assert_false(match(router, "acme", "v1/blau/json", &got));
    assert_false(match(router, "acme", "fixed/up", &got));
    assert_true(match(router, "acme", "free/up", &got));
    assert_bytes(got.vendor, "acme");
    assert_false(match(router, "", "free/up", &got)); /* nobody says which vendor */
    router_free(router);
}

static void zone_is_of_the_route_then_the_vendor_then_the_default(void **state)
{
    (void)state;
    struct config_route routes[] = {
        {.topic = text("a/{vendor}"), .timezone = text("UTC"), .codec_type = &codec_one},
        {.topic = text("b/{vendor}"), .codec_type = &codec_one},
    };
    struct router *router = router_of(routes, 2);
    struct route_match got;
    assert_true(match(router, "", "a/acme", &got));
    assert_string_equal(zone_name(got.zone), "UTC");
    assert_true(match(router, "", "b/acme", &got));
    assert_string_equal(zone_name(got.zone), "+02:00");
    assert_true(match(router, "", "b/blau", &got));
    assert_string_equal(zone_name(got.zone), "+08:00");
    assert_true(match(router, "", "b/stranger", &got));
    assert_string_equal(zone_name(got.zone), "+08:00");
    router_free(router);
}

static void further_captures_reach_the_codec(void **state)
{
    (void)state;
    struct config_route routes[] = {{.topic = text("{vendor}/{site}/{device}/{what}")}};
    struct router *router = router_of(routes, 1);
    struct route_match got;
    assert_true(match(router, "", "acme/north/7/pressure", &got));
    assert_int_equal(got.capture_count, 4);
    assert_bytes(got.captures[1].name, "site");
    assert_bytes(got.captures[1].value, "north");
    assert_bytes(got.captures[3].value, "pressure");
    router_free(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topic_names_vendor_and_device),
        cmocka_unit_test(an_empty_level_is_no_device),
        cmocka_unit_test(first_fitting_route_wins),
        cmocka_unit_test(a_login_cannot_write_as_another_vendor),
        cmocka_unit_test(zone_is_of_the_route_then_the_vendor_then_the_default),
        cmocka_unit_test(further_captures_reach_the_codec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
