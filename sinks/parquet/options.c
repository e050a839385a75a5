/* SPDX-License-Identifier: Apache-2.0
 *
 * The options of a parquet sink: one row is parser, default, range, help and reference.
 */
#include "sinks/parquet/options.h"

static const char *const value_names[] = {"double", "scaled", NULL};

#define MEMBER(name) offsetof(struct parquet_sink_options, name)

const struct option parquet_option_rows[] = {
    {
        .name = "path",
        .type = OPTION_PATH,
        .offset = MEMBER(path),
        .def = "parquet",
        .help =
            "Folder of the files; relative to `data`. A folder `<path>.work` beside it is ours.",
    },
    {
        .name = "value",
        .type = OPTION_ENUM,
        .offset = MEMBER(value),
        .def = "double",
        .names = value_names,
        .help =
            "double: a column `value` that anyone can sum; scaled: `unscaled` beside `scale`, a "
            "quarter smaller, for archives.",
    },
    {
        .name = "flush_age",
        .type = OPTION_DURATION,
        .offset = MEMBER(flush_age_ms),
        .def = "10s",
        .min = 100,
        .max = 3600 * 1000,
        .help = "A reading is in a file at most about so long after it came.",
    },
    {
        .name = "unit_rows",
        .type = OPTION_INT,
        .offset = MEMBER(unit_rows),
        .def = "250000",
        .min = 1000,
        .max = 2000000,
        .help = "Readings that are sorted and written at once, at most; about 150 bytes of memory "
                "each.",
    },
    {
        .name = "row_group_rows",
        .type = OPTION_INT,
        .offset = MEMBER(row_group_rows),
        .def = "120000",
        .min = 1000,
        .max = 1000000,
        .help = "Readings in a row group: what a query can skip at once.",
    },
    {
        .name = "compression",
        .type = OPTION_INT,
        .offset = MEMBER(compression),
        .def = "3",
        .min = 1,
        .max = 19,
        .help = "zstd level of merged files; fresh ones are written with level 1.",
    },
    {
        .name = "compact",
        .type = OPTION_BOOL,
        .offset = MEMBER(compact),
        .def = "true",
        .help = "Merge small files of a day into large ones.",
    },
    {
        .name = "files_max",
        .type = OPTION_INT,
        .offset = MEMBER(files_max),
        .def = "100",
        .min = 10,
        .max = 10000,
        .help = "Files of a day that a reader should find, about, at most.",
    },
    {
        .name = "keep",
        .type = OPTION_DURATION,
        .offset = MEMBER(keep_ms),
        .def = "0s",
        .min = 0,
        .help = "Days that lie further back are removed; 0s: never.",
    },
    {
        .name = "keep_bytes",
        .type = OPTION_SIZE,
        .offset = MEMBER(keep_bytes),
        .def = "0",
        .help = "The oldest days are removed while all files together are larger; 0: never.",
    },
    {
        .name = "min_free",
        .type = OPTION_SIZE,
        .offset = MEMBER(min_free_bytes),
        .def = "512MiB",
        .help = "Free space that files may not touch: writing stops, and the lane waits.",
    },
    {0},
};
