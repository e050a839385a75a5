/* SPDX-License-Identifier: Apache-2.0
 *
 * Error texts. Any thread: the caller owns the object.
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return code;
}

int err_wrap(struct err *err, int code, const char *format, ...)
{
    char context[sizeof err->text];
    va_list args;
    va_start(args, format);
    int used = vsnprintf(context, sizeof context - 3, format, args);
    va_end(args);
    size_t front = used < 0 ? 0 : (size_t)used;
    if (front > sizeof context - 4)
        front = sizeof context - 4;
    memcpy(context + front, ": ", 2);
    front += 2;
    /* What does not fit is cut from the end of the old text. */
    memmove(err->text + front, err->text, sizeof err->text - front);
    memcpy(err->text, context, front);
    err->text[sizeof err->text - 1] = '\0';
    return code;
}

const char *err_name(int code)
{
    switch (code) {
    case GW_OK: return "no error";
    case GW_EFULL: return "no room now";
    case GW_EIO: return "input/output error";
    case GW_ECORRUPT: return "corrupt data";
    case GW_EINVAL: return "invalid input";
    case GW_ENOENT: return "not found";
    case GW_EVERSION: return "written by a newer version";
    case GW_ELOCKED: return "locked by another process";
    case GW_ELIMIT: return "limit passed";
    case GW_ECLOSED: return "closed";
    case GW_EEXIST: return "exists already";
    default: return "unknown error";
    }
}
