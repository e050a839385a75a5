/* SPDX-License-Identifier: Apache-2.0
 *
 * The strings of MQTT. Most topics and ids are plain ASCII, so both scanners take eight bytes at a
 * time while nothing else is in sight and fall back to one character at a time. Pure, any thread.
 */
#include "sources/mqtt/text.h"

#include <endian.h>

#include "base/utf8.h"

#define EACH(byte) (0x0101010101010101ull * (byte))

#define HIGH EACH(0x80)

/* True when all eight bytes are in 0x20..0x7e. A sum reaches a byte's highest bit from 0x20 on, or from
 * 0x7f on; a carry out of a byte comes only from one that has that bit itself. */
static bool plain(uint64_t word)
{
    return !((word | ~(word + EACH(0x60)) | (word + EACH(1))) & HIGH);
}

/* 0x80 in each byte of a plain word that is `byte`. */
static uint64_t marks_of(uint64_t word, uint8_t byte)
{
    return ~((word ^ EACH(byte)) + EACH(0x7f)) & HIGH;
}

/* The next eight bytes of `in`; what is missing at its end is filled with a plain character. Where it
 * can, one load that reaches back replaces a copy of a few bytes. */
static uint64_t load(struct bytes in, size_t at)
{
    uint64_t word = EACH('x');
    size_t left = in.size - at;
    if (left >= sizeof word) {
        memcpy(&word, in.data + at, sizeof word);
    } else if (in.size >= sizeof word) {
        memcpy(&word, in.data + in.size - sizeof word, sizeof word);
        word = le64toh(word) >> 8 * (sizeof word - left) | EACH('x') << 8 * left;
    } else {
        memcpy(&word, in.data + at, left);
    }
    return word;
}

/* How many bytes marks_of marked: by multiplication, as not every processor counts bits. */
static uint32_t count_marks(uint64_t marks)
{
    return (uint32_t)((marks >> 7) * EACH(1) >> 56);
}

/* U+FDD0-FDEF and the last two of each plane [Unicode 23.7]. */
static bool refused(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point <= 0x9f) ||
           (point >= 0xfdd0 && point <= 0xfdef) || (point & 0xfffe) == 0xfffe;
}

/* Bytes of the character at `at`, or 0 when it is ill-formed or refused. */
static size_t character(const uint8_t *at, size_t left)
{
    size_t size = utf8_size(at, left);
    if (size <= 1)
        return size && !refused(at[0]) ? 1 : 0;
    uint32_t point = at[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++)
        point = point << 6 | (at[i] & 0x3f);
    return refused(point) ? 0 : size;
}

bool text_valid(struct bytes in)
{
    size_t i = 0;
    while (i < in.size) {
        if (plain(load(in, i))) {
            i += 8;
            continue;
        }
        size_t size = character(in.data + i, in.size - i);
        if (size == 0)
            return false;
        i += size;
    }
    return true;
}

struct topic_shape topic_shape(struct bytes topic)
{
    struct topic_shape shape = {.levels = 1};
    size_t i = 0;
    while (i < topic.size) {
        uint64_t word = load(topic, i);
        if (plain(word)) {
            shape.levels += count_marks(marks_of(word, '/'));
            shape.wildcard |= marks_of(word | EACH('+' ^ '#'), '+') != 0; /* one bit apart */
            i += 8;
            continue;
        }
        size_t size = character(topic.data + i, topic.size - i);
        if (size == 0)
            return shape;
        shape.levels += topic.data[i] == '/';
        shape.wildcard |= topic.data[i] == '+' || topic.data[i] == '#';
        i += size;
    }
    shape.valid = true;
    return shape;
}

/* [MQTT-4.7.1-1]: '#' is the last character and alone in its level; [MQTT-4.7.1-2]: '+' is alone. */
static bool wildcards_stand_alone(struct bytes filter)
{
    for (size_t i = 0; i < filter.size; i++) {
        uint8_t byte = filter.data[i];
        if (byte != '+' && byte != '#')
            continue;
        if (i > 0 && filter.data[i - 1] != '/')
            return false;
        bool last = i + 1 == filter.size;
        if (!last && (byte == '#' || filter.data[i + 1] != '/'))
            return false;
    }
    return filter.size > 0;
}

bool filter_valid(struct bytes filter, bool *shared)
{
    static const char prefix[] = "$share/";
    size_t size = sizeof prefix - 1;
    *shared = filter.size >= size && memcmp(filter.data, prefix, size) == 0;
    if (!*shared)
        return wildcards_stand_alone(filter);
    /* [MQTT-4.8.2-1]: the name has a character; [MQTT-4.8.2-2]: and no '/', '+', '#'. */
    size_t i = size;
    while (i < filter.size && filter.data[i] != '/') {
        if (filter.data[i] == '+' || filter.data[i] == '#')
            return false;
        i++;
    }
    if (i == size || i == filter.size)
        return false;
    return wildcards_stand_alone(bytes_of(filter.data + i + 1, filter.size - i - 1));
}
