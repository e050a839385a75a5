/* SPDX-License-Identifier: Apache-2.0
 *
 * From `sink=%s seq=%llu why="%s"` and its arguments to text or JSON. The format tells where a value
 * begins and ends, never what was put into it: so each value is formatted alone, and a quote or a
 * line feed in it stays inside. Separate from log.c, which decides what is written. Any thread.
 */
#include "base/log_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json_text.h"
#include "base/utf8.h"

enum { VALUE_MAX = 1024, TEXT_MAX = 1024, CUT_ROOM = 64 };

/* A va_list that functions can share: passing one by value leaves it undefined (C17, 7.16). */
struct arguments {
    va_list list;
};

/* What one piece of the format became. */
struct value {
    char text[VALUE_MAX];
    size_t size;
    bool number; /* it is one conversion of a number, so JSON needs no quotes */
    bool cut;
};

static void value_add(struct value *value, const char *text, size_t size)
{
    size_t room = sizeof value->text - value->size;
    if (size > room) {
        value->cut = true;
        size = room;
    }
    memcpy(value->text + value->size, text, size);
    value->size += size;
}

/* ---- one conversion ---- */

struct conversion {
    char spec[24]; /* "%016" and then the length and letter that `convert` adds */
    size_t size;
    unsigned longs; /* 0, 1 or 2; z, j and t count as 1: they are as wide as long here */
    int precision;  /* of a string; -1: none */
    char letter;
};

_Static_assert(sizeof(size_t) == sizeof(long) && sizeof(intmax_t) == sizeof(long), "LP64");

/* `at` stands behind '%'. Returns what stands behind the letter. */
static const char *conversion_read(struct conversion *into, const char *at, struct arguments *args)
{
    *into = (struct conversion){.spec = "%", .size = 1, .precision = -1};
    for (; *at && strchr("-+ #0123456789.*", *at); at++) {
        if (*at == '.')
            into->precision = at[1] == '*' ? -1 : atoi(at + 1);
        if (*at == '*')
            into->precision = va_arg(args->list, int);
        else if (into->size < sizeof into->spec - 4)
            into->spec[into->size++] = *at;
    }
    for (; *at && strchr("hlzjt", *at); at++)
        into->longs += *at != 'h';
    into->letter = *at;
    return *at ? at + 1 : at;
}

/* Formats made here, of characters that were looked at. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static int integer_print(char *out, size_t room, struct conversion *how, struct arguments *args)
{
    bool is_signed = how->letter == 'd' || how->letter == 'i';
    how->spec[how->size++] = 'j';
    how->spec[how->size++] = how->letter;
    how->spec[how->size] = '\0';
    if (is_signed)
        return snprintf(out, room, how->spec,
                        how->longs > 1 ? (intmax_t)va_arg(args->list, long long)
                        : how->longs   ? (intmax_t)va_arg(args->list, long)
                                       : (intmax_t)va_arg(args->list, int));
    return snprintf(out, room, how->spec,
                    how->longs > 1 ? (uintmax_t)va_arg(args->list, unsigned long long)
                    : how->longs   ? (uintmax_t)va_arg(args->list, unsigned long)
                                   : (uintmax_t)va_arg(args->list, unsigned));
}

static int double_print(char *out, size_t room, struct conversion *how, double number)
{
    how->spec[how->size++] = how->letter;
    how->spec[how->size] = '\0';
    return snprintf(out, room, how->spec, number);
}
#pragma GCC diagnostic pop

static void string_add(struct value *value, const struct conversion *how, const char *text)
{
    size_t size =
        text ? how->precision >= 0 ? strnlen(text, (size_t)how->precision) : strlen(text) : 0;
    value_add(value, text ? text : "", size);
}

static void convert(struct value *value, struct conversion *how, struct arguments *args)
{
    char number[64];
    int size = 0;
    switch (how->letter) {
    case 'd':
    case 'i':
    case 'u':
    case 'x': size = integer_print(number, sizeof number, how, args); break;
    case 'f':
    case 'g': size = double_print(number, sizeof number, how, va_arg(args->list, double)); break;
    case 's': string_add(value, how, va_arg(args->list, const char *)); return;
    case 'c': number[0] = (char)va_arg(args->list, int), size = 1; break;
    default: gw_assert(how->letter == '%'); number[0] = '%', size = 1;
    }
    value_add(value, number, size < 0 ? 0 : (size_t)size < sizeof number ? (size_t)size : 63);
}

/* RFC 8259, section 6, of what printf may make: no inf, nan, plus sign or zeros in front. */
static bool is_json_number(const char *text, size_t size)
{
    size_t minus = size && text[0] == '-';
    if (size == minus || text[minus] < '0' || text[minus] > '9')
        return false;
    return text[minus] != '0' || size == minus + 1 || text[minus + 1] == '.';
}

