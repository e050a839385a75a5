/* SPDX-License-Identifier: Apache-2.0
 *
 * Random identities. Any thread.
 */
#include "base/identity.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/mem.h"

struct identity identity_random(void)
{
    struct identity identity = {0};
    while (identity.bits == 0)
        gw_assert(getrandom(&identity.bits, sizeof identity.bits, 0) == sizeof identity.bits);
    return identity;
}

const char *identity_format(struct identity identity, char out[IDENTITY_TEXT_SIZE])
{
    snprintf(out, IDENTITY_TEXT_SIZE, "%016llx", (unsigned long long)identity.bits);
    return out;
}
