/* SPDX-License-Identifier: Apache-2.0
 *
 * Allocation for sizes that our own configuration bounds. Running out of memory there cannot be
 * survived in a useful way: the process says so and aborts, which is the same as kill -9, and
 * everything acknowledged is on disk. Sizes that a peer chooses are bounded before they come here.
 */
#ifndef TIDEGATE_BASE_MEM_H
#define TIDEGATE_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *old, size_t size) __attribute__((returns_nonnull));
char *mem_strdup(const char *text) __attribute__((malloc, returns_nonnull));
/* printf into new memory; the caller frees it. */
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* Bugs are asserted, in release too. */
#define gw_assert(condition)                                                                       \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            gw_assert_failed(#condition, __FILE__, __LINE__);                                      \
    } while (0)
_Noreturn void gw_assert_failed(const char *condition, const char *file, int line);

#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define array_count(array) (sizeof(array) / sizeof((array)[0]))

#endif
