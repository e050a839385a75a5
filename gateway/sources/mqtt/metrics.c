/* SPDX-License-Identifier: Apache-2.0
 *
 * The listener's counters, summed over its loops: for status and as Prometheus text. Labels are words
 * of our own tables, never a name from outside. Any thread.
 */
#include "base/clock.h"
#include "sources/mqtt/hosts.h"
#include "sources/mqtt/listener_internal.h"
#include "sources/mqtt/login.h"
#include "sources/mqtt/session.h"

/* A row of counters in struct stats: one, or as many as there are labels. */
struct metric_row {
    const char *name, *type, *help;
    size_t offset;
    const char *label;         /* null: a single counter */
    const char *const *values; /* null entries are passed over */
    size_t count;
};

#define AT(member) offsetof(struct stats, member)

static const char *const qos_values[] = {"0", "1", "2"};
static const char *const version_values[] = {NULL, NULL, NULL, "3.1", "3.1.1", "5.0"};
static const char *const rejected_values[] = {[REJECTED_ACL] = "acl",
                                              [REJECTED_RESERVED_TOPIC] = "reserved_topic",
                                              [REJECTED_PAYLOAD] = "payload",
                                              [REJECTED_LEVELS] = "levels"};

static const char *const handshake_values[] = {"full", "resumed"};
static const char *const tls_values[] = {TLS_REASON_NAMES};
static const char *const foreign_values[] = {FOREIGN_NAMES};
static const char *const proxy_values[] = {PROXY_REASON_NAMES};

static const struct metric_row metric_rows[] = {
    {"tidegate_mqtt_connections", "gauge", "Connections open now.", AT(connections), NULL, NULL, 1},
    {"tidegate_mqtt_held", "gauge", "Connections not served now, by what lets nothing more in.",
     AT(held), "reason", hold_names, array_count(hold_names)},
    {"tidegate_mqtt_accepted_total", "counter", "Connections accepted.", AT(accepted), NULL, NULL,
     1},
    {"tidegate_mqtt_shed_total", "counter", "Connections closed at once, at the limit.", AT(shed),
     NULL, NULL, 1},
    {"tidegate_mqtt_connected_total", "counter", "Successful CONNECTs.", AT(connected), "protocol",
     version_values, array_count(version_values)},
    {"tidegate_mqtt_received_bytes_total", "counter", "Bytes read from connections.",
     AT(bytes_received), NULL, NULL, 1},
    {"tidegate_mqtt_messages_total", "counter",
     "PUBLISH packets taken over, acknowledged once durable.", AT(messages), "qos", qos_values,
     array_count(qos_values)},
    {"tidegate_mqtt_wills_total", "counter", "Wills published.", AT(wills), NULL, NULL, 1},
    {"tidegate_mqtt_duplicates_total", "counter", "QoS 2 PUBLISH sent again and stored once.",
     AT(duplicates), NULL, NULL, 1},
    {"tidegate_mqtt_rejected_total", "counter", "PUBLISH packets refused for good.", AT(rejected),
     "reason", rejected_values, array_count(rejected_values)},
    {"tidegate_mqtt_acks_total", "counter", "PUBACK, PUBREC and PUBCOMP sent.", AT(acks), NULL,
     NULL, 1},
    {"tidegate_mqtt_over_receive_max_total", "counter",
     "PUBLISH packets beyond the Receive Maximum that were let pass.", AT(over_receive_max), NULL,
     NULL, 1},
    {"tidegate_mqtt_commits_total", "counter", "Chunks handed to the journal.", AT(commits), NULL,
     NULL, 1},
    {"tidegate_mqtt_ticks_total", "counter", "Waits for more sockets to become ready.", AT(ticks),
     NULL, NULL, 1},
    {"tidegate_mqtt_gathers_total", "counter", "Waits for more messages in a commit.", AT(gathers),
     NULL, NULL, 1},
    {"tidegate_mqtt_sessions_dropped_total", "counter",
     "Sessions ended early because there were too many.", AT(sessions_dropped), NULL, NULL, 1},
    {"tidegate_tls_connections", "gauge", "TLS connections open now, after their handshake.",
     AT(tls_connections), NULL, NULL, 1},
    {"tidegate_tls_handshakes_waiting", "gauge", "TLS connections that wait for their turn.",
     AT(tls_waiting), NULL, NULL, 1},
    {"tidegate_tls_handshakes_total", "counter", "TLS handshakes finished, by kind.",
     AT(tls_handshakes), "kind", handshake_values, array_count(handshake_values)},
    {"tidegate_tls_refused_total", "counter", "TLS connections refused, by reason.",
     AT(tls_refused), "reason", tls_values, array_count(tls_values)},
    {"tidegate_tls_wrong_protocol_total", "counter",
     "Connections to the TLS port that spoke another protocol.", AT(tls_foreign), "protocol",
     foreign_values, array_count(foreign_values)},
    {"tidegate_mqtt_wrong_protocol_total", "counter",
     "Connections to the plain port that spoke another protocol.", AT(foreign), "protocol",
     foreign_values, array_count(foreign_values)},
    {"tidegate_mqtt_proxy_refused_total", "counter",
     "Connections of balancers (mqtt.proxy_from) whose PROXY header was refused, by reason.",
     AT(proxy_refused), "reason", proxy_values, array_count(proxy_values)},
};

