/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory holds messages, passwords and keys, so by default no core file is made. The limit of 0 does not
 * hold where /proc/sys/kernel/core_pattern names a program; the second mark does (core(5)), and keeps
 * others of the same user from reading the memory (ptrace(2), /proc/PID/mem).
 */
#include "base/dumps.h"

#include <sys/prctl.h>
#include <sys/resource.h>

/* The leak check of the sanitizer traces its own process. */
#if defined(__SANITIZE_ADDRESS__)
#define TRACED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TRACED 1
#endif
#endif

static void mark(int dumpable)
{
#ifdef TRACED
    (void)dumpable;
#else
    prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0);
#endif
}

void dumps_forbid(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = 0; /* the hard limit stays, for dumps_allow */
        setrlimit(RLIMIT_CORE, &limit);
    }
    mark(0);
}

void dumps_allow(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_CORE, &limit);
    }
    mark(1);
}

void dumps_inherit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) || limit.rlim_cur == 0)
        mark(0);
}
