/* SPDX-License-Identifier: Apache-2.0
 *
 * MQTT topic filters (MQTT 5.0, 4.7): is it one, and does it match. Separate from access.c because it is
 * pure; the configuration and the credential files ask, too. Any thread.
 */
#include "sources/access.h"

/* 4.7.1: + and # stand alone in their level, # only in the last. */
bool access_filter_valid(const char *filter)
{
    size_t size = strlen(filter);
    if (size == 0 || size > ACCESS_FILTER_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        bool begins = i == 0 || filter[i - 1] == '/';
        bool ends = i + 1 == size || filter[i + 1] == '/';
        if ((filter[i] == '+' || filter[i] == '#') && !(begins && ends))
            return false;
        if (filter[i] == '#' && i + 1 != size)
            return false;
    }
    return true;
}

/* The level at the front of `rest`; *more tells whether another follows, which `rest` then is. */
static struct bytes level_take(struct bytes *rest, bool *more)
{
    const uint8_t *slash = rest->size ? memchr(rest->data, '/', rest->size) : NULL;
    struct bytes level = {rest->data, slash ? (size_t)(slash - rest->data) : rest->size};
    *more = slash != NULL;
    *rest = slash ? bytes_of(slash + 1, rest->size - level.size - 1) : bytes_of(rest->data, 0);
    return level;
}

bool access_topic_matches(struct bytes filter, struct bytes topic)
{
    if (filter.size == 0 || topic.size == 0)
        return false;
    /* MQTT 5.0, 4.7.2: a wildcard in the first level does not match $SYS and its like. */
    if (topic.data[0] == '$' && (filter.data[0] == '+' || filter.data[0] == '#'))
        return false;
    bool filter_more = true;
    bool topic_more = true;
    while (filter_more) {
        struct bytes want = level_take(&filter, &filter_more);
        if (bytes_equal_text(want, "#"))
            return !filter_more;
        if (!topic_more)
            return false;
        struct bytes have = level_take(&topic, &topic_more);
        if (!bytes_equal_text(want, "+") && !bytes_equal(want, have))
            return false;
    }
    return !topic_more;
}

bool access_levels_fit(const struct access_quota *quota, struct bytes topic)
{
    int64_t levels = 1;
    for (size_t i = 0; quota->topic_levels && i < topic.size; i++)
        levels += topic.data[i] == '/';
    return quota->topic_levels == 0 || levels <= quota->topic_levels;
}
