/* SPDX-License-Identifier: Apache-2.0
 *
 * Units of measure: lookup and exact conversion. Separate from the normaliser, because the
 * vocabulary and the codecs ask too. Any thread: the index over the table (unit_table.c) is built
 * once and then only read.
 */
#include "model/unit.h"

#include <pthread.h>
#include <xxhash.h>

#include "model/unit_table.h"

/* ---- lookup ---- */

enum { SLOTS = 1024, SPELLING_SIZE_MAX = 32 };
static uint16_t slots[SLOTS]; /* index into spellings + 1; linear probing by the folded text */
static pthread_once_t slots_once = PTHREAD_ONCE_INIT;

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

static uint32_t folded_hash(struct bytes text)
{
    uint8_t folded[SPELLING_SIZE_MAX];
    for (size_t i = 0; i < text.size; i++)
        folded[i] = lower(text.data[i]);
    return (uint32_t)XXH3_64bits(folded, text.size);
}

static void slots_build(void)
{
    for (size_t i = 0; i < unit_spelling_count; i++) {
        struct bytes text = bytes_text(unit_spellings[i].text);
        gw_assert(text.size <= SPELLING_SIZE_MAX);
        uint32_t slot = folded_hash(text) % SLOTS;
        while (slots[slot])
            slot = (slot + 1) % SLOTS;
        slots[slot] = (uint16_t)(i + 1);
    }
}

static bool spelling_matches(const struct spelling *spelling, struct bytes text)
{
    struct bytes own = bytes_text(spelling->text);
    if (own.size != text.size)
        return false;
    size_t exact = spelling->fold == EXACT ? text.size : spelling->fold == KEEP_FIRST ? 1 : 0;
    for (size_t i = 0; i < text.size; i++) {
        bool same =
            i < exact ? own.data[i] == text.data[i] : lower(own.data[i]) == lower(text.data[i]);
        if (!same)
            return false;
    }
    return true;
}

static struct bytes strip(struct bytes text)
{
    while (text.size && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.size--;
    }
    while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* An exact spelling wins over one that needs folding. */
static const struct unit *unit_find(struct bytes name)
{
    struct bytes text = strip(name);
    if (text.size > SPELLING_SIZE_MAX)
        return NULL;
    pthread_once(&slots_once, slots_build);
    const struct unit *folded = NULL;
    for (uint32_t slot = folded_hash(text) % SLOTS; slots[slot]; slot = (slot + 1) % SLOTS) {
        const struct spelling *spelling = &unit_spellings[slots[slot] - 1];
        if (!spelling_matches(spelling, text))
            continue;
        if (bytes_equal_text(text, spelling->text))
            return &unit_rows[spelling->unit];
        if (folded == NULL)
            folded = &unit_rows[spelling->unit];
    }
    return folded;
}

struct bytes unit_canonical(struct bytes name)
{
    const struct unit *unit = unit_find(name);
    return unit ? bytes_text(unit->name) : (struct bytes){0};
}

/* ---- conversion ---- */

static int64_t greatest_common_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* from / to as numerator / denominator * 10^exponent in lowest terms, the twos and fives of the
 * denominator moved into the exponent: what is left of it has no finite decimal. */
struct ratio {
    int64_t numerator;
    int64_t denominator;
    int exponent;
};

static bool ratio_between(const struct unit *from, const struct unit *to, struct ratio *out)
{
    int64_t straight = greatest_common_divisor(from->numerator, to->numerator);
    int64_t across = greatest_common_divisor(to->denominator, from->denominator);
    if (__builtin_mul_overflow(from->numerator / straight, to->denominator / across,
                               &out->numerator) ||
        __builtin_mul_overflow(to->numerator / straight, from->denominator / across,
                               &out->denominator))
        return false;
    int64_t common = greatest_common_divisor(out->numerator, out->denominator);
    out->numerator /= common;
    out->denominator /= common;
    out->exponent = from->exponent - to->exponent;
    for (; out->denominator % 10 == 0; out->exponent--)
        out->denominator /= 10;
    for (; out->numerator % 10 == 0; out->exponent++)
        out->numerator /= 10;
    static const int64_t primes[] = {2, 5};
    for (int i = 0; i < 2; i++) {
        for (; out->denominator % primes[i] == 0; out->exponent--) {
            out->denominator /= primes[i];
            if (__builtin_mul_overflow(out->numerator, 10 / primes[i], &out->numerator))
                return false;
        }
    }
    return true;
}

static bool scale_by(struct decimal value, const struct ratio *ratio, struct decimal *out,
                     bool *rounded)
{
    struct decimal factor = {ratio->numerator, (int8_t)ratio->exponent};
    struct decimal product;
    if (ratio->denominator == 1)
        return decimal_multiply(value, factor, out);
    if (!decimal_multiply(value, factor, &product))
        return false;
    int decimals = value.exponent < 0 ? -value.exponent + 3 : 3;
    return decimal_divide(product, (struct decimal){ratio->denominator, 0},
                          decimals > 18 ? 18 : decimals, out, rounded);
}

enum unit_result unit_convert(struct decimal value, struct bytes from, struct bytes to,
                              struct decimal *out, bool *rounded)
{
    *rounded = false;
    const struct unit *source = unit_find(from);
    const struct unit *target = unit_find(to);
    if (source == NULL || target == NULL || source->quantity != target->quantity)
        return UNIT_UNKNOWN;
    if (source == target) {
        *out = value;
        return UNIT_OK;
    }
    struct ratio ratio;
    if (!ratio_between(source, target, &ratio))
        return UNIT_OVERFLOW;
    /* An offset of nothing must not add decimals. */
    if (source->offset.mantissa && !decimal_add(value, source->offset, &value))
        return UNIT_OVERFLOW;
    if (!scale_by(value, &ratio, out, rounded))
        return UNIT_OVERFLOW;
    struct decimal back = {-target->offset.mantissa, target->offset.exponent};
    if (back.mantissa && !decimal_add(*out, back, out))
        return UNIT_OVERFLOW;
    return UNIT_OK;
}
