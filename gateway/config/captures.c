/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries of the list `captures`: files to play into the gateway.
 */
#include <stdlib.h>

#include "config/load.h"

static void file_check(struct load *load, const struct yaml_node *node,
                       struct capture_options *capture)
{
    const struct config *config = load->config;
    if (capture->file == NULL) {
        yaml_error(&load->yaml, node,
                   "a capture needs a `file`, which `tidegate journal export` writes");
        return;
    }
    char *path = load_path(load, capture->file);
    free(capture->file);
    capture->file = path;
    for (size_t i = 0; i < config->capture_count; i++)
        if (config->captures[i].file && strcmp(config->captures[i].file, path) == 0)
            yaml_error(&load->yaml, load_at(node, "file"), "capture \"%s\" stands there twice",
                       path);
}

int config_capture_read(struct load *load, const struct yaml_node *node)
{
    struct config *config = load->config;
    struct capture_options capture = {0};
    size_t before = load->yaml.error_count;
    double speed;
    option_defaults(capture_option_rows, &capture);
    yaml_set_options(&load->yaml, node, capture_option_rows, &capture, NULL);
    file_check(load, node, &capture);
    if (!capture_speed_parse(capture.speed, &speed))
        yaml_error(&load->yaml, load_at(node, "speed"),
                   "speed: \"%s\" is neither max nor a number from 0.001 to 1000000",
                   capture.speed);
    *(struct capture_options *)load_grow(&config->captures, &config->capture_count,
                                         sizeof capture) = capture;
    return load->yaml.error_count > before ? GW_EINVAL : 0;
}
