/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose a folder is, for the operator of a container or service that may not write there.
 */
#ifndef TIDEGATE_BASE_OWNER_H
#define TIDEGATE_BASE_OWNER_H

#include <stddef.h>

enum { OWNER_TEXT_SIZE = 384 };

/* Who owns `path`, or the nearest folder above it that exists, who this process is, and what to do:
 * "/data belongs to user 0, group 0 (mode 0755), this process is user 10001, group 10001: ...".
 * Any thread. Returns `out`. */
const char *owner_explain(const char *path, char out[OWNER_TEXT_SIZE]);

#endif
