/* SPDX-License-Identifier: Apache-2.0
 *
 * A document read by a mapping: for each point its device and time, then fields, pairs, and bytes
 * handed to another codec. What stands at the root ($) is read once a message, not once a point,
 * and looked up once, so time and memory stay linear in the payload. Any thread.
 */
#include "codecs/json/mapping.h"

#include <stdlib.h>

#include "codecs/json/plan.h"
#include "codecs/json/value.h"

enum { PAYLOAD_SIZE_MAX = 1 << 20 };

/* What a path from the root found: asked again by every point. */
struct rooted {
    bool known;
    const struct json_node *node;
};

struct decoding {
    const struct json_mapping *mapping;
    const struct json_node *root;
    const struct codec_input *in;
    struct readings *out;
    struct codec_why *why;
    enum codec_result result;
    size_t points;
    struct rooted *rooted; /* one a slot */
    /* of the point */
    const struct json_match *point;
    const struct json_match *pair; /* or null */
    struct bytes device;
    struct json_stamp stamp;
    bool stamp_bad;
    enum time_source source;
    enum quality quality;
    const struct json_pairs *pairs;
};

/* ---- life ---- */

int json_mapping_new(struct bytes yaml, const char *origin, struct json_mapping **out,
                     struct buffer *errors)
{
    bool empty = false;
    struct json_mapping *mapping = mem_zalloc(sizeof *mapping);
    int result = json_mapping_read(mapping, yaml, origin, &empty, errors);
    *out = NULL;
    if (result || empty)
        json_mapping_free(mapping);
    else
        *out = mapping;
    return result;
}

void json_mapping_free(struct json_mapping *mapping)
{
    if (mapping == NULL)
        return;
    json_stamp_format_fini(&mapping->time.format);
    for (size_t i = 0; i < mapping->field_count; i++)
        json_stamp_format_fini(&mapping->fields[i].time.format);
    for (size_t i = 0; i < mapping->pair_count; i++)
        json_stamp_format_fini(&mapping->pairs[i].time.format);
    if (mapping->payload.codec && mapping->payload.codec->config_free)
        mapping->payload.codec->config_free(mapping->payload.config);
    arena_fini(&mapping->arena);
    free(mapping);
}

bool json_mapping_takes_last(const struct json_mapping *mapping)
{
    return mapping->takes_last;
}

/* ---- looking up ---- */

static const struct json_node *find(struct decoding *decoding, const struct json_path *path,
                                    const struct json_node *from)
{
    if (!path->set || !path->rooted)
        return json_path_find(path, from);
    struct rooted *rooted = &decoding->rooted[path->slot];
    if (!rooted->known)
        *rooted = (struct rooted){true, json_path_find(path, decoding->root)};
    return rooted->node;
}

static struct bytes capture_find(const struct decoding *decoding, struct bytes name)
{
    struct bytes value = json_match_key(decoding->pair, name);
    if (value.size == 0)
        value = json_match_key(decoding->point, name);
    if (value.size == 0 && bytes_equal_text(name, "device"))
        value = decoding->in->device;
    for (size_t i = 0; value.size == 0 && i < decoding->in->capture_count; i++)
        if (bytes_equal(decoding->in->captures[i].name, name))
            value = decoding->in->captures[i].value;
    return value;
}

/* "site-{site}-{device}" with its captures; empty when one of them is missing or it grows long. */
static struct bytes expand(struct decoding *decoding, struct bytes template)
{
    uint8_t out[JSON_NAME_SIZE_MAX];
    size_t size = 0;
    for (size_t at = 0; at < template.size;) {
        struct bytes part = bytes_of(template.data + at, 1);
        const uint8_t *close = memchr(template.data + at, '}', template.size - at);
        if (template.data[at] == '{' && close) {
            size_t end = (size_t)(close - template.data);
            part = capture_find(decoding, bytes_of(template.data + at + 1, end - at - 1));
            at = end;
        }
        at++;
        if (part.size == 0 || part.size > sizeof out - size)
            return (struct bytes){0};
        memcpy(out + size, part.data, part.size);
        size += part.size;
    }
    return arena_copy(&decoding->out->arena, bytes_of(out, size));
}

