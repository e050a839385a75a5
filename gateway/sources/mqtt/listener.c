/* SPDX-License-Identifier: Apache-2.0
 *
 * The MQTT listener as a source: its options, its loops, what they share. The loops do the work; this
 * runs on the main thread.
 */
#include "sources/mqtt/listener.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sources/mqtt/hosts.h"
#include "sources/mqtt/listener_internal.h"
#include "sources/mqtt/login.h"
#include "sources/mqtt/session.h"

enum {
    DESCRIPTORS_RESERVED = 64, /* journal, sinks, admin, logs */
    LOOPS_MAX = 64,
};

#define AT(member) offsetof(struct listener_options, member)

const struct option listener_option_rows[] = {
    {"listen", OPTION_ADDRESS, AT(listen), "127.0.0.1:1883", 0, OPTION_ADDRESS_NONE, NULL,
     "HOST:PORT to listen on without TLS; port 0 picks a free one; none: only section tls "
     "listens."},
    {"share_port", OPTION_BOOL, AT(share_port), "false", 0, 0, NULL,
     "Whether other gateways of this user may listen on the same port; the kernel then spreads "
     "connections over them."},
    {"loops", OPTION_INT, AT(loops), "0", 0, LOOPS_MAX, NULL,
     "Threads that serve connections; 0: one for two processors, at least one."},
    {"max_packet", OPTION_SIZE, AT(max_packet_bytes), "1MiB", 64, 256 << 20, NULL,
     "Larger packets end the connection (MQTT 5: announced as Maximum Packet Size)."},
    {"receive_max", OPTION_INT, AT(receive_max), "4096", 1, 65535, NULL,
     "PUBLISH packets of one connection that may wait for their acknowledgement (MQTT 5: Receive "
     "Maximum; older clients are not read from beyond it)."},
    {"receive_max_strict", OPTION_BOOL, AT(receive_max_strict), "true", 0, 0, NULL,
     "Whether an MQTT 5 client that passes receive_max is disconnected, or only counted."},
    {"topic_alias_max", OPTION_INT, AT(topic_alias_max), "32", 0, 65535, NULL,
     "Topic aliases of one connection (MQTT 5)."},
    {"topic_levels_max", OPTION_INT, AT(topic_levels_max), "128", 1, 65536, NULL,
     "Levels of a topic; more end the connection."},
    {"keep_alive_max", OPTION_INT, AT(keep_alive_max_s), "65535", 1, 65535, NULL,
     "Seconds; the longest keep alive granted (MQTT 5: Server Keep Alive), and the limit for "
     "clients "
     "that ask for none."},
    {"connect_timeout", OPTION_DURATION, AT(connect_timeout_ms), "10s", 100, 3600000, NULL,
     "From accept to a whole CONNECT."},
    {"packet_timeout", OPTION_DURATION, AT(packet_timeout_ms), "60s", 100, 86400000, NULL,
     "From the first to the last byte of a packet."},
    {"held_bytes", OPTION_SIZE, AT(held_bytes), "1MiB", 4096, 1 << 30, NULL,
     "A connection is read on while so much of it waits for the disk."},
    {"hold_max", OPTION_DURATION, AT(hold_max_ms), "5m", 1000, 86400000, NULL,
     "A connection that could not be served for so long is closed; its client keeps what was not "
     "acknowledged."},
    {"session_expiry_max", OPTION_INT, AT(session_expiry_max_s), "604800", 0, UINT32_MAX, NULL,
     "Seconds that a session is kept without connection; longer wishes are cut to this."},
    {"sessions_max", OPTION_INT, AT(sessions_max), "1000000", 1, 100000000, NULL,
     "Sessions kept without connection; beyond that the oldest is dropped and counted."},
    {"connections_max", OPTION_INT, AT(connections_max), "0", 0, 10000000, NULL,
     "Connections at a time; 0: what the limit on open files allows, less a reserve."},
    {"unnamed_max", OPTION_INT, AT(unnamed_max), "0", 0, 10000000, NULL,
     "Connections at a time that have not logged in; 0: half of connections_max."},
    {"address_connections_max", OPTION_INT, AT(address_connections_max), "0", 0, 10000000, NULL,
     "Connections of one address (IPv6: one /64) at a time; 0: no limit."},
    {"address_unnamed_max", OPTION_INT, AT(address_unnamed_max), "0", 0, 10000000, NULL,
     "Likewise of those that have not logged in."},
    {"address_exempt", OPTION_STRING, AT(address_exempt), NULL, 0, 0, NULL,
     "Addresses and networks, with commas, that no limit and no lock-out by address holds for: "
     "balancers without the PROXY protocol, behind which everybody has one address."},
    {"login_threads", OPTION_INT, AT(login_threads), "1", 1, 16, NULL,
     "Threads that check passwords; each may need 64 MiB while it does."},
    {"login_queue", OPTION_INT, AT(login_queue), "256", 1, 100000, NULL,
     "Logins that may wait for them; beyond, clients hear that the server is busy."},
    {"will_max", OPTION_SIZE, AT(will_bytes_max), "64KiB", 0, 1 << 20, NULL,
     "Payload and properties of a will; larger ones are refused at CONNECT."},
    {"user_properties_max", OPTION_INT, AT(user_properties_max), "100", 0, 1000000, NULL,
     "User properties of one packet (MQTT 5)."},
    {"write_queue_max", OPTION_SIZE, AT(write_queue_max), "256KiB", 1024, 1 << 30, NULL,
     "Bytes that a peer may leave unread before it is closed."},
    {"poll_tick", OPTION_DURATION, AT(poll_tick_ms), "5ms", 0, 100, NULL,
     "How long a loop may wait for more while many sockets are ready: costs delay, saves processor "
     "time; 0: never."},
    {0},
};

