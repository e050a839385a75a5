/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of readings that one message gave. One thread.
 */
#include "model/reading.h"

#include <stdlib.h>

void readings_init(struct readings *readings, size_t count_max)
{
    *readings = (struct readings){.count_max = count_max};
}

void readings_fini(struct readings *readings)
{
    if (readings == NULL)
        return;
    arena_fini(&readings->arena);
    free(readings->items);
    *readings = (struct readings){0};
}

void readings_reset(struct readings *readings)
{
    arena_reset(&readings->arena);
    readings->count = 0;
}

struct reading *readings_add(struct readings *readings)
{
    if (readings->count == readings->count_max)
        return NULL;
    if (readings->count == readings->capacity) {
        readings->capacity = readings->capacity ? readings->capacity * 2 : 16;
        readings->items =
            mem_realloc(readings->items, readings->capacity * sizeof *readings->items);
    }
    struct reading *reading = &readings->items[readings->count++];
    *reading = (struct reading){0};
    return reading;
}
