/* SPDX-License-Identifier: Apache-2.0
 *
 * See vendor.h. The waiting connections are sources/mqtt/loop_quota.c's.
 */
#include "sources/vendor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sources/stat.h"

enum {
    SECOND_NS = 1000000000,
    /* One vendor may fill so much of the memory for what waits for the disk: others find room in the
     * rest, and have no more than this before them in the journal's row. */
    MEMORY_PART = 8,
};

const char *const hold_names[HOLD_KINDS] = {
    [HOLD_WINDOW] = "window", [HOLD_JOURNAL] = "journal", [HOLD_MEMORY] = "memory",
    [HOLD_RATE] = "rate",     [HOLD_SHARE] = "share",
};

/* ---- the table ---- */

void vendor_table_init(struct vendor_table *table, uint64_t memory_bytes)
{
    pthread_mutex_init(&table->lock, NULL);
    table->memory_bytes = memory_bytes;
}

unsigned vendor_table_seats(struct vendor_table *table, unsigned count)
{
    unsigned first = table->seat_count;
    gw_assert(table->first == NULL); /* who is there already would have too few */
    table->seat_count += count;
    table->memory_max = table->memory_bytes / MEMORY_PART / table->seat_count;
    return first;
}

void vendor_table_fini(struct vendor_table *table)
{
    while (table->first) {
        struct vendor *vendor = table->first;
        table->first = vendor->next;
        for (unsigned i = 0; i < table->seat_count; i++) {
            free(vendor->seats[i]->waiting);
            free(vendor->seats[i]);
        }
        free(vendor);
    }
    pthread_mutex_destroy(&table->lock);
}

static struct vendor *vendor_new(const struct vendor_table *table, const char *name)
{
    struct vendor *vendor =
        mem_zalloc(sizeof *vendor + table->seat_count * sizeof(struct vendor_seat *));
    memcpy(vendor->name, name, strlen(name) + 1);
    vendor->share_bytes = UINT64_MAX;
    for (unsigned i = 0; i < table->seat_count; i++) {
        vendor->seats[i] = mem_zalloc(sizeof *vendor->seats[i]);
        vendor->seats[i]->vendor = vendor;
    }
    return vendor;
}

static void limit_share(struct vendor *vendor, uint64_t capacity)
{
    int64_t share = vendor->share;
    bool limited = share && capacity;
    vendor->share_bytes = limited ? (uint64_t)((double)capacity * (double)share / 100) : UINT64_MAX;
}

static void limit(struct vendor *vendor, const struct access_quota *quota, uint64_t capacity)
{
    int64_t cost_ns = quota->rate ? SECOND_NS / quota->rate : 0;
    int64_t burst = quota->burst ? quota->burst : quota->rate;
    vendor->rate = quota->rate;
    vendor->message_ns = cost_ns;
    /* The last of the burst must find less than that ahead of the clock, wherever the clock is. */
    vendor->message_burst_ns = quota->rate ? (burst - 1) * cost_ns + 1 : 0;
    vendor->byte_rate = quota->byte_rate;
    vendor->qos0_drop = quota->qos0_drop;
    vendor->share = quota->journal_share;
    limit_share(vendor, capacity);
}

struct vendor *vendor_table_find(struct vendor_table *table, const struct access_grant *grant)
{
    pthread_mutex_lock(&table->lock);
    struct vendor *vendor = table->first;
    while (vendor && strcmp(vendor->name, grant->vendor) != 0)
        vendor = vendor->next;
    if (vendor == NULL) {
        vendor = vendor_new(table, grant->vendor);
        vendor->next = table->first;
        table->first = vendor;
        limit(vendor, &grant->quota, table->capacity);
        vendor->generation = grant->generation;
    } else if (grant->generation > vendor->generation) {
        limit(vendor, &grant->quota, table->capacity);
        vendor->generation = grant->generation;
    }
    pthread_mutex_unlock(&table->lock);
    return vendor;
}

/* ---- one message ---- */

