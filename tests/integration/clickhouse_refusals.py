#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway and ClickHouse servers that refuse: another table, no table, no permission, too many parts, a row
that is not taken, a certificate that is not trusted. What is said, and that nothing is lost until it is mended."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import stores  # noqa: E402
from clickhouse import PASSWORD, ClickHouse, Proxy, QueryError, need  # noqa: E402
from clickhouse_gateway import assert_stores_equal, both, feeding  # noqa: E402
from gateway import wait_until  # noqa: E402


def refused_at_start(gateway, *words):
    """It does not start, and says why in a sentence with these words."""
    gateway.start(ready=False)
    try:
        code = gateway.process.wait(20)
    except subprocess.TimeoutExpired:
        gateway.kill()
        raise AssertionError(f"it started:\n{gateway.log()}") from None
    assert code not in (0, None) and code > 0, f"exit code {code}\n{gateway.log()}"
    absent = [word for word in words if word not in gateway.log()]
    assert not absent, f"not told: {absent}\n{gateway.log()}"


@both
def a_missing_table_is_refused_with_the_way_to_make_it(version):
    with ClickHouse(version) as server, feeding(server.url()) as gateway:
        refused_at_start(gateway, "readings", "tidegate clickhouse ddl")
    with ClickHouse(version) as server, feeding(server.url("nowhere")) as gateway:
        refused_at_start(gateway, "nowhere")


@both
def a_missing_or_different_column_is_refused_by_name(version):
    with ClickHouse(version) as server:
        server.create_tables()
        server.send("ALTER TABLE readings DROP COLUMN time_source")
        server.send("ALTER TABLE readings MODIFY COLUMN unit " + ("Nullable(String)" if version == "18.16" else "UInt8"))
        with feeding(server.url()) as gateway:
            refused_at_start(gateway, "time_source", "unit")


@both
def a_table_that_would_keep_a_row_twice_is_refused(version):
    with ClickHouse(version) as server:
        ddl = server.create_tables()
        server.send("DROP TABLE readings")
        create = next(statement for statement in ddl.split(";\n") if "ReplacingMergeTree" in statement)
        server.send(without_comments(create.replace("ReplacingMergeTree(version)", "MergeTree()")))
        with feeding(server.url()) as gateway:
            refused_at_start(gateway, "MergeTree")


def without_comments(text):
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))


@both
def a_wrong_password_is_told_and_nothing_is_lost_until_it_is_right(version):
    with ClickHouse(version) as server:
        server.create_tables()
        secret = os.path.join(server.folder, "password")
        write_secret(secret, "wrong")
        with feeding(server.url(), user="gateway", password_file=secret) as gateway:
            refused_at_start(gateway, "gateway")
            assert "wrong" not in gateway.log().replace("wrong password", "").replace("Wrong password", ""), \
                "the password stands in the log"
            write_secret(secret, PASSWORD)
            gateway.start()
            gateway.sim("--count", "500", "--rate", "max", "--meters", "100")
            gateway.settled(messages=500)
            assert_stores_equal(gateway, server)


