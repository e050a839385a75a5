/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate lane ls`: from the files of a data folder, or from what a running gateway tells.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cli/answer.h"
#include "cli/folder.h"
#include "cli/lane.h"
#include "cli/status_summary.h"
#include "model/batch_json.h"

/* One line. Numbers below 0 are not known. */
struct row {
    const char *name;
    int used; /* 1, 0, or -1: not known */
    double next, settled, behind, missed, held;
    int64_t saved_ms; /* age; -1: not known */
    const char *why;
    const struct cursor_file *file; /* null: told by a gateway */
};

/* ---- text ---- */

static void number_print(double number, int width)
{
    if (number < 0)
        printf(" %*s", width, "-");
    else
        printf(" %*.0f", width, number);
}

static void head_text(void)
{
    printf("%-20s %-4s %12s %12s %12s %10s  %s\n", "sink", "used", "next", "settled", "behind",
           "missed", "saved");
}

static void ranges_text(const struct cursor_file *file)
{
    for (size_t i = 0; file && i < file->missed_count; i++) {
        const struct missed_range *range = &file->missed[i];
        char from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE];
        printf("  %s: messages %" PRIu64 " to %" PRIu64,
               range->kind == MISSED_PARKED ? "missed" : "perhaps missed", range->first_seq,
               range->last_seq);
        if (range->received_from_ms)
            printf(", received %s to %s", clock_format_ms(range->received_from_ms, from),
                   clock_format_ms(range->received_to_ms, to));
        printf("\n");
    }
}

static void row_text(const struct row *row)
{
    static const char *const used[] = {"?", "NO", "yes"};
    struct buffer age = {0};
    char size[SIZE_TEXT_SIZE];
    printf("%-20s %-4s", row->name, used[row->used + 1]);
    number_print(row->next, 12);
    number_print(row->settled, 12);
    number_print(row->behind, 12);
    number_print(row->missed, 10);
    if (row->saved_ms >= 0)
        age_print((double)row->saved_ms / 1000, &age);
    printf("  %.*s%s\n", (int)age.size, age.size ? (const char *)age.data : "",
           age.size ? " ago" : "-");
    buffer_fini(&age);
    if (row->used == 0 && *row->why == '\0')
        printf("  no sink of that name: it holds %s of the logs that no other one needs\n",
               size_text(row->held > 0 ? row->held : 0, size));
    if (*row->why)
        printf("  %s\n", row->why);
    ranges_text(row->file);
}

/* ---- JSON ---- */

static void number_json(const char *name, double number, struct buffer *out)
{
    if (number < 0)
        buffer_printf(out, ",\"%s\":null", name);
    else
        buffer_printf(out, ",\"%s\":%.0f", name, number);
}

static void ranges_json(const struct cursor_file *file, struct buffer *out)
{
    buffer_add_text(out, ",\"missed\":[");
    for (size_t i = 0; i < file->missed_count; i++)
        buffer_printf(out, "%s{\"kind\":\"%s\",\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64 "}",
                      i ? "," : "", file->missed[i].kind == MISSED_PARKED ? "parked" : "unsettled",
                      file->missed[i].first_seq, file->missed[i].last_seq);
    buffer_add_text(out, "]");
}

static void row_json(const struct row *row)
{
    static const char *const used[] = {"null", "false", "true"};
    struct buffer out = {0};
    buffer_add_text(&out, "{\"name\":");
    json_string(bytes_text(row->name), &out);
    buffer_printf(&out, ",\"configured\":%s", used[row->used + 1]);
    number_json("next_seq", row->next, &out);
    number_json("settled_seq", row->settled, &out);
    number_json("lag_messages", row->behind, &out);
    number_json("missed_messages", row->missed, &out);
    number_json("held_bytes", row->held, &out);
    number_json("saved_seconds_ago", row->saved_ms < 0 ? -1 : (double)(row->saved_ms / 1000), &out);
    if (row->file)
        ranges_json(row->file, &out);
    buffer_add_text(&out, ",\"why\":");
    json_string(bytes_text(row->why), &out);
    buffer_add_text(&out, "}\n");
    cli_print(buffer_bytes(&out));
    buffer_fini(&out);
}

static void row_print(const struct row *row, bool json)
{
    if (json)
        row_json(row);
    else
        row_text(row);
}

/* ---- from the files ---- */

/* The two logs that cursors hold; those that cannot be opened are null. */
struct logs {
    struct journal *raw, *readings;
};

static void logs_open(const char *data, struct logs *logs)
{
    struct err err;
    *logs = (struct logs){0};
    if (folder_open(data, &folder_logs[0], &logs->raw, &err))
        fprintf(stderr, "tidegate lane ls: %s\n", err.text);
    if (folder_open(data, &folder_logs[1], &logs->readings, &err))
        fprintf(stderr, "tidegate lane ls: %s\n", err.text);
}

static struct row row_of_file(const struct cursor_list *list, const struct cursor_file *file,
                              const struct lane_sinks *sinks, const struct logs *logs)
{
    double end = logs->readings ? (double)journal_next_seq(logs->readings) : -1;
    int64_t age_ms = clock_wall_ms() - file->modified_ms;
    struct row row = {
        .name = file->name,
        .used = !sinks->known ? -1 : lane_sinks_have(sinks, file->name),
        .next = -1,
        .settled = -1,
        .behind = -1,
        .missed = (double)cursor_file_missed(file),
        .held = -1,
        .saved_ms = file->modified_ms ? age_ms > 0 ? age_ms : 0 : -1,
        .why = file->readable ? "" : file->err.text,
        .file = file,
    };
    if (!file->readable)
        return row;
    if (logs->raw && file->identity.bits != journal_identity(logs->raw).bits)
        row.why = "it is of another journal, and holds nothing of this one";
    row.next = (double)file->state.next_seq;
    row.settled = (double)file->state.settled_seq;
    if (end >= 0)
        row.behind = end > row.next ? end - row.next : 0;
    if (logs->raw && logs->readings)
        row.held = (double)(cursor_list_held(list, file, logs->raw) +
                            cursor_list_held(list, file, logs->readings));
    return row;
}

static int ls_files(const struct cli_command *command, const struct lane_verb_options *options)
{
    struct cursor_list list;
    struct lane_sinks sinks = {0};
    struct logs logs = {0};
    int result = EXIT_CODE_OK;
    int code = lane_cursors(command, options, &list);
    if (code != CLI_GO)
        return code;
    logs_open(options->data, &logs);
    if (logs.raw)
        code = lane_sinks_learn(command, options, journal_identity(logs.raw), &sinks);
    if (code == CLI_GO && !options->json && list.count)
        head_text();
    for (size_t i = 0; i < list.count && code == CLI_GO; i++) {
        struct row row = row_of_file(&list, &list.files[i], &sinks, &logs);
        row_print(&row, options->json);
        if (!list.files[i].readable)
            result = EXIT_CODE_DATA;
    }
    if (code == CLI_GO && list.count == 0 && !options->json)
        printf("no cursors in %s/cursors\n", options->data);
    if (code == CLI_GO && list.count && !sinks.known && !options->json)
        printf("used: not known; tell with --config FILE, or --admin of the running gateway\n");
    journal_close(logs.raw);
    journal_close(logs.readings);
    lane_sinks_fini(&sinks);
    cursor_list_fini(&list);
    return code == CLI_GO ? result : code;
}

/* ---- from a running gateway ---- */

static double known_number(const struct yaml_node *object, const char *key)
{
    return answer_member(object, key) ? answer_number(object, key) : -1;
}

static void list_print(const struct yaml_node *list, int used, bool json)
{
    if (list == NULL || list->kind != YAML_SEQUENCE)
        return;
    YAML_EACH(entry, list)
    {
        struct row row = {
            .name = answer_text(entry, "name"),
            .used = used,
            .next = known_number(entry, "next_seq"),
            .settled = known_number(entry, "settled_seq"),
            .behind = known_number(entry, "lag_messages"),
            .missed = known_number(entry, "parked_messages"),
            .held = known_number(entry, "held_bytes"),
            .saved_ms = -1,
            .why = used ? "" : answer_text(entry, "why"), /* of a lane it is the sink's */
        };
        row_print(&row, json);
    }
}

static int ls_gateway(const struct cli_command *command, const struct lane_verb_options *options)
{
    struct http *http = http_new(options->admin);
    struct answer answer = {0};
    struct err err;
    int rc = answer_get(http, &answer, &err);
    int code = EXIT_CODE_OK;
    if (rc) {
        code = cli_fail(command->name, http_exit_code(rc), "%s", err.text);
    } else {
        if (!options->json)
            head_text();
        list_print(answer_member(answer.yaml.root, "lanes"), 1, options->json);
        list_print(answer_member(answer.yaml.root, "orphan_cursors"), 0, options->json);
    }
    answer_fini(&answer);
    http_free(http);
    return code;
}

int lane_ls(const struct cli_command *command, const struct lane_verb_options *options)
{
    if (options->data)
        return ls_files(command, options);
    if (options->admin)
        return ls_gateway(command, options);
    return cli_fail(command->name, EXIT_CODE_USAGE, "needs --data DIR, or --admin HOST:PORT");
}
