/* SPDX-License-Identifier: Apache-2.0
 *
 * Every *.parquet at any depth below a folder, as somebody who reads them all would count them.
 */
#ifndef TIDEGATE_TESTS_PARQUET_TALLY_H
#define TIDEGATE_TESTS_PARQUET_TALLY_H

#include <stdint.h>

enum { TALLY_SEQ_MAX = 10000 };

struct tally {
    uint64_t rows, files;
    uint64_t digest;   /* of every column of every row, in any order */
    uint64_t unsorted; /* rows that come before the one ahead of them */
    uint8_t *seen;     /* how often each sequence number below TALLY_SEQ_MAX */
};

/* Ends the test when a file cannot be read; begins again when one is gone that was listed, as a query
 * would. */
struct tally tally_of(const char *path);
void tally_fini(struct tally *tally);
/* Sequence numbers 1..last, each exactly `times` times, and nothing else. */
void assert_tally(const char *path, uint64_t last, unsigned times);

#endif
