/* SPDX-License-Identifier: Apache-2.0
 *
 * The mailbox of a loop: two lists behind one lock, and an eventfd. Not uv_async_send, whose receiver
 * spins while the sender is still in its system call, and the loop often wakes within it. The
 * descriptor is written with the lock released, so that the loop does not wake to wait for that, and
 * only for the first letter of a list. Any thread.
 */
#include "sources/mqtt/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "sources/mqtt/commit.h"
#include "sources/mqtt/login.h"

struct mailbox {
    pthread_mutex_t lock;
    int fd;
    bool open;
    struct commit *first_commit, **last_commit;
    struct mail *first_mail, **last_mail;
    uint64_t references; /* the loop, and each commit with the journal */
};

struct mailbox *mailbox_new(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct mailbox *mailbox = mem_zalloc(sizeof *mailbox);
    pthread_mutex_init(&mailbox->lock, NULL);
    mailbox->fd = fd;
    mailbox->open = true;
    mailbox->last_commit = &mailbox->first_commit;
    mailbox->last_mail = &mailbox->first_mail;
    mailbox->references = 1;
    return mailbox;
}

int mailbox_fd(const struct mailbox *mailbox)
{
    return mailbox->fd;
}

static void wake(const struct mailbox *mailbox)
{
    uint64_t one = 1;
    ssize_t size = write(mailbox->fd, &one, sizeof one);
    gw_assert(size == sizeof one || errno == EAGAIN); /* EAGAIN: full of wake-ups already */
}

void mailbox_woken(struct mailbox *mailbox)
{
    uint64_t count;
    ssize_t size = read(mailbox->fd, &count, sizeof count);
    gw_assert(size == sizeof count || errno == EAGAIN);
}

static void unlock_and_drop(struct mailbox *mailbox)
{
    bool last = --mailbox->references == 0;
    pthread_mutex_unlock(&mailbox->lock);
    if (last) {
        pthread_mutex_destroy(&mailbox->lock);
        close(mailbox->fd);
        free(mailbox);
    }
}

static void mail_free(struct mail *mail)
{
    login_free(mail->login);
    free(mail);
}

static void post(struct mailbox *mailbox, struct mail letter)
{
    struct mail *mail = mem_zalloc(sizeof *mail);
    *mail = letter;
    pthread_mutex_lock(&mailbox->lock);
    bool open = mailbox->open;
    bool first = open && mailbox->first_mail == NULL;
    if (open) {
        *mailbox->last_mail = mail;
        mailbox->last_mail = &mail->next;
    }
    pthread_mutex_unlock(&mailbox->lock);
    if (first)
        wake(mailbox);
    if (!open)
        mail_free(mail);
}

void mailbox_post(struct mailbox *mailbox, enum mail_kind kind, struct session *session)
{
    post(mailbox, (struct mail){.kind = kind, .session = session});
}

void mailbox_post_login(struct mailbox *mailbox, struct login *login)
{
    post(mailbox, (struct mail){.kind = MAIL_LOGIN, .login = login});
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
    bool open = mailbox->open;
    bool first = open && mailbox->first_commit == NULL;
    if (open) {
        commit->next_mail = NULL;
        *mailbox->last_commit = commit;
        mailbox->last_commit = &commit->next_mail;
    }
    if (first) { /* the reference of the commit keeps the descriptor open */
        pthread_mutex_unlock(&mailbox->lock);
        wake(mailbox);
        pthread_mutex_lock(&mailbox->lock);
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
    mailbox->open = false;
    pthread_mutex_unlock(&mailbox->lock);
    struct mail *mail = mailbox_take_mails(mailbox);
    while (mail) {
        struct mail *next = mail->next;
        mail_free(mail);
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
