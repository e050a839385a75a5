/* SPDX-License-Identifier: Apache-2.0
 *
 * Changing a credential file so that whoever reads it, and whatever fails, sees the old file or the new
 * one. For the command line; the gateway only reads. One thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sources/credential.h"

enum { LOCK_TRIES = 50, LOCK_WAIT_NS = 100000000, MODE_NEW = 0640 };

/* ---- reading ---- */

int credential_file_read(const struct disk *disk, const char *path, struct buffer *out,
                         struct err *err)
{
    int rc = disk_read_named(disk, path, CREDENTIAL_FILE_MAX, out);
    if (rc == -ENOENT)
        return err_set(err, GW_ENOENT, "%s: cannot be read: there is no such file", path);
    return rc < 0 ? err_set(err, GW_EINVAL, "%s: cannot be read: %s", path, strerror(-rc)) : 0;
}

static void secret_fini(struct buffer *text)
{
    if (text->data)
        OPENSSL_cleanse(text->data, text->size);
    buffer_fini(text);
}

int credential_file_has(const struct disk *disk, const char *path, struct bytes name, bool *has,
                        struct err *err)
{
    struct buffer text = {0};
    *has = false;
    int rc = credential_file_read(disk, path, &text, err);
    struct bytes rest = buffer_bytes(&text), line;
    while (rc == 0 && credential_line(&rest, &line)) {
        const uint8_t *colon = line.size ? memchr(line.data, ':', line.size) : NULL;
        if (colon && bytes_equal(bytes_of(line.data, (size_t)(colon - line.data)), name))
            *has = true;
    }
    secret_fini(&text);
    return rc == GW_ENOENT ? 0 : rc;
}

/* ---- the new text ---- */

struct rewrite {
    const char *path;
    const struct credential_edit *edit;
    struct buffer *out;
    size_t line, users;
    bool found;
};

static void bind(struct credential *credential, const struct credential_edit *edit)
{
    struct credential kept = *credential;
    credential->client = NULL;
    credential->topics = NULL;
    credential->topic_count = 0;
    if (edit->client)
        credential->client = mem_strdup(edit->client);
    credential->topics = mem_zalloc((edit->topic_count + 1) * sizeof *credential->topics);
    for (size_t i = 0; i < edit->topic_count; i++)
        credential->topics[credential->topic_count++] = mem_strdup(edit->topics[i]);
    credential_fini(&kept);
}

static void change(struct rewrite *rewrite, struct credential *credential)
{
    const struct credential_edit *edit = rewrite->edit;
    rewrite->found = true;
    switch (edit->change) {
    case CREDENTIAL_HASH: credential->hash = edit->hash; break;
    case CREDENTIAL_BIND: bind(credential, edit); break;
    case CREDENTIAL_DISABLE: credential->disabled = true; break;
    case CREDENTIAL_ENABLE: credential->disabled = false; break;
    case CREDENTIAL_REMOVE: rewrite->users--; return;
    case CREDENTIAL_ADD: break;
    }
    credential_write(credential, rewrite->out);
}

static int line_rewrite(struct rewrite *rewrite, struct bytes line, struct err *err)
{
    struct credential credential;
    rewrite->line++;
    int rc = credential_parse(line, &credential, err);
    if (rc == GW_ENOENT) {
        rc = 0;
        buffer_add_bytes(rewrite->out, line);
        buffer_u8(rewrite->out, '\n');
    } else if (rc) {
        err_wrap(err, rc, "%s:%zu", rewrite->path, rewrite->line);
    } else {
        rewrite->users++;
        if (bytes_equal(credential.name, rewrite->edit->name)) {
            change(rewrite, &credential);
        } else {
            buffer_add_bytes(rewrite->out, line);
            buffer_u8(rewrite->out, '\n');
        }
    }
    credential_fini(&credential);
    return rc;
}

static int text_rewrite(struct rewrite *rewrite, struct bytes text, struct err *err)
{
    const struct credential_edit *edit = rewrite->edit;
    struct password made;
    struct bytes line;
    int rc = 0;
    if (edit->change == CREDENTIAL_ADD || edit->change == CREDENTIAL_HASH)
        rc = password_parse(edit->hash, &made, err);
    while (rc == 0 && credential_line(&text, &line))
        rc = line_rewrite(rewrite, line, err);
    if (rc)
        return rc;
    if (edit->change == CREDENTIAL_ADD) {
        if (rewrite->found)
            return err_set(err, GW_EEXIST, "%s: that user is there already", rewrite->path);
        struct credential fresh = {.name = edit->name, .hash = edit->hash};
        bind(&fresh, edit);
        credential_write(&fresh, rewrite->out);
        credential_fini(&fresh);
        rewrite->users++;
    } else if (!rewrite->found) {
        return err_set(err, GW_ENOENT, "%s: there is no such user", rewrite->path);
    }
    if (rewrite->users == 0 && !edit->may_be_last)
        return err_set(err, GW_EINVAL,
                       "%s: that is its last user, and a gateway refuses a file without users: "
                       "disable him, or take the vendor out of the configuration first",
                       rewrite->path);
    return 0;
}

