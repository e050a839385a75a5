/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of PO that is needed: entries of `msgid` and `msgstr`, strings continued on further lines,
 * comments. Context, plural and obsolete entries are not.
 */
#include "cli/translation.h"

#include <stdlib.h>
#include <uthash.h>

#include "base/disk.h"

enum { FILE_BYTES_MAX = 4 << 20 };

struct entry {
    UT_hash_handle hh;
    char *english, *other; /* `other` null: asked for, and not in the file */
    bool asked;
};

struct translation {
    struct entry *table; /* in the order in which they came */
};

static struct entry *entry_find(struct translation *translation, const char *english)
{
    struct entry *entry;
    HASH_FIND_STR(translation->table, english, entry);
    return entry;
}

static struct entry *entry_add(struct translation *translation, const char *english)
{
    struct entry *entry = mem_zalloc(sizeof *entry);
    entry->english = mem_strdup(english);
    HASH_ADD_KEYPTR(hh, translation->table, entry->english, strlen(entry->english), entry);
    return entry;
}

/* ---- reading ---- */

/* `"text"` with \n, \" and \\; false when it is none. */
static bool string_add(const char *at, struct buffer *out)
{
    if (*at++ != '"')
        return false;
    for (; *at && *at != '"'; at++) {
        if (*at == '\\' && at[1])
            at++;
        buffer_u8(out, (uint8_t)(at[-1] == '\\' && *at == 'n' ? '\n' : *at));
    }
    return *at == '"';
}

static int entry_take(struct translation *translation, struct buffer *id, struct buffer *str,
                      size_t line, struct err *err)
{
    buffer_u8(id, '\0');
    buffer_u8(str, '\0');
    const char *english = (const char *)id->data, *other = (const char *)str->data;
    int rc = 0;
    if (*english && *other && entry_find(translation, english))
        rc = err_set(err, GW_EINVAL, "line %zu: the msgid before it stands here twice", line);
    else if (*english && *other) /* the header has no msgid, and an empty msgstr is none yet */
        entry_add(translation, english)->other = mem_strdup(other);
    buffer_clear(id);
    buffer_clear(str);
    return rc;
}

static int read_text(struct translation *translation, char *text, struct err *err)
{
    struct buffer id = {0}, str = {0}, *now = NULL;
    size_t number = 0;
    int rc = 0;
    for (char *line = text, *next; line && rc == 0; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        number++;
        const char *string = line;
        if (*line == '#' || *line == '\0')
            continue;
        if (strncmp(line, "msgid ", 6) == 0) {
            rc = entry_take(translation, &id, &str, number, err);
            now = &id;
            string = line + 6;
        } else if (strncmp(line, "msgstr ", 7) == 0) {
            now = &str;
            string = line + 7;
        }
        if (rc == 0 && (now == NULL || !string_add(string, now)))
            rc = err_set(err, GW_EINVAL, "line %zu: neither msgid, msgstr nor a string", number);
    }
    if (rc == 0)
        rc = entry_take(translation, &id, &str, number, err);
    buffer_fini(&id);
    buffer_fini(&str);
    return rc;
}

int translation_load(const char *path, struct translation **out, struct err *err)
{
    struct buffer text = {0};
    int rc = disk_read_file(&disk_real, path, FILE_BYTES_MAX, &text);
    if (rc < 0) {
        buffer_fini(&text);
        return err_set(err, GW_EIO, "%s: %s", path, strerror(-rc));
    }
    struct translation *translation = mem_zalloc(sizeof *translation);
    buffer_u8(&text, '\0');
    struct err why;
    rc = read_text(translation, (char *)text.data, &why);
    buffer_fini(&text);
    if (rc) {
        translation_free(translation);
        return err_set(err, rc, "%s: %s", path, why.text);
    }
    *out = translation;
    return 0;
}

void translation_free(struct translation *translation)
{
    struct entry *entry, *next;
    if (translation == NULL)
        return;
    HASH_ITER(hh, translation->table, entry, next)
    {
        HASH_DEL(translation->table, entry);
        free(entry->english);
        free(entry->other);
        free(entry);
    }
    free(translation);
}

/* ---- asking ---- */

const char *translation_of(struct translation *translation, const char *english)
{
    if (translation == NULL || *english == '\0')
        return english;
    struct entry *entry = entry_find(translation, english);
    if (entry == NULL)
        entry = entry_add(translation, english);
    entry->asked = true;
    return entry->other ? entry->other : english;
}

static void string_put(const char *text, struct buffer *out)
{
    buffer_u8(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buffer_u8(out, '\\');
        if (*text == '\n')
            buffer_add_text(out, "\\n");
        else
            buffer_u8(out, (uint8_t)*text);
    }
    buffer_add_text(out, "\"\n");
}

size_t translation_check(const struct translation *translation, struct buffer *out)
{
    size_t count = 0;
    for (const struct entry *entry = translation->table; entry; entry = entry->hh.next) {
        if (entry->asked && entry->other)
            continue;
        count++;
        buffer_add_text(out, entry->asked ? "msgid " : "# nobody says this any more: ");
        string_put(entry->english, out);
        if (entry->asked)
            buffer_add_text(out, "msgstr \"\"\n\n");
    }
    return count;
}
