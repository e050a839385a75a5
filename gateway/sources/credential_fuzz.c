/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target: any bytes as a credential file. Each line is a user, nobody, or a sentence; what was read
 * is written and read again as the same; no line costs more than its limits; a pattern from outside is
 * matched in bounded time.
 */
#include "sources/access.h"
#include "sources/credential.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct credential *user)
{
    struct buffer out = {0};
    struct credential other;
    struct err err;
    credential_write(user, &out);
    gw_assert(out.size && out.data[out.size - 1] == '\n');
    gw_assert(credential_parse(bytes_of(out.data, out.size - 1), &other, &err) == 0);
    gw_assert(bytes_equal(other.name, user->name) && bytes_equal(other.hash, user->hash));
    gw_assert(other.disabled == user->disabled && other.topic_count == user->topic_count);
    gw_assert((other.client == NULL) == (user->client == NULL));
    gw_assert(user->client == NULL || strcmp(user->client, other.client) == 0);
    for (size_t i = 0; i < user->topic_count; i++)
        gw_assert(strcmp(user->topics[i], other.topics[i]) == 0);
    credential_fini(&other);
    buffer_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_of(data, size), line;
    while (credential_line(&text, &line)) {
        struct credential user;
        struct err err = {{0}};
        int rc = credential_parse(line, &user, &err);
        gw_assert(rc == 0 || rc == GW_EINVAL || rc == GW_ENOENT);
        if (rc == 0) {
            gw_assert(password_memory(&user.password) <= PASSWORD_MEMORY_MAX);
            gw_assert(credential_name_valid(user.name));
            if (user.client)
                credential_pattern_matches(user.client, text);
            again(&user);
        } else {
            gw_assert(err.text[0] != '\0');
        }
        credential_fini(&user);
    }
    return 0;
}
