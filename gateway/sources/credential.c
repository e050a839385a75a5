/* SPDX-License-Identifier: Apache-2.0
 *
 * One line of a credential file, read and written. Separate from the file (credential_file.c) because it
 * is pure: whatever the bytes, it is a user or a sentence.
 */
#include "sources/credential.h"

#include <stdlib.h>

#include "sources/access.h"

/* ---- names and patterns ---- */

bool credential_name_valid(struct bytes name)
{
    if (name.size == 0 || name.size > CREDENTIAL_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] < 0x20 || name.data[i] == 0x7f || name.data[i] == ':')
            return false;
    return true;
}

bool credential_pattern_valid(const char *pattern)
{
    size_t size = strlen(pattern);
    if (size == 0 || size > CREDENTIAL_PATTERN_MAX)
        return false;
    for (size_t i = 0; i < size; i++)
        if ((uint8_t)pattern[i] < 0x20 || pattern[i] == 0x7f)
            return false;
    return true;
}

/* Back to the last star when something does not fit, never further: no exponent. */
bool credential_pattern_matches(const char *pattern, struct bytes client)
{
    const char *star = NULL;
    size_t at = 0, from = 0;
    while (at < client.size) {
        if (*pattern == '*') {
            star = pattern++;
            from = at;
        } else if (*pattern && (uint8_t)*pattern == client.data[at]) {
            pattern++;
            at++;
        } else if (star) {
            pattern = star + 1;
            at = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

/* ---- reading ---- */

static struct bytes word_take(struct bytes *rest)
{
    while (rest->size && rest->data[0] == ' ')
        *rest = bytes_of(rest->data + 1, rest->size - 1);
    const uint8_t *end = rest->size ? memchr(rest->data, ' ', rest->size) : NULL;
    struct bytes word = {rest->data, end ? (size_t)(end - rest->data) : rest->size};
    *rest = bytes_of(word.data + word.size, rest->size - word.size);
    return word;
}

static int hex_digit(uint8_t letter)
{
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    letter |= 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* The value behind `key=`, its %XX resolved; null: the word is another, or the value holds NUL. */
static char *value_of(struct bytes word, const char *key)
{
    size_t size = strlen(key);
    if (word.size <= size || memcmp(word.data, key, size) != 0)
        return NULL;
    char *value = mem_alloc(word.size - size + 1);
    size_t used = 0;
    for (size_t i = size; i < word.size; i++) {
        int letter = word.data[i];
        if (letter == '%') {
            int high = i + 2 < word.size ? hex_digit(word.data[i + 1]) : -1;
            int low = i + 2 < word.size ? hex_digit(word.data[i + 2]) : -1;
            letter = high < 0 || low < 0 ? 0 : high << 4 | low;
            i += 2;
        }
        if (letter == 0) {
            free(value);
            return NULL;
        }
        value[used++] = (char)letter;
    }
    value[used] = '\0';
    return value;
}

static int topic_add(struct credential *credential, char *topic, struct err *err)
{
    if (!access_filter_valid(topic) || credential->topic_count == CREDENTIAL_TOPICS_MAX) {
        free(topic);
        return err_set(err, GW_EINVAL,
                       "topic= is no topic filter (+ and # stand alone between slashes, # at the "
                       "end), or there are more than %d",
                       CREDENTIAL_TOPICS_MAX);
    }
    credential->topics =
        mem_realloc(credential->topics, (credential->topic_count + 1) * sizeof *credential->topics);
    credential->topics[credential->topic_count++] = topic;
    return 0;
}

static int word_read(struct credential *credential, struct bytes word, struct err *err)
{
    if (bytes_equal_text(word, "disabled")) {
        credential->disabled = true;
        return 0;
    }
    char *topic = value_of(word, "topic=");
    if (topic)
        return topic_add(credential, topic, err);
    char *client = value_of(word, "client=");
    if (client == NULL || credential->client || !credential_pattern_valid(client)) {
        free(client);
        return err_set(err, GW_EINVAL,
                       "behind the hash stand `disabled`, one client=PATTERN, and "
                       "topic=FILTER, with blanks as %%20");
    }
    credential->client = client;
    return 0;
}

int credential_parse(struct bytes line, struct credential *out, struct err *err)
{
    *out = (struct credential){0};
    if (line.size && line.data[line.size - 1] == '\r')
        line.size--;
    if (line.size == 0 || line.data[0] == '#')
        return err_set(err, GW_ENOENT, "no user");
    const uint8_t *colon = memchr(line.data, ':', line.size);
    out->name = bytes_of(line.data, colon ? (size_t)(colon - line.data) : 0);
    if (!credential_name_valid(out->name))
        return err_set(err, GW_EINVAL,
                       "a line is USER:HASH, as `tidegate vendor add` writes it, and a user's name "
                       "has no control characters");
    struct bytes rest = bytes_of(colon + 1, line.size - out->name.size - 1);
    out->hash = word_take(&rest);
    int rc = password_parse(out->hash, &out->password, err);
    for (struct bytes word; rc == 0 && (word = word_take(&rest)).size;)
        rc = word_read(out, word, err);
    return rc;
}

void credential_fini(struct credential *credential)
{
    for (size_t i = 0; i < credential->topic_count; i++)
        free(credential->topics[i]);
    free(credential->topics);
    free(credential->client);
    *credential = (struct credential){0};
}

bool credential_line(struct bytes *text, struct bytes *line)
{
    if (text->size == 0)
        return false;
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t size = end ? (size_t)(end - text->data) : text->size;
    *line = bytes_of(text->data, size);
    size_t used = end ? size + 1 : size;
    *text = bytes_of(text->data + used, text->size - used);
    return true;
}

/* ---- writing ---- */

static void value_add(const char *key, const char *value, struct buffer *out)
{
    buffer_printf(out, " %s", key);
    for (; *value; value++)
        if (*value == ' ' || *value == '%' || (uint8_t)*value < 0x20)
            buffer_printf(out, "%%%02x", (uint8_t)*value);
        else
            buffer_u8(out, (uint8_t)*value);
}

void credential_write(const struct credential *credential, struct buffer *out)
{
    buffer_add_bytes(out, credential->name);
    buffer_u8(out, ':');
    buffer_add_bytes(out, credential->hash);
    if (credential->disabled)
        buffer_add_text(out, " disabled");
    if (credential->client)
        value_add("client=", credential->client, out);
    for (size_t i = 0; i < credential->topic_count; i++)
        value_add("topic=", credential->topics[i], out);
    buffer_u8(out, '\n');
}
