/* SPDX-License-Identifier: Apache-2.0
 *
 * The option table of the parquet sink; ends with a row whose name is null.
 */
#ifndef TIDEGATE_SINKS_PARQUET_OPTIONS_H
#define TIDEGATE_SINKS_PARQUET_OPTIONS_H

#include "sinks/parquet/parquet.h"

extern const struct option parquet_option_rows[];

#endif
