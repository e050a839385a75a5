/* SPDX-License-Identifier: Apache-2.0
 *
 * See tokens.h. A token is compared as its SHA-256, with every one of the file, without leaving early:
 * how long that takes tells nothing. (Tokens are random and long; that is why a plain digest does, and
 * why guessing needs no lock-out: 24 characters are beyond it at any rate.) Main thread but for
 * tokens_find.
 */
#include "admin/tokens.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FILE_BYTES_MAX = 1 << 20 };

static const char *const role_names[TOKEN_ROLES] = {"metrics", "read", "operate"};

struct place {
    const char *path;
    unsigned line;
};

static int wrong(const struct place *place, struct err *err, const char *why)
{
    return err_set(err, GW_EINVAL, "token_file %s:%u: %s", place->path, place->line, why);
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static struct bytes word_next(struct bytes *line)
{
    while (line->size && is_blank(*line->data))
        *line = bytes_of(line->data + 1, line->size - 1);
    size_t size = 0;
    while (size < line->size && !is_blank(line->data[size]))
        size++;
    struct bytes word = {line->data, size};
    *line = bytes_of(line->data + size, line->size - size);
    return word;
}

static bool all_of(struct bytes word, const char *others)
{
    for (size_t i = 0; i < word.size; i++) {
        uint8_t byte = word.data[i], small = byte | 0x20;
        if (!(small >= 'a' && small <= 'z') && !(byte >= '0' && byte <= '9') &&
            (byte == 0 || strchr(others, byte) == NULL))
            return false;
    }
    return true;
}

static int line_read(struct tokens *tokens, const struct place *place, struct bytes line,
                     struct err *err)
{
    struct bytes name = word_next(&line), role = word_next(&line), text = word_next(&line);
    struct token token = {.role = TOKEN_ROLES};
    if (name.size == 0 || name.data[0] == '#')
        return 0;
    if (role.size == 0) { /* a token alone, as whoever uses it has it in a file */
        text = name;
        name = bytes_text("token");
        role = bytes_text(role_names[TOKEN_OPERATE]);
    }
    if (name.size >= TOKEN_NAME_SIZE || !all_of(name, "_.-"))
        return wrong(place, err, "a name is letters, digits, _ . -, at most 64");
    for (int i = 0; i < TOKEN_ROLES; i++)
        if (bytes_equal_text(role, role_names[i]))
            token.role = (enum token_role)i;
    if (token.role == TOKEN_ROLES)
        return wrong(place, err,
                     "the second word is the role: metrics, read or operate; then the token");
    if (text.size < TOKEN_BYTES_MIN || text.size > TOKEN_BYTES_MAX || !all_of(text, "-._~+/="))
        return wrong(place, err,
                     "a token is 24 to 512 letters, digits and - . _ ~ + / =; make one with "
                     "`openssl rand -hex 32`");
    if (word_next(&line).size)
        return wrong(place, err, "a line is NAME ROLE TOKEN and nothing more");
    if (tokens_find(tokens, text))
        return wrong(place, err, "that token stands above already");
    if (tokens->count == TOKENS_MAX)
        return wrong(place, err, "there are more than 256 tokens");
    memcpy(token.name, name.data, name.size);
    SHA256(text.data, text.size, token.digest);
    tokens->items[tokens->count++] = token;
    return 0;
}

static int lines_read(struct tokens *tokens, const char *path, struct bytes text, struct err *err)
{
    struct place place = {path, 0};
    int rc = 0;
    while (rc == 0 && text.size) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        place.line++;
        rc = line_read(tokens, &place, bytes_of(text.data, size), err);
        size += end != NULL;
        text = bytes_of(text.data + size, text.size - size);
    }
    if (rc == 0 && tokens->count == 0)
        rc = err_set(err, GW_EINVAL, "token_file %s: there is no token in it", path);
    return rc;
}

static int file_open(const struct disk *disk, const char *path, struct buffer *text,
                     struct err *err)
{
    struct stat info;
    if (stat(path, &info) < 0)
        return err_set(err, GW_EINVAL, "token_file %s: %s", path, strerror(errno));
    if (info.st_mode & (S_IRWXO | S_IWGRP))
        return err_set(err, GW_EINVAL,
                       "token_file %s: others may read it or its group may write it (mode %04o): "
                       "chmod 640 %s",
                       path, (unsigned)(info.st_mode & 07777), path);
    int rc = disk_read_named(disk, path, FILE_BYTES_MAX, text);
    return rc < 0 ? err_set(err, GW_EINVAL, "token_file %s: %s", path, strerror(-rc)) : 0;
}

int tokens_read(struct tokens *tokens, const struct disk *disk, const char *path, struct err *err)
{
    struct buffer text = {0};
    *tokens = (struct tokens){.items = mem_zalloc(TOKENS_MAX * sizeof(struct token))};
    int rc = file_open(disk, path, &text, err);
    if (rc == 0)
        rc = lines_read(tokens, path, buffer_bytes(&text), err);
    if (text.capacity)
        explicit_bzero(text.data, text.capacity);
    buffer_fini(&text);
    if (rc)
        tokens_fini(tokens);
    return rc;
}

void tokens_fini(struct tokens *tokens)
{
    if (tokens->items)
        explicit_bzero(tokens->items, tokens->count * sizeof(struct token));
    free(tokens->items);
    *tokens = (struct tokens){0};
}

const struct token *tokens_find(const struct tokens *tokens, struct bytes token)
{
    uint8_t digest[32];
    const struct token *found = NULL;
    SHA256(token.data, token.size, digest);
    for (size_t i = 0; i < tokens->count; i++)
        if (CRYPTO_memcmp(digest, tokens->items[i].digest, sizeof digest) == 0)
            found = &tokens->items[i];
    return found;
}
