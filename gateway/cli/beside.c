/* SPDX-License-Identifier: Apache-2.0
 *
 * See beside.h. Whether the rest of the file is right is another question, which the gateway answered
 * when it took it: here nothing is refused.
 */
#include "cli/beside.h"

#include <limits.h>
#include <stdlib.h>

#include "base/disk.h"
#include "base/yaml.h"
#include "cli/cli.h"
#include "cli/http.h"

enum { CONFIG_BYTES_MAX = 16 << 20 };

static const char *value_of(const struct yaml_node *section, const char *key)
{
    const struct yaml_node *value = yaml_find(section, key);
    return value && value->kind == YAML_SCALAR && !yaml_is_null(value) ? value->text : NULL;
}

/* As the gateway sees it: from the folder of its configuration. Owned. */
static char *path_from(const char *config, const char *path)
{
    const char *slash = strrchr(config, '/');
    if (path[0] == '/' || slash == NULL)
        return mem_strdup(path);
    return mem_printf("%.*s/%s", (int)(slash - config), config, path);
}

static void tls_set(const struct yaml_node *section, const char *config, bool token)
{
    const char *certificate = value_of(section, "certificate_file");
    const char *tokens = value_of(section, "token_file");
    if (token && tokens && cli_ask.token_file == NULL)
        cli_ask.token_file = path_from(config, tokens);
    if (certificate == NULL)
        return;
    cli_ask.tls = true;
    if (cli_ask.token_file && cli_ask.ca_file == NULL) {
        /* Its name is not that of the loopback address: it is known by the certificate itself. */
        cli_ask.ca_file = path_from(config, certificate);
        cli_ask.any_name = true;
    } else if (!token) {
        cli_ask.any_certificate = true; /* a probe sends nothing and hears yes or no */
    }
}

static char *configured(const char *path, bool token)
{
    struct buffer text = {0}, errors = {0};
    struct yaml yaml = {0};
    char *listen = NULL;
    if (disk_read_named(&disk_real, path, CONFIG_BYTES_MAX, &text) == 0 &&
        yaml_parse(&yaml, buffer_bytes(&text), path, &errors) == 0 && yaml.root &&
        yaml.root->kind == YAML_MAPPING) {
        const struct yaml_node *admin = yaml_find(yaml.root, "admin");
        if (admin && admin->kind == YAML_MAPPING) {
            const char *at = value_of(admin, "listen");
            listen = at && *at ? mem_strdup(at) : NULL;
            tls_set(admin, path, token);
        }
    }
    yaml_fini(&yaml);
    buffer_fini(&errors);
    buffer_fini(&text);
    return listen;
}

char *beside_find(const char *admin, const char *config, bool token)
{
    char *listen = admin ? mem_strdup(admin) : configured(config ? config : BESIDE_CONFIG, token);
    char *reachable = http_reachable(listen ? listen : BESIDE_ADMIN);
    free(listen);
    return reachable;
}
