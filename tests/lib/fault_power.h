/* SPDX-License-Identifier: Apache-2.0
 *
 * The model of power loss, as fault_disk.c feeds it. Under the lock of the fault disk.
 */
#ifndef TIDEGATE_TESTS_FAULT_POWER_H
#define TIDEGATE_TESTS_FAULT_POWER_H

#include "base/disk.h"

struct fault_power;
struct fault_power *fault_power_new(const char *dir);
void fault_power_free(struct fault_power *power); /* accepts null */
void fault_power_open(struct fault_power *power, const char *path, int flags, int fd);
void fault_power_close(struct fault_power *power, int fd);
void fault_power_write(struct fault_power *power, int fd, struct bytes in, uint64_t offset);
void fault_power_size(struct fault_power *power, int fd, uint64_t size, bool may_shrink);
/* `ok`: it returned 0. */
void fault_power_sync(struct fault_power *power, int fd, bool ok);
void fault_power_rename(struct fault_power *power, const char *from, const char *to);
void fault_power_unlink(struct fault_power *power, const char *path);
void fault_power_sync_dir(struct fault_power *power, const char *path);
uint64_t fault_power_unsure(const struct fault_power *power);
void fault_power_lose(struct fault_power *power, uint64_t seed);

#endif
