/* SPDX-License-Identifier: Apache-2.0
 *
 * Options of a broker, and the settings of one of its workers: written and read through the same
 * rows. Any thread.
 */
#include "sources/paho/settings.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/yaml.h"

#define MIB INT64_C(1048576)

#define AT(member) offsetof(struct paho_options, member)
const struct option paho_option_rows[] = {
    {.name = "name",
     .type = OPTION_STRING,
     .offset = AT(name),
     .help = "Names the broker in status, metrics and intake files; letters, digits, _ . -."},
    {.name = "url",
     .type = OPTION_STRING,
     .offset = AT(url),
     .help = "mqtt://HOST:PORT or mqtts://HOST:PORT; several of one cluster with commas: the first "
             "that answers is taken."},
    {.name = "vendor",
     .type = OPTION_STRING,
     .offset = AT(vendor),
     .help = "Whose messages these are; default: what the route says. Its limits hold this broker; "
             "where the routes of `topics` can name several vendors, those of section `quota` do."},
    {.name = "user", .type = OPTION_STRING, .offset = AT(user), .help = "User name at the broker."},
    {.name = "password_file",
     .type = OPTION_PATH,
     .offset = AT(password_file),
     .help = "File with the password; its first line counts."},
    {.name = "client_id",
     .type = OPTION_STRING,
     .offset = AT(client_id),
     .help = "Stable client id, to which -0, -1 ... of the worker is added; default: "
             "tidegate-<identity>-<name>."},
    {.name = "group",
     .type = OPTION_STRING,
     .offset = AT(group),
     .help = "Group of the shared subscription; default: tidegate when there are several workers, "
             "none with one."},
    {.name = "workers",
     .type = OPTION_INT,
     .offset = AT(workers),
     .def = "1",
     .min = 1,
     .max = 64,
     .help = "Processes that share the subscription; one takes about 40,000 messages a second."},
    {.name = "intake_size",
     .type = OPTION_SIZE,
     .offset = AT(intake_bytes),
     .def = "64MiB",
     .min = 4 * MIB,
     .max = 4096 * MIB,
     .help = "File of each worker in which messages wait for the journal; a message may be a "
             "quarter of it."},
    {.name = "keep_alive",
     .type = OPTION_INT,
     .offset = AT(keep_alive_s),
     .def = "30",
     .min = 5,
     .max = 65535,
     .help = "Seconds between signs of life to the broker."},
    {.name = "session_expiry",
     .type = OPTION_INT,
     .offset = AT(session_expiry_s),
     .def = "604800",
     .min = 60,
     .max = 4294967295,
     .help = "Seconds for which the broker is asked to keep messages while we are away."},
    {.name = "receive_max",
     .type = OPTION_INT,
     .offset = AT(receive_max),
     .def = "1000",
     .min = 1,
     .max = 65535,
     .help = "Messages that the broker may send before an acknowledgement (MQTT 5)."},
    {.name = "tls_ca_file",
     .type = OPTION_PATH,
     .offset = AT(tls_ca_file),
     .help = "Certificates to trust for mqtts; default: those of the system."},
    {.name = "tls_certificate_file",
     .type = OPTION_PATH,
     .offset = AT(tls_certificate_file),
     .help = "Our own certificate, with its chain, for mutual TLS."},
    {.name = "tls_key_file",
     .type = OPTION_PATH,
     .offset = AT(tls_key_file),
     .help = "Its private key, without a pass phrase."},
    {0},
};
#undef AT

#define AT(member) offsetof(struct paho_settings, member)
#define TEXT_ROW(member)                                                                           \
    {                                                                                              \
        .name = #member, .type = OPTION_STRING, .offset = AT(member), .help = ""                   \
    }
#define INT_ROW(member)                                                                            \
    {                                                                                              \
        .name = #member, .type = OPTION_INT, .offset = AT(member), .def = "0", .min = 0,           \
        .max = INT64_MAX, .help = ""                                                               \
    }
