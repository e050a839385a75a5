/* SPDX-License-Identifier: Apache-2.0
 *
 * Payloads on the command line: read whole from a file or standard input, shown as text where they
 * are text. Main thread.
 */
#ifndef TIDEGATE_CLI_PAYLOAD_H
#define TIDEGATE_CLI_PAYLOAD_H

#include "base/bytes.h"
#include "base/err.h"
#include "model/message.h"

/* `path` "-" or null: standard input. At most `size_max` bytes: GW_ELIMIT beyond. */
int payload_read(const char *path, size_t size_max, struct buffer *out, struct err *err);
/* Hexadecimal digits with white space between pairs -> bytes. */
int payload_unhex(struct bytes text, struct buffer *out, struct err *err);

/* Is it text that a terminal can show (UTF-8, no control characters but tab and line ends)? */
bool payload_is_text(struct bytes payload);
/* "payload":"..." or "payload_hex":"..." */
void payload_json(struct bytes payload, struct buffer *out);
/* One line for people, cut at `size_max` bytes of payload (0: never): the text in quotes, or hex. */
void payload_line(struct bytes payload, size_t size_max, struct buffer *out);

/* The members of a message, without braces: "seq":1,"received":"...",...,"payload":... */
void message_json(const struct message *message, struct buffer *out);

#endif
