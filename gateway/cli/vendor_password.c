/* SPDX-License-Identifier: Apache-2.0
 *
 * A new password: asked for at the terminal, twice and unseen, or read from a file. Never from the
 * command line or the environment, which others can see. Main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "cli/vendor.h"
#include "sources/password.h"

void vendor_password_fini(struct buffer *password)
{
    if (password->data)
        OPENSSL_cleanse(password->data, password->size);
    buffer_fini(password);
}

/* One read of the descriptor, byte by byte, so that no buffer of the library keeps a copy. Nothing is
 * reallocated either: that would leave one, too. */
static int line_read(int fd, struct buffer *out)
{
    uint8_t *at = buffer_reserve(out, PASSWORD_BYTES_MAX + 1);
    while (out->size <= PASSWORD_BYTES_MAX) {
        ssize_t size = read(fd, at + out->size, 1);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return -errno;
        if (size == 0 || at[out->size] == '\n')
            break;
        out->size++;
    }
    if (out->size && at[out->size - 1] == '\r')
        out->size--;
    return 0;
}

static int from_file(const struct cli_command *command, const char *path, struct buffer *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? -errno : line_read(fd, out);
    if (fd >= 0)
        close(fd);
    if (rc < 0)
        return cli_fail(command->name, EXIT_CODE_FAILED, "%s: %s", path, strerror(-rc));
    if (out->size == 0)
        return cli_fail(command->name, EXIT_CODE_FAILED, "%s: its first line is empty", path);
    return CLI_GO;
}

/* ---- the terminal ---- */

static struct termios usual;
static int terminal = -1;

/* Whoever gives up at the prompt gets his echo back. */
static void on_interrupt(int number)
{
    tcsetattr(terminal, TCSAFLUSH, &usual);
    signal(number, SIG_DFL);
    raise(number);
}

static int ask(const char *prompt, struct buffer *out)
{
    struct termios quiet = usual;
    quiet.c_lflag &= (tcflag_t)~ECHO;
    tcsetattr(terminal, TCSAFLUSH,
              &quiet); /* first, so that nothing typed at the prompt is shown */
    dprintf(terminal, "%s", prompt);
    int rc = line_read(terminal, out);
    tcsetattr(terminal, TCSAFLUSH, &usual);
    dprintf(terminal, "\n");
    return rc;
}

static int ask_twice(const struct cli_command *command, struct buffer *out)
{
    struct buffer again = {0};
    int code = CLI_GO;
    if (ask("Password: ", out) < 0 || ask("Again: ", &again) < 0)
        code = cli_fail(command->name, EXIT_CODE_FAILED, "the terminal: %s", strerror(errno));
    else if (!bytes_equal(buffer_bytes(out), buffer_bytes(&again)))
        code = cli_fail(command->name, EXIT_CODE_FAILED, "the two differ: nothing was done");
    vendor_password_fini(&again);
    return code;
}

int vendor_password(const struct cli_command *command, const char *file, struct buffer *out)
{
    if (file)
        return from_file(command, file, out);
    terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (terminal < 0 || tcgetattr(terminal, &usual) != 0) {
        if (terminal >= 0)
            close(terminal);
        return cli_fail(command->name, EXIT_CODE_USAGE,
                        "there is no terminal to ask for a password: give --password-file FILE, or "
                        "--generate");
    }
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    int code = ask_twice(command, out);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    close(terminal);
    return code;
}
