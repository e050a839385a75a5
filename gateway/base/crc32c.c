/* SPDX-License-Identifier: Apache-2.0
 *
 * CRC-32C by ISA-L, which picks the fastest instructions of the processor.
 */
#include "base/crc32c.h"

#include <isa-l/crc.h>

uint32_t crc32c(uint32_t crc, struct bytes in)
{
    /* ISA-L's "iscsi" CRC wants the inverted register and takes an int length. */
    crc = ~crc;
    while (in.size) {
        int step = in.size > (1U << 30) ? 1 << 30 : (int)in.size;
        crc = crc32_iscsi((unsigned char *)(uintptr_t)in.data, step, crc);
        in.data += step;
        in.size -= (size_t)step;
    }
    return ~crc;
}
