/* SPDX-License-Identifier: Apache-2.0
 *
 * See status_summary.h. Separate from status.c, which shows whatever the gateway tells: here the
 * members are known by name.
 */
#include "cli/status_summary.h"

#include <stdio.h>

#include "base/log.h"
#include "cli/answer.h"
#include "cli/cli.h"

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

/* What was counted since `before`; below 0 without one, or when the gateway began anew. */
static double rate_of(const struct yaml_node *before, const struct yaml_node *now, const char *key,
                      double seconds)
{
    if (!answer_member(before, key) || !answer_member(now, key) || seconds <= 0)
        return -1;
    return (answer_number(now, key) - answer_number(before, key)) / seconds;
}

static void rate_print(double rate, const char *what, struct buffer *out)
{
    if (rate >= 0)
        buffer_printf(out, ", %.*f %s/s", rate > 0 && rate < 10 ? 1 : 0, rate, what);
}

void age_print(double seconds, struct buffer *out)
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
    bool ready = strcmp(answer_text(now, "ready"), "true") == 0;
    const char *health = answer_text(now, "journal_health");
    buffer_printf(out, "gateway   %s", ready ? "ready" : "NOT READY");
    if (!ready)
        buffer_printf(out, ": %s",
                      strcmp(health, "full") == 0 ? "no room for the journal; acks are held"
                      : strcmp(health, "failing") == 0
                          ? "the journal cannot be written; acks are held"
                          : "it stops");
    if (answer_member(now, "uptime_s")) {
        buffer_add_text(out, ", up ");
        age_print(answer_number(now, "uptime_s"), out);
    }
    if (answer_member(now, "gateway"))
        buffer_printf(out, ", identity %s", answer_text(now, "gateway"));
    buffer_add_text(out, "\n");
}

static void mqtt_line(const struct yaml_node *now, struct buffer *out)
{
    const struct yaml_node *mqtt = answer_member(now, "mqtt");
    if (mqtt == NULL)
        return;
    buffer_printf(out, "clients   %s connected, %s refused, %s shed, %s wait for the disk\n",
                  answer_text(mqtt, "connections"), answer_text(mqtt, "refused"),
                  answer_text(mqtt, "shed"), answer_text(mqtt, "held_connections"));
}

static void received_line(const struct yaml_node *before, const struct yaml_node *now,
                          double seconds, struct buffer *out)
{
    const struct yaml_node *stored = answer_member(now, "stored");
    char size[SIZE_TEXT_SIZE];
    buffer_printf(out, "received  %s messages", answer_text(now, "received"));
    rate_print(rate_of(before, now, "received", seconds), "messages", out);
    double bytes = rate_of(answer_member(before, "stored"), stored, "message_bytes", seconds);
    if (bytes >= 0)
        buffer_printf(out, ", %s/s", size_text(bytes, size));
    buffer_add_text(out, "\n");
    if (answer_number(stored, "extents") > 0)
        buffer_printf(
            out, "commit    half of all in %g ms, 99 of 100 in %g ms; then come the acks\n",
            answer_number(stored, "commit_ms_p50"), answer_number(stored, "commit_ms_p99"));
    if (answer_number(stored, "failures") > 0)
        buffer_printf(out, "          %s writes or syncs FAILED since start\n",
                      answer_text(stored, "failures"));
}

static void decoded_line(const struct yaml_node *before, const struct yaml_node *now,
                         double seconds, struct buffer *out)
{
    buffer_printf(out, "decoded   %s, dead letters %s, lost to damage %s, waiting %s; %s readings",
                  answer_text(now, "decoded"), answer_text(now, "dead"),
                  answer_text(now, "quarantined"), answer_text(now, "undecoded"),
                  answer_text(now, "readings"));
    rate_print(rate_of(before, now, "readings", seconds), "readings", out);
    buffer_printf(
        out, "%s\n",
        strcmp(answer_text(now, "decoder"), "waiting") == 0 ? "; the decoder WAITS for room" : "");
}

