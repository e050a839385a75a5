/* SPDX-License-Identifier: Apache-2.0
 *
 * The growing buffer: the part of bytes.h that is not worth inlining.
 */
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buffer_fini(struct buffer *buffer)
{
    if (buffer == NULL)
        return;
    free(buffer->data);
    *buffer = (struct buffer){0};
}

uint8_t *buffer_reserve(struct buffer *buffer, size_t more)
{
    gw_assert(more <= SIZE_MAX / 4 && buffer->size <= SIZE_MAX / 4);
    size_t need = buffer->size + more;
    if (need > buffer->capacity || !buffer->data) { /* never null, also for nothing */
        size_t capacity = buffer->capacity ? buffer->capacity * 2 : 256;
        while (capacity < need)
            capacity *= 2;
        buffer->data = mem_realloc(buffer->data, capacity);
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->size;
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    gw_assert(length >= 0);
    vsnprintf((char *)buffer_reserve(buffer, (size_t)length + 1), (size_t)length + 1, format, again);
    va_end(again);
    buffer->size += (size_t)length;
}
