/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of a batch -> protobuf messages `tidegate.v1.Reading` (reading.proto), and their keys. The
 * bytes are those that protobuf-c's generated code packs; a test holds them equal. What repeats in
 * a batch (strings, flags) is prepared once a batch, because packing is most of what the Kafka lane
 * costs us beside the client library. Used by sinks; knows no sink. One thread for one packer.
 */
#ifndef TIDEGATE_CODECS_READING_PACK_H
#define TIDEGATE_CODECS_READING_PACK_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/identity.h"
#include "model/batch.h"

struct reading_pack;
struct reading_pack *reading_pack_new(struct identity gateway);
void reading_pack_free(struct reading_pack *pack); /* accepts null */

/* The batch that the calls below are about; borrowed until the next begin. */
void reading_pack_begin(struct reading_pack *pack, const struct batch *batch);
/* Append the packed Reading of a row. */
void reading_pack_row(struct reading_pack *pack, uint32_t row, struct buffer *out);
/* Append "vendor/device" of a row. A `/` in a vendor cannot be (route and credential names). */
void reading_pack_key(struct reading_pack *pack, uint32_t row, struct buffer *out);

#endif