/* "retries: unreachable 12, timeout 3" since start. */
static void retries_print(const struct yaml_node *lane, struct buffer *out)
{
    const struct yaml_node *reasons = answer_member(lane, "retries_by_reason");
    if (reasons == NULL || reasons->kind != YAML_MAPPING || reasons->count == 0)
        return;
    const char *before = "          retries since start: ";
    YAML_EACH(reason, reasons)
    {
        buffer_printf(out, "%s%s %s", before, reason->key->text, reason->text);
        before = ", ";
    }
    buffer_add_text(out, "\n");
}

/* What went another way than to the sink, when something did. */
static void losses_print(const struct yaml_node *lane, struct buffer *out)
{
    if (answer_number(lane, "refused_rows") > 0)
        buffer_printf(out, "          %s readings it will never take are dead letters\n",
                      answer_text(lane, "refused_rows"));
    if (answer_number(lane, "lost_messages") > 0)
        buffer_printf(out, "          DAMAGE to the reading log kept %s messages from it\n",
                      answer_text(lane, "lost_messages"));
    if (answer_number(lane, "rewinds") > 0)
        buffer_printf(out, "          sent again from what was safe there: %s times\n",
                      answer_text(lane, "rewinds"));
}

static void parked_print(const struct yaml_node *lane, struct buffer *out)
{
    if (answer_number(lane, "parked_messages") <= 0)
        return;
    buffer_printf(out,
                  "          PARKED: it missed %s messages from %s to %s; `tidegate lane ls`\n",
                  answer_text(lane, "parked_messages"), answer_text(lane, "parked_first_seq"),
                  answer_text(lane, "parked_last_seq"));
}

static void lane_line(const struct yaml_node *lane, struct buffer *out)
{
    const char *health = answer_text(lane, "health");
    bool well = strcmp(health, "ok") == 0;
    buffer_printf(out, "sink      %s %s", answer_text(lane, "name"),
                  well                             ? "ok"
                  : strcmp(health, "stopped") == 0 ? "STOPPED until you act"
                                                   : "RETRYING");
    if (answer_number(lane, "lag_messages") > 0) {
        buffer_printf(out, ", %s readings wait", answer_text(lane, "lag_readings"));
        if (answer_number(lane, "lag_seconds") > 0) {
            buffer_add_text(out, " for ");
            age_print(answer_number(lane, "lag_seconds"), out);
        }
    } else {
        buffer_add_text(out, ", nothing waits");
    }
    if (answer_number(lane, "open_rows") > 0)
        buffer_printf(out, ", %s in flight", answer_text(lane, "open_rows"));
    buffer_printf(out, ", %s stored%s\n", answer_text(lane, "rows"),
                  strcmp(answer_text(lane, "when_full"), "park") == 0 ? "; parks when full" : "");
    if (*answer_text(lane, "why")) {
        buffer_add_text(out, "          why: ");
        cli_wrap(out, 15, answer_text(lane, "why"));
        buffer_add_text(out, "\n");
    }
    if (!well)
        retries_print(lane, out);
    losses_print(lane, out);
    parked_print(lane, out);
}

static void orphan_line(const struct yaml_node *orphan, struct buffer *out)
{
    char size[SIZE_TEXT_SIZE];
    const char *name = answer_text(orphan, "name");
    buffer_printf(out, "ALARM     cursor %s has no sink", name);
    if (*answer_text(orphan, "why"))
        buffer_printf(out, ": %s\n", answer_text(orphan, "why"));
    else
        buffer_printf(out, " and holds %s of the logs for it\n",
                      size_text(answer_number(orphan, "held_bytes"), size));
    buffer_printf(out, "          configure the sink again, or: tidegate lane drop %s --data DIR\n",
                  name);
}

