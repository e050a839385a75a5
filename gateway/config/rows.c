/* SPDX-License-Identifier: Apache-2.0
 *
 * Every option of the configuration, one row each; parser, help and reference come from here. The
 * rows of section `mqtt` stand with the listener, those of a sink with the sink, those of a codec's
 * mapping in its README.
 */
#include "base/log.h"
#include "config/load.h"

#define KIB    (INT64_C(1) << 10)
#define MIB    (INT64_C(1) << 20)
#define GIB    (INT64_C(1) << 30)
#define SECOND INT64_C(1000)
#define DAY    (24 * 3600 * SECOND)

static const char *const anonymous_names[] = {"refuse", "loopback", "allow", NULL};
static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};
static const char *const subscribe_names[] = {"refuse", "accept", NULL};
static const char *const qos0_names[] = {"hold", "drop", NULL};
static const char *const when_full_names[] = {"hold", "park", NULL}; /* enum config_when_full */
static const char *const kind_names[] = {"gauge", "counter", "state", "alarm", NULL};

const struct option config_top_rows[] = {
    {.name = "data",
     .type = OPTION_PATH,
     .offset = offsetof(struct config, data),
     .help = "Folder of journal, dead letters and state; --data wins over it."},
    {.name = "timezone",
     .type = OPTION_STRING,
     .offset = offsetof(struct config, timezone),
     .def = "UTC",
     .help = "Zone of device times that come without one, for vendors and routes that name none: "
             "an offset as +08:00, or a name as Asia/Shanghai."},
    {.name = "anonymous",
     .type = OPTION_ENUM,
     .offset = offsetof(struct config, anonymous),
     .def = "refuse",
     .names = anonymous_names,
     .help = "Who may publish without a user name: nobody, clients on this machine, or everybody."},
    {.name = "core_dumps",
     .type = OPTION_BOOL,
     .offset = offsetof(struct config, core_dumps),
     .def = "false",
     .help =
         "Whether a crash may leave the memory in a core file: messages, passwords and keys are "
         "in it. Needs a limit that allows it (ulimit -c, LimitCORE), and a restart."},
    {0},
};

#define AT(member) offsetof(struct admin_options, member)
const struct option config_admin_rows[] = {
    {.name = "listen",
     .type = OPTION_ADDRESS,
     .offset = AT(listen),
     .def = "127.0.0.1:9464",
     .help =
         "Where /metrics, /healthz, /readyz, /status, /tail and /replay are served. Beyond this "
         "machine it needs token_file, certificate_file and key_file."},
    {.name = "certificate_file",
     .type = OPTION_PATH,
     .offset = AT(certificate_file),
     .help =
         "PEM: its certificate, then the authorities between; with it, HTTPS is spoken (TLS 1.2 "
         "and 1.3). Read again on SIGHUP."},
    {.name = "key_file",
     .type = OPTION_PATH,
     .offset = AT(key_file),
     .help = "PEM: its key, which others may not read (mode 640). Read again on SIGHUP."},
    {.name = "token_file",
     .type = OPTION_PATH,
     .offset = AT(token_file),
     .help = "Lines `NAME ROLE TOKEN`; the role is metrics (only /metrics), read (whatever changes "
             "nothing) or operate (all); a line of a token alone is one of role operate. Asked for "
             "everywhere but /healthz and /readyz. Several of one name rotate. Read again on "
             "SIGHUP."},
    {.name = "insecure",
     .type = OPTION_BOOL,
     .offset = AT(insecure),
     .def = "false",
     .help = "Allow plain HTTP beyond this machine, where something before it does TLS. Tokens are "
             "needed all the same."},
    {0},
};
#undef AT

static const struct option log_rows[] = {
    {.name = "level",
     .type = OPTION_ENUM,
     .offset = offsetof(struct config, log_level),
     .def = "info",
     .names = level_names,
     .help = "The least important events that are still written to standard error."},
    {.name = "format",
     .type = OPTION_ENUM,
     .offset = offsetof(struct config, log_format),
     .def = "auto",
     .names = log_format_names,
     .help = "Lines for people (text), JSON objects (json), or what fits: text on a terminal, JSON "
             "otherwise. `tidegate validate --events` lists the events."},
    {0},
};

