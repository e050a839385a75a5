/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of replays: begun, stopped, resumed, forgotten, and taken up again after a restart. What
 * a job does while it runs stands in replay_run.c and in a file for each source. Any thread, under
 * the lock; a job that runs has a thread of its own.
 */
#include "replay.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "again_log.h"
#include "base/audit_log.h"
#include "base/clock.h"
#include "base/log.h"
#include "replay_run.h"

enum { FEED_BYTES = 16 << 20, FINISHED_MAX = 100, NICE = 10 };

struct entry {
    struct replays *replays;
    struct replay_run run;
    pthread_t thread;
    bool thread_made;     /* and not joined */
    _Atomic bool ended;   /* its thread is done with everything */
    _Atomic bool by_user; /* somebody asked for the stop */
    bool busy;            /* somebody begins or removes it, outside the lock */
};

struct replays {
    struct replays_options options;
    char *dir, *state_dir, *again_dir, *refused_dir;
    struct again_log *again;
    pthread_mutex_t lock;
    struct entry **entries; /* oldest first */
    size_t count, capacity;
    char last_id[REPLAY_ID_SIZE];
    unsigned last_number;
    _Atomic bool stopping;
    pthread_t indexer;
    bool indexer_made;
};

static enum replay_state state_of(struct entry *entry)
{
    struct replay_status status;
    replay_run_status(&entry->run, &status);
    return status.state;
}

/* ---- a job's thread ---- */

static void on_wake(void *arg)
{
    struct entry *entry = arg;
    const struct replays_options *options = &entry->replays->options;
    options->wake(options->arg, entry->run.job.request.sink);
}

static int source_run(struct replay_run *run, struct err *err)
{
    switch (run->job.request.source) {
    case REPLAY_READINGS: return replay_readings_run(run, err);
    case REPLAY_AGAIN: return replay_again_run(run, err);
    case REPLAY_LETTERS: return replay_letters_run(run, err);
    }
    return err_set(err, GW_EINVAL, "unknown source");
}

static enum replay_state end_state(struct entry *entry, int rc, struct err *err)
{
    if (rc == 0)
        return REPLAY_DONE;
    if (rc != GW_ECLOSED)
        return REPLAY_FAILED;
    err->text[0] = '\0';
    if (entry->by_user)
        return REPLAY_STOPPED;
    if (entry->replays->stopping)
        return REPLAY_RUNNING; /* it goes on at the next start */
    err_set(err, GW_ECLOSED, "the lane of the sink let it go; resume it when the sink is back");
    return REPLAY_FAILED;
}

/* A job that goes on at the next start has not ended. */
static void end_audit(struct audit_log *audit, const struct replay_status *status)
{
    static const char *const ends[] = {[REPLAY_STOPPED] = "stopped", [REPLAY_DONE] = "done"};
    if (status->state == REPLAY_RUNNING)
        return;
    bool failed = status->state == REPLAY_FAILED;
    struct audit_entry entry = {.what = AUDIT_REPLAY,
                                .result = failed ? AUDIT_FAILED : AUDIT_OK,
                                .object = bytes_text(status->id),
                                .why = failed ? status->why : ends[status->state]};
    audit_log_add(audit, &entry);
}

static void end_tell(struct audit_log *audit, const struct replay_run *run)
{
    const struct replay_status *status = &run->job.status;
    end_audit(audit, status);
    log_event(status->state == REPLAY_FAILED ? LOG_ERROR : LOG_INFO, "replay_ends",
              "id=%s state=%s sink=%s next_seq=%" PRIu64 " readings=%" PRIu64 " withdrawn=%" PRIu64
              " changed=%" PRIu64 " damaged=%" PRIu64 " why=\"%s\"",
              status->id, replay_state_name(status->state), status->sink, status->next_seq,
              status->readings, status->withdrawn, status->changed, status->damaged, status->why);
}

/* Live threads come first: this one gets a tenth of a processor that they want, and all of one that they
 * leave. (SCHED_IDLE would get nothing for as long as a machine is busy.) Of Linux: it is for this thread. */
