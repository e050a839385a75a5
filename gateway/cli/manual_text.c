/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to roff: what has a meaning there is escaped, words in backquotes become bold. groff_char(7),
 * man(7).
 */
#include <stdlib.h>

#include "cli/manual.h"

const char *manual_say(struct manual *manual, const char *english)
{
    return translation_of(manual->translation, english);
}

static void character_put(char character, struct buffer *out)
{
    switch (character) {
    case '\\': buffer_add_text(out, "\\e"); break;
    case '-': buffer_add_text(out, "\\-"); break;
    case '^': buffer_add_text(out, "\\(ha"); break;
    case '~': buffer_add_text(out, "\\(ti"); break;
    case '\'': buffer_add_text(out, "\\(aq"); break;
    case '"': buffer_add_text(out, "\\(dq"); break;
    default: buffer_u8(out, (uint8_t)character);
    }
}

/* A control character at the beginning of a line is none behind this. */
static void guard(struct manual *manual, char first)
{
    const struct buffer *out = &manual->out;
    bool begins = out->size == 0 || out->data[out->size - 1] == '\n';
    if (begins && (first == '.' || first == '\''))
        buffer_add_text(&manual->out, "\\&");
}

void manual_text(struct manual *manual, const char *text)
{
    bool bold = false;
    guard(manual, *text);
    for (; *text; text++) {
        if (*text == '`' && (bold || strchr(text + 1, '`'))) {
            bold = !bold;
            buffer_add_text(&manual->out, bold ? "\\fB" : "\\fR");
        } else {
            character_put(*text, &manual->out);
        }
    }
}

static void literal(struct manual *manual, const char *text)
{
    guard(manual, *text);
    for (; *text; text++)
        character_put(*text, &manual->out);
}

void manual_head(struct manual *manual, const char *title, const char *section)
{
    buffer_add_text(&manual->out, ".\\\" Made by the program itself, from its own tables: tidegate manual\n");
    if (manual->translation) /* where lines of Chinese may be broken */
        buffer_add_text(&manual->out, ".if \\n(.g .do mso zh.tmac\n");
    buffer_printf(&manual->out, ".TH %s %s \"\" \"Tidegate " TIDEGATE_VERSION "\"\n", title,
                  section);
    buffer_add_text(&manual->out, ".nh\n.ad l\n");
}

void manual_section(struct manual *manual, const char *title)
{
    buffer_printf(&manual->out, ".SH \"%s\"\n", manual_say(manual, title));
}

void manual_subsection(struct manual *manual, const char *title)
{
    buffer_add_text(&manual->out, ".SS ");
    literal(manual, title);
    buffer_u8(&manual->out, '\n');
}

void manual_paragraph(struct manual *manual, const char *english)
{
    buffer_add_text(&manual->out, ".PP\n");
    manual_text(manual, manual_say(manual, english));
    buffer_u8(&manual->out, '\n');
}

void manual_item(struct manual *manual, const char *text, const char *value)
{
    buffer_add_text(&manual->out, ".TP\n\\fB");
    literal(manual, text);
    buffer_add_text(&manual->out, "\\fR");
    if (value) {
        buffer_add_text(&manual->out, "\\fI");
        literal(manual, value);
        buffer_add_text(&manual->out, "\\fR");
    }
    buffer_u8(&manual->out, '\n');
}

void manual_verbatim(struct manual *manual, struct bytes lines)
{
    buffer_add_text(&manual->out, ".PP\n.nf\n");
    for (size_t i = 0; i < lines.size; i++) {
        guard(manual, (char)lines.data[i]);
        character_put((char)lines.data[i], &manual->out);
    }
    if (lines.size && lines.data[lines.size - 1] != '\n')
        buffer_u8(&manual->out, '\n');
    buffer_add_text(&manual->out, ".fi\n");
}

/* ---- paragraphs broken by hand ---- */

static void joined_end(struct manual *manual, struct buffer *joined)
{
    if (joined->size == 0)
        return;
    buffer_u8(joined, '\0');
    manual_paragraph(manual, (const char *)joined->data);
    buffer_clear(joined);
}

static void lines_end(struct manual *manual, struct buffer *lines)
{
    if (lines->size)
        manual_verbatim(manual, buffer_bytes(lines));
    buffer_clear(lines);
}

void manual_paragraphs(struct manual *manual, const char *text)
{
    struct buffer joined = {0}, lines = {0};
    while (*text) {
        size_t size = strcspn(text, "\n");
        bool verbatim = *text == ' ' && size;
        if (!verbatim)
            lines_end(manual, &lines);
        if (verbatim || size == 0)
            joined_end(manual, &joined);
        if (verbatim) {
            buffer_add(&lines, text, size);
            buffer_u8(&lines, '\n');
        } else if (size) {
            if (joined.size)
                buffer_u8(&joined, ' ');
            buffer_add(&joined, text, size);
        }
        text += size + (text[size] == '\n');
    }
    joined_end(manual, &joined);
    lines_end(manual, &lines);
    buffer_fini(&joined);
    buffer_fini(&lines);
}
