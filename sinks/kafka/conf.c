/* SPDX-License-Identifier: Apache-2.0
 *
 * Options -> librdkafka's configuration: what this sink depends on, then the operator's options, then
 * `properties`, but for those that would break a promise. Separate from the rows because it knows
 * librdkafka's names. The lane's thread, or its helper.
 */
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/options.h"

enum { SECRET_MAX = 64 * 1024 };

/* What properties may not say, and why. */
static const struct {
    const char *name;
    const char *reason;
} refused[] = {
    {"bootstrap.servers", "use the option `brokers`"},
    {"metadata.broker.list", "use the option `brokers`"},
    {"message.timeout.ms", "records are never given up: a limit would lose their order"},
    {"delivery.timeout.ms", "records are never given up: a limit would lose their order"},
    {"retries", "records are never given up: a limit would lose their order"},
    {"message.send.max.retries", "records are never given up: a limit would lose their order"},
    {"transactional.id", "it follows from the journal's identity and the sink's name"},
    {"transaction.timeout.ms", "use the option `transaction_timeout`"},
    {"partitioner", "records of a device must stay in the partition where consumers expect them"},
    {"partitioner_cb",
     "records of a device must stay in the partition where consumers expect them"},
    {"delivery.report.only.error", "a unit is stored when the report of each record has come"},
    {"enabled_events", "the sink itself takes events"},
    {"sasl.password", "secrets come from files: use `sasl_password_file`"},
    {"sasl.oauthbearer.client.secret", "secrets come from files only"},
    {"ssl.key.password", "secrets come from files: use `tls_key_password_file`"},
    {"ssl.key.pem", "secrets come from files: use `tls_key_file`"},
    {"ssl.keystore.password", "secrets come from files only"},
    {"sasl.oauthbearer.config", "secrets come from files only"},
    {"isolation.level", "the position is read committed"},
    {"enable.auto.commit", "there is no consumer group"},
    {"group.id", "there is no consumer group"},
};

static int refused_check(const char *name, const char *value, struct err *err)
{
    const char *reason = NULL;
    for (size_t i = 0; i < array_count(refused); i++)
        if (strcmp(name, refused[i].name) == 0)
            reason = refused[i].reason;
    if (strcmp(name, "enable.idempotence") == 0 && strcmp(value, "true") != 0)
        reason = "without it a record may stand twice or out of order after a lost answer";
    if ((strcmp(name, "acks") == 0 || strcmp(name, "request.required.acks") == 0) &&
        strcmp(value, "all") != 0 && strcmp(value, "-1") != 0)
        reason = "a record counts as stored when all replicas in sync have it";
    if (reason == NULL)
        return 0;
    if (strncmp(reason, "secrets", strlen("secrets")) == 0)
        return err_set(err, GW_EINVAL, "properties: `%s` cannot stand here: %s", name, reason);
    return err_set(err, GW_EINVAL, "properties: `%s` cannot be %s: %s", name, value, reason);
}

int kafka_properties_check(const struct kafka_sink_options *options, struct err *err)
{
    const struct option_map *map = &options->properties;
    int rc = 0;
    for (size_t i = 0; i < map->count && rc == 0; i++)
        rc = refused_check(map->keys[i], map->values[i], err);
    return rc;
}

static int set(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return 0;
    return err_set(err, GW_EINVAL, "%s: %s", name, why);
}

static int set_number(rd_kafka_conf_t *conf, const char *name, int64_t value, struct err *err)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return set(conf, name, text, err);
}

struct setting {
    const char *name, *value;
};

static int set_all(rd_kafka_conf_t *conf, const struct setting *settings, size_t count,
                   struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (settings[i].value && settings[i].value[0])
            rc = set(conf, settings[i].name, settings[i].value, err);
    return rc;
}

/* ---- files ---- */

static char *path_of(const struct sink_host *host, const char *path)
{
    if (path == NULL || path[0] == '\0')
        return NULL;
    return path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", host->data_dir, path);
}

/* The value is wiped behind us; librdkafka keeps its own copy. */
static int set_secret(rd_kafka_conf_t *conf, const char *name, const struct sink_host *host,
                      const char *option, const char *file, struct err *err)
{
    char *path = path_of(host, file);
    if (path == NULL)
        return 0;
    struct buffer secret = {0};
    int rc = disk_read_named(host->disk, path, SECRET_MAX, &secret);
    if (rc) {
        err_set(err, GW_EINVAL, "`%s`: %s cannot be read", option, path);
        goto out;
    }
    while (secret.size &&
           (secret.data[secret.size - 1] == '\n' || secret.data[secret.size - 1] == '\r'))
        secret.size--;
    buffer_u8(&secret, '\0');
    char why[256];
    if (rd_kafka_conf_set(conf, name, (const char *)secret.data, why, sizeof why))
        /* Its own text could repeat the value. */
        rc = err_set(err, GW_EINVAL, "`%s`: %s holds no usable secret", option, path);
    explicit_bzero(secret.data, secret.size);
out:
    buffer_fini(&secret);
    free(path);
    return rc ? GW_EINVAL : 0;
}

static int set_path(rd_kafka_conf_t *conf, const char *name, const struct sink_host *host,
                    const char *option, const char *file, struct err *err)
{
    char *path = path_of(host, file);
    if (path == NULL)
        return 0;
    int rc = set(conf, name, path, err);
    free(path);
    return rc ? err_wrap(err, rc, "`%s`", option) : 0;
}

/* ---- parts ---- */

