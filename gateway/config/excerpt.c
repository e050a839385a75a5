/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a node ends is not in the tree, so it is found in the text: a collection in brackets ends at
 * its closing bracket, one made by indentation before the first line that is indented less. The text
 * was parsed before, so it is well-formed.
 */
#include "config/excerpt.h"

/* The place of line and column, which count from 1; columns count characters. */
static const uint8_t *place(struct bytes text, int line, int column)
{
    const uint8_t *at = text.data;
    const uint8_t *end = text.data + text.size;
    for (int i = 1; i < line && at < end; i++) {
        const uint8_t *feed = memchr(at, '\n', (size_t)(end - at));
        at = feed ? feed + 1 : end;
    }
    for (int i = 1; i < column && at < end; i++) {
        do
            at++;
        while (at < end && (*at & 0xc0) == 0x80);
    }
    return at;
}

/* Behind the quoted text that begins at `at`. */
static const uint8_t *quoted_end(const uint8_t *at, const uint8_t *end)
{
    uint8_t quote = *at++;
    for (; at < end; at++) {
        if (*at == '\\' && quote == '"' && at + 1 < end)
            at++;
        else if (*at == quote)
            return at + 1; /* '' in single quotes begins the next quoted text */
    }
    return end;
}

/* Does a character at `at` begin a token, as a quote or a comment sign must? */
static bool token_begins(const uint8_t *at, const uint8_t *begin)
{
    return at == begin || strchr(" \t\r\n,[{:", at[-1]) != NULL || at[-1] == '\'';
}

/* Behind the bracket that closes the one at `at`. */
static const uint8_t *flow_end(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *begin = at;
    int depth = 0;
    while (at < end) {
        if ((*at == '"' || *at == '\'') && token_begins(at, begin)) {
            at = quoted_end(at, end);
            continue;
        }
        if (*at == '#' && at > begin && strchr(" \t\r\n", at[-1])) {
            while (at < end && *at != '\n')
                at++;
            continue;
        }
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
        at++;
        if (depth == 0)
            break;
    }
    return at;
}

/* The first line behind `at` that is indented less than `column` and is not blank or a comment. */
static const uint8_t *block_end(const uint8_t *at, const uint8_t *end, int column)
{
    for (;;) {
        const uint8_t *feed = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        if (feed == NULL)
            return end;
        at = feed + 1;
        const uint8_t *text = at;
        while (text < end && *text == ' ')
            text++;
        bool nothing = text == end || *text == '\n' || *text == '\r' || *text == '#';
        if (!nothing && text - at < column - 1)
            return at;
    }
}

void excerpt_cut(const struct yaml *yaml, const struct yaml_node *node, struct buffer *out)
{
    const uint8_t *end = yaml->text.data + yaml->text.size;
    const uint8_t *at = place(yaml->text, node->line, node->column);
    for (int i = 1; i < node->line; i++)
        buffer_u8(out, '\n');
    for (int i = 1; i < node->column; i++)
        buffer_u8(out, ' ');
    bool flow = at < end && (*at == '{' || *at == '[');
    const uint8_t *stop = flow ? flow_end(at, end) : block_end(at, end, node->column);
    buffer_add(out, at, (size_t)(stop - at));
}
