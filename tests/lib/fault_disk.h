/* SPDX-License-Identifier: Apache-2.0
 *
 * A disk for tests, in front of the real one: makes the n-th call fail, takes short writes, holds a
 * sync back, counts; and knows what a loss of power would leave.
 *
 * The model of power loss: a write, a size or a name is sure only after its datasync or sync_dir
 * returned 0. What is not sure may be there, or not, or (a write) be there in some of its sectors;
 * names come in the order they were made. After a sync that failed, what it should have saved stays
 * unsure for ever, although later syncs return 0: that is what file systems do.
 *
 * Any thread; one lock around all of it.
 */
#ifndef TIDEGATE_TESTS_FAULT_DISK_H
#define TIDEGATE_TESTS_FAULT_DISK_H

#include <pthread.h>

#include "base/disk.h"

enum fault_call {
    FAULT_ANY = 0,
    FAULT_OPEN,
    FAULT_PWRITE,
    FAULT_PREAD,
    FAULT_DATASYNC,
    FAULT_ALLOCATE,
    FAULT_TRUNCATE,
    FAULT_CLOSE,
    FAULT_LOCK,
    FAULT_STAT,
    FAULT_SPACE,
    FAULT_RENAME,
    FAULT_EXCHANGE,
    FAULT_LINK,
    FAULT_UNLINK,
    FAULT_MKDIR,
    FAULT_RMDIR,
    FAULT_SYNC_DIR,
    FAULT_LIST,
    FAULT_CALLS,
};

struct fault_power; /* fault_power.c */

struct fault_disk {
    struct disk disk; /* give &fault.disk to what is tested */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t counts[FAULT_CALLS]; /* calls so far; FAULT_ANY: all */
    uint64_t failed;              /* failures given so far */

    enum fault_call fail_call;
    uint64_t fail_countdown; /* 1: the next one of that kind; 0: none */
    int fail_errno;
    bool fail_for_ever; /* and all of that kind after it */

    bool short_writes;    /* a write takes half of what is given, at least one byte */
    bool write_then_fail; /* a write that fails has taken half before */
    uint64_t space_limit; /* not 0: what `space` says is available */
    bool hold_syncs;
    unsigned syncs_held; /* threads that wait in datasync now */

    struct fault_power *power;
};

void fault_disk_init(struct fault_disk *fault);
void fault_disk_fini(struct fault_disk *fault);
/* The n-th call of that kind from now on fails with that errno. n 0: nothing fails any more. */
void fault_disk_fail(struct fault_disk *fault, enum fault_call call, uint64_t n, int error,
                     bool for_ever);
/* Calls of that kind so far, while other threads may be making them. */
uint64_t fault_disk_count(struct fault_disk *fault, enum fault_call call);
/* While held, datasync waits before it does anything. */
void fault_disk_hold_syncs(struct fault_disk *fault, bool hold);
/* Until a thread waits in datasync; false after five seconds. */
bool fault_disk_wait_held(struct fault_disk *fault);

/* From here on follow what is sure in `dir` (its files, no folders below). */
void fault_disk_track(struct fault_disk *fault, const char *dir);
/* Writes to files `*.log` in `dir` that are not sure now, but for those of a failed sync. */
uint64_t fault_disk_unsure(struct fault_disk *fault);
/* Make `dir` what a loss of power at this moment may leave; `seed` chooses among the possible
 * states: 0 keeps nothing that is unsure, 1 keeps all. Whoever used the disk must be gone. */
void fault_disk_lose_power(struct fault_disk *fault, uint64_t seed);

#endif
