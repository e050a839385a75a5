/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries as text. Separate so that the words of the file stand in one place. Any thread.
 */
#include "base/audit_entry.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/json_text.h"

enum { NAME_MAX_BYTES = 512, OBJECT_MAX_BYTES = 1024 };

const struct audit_word audit_whats[AUDIT_WHATS] = {
    [AUDIT_START] = {"start", "the gateway started"},
    [AUDIT_STOP] = {"stop", "the gateway stopped"},
    [AUDIT_SIGN_IN] = {"sign_in",
                       "a publisher was refused or locked out, or signed in after failures"},
    [AUDIT_PUBLISH] = {"publish", "a publish outside the vendor's topics was refused"},
    [AUDIT_CONFIGURATION] = {"configuration", "the configuration was read again, or refused"},
    [AUDIT_CERTIFICATES] = {"certificates", "certificates or tokens were read again, or refused"},
    [AUDIT_ADMIN] = {"admin", "a request to the admin interface that changes something, or that "
                              "was refused"},
    [AUDIT_REPLAY] = {"replay", "a replay began, was stopped, or ended"},
    [AUDIT_VENDOR] = {"vendor", "a user was added, changed or disabled"},
    [AUDIT_LANE] = {"lane", "a cursor was dropped, or the journal set aside"},
    [AUDIT_DRAIN] = {"drain", "the gateway was told to drain"},
};

static const char *const results[AUDIT_RESULTS] = {
    [AUDIT_OK] = "ok",
    [AUDIT_REFUSED] = "refused",
    [AUDIT_FAILED] = "failed",
};

/* What is cut ends in "~", as in the program's log. */
static void member(const char *name, struct bytes value, size_t size_max, struct buffer *out)
{
    if (value.size == 0)
        return;
    buffer_printf(out, ",\"%s\":", name);
    if (value.size <= size_max) {
        json_string(value, out);
        return;
    }
    json_string(bytes_of(value.data, size_max), out);
    out->size--; /* the quote */
    buffer_add_text(out, "~\"");
}

void audit_entry_members(const struct audit_entry *entry, struct buffer *out)
{
    gw_assert((unsigned)entry->what < AUDIT_WHATS && (unsigned)entry->result < AUDIT_RESULTS);
    buffer_printf(out, ",\"what\":\"%s\",\"result\":\"%s\"", audit_whats[entry->what].word,
                  results[entry->result]);
    member("who", entry->who, NAME_MAX_BYTES, out);
    member("client", entry->client, NAME_MAX_BYTES, out);
    if (address_known(&entry->from)) {
        char from[ADDRESS_TEXT_SIZE];
        buffer_printf(out, ",\"from\":\"%s\"", address_format(&entry->from, from));
    }
    member("object", entry->object, OBJECT_MAX_BYTES, out);
    if (entry->why)
        member("why", bytes_text(entry->why), OBJECT_MAX_BYTES, out);
}

void audit_line(int64_t now_ms, struct bytes members, struct audit_count count, struct buffer *out)
{
    char when[CLOCK_TEXT_SIZE];
    buffer_printf(out, "{\"time\":\"%s\"", clock_format_ms(now_ms, when));
    buffer_add_bytes(out, members);
    if (count.name)
        buffer_printf(out, ",\"%s\":%" PRIu64, count.name, count.value);
    buffer_add_text(out, "}\n");
}

void audit_entry_line(const struct audit_entry *entry, int64_t now_ms, struct audit_count count,
                      struct buffer *out)
{
    struct buffer members = {0};
    audit_entry_members(entry, &members);
    audit_line(now_ms, buffer_bytes(&members), count, out);
    buffer_fini(&members);
}
