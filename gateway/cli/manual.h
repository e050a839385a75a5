/* SPDX-License-Identifier: Apache-2.0
 *
 * The manual pages, in roff with the macros of man(7), from the tables of verbs, options and log events.
 * Main thread.
 */
#ifndef TIDEGATE_CLI_MANUAL_H
#define TIDEGATE_CLI_MANUAL_H

#include "base/bytes.h"
#include "cli/translation.h"

struct manual {
    struct buffer out;
    struct translation *translation; /* null: English */
};

void manual_program(struct manual *manual); /* tidegate(1) */
void manual_config(struct manual *manual);  /* tidegate.yaml(5) */

/* ---- manual_text.c: what both are made of ---- */

/* The sentence in the manual's language. */
const char *manual_say(struct manual *manual, const char *english);
void manual_head(struct manual *manual, const char *title, const char *section);
/* A section, a subsection; the text as it is. */
void manual_section(struct manual *manual, const char *title);
void manual_subsection(struct manual *manual, const char *title);
/* A paragraph, in the manual's language. */
void manual_paragraph(struct manual *manual, const char *english);
/* What `text` names, in bold, with `value` behind it in italics (may be null), and then its
 * explanation. */
void manual_item(struct manual *manual, const char *text, const char *value);
/* Text within a paragraph, as it is; `words` in backquotes get bold. */
void manual_text(struct manual *manual, const char *text);
/* Lines as they stand. */
void manual_verbatim(struct manual *manual, struct bytes lines);
/* Paragraphs broken by hand, as behind --help: lines that begin with blanks stand as they are, others
 * are joined, and said in the manual's language. */
void manual_paragraphs(struct manual *manual, const char *text);

#endif
