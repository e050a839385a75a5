/* SPDX-License-Identifier: Apache-2.0
 *
 * The floor: the least that any MQTT server does. Receives the same bytes with epoll, answers each
 * PUBLISH with its PUBACK (or PUBREC, PUBCOMP), one write for each read, and does nothing else: no
 * storage, no checks, no session. The gateway's cost is told as a multiple of this one's, measured in
 * the same run. One thread.
 *
 *     bench_floor PORT
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench/lib/listener.h"

static void on_publish(struct listener *listener, const struct listener_publish *publish)
{
    listener_answer(listener, publish->origin, publish->qos);
}

int main(int argc, char **argv)
{
    int port = argc == 2 ? atoi(argv[1]) : 0;
    if (port <= 0 || port > 65535) {
        bool asked = argc == 2 && strcmp(argv[1], "--help") == 0;
        fprintf(asked ? stdout : stderr, "usage: bench_floor PORT\n"
                                         "Answers each PUBLISH with its PUBACK, on 127.0.0.1.\n");
        return asked ? 0 : 2;
    }
    struct listener listener = {.on_publish = on_publish, .other = -1};
    listener_run(&listener, port);
    perror("bench_floor");
    return 1;
}
