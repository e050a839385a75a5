/* SPDX-License-Identifier: Apache-2.0
 *
 * A round is one reading of every meter, in the order of their minute in the interval, which a hash
 * of the meter decides. For each reading the dice say: a reset before it, garbage before it, itself
 * held back as late, itself twice. Late ones wait in a queue until one and a half rounds have passed,
 * so that a newer reading of the same meter is always there before. Separate from publisher.c,
 * because it is pure. One thread.
 */
#include "sim/stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "sim/random.h"

struct late {
    uint64_t release; /* at this reading's number */
    struct sim_message message;
    struct late *next;
};

struct slot {
    uint64_t meter;
    int64_t phase_ms;
};

struct stream {
    const struct publisher_options *options;
    struct meter *meters;
    uint32_t *vendor_of;
    struct slot *slots; /* meters in the order of their phase */
    uint64_t random;
    uint64_t readings; /* made so far */
    uint64_t numbers;
    uint64_t resets;
    bool ended;
    bool twice; /* `now` comes once more */
    bool drawn; /* the reading `now` was made; garbage went out before it */
    struct sim_message now, garbage;
    struct late *late_first, *late_last;
    struct sim_message released;
};

const char *message_kind_name(enum message_kind kind)
{
    static const char *const names[] = {"reading", "duplicate", "late", "garbage"};
    return names[kind];
}

/* ---- the population ---- */

static uint32_t vendor_for(const struct publisher_options *options, uint64_t index)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < options->vendor_count; i++)
        sum += options->vendors[i].share;
    uint64_t at = index % sum;
    for (uint32_t i = 0; i < options->vendor_count; i++) {
        if (at < options->vendors[i].share)
            return i;
        at -= options->vendors[i].share;
    }
    return 0;
}

static int by_phase(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;
    if (x->phase_ms != y->phase_ms)
        return x->phase_ms < y->phase_ms ? -1 : 1;
    return (x->meter > y->meter) - (x->meter < y->meter);
}

struct stream *stream_new(const struct publisher_options *options)
{
    struct stream *stream = mem_zalloc(sizeof *stream);
    stream->options = options;
    stream->random = options->seed ^ 0x746964656761746bULL;
    stream->meters = mem_zalloc(options->meters * sizeof *stream->meters);
    stream->vendor_of = mem_zalloc(options->meters * sizeof *stream->vendor_of);
    stream->slots = mem_zalloc(options->meters * sizeof *stream->slots);
    for (uint64_t i = 0; i < options->meters; i++) {
        struct meter *meter = &stream->meters[i];
        meter_init(meter, i, options->seed, options->begin_ms - options->interval_ms);
        meter->skewed = random_permille(&stream->random, options->skewed);
        stream->vendor_of[i] = vendor_for(options, i);
        uint64_t hash = options->seed + i;
        stream->slots[i] =
            (struct slot){i, (int64_t)random_below(&hash, (uint64_t)options->interval_ms)};
    }
    qsort(stream->slots, options->meters, sizeof *stream->slots, by_phase);
    return stream;
}

static void message_fini(struct sim_message *message)
{
    buffer_fini(&message->topic);
    buffer_fini(&message->payload);
}

static void late_drop(struct stream *stream)
{
    while (stream->late_first) {
        struct late *late = stream->late_first;
        stream->late_first = late->next;
        message_fini(&late->message);
        free(late);
    }
    stream->late_last = NULL;
}

void stream_free(struct stream *stream)
{
    late_drop(stream);
    message_fini(&stream->now);
    message_fini(&stream->garbage);
    message_fini(&stream->released);
    free(stream->meters);
    free(stream->vendor_of);
    free(stream->slots);
    free(stream);
}

/* ---- late readings ---- */

/* `now` goes to the end of the queue; its buffers with it. */
static void late_push(struct stream *stream)
{
    struct late *late = mem_zalloc(sizeof *late);
    late->release = stream->readings + stream->options->meters + stream->options->meters / 2;
    late->message = stream->now;
    late->message.kind = MESSAGE_LATE;
    stream->now.topic = stream->now.payload = (struct buffer){0};
    if (stream->late_last)
        stream->late_last->next = late;
    else
        stream->late_first = late;
    stream->late_last = late;
}

