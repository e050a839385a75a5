/* SPDX-License-Identifier: Apache-2.0
 *
 * Which credential file is whose, for those who change them (`tidegate vendor`). The configuration is
 * looked at no further than that, because it is refused as a whole while a file that it names is not
 * there yet. One thread.
 */
#ifndef TIDEGATE_CONFIG_VENDOR_FILES_H
#define TIDEGATE_CONFIG_VENDOR_FILES_H

#include "base/bytes.h"
#include "base/disk.h"
#include "base/err.h"

struct vendor_file {
    char *vendor;
    char *path; /* null: the configuration names none */
};

struct vendor_files {
    struct vendor_file *files;
    size_t count;
    char *data;  /* the configuration's data folder; null: it names none */
    char *audit; /* likewise of the audit log; null: in the data folder */
};

/* Of a configuration: GW_EINVAL with errors as config_load gives them. */
int vendor_files_of_config(const char *path, const struct disk *disk, struct vendor_files *out,
                           struct buffer *errors);
/* Of a gateway without one: each file DATA/vendors/VENDOR. No folder: none. */
int vendor_files_of_data(const char *data, const struct disk *disk, struct vendor_files *out,
                         struct err *err);
/* DATA/vendors, and a file there; the caller frees. */
char *vendor_folder(const char *data);
char *vendor_file_in(const char *data, const char *vendor);
bool vendor_name_valid(const char *vendor);
/* Null: not there. */
const struct vendor_file *vendor_files_find(const struct vendor_files *files, const char *vendor);
void vendor_files_fini(struct vendor_files *files);

#endif
