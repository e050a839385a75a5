/* SPDX-License-Identifier: Apache-2.0
 *
 * See replay_parts.h. Callbacks run on the threads of replays, or on whichever begins one.
 */
#include "replay_parts.h"

#include "parts.h"

static struct lane *lane_of(const struct gateway *gateway, const char *sink)
{
    for (size_t i = 0; i < gateway->lane_count; i++)
        if (strcmp(lane_name(gateway->lanes[i]), sink) == 0)
            return gateway->lanes[i];
    return NULL;
}

static int on_replay_attach(void *arg, const char *sink, struct feed *feed, struct err *err)
{
    struct lane *lane = lane_of(arg, sink);
    return lane ? lane_attach(lane, feed, err)
                : err_set(err, GW_ENOENT, "there is no sink \"%s\"", sink);
}

static void on_replay_wake(void *arg, const char *sink)
{
    struct lane *lane = lane_of(arg, sink);
    if (lane)
        lane_wake(lane);
}

static void on_replay_detach(void *arg, const char *sink, struct feed *feed)
{
    (void)feed;
    on_replay_wake(arg, sink);
}

static struct config *on_replay_config(void *arg, uint32_t *generation)
{
    struct gateway *gateway = arg;
    pthread_mutex_lock(&gateway->config_lock);
    struct config *config = config_acquire(gateway->config);
    *generation = gateway->generation;
    pthread_mutex_unlock(&gateway->config_lock);
    return config;
}

int replays_make(struct gateway *gateway, struct err *err)
{
    const struct config_journal *limits = &gateway->config->journal;
    struct replays_options options = {
        .disk = &disk_real,
        .dir = gateway->paths.replays,
        .state_dir = gateway->paths.state,
        .again_dir = gateway->paths.again,
        .refused_dir = gateway->paths.refused,
        .raw = rawlog_journal(gateway->rawlog),
        .readings = gateway->readings,
        .dead = gateway->dead,
        .again_max_bytes = limits->max_bytes,
        .reserve_bytes = limits->reserve_bytes,
        .audit = gateway->audit,
        .attach = on_replay_attach,
        .detach = on_replay_detach,
        .wake = on_replay_wake,
        .config = on_replay_config,
        .arg = gateway,
    };
    gateway->generation = decoder_stats(gateway->decoder)->generation;
    return replays_new(&options, &gateway->replays, err);
}

void replays_end(struct gateway *gateway)
{
    pthread_mutex_lock(&gateway->replay_lock);
    gateway->replays_closed = true;
    pthread_mutex_unlock(&gateway->replay_lock);
    if (gateway->replays)
        replays_stop(gateway->replays);
}
