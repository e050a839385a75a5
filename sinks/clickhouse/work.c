/* SPDX-License-Identifier: Apache-2.0
 *
 * The copy of a unit, its blocks, and the job that makes them. All but the job runs on the lane's
 * thread; while the job runs nobody else touches the work.
 */
#include "sinks/clickhouse/work.h"

#include <stdio.h>
#include <stdlib.h>

static void copy_unit(struct unit *copy, const struct unit *unit)
{
    *copy = *unit;
    copy->lane = NULL;
    copy->batches = mem_alloc((unit->batch_count + 1) * sizeof *copy->batches);
    for (uint32_t i = 0; i < unit->batch_count; i++)
        copy->batches[i] = batch_acquire(unit->batches[i]);
}

struct ch_work *ch_work_new(const struct unit *unit, const struct split_limits *limits,
                            const struct table_shape *shapes, struct identity gateway)
{
    struct ch_work *work = mem_zalloc(sizeof *work);
    copy_unit(&work->copy, unit);
    work->limits = *limits;
    work->gateway = gateway;
    work->shapes = mem_alloc(limits->shards * sizeof *shapes);
    memcpy(work->shapes, shapes, limits->shards * sizeof *shapes);
    return work;
}

static void split_drop(struct ch_work *work)
{
    if (work->split_made)
        split_fini(&work->split);
    work->split_made = false;
}

void ch_work_free(struct ch_work *work)
{
    if (work == NULL)
        return;
    gw_assert(!work->encoding);
    for (uint32_t i = 0; i < work->part_count; i++) {
        block_fini(&work->parts[i].block);
        free(work->parts[i].bisect);
    }
    for (uint32_t i = 0; i < work->copy.batch_count; i++)
        batch_release(work->copy.batches[i]);
    split_drop(work);
    free(work->copy.batches);
    free(work->shapes);
    free(work->parts);
    free(work->refusals);
    free(work);
}

bool ch_work_is(const struct ch_work *work, const struct unit *unit)
{
    const struct unit *copy = &work->copy;
    if (copy->first_seq != unit->first_seq || copy->last_seq != unit->last_seq ||
        copy->generation != unit->generation || copy->replay != unit->replay ||
        copy->batch_count != unit->batch_count)
        return false;
    /* Ours are held, so the same address is the same batch. */
    for (uint32_t i = 0; i < unit->batch_count; i++)
        if (copy->batches[i] != unit->batches[i])
            return false;
    return true;
}

/* ---- encoding ---- */

static void refuse(struct ch_work *work, const struct sink_refusal *refusals, size_t count)
{
    if (count == 0)
        return;
    size_t size = (work->refusal_count + count) * sizeof *refusals;
    work->refusals = mem_realloc(work->refusals, size);
    memcpy(work->refusals + work->refusal_count, refusals, count * sizeof *refusals);
    work->refusal_count += count;
}

static void make_parts(struct ch_work *work)
{
    const struct split *split = &work->split;
    work->parts = mem_zalloc((split->part_count + 1) * sizeof *work->parts);
    work->part_count = split->part_count;
    work->small_count = split->small_count;
    for (uint32_t i = 0; i < split->part_count; i++) {
        struct ch_part *part = &work->parts[i];
        part->work = work;
        part->shard = split->parts[i].shard;
        part->rows = (struct row_range){split->parts[i].first, split->parts[i].count};
        part->sent = part->rows;
    }
}

static void encode_parts(struct ch_work *work)
{
    for (uint32_t i = 0; i < work->part_count; i++) {
        struct ch_part *part = &work->parts[i];
        block_encode(work->encoder, &work->shapes[part->shard], &work->split, part->rows.first,
                     part->rows.count, &part->block);
    }
}

/* On a worker thread. */
static void do_job(uv_work_t *job)
{
    struct ch_work *work = container_of(job, struct ch_work, job);
    split_init(&work->split, &work->copy, &work->limits);
    work->split_made = true;
    refuse(work, work->split.refusals, work->split.refusal_count);
    make_parts(work);
    encode_parts(work);
    split_drop(work);
}

static void on_job_done(uv_work_t *job, int status)
{
    struct ch_work *work = container_of(job, struct ch_work, job);
    gw_assert(status == 0);
    work->encoding = false;
    work->encoded = true;
    work->done(work);
}

void ch_work_encode(struct ch_work *work, uv_loop_t *loop, struct block_encoder *encoder,
                    void (*done)(struct ch_work *work))
{
    gw_assert(!work->encoding && !work->encoded);
    work->encoder = encoder;
    work->encoding = true;
    work->done = done;
    gw_assert(uv_queue_work(loop, &work->job, do_job, on_job_done) == 0);
}

/* ---- bisecting ---- */

/* The same unit and limits: the same split as when it was encoded. */
static void split_again(struct ch_work *work)
{
    if (!work->split_made)
        split_init(&work->split, &work->copy, &work->limits);
    work->split_made = true;
}

static void encode_sent(struct ch_part *part)
{
    struct ch_work *work = part->work;
    split_again(work);
    struct block_encoder *encoder = block_encoder_new(work->gateway);
    block_encode(encoder, &work->shapes[part->shard], &work->split, part->sent.first,
                 part->sent.count, &part->block);
    block_encoder_free(encoder);
}

bool ch_part_next_piece(struct ch_part *part)
{
    if (part->bisect == NULL) {
        part->bisect = mem_alloc(sizeof *part->bisect);
        bisect_init(part->bisect, part->rows);
    }
    if (!bisect_next(part->bisect, &part->sent))
        return false;
    encode_sent(part);
    return true;
}

void ch_part_refuse_found(struct ch_part *part)
{
    struct ch_work *work = part->work;
    split_again(work);
    for (uint32_t i = 0; i < part->bisect->found_count; i++) {
        struct sink_refusal refusal = {
            .seq = split_seq(&work->split, part->bisect->found[i]),
            .reason = "rejected",
        };
        snprintf(refusal.detail, sizeof refusal.detail, "%.*s", (int)sizeof refusal.detail - 1,
                 part->verdict.why);
        refuse(work, &refusal, 1);
    }
}

void ch_part_end_bisect(struct ch_part *part, bool again)
{
    free(part->bisect);
    part->bisect = NULL;
    part->sent = part->rows;
    if (again)
        encode_sent(part);
    split_drop(part->work);
}
