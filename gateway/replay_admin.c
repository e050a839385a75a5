/* SPDX-License-Identifier: Apache-2.0
 *
 * See replay_admin.h. What a request says is checked here as far as it is form (names, times, types),
 * and by the replays themselves as far as it is sense. What changes something runs under one lock,
 * which the end of the gateway takes for good before it stops the replays.
 */
#include "replay_admin.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/yaml.h"
#include "metrics.h"
#include "model/batch_json.h"
#include "parts.h"
#include "replay.h"
#include "report_lanes.h"

/* ---- listing ---- */

static const char *source_name(enum replay_source source)
{
    static const char *const names[] = {
        [REPLAY_READINGS] = "readings", [REPLAY_AGAIN] = "again", [REPLAY_LETTERS] = "letters"};
    return names[source];
}

static const char *state_name(enum replay_state state)
{
    static const char *const names[] = {[REPLAY_RUNNING] = "running",
                                        [REPLAY_STOPPED] = "stopped",
                                        [REPLAY_DONE] = "done",
                                        [REPLAY_FAILED] = "failed"};
    return names[state];
}

static uint64_t span_done(const struct replay_status *status)
{
    return status->next_seq > status->first_seq ? status->next_seq - status->first_seq : 0;
}

static double share_done(const struct replay_status *status)
{
    if (status->state == REPLAY_DONE)
        return 1;
    if (status->first_seq == 0)
        return 0;
    uint64_t span = status->last_seq - status->first_seq + 1, done = span_done(status);
    return done < span ? (double)done / (double)span : 1;
}

/* As many readings for each message as up to now, at the present rate; below 0: nobody knows. */
static double seconds_left(const struct replay_status *status)
{
    uint64_t done = span_done(status);
    if (status->state != REPLAY_RUNNING || done == 0 || status->readings == 0 ||
        status->readings_per_s <= 0)
        return -1;
    double left = (double)(status->last_seq - status->first_seq + 1 - done);
    return left * (double)status->readings / (double)done / status->readings_per_s;
}

static void time_member(const char *name, int64_t ms, struct buffer *out)
{
    char text[CLOCK_TEXT_SIZE];
    buffer_printf(out, ",\"%s\":\"%s\"", name, ms ? clock_format_ms(ms, text) : "");
}

static void replay_object(const struct replay_status *status, struct buffer *out)
{
    double left = seconds_left(status);
    buffer_printf(out, "{\"id\":\"%s\",\"state\":\"%s\",\"source\":\"%s\",\"sink\":", status->id,
                  state_name(status->state), source_name(status->source));
    json_string(bytes_text(status->sink), out);
    buffer_printf(out, ",\"dry_run\":%s", status->dry_run ? "true" : "false");
    time_member("started", status->started_ms, out);
    time_member("ended", status->ended_ms, out);
    buffer_printf(out,
                  ",\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64 ",\"next_seq\":%" PRIu64
                  ",\"messages\":%" PRIu64 ",\"readings\":%" PRIu64 ",\"withdrawn\":%" PRIu64
                  ",\"changed\":%" PRIu64 ",\"damaged\":%" PRIu64 ",\"failed\":%" PRIu64
                  ",\"share\":%.4f,\"readings_per_s\":%.1f,\"seconds_left\":",
                  status->first_seq, status->last_seq, status->next_seq, status->messages,
                  status->readings, status->withdrawn, status->changed, status->damaged,
                  status->failed, share_done(status), status->readings_per_s);
    if (left < 0)
        buffer_add_text(out, "null");
    else
        buffer_printf(out, "%.0f", left);
    buffer_add_text(out, ",\"why\":");
    json_string(bytes_text(status->why), out);
    buffer_u8(out, '}');
}

/* Which of them. */
struct wish {
    bool running;
    const char *id; /* null: any */
};

static void replay_list(struct replays *replays, const struct wish *wish, struct buffer *out)
{
    struct replay_status status;
    const char *comma = "";
    buffer_add_text(out, "\"replays\":[");
    for (size_t i = 0; replay_status(replays, i, &status); i++) {
        if ((wish->running && status.state != REPLAY_RUNNING) ||
            (wish->id && strcmp(wish->id, status.id) != 0))
            continue;
        buffer_add_text(out, comma);
        replay_object(&status, out);
        comma = ",";
    }
    buffer_u8(out, ']');
}

