/* SPDX-License-Identifier: Apache-2.0
 *
 * Replays of a running gateway, as `replay` and `deadletter retry` ask for them: begin, follow to the
 * end, stop. Main thread.
 */
#ifndef TIDEGATE_CLI_REPLAY_JOB_H
#define TIDEGATE_CLI_REPLAY_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/http.h"

enum { REPLAY_JOB_ID_SIZE = 40 };

struct replay_ask {
    const char *source; /* "readings", "again", "letters" */
    const char *sink;   /* null: only of a dry run */
    int64_t from_ms, to_ms;
    const char *vendor, *device, *topic, *reason; /* null: all */
    int64_t rate;
    bool dry_run;
};

/* As people write it: RFC 3339 with a zone, a day (UTC; as an end, with all of it), `now`, or how
 * long ago (-2h). GW_EINVAL with a sentence. */
int replay_time_parse(const char *text, bool end, int64_t now_ms, int64_t *out, struct err *err);

/* Errors as of http_post. */
int replay_job_begin(struct http *http, const struct replay_ask *ask, char id[REPLAY_JOB_ID_SIZE],
                     struct err *err);
/* stop, resume, forget. */
int replay_job_act(struct http *http, const char *action, const char *id, struct err *err);

struct replay_follow {
    const char *verb;  /* for messages */
    const char *admin; /* for what to do next */
    bool json;         /* at the end the job as JSON, and nothing before */
};
/* Show how it goes until it ends; an interrupt stops it. Returns an exit code. */
int replay_job_follow(struct http *http, const char *id, const struct replay_follow *follow);
/* The last one followed was stopped so. */
bool replay_job_interrupted(void);

/* All that the gateway knows: a table, or its JSON. An exit code. */
int replay_job_list(struct http *http, const struct replay_follow *follow);

#endif
