/* SPDX-License-Identifier: Apache-2.0
 *
 * Letters to a loop from other threads: chunks that are durable, sessions to let go or to take, what
 * the main thread wants. It outlives its loop while chunks are with the journal, because those may
 * come back late or never.
 */
#ifndef TIDEGATE_SOURCES_MQTT_MAILBOX_H
#define TIDEGATE_SOURCES_MQTT_MAILBOX_H

#include <stdbool.h>
#include <stdint.h>

struct commit;
struct login;
struct session;
struct mailbox;

enum mail_kind {
    MAIL_TAKE_OVER,       /* the owner of `session` is wanted out */
    MAIL_SESSION_GRANTED, /* `session` now belongs to a connection of this loop */
    MAIL_LOGIN,           /* `login` has its answer; whoever takes the letter has it */
    MAIL_PAUSE,
    MAIL_RESUME,
    MAIL_CLOSE,
};

struct mail {
    struct mail *next;
    enum mail_kind kind;
    struct session *session;
    struct login *login;
};

/* Null when there is no descriptor left. */
struct mailbox *mailbox_new(void);
/* Readable while something waits; the loop polls it. Open as long as the mailbox lives. */
int mailbox_fd(const struct mailbox *mailbox);
/* Any thread. Letters to a closed box are dropped. */
void mailbox_post(struct mailbox *mailbox, enum mail_kind kind, struct session *session);
/* Takes it over; dropped with its letter, it is freed. */
void mailbox_post_login(struct mailbox *mailbox, struct login *login);
/* A commit goes to the journal. Loop thread. */
void mailbox_expect(struct mailbox *mailbox);
/* It came back; journal thread. False: the loop is gone, the caller frees it. */
bool mailbox_deliver(struct mailbox *mailbox, struct commit *commit);
/* The descriptor was readable; before the taking. Loop thread. */
void mailbox_woken(struct mailbox *mailbox);
/* Everything that waits, oldest first, linked by next. Loop thread. */
struct commit *mailbox_take_commits(struct mailbox *mailbox);
struct mail *mailbox_take_mails(struct mailbox *mailbox);
/* The loop ends: letters are dropped from here on. Call on the loop's thread. */
void mailbox_close(struct mailbox *mailbox);
/* The loop's own reference; when no other loop can post any more. Accepts null. */
void mailbox_release(struct mailbox *mailbox);

#endif