static bool refuse(struct decoding *decoding, enum codec_result result)
{
    decoding->result = result;
    return false;
}

static struct bytes text_read(struct decoding *decoding, const struct json_text *text,
                              const struct json_node *from)
{
    if (text->template.size)
        return expand(decoding, text->template);
    const struct json_node *node = find(decoding, &text->path, from);
    return node ? json_identifier(node) : (struct bytes){0};
}

static bool texts_have(const struct json_texts *texts, struct bytes text)
{
    for (size_t i = 0; i < texts->count; i++)
        if (bytes_equal(texts->items[i], text))
            return true;
    return false;
}

/* ---- time and quality ---- */

/* False when a required time is missing. */
static bool read_time(struct decoding *decoding, const struct json_time_rule *rule,
                      const struct json_node *from, struct json_stamp *stamp, bool *bad)
{
    if (!rule->set)
        return true;
    const struct json_node *node = find(decoding, &rule->path, from);
    struct json_stamp own;
    bool good = json_stamp_read(&rule->format, node, &own);
    if (good && own.time == READING_TIME_NONE && rule->required)
        return refuse(decoding, codec_refuse(decoding->why, CODEC_MALFORMED, "no_time",
                                             "the required time is missing"));
    if (good && own.time == READING_TIME_NONE)
        return true; /* what the level above says stays */
    *stamp = own;
    *bad = !good;
    decoding->source = rule->source;
    return true;
}

static enum quality read_quality(struct decoding *decoding, const struct json_quality_rule *rule,
                                 const struct json_node *from)
{
    struct bytes text;
    const struct json_node *node = find(decoding, &rule->path, from);
    if (node == NULL || !json_scalar_text(node, &text))
        return QUALITY_GOOD;
    for (int i = 0; i < QUALITY_COUNT; i++)
        if (texts_have(&rule->texts[i], text))
            return (enum quality)i;
    return rule->otherwise;
}

static void worsen(struct reading *reading, enum quality quality)
{
    if (quality > reading->quality)
        reading->quality = quality;
}

static void set_time(struct reading *reading, const struct json_stamp *stamp, bool bad,
                     enum time_source source)
{
    reading->time = stamp->time;
    reading->ts_ms = stamp->ms;
    reading->time_source = stamp->time == READING_TIME_NONE ? TIME_RECEIVED : source;
    if (bad) {
        reading->flags |= FLAG_CLOCK;
        worsen(reading, QUALITY_UNCERTAIN);
    }
}

/* ---- values ---- */

static bool means_nothing(const struct json_field *field, const struct json_node *node)
{
    struct bytes text;
    struct decimal value, marker;
    if (field->invalid.count == 0 || !json_scalar_text(node, &text))
        return false;
    if (texts_have(&field->invalid, json_trim(text)))
        return true;
    if (json_number_read(text, &value) > JSON_NUMBER_ROUNDED)
        return false;
    for (size_t i = 0; i < field->invalid.count; i++)
        if (decimal_parse(field->invalid.items[i], &marker) && decimal_compare(value, marker) == 0)
            return true;
    return false;
}

static const struct json_meaning *meaning_find(const struct json_field *field,
                                               const struct json_node *node)
{
    struct bytes text;
    if (field->meaning_count == 0 || !json_scalar_text(node, &text))
        return NULL;
    text = json_trim(text);
    for (size_t i = 0; i < field->meaning_count; i++)
        if (bytes_equal(field->meanings[i].text, text))
            return &field->meanings[i];
    return NULL;
}

