/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of the sink: options to hosts, start, the two timers, and the end. What happens to units
 * is in send.c, what to servers in watch.c. The lane's thread.
 */
#include "sinks/clickhouse/clickhouse.h"

#include <stdlib.h>

#include "sinks/clickhouse/options.h"
#include "sinks/clickhouse/state.h"

enum { TICK_MS = 1000, PASSWORD_FILE_MAX = 4096 };

static uint64_t clickhouse_unit_rows_max(const void *options)
{
    return (uint64_t)((const struct clickhouse_options *)options)->unit_rows;
}

static int64_t clickhouse_unit_age_max_ms(const void *options)
{
    return ((const struct clickhouse_options *)options)->flush_age_ms;
}

static uint32_t clickhouse_open_units_max(const void *options)
{
    return (uint32_t)((const struct clickhouse_options *)options)->open_units;
}

static int64_t clickhouse_settle_ms(const void *options)
{
    return ((const struct clickhouse_options *)options)->settle_ms;
}

/* ---- init ---- */

static int check_table_name(const char *name, struct err *err)
{
    size_t size = name ? strlen(name) : 0;
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            size = 0;
    }
    if (size == 0 || size > 128)
        return err_set(err, GW_EINVAL,
                       "`table` is a name of letters, digits and _; the database stands in `url`");
    return 0;
}

static int clickhouse_check(const void *options, struct err *err)
{
    const struct clickhouse_options *clickhouse = options;
    struct ch_hosts hosts = {0};
    int result = check_table_name(clickhouse->table, err);
    if (result == 0 && clickhouse->password_file && clickhouse->user == NULL)
        result = err_set(err, GW_EINVAL, "`password_file` is given and `user` is not");
    if (result == 0)
        result = ch_hosts_init(&hosts, clickhouse->url, err);
    if (result == 0)
        ch_hosts_fini(&hosts);
    return result;
}

static int clickhouse_init(struct sink **out, const void *options, struct sink_host *host,
                           struct err *err)
{
    const struct clickhouse_options *clickhouse = options;
    struct sink *sink = mem_zalloc(sizeof *sink);
    sink->host = host;
    sink->options = clickhouse;
    sink->queue_end = &sink->queue;
    int result = clickhouse_check(options, err);
    if (result == 0)
        result = ch_hosts_init(&sink->hosts, clickhouse->url, err);
    if (result < 0) {
        free(sink);
        return err_wrap(err, result, "sink %s", host->name);
    }
    sink->shards = mem_zalloc(sink->hosts.shards * sizeof *sink->shards);
    sink->shapes = mem_zalloc(sink->hosts.shards * sizeof *sink->shapes);
    sink->watches = mem_zalloc(sink->hosts.count * sizeof *sink->watches);
    sink->memory_path = mem_printf("%s/%s.servers", host->data_dir, host->name);
    *out = sink;
    return 0;
}

/* ---- start ---- */

char *ch_path(const struct sink_host *host, const char *path)
{
    if (path == NULL || *path == '\0')
        return NULL;
    return path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", host->data_dir, path);
}

/* The first line. */
int ch_password_read(const struct clickhouse_options *options, const struct sink_host *host,
                     struct buffer *out, struct err *err)
{
    char *path = ch_path(host, options->password_file);
    int result = 0;
    if (path) {
        result = disk_read_named(host->disk, path, PASSWORD_FILE_MAX, out);
        if (result < 0)
            result =
                err_set(err, GW_EINVAL, "read `password_file` %s: %s", path, strerror(-result));
    }
    for (size_t i = 0; i < out->size; i++)
        if (out->data[i] == '\n' || out->data[i] == '\r' || out->data[i] == '\0')
            out->size = i;
    buffer_u8(out, '\0');
    free(path);
    return result;
}

static void open_handles(struct sink *sink)
{
    if (sink->handles_are_open)
        return;
    gw_assert(uv_timer_init(sink->host->loop, &sink->tick) == 0);
    gw_assert(uv_timer_init(sink->host->loop, &sink->kick) == 0);
    sink->handles_are_open = true;
}

static void on_tick(uv_timer_t *timer)
{
    struct sink *sink = container_of(timer, struct sink, tick);
    ch_watch_tick(sink);
    ch_send_rest(sink);
}

static void on_kick(uv_timer_t *timer)
{
    ch_send_more(container_of(timer, struct sink, kick));
}

