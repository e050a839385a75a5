/* SPDX-License-Identifier: Apache-2.0
 *
 * A unit under way: its parts, and the encoded block of each, kept until the server has it. Splits
 * and encodes on a worker thread; sends nothing. Outlives the lane's unit between a RETRY and the
 * next write, so that only what is not stored is sent again, with the same bytes.
 */
#ifndef TIDEGATE_SINKS_CLICKHOUSE_WORK_H
#define TIDEGATE_SINKS_CLICKHOUSE_WORK_H

#include "sinks/clickhouse/bisect.h"
#include "sinks/clickhouse/block.h"
#include "sinks/clickhouse/errors.h"
#include "sinks/clickhouse/hosts.h"

enum ch_part_state {
    CH_PART_WAITING, /* for its turn */
    CH_PART_SENT,
    CH_PART_CHECKING, /* the server did not take its content: first look at the table again */
    CH_PART_STORED,
    CH_PART_FAILED, /* not in this attempt; verdict says why */
};

/* What is to be stored in one block, or, once bisecting, in several. */
struct ch_part {
    struct ch_work *work;
    struct ch_part *next; /* of the sink's queue */
    enum ch_part_state state;
    uint32_t shard;
    struct row_range rows; /* of the split */
    struct row_range sent; /* what `block` holds: rows, or a piece of them */
    struct block block;
    struct bisect *bisect;     /* null: sent as a whole */
    int64_t content_failed_ms; /* of the first time */
    struct ch_host *host;      /* asked, or checked */
    uint64_t tried;            /* in this attempt: ch_hosts_bit */
    struct ch_verdict verdict; /* of the last failure */
    struct http_request request;
    uint32_t attempts;
};

struct ch_work {
    struct ch_work *next; /* of the sink's list */
    struct unit *unit;    /* the lane's; null while nobody waits for an answer */
    struct unit copy;     /* the same bounds and batches, ours */
    struct sink *sink;    /* the caller's */
    uint64_t epoch;       /* of the sink when it was encoded */
    bool encoding, encoded;

    struct identity gateway;
    struct split_limits limits;
    struct table_shape *shapes; /* of each shard, as they were then */
    struct ch_part *parts;
    uint32_t part_count, small_count;
    struct sink_refusal *refusals;
    size_t refusal_count;
    struct split split; /* only while encoding, and while a part is bisected */
    bool split_made;

    uv_work_t job;
    struct block_encoder *encoder; /* only while encoding */
    void (*done)(struct ch_work *work);
};

/* Copies the bounds and acquires the batches. `shapes` are limits->shards shapes, copied. */
struct ch_work *ch_work_new(const struct unit *unit, const struct split_limits *limits,
                            const struct table_shape *shapes, struct identity gateway);
void ch_work_free(struct ch_work *work); /* accepts null; not while encoding */
bool ch_work_is(const struct ch_work *work, const struct unit *unit);

/* Split and encode on a worker thread; done() on the loop. The encoder is the work's until then. */
void ch_work_encode(struct ch_work *work, uv_loop_t *loop, struct block_encoder *encoder,
                    void (*done)(struct ch_work *work));

/* The part failed for its content: begin to halve it, or put the next piece into its block. False:
 * nothing is left to send. On the calling thread: rare, and one piece at a time. */
bool ch_part_next_piece(struct ch_part *part);
/* The rows that were found become refusals of the work. */
void ch_part_refuse_found(struct ch_part *part);
/* `again`: the block is made for the whole part once more. */
void ch_part_end_bisect(struct ch_part *part, bool again);

#endif
