/* SPDX-License-Identifier: Apache-2.0
 *
 * See status_gates.h. From the sockets to the destinations: each gate is a line with the level of what
 * stands before it, so the one that is shut is seen at a look: full above it, empty below. Main thread.
 */
#include "cli/status_gates.h"

#include <stdio.h>

#include "cli/answer.h"
#include "cli/status_summary.h"

enum { NAME_WIDTH = 12, BAR_MIN = 10, BAR_MAX = 40, TEXT_WIDTH = 46, VENDORS_MIN = 3 };

struct view {
    const struct gates_style *style;
    const struct yaml_node *before, *now;
    double seconds;
    struct buffer *out;
    struct buffer line;
    int rows_left;
};

/* ---- one line ---- */

/* At most so many columns; colours take none, and a letter of several bytes takes one. */
static void clip(struct bytes in, int columns, struct buffer *out)
{
    bool escape = false;
    for (size_t i = 0; i < in.size; i++) {
        uint8_t byte = in.data[i];
        bool starts = !escape && byte != 0x1b && (byte & 0xc0) != 0x80;
        if (starts && columns-- <= 0)
            break;
        buffer_u8(out, byte);
        escape = byte == 0x1b || (escape && byte != 'm');
    }
}

static void line_end(struct view *view)
{
    if (view->rows_left-- > 0) {
        clip(buffer_bytes(&view->line), view->style->columns, view->out);
        if (view->style->colour)
            buffer_add_text(view->out, "\033[m");
        buffer_add_text(view->out, view->style->newline);
    }
    buffer_clear(&view->line);
}

static void colour(struct view *view, const char *code)
{
    if (view->style->colour)
        buffer_printf(&view->line, "\033[%sm", code);
}

static void bar(struct view *view, double level)
{
    int width = view->style->columns - NAME_WIDTH - TEXT_WIDTH;
    width = width < BAR_MIN ? BAR_MIN : width > BAR_MAX ? BAR_MAX : width;
    level = level < 0 ? 0 : level > 1 ? 1 : level;
    int full = (int)(level * width + 0.5);
    if (full == 0 && level > 0)
        full = 1; /* something is not nothing */
    const char *on = view->style->blocks ? "█" : "#", *off = view->style->blocks ? "░" : ".";
    colour(view, level >= 0.9 ? "31" : level >= 0.6 ? "33" : "36");
    for (int i = 0; i < full; i++)
        buffer_add_text(&view->line, on);
    colour(view, "2");
    for (int i = full; i < width; i++)
        buffer_add_text(&view->line, off);
    colour(view, "");
    buffer_add_text(&view->line, "  ");
}

static void gate(struct view *view, const char *name, double level)
{
    buffer_printf(&view->line, "%-*.*s", NAME_WIDTH, NAME_WIDTH - 1, name);
    bar(view, level);
}

static double part(double of, double whole)
{
    return whole > 0 ? of / whole : 0;
}

static void size_put(struct view *view, double bytes)
{
    char size[SIZE_TEXT_SIZE];
    buffer_add_text(&view->line, size_text(bytes, size));
}

/* What a member grew by in a second; -1: not known. */
static double rate(const struct view *view, const struct yaml_node *before,
                   const struct yaml_node *now, const char *key)
{
    if (view->before == NULL || view->seconds <= 0 || !answer_member(before, key))
        return -1;
    return (answer_number(now, key) - answer_number(before, key)) / view->seconds;
}

/* ---- the gates, in the order of the water ---- */

static void head_line(struct view *view, const char *away)
{
    bool ready = strcmp(answer_text(view->now, "ready"), "true") == 0;
    const char *health = answer_text(view->now, "journal_health");
    colour(view, "1");
    buffer_printf(&view->line, "tidegate %s  ", answer_text(view->now, "gateway"));
    colour(view, away || !ready ? "1;31" : "1;32");
    if (away)
        buffer_printf(&view->line, "NO ANSWER: %s", away);
    else if (ready)
        buffer_add_text(&view->line, "ready");
    else
        buffer_printf(&view->line, "HOLDING: the journal is %s", health);
    colour(view, "");
    buffer_add_text(&view->line, ", up ");
    age_print(answer_number(view->now, "uptime_s"), &view->line);
    line_end(view);
    line_end(view);
}

