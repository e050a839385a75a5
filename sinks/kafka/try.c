/* SPDX-License-Identifier: Apache-2.0
 *
 * Asks the brokers for the topics of the options, and creates none, for `tidegate doctor`: with a
 * producer of its own, which never sends. Separate from link.c, which belongs to a lane. One thread,
 * besides the library's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sinks/kafka/state.h"

enum { TRY_TOPIC_MS = 4000 };

/* The library's last word about connections: it says more than "timed out". */
struct
try {
    const struct kafka_sink_options *options;
    rd_kafka_t *handle;
    char why[300];
    enum sink_reason reason;
};

static void on_error(rd_kafka_t *handle, int error, const char *why, void *arg)
{
    struct try *try = arg;
    (void)handle;
    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && try->why[0])
        return; /* the reason came before it */
    try->reason = reason_of_error((rd_kafka_resp_err_t)error);
    snprintf(try->why, sizeof try->why, "%s", why);
}

static void on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    (void)handle;
    (void)level;
    (void)facility;
    (void)text; /* on_error hears what matters */
}

static int try_open(struct try *try, struct sink_host *host, struct err *err)
{
    char why[400];
    rd_kafka_conf_t *conf;
    int rc = kafka_conf_producer(try->options, host, NULL, &conf, err);
    if (rc)
        return rc;
    rd_kafka_conf_set_opaque(conf, try);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    try->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (try->handle)
        return 0;
    rd_kafka_conf_destroy(conf);
    return err_set(err, GW_EINVAL, "%s", why);
}

/* False: nobody answers, so that further topics need not be asked for. */
static bool try_topic(struct try *try, const char *name, bool compacted, sink_tell *tell, void *arg)
{
    char what[300], seen[64];
    struct err err;
    struct kafka_sink_options options = *try->options;
    struct topic_wish wish = {.topic = rd_kafka_topic_new(try->handle, name, NULL),
                              .compacted = compacted};
    struct topic_answer answer;
    struct sink_finding finding = {.what = what, .seen = seen};
    options.create_topics = false;
    snprintf(what, sizeof what, "topic %s", name);
    topic_ask(try->handle, &wish, &options, TRY_TOPIC_MS, &answer);
    rd_kafka_poll(try->handle, 0);
    rd_kafka_topic_destroy(wish.topic);
    snprintf(seen, sizeof seen, "partitions: %d", answer.partitions);
    if (answer.partitions == 0) {
        bool missing = answer.reason == SINK_REASON_SCHEMA;
        bool silent = answer.reason <= SINK_REASON_TIMEOUT && try->why[0];
        finding.why = silent ? try->why : answer.err.text;
        finding.reason = silent ? try->reason : answer.reason;
        if (missing && try->options->create_topics) {
            finding.why = NULL;
            finding.seen = "not there: it will be created";
        }
    } else if (compacted &&
               position_topic_check(try->handle, name, TRY_TOPIC_MS, &err) == GW_EINVAL) {
        finding.why = err.text;
        finding.reason = SINK_REASON_SCHEMA;
    }
    tell(arg, &finding);
    return answer.partitions || answer.reason == SINK_REASON_SCHEMA;
}

void kafka_try(const void *options, struct sink_host *host, sink_tell *tell, void *arg)
{
    const struct kafka_sink_options *kafka = options;
    struct try try = {.options = kafka};
    struct err err;
    if (try_open(&try, host, &err)) {
        tell(arg, &(struct sink_finding){
                      .what = kafka->brokers, .why = err.text, .reason = SINK_REASON_OPERATOR});
        return;
    }
    const char *names[] = {kafka->topic_readings, kafka->topic_events, kafka->topic_deadletters,
                           kafka->delivery == KAFKA_EXACTLY_ONCE ? kafka->topic_position : NULL};
    bool go = true;
    for (size_t i = 0; i < array_count(names) && go; i++)
        if (names[i] && names[i][0])
            go = try_topic(&try, names[i], i == TOPIC_POSITION, tell, arg);
    rd_kafka_destroy(try.handle);
}
