/* SPDX-License-Identifier: Apache-2.0
 *
 * Telling in time that certificates end. See expiry.h.
 */
#include "expiry.h"

#include "base/clock.h"
#include "base/log.h"
#include "parts.h"
#include "sources/mqtt/listener.h"

#define HOUR INT64_C(3600000)
#define DAY  (24 * HOUR)
enum { DAYS_BEFORE = 30 };

enum expiry_word expiry_word(int64_t ends_ms, int64_t now_ms, int64_t told_ms)
{
    if (ends_ms == INT64_MAX || ends_ms - now_ms > DAYS_BEFORE * DAY)
        return EXPIRY_QUIET;
    enum expiry_word word = ends_ms <= now_ms ? EXPIRY_OVER : EXPIRY_SOON;
    bool told_soon = told_ms < ends_ms; /* that it is over is news */
    int64_t again_ms = word == EXPIRY_SOON ? DAY : told_soon ? 0 : HOUR;
    /* A clock that was set back must not keep it quiet. */
    return told_ms == 0 || now_ms - told_ms >= again_ms || told_ms > now_ms ? word : EXPIRY_QUIET;
}

static void tell(enum tls_file file, enum expiry_word word, int64_t ends_ms, int64_t now_ms)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format_ms(ends_ms, text);
    if (word == EXPIRY_SOON)
        log_event(LOG_WARN, "certificate_expires", "file=%s at=%s days=%d", tls_file_names[file],
                  text, (int)((ends_ms - now_ms) / DAY));
    else
        log_event(LOG_ERROR, "certificate_expired", "file=%s at=%s", tls_file_names[file], text);
}

void expiry_run(struct gateway *gateway)
{
    struct listener_certificates ends;
    int64_t now_ms = clock_wall_ms();
    if (!listener_certificates(gateway->listener, &ends))
        return;
    for (int i = 0; i < TLS_FILES; i++) {
        /* A new file is told anew. */
        int64_t *told_ms = &gateway->expiry[i].told_ms;
        if (gateway->expiry[i].ends_ms != ends.ends_ms[i])
            *told_ms = 0;
        gateway->expiry[i].ends_ms = ends.ends_ms[i];
        enum expiry_word word = expiry_word(ends.ends_ms[i], now_ms, *told_ms);
        if (word == EXPIRY_QUIET)
            continue;
        tell((enum tls_file)i, word, ends.ends_ms[i], now_ms);
        *told_ms = now_ms;
    }
}