#define AT(member) offsetof(struct config_audit, member)
static const struct option audit_rows[] = {
    {.name = "dir",
     .type = OPTION_PATH,
     .offset = AT(dir),
     .help = "Folder of the audit log; default: `audit` in the data folder. A change needs a "
             "restart."},
    {.name = "keep",
     .type = OPTION_DURATION,
     .offset = AT(keep_ms),
     .def = "200d",
     .min = 0,
     .max = 3650 * DAY,
     .help = "How long its files, one a day, are kept; 0: for ever. A change needs a restart."},
    {0},
};
#undef AT

#define AT(member) offsetof(struct config_journal, member)
static const struct option journal_rows[] = {
    {.name = "segment_size",
     .type = OPTION_SIZE,
     .offset = AT(segment_bytes),
     .def = "64MiB",
     .min = MIB,
     .max = 4 * GIB,
     .help = "Size of one file of a log; it is reserved whole."},
    {.name = "extent_size",
     .type = OPTION_SIZE,
     .offset = AT(extent_bytes),
     .def = "1MiB",
     .min = 4 * KIB,
     .max = 64 * MIB,
     .help = "At most so many bytes are committed with one write and sync."},
    {.name = "memory",
     .type = OPTION_SIZE,
     .offset = AT(memory_bytes),
     .def = "64MiB",
     .min = MIB,
     .max = 64 * GIB,
     .help = "Memory for messages that wait for the disk; when it is used up, sockets are not "
             "read until there is room."},
    {.name = "compression",
     .type = OPTION_INT,
     .offset = AT(compression),
     .def = "1",
     .min = 0,
     .max = 9,
     .help = "zstd level of the logs; 0 stores them as they are."},
    {.name = "max_size",
     .type = OPTION_SIZE,
     .offset = AT(max_bytes),
     .def = "40GiB",
     .min = 4 * MIB,
     .max = INT64_C(1) << 50,
     .help = "Limit of the raw log and of the reading log, each; at it, nothing more is taken in."},
    {.name = "reserve",
     .type = OPTION_SIZE,
     .offset = AT(reserve_bytes),
     .def = "256MiB",
     .min = 0,
     .max = INT64_C(1) << 50,
     .help = "Free space on the volume that the logs leave alone."},
    {.name = "keep",
     .type = OPTION_DURATION,
     .offset = AT(keep_ms),
     .def = "7d",
     .min = 0,
     .max = 3650 * DAY,
     .help = "How long history is kept beyond what destinations still need."},
    {.name = "keep_size",
     .type = OPTION_SIZE,
     .offset = AT(keep_bytes),
     .def = "20GiB",
     .min = 0,
     .max = INT64_C(1) << 50,
     .help = "How much history is kept beyond what destinations still need."},
    {.name = "dead_size",
     .type = OPTION_SIZE,
     .offset = AT(dead_bytes),
     .def = "1GiB",
     .min = 4 * MIB,
     .max = INT64_C(1) << 50,
     .help = "Limit of the dead letters; beyond it the oldest are dropped."},
    {.name = "dead_keep",
     .type = OPTION_DURATION,
     .offset = AT(dead_keep_ms),
     .def = "90d",
     .min = 0,
     .max = 3650 * DAY,
     .help = "How long dead letters are kept."},
    {0},
};
#undef AT

#define AT(member) offsetof(struct config_decode, member)
static const struct option decode_rows[] = {
    {.name = "readings_max",
     .type = OPTION_INT,
     .offset = AT(readings_max),
     .def = "10000",
     .min = 1,
     .max = 1000000,
     .help = "A message that holds more readings becomes a dead letter."},
    {.name = "batch_rows",
     .type = OPTION_INT,
     .offset = AT(batch_rows),
     .def = "100000",
     .min = 1,
     .max = 10000000,
     .help = "A batch of the reading log is closed at so many readings."},
    {.name = "batch_age",
     .type = OPTION_DURATION,
     .offset = AT(batch_age_ms),
     .def = "200ms",
     .min = 1,
     .max = 60 * SECOND,
     .help = "Or after so long."},
    {.name = "meters_max",
     .type = OPTION_INT,
     .offset = AT(meters_max),
     .def = "2000000",
     .min = 1000,
     .max = 1000000000,
     .help = "Series (meter and metric) whose last reading is remembered, to tell late, repeated "
             "and falling ones; about 100 bytes each."},
    {.name = "late_days",
     .type = OPTION_INT,
     .offset = AT(late_days),
     .def = "400",
     .min = 1,
     .max = 36500,
     .help = "A device time further back than this is not believed: flag clock."},
    {.name = "ahead_max",
     .type = OPTION_DURATION,
     .offset = AT(ahead_ms),
     .def = "10m",
     .min = 0,
     .max = 366 * DAY,
     .help = "A device time further ahead than this is not believed: flag clock."},
    {0},
};
#undef AT

