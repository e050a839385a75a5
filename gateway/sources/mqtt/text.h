/* SPDX-License-Identifier: Apache-2.0
 *
 * The strings of MQTT: well-formed UTF-8, topic names, topic filters. Pure, any thread.
 */
#ifndef TIDEGATE_SOURCES_MQTT_TEXT_H
#define TIDEGATE_SOURCES_MQTT_TEXT_H

#include "base/bytes.h"

/* Well-formed UTF-8 as MQTT wants it [MQTT-1.5.4-1, -2; 3.1.1: MQTT-1.5.3-1, -2]: shortest forms, no
 * surrogates, nothing above U+10FFFF, no U+0000. Control characters (U+0001-1F, U+007F-9F) and
 * non-characters may be refused by 1.5.4, and are. A byte order mark is a character like others. */
bool text_valid(struct bytes in);

/* What one pass over a topic name tells. */
struct topic_shape {
    uint32_t levels; /* '/' and one */
    bool valid;      /* well-formed UTF-8 */
    bool wildcard;   /* holds '+' or '#', which no topic name may [MQTT-3.3.2-2] */
};
struct topic_shape topic_shape(struct bytes topic);

/* A topic filter by 4.7.1, or $share/NAME/FILTER by 4.8.2; *shared tells. UTF-8 was checked. */
bool filter_valid(struct bytes filter, bool *shared);

#endif
