/* SPDX-License-Identifier: Apache-2.0
 *
 * Every PEM file that the configuration names: can it be read, when does it end, and may others read a
 * key. Found through the option rows, so a new option that is called `..._certificate_file`, `..._ca_file`
 * or `..._key_file` is looked at without a line here. Whether chain and key of the listener fit each
 * other was checked when the configuration was loaded.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/clock.h"
#include "cli/doctor.h"
#include "sources/mqtt/tls_files.h"

enum { DAYS_SOON = 30 };

static bool ends_with(const char *name, const char *end)
{
    size_t size = strlen(name), end_size = strlen(end);
    return size >= end_size && strcmp(name + size - end_size, end) == 0;
}

static void certificate_tell(struct doctor *doctor, const char *about, const char *name,
                             const char *path)
{
    struct tls_file_place place = {&disk_real, name, path};
    struct buffer text = {0};
    STACK_OF(X509) *found = NULL;
    char ends[CLOCK_TEXT_SIZE];
    struct err err;
    int64_t ends_ms = 0;
    int rc = tls_file_text(&place, &text, &err);
    if (rc == 0)
        rc = tls_file_certificates(&place, buffer_bytes(&text), &found, &ends_ms, &err);
    int64_t days = rc ? 0 : (ends_ms - clock_wall_ms()) / 86400000;
    if (rc)
        doctor_tell(doctor, DOCTOR_ERROR, about,
                    "put a valid PEM file there, readable by the gateway's user", "%s", err.text);
    else
        doctor_tell(doctor, days < DAYS_SOON ? DOCTOR_WARN : DOCTOR_OK, about,
                    days < DAYS_SOON ? "renew it now, then reload (SIGHUP)" : NULL,
                    "%s: valid until %s, for %" PRId64 " days", path,
                    clock_format_ms(ends_ms, ends), days);
    sk_X509_pop_free(found, X509_free);
    buffer_fini(&text);
}

/* Keys and passwords. */
static void secret_tell(struct doctor *doctor, const char *about, const char *name,
                        const char *path)
{
    struct stat info;
    if (stat(path, &info))
        doctor_tell(doctor, DOCTOR_ERROR, about, "put it there, readable by the gateway's user",
                    "%s %s: %s", name, path, strerror(errno));
    else if (info.st_mode & S_IRWXO)
        doctor_tell(doctor, DOCTOR_WARN, about, "close it: chmod o= FILE",
                    "%s %s: everybody on this machine may read it", name, path);
}

/* Of the options of one struct, the file of that name; null: none. */
static const char *path_of(const struct option *rows, const void *target, const char *name)
{
    const struct option *row = rows ? option_find(rows, name) : NULL;
    return row ? *(char *const *)(const void *)((const char *)target + row->offset) : NULL;
}

/* Does our key belong to our certificate? Where it has a pass phrase nobody can tell here. */
static void pair_tell(struct doctor *doctor, const char *about, const char *certificate,
                      const char *key)
{
    struct tls_file_place places[] = {{&disk_real, "certificate", certificate},
                                      {&disk_real, "key", key}};
    struct buffer texts[2] = {{0}, {0}};
    STACK_OF(X509) *chain = NULL;
    EVP_PKEY *ours = NULL;
    int64_t ends_ms;
    struct err err;
    /* What cannot be read was told already, but for the key itself. */
    if (tls_file_text(&places[0], &texts[0], &err) == 0 &&
        tls_file_text(&places[1], &texts[1], &err) == 0 &&
        tls_file_certificates(&places[0], buffer_bytes(&texts[0]), &chain, &ends_ms, &err) == 0) {
        int rc = tls_file_key(&places[1], buffer_bytes(&texts[1]), &ours, &err);
        if (rc == 0 && X509_check_private_key(sk_X509_value(chain, 0), ours) != 1)
            rc = err_set(&err, GW_EINVAL, "the key %s does not belong to the certificate %s", key,
                         certificate);
        if (rc)
            doctor_tell(doctor, DOCTOR_ERROR, about,
                        "put the key there that the certificate was made for", "%s", err.text);
    }
    ERR_clear_error();
    EVP_PKEY_free(ours);
    sk_X509_pop_free(chain, X509_free);
    for (int i = 0; i < 2; i++) {
        if (texts[i].size)
            explicit_bzero(texts[i].data, texts[i].size);
        buffer_fini(&texts[i]);
    }
}

static void pairs_look(struct doctor *doctor, const char *about, const struct option *rows,
                       const void *target)
{
    static const char *const names[][3] = {
        {"certificate_file", "key_file", "key_password_file"},
        {"tls_certificate_file", "tls_key_file", "tls_key_password_file"},
    };
    for (size_t i = 0; i < array_count(names); i++) {
        const char *certificate = path_of(rows, target, names[i][0]);
        const char *key = path_of(rows, target, names[i][1]);
        const char *phrase = path_of(rows, target, names[i][2]);
        if (certificate && key && (phrase == NULL || *phrase == '\0'))
            pair_tell(doctor, about, certificate, key);
    }
}

/* Certificates and secrets among the options of one struct. Paths are as they can be opened, but for those
 * below the data folder. */
static void rows_look(struct doctor *doctor, const char *about, const struct option *rows,
                      const void *target)
{
    for (const struct option *row = rows; row && row->name; row++) {
        if (row->type != OPTION_PATH)
            continue;
        const char *path = *(char *const *)(const void *)((const char *)target + row->offset);
        if (path == NULL || *path == '\0')
            continue;
        if (ends_with(row->name, "certificate_file") || ends_with(row->name, "ca_file"))
            certificate_tell(doctor, about, row->name, path);
        else if (ends_with(row->name, "key_file") || ends_with(row->name, "password_file") ||
                 ends_with(row->name, "token_file"))
            secret_tell(doctor, about, row->name, path);
    }
    pairs_look(doctor, about, rows, target);
}

void doctor_certificates(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    rows_look(doctor, "admin", config_admin_rows, &config->admin);
    if (config->mqtt.tls.listen)
        rows_look(doctor, "tls", tls_option_rows, &config->mqtt.tls);
    for (size_t i = 0; i < config->sink_count; i++) {
        char *about = mem_printf("sink %s", config->sinks[i].name);
        rows_look(doctor, about, config->sinks[i].type->options, config->sinks[i].options);
        free(about);
    }
    for (size_t i = 0; i < config->broker_count; i++) {
        char *about = mem_printf("broker %s", config->brokers[i].name);
        rows_look(doctor, about, paho_option_rows, &config->brokers[i]);
        free(about);
    }
}