/* Once with defaults, for all; once without, for a vendor of its own. */
#define QUOTA_ROWS(member, def_0, def_hold)                                                        \
    {.name = "rate",                                                                               \
     .type = OPTION_INT,                                                                           \
     .offset = member + offsetof(struct config_quota, rate),                                       \
     .def = def_0,                                                                                 \
     .min = 0,                                                                                     \
     .max = 100000000,                                                                             \
     .help = "Messages a second; beyond, its connections are held. 0: as many as come."},          \
        {.name = "burst",                                                                          \
         .type = OPTION_INT,                                                                       \
         .offset = member + offsetof(struct config_quota, burst),                                  \
         .def = def_0,                                                                             \
         .min = 0,                                                                                 \
         .max = 100000000,                                                                         \
         .help = "Messages that may come at once before `rate` counts; 0: those of a second."},    \
        {.name = "byte_rate",                                                                      \
         .type = OPTION_SIZE,                                                                      \
         .offset = member + offsetof(struct config_quota, byte_rate),                              \
         .def = def_0,                                                                             \
         .min = 0,                                                                                 \
         .max = INT64_C(1) << 40,                                                                  \
         .help = "Bytes of topics and payloads a second; beyond, its connections are held. 0: "    \
                 "no limit."},                                                                     \
        {.name = "journal_share",                                                                  \
         .type = OPTION_INT,                                                                       \
         .offset = member + offsetof(struct config_quota, journal_share),                          \
         .def = def_0,                                                                             \
         .min = 0,                                                                                 \
         .max = 100,                                                                               \
         .help = "Percent of journal.max_size that its messages may take while destinations "      \
                 "still need them; beyond, its connections are held. 0: all of it."},              \
        {.name = "connections",                                                                    \
         .type = OPTION_INT,                                                                       \
         .offset = member + offsetof(struct config_quota, connections),                            \
         .def = def_0,                                                                             \
         .min = 0,                                                                                 \
         .max = 10000000,                                                                          \
         .help = "Connections at a time; beyond, a login is refused. 0: no limit."},               \
        {.name = "payload",                                                                        \
         .type = OPTION_SIZE,                                                                      \
         .offset = member + offsetof(struct config_quota, payload_bytes),                          \
         .def = def_0,                                                                             \
         .min = 0,                                                                                 \
         .max = INT64_C(1) << 30,                                                                  \
         .help = "Largest payload of a message; larger ones are refused for good. 0: no limit "    \
                 "but mqtt.max_packet."},                                                          \
        {.name = "topic_levels",                                                                   \
         .type = OPTION_INT,                                                                       \
         .offset = member + offsetof(struct config_quota, topic_levels),                           \
         .def = def_0,                                                                             \
         .min = 0,                                                                                 \
         .max = 65536,                                                                             \
         .help = "Most levels of a topic; beyond, refused for good. 0: no limit but "              \
                 "mqtt.topic_levels_max."},                                                        \
    {                                                                                              \
        .name = "qos0", .type = OPTION_ENUM,                                                       \
        .offset = member + offsetof(struct config_quota, qos0), .def = def_hold,                   \
        .names = qos0_names,                                                                       \
        .help = "What becomes of QoS 0 where the sender is to be held: hold it like the rest, "    \
                "or drop it and count it (tidegate_mqtt_dropped_total)."                           \
    }

static const struct option quota_rows[] = {QUOTA_ROWS(0, "0", "hold"), {0}};

