/* SPDX-License-Identifier: Apache-2.0
 *
 * Call it once in a test whose libraries make C11 threads; it does nothing but be linked.
 */
#ifndef TIDEGATE_TESTS_TSAN_THREADS_H
#define TIDEGATE_TESTS_TSAN_THREADS_H

void tsan_threads_use(void);

#endif
