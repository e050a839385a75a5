/* SPDX-License-Identifier: Apache-2.0
 *
 * What a running gateway answers, /status mostly, as a tree. Main thread.
 */
#ifndef TIDEGATE_CLI_ANSWER_H
#define TIDEGATE_CLI_ANSWER_H

#include "base/yaml.h"
#include "cli/http.h"

struct answer {
    struct buffer body, errors;
    struct yaml yaml; /* JSON is YAML, and this reader is at hand */
    int64_t at_ms;    /* monotonic */
};

/* Zeroed before; answer_fini in any case. Errors as of http_get, with a sentence. */
int answer_get_path(struct http *http, const char *path, struct answer *answer, struct err *err);
int answer_get(struct http *http, struct answer *answer, struct err *err);
void answer_fini(struct answer *answer);

/* Members of an object that may be anything or null: null, "" and 0 where there is none. */
const struct yaml_node *answer_member(const struct yaml_node *object, const char *key);
const char *answer_text(const struct yaml_node *object, const char *key);
double answer_number(const struct yaml_node *object, const char *key);

#endif
