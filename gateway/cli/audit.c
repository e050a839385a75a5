/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate audit`: proves, message by message, that what came in equals what went out (invariant 9), from
 * the logs, cursors and Parquet files of a folder, also while a gateway runs on it. Says how to ask the
 * stores that are not files.
 */
#include "audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/audit_parquet.h"
#include "cli/cli.h"
#include "cli/folder.h"
#include "config/config.h"
#include "deadletter.h"
#include "journal/rawlog.h"
#include "model/batch_json.h"
#include "sinks/parquet/parquet.h"

enum { DAY_MS = 86400000, SHOWN_MAX = 50 };

struct audit_options {
    char *data, *config;
    int64_t days;
    bool json;
};

#define AT(member) offsetof(struct audit_options, member)
static const struct option audit_rows[] = {
    CLI_ROW_DATA(struct audit_options),
    {.name = "config",
     .type = OPTION_PATH,
     .offset = AT(config),
     .help = "Tells which sink writes where; without it the built-in configuration does."},
    {.name = "days",
     .type = OPTION_INT,
     .offset = AT(days),
     .def = "0",
     .min = 0,
     .max = 4000,
     .help = "What was received on the last so many UTC days; 0: all that both logs hold."},
    CLI_ROW_JSON(struct audit_options),
    {0},
};
#undef AT

static const struct cli_command command = {
    .name = "audit",
    .arguments = "",
    .summary = "Prove that what was received was decoded and stored, by vendor and day.",
    .rows = audit_rows,
    .more =
        "Each message of the raw log must have one fate in the reading log: decoded, decoded and\n"
        "empty, dead letter; or it is lost to damage, or waits. Parquet files are read and "
        "counted\n"
        "message by message; of other stores the question to ask them is printed. Exit code 65\n"
        "when something differs.\n"
        "Files that `keep` of the sink removed differ, and so does what a replay put in the place "
        "of\n"
        "another message with the same device, metric and time.\n",
};

struct auditing {
    const struct audit_options *options;
    struct config *config;
    struct cursor_list cursors;
    struct journal *raw, *readings;
    struct audit *audit;
    uint64_t first_seq, end_seq, excused, hidden;
    struct buffer out;
};

/* ---- reading ---- */

static int on_batch(void *arg, const struct extent *extent)
{
    struct auditing *auditing = arg;
    struct batch *batch;
    struct err err;
    if (extent->kind != EXTENT_BATCH)
        return 0;
    if (batch_decode(extent->body, &batch, &err)) {
        audit_hidden(auditing->audit, extent->first_seq, extent->seq_count);
        return GW_ECORRUPT;
    }
    audit_batch(auditing->audit, batch);
    batch_release(batch);
    return 0;
}

static int on_records(struct auditing *auditing, const struct extent *extent)
{
    struct record_reader reader;
    enum record_kind kind;
    struct message message;
    struct session_record session;
    int rc;
    record_reader_init(&reader, extent);
    while ((rc = record_reader_next(&reader, &kind, &message, &session)) == 1)
        if (kind == RECORD_MESSAGE)
            audit_message(auditing->audit, &message);
    return rc;
}

/* One log from the span's first number on; damaged places are heard by `lost`. */
static int log_walk(struct auditing *auditing, struct journal *journal,
                    int (*on_extent)(struct auditing *auditing, const struct extent *extent),
                    void (*lost)(struct audit *audit, uint64_t first_seq, uint64_t count),
                    struct err *err)
{
    struct journal_reader *reader;
    struct extent extent;
    int rc = journal_reader_new(journal, auditing->first_seq, &reader, err);
    if (rc)
        return rc;
    while ((rc = journal_reader_next(reader, &extent, err)) > 0) {
        if (extent.first_seq >= auditing->end_seq)
            break;
        if (rc == JOURNAL_EXTENT && on_extent(auditing, &extent) == 0)
            continue;
        lost(auditing->audit, extent.first_seq, extent.seq_count);
    }
    journal_reader_free(reader);
    return rc < 0 ? rc : 0;
}

static int on_raw(struct auditing *auditing, const struct extent *extent)
{
    return extent->kind == EXTENT_RECORDS ? on_records(auditing, extent) : 0;
}

static int on_readings(struct auditing *auditing, const struct extent *extent)
{
    return on_batch(auditing, extent);
}

static int on_again(void *arg, const struct extent *extent)
{
    struct auditing *auditing = arg;
    struct batch *batch;
    struct err err;
    if (extent->kind != EXTENT_BATCH)
        return 0;
    if (batch_decode(extent->body, &batch, &err))
        return GW_ECORRUPT;
    audit_excuse(auditing->audit, batch->first_seq, batch->last_seq);
    auditing->excused += batch->last_seq - batch->first_seq + 1;
    batch_release(batch);
    return 0;
}

static int on_refused(void *arg, const struct extent *extent)
{
    struct auditing *auditing = arg;
    struct deadletter_reader reader;
    struct deadletter letter;
    int rc;
    if (extent->kind != EXTENT_DEAD)
        return 0;
    deadletter_reader_init(&reader, extent);
    while ((rc = deadletter_reader_next(&reader, &letter)) == 1) {
        audit_excuse(auditing->audit, letter.message.seq, letter.message.seq);
        auditing->excused++;
    }
    return rc;
}

/* Logs that are there only after something happened. */
static int excuses_read(struct auditing *auditing, const struct folder_log *log,
                        int (*extent)(void *arg, const struct extent *extent), struct err *err)
{
    struct journal *journal;
    bool never = false;
    struct folder_walk walk = {
        .extent = extent, .arg = auditing, .done = &never, .gaps_normal = true};
    int rc = folder_open(auditing->options->data, log, &journal, err);
    if (rc)
        return rc == GW_ENOENT ? 0 : rc;
    rc = folder_each(journal, journal_first_seq(journal), &walk, err);
    journal_close(journal);
    return rc;
}

/* ---- the span ---- */

struct span {
    int64_t from_ms;
    uint64_t first_seq;
};

static void on_segment(void *arg, const struct journal_segment_info *info)
{
    struct span *span = arg;
    if (info->received_max_ms && info->received_max_ms >= span->from_ms &&
        info->first_seq < span->first_seq)
        span->first_seq = info->first_seq;
}

/* Cursors first, then the raw log, then the reading log: each is behind the next. */
static int logs_open(struct auditing *auditing, struct err *err)
{
    const struct audit_options *options = auditing->options;
    char *folder = mem_printf("%s/cursors", options->data);
    int rc = cursor_list_read(&disk_real, folder, &auditing->cursors, err);
    free(folder);
    if (rc == 0)
        rc = folder_open(options->data, &folder_logs[0], &auditing->raw, err);
    if (rc == 0)
        rc = folder_open(options->data, &folder_logs[1], &auditing->readings, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < auditing->cursors.count; i++)
        if (!auditing->cursors.files[i].readable)
            return err_set(err, GW_ECORRUPT, "%s: %s", auditing->cursors.files[i].path,
                           auditing->cursors.files[i].err.text);
    uint64_t raw = journal_first_seq(auditing->raw);
    uint64_t readings = journal_first_seq(auditing->readings);
    auditing->first_seq = raw > readings ? raw : readings;
    auditing->end_seq = journal_next_seq(auditing->raw);
    if (options->days) {
        int64_t today = clock_wall_ms() / DAY_MS;
        struct span span = {.from_ms = (today - options->days + 1) * DAY_MS,
                            .first_seq = auditing->end_seq};
        journal_segments(auditing->raw, on_segment, &span);
        if (span.first_seq > auditing->first_seq)
            auditing->first_seq = span.first_seq;
    }
    if (auditing->first_seq > auditing->end_seq)
        auditing->first_seq = auditing->end_seq;
    return audit_new(auditing->first_seq, auditing->end_seq, &auditing->cursors, &auditing->audit,
                     err);
}

static int logs_read(struct auditing *auditing, struct err *err)
{
    static const struct folder_log again = {"again", JOURNAL_READINGS};
    int rc = log_walk(auditing, auditing->readings, on_readings, audit_hidden, err);
    audit_decoded_to(auditing->audit, journal_next_seq(auditing->readings));
    if (rc == 0)
        rc = excuses_read(auditing, &again, on_again, err);
    if (rc == 0)
        rc = excuses_read(auditing, &folder_refused, on_refused, err);
    return rc ? rc : log_walk(auditing, auditing->raw, on_raw, audit_lost, err);
}

/* ---- stores ---- */

static const struct config_sink *sink_of(const struct auditing *auditing, const char *name)
{
    for (size_t i = 0; i < auditing->config->sink_count; i++)
        if (strcmp(auditing->config->sinks[i].name, name) == 0)
            return &auditing->config->sinks[i];
    return NULL;
}

static int parquet_read(struct auditing *auditing, size_t cursor, const struct config_sink *sink,
                        struct err *err)
{
    const struct parquet_sink_options *options = sink->options;
    const char *path = options->path;
    char *folder =
        path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", auditing->options->data, path);
    audit_store_begin(auditing->audit, cursor);
    int rc = audit_parquet(auditing->audit, folder, journal_identity(auditing->raw), err);
    if (rc == GW_ENOENT && auditing->cursors.files[cursor].state.next_seq <= 1)
        rc = 0; /* nothing was written yet */
    free(folder);
    if (rc == 0)
        audit_store_compare(auditing->audit);
    return rc;
}

static int stores_read(struct auditing *auditing, struct err *err)
{
    for (size_t i = 0; i < auditing->cursors.count; i++) {
        const struct config_sink *sink = sink_of(auditing, auditing->cursors.files[i].name);
        if (sink == NULL || sink->type != &sink_parquet)
            continue;
        int rc = parquet_read(auditing, i, sink, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- telling ---- */

static const char *day_text(int64_t day, char out[16])
{
    char text[CLOCK_TEXT_SIZE];
    clock_format_ms(day * DAY_MS, text);
    snprintf(out, 16, "%.10s", text);
    return out;
}

static void row_text(void *arg, const char *vendor, int64_t day, const struct audit_row *row)
{
    struct auditing *auditing = arg;
    struct log_text name;
    char text[16];
    auditing->hidden += row->hidden;
    buffer_printf(&auditing->out,
                  "%-16s %s %10" PRIu64 " %10" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64
                  " %8" PRIu64 " %8" PRIu64 " %11" PRIu64 "\n",
                  *vendor ? log_escape(&name, bytes_text(vendor)) : "(none)", day_text(day, text),
                  row->received, row->decoded, row->empty, row->dead, row->quarantined,
                  row->waiting, row->hidden + row->unaccounted, row->readings);
}

static void sinks_text(void *arg, const char *vendor, int64_t day, const struct audit_row *row)
{
    struct auditing *auditing = arg;
    for (size_t i = 0; i < auditing->cursors.count; i++) {
        const struct audit_sink_counts *counts = &row->sinks[i];
        struct log_text name;
        char text[16];
        if (counts->confirmed + counts->parked + counts->waiting + counts->stored == 0)
            continue;
        buffer_printf(&auditing->out, "%-16s %-16s %s %11" PRIu64 " %11" PRIu64 " %11" PRIu64 " ",
                      auditing->cursors.files[i].name,
                      *vendor ? log_escape(&name, bytes_text(vendor)) : "(none)",
                      day_text(day, text), counts->confirmed, counts->parked, counts->waiting);
        if (audit_store_looked_at(auditing->audit, i))
            buffer_printf(&auditing->out, "%11" PRIu64 "\n", counts->stored);
        else
            buffer_printf(&auditing->out, "%11s\n", "ask it");
    }
}

/* What the stores that are not files can be asked, and what has to come of it. */
static void question_text(struct auditing *auditing, const struct cursor_file *cursor)
{
    const struct config_sink *sink = sink_of(auditing, cursor->name);
    char identity[IDENTITY_TEXT_SIZE];
    if (sink && strcmp(sink->type->name, "clickhouse") == 0)
        buffer_printf(
            &auditing->out,
            "\n%s: compare with (rows of one key are one, once they are merged):\n"
            "  SELECT vendor, toDate(received) AS day, count() FROM readings WHERE gateway = '%s'\n"
            "  AND seq BETWEEN %" PRIu64 " AND %" PRIu64 " GROUP BY vendor, day ORDER BY vendor, "
            "day\n",
            cursor->name, identity_format(journal_identity(auditing->raw), identity),
            auditing->first_seq, cursor->state.next_seq - 1);
    else if (sink && strcmp(sink->type->name, "kafka") == 0)
        buffer_printf(
            &auditing->out,
            "\n%s: compare the records of the reading topic (header and fields `gateway`, "
            "`seq` %" PRIu64 " to %" PRIu64 "), as\n"
            "  kcat -C -e -q -b BROKERS -t water.reading.v1 -f '%%k\\n' | cut -d/ -f1 | "
            "sort | uniq -c\n",
            cursor->name, auditing->first_seq, cursor->state.next_seq - 1);
}

static void differences_text(struct auditing *auditing)
{
    size_t count;
    uint64_t more;
    const struct audit_difference *found = audit_differences(auditing->audit, &count, &more);
    for (size_t i = 0; i < count && i < SHOWN_MAX; i++)
        buffer_printf(&auditing->out,
                      "%sDIFFERS: messages %" PRIu64 " to %" PRIu64 "%s%s %s: %" PRIu64
                      " expected, %" PRIu64 " found\n",
                      i ? "" : "\n", found[i].first_seq, found[i].last_seq,
                      found[i].sink ? ", sink " : "", found[i].sink ? found[i].sink : "",
                      found[i].what, found[i].expected, found[i].found);
    if (count > SHOWN_MAX || more)
        buffer_printf(&auditing->out, "and %" PRIu64 " ranges more\n",
                      (count > SHOWN_MAX ? count - SHOWN_MAX : 0) + more);
}

static void tell_text(struct auditing *auditing)
{
    struct buffer *out = &auditing->out;
    buffer_printf(out, "messages %" PRIu64 " to %" PRIu64 "\n", auditing->first_seq,
                  auditing->end_seq - 1);
    buffer_printf(out, "%-16s %-10s %10s %10s %8s %8s %8s %8s %8s %11s\n", "VENDOR", "day",
                  "received", "decoded", "empty", "dead", "damaged", "waiting", "unknown",
                  "readings");
    audit_each(auditing->audit, row_text, auditing);
    buffer_printf(out, "\n%-16s %-16s %-10s %11s %11s %11s %11s\n", "SINK", "vendor", "day",
                  "confirmed", "missed", "waiting", "in store");
    audit_each(auditing->audit, sinks_text, auditing);
    if (auditing->excused)
        buffer_printf(out,
                      "%" PRIu64
                      " messages were decoded again or refused by a sink: their rows are "
                      "not compared\n",
                      auditing->excused);
    for (size_t i = 0; i < auditing->cursors.count; i++)
        question_text(auditing, &auditing->cursors.files[i]);
    differences_text(auditing);
}

static void row_json(void *arg, const char *vendor, int64_t day, const struct audit_row *row)
{
    struct auditing *auditing = arg;
    struct buffer *out = &auditing->out;
    char text[16];
    auditing->hidden += row->hidden;
    buffer_add_text(out, "{\"vendor\":");
    json_string(bytes_text(vendor), out);
    buffer_printf(out,
                  ",\"day\":\"%s\",\"received\":%" PRIu64 ",\"decoded\":%" PRIu64
                  ",\"empty\":%" PRIu64 ",\"dead\":%" PRIu64 ",\"quarantined\":%" PRIu64
                  ",\"undecoded\":%" PRIu64 ",\"hidden\":%" PRIu64 ",\"unaccounted\":%" PRIu64
                  ",\"readings\":%" PRIu64 ",\"sinks\":{",
                  day_text(day, text), row->received, row->decoded, row->empty, row->dead,
                  row->quarantined, row->waiting, row->hidden, row->unaccounted, row->readings);
    for (size_t i = 0; i < auditing->cursors.count; i++) {
        const struct audit_sink_counts *counts = &row->sinks[i];
        buffer_add_text(out, i ? "," : "");
        json_string(bytes_text(auditing->cursors.files[i].name), out);
        buffer_printf(out,
                      ":{\"confirmed\":%" PRIu64 ",\"missed\":%" PRIu64 ",\"waiting\":%" PRIu64,
                      counts->confirmed, counts->parked, counts->waiting);
        if (audit_store_looked_at(auditing->audit, i))
            buffer_printf(out, ",\"stored\":%" PRIu64, counts->stored);
        buffer_add_text(out, "}");
    }
    buffer_add_text(out, "}}\n");
}

static void tell_json(struct auditing *auditing)
{
    size_t count;
    uint64_t more;
    const struct audit_difference *found = audit_differences(auditing->audit, &count, &more);
    audit_each(auditing->audit, row_json, auditing);
    for (size_t i = 0; i < count; i++) {
        buffer_printf(&auditing->out,
                      "{\"differs\":\"%s\",\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64
                      ",\"expected\":%" PRIu64 ",\"found\":%" PRIu64 ",\"sink\":",
                      found[i].what, found[i].first_seq, found[i].last_seq, found[i].expected,
                      found[i].found);
        if (found[i].sink)
            json_string(bytes_text(found[i].sink), &auditing->out);
        else
            buffer_add_text(&auditing->out, "null");
        buffer_add_text(&auditing->out, "}\n");
    }
}

/* ---- verb ---- */

static int config_take(struct auditing *auditing, struct err *err)
{
    const char *path = auditing->options->config;
    struct config_places places = {0};
    struct buffer errors = {0};
    int rc = path ? config_load(path, &disk_real, &auditing->config, &errors)
                  : config_embedded(&places, &auditing->config, &errors);
    fwrite(errors.data, 1, errors.size, stderr);
    buffer_fini(&errors);
    if (rc)
        auditing->config = NULL;
    return rc ? err_set(err, GW_EINVAL, "%s has errors", path) : 0;
}

static int audit_whole(const struct audit_options *options)
{
    struct auditing auditing = {.options = options};
    struct err err;
    size_t count = 0;
    uint64_t more;
    int rc = config_take(&auditing, &err);
    if (rc == 0)
        rc = logs_open(&auditing, &err);
    if (rc == 0)
        rc = logs_read(&auditing, &err);
    if (rc == 0)
        rc = stores_read(&auditing, &err);
    if (rc == 0) {
        if (options->json)
            tell_json(&auditing);
        else
            tell_text(&auditing);
        cli_print(buffer_bytes(&auditing.out));
        audit_differences(auditing.audit, &count, &more);
    }
    buffer_fini(&auditing.out);
    audit_free(auditing.audit);
    journal_close(auditing.readings);
    journal_close(auditing.raw);
    cursor_list_fini(&auditing.cursors);
    config_free(auditing.config);
    if (rc)
        return cli_fail("audit",
                        rc == GW_EINVAL     ? EXIT_CODE_CONFIG
                        : rc == GW_ECORRUPT ? EXIT_CODE_DATA
                                            : EXIT_CODE_FAILED,
                        "%s", err.text);
    if (auditing.hidden)
        return cli_fail("audit", EXIT_CODE_DATA,
                        "%" PRIu64 " messages stand in damaged places of the reading log: of them "
                        "nothing can be proved; `tidegate journal verify` tells where",
                        auditing.hidden);
    return count ? cli_fail("audit", EXIT_CODE_DATA, "what came in is not what went out; see above")
                 : EXIT_CODE_OK;
}

int verb_audit(int argc, char **argv)
{
    struct audit_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(&command, argc, argv, &options, &arguments);
    if (code == CLI_GO && options.data == NULL)
        code = cli_fail("audit", EXIT_CODE_USAGE, "needs --data DIR");
    if (code == CLI_GO)
        code = cli_finish(audit_whole(&options));
    option_fini(audit_rows, &options);
    return code;
}
