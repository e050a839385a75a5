/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections that wait for their vendor's limits, in the order in which they came; each vendor has a
 * row of its own in each loop, so that those of one cost another nothing. Loop thread.
 *
 * While somebody waits, whoever of that vendor has something new waits behind him. A row is served at
 * the end of a round and every TICK_MS, until the vendor's limits let nothing more in.
 */
#include <stdlib.h>

#include "sources/mqtt/conn.h"

enum { TICK_MS = 10 };

static void on_tick(uv_timer_t *timer)
{
    (void)timer; /* that it ends the poll is all: the round serves who waits */
}

static void list_seat(struct loop *loop, struct vendor_seat *seat)
{
    if (seat->listed)
        return;
    seat->listed = true;
    seat->next = loop->waiting;
    loop->waiting = seat;
    if (!uv_is_active((uv_handle_t *)&loop->quota))
        uv_timer_start(&loop->quota, on_tick, TICK_MS, TICK_MS);
}

/* Room for one more at the end: what is free at the front is used first. */
static void make_room(struct vendor_seat *seat)
{
    if (seat->first > 0 && seat->first >= seat->capacity / 2) {
        seat->end -= seat->first;
        memmove(seat->waiting, seat->waiting + seat->first, seat->end * sizeof *seat->waiting);
        for (size_t i = 0; i < seat->end; i++)
            if (seat->waiting[i])
                seat->waiting[i]->waits_at = (uint32_t)i;
        seat->first = 0;
    } else {
        seat->capacity = seat->capacity ? seat->capacity * 2 : 16;
        seat->waiting = mem_realloc(seat->waiting, seat->capacity * sizeof *seat->waiting);
    }
}

void loop_wait_for_quota(struct loop *loop, struct conn *conn)
{
    struct vendor_seat *seat = conn->grant->seat;
    if (conn->waits)
        return;
    if (seat->end == seat->capacity)
        make_room(seat);
    conn->waits = true;
    conn->waits_at = (uint32_t)seat->end;
    seat->waiting[seat->end++] = conn;
    list_seat(loop, seat);
}

void loop_wait_no_more(struct conn *conn)
{
    if (!conn->waits)
        return;
    conn->waits = false;
    gw_assert(conn->grant->seat->waiting[conn->waits_at] == conn);
    conn->grant->seat->waiting[conn->waits_at] = NULL;
}

static void serve(struct loop *loop, struct vendor_seat *seat)
{
    const struct vendor_table *vendors = loop->shared->vendors;
    size_t count = seat->end - seat->first; /* who must wait again comes behind these */
    seat->serving = true;
    while (count-- > 0) {
        struct conn *conn = seat->waiting[seat->first];
        if (conn && vendor_holds(vendors, seat->vendor, seat, 0, loop_now_ns(loop)) != HOLD_NONE)
            break;
        seat->first++;
        if (conn) {
            conn->waits = false;
            conn_retry(conn);
        }
    }
    seat->serving = false;
    if (seat->first == seat->end)
        seat->first = seat->end = 0;
}

void loop_serve_waiting(struct loop *loop)
{
    struct vendor_seat *seat = loop->waiting;
    loop->waiting = NULL;
    while (seat) {
        struct vendor_seat *next = seat->next;
        serve(loop, seat);
        seat->listed = seat->end > 0;
        if (seat->listed) {
            seat->next = loop->waiting;
            loop->waiting = seat;
        }
        seat = next;
    }
    if (loop->waiting == NULL && uv_is_active((uv_handle_t *)&loop->quota))
        uv_timer_stop(&loop->quota);
}
