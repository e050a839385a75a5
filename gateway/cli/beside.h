/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway beside this process: where it listens, whether it speaks TLS, and what token it takes, from
 * its own configuration, so that probes and hooks in a container need no options. Main thread.
 */
#ifndef TIDEGATE_CLI_BESIDE_H
#define TIDEGATE_CLI_BESIDE_H

#include <stdbool.h>

#define BESIDE_CONFIG "/etc/tidegate/tidegate.yaml"
#define BESIDE_ADMIN  "127.0.0.1:9464"

/* HOST:PORT to ask, owned. `admin` given: that, and nothing is looked up. Else section `admin` of
 * `config` (null: BESIDE_CONFIG) as far as it can be read, else BESIDE_ADMIN. Sets what cli_ask says of
 * TLS; with `token` also its token, and then the gateway must have the certificate of the file. */
char *beside_find(const char *admin, const char *config, bool token);

#endif
