/* SPDX-License-Identifier: Apache-2.0
 *
 * What a loss of power leaves: for every file the content that is sure and the changes that are not,
 * for the folder the names that are sure and the changes that are not. Under the fault disk's lock.
 */
#include "lib/fault_power.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "lib/temp_dir.h"

enum { FDS_MAX = 4096, SECTOR = 512 };

struct change {
    struct change *next;
    bool is_size, may_shrink;
    bool doomed;     /* a sync that should have saved it failed: no later sync does */
    uint64_t offset; /* or the size */
    struct buffer data;
};

struct file {
    struct file *next; /* of all, for freeing */
    struct buffer sure;
    struct change *changes, **changes_end;
};

struct name {
    char *path;
    struct file *file;
};

struct names {
    struct name *rows;
    size_t count;
};

/* A change to the folder: `path` names `file` (null: nothing), and `from` (or null) is gone. */
struct name_change {
    struct name_change *next;
    char *path, *from;
    struct file *file;
};

struct fault_power {
    char *dir;
    struct file *files;
    struct file *by_fd[FDS_MAX];
    struct names now, sure;
    struct name_change *changes, **changes_end;
    uint64_t random;
};

/* ---- names ---- */

static struct name *names_find(const struct names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->rows[i].path, path) == 0)
            return &names->rows[i];
    return NULL;
}

static void names_set(struct names *names, const char *path, struct file *file)
{
    struct name *row = names_find(names, path);
    if (row && file) {
        row->file = file;
    } else if (row) {
        free(row->path);
        *row = names->rows[--names->count];
    } else if (file) {
        names->rows = mem_realloc(names->rows, (names->count + 1) * sizeof *names->rows);
        names->rows[names->count++] = (struct name){mem_strdup(path), file};
    }
}

static void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->rows[i].path);
    free(names->rows);
    *names = (struct names){0};
}

static void apply_name(struct names *names, const struct name_change *change)
{
    if (change->from)
        names_set(names, change->from, NULL);
    names_set(names, change->path, change->file);
}

static void free_name_change(struct name_change *change)
{
    free(change->path);
    free(change->from);
    free(change);
}

static bool ours(const struct fault_power *power, const char *path)
{
    size_t size = strlen(power->dir);
    return strncmp(path, power->dir, size) == 0 && path[size] == '/' &&
           strchr(path + size + 1, '/') == NULL;
}

static void add_name_change(struct fault_power *power, const char *path, const char *from,
                            struct file *file)
{
    struct name_change *change = mem_zalloc(sizeof *change);
    change->path = mem_strdup(path);
    change->from = from ? mem_strdup(from) : NULL;
    change->file = file;
    apply_name(&power->now, change);
    *power->changes_end = change;
    power->changes_end = &change->next;
}

/* ---- files ---- */

static struct file *new_file(struct fault_power *power)
{
    struct file *file = mem_zalloc(sizeof *file);
    file->changes_end = &file->changes;
    file->next = power->files;
    power->files = file;
    return file;
}

static void free_change(struct change *change)
{
    buffer_fini(&change->data);
    free(change);
}

static void add_change(struct file *file, bool is_size, bool may_shrink, uint64_t offset,
                       struct bytes data)
{
    struct change *change = mem_zalloc(sizeof *change);
    change->is_size = is_size;
    change->may_shrink = may_shrink;
    change->offset = offset;
    buffer_add_bytes(&change->data, data);
    *file->changes_end = change;
    file->changes_end = &change->next;
}

static void set_size(struct buffer *content, uint64_t size)
{
    if (size > content->size)
        memset(buffer_reserve(content, (size_t)size - content->size), 0,
               (size_t)size - content->size);
    content->size = (size_t)size;
}

static void put(struct buffer *content, uint64_t offset, struct bytes data)
{
    if (offset + data.size > content->size)
        set_size(content, offset + data.size);
    if (data.size)
        memcpy(content->data + offset, data.data, data.size);
}

static void apply_change(struct buffer *content, const struct change *change)
{
    if (!change->is_size)
        put(content, change->offset, buffer_bytes(&change->data));
    else if (change->may_shrink || change->offset > content->size)
        set_size(content, change->offset);
}

/* ---- what the fault disk tells ---- */

struct fault_power *fault_power_new(const char *dir)
{
    struct fault_power *power = mem_zalloc(sizeof *power);
    power->dir = mem_strdup(dir);
    power->changes_end = &power->changes;
    struct disk_names names;
    gw_assert(disk_real.list(&disk_real, dir, &names) == 0);
    for (size_t i = 0; i < names.count; i++) {
        char *path = mem_printf("%s/%s", dir, names.names[i]);
        struct file *file = new_file(power);
        gw_assert(disk_read_file(&disk_real, path, 1 << 30, &file->sure) == 0);
        names_set(&power->now, path, file);
        names_set(&power->sure, path, file);
        free(path);
    }
    disk_names_fini(&names);
    return power;
}

void fault_power_free(struct fault_power *power)
{
    if (power == NULL)
        return;
    while (power->files) {
        struct file *file = power->files;
        power->files = file->next;
        while (file->changes) {
            struct change *change = file->changes;
            file->changes = change->next;
            free_change(change);
        }
        buffer_fini(&file->sure);
        free(file);
    }
    while (power->changes) {
        struct name_change *change = power->changes;
        power->changes = change->next;
        free_name_change(change);
    }
    names_fini(&power->now);
    names_fini(&power->sure);
    free(power->dir);
    free(power);
}

