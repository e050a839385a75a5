/* SPDX-License-Identifier: Apache-2.0
 *
 * Several Prometheus texts as one. Pure.
 */
#ifndef TIDEGATE_METRICS_MERGE_H
#define TIDEGATE_METRICS_MERGE_H

#include "base/bytes.h"

/* Each text is rows of "# HELP", "# TYPE" and samples, a metric after the other. Appends all to
 * `out` so that each metric stands once, with the samples of every text behind its first HELP and
 * TYPE, as the exposition format wants it. */
void metrics_merge(const struct bytes *texts, size_t count, struct buffer *out);

#endif
