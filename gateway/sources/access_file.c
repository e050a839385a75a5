/* SPDX-License-Identifier: Apache-2.0
 *
 * Vendors and their password files, read into rules. Everything doubtful is an error: a file that
 * cannot be read, that is empty, or that holds a line of another form must never come to mean
 * "everybody may" (CVE-2018-12550, CVE-2018-12551). Separate from access.c because it runs once a
 * reload, on the thread of the configuration, and touches files.
 */
#include "sources/access_file.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdlib.h>

enum { FILE_BYTES_MAX = 64 << 20, NAME_BYTES_MAX = 1024 };

/* ---- life ---- */

struct rules *rules_new(enum access_anonymous anonymous)
{
    struct rules *rules = mem_zalloc(sizeof *rules);
    rules->references = 1;
    rules->anonymous = anonymous;
    return rules;
}

static void vendor_fini(struct rules_vendor *vendor)
{
    for (size_t i = 0; i < vendor->topic_count; i++)
        free(vendor->topics[i]);
    free(vendor->topics);
    free(vendor->name);
}

struct rules *rules_acquire(struct rules *rules)
{
    atomic_fetch_add(&rules->references, 1);
    return rules;
}

void rules_release(struct rules *rules)
{
    if (rules == NULL || atomic_fetch_sub(&rules->references, 1) != 1)
        return;
    for (size_t i = 0; i < rules->user_count; i++) {
        char *name = (char *)(uintptr_t)rules->users[i].name.data;
        free(name);
    }
    if (rules->users)
        OPENSSL_cleanse(rules->users, rules->user_count * sizeof *rules->users);
    free(rules->users);
    for (size_t i = 0; i < rules->vendor_count; i++)
        vendor_fini(&rules->vendors[i]);
    free(rules->vendors);
    free(rules);
}

/* ---- one file ---- */

struct password_file {
    const char *path;
    uint32_t vendor;
    struct rules *rules;
    size_t capacity; /* of rules->users */
    size_t line;
    size_t users;
};

static bool name_valid(struct bytes name)
{
    if (name.size == 0 || name.size > NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] < 0x20 || name.data[i] == 0x7f)
            return false;
    return true;
}

static void user_add(struct password_file *file, struct bytes name, const struct password *password)
{
    struct rules *rules = file->rules;
    if (rules->user_count == file->capacity) {
        file->capacity = file->capacity ? 2 * file->capacity : 16;
        rules->users = mem_realloc(rules->users, file->capacity * sizeof *rules->users);
    }
    rules->users[rules->user_count++] = (struct user){
        .name = bytes_of(bytes_strdup(name), name.size),
        .vendor = file->vendor,
        .password = *password,
    };
    file->users++;
}

static int line_read(struct password_file *file, struct bytes line, struct err *err)
{
    struct password password;
    if (line.size && line.data[line.size - 1] == '\r')
        line.size--;
    if (line.size == 0 || line.data[0] == '#')
        return 0;
    const uint8_t *colon = memchr(line.data, ':', line.size);
    struct bytes name = {line.data, colon ? (size_t)(colon - line.data) : 0};
    if (!name_valid(name))
        return err_set(err, GW_EINVAL, "%s:%zu: a line is USER:HASH, as mosquitto_passwd writes it",
                       file->path, file->line);
    struct bytes hash = bytes_of(colon + 1, line.size - name.size - 1);
    int rc = password_parse(hash, &password, err);
    if (rc)
        return err_wrap(err, rc, "%s:%zu", file->path, file->line);
    user_add(file, name, &password);
    return 0;
}

static int lines_read(struct password_file *file, struct bytes text, struct err *err)
{
    int rc = 0;
    while (text.size && rc == 0) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        file->line++;
        rc = line_read(file, bytes_of(text.data, size), err);
        size_t used = end ? size + 1 : size;
        text = bytes_of(text.data + used, text.size - used);
    }
    if (rc == 0 && file->users == 0)
        rc = err_set(err, GW_EINVAL,
                     "%s: holds no user; add one with: mosquitto_passwd %s USER, or leave "
                     "`passwords` out so that nobody can log in",
                     file->path, file->path);
    return rc;
}

