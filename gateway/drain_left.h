/* SPDX-License-Identifier: Apache-2.0
 *
 * What a gateway that goes for good still has, in sentences. Separate from drain.c, which acts. Any
 * thread.
 */
#ifndef TIDEGATE_DRAIN_LEFT_H
#define TIDEGATE_DRAIN_LEFT_H

#include "gateway.h"

/* A line for each thing that keeps the gateway from going; nothing appended: nothing is left. */
void drain_left(struct gateway *gateway, struct buffer *out);

#endif
