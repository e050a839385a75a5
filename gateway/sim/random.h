/* SPDX-License-Identifier: Apache-2.0
 *
 * splitmix64: the same seed gives the same meters on every machine. One thread for one state.
 */
#ifndef TIDEGATE_SIM_RANDOM_H
#define TIDEGATE_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* 0 <= result < 1 */
static inline double random_unit(uint64_t *state)
{
    return (double)(random_next(state) >> 11) * 0x1p-53;
}

static inline uint64_t random_below(uint64_t *state, uint64_t limit)
{
    return limit ? random_next(state) % limit : 0;
}

/* True for `permille` of all calls. */
static inline bool random_permille(uint64_t *state, double permille)
{
    return permille > 0 && random_unit(state) * 1000 < permille;
}

/* About normal, mean 0, deviation 1: the sum of four uniform numbers. */
static inline double random_normal(uint64_t *state)
{
    double sum = random_unit(state) + random_unit(state) + random_unit(state) + random_unit(state);
    return (sum - 2) * 1.7320508;
}

#endif
