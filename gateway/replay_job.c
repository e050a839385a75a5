/* SPDX-License-Identifier: Apache-2.0
 *
 * The form of a job file: a table of fields, a line each. Separate from replay.c, which runs jobs
 * and knows nothing of their form.
 */
#include "replay_job.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "sources/mqtt/text.h"

enum { JOB_VERSION = 1, JOB_BYTES_MAX = 256 << 10, WORD_BYTES_MAX = 4096 };

#define JOB_HEAD "tidegate-replay "
/* No other line begins so: a file that is cut short must not look whole. */
#define JOB_END    "whole"
#define JOB_SUFFIX ".replay"

static const char *const source_names[] = {"readings", "again", "letters"};
static const char *const state_names[] = {"running", "stopped", "done", "failed"};

const char *replay_source_name(enum replay_source source)
{
    return source_names[source];
}

const char *replay_state_name(enum replay_state state)
{
    return state_names[state];
}

void replay_request_fini(struct replay_request *request)
{
    free(request->sink);
    free(request->vendor);
    free(request->device);
    free(request->topic);
    free(request->reason);
    *request = (struct replay_request){0};
}

void replay_job_fini(struct replay_job *job)
{
    replay_request_fini(&job->request);
    buffer_fini(&job->examples);
    *job = (struct replay_job){0};
}

static char *copy_text(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

void replay_request_copy(struct replay_request *to, const struct replay_request *from)
{
    *to = *from;
    to->sink = copy_text(from->sink);
    to->vendor = copy_text(from->vendor);
    to->device = copy_text(from->device);
    to->topic = copy_text(from->topic);
    to->reason = copy_text(from->reason);
}

/* ---- what may be asked for ---- */

static int word_check(const char *name, const char *word, struct err *err)
{
    if (word == NULL)
        return 0;
    size_t size = strlen(word);
    if (size == 0 || size > WORD_BYTES_MAX)
        return err_set(err, GW_EINVAL, "%s must have 1 to %d bytes", name, WORD_BYTES_MAX);
    /* A line of the job file is a fact. */
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)word[i] < 0x20 || word[i] == 0x7f)
            return err_set(err, GW_EINVAL, "%s holds a control character", name);
    return 0;
}

static int words_check(const struct replay_request *request, struct err *err)
{
    int rc = word_check("sink", request->sink, err);
    if (rc == 0)
        rc = word_check("vendor", request->vendor, err);
    if (rc == 0)
        rc = word_check("device", request->device, err);
    if (rc == 0)
        rc = word_check("topic", request->topic, err);
    if (rc == 0)
        rc = word_check("reason", request->reason, err);
    return rc;
}

int replay_request_check(const struct replay_request *request, struct err *err)
{
    struct replay_status *status;
    bool shared = false;
    if ((unsigned)request->source >= array_count(source_names))
        return err_set(err, GW_EINVAL, "unknown source of a replay");
    int rc = words_check(request, err);
    if (rc)
        return rc;
    if (request->sink == NULL && !request->dry_run)
        return err_set(err, GW_EINVAL, "name the sink that gets it, or make it a dry run");
    if (request->sink && strlen(request->sink) >= sizeof status->sink)
        return err_set(err, GW_EINVAL, "no sink has a name that long");
    if (request->from_ms >= request->to_ms)
        return err_set(err, GW_EINVAL, "the span is empty: `from` must lie before `to`");
    if (request->rate < 0)
        return err_set(err, GW_EINVAL, "rate must not be negative");
    if (request->reason && request->source != REPLAY_LETTERS)
        return err_set(err, GW_EINVAL, "only dead letters have a reason");
    if (request->topic && (!filter_valid(bytes_text(request->topic), &shared) || shared))
        return err_set(err, GW_EINVAL, "\"%s\" is no MQTT topic filter", request->topic);
    return 0;
}

/* ---- fields ---- */

