/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference, printed from the rows: a YAML text with every option at its default, so that it can
 * be cut up into a configuration. Entries of lists stand in comments.
 */
#include <inttypes.h>
#include <stdio.h>

#include "config/load.h"

static const struct {
    const char *name;
    uint64_t size;
} size_units[] = {{"PiB", UINT64_C(1) << 50}, {"TiB", UINT64_C(1) << 40}, {"GiB", 1 << 30},
                  {"MiB", 1 << 20},           {"KiB", 1 << 10},           {"", 1}};
static const struct {
    const char *name;
    int64_t ms;
} duration_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

static void bound_print(enum option_type type, int64_t value, struct buffer *out)
{
    size_t i = 0;
    if (type == OPTION_SIZE && value > 0) {
        while (value % (int64_t)size_units[i].size)
            i++;
        buffer_printf(out, "%" PRId64 "%s", value / (int64_t)size_units[i].size,
                      size_units[i].name);
    } else if (type == OPTION_DURATION && value > 0) {
        while (value % duration_units[i].ms)
            i++;
        buffer_printf(out, "%" PRId64 "%s", value / duration_units[i].ms, duration_units[i].name);
    } else {
        buffer_printf(out, "%" PRId64, value);
    }
}

void config_bounds(const struct option *row, struct buffer *out)
{
    if (row->type == OPTION_ADDRESS || (row->min == 0 && row->max == 0))
        return;
    bound_print(row->type, row->min, out);
    buffer_add_text(out, " to ");
    bound_print(row->type, row->max, out);
}

const char *config_type_name(const struct option *row)
{
    static const char *const names[] = {
        [OPTION_BOOL] = "true or false",
        [OPTION_INT] = "number",
        [OPTION_SIZE] = "size",
        [OPTION_DURATION] = "duration",
        [OPTION_STRING] = "text",
        [OPTION_PATH] = "path",
        [OPTION_ADDRESS] = "HOST:PORT",
        [OPTION_ENUM] = "one of",
        [OPTION_MAP] = "mapping of names to values",
    };
    bool none = row->type == OPTION_ADDRESS && row->max == OPTION_ADDRESS_NONE;
    return none ? "HOST:PORT or none" : names[row->type];
}

static void type_print(const struct option *row, struct buffer *out)
{
    struct buffer bounds = {0};
    buffer_add_text(out, config_type_name(row));
    for (size_t i = 0; row->type == OPTION_ENUM && row->names[i]; i++)
        buffer_printf(out, "%s %s", i ? "," : "", row->names[i]);
    config_bounds(row, &bounds);
    if (bounds.size)
        buffer_add_text(out, ", ");
    buffer_add_bytes(out, buffer_bytes(&bounds));
    buffer_fini(&bounds);
}

/* A default that YAML would take for something else stands in quotes. */
static void default_print(const struct option *row, struct buffer *out)
{
    bool quote = row->type == OPTION_ADDRESS || row->def[0] == '\0' || strpbrk(row->def, ":#{}[]");
    buffer_printf(out, quote ? "\"%s\"" : "%s", row->def);
}

static void row_print(const struct option *row, const char *indent, struct buffer *out)
{
    buffer_printf(out, "%s# %s (", indent, row->help ? row->help : "");
    type_print(row, out);
    buffer_add_text(out, ")\n");
    buffer_printf(out, "%s%s%s:", indent, row->def ? "" : "#", row->name);
    if (row->def) {
        buffer_u8(out, ' ');
        default_print(row, out);
    }
    buffer_u8(out, '\n');
}

static void section_print(const struct config_section *section, struct buffer *out)
{
    buffer_printf(out, "\n# %s\n%s:\n", section->help, section->name);
    bool any = false;
    for (const struct option *row = section->rows; row->name; row++) {
        row_print(row, "  ", out);
        any = any || row->def;
    }
    if (!any)
        buffer_add_text(out, "  {}\n");
}

static void list_rows_print(const struct option *rows, struct buffer *out)
{
    for (const struct option *row = rows; row->name; row++)
        row_print(row, "#     ", out);
}

static void list_print(const struct config_list *list, struct buffer *out)
{
    buffer_printf(out, "\n# %s A list; keys of an entry:\n#%s:\n", list->help, list->name);
    list_rows_print(list->rows, out);
    for (const struct config_extra *extra = list->extra; extra && extra->name; extra++)
        buffer_printf(out, "#     # %s (%s)\n#     #%s:\n", extra->help, extra->shape, extra->name);
}

/* What may stand in a route's `options`, or in the file that `mapping` names. */
static void codec_print(const struct codec *codec, struct buffer *out)
{
    buffer_printf(out, "\n# Options of a route with `codec: %s`: %s\n", codec->name,
                  codec->summary);
    if (codec->options)
        list_rows_print(codec->options, out);
    else
        buffer_printf(out, "#     # A mapping, which codecs/%s/README.md describes.\n",
                      codec->name);
}

void config_reference(struct buffer *out)
{
    buffer_add_text(out,
                    "# Every option of a Tidegate configuration, with its default.\n"
                    "# Sizes: 4096, 64KiB, 16MiB, 40GiB, or kB, MB, GB. Durations: 500ms, 10s, "
                    "5m, 26h, 7d.\n\n");
    for (const struct option *row = config_top_rows; row->name; row++)
        row_print(row, "", out);
    for (const struct config_section *section = config_sections; section->name; section++)
        section_print(section, out);
    for (const struct config_list *list = config_lists; list->name; list++)
        list_print(list, out);
    for (size_t i = 0; codec_at(i); i++)
        codec_print(codec_at(i), out);
    for (size_t i = 0; sink_at(i); i++) {
        buffer_printf(out, "\n# Sink `type: %s`: %s\n", sink_at(i)->name, sink_at(i)->summary);
        list_rows_print(sink_at(i)->options, out);
    }
}

/* ---- in parts ---- */

bool config_part_at(size_t index, struct config_part *out)
{
    if (index-- == 0) {
        *out = (struct config_part){PART_TOP, "", "", config_top_rows, NULL};
        return true;
    }
    for (const struct config_section *section = config_sections; section->name; section++)
        if (index-- == 0) {
            *out = (struct config_part){PART_SECTION, section->name, section->help, section->rows,
                                        NULL};
            return true;
        }
    for (const struct config_list *list = config_lists; list->name; list++)
        if (index-- == 0) {
            *out = (struct config_part){PART_LIST, list->name, list->help, list->rows, list->extra};
            return true;
        }
    for (size_t i = 0; codec_at(i); i++)
        if (index-- == 0) {
            *out = (struct config_part){PART_CODEC, codec_at(i)->name, codec_at(i)->summary,
                                        codec_at(i)->options, NULL};
            return true;
        }
    const struct sink_type *sink = sink_at(index);
    if (sink)
        *out = (struct config_part){PART_SINK, sink->name, sink->summary, sink->options, NULL};
    return sink != NULL;
}
