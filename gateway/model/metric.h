/* SPDX-License-Identifier: Apache-2.0
 *
 * The vocabulary of metrics: name, canonical unit, and how a value of it behaves. Built once from
 * the fixed table and the configuration's additions, then read-only and shared by any thread.
 */
#ifndef TIDEGATE_MODEL_METRIC_H
#define TIDEGATE_MODEL_METRIC_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"
#include "model/decimal.h"

enum metric_kind {
    METRIC_GAUGE,
    METRIC_COUNTER, /* only grows, until it rolls over at its last digit or is replaced */
    METRIC_STATE,   /* small whole numbers with a meaning */
    METRIC_ALARM,   /* 0 or 1 */
};

struct metric {
    const char *name;
    const char *unit; /* canonical; "" for pure numbers */
    enum metric_kind kind;
    bool event;           /* also goes to the event topic */
    bool has_range;       /* outside: flag `range`, quality uncertain */
    struct decimal min, max;
    const char *help;
};

struct vocabulary;
struct vocabulary *vocabulary_new(void); /* the fixed table */
void vocabulary_free(struct vocabulary *vocabulary);
/* Copies. GW_EEXIST for a name of the fixed table, GW_EINVAL for a bad name ([a-z0-9_.-], begins
 * with a letter, at most 64) or a unit that unit.c does not know and that no other metric uses. */
int vocabulary_add(struct vocabulary *vocabulary, const struct metric *metric, struct err *err);
/* `level.2` finds `level` (a further sensor of the same kind), unless it stands there itself. An
 * entry `alarm.*` matches every `alarm.xyz`. Null when unknown. */
const struct metric *vocabulary_find(const struct vocabulary *vocabulary, struct bytes name);
/* The i-th entry, null past the end. */
const struct metric *vocabulary_at(const struct vocabulary *vocabulary, size_t index);

#endif
