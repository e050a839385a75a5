/* SPDX-License-Identifier: Apache-2.0
 *
 * "Did you mean": the nearest of a few known words. Any thread.
 */
#ifndef TIDEGATE_BASE_NEAREST_H
#define TIDEGATE_BASE_NEAREST_H

#include <stddef.h>

/* Edits (insert, delete, replace, swap of neighbours) from one word to the other; words longer than
 * 64 bytes are at distance SIZE_MAX from everything. */
size_t nearest_distance(const char *a, const char *b);
/* The same, but a `wrong` of four letters and more that `name` begins with is one edit away. */
size_t nearest_score(const char *name, const char *wrong);
/* Whether an operator who wrote `wrong` may well have meant a word at that distance: at most a
 * third of its letters are edits. */
int nearest_plausible(const char *wrong, size_t distance);
/* The nearest plausible of null-terminated `names`, or null. */
const char *nearest_name(const char *const *names, const char *wrong);

#endif
