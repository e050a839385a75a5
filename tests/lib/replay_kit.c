/* SPDX-License-Identifier: Apache-2.0
 *
 * See replay_kit.h. The sinks wait for batches by looking every millisecond, which is what makes
 * them simple; everything that tests wait for is bounded by ten seconds.
 */
#include "lib/replay_kit.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "decode_state.h"
#include "decoder.h"
#include "model/batch.h"

enum { WAIT_MS = 10000 };

static void file_load(const char *path, struct buffer *out)
{
    assert_int_equal(disk_read_file(&disk_real, path, 64 << 20, out), 0);
}

/* ---- a sink ---- */

static void cell_value(const struct batch *batch, uint32_t row, char *out, size_t size)
{
    char number[32] = "null";
    if (batch->has_value[row])
        snprintf(number, sizeof number, "%.10g", batch_value(batch, row));
    struct bytes unit = batch->strings[batch->unit[row]];
    struct buffer flags = {0};
    flags_format(batch->flags[row], &flags);
    snprintf(out, size, "%s %.*s %s%s%.*s", number, (int)unit.size, (const char *)unit.data,
             quality_name((enum quality)batch->quality[row]), flags.size ? " " : "",
             (int)flags.size, flags.size ? (const char *)flags.data : "");
    buffer_fini(&flags);
}

/* As a store that keeps the highest version of a key, the last among equals. */
static void cell_put(struct kit_sink *sink, const struct batch *batch, uint32_t row)
{
    struct kit_cell cell = {
        .seq = batch->seq[row],
        .version = (uint64_t)batch->received_ms[row] << 20 | batch->generation,
        .withdrawn = batch->flags[row] & FLAG_WITHDRAWN,
    };
    struct bytes vendor = batch->strings[batch->vendor[row]];
    struct bytes device = batch->strings[batch->device[row]];
    struct bytes metric = batch->strings[batch->metric[row]];
    snprintf(cell.key, sizeof cell.key, "%.*s/%.*s %.*s %" PRId64, (int)vendor.size,
             (const char *)vendor.data, (int)device.size, (const char *)device.data,
             (int)metric.size, (const char *)metric.data, batch->ts_ms[row]);
    cell_value(batch, row, cell.value, sizeof cell.value);
    for (size_t i = 0; i < sink->cell_count; i++) {
        struct kit_cell *old = &sink->cells[i];
        if (old->seq == cell.seq && strcmp(old->key, cell.key) == 0) {
            if (old->version <= cell.version)
                *old = cell;
            return;
        }
    }
    sink->cells = mem_realloc(sink->cells, (sink->cell_count + 1) * sizeof *sink->cells);
    sink->cells[sink->cell_count++] = cell;
}

static void row_check(struct kit_sink *sink, const struct batch *batch, uint32_t row)
{
    uint64_t seq = batch->seq[row];
    if (!batch->has_value[row] || batch->unscaled[row] != (int64_t)seq || seq >= KIT_SEQS_MAX ||
        seq < batch->first_seq || seq > batch->last_seq)
        sink->wrong++;
    else
        sink->seen[seq] = 1;
}

static void batch_store(struct kit_sink *sink, const struct batch *batch)
{
    pthread_mutex_lock(&sink->lock);
    sink->wrong += !batch->replay || batch->reject_count;
    for (uint32_t row = 0; row < batch->count; row++) {
        if (sink->by_seq)
            row_check(sink, batch, row);
        else
            cell_put(sink, batch, row);
    }
    sink->rows += batch->count;
    sink->batches++;
    pthread_mutex_unlock(&sink->lock);
}

static struct batch *sink_take(struct kit_sink *sink, struct feed **feed)
{
    struct batch *batch = NULL;
    pthread_mutex_lock(&sink->lock);
    *feed = sink->feed ? feed_acquire(sink->feed) : NULL;
    if (*feed && (sink->pause_after == 0 || sink->batches < sink->pause_after))
        batch = feed_take(*feed);
    pthread_mutex_unlock(&sink->lock);
    return batch;
}

static void *sink_main(void *arg)
{
    struct kit_sink *sink = arg;
    while (!sink->ends) {
        struct feed *feed;
        struct batch *batch = sink_take(sink, &feed);
        if (batch) {
            batch_store(sink, batch);
            feed_stored(feed, &batch, 1);
            batch_release(batch);
        } else {
            usleep(1000);
        }
        feed_free(feed);
    }
    return NULL;
}