static const struct option settings_rows[] = {
    TEXT_ROW(intake),          TEXT_ROW(identity),    TEXT_ROW(url),
    TEXT_ROW(filters),         TEXT_ROW(client_id),   TEXT_ROW(user),
    TEXT_ROW(password_file),   TEXT_ROW(tls_ca_file), TEXT_ROW(tls_certificate_file),
    TEXT_ROW(tls_key_file),    INT_ROW(wake_fd),      INT_ROW(keep_alive_s),
    INT_ROW(session_expiry_s), INT_ROW(receive_max),  {0},
};
#undef AT

void paho_settings_fini(struct paho_settings *settings)
{
    option_fini(settings_rows, settings);
    *settings = (struct paho_settings){0};
}

/* A double-quoted YAML scalar. */
static void quoted(const char *text, struct buffer *out)
{
    buffer_u8(out, '"');
    for (; *text; text++) {
        unsigned char letter = (unsigned char)*text;
        if (letter == '"' || letter == '\\')
            buffer_printf(out, "\\%c", letter);
        else if (letter < 0x20 || letter == 0x7f)
            buffer_printf(out, "\\x%02x", letter);
        else
            buffer_u8(out, letter);
    }
    buffer_u8(out, '"');
}

void paho_settings_write(const struct paho_settings *settings, struct buffer *out)
{
    for (const struct option *row = settings_rows; row->name; row++) {
        const char *member = (const char *)settings + row->offset;
        if (row->type == OPTION_INT) {
            int64_t value;
            memcpy(&value, member, sizeof value);
            buffer_printf(out, "%s: %" PRId64 "\n", row->name, value);
            continue;
        }
        const char *text;
        memcpy(&text, member, sizeof text);
        if (text == NULL)
            continue;
        buffer_printf(out, "%s: ", row->name);
        quoted(text, out);
        buffer_u8(out, '\n');
    }
    buffer_u8(out, '\0');
}

int paho_settings_read(struct bytes text, struct paho_settings *out, struct err *err)
{
    struct yaml yaml;
    struct buffer errors = {0};
    *out = (struct paho_settings){0};
    option_defaults(settings_rows, out);
    int rc = yaml_parse(&yaml, text, "settings", &errors);
    if (rc == 0 && yaml.root)
        rc = yaml_set_options(&yaml, yaml.root, settings_rows, out, NULL);
    bool whole = out->intake && out->identity && out->url && out->filters && out->client_id;
    if (rc || !whole) {
        buffer_u8(&errors, '\0');
        err_set(err, GW_EINVAL, "settings of a worker: %s",
                rc ? (const char *)errors.data : "something is missing");
        rc = GW_EINVAL;
    }
    yaml_fini(&yaml);
    buffer_fini(&errors);
    if (rc)
        paho_settings_fini(out);
    return rc;
}

const char *paho_counts_for(const struct paho_options *options)
{
    return options->vendor ? options->vendor : options->routed_vendor ? options->routed_vendor : "";
}

static char *copy(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

void paho_settings_make(const struct paho_options *options, unsigned worker, const char *intake,
                        const char *identity, struct paho_settings *out)
{
    struct buffer filters = {0};
    const char *group = options->group ? options->group : options->workers > 1 ? "tidegate" : NULL;
    for (size_t i = 0; i < options->topic_count; i++)
        buffer_printf(&filters, "%s%s%s%s\n", group ? "$share/" : "", group ? group : "",
                      group ? "/" : "", options->topics[i]);
    buffer_u8(&filters, '\0');
    *out = (struct paho_settings){
        .intake = mem_strdup(intake),
        .identity = mem_strdup(identity),
        .url = copy(options->url),
        .filters = (char *)filters.data,
        .client_id = options->client_id
                         ? mem_printf("%s-%u", options->client_id, worker)
                         : mem_printf("tidegate-%s-%s-%u", identity, options->name, worker),
        .user = copy(options->user),
        .password_file = copy(options->password_file),
        .tls_ca_file = copy(options->tls_ca_file),
        .tls_certificate_file = copy(options->tls_certificate_file),
        .tls_key_file = copy(options->tls_key_file),
        .keep_alive_s = options->keep_alive_s,
        .session_expiry_s = options->session_expiry_s,
        .receive_max = options->receive_max,
    };
}
