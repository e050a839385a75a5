/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk over a unit's records: all readings, then all events, then the dead letters; when some
 * failed, those again. The lane's thread.
 */
#include "sinks/kafka/flight.h"

#include <stdio.h>
#include <stdlib.h>

/* A lot that was refused is cut into so many: few attempts, few lots. */
enum { LOT_DIVISOR = 8 };

void ref_list_add(struct ref_list *list, uint64_t ref)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 256;
        list->items = mem_realloc(list->items, list->capacity * sizeof *list->items);
    }
    list->items[list->count++] = ref;
}

static void ref_list_fini(struct ref_list *list)
{
    free(list->items);
    *list = (struct ref_list){0};
}

static int ref_order(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

bool flight_awaits(const struct flight *flight, const struct unit *unit)
{
    return flight->used && flight->unit == NULL && flight->first_seq == unit->first_seq &&
           flight->replay == unit->replay;
}

void flight_begin(struct flight *flight, struct unit *unit, uint64_t newest_seq)
{
    bool same = flight_awaits(flight, unit) && flight->last_seq == unit->last_seq &&
                flight->generation == unit->generation;
    if (!same) {
        uint32_t slot = flight->slot;
        flight_fini(flight);
        flight->slot = slot;
        flight->order = unit->replay ? 2 * newest_seq + 1 : 2 * unit->first_seq;
    }
    flight->used = true;
    flight->unit = unit;
    flight->first_seq = unit->first_seq;
    flight->last_seq = unit->last_seq;
    flight->generation = unit->generation;
    flight->replay = unit->replay;
}

void flight_fini(struct flight *flight)
{
    uint32_t slot = flight->slot;
    ref_list_fini(&flight->failed);
    ref_list_fini(&flight->too_large);
    ref_list_fini(&flight->again);
    ref_list_fini(&flight->suspects);
    ref_list_fini(&flight->condemned);
    free(flight->refusals);
    *flight = (struct flight){.slot = slot};
}

/* ---- where a record stands ---- */

static uint32_t items_of(const struct batch *batch, enum record_kind kind)
{
    return kind == RECORD_LETTER ? batch->reject_count : batch->count;
}

const struct batch *flight_row(const struct flight *flight, uint64_t ref, uint32_t *row)
{
    uint32_t index = record_index_of(ref);
    for (uint32_t i = 0; i < flight->unit->batch_count; i++) {
        const struct batch *batch = flight->unit->batches[i];
        uint32_t items = items_of(batch, record_kind_of(ref));
        if (index < items) {
            *row = index;
            return batch;
        }
        index -= items;
    }
    gw_assert(false); /* a record of another unit */
    return NULL;
}

static uint32_t total_of(const struct unit *unit, enum record_kind kind)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < unit->batch_count; i++)
        total += items_of(unit->batches[i], kind);
    return total;
}

/* ---- the walk ---- */

static bool is_event(const struct flight_plan *plan, const struct batch *batch, uint32_t row)
{
    const struct metric *metric =
        vocabulary_find(plan->vocabulary, batch->strings[batch->metric[row]]);
    return metric && metric->event;
}

/* Rows of one batch share few metrics: each is looked up once. */
static uint32_t take_events(struct flight *flight, const struct flight_plan *plan, uint64_t *refs,
                            uint32_t max)
{
    uint32_t first = 0, count = 0;
    for (uint32_t i = 0; i < flight->unit->batch_count; i++) {
        const struct batch *batch = flight->unit->batches[i];
        if (flight->next >= first + batch->count) {
            first += batch->count;
            continue;
        }
        uint8_t *known = mem_zalloc(batch->string_count); /* 1: no, 2: an event */
        while (count < max && flight->next < first + batch->count) {
            uint32_t row = flight->next++ - first;
            uint8_t *answer = &known[batch->metric[row]];
            if (*answer == 0)
                *answer = is_event(plan, batch, row) ? 2 : 1;
            if (*answer == 2)
                refs[count++] = record_ref(RECORD_EVENT, first + row);
        }
        free(known);
        if (count == max)
            return count;
        first += batch->count;
    }
    return count;
}

static uint32_t take_letters(struct flight *flight, uint64_t *refs, uint32_t max)
{
    uint32_t total = total_of(flight->unit, RECORD_LETTER), count = 0;
    while (count < max && flight->next < total) {
        uint64_t ref = record_ref(RECORD_LETTER, flight->next++);
        uint32_t row;
        const struct batch *batch = flight_row(flight, ref, &row);
        if (batch->rejects[row].stage != STAGE_EMPTY)
            refs[count++] = ref;
    }
    return count;
}

static uint32_t take_readings(struct flight *flight, uint64_t *refs, uint32_t max)
{
    uint32_t total = total_of(flight->unit, RECORD_READING), count = 0;
    while (count < max && flight->next < total)
        refs[count++] = record_ref(RECORD_READING, flight->next++);
    return count;
}

static bool listed(const struct ref_list *list, uint64_t ref)
{
    return list->count && bsearch(&ref, list->items, list->count, sizeof ref, ref_order) != NULL;
}

/* From the list of those to be given again: a run of one kind, suspects in lots by themselves. */
static uint32_t take_again(struct flight *flight, uint64_t *refs, uint32_t max)
{
    const struct ref_list *again = &flight->again;
    uint64_t first = again->items[flight->again_at];
    bool all = flight->suspects.count == 0 && flight->lot;
    bool suspect = all || listed(&flight->suspects, first);
    if ((suspect || flight->suspects_out) && flight->outstanding)
        return 0;
    flight->suspects_out = suspect;
    if (suspect && flight->lot < max)
        max = flight->lot;
    uint32_t count = 0;
    while (count < max && flight->again_at < again->count) {
        uint64_t ref = again->items[flight->again_at];
        if (record_kind_of(ref) != record_kind_of(first) ||
            (!all && listed(&flight->suspects, ref) != suspect))
            break;
        refs[count++] = ref;
        flight->again_at++;
    }
    return count;
}