/* ---- life ---- */

/* The soft limit is raised to the hard one; what the connections may take is the rest. */
static uint64_t connections_allowed(uint64_t wanted, struct err *err)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        err_set(err, GW_EIO, "mqtt: cannot read the limit on open files");
        return 0;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            getrlimit(RLIMIT_NOFILE, &limit);
    }
    uint64_t files = limit.rlim_cur;
    if (files <= 2 * DESCRIPTORS_RESERVED) {
        err_set(err, GW_ELIMIT,
                "mqtt: the limit on open files is %llu; raise it (ulimit -n, LimitNOFILE=)",
                (unsigned long long)files);
        return 0;
    }
    uint64_t most = files - DESCRIPTORS_RESERVED;
    if (wanted > most)
        log_event(LOG_WARN, "mqtt_connections_limited",
                  "wanted=%llu allowed=%llu why=\"limit on open files\"",
                  (unsigned long long)wanted, (unsigned long long)most);
    return wanted && wanted < most ? wanted : most;
}

static unsigned loops_wanted(const struct listener_options *options)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t loops = options->loops ? options->loops : processors / 2;
    return (unsigned)(loops < 1 ? 1 : loops > LOOPS_MAX ? LOOPS_MAX : loops);
}

static void listener_free(struct source *source)
{
    struct listener *listener = (struct listener *)source;
    if (listener == NULL)
        return;
    for (unsigned i = 0; i < listener->loop_count && listener->closed == NULL; i++)
        if (listener->loops[i]->started) /* start failed halfway, and close was never called */
            loop_close(listener->loops[i], 0);
    login_pool_stop(listener->shared.logins);
    for (unsigned i = 0; i < listener->loop_count; i++)
        loop_free(listener->loops[i]);
    login_pool_free(listener->shared.logins);
    hosts_free(listener->shared.hosts);
    free(listener->shared.exempt);
    session_table_free(listener->shared.sessions);
    tls_context_release(listener->shared.tls);
    pthread_mutex_destroy(&listener->shared.tls_lock);
    free(listener->loops);
    free(listener);
}

static void on_closed(void *arg)
{
    struct listener *listener = arg;
    if (listener->closed)
        listener->closed(listener->closed_arg);
}

static int listener_start(struct source *source, struct err *err)
{
    struct listener *listener = (struct listener *)source;
    const struct listener_options *options = listener->shared.options;
    int status = 0;
    for (unsigned i = 0; i < listener->loop_count && status == 0; i++) {
        struct loop *loop = listener->loops[i];
        if (options->listen)
            status = loop_listen(loop, false, options->listen, &listener->port, err);
        if (status == 0 && options->tls.listen)
            status = loop_listen(loop, true, options->tls.listen, &listener->tls_port, err);
    }
    if (status == 0)
        status = login_pool_start(listener->shared.logins, (unsigned)options->login_threads, err);
    if (status)
        return status;
    for (unsigned i = 0; i < listener->loop_count; i++) {
        atomic_fetch_add(&listener->shared.loops_running, 1);
        status = loop_start(listener->loops[i], err);
        if (status) {
            atomic_fetch_sub(&listener->shared.loops_running, 1);
            return status;
        }
    }
    log_event(LOG_INFO, "mqtt_listening",
              "address=%s port=%d tls_address=%s tls_port=%d loops=%u connections_max=%llu",
              options->listen ? options->listen : "none", listener->port,
              options->tls.listen ? options->tls.listen : "none", listener->tls_port,
              listener->loop_count, (unsigned long long)listener->shared.connections_max);
    return 0;
}

static void post_all(struct source *source, enum mail_kind kind)
{
    struct listener *listener = (struct listener *)source;
    for (unsigned i = 0; i < listener->loop_count; i++)
        mailbox_post(listener->loops[i]->mailbox, kind, NULL);
}

static void listener_pause(struct source *source)
{
    post_all(source, MAIL_PAUSE);
}

static void listener_resume(struct source *source)
{
    post_all(source, MAIL_RESUME);
}