static void thread_yields(void)
{
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

static void *entry_main(void *arg)
{
    struct entry *entry = arg;
    struct replay_run *run = &entry->run;
    const struct replays_options *options = &entry->replays->options;
    struct err err = {{0}};
    thread_yields();
    int rc = source_run(run, &err);
    if (rc == 0 && run->feed && !feed_drained(run->feed))
        rc = GW_ECLOSED;
    if (run->feed)
        feed_end(run->feed);
    enum replay_state state = end_state(entry, rc, &err);
    struct feed *feed = replay_run_end(run, state, rc ? err.text : "");
    if (feed)
        options->detach(options->arg, run->job.request.sink, feed);
    feed_free(feed);
    end_tell(options->audit, run);
    if (replay_run_save(run, &err))
        log_event(LOG_ERROR, "replay_not_saved", "id=%s why=\"%s\"", run->job.status.id, err.text);
    entry->ended = true;
    return NULL;
}

static void gateway_format(const struct replays *replays, char out[IDENTITY_TEXT_SIZE])
{
    identity_format(journal_identity(replays->options.raw), out);
}

/* Sequence numbers mean something in one journal only. */
static int gateway_check(const struct entry *entry, struct err *err)
{
    const struct replay_job *job = &entry->run.job;
    char ours[IDENTITY_TEXT_SIZE];
    gateway_format(entry->replays, ours);
    return strcmp(job->gateway, ours) == 0
               ? 0
               : err_set(err, GW_EINVAL,
                         "replay %s is about the journal %s, which was set aside; forget it",
                         job->status.id, job->gateway);
}

/* Attach and start the thread. The entry is busy: nobody else begins it. */
static int entry_begin(struct entry *entry, struct err *err)
{
    const struct replays *replays = entry->replays;
    const struct replays_options *options = &replays->options;
    const struct replay_request *request = &entry->run.job.request;
    struct feed *feed = NULL;
    int rc = gateway_check(entry, err);
    if (rc == 0 && !request->dry_run) {
        feed = feed_new(options->feed_bytes ? options->feed_bytes : FEED_BYTES, on_wake, entry);
        rc = options->attach(options->arg, request->sink, feed, err);
    }
    if (rc) {
        feed_free(feed);
        return rc;
    }
    entry->by_user = false;
    replay_run_begin(&entry->run, feed);
    entry->ended = false;
    rc = replay_run_save(&entry->run, err);
    if (rc == 0 && pthread_create(&entry->thread, NULL, entry_main, entry))
        rc = err_set(err, GW_ELIMIT, "replay: no thread can be made");
    if (rc == 0) {
        char name[16];
        snprintf(name, sizeof name, "replay-%.8s", request->sink ? request->sink : "dry");
        pthread_setname_np(entry->thread, name);
        entry->thread_made = true;
        return 0;
    }
    entry->ended = true;
    replay_run_end(&entry->run, REPLAY_FAILED, err->text);
    if (feed) {
        feed_end(feed);
        options->detach(options->arg, request->sink, feed);
        feed_free(feed);
    }
    return rc;
}

static void entry_join(struct entry *entry)
{
    if (entry->thread_made)
        pthread_join(entry->thread, NULL);
    entry->thread_made = false;
}

static void entry_free(struct entry *entry)
{
    replay_run_fini(&entry->run);
    free(entry);
}

/* Takes the job over. */
static struct entry *entry_new(struct replays *replays, struct replay_job *job)
{
    struct entry *entry = mem_zalloc(sizeof *entry);
    entry->replays = replays;
    entry->ended = true;
    replay_run_init(&entry->run, &replays->options, replays->again, job);
    return entry;
}

/* ---- the table; with the lock held ---- */

static void entry_add(struct replays *replays, struct entry *entry)
{
    if (replays->count == replays->capacity) {
        replays->capacity = replays->capacity ? replays->capacity * 2 : 16;
        replays->entries =
            mem_realloc(replays->entries, replays->capacity * sizeof *replays->entries);
    }
    replays->entries[replays->count++] = entry;
}

static struct entry *entry_find(struct replays *replays, const char *id)
{
    for (size_t i = 0; i < replays->count; i++)
        if (strcmp(replays->entries[i]->run.job.status.id, id) == 0)
            return replays->entries[i];
    return NULL;
}

static void entry_remove(struct replays *replays, const struct entry *entry)
{
    size_t at = 0;
    while (replays->entries[at] != entry)
        at++;
    replays->count--;
    memmove(&replays->entries[at], &replays->entries[at + 1],
            (replays->count - at) * sizeof(struct entry *));
}

static void id_make(struct replays *replays, char id[REPLAY_ID_SIZE])
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm civil;
    char text[16];
    gmtime_r(&now, &civil);
    strftime(text, sizeof text, "%Y%m%d-%H%M%S", &civil);
    unsigned number = strcmp(text, replays->last_id) == 0 ? replays->last_number : 0;
    do
        snprintf(id, REPLAY_ID_SIZE, "%s-%u", text, ++number);
    while (entry_find(replays, id));
    snprintf(replays->last_id, sizeof replays->last_id, "%s", text);
    replays->last_number = number;
}

