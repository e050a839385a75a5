/* SPDX-License-Identifier: Apache-2.0
 *
 * Recovery of a large journal may take longer than the service manager waits for a start. It is asked
 * for more time, again and again, by a thread of its own, because the main thread recovers.
 */
#ifndef TIDEGATE_PATIENCE_H
#define TIDEGATE_PATIENCE_H

/* Main thread. Both do nothing when no service manager listens. */
void patience_begin(void);
void patience_end(void);

#endif
