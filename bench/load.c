/* SPDX-License-Identifier: Apache-2.0
 *
 * Open-loop MQTT load: every message has its time, fixed before the run; a connection whose window
 * is full sends it later and the latency counts from the time it should have left, so a slow server
 * cannot make its own figures look good. CPU time and memory of the server are read from /proc over
 * the run, from the moment all connections are up to the last acknowledgement. One thread.
 *
 *     bench_load --connect 127.0.0.1:1883 --connections 2000 --rate 20000 --duration 10s --pid PID
 */
#include <dirent.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "sim/client.h"
#include "sim/histogram.h"

struct load_options {
    char *connect, *topic, *tls_ca;
    int64_t connections, rate, count, duration_ms, qos, window, pid, payload, devices, idle_ms,
        ramp;
    int64_t batch_ms, readings;
    bool now;
    int mqtt;
};

enum { PAYLOAD_LONG = 150 }; /* from so many bytes on */

static const char *const mqtt_names[] = {"3.1.1", "5", NULL};

#define AT(member) .offset = offsetof(struct load_options, member)
#define NUMBER(name_, member, def_, min_, max_, help_)                                             \
    {                                                                                              \
        .name = name_, .type = OPTION_INT, AT(member), .def = def_, .min = min_, .max = max_,      \
        .help = help_                                                                              \
    }
static const struct option rows[] = {
    {.name = "connect",
     .type = OPTION_ADDRESS,
     AT(connect),
     .def = "127.0.0.1:1883",
     .help = "Server."},
    {.name = "tls-ca",
     .type = OPTION_PATH,
     AT(tls_ca),
     .help = "Connect with TLS; who signed the server's certificate (PEM)."},
    NUMBER("connections", connections, "1", 1, 60000, "So many connections."),
    NUMBER("rate", rate, "0", 0, 100000000,
           "Messages a second over all; 0: as fast as the windows allow."),
    NUMBER("count", count, "0", 0, 1000000000000, "End after so many messages."),
    {.name = "duration",
     .type = OPTION_DURATION,
     AT(duration_ms),
     .def = "10s",
     .min = 1,
     .max = 86400000,
     .help = "Or after so long, where no count is given."},
    NUMBER("qos", qos, "1", 0, 2, "Quality of service."),
    NUMBER("window", window, "1", 1, 65535, "Messages in flight on a connection."),
    NUMBER("pid", pid, "0", 0, 1 << 30, "Server process whose CPU and memory are told."),
    NUMBER("payload", payload, "120", 40, 60000,
           "Bytes of a payload, about; plain JSON, from 150 on with device and written time."),
    NUMBER("devices", devices, "10000", 1, 10000000, "So many device names in the topics."),
    NUMBER("ramp", ramp, "4000", 1, 1000000, "New connections a second."),
    {.name = "batch",
     .type = OPTION_DURATION,
     AT(batch_ms),
     .def = "1ms",
     .min = 1,
     .max = 10000,
     .help = "Messages that are due are sent so often."},
    {.name = "idle",
     .type = OPTION_DURATION,
     AT(idle_ms),
     .def = "0s",
     .max = 3600000,
     .help = "Only connect, stay so long, and tell the server's memory for each connection."},
    NUMBER("readings", readings, "4", 1, 4, "Readings in a message."),
    {.name = "now",
     .type = OPTION_BOOL,
     AT(now),
     .def = "false",
     .help = "Device time is when the message should have left, not a row of quarter hours."},
    {.name = "mqtt",
     .type = OPTION_ENUM,
     AT(mqtt),
     .def = "5",
     .names = mqtt_names,
     .help = "Version."},
    {.name = "topic",
     .type = OPTION_STRING,
     AT(topic),
     .def = "v1/bench",
     .help = "What topics begin with."},
    {0},
};

struct usage {
    double cpu_s;
    uint64_t anon_bytes, rss_bytes;
};

struct load {
    struct load_options given;
    struct client_options client;
    uv_loop_t loop;
    uv_timer_t timer;
    uv_check_t check;
    struct client *clients;
    uint64_t *next; /* of each connection: index of its next message */
    uint32_t started, up;
    bool running, ending;
    uint64_t published, acknowledged, refused, breaks, bytes;
    int64_t begin_ns, end_ns, opened_ns, base_ms, begin_ms;
    uint32_t closing;
    struct usage before, after;
    struct histogram latency;
};

/* ---- the server's figures ---- */

