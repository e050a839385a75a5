/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates and revocation lists end on a day that is known long before. The metric
 * tidegate_tls_expiry_seconds tells at any time; here the log says it, once a day in the last 30 days
 * and once an hour when it is over. Main thread.
 */
#ifndef TIDEGATE_EXPIRY_H
#define TIDEGATE_EXPIRY_H

#include <stdint.h>

struct gateway;

/* How a file that ends at `ends_ms` is to be told at `now_ms` when it was told last at `told_ms` (0:
 * never). All wall clock. Pure. */
enum expiry_word { EXPIRY_QUIET, EXPIRY_SOON, EXPIRY_OVER };
enum expiry_word expiry_word(int64_t ends_ms, int64_t now_ms, int64_t told_ms);

/* With each round of housekeeping. */
void expiry_run(struct gateway *gateway);

#endif