static void sink_init(struct kit_sink *sink)
{
    pthread_mutex_init(&sink->lock, NULL);
    sink->by_seq = true;
    sink->seen = mem_zalloc(KIT_SEQS_MAX);
    assert_int_equal(pthread_create(&sink->thread, NULL, sink_main, sink), 0);
}

static void sink_fini(struct kit_sink *sink)
{
    sink->ends = true;
    pthread_join(sink->thread, NULL);
    pthread_mutex_destroy(&sink->lock);
    free(sink->seen);
    free(sink->cells);
}

/* ---- what a gateway gives to its replays ---- */

static struct kit_sink *sink_of(struct replay_kit *kit, const char *name)
{
    return strcmp(name, "sink") == 0 ? &kit->sink : strcmp(name, "other") == 0 ? &kit->other : NULL;
}

static int on_attach(void *arg, const char *name, struct feed *feed, struct err *err)
{
    struct replay_kit *kit = arg;
    struct kit_sink *sink = sink_of(kit, name);
    if (sink == NULL)
        return err_set(err, GW_ENOENT, "no sink %s", name);
    pthread_mutex_lock(&sink->lock);
    bool taken = sink->feed != NULL;
    if (!taken)
        sink->feed = feed_acquire(feed);
    pthread_mutex_unlock(&sink->lock);
    kit->attached += !taken;
    return taken ? err_set(err, GW_EEXIST, "sink %s has a replay", name) : 0;
}

static void on_detach(void *arg, const char *name, struct feed *feed)
{
    struct replay_kit *kit = arg;
    struct kit_sink *sink = sink_of(kit, name);
    pthread_mutex_lock(&sink->lock);
    assert_ptr_equal(sink->feed, feed);
    sink->feed = NULL;
    pthread_mutex_unlock(&sink->lock);
    feed_free(feed);
    kit->attached--;
}

static void on_wake(void *arg, const char *name)
{
    assert_non_null(sink_of(arg, name));
}

static struct config *on_config(void *arg, uint32_t *generation)
{
    struct replay_kit *kit = arg;
    pthread_mutex_lock(&kit->config_lock);
    struct config *config = config_acquire(kit->config);
    *generation = kit->generation;
    pthread_mutex_unlock(&kit->config_lock);
    return config;
}

/* ---- life ---- */

static void logs_open(struct replay_kit *kit)
{
    struct journal_recovery found;
    struct err err = {{0}};
    struct rawlog_options raw = {
        .journal = {.disk = &disk_real, .dir = kit->raw_dir, .segment_bytes = 1 << 20},
        .memory_bytes = 8 << 20,
        .chunk_bytes = 64 << 10,
        .extent_bytes = 64 << 10,
    };
    if (rawlog_open(&kit->rawlog, &raw, &found, &err))
        fail_msg("%s", err.text);
    struct journal_options options = {.disk = &disk_real,
                                      .dir = kit->readings_dir,
                                      .kind = JOURNAL_READINGS,
                                      .identity = journal_identity(rawlog_journal(kit->rawlog)),
                                      .segment_bytes = 1 << 20,
                                      .compression_level = 1};
    if (journal_open(&kit->readings, &options, &found, &err))
        fail_msg("%s", err.text);
    options.dir = kit->dead_dir;
    options.kind = JOURNAL_DEAD;
    if (journal_open(&kit->dead, &options, &found, &err))
        fail_msg("%s", err.text);
    assert_int_equal(rawlog_start(kit->rawlog, &err), 0);
}

void rkit_open(struct replay_kit *kit)
{
    struct err err = {{0}};
    logs_open(kit);
    struct replays_options options = {
        .disk = kit->disk,
        .dir = kit->jobs_dir,
        .state_dir = kit->state_dir,
        .again_dir = kit->again_dir,
        .refused_dir = kit->refused_dir,
        .again_segment_bytes = 1 << 20,
        .feed_bytes = 64 << 10,
        .raw = rawlog_journal(kit->rawlog),
        .readings = kit->readings,
        .dead = kit->dead,
        .attach = on_attach,
        .detach = on_detach,
        .wake = on_wake,
        .config = on_config,
        .arg = kit,
    };
    if (replays_new(&options, &kit->replays, &err) || replays_start(kit->replays, &err))
        fail_msg("%s", err.text);
}

void rkit_close(struct replay_kit *kit)
{
    replays_stop(kit->replays);
    replays_free(kit->replays);
    journal_close(kit->dead);
    journal_close(kit->readings);
    assert_true(rawlog_stop(kit->rawlog, 5000));
    rawlog_close(kit->rawlog);
}

