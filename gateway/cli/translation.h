/* SPDX-License-Identifier: Apache-2.0
 *
 * Sentences of the option and command tables in another language, from a PO file (GNU gettext's form:
 * msgid, msgstr), so that translators' tools can be used. It knows which sentences were asked for and
 * not found, and which of its own nobody asked for: both mean that a table changed. Main thread.
 */
#ifndef TIDEGATE_CLI_TRANSLATION_H
#define TIDEGATE_CLI_TRANSLATION_H

#include "base/bytes.h"
#include "base/err.h"

struct translation;
int translation_load(const char *path, struct translation **out, struct err *err);
void translation_free(struct translation *translation); /* accepts null */
/* The other language's text; `english` itself when there is none, or no translation at all (null).
 * Lives as long as the translation and `english`. */
const char *translation_of(struct translation *translation, const char *english);
/* What lacks a translation, as entries to be filled in and appended to the file; what nobody asked
 * for, in comments. The number of both. */
size_t translation_check(const struct translation *translation, struct buffer *out);

#endif
