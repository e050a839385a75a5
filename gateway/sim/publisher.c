/* SPDX-License-Identifier: Apache-2.0
 *
 * Once a turn of the loop the pump gives messages that are due to their connections (a meter always
 * speaks through the same one, as through a concentrator), then flushes those. A message whose
 * connection has no room waits, and all behind it: the gateway answers "full" by not acknowledging.
 * What can fail: connections, which mend themselves; the ledger, which ends the run; nobody answers
 * for `patience`, which ends it too. One loop's thread.
 */
#include "sim/publisher.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "sim/ledger.h"
#include "sim/stream.h"

enum { PUMP_MS = 2, PUMP_MAX = 4096, FAREWELL_MS = 5000 };

/* What the ledger must know of a message in flight; the tag of its client_publish. */
struct record {
    uint64_t number, device;
    int64_t ts_ms, litres;
    const char *vendor, *kind;
    uint32_t crc;
};

struct publisher {
    const struct publisher_options *options;
    void (*progress)(void *arg, const struct publisher_stats *stats);
    void *progress_arg;
    int64_t progress_ms;
    uv_loop_t loop;
    uv_timer_t pump_timer, progress_timer;
    uv_check_t pump_check;
    uv_signal_t interrupt, terminate;
    struct client *clients;
    bool *touched;
    struct stream *stream;
    struct ledger *ledger;
    const struct sim_message *next; /* made, not handed over yet */
    struct publisher_stats stats;
    struct histogram latency;
    char last_break[96];
    int64_t last_ack_ns;
    int64_t farewell_ns; /* after that, give up; 0: not stopping */
    uint32_t closing;
    bool finished;
    int result;
    struct err err;
};

static void publisher_finish(struct publisher *publisher, int result);

/* ---- acknowledgements ---- */

static void record_line(struct publisher *publisher, const struct record *record,
                        enum ledger_outcome outcome, uint32_t attempts)
{
    char device[METER_DEVICE_SIZE];
    if (!publisher->ledger)
        return;
    ledger_add(publisher->ledger,
               &(struct ledger_line){outcome, record->number, record->vendor,
                                     meter_device(record->device, device), record->ts_ms,
                                     record->litres, record->kind, publisher->options->qos,
                                     attempts, record->crc});
}

static struct record *record_of(uint64_t tag)
{
    return (struct record *)(uintptr_t)tag;
}

static void on_done(struct client *client, const struct client_done *done)
{
    struct publisher *publisher = client->owner;
    struct record *record = record_of(done->tag);
    bool refused = done->reason >= 0x80;
    publisher->last_ack_ns = clock_monotonic_ns();
    publisher->stats.in_flight--;
    if (refused)
        publisher->stats.refused++;
    else
        publisher->stats.acknowledged++;
    histogram_add(&publisher->latency, publisher->last_ack_ns - done->since_ns);
    record_line(publisher, record, refused ? LEDGER_REJ : LEDGER_ACK, done->attempts);
    free(record);
}

static void on_up(struct client *client)
{
    struct publisher *publisher = client->owner;
    publisher->stats.connects++;
    publisher->stats.connections_up++;
}

static void on_down(struct client *client, bool was_up, const char *why)
{
    struct publisher *publisher = client->owner;
    if (was_up) {
        publisher->stats.connections_up--;
        publisher->stats.breaks++;
    }
    snprintf(publisher->last_break, sizeof publisher->last_break, "%s", why);
}

/* ---- pump ---- */

/* Messages that should have been handed over by now. */
static uint64_t due(const struct publisher *publisher, int64_t now_ns)
{
    if (publisher->options->rate <= 0)
        return UINT64_MAX;
    double seconds = (double)(now_ns - publisher->stats.began_ns) / 1e9;
    return (uint64_t)(seconds * publisher->options->rate) + 1;
}

static void count_message(struct publisher *publisher, const struct sim_message *message)
{
    struct publisher_stats *stats = &publisher->stats;
    stats->published++;
    stats->payload_bytes += message->payload.size;
    stats->duplicates += message->kind == MESSAGE_DUPLICATE;
    stats->late += message->kind == MESSAGE_LATE;
    stats->garbage += message->kind == MESSAGE_GARBAGE;
    if (publisher->options->qos > 0)
        stats->in_flight++;
    else
        publisher->last_ack_ns = clock_monotonic_ns();
}

