/* SPDX-License-Identifier: Apache-2.0
 *
 * The network: the gateway that runs, or the ports that it will want; every sink and every broker.
 */
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/doctor.h"

enum { ASK_MS = 3000, BROKER_MS = 8000, BRIDGED_S_MIN = 7200 };

/* ---- the gateway ---- */

/* Could it be listened on? 0 or an errno. */
static int port_try(const char *listen_on)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
    char host[256] = "";
    const char *colon = strrchr(listen_on, ':');
    size_t size = colon ? (size_t)(colon - listen_on) : 0;
    bool brackets = size >= 2 && listen_on[0] == '[' && colon[-1] == ']';
    if (colon == NULL || size >= sizeof host)
        return EINVAL;
    memcpy(host, listen_on + brackets, size - 2 * (size_t)brackets);
    if (getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, &list))
        return EADDRNOTAVAIL;
    int one = 1, rc = 0;
    int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        rc = errno;
    else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
             bind(fd, list->ai_addr, list->ai_addrlen) || listen(fd, 1))
        rc = errno;
    if (fd >= 0)
        close(fd);
    freeaddrinfo(list);
    return rc;
}

static void ports_tell(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    const char *const wanted[] = {config->mqtt.listen, config->mqtt.tls.listen,
                                  config->admin.listen};
    for (size_t i = 0; i < array_count(wanted); i++) {
        int rc = wanted[i] ? port_try(wanted[i]) : 0;
        if (rc)
            doctor_tell(doctor, DOCTOR_ERROR, "port",
                        rc == EADDRINUSE ? "end what listens there (`ss -ltnp` tells), or choose "
                                           "another port"
                        : rc == EACCES   ? "ports below 1024 need CAP_NET_BIND_SERVICE, or choose "
                                           "another"
                                         : "name an address of this machine",
                        "%s cannot be listened on: %s", wanted[i], strerror(rc));
    }
}

static void lane_tell(struct doctor *doctor, const struct yaml_node *lane)
{
    const char *name = answer_text(lane, "name"), *health = answer_text(lane, "health");
    const char *why = answer_text(lane, "why");
    if (strcmp(health, "stopped") == 0)
        doctor_tell(doctor, DOCTOR_ERROR, "lane",
                    "mend what it says; the lane then goes on by itself", "%s has stopped: %s",
                    name, why);
    else if (strcmp(health, "retrying") == 0)
        doctor_tell(doctor, DOCTOR_WARN, "lane",
                    "look at the destination; the journal keeps what it needs meanwhile",
                    "%s tries again: %s", name, why);
}

static void status_tell(struct doctor *doctor)
{
    const struct yaml_node *now = doctor->status.yaml.root;
    const struct yaml_node *left = answer_member(now, "journal_seconds_left");
    double seconds = answer_number(now, "journal_seconds_left");
    const struct yaml_node *lanes = answer_member(now, "lanes");
    if (left && !yaml_is_null(left) && seconds < BRIDGED_S_MIN)
        doctor_tell(
            doctor, DOCTOR_WARN, "journal", "raise journal.max_size or give the volume more room",
            "at the present rate the journal bridges an outage of %.0f minutes", seconds / 60);
    for (const struct yaml_node *lane = lanes ? lanes->first : NULL; lane; lane = lane->next)
        lane_tell(doctor, lane);
}

void doctor_gateway(struct doctor *doctor)
{
    struct err err;
    struct buffer body = {0};
    char *admin = http_reachable(doctor->admin ? doctor->admin : "127.0.0.1:9464");
    if (doctor->config && doctor->config->admin.certificate_file && cli_ask.ca_file == NULL)
        cli_ask.tls = cli_ask.any_certificate = true; /* it hears yes or no, and gives no token */
    struct http *http = http_new(admin);
    int rc = http_get(http, "/readyz", ASK_MS, &body, &err);
    doctor->running = rc != GW_EIO;
    if (rc == 0)
        doctor_tell(doctor, DOCTOR_OK, "gateway", NULL, "one runs and is ready (%s)", admin);
    else if (doctor->running)
        doctor_tell(doctor, DOCTOR_ERROR, "gateway",
                    "make room, or mend the disk or the sink that is behind (tidegate status)",
                    "the one at %s is not ready: %s", admin, err.text);
    else
        doctor_tell(doctor, DOCTOR_OK, "gateway", NULL, "none answers at %s", admin);
    doctor->answered = doctor->running && answer_get(http, &doctor->status, &err) == 0;
    if (doctor->answered)
        status_tell(doctor);
    if (!doctor->running && doctor->config)
        ports_tell(doctor);
    buffer_fini(&body);
    http_free(http);
    free(admin);
}

/* ---- sinks ---- */

struct trying {
    struct doctor *doctor;
    char about[80];
};

static const char *action_of(enum sink_reason reason)
{
    switch (reason) {
    case SINK_REASON_UNREACHABLE:
    case SINK_REASON_TIMEOUT:
        return "is it up, is the address right, does a firewall stand between? The journal keeps "
               "what it needs meanwhile";
    case SINK_REASON_DISK: return "give the gateway's user that folder, and mount it writable";
    case SINK_REASON_DENIED: return "look at user, password file, certificates and grants";
    case SINK_REASON_SCHEMA: return "make or mend the table or topic as deploy/README.md says";
    default: return "see the sink's options: tidegate validate --reference";
    }
}

static void on_finding(void *arg, const struct sink_finding *finding)
{
    struct trying *trying = arg;
    if (finding->why == NULL)
        doctor_tell(trying->doctor, DOCTOR_OK, trying->about, NULL, "%s: %s", finding->what,
                    finding->seen);
    else
        doctor_tell(trying->doctor, DOCTOR_ERROR, trying->about, action_of(finding->reason),
                    "%s: %s", finding->what, finding->why);
}

static void brokers_try(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    for (size_t i = 0; i < config->broker_count; i++) {
        const struct paho_options *broker = &config->brokers[i];
        char *about = mem_printf("broker %s", broker->name);
        struct err err;
        int version = 0;
        if (paho_try(broker, BROKER_MS, &version, &err))
            doctor_tell(doctor, DOCTOR_ERROR, about,
                        "is it up, are address, login and certificates right?", "%s: %s",
                        broker->url, err.text);
        else
            doctor_tell(doctor, DOCTOR_OK, about, NULL, "%s: lets us in with MQTT %s", broker->url,
                        version == 5 ? "5.0" : "3.1.1");
        free(about);
    }
}

void doctor_reach(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    for (size_t i = 0; i < config->sink_count; i++) {
        const struct config_sink *sink = &config->sinks[i];
        struct trying trying = {.doctor = doctor};
        struct sink_host host = {.disk = &disk_real,
                                 .name = sink->name,
                                 .data_dir = doctor->data ? doctor->data : ".",
                                 .vocabulary = config->vocabulary};
        snprintf(trying.about, sizeof trying.about, "sink %s", sink->name);
        if (sink->type->probe)
            sink->type->probe(sink->options, &host, on_finding, &trying);
    }
    brokers_try(doctor);
}
