/* SPDX-License-Identifier: Apache-2.0
 *
 * A client that we have not written: publishes through Paho's MQTTAsync at one QoS and version, waits
 * for every acknowledgement, disconnects. Driven by paho.py and tls.py.
 *
 *     paho_client URI CLIENT_ID VERSION(3|4|5) QOS TOPIC COUNT [CA [CERTIFICATE KEY]]
 *
 * URI is tcp://HOST:PORT, or ssl:// with CA; its host name is checked.
 * Publishes {"level": 1} .. {"level": COUNT} and prints how many were acknowledged.
 */
#include <MQTTAsync.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_S = 30 };

static atomic_int acknowledged, failed;
static atomic_bool connected, disconnected;

static void on_success(void *context, MQTTAsync_successData *response)
{
    (void)context, (void)response;
    acknowledged++;
}

static void on_success5(void *context, MQTTAsync_successData5 *response)
{
    (void)context;
    if (response->reasonCode >= 0x80)
        failed++;
    else
        acknowledged++;
}

static void on_failure(void *context, MQTTAsync_failureData *response)
{
    (void)context;
    fprintf(stderr, "failed: code %d %s\n", response ? response->code : 0,
            response && response->message ? response->message : "");
    failed++;
}

static void on_failure5(void *context, MQTTAsync_failureData5 *response)
{
    (void)context;
    fprintf(stderr, "failed: code %d reason %d\n", response ? response->code : 0,
            response ? (int)response->reasonCode : 0);
    failed++;
}

static void on_connected(void *context, MQTTAsync_successData *response)
{
    (void)context, (void)response;
    connected = true;
}

static void on_connected5(void *context, MQTTAsync_successData5 *response)
{
    (void)context, (void)response;
    connected = true;
}

static void on_disconnected(void *context, MQTTAsync_successData *response)
{
    (void)context, (void)response;
    disconnected = true;
}

static void on_disconnected5(void *context, MQTTAsync_successData5 *response)
{
    (void)context, (void)response;
    disconnected = true;
}

/* True when `count` reached `wanted` and nothing failed. */
static bool wait_for(const atomic_int *count, const atomic_bool *flag, int wanted)
{
    for (int i = 0; i < WAIT_S * 1000; i++) {
        if (failed)
            return false;
        if (flag ? *flag : *count >= wanted)
            return true;
        usleep(1000);
    }
    return false;
}

static int client_connect(MQTTAsync client, int version, char **files)
{
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
    MQTTAsync_connectOptions old = MQTTAsync_connectOptions_initializer;
    MQTTAsync_connectOptions new = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_connectOptions *options = version == 5 ? &new : &old;
    options->keepAliveInterval = 20;
    options->maxInflight = 100;
    if (files[0]) {
        tls.trustStore = files[0];
        tls.keyStore = files[1];
        tls.privateKey = files[1] ? files[2] : NULL;
        tls.verify = 1;
        options->ssl = &tls;
    }
    if (version == 5) {
        options->cleanstart = 1;
        options->onSuccess5 = on_connected5;
        options->onFailure5 = on_failure5;
    } else {
        options->cleansession = 1;
        options->MQTTVersion = version;
        options->onSuccess = on_connected;
        options->onFailure = on_failure;
    }
    return MQTTAsync_connect(client, options);
}

static int client_send(MQTTAsync client, int version, int qos, const char *topic, int number)
{
    char payload[64];
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    int size = snprintf(payload, sizeof payload, "{\"level\": %d}", number);
    if (version == 5) {
        response.onSuccess5 = on_success5;
        response.onFailure5 = on_failure5;
    } else {
        response.onSuccess = on_success;
        response.onFailure = on_failure;
    }
    return MQTTAsync_send(client, topic, size, payload, qos, 0, &response);
}

static void client_disconnect(MQTTAsync client, int version)
{
    MQTTAsync_disconnectOptions old = MQTTAsync_disconnectOptions_initializer;
    MQTTAsync_disconnectOptions new = MQTTAsync_disconnectOptions_initializer5;
    MQTTAsync_disconnectOptions *options = version == 5 ? &new : &old;
    options->timeout = 5000;
    if (version == 5)
        options->onSuccess5 = on_disconnected5;
    else
        options->onSuccess = on_disconnected;
    if (MQTTAsync_disconnect(client, options) == MQTTASYNC_SUCCESS)
        wait_for(NULL, &disconnected, 0);
}

int main(int argc, char **argv)
{
    if (argc < 7 || argc > 10) {
        fprintf(stderr,
                "usage: paho_client URI CLIENT_ID VERSION QOS TOPIC COUNT [CA [CERT KEY]]\n");
        return 2;
    }
    int version = atoi(argv[3]), qos = atoi(argv[4]), count = atoi(argv[6]);
    MQTTAsync client;
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer5;
    create.MQTTVersion = version == 5 ? MQTTVERSION_5 : version;
    create.maxBufferedMessages = count + 1;
    create.sendWhileDisconnected = 0;
    if (MQTTAsync_createWithOptions(&client, argv[1], argv[2], MQTTCLIENT_PERSISTENCE_NONE, NULL,
                                    &create) != MQTTASYNC_SUCCESS)
        return 1;
    if (client_connect(client, version, argv + 7) != MQTTASYNC_SUCCESS ||
        !wait_for(NULL, &connected, 0)) {
        fprintf(stderr, "not connected\n");
        return 1;
    }
    for (int i = 1; i <= count; i++) {
        int code = client_send(client, version, qos, argv[5], i);
        if (code != MQTTASYNC_SUCCESS) {
            fprintf(stderr, "send %d: code %d\n", i, code);
            return 1;
        }
    }
    bool all = wait_for(&acknowledged, NULL, count);
    client_disconnect(client, version);
    MQTTAsync_destroy(&client);
    printf("%d acknowledged, %d failed\n", acknowledged, failed);
    return all ? 0 : 1;
}
