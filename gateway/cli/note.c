/* SPDX-License-Identifier: Apache-2.0
 *
 * See note.h. Separate because several verbs change something. Main thread.
 */
#include "cli/note.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Beside a gateway that may run under another user: what root writes there is that user's. */
static void write_as_owner(const struct audit_log_options *options, const struct audit_entry *entry)
{
    struct stat info;
    struct err err;
    bool lent = geteuid() == 0 && stat(options->dir, &info) == 0 && info.st_uid != 0 &&
                setegid(info.st_gid) == 0 && seteuid(info.st_uid) == 0;
    if (audit_log_append(options, entry, &err))
        fprintf(stderr, "the audit log was not written: %s\n", err.text);
    if (lent && (seteuid(0) != 0 || setegid(0) != 0))
        fprintf(stderr, "rights cannot be taken back: %s\n", strerror(errno));
}

void note_done(const char *dir, const char *data, enum audit_what what, const char *object,
               const char *why)
{
    struct disk_stat stat;
    char *folder = dir ? mem_strdup(dir) : mem_printf("%s/audit", data ? data : "");
    if (disk_real.stat(&disk_real, folder, &stat) == 0) {
        const struct passwd *user = getpwuid(getuid());
        char *who = user ? mem_strdup(user->pw_name) : mem_printf("uid %u", (unsigned)getuid());
        struct audit_entry entry = {.what = what,
                                    .result = AUDIT_OK,
                                    .who = bytes_text(who),
                                    .object = bytes_text(object),
                                    .why = why};
        write_as_owner(&(struct audit_log_options){.disk = &disk_real, .dir = folder}, &entry);
        free(who);
    }
    free(folder);
}