int replay_admin_list(void *arg, const struct admin_request *request, struct buffer *body)
{
    const struct gateway *gateway = arg;
    const struct wish wish = {.id = admin_argument(request, "id")};
    buffer_u8(body, '{');
    replay_list(gateway->replays, &wish, body);
    buffer_add_text(body, "}\n");
    return 200;
}

void replay_admin_status(const struct gateway *gateway, struct buffer *out)
{
    buffer_u8(out, ',');
    replay_list(gateway->replays, &(struct wish){.running = true}, out);
}

void replay_admin_metrics(const struct gateway *gateway, struct buffer *out)
{
    struct replay_status status;
    uint64_t counts[REPLAY_FAILED + 1] = {0};
    for (size_t i = 0; replay_status(gateway->replays, i, &status); i++)
        counts[status.state]++;
    metrics_head(out, "tidegate_replays", "gauge",
                 "Replays that are known, by state; what is done is forgotten beyond a hundred.");
    for (int state = REPLAY_RUNNING; state <= REPLAY_FAILED; state++)
        buffer_printf(out, "tidegate_replays{state=\"%s\"} %" PRIu64 "\n",
                      state_name((enum replay_state)state), counts[state]);
}

/* ---- answers ---- */

static int status_of(int rc)
{
    switch (rc) {
    case GW_EINVAL: return 400;
    case GW_ENOENT: return 404;
    case GW_EEXIST: return 409;
    case GW_ECLOSED: return 503;
    default: return 500;
    }
}

static int answer_error(int status, const char *text, struct buffer *body)
{
    buffer_clear(body);
    buffer_printf(body, "%s\n", text);
    return status;
}

static int answer_id(int rc, const char *id, const struct err *err, struct buffer *body)
{
    if (rc)
        return answer_error(status_of(rc), err->text, body);
    buffer_printf(body, "{\"id\":\"%s\"}\n", id);
    return 200;
}

int replay_admin_examples(void *arg, const struct admin_request *request, struct buffer *body)
{
    const struct gateway *gateway = arg;
    const char *id = admin_argument(request, "id");
    if (id && replay_examples(gateway->replays, id, body) == 0)
        return 200;
    return answer_error(404, "there is no such replay", body);
}

/* ---- beginning ---- */

struct begin_body {
    char *sink, *from, *to, *vendor, *device, *topic, *reason;
    int source;
    int64_t rate;
    bool dry_run;
};

#define AT(member) offsetof(struct begin_body, member)
static const char *const source_names[] = {"readings", "again", "letters", NULL};
static const struct option begin_rows[] = {
    {.name = "sink", .type = OPTION_STRING, .offset = AT(sink)},
    {.name = "source",
     .type = OPTION_ENUM,
     .offset = AT(source),
     .def = "readings",
     .names = source_names},
    {.name = "from", .type = OPTION_STRING, .offset = AT(from)},
    {.name = "to", .type = OPTION_STRING, .offset = AT(to)},
    {.name = "vendor", .type = OPTION_STRING, .offset = AT(vendor)},
    {.name = "device", .type = OPTION_STRING, .offset = AT(device)},
    {.name = "topic", .type = OPTION_STRING, .offset = AT(topic)},
    {.name = "reason", .type = OPTION_STRING, .offset = AT(reason)},
    {.name = "rate",
     .type = OPTION_INT,
     .offset = AT(rate),
     .def = "0",
     .min = 0,
     .max = INT64_C(1) << 40},
    {.name = "dry_run", .type = OPTION_BOOL, .offset = AT(dry_run), .def = "false"},
    {0},
};
#undef AT

static int body_parse(struct bytes text, struct begin_body *out, struct buffer *errors)
{
    struct yaml yaml;
    option_defaults(begin_rows, out);
    int rc = yaml_parse(&yaml, text, "request", errors); /* JSON is YAML */
    if (rc == 0 && !yaml_expect(&yaml, yaml.root, YAML_MAPPING, "the request"))
        rc = GW_EINVAL;
    if (rc == 0)
        rc = yaml_set_options(&yaml, yaml.root, begin_rows, out, NULL);
    yaml_fini(&yaml);
    return rc;
}

