/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests of replays: logs in a folder, made by hand, and two sinks ("sink" and "other") that take
 * what a replay puts into their feeds, as a lane would, on threads of their own.
 */
#ifndef TIDEGATE_TESTS_REPLAY_KIT_H
#define TIDEGATE_TESTS_REPLAY_KIT_H

#include <pthread.h>

#include "base/clock.h"
#include "config/config.h"
#include "journal/rawlog.h"
#include "lib/temp_dir.h"
#include "replay.h"

enum { KIT_ROWS = 40, KIT_SEQS_MAX = 1 << 20 };

/* What a store holds of a reading, as text: "vendor/device metric ts" -> "value unit quality". */
struct kit_cell {
    char key[120], value[80];
    uint64_t seq, version;
    bool withdrawn;
};

struct kit_sink {
    pthread_mutex_t lock;
    struct feed *feed; /* of the replay that runs now */
    pthread_t thread;
    _Atomic bool ends;
    _Atomic uint64_t pause_after; /* takes no more than so many batches; 0: all */
    _Atomic uint64_t batches, rows;
    _Atomic uint64_t wrong; /* rows that are not as rkit_batches made them */
    bool by_seq;            /* check that, and count by number */
    uint8_t *seen;
    struct kit_cell *cells; /* of the others: a store that keeps the newest version of a key */
    size_t cell_count;
};

struct replay_kit {
    struct temp_dir folder;
    char *raw_dir, *readings_dir, *dead_dir, *state_dir, *again_dir, *jobs_dir, *refused_dir;
    const struct disk *disk; /* of the jobs */
    struct rawlog *rawlog;
    struct journal *readings, *dead;
    pthread_mutex_t config_lock;
    struct config *config;
    uint32_t generation;
    struct replays *replays;
    struct kit_sink sink, other;
    _Atomic int attached;
    struct replay_status status; /* of the last rkit_replay or rkit_wait_state */
    uint32_t next_batch;
};

int replay_kit_setup(void **state);
int replay_kit_teardown(void **state);
/* Stop and free the replays, open what is on disk again. `how` 1: the job files are put back as they
 * were when it was called, as a kill would leave them. */
void rkit_restart(struct replay_kit *kit, int how);
void rkit_open(struct replay_kit *kit);
void rkit_close(struct replay_kit *kit);

/* `count` batches of KIT_ROWS rows into the reading log; those of batch i, from `first` on, are
 * received at i * step_ms + row. One row a message. */
void rkit_batches(struct replay_kit *kit, uint32_t first, uint32_t count, int64_t step_ms);
/* The messages of `count` such batches into the raw log, with the topic site/<row % 4>/x. */
void rkit_messages(struct replay_kit *kit, uint32_t first, uint32_t count);
/* A message into the raw log; returns its number. */
uint64_t rkit_publish(struct replay_kit *kit, const char *topic, const char *payload);
/* Turn a bit in the body of the n-th extent of the oldest segment. */
void rkit_damage(struct replay_kit *kit, const char *dir, unsigned extent);

/* ---- a gateway that decodes ---- */

/* A configuration with one route, m/{vendor}, and these options of its JSON mapping (YAML lines);
 * the decode generation is that of the folder `state`. */
void rkit_config(struct replay_kit *kit, const char *options);
/* The live decoder, up to the end of the raw log, and a save of its memory. */
void rkit_decode(struct replay_kit *kit);
/* What the store of a sink holds under "vendor/device metric ts": "value unit quality", "withdrawn",
 * or "nothing". */
const char *rkit_cell(const struct kit_sink *sink, const char *key);
/* Keys that are held and not withdrawn. */
size_t rkit_cells(const struct kit_sink *sink);

/* Meter i in round r: a counter of r * 1000 + i, at 1000 * r, under m/acme; both of its names are in it. */
enum { RKIT_METERS = 4, RKIT_ROUNDS = 5 };
void rkit_publish_round(struct replay_kit *kit, int round);
void rkit_publish_rounds(struct replay_kit *kit);

/* Everything there is to the sink "sink"; its strings are not owned. */
struct replay_request rkit_request(enum replay_source source);
/* That, begun and waited for. */
void rkit_replay_all(struct replay_kit *kit, enum replay_source source);
/* Begin, and wait until it is over and the sink has everything. */
void rkit_replay(struct replay_kit *kit, const struct replay_request *request);
void rkit_wait_state(struct replay_kit *kit, const char *id, enum replay_state state);
void rkit_wait_paused(struct replay_kit *kit); /* the sink has taken pause_after batches */
/* Messages first .. last of rkit_batches that the sink has not seen. */
uint64_t rkit_missing(const struct replay_kit *kit, uint64_t first, uint64_t last);

#endif
