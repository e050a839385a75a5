/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding what may be a secret, generously: a word too many in stars harms nobody. Any thread.
 */
#include "base/mask.h"

#include <string.h>
#include <strings.h>

static const char *const secret_words[] = {"pass", "pwd", "secret", "token", "pem", "cred", "auth"};

static bool is_name(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == '.' || byte == '-';
}

static bool holds(const char *name, size_t size, const char *word)
{
    size_t word_size = strlen(word);
    for (size_t i = 0; i + word_size <= size; i++)
        if (strncasecmp(name + i, word, word_size) == 0)
            return true;
    return false;
}

static bool is_secret_name(const char *name, size_t size)
{
    if ((size > 5 && strncasecmp(name + size - 5, "_file", 5) == 0) ||
        holds(name, size, "location"))
        return false;
    for (size_t i = 0; i < sizeof secret_words / sizeof *secret_words; i++)
        if (holds(name, size, secret_words[i]))
            return true;
    return false;
}

/* Where the value that begins at `at` ends: the closing quote, or what ends it in brackets. */
static size_t value_end(const char *text, size_t size, size_t at)
{
    char quote = text[at];
    if (quote == '"' || quote == '\'') {
        for (at++; at < size && text[at] != quote;)
            at += text[at] == '\\' && at + 1 < size ? 2 : 1;
        return at;
    }
    while (at < size && text[at] != '}' &&
           !(text[at] == ',' && at + 1 < size && text[at + 1] == ' '))
        at++;
    return at;
}

static size_t mask_value(char *text, size_t size, size_t at)
{
    while (at < size && (text[at] == '"' || text[at] == '\'' || text[at] == ' '))
        at++;
    if (at >= size || (text[at] != ':' && text[at] != '='))
        return at;
    at++;
    while (at < size && text[at] == ' ')
        at++;
    if (at >= size)
        return at;
    size_t end = value_end(text, size, at);
    memset(text + at, '*', end - at);
    return end;
}

static void mask_keys(char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t begin = at;
        while (at < size && is_name(text[at]))
            at++;
        if (at > begin && is_secret_name(text + begin, at - begin))
            at = mask_value(text, size, at);
        else if (at == begin)
            at++;
    }
}

/* From "://" to the last '@' before the host ends. */
static void mask_urls(char *text, size_t size)
{
    for (size_t at = 0; at + 3 < size; at++) {
        if (memcmp(text + at, "://", 3) != 0)
            continue;
        size_t begin = at + 3, last = 0;
        for (at = begin; at < size && !strchr(" \t\"'`\n", text[at]); at++)
            if (text[at] == '@')
                last = at;
        if (last)
            memset(text + begin, '*', last - begin);
    }
}

void mask_secrets(char *text, size_t size, bool keys)
{
    mask_urls(text, size);
    if (keys)
        mask_keys(text, size);
}