static uint64_t received_bytes(const struct vendor *vendor, unsigned seat_count)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < seat_count; i++)
        bytes += stat_get(&vendor->seats[i]->bytes);
    return bytes;
}

static uint64_t needed_bytes(const struct vendor *vendor, unsigned seat_count)
{
    uint64_t received = received_bytes(vendor, seat_count);
    uint64_t settled = stat_get(&vendor->settled_bytes);
    return received > settled ? received - settled : 0;
}

enum hold vendor_holds(const struct vendor_table *table, const struct vendor *vendor,
                       const struct vendor_seat *seat, size_t size, int64_t now_ns)
{
    uint64_t waiting = stat_get(&seat->unacked_bytes);
    uint64_t share = stat_get(&vendor->share_bytes);
    if (waiting && waiting + size > table->memory_max)
        return HOLD_MEMORY;
    if (share != UINT64_MAX) {
        uint64_t needed = needed_bytes(vendor, table->seat_count);
        if (needed && needed + size > share)
            return HOLD_SHARE;
    }
    if (vendor->message_ns && !bucket_open(&vendor->messages, vendor->message_burst_ns, now_ns))
        return HOLD_RATE;
    if (vendor->byte_rate && !bucket_open(&vendor->bytes, SECOND_NS, now_ns))
        return HOLD_RATE;
    return HOLD_NONE;
}

void vendor_take(struct vendor *vendor, struct vendor_seat *seat, size_t size, int64_t now_ns)
{
    uint64_t byte_rate = vendor->byte_rate;
    int64_t message_ns = vendor->message_ns;
    stat_add(&seat->messages, 1);
    stat_add(&seat->bytes, size);
    if (message_ns)
        bucket_take(&vendor->messages, message_ns, now_ns);
    if (byte_rate)
        bucket_take(&vendor->bytes, (int64_t)((double)size * SECOND_NS / (double)byte_rate),
                    now_ns);
}

/* ---- the share of the journal ---- */

/* Half as many marks, twice as far apart: bounded however long a destination is down. */
static void thin(struct vendor_table *table)
{
    size_t kept = 0;
    for (size_t i = 1; i < table->mark_count; i += 2, kept++) {
        table->mark_seqs[kept] = table->mark_seqs[i];
        for (struct vendor *vendor = table->first; vendor; vendor = vendor->next)
            vendor->marks[kept] = vendor->marks[i];
    }
    table->mark_count = kept;
}

/* The newest mark that nobody needs anything before; older ones have told what they had to. */
static void settle(struct vendor_table *table, uint64_t needed_seq)
{
    size_t passed = 0;
    while (passed < table->mark_count && table->mark_seqs[passed] <= needed_seq)
        passed++;
    if (passed == 0)
        return;
    size_t left = table->mark_count - passed;
    memmove(table->mark_seqs, table->mark_seqs + passed, left * sizeof *table->mark_seqs);
    for (struct vendor *vendor = table->first; vendor; vendor = vendor->next) {
        if (vendor->marks[passed - 1] > vendor->settled_bytes)
            vendor->settled_bytes = vendor->marks[passed - 1];
        memmove(vendor->marks, vendor->marks + passed, left * sizeof *vendor->marks);
    }
    table->mark_count = left;
}

/* In proportion to how far back they reach, so that thinning out leaves them about evenly apart. */
static uint64_t gap_of(const struct vendor_table *table, uint64_t next_seq)
{
    return (next_seq - table->mark_seqs[0]) / (VENDOR_MARKS / 2);
}

