/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS of one connection against OpenSSL's own client over memory: what an idle connection costs,
 * floods after the handshake, names in certificates. Files, versions, revocation and the rest of the
 * listener are tests/integration/tls.py's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "sources/mqtt/tls.h"

enum { WIRE_SIZE = 1 << 17, IDLE_BYTES_MAX = 17 * 1024 };

/* ---- heap in use by OpenSSL and us, while `counted` ---- */

struct piece {
    size_t size;
    bool counted;
    char data[] __attribute__((aligned(16)));
};

static size_t heap_bytes;
static bool counted;

static void *on_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    struct piece *piece = malloc(sizeof *piece + size);
    *piece = (struct piece){.size = size + 16, .counted = counted}; /* and malloc's own head */
    heap_bytes += counted ? piece->size : 0;
    return piece->data;
}

static void on_free(void *data, const char *file, int line)
{
    (void)file, (void)line;
    if (data == NULL)
        return;
    struct piece *piece = container_of(data, struct piece, data);
    heap_bytes -= piece->counted ? piece->size : 0;
    free(piece);
}

static void *on_realloc(void *data, size_t size, const char *file, int line)
{
    if (data == NULL)
        return on_malloc(size, file, line);
    void *fresh = on_malloc(size, file, line);
    size_t before = container_of(data, struct piece, data)->size - 16;
    memcpy(fresh, data, before < size ? before : size);
    on_free(data, file, line);
    return fresh;
}

/* ---- certificates ---- */

struct names {
    const char *cn;
    size_t cn_size;
    int cn_type;
    const char *cn_more; /* a second CN */
    const char *san;     /* as in openssl.cnf */
    bool ca;
};

static X509 *certificate_make(EVP_PKEY *key, const struct names *names, X509 *issuer,
                              EVP_PKEY *issuer_key)
{
    X509 *made = X509_new();
    X509_NAME *subject = X509_get_subject_name(made);
    X509_set_version(made, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made), 7);
    X509_gmtime_adj(X509_getm_notBefore(made), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made), 86400);
    X509_set_pubkey(made, key);
    if (names->cn)
        assert_int_equal(X509_NAME_add_entry_by_NID(subject, NID_commonName, names->cn_type,
                                                    (const unsigned char *)names->cn,
                                                    (int)names->cn_size, -1, 0),
                         1);
    if (names->cn_more)
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                   (const unsigned char *)names->cn_more, -1, -1, 0);
    if (names->san) {
        X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names->san);
        assert_non_null(san);
        X509_add_ext(made, san, -1);
        X509_EXTENSION_free(san);
    }
    if (names->ca) {
        X509_EXTENSION *ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE");
        X509_add_ext(made, ca, -1);
        X509_EXTENSION_free(ca);
    }
    X509_set_issuer_name(made, issuer ? X509_get_subject_name(issuer) : subject);
    assert_true(X509_sign(made, issuer_key ? issuer_key : key, EVP_sha256()) > 0);
    return made;
}

struct site {
    char folder[32];
    char *certificate_file, *key_file, *client_certificate_file, *client_key_file;
    EVP_PKEY *key, *client_key;
    X509 *certificate, *client_certificate;
    SSL_CTX *client;
};

