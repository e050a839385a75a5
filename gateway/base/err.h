/* SPDX-License-Identifier: Apache-2.0
 *
 * Error codes, and the text that goes with them where an operator can act.
 *
 * Functions return 0 or a negative code from this list. A function that can explain takes a
 * `struct err *` (never null), owned by the caller; the text is built where the failure happens
 * and gets context in front of it on the way up: `journal: open segment 17: No space left`.
 */
#ifndef TIDEGATE_BASE_ERR_H
#define TIDEGATE_BASE_ERR_H

#include <stddef.h>

enum gw_error {
    GW_OK = 0,
    GW_EFULL = -1,    /* no room now: a normal answer, try again later */
    GW_EIO = -2,      /* the medium failed */
    GW_ECORRUPT = -3, /* bytes are not what was written */
    GW_EINVAL = -4,   /* the caller's or the operator's input is wrong */
    GW_ENOENT = -5,   /* there is no such thing */
    GW_EVERSION = -6, /* written by a newer program */
    GW_ELOCKED = -7,  /* another process has it */
    GW_ELIMIT = -8,   /* a stated limit was passed */
    GW_ECLOSED = -9,  /* closing or closed */
    GW_EEXIST = -10,  /* it is there already */
};

/* The exit codes of the program (sysexits.h names them so). */
enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILED = 1,
    EXIT_CODE_USAGE = 2,
    EXIT_CODE_DATA = 65,
    EXIT_CODE_UNAVAILABLE = 69,
    EXIT_CODE_CONFIG = 78,
};

struct err {
    char text[512];
};

/* Set the text. Returns `code`, so a failing path is one line: return err_set(err, GW_EIO, ...). */
int err_set(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Put context in front of the text that is there: "context: text". Returns `code`. */
int err_wrap(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The sentence for a code of the list above, for places that have nothing better. */
const char *err_name(int code);

#endif