static void transform(const struct json_field *field, struct reading *reading)
{
    bool fits = true;
    if (field->has_scale)
        fits = decimal_multiply(reading->value, field->scale, &reading->value);
    if (fits && field->has_offset)
        fits = decimal_add(reading->value, field->offset, &reading->value);
    if (fits)
        return;
    reading->has_value = false;
    reading->value = (struct decimal){0};
    reading->flags |= FLAG_RANGE;
    worsen(reading, QUALITY_BAD);
}

static void read_value(const struct json_field *field, const struct json_node *node,
                       struct reading *reading)
{
    const struct json_meaning *meaning = meaning_find(field, node);
    if (meaning) {
        reading->value = meaning->value;
        reading->has_value = true;
    } else if (means_nothing(field, node)) {
        reading->quality = QUALITY_BAD;
        reading->flags |= FLAG_DEVICE_FAULT;
    } else {
        json_value_read(node, reading);
        if (reading->has_value)
            transform(field, reading);
    }
}

static void read_unit(struct decoding *decoding, const struct json_field *field,
                      const struct json_node *from, struct reading *reading)
{
    struct bytes text;
    const struct json_node *node = find(decoding, &field->unit_path, from);
    if (node && json_scalar_text(node, &text) && text.size <= JSON_NAME_SIZE_MAX)
        reading->unit = arena_copy(&decoding->out->arena, json_trim(text));
    else
        reading->unit = arena_copy(&decoding->out->arena, field->unit);
    reading->unit_implied = reading->unit.size == 0;
}

/* One reading. `from` is where the field's own time, unit and quality are looked for. */
static bool emit(struct decoding *decoding, const struct json_field *field, struct bytes metric,
                 const struct json_node *node, const struct json_node *from)
{
    struct json_stamp stamp = decoding->stamp;
    bool stamp_bad = decoding->stamp_bad;
    enum time_source source = decoding->source;
    if (decoding->pairs && !read_time(decoding, &decoding->pairs->time, from, &stamp, &stamp_bad))
        return false;
    if (!read_time(decoding, &field->time, from, &stamp, &stamp_bad))
        return false;
    struct reading *reading = readings_add(decoding->out);
    if (reading == NULL)
        return refuse(decoding, codec_refuse(decoding->why, CODEC_FULL, "too_many_readings",
                                             "more than %zu readings", decoding->out->count_max));
    reading->device = decoding->device;
    reading->metric = arena_copy(&decoding->out->arena, metric);
    read_unit(decoding, field, from, reading);
    read_value(field, node, reading);
    worsen(reading, decoding->quality);
    worsen(reading, read_quality(decoding, &field->quality, from));
    if (decoding->pairs)
        worsen(reading, read_quality(decoding, &decoding->pairs->quality, from));
    set_time(reading, &stamp, stamp_bad, decoding->source);
    decoding->source = source;
    return true;
}

/* ---- fields and pairs ---- */

static bool read_field(struct decoding *decoding, const struct json_field *field,
                       const struct json_node *point)
{
    const struct json_node *node = find(decoding, &field->path, point);
    if (node)
        return emit(decoding, field, field->metric, node, point);
    if (!field->required)
        return true;
    return refuse(decoding,
                  codec_refuse(decoding->why, CODEC_MALFORMED, "no_field",
                               "the required field of %.*s is missing", (int)field->metric.size,
                               (const char *)field->metric.data));
}

static int name_order(const void *key, const void *item)
{
    const struct bytes *name = key;
    const struct json_field *field = item;
    return bytes_compare(*name, field->name);
}