/* What an outage of every sink would cost. */
static void outlook_line(const struct yaml_node *now, struct buffer *out)
{
    const struct yaml_node *left = answer_member(now, "journal_seconds_left");
    if (left == NULL)
        return;
    buffer_add_text(out, "journal   ");
    if (yaml_is_null(left)) {
        buffer_add_text(out, "does not grow now\n");
        return;
    }
    buffer_add_text(out, "has room for ");
    if (answer_number(now, "journal_seconds_left") > 30.0 * 86400)
        buffer_add_text(out, "more than 30 days");
    else
        age_print(answer_number(now, "journal_seconds_left"), out);
    buffer_add_text(out, " at the present rate, should no sink take anything\n");
}

/* "keep", or who still needs the oldest part. */
static void limit_print(const struct yaml_node *log, struct buffer *out)
{
    const char *by = answer_text(log, "limited_by");
    if (strcmp(by, "sink") == 0)
        buffer_printf(out, "held by sink %s", answer_text(log, "held_by"));
    else if (strcmp(by, "cursor") == 0)
        buffer_add_text(out, "held by a cursor without a sink");
    else if (strcmp(by, "replay") == 0)
        buffer_add_text(out, "held by a replay");
    else if (strcmp(by, "decoder") == 0)
        buffer_add_text(out, "held until the decoder's memory is saved");
    else if (strcmp(by, "room") == 0)
        buffer_add_text(out, "SHORT OF ROOM: it goes before its time");
    else if (strcmp(by, "none") == 0)
        buffer_add_text(out, "only what is needed is kept");
    else
        buffer_printf(out, "limited by %s", by);
}

/* How far back a replay can go, and what ends it there. */
static void history_lines(const struct yaml_node *now, struct buffer *out)
{
    static const char *const logs[][2] = {
        {"raw", "messages"}, {"reading_log", "readings"}, {"dead_letters", "dead letters"}};
    const char *head = "history  ";
    char size[SIZE_TEXT_SIZE];
    for (size_t i = 0; i < array_count(logs); i++) {
        const struct yaml_node *log = answer_member(now, logs[i][0]);
        if (!*answer_text(log, "limited_by") || yaml_is_null(answer_member(log, "oldest")))
            continue;
        buffer_printf(out, "%s %s of ", head, logs[i][1]);
        age_print(answer_number(log, "history_seconds"), out);
        buffer_printf(out, ", %s; ", size_text(answer_number(log, "bytes"), size));
        limit_print(log, out);
        buffer_add_text(out, "\n");
        head = "         ";
    }
}

static void broker_line(const struct yaml_node *broker, struct buffer *out)
{
    char size[SIZE_TEXT_SIZE];
    bool connected = *answer_text(broker, "mqtt") != '\0';
    buffer_printf(out, "broker    %s/%s ", answer_text(broker, "name"),
                  answer_text(broker, "worker"));
    if (connected)
        buffer_printf(out, "connected with MQTT %s", answer_text(broker, "mqtt"));
    else
        buffer_add_text(out, "NOT CONNECTED");
    buffer_printf(out, ", %s messages", answer_text(broker, "messages"));
    if (answer_number(broker, "waiting_bytes") > 0)
        buffer_printf(out, ", %s wait for the journal",
                      size_text(answer_number(broker, "waiting_bytes"), size));
    if (*answer_text(broker, "held"))
        buffer_printf(out, ", held (%s)", answer_text(broker, "held"));
    if (answer_number(broker, "restarts") > 0)
        buffer_printf(out, ", restarted %s times", answer_text(broker, "restarts"));
    buffer_add_text(out, "\n");
    if (*answer_text(broker, "why")) {
        buffer_add_text(out, "          why: ");
        cli_wrap(out, 15, answer_text(broker, "why"));
        buffer_add_text(out, "\n");
    }
}

