/* SPDX-License-Identifier: Apache-2.0
 *
 * What the gateway tells a worker process: one YAML mapping on its standard input, ended by a NUL
 * byte. Never on the command line, where others could read it; passwords are not in it at all, but
 * the name of their file.
 */
#ifndef TIDEGATE_SOURCES_PAHO_SETTINGS_H
#define TIDEGATE_SOURCES_PAHO_SETTINGS_H

#include "base/bytes.h"
#include "base/err.h"
#include "sources/paho/paho.h"

struct paho_settings {
    char *intake; /* path of the file */
    char *identity;
    char *url;
    char *filters; /* one a line, shared subscriptions written out */
    char *client_id;
    char *user, *password_file;
    char *tls_ca_file, *tls_certificate_file, *tls_key_file;
    int64_t wake_fd; /* an eventfd: 1 is written when the gateway sleeps */
    int64_t keep_alive_s, session_expiry_s, receive_max;
};

/* All members are owned. */
void paho_settings_fini(struct paho_settings *settings);
void paho_settings_write(const struct paho_settings *settings, struct buffer *out);
int paho_settings_read(struct bytes text, struct paho_settings *out, struct err *err);
/* For one worker of a broker. */
void paho_settings_make(const struct paho_options *options, unsigned worker, const char *intake,
                        const char *identity, struct paho_settings *out);

#endif