static int file_read(struct password_file *file, const struct disk *disk, struct err *err)
{
    char real[PATH_MAX];
    struct buffer text = {0};
    /* disk->open refuses symbolic links, and mounted secrets are symbolic links. */
    int rc = realpath(file->path, real) ? 0 : -errno;
    if (rc == 0)
        rc = disk_read_file(disk, real, FILE_BYTES_MAX, &text);
    if (rc < 0)
        rc = err_set(err, GW_EINVAL, "%s: cannot be read: %s", file->path, strerror(-rc));
    else
        rc = lines_read(file, buffer_bytes(&text), err);
    if (text.data)
        OPENSSL_cleanse(text.data, text.size);
    buffer_fini(&text);
    return rc;
}

/* ---- all of it ---- */

static void vendor_copy(struct rules_vendor *to, const struct access_vendor *from)
{
    to->name = mem_strdup(from->name);
    to->subscribe_accept = from->subscribe_accept;
    to->quota = from->quota;
    to->topics = mem_zalloc((from->topic_count + 1) * sizeof *to->topics);
    for (size_t i = 0; i < from->topic_count; i++)
        to->topics[to->topic_count++] = mem_strdup(from->topics[i]);
}

static int user_order(const void *a, const void *b)
{
    return bytes_compare(((const struct user *)a)->name, ((const struct user *)b)->name);
}

static int users_sort(struct rules *rules, struct err *err)
{
    struct user *users = rules->users;
    if (rules->user_count > 1)
        qsort(users, rules->user_count, sizeof *users, user_order);
    for (size_t i = 1; i < rules->user_count; i++) {
        if (!bytes_equal(users[i - 1].name, users[i].name))
            continue;
        return err_set(err, GW_EINVAL,
                       "user `%.*s` stands twice (vendors %s and %s): a name belongs to one vendor",
                       (int)users[i].name.size, (const char *)users[i].name.data,
                       rules->vendors[users[i - 1].vendor].name,
                       rules->vendors[users[i].vendor].name);
    }
    return 0;
}

int rules_read(const struct disk *disk, const struct access_rules *from, struct rules **out,
               struct err *err)
{
    struct rules *rules = rules_new(from->anonymous);
    struct password_file file = {.rules = rules};
    rules->anonymous_quota = from->anonymous_quota;
    rules->vendors = mem_zalloc((from->vendor_count + 1) * sizeof *rules->vendors);
    int rc = 0;
    for (size_t i = 0; i < from->vendor_count && rc == 0; i++) {
        const struct access_vendor *vendor = &from->vendors[i];
        if (vendor->name[0] == '\0' || strlen(vendor->name) >= ACCESS_VENDOR_SIZE ||
            rules_vendor(rules, vendor->name)) {
            rc = err_set(err, GW_EINVAL, "vendor `%s`: empty, too long, or there twice",
                         vendor->name);
            break;
        }
        vendor_copy(&rules->vendors[rules->vendor_count++], vendor);
        file.path = vendor->passwords;
        file.vendor = (uint32_t)i;
        file.line = file.users = 0;
        if (vendor->passwords)
            rc = file_read(&file, disk, err);
    }
    if (rc == 0)
        rc = users_sort(rules, err);
    if (rc)
        rules_release(rules);
    else
        *out = rules;
    return rc;
}

/* ---- looking up ---- */

struct user *rules_user(const struct rules *rules, struct bytes name)
{
    struct user key = {.name = name};
    return rules->user_count
               ? bsearch(&key, rules->users, rules->user_count, sizeof key, user_order)
               : NULL;
}

const struct rules_vendor *rules_vendor(const struct rules *rules, const char *name)
{
    for (size_t i = 0; i < rules->vendor_count; i++)
        if (strcmp(rules->vendors[i].name, name) == 0)
            return &rules->vendors[i];
    return NULL;
}
