/* SPDX-License-Identifier: Apache-2.0
 *
 * See answer.h. Separate, because several verbs ask the same.
 */
#include "cli/answer.h"

#include <stdlib.h>

#include "base/clock.h"

enum { ANSWER_MS = 10000 };

int answer_get(struct http *http, struct answer *answer, struct err *err)
{
    return answer_get_path(http, "/status", answer, err);
}

int answer_get_path(struct http *http, const char *path, struct answer *answer, struct err *err)
{
    int rc = http_get(http, path, ANSWER_MS, &answer->body, err);
    if (rc)
        return rc;
    answer->at_ms = clock_monotonic_ms();
    if (yaml_parse(&answer->yaml, buffer_bytes(&answer->body), path, &answer->errors) ||
        answer->yaml.root == NULL || answer->yaml.root->kind != YAML_MAPPING)
        return err_set(err, GW_EINVAL, "the answer is not that of a gateway");
    return 0;
}

void answer_fini(struct answer *answer)
{
    yaml_fini(&answer->yaml);
    buffer_fini(&answer->errors);
    buffer_fini(&answer->body);
}

const struct yaml_node *answer_member(const struct yaml_node *object, const char *key)
{
    return object && object->kind == YAML_MAPPING ? yaml_find(object, key) : NULL;
}

const char *answer_text(const struct yaml_node *object, const char *key)
{
    const struct yaml_node *value = answer_member(object, key);
    return value ? value->text : "";
}

double answer_number(const struct yaml_node *object, const char *key)
{
    return strtod(answer_text(object, key), NULL);
}
