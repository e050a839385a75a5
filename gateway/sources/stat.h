/* SPDX-License-Identifier: Apache-2.0
 *
 * A counter that one thread writes and any thread reads: plain loads and stores that are atomic, no
 * locked instruction for each message.
 */
#ifndef TIDEGATE_SOURCES_STAT_H
#define TIDEGATE_SOURCES_STAT_H

#include <stdatomic.h>
#include <stdint.h>

static inline void stat_add(_Atomic uint64_t *stat, uint64_t count)
{
    atomic_store_explicit(stat, atomic_load_explicit(stat, memory_order_relaxed) + count,
                          memory_order_relaxed);
}

static inline void stat_sub(_Atomic uint64_t *stat, uint64_t count)
{
    atomic_store_explicit(stat, atomic_load_explicit(stat, memory_order_relaxed) - count,
                          memory_order_relaxed);
}

static inline uint64_t stat_get(const _Atomic uint64_t *stat)
{
    return atomic_load_explicit(stat, memory_order_relaxed);
}

#endif
