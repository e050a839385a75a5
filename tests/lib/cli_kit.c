/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_kit.h. The verb's main is passed in, because this library knows nothing above the journal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/disk.h"
#include "lib/cli_kit.h"

int cli_kit_setup(void **state)
{
    struct cli_kit *kit = mem_zalloc(sizeof *kit);
    temp_dir_make(&kit->dir);
    *state = kit;
    return 0;
}

int cli_kit_teardown(void **state)
{
    struct cli_kit *kit = *state;
    temp_dir_remove(&kit->dir);
    free(kit->out);
    free(kit->err);
    free(kit);
    return 0;
}

struct redirect {
    int fd, saved;
    char *path;
};

static struct redirect redirect_begin(const struct cli_kit *kit, int fd, const char *name,
                                      int flags)
{
    struct redirect redirect = {fd, dup(fd), mem_printf("%s/%s", kit->dir.path, name)};
    int file = open(redirect.path, flags | O_CLOEXEC, 0600);
    assert_true(file >= 0 && redirect.saved >= 0);
    assert_true(dup2(file, fd) == fd);
    close(file);
    return redirect;
}

static char *redirect_end(struct redirect *redirect)
{
    struct buffer text = {0};
    fflush(NULL);
    dup2(redirect->saved, redirect->fd);
    close(redirect->saved);
    assert_int_equal(disk_read_file(&disk_real, redirect->path, 64 << 20, &text), 0);
    free(redirect->path);
    char *copy = bytes_strdup(buffer_bytes(&text));
    buffer_fini(&text);
    return copy;
}

int cli_kit_run(struct cli_kit *kit, int (*main)(int argc, char **argv), const char *line,
                const char *input)
{
    char *argv[32];
    int argc = 0;
    char *words = mem_strdup(line), *rest = NULL;
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        assert_true(argc + 1 < (int)array_count(argv));
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    char *in_path = mem_printf("%s/in", kit->dir.path);
    assert_int_equal(disk_replace_file(&disk_real, in_path, bytes_text(input ? input : "")), 0);
    fflush(NULL);
    clearerr(stdin);
    struct redirect in = redirect_begin(kit, 0, "in", O_RDONLY);
    struct redirect out = redirect_begin(kit, 1, "out", O_WRONLY | O_CREAT | O_TRUNC);
    struct redirect err = redirect_begin(kit, 2, "err", O_WRONLY | O_CREAT | O_TRUNC);
    rewind(stdin);
    int code = main(argc, argv);
    free(kit->out);
    free(kit->err);
    kit->err = redirect_end(&err);
    kit->out = redirect_end(&out);
    free(redirect_end(&in));
    free(in_path);
    free(words);
    return code;
}