static uint64_t status_kb(int64_t pid, const char *field)
{
    char path[64], line[256];
    unsigned long long kb = 0;
    snprintf(path, sizeof path, "/proc/%lld/status", (long long)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, field, strlen(field)) == 0)
            kb = strtoull(line + strlen(field) + 1, NULL, 10);
    if (file)
        fclose(file);
    return kb * 1024;
}

/* Nanoseconds on a processor of all threads: /proc/PID/stat counts in hundredths of a second, too
 * coarse for the floor. Threads that ended meanwhile are missing; a server's do not end. */
static double run_seconds(int64_t pid)
{
    char path[320];
    double sum = 0;
    snprintf(path, sizeof path, "/proc/%lld/task", (long long)pid);
    DIR *tasks = opendir(path);
    struct dirent *task;
    while (tasks && (task = readdir(tasks))) {
        unsigned long long ns = 0;
        snprintf(path, sizeof path, "/proc/%lld/task/%s/schedstat", (long long)pid, task->d_name);
        FILE *file = fopen(path, "re");
        if (file && fscanf(file, "%llu", &ns) == 1)
            sum += (double)ns / 1e9;
        if (file)
            fclose(file);
    }
    if (tasks)
        closedir(tasks);
    return sum;
}

static void usage_read(int64_t pid, struct usage *out)
{
    *out = (struct usage){0};
    if (!pid)
        return;
    out->cpu_s = run_seconds(pid);
    out->anon_bytes = status_kb(pid, "RssAnon");
    out->rss_bytes = status_kb(pid, "VmRSS");
}

/* ---- messages ---- */

/* Meters send every quarter of an hour, each at its own second; or now. */
static int64_t device_time_ms(const struct load *load, uint64_t index, int64_t since_ns)
{
    uint64_t device = index % (uint64_t)load->given.devices;
    uint64_t round = index / (uint64_t)load->given.devices;
    if (load->given.now)
        return load->begin_ms + (since_ns - load->begin_ns) / 1000000;
    return load->base_ms + (int64_t)round * 900000 + (int64_t)(device % 900) * 1000;
}

/* Short: the device is that of the topic, the time a number. Long: as most vendors write it. */
static size_t payload_begin(const struct load *load, uint64_t device, int64_t time_ms, char *out,
                            size_t room)
{
    char time[CLOCK_TEXT_SIZE];
    int size;
    if (load->given.payload < PAYLOAD_LONG)
        size = snprintf(out, room, "{\"time\":%lld", (long long)time_ms);
    else
        size = snprintf(out, room, "{\"device\":\"%08llu\",\"time\":\"%s\"",
                        (unsigned long long)device, clock_format_ms(time_ms, time));
    return (size_t)size;
}

/* Readings in about `payload` bytes; numbers that move as a meter's do. */
static size_t payload_make(const struct load *load, uint64_t index, int64_t since_ns, char *out,
                           size_t room)
{
    uint64_t device = index % (uint64_t)load->given.devices;
    uint64_t round = index / (uint64_t)load->given.devices;
    uint64_t litres = device * 7919 % 2000000 + round * (device % 13);
    uint64_t hash = (device * 2654435761U + round * 40503U) >> 7;
    size_t wanted = (size_t)load->given.payload;
    char parts[4][64];
    snprintf(parts[0], sizeof parts[0], ",\"volume.total\":%llu.%03u",
             (unsigned long long)litres / 1000, (unsigned)(litres % 1000));
    snprintf(parts[1], sizeof parts[1], ",\"flow\":0.%03u", (unsigned)(hash % 997));
    snprintf(parts[2], sizeof parts[2], ",\"pressure\":{\"value\":0.%03u,\"unit\":\"MPa\"}",
             (unsigned)(280 + hash % 90));
    snprintf(parts[3], sizeof parts[3], ",\"battery.voltage\":3.%02u",
             (unsigned)(40 + device % 25));
    size_t used = payload_begin(load, device, device_time_ms(load, index, since_ns), out, room);
    for (int64_t i = 0; i < load->given.readings; i++)
        used += (size_t)snprintf(out + used, room - used, "%s", parts[i]);
    /* What is missing is white space, which no reading is made of. */
    for (; used + 1 < wanted && used + 1 < room; used++)
        out[used] = ' ';
    out[used++] = '}';
    return used;
}

/* When message `index` should leave. */
static int64_t due_ns(const struct load *load, uint64_t index)
{
    return load->begin_ns + (int64_t)((double)index * 1e9 / (double)load->given.rate);
}