static bool on_pair(void *arg, const struct json_match *match)
{
    static const struct json_field unnamed = {.metric = {0}};
    struct decoding *decoding = arg;
    const struct json_pairs *pairs = decoding->pairs;
    const struct json_node *node = match->node;
    decoding->pair = match;
    struct bytes name;
    if (pairs->name.path.set || pairs->name.template.size)
        name = text_read(decoding, &pairs->name, node);
    else
        name = json_match_key(match, (struct bytes){0});
    if (name.size == 0 || name.size > JSON_NAME_SIZE_MAX)
        return refuse(decoding, codec_refuse(decoding->why, CODEC_MALFORMED, "no_name",
                                             "a pair without a name, or with one longer than %d "
                                             "bytes",
                                             JSON_NAME_SIZE_MAX));
    /* {"P1": 3} beside {"P1": {"value": 3}}: a scalar is its own value. */
    if (pairs->value.set && node->kind == JSON_OBJECT)
        node = find(decoding, &pairs->value, node);
    const struct json_field *field = NULL;
    if (pairs->name_count)
        field = bsearch(&name, pairs->names, pairs->name_count, sizeof *field, name_order);
    if (field ? field->skip : pairs->others == JSON_OTHERS_IGNORE)
        return true;
    /* Without a value the pair itself is what cannot be read: bad, and not dropped. */
    return emit(decoding, field ? field : &unnamed, field ? field->metric : name,
                node ? node : match->node, match->node);
}

static bool read_pairs(struct decoding *decoding, const struct json_pairs *pairs,
                       const struct json_node *point)
{
    decoding->pairs = pairs;
    bool more = json_path_each(&pairs->path, pairs->path.rooted ? decoding->root : point, on_pair,
                               decoding);
    decoding->pairs = NULL;
    decoding->pair = NULL;
    return more;
}

/* ---- bytes for another codec ---- */

static bool refuse_payload(struct decoding *decoding, enum codec_result result, const char *reason,
                           const char *text)
{
    return refuse(decoding, codec_refuse(decoding->why, result, reason, "payload: %s", text));
}

/* Several meters in one text keep their own names, whatever is preferred: they must not merge. */
static bool several_devices(const struct readings *out, size_t first)
{
    for (size_t i = first + 1; i < out->count; i++)
        if (!bytes_equal(out->items[i].device, out->items[first].device))
            return true;
    return false;
}

/* The readings from `first` on came from the inner codec: what it did not know, the envelope does. */
static bool adopt(struct decoding *decoding, const struct json_payload *payload, size_t first)
{
    bool rename = payload->prefer_envelope && decoding->device.size > 0 &&
                  !several_devices(decoding->out, first);
    for (size_t i = first; i < decoding->out->count; i++) {
        struct reading *reading = &decoding->out->items[i];
        if (reading->device.size == 0 || rename)
            reading->device = decoding->device;
        if (reading->device.size == 0)
            return refuse_payload(decoding, CODEC_MALFORMED, "no_device",
                                  "neither the bytes nor the envelope name a device");
        if (reading->time == READING_TIME_NONE)
            set_time(reading, &decoding->stamp, decoding->stamp_bad, decoding->source);
        worsen(reading, decoding->quality);
    }
    return true;
}

static bool read_payload(struct decoding *decoding, const struct json_payload *payload,
                         const struct json_node *point)
{
    const struct json_node *node = find(decoding, &payload->path, point);
    struct codec_input inner = *decoding->in;
    size_t first = decoding->out->count, offset;
    if (node == NULL || node->kind == JSON_NULL || (node->kind == JSON_STRING && !node->text.size))
        return !payload->required ||
               refuse_payload(decoding, CODEC_MALFORMED, "no_payload", "the text is missing");
    if (node->kind != JSON_STRING || node->text.size > PAYLOAD_SIZE_MAX)
        return refuse_payload(decoding, CODEC_MALFORMED, "bad_payload", "not a text, or too long");
    if (!json_transfer_decode(payload->encoding, node->text, &decoding->out->arena, &inner.payload,
                              &offset))
        return refuse(decoding,
                      codec_refuse(decoding->why, CODEC_MALFORMED, "bad_payload",
                                   "payload: wrong encoding at character %zu", offset + 1));
    inner.device = (struct bytes){0};
    enum codec_result result =
        payload->codec->decode(payload->config, NULL, &inner, decoding->out, decoding->why);
    if (result != CODEC_OK) {
        char detail[sizeof decoding->why->detail];
        memcpy(detail, decoding->why->detail, sizeof detail);
        return refuse_payload(decoding, result, decoding->why->reason, detail);
    }
    return adopt(decoding, payload, first);
}

