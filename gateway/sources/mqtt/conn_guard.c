/* SPDX-License-Identifier: Apache-2.0
 *
 * How many connections there may be: of all that have not logged in, of one address, of one vendor; and
 * what is written down of one that is refused. Separate from conn.c because the address may become known late (PROXY protocol). Loop thread.
 */
#include "sources/mqtt/conn.h"
#include "sources/mqtt/hosts.h"

static bool by_address(const struct conn *conn)
{
    const struct shared *shared = conn->loop->shared;
    return shared->hosts && !conn->proxy_wanted && address_known(&conn->peer) &&
           !networks_contain(shared->exempt, shared->exempt_count, &conn->peer);
}

bool conn_admit(struct conn *conn)
{
    struct shared *shared = conn->loop->shared;
    conn_uncount(conn);
    if (atomic_fetch_add(&shared->unnamed, 1) >= shared->unnamed_max) {
        atomic_fetch_sub(&shared->unnamed, 1);
        conn_close(conn, CLOSE_UNNAMED_MAX);
        return false;
    }
    conn->unnamed = true;
    if (!by_address(conn))
        return true;
    conn->counted = hosts_open(shared->hosts, &conn->peer);
    if (!conn->counted)
        conn_close(conn, CLOSE_ADDRESS_MAX);
    return conn->counted;
}

bool conn_admit_vendor(struct conn *conn)
{
    struct shared *shared = conn->loop->shared;
    const struct access_quota *quota = &conn->grant->grant.quota;
    if (conn->unnamed) {
        conn->unnamed = false;
        atomic_fetch_sub(&shared->unnamed, 1);
        if (conn->counted)
            hosts_named(shared->hosts, &conn->peer);
    }
    /* Who takes a session over from a connection of its own is not one more. */
    uint64_t open = atomic_fetch_add(&conn->grant->vendor->connections, 1);
    conn->of_vendor = true;
    if (quota->connections == 0 || open < (uint64_t)quota->connections || !conn->owner)
        return true;
    conn_close(conn, CLOSE_VENDOR_MAX);
    return false;
}

void conn_leave_vendor(struct conn *conn)
{
    if (conn->of_vendor)
        atomic_fetch_sub(&conn->grant->vendor->connections, 1);
    conn->of_vendor = false;
}

void conn_uncount(struct conn *conn)
{
    struct shared *shared = conn->loop->shared;
    if (conn->counted)
        hosts_closed(shared->hosts, &conn->peer, !conn->unnamed);
    if (conn->unnamed)
        atomic_fetch_sub(&shared->unnamed, 1);
    conn->counted = conn->unnamed = false;
}

void conn_audit_refusal(const struct conn *conn, struct bytes client, struct bytes topic,
                        const char *why)
{
    struct bytes vendor = bytes_text(conn->grant->grant.vendor);
    audit_log_add(access_audit(conn->loop->shared->access),
                  &(struct audit_entry){.what = AUDIT_PUBLISH,
                                        .result = AUDIT_REFUSED,
                                        .who = conn->user ? bytes_text(conn->user) : vendor,
                                        .client = client,
                                        .from = conn->peer,
                                        .object = topic,
                                        .why = why});
}
