/* SPDX-License-Identifier: Apache-2.0
 *
 * The options of section `mqtt`, and what of them is refused. Read-only, any thread.
 */
#include <netdb.h>
#include <stdlib.h>

#include "base/log.h"
#include "sources/mqtt/listener_internal.h"

#define AT(member) offsetof(struct listener_options, member)

const struct option listener_option_rows[] = {
    {"listen", OPTION_ADDRESS, AT(listen), "127.0.0.1:1883", 0, OPTION_ADDRESS_NONE, NULL,
     "HOST:PORT to listen on without TLS; port 0 picks a free one; none: only section tls "
     "listens."},
    {"insecure", OPTION_BOOL, AT(insecure), "false", 0, 0, NULL,
     "Whether `listen` may be an address beyond loopback: what goes there, passwords included, can "
     "be read and changed on the way. Section tls is the other choice."},
    {"proxy_from", OPTION_STRING, AT(proxy_from), NULL, 0, 0, NULL,
     "Addresses and networks, with commas, of balancers that send a PROXY header of version 2 "
     "before anything else, to both ports; nobody else may send one."},
    {"share_port", OPTION_BOOL, AT(share_port), "false", 0, 0, NULL,
     "Whether other gateways of this user may listen on the same port; the kernel then spreads "
     "connections over them."},
    {"loops", OPTION_INT, AT(loops), "0", 0, LOOPS_MAX, NULL,
     "Threads that serve connections; 0: one for two processors, at least one."},
    {"max_packet", OPTION_SIZE, AT(max_packet_bytes), "1MiB", 64, 256 << 20, NULL,
     "Larger packets end the connection (MQTT 5: announced as Maximum Packet Size)."},
    {"receive_max", OPTION_INT, AT(receive_max), "4096", 1, 65535, NULL,
     "PUBLISH packets of one connection that may wait for their acknowledgement (MQTT 5: Receive "
     "Maximum; older clients are not read from beyond it)."},
    {"receive_max_strict", OPTION_BOOL, AT(receive_max_strict), "true", 0, 0, NULL,
     "Whether an MQTT 5 client that passes receive_max is disconnected, or only counted."},
    {"topic_alias_max", OPTION_INT, AT(topic_alias_max), "32", 0, 65535, NULL,
     "Topic aliases of one connection (MQTT 5)."},
    {"topic_levels_max", OPTION_INT, AT(topic_levels_max), "128", 1, 65536, NULL,
     "Levels of a topic; more end the connection."},
    {"keep_alive_max", OPTION_INT, AT(keep_alive_max_s), "65535", 1, 65535, NULL,
     "Seconds; the longest keep alive granted (MQTT 5: Server Keep Alive), and the limit for "
     "clients "
     "that ask for none."},
    {"connect_timeout", OPTION_DURATION, AT(connect_timeout_ms), "10s", 100, 3600000, NULL,
     "From accept to a whole CONNECT."},
    {"packet_timeout", OPTION_DURATION, AT(packet_timeout_ms), "60s", 100, 86400000, NULL,
     "From the first to the last byte of a packet."},
    {"held_bytes", OPTION_SIZE, AT(held_bytes), "1MiB", 4096, 1 << 30, NULL,
     "A connection is read on while so much of it waits for the disk."},
    {"hold_max", OPTION_DURATION, AT(hold_max_ms), "5m", 1000, 86400000, NULL,
     "A connection that could not be served for so long is closed; its client keeps what was not "
     "acknowledged."},
    {"session_expiry_max", OPTION_INT, AT(session_expiry_max_s), "604800", 0, UINT32_MAX, NULL,
     "Seconds that a session is kept without connection; longer wishes are cut to this."},
    {"sessions_max", OPTION_INT, AT(sessions_max), "1000000", 1, 100000000, NULL,
     "Sessions kept without connection; beyond that the oldest is dropped and counted."},
    {"connections_max", OPTION_INT, AT(connections_max), "0", 0, 10000000, NULL,
     "Connections at a time; 0: what the limit on open files allows, less a reserve."},
    {"unnamed_max", OPTION_INT, AT(unnamed_max), "0", 0, 10000000, NULL,
     "Connections at a time that have not logged in; 0: three quarters of connections_max."},
    {"address_connections_max", OPTION_INT, AT(address_connections_max), "0", 0, 10000000, NULL,
     "Connections of one address (IPv6: one /64) at a time; 0: no limit."},
    {"address_unnamed_max", OPTION_INT, AT(address_unnamed_max), "0", 0, 10000000, NULL,
     "Likewise of those that have not logged in."},
    {"address_exempt", OPTION_STRING, AT(address_exempt), NULL, 0, 0, NULL,
     "Addresses and networks, with commas, that no limit and no lock-out by address holds for: "
     "balancers without the PROXY protocol, behind which everybody has one address."},
    {"login_threads", OPTION_INT, AT(login_threads), "1", 1, 16, NULL,
     "Threads that check passwords; each may need 64 MiB while it does."},
    {"login_queue", OPTION_INT, AT(login_queue), "256", 1, 100000, NULL,
     "Logins that may wait for them; beyond, clients hear that the server is busy."},
    {"will_max", OPTION_SIZE, AT(will_bytes_max), "64KiB", 0, 1 << 20, NULL,
     "Payload and properties of a will; larger ones are refused at CONNECT."},
    {"user_properties_max", OPTION_INT, AT(user_properties_max), "100", 0, 1000000, NULL,
     "User properties of one packet (MQTT 5)."},
    {"write_queue_max", OPTION_SIZE, AT(write_queue_max), "256KiB", 1024, 1 << 30, NULL,
     "Bytes that a peer may leave unread before it is closed."},
    {"poll_tick", OPTION_DURATION, AT(poll_tick_ms), "5ms", 0, 100, NULL,
     "How long a loop may wait for more while many sockets are ready: costs delay, saves processor "
     "time; 0: never."},
    {0},
};

