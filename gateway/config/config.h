/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration: YAML text to one plain struct. Every option is a row of a table
 * (base/option.h); all errors are reported at once. Read-only after loading, any thread.
 */
#ifndef TIDEGATE_CONFIG_CONFIG_H
#define TIDEGATE_CONFIG_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/admin.h"
#include "base/bytes.h"
#include "base/disk.h"
#include "base/err.h"
#include "base/option.h"
#include "codecs/codec.h"
#include "model/metric.h"
#include "sinks/sink.h"
#include "sources/access.h"
#include "sources/capture/capture.h"
#include "sources/mqtt/listener.h"
#include "sources/paho/paho.h"

/* Section `login`. */
struct config_login {
    int64_t after, address_after, user_after; /* failures; 0: never */
    int64_t max_ms;
};

/* Section `journal`. */
struct config_journal {
    uint64_t segment_bytes; /* 64MiB */
    uint64_t extent_bytes;  /* 1MiB */
    uint64_t memory_bytes;  /* 64MiB: chunks that wait for the disk */
    int64_t compression;    /* zstd level, 0..9; 1 */
    uint64_t max_bytes;     /* 40GiB: of the raw log and of the reading log, each */
    uint64_t reserve_bytes; /* 256MiB: free space on the volume that is left alone */
    int64_t keep_ms;        /* 7d: history beyond what cursors need */
    uint64_t keep_bytes;    /* 20GiB */
    uint64_t dead_bytes;    /* 1GiB: dead letters, oldest dropped beyond */
    int64_t dead_keep_ms;   /* 90d */
};

/* Section `audit`. */
struct config_audit {
    char *dir;       /* null: DIR/audit */
    int64_t keep_ms; /* 200d; 0: for ever */
};

/* Section `decode`. */
struct config_decode {
    int64_t readings_max; /* of one message; 10000 */
    int64_t batch_rows;   /* a batch is closed at so many; 100000 */
    int64_t batch_age_ms; /* or after so long; 200ms */
    int64_t meters_max;   /* series the normaliser remembers; 2000000 */
    int64_t late_days;    /* device time further back is implausible; 400 */
    int64_t ahead_ms;     /* or further ahead; 10m */
};

/* Section `quota`, and the same of one vendor; 0: no limit. */
struct config_quota {
    int64_t rate, burst; /* messages */
    uint64_t byte_rate;
    int64_t journal_share; /* percent */
    int qos0;              /* 0 hold, 1 drop */
    int64_t connections;
    uint64_t payload_bytes;
    int64_t topic_levels;
};

struct config_vendor {
    char *name;
    char *timezone;  /* default: Asia/Shanghai is never assumed; "+08:00" stands in the default */
    char *passwords; /* path or null */
    bool subscribe_accept;
    struct access_quota quota; /* what it does not say itself is that of section `quota` */
    char **topics;             /* filters it may publish to; default: those of its routes */
    size_t topic_count;
};

/* topic pattern -> codec. Levels: text, `+`, `#` (last), {vendor}, {device}, {name}. First match
 * wins, in the order of the file. */
struct config_route {
    char *topic;
    char *codec;
    char *vendor;       /* null: from {vendor} in the topic, or from the login */
    char *timezone;     /* null: the vendor's, or the default */
    void *codec_config; /* from codec->configure, owned */
    const struct codec *codec_type;
};

/* What a lane does when the journal is full for its sake (invariant 6). */
enum config_when_full {
    WHEN_FULL_HOLD, /* nothing that it still needs is deleted: the sources hold */
    WHEN_FULL_PARK, /* its oldest readings may go; the range is recorded, alarmed, to be replayed */
};

/* Where a lane without a cursor begins. */
enum config_start { START_EARLIEST, START_LATEST, START_TIME };

struct config_sink {
    char *name; /* unique; names its cursor file */
    enum config_when_full when_full;
    enum config_start start;
    int64_t start_ms; /* of START_TIME: receive time, UTC */
    const struct sink_type *type;
    void *options; /* of type->options_size, owned */
};

struct config {
    _Atomic uint32_t shares; /* references beside the first */
    char *path;              /* of the file, null for the embedded default */
    char *data;              /* folder of journal, dead letters, state */
    struct admin_options admin;
    char *timezone; /* default for vendors without one */
    int anonymous;  /* enum access_anonymous */
    bool core_dumps;
    int log_level;
    int log_format; /* enum log_format */
    struct config_audit audit;
    struct config_login login;
    struct config_journal journal;
    struct config_decode decode;
    struct config_quota quota; /* of vendors that do not say, and of who comes without a login */
    struct listener_options mqtt;
    struct config_vendor *vendors;
    size_t vendor_count;
    struct config_route *routes;
    size_t route_count;
    struct config_sink *sinks;
    size_t sink_count;
    struct paho_options *brokers;
    size_t broker_count;
    struct capture_options *captures;
    size_t capture_count;
    struct vocabulary *vocabulary;
    uint64_t digest; /* changes when what decoding means changes: codec versions, routes, mappings,
                        zones, vocabulary. A new digest is a new decode generation */
};

/* Parse and check everything, mappings and password files included. On GW_EINVAL `errors` holds one
 * error after the other, each with file:line:column, the line, a caret, and what to do. */
int config_load(const char *path, const struct disk *disk, struct config **out,
                struct buffer *errors);

/* What the command line tells in place of a file; null: the default, or no such sink. */
struct config_places {
    const char *data, *listen, *admin;
    const char *kafka;      /* HOST:PORT[,HOST:PORT...]: a sink of that type beside Parquet */
    const char *clickhouse; /* http://HOST:PORT/DATABASE[,...]: the same */
    const char *broker;     /* mqtt://HOST:PORT: messages to v1/# come from there, too */
    const char *capture,
        *capture_speed; /* a file to play, and how fast; null: as fast as it goes */
};
/* DESIGN 12, "Without a configuration file". */
int config_embedded(const struct config_places *places, struct config **out, struct buffer *errors);
/* The text that config_embedded parses, appended: `tidegate validate --embedded` prints it, to begin
 * a file with. Addresses and folder stand in it as they are by default. */
void config_embedded_text(const struct config_places *places, struct buffer *out);
/* What the command line wins over, for both: null leaves what is there. Before anybody else has the
 * configuration. */
int config_override(struct config *config, const char *data, const char *listen, const char *admin,
                    struct buffer *errors);
/* Counted references, for those who use it while it is replaced: whoever loaded it has one, and the
 * last config_free frees. */
struct config *config_acquire(struct config *config);
void config_free(struct config *config);        /* accepts null */
extern const struct option config_admin_rows[]; /* target: struct admin_options */
/* The reference: every option of every table with type, range, default and sentence. */
void config_reference(struct buffer *out);

/* A key whose value is a list or a mapping; ends with a null name. */
struct config_extra {
    const char *name, *shape, *help;
};
/* The same in parts, for the manual: the options of the top level, then each section, list, codec and
 * sink. False behind the last. */
enum config_part_kind { PART_TOP, PART_SECTION, PART_LIST, PART_CODEC, PART_SINK };
struct config_part {
    enum config_part_kind kind;
    const char *name, *help;
    const struct option *rows;        /* null: a mapping that the codec's README describes */
    const struct config_extra *extra; /* of a list: keys that no row can describe; may be null */
};
bool config_part_at(size_t index, struct config_part *out);
/* What may stand there: "duration", "HOST:PORT or none"; behind "one of" the names of an enumeration. */
const char *config_type_name(const struct option *row);
/* "1h to 7d", for a row that has bounds; appends nothing for others. */
void config_bounds(const struct option *row, struct buffer *out);

#endif