/* False: its connection has no room. */
static bool hand_over(struct publisher *publisher, const struct sim_message *message,
                      int64_t now_ns)
{
    uint32_t index = (uint32_t)(message->meter % publisher->options->connections);
    struct client *client = &publisher->clients[index];
    if (client_room(client) == 0)
        return false;
    struct record *record = NULL;
    if (publisher->options->qos > 0) {
        record = mem_alloc(sizeof *record);
        *record = (struct record){message->number,
                                  message->device,
                                  message->ts_ms,
                                  message->litres,
                                  message->vendor->name,
                                  message_kind_name(message->kind),
                                  crc32c(0, buffer_bytes(&message->payload))};
    }
    client_publish(client, publisher->options->qos, buffer_bytes(&message->topic),
                   buffer_bytes(&message->payload), (uint64_t)(uintptr_t)record, now_ns);
    publisher->touched[index] = true;
    count_message(publisher, message);
    return true;
}

static void flush_touched(struct publisher *publisher)
{
    for (uint32_t i = 0; i < publisher->options->connections; i++) {
        if (publisher->touched[i])
            client_flush(&publisher->clients[i]);
        publisher->touched[i] = false;
    }
}

/* QoS 0: nothing tells that a message came; at least every byte has left. */
static bool all_sent(const struct publisher *publisher)
{
    for (uint32_t i = 0; i < publisher->options->connections; i++)
        if (client_unsent(&publisher->clients[i]) > 0)
            return false;
    return true;
}

static void check_patience(struct publisher *publisher, int64_t now_ns)
{
    int64_t silent_ms = (now_ns - publisher->last_ack_ns) / 1000000;
    bool waiting = publisher->stats.in_flight > 0 || publisher->next;
    if (publisher->farewell_ns && now_ns > publisher->farewell_ns) {
        err_set(&publisher->err, GW_ECLOSED, "stopped with %llu messages not acknowledged",
                (unsigned long long)publisher->stats.in_flight);
        publisher_finish(publisher, GW_ECLOSED);
    } else if (waiting && silent_ms > publisher->options->patience_ms) {
        err_set(&publisher->err, GW_ECLOSED, "nothing was acknowledged for %lld s%s%s",
                (long long)silent_ms / 1000, publisher->last_break[0] ? "; last: " : "",
                publisher->last_break);
        publisher_finish(publisher, GW_ECLOSED);
    }
}

static void pump(struct publisher *publisher)
{
    int64_t now_ns = clock_monotonic_ns();
    const struct publisher_options *options = publisher->options;
    if (publisher->finished)
        return;
    if (options->duration_ms && now_ns - publisher->stats.began_ns > options->duration_ms * 1000000)
        stream_end(publisher->stream);
    uint64_t limit = due(publisher, now_ns);
    for (int i = 0; i < PUMP_MAX && publisher->stats.published < limit; i++) {
        if (!publisher->next)
            publisher->next = stream_next(publisher->stream);
        if (!publisher->next || !hand_over(publisher, publisher->next, now_ns))
            break;
        publisher->next = NULL;
    }
    flush_touched(publisher);
    if (publisher->ledger && ledger_flush(publisher->ledger, &publisher->err) != 0)
        publisher_finish(publisher, GW_EIO);
    else if (!publisher->next && publisher->stats.published < limit &&
             publisher->stats.in_flight == 0 && all_sent(publisher))
        publisher_finish(publisher, 0);
    else
        check_patience(publisher, now_ns);
}

static void on_pump_timer(uv_timer_t *timer)
{
    (void)timer; /* it only wakes the loop; on_pump_check does the work */
}

static void on_pump_check(uv_check_t *check)
{
    pump(container_of(check, struct publisher, pump_check));
}

static void on_progress(uv_timer_t *timer)
{
    struct publisher *publisher = container_of(timer, struct publisher, progress_timer);
    struct publisher_stats stats;
    publisher_stats(publisher, &stats);
    publisher->progress(publisher->progress_arg, &stats);
}

/* The first signal: no new messages, wait for the rest; the second: now. */
static void on_signal(uv_signal_t *handle, int number)
{
    struct publisher *publisher = handle->data;
    (void)number;
    if (publisher->farewell_ns) {
        err_set(&publisher->err, GW_ECLOSED, "stopped");
        publisher_finish(publisher, GW_ECLOSED);
        return;
    }
    publisher->farewell_ns = clock_monotonic_ns() + FAREWELL_MS * 1000000LL;
    publisher->next = NULL;
    stream_stop(publisher->stream);
}

/* ---- end ---- */

