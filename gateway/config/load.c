/* SPDX-License-Identifier: Apache-2.0
 *
 * Small helpers of the configuration's readers. See load.h.
 */
#include "config/load.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/zone.h"

const struct yaml_node *load_at(const struct yaml_node *entry, const char *key)
{
    const struct yaml_node *node = yaml_find(entry, key);
    return node ? node : entry;
}

void load_check_zone(struct load *load, const struct yaml_node *at, const char *name)
{
    struct zone *zone;
    struct err err;
    if (name == NULL)
        return;
    if (zone_new(name, &zone, &err))
        yaml_error(&load->yaml, at, "timezone: %s", err.text);
    else
        zone_free(zone);
}

char *load_path(const struct load *load, const char *path)
{
    if (path[0] == '/' || load->folder == NULL)
        return mem_strdup(path);
    return mem_printf("%s%s", load->folder, path);
}

int load_file(const struct disk *disk, const char *path, struct buffer *out, struct err *err)
{
    char real[PATH_MAX];
    /* disk->open refuses symbolic links, and mounted configurations are symbolic links. */
    if (realpath(path, real) == NULL)
        return err_set(err, GW_EINVAL, "cannot be read: %s", strerror(errno));
    struct disk_stat stat;
    int rc = disk->stat(disk, real, &stat);
    if (rc == 0 && !stat.regular)
        return err_set(err, GW_EINVAL, "cannot be read: it is no regular file");
    if (rc == 0)
        rc = disk_read_file(disk, real, CONFIG_FILE_BYTES_MAX, out);
    if (rc == -EFBIG)
        return err_set(err, GW_EINVAL, "is larger than %d MiB, which no configuration is",
                       CONFIG_FILE_BYTES_MAX >> 20);
    return rc < 0 ? err_set(err, GW_EINVAL, "cannot be read: %s", strerror(-rc)) : 0;
}

void load_check_private(struct load *load, const struct yaml_node *at, const char *path)
{
    struct stat stat_buffer;
    if (stat(path, &stat_buffer) != 0)
        return; /* reading it gives the error */
    if (stat_buffer.st_mode & (S_IRWXO | S_IWGRP))
        yaml_error(&load->yaml, at,
                   "%s: others may read it or its group may write it (mode %04o): chmod 640 %s",
                   path, (unsigned)(stat_buffer.st_mode & 07777), path);
}

void load_digest_bytes(struct load *load, struct bytes in)
{
    uint8_t size[8];
    store_u64_le(size, in.size);
    XXH3_64bits_update(load->digest, size, sizeof size);
    if (in.size)
        XXH3_64bits_update(load->digest, in.data, in.size);
}

void load_digest_text(struct load *load, const char *text)
{
    /* Not there is something else than empty. */
    load_digest_number(load, text != NULL);
    load_digest_bytes(load, bytes_text(text ? text : ""));
}

void load_digest_number(struct load *load, int64_t number)
{
    uint8_t bytes[8];
    store_u64_le(bytes, (uint64_t)number);
    XXH3_64bits_update(load->digest, bytes, sizeof bytes);
}

void *load_grow(void *array_pointer, size_t *count, size_t item_size)
{
    void *array;
    memcpy(&array, array_pointer, sizeof array);
    array = mem_realloc(array, (*count + 1) * item_size);
    memcpy(array_pointer, &array, sizeof array);
    void *item = (char *)array + *count * item_size;
    memset(item, 0, item_size);
    *count += 1;
    return item;
}

static bool letter_or_digit(char letter)
{
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9');
}

bool load_name_valid(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > 64 || !letter_or_digit(name[0]))
        return false;
    for (size_t i = 0; i < size; i++)
        if (!letter_or_digit(name[i]) && strchr("_.-", name[i]) == NULL)
            return false;
    return true;
}
