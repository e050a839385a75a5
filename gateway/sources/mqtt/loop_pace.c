/* SPDX-License-Identifier: Apache-2.0
 *
 * Two waits of a loop that has much to do: before a poll, so that it finds more sockets ready, and
 * before a commit, so that it holds more messages. Both cost delay and save system calls, so both are
 * for many messages only, and a client that waits for each answer never meets them. Loop thread.
 */
#include <poll.h>
#include <time.h>

#include "base/clock.h"
#include "sources/mqtt/loop.h"

enum {
    READY_MIN = 16,       /* fewer connections that are read from in a window: no wait */
    WAIT_NS_EACH = 20000, /* of the wait, for each of them */
    GATHER_MIN = 64,      /* fewer acknowledgements: no wait */
    GATHER_PART = 4,      /* of the time that the commit before took */
    GATHER_NS_MAX = 500000,
};

/* With many sparse connections nearly all of the cost is system calls, so a wait before the poll pays:
 * each wake-up serves more sockets and each socket has more bytes. The wait grows with the number of
 * different connections that talk in a window, so a few that wait for each answer are not slowed, and
 * more are slowed no further than one message each WAIT_NS_EACH for all of them together. */
static void choose_wait(struct loop *loop, int64_t now_ns, int64_t tick_ns)
{
    int64_t passed_ns = now_ns - loop->window_ns;
    int64_t ready = loop->ready * tick_ns / passed_ns;
    int64_t wait_ns = ready * WAIT_NS_EACH;
    loop->wait_ns = ready < READY_MIN ? 0 : wait_ns < tick_ns ? wait_ns : tick_ns;
    loop->window++;
    loop->ready = 0;
    loop->window_ns = now_ns;
}

/* Senders with a full window answer a commit's acknowledgements with their next messages. Handed over
 * at once, the commit that filled meanwhile would leave without these, and the window would stay cut
 * in two groups that take turns, each with a sync of its own. A wait that is short beside a sync makes
 * one of them. */
void loop_gather(struct loop *loop, const struct commit *commit)
{
    if (commit->entry_count < GATHER_MIN)
        return;
    int64_t wait_ns = (clock_monotonic_ns() - commit->submitted_ns) / GATHER_PART;
    loop->gather_ns = wait_ns < GATHER_NS_MAX ? wait_ns : GATHER_NS_MAX;
}

static void no_wait(uv_idle_t *idle)
{
    (void)idle; /* that it is active makes the poll return at once */
}

static void wait_for_messages(struct loop *loop)
{
    uv_idle_stop(&loop->idle);
    if (loop->gather_ns == 0)
        return;
    nanosleep(&(struct timespec){.tv_nsec = loop->gather_ns}, NULL);
    stat_add(&loop->stats.gathers, 1);
    loop->gather_ns = 0;
    uv_idle_start(&loop->idle, no_wait);
}

/* Acknowledgements do not wait for the poll: what becomes durable meanwhile is answered at once. */
static void serve_mail_until(struct loop *loop, int64_t until_ns)
{
    struct pollfd mail = {.fd = mailbox_fd(loop->mailbox), .events = POLLIN};
    int64_t left_ns;
    while ((left_ns = until_ns - clock_monotonic_ns()) > 0 && !loop->closing) {
        if (ppoll(&mail, 1, &(struct timespec){.tv_nsec = left_ns}, NULL) <= 0)
            continue;
        loop_take_mail(loop);
        loop->gather_ns = 0; /* what fills has waited */
        loop_submit(loop);
    }
}

static void wait_for_sockets(struct loop *loop)
{
    int64_t tick_ns = loop->shared->options->poll_tick_ms * 1000000;
    if (tick_ns == 0)
        return;
    int64_t now_ns = clock_monotonic_ns();
    if (now_ns - loop->window_ns >= tick_ns)
        choose_wait(loop, now_ns, tick_ns);
    int64_t until_ns = loop->polled_ns + loop->wait_ns;
    if (loop->wait_ns && until_ns > now_ns) {
        serve_mail_until(loop, until_ns);
        stat_add(&loop->stats.ticks, 1);
        now_ns = until_ns;
    }
    loop->polled_ns = now_ns;
}

void loop_before_poll(uv_prepare_t *prepare)
{
    struct loop *loop = container_of(prepare, struct loop, prepare);
    wait_for_messages(loop);
    wait_for_sockets(loop);
}