enum field_kind {
    FIELD_NUMBER, /* uint64_t */
    FIELD_RATE,   /* int64_t */
    FIELD_TIME,   /* int64_t, RFC 3339; 0 stands for none and is not written */
    FIELD_FLAG,
    FIELD_SOURCE,
    FIELD_STATE,
    FIELD_WORD,    /* char *, not written when null */
    FIELD_ID,      /* char[REPLAY_ID_SIZE] */
    FIELD_GATEWAY, /* char[IDENTITY_TEXT_SIZE] */
    FIELD_WHY,     /* char[200], not written when empty */
};

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;
};

#define REQUEST(member) offsetof(struct replay_job, request.member)
#define STATUS(member)  offsetof(struct replay_job, status.member)

static const struct field fields[] = {
    {"id", FIELD_ID, STATUS(id)},
    {"gateway", FIELD_GATEWAY, offsetof(struct replay_job, gateway)},
    {"state", FIELD_STATE, STATUS(state)},
    {"why", FIELD_WHY, STATUS(why)},
    {"source", FIELD_SOURCE, REQUEST(source)},
    {"sink", FIELD_WORD, REQUEST(sink)},
    {"from", FIELD_TIME, REQUEST(from_ms)},
    {"to", FIELD_TIME, REQUEST(to_ms)},
    {"vendor", FIELD_WORD, REQUEST(vendor)},
    {"device", FIELD_WORD, REQUEST(device)},
    {"topic", FIELD_WORD, REQUEST(topic)},
    {"reason", FIELD_WORD, REQUEST(reason)},
    {"rate", FIELD_RATE, REQUEST(rate)},
    {"dry_run", FIELD_FLAG, REQUEST(dry_run)},
    {"started", FIELD_TIME, STATUS(started_ms)},
    {"ended", FIELD_TIME, STATUS(ended_ms)},
    {"first_seq", FIELD_NUMBER, STATUS(first_seq)},
    {"last_seq", FIELD_NUMBER, STATUS(last_seq)},
    {"next_seq", FIELD_NUMBER, STATUS(next_seq)},
    {"messages", FIELD_NUMBER, STATUS(messages)},
    {"readings", FIELD_NUMBER, STATUS(readings)},
    {"withdrawn", FIELD_NUMBER, STATUS(withdrawn)},
    {"changed", FIELD_NUMBER, STATUS(changed)},
    {"damaged", FIELD_NUMBER, STATUS(damaged)},
    {"failed", FIELD_NUMBER, STATUS(failed)},
};

/* ---- writing ---- */

/* A span may reach to the end of time; years of five digits have no RFC 3339 text. */
static void time_encode(const char *name, int64_t ms, struct buffer *out)
{
    buffer_printf(out, "%s %" PRId64, name, ms);
    char text[CLOCK_TEXT_SIZE];
    buffer_printf(out, " %s\n", clock_format_ms(ms, text));
}

static void why_encode(const char *name, const char *why, struct buffer *out)
{
    buffer_printf(out, "%s ", name);
    for (const char *at = why; *at; at++)
        buffer_u8(out, (uint8_t)((unsigned char)*at < 0x20 ? ' ' : *at));
    buffer_u8(out, '\n');
}

static void field_encode(const struct field *field, const struct replay_job *job,
                         struct buffer *out)
{
    const void *at = (const char *)job + field->offset;
    const char *word;
    switch (field->kind) {
    case FIELD_NUMBER:
        buffer_printf(out, "%s %" PRIu64 "\n", field->name, *(const uint64_t *)at);
        return;
    case FIELD_RATE:
        buffer_printf(out, "%s %" PRId64 "\n", field->name, *(const int64_t *)at);
        return;
    case FIELD_TIME: time_encode(field->name, *(const int64_t *)at, out); return;
    case FIELD_FLAG:
        buffer_printf(out, "%s %s\n", field->name, *(const bool *)at ? "yes" : "no");
        return;
    case FIELD_SOURCE:
        buffer_printf(out, "%s %s\n", field->name, source_names[*(const enum replay_source *)at]);
        return;
    case FIELD_STATE:
        buffer_printf(out, "%s %s\n", field->name, state_names[*(const enum replay_state *)at]);
        return;
    case FIELD_WORD:
        word = *(char *const *)at;
        if (word)
            buffer_printf(out, "%s %s\n", field->name, word);
        return;
    case FIELD_GATEWAY:
    case FIELD_ID: buffer_printf(out, "%s %s\n", field->name, (const char *)at); return;
    case FIELD_WHY:
        if (*(const char *)at)
            why_encode(field->name, at, out);
        return;
    }
}

