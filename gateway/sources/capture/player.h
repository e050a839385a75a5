/* SPDX-License-Identifier: Apache-2.0
 *
 * One file on its way into the raw log, and what the files share. Private to the folder: capture.c is the
 * source around them.
 */
#ifndef TIDEGATE_SOURCES_CAPTURE_PLAYER_H
#define TIDEGATE_SOURCES_CAPTURE_PLAYER_H

#include <pthread.h>

#include "sources/capture/capture.h"
#include "sources/capture/file.h"

enum { FLIGHT_MAX = 64, TICK_MS = 100 };

struct player;

/* A chunk on its way. */
struct flight {
    struct player *player;
    bool busy;
    uint64_t end;  /* how far the file is taken with it */
    uint64_t kept; /* messages whose own receive time is the chunk's */
    int64_t asked_ms;
};

struct player {
    struct capture *capture;
    const struct capture_options *options;
    struct capture_reader *reader;
    char name[32];
    double speed;
    struct capture_item item; /* the next one, when `has_item` */
    bool has_item;
    int64_t begun_ns, first_ms; /* what speed is counted from */
    bool begun;

    _Atomic int state;
    _Atomic uint64_t stored, restamped, lost, damaged;
    uint64_t total;
    char note[200]; /* under the lock */
};

struct capture {
    struct source source;
    struct capture_place place;
    struct player *players;
    size_t count;
    unsigned flights_max;

    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a chunk came back; pause, resume, close */
    struct flight flights[FLIGHT_MAX];
    unsigned busy;
    int64_t floor_ms; /* the latest receive time that the raw log is known to have given */
    bool paused, closing;
    int64_t drain_until_ms;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* With the lock held: until something changed, or so long. */
void capture_wait_ms(struct capture *capture, int64_t ms);
/* Play the file from where it was taken to. The source's thread; returns when all of it is in the raw log,
 * or when closing. */
void player_play(struct player *player);

#endif
