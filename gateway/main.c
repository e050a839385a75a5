/* SPDX-License-Identifier: Apache-2.0
 *
 * The program's first lines: what the process may and may not do, before any verb runs.
 */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/dumps.h"
#include "cli/cli.h"
#include "sources/paho/paho.h"

int main(int argc, char **argv)
{
    /* A peer that goes away and a file-size limit are errors of one call, not of the process. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    /* Meter data is somebody's water use: what we write is for us and whoever we are told. */
    umask(077);
    /* A core file would hold messages and passwords. `core_dumps` of the configuration allows it. */
    if (argc > 1 && strcmp(argv[1], PAHO_WORKER_VERB) == 0)
        dumps_inherit();
    else
        dumps_forbid();
    return cli_main(argc, argv);
}
