/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate journal export`: messages of the raw log into one capture file, which another gateway's
 * `capture` source plays. Beside a running gateway or without one.
 */
#include "cli/journal_export.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cli/folder.h"
#include "cli/replay_job.h"
#include "config/config.h"
#include "journal/rawlog.h"
#include "route.h"
#include "sources/capture/file.h"

struct export_options {
    char *data, *from, *to, *vendor, *topic, *config, *out;
};

#define AT(member) offsetof(struct export_options, member)
static const struct option export_rows[] = {
    CLI_ROW_DATA(struct export_options),
    {.name = "from",
     .type = OPTION_STRING,
     .offset = AT(from),
     .help =
         "Received from then on: 2026-11-21T08:00:00+08:00, a day (UTC), or how long ago, as -2h."},
    {.name = "to",
     .type = OPTION_STRING,
     .offset = AT(to),
     .help = "Received before then; a day: with all of it."},
    {.name = "vendor",
     .type = OPTION_STRING,
     .offset = AT(vendor),
     .help = "Only its messages: of its logins, and those that the routes give it."},
    {.name = "topic",
     .type = OPTION_STRING,
     .offset = AT(topic),
     .help = "Only topics that this MQTT filter matches, as v1/acme/#."},
    {.name = "config",
     .type = OPTION_PATH,
     .offset = AT(config),
     .help = "Whose routes tell the vendor, for --vendor; without it the built-in ones."},
    {.name = "out",
     .type = OPTION_PATH,
     .offset = AT(out),
     .help = "File to write, which must not be there yet; - is standard output."},
    {0},
};
#undef AT

const struct cli_command journal_export_command = {
    .name = "journal export",
    .arguments = "",
    .summary = "Write messages of the raw log to a capture file, for another gateway to play.",
    .rows = export_rows,
    .more = "The file has its final name only when it is whole; until then .part is behind it.\n"
            "Ranges that damage took are told on standard error and in the file; then the exit\n"
            "code is 65, and the file is good. `tidegate run --capture FILE` plays it.\n",
};

struct export
{
    const struct export_options *options;
    int64_t from_ms, to_ms;
    struct journal *raw;
    struct config *config; /* only with --vendor */
    struct router *router;
    struct capture_writer *writer;
    char *part;
    int fd; /* -1: standard output */
    uint64_t offset, lost;
    bool done;
    struct err err; /* of writing */
};

/* ---- what is asked for ---- */

static int span_read(struct export *export, struct err *err)
{
    const struct export_options *options = export->options;
    export->from_ms = INT64_MIN;
    export->to_ms = INT64_MAX;
    int64_t now_ms = clock_wall_ms();
    int rc = 0;
    if (options->from)
        rc = replay_time_parse(options->from, false, now_ms, &export->from_ms, err);
    if (rc == 0 && options->to)
        rc = replay_time_parse(options->to, true, now_ms, &export->to_ms, err);
    if (rc)
        return rc;
    if (export->from_ms >= export->to_ms)
        return err_set(err, GW_EINVAL, "--from must be before --to");
    return 0;
}

static int routes_read(struct export *export, struct err *err)
{
    const struct export_options *options = export->options;
    struct buffer errors = {0};
    struct config_places places = {0};
    if (options->vendor == NULL)
        return 0;
    int rc = options->config ? config_load(options->config, &disk_real, &export->config, &errors)
                             : config_embedded(&places, &export->config, &errors);
    if (rc) {
        fwrite(errors.data, 1, errors.size, stderr);
        export->config = NULL;
    }
    buffer_fini(&errors);
    return rc ? err_set(err, rc, "%s has errors", options->config)
              : router_new(export->config, &export->router, err);
}

static bool is_wanted(const struct export *export, const struct message *message)
{
    const struct export_options *options = export->options;
    struct route_match match;
    if (message->received_ms < export->from_ms || message->received_ms >= export->to_ms)
        return false;
    if (options->topic && !access_topic_matches(bytes_text(options->topic), message->topic))
        return false;
    if (options->vendor == NULL)
        return true;
    struct bytes vendor = message->vendor;
    if (router_match(export->router, message, &match))
        vendor = match.vendor;
    return bytes_equal_text(vendor, options->vendor);
}

/* ---- where it goes ---- */

static int on_put(void *arg, struct bytes in, struct err *err)
{
    struct export *export = arg;
    if (export->fd < 0) {
        if (in.size && fwrite(in.data, 1, in.size, stdout) != in.size)
            return err_set(err, GW_EIO, "standard output: %s", strerror(errno));
        return 0;
    }
    int rc = disk_write_all(&disk_real, export->fd, in, export->offset);
    export->offset += in.size;
    return rc < 0 ? err_set(err, GW_EIO, "%s: %s", export->part, strerror(-rc)) : 0;
}

static int out_open(struct export *export, struct err *err)
{
    const char *path = export->options->out;
    struct disk_stat stat;
    if (strcmp(path, "-") == 0)
        return 0;
    if (disk_real.stat(&disk_real, path, &stat) == 0)
        return err_set(err, GW_EEXIST, "%s is there already", path);
    export->part = mem_printf("%s.part", path);
    disk_real.unlink(&disk_real, export->part); /* of an export that was killed */
    int fd = disk_real.open(&disk_real, export->part, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0)
        return err_set(err, GW_EIO, "%s: %s", export->part, strerror(-fd));
    export->fd = fd;
    return 0;
}

/* Sync before the rename: after a crash the final name must never show a part of it. */
static int out_finish(struct export *export, struct err *err)
{
    if (export->fd < 0)
        return fflush(stdout) ? err_set(err, GW_EIO, "standard output: %s", strerror(errno)) : 0;
    int rc = disk_real.datasync(&disk_real, export->fd);
    if (rc == 0)
        rc = disk_real.rename(&disk_real, export->part, export->options->out);
    return rc < 0 ? err_set(err, GW_EIO, "%s: %s", export->options->out, strerror(-rc)) : 0;
}

static void out_close(struct export *export, bool failed)
{
    if (export->fd >= 0) {
        disk_real.close(&disk_real, export->fd);
        if (failed)
            disk_real.unlink(&disk_real, export->part);
    }
    free(export->part);
}

/* ---- the walk ---- */

struct span {
    const struct export *export;
    uint64_t first_seq, end_seq; /* what the segments between them hold may lie in it */
};

/* Segments without messages tell no time, and are looked into. */
static void on_segment(void *arg, const struct journal_segment_info *info)
{
    struct span *span = arg;
    bool timed = info->received_max_ms != 0;
    if (timed && !info->damaged &&
        (info->received_max_ms < span->export->from_ms ||
         info->received_min_ms >= span->export->to_ms))
        return;
    if (info->first_seq < span->first_seq)
        span->first_seq = info->first_seq;
    if (info->next_seq > span->end_seq)
        span->end_seq = info->next_seq;
}

static int records_write(struct export *export, const struct extent *extent)
{
    struct record_reader reader;
    enum record_kind kind;
    struct message message;
    struct session_record session;
    int rc;
    record_reader_init(&reader, extent);
    while ((rc = record_reader_next(&reader, &kind, &message, &session)) == 1) {
        if (kind != RECORD_MESSAGE || !is_wanted(export, &message))
            continue;
        if (capture_write(export->writer, &message, &export->err)) {
            export->done = true;
            return 0;
        }
    }
    return rc;
}

static int lost_write(struct export *export, uint64_t first_seq, uint64_t count, struct err *err)
{
    export->lost += count;
    fprintf(stderr, "damaged: messages %" PRIu64 " to %" PRIu64 " are lost\n", first_seq,
            first_seq + count - 1);
    return capture_write_lost(export->writer, first_seq, count, err);
}

static int extents_write(struct export *export, const struct span *span, struct err *err)
{
    struct journal_reader *reader;
    struct extent extent;
    int rc = journal_reader_new(export->raw, span->first_seq, &reader, err);
    if (rc)
        return rc;
    while (!export->done && (rc = journal_reader_next(reader, &extent, err)) > 0) {
        if (extent.first_seq >= span->end_seq)
            break;
        bool damaged = rc == JOURNAL_DAMAGED;
        if (!damaged &&
            (extent.kind != EXTENT_RECORDS || extent.received_max_ms < export->from_ms ||
             extent.received_min_ms >= export->to_ms))
            continue;
        if (!damaged && records_write(export, &extent) == 0)
            continue;
        rc = lost_write(export, extent.first_seq, extent.seq_count, err);
        if (rc)
            break;
    }
    journal_reader_free(reader);
    if (export->done) {
        *err = export->err;
        return GW_EIO;
    }
    return rc < 0 ? rc : 0;
}

static int capture_make(struct export *export, struct err *err)
{
    struct span span = {.export = export, .first_seq = UINT64_MAX};
    struct capture_header header = {
        .id = identity_random().bits,
        .gateway = journal_identity(export->raw),
        .made_ms = clock_wall_ms(),
        .from_ms = export->from_ms,
        .to_ms = export->to_ms,
    };
    int rc = capture_writer_new(&header, on_put, export, &export->writer, err);
    if (rc)
        return rc;
    journal_segments(export->raw, on_segment, &span);
    if (span.first_seq < span.end_seq)
        rc = extents_write(export, &span, err);
    return rc ? rc : capture_write_end(export->writer, err);
}

/* ---- verb ---- */

static int export_run(struct export *export, struct err *err)
{
    int rc = span_read(export, err);
    if (rc == 0)
        rc = routes_read(export, err);
    if (rc == 0)
        rc = folder_open(export->options->data, &folder_logs[0], &export->raw, err);
    if (rc == 0)
        rc = out_open(export, err);
    if (rc == 0)
        rc = capture_make(export, err);
    return rc ? rc : out_finish(export, err);
}

static int export_whole(const struct export_options *options)
{
    struct export export = {.options = options, .fd = -1};
    struct err err;
    int rc = export_run(&export, &err);
    if (rc == 0)
        fprintf(stderr, "exported %" PRIu64 " messages\n", capture_written(export.writer));
    out_close(&export, rc != 0);
    capture_writer_free(export.writer);
    router_free(export.router);
    config_free(export.config);
    journal_close(export.raw);
    if (rc)
        return cli_fail("journal export", rc == GW_EINVAL ? EXIT_CODE_USAGE : EXIT_CODE_FAILED,
                        "%s", err.text);
    if (export.lost)
        return cli_fail("journal export", EXIT_CODE_DATA,
                        "%" PRIu64 " messages were lost to damage on disk; the rest is in the file",
                        export.lost);
    return EXIT_CODE_OK;
}

int journal_export(const struct cli_command *command, int argc, char **argv)
{
    struct export_options options = {0};
    struct cli_arguments arguments;
    int code = cli_parse(command, argc, argv, &options, &arguments);
    if (code == CLI_GO && (options.data == NULL || options.out == NULL))
        code = cli_fail(command->name, EXIT_CODE_USAGE, "needs --data DIR and --out FILE");
    if (code == CLI_GO)
        code = export_whole(&options);
    option_fini(command->rows, &options);
    return code;
}
