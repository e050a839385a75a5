/* SPDX-License-Identifier: Apache-2.0
 *
 * An intake file: a ring of messages in a file that two processes have mapped. The worker, whose
 * client library acknowledges as soon as its callback returns, copies each message into it; the
 * gateway moves the messages to the raw log, and gives the room back when they are durable there.
 *
 * A shared mapping of a file survives kill -9 of both processes. It does not survive a power cut
 * by itself: what the gateway has not yet moved then (some milliseconds' worth, or up to the size of
 * the file while the journal takes nothing; see intake_sync) may be gone although the broker was
 * told otherwise. Nothing else is open: a checksum over each record and its position tells a whole
 * record from an old or torn one.
 *
 * Positions are counts of bytes since the file's first use and never go back, so (name, position)
 * names a message for ever (rawlog.h, RECORD_INTAKE). One producer thread, one consumer thread, in
 * processes of their own.
 */
#ifndef TIDEGATE_SOURCES_PAHO_INTAKE_H
#define TIDEGATE_SOURCES_PAHO_INTAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/err.h"
#include "base/identity.h"
#include "model/message.h"

enum { INTAKE_NOTE_SIZE = 200 };

/* What the worker tells about itself; in the file, so the gateway reads it at any time. */
struct intake_worker {
    _Atomic uint32_t connected;     /* 0, or the MQTT version: 4, 5 */
    _Atomic uint64_t connects;      /* since the worker started */
    _Atomic uint64_t sessions_lost; /* connects at which the broker knew no session of ours */
    _Atomic uint64_t messages, bytes;
    _Atomic uint64_t oversize; /* larger than the file can hold: given up, see README */
    _Atomic uint64_t holds;    /* times the callback waited for room */
    _Atomic uint64_t filters_refused;
    _Atomic uint32_t note_version; /* odd while the note is being written */
    char note[INTAKE_NOTE_SIZE];   /* why it is not connected, for people; "" when all is well */
};

struct intake;

/* The gateway: open or make the file with `bytes` of room (a multiple of the page size; an existing
 * file keeps its own). `durable` is how far the raw log says it was taken. What lies before is
 * given back at once. GW_EINVAL: the file of another journal. */
int intake_open(struct intake **out, const struct disk *disk, const char *path,
                struct identity identity, uint64_t bytes, uint64_t durable, struct err *err);
/* The worker: open what the gateway made. */
int intake_attach(struct intake **out, const struct disk *disk, const char *path,
                  struct identity identity, struct err *err);
void intake_close(struct intake *intake); /* accepts null */
struct intake_worker *intake_worker(struct intake *intake);
/* The note, whole, as it is now. */
void intake_note_set(struct intake *intake, const char *text);
void intake_note(struct intake *intake, char out[INTAKE_NOTE_SIZE]);

/* ---- the worker's side ---- */

/* A message that is larger can never be held. */
uint64_t intake_message_max(const struct intake *intake);
/* Copy the message in; waits for room as long as alive(arg) says, asked every 100 ms. True: it is
 * in, and survives kill -9. vendor, client, seq and received_ms are not kept. *wake tells that the
 * consumer sleeps and has to be woken. */
bool intake_put(struct intake *intake, const struct message *message, bool (*alive)(void *arg),
                void *arg, bool *wake);

/* ---- the gateway's side ---- */

enum intake_take {
    INTAKE_EMPTY = 0,
    INTAKE_MESSAGE = 1,
    INTAKE_DAMAGED = 2, /* *end: behind it; what lay there cannot be read (a power cut) */
};
/* The next message; its bytes stay until intake_release passes them. *end is its position: what
 * the raw log must say when it is durable. intake_taken is where it begins. */
uint64_t intake_taken(const struct intake *intake);
enum intake_take intake_take(struct intake *intake, struct message *out, uint64_t *end);
/* The message that was taken last, and begins at `position`, comes again. */
void intake_untake(struct intake *intake, uint64_t position);
bool intake_empty(const struct intake *intake); /* nothing to take */
/* Everything up to `position` is durable elsewhere: the worker may use the room again. Positions
 * ascend. */
void intake_release(struct intake *intake, uint64_t position);
/* Before sleeping: false when there is something to take after all. */
bool intake_sleep(struct intake *intake);
/* Write the mapping to the medium: for when the raw log takes nothing, so that a power cut then
 * loses nothing that waits here. */
int intake_sync(struct intake *intake, struct err *err);
uint64_t intake_waiting_bytes(const struct intake *intake); /* put in and not yet released */
uint64_t intake_room_bytes(const struct intake *intake);    /* of the whole file */

#endif
