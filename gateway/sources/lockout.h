/* SPDX-License-Identifier: Apache-2.0
 *
 * Who guesses passwords waits, longer each time. Nobody is kept waiting on a connection: until the delay
 * is over a login is refused without looking at its password, the same for users that there are and
 * that there are not.
 *
 * Failures are counted
 *   by user and address: after `after` of them 1 s, then twice as long each time, up to `max_ms`;
 *   by address, whoever is named: the same after `address_after`. A user who logged in from there
 *     before, and has not failed since, passes: neighbours behind one address translator go on;
 *   by user, wherever from: after `user_after`, up to a minute. Addresses that he logged in from before
 *     pass, so that nobody on the Internet can lock a vendor out of its own account.
 * Failures are forgotten after a quiet time of max_ms, at least a quarter of an hour. Tables have a fixed size; when a
 * row is full the entry that was quiet longest goes. An IPv6 address stands for its /64.
 *
 * Any thread; one lock, held for some dozen instructions.
 */
#ifndef TIDEGATE_SOURCES_LOCKOUT_H
#define TIDEGATE_SOURCES_LOCKOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/bytes.h"

struct lockout_options {
    int64_t after, address_after, user_after; /* failures; 0: never */
    int64_t max_ms;
    /* Balancers that hide who connects: nothing is counted by their addresses. Borrowed. */
    const struct network *exempt;
    size_t exempt_count;
};

enum lockout_by { LOCKOUT_NO, LOCKOUT_BY_BOTH, LOCKOUT_BY_ADDRESS, LOCKOUT_BY_USER, LOCKOUT_KINDS };
extern const char *const lockout_names[LOCKOUT_KINDS]; /* words for metrics and the audit log */

struct lockout;

struct lockout *lockout_new(void); /* locks nobody out until it is configured */
void lockout_free(struct lockout *lockout);
void lockout_configure(struct lockout *lockout, const struct lockout_options *options);

/* May this user try from there, at `now_ms` (monotonic)? */
enum lockout_by lockout_check(struct lockout *lockout, struct bytes user,
                              const struct address *from, int64_t now_ms);
void lockout_failed(struct lockout *lockout, struct bytes user, const struct address *from,
                    int64_t now_ms);
/* Forgets his failures from there; true when there were any. */
bool lockout_succeeded(struct lockout *lockout, struct bytes user, const struct address *from,
                       int64_t now_ms);
/* Entries that had to go for others before their time. */
uint64_t lockout_evicted(struct lockout *lockout);

/* The address, or of IPv6 its /64. */
struct address address_host(const struct address *address);

#endif
