/* SPDX-License-Identifier: Apache-2.0
 *
 * Vendors and their password files, read into rules. Everything doubtful is an error: a file that
 * cannot be read, that is empty, or that holds a line of another form must never come to mean
 * "everybody may" (CVE-2018-12550, CVE-2018-12551). Separate from access.c because it runs once a
 * reload, on the thread of the configuration, and touches files.
 */
#include "sources/access_file.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

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

static void user_fini(struct user *user)
{
    char *name = (char *)(uintptr_t)user->name.data;
    free(name);
    free(user->client);
    for (size_t i = 0; i < user->topic_count; i++)
        free(user->topics[i]);
    free(user->topics);
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
    for (size_t i = 0; i < rules->user_count; i++)
        user_fini(&rules->users[i]);
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

static uint64_t id_of(struct bytes name)
{
    return XXH3_64bits(name.data, name.size);
}

/* Takes over what the credential owns. */
static void user_add(struct password_file *file, struct credential *from)
{
    struct rules *rules = file->rules;
    if (rules->user_count == file->capacity) {
        file->capacity = file->capacity ? 2 * file->capacity : 16;
        rules->users = mem_realloc(rules->users, file->capacity * sizeof *rules->users);
    }
    rules->users[rules->user_count++] = (struct user){
        .name = bytes_of(bytes_strdup(from->name), from->name.size),
        .id = id_of(from->name),
        .vendor = file->vendor,
        .password = from->password,
        .client = from->client,
        .topics = from->topics,
        .topic_count = from->topic_count,
        .disabled = from->disabled,
    };
    file->users++;
}

static int line_read(struct password_file *file, struct bytes line, struct err *err)
{
    struct credential credential;
    file->line++;
    int rc = credential_parse(line, &credential, err);
    if (rc == 0) {
        user_add(file, &credential);
        return 0;
    }
    credential_fini(&credential);
    return rc == GW_ENOENT ? 0 : err_wrap(err, rc, "%s:%zu", file->path, file->line);
}

static int lines_read(struct password_file *file, struct bytes text, struct err *err)
{
    struct bytes line;
    int rc = 0;
    /* Of a line that is cut off, what narrows a user may be missing. */
    if (text.size && text.data[text.size - 1] != '\n')
        return err_set(err, GW_EINVAL,
                       "%s: its last line has no end: it was cut off, or somebody is writing it",
                       file->path);
    while (rc == 0 && credential_line(&text, &line))
        rc = line_read(file, line, err);
    if (rc == 0 && file->users == 0)
        rc = err_set(err, GW_EINVAL,
                     "%s: holds no user; add one with: tidegate vendor add, or leave `passwords` "
                     "out so that nobody can log in",
                     file->path);
    return rc;
}

static int file_read(struct password_file *file, const struct disk *disk, struct err *err)
{
    struct buffer text = {0};
    int rc = credential_file_read(disk, file->path, &text, err);
    if (rc)
        rc = GW_EINVAL;
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
    const struct user *one = a, *other = b;
    if (one->id != other->id)
        return one->id < other->id ? -1 : 1;
    return bytes_compare(one->name, other->name);
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
    struct user key = {.name = name, .id = id_of(name)};
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

const struct user *rules_user_of(const struct rules *rules, uint64_t id, const char *vendor)
{
    size_t low = 0, high = rules->user_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (rules->users[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < rules->user_count && rules->users[low].id == id; low++)
        if (strcmp(rules->vendors[rules->users[low].vendor].name, vendor) == 0)
            return &rules->users[low];
    return NULL;
}
