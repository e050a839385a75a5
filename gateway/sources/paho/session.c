/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection of a worker to its broker: connect, subscribe, copy what comes into the intake file. The
 * happy path is session_run. Two threads: main, which asks and waits, and Paho's, which answers and
 * brings messages.
 *
 * Paho 1.3.12 sends the PUBACK when on_message returns, whatever it returns, and gets into a state
 * it does not leave when it returns 0: so it returns 1, and only after the message is in the file.
 * While the file is full it does not return. When the gateway ends meanwhile the process ends
 * inside the callback: what was not acknowledged comes again.
 */
#include "sources/paho/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sources/paho/properties.h"

enum {
    CONNECT_S = 10,
    ANSWER_MS = 15000,
    DISCONNECT_MS = 1500,
};
#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

/* ---- waiting ---- */

void worker_deadline(struct timespec *at, int64_t ms)
{
    clock_gettime(CLOCK_MONOTONIC, at);
    at->tv_sec += ms / 1000;
    at->tv_nsec += ms % 1000 * 1000000;
    if (at->tv_nsec >= 1000000000) {
        at->tv_nsec -= 1000000000;
        at->tv_sec++;
    }
}

/* Until an answer, the loss of the connection, the end, or the time. */
static enum answer answer_wait(struct worker *worker, int64_t ms)
{
    struct timespec until;
    worker_deadline(&until, ms);
    pthread_mutex_lock(&worker->lock);
    while (worker->answer == ANSWER_NONE && !worker->lost && !worker->ending)
        if (pthread_cond_timedwait(&worker->changed, &worker->lock, &until))
            break;
    enum answer answer = worker->answer;
    worker->answer = ANSWER_NONE;
    pthread_mutex_unlock(&worker->lock);
    return answer;
}

static void lost_wait(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    while (!worker->lost && !worker->ending)
        pthread_cond_wait(&worker->changed, &worker->lock);
    pthread_mutex_unlock(&worker->lock);
}

