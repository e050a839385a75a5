/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may connect, and publish where. A `struct rules` is made whole from the configuration and the
 * password files (access_file.c), then put in place of the old one under a lock that every question
 * takes for reading. Questions come from all ingest loops at once, one a message, so they must not
 * wait for each other.
 *
 * A correct login is remembered as a keyed hash beside its user, so that a fleet that connects
 * again costs one SHA-256 each; it is forgotten with the rules.
 */
#include "sources/access.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "sources/access_file.h"

enum { REMEMBER_SIZE = 32 };

struct access {
    pthread_rwlock_t lock; /* of `rules` */
    struct rules *rules;
    pthread_mutex_t remember_lock; /* of the users' `remembered` */
    _Atomic uint64_t generation;
    uint8_t key[REMEMBER_SIZE];
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
    return access;
}

void access_free(struct access *access)
{
    if (access == NULL)
        return;
    rules_release(access->rules);
    OPENSSL_cleanse(access->key, sizeof access->key);
    pthread_mutex_destroy(&access->remember_lock);
    pthread_rwlock_destroy(&access->lock);
    free(access);
}

int access_load(struct access *access, const struct disk *disk, const struct access_rules *from,
                struct err *err)
{
    struct rules *rules;
    int rc = rules_read(disk, from, &rules, err);
    if (rc)
        return rc;
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

/* ---- logging in ---- */

/* Bound to the stored hash as well, so that it is worth nothing for another password. */
static void remember_digest(const struct access *access, const struct password *password,
                            struct bytes user, struct bytes given, uint8_t out[REMEMBER_SIZE])
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

/* A number that changes with the stored hash; it is not secret, and nothing follows from it. */
static uint64_t credential_of(const struct user *user)
{
    return user ? reader_u64_le(&(struct reader){user->password.hash, user->password.hash + 8, 0})
                : 0;
}

/* What an unknown user is checked against, so that guessing a name takes as long as guessing a
 * password: the password of some user there is, the same one for the same name each time. */
static const struct password *decoy_of(const struct rules *rules, const uint8_t *digest)
{
    static const struct password usual = {.iterations = PASSWORD_ITERATIONS_USUAL, .salt_size = 12};
    struct reader in = {digest, digest + 8, false};
    return rules->user_count ? &rules->users[reader_u64_le(&in) % rules->user_count].password
                             : &usual;
}

static bool remembered(struct access *access, struct user *user, const uint8_t *digest)
{
    pthread_mutex_lock(&access->remember_lock);
    bool same = user->has_remembered && CRYPTO_memcmp(user->remembered, digest, REMEMBER_SIZE) == 0;
    pthread_mutex_unlock(&access->remember_lock);
    return same;
}

static void remember(struct access *access, struct user *user, const uint8_t *digest)
{
    pthread_mutex_lock(&access->remember_lock);
    memcpy(user->remembered, digest, REMEMBER_SIZE);
    user->has_remembered = true;
    pthread_mutex_unlock(&access->remember_lock);
}

static struct user *login(struct access *access, const struct access_request *request)
{
    static const struct password nobody = {.iterations = 1};
    uint8_t digest[REMEMBER_SIZE];
    struct bytes given = request->has_password ? request->password : bytes_text("");
    struct user *user = rules_user(access->rules, request->user);
    remember_digest(access, user ? &user->password : &nobody, request->user, given, digest);
    if (user == NULL) {
        (void)password_matches(decoy_of(access->rules, digest), given);
        return NULL;
    }
    if (request->has_password && remembered(access, user, digest))
        return user;
    bool right = password_matches(&user->password, given);
    /* An account with an empty password needs it said: a client that sends none does not pass. */
    if (!right || !request->has_password)
        return NULL;
    remember(access, user, digest);
    return user;
}

static bool anonymous_allowed(const struct rules *rules, bool loopback)
{
    return rules->anonymous == ANONYMOUS_ALLOW ||
           (rules->anonymous == ANONYMOUS_LOOPBACK && loopback);
}

static void grant_fill_vendor(const struct access *access, uint32_t index,
                              struct access_grant *grant)
{
    const struct rules_vendor *vendor = &access->rules->vendors[index];
    memcpy(grant->vendor, vendor->name, strlen(vendor->name) + 1);
    grant->subscribe_accept = vendor->subscribe_accept;
    grant->vendor_index = index;
    grant->quota = vendor->quota;
}

static void grant_fill(const struct access *access, const struct user *user, bool loopback,
                       struct access_grant *grant)
{
    *grant = (struct access_grant){
        .loopback = loopback,
        .generation = atomic_load(&access->generation),
        .credential = credential_of(user),
        .quota = access->rules->anonymous_quota,
    };
    if (user)
        grant_fill_vendor(access, user->vendor, grant);
}

/* A certificate names a vendor, and was checked before: what else is given must agree. */
static enum access_answer connect_by_certificate(struct access *access,
                                                 const struct access_request *request,
                                                 struct access_grant *grant)
{
    const struct rules *rules = access->rules;
    const struct rules_vendor *vendor = rules_vendor(rules, request->certificate);
    const struct user *user = NULL;
    if (vendor == NULL || (request->has_password && !request->has_user))
        return ACCESS_NOT_AUTHORISED;
    uint32_t index = (uint32_t)(vendor - rules->vendors);
    if (request->has_password) {
        user = login(access, request);
        if (user == NULL)
            return ACCESS_BAD_CREDENTIALS;
        if (user->vendor != index)
            return ACCESS_NOT_AUTHORISED;
    } else if (request->has_user && !bytes_equal_text(request->user, vendor->name)) {
        return ACCESS_NOT_AUTHORISED;
    }
    grant_fill(access, user, request->loopback, grant);
    grant_fill_vendor(access, index, grant);
    grant->by_certificate = user == NULL;
    return ACCESS_OK;
}

enum access_answer access_connect(struct access *access, const struct access_request *request,
                                  struct access_grant *grant)
{
    enum access_answer answer = ACCESS_OK;
    const struct user *user = NULL;
    pthread_rwlock_rdlock(&access->lock);
    if (request->certificate) {
        answer = connect_by_certificate(access, request, grant);
        pthread_rwlock_unlock(&access->lock);
        return answer;
    }
    if (request->has_user) {
        user = login(access, request);
        answer = user ? ACCESS_OK : ACCESS_BAD_CREDENTIALS;
    } else if (request->has_password) {
        answer = ACCESS_BAD_CREDENTIALS; /* a token of MQTT 5.0, 3.1.3.6, which nobody was given */
    } else if (!anonymous_allowed(access->rules, request->loopback)) {
        answer = ACCESS_NOT_AUTHORISED;
    }
    if (answer == ACCESS_OK)
        grant_fill(access, user, request->loopback, grant);
    pthread_rwlock_unlock(&access->lock);
    return answer;
}

void access_vendor(struct access *access, const char *name, struct access_grant *grant)
{
    gw_assert(strlen(name) < ACCESS_VENDOR_SIZE);
    pthread_rwlock_rdlock(&access->lock);
    const struct rules_vendor *vendor = rules_vendor(access->rules, name);
    grant_fill(access, NULL, false, grant);
    memcpy(grant->vendor, name, strlen(name) + 1);
    if (vendor)
        grant->quota = vendor->quota;
    pthread_rwlock_unlock(&access->lock);
}

/* ---- afterwards ---- */

static bool vendor_publish(const struct rules_vendor *vendor, struct bytes topic)
{
    for (size_t i = 0; vendor && i < vendor->topic_count; i++)
        if (access_topic_matches(bytes_text(vendor->topics[i]), topic))
            return true;
    return false;
}

static bool rules_publish(const struct rules *rules, uint64_t generation,
                          const struct access_grant *grant, struct bytes topic)
{
    if (grant->vendor[0] == '\0')
        return anonymous_allowed(rules, grant->loopback) && topic.size > 0 && topic.data[0] != '$';
    bool fresh = grant->generation == generation && grant->vendor_index < rules->vendor_count;
    return vendor_publish(
        fresh ? &rules->vendors[grant->vendor_index] : rules_vendor(rules, grant->vendor), topic);
}

static void view_renew(struct access *access, struct access_view *view)
{
    rules_release(view->rules);
    pthread_rwlock_rdlock(&access->lock);
    view->rules = rules_acquire(access->rules);
    view->generation = atomic_load(&access->generation);
    pthread_rwlock_unlock(&access->lock);
}

bool access_publish(struct access *access, struct access_view *view,
                    const struct access_grant *grant, struct bytes topic)
{
    if (view->rules == NULL || view->generation != atomic_load(&access->generation))
        view_renew(access, view);
    return rules_publish(view->rules, view->generation, grant, topic);
}

void access_view_fini(struct access_view *view)
{
    rules_release(view->rules);
    view->rules = NULL;
}

bool access_renew(struct access *access, struct access_grant *grant, struct bytes name)
{
    bool still;
    const struct user *user = NULL;
    pthread_rwlock_rdlock(&access->lock);
    if (grant->by_certificate) {
        const struct rules_vendor *vendor = rules_vendor(access->rules, grant->vendor);
        still = vendor != NULL;
        if (still) {
            grant_fill(access, NULL, grant->loopback, grant);
            grant_fill_vendor(access, (uint32_t)(vendor - access->rules->vendors), grant);
            grant->by_certificate = true;
        }
        pthread_rwlock_unlock(&access->lock);
        return still;
    }
    if (grant->vendor[0]) {
        user = rules_user(access->rules, name);
        still = user && credential_of(user) == grant->credential &&
                strcmp(access->rules->vendors[user->vendor].name, grant->vendor) == 0;
    } else {
        still = anonymous_allowed(access->rules, grant->loopback);
    }
    if (still)
        grant_fill(access, user, grant->loopback, grant);
    pthread_rwlock_unlock(&access->lock);
    return still;
}

/* ---- topic filters ---- */

/* The level at the front of `rest`; *more tells whether another follows, which `rest` then is. */
static struct bytes level_take(struct bytes *rest, bool *more)
{
    const uint8_t *slash = rest->size ? memchr(rest->data, '/', rest->size) : NULL;
    struct bytes level = {rest->data, slash ? (size_t)(slash - rest->data) : rest->size};
    *more = slash != NULL;
    *rest = slash ? bytes_of(slash + 1, rest->size - level.size - 1) : bytes_of(rest->data, 0);
    return level;
}

bool access_topic_matches(struct bytes filter, struct bytes topic)
{
    if (filter.size == 0 || topic.size == 0)
        return false;
    /* MQTT 5.0, 4.7.2: a wildcard in the first level does not match $SYS and its like. */
    if (topic.data[0] == '$' && (filter.data[0] == '+' || filter.data[0] == '#'))
        return false;
    bool filter_more = true;
    bool topic_more = true;
    while (filter_more) {
        struct bytes want = level_take(&filter, &filter_more);
        if (bytes_equal_text(want, "#"))
            return !filter_more;
        if (!topic_more)
            return false;
        struct bytes have = level_take(&topic, &topic_more);
        if (!bytes_equal_text(want, "+") && !bytes_equal(want, have))
            return false;
    }
    return !topic_more;
}
