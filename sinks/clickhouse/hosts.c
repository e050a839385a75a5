/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads `url`, and keeps the book about hosts. Pure but for memory.
 */
#include "sinks/clickhouse/hosts.h"

#include <ctype.h>
#include <stdlib.h>

/* Uptimes are whole seconds, told a moment before we hear them. */
enum { UPTIME_SLACK_S = 3 };

/* ---- url ---- */

static struct bytes trim(struct bytes in)
{
    while (in.size && isspace(in.data[0]))
        in = bytes_of(in.data + 1, in.size - 1);
    while (in.size && isspace(in.data[in.size - 1]))
        in.size--;
    return in;
}

static int url_error(struct err *err, struct bytes url, const char *why)
{
    /* Never shown whole: somebody may have put a password into a parameter. */
    int size = 0;
    while (size < 100 && (size_t)size < url.size && !strchr("?#", url.data[size]))
        size++;
    return err_set(err, GW_EINVAL, "`url` \"%.*s\": %s", size, (const char *)url.data, why);
}

static bool take(struct bytes *in, const char *text)
{
    size_t size = strlen(text);
    if (in->size < size || strncasecmp((const char *)in->data, text, size) != 0)
        return false;
    *in = bytes_of(in->data + size, in->size - size);
    return true;
}

static bool database_valid(struct bytes name)
{
    for (size_t i = 0; i < name.size; i++)
        if (!isalpha(name.data[i]) && name.data[i] != '_' && (i == 0 || !isdigit(name.data[i])))
            return false;
    return name.size > 0 && name.size <= 64;
}

/* HOST, HOST:PORT, [v6], [v6]:PORT. `colon` gets where the port begins, or null. */
static bool authority_valid(struct bytes in, const uint8_t **colon)
{
    size_t i = 0;
    *colon = NULL;
    if (in.size && in.data[0] == '[') {
        for (i = 1;
             i < in.size && (isxdigit(in.data[i]) || in.data[i] == ':' || in.data[i] == '.');)
            i++;
        if (i < 3 || i == in.size || in.data[i++] != ']')
            return false;
    } else {
        while (i < in.size && (isalnum(in.data[i]) || strchr("-._", in.data[i])))
            i++;
        if (i == 0)
            return false;
    }
    if (i == in.size)
        return true;
    if (in.data[i] != ':')
        return false;
    *colon = in.data + i + 1;
    uint32_t port = 0;
    for (i++; i < in.size && isdigit(in.data[i]) && port < 65536; i++)
        port = port * 10 + (uint32_t)(in.data[i] - '0');
    return i == in.size && port >= 1 && port <= 65535;
}

static int host_read(struct ch_host *host, struct bytes url, struct err *err)
{
    struct bytes in = url, database = bytes_text("default");
    bool secure = take(&in, "https://");
    const uint8_t *colon;
    if (!secure && !take(&in, "http://"))
        return url_error(err, url, "give it as http://HOST:PORT/DATABASE, or https://");
    const uint8_t *slash = in.size ? memchr(in.data, '/', in.size) : NULL;
    if (slash) {
        struct bytes path = bytes_of(slash + 1, in.size - (size_t)(slash + 1 - in.data));
        in.size = (size_t)(slash - in.data);
        if (path.size)
            database = path;
    }
    if (!authority_valid(in, &colon))
        return url_error(err, url, "HOST:PORT is a name or address and a port of 1 to 65535");
    if (!database_valid(database))
        return url_error(err, url,
                         "a database is letters, digits and _, and nothing stands behind it");
    const char *port = colon ? "" : secure ? ":8443" : ":8123";
    host->name = mem_printf("%.*s%s", (int)in.size, (const char *)in.data, port);
    host->base = mem_printf("%s%s", secure ? "https://" : "http://", host->name);
    host->database = bytes_strdup(database);
    return 0;
}

/* The text up to `separator`, trimmed; *rest is what follows, its data null at the end. */
static struct bytes cut(struct bytes *rest, char separator)
{
    const uint8_t *at = rest->size ? memchr(rest->data, separator, rest->size) : NULL;
    struct bytes piece = *rest;
    if (at) {
        piece.size = (size_t)(at - rest->data);
        *rest = bytes_of(at + 1, rest->size - piece.size - 1);
    } else {
        *rest = (struct bytes){0};
    }
    return trim(piece);
}

static int host_add(struct ch_hosts *hosts, struct bytes url, struct err *err)
{
    if (hosts->count == HOSTS_MAX)
        return err_set(err, GW_EINVAL, "`url` names more than %d hosts", HOSTS_MAX);
    struct ch_host *host = &hosts->hosts[hosts->count];
    host->shard = hosts->shards;
    int result = host_read(host, url, err);
    if (result < 0)
        return result;
    hosts->count++;
    for (uint32_t i = 0; i + 1 < hosts->count; i++)
        if (strcmp(hosts->hosts[i].base, host->base) == 0 &&
            strcmp(hosts->hosts[i].database, host->database) == 0)
            return url_error(err, url, "stands there twice");
    return 0;
}

