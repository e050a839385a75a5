/* SPDX-License-Identifier: Apache-2.0
 *
 * SIGHUP: the configuration, and the files that it names, are read again; all of it is taken, or
 * nothing. Separate from gateway.c, which builds and ends the parts. Main thread.
 */
#include "reload.h"

#include <stdlib.h>

#include "base/log.h"
#include "notify.h"
#include "parts.h"
#include "sources/mqtt/listener.h"

int reload_access(struct access *access, const struct config *config, struct err *err)
{
    struct access_vendor *vendors =
        mem_zalloc((config->vendor_count + 1) * sizeof(struct access_vendor));
    for (size_t i = 0; i < config->vendor_count; i++) {
        const struct config_vendor *from = &config->vendors[i];
        vendors[i] = (struct access_vendor){
            .name = from->name,
            .passwords = from->passwords,
            .topics = (const char *const *)from->topics,
            .topic_count = from->topic_count,
            .subscribe_accept = from->subscribe_accept,
            .quota = from->quota,
        };
    }
    const struct config_quota *quota = &config->quota;
    const struct config_login *login = &config->login;
    struct network *exempt;
    size_t exempt_count;
    int rc = networks_parse(config->mqtt.address_exempt, &exempt, &exempt_count, err);
    struct access_rules rules = {
        .anonymous = (enum access_anonymous)config->anonymous,
        .anonymous_quota = {quota->rate, quota->burst, quota->byte_rate, quota->journal_share,
                            quota->qos0 == 1, quota->connections, quota->payload_bytes,
                            quota->topic_levels},
        .lockout = {login->after, login->address_after, login->user_after, login->max_ms, exempt,
                    exempt_count},
        .vendors = vendors,
        .vendor_count = config->vendor_count,
    };
    if (rc == 0)
        rc = access_load(access, &disk_real, &rules, err);
    free(exempt);
    free(vendors);
    return rc;
}

static void certificates_audit(struct gateway *gateway, const struct config *config)
{
    const char *const files[] = {config->mqtt.tls.certificate_file, config->admin.certificate_file,
                                 config->admin.token_file};
    for (size_t i = 0; i < array_count(files); i++) {
        struct audit_entry entry = {.what = AUDIT_CERTIFICATES, .who = bytes_text("SIGHUP")};
        if (files[i] == NULL)
            continue;
        entry.object = bytes_text(files[i]);
        audit_log_add(gateway->audit, &entry);
    }
}

/* All or nothing: certificates are made first and taken last, when nothing else can fail. */
static int reload_apply(struct gateway *gateway, struct config *config, struct err *err)
{
    struct tls_context *certificates;
    struct admin_secrets *secrets = NULL;
    int rc = listener_tls_make(gateway->listener, &config->mqtt.tls, &certificates, err);
    if (rc == 0)
        rc = admin_may_renew(gateway->admin, &config->admin, err);
    if (rc == 0)
        rc = admin_secrets_read(&secrets, &config->admin, err);
    if (rc == 0)
        rc = reload_access(gateway->access, config, err);
    if (rc) {
        tls_context_release(certificates);
        admin_secrets_free(secrets);
        return rc;
    }
    rc = decoder_reload(gateway->decoder, config, err);
    if (rc) {
        struct err again;
        reload_access(gateway->access, gateway->config, &again);
        tls_context_release(certificates);
        admin_secrets_free(secrets);
        return rc;
    }
    listener_tls_take(gateway->listener, certificates);
    admin_renew(gateway->admin, secrets);
    certificates_audit(gateway, config);
    pthread_mutex_lock(&gateway->config_lock);
    struct config *before = gateway->config;
    gateway->config = config;
    gateway->generation = decoder_stats(gateway->decoder)->generation;
    pthread_mutex_unlock(&gateway->config_lock);
    if (before != gateway->config_started)
        config_free(before);
    return 0;
}

static int reload_run(struct gateway *gateway, struct err *err)
{
    struct config *config = NULL;
    struct buffer errors = {0};
    int rc = gateway->reload(gateway->reload_arg, &config, &errors);
    if (rc) {
        log_lines(LOG_ERROR, "configuration_error", buffer_bytes(&errors));
        buffer_fini(&errors);
        return err_set(err, rc, "the configuration has errors; the old one stays");
    }
    buffer_fini(&errors);
    rc = reload_apply(gateway, config, err);
    if (rc)
        config_free(config);
    return rc;
}

void reload_on_signal(uv_signal_t *signal, int number)
{
    (void)number;
    struct gateway *gateway = signal->data;
    if (gateway->stopping)
        return;
    struct err err = {{0}};
    notify_reloading();
    int rc = reload_run(gateway, &err);
    notify_ready(); /* also with the old configuration */
    struct audit_entry entry = {.what = AUDIT_CONFIGURATION,
                                .who = bytes_text("SIGHUP"),
                                .result = rc ? AUDIT_REFUSED : AUDIT_OK,
                                .why = rc ? err.text : NULL};
    if (gateway->config->path)
        entry.object = bytes_text(gateway->config->path);
    audit_log_add(gateway->audit, &entry);
    if (rc) {
        gateway->reload_failures++;
        log_event(LOG_ERROR, "reload_failed", "why=\"%s\"", err.text);
    } else {
        gateway->reloads++;
        log_event(LOG_INFO, "reloaded", "generation=%u",
                  decoder_stats(gateway->decoder)->generation);
    }
}
