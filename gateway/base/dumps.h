/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a crash leaves the memory of the process in a file, and others of the same user may look into
 * it. Main thread.
 */
#ifndef TIDEGATE_BASE_DUMPS_H
#define TIDEGATE_BASE_DUMPS_H

void dumps_forbid(void);
void dumps_allow(void); /* as far as the limits allow that the process was started with */
/* What the process that started this one chose. */
void dumps_inherit(void);

#endif
