/* SPDX-License-Identifier: Apache-2.0
 *
 * Metadata of a topic before anything is sent to it: the library would take records for a topic that
 * does not exist, fail them after half a minute, and keep the error. Worker's thread.
 */
#include "sinks/kafka/topics.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum { ASK_AGAIN_MS = 200 };

enum sink_reason reason_of_error(rd_kafka_resp_err_t error)
{
    switch (error) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE: return SINK_REASON_UNREACHABLE;
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT: return SINK_REASON_TIMEOUT;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
    case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
    case RD_KAFKA_RESP_ERR_SECURITY_DISABLED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL: return SINK_REASON_DENIED;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION: return SINK_REASON_SCHEMA;
    /* Also what a transaction gets that the brokers ended for its age. Who else writes in our name
     * shows in the position topic. */
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
    case RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER:
    case RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING:
    case RD_KAFKA_RESP_ERR__STATE: return SINK_REASON_RESTART;
    case RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED: return SINK_REASON_BUSY;
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR: return SINK_REASON_UNAVAILABLE;
    default: return SINK_REASON_OTHER;
    }
}

static void say_missing(struct topic_answer *answer, const char *name,
                        const struct kafka_sink_options *options)
{
    answer->reason = SINK_REASON_SCHEMA;
    err_set(&answer->err, GW_ENOENT,
            "topic \"%s\" does not exist. Create it: kafka-topics.sh --bootstrap-server %s "
            "--create --topic %s --partitions %lld, or set `create_topics: true`",
            name, options->brokers, name, (long long)options->create_partitions);
}

static void say_error(struct topic_answer *answer, const char *name, rd_kafka_resp_err_t error)
{
    answer->reason = reason_of_error(error);
    if (error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        err_set(&answer->err, GW_EIO,
                "topic \"%s\": the brokers deny it to us: allow Write and Describe on it", name);
    else
        err_set(&answer->err, GW_EIO, "topic \"%s\": %s", name, rd_kafka_err2str(error));
}

/* One question. */
static rd_kafka_resp_err_t ask_once(rd_kafka_t *handle, rd_kafka_topic_t *topic, int timeout_ms,
                                    int32_t *partitions)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t error = rd_kafka_metadata(handle, 0, topic, &metadata, timeout_ms);
    if (error)
        return error;
    error = RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    *partitions = 0;
    if (metadata->topic_cnt == 1) {
        error = metadata->topics[0].err;
        *partitions = metadata->topics[0].partition_cnt;
    }
    rd_kafka_metadata_destroy(metadata);
    /* Partitions without a leader for the moment are known all the same. */
    if (*partitions > 0)
        return 0;
    return error ? error : RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
}

static bool is_missing(rd_kafka_resp_err_t error)
{
    return error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
           error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
}

/* ---- creating ---- */

static void create_failed(struct topic_answer *answer, const char *name, rd_kafka_resp_err_t error,
                          const char *why)
{
    answer->reason = reason_of_error(error);
    if (answer->reason == SINK_REASON_OTHER)
        answer->reason = SINK_REASON_SCHEMA;
    err_set(&answer->err, GW_EIO, "topic \"%s\" cannot be created: %s", name,
            why ? why : rd_kafka_err2str(error));
}

static bool created(rd_kafka_event_t *event, const char *name, struct topic_answer *answer)
{
    rd_kafka_resp_err_t error = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    const char *why = event && error ? rd_kafka_event_error_string(event) : NULL;
    if (error == 0) {
        size_t count;
        const rd_kafka_topic_result_t **topics =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
        error = count ? rd_kafka_topic_result_error(topics[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
        why = error && count ? rd_kafka_topic_result_error_string(topics[0]) : NULL;
    }
    if (error == 0 || error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
        log_event(LOG_INFO, "kafka_topic_created", "topic=%s", name);
        return true;
    }
    create_failed(answer, name, error, why);
    return false;
}

static bool create(rd_kafka_t *handle, const struct topic_wish *wish,
                   const struct kafka_sink_options *options, int timeout_ms,
                   struct topic_answer *answer)
{
    char why[256];
    const char *name = rd_kafka_topic_name(wish->topic);
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(name, wish->compacted ? 1 : (int)options->create_partitions,
                              (int)options->create_replication, why, sizeof why);
    if (topic == NULL) {
        create_failed(answer, name, RD_KAFKA_RESP_ERR__INVALID_ARG, why);
        return false;
    }
    if (wish->compacted)
        rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "compact");
    rd_kafka_AdminOptions_t *admin =
        rd_kafka_AdminOptions_new(handle, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_AdminOptions_set_request_timeout(admin, timeout_ms, why, sizeof why);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(handle);
    rd_kafka_CreateTopics(handle, &topic, 1, admin, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms + 500);
    bool done = created(event, name, answer);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(admin);
    rd_kafka_NewTopic_destroy(topic);
    return done;
}

void topic_ask(rd_kafka_t *handle, const struct topic_wish *wish,
               const struct kafka_sink_options *options, int timeout_ms,
               struct topic_answer *answer)
{
    int64_t until = clock_monotonic_ms() + timeout_ms;
    const char *name = rd_kafka_topic_name(wish->topic);
    bool tried = false;
    *answer = (struct topic_answer){0};
    for (;;) {
        int64_t left = until - clock_monotonic_ms();
        rd_kafka_resp_err_t error =
            ask_once(handle, wish->topic, left > 1 ? (int)left : 1, &answer->partitions);
        if (error == 0)
            return;
        answer->partitions = 0;
        if (is_missing(error))
            say_missing(answer, name, options);
        else
            say_error(answer, name, error);
        /* A topic that is being created is missing for a moment. */
        bool wait = is_missing(error) || error == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
        if (is_missing(error) && options->create_topics && !tried) {
            tried = true;
            if (!create(handle, wish, options, timeout_ms, answer))
                return;
            until = clock_monotonic_ms() + timeout_ms;
        }
        if (!wait || clock_monotonic_ms() + ASK_AGAIN_MS >= until)
            return;
        usleep(ASK_AGAIN_MS * 1000);
    }
}
