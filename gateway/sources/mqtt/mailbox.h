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
#include <uv.h>

struct commit;
struct session;
struct mailbox;

enum mail_kind {
    MAIL_TAKE_OVER,       /* the owner of `session` is wanted out */
    MAIL_SESSION_GRANTED, /* `session` now belongs to a connection of this loop */
    MAIL_PAUSE,
    MAIL_RESUME,
    MAIL_CLOSE,
};

struct mail {
    struct mail *next;
    enum mail_kind kind;
    struct session *session;
};

/* `async` is the loop's, and open until mailbox_close. */
struct mailbox *mailbox_new(uv_async_t *async);
/* Any thread. Letters to a closed box are dropped. */
void mailbox_post(struct mailbox *mailbox, enum mail_kind kind, struct session *session);
/* A commit goes to the journal. Loop thread. */
void mailbox_expect(struct mailbox *mailbox);
/* It came back; journal thread. False: the loop is gone, the caller frees it. */
bool mailbox_deliver(struct mailbox *mailbox, struct commit *commit);
/* Everything that waits, oldest first, linked by next. Loop thread. */
struct commit *mailbox_take_commits(struct mailbox *mailbox);
struct mail *mailbox_take_mails(struct mailbox *mailbox);
/* The loop ends: nobody touches `async` from here on. Call on the loop's thread, before uv_close. */
void mailbox_close(struct mailbox *mailbox);
/* The loop's own reference; when no other loop can post any more. Accepts null. */
void mailbox_release(struct mailbox *mailbox);

#endif
