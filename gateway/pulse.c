/* SPDX-License-Identifier: Apache-2.0
 *
 * See pulse.h. Separate from report.c, which tells, because this also acts: it is what the watchdog
 * of the service manager hears.
 */
#include "pulse.h"

#include <inttypes.h>

#include "base/clock.h"
#include "notify.h"
#include "parts.h"
#include "sources/mqtt/listener.h"

enum {
    PULSE_MS = 1000,
    /* A loop that is busy for so long is stuck: its longest honest work (a reload, the removal of
     * segments, a slice of ten thousand sessions) takes a part of it on a slow machine. */
    SILENCE_MAX_MS = 10000,
};

static void on_pulse(uv_timer_t *timer)
{
    struct gateway *gateway = timer->data;
    struct buffer why = {0};
    gateway->turned_ms = clock_monotonic_ms();
    if (pulse_beats(gateway, &why))
        notify_alive(gateway->turned_ms);
    buffer_fini(&why);
}

void pulse_init(struct gateway *gateway)
{
    uv_timer_init(&gateway->loop, &gateway->pulse);
    gateway->pulse.data = gateway;
    gateway->turned_ms = clock_monotonic_ms();
}

void pulse_start(struct gateway *gateway)
{
    gateway->turned_ms = clock_monotonic_ms();
    uv_timer_start(&gateway->pulse, on_pulse, 0, PULSE_MS);
}

void pulse_close(struct gateway *gateway)
{
    uv_close((uv_handle_t *)&gateway->pulse, NULL);
}

static bool silent(const char *whose, int64_t ms, struct buffer *why)
{
    if (ms <= SILENCE_MAX_MS)
        return false;
    buffer_printf(why, "%s has not turned for %" PRId64 " s\n", whose, ms / 1000);
    return true;
}

bool pulse_beats(const struct gateway *gateway, struct buffer *why)
{
    if (gateway->stopping)
        return true;
    return !silent("the main loop", clock_monotonic_ms() - gateway->turned_ms, why) &&
           !silent("an ingest loop", listener_silent_ms(gateway->listener), why);
}
