/* SPDX-License-Identifier: Apache-2.0
 *
 * Routes are compiled to levels once; a message is matched by walking its topic along each route.
 * Few routes and short topics: a list beats a tree here, and keeps the order of the file.
 */
#include "route.h"

#include <stdlib.h>

enum level_kind { LEVEL_TEXT, LEVEL_ANY, LEVEL_REST, LEVEL_CAPTURE };

struct level {
    enum level_kind kind;
    struct bytes text; /* of LEVEL_TEXT, or the capture's name */
};

struct route {
    struct level *levels;
    size_t level_count;
    struct bytes vendor;     /* "" : from the login or {vendor} */
    const struct zone *zone; /* null: the vendor's */
    const struct codec *codec;
    const void *codec_config;
};

struct vendor_zone {
    struct bytes vendor;
    const struct zone *zone;
};

struct router {
    struct route *routes;
    size_t route_count;
    struct vendor_zone *vendors;
    size_t vendor_count;
    const struct zone *zone; /* of vendors that name none */
    struct zone **zones;     /* all of them, owned */
    size_t zone_count;
};

/* ---- building ---- */

static int router_zone(struct router *router, const char *name, const struct zone **out,
                       struct err *err)
{
    for (size_t i = 0; i < router->zone_count; i++) {
        if (strcmp(zone_name(router->zones[i]), name) == 0) {
            *out = router->zones[i];
            return 0;
        }
    }
    struct zone *zone;
    int rc = zone_new(name, &zone, err);
    if (rc)
        return err_wrap(err, rc, "timezone %s", name);
    router->zones = mem_realloc(router->zones, (router->zone_count + 1) * sizeof(struct zone *));
    router->zones[router->zone_count++] = zone;
    *out = zone;
    return 0;
}

static struct level level_of(struct bytes text)
{
    if (bytes_equal_text(text, "+"))
        return (struct level){LEVEL_ANY, {0}};
    if (bytes_equal_text(text, "#"))
        return (struct level){LEVEL_REST, {0}};
    if (text.size > 2 && text.data[0] == '{' && text.data[text.size - 1] == '}')
        return (struct level){LEVEL_CAPTURE, {text.data + 1, text.size - 2}};
    return (struct level){LEVEL_TEXT, text};
}

/* The level that begins at `at`; *next gets where the one behind it begins, null at the end. */
static struct bytes level_cut(const uint8_t *at, const uint8_t *end, const uint8_t **next)
{
    const uint8_t *slash = memchr(at, '/', (size_t)(end - at));
    *next = slash ? slash + 1 : NULL;
    return bytes_of(at, (size_t)((slash ? slash : end) - at));
}

static void route_compile(struct route *route, const char *pattern)
{
    struct bytes topic = bytes_text(pattern);
    const uint8_t *at = topic.data;
    while (at) {
        struct bytes text = level_cut(at, topic.data + topic.size, &at);
        route->levels = mem_realloc(route->levels, (route->level_count + 1) * sizeof(struct level));
        route->levels[route->level_count++] = level_of(text);
    }
}

static int router_add(struct router *router, const struct config_route *from, struct err *err)
{
    struct route *route = &router->routes[router->route_count++];
    *route = (struct route){
        .vendor = from->vendor ? bytes_text(from->vendor) : bytes_text(""),
        .codec = from->codec_type,
        .codec_config = from->codec_config,
    };
    route_compile(route, from->topic);
    return from->timezone ? router_zone(router, from->timezone, &route->zone, err) : 0;
}

int router_new(const struct config *config, struct router **out, struct err *err)
{
    struct router *router = mem_zalloc(sizeof *router);
    router->routes = mem_zalloc((config->route_count + 1) * sizeof *router->routes);
    router->vendors = mem_zalloc((config->vendor_count + 1) * sizeof *router->vendors);
    int rc = router_zone(router, config->timezone ? config->timezone : "UTC", &router->zone, err);
    for (size_t i = 0; i < config->vendor_count && rc == 0; i++) {
        const struct config_vendor *vendor = &config->vendors[i];
        struct vendor_zone *entry = &router->vendors[router->vendor_count++];
        *entry = (struct vendor_zone){bytes_text(vendor->name), router->zone};
        if (vendor->timezone)
            rc = router_zone(router, vendor->timezone, &entry->zone, err);
    }
    for (size_t i = 0; i < config->route_count && rc == 0; i++)
        rc = router_add(router, &config->routes[i], err);
    if (rc) {
        router_free(router);
        return rc;
    }
    *out = router;
    return 0;
}

void router_free(struct router *router)
{
    if (router == NULL)
        return;
    for (size_t i = 0; i < router->route_count; i++)
        free(router->routes[i].levels);
    for (size_t i = 0; i < router->zone_count; i++)
        zone_free(router->zones[i]);
    free(router->zones);
    free(router->vendors);
    free(router->routes);
    free(router);
}

/* ---- matching ---- */

static bool capture_add(struct route_match *match, struct bytes name, struct bytes value)
{
    if (bytes_equal_text(name, "device"))
        match->device = value;
    else if (bytes_equal_text(name, "vendor"))
        match->vendor = value;
    if (match->capture_count < ROUTE_CAPTURES_MAX)
        match->captures[match->capture_count++] = (struct capture){name, value};
    return value.size > 0;
}

static bool topic_match(const struct route *route, struct bytes topic, struct route_match *match)
{
    const uint8_t *at = topic.data;
    const uint8_t *end = topic.data + topic.size;
    for (size_t i = 0; i < route->level_count; i++) {
        const struct level *level = &route->levels[i];
        if (level->kind == LEVEL_REST)
            return true;
        if (at == NULL)
            return false;
        struct bytes text = level_cut(at, end, &at);
        if (level->kind == LEVEL_TEXT && !bytes_equal(text, level->text))
            return false;
        if (level->kind == LEVEL_CAPTURE && !capture_add(match, level->text, text))
            return false;
    }
    return at == NULL;
}

/* The login decides, then the route, then {vendor} of the topic; the three must not contradict
 * each other, or somebody could write into another vendor's data. */
static bool vendor_match(const struct route *route, const struct message *message,
                         struct route_match *match)
{
    struct bytes named = route->vendor.size ? route->vendor : match->vendor;
    if (route->vendor.size && match->vendor.size && !bytes_equal(route->vendor, match->vendor))
        return false;
    if (message->vendor.size && named.size && !bytes_equal(message->vendor, named))
        return false;
    match->vendor = message->vendor.size ? message->vendor : named;
    return match->vendor.size > 0;
}

static const struct zone *vendor_zone(const struct router *router, struct bytes vendor)
{
    for (size_t i = 0; i < router->vendor_count; i++)
        if (bytes_equal(router->vendors[i].vendor, vendor))
            return router->vendors[i].zone;
    return router->zone;
}

bool router_match(const struct router *router, const struct message *message,
                  struct route_match *out)
{
    for (size_t i = 0; i < router->route_count; i++) {
        const struct route *route = &router->routes[i];
        struct route_match match = {.vendor = bytes_text(""), .device = bytes_text("")};
        if (!topic_match(route, message->topic, &match) || !vendor_match(route, message, &match))
            continue;
        *out = match;
        out->codec = route->codec;
        out->codec_config = route->codec_config;
        out->zone = route->zone ? route->zone : vendor_zone(router, match.vendor);
        return true;
    }
    return false;
}