static char *save(const struct site *site, const char *name, X509 *certificate, EVP_PKEY *key)
{
    char *path = mem_printf("%s/%s", site->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    if (certificate)
        assert_int_equal(PEM_write_X509(file, certificate), 1);
    else
        assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    return path;
}

static int site_make(void **state)
{
    struct site *site = mem_zalloc(sizeof *site);
    struct names server = {
        .cn = "localhost", .cn_size = 9, .cn_type = V_ASN1_UTF8STRING, .ca = true};
    struct names client = {.cn = "acme", .cn_size = 4, .cn_type = V_ASN1_UTF8STRING};
    snprintf(site->folder, sizeof site->folder, "/tmp/tidegate-tls-XXXXXX");
    assert_non_null(mkdtemp(site->folder));
    site->key = EVP_EC_gen("P-256");
    site->client_key = EVP_EC_gen("P-256");
    site->certificate = certificate_make(site->key, &server, NULL, NULL);
    site->client_certificate =
        certificate_make(site->client_key, &client, site->certificate, site->key);
    site->certificate_file = save(site, "server.pem", site->certificate, NULL);
    site->key_file = save(site, "server.key", NULL, site->key);
    site->client = SSL_CTX_new(TLS_client_method());
    *state = site;
    return 0;
}

static int site_free(void **state)
{
    struct site *site = *state;
    unlink(site->certificate_file);
    unlink(site->key_file);
    rmdir(site->folder);
    free(site->certificate_file);
    free(site->key_file);
    X509_free(site->certificate);
    X509_free(site->client_certificate);
    EVP_PKEY_free(site->key);
    EVP_PKEY_free(site->client_key);
    SSL_CTX_free(site->client);
    free(site);
    return 0;
}

static struct tls_context *context_make(const struct site *site, bool mutual)
{
    struct tls_context *context = NULL;
    struct err err;
    struct tls_options options = {.listen = (char[]){"127.0.0.1:0"},
                                  .certificate_file = site->certificate_file,
                                  .key_file = site->key_file,
                                  .tickets_ms = 60000};
    if (mutual) {
        options.client = TLS_CLIENT_REQUIRE;
        options.vendor_from = TLS_NAME_CN;
        options.client_ca_file = site->certificate_file;
    }
    if (tls_context_new(&options, &disk_real, NULL, &context, &err))
        fail_msg("%s", err.text);
    return context;
}

/* ---- two ends ---- */

struct pair {
    struct tls_context *context;
    struct tls_io io;
    struct tls *server;
    SSL *client;
    BIO *in, *out; /* the client's */
    uint8_t plain[WIRE_SIZE];
    size_t plain_size; /* that the server read */
};

/* What the client has said goes to the server, in pieces of `piece` bytes (0: at once), and back. */
static void pump(struct pair *pair, size_t piece)
{
    static uint8_t wire[WIRE_SIZE];
    struct tls *server = pair->server;
    int size = BIO_read(pair->out, wire, sizeof wire);
    pair->plain_size = 0;
    size_t all = size > 0 ? (size_t)size : 0, each = piece ? piece : all;
    for (size_t at = 0; at < all; at += each) {
        counted = true;
        pair->io.in = bytes_of(wire + at, all - at < each ? all - at : each);
        if (server->state == TLS_HANDSHAKE)
            tls_handshake(server);
        if (server->state == TLS_OPEN)
            pair->plain_size += tls_read(server, pair->plain + pair->plain_size,
                                         sizeof pair->plain - pair->plain_size);
        counted = false;
        BIO_write(pair->in, pair->io.out.data, (int)pair->io.out.size);
        buffer_clear(&pair->io.out);
    }
}

static struct pair *pair_new(const struct site *site, int version, bool mutual, size_t piece)
{
    struct pair *pair = mem_zalloc(sizeof *pair);
    pair->context = context_make(site, mutual);
    pair->client = SSL_new(site->client);
    pair->in = BIO_new(BIO_s_mem());
    pair->out = BIO_new(BIO_s_mem());
    SSL_set_bio(pair->client, pair->in, pair->out);
    SSL_set_max_proto_version(pair->client, version);
    if (mutual) {
        SSL_use_certificate(pair->client, site->client_certificate);
        SSL_use_PrivateKey(pair->client, site->client_key);
        SSL_add1_chain_cert(pair->client, site->certificate);
    }
    SSL_set_connect_state(pair->client);
    counted = true;
    pair->server = tls_new(pair->context, &pair->io);
    counted = false;
    for (int turn = 0; turn < 4; turn++) {
        SSL_do_handshake(pair->client);
        pump(pair, piece);
    }
    assert_int_equal(pair->server->state, TLS_OPEN);
    return pair;
}

static void pair_free(struct pair *pair)
{
    tls_free(pair->server);
    SSL_free(pair->client);
    tls_context_release(pair->context);
    buffer_fini(&pair->io.out);
    free(pair);
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* ---- tests ---- */

static void bytes_go_both_ways_in_any_pieces(void **state)
{
    static const size_t pieces[] = {0, 1, 5, 1000};
    for (size_t i = 0; i < array_count(versions) * array_count(pieces); i++) {
        size_t piece = pieces[i / array_count(versions)];
        struct pair *pair = pair_new(*state, versions[i % array_count(versions)], false, piece);
        char answer[16] = {0};
        for (int turn = 0; turn < 100; turn++) /* a record each */
            assert_int_equal(SSL_write(pair->client, "0123456789", 10), 10);
        pump(pair, piece);
        assert_int_equal(pair->plain_size, 1000);
        assert_memory_equal(pair->plain + 990, "0123456789", 10);
        assert_true(tls_write(pair->server, bytes_of("answer", 6)));
        BIO_write(pair->in, pair->io.out.data, (int)pair->io.out.size);
        buffer_clear(&pair->io.out);
        assert_int_equal(SSL_read(pair->client, answer, sizeof answer), 6);
        assert_string_equal(answer, "answer");
        pair_free(pair);
    }
}

static void idle_connection_costs_at_most_17_kib(void **state)
{
    for (size_t i = 0; i < array_count(versions); i++) {
        pair_free(pair_new(*state, versions[i], false, 0)); /* what OpenSSL makes once */
        size_t before = heap_bytes;
        struct pair *pair = pair_new(*state, versions[i], false, 0);
        SSL_write(pair->client, "\xc0\0", 2);
        pump(pair, 0);
        counted = true;
        tls_write(pair->server, bytes_of("\xd0\0", 2));
        counted = false;
        size_t bytes = heap_bytes - before + sizeof(struct tls) + 16;
        print_message("%s: %zu bytes\n", SSL_get_version(pair->client), bytes);
        assert_true(bytes > 4096 && bytes <= IDLE_BYTES_MAX);
        pair_free(pair);
        assert_int_equal(heap_bytes, before);
    }
}

static void begun_record_is_unfinished(void **state)
{
    uint8_t wire[64];
    struct pair *pair = pair_new(*state, TLS1_3_VERSION, false, 0);
    SSL_write(pair->client, "abc", 3);
    int size = BIO_read(pair->out, wire, sizeof wire);
    assert_false(tls_unfinished(pair->server));
    for (int at = 0; at < size; at++) {
        pair->io.in = bytes_of(wire + at, 1);
        size_t taken = tls_read(pair->server, pair->plain, sizeof pair->plain);
        assert_int_equal(taken, at == size - 1 ? 3 : 0);
        assert_int_equal(tls_unfinished(pair->server), at < size - 1);
    }
    pair_free(pair);
}

static void key_updates_are_taken_but_a_flood_is_not(void **state)
{
    struct pair *pair = pair_new(*state, TLS1_3_VERSION, false, 0);
    for (int second = 0; second < 3; second++) {
        for (int i = 0; i < 5; i++) {
            SSL_key_update(pair->client, SSL_KEY_UPDATE_REQUESTED);
            SSL_write(pair->client, "x", 1);
            pump(pair, 0);
            SSL_read(pair->client, pair->plain, 1); /* its answer */
            assert_int_equal(pair->server->state, TLS_OPEN);
        }
        tls_calm(pair->server);
    }
    for (int i = 0; i < 100; i++) {
        SSL_key_update(pair->client, SSL_KEY_UPDATE_NOT_REQUESTED);
        SSL_do_handshake(pair->client);
    }
    pump(pair, 0);
    assert_int_equal(pair->server->state, TLS_FAILED);
    assert_int_equal(pair->server->reason, TLS_FLOOD);
    assert_false(tls_write(pair->server, bytes_of("x", 1)));
    pair_free(pair);
}

static void renegotiation_is_declined_and_counts(void **state)
{
    struct pair *pair = pair_new(*state, TLS1_2_VERSION, false, 0);
    SSL_renegotiate(pair->client);
    SSL_do_handshake(pair->client);
    pump(pair, 0);
    assert_int_equal(pair->server->state, TLS_OPEN);
    assert_true(pair->server->updates > 0);
    assert_true(SSL_do_handshake(pair->client) <= 0);
    pair_free(pair);
}

static void close_notify_ends_and_damage_fails(void **state)
{
    for (size_t i = 0; i < array_count(versions); i++) {
        struct pair *pair = pair_new(*state, versions[i], false, 0);
        SSL_shutdown(pair->client);
        pump(pair, 0);
        assert_int_equal(pair->server->state, TLS_ENDED);
        pair_free(pair);
        pair = pair_new(*state, versions[i], false, 0);
        uint8_t wire[64];
        SSL_write(pair->client, "abc", 3);
        int size = BIO_read(pair->out, wire, sizeof wire);
        wire[size - 1] ^= 1;
        pair->io.in = bytes_of(wire, (size_t)size);
        assert_int_equal(tls_read(pair->server, pair->plain, sizeof pair->plain), 0);
        assert_int_equal(pair->server->state, TLS_FAILED);
        assert_int_equal(pair->server->reason, TLS_MALFORMED);
        pair_free(pair);
    }
}

static void client_certificate_names_its_vendor(void **state)
{
    for (size_t i = 0; i < array_count(versions); i++) {
        struct pair *pair = pair_new(*state, versions[i], true, 0);
        assert_string_equal(pair->server->vendor, "acme");
        pair_free(pair);
    }
}

static void names_are_taken_by_one_rule_only(void **state)
{
    struct site *site = *state;
    static const struct {
        struct names names;
        enum tls_name from;
        const char *prefix, *suffix, *vendor; /* null: refused */
    } cases[] = {
#define CN(text) .cn = text, .cn_size = sizeof(text) - 1, .cn_type = V_ASN1_UTF8STRING
        {{CN("acme")}, TLS_NAME_CN, NULL, NULL, "acme"},
        {{CN("Acme_1.b-c")}, TLS_NAME_CN, NULL, NULL, "Acme_1.b-c"},
        {{CN("meters.acme.example")}, TLS_NAME_CN, "meters.", ".example", "acme"},
        {{CN("acme.example")}, TLS_NAME_CN, "meters.", ".example", NULL},
        {{CN(".example")}, TLS_NAME_CN, NULL, ".example", NULL},
        {{CN("acme\0.evil")}, TLS_NAME_CN, NULL, NULL, NULL},
        {{CN("acme\0")}, TLS_NAME_CN, NULL, NULL, NULL},
        {{CN("ac\xff\xfe")}, TLS_NAME_CN, NULL, NULL, NULL},
        {{CN("\xc3\xbc")}, TLS_NAME_CN, NULL, NULL, NULL},
        {{CN("*")}, TLS_NAME_CN, NULL, NULL, NULL},
        {{CN("acme/+")}, TLS_NAME_CN, NULL, NULL, NULL},
        {{CN("acme "), .cn_more = NULL}, TLS_NAME_CN, NULL, NULL, NULL},
        {{CN("acme"), .cn_more = "borealis"}, TLS_NAME_CN, NULL, NULL, NULL},
        {{CN("a123456789012345678901234567890123456789012345678901234567890123")},
         TLS_NAME_CN,
         NULL,
         NULL,
         "a123456789012345678901234567890123456789012345678901234567890123"},
        {{.cn = "\0a\0c\0m\0e", .cn_size = 8, .cn_type = V_ASN1_BMPSTRING},
         TLS_NAME_CN,
         NULL,
         NULL,
         "acme"},
        {{.san = "DNS:acme"}, TLS_NAME_CN, NULL, NULL, NULL},
        {{CN("borealis"), .san = "DNS:acme"}, TLS_NAME_DNS, NULL, NULL, "acme"},
        {{CN("acme")}, TLS_NAME_DNS, NULL, NULL, NULL},
        {{.san = "DNS:acme,DNS:borealis"}, TLS_NAME_DNS, NULL, NULL, NULL},
        {{.san = "DNS:acme,URI:urn:vendor:borealis"}, TLS_NAME_DNS, NULL, NULL, "acme"},
        {{.san = "DNS:acme,URI:urn:vendor:borealis"},
         TLS_NAME_URI,
         "urn:vendor:",
         NULL,
         "borealis"},
        {{.san = "URI:urn:vendor:"}, TLS_NAME_URI, "urn:vendor:", NULL, NULL},
        {{.san = "email:acme@example.org"}, TLS_NAME_EMAIL, NULL, "@example.org", "acme"},
        {{.san = "email:acme@example.org"}, TLS_NAME_EMAIL, NULL, NULL, NULL},
        {{CN("acme")}, TLS_NAME_NONE, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        char vendor[ACCESS_VENDOR_SIZE] = "";
        struct tls_name_rule rule = {cases[i].from, cases[i].prefix, cases[i].suffix};
        X509 *certificate = certificate_make(site->client_key, &cases[i].names, NULL, NULL);
        enum tls_reason reason = tls_name_read(&rule, certificate, vendor);
        if (reason != (cases[i].vendor ? TLS_OK : TLS_NAME) ||
            (cases[i].vendor && strcmp(cases[i].vendor, vendor) != 0))
            fail_msg("case %zu: \"%s\", %s", i, vendor, reason ? tls_reason_names[reason] : "ok");
        X509_free(certificate);
    }
}

static void wrong_options_are_refused_with_a_sentence(void **state)
{
    struct site *site = *state;
    char *one = (char[]){"x"};
    const struct {
        struct tls_options options;
        const char *says;
    } cases[] = {
        {{.certificate_file = one}, "needs certificate_file and key_file"},
        {{.certificate_file = one, .key_file = one, .client = TLS_CLIENT_REQUIRE},
         "require needs client_ca_file"},
        {{.certificate_file = one, .key_file = one, .crl_file = one}, "are for client: optional"},
        {{.certificate_file = one, .key_file = one, .vendor_prefix = one}, "need vendor_from"},
        {{.certificate_file = site->certificate_file,
          .key_file = site->key_file,
          .ciphers = (char[]){"NONSENSE"}},
         "ciphers"},
        {{.certificate_file = site->key_file, .key_file = site->key_file}, "holds no certificate"},
        {{.certificate_file = site->certificate_file, .key_file = site->certificate_file},
         "holds no private key"},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct tls_context *context = NULL;
        struct err err = {{0}};
        assert_int_equal(tls_context_new(&cases[i].options, &disk_real, NULL, &context, &err),
                         GW_EINVAL);
        assert_null(context);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("case %zu: %s", i, err.text);
    }
}

int main(void)
{
    assert_int_equal(CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free), 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways_in_any_pieces),
        cmocka_unit_test(idle_connection_costs_at_most_17_kib),
        cmocka_unit_test(begun_record_is_unfinished),
        cmocka_unit_test(key_updates_are_taken_but_a_flood_is_not),
        cmocka_unit_test(renegotiation_is_declined_and_counts),
        cmocka_unit_test(close_notify_ends_and_damage_fails),
        cmocka_unit_test(client_certificate_names_its_vendor),
        cmocka_unit_test(names_are_taken_by_one_rule_only),
        cmocka_unit_test(wrong_options_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, site_make, site_free);
}
