/* SPDX-License-Identifier: Apache-2.0
 *
 * Nodes of a document as values of readings: the rules that the plain format and the mappings
 * share. Any thread.
 */
#include "codecs/json/value.h"

struct bytes json_trim(struct bytes text)
{
    while (text.size && memchr(" \t\r\n", text.data[0], 4))
        text = bytes_of(text.data + 1, text.size - 1);
    while (text.size && memchr(" \t\r\n", text.data[text.size - 1], 4))
        text.size--;
    return text;
}

static size_t digits(struct bytes text, size_t at)
{
    size_t from = at;
    while (at < text.size && text.data[at] >= '0' && text.data[at] <= '9')
        at++;
    return at - from;
}

/* Whether it is written as a number at all, however large. */
static bool is_number(struct bytes text)
{
    size_t at = text.size && (text.data[0] == '-' || text.data[0] == '+');
    size_t whole = digits(text, at), fraction = 0;
    at += whole;
    if (at < text.size && text.data[at] == '.') {
        fraction = digits(text, at + 1);
        at += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (at < text.size && (text.data[at] | 0x20) == 'e') {
        at++;
        at += at < text.size && (text.data[at] == '-' || text.data[at] == '+');
        size_t exponent = digits(text, at);
        if (exponent == 0)
            return false;
        at += exponent;
    }
    return at == text.size;
}

/* The first 18 digits of a number; what stands behind them in the fraction rounds half to even. */
struct rounding {
    int64_t mantissa;
    int exponent;
    int dropped; /* the first digit that is not in the mantissa, or -1 */
    bool more;   /* a digit other than zero behind it */
    bool fits;   /* nothing but digits of the fraction was dropped */
};

static void rounding_take(struct rounding *state, int digit, bool fraction)
{
    if (state->mantissa < INT64_C(100000000000000000) && state->dropped < 0) {
        state->mantissa = state->mantissa * 10 + digit;
        state->exponent -= fraction;
        return;
    }
    state->fits &= fraction;
    if (state->dropped < 0)
        state->dropped = digit;
    else
        state->more |= digit != 0;
}

/* `text` is a number. Programs print a double with %.20f: that is no reason to have no value. */
static bool read_rounded(struct bytes text, struct decimal *out)
{
    struct rounding state = {.dropped = -1, .fits = true};
    size_t at = text.data[0] == '-' || text.data[0] == '+';
    bool fraction = false;
    int power = 0;
    for (; at < text.size && (text.data[at] | 0x20) != 'e'; at++) {
        if (text.data[at] == '.')
            fraction = true;
        else
            rounding_take(&state, text.data[at] - '0', fraction);
    }
    bool below = at + 1 < text.size && text.data[at + 1] == '-';
    for (at += 1; at < text.size; at++)
        if (text.data[at] >= '0' && power < 1000)
            power = power * 10 + text.data[at] - '0';
    state.exponent += below ? -power : power;
    state.mantissa +=
        state.dropped > 5 || (state.dropped == 5 && (state.more || state.mantissa % 2));
    if (!state.fits || state.exponent < INT8_MIN || state.exponent > INT8_MAX)
        return false;
    *out = (struct decimal){text.data[0] == '-' ? -state.mantissa : state.mantissa,
                            (int8_t)state.exponent};
    return true;
}

enum json_number json_number_read(struct bytes text, struct decimal *out)
{
    text = json_trim(text);
    if (decimal_parse(text, out))
        return JSON_NUMBER_OK;
    if (!is_number(text))
        return JSON_NUMBER_NONE;
    return read_rounded(text, out) ? JSON_NUMBER_ROUNDED : JSON_NUMBER_RANGE;
}

static void no_value(struct reading *out, uint32_t flag)
{
    out->has_value = false;
    out->value = (struct decimal){0};
    out->quality = QUALITY_BAD;
    out->flags |= flag;
}

void json_value_read(const struct json_node *node, struct reading *out)
{
    switch ((enum json_kind)node->kind) {
    case JSON_NUMBER:
    case JSON_STRING:
        switch (json_number_read(node->text, &out->value)) {
        case JSON_NUMBER_ROUNDED: out->flags |= FLAG_ROUNDED; /* fall through */
        case JSON_NUMBER_OK: out->has_value = true; return;
        case JSON_NUMBER_RANGE: no_value(out, FLAG_RANGE); return;
        case JSON_NUMBER_NONE: no_value(out, FLAG_BAD_FIELD); return;
        }
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        out->value = (struct decimal){.mantissa = node->kind == JSON_TRUE};
        out->has_value = true;
        return;
    case JSON_NULL: no_value(out, FLAG_DEVICE_FAULT); return;
    case JSON_ARRAY:
    case JSON_OBJECT: no_value(out, FLAG_BAD_FIELD); return;
    }
}

struct bytes json_identifier(const struct json_node *node)
{
    struct bytes none = {0};
    if (node->text.size > JSON_NAME_SIZE_MAX)
        return none;
    if (node->kind == JSON_STRING)
        return json_trim(node->text);
    if (node->kind == JSON_NUMBER && digits(node->text, 0) == node->text.size)
        return node->text;
    return none;
}

bool json_scalar_text(const struct json_node *node, struct bytes *out)
{
    switch ((enum json_kind)node->kind) {
    case JSON_STRING:
    case JSON_NUMBER: *out = node->text; return true;
    case JSON_TRUE: *out = bytes_text("true"); return true;
    case JSON_FALSE: *out = bytes_text("false"); return true;
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    return false;
}

const struct json_node *json_member(const struct json_node *object, struct bytes key)
{
    const struct json_node *found = NULL;
    if (object->kind == JSON_OBJECT)
        JSON_EACH(child, object)
    if (bytes_equal(child->key, key))
        found = child;
    return found;
}
