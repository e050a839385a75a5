/* SPDX-License-Identifier: Apache-2.0
 *
 * Plays capture files (file.h) into the raw log, each once: the third source (sources/source.h), beside
 * the listener and the client of brokers. README.md says what becomes of receive times.
 */
#ifndef TIDEGATE_SOURCES_CAPTURE_CAPTURE_H
#define TIDEGATE_SOURCES_CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/option.h"
#include "journal/rawlog.h"
#include "sources/source.h"

enum capture_received { CAPTURE_RECEIVED_ORIGINAL, CAPTURE_RECEIVED_NOW };

/* One file: an entry of the list `captures` of the configuration. */
struct capture_options {
    char *file;
    char *speed; /* capture_speed_parse */
    int received;
};
extern const struct option capture_option_rows[];
/* "max": 0; else times the speed at which it was received, 0.001 to 1000000. */
bool capture_speed_parse(const char *text, double *out);

struct capture_place {
    const struct disk *disk;
    struct rawlog *rawlog;
    uint64_t memory_bytes; /* of the raw log; a quarter of it is taken at most */
};
/* Opens every file. `options` outlive the source. Positions are read from the recovered raw log, so this
 * comes before rawlog_start. GW_EINVAL: the same capture twice. */
int capture_new(const struct capture_options *options, size_t count,
                const struct capture_place *place, struct source **out, struct err *err);

enum capture_state {
    CAPTURE_WAITING, /* for the files before it */
    CAPTURE_PLAYING,
    CAPTURE_DONE,    /* all that is in it is in the raw log */
    CAPTURE_STOPPED, /* the file was cut: what is there is in the raw log; see `note` */
};

/* Any thread: the i-th file, for status; false past the end. */
struct capture_status {
    const char *file;
    char name[32]; /* "capture-0123456789abcdef" */
    enum capture_state state;
    uint64_t stored;    /* messages of the file that are in the raw log, of earlier runs too */
    uint64_t total;     /* messages in the file; 0: not known, since it is cut */
    uint64_t restamped; /* in this run: the raw log was past their receive time, or it is ahead */
    uint64_t lost;      /* that the file says the exporting gateway had lost */
    uint64_t damaged;   /* lost to damage of the file */
    char note[200];
};
bool capture_status(struct source *source, size_t index, struct capture_status *out);
const char *capture_state_name(enum capture_state state);

#endif
