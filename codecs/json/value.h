/* SPDX-License-Identifier: Apache-2.0
 *
 * Nodes of a document as values of readings. Any thread.
 */
#ifndef TIDEGATE_CODECS_JSON_VALUE_H
#define TIDEGATE_CODECS_JSON_VALUE_H

#include "codecs/json/document.h"
#include "model/reading.h"

/* Set value, quality and flags of `out` (zeroed before): a number, a number in a string, or true
 * and false as 1 and 0. What is none of these gives no value and quality bad: null with the flag
 * device_fault (the device names the metric and has nothing to say), a number that no exact
 * decimal can hold with range, everything else with bad_field. A fraction of more than 18 digits is
 * rounded half to even at the 18th, flag rounded. */
void json_value_read(const struct json_node *node, struct reading *out);
/* The number a text holds, blanks around it ignored. ROUNDED and RANGE: as above. */
enum json_number { JSON_NUMBER_OK, JSON_NUMBER_ROUNDED, JSON_NUMBER_RANGE, JSON_NUMBER_NONE };
enum json_number json_number_read(struct bytes text, struct decimal *out);

/* Devices, names and units are copied once a point or reading: longer ones, which no store takes
 * either, would let a small message ask for much memory. */
enum { JSON_NAME_SIZE_MAX = 128 };
/* An identifier: a string, or an integer as it is written. Empty for everything else, and beyond
 * JSON_NAME_SIZE_MAX. */
struct bytes json_identifier(const struct json_node *node);
/* The text of a scalar: strings, numbers, true and false. False for null, arrays and objects. */
bool json_scalar_text(const struct json_node *node, struct bytes *out);
/* Without blanks at both ends. */
struct bytes json_trim(struct bytes text);
/* The last child of that key, or null. */
const struct json_node *json_member(const struct json_node *object, struct bytes key);

#endif
