/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of verbs, and finding one.
 */
#include <stdio.h>

#include "base/log.h"
#include "base/nearest.h"
#include "cli/cli.h"
#include "sources/paho/paho.h"

struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

static const struct verb verbs[] = {
    {"run", verb_run, "Run the gateway until SIGTERM or SIGINT."},
    {"validate", verb_validate, "Check a configuration, or print the reference of its options."},
    {"decode", verb_decode, "Show the readings of one payload, or why there are none."},
    {"tail", verb_tail, "Follow the readings of a running gateway."},
    {"sim", verb_sim, "Publish as simulated meters, with faults to order."},
    {"status", verb_status, "Show what a running gateway does."},
    {"healthcheck", verb_healthcheck, "Ask a running gateway whether it is well."},
    {"drain", verb_drain, "Empty a gateway that goes for good."},
    {"journal", verb_journal, "List, verify and show what the journals of a folder hold."},
    {"devices", verb_devices, "Who reported what and when, who is silent, and what was wrong."},
    {"audit", verb_audit, "Prove that what was received was decoded and stored."},
    {"deadletter", verb_deadletter, "List, show and retry messages that could not be decoded."},
    {"replay", verb_replay, "Send history once more to one sink, beside live traffic."},
    {"clickhouse", verb_clickhouse, "Print the tables for a ClickHouse server."},
    {"lane", verb_lane, "List where the sinks stand, and remove cursors without a sink."},
    {"check", verb_check, "Say whether a vendor may publish to a topic, and why."},
    {"vendor", verb_vendor, "Who may log in for which vendor: users, passwords, what they may do."},
    {"doctor", verb_doctor, "Look for what keeps a gateway from working well, and say what to do."},
    {"manual", verb_manual, "Print the manual pages."},
    {"completion", verb_completion, "Print what completes this program's words in a shell."},
    {"version", verb_version, "Print the version."},
};

/* Each command once: `seen` holds those of one verb. */
enum { COMMANDS_MAX = 16 };
struct once {
    cli_visitor *visitor;
    void *arg;
    const struct cli_command *seen[COMMANDS_MAX];
    size_t count;
};

static void visit_once(void *arg, const struct cli_command *command)
{
    struct once *once = arg;
    for (size_t i = 0; i < once->count; i++)
        if (once->seen[i] == command)
            return;
    gw_assert(once->count < COMMANDS_MAX);
    once->seen[once->count++] = command;
    once->visitor(once->arg, command);
}

/* A verb that has a command of its own and actions beside it shows these when it is given a word. */
void cli_each_command(cli_visitor *visitor, void *arg)
{
    for (size_t i = 0; i < array_count(verbs); i++) {
        char name[32], word[] = "action";
        char *words[] = {name, word, NULL};
        struct once once = {.visitor = visitor, .arg = arg};
        snprintf(name, sizeof name, "%s", verbs[i].name);
        for (int argc = 1; argc <= 2; argc++) {
            cli_visit(visit_once, &once);
            verbs[i].run(argc, words);
            cli_visit(NULL, NULL);
        }
    }
}

static int help_print(FILE *file)
{
    fprintf(file, "Tidegate: takes what meters publish over MQTT, makes it durable, decodes it,\n"
                  "and writes it where anyone can read it.\n\n"
                  "Usage: tidegate VERB [options]\n\nVerbs:\n");
    for (size_t i = 0; i < array_count(verbs); i++)
        fprintf(file, "  %-12s %s\n", verbs[i].name, verbs[i].summary);
    fprintf(file, "\n`tidegate VERB --help` tells more. Exit codes: 0 ok, 1 failed, 2 usage,\n"
                  "65 corrupt data, 69 remote unavailable, 78 bad configuration.\n");
    return 0;
}

static int verb_unknown(const char *name)
{
    const char *names[array_count(verbs) + 1] = {NULL};
    for (size_t i = 0; i < array_count(verbs); i++)
        names[i] = verbs[i].name;
    const char *nearest = nearest_name(names, name);
    if (nearest)
        fprintf(stderr, "tidegate: unknown verb `%s`: did you mean `%s`?\n", name, nearest);
    else
        fprintf(stderr, "tidegate: unknown verb `%s`; `tidegate --help` lists them\n", name);
    return EXIT_CODE_USAGE;
}

int cli_main(int argc, char **argv)
{
    if (argc < 2) {
        help_print(stderr);
        return EXIT_CODE_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        help_print(stdout);
        return cli_finish(EXIT_CODE_OK);
    }
    if (strcmp(argv[1], PAHO_WORKER_VERB) == 0) { /* the gateway's own doing: not in the table */
        log_set_format(argc > 2 && strcmp(argv[2], "json") == 0 ? LOG_FORMAT_JSON
                                                                : LOG_FORMAT_TEXT);
        return paho_worker_main();
    }
    if (strcmp(argv[1], "--version") == 0)
        return verb_version(1, argv + 1);
    for (size_t i = 0; i < array_count(verbs); i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    return verb_unknown(argv[1]);
}
