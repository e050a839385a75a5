/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder of its own for a test, and its removal with all that is in it.
 */
#ifndef TIDEGATE_TESTS_TEMP_DIR_H
#define TIDEGATE_TESTS_TEMP_DIR_H

struct temp_dir {
    char path[256];
};
/* In TMPDIR, /dev/shm or /tmp. Aborts when it cannot be made. */
void temp_dir_make(struct temp_dir *dir);
/* With all that is in it, folders too. */
void temp_dir_remove(struct temp_dir *dir);
/* Only what is in it. */
void temp_dir_clear(const char *path);

#endif
