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
};

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
    free(listener->shared.proxies);
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
    int status = 0, port = 0, tls_port = 0;
    for (unsigned i = 0; i < listener->loop_count && status == 0; i++) {
        struct loop *loop = listener->loops[i];
        if (options->listen)
            status = loop_listen(loop, false, options->listen, &port, err);
        if (status == 0 && options->tls.listen)
            status = loop_listen(loop, true, options->tls.listen, &tls_port, err);
    }
    listener->port = port;
    listener->tls_port = tls_port;
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
              options->listen ? options->listen : "none", port,
              options->tls.listen ? options->tls.listen : "none", tls_port, listener->loop_count,
              (unsigned long long)listener->shared.connections_max);
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
    if (listener->closed == NULL) { /* else only the time changes, and loops may be reading these */
        listener->closed_arg = arg;
        listener->closed = closed;
    }
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
    shared->unnamed_max = unnamed ? unnamed : shared->connections_max - shared->connections_max / 4;
    if (options->address_connections_max || options->address_unnamed_max)
        shared->hosts = hosts_new((uint64_t)options->address_connections_max,
                                  (uint64_t)options->address_unnamed_max);
    networks_parse(options->address_exempt, &shared->exempt, &shared->exempt_count, &err);
    shared->logins = login_pool_new(shared->access, (size_t)options->login_queue);
}

/* What the options give before there is any loop. */
static int shared_fill(struct shared *shared, const struct listener_options *options,
                       struct err *err)
{
    shared->options = options;
    shared->limits = (struct packet_limits){options->max_packet_bytes, options->topic_levels_max,
                                            options->user_properties_max};
    shared->connections_max = connections_allowed((uint64_t)options->connections_max, err);
    guards_make(shared, options);
    if (shared->connections_max == 0)
        return GW_EIO;
    int rc = networks_parse(options->proxy_from, &shared->proxies, &shared->proxy_count, err);
    if (rc == 0 && options->tls.listen)
        rc = tls_context_new(&options->tls, &disk_real, NULL, &shared->tls, err);
    return rc;
}

static int loops_make(struct listener *listener, unsigned count, struct err *err)
{
    listener->loops = mem_zalloc(count * sizeof(struct loop *));
    for (; listener->loop_count < count; listener->loop_count++) {
        struct loop *loop = loop_new(&listener->shared, listener->loop_count, err);
        if (loop == NULL)
            return GW_EIO;
        listener->loops[listener->loop_count] = loop;
    }
    return 0;
}

struct source *listener_new(const struct listener_options *options, struct rawlog *rawlog,
                            struct access *access, struct vendor_table *vendors, struct err *err)
{
    unsigned count = loops_wanted(options);
    struct listener *listener = mem_zalloc(sizeof *listener);
    listener->source.type = &listener_type;
    struct shared *shared = &listener->shared;
    pthread_mutex_init(&shared->tls_lock, NULL);
    shared->rawlog = rawlog;
    shared->access = access;
    shared->closed = on_closed;
    shared->closed_arg = listener;
    shared->sessions = session_table_new(options->sessions_max);
    session_table_load(shared->sessions, rawlog_sessions(rawlog), clock_wall_ms());
    shared->vendors = vendors;
    shared->first_seat = vendor_table_seats(vendors, count);
    if (shared_fill(shared, options, err) || loops_make(listener, count, err)) {
        listener_free(&listener->source);
        return NULL;
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
