/* SPDX-License-Identifier: Apache-2.0
 *
 * Topic -> vendor, codec, configuration of the codec, time zone. Built from a configuration,
 * read-only afterwards; the decoder thread uses it.
 */
#ifndef TIDEGATE_ROUTE_H
#define TIDEGATE_ROUTE_H

#include "base/zone.h"
#include "codecs/codec.h"
#include "config/config.h"
#include "model/message.h"

enum { ROUTE_CAPTURES_MAX = 8 };

/* Bytes are borrowed from the message and the router. */
struct route_match {
    const struct codec *codec;
    const void *codec_config;
    const struct zone *zone;
    struct bytes vendor;
    struct bytes device; /* "" when the topic does not name it */
    struct capture captures[ROUTE_CAPTURES_MAX];
    size_t capture_count;
};

struct router;
/* `config` outlives the router. */
int router_new(const struct config *config, struct router **out, struct err *err);
void router_free(struct router *router); /* accepts null */

/* The first route in the order of the file that fits topic and login. A message of a logged-in
 * vendor matches only routes of that vendor, or routes that name none. False: no route. */
bool router_match(const struct router *router, const struct message *message,
                  struct route_match *out);

#endif
