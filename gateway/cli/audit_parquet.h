/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of a folder of Parquet files, for `tidegate audit`. Main thread.
 */
#ifndef TIDEGATE_CLI_AUDIT_PARQUET_H
#define TIDEGATE_CLI_AUDIT_PARQUET_H

#include "audit.h"

/* Every row that this gateway wrote there, each once, also while the gateway merges files; days whose
 * readings cannot be of the span are looked at, too, since clocks of devices are wrong. */
int audit_parquet(struct audit *audit, const char *folder, struct identity gateway,
                  struct err *err);

#endif