/* ---- where it listens ---- */

/* HOST:PORT, checked by its row: in two texts, which the caller frees. */
static void address_split(const char *address, char **host, char **port)
{
    const char *colon = strrchr(address, ':');
    size_t size = (size_t)(colon - address);
    bool bracketed = size >= 2 && address[0] == '[' && address[size - 1] == ']';
    *host = bytes_strdup(bytes_of(address + bracketed, size - 2 * (size_t)bracketed));
    *port = mem_strdup(colon + 1);
}

int listener_resolve(const char *address, bool numeric_only, struct addrinfo **out)
{
    char *host, *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | (numeric_only ? AI_NUMERICHOST : 0)};
    address_split(address, &host, &port);
    int status = getaddrinfo(*host ? host : NULL, port, &hints, out);
    free(host);
    free(port);
    return status;
}

int listener_plain_check(const struct listener_options *options, const struct sockaddr *to,
                         struct err *err)
{
    struct address address = address_of(to);
    if (options->insecure || address_is_loopback(&address))
        return 0;
    return err_set(
        err, GW_EINVAL,
        "mqtt: listen on %s would be MQTT without TLS beyond this machine: passwords and "
        "readings could be read and changed on the way. Listen with TLS (section tls), "
        "or on 127.0.0.1; or, in a network that you trust, say insecure: true in "
        "section mqtt (--insecure)",
        options->listen);
}

/* A name may mean something else when the gateway starts; then it is checked again. */
int listener_options_check(const struct listener_options *options, struct err *err)
{
    struct addrinfo *found = NULL;
    struct network *networks;
    size_t count;
    int rc = networks_parse(options->proxy_from, &networks, &count, err);
    if (rc)
        return err_wrap(err, rc, "mqtt: proxy_from");
    free(networks);
    if (options->listen && listener_resolve(options->listen, true, &found) == 0)
        rc = listener_plain_check(options, found->ai_addr, err);
    if (found)
        freeaddrinfo(found);
    if (rc == 0 && options->listen == NULL && options->tls.listen == NULL)
        rc = err_set(err, GW_EINVAL,
                     "mqtt: listen: none needs section tls: nobody could connect at all");
    return rc;
}