/* "12 held (rate 2, journal 10)" */
static void held_put(struct view *view)
{
    const struct yaml_node *held = answer_member(view->now, "held");
    const char *between = " (";
    if (held == NULL || held->kind != YAML_MAPPING)
        return;
    YAML_EACH(reason, held)
    {
        if (reason->kind != YAML_SCALAR || strcmp(reason->key->text, "tail_bytes") == 0 ||
            strcmp(reason->text, "0") == 0)
            continue;
        buffer_printf(&view->line, "%s%s %s", between, reason->key->text, reason->text);
        between = ", ";
    }
    if (between[0] == ',')
        buffer_u8(&view->line, ')');
}

static void sockets_line(struct view *view)
{
    const struct yaml_node *mqtt = answer_member(view->now, "mqtt");
    double held = answer_number(mqtt, "held_connections");
    gate(view, "sockets", part(held, answer_number(mqtt, "connections")));
    buffer_printf(&view->line, "%s open, %.0f held", answer_text(mqtt, "connections"), held);
    held_put(view);
    line_end(view);
}

/* A broker's intake file: what its worker took and the journal has not. */
static void broker_line(struct view *view, const struct yaml_node *broker)
{
    char name[NAME_WIDTH];
    double waits = answer_number(broker, "waiting_bytes");
    double most = answer_number(broker, "room_bytes");
    const char *mqtt = answer_text(broker, "mqtt"), *held = answer_text(broker, "held");
    const char *why = answer_text(broker, "why");
    snprintf(name, sizeof name, "%.*s-%s", NAME_WIDTH - 4, answer_text(broker, "name"),
             answer_text(broker, "worker"));
    gate(view, name, part(waits, most));
    colour(view, *mqtt ? "" : "1;31");
    buffer_printf(&view->line, "%s%s", *mqtt ? "MQTT " : "not connected", mqtt);
    colour(view, "");
    buffer_add_text(&view->line, ", ");
    size_put(view, waits);
    buffer_add_text(&view->line, " of ");
    size_put(view, most);
    buffer_add_text(&view->line, " wait");
    if (*held)
        buffer_printf(&view->line, ", held (%s)", held);
    if (*why)
        buffer_printf(&view->line, ": %s", why);
    line_end(view);
}

static void memory_line(struct view *view)
{
    const struct yaml_node *stored = answer_member(view->now, "stored");
    double waits = answer_number(stored, "waiting_bytes");
    double most = answer_number(answer_member(view->now, "limits"), "memory_bytes");
    gate(view, "uncommitted", part(waits, most));
    size_put(view, waits);
    buffer_add_text(&view->line, " of ");
    size_put(view, most);
    buffer_printf(&view->line, ", sync p99 %g ms", answer_number(stored, "commit_ms_p99"));
    line_end(view);
}

static void log_line(struct view *view, const char *name, const char *member, bool outlook)
{
    double needed = answer_number(answer_member(view->now, member), "needed_bytes");
    double most = answer_number(answer_member(view->now, "limits"), "log_bytes");
    const struct yaml_node *left = answer_member(view->now, "journal_seconds_left");
    gate(view, name, part(needed, most));
    size_put(view, needed);
    buffer_add_text(&view->line, " of ");
    size_put(view, most);
    buffer_add_text(&view->line, " needed");
    if (outlook && left && !yaml_is_null(left)) {
        buffer_add_text(&view->line, ", room for ");
        age_print(answer_number(view->now, "journal_seconds_left"), &view->line);
    }
    line_end(view);
}

static double seqs(const struct yaml_node *log)
{
    return answer_number(log, "next_seq") - answer_number(log, "first_seq");
}

static void decode_line(struct view *view)
{
    double waits = answer_number(view->now, "undecoded");
    gate(view, "decode", part(waits, seqs(answer_member(view->now, "raw"))));
    buffer_printf(&view->line, "%.0f messages wait", waits);
    if (answer_number(view->now, "dead") > 0)
        buffer_printf(&view->line, ", %s dead letters", answer_text(view->now, "dead"));
    line_end(view);
}

static void lane_line(struct view *view, const struct yaml_node *lane)
{
    const char *health = answer_text(lane, "health");
    double lag = answer_number(lane, "lag_messages");
    bool well = strcmp(health, "ok") == 0;
    gate(view, answer_text(lane, "name"), part(lag, seqs(answer_member(view->now, "reading_log"))));
    colour(view, well ? "" : "1;31");
    buffer_printf(&view->line, "%s", well ? "ok" : health);
    colour(view, "");
    if (lag > 0) {
        buffer_printf(&view->line, ", %s readings wait", answer_text(lane, "lag_readings"));
        if (answer_number(lane, "lag_seconds") > 0) {
            buffer_add_text(&view->line, ", ");
            age_print(answer_number(lane, "lag_seconds"), &view->line);
        }
    } else {
        buffer_add_text(&view->line, ", nothing waits");
    }
    if (*answer_text(lane, "why"))
        buffer_printf(&view->line, ": %s", answer_text(lane, "why"));
    line_end(view);
}