void rkit_restart(struct replay_kit *kit, int how)
{
    struct disk_names names = {0};
    struct buffer *files = NULL;
    if (how == 1) {
        assert_int_equal(disk_real.list(&disk_real, kit->jobs_dir, &names), 0);
        files = mem_zalloc((names.count + 1) * sizeof *files);
        for (size_t i = 0; i < names.count; i++) {
            char *path = mem_printf("%s/%s", kit->jobs_dir, names.names[i]);
            file_load(path, &files[i]);
            free(path);
        }
    }
    rkit_close(kit);
    kit->sink.pause_after = 0;
    for (size_t i = 0; files && i < names.count; i++) {
        char *path = mem_printf("%s/%s", kit->jobs_dir, names.names[i]);
        assert_int_equal(disk_replace_file(&disk_real, path, buffer_bytes(&files[i])), 0);
        buffer_fini(&files[i]);
        free(path);
    }
    free(files);
    disk_names_fini(&names);
    rkit_open(kit);
}

int replay_kit_setup(void **state)
{
    struct replay_kit *kit = mem_zalloc(sizeof *kit);
    temp_dir_make(&kit->folder);
    kit->raw_dir = mem_printf("%s/raw", kit->folder.path);
    kit->readings_dir = mem_printf("%s/readings", kit->folder.path);
    kit->dead_dir = mem_printf("%s/dead", kit->folder.path);
    kit->state_dir = mem_printf("%s/state", kit->folder.path);
    kit->again_dir = mem_printf("%s/again", kit->folder.path);
    kit->refused_dir = mem_printf("%s/refused", kit->folder.path);
    kit->jobs_dir = mem_printf("%s/replays", kit->folder.path);
    assert_int_equal(disk_make_dirs(&disk_real, kit->state_dir), 0);
    kit->disk = &disk_real;
    kit->generation = 1;
    pthread_mutex_init(&kit->config_lock, NULL);
    struct buffer errors = {0};
    if (config_embedded(&(struct config_places){.data = kit->folder.path}, &kit->config, &errors))
        fail_msg("%.*s", (int)errors.size, (const char *)errors.data);
    buffer_fini(&errors);
    sink_init(&kit->sink);
    sink_init(&kit->other);
    rkit_open(kit);
    *state = kit;
    return 0;
}

int replay_kit_teardown(void **state)
{
    struct replay_kit *kit = *state;
    rkit_close(kit);
    sink_fini(&kit->sink);
    sink_fini(&kit->other);
    config_free(kit->config);
    pthread_mutex_destroy(&kit->config_lock);
    free(kit->raw_dir);
    free(kit->readings_dir);
    free(kit->dead_dir);
    free(kit->state_dir);
    free(kit->again_dir);
    free(kit->refused_dir);
    free(kit->jobs_dir);
    temp_dir_remove(&kit->folder);
    free(kit);
    return 0;
}

/* ---- what is in the logs ---- */

static struct batch *batch_make(uint64_t first_seq, int64_t received_ms)
{
    struct batch_builder *builder = batch_builder_new();
    for (uint32_t row = 0; row < KIT_ROWS; row++) {
        char device[16];
        snprintf(device, sizeof device, "d%u", row);
        batch_builder_add(builder, &(struct batch_row){.vendor = bytes_text(row % 2 ? "v1" : "v0"),
                                                       .device = bytes_text(device),
                                                       .metric = bytes_text("flow"),
                                                       .unit = bytes_text("m3/h"),
                                                       .ts_ms = received_ms + row,
                                                       .unscaled = (int64_t)first_seq + row,
                                                       .has_value = true,
                                                       .seq = first_seq + row,
                                                       .received_ms = received_ms + row});
    }
    batch_builder_reject(builder, first_seq, STAGE_DECODE, bytes_text("v0"), bytes_text("json"), 1,
                         bytes_text("bad_json"), bytes_text("for the test"));
    struct batch *batch = batch_builder_finish(builder);
    batch_builder_free(builder);
    batch->first_seq = first_seq;
    batch->last_seq = first_seq + KIT_ROWS - 1;
    batch->generation = 1;
    batch->received_min_ms = received_ms;
    batch->received_max_ms = received_ms + KIT_ROWS - 1;
    return batch;
}

