/* SPDX-License-Identifier: Apache-2.0
 *
 * See folder.h.
 */
#include "cli/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const struct folder_log folder_logs[3] = {
    {"raw", JOURNAL_RAW},
    {"readings", JOURNAL_READINGS},
    {"dead", JOURNAL_DEAD},
};
const struct folder_log folder_refused = {"refused", JOURNAL_DEAD};

int folder_open(const char *data, const struct folder_log *log, struct journal **out,
                struct err *err)
{
    struct disk_stat stat;
    struct journal_recovery recovery;
    char *dir = mem_printf("%s/journal/%s", data, log->name);
    struct journal_options options = {
        .disk = &disk_real,
        .dir = dir,
        .kind = log->kind,
        .segment_bytes = 64 << 20, /* of new segments: there will be none */
        .read_only = true,
    };
    int rc = disk_real.stat(&disk_real, dir, &stat);
    if (rc < 0 || !stat.directory)
        rc = err_set(err, GW_ENOENT,
                     "%s: no journal there; --data names the folder of `tidegate run`", dir);
    else
        rc = journal_open(out, &options, &recovery, err);
    free(dir);
    return rc;
}

int folder_lock(const char *data, int *fd, struct err *err)
{
    char *path = mem_printf("%s/journal/raw/lock", data);
    int rc = *fd = disk_real.open(&disk_real, path, O_RDWR);
    if (rc >= 0 && (rc = disk_real.lock(&disk_real, *fd)) < 0) {
        disk_real.close(&disk_real, *fd);
        *fd = -1;
    }
    if (rc == -EWOULDBLOCK)
        rc = err_set(err, GW_ELOCKED, "%s: a gateway runs on this folder", path);
    else if (rc < 0)
        rc = err_set(err, GW_EIO, "%s: %s", path, strerror(-rc));
    free(path);
    return rc < 0 ? rc : 0;
}

int folder_each(struct journal *journal, uint64_t from, struct folder_walk *walk, struct err *err)
{
    struct journal_reader *reader;
    struct extent extent;
    int rc = journal_reader_new(journal, from, &reader, err);
    if (rc)
        return rc;
    while (!*walk->done && (rc = journal_reader_next(reader, &extent, err)) > 0) {
        if (rc == JOURNAL_EXTENT && walk->extent(walk->arg, &extent) == 0)
            continue;
        if (rc == JOURNAL_DAMAGED && walk->gaps_normal)
            continue; /* told apart from damage only by `journal verify` */
        walk->damaged++;
        fprintf(stderr, "damaged: messages %" PRIu64 " to %" PRIu64 "\n", extent.first_seq,
                extent.first_seq + extent.seq_count - 1);
    }
    journal_reader_free(reader);
    return rc < 0 ? rc : 0;
}
