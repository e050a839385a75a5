/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast history goes out again: the engine of `tidegate replay` into a consumer that only counts.
 * Four lines: the reading log as it is, its rows chosen by vendor, the raw log decoded again, and
 * the reading log once more with that decoding laid over it.
 *
 *     bench_replay [-d DIR] [-m MESSAGES]
 *
 * The data: 1,000 meters of two vendors, each message a JSON object with four metrics (175 bytes).
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "decoder.h"
#include "journal/rawlog.h"
#include "replay.h"

enum { METERS = 1000, CHUNK_MESSAGES = 500, READINGS_EACH = 4, DECODE_WAIT_MS = 300000 };

struct world {
    char *dir;
    struct config *config;
    struct rawlog *rawlog;
    struct journal *readings, *dead;
    struct replays *replays;
    _Atomic unsigned chunks_open;
    pthread_mutex_t lock;
    struct feed *feed;
    pthread_t consumer;
    _Atomic bool ends;
};

static void must(int rc, const struct err *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_replay: %s\n", err->text);
    exit(1);
}

/* ---- the data ---- */

static void on_chunk_done(struct chunk *chunk)
{
    struct world *world = chunk->owner;
    chunk_release(world->rawlog, chunk);
    world->chunks_open--;
}

static void chunk_fill(struct chunk *chunk, uint64_t first)
{
    for (uint64_t i = first; i < first + CHUNK_MESSAGES; i++) {
        char topic[64], text[256];
        unsigned meter = (unsigned)(i % METERS);
        int64_t ts_ms = clock_wall_ms() - 86400000 + (int64_t)(i / METERS) * 1000;
        snprintf(topic, sizeof topic, "v1/vendor%u/json", meter % 2);
        snprintf(text, sizeof text,
                 "{\"device\":\"%08u\",\"time\":%" PRId64 ",\"volume.total\":%" PRIu64
                 ".%03u,\"pressure\":{\"value\":0.31,\"unit\":\"MPa\"},"
                 "\"temperature.water\":12.%u,\"battery.voltage\":3.%u}",
                 meter, ts_ms, 1000 + i / METERS, meter % 1000, (unsigned)(i % 10),
                 (unsigned)(i % 7));
        struct message message = {.topic = bytes_text(topic),
                                  .client = bytes_text("bench"),
                                  .payload = bytes_text(text),
                                  .flags = 1,
                                  .protocol = 4};
        chunk_add_message(chunk, &message);
    }
}

static void messages_make(struct world *world, uint64_t count)
{
    for (uint64_t i = 0; i < count; i += CHUNK_MESSAGES) {
        struct chunk *chunk;
        while ((chunk = chunk_acquire(world->rawlog)) == NULL)
            usleep(1000);
        chunk->done = on_chunk_done;
        chunk->owner = world;
        chunk_fill(chunk, i);
        world->chunks_open++;
        rawlog_submit(world->rawlog, chunk);
    }
    while (world->chunks_open)
        usleep(1000);
}

static void messages_decode(struct world *world)
{
    struct err err;
    struct decoder *decoder;
    struct decoder_options options = {.disk = &disk_real,
                                      .state_dir = world->dir,
                                      .raw = rawlog_journal(world->rawlog),
                                      .readings = world->readings,
                                      .dead = world->dead,
                                      .save_bytes = 1ULL << 40};
    must(decoder_new(&options, world->config, &decoder, &err), &err);
    must(decoder_start(decoder, &err), &err);
    decoder_stop(decoder, DECODE_WAIT_MS);
    decoder_free(decoder);
}

/* ---- the consumer ---- */

static void *consumer_main(void *arg)
{
    struct world *world = arg;
    while (!world->ends) {
        pthread_mutex_lock(&world->lock);
        struct feed *feed = world->feed ? feed_acquire(world->feed) : NULL;
        pthread_mutex_unlock(&world->lock);
        struct batch *batch = feed ? feed_take(feed) : NULL;
        if (batch) {
            feed_stored(feed, &batch, 1);
            batch_release(batch);
        } else {
            usleep(200);
        }
        feed_free(feed);
    }
    return NULL;
}

static int on_attach(void *arg, const char *sink, struct feed *feed, struct err *err)
{
    struct world *world = arg;
    (void)sink;
    (void)err;
    pthread_mutex_lock(&world->lock);
    world->feed = feed_acquire(feed);
    pthread_mutex_unlock(&world->lock);
    return 0;
}

static void on_detach(void *arg, const char *sink, struct feed *feed)
{
    struct world *world = arg;
    (void)sink;
    pthread_mutex_lock(&world->lock);
    world->feed = NULL;
    pthread_mutex_unlock(&world->lock);
    feed_free(feed);
}

static void on_wake(void *arg, const char *sink)
{
    (void)arg;
    (void)sink;
}