void rkit_batches(struct replay_kit *kit, uint32_t first, uint32_t count, int64_t step_ms)
{
    for (uint32_t i = first; i < first + count; i++) {
        struct err err;
        struct buffer body = {0};
        struct batch *batch = batch_make(journal_next_seq(kit->readings), i * step_ms);
        batch_encode(batch, &body);
        struct extent extent = {
            .first_seq = batch->first_seq,
            .seq_count = KIT_ROWS,
            .generation = batch->generation,
            .kind = EXTENT_BATCH,
            .received_min_ms = batch->received_min_ms,
            .received_max_ms = batch->received_max_ms,
            .body = buffer_bytes(&body),
        };
        assert_int_equal(journal_append(kit->readings, &extent, &err), 0);
        buffer_fini(&body);
        batch_release(batch);
    }
}

struct waiting {
    struct rawlog *rawlog;
    _Atomic uint64_t first_seq;
    _Atomic bool done;
};

static void on_chunk_done(struct chunk *chunk)
{
    struct waiting *waiting = chunk->owner;
    waiting->first_seq = chunk->first_seq;
    struct rawlog *rawlog = waiting->rawlog;
    chunk_release(rawlog, chunk);
    waiting->done = true;
}

static uint64_t chunk_store(struct replay_kit *kit, struct chunk *chunk)
{
    struct waiting waiting = {.rawlog = kit->rawlog};
    chunk->done = on_chunk_done;
    chunk->owner = &waiting;
    rawlog_submit(kit->rawlog, chunk);
    int64_t until = clock_monotonic_ms() + WAIT_MS;
    while (!waiting.done) {
        assert_true(clock_monotonic_ms() < until);
        usleep(200);
    }
    return waiting.first_seq;
}

static void message_add(struct chunk *chunk, const char *topic, const char *payload)
{
    struct message message = {.topic = bytes_text(topic),
                              .client = bytes_text("test"),
                              .payload = bytes_text(payload),
                              .flags = 1,
                              .protocol = 4,
                              .packet_id = 1};
    chunk_add_message(chunk, &message);
}

void rkit_messages(struct replay_kit *kit, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        struct chunk *chunk = chunk_acquire(kit->rawlog);
        for (unsigned row = 0; row < KIT_ROWS; row++) {
            char topic[32];
            snprintf(topic, sizeof topic, "site/%u/x", row % 4);
            message_add(chunk, topic, "payload");
        }
        chunk_store(kit, chunk);
    }
}

uint64_t rkit_publish(struct replay_kit *kit, const char *topic, const char *payload)
{
    struct chunk *chunk = chunk_acquire(kit->rawlog);
    message_add(chunk, topic, payload);
    return chunk_store(kit, chunk);
}

void rkit_damage(struct replay_kit *kit, const char *dir, unsigned extent)
{
    char path[512];
    struct buffer file = {0};
    (void)kit;
    snprintf(path, sizeof path, "%s/%020d.log", dir, 1);
    file_load(path, &file);
    size_t at = 4096;
    for (; at < file.size && extent; at += 512)
        if (memcmp(file.data + at, "TGX1", 4) == 0)
            extent--;
    while (at < file.size && memcmp(file.data + at, "TGX1", 4) != 0)
        at += 512;
    assert_true(at + 128 < file.size);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    uint8_t turned = file.data[at + 120] ^ 1;
    assert_int_equal(pwrite(fd, &turned, 1, (off_t)at + 120), 1);
    close(fd);
    buffer_fini(&file);
}

/* ---- a gateway that decodes ---- */

void rkit_config(struct replay_kit *kit, const char *options)
{
    struct buffer text = {0};
    struct buffer errors = {0};
    struct config *config;
    struct err err;
    uint32_t generation;
    buffer_printf(&text,
                  "data: %s\nanonymous: loopback\ntimezone: \"+00:00\"\n"
                  "decode: {late_days: 36500}\nroutes:\n"
                  "  - topic: m/{vendor}\n    codec: json\n    options:\n%s"
                  "sinks:\n  - type: parquet\n",
                  kit->folder.path, options);
    char *path = mem_printf("%s/tidegate.yaml", kit->folder.path);
    assert_int_equal(disk_replace_file(&disk_real, path, buffer_bytes(&text)), 0);
    if (config_load(path, &disk_real, &config, &errors))
        fail_msg("%.*s", (int)errors.size, (const char *)errors.data);
    assert_int_equal(
        decode_generation(&disk_real, kit->state_dir, config->digest, &generation, &err), 0);
    pthread_mutex_lock(&kit->config_lock);
    config_free(kit->config);
    kit->config = config;
    kit->generation = generation;
    pthread_mutex_unlock(&kit->config_lock);
    kit->sink.by_seq = kit->other.by_seq = false;
    free(path);
    buffer_fini(&text);
    buffer_fini(&errors);
}

