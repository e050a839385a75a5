/* SPDX-License-Identifier: Apache-2.0
 *
 * Two sinks of one type tell the same metrics with different labels; Prometheus wants the samples of
 * a metric together. Few metrics: a list of them is searched.
 */
#include "metrics_merge.h"

#include <stdlib.h>

struct family {
    struct bytes name;
    struct buffer text;
};

static struct bytes line_cut(struct bytes *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t size = end ? (size_t)(end - text->data) + 1 : text->size;
    struct bytes line = bytes_of(text->data, size);
    *text = bytes_of(text->data + size, text->size - size);
    return line;
}

/* The metric's name when the line is its "# HELP name ...", else an empty result. */
static struct bytes help_name(struct bytes line)
{
    static const char mark[] = "# HELP ";
    size_t skip = sizeof mark - 1;
    if (line.size <= skip || memcmp(line.data, mark, skip) != 0)
        return bytes_of(line.data, 0);
    const uint8_t *at = line.data + skip;
    const uint8_t *space = memchr(at, ' ', line.size - skip);
    return bytes_of(at, space ? (size_t)(space - at) : 0);
}

static struct family *family_find(struct family *families, size_t count, struct bytes name)
{
    for (size_t i = 0; i < count; i++)
        if (bytes_equal(families[i].name, name))
            return &families[i];
    return NULL;
}

void metrics_merge(const struct bytes *texts, size_t count, struct buffer *out)
{
    struct family *families = NULL;
    size_t family_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct bytes text = texts[i];
        struct family *family = NULL;
        bool fresh = false;
        while (text.size) {
            struct bytes line = line_cut(&text);
            struct bytes name = help_name(line);
            if (name.size) {
                family = family_find(families, family_count, name);
                fresh = family == NULL;
                if (fresh) {
                    families = mem_realloc(families, (family_count + 1) * sizeof *families);
                    family = &families[family_count++];
                    *family = (struct family){.name = name};
                }
            }
            bool comment = line.data[0] == '#';
            if (family && (fresh || !comment))
                buffer_add_bytes(&family->text, line);
        }
    }
    for (size_t i = 0; i < family_count; i++) {
        buffer_add_bytes(out, buffer_bytes(&families[i].text));
        buffer_fini(&families[i].text);
    }
    free(families);
}