#define AT(member) offsetof(struct config_login, member)
static const struct option login_rows[] = {
    {.name = "lockout_after",
     .type = OPTION_INT,
     .offset = AT(after),
     .def = "5",
     .min = 0,
     .max = 1000000,
     .help =
         "Wrong passwords for one user from one address before he must wait: a second, and twice "
         "as long each time. 0: never."},
    {.name = "lockout_max",
     .type = OPTION_DURATION,
     .offset = AT(max_ms),
     .def = "15m",
     .min = 1000,
     .max = DAY,
     .help = "The longest wait."},
    {.name = "address_failures",
     .type = OPTION_INT,
     .offset = AT(address_after),
     .def = "50",
     .min = 0,
     .max = 1000000,
     .help =
         "Likewise of one address, whoever is named; users who logged in from there before, and "
         "have not failed since, go on. 0: never."},
    {.name = "user_failures",
     .type = OPTION_INT,
     .offset = AT(user_after),
     .def = "200",
     .min = 0,
     .max = 1000000,
     .help =
         "Likewise of one user from all addresses, with waits up to a minute; addresses that he "
         "logged in from before go on. 0: never."},
    {0},
};
#undef AT

const struct config_section config_sections[] = {
    {"admin", config_admin_rows, offsetof(struct config, admin),
     "The HTTP interface for metrics, health and the other verbs."},
    {"log", log_rows, 0, "The program's own log."},
    {"audit", audit_rows, offsetof(struct config, audit),
     "The audit log: who signed in or was refused, administration, reloads, replays."},
    {"mqtt", listener_option_rows, offsetof(struct config, mqtt), "The MQTT listener."},
    {"tls", tls_option_rows, offsetof(struct config, mqtt.tls), "MQTT over TLS."},
    {"login", login_rows, offsetof(struct config, login),
     "What wrong passwords lead to; see also mqtt.login_threads and mqtt.address_exempt."},
    {"journal", journal_rows, offsetof(struct config, journal),
     "What is kept on disk: raw log, reading log, dead letters."},
    {"decode", decode_rows, offsetof(struct config, decode), "From messages to readings."},
    {"quota", quota_rows, offsetof(struct config, quota),
     "How much each vendor may send that has no figure of its own; those who come without a login "
     "count as one vendor."},
    {0},
};

#define AT(member) offsetof(struct vendor_entry, member)
const struct option config_vendor_rows[] = {
    {.name = "name",
     .type = OPTION_STRING,
     .offset = AT(name),
     .help = "Stands in the column `vendor`; letters, digits, _ . -, at most 64."},
    {.name = "passwords",
     .type = OPTION_PATH,
     .offset = AT(passwords),
     .help = "File of users, made with mosquitto_passwd; without one nobody logs in for this "
             "vendor. Seen from the configuration's folder."},
    {.name = "timezone",
     .type = OPTION_STRING,
     .offset = AT(timezone),
     .help = "Zone of its devices' times; default: the general `timezone`."},
    {.name = "subscribe",
     .type = OPTION_ENUM,
     .offset = AT(subscribe),
     .def = "refuse",
     .names = subscribe_names,
     .help = "What SUBSCRIBE is answered with; `accept` grants and delivers nothing, for devices "
             "that try for ever otherwise."},
    QUOTA_ROWS(offsetof(struct vendor_entry, quota), NULL, NULL),
    {0},
};
#undef AT

#define AT(member) offsetof(struct metric_entry, member)
const struct option config_metric_rows[] = {
    {.name = "name",
     .type = OPTION_STRING,
     .offset = AT(name),
     .help = "As it stands in the column `metric`: small letters, digits, _ . -."},
    {.name = "unit",
     .type = OPTION_STRING,
     .offset = AT(unit),
     .def = "",
     .help = "The unit that values are converted to; empty for pure numbers."},
    {.name = "kind",
     .type = OPTION_ENUM,
     .offset = AT(kind),
     .def = "gauge",
     .names = kind_names,
     .help = "A counter only grows; a state is a small whole number; an alarm is 0 or 1."},
    {.name = "event",
     .type = OPTION_BOOL,
     .offset = AT(event),
     .def = "false",
     .help = "Whether it also goes to the event topic."},
    {.name = "min",
     .type = OPTION_STRING,
     .offset = AT(min),
     .help = "Below this a value is kept and flagged `range`; goes with `max`."},
    {.name = "max",
     .type = OPTION_STRING,
     .offset = AT(max),
     .help = "Above this a value is kept and flagged `range`; goes with `min`."},
    {.name = "help",
     .type = OPTION_STRING,
     .offset = AT(help),
     .def = "",
     .help = "One sentence for people."},
    {0},
};
#undef AT