static void listener_close(struct source *source, int64_t drain_ms, void (*closed)(void *arg),
                           void *arg)
{
    struct listener *listener = (struct listener *)source;
    listener->closed = closed;
    listener->closed_arg = arg;
    if (atomic_load(&listener->shared.loops_running) == 0) { /* never started */
        closed(arg);
        return;
    }
    for (unsigned i = 0; i < listener->loop_count; i++)
        if (listener->loops[i]->started)
            loop_close(listener->loops[i], drain_ms);
}

static const struct source_type listener_type = {
    .name = "mqtt",
    .start = listener_start,
    .pause = listener_pause,
    .resume = listener_resume,
    .close = listener_close,
    .free = listener_free,
    .metrics = listener_metrics,
};

/* The configuration was checked; what is no network now is none. */
static void guards_make(struct shared *shared, const struct listener_options *options)
{
    struct err err;
    uint64_t unnamed = (uint64_t)options->unnamed_max;
    shared->unnamed_max = unnamed ? unnamed : shared->connections_max / 2;
    if (options->address_connections_max || options->address_unnamed_max)
        shared->hosts = hosts_new((uint64_t)options->address_connections_max,
                                  (uint64_t)options->address_unnamed_max);
    networks_parse(options->address_exempt, &shared->exempt, &shared->exempt_count, &err);
    shared->logins = login_pool_new(shared->access, (size_t)options->login_queue);
}

struct source *listener_new(const struct listener_options *options, struct rawlog *rawlog,
                            struct access *access, struct vendor_table *vendors, struct err *err)
{
    struct tls_context *tls = NULL;
    if (options->tls.listen && tls_context_new(&options->tls, &disk_real, NULL, &tls, err))
        return NULL;
    uint64_t allowed = connections_allowed((uint64_t)options->connections_max, err);
    if (allowed == 0) {
        tls_context_release(tls);
        return NULL;
    }
    struct listener *listener = mem_zalloc(sizeof *listener);
    listener->source.type = &listener_type;
    struct shared *shared = &listener->shared;
    shared->options = options;
    shared->tls = tls;
    pthread_mutex_init(&shared->tls_lock, NULL);
    shared->limits = (struct packet_limits){options->max_packet_bytes, options->topic_levels_max,
                                            options->user_properties_max};
    shared->rawlog = rawlog;
    shared->access = access;
    shared->connections_max = allowed;
    guards_make(shared, options);
    shared->closed = on_closed;
    shared->closed_arg = listener;
    shared->sessions = session_table_new(options->sessions_max);
    session_table_load(shared->sessions, rawlog_sessions(rawlog), clock_wall_ms());
    unsigned count = loops_wanted(options);
    shared->vendors = vendors;
    shared->first_seat = vendor_table_seats(vendors, count);
    listener->loops = mem_zalloc(count * sizeof(struct loop *));
    for (; listener->loop_count < count; listener->loop_count++) {
        struct loop *loop = loop_new(shared, listener->loop_count, err);
        if (loop == NULL) {
            listener_free(&listener->source);
            return NULL;
        }
        listener->loops[listener->loop_count] = loop;
    }
    return &listener->source;
}

int listener_port(const struct source *source)
{
    return ((const struct listener *)source)->port;
}

int listener_tls_port(const struct source *source)
{
    return ((const struct listener *)source)->tls_port;
}

bool listener_certificates(const struct source *source, struct listener_certificates *out)
{
    struct shared *shared = &((struct listener *)(uintptr_t)source)->shared;
    pthread_mutex_lock(&shared->tls_lock);
    bool there = shared->tls != NULL;
    for (int i = 0; i < TLS_FILES && there; i++)
        out->ends_ms[i] = tls_context_ends_ms(shared->tls, (enum tls_file)i);
    pthread_mutex_unlock(&shared->tls_lock);
    return there;
}

int listener_tls_make(struct source *source, const struct tls_options *options,
                      struct tls_context **out, struct err *err)
{
    const struct shared *shared = &((struct listener *)source)->shared;
    *out = NULL;
    if (shared->tls == NULL || options->listen == NULL) /* ports change with a start only */
        return 0;
    return tls_context_new(options, &disk_real, shared->tls, out, err);
}

void listener_tls_take(struct source *source, struct tls_context *context)
{
    struct shared *shared = &((struct listener *)source)->shared;
    if (context == NULL)
        return;
    pthread_mutex_lock(&shared->tls_lock);
    struct tls_context *before = shared->tls;
    shared->tls = context;
    atomic_fetch_add(&shared->tls_generation, 1);
    pthread_mutex_unlock(&shared->tls_lock);
    tls_context_release(before);
}

int64_t listener_silent_ms(const struct source *source)
{
    const struct listener *listener = (const struct listener *)source;
    int64_t now_ms = clock_monotonic_ms(), longest_ms = 0;
    for (unsigned i = 0; i < listener->loop_count; i++) {
        int64_t turned_ms = listener->loops[i]->turned_ms;
        if (turned_ms && now_ms - turned_ms > longest_ms)
            longest_ms = now_ms - turned_ms;
    }
    return longest_ms;
}

void listener_leave(struct source *source)
{
    ((struct listener *)source)->shared.leaving = true;
}
