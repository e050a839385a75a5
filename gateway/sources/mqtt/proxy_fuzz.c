/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target of the PROXY header: any bytes, all at once and cut at each place. What is refused early
 * must be refused whole, and a header is the same however it comes.
 */
#include <stdlib.h>

#include "sources/mqtt/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of its own, so that a read beyond the end is found. */
static enum proxy_reason read_copy(const uint8_t *data, size_t size, struct proxy_header *out)
{
    uint8_t *copy = mem_alloc(size ? size : 1);
    if (size)
        memcpy(copy, data, size);
    enum proxy_reason reason = proxy_read(bytes_of(copy, size), out);
    free(copy);
    return reason;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header whole = {0}, part = {0};
    enum proxy_reason reason = read_copy(data, size, &whole);
    gw_assert(reason != PROXY_OK || (whole.size <= size && whole.size <= PROXY_BYTES_MAX));
    gw_assert(reason != PROXY_MORE || size < PROXY_BYTES_MAX);
    bool settled = false;
    for (size_t cut = 0; cut <= size && cut < 600; cut++) {
        enum proxy_reason early = read_copy(data, cut, &part);
        if (settled)
            gw_assert(early == reason);
        else if (early != PROXY_MORE && !(early == PROXY_VERSION_1 || early == PROXY_MISSING))
            gw_assert(early == reason || reason == PROXY_MISSING);
        settled = early == PROXY_OK;
        if (settled)
            gw_assert(part.size == whole.size && part.kind == whole.kind &&
                      address_equal(&part.peer, &whole.peer));
    }
    return 0;
}
