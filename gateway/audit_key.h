/* SPDX-License-Identifier: Apache-2.0
 *
 * A reading's key as a number, for the audit: SipHash-2-4 (with a key of zeros) of
 * "seq\nvendor\ndevice\nmetric\nts", numbers in decimal. ClickHouse computes the same with
 * sipHash64(concat(...)), in every version, so whole ranges are compared without moving their rows.
 * Any thread.
 */
#ifndef TIDEGATE_AUDIT_KEY_H
#define TIDEGATE_AUDIT_KEY_H

#include <stdint.h>

#include "base/bytes.h"
#include "model/batch.h"

struct audit_key {
    uint64_t seq; /* 0: none; then the hash is of "vendor\ndevice\nmetric\nts" */
    struct bytes vendor, device, metric;
    int64_t ts_ms;
};

struct audit_key audit_key_of(const struct batch *batch, uint32_t row);
uint64_t audit_key_hash(const struct audit_key *key);
uint64_t audit_sip_hash(struct bytes in);

#endif