static void unanswered(void *arg, const struct flight *flight)
{
    struct publisher *publisher = arg;
    struct record *record = record_of(flight->tag);
    record_line(publisher, record, LEDGER_UNK, flight->attempts);
    free(record);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void on_client_closed(struct client *client)
{
    struct publisher *publisher = client->owner;
    if (--publisher->closing == 0)
        uv_walk(&publisher->loop, close_handle, NULL);
}

static void publisher_finish(struct publisher *publisher, int result)
{
    if (publisher->finished)
        return;
    publisher->finished = true;
    publisher->result = result;
    publisher->closing = publisher->options->connections;
    for (uint32_t i = 0; i < publisher->options->connections; i++)
        client_each_flight(&publisher->clients[i], unanswered, publisher);
    if (publisher->ledger && ledger_flush(publisher->ledger, &publisher->err) != 0)
        publisher->result = GW_EIO;
    for (uint32_t i = 0; i < publisher->options->connections; i++)
        client_close(&publisher->clients[i]);
}

/* ---- life ---- */

static const struct client_events events = {on_up, on_done, on_down, on_client_closed};

int publisher_new(struct publisher **out, const struct publisher_options *options,
                  void (*progress)(void *arg, const struct publisher_stats *stats),
                  int64_t progress_ms, void *arg, struct err *err)
{
    struct publisher *publisher = mem_zalloc(sizeof *publisher);
    publisher->options = options;
    publisher->progress = progress;
    publisher->progress_arg = arg;
    publisher->progress_ms = progress_ms;
    if (options->ledger && ledger_open(&publisher->ledger, options->ledger, err) != 0) {
        free(publisher);
        return GW_EIO;
    }
    uv_loop_init(&publisher->loop);
    publisher->stream = stream_new(options);
    publisher->clients = mem_zalloc(options->connections * sizeof *publisher->clients);
    publisher->touched = mem_zalloc(options->connections * sizeof *publisher->touched);
    for (uint32_t i = 0; i < options->connections; i++) {
        char id[96];
        snprintf(id, sizeof id, "%s-%u", options->client_prefix, i);
        client_init(&publisher->clients[i], &publisher->loop, id, &options->client, &events);
        publisher->clients[i].owner = publisher;
    }
    *out = publisher;
    return 0;
}

static void start_handles(struct publisher *publisher)
{
    uv_loop_t *loop = &publisher->loop;
    uv_timer_init(loop, &publisher->pump_timer);
    uv_timer_start(&publisher->pump_timer, on_pump_timer, PUMP_MS, PUMP_MS);
    uv_check_init(loop, &publisher->pump_check);
    uv_check_start(&publisher->pump_check, on_pump_check);
    uv_timer_init(loop, &publisher->progress_timer);
    if (publisher->progress)
        uv_timer_start(&publisher->progress_timer, on_progress, (uint64_t)publisher->progress_ms,
                       (uint64_t)publisher->progress_ms);
    uv_signal_init(loop, &publisher->interrupt);
    uv_signal_init(loop, &publisher->terminate);
    publisher->interrupt.data = publisher->terminate.data = publisher;
    uv_signal_start(&publisher->interrupt, on_signal, SIGINT);
    uv_signal_start(&publisher->terminate, on_signal, SIGTERM);
}

int publisher_run(struct publisher *publisher, struct err *err)
{
    publisher->stats.began_ns = publisher->last_ack_ns = clock_monotonic_ns();
    start_handles(publisher);
    for (uint32_t i = 0; i < publisher->options->connections; i++)
        client_start(&publisher->clients[i]);
    uv_run(&publisher->loop, UV_RUN_DEFAULT);
    publisher->stats.now_ns = clock_monotonic_ns();
    *err = publisher->err;
    if (publisher->result == 0 && publisher->stats.refused > 0)
        return err_set(err, GW_EINVAL, "%llu messages were refused",
                       (unsigned long long)publisher->stats.refused);
    return publisher->result;
}

void publisher_stats(const struct publisher *publisher, struct publisher_stats *out)
{
    *out = publisher->stats;
    out->resent = 0;
    for (uint32_t i = 0; i < publisher->options->connections; i++)
        out->resent += publisher->clients[i].resent;
    out->resets = stream_resets(publisher->stream);
    out->latency = &publisher->latency;
    out->last_break = publisher->last_break[0] ? publisher->last_break : NULL;
    out->now_ns = publisher->finished && out->now_ns ? out->now_ns : clock_monotonic_ns();
}

void publisher_free(struct publisher *publisher)
{
    for (uint32_t i = 0; i < publisher->options->connections; i++)
        client_fini(&publisher->clients[i]);
    stream_free(publisher->stream);
    ledger_close(publisher->ledger);
    uv_loop_close(&publisher->loop);
    free(publisher->clients);
    free(publisher->touched);
    free(publisher);
}