static bool one_more(struct load *load, uint32_t connection, int64_t now_ns)
{
    uint64_t index = load->next[connection];
    int64_t since_ns = now_ns;
    char topic[128], payload[65536];
    struct client *client = &load->clients[connection];
    if (load->given.count && index >= (uint64_t)load->given.count)
        return false;
    if (load->given.rate) {
        since_ns = due_ns(load, index);
        if (since_ns > now_ns)
            return false;
        if (!load->given.count && since_ns - load->begin_ns >= load->given.duration_ms * 1000000)
            return false;
    } else if (!load->given.count && now_ns - load->begin_ns >= load->given.duration_ms * 1000000) {
        return false;
    }
    if (client_room(client) == 0)
        return false;
    int topic_size = snprintf(topic, sizeof topic, "%s/%08llu/json", load->given.topic,
                              (unsigned long long)(index % (uint64_t)load->given.devices));
    size_t size = payload_make(load, index, since_ns, payload, sizeof payload);
    client_publish(client, (int)load->given.qos, bytes_of(topic, (size_t)topic_size),
                   bytes_of(payload, size), index, since_ns);
    load->next[connection] += (uint64_t)load->given.connections;
    load->published++;
    load->bytes += size;
    return true;
}

/* Everything that should have been sent by now was. */
static bool finished(const struct load *load, int64_t now_ns)
{
    if (load->given.qos ? load->acknowledged + load->refused < load->published
                        : load->published == 0)
        return false;
    if (load->given.count)
        return load->published >= (uint64_t)load->given.count;
    if (now_ns - load->begin_ns < load->given.duration_ms * 1000000)
        return false;
    uint64_t total = (uint64_t)((double)load->given.rate * (double)load->given.duration_ms / 1000);
    return !load->given.rate || load->published + 1 >= total;
}

/* ---- run ---- */

static void on_client_closed(struct client *client)
{
    struct load *load = client->owner;
    if (--load->closing == 0) {
        uv_close((uv_handle_t *)&load->timer, NULL);
        uv_close((uv_handle_t *)&load->check, NULL);
    }
}

static void finish(struct load *load)
{
    load->ending = true;
    load->end_ns = clock_monotonic_ns();
    usage_read(load->given.pid, &load->after);
    load->closing = load->started;
    for (uint32_t i = 0; i < load->started; i++)
        client_close(&load->clients[i]);
}

static void begin(struct load *load)
{
    load->running = true;
    if (!load->given.idle_ms)
        usage_read(load->given.pid, &load->before);
    load->begin_ns = clock_monotonic_ns();
    load->begin_ms = clock_wall_ms();
}

static void start_clients(struct load *load, int64_t now_ns)
{
    uint64_t wanted =
        (uint64_t)((double)(now_ns - load->opened_ns) / 1e9 * (double)load->given.ramp) + 1;
    while (load->started < (uint32_t)load->given.connections && load->started < wanted)
        client_start(&load->clients[load->started++]);
    if (load->up == (uint32_t)load->given.connections)
        begin(load);
    else if (now_ns - load->opened_ns > 120000000000LL) {
        fprintf(stderr, "bench_load: only %u connections came up\n", load->up);
        exit(1);
    }
}

static void turn(struct load *load)
{
    int64_t now_ns = clock_monotonic_ns();
    if (load->ending)
        return;
    if (!load->running) {
        start_clients(load, now_ns);
        return;
    }
    if (load->given.idle_ms) {
        if (now_ns - load->begin_ns > load->given.idle_ms * 1000000)
            finish(load);
        return;
    }
    for (uint32_t i = 0; i < (uint32_t)load->given.connections; i++) {
        bool any = false;
        while (one_more(load, i, now_ns))
            any = true;
        if (any)
            client_flush(&load->clients[i]);
    }
    if (finished(load, now_ns))
        finish(load);
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer; /* wakes the loop */
}

static void on_check(uv_check_t *check)
{
    turn(container_of(check, struct load, check));
}

static void on_up(struct client *client)
{
    ((struct load *)client->owner)->up++;
}

static void on_down(struct client *client, bool was_up, const char *why)
{
    struct load *load = client->owner;
    load->up -= was_up;
    if (load->breaks++ == 0)
        fprintf(stderr, "bench_load: a connection broke: %s\n", why);
}

static void on_done(struct client *client, const struct client_done *done)
{
    struct load *load = client->owner;
    load->acknowledged += done->reason < 0x80;
    load->refused += done->reason >= 0x80;
    histogram_add(&load->latency, clock_monotonic_ns() - done->since_ns);
}

static const struct client_events events = {on_up, on_done, on_down, on_client_closed};

