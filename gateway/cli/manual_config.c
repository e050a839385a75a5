/* SPDX-License-Identifier: Apache-2.0
 *
 * tidegate.yaml(5): every option of the configuration, from the rows that read it.
 */
#include <stdlib.h>

#include "cli/manual.h"
#include "config/config.h"

/* What may stand there: "duration, 1s to 7d", "one of hold, park". */
static void type_put(struct manual *manual, const struct option *row)
{
    struct buffer bounds = {0};
    manual_text(manual, manual_say(manual, config_type_name(row)));
    for (size_t i = 0; row->type == OPTION_ENUM && row->names[i]; i++) {
        buffer_add_text(&manual->out, i ? ", " : " ");
        manual_text(manual, row->names[i]);
    }
    config_bounds(row, &bounds);
    if (bounds.size) {
        buffer_add_text(&manual->out, ", ");
        buffer_u8(&bounds, '\0');
        manual_text(manual, (const char *)bounds.data);
    }
    buffer_fini(&bounds);
}

static void row_put(struct manual *manual, const struct option *row)
{
    manual_item(manual, row->name, NULL);
    manual_text(manual, manual_say(manual, row->help ? row->help : ""));
    buffer_add_text(&manual->out, " (");
    type_put(manual, row);
    if (row->def) {
        buffer_add_text(&manual->out, "; ");
        manual_text(manual, manual_say(manual, "default"));
        buffer_add_text(&manual->out, " \\fB");
        manual_text(manual, row->def[0] ? row->def : "\"\"");
        buffer_add_text(&manual->out, "\\fR");
    }
    buffer_add_text(&manual->out, ")\n");
}

static void extra_put(struct manual *manual, const struct config_extra *extra)
{
    manual_item(manual, extra->name, NULL);
    manual_text(manual, manual_say(manual, extra->help));
    buffer_add_text(&manual->out, " (");
    manual_text(manual, manual_say(manual, extra->shape));
    buffer_add_text(&manual->out, ")\n");
}

static void part_put(struct manual *manual, const struct config_part *part)
{
    static const char *const titles[] = {
        [PART_TOP] = "%s",
        [PART_SECTION] = "%s:",
        [PART_LIST] = "%s: [...]",
        [PART_CODEC] = "routes: codec: %s, options:",
        [PART_SINK] = "sinks: type: %s",
    };
    if (part->kind != PART_TOP) {
        struct buffer title = {0};
        for (const char *at = titles[part->kind]; *at; at++) {
            if (at[0] == '%' && at[1] == 's') {
                buffer_add_text(&title, part->name);
                at++;
            } else {
                buffer_u8(&title, (uint8_t)*at);
            }
        }
        buffer_u8(&title, '\0');
        manual_subsection(manual, (const char *)title.data);
        buffer_fini(&title);
        manual_paragraph(manual, part->help);
    }
    for (const struct option *row = part->rows; row && row->name; row++)
        row_put(manual, row);
    for (const struct config_extra *extra = part->extra; extra && extra->name; extra++)
        extra_put(manual, extra);
    if (part->rows == NULL)
        manual_paragraph(manual, "A mapping, which the README of that codec describes.");
}

void manual_config(struct manual *manual)
{
    struct config_part part;
    manual_head(manual, "TIDEGATE.YAML", "5");
    manual_section(manual, "NAME");
    buffer_add_text(&manual->out, "tidegate.yaml \\- ");
    manual_text(manual, manual_say(manual, "configuration of Tidegate"));
    buffer_u8(&manual->out, '\n');
    manual_section(manual, "DESCRIPTION");
    manual_paragraph(manual,
                     "A YAML file, given to `tidegate run --config FILE`. Any name will do. "
                     "Paths in it are seen from its folder. `tidegate validate --config "
                     "FILE` tells all errors at once and starts nothing; `tidegate "
                     "validate --embedded` prints a file to begin with.");
    manual_paragraph(manual, "Sizes: 4096, 64KiB, 16MiB, 40GiB, or kB, MB, GB. Durations: 500ms, "
                             "10s, 5m, 26h, 7d.");
    manual_section(manual, "OPTIONS");
    for (size_t i = 0; config_part_at(i, &part); i++)
        part_put(manual, &part);
    manual_section(manual, "SEE ALSO");
    buffer_add_text(&manual->out, ".BR tidegate (1)\n");
}
