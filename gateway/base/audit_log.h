/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit log: who did what, when, from where, with what result. Sign-ins that failed, publishes
 * that were refused, administration, reloads, replays. Append only, one file a UTC day
 * (DIR/audit-YYYY-MM-DD.jsonl, one JSON object a line), synced within a second, files older than
 * `keep_ms` removed. (`tidegate audit`, the proof of invariant 9, is another thing: gateway/audit.h.)
 *
 * Any thread may add; nobody waits for the disk: entries go through a bounded queue to a thread of
 * its own. What finds the queue full, and what repeats within a minute (the same what, who, from,
 * result and why; what succeeded only when all of it is the same), is counted, and told by an entry of its
 * own; so are more than 30 refusals a minute from one address, or 120 from all, so that nobody can
 * fill the disk by guessing passwords. While the disk refuses, entries wait; a file that failed is
 * never written again, its last lines may stand once more in the day's next
 * (audit-YYYY-MM-DD-2.jsonl). Secrets and payloads never come here; text from outside is escaped as JSON.
 */
#ifndef TIDEGATE_BASE_AUDIT_LOG_H
#define TIDEGATE_BASE_AUDIT_LOG_H

#include "base/address.h"
#include "base/bytes.h"
#include "base/disk.h"
#include "base/err.h"

/* One row each in audit_entry.c: the word in the file, and a sentence for the manual. */
enum audit_what {
    AUDIT_START, /* the gateway started; stopped */
    AUDIT_STOP,
    AUDIT_SIGN_IN,       /* refused, or locked out; the first after failures that succeeds */
    AUDIT_PUBLISH,       /* refused: outside the vendor's topics */
    AUDIT_CONFIGURATION, /* reloaded, or refused */
    AUDIT_CERTIFICATES,  /* read again */
    AUDIT_ADMIN,  /* a request to the admin interface that changes something, or is refused */
    AUDIT_REPLAY, /* begun, stopped, ended */
    AUDIT_VENDOR, /* a user was added, changed, disabled by `tidegate vendor` */
    AUDIT_LANE,   /* a cursor was dropped, or the journal set aside */
    AUDIT_DRAIN,
    AUDIT_WHATS,
};

struct audit_word {
    const char *word;
    const char *sentence;
};
extern const struct audit_word audit_whats[AUDIT_WHATS];

enum audit_result { AUDIT_OK, AUDIT_REFUSED, AUDIT_FAILED, AUDIT_RESULTS };

/* Borrowed for the call. What is empty is left out. */
struct audit_entry {
    enum audit_what what;
    enum audit_result result;
    struct bytes who;    /* user, vendor/user, certificate name, or the operating system's user */
    struct bytes client; /* MQTT client id */
    struct address from; /* all zero: this process */
    struct bytes object; /* topic, file, path, job */
    const char *why;     /* a fixed word or a sentence of ours */
};

struct audit_log;

struct audit_log_options {
    const struct disk *disk;
    const char *dir; /* made when absent, 0700 */
    int64_t keep_ms; /* 0: for ever */
};

int audit_log_open(struct audit_log **out, const struct audit_log_options *options,
                   struct err *err);
/* Accepts a null log: then nothing is written (tests, verbs). */
void audit_log_add(struct audit_log *log, const struct audit_entry *entry);
/* Entries that the full queue or the disk lost since the start. */
uint64_t audit_log_lost(const struct audit_log *log);
uint64_t audit_log_written(const struct audit_log *log); /* and synced */
bool audit_log_failing(const struct audit_log *log);     /* the disk refuses now */
/* Writes what waits, syncs, ends the thread; accepts null. */
void audit_log_close(struct audit_log *log);
/* One entry, at once, for a verb of the command line beside a running gateway: opens, appends with
 * O_APPEND, syncs. */
int audit_log_append(const struct audit_log_options *options, const struct audit_entry *entry,
                     struct err *err);

#endif