int ch_hosts_init(struct ch_hosts *hosts, const char *url, struct err *err)
{
    *hosts = (struct ch_hosts){.hosts = mem_zalloc(HOSTS_MAX * sizeof *hosts->hosts)};
    struct bytes rest = bytes_text(url ? url : "");
    int result = 0;
    if (trim(rest).size == 0)
        result = err_set(err, GW_EINVAL, "`url` is missing: http://HOST:PORT/DATABASE");
    else if (strchr(url, '@')) /* nothing of it is shown: a password may hold any separator */
        result =
            err_set(err, GW_EINVAL,
                    "`url` holds a name or password: they stand in `user` and `password_file`");
    while (result == 0 && rest.data) {
        struct bytes shard = cut(&rest, ';');
        while (result == 0 && shard.data)
            result = host_add(hosts, cut(&shard, ','), err);
        hosts->shards++;
    }
    if (result < 0)
        ch_hosts_fini(hosts);
    return result;
}

void ch_hosts_fini(struct ch_hosts *hosts)
{
    for (uint32_t i = 0; hosts->hosts && i < hosts->count; i++) {
        free(hosts->hosts[i].base);
        free(hosts->hosts[i].name);
        free(hosts->hosts[i].database);
    }
    free(hosts->hosts);
    *hosts = (struct ch_hosts){0};
}

/* ---- which one ---- */

static uint32_t place_in_shard(const struct ch_hosts *hosts, const struct ch_host *host)
{
    uint32_t place = 0;
    while (host > hosts->hosts && host[-1].shard == host->shard) {
        host--;
        place++;
    }
    return place;
}

uint64_t ch_hosts_bit(const struct ch_hosts *hosts, const struct ch_host *host)
{
    uint32_t place = place_in_shard(hosts, host);
    return 1ULL << (place < 63 ? place : 63);
}

struct ch_host *ch_hosts_pick(struct ch_hosts *hosts, uint32_t shard, uint64_t tried,
                              int64_t now_ms)
{
    struct ch_host *best = NULL;
    for (uint32_t i = 0; i < hosts->count; i++) {
        struct ch_host *host = &hosts->hosts[i];
        if (host->shard != shard || !host->checked || tried & ch_hosts_bit(hosts, host))
            continue;
        if (host->down_until_ms <= now_ms)
            return host;
        if (best == NULL || host->down_until_ms < best->down_until_ms)
            best = host;
    }
    return best;
}

struct ch_host *ch_hosts_first(struct ch_hosts *hosts, uint32_t shard)
{
    struct ch_host *host = hosts->hosts;
    while (host->shard != shard)
        host++;
    return host;
}

const struct ch_host *ch_hosts_peer(const struct ch_hosts *hosts, const struct ch_host *host)
{
    for (uint32_t i = 0; i < hosts->count; i++) {
        const struct ch_host *peer = &hosts->hosts[i];
        if (peer != host && peer->shard == host->shard && peer->checked)
            return peer;
    }
    return NULL;
}

/* ---- what became of it ---- */

/* Several requests that were under way together fail together: that is one failure. */
void ch_host_failed(struct ch_host *host, int64_t now_ms)
{
    atomic_fetch_add_explicit(&host->failures, 1, memory_order_relaxed);
    atomic_store_explicit(&host->up, false, memory_order_relaxed);
    if (host->silent_since_ms == 0)
        host->silent_since_ms = now_ms;
    if (now_ms < host->down_until_ms)
        return;
    host->backoff_ms = host->backoff_ms ? host->backoff_ms * 2 : HOST_BACKOFF_MS_MIN;
    if (host->backoff_ms > HOST_BACKOFF_MS_MAX)
        host->backoff_ms = HOST_BACKOFF_MS_MAX;
    host->down_until_ms = now_ms + host->backoff_ms;
}

void ch_host_answered(struct ch_host *host)
{
    atomic_store_explicit(&host->up, true, memory_order_relaxed);
    host->down_until_ms = 0;
    host->backoff_ms = 0;
    host->silent_since_ms = 0;
}

bool ch_host_uptime(struct ch_host *host, int64_t uptime_s, int64_t now_ms)
{
    bool known = host->uptime_at_ms != 0;
    int64_t passed_s = (now_ms - host->uptime_at_ms) / 1000;
    /* A hundredth for clocks that do not agree. */
    int64_t expected_s = host->uptime_s + passed_s - passed_s / 100 - UPTIME_SLACK_S;
    bool restarted = known && (uptime_s < expected_s || uptime_s < host->uptime_s);
    host->uptime_s = uptime_s;
    host->uptime_at_ms = now_ms;
    if (restarted)
        atomic_fetch_add_explicit(&host->restarts, 1, memory_order_relaxed);
    return restarted;
}

bool ch_host_at_risk(const struct ch_host *host, int64_t settle_ms)
{
    int64_t started_ms = host->uptime_at_ms - host->uptime_s * 1000;
    return host->confirmed_at_ms != 0 && host->confirmed_at_ms >= started_ms - settle_ms;
}
