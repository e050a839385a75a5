/* SPDX-License-Identifier: Apache-2.0
 *
 * The option rows of a kafka sink, and what cannot be right in them. conf.c makes librdkafka's
 * configuration of them.
 */
#include "sinks/kafka/options.h"

static const char *const delivery_names[] = {"at_least_once", "exactly_once", NULL};
static const char *const framing_names[] = {"raw", "confluent", NULL};
static const char *const compression_names[] = {"none", "gzip", "snappy", "lz4", "zstd", NULL};
static const char *const mechanism_names[] = {"none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512",
                                              NULL};

enum {
    QUEUED_MESSAGE_BYTES = 240, /* measured: a queued message of 60 bytes */
    ID_MAX = INT32_MAX,
};

#define MEMBER(name) offsetof(struct kafka_sink_options, name)

const struct option kafka_option_rows[] = {
    {
        .name = "brokers",
        .type = OPTION_STRING,
        .offset = MEMBER(brokers),
        .help = "HOST:PORT of one or more brokers, joined by commas; the others are found through "
                "these.",
    },
    {
        .name = "delivery",
        .type = OPTION_ENUM,
        .offset = MEMBER(delivery),
        .def = "at_least_once",
        .names = delivery_names,
        .help =
            "at_least_once: a record may stand twice after a crash. exactly_once: transactions; "
            "consumers must read with isolation.level=read_committed.",
    },
    {
        .name = "topic_readings",
        .type = OPTION_STRING,
        .offset = MEMBER(topic_readings),
        .def = "water.reading.v1",
        .help = "Topic of all readings; empty: none.",
    },
    {
        .name = "topic_events",
        .type = OPTION_STRING,
        .offset = MEMBER(topic_events),
        .def = "water.event.v1",
        .help = "Topic of the readings whose metric is an event, beside the first; empty: none.",
    },
    {
        .name = "topic_deadletters",
        .type = OPTION_STRING,
        .offset = MEMBER(topic_deadletters),
        .def = "water.deadletter.v1",
        .help = "Topic of the messages that gave no reading, as they came; empty: none.",
    },
    {
        .name = "topic_position",
        .type = OPTION_STRING,
        .offset = MEMBER(topic_position),
        .def = "tidegate.position.v1",
        .help = "exactly_once: compacted topic that holds how far this gateway has come.",
    },
    {
        .name = "position_new",
        .type = OPTION_BOOL,
        .offset = MEMBER(position_new),
        .def = "false",
        .help = "exactly_once: begin at the lane's own cursor when the position topic knows "
                "nothing of this gateway, although something was sent before. Readings may then "
                "stand twice.",
    },
    {
        .name = "create_topics",
        .type = OPTION_BOOL,
        .offset = MEMBER(create_topics),
        .def = "false",
        .help = "Create topics that are missing.",
    },
    {
        .name = "create_partitions",
        .type = OPTION_INT,
        .offset = MEMBER(create_partitions),
        .def = "6",
        .min = 1,
        .max = 10000,
        .help = "Partitions of a topic that is created (the position topic has one).",
    },
    {
        .name = "create_replication",
        .type = OPTION_INT,
        .offset = MEMBER(create_replication),
        .def = "-1",
        .min = -1,
        .max = 100,
        .help = "Replicas of a topic that is created; -1: as the brokers do by default.",
    },
    {
        .name = "framing",
        .type = OPTION_ENUM,
        .offset = MEMBER(framing),
        .def = "raw",
        .names = framing_names,
        .help =
            "raw: the protobuf message alone; confluent: with the five bytes and the index that "
            "deserializers of a schema registry expect.",
    },
    {
        .name = "schema_id_readings",
        .type = OPTION_INT,
        .offset = MEMBER(schema_id_readings),
        .def = "0",
        .max = ID_MAX,
        .help = "Framing confluent: id that the registry gave to the schema of the readings.",
    },
    {
        .name = "schema_id_events",
        .type = OPTION_INT,
        .offset = MEMBER(schema_id_events),
        .def = "0",
        .max = ID_MAX,
        .help = "The same for the events; 0: as of the readings.",
    },
    {
        .name = "linger",
        .type = OPTION_DURATION,
        .offset = MEMBER(linger_ms),
        .def = "100ms",
        .max = 60000,
        .help = "A record waits at most so long for others of its partition: larger batches cost "
                "less, here and at the brokers.",
    },
    {
        .name = "compression",
        .type = OPTION_ENUM,
        .offset = MEMBER(compression),
        .def = "zstd",
        .names = compression_names,
        .help = "Compression of batches.",
    },
    {
        .name = "memory",
        .type = OPTION_SIZE,
        .offset = MEMBER(memory_bytes),
        .def = "64MiB",
        .min = 1 << 20,
        .max = INT64_C(1) << 40,
        .help = "Memory for records that the brokers have not confirmed, about.",
    },
    {
        .name = "unit_rows",
        .type = OPTION_INT,
        .offset = MEMBER(unit_rows),
        .def = "0",
        .max = 10 * 1000 * 1000,
        .help = "Readings in one unit, at most; 0: 20,000, or 100,000 in a transaction.",
    },
    {
        .name = "flush_age",
        .type = OPTION_DURATION,
        .offset = MEMBER(unit_age_ms),
        .def = "0ms",
        .max = 3600 * 1000,
        .help = "A reading waits at most so long for others before its unit is closed; 0: 100 ms, "
                "or 500 ms for a transaction.",
    },
    {
        .name = "units",
        .type = OPTION_INT,
        .offset = MEMBER(units),
        .def = "8",
        .min = 1,
        .max = 8,
        .help = "Units that may wait for the brokers at once; exactly_once has one.",
    },
    {
        .name = "transaction_timeout",
        .type = OPTION_DURATION,
        .offset = MEMBER(transaction_timeout_ms),
        .def = "60s",
        .min = 10 * 1000,
        .max = 900 * 1000,
        .help = "exactly_once: the brokers abort a transaction that is open for longer.",
    },
    {
        .name = "client_id",
        .type = OPTION_STRING,
        .offset = MEMBER(client_id),
        .help = "Name in the brokers' logs and quotas; default: tidegate-<identity>-<name of the "
                "sink>.",
    },
    {
        .name = "tls",
        .type = OPTION_BOOL,
        .offset = MEMBER(tls),
        .def = "false",
        .help = "Talk TLS to the brokers; their certificates and host names are verified.",
    },
    {
        .name = "tls_ca_file",
        .type = OPTION_PATH,
        .offset = MEMBER(tls_ca_file),
        .help = "Certificates (PEM) that the brokers' are signed with; default: the system's.",
    },
    {
        .name = "tls_certificate_file",
        .type = OPTION_PATH,
        .offset = MEMBER(tls_certificate_file),
        .help = "Our certificate (PEM), where brokers ask for one.",
    },
    {
        .name = "tls_key_file",
        .type = OPTION_PATH,
        .offset = MEMBER(tls_key_file),
        .help = "The key of our certificate (PEM).",
    },
    {
        .name = "tls_key_password_file",
        .type = OPTION_PATH,
        .offset = MEMBER(tls_key_password_file),
        .help = "File with the password of that key, where it has one.",
    },
    {
        .name = "sasl_mechanism",
        .type = OPTION_ENUM,
        .offset = MEMBER(sasl_mechanism),
        .def = "none",
        .names = mechanism_names,
        .help = "How to sign in.",
    },
    {
        .name = "sasl_user",
        .type = OPTION_STRING,
        .offset = MEMBER(sasl_user),
        .help = "Name to sign in with.",
    },
    {
        .name = "sasl_password_file",
        .type = OPTION_PATH,
        .offset = MEMBER(sasl_password_file),
        .help = "File with the password; a line end behind it does not count.",
    },
    {
        .name = "properties",
        .type = OPTION_MAP,
        .offset = MEMBER(properties),
        .help = "Further properties of librdkafka by their own names; they win over the options "
                "above. Those that would break what this sink promises are refused.",
    },
    {0},
};