static int time_parse(const char *name, const char *text, int64_t *out, struct err *err)
{
    bool zoned = false;
    if (text == NULL)
        return err_set(err, GW_EINVAL, "the request needs \"%s\", a time", name);
    if (!clock_parse_rfc3339(bytes_text(text), out, &zoned) || !zoned)
        return err_set(err, GW_EINVAL,
                       "%s: \"%s\" is no time with a zone, like 2026-11-21T08:00:00+08:00", name,
                       text);
    return 0;
}

static int begin(struct gateway *gateway, const struct begin_body *in, char id[REPLAY_ID_SIZE],
                 struct err *err)
{
    struct replay_request request = {
        .source = (enum replay_source)in->source,
        .sink = in->sink,
        .vendor = in->vendor,
        .device = in->device,
        .topic = in->topic,
        .reason = in->reason,
        .rate = in->rate,
        .dry_run = in->dry_run,
    };
    int rc = time_parse("from", in->from, &request.from_ms, err);
    if (rc == 0)
        rc = time_parse("to", in->to, &request.to_ms, err);
    if (rc)
        return rc;
    if (in->sink && !gateway_has_sink(gateway, in->sink))
        return err_set(err, GW_ENOENT, "there is no sink \"%s\"; `tidegate status` lists them",
                       in->sink);
    return replay_begin(gateway->replays, &request, id, err);
}

/* ---- what changes something ---- */

static void audit(const struct gateway *gateway, const struct admin_request *request,
                  const char *id, const char *why)
{
    struct audit_entry entry = {.what = AUDIT_REPLAY,
                                .who = bytes_text(admin_who(request)),
                                .from = admin_from(request),
                                .object = bytes_text(id),
                                .why = why};
    audit_log_add(gateway->audit, &entry);
}

static bool control_enter(struct gateway *gateway)
{
    pthread_mutex_lock(&gateway->replay_lock);
    if (!gateway->replays_closed)
        return true;
    pthread_mutex_unlock(&gateway->replay_lock);
    return false;
}

static void control_leave(struct gateway *gateway)
{
    pthread_mutex_unlock(&gateway->replay_lock);
}

int replay_admin_begin(void *arg, const struct admin_request *request, struct buffer *body)
{
    struct gateway *gateway = arg;
    struct begin_body in = {0};
    struct buffer errors = {0};
    struct err err = {{0}};
    char id[REPLAY_ID_SIZE];
    int status;
    if (body_parse(admin_body(request), &in, &errors)) {
        buffer_add_bytes(body, buffer_bytes(&errors));
        status = 400;
    } else if (!control_enter(gateway)) {
        status = answer_error(503, "the gateway stops", body);
    } else {
        int rc = begin(gateway, &in, id, &err);
        control_leave(gateway);
        if (rc == 0)
            audit(gateway, request, id, "begun");
        status = answer_id(rc, id, &err, body);
    }
    buffer_fini(&errors);
    option_fini(begin_rows, &in);
    return status;
}

static int control(struct gateway *gateway, const struct admin_request *request,
                   int (*act)(struct replays *replays, const char *id, struct err *err),
                   const char *what, struct buffer *body)
{
    struct err err = {{0}};
    const char *id = admin_argument(request, "id");
    if (id == NULL)
        return answer_error(400, "which replay? Add ?id=", body);
    if (!control_enter(gateway))
        return answer_error(503, "the gateway stops", body);
    int rc = act(gateway->replays, id, &err);
    control_leave(gateway);
    if (rc == 0)
        audit(gateway, request, id, what);
    return answer_id(rc, id, &err, body);
}

int replay_admin_stop(void *arg, const struct admin_request *request, struct buffer *body)
{
    return control(arg, request, replay_stop, "told to stop", body);
}

int replay_admin_resume(void *arg, const struct admin_request *request, struct buffer *body)
{
    return control(arg, request, replay_resume, "resumed", body);
}

int replay_admin_forget(void *arg, const struct admin_request *request, struct buffer *body)
{
    return control(arg, request, replay_forget, "forgotten", body);
}