void rkit_decode(struct replay_kit *kit)
{
    struct err err;
    struct decoder *decoder;
    struct decoder_options options = {.disk = &disk_real,
                                      .state_dir = kit->state_dir,
                                      .raw = rawlog_journal(kit->rawlog),
                                      .readings = kit->readings,
                                      .dead = kit->dead,
                                      .save_bytes = 1 << 20};
    if (decoder_new(&options, kit->config, &decoder, &err) || decoder_start(decoder, &err))
        fail_msg("%s", err.text);
    uint64_t end = journal_next_seq(rawlog_journal(kit->rawlog));
    int64_t until = clock_monotonic_ms() + WAIT_MS;
    while (journal_next_seq(kit->readings) < end) {
        assert_true(clock_monotonic_ms() < until);
        usleep(1000);
    }
    decoder_stop(decoder, 5000);
    assert_int_equal(decoder_stats(decoder)->generation, kit->generation);
    decoder_free(decoder);
}

const char *rkit_cell(const struct kit_sink *sink, const char *key)
{
    const struct kit_cell *newest = NULL;
    for (size_t i = 0; i < sink->cell_count; i++)
        if (strcmp(sink->cells[i].key, key) == 0 &&
            (newest == NULL || newest->version <= sink->cells[i].version))
            newest = &sink->cells[i];
    return newest == NULL ? "nothing" : newest->withdrawn ? "withdrawn" : newest->value;
}

size_t rkit_cells(const struct kit_sink *sink)
{
    size_t count = 0;
    for (size_t i = 0; i < sink->cell_count; i++)
        count += !sink->cells[i].withdrawn;
    return count;
}

/* ---- running ---- */

void rkit_publish_round(struct replay_kit *kit, int round)
{
    for (int meter = 0; meter < RKIT_METERS; meter++) {
        char text[160];
        snprintf(text, sizeof text, "{\"id\":\"m%d\",\"serial\":\"s%d\",\"t\":%d,\"v\":%d}", meter,
                 meter, 1000 * round, round * 1000 + meter);
        rkit_publish(kit, "m/acme", text);
    }
}

void rkit_publish_rounds(struct replay_kit *kit)
{
    for (int round = 1; round <= RKIT_ROUNDS; round++)
        rkit_publish_round(kit, round);
}

struct replay_request rkit_request(enum replay_source source)
{
    static char name[] = "sink";
    return (struct replay_request){
        .source = source, .sink = name, .from_ms = 0, .to_ms = INT64_MAX};
}

static bool status_find(struct replay_kit *kit, const char *id)
{
    for (size_t i = 0; replay_status(kit->replays, i, &kit->status); i++)
        if (strcmp(kit->status.id, id) == 0)
            return true;
    return false;
}

void rkit_wait_state(struct replay_kit *kit, const char *id, enum replay_state state)
{
    int64_t until = clock_monotonic_ms() + WAIT_MS;
    for (;;) {
        assert_true(status_find(kit, id));
        if (kit->status.state == state)
            return;
        if (kit->status.state == REPLAY_FAILED || clock_monotonic_ms() >= until)
            fail_msg("state %d instead of %d: %s", kit->status.state, state, kit->status.why);
        usleep(1000);
    }
}

void rkit_wait_paused(struct replay_kit *kit)
{
    int64_t until = clock_monotonic_ms() + WAIT_MS;
    while (kit->sink.batches < kit->sink.pause_after) {
        assert_true(clock_monotonic_ms() < until);
        usleep(1000);
    }
}

void rkit_replay(struct replay_kit *kit, const struct replay_request *request)
{
    char id[REPLAY_ID_SIZE];
    struct err err;
    int64_t until = clock_monotonic_ms() + WAIT_MS;
    int rc;
    /* The one before is done a moment before it lets the sink go. */
    while ((rc = replay_begin(kit->replays, request, id, &err)) == GW_EEXIST &&
           clock_monotonic_ms() < until)
        usleep(1000);
    if (rc)
        fail_msg("%d: %s", rc, err.text);
    rkit_wait_state(kit, id, REPLAY_DONE);
}

uint64_t rkit_missing(const struct replay_kit *kit, uint64_t first, uint64_t last)
{
    uint64_t missing = 0;
    for (uint64_t seq = first; seq <= last; seq++)
        missing += kit->sink.seen[seq] == 0;
    return missing;
}

void rkit_replay_all(struct replay_kit *kit, enum replay_source source)
{
    struct replay_request request = rkit_request(source);
    rkit_replay(kit, &request);
}