static const struct sim_message *late_pop(struct stream *stream)
{
    struct late *late = stream->late_first;
    if (!late || (!stream->ended && late->release > stream->readings))
        return NULL;
    stream->late_first = late->next;
    if (!late->next)
        stream->late_last = NULL;
    message_fini(&stream->released);
    stream->released = late->message;
    stream->released.number = ++stream->numbers;
    free(late);
    return &stream->released;
}

/* ---- readings ---- */

static void draw_reading(struct stream *stream)
{
    const struct publisher_options *options = stream->options;
    const struct slot *slot = &stream->slots[stream->readings % options->meters];
    int64_t round = (int64_t)(stream->readings / options->meters);
    struct meter *meter = &stream->meters[slot->meter];
    struct sim_message *now = &stream->now;
    struct meter_sample sample;
    char device[METER_DEVICE_SIZE];
    stream->readings++;
    if (random_permille(&stream->random, options->resets)) {
        meter_reset(meter);
        stream->resets++;
    }
    meter_sample(meter, options->begin_ms + round * options->interval_ms + slot->phase_ms, &sample);
    now->kind = MESSAGE_READING;
    now->meter = slot->meter;
    now->device = sample.number;
    now->vendor = &options->vendors[stream->vendor_of[slot->meter]];
    now->litres = sample.litres;
    buffer_clear(&now->topic);
    buffer_clear(&now->payload);
    buffer_printf(&now->topic, "v1/%s/%s/%s", now->vendor->name,
                  meter_device(sample.number, device), payload_format_name(now->vendor->format));
    payload_write(now->vendor->format, &sample, &now->payload, &now->ts_ms);
    if (now->vendor->format == PAYLOAD_CJT188)
        now->litres = sample.litres / 10 * 10 % 1000000000;
}

/* The reading of `now`, spoiled; the reading itself follows. */
static const struct sim_message *make_garbage(struct stream *stream)
{
    struct sim_message *garbage = &stream->garbage;
    struct buffer topic = garbage->topic, payload = garbage->payload;
    buffer_clear(&topic);
    buffer_clear(&payload);
    buffer_add_bytes(&topic, buffer_bytes(&stream->now.topic));
    buffer_add_bytes(&payload, buffer_bytes(&stream->now.payload));
    payload_spoil(stream->now.vendor->format, &stream->random, &payload);
    *garbage = stream->now;
    garbage->topic = topic;
    garbage->payload = payload;
    garbage->kind = MESSAGE_GARBAGE;
    garbage->litres = -1;
    garbage->number = ++stream->numbers;
    return garbage;
}

const struct sim_message *stream_next(struct stream *stream)
{
    const struct publisher_options *options = stream->options;
    if (stream->twice) {
        stream->twice = false;
        stream->now.kind = MESSAGE_DUPLICATE;
        stream->now.number = ++stream->numbers;
        return &stream->now;
    }
    for (;;) {
        const struct sim_message *late = stream->drawn ? NULL : late_pop(stream);
        if (late)
            return late;
        if (!stream->drawn) {
            if (stream->ended || (options->count && stream->readings >= options->count)) {
                stream->ended = true;
                return late_pop(stream);
            }
            draw_reading(stream);
            stream->drawn = true;
            if (random_permille(&stream->random, options->garbage))
                return make_garbage(stream);
        }
        stream->drawn = false;
        if (!random_permille(&stream->random, options->late))
            break;
        late_push(stream);
    }
    stream->twice = random_permille(&stream->random, options->duplicates);
    stream->now.number = ++stream->numbers;
    return &stream->now;
}

void stream_end(struct stream *stream)
{
    stream->ended = true;
}

void stream_stop(struct stream *stream)
{
    late_drop(stream);
    stream->ended = true;
    stream->twice = stream->drawn = false;
}

uint64_t stream_resets(const struct stream *stream)
{
    return stream->resets;
}
