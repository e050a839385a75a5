/* SPDX-License-Identifier: Apache-2.0
 *
 * The floor of the client for existing brokers: a bare subscriber of Eclipse Paho MQTT C that writes each
 * payload to a file with one write, and so survives its own death as an intake file does. The same
 * library, session, quality of service and receive maximum as a worker of the gateway. Paho's threads.
 *
 *     bench_paho_floor URL FILTER FILE
 *
 * Says `ready` when it is subscribed; SIGTERM ends it.
 */
#include <MQTTAsync.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEEP_ALIVE_S = 60, RECEIVE_MAX = 1000 };

struct floor {
    MQTTAsync client;
    const char *filter;
    int fd;
};

static void fail(const char *what)
{
    fprintf(stderr, "bench_paho_floor: %s\n", what);
    _exit(1);
}

static int on_message(void *context, char *topic, int topic_size, MQTTAsync_message *message)
{
    const struct floor *floor = context;
    (void)topic_size;
    if (write(floor->fd, message->payload, (size_t)message->payloadlen) != message->payloadlen)
        fail("the file cannot be written");
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void on_lost(void *context, char *cause)
{
    (void)context;
    (void)cause;
    fail("the connection broke");
}

static void on_subscribed(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    (void)data;
    printf("ready\n");
    fflush(stdout);
}

static void on_failed(void *context, MQTTAsync_failureData5 *data)
{
    (void)context;
    fail(data && data->message ? data->message : "the broker refused");
}

static void on_connected(void *context, MQTTAsync_successData5 *data)
{
    struct floor *floor = context;
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    (void)data;
    options.onSuccess5 = on_subscribed;
    options.onFailure5 = on_failed;
    options.context = floor;
    if (MQTTAsync_subscribe(floor->client, floor->filter, 1, &options) != MQTTASYNC_SUCCESS)
        fail("cannot subscribe");
}

static void begin(struct floor *floor, const char *url)
{
    MQTTAsync_createOptions make = MQTTAsync_createOptions_initializer5;
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer5;
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty receive_max = {.identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM,
                                .value.integer2 = RECEIVE_MAX};
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                           .value.integer4 = 3600};
    MQTTProperties_add(&properties, &receive_max);
    MQTTProperties_add(&properties, &expiry);
    options.keepAliveInterval = KEEP_ALIVE_S;
    options.cleanstart = 0;
    options.connectProperties = &properties;
    options.onSuccess5 = on_connected;
    options.onFailure5 = on_failed;
    options.context = floor;
    if (MQTTAsync_createWithOptions(&floor->client, url, "bench-paho-floor",
                                    MQTTCLIENT_PERSISTENCE_NONE, NULL,
                                    &make) != MQTTASYNC_SUCCESS ||
        MQTTAsync_setCallbacks(floor->client, floor, on_lost, on_message, NULL) !=
            MQTTASYNC_SUCCESS ||
        MQTTAsync_connect(floor->client, &options) != MQTTASYNC_SUCCESS)
        fail("cannot connect");
    MQTTProperties_free(&properties);
}

int main(int argc, char **argv)
{
    static struct floor floor;
    sigset_t ending;
    int number;
    if (argc != 4) {
        fprintf(stderr, "usage: bench_paho_floor URL FILTER FILE\n"
                        "Writes the payload of each message to a file.\n");
        return 2;
    }
    floor.filter = argv[2];
    floor.fd = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (floor.fd < 0)
        fail("the file cannot be made");
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ending, NULL); /* Paho's threads inherit it */
    begin(&floor, argv[1]);
    sigwait(&ending, &number);
    _exit(0); /* no tidying: the session may stay at the broker, which ends with the scenario */
}
