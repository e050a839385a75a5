/* SPDX-License-Identifier: Apache-2.0
 *
 * The property list of a PUBLISH, from Paho's form back to that of MQTT 5.0, 2.2.2: what the library
 * has for it is not exported. Any thread.
 */
#ifndef TIDEGATE_SOURCES_PAHO_PROPERTIES_H
#define TIDEGATE_SOURCES_PAHO_PROPERTIES_H

#include <MQTTProperties.h>

#include "base/bytes.h"

/* Append the list without its length, and without Topic Alias and Subscription Identifier, which
 * mean something on that connection only. */
void properties_write(const MQTTProperties *properties, struct buffer *out);

#endif
