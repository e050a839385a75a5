/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the water stands: GET /status as a line of gates, one level each, and the vendors below.
 */
#ifndef TIDEGATE_CLI_STATUS_GATES_H
#define TIDEGATE_CLI_STATUS_GATES_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/yaml.h"

struct gates_style {
    int columns, rows; /* nothing is wider or longer */
    bool colour;
    bool blocks;         /* the terminal shows UTF-8 */
    const char *newline; /* ends each line */
};

/* Appended. Rates are of what changed since `before`, `seconds` earlier, or null. `away`: why the
 * gateway gives no newer answer, or null. */
void status_gates(const struct gates_style *style, const struct yaml_node *before,
                  const struct yaml_node *now, double seconds, const char *away,
                  struct buffer *out);

#endif
