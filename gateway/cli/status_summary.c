/* SPDX-License-Identifier: Apache-2.0
 *
 * See status_summary.h. Separate from status.c, which shows whatever the gateway tells: here the
 * members are known by name.
 */
#include "cli/status_summary.h"

#include <stdio.h>
#include <stdlib.h>

const char *size_text(double bytes, char out[SIZE_TEXT_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < array_count(units)) {
        bytes /= 1024;
        unit++;
    }
    snprintf(out, SIZE_TEXT_SIZE, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return out;
}

/* ---- members ---- */

static const struct yaml_node *member(const struct yaml_node *object, const char *key)
{
    return object && object->kind == YAML_MAPPING ? yaml_find(object, key) : NULL;
}

static const char *text_of(const struct yaml_node *object, const char *key)
{
    const struct yaml_node *value = member(object, key);
    return value ? value->text : "";
}

static double number_of(const struct yaml_node *object, const char *key)
{
    return strtod(text_of(object, key), NULL);
}

/* What was counted since `before`; below 0 without one, or when the gateway began anew. */
static double rate_of(const struct yaml_node *before, const struct yaml_node *now, const char *key,
                      double seconds)
{
    if (!member(before, key) || !member(now, key) || seconds <= 0)
        return -1;
    return (number_of(now, key) - number_of(before, key)) / seconds;
}

static void rate_print(double rate, const char *what, struct buffer *out)
{
    if (rate >= 0)
        buffer_printf(out, ", %.*f %s/s", rate > 0 && rate < 10 ? 1 : 0, rate, what);
}

static void age_print(double seconds, struct buffer *out)
{
    int64_t s = (int64_t)seconds;
    if (s >= 2 * 86400)
        buffer_printf(out, "%d days %d h", (int)(s / 86400), (int)(s / 3600 % 24));
    else if (s >= 3600)
        buffer_printf(out, "%d h %d min", (int)(s / 3600), (int)(s / 60 % 60));
    else if (s >= 60)
        buffer_printf(out, "%d min %d s", (int)(s / 60), (int)(s % 60));
    else
        buffer_printf(out, "%d s", (int)s);
}

/* ---- lines ---- */

static void gateway_line(const struct yaml_node *now, struct buffer *out)
{
    bool ready = strcmp(text_of(now, "ready"), "true") == 0;
    const char *health = text_of(now, "journal_health");
    buffer_printf(out, "gateway   %s", ready ? "ready" : "NOT READY");
    if (!ready)
        buffer_printf(out, ": %s",
                      strcmp(health, "full") == 0 ? "no room for the journal; acks are held"
                      : strcmp(health, "failing") == 0
                          ? "the journal cannot be written; acks are held"
                          : "it stops");
    if (member(now, "uptime_s")) {
        buffer_add_text(out, ", up ");
        age_print(number_of(now, "uptime_s"), out);
    }
    if (member(now, "gateway"))
        buffer_printf(out, ", identity %s", text_of(now, "gateway"));
    buffer_add_text(out, "\n");
}

static void mqtt_line(const struct yaml_node *now, struct buffer *out)
{
    const struct yaml_node *mqtt = member(now, "mqtt");
    if (mqtt == NULL)
        return;
    buffer_printf(out, "clients   %s connected, %s refused, %s shed, %s wait for the disk\n",
                  text_of(mqtt, "connections"), text_of(mqtt, "refused"), text_of(mqtt, "shed"),
                  text_of(mqtt, "held_connections"));
}

static void received_line(const struct yaml_node *before, const struct yaml_node *now,
                          double seconds, struct buffer *out)
{
    const struct yaml_node *stored = member(now, "stored");
    char size[SIZE_TEXT_SIZE];
    buffer_printf(out, "received  %s messages", text_of(now, "received"));
    rate_print(rate_of(before, now, "received", seconds), "messages", out);
    double bytes = rate_of(member(before, "stored"), stored, "message_bytes", seconds);
    if (bytes >= 0)
        buffer_printf(out, ", %s/s", size_text(bytes, size));
    buffer_add_text(out, "\n");
    if (number_of(stored, "extents") > 0)
        buffer_printf(out,
                      "commit    half of all in %g ms, 99 of 100 in %g ms; then come the acks\n",
                      number_of(stored, "commit_ms_p50"), number_of(stored, "commit_ms_p99"));
    if (number_of(stored, "failures") > 0)
        buffer_printf(out, "          %s writes or syncs FAILED since start\n",
                      text_of(stored, "failures"));
}

static void decoded_line(const struct yaml_node *before, const struct yaml_node *now,
                         double seconds, struct buffer *out)
{
    buffer_printf(out, "decoded   %s, dead letters %s, lost to damage %s, waiting %s; %s readings",
                  text_of(now, "decoded"), text_of(now, "dead"), text_of(now, "quarantined"),
                  text_of(now, "undecoded"), text_of(now, "readings"));
    rate_print(rate_of(before, now, "readings", seconds), "readings", out);
    buffer_printf(out, "%s\n",
                  strcmp(text_of(now, "decoder"), "waiting") == 0 ? "; the decoder WAITS for room"
                                                                  : "");
}

static void lane_line(const struct yaml_node *lane, struct buffer *out)
{
    buffer_printf(out, "sink      %s %s", text_of(lane, "name"), text_of(lane, "health"));
    if (member(lane, "lag_messages"))
        buffer_printf(out, ", behind by %s messages", text_of(lane, "lag_messages"));
    if (number_of(lane, "lag_seconds") > 0) {
        buffer_add_text(out, " and ");
        age_print(number_of(lane, "lag_seconds"), out);
    }
    if (member(lane, "rows"))
        buffer_printf(out, ", %s readings stored since start", text_of(lane, "rows"));
    if (*text_of(lane, "why"))
        buffer_printf(out, "\n          why: %s", text_of(lane, "why"));
    buffer_add_text(out, "\n");
}

static void disk_line(const struct yaml_node *now, struct buffer *out)
{
    const struct yaml_node *disk = member(now, "disk");
    char size[SIZE_TEXT_SIZE];
    if (disk == NULL)
        return;
    buffer_printf(out, "disk      %s", size_text(number_of(disk, "free_bytes"), size));
    buffer_printf(out, " free of %s; logs: raw ", size_text(number_of(disk, "size_bytes"), size));
    buffer_add_text(out, size_text(number_of(member(now, "raw"), "bytes"), size));
    buffer_printf(out, ", readings %s",
                  size_text(number_of(member(now, "reading_log"), "bytes"), size));
    buffer_printf(out, ", dead letters %s\n",
                  size_text(number_of(member(now, "dead_letters"), "bytes"), size));
}

void status_summary(const struct yaml_node *before, const struct yaml_node *now, double seconds,
                    struct buffer *out)
{
    const struct yaml_node *lanes = member(now, "lanes");
    if (before && strcmp(text_of(before, "started"), text_of(now, "started")) != 0)
        before = NULL; /* another life: what was counted began anew */
    gateway_line(now, out);
    mqtt_line(now, out);
    received_line(before, now, seconds, out);
    decoded_line(before, now, seconds, out);
    if (lanes && lanes->kind == YAML_SEQUENCE)
        YAML_EACH(lane, lanes)
    lane_line(lane, out);
    disk_line(now, out);
}
