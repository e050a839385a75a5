/* SPDX-License-Identifier: Apache-2.0
 *
 * The publisher's own record of what became of each message: what a test compares with the store.
 * One line a message, tab separated; ledger_header names the fields. One thread.
 */
#ifndef TIDEGATE_SIM_LEDGER_H
#define TIDEGATE_SIM_LEDGER_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

enum ledger_outcome {
    LEDGER_ACK, /* acknowledged: it must be in the store */
    LEDGER_REJ, /* refused: it must not be there */
    LEDGER_UNK, /* sent, no answer before the end: it may be there */
};

struct ledger_line {
    enum ledger_outcome outcome;
    uint64_t number; /* of the message, from 1 */
    const char *vendor;
    const char *device;
    int64_t ts_ms;    /* as a reader should understand it */
    int64_t litres;   /* volume.total in litres; -1 for garbage */
    const char *kind; /* reading, duplicate, late, garbage */
    int qos;
    uint32_t attempts;
    uint32_t crc; /* CRC-32C of the payload */
};

struct ledger;
/* Appends to an existing file. GW_EIO with a text. */
int ledger_open(struct ledger **out, const char *path, struct err *err);
void ledger_add(struct ledger *ledger, const struct ledger_line *line);
/* Hand the lines over to the system: they survive this process. GW_EIO: the ledger is not whole. */
int ledger_flush(struct ledger *ledger, struct err *err);
void ledger_close(struct ledger *ledger); /* accepts null */

#endif
