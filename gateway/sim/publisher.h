/* SPDX-License-Identifier: Apache-2.0
 *
 * Many simulated meters that publish through a number of MQTT connections, at a rate, with faults to
 * order. One loop and one thread; stopped from a signal handler of that loop.
 */
#ifndef TIDEGATE_SIM_PUBLISHER_H
#define TIDEGATE_SIM_PUBLISHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "sim/client.h"
#include "sim/histogram.h"
#include "sim/payload.h"

enum { PUBLISHER_VENDORS_MAX = 16 };

struct publisher_vendor {
    char name[64];
    enum payload_format format;
    uint32_t share; /* of the meters, beside the others' shares */
};

struct publisher_options {
    struct client_options client;
    char client_prefix[64];
    int qos;
    struct publisher_vendor vendors[PUBLISHER_VENDORS_MAX];
    uint32_t vendor_count;
    uint64_t meters;
    uint32_t connections;
    int64_t interval_ms; /* a meter reads once in this simulated time */
    int64_t begin_ms;    /* simulated time of the first round */
    double rate;         /* messages a second; 0: as fast as they are acknowledged */
    uint64_t count;      /* readings in all, then the end; 0: no end */
    int64_t duration_ms; /* or the end after so long; 0: no end */
    int64_t patience_ms; /* nobody acknowledged anything for so long: give up */
    uint64_t seed;
    /* In thousandths of all messages; skewed: of all meters. */
    double duplicates, late, skewed, resets, garbage;
    const char *ledger; /* path, or null */
};

struct publisher_stats {
    uint64_t published; /* handed to a connection, without what was sent again */
    uint64_t acknowledged, refused;
    uint64_t resent;
    uint64_t connects, breaks;
    uint64_t in_flight;
    uint64_t payload_bytes;
    uint64_t duplicates, late, garbage, resets;
    uint32_t connections_up;
    int64_t began_ns, now_ns;        /* monotonic */
    const struct histogram *latency; /* from publish to acknowledgement */
    const char *last_break;          /* why a connection ended last; null */
};

struct publisher;
/* `options` outlives the publisher. progress() comes every progress_ms on the loop, may be null. */
int publisher_new(struct publisher **out, const struct publisher_options *options,
                  void (*progress)(void *arg, const struct publisher_stats *stats),
                  int64_t progress_ms, void *arg, struct err *err);
/* Until all is acknowledged, or SIGINT or SIGTERM came (then what is in flight gets a few seconds).
 * 0: everything published was acknowledged; GW_ECLOSED: given up, `err` says why; GW_EIO: the ledger
 * could not be written; GW_EINVAL: messages were refused. */
int publisher_run(struct publisher *publisher, struct err *err);
void publisher_stats(const struct publisher *publisher, struct publisher_stats *out);
void publisher_free(struct publisher *publisher);

#endif
