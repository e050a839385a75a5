/* SPDX-License-Identifier: Apache-2.0
 *
 * A replay as a file: what was asked for, how far it is, what it found. Text, a line a fact, so that
 * an operator can read it (gateway/journal/FORMAT.md, "replay jobs"). Whoever holds the job.
 */
#ifndef TIDEGATE_REPLAY_JOB_H
#define TIDEGATE_REPLAY_JOB_H

#include "base/bytes.h"
#include "base/disk.h"
#include "base/err.h"
#include "base/identity.h"
#include "replay.h"

enum { REPLAY_EXAMPLES_MAX = 20 };

struct replay_job {
    struct replay_request request;
    char gateway[IDENTITY_TEXT_SIZE]; /* the journal it is about */
    struct replay_status status;      /* `id`, `source`, `sink` and `dry_run` repeat the request */
    struct buffer examples;           /* lines */
};
void replay_job_fini(struct replay_job *job); /* accepts a zeroed object */

/* GW_EINVAL with a sentence for people. */
int replay_request_check(const struct replay_request *request, struct err *err);
/* A deep copy. */
void replay_request_copy(struct replay_request *to, const struct replay_request *from);
/* "readings", "again", "letters"; "running", "stopped", "done", "failed". */
const char *replay_source_name(enum replay_source source);
const char *replay_state_name(enum replay_state state);

/* As text, appended; and back: GW_ECORRUPT (cut short, a line that is none of ours), GW_EVERSION. */
void replay_job_encode(const struct replay_job *job, struct buffer *out);
int replay_job_decode(struct bytes in, struct replay_job *out, struct err *err);

/* DIR/ID.replay: the old content or the new, never a mixture. GW_EFULL, GW_EIO. */
int replay_job_save(const struct disk *disk, const char *dir, const struct replay_job *job,
                    struct err *err);
int replay_job_load(const struct disk *disk, const char *dir, const char *id,
                    struct replay_job *out, struct err *err);
/* It is an error only when it is still there. */
int replay_job_remove(const struct disk *disk, const char *dir, const char *id, struct err *err);
/* The id in a file name of ours; false: no such name. */
bool replay_job_id(const char *name, char id[REPLAY_ID_SIZE]);

#endif
