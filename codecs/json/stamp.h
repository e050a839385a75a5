/* SPDX-License-Identifier: Apache-2.0
 *
 * Times as payloads write them. A format is read-only after the configuration was read, any
 * thread.
 */
#ifndef TIDEGATE_CODECS_JSON_STAMP_H
#define TIDEGATE_CODECS_JSON_STAMP_H

#include "base/err.h"
#include "base/zone.h"
#include "codecs/json/document.h"
#include "model/reading.h"

enum json_stamp_kind {
    JSON_STAMP_AUTO, /* RFC 3339 or an epoch, told by its looks; the unit by magnitude */
    JSON_STAMP_RFC3339,
    JSON_STAMP_EPOCH_S,
    JSON_STAMP_EPOCH_MS,
    JSON_STAMP_EPOCH_US,
    JSON_STAMP_EPOCH_NS,
    JSON_STAMP_PATTERN,
};

/* A zeroed object reads AUTO, in the vendor's zone. */
struct json_stamp_format {
    enum json_stamp_kind kind;
    char *pattern;     /* owned: yyyy-MM-dd HH:mm:ss */
    struct zone *zone; /* owned; null: the vendor's, which the normaliser knows */
};

struct json_stamp {
    enum reading_time time; /* NONE: there is none */
    int64_t ms;
};

/* The name of a kind, or a pattern. GW_EINVAL with a text that says what is allowed. */
int json_stamp_format_parse(struct json_stamp_format *format, const char *text, struct err *err);
void json_stamp_format_fini(struct json_stamp_format *format);
/* Null, and a node that is JSON null or an empty string, are no time. False when there is
 * something that is not a time of this format, or none between the years 0 and 9999. */
bool json_stamp_read(const struct json_stamp_format *format, const struct json_node *node,
                     struct json_stamp *out);

#endif
