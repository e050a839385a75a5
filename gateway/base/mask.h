/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets that somebody wrote where they do not belong stay out of what we print about it: the name and
 * password of a URL, and what stands behind a key that is called like a secret. Pure.
 */
#ifndef TIDEGATE_BASE_MASK_H
#define TIDEGATE_BASE_MASK_H

#include <stdbool.h>
#include <stddef.h>

/* Overwrites with '*', so that columns stay where they are. `keys`: `text` is a line of a configuration,
 * where `password: ...` and its like are masked, too (not `password_file`, which is a path). */
void mask_secrets(char *text, size_t size, bool keys);

#endif