def write_secret(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    os.chmod(path, 0o600)


@both
def a_user_who_may_only_read_is_denied_and_the_others_go_on(version):
    with ClickHouse(version) as server:
        server.create_tables()
        secret = os.path.join(server.folder, "password")
        write_secret(secret, PASSWORD)
        with feeding(server.url(), user="reader", password_file=secret) as gateway:
            gateway.start()
            gateway.sim("--count", "500", "--rate", "max", "--meters", "100")
            denied = stores.lane_becomes(gateway, "clickhouse", "is denied", lambda lane: lane["why"])
            assert "reader" in denied["why"] or "164" in denied["why"], denied
            wait_until("Parquet goes on", lambda: stores.lane(gateway, "parquet")["lag_messages"] == 0)
            reasons = [name for name, value in gateway.metrics().items() if "denied" in name and value]
            assert reasons, "no metric tells it"
            assert server.value("SELECT count() FROM readings") == 0


def test_a_table_dropped_under_load_halts_only_this_lane_18_16():
    """Once: where an operator must act, the lane tries only every half minute."""
    version = "18.16"
    need(version)
    with ClickHouse(version) as server, feeding(server.url()) as gateway:
        server.create_tables()
        gateway.start()
        gateway.sim("--count", "1000", "--rate", "max", "--meters", "200")
        gateway.settled(messages=1000)
        server.send("RENAME TABLE readings TO kept")
        gateway.sim("--count", "1000", "--rate", "max", "--meters", "200", "--seed", "2")
        told = stores.lane_becomes(gateway, "clickhouse", "tells it", lambda lane: "60" in lane["why"] or
                                   "readings" in lane["why"])
        wait_until("Parquet goes on", lambda: stores.lane(gateway, "parquet")["lag_messages"] == 0)
        assert told["health"] != "ok", told
        server.send("RENAME TABLE kept TO readings")
        gateway.settled(messages=2000, seconds=90)
        assert_stores_equal(gateway, server)


@both
def too_many_parts_are_waited_for(version):
    limit = "<merge_tree><parts_to_delay_insert>3</parts_to_delay_insert><parts_to_throw_insert>4</parts_to_throw_insert></merge_tree>"
    with ClickHouse(version, extra=limit) as server, feeding(server.url()) as gateway:
        server.create_tables()
        server.send("SYSTEM STOP MERGES")
        gateway.start()
        rounds = 0

        def told():
            nonlocal rounds
            rounds += 1
            gateway.sim("--count", "300", "--rate", "max", "--meters", "100", "--seed", str(rounds))
            return "TOO_MANY_PARTS" in stores.lane(gateway, "clickhouse")["why"]
        wait_until("the server takes no more parts", told, 60, 0.3)
        assert stores.lane(gateway, "clickhouse")["health"] == "retrying"
        server.send("SYSTEM START MERGES")

        def merged():  # by itself the server does not bother for so few parts
            server.send("OPTIMIZE TABLE readings FINAL")
            return stores.lane(gateway, "clickhouse")["lag_messages"] == 0
        wait_until("the rest is taken", merged, 90, 0.5)
        gateway.settled(messages=300 * rounds)
        assert_stores_equal(gateway, server)


@both
def a_row_that_the_table_refuses_is_a_dead_letter_and_the_rest_is_stored(version):
    """The operator's own rule on the table: a constraint, and before there were any, a default that throws."""
    with ClickHouse(version) as server, feeding(server.url()) as gateway:
        server.create_tables()
        server.send("ALTER TABLE readings " + (
            "ADD COLUMN sane UInt8 DEFAULT throwIf(device = 'poison')" if version == "18.16" else
            "ADD CONSTRAINT sane CHECK device != 'poison'"))
        gateway.start()
        gateway.sim("--count", "300", "--rate", "max", "--meters", "100")
        for value in (1, 2):
            gateway.publish("v1/aqua/poison/json", b'{"time": %d, "level": %d}' % (time.time() - value, value), "-q", "1")
        gateway.sim("--count", "300", "--rate", "max", "--meters", "100", "--seed", "2")
        gateway.settled(messages=602)
        found = stores.clickhouse_rows(server)
        kept = [row for row in stores.newest(stores.parquet_rows(gateway), like=found) if row[1] != "poison"]
        stores.assert_same(found, kept, "without the poison")
        listed = gateway.verb("deadletter", "ls", "--data", gateway.data, "--json", check=0).stdout.decode()
        assert listed.count("poison") == 2, listed


# ---- rights, TLS ----

def test_insert_and_describe_are_rights_enough_26_7():
    need("26.7")
    with ClickHouse("26.7") as server:
        server.create_tables()
        secret = os.path.join(server.folder, "password")
        write_secret(secret, PASSWORD)
        with feeding(server.url(), user="gateway", password_file=secret) as gateway:
            gateway.start()
            gateway.sim("--count", "500", "--rate", "max", "--meters", "100")
            gateway.settled(messages=500)
            assert_stores_equal(gateway, server)
            try:
                server.query("SELECT * FROM readings", user="gateway")
                raise AssertionError("this user may more than the test says")
            except QueryError as error:
                assert error.code == 497, error


@both
def https_is_spoken_to_a_certificate_that_is_trusted_and_to_no_other(version):
    """18.16 speaks TLS itself; 26.7 from npm cannot, so something that does stands in front."""
    with ClickHouse(version, https=version == "18.16") as server, Proxy(server.port, server.folder) as proxy:
        server.create_tables()
        port = server.https_port or proxy.port
        url = f"https://127.0.0.1:{port}/default"
        with feeding(url, tls_ca_file=os.path.join(server.folder, "server.crt")) as gateway:
            gateway.start()
            gateway.sim("--count", "2000", "--rate", "max", "--meters", "500")
            gateway.settled(messages=2000)
            assert_stores_equal(gateway, server)
        with feeding(url) as gateway:
            gateway.start(ready=False)
            wait_until("it says what is wrong", lambda: "certificate" in gateway.log().lower() or
                       gateway.process.poll() is not None)
            assert "certificate" in gateway.log().lower(), gateway.log()

if __name__ == "__main__":
    lib.run(dict(globals()))
