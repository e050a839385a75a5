/* SPDX-License-Identifier: Apache-2.0
 *
 * A vendor's credential file: a line a user, lines that begin with # and empty ones left alone.
 *
 *     USER:HASH [disabled] [client=PATTERN] [topic=FILTER]...
 *
 * HASH is a form of password.h. `client` is what the user's MQTT client ids must look like (`*`: any run
 * of characters); without it any will do. `topic` narrows where the vendor may publish for this user,
 * and never widens it; without one the vendor's topics hold. Blanks and % in a value are %20 and %25.
 * mosquitto_passwd reads and keeps such lines, too, but for the one it changes. The last line ends, too: a
 * file that does not was cut off.
 *
 * Reading is pure. Editing is one thread's, and locks out other programs of ours.
 */
#ifndef TIDEGATE_SOURCES_CREDENTIAL_H
#define TIDEGATE_SOURCES_CREDENTIAL_H

#include "base/disk.h"
#include "sources/password.h"

enum {
    CREDENTIAL_NAME_MAX = 1024,
    CREDENTIAL_PATTERN_MAX = 256,
    CREDENTIAL_TOPICS_MAX = 64,
    CREDENTIAL_FILE_MAX = 64 << 20,
};

struct credential {
    struct bytes name; /* in the line that was read */
    struct bytes hash; /* likewise */
    struct password password;
    char *client;  /* owned; null: any */
    char **topics; /* owned */
    size_t topic_count;
    bool disabled;
};

/* GW_EINVAL: a sentence that says what is wrong, never what stands there. A line without a user (empty,
 * comment) gives GW_ENOENT. The caller frees with credential_fini in any case. */
int credential_parse(struct bytes line, struct credential *out, struct err *err);
void credential_fini(struct credential *credential);
/* The line, with its end, appended. */
void credential_write(const struct credential *credential, struct buffer *out);

/* Lines of a whole file, one after the other; the end is not in them. False: no more. */
bool credential_line(struct bytes *text, struct bytes *line);

/* May a user be called so? 1 to 1,024 bytes, no colon, no control characters. No rule puts a name into a
 * topic filter, so + # and / are letters like others here (CVE-2017-7650). */
bool credential_name_valid(struct bytes name);
bool credential_pattern_valid(const char *pattern);
/* `*` is any run of characters, everything else itself. Time is bounded by the product of sizes. */
bool credential_pattern_matches(const char *pattern, struct bytes client);

/* ---- the file ---- */

enum credential_change {
    CREDENTIAL_ADD,  /* a new user; the file is made when absent */
    CREDENTIAL_HASH, /* another password */
    CREDENTIAL_BIND, /* another pattern, other topics */
    CREDENTIAL_DISABLE,
    CREDENTIAL_ENABLE,
    CREDENTIAL_REMOVE,
};

struct credential_edit {
    enum credential_change change;
    struct bytes name;
    struct bytes hash;   /* of ADD and HASH */
    const char *client;  /* of ADD and BIND; null: any */
    char *const *topics; /* likewise */
    size_t topic_count;
    bool may_be_last; /* REMOVE: the file goes with its last user, instead of GW_EINVAL */
};

/* The whole file, through symbolic links: GW_ENOENT when there is none. */
int credential_file_read(const struct disk *disk, const char *path, struct buffer *out,
                         struct err *err);
/* Is that user in the file? No file: no. */
int credential_file_has(const struct disk *disk, const char *path, struct bytes name, bool *has,
                        struct err *err);
/* Puts the changed file in place of the old one, or leaves the old one as it is: a lock on its folder, a
 * new file beside it, sync, rename, sync of the folder. Mode and owner stay; a new file gets mode 0640
 * and the owner of its folder. GW_EEXIST, GW_ENOENT: of the user. */
int credential_file_edit(const struct disk *disk, const char *path,
                         const struct credential_edit *edit, struct err *err);

#endif