void replay_job_encode(const struct replay_job *job, struct buffer *out)
{
    buffer_printf(out, JOB_HEAD "%d\n", JOB_VERSION);
    for (size_t i = 0; i < array_count(fields); i++)
        field_encode(&fields[i], job, out);
    struct reader lines = reader_of(buffer_bytes(&job->examples));
    while (reader_left(&lines)) {
        const uint8_t *end = memchr(lines.at, '\n', reader_left(&lines));
        size_t size = end ? (size_t)(end - lines.at) : reader_left(&lines);
        buffer_add_text(out, "example ");
        buffer_add_bytes(out, reader_bytes(&lines, size));
        buffer_u8(out, '\n');
        reader_bytes(&lines, end ? 1 : 0);
    }
    buffer_add_text(out, JOB_END "\n");
}

/* ---- reading ---- */

static bool number_decode(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static bool signed_decode(const char *text, char stop, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && (*end == '\0' || *end == stop) && errno == 0;
}

static bool name_decode(const char *text, const char *const *names, size_t count, unsigned *out)
{
    for (*out = 0; *out < count; ++*out)
        if (strcmp(text, names[*out]) == 0)
            return true;
    return false;
}

static bool text_decode(const char *text, char *out, size_t size)
{
    int length = snprintf(out, size, "%s", text);
    return length >= 0 && (size_t)length < size;
}

static bool field_decode(const struct field *field, const char *text, struct replay_job *job)
{
    void *at = (char *)job + field->offset;
    unsigned index;
    switch (field->kind) {
    case FIELD_NUMBER: return number_decode(text, at);
    case FIELD_RATE: return signed_decode(text, '\0', at);
    case FIELD_TIME: return signed_decode(text, ' ', at);
    case FIELD_FLAG:
        *(bool *)at = strcmp(text, "yes") == 0;
        return *(bool *)at || strcmp(text, "no") == 0;
    case FIELD_SOURCE:
        if (!name_decode(text, source_names, array_count(source_names), &index))
            return false;
        *(enum replay_source *)at = (enum replay_source)index;
        return true;
    case FIELD_STATE:
        if (!name_decode(text, state_names, array_count(state_names), &index))
            return false;
        *(enum replay_state *)at = (enum replay_state)index;
        return true;
    case FIELD_WORD:
        free(*(char **)at);
        *(char **)at = mem_strdup(text);
        return true;
    case FIELD_ID: return text_decode(text, at, REPLAY_ID_SIZE);
    case FIELD_GATEWAY: return text_decode(text, at, IDENTITY_TEXT_SIZE);
    case FIELD_WHY: return text_decode(text, at, sizeof job->status.why);
    }
    return false;
}

static bool line_decode(char *line, struct replay_job *job)
{
    char *value = strchr(line, ' ');
    if (value == NULL)
        return false;
    *value++ = '\0';
    if (strcmp(line, "example") == 0) {
        buffer_printf(&job->examples, "%s\n", value);
        return true;
    }
    for (size_t i = 0; i < array_count(fields); i++)
        if (strcmp(line, fields[i].name) == 0)
            return field_decode(&fields[i], value, job);
    return false;
}

static int head_decode(const char *line, struct err *err)
{
    uint64_t version;
    if (line == NULL || strncmp(line, JOB_HEAD, strlen(JOB_HEAD)) != 0 ||
        !number_decode(line + strlen(JOB_HEAD), &version))
        return err_set(err, GW_ECORRUPT, "it does not begin like a replay's file");
    if (version > JOB_VERSION)
        return err_set(err, GW_EVERSION, "version %" PRIu64 ", this program reads %d", version,
                       JOB_VERSION);
    return 0;
}

static int lines_decode(char *text, struct replay_job *job, struct err *err)
{
    char *rest = text;
    char *line = strsep(&rest, "\n");
    int rc = head_decode(line, err);
    unsigned number = 1;
    while (rc == 0 && (line = strsep(&rest, "\n"))) {
        number++;
        if (strcmp(line, JOB_END) == 0)
            return 0;
        if (!line_decode(line, job))
            rc = err_set(err, GW_ECORRUPT, "line %u is none of a replay's file", number);
    }
    return rc ? rc : err_set(err, GW_ECORRUPT, "it is cut short");
}

int replay_job_decode(struct bytes in, struct replay_job *out, struct err *err)
{
    *out = (struct replay_job){0};
    char *text = bytes_strdup(in);
    int rc = strlen(text) == in.size ? lines_decode(text, out, err)
                                     : err_set(err, GW_ECORRUPT, "it holds a zero byte");
    free(text);
    struct err why;
    if (rc == 0 && replay_request_check(&out->request, &why))
        rc = err_set(err, GW_ECORRUPT, "%s", why.text);
    if (rc) {
        replay_job_fini(out);
        return rc;
    }
    out->status.source = out->request.source;
    out->status.dry_run = out->request.dry_run;
    if (out->request.sink)
        text_decode(out->request.sink, out->status.sink, sizeof out->status.sink);
    return 0;
}

/* ---- on disk ---- */

static char *job_path(const char *dir, const char *id)
{
    return mem_printf("%s/%s" JOB_SUFFIX, dir, id);
}

bool replay_job_id(const char *name, char id[REPLAY_ID_SIZE])
{
    size_t size = strlen(name);
    if (size <= strlen(JOB_SUFFIX) || size - strlen(JOB_SUFFIX) >= REPLAY_ID_SIZE ||
        strcmp(name + size - strlen(JOB_SUFFIX), JOB_SUFFIX) != 0)
        return false;
    size -= strlen(JOB_SUFFIX);
    memcpy(id, name, size);
    id[size] = '\0';
    return strspn(id, "0123456789-") == size;
}

int replay_job_save(const struct disk *disk, const char *dir, const struct replay_job *job,
                    struct err *err)
{
    char *path = job_path(dir, job->status.id);
    struct buffer text = {0};
    replay_job_encode(job, &text);
    int rc = disk_replace_file(disk, path, buffer_bytes(&text));
    if (rc < 0)
        rc = err_set(err, rc == -ENOSPC || rc == -EDQUOT ? GW_EFULL : GW_EIO, "replay %s: %s", path,
                     strerror(-rc));
    buffer_fini(&text);
    free(path);
    return rc;
}

int replay_job_load(const struct disk *disk, const char *dir, const char *id,
                    struct replay_job *out, struct err *err)
{
    char *path = job_path(dir, id);
    struct buffer text = {0};
    int rc = disk_read_file(disk, path, JOB_BYTES_MAX, &text);
    if (rc < 0)
        rc = err_set(err, rc == -EFBIG ? GW_ECORRUPT : GW_EIO, "%s", strerror(-rc));
    else
        rc = replay_job_decode(buffer_bytes(&text), out, err);
    if (rc == 0 && strcmp(out->status.id, id) != 0) {
        replay_job_fini(out);
        rc = err_set(err, GW_ECORRUPT, "it names another replay");
    }
    if (rc)
        err_wrap(err, rc, "replay %s", path);
    buffer_fini(&text);
    free(path);
    return rc;
}

int replay_job_remove(const struct disk *disk, const char *dir, const char *id, struct err *err)
{
    char *path = job_path(dir, id);
    int rc = disk->unlink(disk, path);
    if (rc == 0 || rc == -ENOENT)
        rc = disk->sync_dir(disk, dir);
    if (rc < 0)
        rc = err_set(err, GW_EIO, "replay %s: %s", path, strerror(-rc));
    free(path);
    return rc;
}