/* The format from `at` to `end`. */
static void value_make(struct value *value, const char *at, const char *end, struct arguments *args)
{
    struct conversion how = {.letter = 0};
    const char *begin = at;
    value->size = 0;
    value->cut = value->number = false;
    while (at < end) {
        const char *percent = memchr(at, '%', (size_t)(end - at));
        value_add(value, at, (size_t)((percent ? percent : end) - at));
        if (percent == NULL)
            break;
        at = conversion_read(&how, percent + 1, args);
        convert(value, &how, args);
        value->number = percent == begin && at == end && strchr("diufg", how.letter);
    }
    value->number = value->number && is_json_number(value->text, value->size);
}

/* ---- a value in a line ---- */

static void put_text(const struct value *value, struct buffer *out)
{
    for (size_t at = 0; at < value->size;) {
        const uint8_t *byte = (const uint8_t *)value->text + at;
        size_t size = utf8_size(byte, value->size - at);
        bool plain = size && *byte >= 0x20 && *byte != 0x7f && !text_acts_on_terminals(byte, size);
        for (size_t i = 0; i < (size ? size : 1); i++)
            plain ? buffer_u8(out, byte[i]) : buffer_printf(out, "\\x%02x", byte[i]);
        at += size ? size : 1;
    }
    if (value->cut)
        buffer_u8(out, '~');
}

static void put_json(const struct value *value, struct buffer *out)
{
    if (value->number && value->size) {
        buffer_add(out, value->text, value->size);
        return;
    }
    json_string(bytes_of(value->text, value->size), out);
    if (value->cut) {
        out->size--; /* the quote */
        buffer_add_text(out, "~\"");
    }
}

/* ---- the line ---- */

struct line {
    struct buffer *out;
    size_t begin;
    bool json;
    bool full;         /* no further member is put in */
    struct value text; /* the words that belong to no key */
};

/* A member that does not fit is left out, with all behind it, and the line says so. */
static void member_end(struct line *line, size_t before)
{
    if (line->out->size - line->begin <= LOG_LINE_MAX - CUT_ROOM)
        return;
    line->out->size = before;
    buffer_add_text(line->out, line->json ? ",\"cut\":true" : " cut=true");
    line->full = true;
}

static void member_put(struct line *line, struct bytes key, bool quoted, const struct value *value)
{
    size_t before = line->out->size;
    if (line->full)
        return;
    if (line->json) {
        buffer_add_text(line->out, ",\"");
        buffer_add_bytes(line->out, key);
        buffer_add_text(line->out, "\":");
        put_json(value, line->out);
    } else {
        buffer_u8(line->out, ' ');
        buffer_add_bytes(line->out, key);
        buffer_add_text(line->out, quoted ? "=\"" : "=");
        put_text(value, line->out);
        if (quoted)
            buffer_u8(line->out, '"');
    }
    member_end(line, before);
}

static void word_put(struct line *line, const struct value *word)
{
    size_t before = line->out->size;
    if (line->json) {
        if (line->text.size)
            value_add(&line->text, " ", 1);
        value_add(&line->text, word->text, word->size);
        return;
    }
    if (line->full)
        return;
    buffer_u8(line->out, ' ');
    put_text(word, line->out);
    member_end(line, before);
}

static bool is_key(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '_';
}

static void facts_put(struct line *line, const char *at, struct arguments *args)
{
    struct value value;
    while (*(at += strspn(at, " "))) {
        const char *key = at;
        while (is_key(*at))
            at++;
        bool fact = at > key && *at == '=';
        size_t key_size = (size_t)(at - key);
        bool quoted = fact && at[1] == '"';
        const char *begin = fact ? at + 1 + quoted : key;
        const char *end = begin + strcspn(begin, quoted ? "\"" : " ");
        value_make(&value, begin, end, args);
        if (fact)
            member_put(line, bytes_of(key, key_size), quoted, &value);
        else
            word_put(line, &value);
        at = quoted && *end ? end + 1 : end;
    }
}

static void head_put(struct line *line, const struct log_event_head *head)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char when[CLOCK_TEXT_SIZE];
    clock_format_ms(head->now_ms, when);
    if (line->json)
        buffer_printf(line->out, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", when,
                      names[head->level], head->event);
    else
        buffer_printf(line->out, "%s %s %s", when, names[head->level], head->event);
    if (head->dropped)
        buffer_printf(line->out,
                      line->json ? ",\"log_lines_dropped\":%" PRIu64
                                 : " log_lines_dropped=%" PRIu64,
                      head->dropped);
}

void log_line_make(const struct log_event_head *head, bool json, const char *format, va_list args,
                   struct buffer *out)
{
    struct line line = {.out = out, .begin = out->size, .json = json};
    struct arguments arguments;
    va_copy(arguments.list, args);
    head_put(&line, head);
    facts_put(&line, format, &arguments);
    va_end(arguments.list);
    if (line.text.size)
        member_put(&line, bytes_text("text"), true, &line.text);
    buffer_add_text(out, json ? "}\n" : "\n");
}
