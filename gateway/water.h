/* SPDX-License-Identifier: Apache-2.0
 *
 * Tells the vendors' table where the logs stand, so that a vendor can be held at its share of them. Main
 * thread.
 */
#ifndef TIDEGATE_WATER_H
#define TIDEGATE_WATER_H

struct gateway;
/* After retention_run and outlook_run. */
void water_run(struct gateway *gateway);

#endif
