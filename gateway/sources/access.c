/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may connect, and publish where. A `struct rules` is made whole from the configuration and the
 * credential files (access_file.c), then put in place of the old one under a lock that every question
 * takes for reading. Questions come from all ingest loops at once, one a message, so they must not
 * wait for each other.
 *
 * A login is asked in two steps: access_begin answers all that needs no password to be hashed, and
 * access_verify hashes, on a thread that may take its time. A correct login is remembered as a keyed hash
 * beside its user, so that a fleet that connects again costs one SHA-256 each; a reload keeps it for users
 * whose stored hash stays.
 */
#include "sources/access.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "sources/access_file.h"

enum { REMEMBER_SIZE = 32 };

struct access {
    pthread_rwlock_t lock; /* of `rules` */
    struct rules *rules;
    pthread_mutex_t remember_lock; /* of the users' `remembered` */
    _Atomic uint64_t generation;
    uint8_t key[REMEMBER_SIZE];
    struct lockout *lockout;
    struct audit_log *audit; /* borrowed; may be null */
    _Atomic uint64_t logins[ACCESS_LOGINS], locked[LOCKOUT_KINDS];
};

/* ---- life ---- */

struct access *access_new(void)
{
    struct access *access = mem_zalloc(sizeof *access);
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    /* Readers come with every message and overlap: by default a reload might wait for ever. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&access->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_mutex_init(&access->remember_lock, NULL);
    gw_assert(RAND_bytes(access->key, sizeof access->key) == 1);
    access->rules = rules_new(ANONYMOUS_REFUSE);
    access->lockout = lockout_new();
    return access;
}

void access_free(struct access *access)
{
    if (access == NULL)
        return;
    rules_release(access->rules);
    lockout_free(access->lockout);
    OPENSSL_cleanse(access->key, sizeof access->key);
    pthread_mutex_destroy(&access->remember_lock);
    pthread_rwlock_destroy(&access->lock);
    free(access);
}

void access_set_audit(struct access *access, struct audit_log *audit)
{
    access->audit = audit;
}

struct audit_log *access_audit(const struct access *access)
{
    return access->audit;
}

/* A reload is no reason for a fleet to be hashed anew. */
static void keep_remembered(struct access *access, const struct rules *old, struct rules *fresh)
{
    pthread_mutex_lock(&access->remember_lock);
    for (size_t i = 0; i < fresh->user_count; i++) {
        struct user *user = &fresh->users[i];
        const struct user *was = rules_user(old, user->name);
        if (was == NULL || !was->has_remembered ||
            memcmp(&was->password, &user->password, sizeof was->password) != 0)
            continue;
        memcpy(user->remembered, was->remembered, REMEMBER_SIZE);
        user->has_remembered = true;
    }
    pthread_mutex_unlock(&access->remember_lock);
}

int access_load(struct access *access, const struct disk *disk, const struct access_rules *from,
                struct err *err)
{
    struct rules *rules;
    int rc = rules_read(disk, from, &rules, err);
    if (rc)
        return rc;
    lockout_configure(access->lockout, &from->lockout);
    keep_remembered(access, access->rules, rules);
    pthread_rwlock_wrlock(&access->lock);
    struct rules *old = access->rules;
    access->rules = rules;
    atomic_fetch_add(&access->generation, 1);
    pthread_rwlock_unlock(&access->lock);
    rules_release(old);
    return 0;
}

uint64_t access_generation(const struct access *access)
{
    return atomic_load(&access->generation);
}

void access_view_renew(struct access *access, struct access_view *view)
{
    rules_release(view->rules);
    pthread_rwlock_rdlock(&access->lock);
    view->rules = rules_acquire(access->rules);
    view->generation = atomic_load(&access->generation);
    pthread_rwlock_unlock(&access->lock);
}

void access_view_fini(struct access_view *view)
{
    rules_release(view->rules);
    view->rules = NULL;
}

/* ---- one login ---- */

struct attempt {
    struct access *access;
    struct access_view view;
    const struct access_request *request;
    struct user *user; /* null: there is none of that name */
    uint8_t digest[REMEMBER_SIZE];
};

/* Keyed; `hash` binds it to the stored hash as well, so that it is worth nothing for another password. */
static void digest_of(const struct access *access, struct bytes user, struct bytes given,
                      const struct password *password, uint8_t out[REMEMBER_SIZE])
{
    struct buffer text = {0};
    buffer_varbytes(&text, user);
    buffer_varbytes(&text, given);
    buffer_add(&text, password->hash, sizeof password->hash);
    unsigned size = REMEMBER_SIZE;
    gw_assert(HMAC(EVP_sha256(), access->key, sizeof access->key, text.data, text.size, out,
                   &size) != NULL);
    OPENSSL_cleanse(text.data, text.size);
    buffer_fini(&text);
}

static void attempt_init(struct attempt *attempt, struct access *access,
                         const struct access_request *request)
{
    static const struct password nobody = {.iterations = 1};
    *attempt = (struct attempt){.access = access, .request = request};
    access_view_renew(access, &attempt->view);
    if (!request->has_user)
        return;
    attempt->user = rules_user(attempt->view.rules, request->user);
    digest_of(access, request->user, request->password,
              attempt->user ? &attempt->user->password : &nobody, attempt->digest);
}

static void attempt_fini(struct attempt *attempt)
{
    access_view_fini(&attempt->view);
}

/* What an unknown user is checked against, so that guessing a name takes as long as guessing a
 * password: the password of some user there is, the same one for the same name each time. */
static const struct password *decoy_of(const struct attempt *attempt)
{
    static const struct password usual = {.kind = PASSWORD_PBKDF2,
                                          .iterations = PASSWORD_ITERATIONS_USUAL,
                                          .salt_size = 12,
                                          .hash_size = PASSWORD_HASH_SIZE};
    const struct rules *rules = attempt->view.rules;
    uint8_t digest[REMEMBER_SIZE];
    digest_of(attempt->access, attempt->request->user, (struct bytes){0}, &usual, digest);
    struct reader in = {digest, digest + 8, false};
    return rules->user_count ? &rules->users[reader_u64_le(&in) % rules->user_count].password
                             : &usual;
}

static bool remembered(const struct attempt *attempt)
{
    const struct user *user = attempt->user;
    if (user == NULL)
        return false;
    pthread_mutex_lock(&attempt->access->remember_lock);
    bool same = user->has_remembered &&
                CRYPTO_memcmp(user->remembered, attempt->digest, REMEMBER_SIZE) == 0;
    pthread_mutex_unlock(&attempt->access->remember_lock);
    return same;
}

static void remember(const struct attempt *attempt)
{
    pthread_mutex_lock(&attempt->access->remember_lock);
    memcpy(attempt->user->remembered, attempt->digest, REMEMBER_SIZE);
    attempt->user->has_remembered = true;
    pthread_mutex_unlock(&attempt->access->remember_lock);
}

static void audit(const struct attempt *attempt, enum audit_result result, const char *why)
{
    const struct access_request *request = attempt->request;
    struct bytes certificate = bytes_text(request->certificate ? request->certificate : "");
    audit_log_add(attempt->access->audit,
                  &(struct audit_entry){.what = AUDIT_SIGN_IN,
                                        .result = result,
                                        .who = request->has_user ? request->user : certificate,
                                        .client = request->client,
                                        .from = request->from,
                                        .why = why});
}

static enum access_answer refuse(const struct attempt *attempt, enum access_answer answer,
                                 const char *why)
{
    atomic_fetch_add(&attempt->access->logins[ACCESS_LOGIN_REFUSED], 1);
    audit(attempt, AUDIT_REFUSED, why);
    return answer;
}

/* A number that changes with the stored hash; it is not secret, and nothing follows from it. */
static uint64_t credential_of(const struct user *user)
{
    return user ? reader_u64_le(&(struct reader){user->password.hash, user->password.hash + 8, 0})
                : 0;
}

static bool anonymous_allowed(const struct rules *rules, bool loopback)
{
    return rules->anonymous == ANONYMOUS_ALLOW ||
           (rules->anonymous == ANONYMOUS_LOOPBACK && loopback);
}

static bool client_fits(const struct user *user, struct bytes client)
{
    return user->client == NULL || credential_pattern_matches(user->client, client);
}

/* `vendor` null: without a login; `user` null: by certificate alone, or without a login. */
static void grant_fill(const struct access_view *view, const struct rules_vendor *vendor,
                       const struct user *user, bool loopback, struct access_grant *grant)
{
    *grant = (struct access_grant){
        .loopback = loopback,
        .generation = view->generation,
        .by_certificate = vendor && user == NULL,
        .credential = credential_of(user),
        .quota = view->rules->anonymous_quota,
    };
    if (vendor == NULL)
        return;
    memcpy(grant->vendor, vendor->name, strlen(vendor->name) + 1);
    grant->subscribe_accept = vendor->subscribe_accept;
    grant->vendor_index = (uint32_t)(vendor - view->rules->vendors);
    grant->quota = vendor->quota;
    if (user && user->topic_count) {
        grant->user_index = (uint32_t)(user - view->rules->users);
        grant->bound_user = user->id;
    }
}

/* The password is right: is the rest? */
static enum access_answer admit(const struct attempt *attempt, enum access_login how,
                                struct access_grant *grant)
{
    struct access *access = attempt->access;
    const struct access_request *request = attempt->request;
    const struct user *user = attempt->user;
    const struct rules_vendor *vendor = &attempt->view.rules->vendors[user->vendor];
    int64_t now_ms = clock_monotonic_ms();
    if (user->disabled) { /* told in the audit log alone: to others he is like one who is not there */
        lockout_failed(access->lockout, request->user, &request->from, now_ms);
        return refuse(attempt, ACCESS_BAD_CREDENTIALS, "the user is disabled");
    }
    if (request->certificate && strcmp(request->certificate, vendor->name) != 0)
        return refuse(attempt, ACCESS_NOT_AUTHORISED, "the certificate is another vendor's");
    if (!client_fits(user, request->client))
        return refuse(attempt, ACCESS_NOT_AUTHORISED, "the client id does not fit the user");
    if (lockout_succeeded(access->lockout, request->user, &request->from, now_ms))
        audit(attempt, AUDIT_OK, "after failures");
    atomic_fetch_add(&access->logins[how], 1);
    grant_fill(&attempt->view, vendor, user, request->loopback, grant);
    return ACCESS_OK;
}

/* Is he to wait first? */
static bool locked_out(const struct attempt *attempt)
{
    static const char *const whys[] = {
        [LOCKOUT_BY_BOTH] = "locked out: failures of this user from this address",
        [LOCKOUT_BY_ADDRESS] = "locked out: failures from this address",
        [LOCKOUT_BY_USER] = "locked out: failures of this user from many addresses",
    };
    struct access *access = attempt->access;
    const struct access_request *request = attempt->request;
    enum lockout_by by =
        lockout_check(access->lockout, request->user, &request->from, clock_monotonic_ms());
    if (by == LOCKOUT_NO)
        return false;
    atomic_fetch_add(&access->locked[by], 1);
    audit(attempt, AUDIT_REFUSED, whys[by]);
    return true;
}

/* ---- without a password ---- */

static enum access_answer begin_certified(const struct attempt *attempt, struct access_grant *grant)
{
    const struct access_request *request = attempt->request;
    const struct rules_vendor *vendor = rules_vendor(attempt->view.rules, request->certificate);
    if (vendor == NULL)
        return refuse(attempt, ACCESS_NOT_AUTHORISED, "no vendor has the certificate's name");
    if (request->has_user && !bytes_equal_text(request->user, vendor->name))
        return refuse(attempt, ACCESS_NOT_AUTHORISED, "the certificate has another name");
    atomic_fetch_add(&attempt->access->logins[ACCESS_LOGIN_CERTIFICATE], 1);
    grant_fill(&attempt->view, vendor, NULL, request->loopback, grant);
    return ACCESS_OK;
}

static enum access_answer begin_anonymous(const struct attempt *attempt, struct access_grant *grant)
{
    const struct access_request *request = attempt->request;
    if (!anonymous_allowed(attempt->view.rules, request->loopback))
        return refuse(attempt, ACCESS_NOT_AUTHORISED, "no user name");
    atomic_fetch_add(&attempt->access->logins[ACCESS_LOGIN_ANONYMOUS], 1);
    grant_fill(&attempt->view, NULL, NULL, request->loopback, grant);
    return ACCESS_OK;
}

static enum access_answer begin(const struct attempt *attempt, struct access_grant *grant)
{
    const struct access_request *request = attempt->request;
    /* A token of MQTT 5.0, 3.1.3.6, which nobody was given. */
    if (request->has_password && !request->has_user)
        return refuse(attempt,
                      request->certificate ? ACCESS_NOT_AUTHORISED : ACCESS_BAD_CREDENTIALS,
                      "a password without a user name");
    if (request->certificate && !request->has_password)
        return begin_certified(attempt, grant);
    if (!request->has_user)
        return begin_anonymous(attempt, grant);
    /* An account with an empty password needs it said: a client that sends none does not pass. */
    if (!request->has_password || request->password.size > PASSWORD_BYTES_MAX ||
        request->user.size > CREDENTIAL_NAME_MAX)
        return refuse(attempt, ACCESS_BAD_CREDENTIALS, "no password, or one of no sensible size");
    if (locked_out(attempt))
        return ACCESS_LOCKED;
    return remembered(attempt) ? admit(attempt, ACCESS_LOGIN_REMEMBERED, grant) : ACCESS_WORK;
}

enum access_answer access_begin(struct access *access, const struct access_request *request,
                                struct access_grant *grant)
{
    struct attempt attempt;
    attempt_init(&attempt, access, request);
    enum access_answer answer = begin(&attempt, grant);
    attempt_fini(&attempt);
    return answer;
}

/* ---- with one ---- */

static enum access_answer verify(const struct attempt *attempt, struct access_grant *grant)
{
    struct access *access = attempt->access;
    const struct access_request *request = attempt->request;
    const struct user *user = attempt->user;
    /* Many guesses may have been let in to wait before the first was found wrong. */
    if (locked_out(attempt))
        return ACCESS_LOCKED;
    if (remembered(attempt)) /* of a fleet with one password the first was hashed */
        return admit(attempt, ACCESS_LOGIN_REMEMBERED, grant);
    bool same = password_matches(user ? &user->password : decoy_of(attempt), request->password);
    if (user == NULL || !same) {
        lockout_failed(access->lockout, request->user, &request->from, clock_monotonic_ms());
        return refuse(attempt, ACCESS_BAD_CREDENTIALS, "unknown user or wrong password");
    }
    remember(attempt);
    return admit(attempt, ACCESS_LOGIN_HASHED, grant);
}

enum access_answer access_verify(struct access *access, const struct access_request *request,
                                 struct access_grant *grant)
{
    struct attempt attempt;
    attempt_init(&attempt, access, request);
    enum access_answer answer = verify(&attempt, grant);
    attempt_fini(&attempt);
    return answer;
}

enum access_answer access_connect(struct access *access, const struct access_request *request,
                                  struct access_grant *grant)
{
    enum access_answer answer = access_begin(access, request, grant);
    return answer == ACCESS_WORK ? access_verify(access, request, grant) : answer;
}

void access_vendor(struct access *access, const char *name, struct access_grant *grant)
{
    struct access_view view = {0};
    gw_assert(strlen(name) < ACCESS_VENDOR_SIZE);
    access_view_renew(access, &view);
    const struct rules_vendor *vendor = rules_vendor(view.rules, name);
    grant_fill(&view, NULL, NULL, false, grant);
    memcpy(grant->vendor, name, strlen(name) + 1);
    if (vendor)
        grant->quota = vendor->quota;
    access_view_fini(&view);
}

/* ---- afterwards ---- */

static const char *filter_of(char *const *topics, size_t count, struct bytes topic)
{
    for (size_t i = 0; i < count; i++)
        if (access_topic_matches(bytes_text(topics[i]), topic))
            return topics[i];
    return NULL;
}

/* Null: gone. The grant's own index when the rules are those it is from. */
static const struct user *bound_user(const struct access_view *view,
                                     const struct access_grant *grant)
{
    const struct rules *rules = view->rules;
    if (grant->generation == view->generation && grant->user_index < rules->user_count)
        return &rules->users[grant->user_index];
    return rules_user_of(rules, grant->bound_user, grant->vendor);
}

static bool may_publish(const struct access_view *view, const struct access_grant *grant,
                        struct bytes topic)
{
    const struct rules *rules = view->rules;
    if (grant->vendor[0] == '\0')
        return anonymous_allowed(rules, grant->loopback) && topic.size > 0 && topic.data[0] != '$';
    bool fresh = grant->generation == view->generation && grant->vendor_index < rules->vendor_count;
    const struct rules_vendor *vendor =
        fresh ? &rules->vendors[grant->vendor_index] : rules_vendor(rules, grant->vendor);
    if (vendor == NULL || filter_of(vendor->topics, vendor->topic_count, topic) == NULL)
        return false;
    if (grant->bound_user == 0)
        return true;
    const struct user *user = bound_user(view, grant);
    return user && (user->topic_count == 0 || filter_of(user->topics, user->topic_count, topic));
}

bool access_publish(struct access *access, struct access_view *view,
                    const struct access_grant *grant, struct bytes topic)
{
    if (view->rules == NULL || view->generation != atomic_load(&access->generation))
        access_view_renew(access, view);
    return may_publish(view, grant, topic);
}

bool access_renew(struct access *access, struct access_grant *grant, struct bytes name,
                  struct bytes client)
{
    struct access_view view = {0};
    access_view_renew(access, &view);
    const struct rules_vendor *vendor = NULL;
    const struct user *user = NULL;
    bool still = grant->vendor[0] ? (vendor = rules_vendor(view.rules, grant->vendor)) != NULL
                                  : anonymous_allowed(view.rules, grant->loopback);
    if (still && vendor && !grant->by_certificate) {
        user = rules_user(view.rules, name);
        still = user && !user->disabled && credential_of(user) == grant->credential &&
                &view.rules->vendors[user->vendor] == vendor && client_fits(user, client);
    }
    if (still)
        grant_fill(&view, vendor, user, grant->loopback, grant);
    access_view_fini(&view);
    return still;
}

/* ---- figures ---- */

void access_counts(const struct access *access, struct access_counts *out)
{
    for (int i = 0; i < ACCESS_LOGINS; i++)
        out->logins[i] = atomic_load(&access->logins[i]);
    for (int i = 0; i < LOCKOUT_KINDS; i++)
        out->locked[i] = atomic_load(&access->locked[i]);
    out->lockout_evicted = lockout_evicted(access->lockout);
}