#define AT(member) offsetof(struct route_entry, member)
const struct option config_route_rows[] = {
    {.name = "topic",
     .type = OPTION_STRING,
     .offset = AT(topic),
     .help = "Pattern: levels are text, + (any), # (all that follow), {vendor}, {device}, or "
             "{name} for the mapping. The first route that fits is taken."},
    {.name = "codec",
     .type = OPTION_STRING,
     .offset = AT(codec),
     .help = "The payload format: `tidegate decode --help` lists them."},
    {.name = "vendor",
     .type = OPTION_STRING,
     .offset = AT(vendor),
     .help = "Whose readings these are; default: {vendor} of the topic, or the login's."},
    {.name = "timezone",
     .type = OPTION_STRING,
     .offset = AT(timezone),
     .help = "Zone of device times on this route; default: the vendor's."},
    {.name = "mapping",
     .type = OPTION_PATH,
     .offset = AT(mapping),
     .help = "File with the codec's own options (codecs/<codec>/README.md), seen from the "
             "configuration's folder."},
    {0},
};
#undef AT

#define AT(member) offsetof(struct sink_entry, member)
const struct option config_sink_rows[] = {
    {.name = "type", .type = OPTION_STRING, .offset = AT(type), .help = "The destination's kind."},
    {.name = "name",
     .type = OPTION_STRING,
     .offset = AT(name),
     .help = "Unique; names its cursor file. Default: the type."},
    {.name = "when_full",
     .type = OPTION_ENUM,
     .offset = AT(when_full),
     .def = "hold",
     .names = when_full_names,
     .help = "When the logs are full and this sink still needs their oldest part: hold takes "
             "nothing more in until it has caught up; park gives up that part for this sink, notes "
             "the range (`tidegate lane ls`) and raises an alarm."},
    {.name = "start",
     .type = OPTION_STRING,
     .offset = AT(start),
     .def = "earliest",
     .help =
         "Where a sink begins that has no cursor yet: earliest (all that the logs hold), latest "
         "(what comes from now on), or from what was received since a time, as "
         "2026-11-01T08:00:00+08:00, or a day in UTC, as 2026-11-01."},
    {0},
};
#undef AT

static const struct config_extra vendor_extra[] = {
    {"topics", "list of topic filters",
     "Where it may publish, with + and #; default: the topics of its routes."},
    {0},
};
static const struct config_extra broker_extra[] = {
    {"topics", "list of topic filters", "What is subscribed there, with + and #."},
    {0},
};
static const struct config_extra route_extra[] = {
    {"options", "mapping", "The codec's own options in place of a file."},
    {0},
};

const struct config_list config_lists[] = {
    {"metrics", config_metric_rows, NULL, "Additions to the vocabulary of metrics.",
     CONFIG_LIST_MAX, config_metric_read},
    {"vendors", config_vendor_rows, vendor_extra, "Who may log in, and publish where.",
     CONFIG_LIST_MAX, config_vendor_read},
    {"brokers", paho_option_rows, broker_extra,
     "MQTT brokers that vendors have already, to take messages from.", CONFIG_SINKS_MAX,
     config_broker_read},
    {"captures", capture_option_rows, NULL,
     "Files of `tidegate journal export` to play, in their order, each once.", CONFIG_SINKS_MAX,
     config_capture_read},
    {"routes", config_route_rows, route_extra,
     "From topic to payload format; what fits no route becomes a dead letter.", CONFIG_LIST_MAX,
     config_route_read},
    {"sinks", config_sink_rows, NULL,
     "Where readings go; each destination has options of its own beside these.", CONFIG_SINKS_MAX,
     config_sink_read},
    {0},
};
