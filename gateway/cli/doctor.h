/* SPDX-License-Identifier: Apache-2.0
 *
 * `tidegate doctor`: what its files share. Each looks at one thing and tells findings; none changes
 * anything, and each is bounded in time. Main thread.
 */
#ifndef TIDEGATE_CLI_DOCTOR_H
#define TIDEGATE_CLI_DOCTOR_H

#include "cli/answer.h"
#include "config/config.h"

enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_ERROR, DOCTOR_LEVELS };

struct doctor {
    bool json;
    const struct config *config; /* null: it has errors, and they were told */
    const char *data;            /* null: nobody named a folder */
    const char *admin;           /* HOST:PORT of the gateway that may run */
    bool running;                /* it answers */
    bool answered;               /* and `status` holds what it told */
    struct answer status;
    struct buffer findings; /* as JSON */
    uint64_t counts[DOCTOR_LEVELS];
};

/* `about` is a word or two: "disk", "sink kafka". `action` says what to do; null where all is well. */
void doctor_tell(struct doctor *doctor, enum doctor_level level, const char *about,
                 const char *action, const char *format, ...) __attribute__((format(printf, 5, 6)));

void doctor_disk(struct doctor *doctor);    /* doctor_disk.c: speed, sync, space, file system */
void doctor_machine(struct doctor *doctor); /* doctor_machine.c: files, memory, clock */
void doctor_config(struct doctor *doctor);  /* doctor_config.c: what is allowed and unwise */
void doctor_certificates(struct doctor *doctor); /* doctor_certificates.c */
void doctor_gateway(struct doctor *doctor);      /* doctor_reach.c: the running one, or its ports */
void doctor_reach(struct doctor *doctor);        /* doctor_reach.c: sinks and brokers */

#endif
