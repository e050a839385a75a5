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
    PILED_READY_MIN = 8,  /* fewer: no wait for the sake of those that do not wait */
    PILED_NS_EACH = 100000,
    PROBE_WINDOWS = 100,
    PROBE_MORE = 150, /* per cent of what comes with the wait: then it is in the way */
    GATHER_MIN = 64,  /* fewer acknowledgements: no wait */
    GATHER_PART = 4,  /* of the time that the commit before took */
    GATHER_NS_MAX = 500000,
};
#define OFF_NS_MIN INT64_C(1000000000)
#define OFF_NS_MAX INT64_C(30000000000)

/* Some busy senders that do not wait for each answer lose nothing by a longer wait, and each commit
 * then holds more. But those whose window is full do wait, and the wait would be all that they wait
 * for: so now and then one window goes without it, and when much more comes then, it stays off. */
static int64_t piled_wait(struct loop *loop, int64_t now_ns, int64_t ready, int64_t tick_ns)
{
    bool probed = loop->piled_wait.windows == 0;
    if (ready < PILED_READY_MIN || now_ns < loop->piled_wait.off_until_ns)
        return 0;
    if (probed && loop->published > loop->piled_wait.published * PROBE_MORE / 100) {
        int64_t off_ns = loop->piled_wait.off_ns * 2;
        loop->piled_wait.off_ns = off_ns < OFF_NS_MIN   ? OFF_NS_MIN
                                  : off_ns > OFF_NS_MAX ? OFF_NS_MAX
                                                        : off_ns;
        loop->piled_wait.off_until_ns = now_ns + loop->piled_wait.off_ns;
        loop->piled_wait.windows = PROBE_WINDOWS;
        return 0;
    }
    if (probed) {
        loop->piled_wait.windows = PROBE_WINDOWS;
        loop->piled_wait.off_ns = 0;
    } else {
        loop->piled_wait.published += (loop->published - loop->piled_wait.published) / 8;
    }
    if (--loop->piled_wait.windows == 0)
        return 0; /* the window that begins now tells what comes without */
    int64_t wait_ns = loop->piled * PILED_NS_EACH;
    return wait_ns < tick_ns ? wait_ns : tick_ns;
}

/* With many sparse connections nearly all of the cost is system calls, so a wait before the poll pays:
 * each wake-up serves more sockets and each socket has more bytes. The wait grows with the number of
 * different connections that talk in a window, so a few that wait for each answer are not slowed, and
 * more are slowed no further than one message each WAIT_NS_EACH for all of them together. */
static void choose_wait(struct loop *loop, int64_t now_ns, int64_t tick_ns)
{
    int64_t passed_ns = now_ns - loop->window_ns;
    int64_t ready = loop->ready * tick_ns / passed_ns;
    int64_t wait_ns = ready < READY_MIN ? 0 : ready * WAIT_NS_EACH;
    int64_t piled_ns = piled_wait(loop, now_ns, ready, tick_ns);
    wait_ns = wait_ns > piled_ns ? wait_ns : piled_ns;
    loop->wait_ns = wait_ns < tick_ns ? wait_ns : tick_ns;
    loop->window++;
    loop->ready = loop->published = loop->piled = 0;
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
        /* A handshake meanwhile costs nobody anything. */
        if (loop_handshake_one(loop))
            left_ns = 0;
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
    if (loop_handshake_ready(loop))
        uv_idle_start(&loop->idle, no_wait);
}
