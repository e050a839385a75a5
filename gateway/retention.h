/* SPDX-License-Identifier: Apache-2.0
 *
 * What may be deleted, and when. Main thread.
 */
#ifndef TIDEGATE_RETENTION_H
#define TIDEGATE_RETENTION_H

struct gateway;

/* One round: history beyond its age and size goes; when room is short, the oldest history goes
 * first, so that taking in new messages never waits for old ones that every sink has. Nothing that
 * a cursor or the decoder's memory still needs is touched (invariant 6). */
void retention_run(const struct gateway *gateway);

#endif
