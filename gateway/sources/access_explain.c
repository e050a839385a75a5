/* SPDX-License-Identifier: Apache-2.0
 *
 * Why a vendor may publish somewhere, or not: the questions of access.c once more, each told. For people;
 * access_publish decides. Any thread.
 */
#include "sources/access_file.h"

/* The first filter that matches; null: none. */
static const char *matching(char *const *topics, size_t count, struct bytes topic)
{
    for (size_t i = 0; i < count; i++)
        if (access_topic_matches(bytes_text(topics[i]), topic))
            return topics[i];
    return NULL;
}

static void list(char *const *topics, size_t count, struct buffer *why)
{
    for (size_t i = 0; i < count; i++)
        buffer_printf(why, "%s%s", i ? ", " : "", topics[i]);
    buffer_add_text(why, count ? "\n" : "none\n");
}

static bool explain_vendor(const struct rules_vendor *vendor,
                           const struct access_question *question, struct buffer *why)
{
    struct bytes topic = bytes_text(question->topic);
    const char *filter = matching(vendor->topics, vendor->topic_count, topic);
    if (filter) {
        buffer_printf(why, "topic   allowed: the vendor's filter %s matches\n", filter);
    } else {
        buffer_add_text(why, "topic   denied: no filter of the vendor matches. It has: ");
        list(vendor->topics, vendor->topic_count, why);
    }
    bool fits = access_levels_fit(&vendor->quota, topic);
    if (!fits)
        buffer_printf(why, "topic   denied: the vendor's limit is %lld levels\n",
                      (long long)vendor->quota.topic_levels);
    return filter && fits;
}

static bool explain_user(const struct rules *rules, const struct rules_vendor *vendor,
                         const struct access_question *question, struct buffer *why)
{
    const struct user *user = rules_user(rules, bytes_text(question->user));
    if (user == NULL || &rules->vendors[user->vendor] != vendor) {
        buffer_printf(why, "user    denied: %s has no user %s%s\n", vendor->name, question->user,
                      user ? "; another vendor has" : "");
        return false;
    }
    buffer_printf(why,
                  user->disabled ? "user    denied: %s is disabled\n" : "user    allowed: %s\n",
                  question->user);
    bool fits = question->client == NULL || user->client == NULL ||
                credential_pattern_matches(user->client, bytes_text(question->client));
    if (question->client)
        buffer_printf(why, "client  %s: %s takes %s\n", fits ? "allowed" : "denied", question->user,
                      user->client ? user->client : "any client id");
    const char *filter = matching(user->topics, user->topic_count, bytes_text(question->topic));
    if (filter)
        buffer_printf(why, "topic   allowed: the user's filter %s matches\n", filter);
    if (filter == NULL && user->topic_count) {
        buffer_add_text(why, "topic   denied: no filter of the user matches. He has: ");
        list(user->topics, user->topic_count, why);
    }
    return !user->disabled && fits && (filter || user->topic_count == 0);
}

bool access_explain(struct access *access, const struct access_question *question,
                    struct buffer *why)
{
    struct access_view view = {0};
    access_view_renew(access, &view);
    const struct rules_vendor *vendor = rules_vendor(view.rules, question->vendor);
    bool may = vendor != NULL;
    buffer_printf(why, may ? "vendor  allowed: %s\n" : "vendor  denied: there is no vendor %s\n",
                  question->vendor);
    if (question->topic[0] == '\0' || question->topic[0] == '$' || strpbrk(question->topic, "+#")) {
        buffer_add_text(why, "topic   denied: a topic to publish to is not empty, does not begin "
                             "with $, and has no + or #\n");
        may = false;
    } else if (may) {
        may = explain_vendor(vendor, question, why);
    }
    if (vendor && question->user)
        may &= explain_user(view.rules, vendor, question, why);
    access_view_fini(&view);
    return may;
}