/* ---- life ---- */

/* A file that cannot be read stays: somebody may want to look into it. */
static int jobs_load(struct replays *replays, struct err *err)
{
    const struct disk *disk = replays->options.disk;
    struct disk_names names = {0};
    int rc = disk->list(disk, replays->dir, &names);
    if (rc < 0)
        return err_set(err, GW_EIO, "replays %s: %s", replays->dir, strerror(-rc));
    for (size_t i = 0; i < names.count; i++) {
        char id[REPLAY_ID_SIZE];
        struct replay_job job;
        struct err why;
        if (!replay_job_id(names.names[i], id))
            continue;
        if (replay_job_load(disk, replays->dir, id, &job, &why))
            log_event(LOG_ERROR, "replay_not_read", "why=\"%s\"", why.text);
        else
            entry_add(replays, entry_new(replays, &job));
    }
    disk_names_fini(&names);
    return 0;
}

int replays_new(const struct replays_options *options, struct replays **out, struct err *err)
{
    struct replays *replays = mem_zalloc(sizeof *replays);
    *replays = (struct replays){.options = *options,
                                .dir = mem_strdup(options->dir),
                                .state_dir = mem_strdup(options->state_dir),
                                .again_dir = mem_strdup(options->again_dir),
                                .refused_dir =
                                    options->refused_dir ? mem_strdup(options->refused_dir) : NULL};
    replays->options.dir = replays->dir;
    replays->options.state_dir = replays->state_dir;
    replays->options.again_dir = replays->again_dir;
    replays->options.refused_dir = replays->refused_dir;
    pthread_mutex_init(&replays->lock, NULL);
    const struct again_options again = {
        .disk = options->disk,
        .dir = replays->again_dir,
        .identity = journal_identity(options->raw),
        .segment_bytes = options->again_segment_bytes,
        .max_bytes = options->again_max_bytes,
        .reserve_bytes = options->reserve_bytes,
    };
    int rc = disk_make_dirs(options->disk, replays->dir);
    if (rc < 0)
        rc = err_set(err, GW_EIO, "replays %s: %s", replays->dir, strerror(-rc));
    if (rc == 0)
        rc = again_log_new(&again, &replays->again, err);
    if (rc == 0)
        rc = jobs_load(replays, err);
    if (rc) {
        replays_free(replays);
        replays = NULL;
    }
    *out = replays;
    return rc;
}

static void *indexer_main(void *arg)
{
    struct again_log *again = arg;
    struct err err;
    thread_yields();
    int rc = again_log_index(again, &err);
    if (rc && rc != GW_ECLOSED)
        log_event(LOG_WARN, "again_not_read", "why=\"%s\"", err.text);
    return NULL;
}