/* ---- points ---- */

/* What stands at the root belongs to the message: the first point reads it. */
static bool is_due(const struct decoding *decoding, const struct json_path *path)
{
    return !path->rooted || decoding->points == 1;
}

static bool read_contents(struct decoding *decoding, const struct json_node *point)
{
    const struct json_mapping *mapping = decoding->mapping;
    const struct json_payload *payload = &mapping->payload;
    for (size_t i = 0; i < mapping->field_count; i++)
        if (is_due(decoding, &mapping->fields[i].path) &&
            !read_field(decoding, &mapping->fields[i], point))
            return false;
    for (size_t i = 0; i < mapping->pair_count; i++)
        if (is_due(decoding, &mapping->pairs[i].path) &&
            !read_pairs(decoding, &mapping->pairs[i], point))
            return false;
    return payload->codec == NULL || !is_due(decoding, &payload->path) ||
           read_payload(decoding, payload, point);
}

static bool on_point(void *arg, const struct json_match *match)
{
    struct decoding *decoding = arg;
    const struct json_mapping *mapping = decoding->mapping;
    if (++decoding->points > mapping->points_max)
        return refuse(decoding, codec_refuse(decoding->why, CODEC_FULL, "too_many_points",
                                             "more than %llu points (points_max)",
                                             (unsigned long long)mapping->points_max));
    decoding->point = match;
    struct bytes device = decoding->in->device;
    if (mapping->device.path.set || mapping->device.template.size)
        device = text_read(decoding, &mapping->device, match->node);
    if (device.size == 0 && mapping->payload.codec == NULL)
        return refuse(decoding, codec_refuse(decoding->why, CODEC_MALFORMED, "no_device",
                                             "point %zu: no device where the mapping looks for it",
                                             decoding->points));
    if (!bytes_equal(decoding->device, device)) /* points of one device share its copy */
        decoding->device = arena_copy(&decoding->out->arena, device);
    decoding->stamp = (struct json_stamp){.time = READING_TIME_NONE};
    decoding->stamp_bad = false;
    decoding->source = TIME_DEVICE;
    decoding->quality = read_quality(decoding, &mapping->quality, match->node);
    return read_time(decoding, &mapping->time, match->node, &decoding->stamp,
                     &decoding->stamp_bad) &&
           read_contents(decoding, match->node);
}

static bool is_ignored(struct decoding *decoding)
{
    const struct json_mapping *mapping = decoding->mapping;
    struct bytes text;
    for (size_t i = 0; i < mapping->ignore_count; i++) {
        const struct json_node *node = json_path_find(&mapping->ignore[i].path, decoding->root);
        if (node && json_scalar_text(node, &text) && texts_have(&mapping->ignore[i].equals, text))
            return true;
    }
    return false;
}

enum codec_result json_mapping_decode(const struct json_mapping *mapping,
                                      const struct json_node *root, const struct codec_input *in,
                                      struct readings *out, struct codec_why *why)
{
    struct decoding decoding = {.mapping = mapping, .root = root, .in = in, .out = out, .why = why};
    decoding.rooted = arena_alloc(&out->arena, mapping->slots * sizeof(struct rooted));
    for (size_t i = 0; i < mapping->slots; i++)
        decoding.rooted[i] = (struct rooted){0};
    if (is_ignored(&decoding))
        return CODEC_OK;
    json_path_each(&mapping->points, root, on_point, &decoding);
    if (decoding.result == CODEC_OK && out->count == 0)
        return codec_refuse(why, CODEC_MALFORMED, "no_reading",
                            "nothing where the mapping looks for values");
    return decoding.result;
}