static void answer_give(struct worker *worker, enum answer answer, const char *why)
{
    pthread_mutex_lock(&worker->lock);
    worker->answer = answer;
    if (why)
        snprintf(worker->why, sizeof worker->why, "%s", why);
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

/* ---- Paho's thread ---- */

static bool on_alive(void *arg)
{
    return !((struct worker *)arg)->ending;
}

static void message_keep(struct worker *worker, const struct message *message)
{
    bool wake;
    uint64_t size = message->topic.size + message->properties.size + message->payload.size;
    if (size > intake_message_max(worker->intake)) {
        worker->told->oversize++;
        log_event(LOG_ERROR, "broker_message_too_large", "client=%s bytes=%llu max=%llu",
                  worker->settings.client_id, (unsigned long long)size,
                  (unsigned long long)intake_message_max(worker->intake));
        return;
    }
    if (!intake_put(worker->intake, message, on_alive, worker, &wake))
        _exit(0); /* returning would acknowledge it */
    uint64_t one = 1;
    if (wake && write((int)worker->settings.wake_fd, &one, sizeof one) < 0)
        return; /* it is awake already */
}

static int on_message(void *context, char *topic, int topic_size, MQTTAsync_message *in)
{
    struct worker *worker = context;
    buffer_clear(&worker->properties);
    properties_write(&in->properties, &worker->properties);
    struct message message = {
        .topic = bytes_of(topic, topic_size > 0 ? (size_t)topic_size : strlen(topic)),
        .payload = bytes_of(in->payload, in->payloadlen > 0 ? (size_t)in->payloadlen : 0),
        .properties = buffer_bytes(&worker->properties),
        .flags = (uint8_t)((in->qos & MESSAGE_QOS) | (in->retained ? MESSAGE_RETAIN : 0) |
                           (in->dup ? MESSAGE_DUP : 0)),
        .protocol = worker->version == MQTTVERSION_5 ? 5 : 4,
        .packet_id = (uint16_t)in->msgid,
    };
    message_keep(worker, &message);
    MQTTAsync_freeMessage(&in);
    MQTTAsync_free(topic);
    return 1;
}

static void on_lost(void *context, char *cause)
{
    struct worker *worker = context;
    pthread_mutex_lock(&worker->lock);
    worker->lost = true;
    snprintf(worker->why, sizeof worker->why, "the connection broke%s%s", cause ? ": " : "",
             cause ? cause : "");
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

static void on_disconnected(void *context, MQTTProperties *properties, enum MQTTReasonCodes reason)
{
    (void)properties;
    const char *text = MQTTReasonCode_toString(reason);
    on_lost(context, text ? (char *)(uintptr_t)text : NULL);
}

static void on_connected(void *context, MQTTAsync_successData *data)
{
    struct worker *worker = context;
    worker->session_present = data && data->alt.connect.sessionPresent;
    answer_give(worker, ANSWER_YES, NULL);
}

static void on_connected5(void *context, MQTTAsync_successData5 *data)
{
    struct worker *worker = context;
    worker->session_present = data && data->alt.connect.sessionPresent;
    answer_give(worker, ANSWER_YES, NULL);
}

static void failed(struct worker *worker, const char *message, int code)
{
    char why[INTAKE_NOTE_SIZE];
    const char *reason = code > 0 ? MQTTReasonCode_toString((enum MQTTReasonCodes)code) : NULL;
    if (worker->version != MQTTVERSION_5)
        reason = code == 4 ? "bad user name or password" : code == 5 ? "not authorized" : NULL;
    if (worker->version == MQTTVERSION_5 &&
        (code == 1 || code == MQTTREASONCODE_UNSUPPORTED_PROTOCOL_VERSION))
        worker->failures = TRIES_BEFORE_OLD - 1; /* it said so: no need to try again */
    snprintf(why, sizeof why, "%s%s%s (%d)",
             message  ? message
             : reason ? ""
                      : "no answer",
             message && reason ? ": " : "", reason ? reason : "", code);
    answer_give(worker, ANSWER_NO, why);
}

static void on_failed(void *context, MQTTAsync_failureData *data)
{
    failed(context, data ? data->message : NULL, data ? data->code : 0);
}

static void on_failed5(void *context, MQTTAsync_failureData5 *data)
{
    int code = !data ? 0 : data->reasonCode ? (int)data->reasonCode : data->code;
    failed(context, data ? data->message : NULL, code);
}

/* The granted QoS of each filter, or 0x80 and above. */
static void on_subscribed(void *context, MQTTAsync_successData *data)
{
    struct worker *worker = context;
    worker->refused = 0;
    for (int i = 0; i < worker->filter_count; i++) {
        int granted = worker->filter_count == 1 ? data->alt.qos : data->alt.qosList[i];
        worker->refused += granted >= 0x80 || granted < 0;
    }
    answer_give(worker, ANSWER_YES, NULL);
}

static void on_subscribed5(void *context, MQTTAsync_successData5 *data)
{
    struct worker *worker = context;
    worker->refused = 0;
    for (int i = 0; i < worker->filter_count; i++) {
        /* With one filter Paho gives its code alone, and nothing in the array. */
        int granted =
            worker->filter_count == 1
                ? (int)data->reasonCode
                : (i < data->alt.sub.reasonCodeCount ? (int)data->alt.sub.reasonCodes[i] : 0x80);
        worker->refused += granted >= 0x80;
    }
    answer_give(worker, ANSWER_YES, NULL);
}

/* ---- one connection ---- */

static void properties_add(MQTTProperties *list, enum MQTTPropertyCodes code, int64_t value)
{
    MQTTProperty property = {.identifier = code};
    if (code == MQTTPROPERTY_CODE_RECEIVE_MAXIMUM)
        property.value.integer2 = (unsigned short)value;
    else
        property.value.integer4 = (unsigned)value;
    MQTTProperties_add(list, &property);
}

static bool wants_tls(const struct worker *worker)
{
    return strncmp(worker->urls[0], "mqtts://", 8) == 0 ||
           strncmp(worker->urls[0], "ssl://", 6) == 0;
}

static int client_make(struct worker *worker)
{
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer5;
    options.MQTTVersion = worker->version;
    int rc =
        MQTTAsync_createWithOptions(&worker->client, worker->urls[0], worker->settings.client_id,
                                    MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
    if (rc != MQTTASYNC_SUCCESS) {
        failed(worker, MQTTAsync_strerror(rc), rc);
        return rc;
    }
    MQTTAsync_setCallbacks(worker->client, worker, on_lost, on_message, NULL);
    if (worker->version == MQTTVERSION_5)
        MQTTAsync_setDisconnected(worker->client, worker, on_disconnected);
    return 0;
}

static void connect_options(struct worker *worker, MQTTAsync_connectOptions *out,
                            MQTTAsync_SSLOptions *tls, MQTTProperties *properties)
{
    MQTTAsync_connectOptions options5 = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_connectOptions options4 = MQTTAsync_connectOptions_initializer;
    bool five = worker->version == MQTTVERSION_5;
    *out = five ? options5 : options4;
    out->MQTTVersion = worker->version;
    out->keepAliveInterval = (int)worker->settings.keep_alive_s;
    out->connectTimeout = CONNECT_S;
    out->context = worker;
    out->username = worker->settings.user;
    out->password = worker->password;
    out->serverURIs = worker->urls;
    out->serverURIcount = worker->url_count;
    if (five) {
        properties_add(properties, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                       worker->settings.session_expiry_s);
        properties_add(properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, worker->settings.receive_max);
        properties_add(properties, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE,
                       (int64_t)intake_message_max(worker->intake));
        out->cleanstart = 0;
        out->connectProperties = properties;
        out->onSuccess5 = on_connected5;
        out->onFailure5 = on_failed5;
    } else {
        out->cleansession = 0;
        out->onSuccess = on_connected;
        out->onFailure = on_failed;
    }
    if (!wants_tls(worker))
        return;
    tls->trustStore = worker->settings.tls_ca_file ? worker->settings.tls_ca_file : SYSTEM_CA;
    tls->keyStore = worker->settings.tls_certificate_file;
    tls->privateKey = worker->settings.tls_key_file;
    tls->enableServerCertAuth = 1;
    tls->verify = 1; /* the host name: off by default in Paho */
    tls->sslVersion = MQTT_SSL_VERSION_TLS_1_2;
    out->ssl = tls;
}

static bool session_connect(struct worker *worker)
{
    MQTTAsync_connectOptions options;
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
    MQTTProperties properties = MQTTProperties_initializer;
    connect_options(worker, &options, &tls, &properties);
    pthread_mutex_lock(&worker->lock);
    worker->lost = false;
    worker->answer = ANSWER_NONE;
    snprintf(worker->why, sizeof worker->why, "no answer within %d s", ANSWER_MS / 1000);
    pthread_mutex_unlock(&worker->lock);
    int rc = MQTTAsync_connect(worker->client, &options);
    if (rc != MQTTASYNC_SUCCESS)
        failed(worker, MQTTAsync_strerror(rc), rc);
    enum answer answer = rc == MQTTASYNC_SUCCESS ? answer_wait(worker, ANSWER_MS) : ANSWER_NO;
    MQTTProperties_free(&properties);
    return answer == ANSWER_YES;
}

static bool session_subscribe(struct worker *worker)
{
    int qos[FILTERS_MAX];
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    for (int i = 0; i < worker->filter_count; i++)
        qos[i] = 1; /* never 2: with 3.1.1 Paho acknowledges before the callback */
    options.context = worker;
    if (worker->version == MQTTVERSION_5) {
        options.onSuccess5 = on_subscribed5;
        options.onFailure5 = on_failed5;
    } else {
        options.onSuccess = on_subscribed;
        options.onFailure = on_failed;
    }
    int rc = MQTTAsync_subscribeMany(worker->client, worker->filter_count, worker->filters, qos,
                                     &options);
    return rc == MQTTASYNC_SUCCESS && answer_wait(worker, ANSWER_MS) == ANSWER_YES;
}

static void connected_tell(struct worker *worker)
{
    struct intake_worker *told = worker->told;
    /* The file remembers whether we were here before. */
    if (!worker->session_present && told->connects > 0) {
        told->sessions_lost++;
        log_event(LOG_WARN, "broker_session_lost",
                  "client=%s why=\"the broker knew no session: what it held for us is gone\"",
                  worker->settings.client_id);
    }
    told->connects++;
    told->filters_refused = (uint64_t)worker->refused;
    told->connected = worker->version == MQTTVERSION_5 ? 5 : 4;
    char note[INTAKE_NOTE_SIZE] = "";
    if (worker->refused)
        snprintf(note, sizeof note, "the broker refused %d of %d topic filters", worker->refused,
                 worker->filter_count);
    intake_note_set(worker->intake, note);
    log_event(LOG_INFO, "broker_connected", "client=%s url=%s mqtt=%s session=%s",
              worker->settings.client_id, worker->settings.url,
              told->connected == 5 ? "5.0" : "3.1.1", worker->session_present ? "kept" : "new");
}

static void on_unsubscribed(void *context, MQTTAsync_successData *data)
{
    (void)data;
    atomic_store((_Atomic bool *)context, true);
}

static void on_unsubscribed5(void *context, MQTTAsync_successData5 *data)
{
    (void)data;
    atomic_store((_Atomic bool *)context, true);
}

/* A session of 3.1.1 outlives its connection whatever is said at its end: without subscriptions it
 * gathers nothing. */
static void unsubscribe(struct worker *worker)
{
    static _Atomic bool done; /* Paho may answer later than we wait */
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    options.context = &done;
    if (worker->version == MQTTVERSION_5)
        options.onSuccess5 = on_unsubscribed5;
    else
        options.onSuccess = on_unsubscribed;
    int rc =
        MQTTAsync_unsubscribeMany(worker->client, worker->filter_count, worker->filters, &options);
    for (int64_t until = clock_monotonic_ms() + DISCONNECT_MS;
         rc == MQTTASYNC_SUCCESS && !done && clock_monotonic_ms() < until;)
        usleep(10000);
    if (!done)
        log_event(LOG_WARN, "broker_session_stays",
                  "client=%s why=\"the broker did not confirm the end of the subscriptions\"",
                  worker->settings.client_id);
}

static void session_end(struct worker *worker)
{
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL};
    if (worker->leaving) {
        unsubscribe(worker);
        MQTTProperties_add(&properties, &expiry);
        if (worker->version == MQTTVERSION_5) {
            options = (MQTTAsync_disconnectOptions)MQTTAsync_disconnectOptions_initializer5;
            options.properties = properties;
        }
    }
    options.timeout = DISCONNECT_MS;
    MQTTAsync_disconnect(worker->client, &options);
    for (int64_t until = clock_monotonic_ms() + DISCONNECT_MS;
         MQTTAsync_isConnected(worker->client) && clock_monotonic_ms() < until;)
        usleep(10000);
    MQTTProperties_free(&properties);
}

bool session_run(struct worker *worker)
{
    worker->refused = 0;
    bool up = client_make(worker) == 0 && session_connect(worker) && session_subscribe(worker);
    if (up) {
        connected_tell(worker);
        lost_wait(worker);
    }
    worker->told->connected = 0;
    if (worker->ending && MQTTAsync_isConnected(worker->client))
        session_end(worker);
    if (worker->client)
        MQTTAsync_destroy(&worker->client);
    worker->client = NULL;
    return up;
}