int replays_start(struct replays *replays, struct err *err)
{
    if (pthread_create(&replays->indexer, NULL, indexer_main, replays->again))
        return err_set(err, GW_ELIMIT, "replay: no thread can be made");
    pthread_setname_np(replays->indexer, "replay-index");
    replays->indexer_made = true;
    for (size_t i = 0; i < replays->count; i++) {
        struct entry *entry = replays->entries[i];
        struct err why;
        if (state_of(entry) != REPLAY_RUNNING || entry_begin(entry, &why) == 0)
            continue;
        replay_run_end(&entry->run, REPLAY_FAILED, why.text);
        end_tell(entry->replays->options.audit, &entry->run);
        replay_run_save(&entry->run, &why);
    }
    return 0;
}

void replays_stop(struct replays *replays)
{
    replays->stopping = true;
    again_log_stop(replays->again);
    /* Nobody begins or removes one any more. */
    for (size_t i = 0; i < replays->count; i++)
        replay_run_stop(&replays->entries[i]->run);
    for (size_t i = 0; i < replays->count; i++)
        entry_join(replays->entries[i]);
    if (replays->indexer_made)
        pthread_join(replays->indexer, NULL);
    replays->indexer_made = false;
}

void replays_free(struct replays *replays)
{
    if (replays == NULL)
        return;
    for (size_t i = 0; i < replays->count; i++)
        entry_free(replays->entries[i]);
    again_log_free(replays->again);
    pthread_mutex_destroy(&replays->lock);
    free(replays->entries);
    free(replays->dir);
    free(replays->state_dir);
    free(replays->again_dir);
    free(replays->refused_dir);
    free(replays);
}

/* ---- what people ask for ---- */

/* The entry, busy, and its thread gone; or null with *rc. */
static struct entry *entry_take(struct replays *replays, const char *id, int *rc, struct err *err)
{
    pthread_mutex_lock(&replays->lock);
    struct entry *entry = entry_find(replays, id);
    if (entry == NULL)
        *rc = err_set(err, GW_ENOENT, "there is no replay %s", id);
    else if (replays->stopping)
        *rc = err_set(err, GW_ECLOSED, "the gateway stops");
    else if (entry->busy || state_of(entry) == REPLAY_RUNNING) /* else its thread ends now */
        *rc = err_set(err, GW_EEXIST, "replay %s runs, or is being stopped", id);
    else
        entry->busy = true;
    entry = entry && *rc == 0 ? entry : NULL;
    pthread_mutex_unlock(&replays->lock);
    if (entry)
        entry_join(entry);
    return entry;
}

static void entry_give_back(struct replays *replays, struct entry *entry)
{
    pthread_mutex_lock(&replays->lock);
    entry->busy = false;
    pthread_mutex_unlock(&replays->lock);
}

/* Jobs beyond a hundred that do not run go, the oldest first. */
static void prune(struct replays *replays)
{
    struct err err;
    char id[REPLAY_ID_SIZE] = "";
    size_t finished = 0;
    pthread_mutex_lock(&replays->lock);
    for (size_t i = replays->count; i-- > 0;)
        if (state_of(replays->entries[i]) != REPLAY_RUNNING && ++finished > FINISHED_MAX)
            snprintf(id, sizeof id, "%s", replays->entries[i]->run.job.status.id);
    pthread_mutex_unlock(&replays->lock);
    if (id[0])
        replay_forget(replays, id, &err);
}

static void job_make(const struct replays *replays, const struct replay_request *request,
                     struct replay_job *job)
{
    *job = (struct replay_job){0};
    gateway_format(replays, job->gateway);
    replay_request_copy(&job->request, request);
    job->status.state = REPLAY_RUNNING;
    job->status.source = request->source;
    job->status.dry_run = request->dry_run;
    job->status.started_ms = clock_wall_ms();
    if (request->sink)
        snprintf(job->status.sink, sizeof job->status.sink, "%s", request->sink);
}

