/* SPDX-License-Identifier: Apache-2.0
 *
 * See cursors.h. Separate from the lanes, which know only their own.
 */
#include "cursors.h"

#include <errno.h>
#include <stdlib.h>

static const char cursor_end[] = ".cursor";

/* "NAME" of "NAME.cursor", or null; the caller frees it. What no sink can be named is not ours, and
 * must not get into a label or onto a terminal. */
static char *sink_name(const char *file)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t size = strlen(file), end = sizeof cursor_end - 1;
    if (size <= end || strcmp(file + size - end, cursor_end) != 0 || strspn(file, letters) != size)
        return NULL;
    return bytes_strdup(bytes_of(file, size - end));
}

static void file_read(const struct disk *disk, const char *folder, char *name,
                      struct cursor_file *out)
{
    struct disk_stat stat;
    struct err err;
    *out = (struct cursor_file){.name = name};
    out->path = mem_printf("%s/%s%s", folder, name, cursor_end);
    out->missed_path = missed_path(out->path);
    out->readable = cursor_peek(disk, out->path, &out->state, &out->identity, &out->err) == 0;
    if (disk->stat(disk, out->path, &stat) == 0)
        out->modified_ms = stat.modified_ms;
    int rc = missed_load(disk, out->missed_path, &out->missed, &out->missed_count, &err);
    if (rc && rc != GW_ENOENT && out->readable) {
        out->readable = false;
        out->err = err;
    }
}

int cursor_list_read(const struct disk *disk, const char *folder, struct cursor_list *out,
                     struct err *err)
{
    struct disk_names names;
    *out = (struct cursor_list){0};
    int rc = disk->list(disk, folder, &names);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return err_set(err, GW_EIO, "%s: %s", folder, strerror(-rc));
    out->files = mem_zalloc((names.count + 1) * sizeof *out->files);
    for (size_t i = 0; i < names.count; i++) {
        char *name = sink_name(names.names[i]);
        if (name)
            file_read(disk, folder, name, &out->files[out->count++]);
    }
    disk_names_fini(&names);
    return 0;
}

void cursor_list_fini(struct cursor_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->files[i].name);
        free(list->files[i].path);
        free(list->files[i].missed_path);
        free(list->files[i].missed);
    }
    free(list->files);
    *list = (struct cursor_list){0};
}

const struct cursor_file *cursor_list_find(const struct cursor_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->files[i].name, name) == 0)
            return &list->files[i];
    return NULL;
}

/* ---- what one holds ---- */

/* Segments with something from `from` on and nothing from `to` on. */
struct held {
    uint64_t from, to, bytes;
};

static void on_segment(void *arg, const struct journal_segment_info *info)
{
    struct held *held = arg;
    if (info->sealed && info->next_seq > held->from && info->next_seq <= held->to)
        held->bytes += info->bytes_allocated;
}

uint64_t cursor_list_held(const struct cursor_list *list, const struct cursor_file *file,
                          struct journal *log)
{
    struct held held = {.from = file->state.settled_seq, .to = UINT64_MAX};
    struct identity ours = journal_identity(log);
    if (!file->readable || file->identity.bits != ours.bits)
        return 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct cursor_file *other = &list->files[i];
        if (other != file && other->readable && other->identity.bits == ours.bits &&
            other->state.settled_seq < held.to)
            held.to = other->state.settled_seq;
    }
    journal_segments(log, on_segment, &held);
    return held.bytes;
}

uint64_t cursor_file_missed(const struct cursor_file *file)
{
    uint64_t count = 0;
    for (size_t i = 0; i < file->missed_count; i++)
        count += file->missed[i].last_seq - file->missed[i].first_seq + 1;
    return count;
}