static bool given(const char *text)
{
    return text && text[0] != '\0';
}

static int sasl_check(const struct kafka_sink_options *options, struct err *err)
{
    if (options->sasl_mechanism == 0 &&
        (given(options->sasl_user) || given(options->sasl_password_file)))
        return err_set(err, GW_EINVAL,
                       "`sasl_user` and `sasl_password_file` need a `sasl_mechanism`");
    if (options->sasl_mechanism != 0 &&
        (!given(options->sasl_user) || !given(options->sasl_password_file)))
        return err_set(err, GW_EINVAL,
                       "`sasl_mechanism` needs `sasl_user` and `sasl_password_file`");
    return 0;
}

static int topics_check(const struct kafka_sink_options *options, struct err *err)
{
    const char *topics[] = {options->topic_readings, options->topic_events,
                            options->topic_deadletters,
                            options->delivery == KAFKA_EXACTLY_ONCE ? options->topic_position : ""};
    bool any = given(topics[0]) || given(topics[1]) || given(topics[2]);
    if (!any)
        return err_set(err, GW_EINVAL, "no topic is named: there is nothing to send");
    for (size_t i = 0; i < array_count(topics); i++)
        for (size_t j = i + 1; j < array_count(topics); j++)
            if (given(topics[i]) && given(topics[j]) && strcmp(topics[i], topics[j]) == 0)
                return err_set(err, GW_EINVAL, "topic \"%s\" is named twice", topics[i]);
    if (options->delivery == KAFKA_EXACTLY_ONCE && !given(options->topic_position))
        return err_set(err, GW_EINVAL, "exactly_once needs a `topic_position`");
    return 0;
}

int kafka_options_check(const struct kafka_sink_options *options, struct err *err)
{
    if (!given(options->brokers))
        return err_set(err, GW_EINVAL, "`brokers` is missing: HOST:PORT, several joined by commas");
    int rc = topics_check(options, err);
    if (rc == 0)
        rc = sasl_check(options, err);
    if (rc)
        return rc;
    if (options->framing == KAFKA_FRAMING_CONFLUENT && options->schema_id_readings == 0)
        return err_set(err, GW_EINVAL,
                       "framing confluent needs `schema_id_readings`: register "
                       "codecs/reading/reading.proto and give the id that the registry answers");
    if (!options->tls && (given(options->tls_ca_file) || given(options->tls_certificate_file) ||
                          given(options->tls_key_file)))
        return err_set(err, GW_EINVAL, "`tls_...` is given, and `tls: true` is not");
    if (given(options->tls_certificate_file) != given(options->tls_key_file))
        return err_set(err, GW_EINVAL, "`tls_certificate_file` and `tls_key_file` belong together");
    return 0;
}

uint32_t kafka_queue_messages(const struct kafka_sink_options *options)
{
    uint64_t messages = options->memory_bytes / QUEUED_MESSAGE_BYTES;
    if (messages < 1000)
        messages = 1000;
    return messages > 10000000 ? 10000000 : (uint32_t)messages;
}