static uint32_t take_walk(struct flight *flight, const struct flight_plan *plan, uint64_t *refs,
                          uint32_t max)
{
    uint32_t count = 0;
    while (count == 0 && !flight->walked) {
        if (flight->kind == RECORD_READING && plan->readings)
            count = take_readings(flight, refs, max);
        else if (flight->kind == RECORD_EVENT && plan->events)
            count = take_events(flight, plan, refs, max);
        else if (flight->kind == RECORD_LETTER && plan->letters)
            count = take_letters(flight, refs, max);
        if (count == 0) {
            flight->next = 0;
            flight->walked = flight->kind == RECORD_LETTER;
            flight->kind++;
        }
    }
    return count;
}

uint32_t flight_take(struct flight *flight, const struct flight_plan *plan, uint64_t *refs,
                     uint32_t max)
{
    /* First what failed before: the rest of the walk comes behind it. */
    while (flight->again_at == flight->again.count) {
        uint32_t count = take_walk(flight, plan, refs, max);
        if (count == 0 || flight->suspects.count + flight->condemned.count == 0)
            return count;
        flight->again.count = flight->again_at = 0;
        for (uint32_t i = 0; i < count; i++)
            if (!listed(&flight->condemned, refs[i]))
                ref_list_add(&flight->again, refs[i]);
    }
    return take_again(flight, refs, max);
}

bool flight_given(const struct flight *flight)
{
    return flight->walked && flight->again_at == flight->again.count;
}

static void ref_list_sort(struct ref_list *list)
{
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, ref_order);
}

/* What `list` holds goes before what is still to be given again; it is empty then. */
static void give_first(struct flight *flight, struct ref_list *list)
{
    ref_list_sort(list);
    for (size_t i = flight->again_at; i < flight->again.count; i++)
        ref_list_add(list, flight->again.items[i]);
    struct ref_list emptied = flight->again;
    flight->again = *list;
    flight->again_at = 0;
    *list = emptied;
    list->count = 0;
}

void flight_repeat(struct flight *flight)
{
    give_first(flight, &flight->failed);
}

/* ---- what is refused for its size or form ---- */

static void refuse(struct flight *flight, uint64_t ref)
{
    uint32_t row;
    const struct batch *batch = flight_row(flight, ref, &row);
    flight->refusals =
        mem_realloc(flight->refusals, (flight->refusal_count + 1) * sizeof *flight->refusals);
    struct sink_refusal *refusal = &flight->refusals[flight->refusal_count++];
    *refusal = (struct sink_refusal){.seq = batch->seq[row], .reason = flight->too_large_reason};
    snprintf(refusal->detail, sizeof refusal->detail,
             "the brokers refuse the record of this reading: too large, or not of a valid form");
}

/* It stood alone. */
static void give_up(struct flight *flight, const struct flight_plan *plan, uint64_t ref)
{
    switch (record_kind_of(ref)) {
    case RECORD_READING:
        refuse(flight, ref);
        if (plan->letters)
            ref_list_add(&flight->failed,
                         record_ref(RECORD_REFUSED, (uint32_t)(flight->refusal_count - 1)));
        break;
    case RECORD_EVENT: refuse(flight, ref); break;
    default:
        /* A letter that is refused even without its payload stays in the gateway's own store. */
        if (!(ref & RECORD_BARE))
            ref_list_add(&flight->failed, ref | RECORD_BARE);
    }
}

void flight_bisect(struct flight *flight, const struct flight_plan *plan)
{
    if (flight->lot == 1) {
        give_up(flight, plan, flight->too_large.items[0]);
        flight->too_large.count = 0;
        return;
    }
    uint32_t before = flight->lot ? flight->lot : (uint32_t)flight->too_large.count;
    flight->lot = (before + LOT_DIVISOR - 1) / LOT_DIVISOR;
    give_first(flight, &flight->too_large);
}

void flight_suspect(struct flight *flight)
{
    struct ref_list *found = &flight->too_large;
    if (flight->lot == 1 && found->count == 1 && flight->suspects_out) {
        ref_list_add(&flight->condemned, found->items[0]);
        ref_list_sort(&flight->condemned);
    } else {
        uint32_t before = flight->lot ? flight->lot : (uint32_t)found->count;
        flight->lot = (before + LOT_DIVISOR - 1) / LOT_DIVISOR;
        /* What was found before stays suspect: it passes only in lots. */
        for (size_t i = 0; i < found->count; i++)
            if (!listed(&flight->suspects, found->items[i]))
                ref_list_add(&flight->suspects, found->items[i]);
        ref_list_sort(&flight->suspects);
    }
    found->count = 0;
}

void flight_restart(struct flight *flight, const struct flight_plan *plan)
{
    gw_assert(flight->outstanding == 0);
    flight->failed.count = flight->too_large.count = flight->again.count = 0;
    flight->again_at = 0;
    flight->walked = flight->suspects_out = false;
    flight->kind = RECORD_READING;
    flight->next = 0;
    flight->refusal_count = 0;
    for (size_t i = 0; flight->unit && i < flight->condemned.count; i++)
        give_up(flight, plan, flight->condemned.items[i]);
}