void fault_power_open(struct fault_power *power, const char *path, int flags, int fd)
{
    if (power == NULL || !ours(power, path) || fd >= FDS_MAX)
        return;
    struct name *name = names_find(&power->now, path);
    if (name == NULL) {
        gw_assert(flags & O_CREAT);
        add_name_change(power, path, NULL, new_file(power));
        name = names_find(&power->now, path);
    }
    power->by_fd[fd] = name->file;
    if (flags & O_TRUNC)
        add_change(name->file, true, true, 0, (struct bytes){0});
}

static struct file *file_of(struct fault_power *power, int fd)
{
    return power && fd < FDS_MAX ? power->by_fd[fd] : NULL;
}

void fault_power_close(struct fault_power *power, int fd)
{
    if (file_of(power, fd))
        power->by_fd[fd] = NULL;
}

void fault_power_write(struct fault_power *power, int fd, struct bytes in, uint64_t offset)
{
    struct file *file = file_of(power, fd);
    if (file)
        add_change(file, false, false, offset, in);
}

void fault_power_size(struct fault_power *power, int fd, uint64_t size, bool may_shrink)
{
    struct file *file = file_of(power, fd);
    if (file)
        add_change(file, true, may_shrink, size, (struct bytes){0});
}

void fault_power_sync(struct fault_power *power, int fd, bool ok)
{
    struct file *file = file_of(power, fd);
    if (file == NULL)
        return;
    struct change **at = &file->changes;
    while (*at) {
        struct change *change = *at;
        change->doomed |= !ok;
        if (change->doomed) {
            at = &change->next;
            continue;
        }
        apply_change(&file->sure, change);
        *at = change->next;
        free_change(change);
    }
    file->changes_end = at;
}

void fault_power_rename(struct fault_power *power, const char *from, const char *to)
{
    if (power == NULL || !ours(power, from))
        return;
    add_name_change(power, to, from, names_find(&power->now, from)->file);
}

void fault_power_unlink(struct fault_power *power, const char *path)
{
    if (power && ours(power, path))
        add_name_change(power, path, NULL, NULL);
}

void fault_power_sync_dir(struct fault_power *power, const char *path)
{
    if (power == NULL || strcmp(path, power->dir) != 0)
        return;
    while (power->changes) {
        struct name_change *change = power->changes;
        power->changes = change->next;
        apply_name(&power->sure, change);
        free_name_change(change);
    }
    power->changes_end = &power->changes;
}

uint64_t fault_power_unsure(const struct fault_power *power)
{
    uint64_t count = 0;
    for (size_t i = 0; i < power->now.count; i++) {
        const struct name *name = &power->now.rows[i];
        size_t size = strlen(name->path);
        if (size < 4 || strcmp(name->path + size - 4, ".log") != 0)
            continue;
        for (const struct change *change = name->file->changes; change; change = change->next)
            count += !change->is_size && !change->doomed;
    }
    return count;
}

/* ---- the loss ---- */

/* xorshift: the same states for the same seed everywhere. */
static uint64_t draw(struct fault_power *power, uint64_t below)
{
    power->random ^= power->random << 13;
    power->random ^= power->random >> 7;
    power->random ^= power->random << 17;
    return power->random % below;
}

/* All of it, none of it, or some of its sectors. */
static void maybe_apply(struct fault_power *power, struct buffer *content,
                        const struct change *change, uint64_t seed)
{
    uint64_t choice = seed == 0 ? 0 : seed == 1 ? 1 : draw(power, 3);
    if (choice == 0)
        return;
    if (choice == 1 || change->is_size) {
        apply_change(content, change);
        return;
    }
    for (size_t at = 0; at < change->data.size; at += SECTOR) {
        size_t size = change->data.size - at < SECTOR ? change->data.size - at : SECTOR;
        if (draw(power, 2))
            put(content, change->offset + at, bytes_of(change->data.data + at, size));
    }
}

static void write_back(struct fault_power *power, const struct name *name, uint64_t seed)
{
    struct buffer content = {0};
    buffer_add_bytes(&content, buffer_bytes(&name->file->sure));
    for (const struct change *change = name->file->changes; change; change = change->next)
        maybe_apply(power, &content, change, seed);
    int fd = disk_real.open(&disk_real, name->path, O_WRONLY | O_CREAT | O_TRUNC);
    gw_assert(fd >= 0 && disk_write_all(&disk_real, fd, buffer_bytes(&content), 0) == 0);
    disk_real.close(&disk_real, fd);
    buffer_fini(&content);
}

void fault_power_lose(struct fault_power *power, uint64_t seed)
{
    power->random = seed * 0x9e3779b97f4a7c15 + 0x632be59bd9b4e019;
    temp_dir_clear(power->dir);
    size_t pending = 0;
    for (const struct name_change *change = power->changes; change; change = change->next)
        pending++;
    uint64_t keep = seed == 0 ? 0 : seed == 1 ? pending : draw(power, pending + 1);
    for (const struct name_change *change = power->changes; change && keep; change = change->next) {
        apply_name(&power->sure, change);
        keep--;
    }
    for (size_t i = 0; i < power->sure.count; i++)
        write_back(power, &power->sure.rows[i], seed);
}