static struct config *on_config(void *arg, uint32_t *generation)
{
    struct world *world = arg;
    *generation = 2;
    return config_acquire(world->config);
}

/* ---- measuring ---- */

static void replay(struct world *world, const char *name, struct replay_request *request)
{
    struct replay_status status;
    struct err err;
    char id[REPLAY_ID_SIZE], sink[] = "count";
    request->sink = sink;
    request->to_ms = INT64_MAX;
    int64_t begin = clock_monotonic_ns();
    must(replay_begin(world->replays, request, id, &err), &err);
    do
        usleep(1000);
    while (replay_status(world->replays, 0, &status) && status.state == REPLAY_RUNNING);
    double seconds = (double)(clock_monotonic_ns() - begin) / 1e9;
    printf("%-24s %10" PRIu64 " readings  %6.2f s  %9.0f readings/s%s\n", name, status.readings,
           seconds, (double)status.readings / seconds,
           status.state == REPLAY_DONE ? "" : "  FAILED");
}

static void world_open(struct world *world)
{
    struct journal_recovery found;
    struct err err;
    struct buffer errors = {0};
    const char *names[] = {"raw", "readings", "dead"};
    char *dirs[3];
    for (int i = 0; i < 3; i++)
        dirs[i] = mem_printf("%s/%s", world->dir, names[i]);
    struct rawlog_options raw = {
        .journal = {.disk = &disk_real,
                    .dir = dirs[0],
                    .segment_bytes = 64 << 20,
                    .compression_level = 1},
        .memory_bytes = 64 << 20,
        .chunk_bytes = 256 << 10,
        .extent_bytes = 1 << 20,
    };
    must(rawlog_open(&world->rawlog, &raw, &found, &err), &err);
    struct journal_options options = raw.journal;
    options.identity = journal_identity(rawlog_journal(world->rawlog));
    options.dir = dirs[1];
    options.kind = JOURNAL_READINGS;
    must(journal_open(&world->readings, &options, &found, &err), &err);
    options.dir = dirs[2];
    options.kind = JOURNAL_DEAD;
    must(journal_open(&world->dead, &options, &found, &err), &err);
    must(rawlog_start(world->rawlog, &err), &err);
    struct config_places places = {.data = world->dir};
    if (config_embedded(&places, &world->config, &errors))
        must(1, &err);
    for (int i = 0; i < 3; i++)
        free(dirs[i]);
}

static void replays_open(struct world *world)
{
    struct err err;
    char *jobs = mem_printf("%s/replays", world->dir);
    char *again = mem_printf("%s/again", world->dir);
    struct replays_options options = {
        .disk = &disk_real,
        .dir = jobs,
        .state_dir = world->dir,
        .again_dir = again,
        .raw = rawlog_journal(world->rawlog),
        .readings = world->readings,
        .dead = world->dead,
        .attach = on_attach,
        .detach = on_detach,
        .wake = on_wake,
        .config = on_config,
        .arg = world,
    };
    must(replays_new(&options, &world->replays, &err), &err);
    must(replays_start(world->replays, &err), &err);
    pthread_mutex_init(&world->lock, NULL);
    pthread_create(&world->consumer, NULL, consumer_main, world);
    free(jobs);
    free(again);
}

static void world_close(struct world *world)
{
    replays_stop(world->replays);
    world->ends = true;
    pthread_join(world->consumer, NULL);
    replays_free(world->replays);
    journal_close(world->dead);
    journal_close(world->readings);
    rawlog_stop(world->rawlog, 5000);
    rawlog_close(world->rawlog);
    config_free(world->config);
}

int main(int argc, char **argv)
{
    struct world world = {.dir = NULL};
    uint64_t messages = 1000000;
    const char *parent = "/dev/shm";
    for (int option; (option = getopt(argc, argv, "d:m:")) != -1;) {
        if (option == 'd')
            parent = optarg;
        else if (option == 'm')
            messages = strtoull(optarg, NULL, 10);
        else
            return 2;
    }
    log_set_level(LOG_WARN);
    world.dir = mem_printf("%s/tidegate-bench-replay.%d", parent, (int)getpid());
    if (disk_make_dirs(&disk_real, world.dir) < 0)
        return 1;
    world_open(&world);
    messages_make(&world, messages);
    messages_decode(&world);
    replays_open(&world);
    char vendor[] = "vendor1";
    replay(&world, "reading log", &(struct replay_request){.source = REPLAY_READINGS});
    replay(&world, "reading log, one vendor",
           &(struct replay_request){.source = REPLAY_READINGS, .vendor = vendor});
    replay(&world, "decoded again", &(struct replay_request){.source = REPLAY_AGAIN});
    replay(&world, "laid over each other", &(struct replay_request){.source = REPLAY_READINGS});
    world_close(&world);
    char *remove = mem_printf("rm -r '%s'", world.dir);
    int rc = system(remove);
    free(remove);
    free(world.dir);
    return rc ? 1 : 0;
}
