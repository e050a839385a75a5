/* SPDX-License-Identifier: Apache-2.0
 *
 * The edit distance behind "did you mean". Any thread: words are short, everything is on the stack.
 */
#include "base/nearest.h"

#include <stdint.h>
#include <string.h>

enum { WORD_MAX = 64 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: the last three rows of the table are enough. */
size_t nearest_distance(const char *a, const char *b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t a_size = strlen(a), b_size = strlen(b);
    if (a_size > WORD_MAX || b_size > WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t cost = a[i - 1] != b[j - 1];
            row[j] = smaller(smaller(above[j] + 1, row[j - 1] + 1), above[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = smaller(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a_size % 3][b_size];
}

size_t nearest_score(const char *name, const char *wrong)
{
    size_t size = strlen(wrong);
    return size >= 4 && strncmp(name, wrong, size) == 0 ? 1 : nearest_distance(name, wrong);
}

int nearest_plausible(const char *wrong, size_t distance)
{
    size_t allowed = (strlen(wrong) + 2) / 3;
    return distance != SIZE_MAX && distance <= (allowed < 3 ? allowed : 3);
}

const char *nearest_name(const char *const *names, const char *wrong)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    for (; *names; names++) {
        size_t distance = nearest_score(*names, wrong);
        if (distance < best_distance) {
            best_distance = distance;
            best = *names;
        }
    }
    return best && nearest_plausible(wrong, best_distance) ? best : NULL;
}
