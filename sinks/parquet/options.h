/* SPDX-License-Identifier: Apache-2.0
 *
 * The options of the parquet sink, and what can be told from them alone.
 */
#ifndef TIDEGATE_SINKS_PARQUET_OPTIONS_H
#define TIDEGATE_SINKS_PARQUET_OPTIONS_H

#include "sinks/parquet/parquet.h"

extern const struct option parquet_option_rows[]; /* ends with a row whose name is null */

/* See sink.h. */
void parquet_probe(const void *options, struct sink_host *host, sink_tell *tell, void *arg);

#endif
