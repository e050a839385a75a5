/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP server on libmicrohttpd: one thread a connection, because a handler may wait (GET /tail)
 * and health checks must not wait behind it. Everything is bounded: connections, the size of a
 * request, how long a connection may be silent, how many handlers of one path run at once. A request
 * that is not plain GET or HEAD without a body, or a POST of JSON to a path that takes one, is refused
 * before any handler hears of it. Who may ask is guard.c's.
 */
#include "admin/admin.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/guard.h"
#include "admin/socket.h"
#include "admin/watch.h"
#include "base/log.h"

enum {
    CONNECTIONS_MAX = 128,
    HANDLERS_MAX = 16, /* of one path at once; beyond: 429 */
    ROUTES_MAX = 32,
    REQUEST_BYTES_MAX = 32 << 10, /* memory of a connection: request line and headers */
    URI_BYTES_MAX = 4096,
    BODY_BYTES_MAX = 64 << 10,
    SILENCE_S = 30,
    REQUEST_MS = 5000, /* from the connection's start to its first whole request */
    AGAIN_MS = 65000,  /* from an answer to the next whole request: scrapes come once a minute */
    STACK_BYTES = 1 << 20,
};

struct admin {
    struct MHD_Daemon *daemon;
    struct watch *watch;
    struct guard guard;
    const struct admin_route *routes;
    void *arg;
    int port;
    bool tls, beyond;                /* spoken; in reach of others than this machine */
    _Atomic int running[ROUTES_MAX]; /* handlers of each route */
};

struct admin_request {
    struct MHD_Connection *connection;
    struct bytes body;
    const struct admin_caller *caller;
};

/* What is remembered of a request between its headers and its end. */
struct incoming {
    struct buffer body;
    struct admin_caller caller;
};

const char *admin_argument(const struct admin_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

struct bytes admin_body(const struct admin_request *request)
{
    return request->body;
}

const char *admin_who(const struct admin_request *request)
{
    return request->caller->name;
}

struct address admin_from(const struct admin_request *request)
{
    return request->caller->from;
}

bool admin_trusted(const struct admin_request *request)
{
    return request->caller->trusted;
}

/* ---- answers ---- */

/* Takes the buffer over. */
static enum MHD_Result answer_allow(struct MHD_Connection *connection, unsigned status,
                                    const char *content_type, const char *allow,
                                    struct buffer *body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body->size, body->data, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        buffer_fini(body);
        return MHD_NO;
    }
    *body = (struct buffer){0};
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (allow)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
    if (status == MHD_HTTP_UNAUTHORIZED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                "Bearer realm=\"tidegate\"");
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    if (status == MHD_HTTP_TOO_MANY_REQUESTS)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status,
                              const char *content_type, struct buffer *body)
{
    return answer_allow(connection, status, content_type, NULL, body);
}

/* ---- refusals ---- */

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *text)
{
    struct buffer body = {0};
    buffer_add_text(&body, text);
    return answer(connection, status, "text/plain", &body);
}

static enum MHD_Result refuse_method(struct MHD_Connection *connection,
                                     const struct admin_route *route)
{
    struct buffer body = {0};
    const char *allow =
        route && route->post ? route->handle ? "GET, HEAD, POST" : "POST" : "GET, HEAD";
    buffer_printf(&body, "only %s\n", allow);
    return answer_allow(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", allow, &body);
}

/* ---- connections ---- */

/* libmicrohttpd calls this before it closes the socket, so the watch never sees a number that is
 * somebody else's by now. */
static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct admin *admin = arg;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        *context = watch_add(admin->watch, fd, REQUEST_MS);
    } else if (*context) {
        watch_remove(admin->watch, *context);
        *context = NULL;
    }
}

static void deadline_set(struct admin *admin, struct MHD_Connection *connection, int64_t timeout_ms)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (info && info->socket_context)
        watch_set(admin->watch, info->socket_context, timeout_ms);
}

/* ---- requests ---- */

/* What the request line said, before libmicrohttpd takes escapes away. */
static char uri_fine, uri_bad, uri_long;

