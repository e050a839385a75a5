/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages from brokers that vendors have already: MQTT 5 or 3.1.1 through Eclipse Paho MQTT C, in
 * worker processes (one receive thread and one lock a process is what Paho has), each with an intake
 * file (intake.h). A source (sources/source.h); README.md says what is promised and what is not.
 */
#ifndef TIDEGATE_SOURCES_PAHO_PAHO_H
#define TIDEGATE_SOURCES_PAHO_PAHO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/option.h"
#include "journal/rawlog.h"
#include "sources/access.h"
#include "sources/source.h"
#include "sources/vendor.h"

/* One broker: an entry of the list `brokers` of the configuration. */
struct paho_options {
    char *name;   /* names intake files, the client id and metrics */
    char *url;    /* mqtt://HOST:PORT or mqtts://HOST:PORT, several of one cluster with commas */
    char *vendor; /* whose messages these are; null: the route says */
    char *user;
    char *password_file;
    char *client_id; /* null: tidegate-<identity>-<name>; "-<worker>" is put behind */
    char *group; /* of the shared subscription; null: "tidegate" with several workers, else none */
    char *tls_ca_file, *tls_certificate_file, *tls_key_file;
    int64_t workers;
    uint64_t intake_bytes; /* of each worker's file */
    int64_t keep_alive_s;
    int64_t session_expiry_s;
    int64_t receive_max;
    char **topics; /* filters; at least one */
    size_t topic_count;
    /* The one vendor that the routes of these topics can name; null: there are several, or the topic of
     * each message says. */
    char *routed_vendor;
};
extern const struct option paho_option_rows[]; /* all but topics and routed_vendor */
/* Whose limits hold its messages: its vendor, or the one of its routes; "": whoever comes without a
 * login. */
const char *paho_counts_for(const struct paho_options *options);

struct paho_place {
    const struct disk *disk;
    const char *dir; /* of the intake files; is there */
    struct rawlog *rawlog;
    struct access *access;        /* whose limits... */
    struct vendor_table *vendors; /* ...hold a broker's messages */
};
/* `options` and what `place` points to outlive the source. The positions are read from the recovered
 * raw log, so this comes before rawlog_start. What earlier workers left in their files, also those
 * that the configuration no longer names, is taken in first. */
struct source *paho_new(const struct paho_options *options, size_t count,
                        const struct paho_place *place, struct err *err);

/* Before close, on the main thread: the workers end their subscriptions and sessions, so that brokers
 * keep nothing for a gateway that does not come again. */
void paho_leave(struct source *source);

/* Any thread: the i-th worker, for status; false past the end. */
struct paho_worker_status {
    const char *broker;
    const char *vendor; /* whose limits hold it; null: left from an earlier configuration */
    unsigned worker;
    enum hold hold;     /* why nothing is moved on now */
    unsigned connected; /* MQTT version or 0 */
    uint64_t messages, bytes, connects, sessions_lost, oversize, holds, filters_refused;
    uint64_t restarts, damaged, waiting_bytes, room_bytes;
    char note[200];
};
bool paho_status(const struct source *source, size_t index, struct paho_worker_status *out);

/* For `tidegate doctor`: connect to the first of the broker's addresses that answers, with its login, as
 * a client of another name and without a session, and leave again; at most timeout_ms. GW_EIO says why
 * not. *version gets 5 or 4 (3.1.1). */
int paho_try(const struct paho_options *options, int64_t timeout_ms, int *version, struct err *err);

/* What a worker process does: settings on standard input (settings.h), until that is closed. The
 * exit code of the process. */
int paho_worker_main(void);
/* The verb behind which cli starts it; not for people. */
#define PAHO_WORKER_VERB "paho-worker"

#endif