static void capture_line(const struct yaml_node *capture, struct buffer *out)
{
    struct log_text file;
    buffer_printf(out, "capture   %s %s, %s",
                  log_escape(&file, bytes_text(answer_text(capture, "file"))),
                  answer_text(capture, "state"), answer_text(capture, "stored"));
    if (answer_number(capture, "total") > 0)
        buffer_printf(out, " of %s", answer_text(capture, "total"));
    buffer_add_text(out, " messages");
    if (answer_number(capture, "restamped") > 0)
        buffer_printf(out, ", %s without their receive time", answer_text(capture, "restamped"));
    if (answer_number(capture, "lost") + answer_number(capture, "damaged") > 0)
        buffer_printf(out, "; LOST to damage %s there, %s in the file",
                      answer_text(capture, "lost"), answer_text(capture, "damaged"));
    buffer_add_text(out, "\n");
    if (*answer_text(capture, "why")) {
        buffer_add_text(out, "          why: ");
        cli_wrap(out, 15, answer_text(capture, "why"));
        buffer_add_text(out, "\n");
    }
}

static void replay_line(const struct yaml_node *replay, struct buffer *out)
{
    buffer_printf(out, "replay    %s to %s: %.1f %%, %s readings, %.0f/s",
                  answer_text(replay, "id"),
                  *answer_text(replay, "sink") ? answer_text(replay, "sink") : "nobody (dry run)",
                  100 * answer_number(replay, "share"), answer_text(replay, "readings"),
                  answer_number(replay, "readings_per_s"));
    if (!yaml_is_null(answer_member(replay, "seconds_left"))) {
        buffer_add_text(out, ", ");
        age_print(answer_number(replay, "seconds_left"), out);
        buffer_add_text(out, " left");
    }
    buffer_add_text(out, "\n");
    if (*answer_text(replay, "why")) {
        buffer_add_text(out, "          why: ");
        cli_wrap(out, 15, answer_text(replay, "why"));
        buffer_add_text(out, "\n");
    }
}

static void disk_line(const struct yaml_node *now, struct buffer *out)
{
    const struct yaml_node *disk = answer_member(now, "disk");
    char size[SIZE_TEXT_SIZE];
    if (disk == NULL)
        return;
    buffer_printf(out, "disk      %s", size_text(answer_number(disk, "free_bytes"), size));
    buffer_printf(out, " free of %s; logs: raw ",
                  size_text(answer_number(disk, "size_bytes"), size));
    buffer_add_text(out, size_text(answer_number(answer_member(now, "raw"), "bytes"), size));
    buffer_printf(out, ", readings %s",
                  size_text(answer_number(answer_member(now, "reading_log"), "bytes"), size));
    buffer_printf(out, ", dead letters %s\n",
                  size_text(answer_number(answer_member(now, "dead_letters"), "bytes"), size));
}

static void list_print(const struct yaml_node *list,
                       void (*line)(const struct yaml_node *entry, struct buffer *out),
                       struct buffer *out)
{
    if (list && list->kind == YAML_SEQUENCE)
        YAML_EACH(entry, list)
    line(entry, out);
}

void status_summary(const struct yaml_node *before, const struct yaml_node *now, double seconds,
                    struct buffer *out)
{
    if (before && strcmp(answer_text(before, "started"), answer_text(now, "started")) != 0)
        before = NULL; /* another life: what was counted began anew */
    gateway_line(now, out);
    mqtt_line(now, out);
    list_print(answer_member(now, "brokers"), broker_line, out);
    list_print(answer_member(now, "captures"), capture_line, out);
    received_line(before, now, seconds, out);
    decoded_line(before, now, seconds, out);
    list_print(answer_member(now, "lanes"), lane_line, out);
    list_print(answer_member(now, "replays"), replay_line, out);
    list_print(answer_member(now, "orphan_cursors"), orphan_line, out);
    outlook_line(now, out);
    history_lines(now, out);
    disk_line(now, out);
}