/* ---- putting it in place ---- */

/* Who may read it is as before; a new file belongs to whom its folder does, so that what root makes for
 * the gateway's user can be read by him. */
static int rights_set(int fd, const char *path, const char *folder)
{
    struct stat was;
    bool fresh = stat(path, &was) != 0;
    if (fresh && stat(folder, &was) != 0)
        return -errno;
    int owned = fchown(fd, was.st_uid, was.st_gid) == 0 ? 0 : -errno;
    if (owned < 0 && fresh)
        owned = 0; /* it stays ours */
    mode_t mode = fresh ? MODE_NEW : was.st_mode & 0777;
    return owned < 0 ? owned : fchmod(fd, mode) == 0 ? 0 : -errno;
}

static int beside_write(const struct disk *disk, const char *path, const char *folder,
                        const char *beside, struct bytes text)
{
    int rc = disk->unlink(disk, beside); /* of one that was killed: the lock is ours */
    if (rc < 0 && rc != -ENOENT)
        return rc;
    int fd = disk->open(disk, beside, O_WRONLY | O_CREAT | O_EXCL);
    if (fd < 0)
        return fd;
    rc = disk_write_all(disk, fd, text, 0);
    if (rc == 0)
        rc = rights_set(fd, path, folder);
    if (rc == 0)
        rc = disk->datasync(disk, fd);
    int closed = disk->close(disk, fd);
    return rc ? rc : closed;
}

static int text_put(const struct disk *disk, const char *path, const char *folder,
                    struct bytes text)
{
    const char *name = strrchr(path, '/') + 1;
    char *beside = mem_printf("%s/.%s.new", folder, name);
    int rc = beside_write(disk, path, folder, beside, text);
    if (rc == 0)
        rc = disk->rename(disk, beside, path);
    if (rc == 0)
        rc = disk->sync_dir(disk, folder);
    else
        disk->unlink(disk, beside);
    free(beside);
    return rc;
}

static int file_drop(const struct disk *disk, const char *path, const char *folder)
{
    int rc = disk->unlink(disk, path);
    return rc ? rc : disk->sync_dir(disk, folder);
}

/* The folder, because the file itself is replaced. */
static int folder_lock(const struct disk *disk, const char *folder, int *fd)
{
    *fd = disk->open(disk, folder, O_RDONLY | O_DIRECTORY);
    int rc = *fd < 0 ? *fd : -EWOULDBLOCK;
    for (int i = 0; rc == -EWOULDBLOCK && i < LOCK_TRIES; i++) {
        if (i)
            nanosleep(&(struct timespec){.tv_nsec = LOCK_WAIT_NS}, NULL);
        rc = disk->lock(disk, *fd);
    }
    if (rc < 0 && *fd >= 0)
        disk->close(disk, *fd);
    return rc;
}

/* The file itself, where links lead; the name as given when it is not there yet. */
static char *real_path(const char *path)
{
    char real[PATH_MAX];
    if (realpath(path, real))
        return mem_strdup(real);
    const char *slash = strrchr(path, '/');
    char *folder = slash ? bytes_strdup(bytes_of(path, (size_t)(slash - path))) : mem_strdup(".");
    const char *name = slash ? slash + 1 : path;
    char *out = realpath(*folder ? folder : "/", real) ? mem_printf("%s/%s", real, name) : NULL;
    free(folder);
    return out;
}

static int edit_locked(const struct disk *disk, const char *path, const char *folder,
                       const struct credential_edit *edit, struct err *err)
{
    struct buffer before = {0}, after = {0};
    struct rewrite rewrite = {.path = path, .edit = edit, .out = &after};
    int rc = credential_file_read(disk, path, &before, err);
    if (rc == GW_ENOENT && edit->change == CREDENTIAL_ADD)
        rc = 0;
    if (rc == 0)
        rc = text_rewrite(&rewrite, buffer_bytes(&before), err);
    if (rc == 0) {
        rc = rewrite.users ? text_put(disk, path, folder, buffer_bytes(&after))
                           : file_drop(disk, path, folder);
        if (rc < 0)
            rc = err_set(err, GW_EIO, "%s: cannot be changed: %s", path, strerror(-rc));
    }
    secret_fini(&before);
    secret_fini(&after);
    return rc;
}

int credential_file_edit(const struct disk *disk, const char *path,
                         const struct credential_edit *edit, struct err *err)
{
    int fd;
    char *real = real_path(path);
    if (real == NULL)
        return err_set(err, GW_EINVAL, "%s: its folder cannot be found: %s", path, strerror(errno));
    char *folder = bytes_strdup(bytes_of(real, (size_t)(strrchr(real, '/') - real)));
    const char *place = *folder ? folder : "/";
    int rc = folder_lock(disk, place, &fd);
    if (rc < 0) {
        rc = err_set(err, rc == -EWOULDBLOCK ? GW_ELOCKED : GW_EIO, "%s: cannot be locked: %s",
                     place, strerror(-rc));
    } else {
        rc = edit_locked(disk, real, place, edit, err);
        disk->close(disk, fd);
    }
    free(folder);
    free(real);
    return rc;
}
