/* SPDX-License-Identifier: Apache-2.0
 *
 * Replays as a part of the gateway: between the lanes, which take history, the configuration, which
 * may be replaced, and the admin interface, which begins and stops them. Main thread.
 */
#ifndef TIDEGATE_REPLAY_PARTS_H
#define TIDEGATE_REPLAY_PARTS_H

#include "gateway.h"

/* After the decoder and the lanes. */
int replays_make(struct gateway *gateway, struct err *err);
/* Before the lanes stop. Whoever is about to begin one is waited for; later ones are refused. */
void replays_end(struct gateway *gateway);

#endif
