/* SPDX-License-Identifier: Apache-2.0
 *
 * A sentence for "Permission denied": by number, because in a container nobody has a name. Only
 * asks; the files themselves are opened in disk.c.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/owner.h"

/* Cuts `path` to the nearest part of it that can be looked at. */
static int nearest_stat(char *path, struct stat *info)
{
    while (stat(path, info) != 0) {
        char *slash = strrchr(path, '/');
        if (slash == NULL)
            snprintf(path, 2, ".");
        else
            slash[slash == path] = '\0';
        if (slash == NULL || slash == path)
            return stat(path, info);
    }
    return 0;
}

const char *owner_explain(const char *path, char out[OWNER_TEXT_SIZE])
{
    char nearest[PATH_MAX];
    struct stat info;
    snprintf(nearest, sizeof nearest, "%s", path);
    if (nearest_stat(nearest, &info) != 0) {
        snprintf(out, OWNER_TEXT_SIZE, "this process is user %u, group %u", geteuid(), getegid());
        return out;
    }
    snprintf(out, OWNER_TEXT_SIZE,
             "%.128s belongs to user %u, group %u (mode %04o), this process is user %u, group %u: "
             "give it that folder (chown -R %u:%u), or run it as the owner",
             nearest, info.st_uid, info.st_gid, info.st_mode & 07777, geteuid(), getegid(),
             geteuid(), getegid());
    return out;
}
