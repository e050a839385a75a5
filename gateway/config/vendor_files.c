/* SPDX-License-Identifier: Apache-2.0
 *
 * See vendor_files.h.
 */
#include "config/vendor_files.h"

#include <errno.h>
#include <stdlib.h>

#include "config/load.h"

/* Takes both texts over. */
static void add(struct vendor_files *files, char *vendor, char *path)
{
    files->files = mem_realloc(files->files, (files->count + 1) * sizeof *files->files);
    files->files[files->count++] = (struct vendor_file){vendor, path};
}

void vendor_files_fini(struct vendor_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->files[i].vendor);
        free(files->files[i].path);
    }
    free(files->files);
    free(files->data);
    free(files->audit);
    *files = (struct vendor_files){0};
}

const struct vendor_file *vendor_files_find(const struct vendor_files *files, const char *vendor)
{
    for (size_t i = 0; i < files->count; i++)
        if (strcmp(files->files[i].vendor, vendor) == 0)
            return &files->files[i];
    return NULL;
}

/* ---- of a configuration ---- */

static void entry_read(const char *config_path, const struct yaml_node *entry,
                       struct vendor_files *out)
{
    if (entry->kind != YAML_MAPPING)
        return;
    const struct yaml_node *name = yaml_find(entry, "name");
    const struct yaml_node *passwords = yaml_find(entry, "passwords");
    const char *slash = strrchr(config_path, '/');
    char *path = NULL;
    if (yaml_is_null(name) || name->kind != YAML_SCALAR)
        return;
    if (!yaml_is_null(passwords) && passwords->kind == YAML_SCALAR)
        path = passwords->text[0] == '/' || slash == NULL
                   ? mem_strdup(passwords->text)
                   : mem_printf("%.*s%s", (int)(slash - config_path) + 1, config_path,
                                passwords->text);
    add(out, mem_strdup(name->text), path);
}

static void document_read(const char *path, const struct yaml_node *root, struct vendor_files *out)
{
    const struct yaml_node *list = yaml_find(root, "vendors");
    const struct yaml_node *data = yaml_find(root, "data");
    const struct yaml_node *audit = yaml_find(root, "audit");
    const struct yaml_node *dir =
        audit && audit->kind == YAML_MAPPING ? yaml_find(audit, "dir") : NULL;
    if (!yaml_is_null(data) && data->kind == YAML_SCALAR)
        out->data = mem_strdup(data->text);
    if (!yaml_is_null(dir) && dir->kind == YAML_SCALAR)
        out->audit = mem_strdup(dir->text);
    if (list == NULL || list->kind != YAML_SEQUENCE)
        return;
    YAML_EACH(entry, list)
    entry_read(path, entry, out);
}

int vendor_files_of_config(const char *path, const struct disk *disk, struct vendor_files *out,
                           struct buffer *errors)
{
    struct buffer text = {0};
    struct yaml yaml = {0};
    struct err err;
    *out = (struct vendor_files){0};
    int rc = load_file(disk, path, &text, &err);
    if (rc)
        buffer_printf(errors, "%s: %s\n", path, err.text);
    else
        rc = yaml_parse(&yaml, buffer_bytes(&text), path, errors);
    if (rc == 0 && yaml.root && yaml.root->kind == YAML_MAPPING)
        document_read(path, yaml.root, out);
    yaml_fini(&yaml);
    buffer_fini(&text);
    return rc;
}

/* ---- of a folder ---- */

char *vendor_folder(const char *data)
{
    return mem_printf("%s/vendors", data);
}

char *vendor_file_in(const char *data, const char *vendor)
{
    return mem_printf("%s/vendors/%s", data, vendor);
}

bool vendor_name_valid(const char *vendor)
{
    return load_name_valid(vendor);
}

/* What is no vendor's name (a file of an edit that was killed, an editor's) is nobody's. */
int vendor_files_of_data(const char *data, const struct disk *disk, struct vendor_files *out,
                         struct err *err)
{
    struct disk_names names = {0};
    *out = (struct vendor_files){0};
    char *folder = vendor_folder(data);
    int rc = disk->list(disk, folder, &names);
    if (rc == -ENOENT)
        rc = 0;
    else if (rc < 0)
        rc = err_set(err, GW_EINVAL, "%s: cannot be read: %s", folder, strerror(-rc));
    for (size_t i = 0; i < names.count && rc == 0; i++)
        if (load_name_valid(names.names[i]))
            add(out, mem_strdup(names.names[i]), vendor_file_in(data, names.names[i]));
    disk_names_fini(&names);
    free(folder);
    return rc;
}
