/* SPDX-License-Identifier: Apache-2.0
 *
 * See audit_clickhouse.h: which server answers, and the parts that its questions have in common. Separate
 * from what is asked.
 */
#include <stdlib.h>

#include "cli/audit_clickhouse.h"

enum { PASSWORD_FILE_MAX = 4096 };

/* ---- hosts ---- */

static int password_read(const char *path, struct buffer *out, struct err *err)
{
    int rc = path ? disk_read_named(&disk_real, path, PASSWORD_FILE_MAX, out) : 0;
    if (rc < 0)
        return err_set(err, GW_EINVAL, "password file %s: %s", path, strerror(-rc));
    for (size_t i = 0; i < out->size; i++)
        if (out->data[i] == '\n' || out->data[i] == '\r' || out->data[i] == '\0')
            out->size = i;
    buffer_u8(out, '\0');
    return 0;
}

static char *path_of(const struct auditing *auditing, const char *path)
{
    if (path == NULL || path[0] == '\0')
        return NULL;
    return path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", auditing->options->data, path);
}

/* Version and columns: they decide how a time is written. */
static int host_probe(struct asking *asking, struct err *err)
{
    struct buffer answer = {0};
    int rc = clickhouse_ask_text(asking->ask, "SELECT version() FORMAT TabSeparated", &answer, err);
    if (rc == 0)
        rc = table_version_parse(buffer_bytes(&answer), &asking->shape, err);
    buffer_clear(&answer);
    buffer_clear(&asking->query);
    table_describe_query(asking->host->database, asking->options->table, &asking->query);
    buffer_u8(&asking->query, '\0');
    if (rc == 0)
        rc = clickhouse_ask_text(asking->ask, (const char *)asking->query.data, &answer, err);
    if (rc == 0)
        rc = table_describe_check(buffer_bytes(&answer), &asking->shape, err);
    buffer_fini(&answer);
    return rc;
}

static int host_connect(struct asking *asking, const struct ch_host *host, struct err *err)
{
    const struct audit_options *options = asking->auditing->options;
    bool own = options->clickhouse_user != NULL;
    struct buffer password = {0};
    const char *given = options->clickhouse_password_file; /* as every path of a command line */
    char *file = !own    ? path_of(asking->auditing, asking->options->password_file)
                 : given ? mem_strdup(given)
                         : NULL;
    char *ca_file = path_of(asking->auditing, asking->options->tls_ca_file);
    int rc = password_read(file, &password, err);
    const struct clickhouse_login login = {
        .user = own ? options->clickhouse_user : asking->options->user,
        .password = file ? (const char *)password.data : NULL,
        .ca_file = ca_file,
        .connect_ms = asking->options->connect_timeout_ms,
    };
    clickhouse_ask_free(asking->ask);
    asking->ask = NULL;
    asking->host = host;
    if (rc == 0)
        rc = clickhouse_ask_new(host->base, &login, &asking->ask, err);
    if (password.size)
        explicit_bzero(password.data, password.size);
    buffer_fini(&password);
    free(file);
    free(ca_file);
    return rc ? rc : host_probe(asking, err);
}

/* The first replica that answers. */
static int shard_connect(struct asking *asking, uint32_t shard, struct err *err)
{
    int rc = GW_EIO;
    for (uint32_t i = 0; i < asking->hosts.count && rc; i++)
        if (asking->hosts.hosts[i].shard == shard)
            rc = host_connect(asking, &asking->hosts.hosts[i], err);
    return rc;
}

int asking_shards(struct asking *asking, int (*question)(void *arg, struct err *err), void *arg,
                  struct err *err)
{
    int rc = 0;
    for (uint32_t shard = 0; shard < asking->hosts.shards && rc == 0; shard++) {
        rc = shard_connect(asking, shard, err);
        if (rc == 0)
            rc = question(arg, err);
    }
    return rc;
}

int asking_init(struct asking *asking, struct auditing *auditing, size_t cursor, struct err *err)
{
    *asking =
        (struct asking){.auditing = auditing, .options = auditing_sink(auditing, cursor)->options};
    return ch_hosts_init(&asking->hosts, asking->options->url, err);
}

void asking_fini(struct asking *asking)
{
    clickhouse_ask_free(asking->ask);
    ch_hosts_fini(&asking->hosts);
    buffer_fini(&asking->query);
}

/* ---- questions ---- */

const char *asking_time(const struct asking *asking)
{
    return asking->shape.columns[COLUMN_TS].wire == WIRE_DATETIME64
               ? "toUnixTimestamp64Milli(ts)"
               : "(toInt64(toUnixTimestamp(ts)) * 1000 + toInt64(ts_ms))";
}

void asking_add_hash(const struct asking *asking, bool with_seq, struct buffer *out)
{
    buffer_printf(out,
                  "sipHash64(concat(%svendor, '\\n', device, '\\n', metric, '\\n', toString(%s)))",
                  with_seq ? "toString(seq), '\\n', " : "", asking_time(asking));
}

void asking_add_table(const struct asking *asking, struct buffer *out)
{
    buffer_printf(out, " FROM `%s`.`%s`", asking->host->database, asking->options->table);
}

struct row_taking {
    struct asking *asking;
    size_t size;
    void (*row)(void *arg, struct reader *in);
    void *arg;
};

/* Rows of a fixed size, whatever the pieces that they come in. */
static int on_part(void *arg, struct bytes in)
{
    const struct row_taking *taking = arg;
    struct asking *asking = taking->asking;
    while (in.size) {
        size_t more = taking->size - asking->part_size;
        more = more < in.size ? more : in.size;
        memcpy(asking->part + asking->part_size, in.data, more);
        asking->part_size += more;
        in = bytes_of(in.data + more, in.size - more);
        if (asking->part_size < taking->size)
            break;
        struct reader reader = reader_of(bytes_of(asking->part, taking->size));
        taking->row(taking->arg, &reader);
        asking->part_size = 0;
    }
    return 0;
}

int asking_rows(struct asking *asking, size_t size, void (*row)(void *arg, struct reader *in),
                void *arg, struct err *err)
{
    struct row_taking taking = {asking, size, row, arg};
    gw_assert(size <= sizeof asking->part);
    asking->part_size = 0;
    int rc =
        clickhouse_ask_stream(asking->ask, buffer_bytes(&asking->query), on_part, &taking, err);
    return rc == 0 && asking->part_size
               ? err_set(err, GW_EIO, "%s: the answer is cut", asking->host->base)
               : rc;
}