static uint64_t sum(const struct listener *listener, size_t offset)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < listener->loop_count; i++) {
        const char *stats = (const char *)&listener->loops[i]->stats;
        total += stat_get((const _Atomic uint64_t *)(const void *)(stats + offset));
    }
    return total;
}

static uint64_t sum_held(const struct listener *listener)
{
    uint64_t total = 0;
    for (int i = 0; i < HOLD_KINDS; i++)
        total += sum(listener, AT(held) + (size_t)i * sizeof(_Atomic uint64_t));
    return total;
}

static void head(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_row(const struct listener *listener, const struct metric_row *row,
                    struct buffer *out)
{
    head(out, row->name, row->type, row->help);
    for (size_t i = 0; i < row->count; i++) {
        unsigned long long value = sum(listener, row->offset + i * sizeof(_Atomic uint64_t));
        if (row->label == NULL)
            buffer_printf(out, "%s %llu\n", row->name, value);
        else if (row->values[i])
            buffer_printf(out, "%s{%s=\"%s\"} %llu\n", row->name, row->label, row->values[i],
                          value);
    }
}

static void put_closed(const struct listener *listener, struct buffer *out)
{
    const char *name = "tidegate_mqtt_closed_total";
    head(out, name, "counter", "Connections ended.");
    for (int i = 0; i < CLOSE_REASONS; i++)
        buffer_printf(
            out, "%s{reason=\"%s\"} %llu\n", name, close_rows[i].word,
            (unsigned long long)sum(listener, AT(closed) + (size_t)i * sizeof(_Atomic uint64_t)));
}

/* ---- certificates ---- */

static void certificates_put(const struct listener *listener, struct buffer *out)
{
    int64_t now_ms = clock_wall_ms();
    const char *name = "tidegate_tls_expiry_seconds";
    struct listener_certificates ends;
    if (!listener_certificates(&listener->source, &ends))
        return;
    head(out, name, "gauge", "Until the first certificate or list of that file is over.");
    for (int i = 0; i < TLS_FILES; i++)
        if (ends.ends_ms[i] != INT64_MAX)
            buffer_printf(out, "%s{file=\"%s\"} %lld\n", name, tls_file_names[i],
                          (long long)((ends.ends_ms[i] - now_ms) / 1000));
}

/* ---- who comes in ---- */

static const char *const login_values[ACCESS_LOGINS] = {
    [ACCESS_LOGIN_HASHED] = "hashed",           [ACCESS_LOGIN_REMEMBERED] = "remembered",
    [ACCESS_LOGIN_CERTIFICATE] = "certificate", [ACCESS_LOGIN_ANONYMOUS] = "anonymous",
    [ACCESS_LOGIN_REFUSED] = "refused",
};

static void put_one(struct buffer *out, const char *name, const char *type, const char *help,
                    uint64_t value)
{
    head(out, name, type, help);
    buffer_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void put_logins(const struct listener *listener, struct buffer *out)
{
    const struct shared *shared = &listener->shared;
    struct access_counts counts;
    access_counts(shared->access, &counts);
    head(out, "tidegate_logins_total", "counter",
         "Logins, by how they were decided; `hashed` cost a hash, `remembered` did not.");
    for (int i = 0; i < ACCESS_LOGINS; i++)
        buffer_printf(out, "tidegate_logins_total{result=\"%s\"} %llu\n", login_values[i],
                      (unsigned long long)counts.logins[i]);
    head(out, "tidegate_lockouts_total", "counter",
         "Logins refused unseen because of wrong passwords before, by what was counted.");
    for (int i = LOCKOUT_NO + 1; i < LOCKOUT_KINDS; i++)
        buffer_printf(out, "tidegate_lockouts_total{by=\"%s\"} %llu\n", lockout_names[i],
                      (unsigned long long)counts.locked[i]);
    put_one(out, "tidegate_lockout_evicted_total", "counter",
            "Counts of wrong passwords that were forgotten early, for others.",
            counts.lockout_evicted);
    put_one(out, "tidegate_mqtt_logins_waiting", "gauge", "Passwords that wait to be checked.",
            login_pool_waiting(shared->logins));
    put_one(out, "tidegate_mqtt_logins_busy_total", "counter",
            "Logins that found no room to wait, or lost it.", login_pool_busy(shared->logins));
    put_one(out, "tidegate_mqtt_unnamed", "gauge", "Connections open now that have not logged in.",
            atomic_load(&shared->unnamed));
    put_one(out, "tidegate_mqtt_addresses", "gauge",
            "Addresses with a connection now; counted while a limit by address is set.",
            shared->hosts ? hosts_count(shared->hosts) : 0);
}

/* ---- all of it ---- */

void listener_metrics(struct source *source, struct buffer *out)
{
    const struct listener *listener = (const struct listener *)source;
    for (size_t i = 0; i < array_count(metric_rows); i++)
        put_row(listener, &metric_rows[i], out);
    head(out, "tidegate_mqtt_held_connections", "gauge", "Connections not served now.");
    buffer_printf(out, "tidegate_mqtt_held_connections %llu\n",
                  (unsigned long long)sum_held(listener));
    head(out, "tidegate_mqtt_connections_limit", "gauge",
         "Connections that may be open at once; those beyond are closed at once.");
    buffer_printf(out, "tidegate_mqtt_connections_limit %llu\n",
                  (unsigned long long)listener->shared.connections_max);
    put_closed(listener, out);
    put_logins(listener, out);
    certificates_put(listener, out);
    head(out, "tidegate_mqtt_sessions", "gauge", "Sessions known, with and without connection.");
    buffer_printf(out, "tidegate_mqtt_sessions %llu\n",
                  (unsigned long long)session_table_count(listener->shared.sessions));
}

static uint64_t sum_refused(const struct listener *listener)
{
    static const enum close_reason refused[] = {
        CLOSE_VERSION,     CLOSE_CLIENT_ID,  CLOSE_BAD_CREDENTIALS, CLOSE_NOT_AUTHORISED,
        CLOSE_AUTH_METHOD, CLOSE_LOCKED_OUT, CLOSE_LOGIN_BUSY,      CLOSE_ADDRESS_MAX,
        CLOSE_UNNAMED_MAX, CLOSE_VENDOR_MAX, CLOSE_NOT_MQTT};
    uint64_t total = 0;
    for (size_t i = 0; i < array_count(refused); i++)
        total += sum(listener, AT(closed) + refused[i] * sizeof(_Atomic uint64_t));
    return total;
}

void listener_stats(const struct source *source, struct listener_stats *out)
{
    const struct listener *listener = (const struct listener *)source;
    size_t width = sizeof(_Atomic uint64_t);
    *out = (struct listener_stats){
        .connections = sum(listener, AT(connections)),
        .accepted = sum(listener, AT(accepted)),
        .refused = sum_refused(listener),
        .shed = sum(listener, AT(shed)),
        .messages_received = sum(listener, AT(wills)),
        .bytes_received = sum(listener, AT(bytes_received)),
        .acks_sent = sum(listener, AT(acks)),
        .held_connections = sum_held(listener),
        .tail_bytes = sum(listener, AT(tail_bytes)),
        .tls_connections = sum(listener, AT(tls_connections)),
        .sessions = session_table_count(listener->shared.sessions),
    };
    for (size_t i = 0; i < HOLD_KINDS; i++)
        out->held[i] = sum(listener, AT(held) + i * width);
    for (size_t qos = 0; qos < 3; qos++)
        out->messages_received += sum(listener, AT(messages) + qos * width);
}
