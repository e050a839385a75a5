/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds frames in hostile bytes and reads their fields. Separate from cjt188.c, so that the rules
 * of the link and of BCD can be tested without readings. Any thread.
 */
#include "codecs/cjt188/frame.h"

#include "base/clock.h"

enum {
    START = 0x68,
    END = 0x16,
    OFFSET_ADDRESS = 2,
    OFFSET_CONTROL = 9,
    OFFSET_LENGTH = 10,
    OFFSET_DATA = 11,
    FRAME_OVERHEAD = 13, /* all but DATA */
};

static uint8_t sum(const uint8_t *at, size_t size)
{
    uint8_t total = 0;
    for (size_t i = 0; i < size; i++)
        total = (uint8_t)(total + at[i]);
    return total;
}

static void take(const uint8_t *at, size_t offset, struct cjt188_frame *out)
{
    out->offset = offset;
    out->type = at[1];
    for (int i = 0; i < CJT188_ADDRESS_SIZE; i++)
        out->address[i] = at[OFFSET_ADDRESS + CJT188_ADDRESS_SIZE - 1 - i];
    out->control = at[OFFSET_CONTROL];
    out->data = bytes_of(at + OFFSET_DATA, at[OFFSET_LENGTH]);
}

/* A 68 may be noise or data, so a frame counts only with its end byte and checksum in place; else
 * the search goes on one byte later. A candidate costs at most 268 bytes to sum, so the whole is
 * linear in the payload. */
bool cjt188_next(struct cjt188_scan *scan, struct cjt188_frame *out)
{
    struct bytes payload = scan->payload;
    for (; scan->at + FRAME_OVERHEAD <= payload.size; scan->at++) {
        const uint8_t *at = payload.data + scan->at;
        if (*at != START)
            continue;
        size_t size = FRAME_OVERHEAD + (size_t)at[OFFSET_LENGTH];
        if (size > payload.size - scan->at || at[size - 1] != END)
            continue;
        if (sum(at, size - 2) != at[size - 2]) {
            if (!scan->bad_checksum)
                scan->bad_checksum_at = scan->at;
            scan->bad_checksum = true;
            continue;
        }
        take(at, scan->at, out);
        scan->at += size;
        return true;
    }
    return false;
}

enum cjt188_bcd cjt188_bcd(struct bytes in, int64_t *out)
{
    bool fill = true;
    bool good = true;
    int64_t value = 0;
    gw_assert(in.size >= 1 && in.size <= 9);
    for (size_t i = in.size; i-- > 0;) {
        uint8_t high = in.data[i] >> 4;
        uint8_t low = in.data[i] & 0x0f;
        fill &= in.data[i] == 0xff;
        good &= high <= 9 && low <= 9;
        value = value * 100 + high * 10 + low;
    }
    *out = good ? value : 0;
    return good ? CJT188_BCD_OK : fill ? CJT188_BCD_FILL : CJT188_BCD_BAD;
}

static bool all_are(const uint8_t *in, uint8_t byte)
{
    for (int i = 0; i < CJT188_CLOCK_SIZE; i++)
        if (in[i] != byte)
            return false;
    return true;
}

static bool is_century(uint8_t byte)
{
    return byte == 0x19 || byte == 0x20;
}

enum cjt188_clock cjt188_clock(const uint8_t in[CJT188_CLOCK_SIZE], int64_t *ms)
{
    if (all_are(in, 0x00) || all_are(in, 0xff))
        return CJT188_CLOCK_NONE;
    bool high_first = is_century(in[0]) && !is_century(in[CJT188_CLOCK_SIZE - 1]);
    int field[CJT188_CLOCK_SIZE]; /* ss mm HH DD MM YY CC */
    for (int i = 0; i < CJT188_CLOCK_SIZE; i++) {
        int64_t value = 0;
        const uint8_t *byte = &in[high_first ? CJT188_CLOCK_SIZE - 1 - i : i];
        if (cjt188_bcd(bytes_of(byte, 1), &value) != CJT188_BCD_OK)
            return CJT188_CLOCK_BAD;
        field[i] = (int)value;
    }
    if (!clock_civil_ms(field[6] * 100 + field[5], field[4], field[3], field[2], field[1], field[0],
                        0, ms))
        return CJT188_CLOCK_BAD;
    return CJT188_CLOCK_OK;
}
