/* SPDX-License-Identifier: Apache-2.0
 *
 * The plain format of README.md: an object, or an array of objects, each with a device, a time and
 * metrics. Nothing in it is dropped: whatever stands under a name becomes a reading of that name,
 * a bad one if need be. Any thread.
 */
#include "codecs/json/plain.h"

#include "codecs/json/stamp.h"
#include "codecs/json/value.h"

/* What all readings of one object share. */
struct point {
    struct bytes device; /* in the arena of the readings */
    struct json_stamp stamp;
    bool time_bad;
};

static const struct json_stamp_format stamp_auto = {.kind = JSON_STAMP_AUTO};

static bool key_is(const struct json_node *node, const char *text, size_t size)
{
    return node->key.size == size && memcmp(node->key.data, text, size) == 0;
}

static void set_time(struct reading *reading, const struct json_stamp *stamp, bool bad)
{
    reading->time = stamp->time;
    reading->ts_ms = stamp->ms;
    reading->time_source = stamp->time == READING_TIME_NONE ? TIME_RECEIVED : TIME_DEVICE;
    if (!bad)
        return;
    reading->flags |= FLAG_CLOCK;
    if (reading->quality == QUALITY_GOOD)
        reading->quality = QUALITY_UNCERTAIN;
}

/* {"value": 0.31, "unit": "MPa", "time": "..."}: a value with its own unit, perhaps its own time. */
static void read_measure(const struct json_node *object, struct readings *out,
                         struct reading *reading, struct json_stamp *stamp, bool *time_bad)
{
    const struct json_node *value = NULL;
    JSON_EACH(child, object)
    {
        if (key_is(child, "value", 5)) {
            value = child;
        } else if (key_is(child, "unit", 4)) {
            struct bytes unit;
            if (json_scalar_text(child, &unit))
                reading->unit = arena_copy(&out->arena, json_trim(unit));
            else if (child->kind != JSON_NULL)
                reading->flags |= FLAG_BAD_FIELD;
        } else if (key_is(child, "time", 4)) {
            *time_bad = !json_stamp_read(&stamp_auto, child, stamp);
        }
    }
    reading->unit_implied = reading->unit.size == 0;
    /* Without a "value" the object itself is what cannot be read. */
    json_value_read(value ? value : object, reading);
}

static enum codec_result read_metric(const struct json_node *node, const struct point *point,
                                     struct readings *out, struct codec_why *why)
{
    struct reading *reading = readings_add(out);
    if (reading == NULL)
        return codec_refuse(why, CODEC_FULL, "too_many_readings", "more than %zu readings",
                            out->count_max);
    struct json_stamp stamp = point->stamp;
    bool time_bad = point->time_bad;
    reading->device = point->device;
    reading->metric = arena_copy(&out->arena, node->key);
    reading->unit_implied = true;
    if (node->kind == JSON_OBJECT)
        read_measure(node, out, reading, &stamp, &time_bad);
    else
        json_value_read(node, reading);
    set_time(reading, &stamp, time_bad);
    return CODEC_OK;
}

static bool is_reserved(const struct json_node *node)
{
    return key_is(node, "device", 6) || key_is(node, "time", 4);
}

static enum codec_result read_point(const struct json_node *object, size_t index,
                                    struct bytes topic_device, struct readings *out,
                                    struct codec_why *why)
{
    struct point point = {.device = topic_device};
    if (object->kind != JSON_OBJECT)
        return codec_refuse(why, CODEC_MALFORMED, "not_an_object", "item %zu: not an object",
                            index);
    JSON_EACH(child, object)
    {
        if (key_is(child, "device", 6) && child->kind != JSON_NULL) {
            point.device = arena_copy(&out->arena, json_identifier(child));
            if (point.device.size == 0)
                return codec_refuse(
                    why, CODEC_MALFORMED, "bad_device",
                    "item %zu: \"device\" must be text of 1 to %d bytes or a whole number", index,
                    JSON_NAME_SIZE_MAX);
        } else if (key_is(child, "time", 4)) {
            point.time_bad = !json_stamp_read(&stamp_auto, child, &point.stamp);
        }
    }
    if (point.device.size == 0)
        return codec_refuse(why, CODEC_MALFORMED, "no_device",
                            "item %zu: no \"device\", and none in the topic", index);
    enum codec_result result = CODEC_OK;
    JSON_EACH(child, object)
    if (result == CODEC_OK && !is_reserved(child))
        result = read_metric(child, &point, out, why);
    return result;
}

enum codec_result json_plain_decode(const struct json_node *root, const struct codec_input *in,
                                    struct readings *out, struct codec_why *why)
{
    enum codec_result result = CODEC_OK;
    size_t index = 0;
    struct bytes device = arena_copy(&out->arena, in->device);
    if (root->kind == JSON_OBJECT)
        result = read_point(root, 0, device, out, why);
    else
        JSON_EACH(item, root)
    if (result == CODEC_OK)
        result = read_point(item, index++, device, out, why);
    if (result == CODEC_OK && out->count == 0)
        return codec_refuse(why, CODEC_MALFORMED, "no_reading",
                            "no metric: the text holds nothing but device and time");
    return result;
}