static int set_security(rd_kafka_conf_t *conf, const struct kafka_sink_options *options,
                        const struct sink_host *host, struct err *err)
{
    static const char *const mechanisms[] = {NULL, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};
    static const char *const protocols[2][2] = {{NULL, "sasl_plaintext"}, {"ssl", "sasl_ssl"}};
    bool sasl = options->sasl_mechanism != 0;
    const struct setting settings[] = {
        {"security.protocol", protocols[options->tls][sasl]},
        {"sasl.mechanisms", mechanisms[options->sasl_mechanism]},
        {"sasl.username", sasl ? options->sasl_user : NULL},
        {"ssl.endpoint.identification.algorithm", options->tls ? "https" : NULL},
    };
    int rc = set_all(conf, settings, array_count(settings), err);
    if (rc == 0)
        rc = set_path(conf, "ssl.ca.location", host, "tls_ca_file", options->tls_ca_file, err);
    if (rc == 0)
        rc = set_path(conf, "ssl.certificate.location", host, "tls_certificate_file",
                      options->tls_certificate_file, err);
    if (rc == 0)
        rc = set_path(conf, "ssl.key.location", host, "tls_key_file", options->tls_key_file, err);
    if (rc == 0)
        rc = set_secret(conf, "ssl.key.password", host, "tls_key_password_file",
                        options->tls_key_password_file, err);
    if (rc == 0)
        rc = set_secret(conf, "sasl.password", host, "sasl_password_file",
                        sasl ? options->sasl_password_file : NULL, err);
    return rc;
}

static int set_common(rd_kafka_conf_t *conf, const struct kafka_sink_options *options,
                      const struct sink_host *host, struct err *err)
{
    char identity[IDENTITY_TEXT_SIZE];
    char *client =
        options->client_id && options->client_id[0]
            ? mem_strdup(options->client_id)
            : mem_printf("tidegate-%s-%s", identity_format(host->identity, identity), host->name);
    const struct setting settings[] = {
        {"bootstrap.servers", options->brokers},
        {"client.id", client},
        {"reconnect.backoff.ms", "100"},
        /* The default of 10 s is what a recovered broker would wait for. */
        {"reconnect.backoff.max.ms", "1000"},
        {"socket.keepalive.enable", "true"},
        /* Idle connections are closed by brokers; that is no news. */
        {"log.connection.close", "false"},
    };
    int rc = set_all(conf, settings, array_count(settings), err);
    free(client);
    return rc ? rc : set_security(conf, options, host, err);
}

static int set_properties(rd_kafka_conf_t *conf, const struct kafka_sink_options *options,
                          struct err *err)
{
    const struct option_map *map = &options->properties;
    int refused_rc = kafka_properties_check(options, err);
    if (refused_rc)
        return refused_rc;
    for (size_t i = 0; i < map->count; i++) {
        int rc = set(conf, map->keys[i], map->values[i], err);
        if (rc)
            return err_wrap(err, rc, "properties");
    }
    return 0;
}

static int finish(rd_kafka_conf_t *conf, int rc, rd_kafka_conf_t **out)
{
    if (rc)
        rd_kafka_conf_destroy(conf);
    *out = rc ? NULL : conf;
    return rc;
}

char *kafka_transactional_id(const struct kafka_sink_options *options, const struct sink_host *host)
{
    char identity[IDENTITY_TEXT_SIZE];
    return options->delivery == KAFKA_EXACTLY_ONCE
               ? mem_printf("tidegate-%s-%s", identity_format(host->identity, identity), host->name)
               : NULL;
}

int kafka_conf_producer(const struct kafka_sink_options *options, const struct sink_host *host,
                        const char *transactional_id, rd_kafka_conf_t **out, struct err *err)
{
    static const char *const compressions[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    const struct setting settings[] = {
        {"enable.idempotence", "true"},
        {"acks", "all"},
        /* As Java's and Flink's default, so that streams of other programs join ours. */
        {"partitioner", "murmur2_random"},
        {"compression.codec", compressions[options->compression]},
        /* In a transaction librdkafka takes the transaction's own limit. */
        {"message.timeout.ms", transactional_id ? NULL : "0"},
        {"transactional.id", transactional_id},
        /* For the end of the position topic, which others' transactions must not hide. */
        {"isolation.level", transactional_id ? "read_uncommitted" : NULL},
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int rc = set_common(conf, options, host, err);
    if (rc == 0)
        rc = set_all(conf, settings, array_count(settings), err);
    if (rc == 0)
        rc = set_number(conf, "linger.ms", options->linger_ms, err);
    if (rc == 0)
        rc = set_number(conf, "queue.buffering.max.messages", kafka_queue_messages(options), err);
    if (rc == 0) {
        uint64_t kilobytes = options->memory_bytes / 1024;
        rc = set_number(conf, "queue.buffering.max.kbytes",
                        kilobytes > INT32_MAX ? INT32_MAX : (int64_t)kilobytes, err);
    }
    if (rc == 0 && transactional_id)
        rc = set_number(conf, "transaction.timeout.ms", options->transaction_timeout_ms, err);
    if (rc == 0)
        rc = set_properties(conf, options, err);
    return finish(conf, rc, out);
}

int kafka_conf_reader(const struct kafka_sink_options *options, const struct sink_host *host,
                      rd_kafka_conf_t **out, struct err *err)
{
    char identity[IDENTITY_TEXT_SIZE];
    char *group =
        mem_printf("tidegate-%s-%s", identity_format(host->identity, identity), host->name);
    const struct setting settings[] = {
        {"group.id", group}, /* asked for by the library, never joined */
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"isolation.level", "read_committed"},
        {"enable.partition.eof", "true"},
        {"auto.offset.reset", "error"},
        {"fetch.wait.max.ms", "50"},
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int rc = set_common(conf, options, host, err);
    if (rc == 0)
        rc = set_properties(conf, options, err);
    if (rc == 0)
        rc = set_all(conf, settings, array_count(settings), err);
    free(group);
    return finish(conf, rc, out);
}
