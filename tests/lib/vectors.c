/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads tests/vectors files. Test thread.
 */
#include "lib/vectors.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"

enum { DEPTH_MAX = 16 };

struct parse {
    struct arena *arena;
    const char *path;
    const char *at;
    const char *end;
    int line;
};

_Noreturn static void broken(const struct parse *in, const char *what)
{
    print_error("%s:%d: %s\n", in->path, in->line, what);
    fail();
    abort(); /* fail() does not return, but cmocka does not say so */
}

static void blanks(struct parse *in)
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' || *in->at == '\r'))
        in->at++;
}

static bool accept(struct parse *in, char wanted)
{
    blanks(in);
    if (in->at == in->end || *in->at != wanted)
        return false;
    in->at++;
    return true;
}

static void need(struct parse *in, char wanted)
{
    char what[] = "'?' is missing";
    what[1] = wanted;
    if (!accept(in, wanted))
        broken(in, what);
}

static unsigned hex4(struct parse *in)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        if (in->at == in->end || !isxdigit((unsigned char)*in->at))
            broken(in, "\\u needs four hexadecimal digits");
        char digit = (char)tolower((unsigned char)*in->at++);
        value = value * 16 + (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    return value;
}

static char *put_utf8(char *out, unsigned point)
{
    if (point < 0x80) {
        *out++ = (char)point;
    } else if (point < 0x800) {
        *out++ = (char)(0xc0 | point >> 6);
        *out++ = (char)(0x80 | (point & 0x3f));
    } else {
        *out++ = (char)(0xe0 | point >> 12);
        *out++ = (char)(0x80 | (point >> 6 & 0x3f));
        *out++ = (char)(0x80 | (point & 0x3f));
    }
    return out;
}

static char *escape(struct parse *in, char *out)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    if (in->at == in->end)
        broken(in, "a string has no end");
    char name = *in->at++;
    if (name == 'u')
        return put_utf8(out, hex4(in));
    const char *found = strchr(names, name);
    if (found == NULL || name == '\0')
        broken(in, "an unknown escape");
    *out++ = values[found - names];
    return out;
}

static const char *string(struct parse *in, size_t *size)
{
    need(in, '"');
    char *text = arena_alloc(in->arena, (size_t)(in->end - in->at) + 1);
    char *out = text;
    for (;;) {
        if (in->at == in->end)
            broken(in, "a string has no end");
        char c = *in->at++;
        if (c == '"')
            break;
        if (c == '\\')
            out = escape(in, out);
        else
            *out++ = c;
    }
    *out = '\0';
    *size = (size_t)(out - text);
    return text;
}

static struct vector *value(struct parse *in, int depth);

static void members(struct parse *in, struct vector *node, char close, int depth)
{
    struct vector **tail = &node->first;
    if (accept(in, close))
        return;
    do {
        const char *key = NULL;
        size_t size;
        if (node->kind == VECTOR_OBJECT) {
            blanks(in);
            key = string(in, &size);
            need(in, ':');
        }
        *tail = value(in, depth + 1);
        (*tail)->key = key;
        tail = &(*tail)->next;
        node->count++;
    } while (accept(in, ','));
    need(in, close);
}

static void word(struct parse *in, struct vector *node)
{
    const char *start = in->at;
    while (in->at < in->end && (isalnum((unsigned char)*in->at) || strchr("+-.", *in->at)))
        in->at++;
    struct bytes text = bytes_of(start, (size_t)(in->at - start));
    char *copy = arena_alloc(in->arena, text.size + 1);
    if (text.size)
        memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    node->text = copy;
    node->size = text.size;
    if (bytes_equal_text(text, "null"))
        node->kind = VECTOR_NULL;
    else if (bytes_equal_text(text, "true") || bytes_equal_text(text, "false"))
        node->kind = VECTOR_BOOL;
    else if (text.size && (isdigit((unsigned char)*start) || *start == '-'))
        node->kind = VECTOR_NUMBER;
    else
        broken(in, "not a value");
}

static struct vector *value(struct parse *in, int depth)
{
    struct vector *node = arena_alloc(in->arena, sizeof *node);
    *node = (struct vector){.text = ""};
    if (depth > DEPTH_MAX)
        broken(in, "nested too deep");
    if (accept(in, '{')) {
        node->kind = VECTOR_OBJECT;
        members(in, node, '}', depth);
    } else if (accept(in, '[')) {
        node->kind = VECTOR_ARRAY;
        members(in, node, ']', depth);
    } else if (in->at < in->end && *in->at == '"') {
        node->kind = VECTOR_STRING;
        node->text = string(in, &node->size);
    } else {
        word(in, node);
    }
    return node;
}

/* The whole file, with a NUL behind it, in the arena. */
static struct bytes read_all(struct arena *arena, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        print_error("%s cannot be opened\n", path);
    assert_non_null(file);
    struct buffer all = {0};
    size_t count;
    do {
        count = fread(buffer_reserve(&all, 65536), 1, 65536, file);
        all.size += count;
    } while (count);
    fclose(file);
    struct bytes copy = arena_copy(arena, buffer_bytes(&all));
    buffer_fini(&all);
    return copy;
}

void vectors_load(struct vectors *vectors, const char *path)
{
    char full[4096];
    snprintf(full, sizeof full, "%s/%s", TEST_VECTORS, path);
    vectors->arena = mem_zalloc(sizeof *vectors->arena);
    struct bytes all = read_all(vectors->arena, full);
    vectors->cases = arena_alloc(vectors->arena, sizeof *vectors->cases);
    *vectors->cases = (struct vector){.kind = VECTOR_ARRAY, .text = ""};
    struct vector **tail = &vectors->cases->first;
    struct parse in = {.arena = vectors->arena, .path = path, .at = (const char *)all.data};
    const char *end = in.at + all.size;
    for (in.line = 1; in.at < end; in.line++) {
        const char *newline = memchr(in.at, '\n', (size_t)(end - in.at));
        in.end = newline ? newline : end;
        blanks(&in);
        if (in.at < in.end) {
            *tail = value(&in, 0);
            tail = &(*tail)->next;
            vectors->cases->count++;
            blanks(&in);
        }
        if (in.at != in.end)
            broken(&in, "something behind the value");
        in.at = newline ? newline + 1 : end;
    }
    assert_true(vectors->cases->count > 0);
}

void vectors_fini(struct vectors *vectors)
{
    if (vectors->arena)
        arena_fini(vectors->arena);
    free(vectors->arena);
    *vectors = (struct vectors){0};
}

const struct vector *vector_get(const struct vector *object, const char *key)
{
    VECTOR_EACH(member, object)
    {
        if (member->key && strcmp(member->key, key) == 0)
            return member->kind == VECTOR_NULL ? NULL : member;
    }
    return NULL;
}

const char *vector_text(const struct vector *object, const char *key, const char *absent)
{
    const struct vector *member = vector_get(object, key);
    return member ? member->text : absent;
}

struct bytes vector_hex(struct vectors *vectors, const char *digits)
{
    size_t count = 0;
    uint8_t *out = arena_alloc(vectors->arena, strlen(digits) / 2 + 1);
    for (const char *at = digits; *at; at++) {
        if (isspace((unsigned char)*at))
            continue;
        assert_true(isxdigit((unsigned char)*at));
        char digit = (char)tolower((unsigned char)*at);
        int nibble = digit <= '9' ? digit - '0' : digit - 'a' + 10;
        out[count / 2] = (uint8_t)(count % 2 ? out[count / 2] | nibble : nibble << 4);
        count++;
    }
    assert_true(count % 2 == 0);
    return bytes_of(out, count / 2);
}
