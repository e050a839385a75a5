/* SPDX-License-Identifier: Apache-2.0
 *
 * See login.h. Loops push, the pool's own threads hash; one lock, never held while hashing.
 */
#include "sources/mqtt/login.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"
#include "sources/mqtt/mailbox.h"

enum { THREADS_MAX = 16, NICE = 10 };

struct row {
    struct login *first, **last;
    size_t count;
};

struct login_pool {
    struct access *access;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct row rows[LOGIN_ROWS];
    size_t next; /* row to be served */
    size_t waiting, waiting_max;
    uint64_t busy;
    bool ending;
    unsigned thread_count;
    pthread_t threads[THREADS_MAX];
};

/* ---- one login ---- */

static struct bytes keep(uint8_t **at, struct bytes in)
{
    struct bytes out = {*at, in.size};
    if (in.size)
        memcpy(*at, in.data, in.size);
    *at += in.size;
    return out;
}

struct login *login_new(struct conn *conn, struct mailbox *mailbox, struct bytes packet,
                        const struct access_request *request)
{
    size_t name_size = request->certificate ? strlen(request->certificate) + 1 : 0;
    size_t size = packet.size + request->user.size + request->password.size + request->client.size +
                  name_size;
    struct login *login = mem_zalloc(sizeof *login + size);
    uint8_t *at = login->data;
    login->conn = conn;
    login->mailbox = mailbox;
    login->packet = keep(&at, packet);
    login->request = *request;
    login->request.user = keep(&at, request->user);
    login->request.password = keep(&at, request->password);
    login->request.client = keep(&at, request->client);
    if (name_size)
        login->request.certificate =
            (const char *)keep(&at, bytes_of(request->certificate, name_size)).data;
    return login;
}

void login_free(struct login *login)
{
    if (login == NULL)
        return;
    const struct access_request *request = &login->request;
    OPENSSL_cleanse((uint8_t *)(uintptr_t)login->packet.data, login->packet.size);
    OPENSSL_cleanse((uint8_t *)(uintptr_t)request->password.data, request->password.size);
    free(login);
}

/* ---- rows ---- */

static struct row *row_of(struct login_pool *pool, const struct login *login)
{
    struct address host = address_host(&login->request.from);
    return &pool->rows[XXH3_64bits(host.bytes, sizeof host.bytes) % LOGIN_ROWS];
}

static void row_add(struct row *row, struct login *login)
{
    login->next = NULL;
    if (row->count++ == 0)
        row->last = &row->first;
    *row->last = login;
    row->last = &login->next;
}

static struct login *row_take(struct row *row)
{
    struct login *login = row->first;
    row->first = login->next;
    row->count--;
    return login;
}

static struct row *longest(struct login_pool *pool)
{
    struct row *row = &pool->rows[0];
    for (size_t i = 1; i < LOGIN_ROWS; i++)
        if (pool->rows[i].count > row->count)
            row = &pool->rows[i];
    return row;
}

/* Whoever's row comes next; null: nobody waits. */
static struct login *pool_take(struct login_pool *pool)
{
    for (size_t i = 0; pool->waiting && i < LOGIN_ROWS; i++) {
        struct row *row = &pool->rows[pool->next];
        pool->next = (pool->next + 1) % LOGIN_ROWS;
        if (row->count == 0)
            continue;
        pool->waiting--;
        return row_take(row);
    }
    return NULL;
}

bool login_push(struct login_pool *pool, struct login *login)
{
    struct login *evicted = NULL;
    pthread_mutex_lock(&pool->lock);
    struct row *row = row_of(pool, login);
    bool taken = !pool->ending && pool->thread_count > 0;
    if (taken && pool->waiting >= pool->waiting_max) {
        struct row *give = longest(pool);
        pool->busy++;
        taken = row->count + 1 < give->count;
        if (taken) {
            evicted = row_take(give);
            pool->waiting--;
        }
    }
    if (taken) {
        row_add(row, login);
        pool->waiting++;
        pthread_cond_signal(&pool->changed);
    }
    pthread_mutex_unlock(&pool->lock);
    if (evicted) {
        evicted->busy = true;
        mailbox_post_login(evicted->mailbox, evicted);
    }
    return taken;
}

/* ---- threads ---- */

static void *run(void *arg)
{
    struct login_pool *pool = arg;
    /* Who publishes goes first: where processors are few, guessing must not slow that down. */
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    pthread_mutex_lock(&pool->lock);
    while (!pool->ending) {
        struct login *login = pool_take(pool);
        if (login == NULL) {
            pthread_cond_wait(&pool->changed, &pool->lock);
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        login->busy = atomic_load(&login->cancelled);
        if (!login->busy)
            login->answer = access_verify(pool->access, &login->request, &login->grant);
        mailbox_post_login(login->mailbox, login);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct login_pool *login_pool_new(struct access *access, size_t waiting_max)
{
    struct login_pool *pool = mem_zalloc(sizeof *pool);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
    pool->access = access;
    pool->waiting_max = waiting_max;
    return pool;
}

int login_pool_start(struct login_pool *pool, unsigned threads, struct err *err)
{
    pthread_mutex_lock(&pool->lock);
    int status = 0;
    while (pool->thread_count < threads && pool->thread_count < THREADS_MAX && status == 0) {
        status = pthread_create(&pool->threads[pool->thread_count], NULL, run, pool);
        if (status == 0)
            pthread_setname_np(pool->threads[pool->thread_count++], "login");
    }
    pthread_mutex_unlock(&pool->lock);
    return status ? err_set(err, GW_EIO, "mqtt: start a thread: %s", strerror(status)) : 0;
}

void login_pool_stop(struct login_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    unsigned count = pool->thread_count;
    pool->thread_count = 0;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < count; i++)
        pthread_join(pool->threads[i], NULL);
}

void login_pool_free(struct login_pool *pool)
{
    if (pool == NULL)
        return;
    for (struct login *login; (login = pool_take(pool));)
        login_free(login);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* ---- figures ---- */

size_t login_pool_waiting(struct login_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    size_t waiting = pool->waiting;
    pthread_mutex_unlock(&pool->lock);
    return waiting;
}

uint64_t login_pool_busy(struct login_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    uint64_t busy = pool->busy;
    pthread_mutex_unlock(&pool->lock);
    return busy;
}