/* ---- report ---- */

static double ms(int64_t ns)
{
    return (double)ns / 1e6;
}

static void report(const struct load *load)
{
    double seconds = (double)(load->end_ns - load->begin_ns) / 1e9;
    double millions = (double)load->published / 1e6;
    double cpu_s = load->after.cpu_s - load->before.cpu_s;
    double connections = (double)load->given.connections;
    printf("{\"connections\":%lld,\"qos\":%lld,\"window\":%lld,\"published\":%llu,"
           "\"acknowledged\":%llu,\"refused\":%llu,\"breaks\":%llu,\"payload_bytes\":%llu,"
           "\"seconds\":%.3f,\"rate\":%.0f,",
           (long long)load->given.connections, (long long)load->given.qos,
           (long long)load->given.window, (unsigned long long)load->published,
           (unsigned long long)load->acknowledged, (unsigned long long)load->refused,
           (unsigned long long)load->breaks, (unsigned long long)load->bytes, seconds,
           (double)load->published / seconds);
    printf("\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f,",
           ms(histogram_quantile(&load->latency, 0.5)),
           ms(histogram_quantile(&load->latency, 0.99)),
           ms(histogram_quantile(&load->latency, 0.999)), ms(load->latency.max_ns));
    printf("\"cpu_s\":%.3f,\"cpu_s_per_million\":%.3f,\"anon_per_connection\":%.1f,"
           "\"rss_bytes\":%llu}\n",
           cpu_s, millions > 0 ? cpu_s / millions : 0,
           ((double)load->after.anon_bytes - (double)load->before.anon_bytes) / connections,
           (unsigned long long)load->after.rss_bytes);
}

static void resolve(struct load *load)
{
    static char host[256];
    struct err err;
    const char *colon = strrchr(load->given.connect, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    snprintf(host, sizeof host, "%.*s", (int)(colon - load->given.connect), load->given.connect);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0) {
        fprintf(stderr, "bench_load: no such address: %s\n", load->given.connect);
        exit(2);
    }
    memcpy(&load->client.address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    load->client.host = host;
    if (load->given.tls_ca &&
        client_tls_context(load->given.tls_ca, NULL, NULL, &load->client.tls, &err)) {
        fprintf(stderr, "bench_load: %s\n", err.text);
        exit(2);
    }
}

static void run(struct load *load)
{
    uint32_t count = (uint32_t)load->given.connections;
    load->client = (struct client_options){.version = load->given.mqtt == 0 ? 4 : 5,
                                           .clean = load->given.qos < 2,
                                           .window = (uint32_t)load->given.window,
                                           .keep_alive_s = 300,
                                           .silence_max_ms = 120000,
                                           .backoff_max_ms = 2000};
    resolve(load);
    uv_loop_init(&load->loop);
    load->clients = mem_zalloc(count * sizeof *load->clients);
    load->next = mem_zalloc(count * sizeof *load->next);
    load->base_ms = clock_wall_ms() - 300LL * 86400000;
    for (uint32_t i = 0; i < count; i++) {
        char id[64];
        snprintf(id, sizeof id, "load-%d-%u", (int)getpid(), i);
        client_init(&load->clients[i], &load->loop, id, &load->client, &events);
        load->clients[i].owner = load;
        load->next[i] = i;
    }
    if (load->given.idle_ms)
        usage_read(load->given.pid, &load->before);
    load->opened_ns = clock_monotonic_ns();
    uv_timer_init(&load->loop, &load->timer);
    uv_timer_start(&load->timer, on_timer, (uint64_t)load->given.batch_ms,
                   (uint64_t)load->given.batch_ms);
    uv_check_init(&load->loop, &load->check);
    uv_check_start(&load->check, on_check);
    uv_run(&load->loop, UV_RUN_DEFAULT);
    report(load);
    for (uint32_t i = 0; i < count; i++)
        client_fini(&load->clients[i]);
    free(load->clients);
    free(load->next);
    uv_loop_close(&load->loop);
    SSL_CTX_free(load->client.tls);
}

int main(int argc, char **argv)
{
    static const struct cli_command command = {
        .name = "load", .arguments = "", .summary = "Open-loop MQTT load.", .rows = rows};
    static struct load load;
    struct cli_arguments arguments;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int code = cli_parse(&command, argc, argv, &load.given, &arguments);
    if (code == CLI_GO) {
        run(&load);
        code = load.refused || (load.given.qos && load.acknowledged < load.published) ? 1 : 0;
    }
    option_fini(rows, &load.given);
    return code;
}
