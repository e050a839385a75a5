/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines gather in memory and go to the system once a turn of the loop. Separate, because its format
 * is a contract with tests/fault/kill.py. Not base/disk: this is a client's file, and the faults
 * that tests put into the gateway's disk must not touch the oracle. One thread.
 */
#include "sim/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct ledger {
    int fd;
    char *path;
    struct buffer lines;
};

static const char ledger_header[] =
    "#outcome\tnumber\tvendor\tdevice\tts_ms\tlitres\tkind\tqos\tattempts\tcrc32c\n";

int ledger_open(struct ledger **out, const char *path, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_set(err, GW_EIO, "ledger %s: %s", path, strerror(errno));
    struct ledger *ledger = mem_zalloc(sizeof *ledger);
    ledger->fd = fd;
    ledger->path = mem_strdup(path);
    if (lseek(fd, 0, SEEK_END) == 0)
        buffer_add_text(&ledger->lines, ledger_header);
    *out = ledger;
    return 0;
}

void ledger_add(struct ledger *ledger, const struct ledger_line *line)
{
    static const char *const outcomes[] = {"ACK", "REJ", "UNK"};
    buffer_printf(&ledger->lines, "%s\t%llu\t%s\t%s\t%lld\t%lld\t%s\t%d\t%u\t%08x\n",
                  outcomes[line->outcome], (unsigned long long)line->number, line->vendor,
                  line->device, (long long)line->ts_ms, (long long)line->litres, line->kind,
                  line->qos, line->attempts, line->crc);
}

int ledger_flush(struct ledger *ledger, struct err *err)
{
    size_t done = 0;
    while (done < ledger->lines.size) {
        ssize_t size = write(ledger->fd, ledger->lines.data + done, ledger->lines.size - done);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return err_set(err, GW_EIO, "ledger %s: %s", ledger->path, strerror(errno));
        done += (size_t)size;
    }
    buffer_clear(&ledger->lines);
    return 0;
}

void ledger_close(struct ledger *ledger)
{
    if (!ledger)
        return;
    close(ledger->fd);
    free(ledger->path);
    buffer_fini(&ledger->lines);
    free(ledger);
}
