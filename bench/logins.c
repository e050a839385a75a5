/* SPDX-License-Identifier: Apache-2.0
 *
 * What a login costs: logins a second of one thread whose password must be hashed (of its user's choice,
 * or generated), and that is remembered. `bench_logins [SECONDS]`, for each of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "sources/access.h"
#include "sources/credential.h"

static const char given[] = "correct horse battery staple";

static struct access *access_with(const char *folder, enum password_cost cost)
{
    struct access *access = access_new();
    struct buffer hash = {0};
    struct err err;
    char *path = mem_printf("%s/%d", folder, (int)cost);
    struct access_vendor vendor = {.name = "acme", .passwords = path};
    struct access_rules rules = {.vendors = &vendor, .vendor_count = 1};
    int rc = password_make(bytes_text(given), cost, &hash, &err);
    struct credential_edit edit = {
        .change = CREDENTIAL_ADD, .name = bytes_text("acme"), .hash = buffer_bytes(&hash)};
    if (rc == 0)
        rc = credential_file_edit(&disk_real, path, &edit, &err);
    if (rc == 0)
        rc = access_load(access, &disk_real, &rules, &err);
    if (rc) {
        fprintf(stderr, "%s\n", err.text);
        exit(EXIT_CODE_FAILED);
    }
    unlink(path);
    free(path);
    buffer_fini(&hash);
    return access;
}

/* A wrong password takes as long as a right one, and is never remembered. */
static void measure(struct access *access, const char *name, const char *password, int64_t seconds)
{
    struct access_request request = {.has_user = true,
                                     .has_password = true,
                                     .user = bytes_text("acme"),
                                     .password = bytes_text(password)};
    struct access_grant grant;
    int64_t begin = clock_monotonic_ns(), took;
    uint64_t count = 0;
    access_connect(access, &request, &grant);
    do {
        access_connect(access, &request, &grant);
        took = clock_monotonic_ns() - begin;
        count++;
    } while (took < seconds * 1000000000);
    printf("%-20s %10.1f logins/s %10.1f us each\n", name, (double)count * 1e9 / (double)took,
           (double)took / 1e3 / (double)count);
}

int main(int argc, char **argv)
{
    int64_t seconds = argc > 1 ? atoi(argv[1]) : 3;
    char folder[] = "/tmp/bench_logins.XXXXXX";
    if (seconds < 1 || mkdtemp(folder) == NULL)
        return EXIT_CODE_USAGE;
    struct access *chosen = access_with(folder, PASSWORD_CHOSEN);
    struct access *generated = access_with(folder, PASSWORD_GENERATED);
    measure(chosen, "hashed, chosen", "wrong", seconds);
    measure(generated, "hashed, generated", "wrong", seconds);
    measure(chosen, "remembered", given, seconds);
    access_free(chosen);
    access_free(generated);
    rmdir(folder);
    return EXIT_CODE_OK;
}
