/* SPDX-License-Identifier: Apache-2.0
 *
 * The mailbox of a loop: two lists behind one lock, and uv_async_send inside it, so that closing
 * cannot race with a wake-up. Any thread.
 */
#include "sources/mqtt/mailbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sources/mqtt/commit.h"

struct mailbox {
    pthread_mutex_t lock;
    uv_async_t *async; /* null: closed */
    struct commit *first_commit, **last_commit;
    struct mail *first_mail, **last_mail;
    uint64_t references; /* the loop, and each commit with the journal */
};

struct mailbox *mailbox_new(uv_async_t *async)
{
    struct mailbox *mailbox = mem_zalloc(sizeof *mailbox);
    pthread_mutex_init(&mailbox->lock, NULL);
    mailbox->async = async;
    mailbox->last_commit = &mailbox->first_commit;
    mailbox->last_mail = &mailbox->first_mail;
    mailbox->references = 1;
    return mailbox;
}

static void unlock_and_drop(struct mailbox *mailbox)
{
    bool last = --mailbox->references == 0;
    pthread_mutex_unlock(&mailbox->lock);
    if (last) {
        pthread_mutex_destroy(&mailbox->lock);
        free(mailbox);
    }
}

void mailbox_post(struct mailbox *mailbox, enum mail_kind kind, struct session *session)
{
    struct mail *mail = mem_zalloc(sizeof *mail);
    mail->kind = kind;
    mail->session = session;
    pthread_mutex_lock(&mailbox->lock);
    bool open = mailbox->async != NULL;
    if (open) {
        *mailbox->last_mail = mail;
        mailbox->last_mail = &mail->next;
        uv_async_send(mailbox->async);
    }
    pthread_mutex_unlock(&mailbox->lock);
    if (!open)
        free(mail);
}

void mailbox_expect(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->references++;
    pthread_mutex_unlock(&mailbox->lock);
}

bool mailbox_deliver(struct mailbox *mailbox, struct commit *commit)
{
    pthread_mutex_lock(&mailbox->lock);
    bool open = mailbox->async != NULL;
    if (open) {
        commit->next_mail = NULL;
        *mailbox->last_commit = commit;
        mailbox->last_commit = &commit->next_mail;
        uv_async_send(mailbox->async);
    }
    unlock_and_drop(mailbox);
    return open;
}

struct commit *mailbox_take_commits(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    struct commit *first = mailbox->first_commit;
    mailbox->first_commit = NULL;
    mailbox->last_commit = &mailbox->first_commit;
    pthread_mutex_unlock(&mailbox->lock);
    return first;
}

struct mail *mailbox_take_mails(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    struct mail *first = mailbox->first_mail;
    mailbox->first_mail = NULL;
    mailbox->last_mail = &mailbox->first_mail;
    pthread_mutex_unlock(&mailbox->lock);
    return first;
}

void mailbox_close(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->async = NULL;
    pthread_mutex_unlock(&mailbox->lock);
    struct mail *mail = mailbox_take_mails(mailbox);
    while (mail) {
        struct mail *next = mail->next;
        free(mail);
        mail = next;
    }
}

void mailbox_release(struct mailbox *mailbox)
{
    if (mailbox == NULL)
        return;
    pthread_mutex_lock(&mailbox->lock);
    unlock_and_drop(mailbox);
}
