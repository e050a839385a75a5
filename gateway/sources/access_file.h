/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of access.c in memory, and reading them from password files. Private to access.c and its
 * tests.
 */
#ifndef TIDEGATE_SOURCES_ACCESS_FILE_H
#define TIDEGATE_SOURCES_ACCESS_FILE_H

#include <stdatomic.h>

#include "sources/access.h"
#include "sources/credential.h"

struct user {
    struct bytes name; /* owned */
    uint64_t id;       /* hash of the name: the same in every load */
    uint32_t vendor;   /* index */
    struct password password;
    char *client;  /* owned: pattern of client ids; null: any */
    char **topics; /* owned: only there, of the vendor's; none: all of the vendor's */
    size_t topic_count;
    bool disabled;
    uint8_t remembered[32]; /* keyed hash of the right login; under access.remember_lock */
    bool has_remembered;
};

struct rules_vendor {
    char *name;
    char **topics;
    size_t topic_count;
    bool subscribe_accept;
    struct access_quota quota;
};

struct rules {
    _Atomic uint32_t references;
    enum access_anonymous anonymous;
    struct access_quota anonymous_quota;
    struct rules_vendor *vendors;
    size_t vendor_count;
    struct user *users; /* sorted by id and name */
    size_t user_count;
};

struct rules *rules_new(enum access_anonymous anonymous); /* without vendors: nobody logs in */
struct rules *rules_acquire(struct rules *rules);
void rules_release(struct rules *rules); /* accepts null */
int rules_read(const struct disk *disk, const struct access_rules *from, struct rules **out,
               struct err *err);
struct user *rules_user(const struct rules *rules, struct bytes name);
/* The user of that id whose vendor has that name; null: gone. */
const struct user *rules_user_of(const struct rules *rules, uint64_t id, const char *vendor);
const struct rules_vendor *rules_vendor(const struct rules *rules, const char *name);

#endif