static int connect_hosts(struct sink *sink, uint64_t cursor, const struct http_options *http,
                         struct err *err)
{
    int result = ch_watch_start(sink, cursor, http, err);
    if (result < 0)
        return result;
    result = http_client_new(sink->host->loop, http, &sink->client, err);
    if (result < 0)
        return result;
    open_handles(sink);
    ch_watch_begin(sink);
    uv_timer_start(&sink->tick, on_tick, TICK_MS, TICK_MS);
    return 0;
}

static int clickhouse_start(struct sink *sink, uint64_t *cursor, struct err *err)
{
    struct ch_memory memory;
    ch_memory_load(&sink->hosts, sink->host->disk, sink->memory_path, &memory);
    sink->has_stranger = memory.has_stranger;
    if (sink->again_through < memory.again_through)
        sink->again_through = memory.again_through;
    const struct clickhouse_options *options = sink->options;
    struct buffer password = {0};
    char *ca_file = ch_path(sink->host, options->tls_ca_file);
    int result = ch_password_read(options, sink->host, &password, err);
    struct http_options http = {
        .user = options->user,
        .password = options->password_file ? (const char *)password.data : NULL,
        .ca_file = ca_file,
        .connect_ms = options->connect_timeout_ms,
        .stall_ms = options->timeout_ms,
    };
    if (result == 0)
        result = connect_hosts(sink, *cursor, &http, err);
    explicit_bzero(password.data, password.size);
    buffer_fini(&password);
    free(ca_file);
    return result < 0 ? err_wrap(err, result, "sink %s", sink->host->name) : 0;
}

void ch_sink_login_again(struct sink *sink)
{
    struct buffer password = {0};
    struct err err;
    if (sink->options->password_file &&
        ch_password_read(sink->options, sink->host, &password, &err) == 0)
        http_client_login(sink->client, sink->options->user, (const char *)password.data, &err);
    explicit_bzero(password.data, password.size);
    buffer_fini(&password);
}

static void clickhouse_write(struct sink *sink, struct unit *unit)
{
    gw_assert(sink->client && !sink->closing);
    ch_send_unit(sink, unit);
    uv_timer_start(&sink->kick, on_kick, 0, 0);
}

/* ---- closing ---- */

void ch_sink_finish_closing(struct sink *sink)
{
    if (sink->closing_left == 0 && sink->encoding == 0)
        sink->closed(sink->closed_arg); /* last: the lane may call fini from inside */
}

static void on_client_closed(void *arg)
{
    struct sink *sink = arg;
    sink->closing_left--;
    ch_sink_finish_closing(sink);
}

static void on_tick_closed(uv_handle_t *handle)
{
    on_client_closed(container_of((uv_timer_t *)handle, struct sink, tick));
}

static void on_kick_closed(uv_handle_t *handle)
{
    on_client_closed(container_of((uv_timer_t *)handle, struct sink, kick));
}

static void clickhouse_close(struct sink *sink, void (*closed)(void *arg), void *arg)
{
    gw_assert(!sink->closing);
    sink->closing = true;
    sink->closed = closed;
    sink->closed_arg = arg;
    open_handles(sink);
    sink->closing_left = sink->client ? 3 : 2;
    if (sink->client)
        http_client_close(sink->client, on_client_closed, sink); /* it lets go of our bytes */
    uv_close((uv_handle_t *)&sink->tick, on_tick_closed);
    uv_close((uv_handle_t *)&sink->kick, on_kick_closed);
    /* What was sent may be stored or not; the same bytes come again after a restart. */
    ch_send_give_up(sink);
}

static void clickhouse_fini(struct sink *sink)
{
    if (sink == NULL)
        return;
    gw_assert(sink->works == NULL && sink->encoding == 0);
    ch_send_rest(sink);
    http_client_free(sink->client);
    ch_hosts_fini(&sink->hosts);
    free(sink->memory_path);
    free(sink->watches);
    free(sink->shapes);
    free(sink->shards);
    free(sink);
}

const struct sink_type sink_clickhouse = {
    .name = "clickhouse",
    .summary = "rows in a ClickHouse table, one block an INSERT, over HTTP",
    .options = clickhouse_option_rows,
    .options_size = sizeof(struct clickhouse_options),
    .unit_rows_max = clickhouse_unit_rows_max,
    .unit_age_max_ms = clickhouse_unit_age_max_ms,
    .open_units_max = clickhouse_open_units_max,
    .settle_ms = clickhouse_settle_ms,
    .check = clickhouse_check,
    .init = clickhouse_init,
    .start = clickhouse_start,
    .write = clickhouse_write,
    .close = clickhouse_close,
    .fini = clickhouse_fini,
    .metrics = ch_metrics,
    .probe = ch_try,
};
