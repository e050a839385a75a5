/* SPDX-License-Identifier: Apache-2.0
 *
 * What an audit found, for people and as JSON lines.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/auditing.h"
#include "cli/cli.h"
#include "model/batch_json.h"

enum { DAY_MS = 86400000, SHOWN_MAX = 50 };

struct telling {
    struct auditing *auditing;
    struct buffer out;
};

static const char *day_text(int64_t day, char out[16])
{
    char text[CLOCK_TEXT_SIZE];
    clock_format_ms(day * DAY_MS, text);
    snprintf(out, 16, "%.10s", text);
    return out;
}

static const char *vendor_text(const char *vendor, struct log_text *text)
{
    return *vendor ? log_escape(text, bytes_text(vendor)) : "(none)";
}

/* ---- text ---- */

static void row_text(void *arg, const char *vendor, int64_t day, const struct audit_row *row)
{
    struct telling *telling = arg;
    struct log_text name;
    char text[16];
    telling->auditing->hidden += row->hidden;
    buffer_printf(&telling->out,
                  "%-16s %s %10" PRIu64 " %10" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64
                  " %8" PRIu64 " %8" PRIu64 " %11" PRIu64 "\n",
                  vendor_text(vendor, &name), day_text(day, text), row->received, row->decoded,
                  row->empty, row->dead, row->quarantined, row->waiting,
                  row->hidden + row->unaccounted, row->readings);
}

static void counts_text(struct telling *telling, size_t cursor,
                        const struct audit_sink_counts *counts)
{
    const struct auditing *auditing = telling->auditing;
    const uint64_t *absent = counts->absent;
    if (auditing->unasked[cursor][0] || !audit_store_looked_at(auditing->audit, cursor)) {
        buffer_printf(&telling->out, "%11s\n", "not asked");
        return;
    }
    buffer_printf(&telling->out, "%11" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64,
                  counts->stored, absent[ABSENT_LOST],
                  absent[ABSENT_REPLACED] + absent[ABSENT_REFUSED], absent[ABSENT_EXPIRED]);
    if (counts->extra)
        buffer_printf(&telling->out, "  %" PRIu64 " of no message", counts->extra);
    if (counts->repeated)
        buffer_printf(&telling->out, "  %" PRIu64 " more than once", counts->repeated);
    if (absent[ABSENT_BEFORE])
        buffer_printf(&telling->out, "  %" PRIu64 " from before it began", absent[ABSENT_BEFORE]);
    if (counts->older)
        buffer_printf(&telling->out, "  %" PRIu64 " as decoded before", counts->older);
    buffer_u8(&telling->out, '\n');
}

static void sinks_text(void *arg, const char *vendor, int64_t day, const struct audit_row *row)
{
    struct telling *telling = arg;
    const struct cursor_list *cursors = &telling->auditing->cursors;
    for (size_t i = 0; i < cursors->count; i++) {
        const struct audit_sink_counts *counts = &row->sinks[i];
        struct log_text name;
        char text[16];
        if (counts->confirmed + counts->parked + counts->waiting + counts->stored + counts->extra ==
            0)
            continue;
        buffer_printf(&telling->out, "%-16s %-16s %s %11" PRIu64 " %9" PRIu64 " %9" PRIu64 " ",
                      cursors->files[i].name, vendor_text(vendor, &name), day_text(day, text),
                      counts->confirmed, counts->parked, counts->waiting);
        counts_text(telling, i, counts);
    }
}

static void remarks_text(struct telling *telling)
{
    const struct auditing *auditing = telling->auditing;
    struct buffer *out = &telling->out;
    if (auditing->again)
        buffer_printf(out,
                      "\n%" PRIu64 " messages were decoded again: a store may have them in any "
                      "of their decodings, whole\n",
                      auditing->again);
    for (size_t i = 0; i < auditing->cursors.count; i++) {
        const char *name = auditing->cursors.files[i].name;
        if (auditing->expired[i][0])
            buffer_printf(out, "%s: %s\n", name, auditing->expired[i]);
        if (auditing->unasked[i][0])
            buffer_printf(out, "%s: NOT ASKED: %s\n", name, auditing->unasked[i]);
    }
}

static void differences_text(struct telling *telling)
{
    size_t count;
    uint64_t more;
    const struct audit_difference *found =
        audit_differences(telling->auditing->audit, &count, &more);
    for (size_t i = 0; i < count && i < SHOWN_MAX; i++)
        buffer_printf(&telling->out,
                      "%sDIFFERS: messages %" PRIu64 " to %" PRIu64 "%s%s %s: %" PRIu64
                      " expected, %" PRIu64 " found\n",
                      i ? "" : "\n", found[i].first_seq, found[i].last_seq,
                      found[i].sink ? ", sink " : "", found[i].sink ? found[i].sink : "",
                      found[i].what, found[i].expected, found[i].found);
    if (count > SHOWN_MAX || more)
        buffer_printf(&telling->out, "and %" PRIu64 " ranges more\n",
                      (count > SHOWN_MAX ? count - SHOWN_MAX : 0) + more);
}