int replay_begin(struct replays *replays, const struct replay_request *request,
                 char id[REPLAY_ID_SIZE], struct err *err)
{
    struct replay_job job;
    int rc = replay_request_check(request, err);
    if (rc)
        return rc;
    if (replays->stopping)
        return err_set(err, GW_ECLOSED, "the gateway stops");
    prune(replays);
    job_make(replays, request, &job);
    pthread_mutex_lock(&replays->lock);
    id_make(replays, job.status.id);
    snprintf(id, REPLAY_ID_SIZE, "%s", job.status.id);
    struct entry *entry = entry_new(replays, &job);
    entry->busy = true;
    entry_add(replays, entry);
    pthread_mutex_unlock(&replays->lock);
    rc = entry_begin(entry, err);
    pthread_mutex_lock(&replays->lock);
    entry->busy = false;
    if (rc)
        entry_remove(replays, entry);
    pthread_mutex_unlock(&replays->lock);
    if (rc == 0) {
        log_event(LOG_INFO, "replay_begins", "id=%s source=%s sink=%s dry_run=%s", id,
                  replay_source_name(request->source), request->sink ? request->sink : "",
                  request->dry_run ? "yes" : "no");
        return 0;
    }
    struct err again;
    replay_job_remove(replays->options.disk, replays->dir, id, &again);
    entry_free(entry);
    return rc;
}

int replay_stop(struct replays *replays, const char *id, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&replays->lock);
    struct entry *entry = entry_find(replays, id);
    if (entry == NULL) {
        rc = err_set(err, GW_ENOENT, "there is no replay %s", id);
    } else if (!entry->ended) {
        entry->by_user = true;
        replay_run_stop(&entry->run);
    }
    pthread_mutex_unlock(&replays->lock);
    return rc;
}

int replay_resume(struct replays *replays, const char *id, struct err *err)
{
    int rc = 0;
    struct entry *entry = entry_take(replays, id, &rc, err);
    if (entry == NULL)
        return rc;
    if (state_of(entry) == REPLAY_DONE)
        rc = err_set(err, GW_EINVAL, "replay %s is done; begin another", id);
    else
        rc = entry_begin(entry, err);
    entry_give_back(replays, entry);
    return rc;
}

int replay_forget(struct replays *replays, const char *id, struct err *err)
{
    int rc = 0;
    struct entry *entry = entry_take(replays, id, &rc, err);
    if (entry == NULL)
        return rc;
    rc = replay_job_remove(replays->options.disk, replays->dir, id, err);
    if (rc) {
        entry_give_back(replays, entry);
        return rc;
    }
    pthread_mutex_lock(&replays->lock);
    entry_remove(replays, entry);
    pthread_mutex_unlock(&replays->lock);
    entry_free(entry);
    return 0;
}

bool replay_status(struct replays *replays, size_t index, struct replay_status *out)
{
    pthread_mutex_lock(&replays->lock);
    bool there = index < replays->count;
    if (there)
        replay_run_status(&replays->entries[replays->count - 1 - index]->run, out);
    pthread_mutex_unlock(&replays->lock);
    return there;
}

int replay_examples(struct replays *replays, const char *id, struct buffer *out)
{
    pthread_mutex_lock(&replays->lock);
    struct entry *entry = entry_find(replays, id);
    if (entry) {
        pthread_mutex_lock(&entry->run.lock);
        buffer_add_bytes(out, buffer_bytes(&entry->run.job.examples));
        pthread_mutex_unlock(&entry->run.lock);
    }
    pthread_mutex_unlock(&replays->lock);
    return entry ? 0 : GW_ENOENT;
}

uint64_t replays_need(struct replays *replays)
{
    uint64_t need = UINT64_MAX;
    pthread_mutex_lock(&replays->lock);
    for (size_t i = 0; i < replays->count; i++) {
        uint64_t one = replay_run_need(&replays->entries[i]->run);
        need = one < need ? one : need;
    }
    pthread_mutex_unlock(&replays->lock);
    return need;
}

void replays_retain(struct replays *replays, uint64_t first_kept_seq)
{
    again_log_retain(replays->again, first_kept_seq);
}
