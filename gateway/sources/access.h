/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may connect and publish: users with hashed passwords, the vendor each belongs to, and the
 * topics a vendor may use. Sources ask; the gateway fills it from the configuration and fills it
 * again on SIGHUP, all or nothing. Any thread.
 */
#ifndef TIDEGATE_SOURCES_ACCESS_H
#define TIDEGATE_SOURCES_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/audit_log.h"
#include "base/bytes.h"
#include "base/disk.h"
#include "base/err.h"
#include "sources/lockout.h"

enum { ACCESS_VENDOR_SIZE = 65, ACCESS_FILTER_MAX = 1024 };

/* How much a vendor may send; it is held beyond. All zero: as much as it likes. */
struct access_quota {
    int64_t rate;          /* messages a second */
    int64_t burst;         /* messages at once; 0: those of a second */
    uint64_t byte_rate;    /* bytes of topics and payloads a second */
    int64_t journal_share; /* percent of the logs that destinations still need */
    bool qos0_drop;        /* what is QoS 0 is dropped where it would be held, and counted */
    /* Refused beyond. */
    int64_t connections;
    uint64_t payload_bytes;
    int64_t topic_levels;
};

/* One vendor's rules, as configured; borrowed for the call of access_load. */
struct access_vendor {
    const char *name;
    /* A credential file (credential.h). Null: nobody can log in for this vendor. */
    const char *passwords;
    const char *const *topics; /* MQTT topic filters that it may publish to */
    size_t topic_count;        /* 0: nothing may be published */
    bool subscribe_accept;     /* grant SUBSCRIBE and deliver nothing, instead of refusing */
    struct access_quota quota;
};

enum access_anonymous { ANONYMOUS_REFUSE = 0, ANONYMOUS_LOOPBACK = 1, ANONYMOUS_ALLOW = 2 };

struct access_rules {
    enum access_anonymous anonymous;
    const struct access_vendor *vendors;
    size_t vendor_count;
    struct access_quota anonymous_quota; /* of all that come without a login, together */
    struct lockout_options lockout;
};

struct access;
struct rules;                    /* access_file.h */
struct access *access_new(void); /* refuses everybody until the first load */
void access_free(struct access *access);
/* Where refused logins are written; null: nowhere. Before anybody asks. */
void access_set_audit(struct access *access, struct audit_log *audit);
struct audit_log *access_audit(const struct access *access);
/* Reads every password file. On any error the old rules stay, and `err` says file and line. A user
 * name that two vendors have, an unreadable or empty-but-named file and a malformed line are
 * errors: never "allow". */
int access_load(struct access *access, const struct disk *disk, const struct access_rules *rules,
                struct err *err);

/* What a successful login gives; copied, so it survives a reload. */
struct access_grant {
    char vendor[ACCESS_VENDOR_SIZE]; /* "" for anonymous: the route decides by topic */
    bool subscribe_accept;
    bool loopback;         /* as in the request: anonymous grants depend on it */
    bool by_certificate;   /* no password was asked for: it holds as long as the vendor is there */
    uint64_t generation;   /* grows with each load; a grant of an older one is asked again */
    uint32_t vendor_index; /* access.c's own: valid for `generation` */
    uint32_t user_index;   /* likewise, while bound_user */
    uint64_t bound_user; /* access.c's own: the user has topics of its own; 0: the vendor's hold */
    uint64_t credential; /* access.c's own: tells whether the password was changed since */
    struct access_quota quota;
};

enum access_answer {
    ACCESS_OK,
    ACCESS_BAD_CREDENTIALS,
    ACCESS_NOT_AUTHORISED,
    ACCESS_LOCKED, /* too many failures: later */
    ACCESS_WORK,   /* of access_begin: a password must be hashed, by access_verify */
};

struct access_request {
    bool has_user, has_password;
    struct bytes user, password;
    struct bytes client; /* MQTT client id */
    struct address from; /* all zero: not known */
    bool loopback;       /* the peer's address is on the loopback interface */
    /* The vendor that its verified certificate names; null: none. It needs no user name then. One that
     * it gives must be the same word, or with a password a user of that vendor. */
    const char *certificate;
};

/* All that can be told without hashing a password: some microseconds. A correct login is remembered
 * (keyed hash in memory) and is told here, too. */
enum access_answer access_begin(struct access *access, const struct access_request *request,
                                struct access_grant *grant);
/* After ACCESS_WORK, on a thread that may be busy for a tenth of a second. Same time and same answer for
 * an unknown user and a wrong password. Takes up to PASSWORD_MEMORY_MAX of memory. */
enum access_answer access_verify(struct access *access, const struct access_request *request,
                                 struct access_grant *grant);
/* Both, for those who can wait. */
enum access_answer access_connect(struct access *access, const struct access_request *request,
                                  struct access_grant *grant);
/* What stands for a vendor that does not log in, but comes from a broker: its limits. A name without
 * rules of its own, "" too, has those of everybody. */
void access_vendor(struct access *access, const char *name, struct access_grant *grant);
/* The rules as one thread sees them: a counted reference, renewed when there are newer ones, so that the
 * question of each message takes no lock. Zeroed at first. */
struct access_view {
    struct rules *rules;
    uint64_t generation;
};
void access_view_renew(struct access *access, struct access_view *view);
void access_view_fini(struct access_view *view);
/* May it publish there? Anonymous grants may use any topic that does not begin with '$'. */
bool access_publish(struct access *access, struct access_view *view,
                    const struct access_grant *grant, struct bytes topic);
uint64_t access_generation(const struct access *access);
/* Is the vendor still there, and the user not withdrawn, with the same password? For live connections
 * after a reload: then `grant` becomes what the present rules give. An anonymous grant ("" as vendor)
 * holds as long as the rules allow it. */
bool access_renew(struct access *access, struct access_grant *grant, struct bytes user,
                  struct bytes client);

/* May that vendor (as `user` and `client`, unless null) publish there? Appends a line for each rule that
 * was asked. */
struct access_question {
    const char *vendor, *user, *client, *topic;
};
bool access_explain(struct access *access, const struct access_question *question,
                    struct buffer *why);

/* ---- figures ---- */

/* How logins ended: hashed, from memory... */
enum access_login {
    ACCESS_LOGIN_HASHED,
    ACCESS_LOGIN_REMEMBERED,
    ACCESS_LOGIN_CERTIFICATE,
    ACCESS_LOGIN_ANONYMOUS,
    ACCESS_LOGIN_REFUSED,
    ACCESS_LOGINS,
};
struct access_counts {
    uint64_t logins[ACCESS_LOGINS];
    uint64_t locked[LOCKOUT_KINDS]; /* refused because of earlier failures */
    uint64_t lockout_evicted;
};
void access_counts(const struct access *access, struct access_counts *out);

/* ---- topic filters (MQTT 5.0, 4.7), pure ---- */

bool access_filter_valid(const char *filter);
/* Has the topic no more levels than the quota says? */
bool access_levels_fit(const struct access_quota *quota, struct bytes topic);
bool access_topic_matches(struct bytes filter, struct bytes topic);

#endif