static void flow_line(struct view *view)
{
    const struct yaml_node *before = view->before, *now = view->now;
    double messages = rate(view, before, now, "received");
    double bytes =
        rate(view, answer_member(before, "stored"), answer_member(now, "stored"), "message_bytes");
    double readings = rate(view, before, now, "readings");
    line_end(view);
    if (messages >= 0) {
        buffer_printf(&view->line, "in %.0f messages/s, ", messages);
        size_put(view, bytes);
        buffer_printf(&view->line, "/s   decoded %.0f readings/s   ", readings);
    }
    buffer_printf(&view->line, "in all %s", answer_text(now, "received"));
    line_end(view);
}

/* ---- vendors ---- */

static const struct yaml_node *vendor_before(const struct view *view, const char *name)
{
    const struct yaml_node *list = answer_member(view->before, "vendors");
    if (list && list->kind == YAML_SEQUENCE)
        YAML_EACH(vendor, list)
    if (strcmp(answer_text(vendor, "name"), name) == 0)
        return vendor;
    return NULL;
}

static void vendor_line(struct view *view, const struct yaml_node *vendor)
{
    const char *name = answer_text(vendor, "name");
    const struct yaml_node *before = vendor_before(view, name);
    char size[SIZE_TEXT_SIZE];
    double messages = rate(view, before, vendor, "messages");
    bool held = answer_number(vendor, "held") > 0;
    colour(view, held ? "33" : "");
    buffer_printf(&view->line, "%-16.16s %7s %7s ", *name ? name : "(without login)",
                  answer_text(vendor, "connections"), answer_text(vendor, "held"));
    if (messages >= 0)
        buffer_printf(&view->line, "%11.0f ", messages);
    else
        buffer_printf(&view->line, "%11s ", "");
    buffer_printf(&view->line, "%12s ", size_text(answer_number(vendor, "bytes"), size));
    buffer_printf(&view->line, "%12s ", size_text(answer_number(vendor, "needed_bytes"), size));
    buffer_printf(&view->line, "%8s", answer_text(vendor, "dropped"));
    line_end(view);
}

static void vendors_table(struct view *view)
{
    const struct yaml_node *list = answer_member(view->now, "vendors");
    if (list == NULL || list->kind != YAML_SEQUENCE || list->count == 0 ||
        view->rows_left < VENDORS_MIN)
        return;
    line_end(view);
    colour(view, "1");
    buffer_printf(&view->line, "%-16s %7s %7s %11s %12s %12s %8s", "vendor", "clients", "held",
                  "messages/s", "since start", "in the logs", "dropped");
    line_end(view);
    size_t shown = 0;
    YAML_EACH(vendor, list)
    {
        if (view->rows_left == 1 && list->count - shown > 1) {
            buffer_printf(&view->line, "and %zu more", list->count - shown);
            line_end(view);
            return;
        }
        vendor_line(view, vendor);
        shown++;
    }
}

void status_gates(const struct gates_style *style, const struct yaml_node *before,
                  const struct yaml_node *now, double seconds, const char *away, struct buffer *out)
{
    bool same = before && strcmp(answer_text(before, "started"), answer_text(now, "started")) == 0;
    struct view view = {.style = style,
                        .before = same ? before : NULL, /* else what was counted began anew */
                        .now = now,
                        .seconds = seconds,
                        .out = out,
                        .rows_left = style->rows};
    const struct yaml_node *lanes = answer_member(now, "lanes");
    const struct yaml_node *brokers = answer_member(now, "brokers");
    head_line(&view, away);
    sockets_line(&view);
    if (brokers && brokers->kind == YAML_SEQUENCE)
        YAML_EACH(broker, brokers)
    broker_line(&view, broker);
    memory_line(&view);
    log_line(&view, "raw log", "raw", true);
    decode_line(&view);
    log_line(&view, "reading log", "reading_log", false);
    if (lanes && lanes->kind == YAML_SEQUENCE)
        YAML_EACH(lane, lanes)
    lane_line(&view, lane);
    flow_line(&view);
    vendors_table(&view);
    buffer_fini(&view.line);
}
