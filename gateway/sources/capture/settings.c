/* SPDX-License-Identifier: Apache-2.0
 *
 * Options of an entry of `captures`. Any thread.
 */
#include <stdlib.h>

#include "sources/capture/capture.h"

static const char *const received_names[] = {"original", "now", NULL};

#define AT(member) offsetof(struct capture_options, member)
const struct option capture_option_rows[] = {
    {.name = "file",
     .type = OPTION_PATH,
     .offset = AT(file),
     .help = "What `tidegate journal export` wrote; it is played once, also over restarts."},
    {.name = "speed",
     .type = OPTION_STRING,
     .offset = AT(speed),
     .def = "max",
     .help = "max, or how many times as fast as it was received: 1, 10, 0.5."},
    {.name = "received",
     .type = OPTION_ENUM,
     .offset = AT(received),
     .def = "original",
     .names = received_names,
     .help =
         "Receive time of its messages: the original one as far as it does not fall behind what "
         "this gateway has already received, or the time of playing."},
    {0},
};
#undef AT

bool capture_speed_parse(const char *text, double *out)
{
    char *end;
    if (strcmp(text, "max") == 0) {
        *out = 0;
        return true;
    }
    if (*text == '\0' || text[strspn(text, "0123456789.")] != '\0')
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && *out >= 0.001 && *out <= 1e6;
}