static void tell_text(struct telling *telling)
{
    const struct auditing *auditing = telling->auditing;
    struct buffer *out = &telling->out;
    buffer_printf(out, "messages %" PRIu64 " to %" PRIu64 "\n", auditing->first_seq,
                  auditing->end_seq - 1);
    buffer_printf(out, "%-16s %-10s %10s %10s %8s %8s %8s %8s %8s %11s\n", "VENDOR", "day",
                  "received", "decoded", "empty", "dead", "damaged", "waiting", "unknown",
                  "readings");
    audit_each(auditing->audit, row_text, telling);
    buffer_printf(out, "\n%-16s %-16s %-10s %11s %9s %9s %11s %9s %9s %9s\n", "SINK", "vendor",
                  "day", "confirmed", "parked", "waiting", "in store", "MISSING", "replaced",
                  "expired");
    audit_each(auditing->audit, sinks_text, telling);
    remarks_text(telling);
    differences_text(telling);
}

/* ---- JSON ---- */

static void counts_json(struct telling *telling, size_t cursor,
                        const struct audit_sink_counts *counts)
{
    const struct auditing *auditing = telling->auditing;
    struct buffer *out = &telling->out;
    json_string(bytes_text(auditing->cursors.files[cursor].name), out);
    buffer_printf(out, ":{\"confirmed\":%" PRIu64 ",\"missed\":%" PRIu64 ",\"waiting\":%" PRIu64,
                  counts->confirmed, counts->parked, counts->waiting);
    if (audit_store_looked_at(auditing->audit, cursor) && !auditing->unasked[cursor][0])
        buffer_printf(out,
                      ",\"stored\":%" PRIu64 ",\"missing\":%" PRIu64 ",\"replaced\":%" PRIu64
                      ",\"expired\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"before_start\":%" PRIu64
                      ",\"extra\":%" PRIu64 ",\"repeated\":%" PRIu64 ",\"older\":%" PRIu64,
                      counts->stored, counts->absent[ABSENT_LOST], counts->absent[ABSENT_REPLACED],
                      counts->absent[ABSENT_EXPIRED], counts->absent[ABSENT_REFUSED],
                      counts->absent[ABSENT_BEFORE], counts->extra, counts->repeated,
                      counts->older);
    buffer_add_text(out, "}");
}

static void row_json(void *arg, const char *vendor, int64_t day, const struct audit_row *row)
{
    struct telling *telling = arg;
    struct buffer *out = &telling->out;
    char text[16];
    telling->auditing->hidden += row->hidden;
    buffer_add_text(out, "{\"vendor\":");
    json_string(bytes_text(vendor), out);
    buffer_printf(out,
                  ",\"day\":\"%s\",\"received\":%" PRIu64 ",\"decoded\":%" PRIu64
                  ",\"empty\":%" PRIu64 ",\"dead\":%" PRIu64 ",\"quarantined\":%" PRIu64
                  ",\"undecoded\":%" PRIu64 ",\"hidden\":%" PRIu64 ",\"unaccounted\":%" PRIu64
                  ",\"readings\":%" PRIu64 ",\"sinks\":{",
                  day_text(day, text), row->received, row->decoded, row->empty, row->dead,
                  row->quarantined, row->waiting, row->hidden, row->unaccounted, row->readings);
    for (size_t i = 0; i < telling->auditing->cursors.count; i++) {
        buffer_add_text(out, i ? "," : "");
        counts_json(telling, i, &row->sinks[i]);
    }
    buffer_add_text(out, "}}\n");
}

static void difference_json(struct telling *telling, const struct audit_difference *found)
{
    buffer_printf(&telling->out,
                  "{\"differs\":\"%s\",\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64
                  ",\"expected\":%" PRIu64 ",\"found\":%" PRIu64 ",\"sink\":",
                  found->what, found->first_seq, found->last_seq, found->expected, found->found);
    if (found->sink)
        json_string(bytes_text(found->sink), &telling->out);
    else
        buffer_add_text(&telling->out, "null");
    buffer_add_text(&telling->out, "}\n");
}

static void remark_json(struct telling *telling, const char *what, const char *sink,
                        const char *text)
{
    if (text[0] == '\0')
        return;
    buffer_printf(&telling->out, "{\"%s\":", what);
    json_string(bytes_text(text), &telling->out);
    buffer_add_text(&telling->out, ",\"sink\":");
    json_string(bytes_text(sink), &telling->out);
    buffer_add_text(&telling->out, "}\n");
}

static void tell_json(struct telling *telling)
{
    const struct auditing *auditing = telling->auditing;
    size_t count;
    uint64_t more;
    const struct audit_difference *found = audit_differences(auditing->audit, &count, &more);
    audit_each(auditing->audit, row_json, telling);
    for (size_t i = 0; i < auditing->cursors.count; i++) {
        const char *name = auditing->cursors.files[i].name;
        remark_json(telling, "expired", name, auditing->expired[i]);
        remark_json(telling, "not_asked", name, auditing->unasked[i]);
    }
    for (size_t i = 0; i < count; i++)
        difference_json(telling, &found[i]);
}

void audit_tell(struct auditing *auditing)
{
    struct telling telling = {.auditing = auditing};
    if (auditing->options->json)
        tell_json(&telling);
    else
        tell_text(&telling);
    cli_print(buffer_bytes(&telling.out));
    buffer_fini(&telling.out);
}