void vendor_table_mark(struct vendor_table *table, const struct vendor_water *water)
{
    pthread_mutex_lock(&table->lock);
    if (table->mark_count == VENDOR_MARKS)
        thin(table);
    size_t at = table->mark_count;
    bool all_settled = water->needed_seq >= water->next_seq;
    if (at == 0 || all_settled ||
        water->next_seq - table->mark_seqs[at - 1] > gap_of(table, water->next_seq)) {
        table->mark_seqs[table->mark_count++] = water->next_seq;
        for (struct vendor *vendor = table->first; vendor; vendor = vendor->next)
            vendor->marks[at] = received_bytes(vendor, table->seat_count);
    }
    settle(table, water->needed_seq);
    table->capacity = water->capacity;
    for (struct vendor *vendor = table->first; vendor; vendor = vendor->next)
        limit_share(vendor, water->capacity);
    pthread_mutex_unlock(&table->lock);
}

/* ---- figures ---- */

static void sums(const struct vendor *vendor, unsigned seat_count, struct vendor_sums *out)
{
    *out = (struct vendor_sums){.needed_bytes = needed_bytes(vendor, seat_count)};
    for (unsigned i = 0; i < seat_count; i++) {
        const struct vendor_seat *seat = vendor->seats[i];
        out->connections += stat_get(&seat->connections);
        out->held += stat_get(&seat->held);
        out->messages += stat_get(&seat->messages);
        out->bytes += stat_get(&seat->bytes);
        out->dropped += stat_get(&seat->dropped);
        out->unacked_bytes += stat_get(&seat->unacked_bytes);
    }
}

void vendor_table_each(struct vendor_table *table,
                       void (*each)(void *arg, const struct vendor_figures *figures), void *arg)
{
    pthread_mutex_lock(&table->lock);
    for (const struct vendor *vendor = table->first; vendor; vendor = vendor->next) {
        uint64_t share = vendor->share_bytes;
        struct vendor_figures out = {.name = vendor->name,
                                     .rate = vendor->rate,
                                     .byte_rate = vendor->byte_rate,
                                     .share_bytes = share == UINT64_MAX ? 0 : share};
        sums(vendor, table->seat_count, &out.sums);
        each(arg, &out);
    }
    pthread_mutex_unlock(&table->lock);
}

/* Names of vendors come from the configuration, so there are as many as it has. */
static const struct metric {
    const char *name, *type, *help;
    size_t offset;
} metric_rows[] = {
    {"tidegate_vendor_connections", "gauge",
     "Connections open now, by login, and those of ours to brokers that count for the vendor.",
     offsetof(struct vendor_sums, connections)},
    {"tidegate_vendor_held_connections", "gauge", "Connections not served now.",
     offsetof(struct vendor_sums, held)},
    {"tidegate_vendor_messages_total", "counter", "PUBLISH packets taken over.",
     offsetof(struct vendor_sums, messages)},
    {"tidegate_vendor_bytes_total", "counter", "Bytes of their topics and payloads.",
     offsetof(struct vendor_sums, bytes)},
    {"tidegate_vendor_waiting_bytes", "gauge", "Bytes of packets that wait for the disk.",
     offsetof(struct vendor_sums, unacked_bytes)},
    {"tidegate_vendor_needed_bytes", "gauge",
     "Bytes of topics and payloads, received since start, that some destination still needs.",
     offsetof(struct vendor_sums, needed_bytes)},
    {"tidegate_mqtt_dropped_total", "counter",
     "PUBLISH packets of QoS 0 dropped where they would have been held, as the vendor's policy "
     "says.",
     offsetof(struct vendor_sums, dropped)},
};

struct metric_put {
    const struct metric *row;
    struct buffer *out;
};

static void metric_put(void *arg, const struct vendor_figures *figures)
{
    const struct metric_put *put = arg;
    const char *at = (const char *)&figures->sums + put->row->offset;
    buffer_printf(put->out, "%s{vendor=\"%s\"} %" PRIu64 "\n", put->row->name, figures->name,
                  *(const uint64_t *)(const void *)at);
}

void vendor_table_metrics(struct vendor_table *table, struct buffer *out)
{
    for (size_t i = 0; i < array_count(metric_rows); i++) {
        const struct metric *row = &metric_rows[i];
        struct metric_put put = {row, out};
        buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
                      row->type);
        vendor_table_each(table, metric_put, &put);
    }
}
