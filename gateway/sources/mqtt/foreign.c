/* SPDX-License-Identifier: Apache-2.0
 *
 * First bytes of protocols. See foreign.h.
 */
#include "sources/mqtt/foreign.h"

const char *const foreign_names[FOREIGN_KINDS] = {FOREIGN_NAMES};

enum foreign foreign_of(struct bytes first)
{
    static const struct {
        const char *text;
        enum foreign protocol;
    } rows[] = {
        {"\x10", FOREIGN_MQTT},     {"\x16\x03", FOREIGN_TLS},    {"SSH-", FOREIGN_SSH},
        {"PROXY ", FOREIGN_PROXY},  {"GET ", FOREIGN_HTTP},       {"POST ", FOREIGN_HTTP},
        {"PUT ", FOREIGN_HTTP},     {"HEAD ", FOREIGN_HTTP},      {"OPTIONS ", FOREIGN_HTTP},
        {"CONNECT ", FOREIGN_HTTP}, {"PRI * HTTP", FOREIGN_HTTP}, {"\r\n\r\n", FOREIGN_PROXY},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        struct bytes text = bytes_text(rows[i].text);
        size_t size = text.size < first.size ? text.size : first.size;
        if (size && memcmp(first.data, text.data, size) == 0)
            return rows[i].protocol;
    }
    return FOREIGN_OTHER;
}
