/* SPDX-License-Identifier: Apache-2.0
 *
 * A part of a YAML text as a text of its own, with every line and column where it was: so that
 * whoever parses it again (a codec its options) names the right place in the file. Pure.
 */
#ifndef TIDEGATE_CONFIG_EXCERPT_H
#define TIDEGATE_CONFIG_EXCERPT_H

#include "base/yaml.h"

/* Appends to `out` the mapping or list that `node` is, in front of it line ends and spaces only. */
void excerpt_cut(const struct yaml *yaml, const struct yaml_node *node, struct buffer *out);

#endif
