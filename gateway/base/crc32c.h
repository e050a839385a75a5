/* SPDX-License-Identifier: Apache-2.0
 *
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4): crc32c(0, "123456789") is 0xE3069283. Any thread.
 */
#ifndef TIDEGATE_BASE_CRC32C_H
#define TIDEGATE_BASE_CRC32C_H

#include <stdint.h>

#include "base/bytes.h"

/* Continue `crc` (0 to begin) over `in`. */
uint32_t crc32c(uint32_t crc, struct bytes in);

#endif