static void *on_uri(void *arg, const char *uri, struct MHD_Connection *connection)
{
    (void)arg;
    (void)connection;
    size_t size = strlen(uri);
    if (size > URI_BYTES_MAX)
        return &uri_long;
    for (size_t i = 0; i < size; i++)
        if (uri[i] <= ' ' || uri[i] == 0x7f || strncmp(uri + i, "%00", 3) == 0)
            return &uri_bad;
    return &uri_fine;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    (void)code;
    if (*state && *state != &uri_fine && *state != &uri_bad && *state != &uri_long) {
        struct incoming *incoming = *state;
        buffer_fini(&incoming->body);
        free(incoming);
    }
    *state = NULL;
    deadline_set(arg, connection, AGAIN_MS);
}

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* Nothing is read but what a POST announces by its length: whatever else announces a body is a mistake
 * or an attempt at smuggling. */
static bool has_body(struct MHD_Connection *connection)
{
    const char *length = header_of(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return header_of(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL ||
           (length != NULL && strcmp(length, "0") != 0);
}

static bool is_get(const char *method)
{
    return strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

static bool is_json(struct MHD_Connection *connection)
{
    static const char json[] = "application/json";
    const char *type = header_of(connection, MHD_HTTP_HEADER_CONTENT_TYPE);
    size_t size = sizeof json - 1;
    return type && strncasecmp(type, json, size) == 0 &&
           (type[size] == '\0' || type[size] == ';' || type[size] == ' ');
}

/* Null: fine; else why not. A page in a browser cannot send JSON elsewhere without asking first, which
 * nobody grants here, and always tells where it comes from. */
static const char *post_refusal(struct MHD_Connection *connection, unsigned *status)
{
    const char *length = header_of(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
    *status = MHD_HTTP_FORBIDDEN;
    if (header_of(connection, MHD_HTTP_HEADER_ORIGIN) || header_of(connection, "Sec-Fetch-Site"))
        return "not from a browser\n";
    *status = MHD_HTTP_UNSUPPORTED_MEDIA_TYPE;
    if (!is_json(connection))
        return "a POST needs Content-Type: application/json\n";
    *status = MHD_HTTP_LENGTH_REQUIRED;
    if (length == NULL || header_of(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING))
        return "a POST needs a Content-Length\n";
    *status = MHD_HTTP_CONTENT_TOO_LARGE;
    if (strtoull(length, NULL, 10) > BODY_BYTES_MAX)
        return "that is too much\n";
    return NULL;
}

static const struct admin_route *route_find(const struct admin *admin, const char *path)
{
    for (size_t i = 0; admin->routes[i].path; i++)
        if (strcmp(path, admin->routes[i].path) == 0)
            return &admin->routes[i];
    return NULL;
}

static void caller_init(struct MHD_Connection *connection, struct admin_caller *caller)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    *caller = (struct admin_caller){.name = ""};
    if (info && info->client_addr)
        caller->from = address_of(info->client_addr);
}

/* What changes something or is refused is told to the audit log. */
static void audit(struct admin *admin, struct MHD_Connection *connection,
                  const struct admin_caller *caller, const char *method, const char *path,
                  unsigned status)
{
    guard_audit(&admin->guard, caller, method, path,
                MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "id"), status);
}

/* 200, or the status of a refusal that is told already to the audit log. A path that is not there
 * needs a token like any other: without one nobody learns which there are. */
static unsigned may_ask(struct admin *admin, struct MHD_Connection *connection,
                        const struct admin_route *route, const char *path, const char *method,
                        struct admin_caller *caller)
{
    enum admin_need need = !is_get(method) ? ADMIN_NEEDS_OPERATE
                           : route         ? route->need
                                           : ADMIN_NEEDS_METRICS;
    caller_init(connection, caller);
    unsigned status = guard_ask(&admin->guard, header_of(connection, MHD_HTTP_HEADER_AUTHORIZATION),
                                need, caller);
    if (status != MHD_HTTP_OK)
        audit(admin, connection, caller, method, path, status);
    return status;
}

static enum MHD_Result route_run(struct admin *admin, const struct admin_route *route, bool post,
                                 struct admin_request *request)
{
    struct buffer body = {0};
    enum MHD_Result result;
    _Atomic int *running = &admin->running[route - admin->routes];
    if (atomic_fetch_add(running, 1) < HANDLERS_MAX) {
        int status = (post ? route->post : route->handle)(admin->arg, request, &body);
        const char *type = post && status >= 400 ? "text/plain" : route->content_type;
        if (post)
            audit(admin, request->connection, request->caller, "POST", route->path,
                  (unsigned)status);
        result = answer(request->connection, (unsigned)status, type, &body);
    } else {
        result = refuse(request->connection, MHD_HTTP_TOO_MANY_REQUESTS, "too many at once\n");
    }
    atomic_fetch_sub(running, 1);
    return result;
}

/* The headers are there: what is refused is refused now, so that no body is read for it. */
static enum MHD_Result on_headers(struct admin *admin, struct MHD_Connection *connection,
                                  const char *path, const char *method, void **state)
{
    const struct admin_route *route = route_find(admin, path);
    struct admin_caller caller;
    unsigned status = may_ask(admin, connection, route, path, method, &caller);
    if (status != MHD_HTTP_OK)
        return refuse(connection, status,
                      status == MHD_HTTP_FORBIDDEN ? "that token is not good for this\n"
                      : status == MHD_HTTP_UNAUTHORIZED
                          ? "a token is needed: Authorization: Bearer ...\n"
                          : "too many wrong tokens at once\n");
    if (is_get(method)) {
        if (has_body(connection))
            return refuse(connection, MHD_HTTP_BAD_REQUEST, "a GET takes no body\n");
        if (route && route->handle == NULL)
            return refuse_method(connection, route);
    } else {
        if (strcmp(method, MHD_HTTP_METHOD_POST) != 0 || (route && route->post == NULL))
            return refuse_method(connection, route);
        const char *why = post_refusal(connection, &status);
        if (why) {
            audit(admin, connection, &caller, method, path, status);
            return refuse(connection, status, why);
        }
    }
    struct incoming *incoming = mem_zalloc(sizeof *incoming);
    incoming->caller = caller;
    *state = incoming;
    return MHD_YES; /* answers are given when the request is complete */
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    struct admin *admin = arg;
    struct incoming *incoming = *state;
    (void)version;
    if (*state == &uri_long || *state == &uri_bad || *state == &uri_fine) {
        const void *uri = *state;
        *state = NULL;
        if (uri == &uri_long)
            return refuse(connection, MHD_HTTP_URI_TOO_LONG, "the request line is too long\n");
        if (uri == &uri_bad || *upload_size)
            return refuse(connection, MHD_HTTP_BAD_REQUEST, "bad request\n");
        return on_headers(admin, connection, path, method, state);
    }
    if (incoming == NULL)
        return MHD_NO; /* it was refused */
    if (*upload_size) {
        if (is_get(method) || incoming->body.size + *upload_size > BODY_BYTES_MAX)
            return MHD_NO;
        buffer_add(&incoming->body, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    deadline_set(admin, connection, 0); /* a handler may take its time, and so may a slow reader */
    const struct admin_route *route = route_find(admin, path);
    struct admin_request request = {connection, buffer_bytes(&incoming->body), &incoming->caller};
    return route ? route_run(admin, route, !is_get(method), &request)
                 : refuse(connection, MHD_HTTP_NOT_FOUND, "not found\n");
}

/* ---- TLS ---- */

/* libmicrohttpd gives this callback nothing to tell one server from another. */
static struct guard *_Atomic certified;

/* What it returns lives until the end, since handshakes go on while it is renewed. */
static int on_certificate(gnutls_session_t session, const gnutls_datum_t *authorities, int count,
                          const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
                          gnutls_pcert_st **chain, unsigned *chain_count, gnutls_privkey_t *key)
{
    struct guard *guard = atomic_load(&certified);
    (void)session, (void)authorities, (void)count, (void)algorithms, (void)algorithm_count;
    if (guard == NULL)
        return -1;
    pthread_mutex_lock(&guard->lock);
    *chain = guard->secrets->chain;
    *chain_count = guard->secrets->chain_count;
    *key = guard->secrets->key;
    pthread_mutex_unlock(&guard->lock);
    return 0;
}

/* ---- who reaches it ---- */

const char *admin_exposed(const struct admin_options *options)
{
    const char *listen = options->listen;
    if (strncmp(listen, "127.", 4) == 0 || strncmp(listen, "[::1]:", 6) == 0 ||
        strncmp(listen, "localhost:", 10) == 0)
        return NULL;
    if (options->token_file == NULL)
        return "others than this machine would reach the admin interface without a token: set "
               "admin.token_file (`NAME ROLE TOKEN` a line), or listen on 127.0.0.1";
    if (options->certificate_file == NULL && !options->insecure)
        return "others than this machine would reach the admin interface without TLS, and see its "
               "tokens: set admin.certificate_file and admin.key_file, listen on 127.0.0.1, or say "
               "admin.insecure: true where something before it does TLS";
    return NULL;
}

static int exposure_check(const struct admin_options *options, int fd, struct err *err)
{
    if (!socket_is_beyond(fd))
        return 0;
    struct admin_options beyond = *options;
    char any[] = "0.0.0.0:0";
    beyond.listen = any;
    const char *why = admin_exposed(&beyond);
    if (why)
        return err_set(err, GW_EINVAL, "admin: %s: %s", options->listen, why);
    if (options->certificate_file == NULL)
        log_event(LOG_WARN, "admin_insecure",
                  "address=%s why=\"admin.insecure: tokens and answers travel in the clear\"",
                  options->listen);
    return 0;
}

/* ---- life ---- */

static struct MHD_Daemon *daemon_start(struct admin *admin, int fd, bool tls)
{
    struct MHD_OptionItem secure[] = {
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(uintptr_t)on_certificate},
        {MHD_OPTION_HTTPS_PRIORITIES, 0,
         (void *)(uintptr_t) "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-SHA1:"
                             "-SIGN-RSA-SHA1:-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:"
                             "+CHACHA20-POLY1305"},
        {MHD_OPTION_END, 0, NULL},
    };
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL;
    if (tls)
        flags |= MHD_USE_TLS;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, admin, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)REQUEST_BYTES_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SILENCE_S,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        admin, MHD_OPTION_NOTIFY_COMPLETED, on_completed, admin, MHD_OPTION_ARRAY,
        tls ? secure : &secure[2], MHD_OPTION_END);
}

static int server_start(struct admin *admin, const struct admin_options *options, int fd,
                        struct err *err)
{
    int rc = watch_start(&admin->watch, err);
    if (rc)
        return rc;
    admin->tls = options->certificate_file != NULL;
    admin->beyond = socket_is_beyond(fd);
    if (admin->tls)
        atomic_store(&certified, &admin->guard);
    admin->daemon = daemon_start(admin, fd, admin->tls);
    return admin->daemon ? 0
                         : err_set(err, GW_EIO, "admin: the HTTP server does not start on %s",
                                   options->listen);
}

static void free_admin(struct admin *admin)
{
    struct guard *ours = &admin->guard;
    atomic_compare_exchange_strong(&certified, &ours, NULL);
    watch_stop(admin->watch);
    guard_fini(&admin->guard);
    free(admin);
}

int admin_start(struct admin **out, const struct admin_options *options,
                const struct admin_route *routes, void *arg, struct audit_log *audit,
                struct err *err)
{
    struct admin_secrets *secrets;
    size_t count = 0;
    while (routes[count].path)
        count++;
    gw_assert(count <= ROUTES_MAX);
    int fd = socket_open(options->listen, err);
    if (fd < 0)
        return fd;
    int rc = exposure_check(options, fd, err);
    if (rc == 0)
        rc = admin_secrets_read(&secrets, options, err);
    if (rc) {
        close(fd);
        return rc;
    }
    struct admin *admin = mem_zalloc(sizeof *admin);
    admin->routes = routes;
    admin->arg = arg;
    admin->port = socket_port(fd);
    guard_init(&admin->guard, secrets, audit);
    rc = server_start(admin, options, fd, err);
    if (rc) {
        close(fd);
        free_admin(admin);
        return rc;
    }
    *out = admin;
    return 0;
}

int admin_may_renew(const struct admin *admin, const struct admin_options *options, struct err *err)
{
    if ((options->certificate_file != NULL) != admin->tls)
        return err_set(err, GW_EINVAL,
                       "admin: whether there is TLS cannot change while it runs: restart");
    if (admin->beyond && options->token_file == NULL)
        return err_set(
            err, GW_EINVAL,
            "admin: it listens beyond this machine until a restart, and would ask for no "
            "token: keep admin.token_file");
    return 0;
}

void admin_renew(struct admin *admin, struct admin_secrets *secrets)
{
    pthread_mutex_lock(&admin->guard.lock);
    secrets->older = admin->guard.secrets;
    tokens_fini(&secrets->older->tokens);
    admin->guard.secrets = secrets;
    pthread_mutex_unlock(&admin->guard.lock);
}

int64_t admin_certificate_ends_ms(struct admin *admin)
{
    pthread_mutex_lock(&admin->guard.lock);
    int64_t ends_ms = admin->guard.secrets->ends_ms;
    pthread_mutex_unlock(&admin->guard.lock);
    return ends_ms;
}

int admin_port(const struct admin *admin)
{
    return admin->port;
}

void admin_stop(struct admin *admin)
{
    if (admin == NULL)
        return;
    MHD_stop_daemon(admin->daemon); /* closes the socket, waits for the connections' threads */
    free_admin(admin);
}
