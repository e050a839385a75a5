/* SPDX-License-Identifier: Apache-2.0
 *
 * Do the loops turn? The main loop marks each second that it was here; the ingest loops mark theirs.
 * Whoever asks (/healthz, the watchdog) looks how old the marks are. Disk, decoder and sinks do not
 * count: while a disk stalls acks are held, and a new process would not help.
 */
#ifndef TIDEGATE_PULSE_H
#define TIDEGATE_PULSE_H

#include "gateway.h"

/* Main thread, while the loop is made. */
void pulse_init(struct gateway *gateway);
void pulse_start(struct gateway *gateway);
void pulse_close(struct gateway *gateway);
/* True: every loop turned within the last seconds, or the gateway is ending and loops end with it.
 * Else a sentence is appended. Any thread. */
bool pulse_beats(const struct gateway *gateway, struct buffer *why);

#endif
