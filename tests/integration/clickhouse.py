#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway and real ClickHouse servers, 18.16 and 26.7: what arrives, and what becomes of it when a server is
away, dies, answers wrongly or has another table. Parquet of the same gateway is the measure: the same rows."""
import json
import os
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import oracle  # noqa: E402
import stores  # noqa: E402
from clickhouse import PASSWORD, VERSIONS, ClickHouse, Proxy, QueryError, ZooKeeper, make_certificate, need  # noqa: E402
from gateway import Gateway, Skip, wait_until  # noqa: E402

FAULTS = ("--garbage", "5", "--duplicates", "10", "--late", "10", "--resets", "1", "--clock-skew", "5")


def both(function):
    """A test of each version: test_NAME_18_16 and test_NAME_26_7."""
    for version in VERSIONS:
        def test(version=version):
            need(version)
            if lib.reader_missing():
                raise Skip(lib.reader_missing())
            function(version)
        globals()[f"test_{function.__name__}_{version.replace('.', '_')}"] = test
    return function


def sink(*urls, **options):
    return dict({"type": "clickhouse", "url": ",".join(urls), "flush_age": "300ms"}, **options)


def feeding(*urls, **options):
    """A gateway that stores in Parquet and in ClickHouse."""
    return Gateway(config=stores.config(sink(*urls, **options)))


def load_start(gateway, count=6000, rate="3000", **options):
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return gateway.sim_start("--count", str(count), "--rate", rate, "--meters", "500", "--patience", "60s", *words)


def load_end(sim):
    out, errors = sim.communicate(timeout=120)
    assert sim.returncode == 0, out.decode() + errors.decode()


def assert_stores_equal(gateway, *servers, final=True):
    """The rows of all servers together are those of Parquet; returns them."""
    wanted = stores.newest(stores.parquet_rows(gateway))
    assert wanted, "nothing was stored"
    found = sorted((row for server in servers for row in stores.clickhouse_rows(server, final)), key=stores.order)
    stores.assert_same(found, wanted, " + ".join(server.what for server in servers))
    return wanted


# ---- what arrives ----

@both
def each_reading_is_in_clickhouse_as_it_is_in_parquet(version):
    with ClickHouse(version) as server, feeding(server.url()) as gateway:
        server.create_tables()
        gateway.start()
        sent = gateway.sim("--count", "8000", "--rate", "max", "--meters", "1000", *FAULTS)["published"]
        gateway.publish("v1/aqua/odd/json", '{"level": -0.0001, "ph": 7.25, "水温": 3, "flow": 1e-12}'.encode(), "-q", "1")
        gateway.publish("v1/aqua/odd/json", b'{"time": "2026-11-01T00:00:00.007+08:00", "level": 99999999999999.5,'
                        b' "turbidity": {"value": 0.31, "unit": "furlong"}}', "-q", "1")
        gateway.settled(messages=sent + 2)
        rows = assert_stores_equal(gateway, server)
        keys = server.value("SELECT count() FROM (SELECT 1 FROM readings GROUP BY vendor, device, metric, ts"
                            + (", ts_ms)" if version == "18.16" else ")"))
        assert server.value("SELECT count() FROM readings FINAL") == keys == len(rows)
        assert gateway.stop() == 0


@both
def all_may_be_sent_a_second_time_and_is_there_once(version):
    with ClickHouse(version) as server, feeding(server.url()) as gateway:
        server.create_tables()
        gateway.start()
        gateway.sim("--count", "3000", "--rate", "max", "--meters", "500")
        gateway.settled(messages=3000)
        assert gateway.stop() == 0
        for top, _, names in os.walk(gateway.data):
            for name in names:
                if "cursor" in os.path.join(top, name) and "clickhouse" in name:
                    os.unlink(os.path.join(top, name))
        gateway.start()
        gateway.settled(messages=3000)
        assert stores.lane(gateway, "clickhouse")["rows"] > 0, "nothing was sent again: the test tests nothing"
        assert_stores_equal(gateway, server)


@both
def readings_of_many_days_at_once_are_all_stored(version):
    """A server takes so many partitions in one INSERT (26.7: 100), so each day is an INSERT of its own."""
    with ClickHouse(version) as server, feeding(server.url()) as gateway:
        server.create_tables()
        gateway.start()
        now = int(time.time())
        points = [{"time": now - day * 86400, "level": day} for day in range(120)]
        gateway.publish("v1/aqua/late/json", json.dumps(points).encode(), "-q", "1")
        gateway.settled(messages=1)
        assert len(assert_stores_equal(gateway, server)) == 120
        days = "SELECT uniqExact(partition), count() FROM system.parts WHERE active AND table = 'readings'"
        assert server.query(days) == [[120, 120]], server.query(days)


# ---- a server that is away ----

@both
def a_server_that_is_down_at_the_start_gets_everything_later(version):
    with ClickHouse(version) as server:
        server.create_tables()
        server.stop()
        with feeding(server.url()) as gateway:
            gateway.start()
            gateway.sim("--count", "3000", "--rate", "max", "--meters", "500")
            down = stores.lane_becomes(gateway, "clickhouse", "has its reason",
                                       lambda lane: lane["health"] == "retrying" and lane["lag_messages"] == 3000)
            assert str(server.port) in down["why"], down
            wait_until("Parquet does not wait for it", lambda: stores.lane(gateway, "parquet")["lag_messages"] == 0)
            server.start()
            gateway.settled(messages=3000)
            assert_stores_equal(gateway, server)


@both
def a_server_killed_again_and_again_under_load_misses_nothing(version):
    with ClickHouse(version) as server, feeding(server.url()) as gateway:
        server.create_tables()
        gateway.start()
        sim = load_start(gateway, count=12000, rate="3000")
        for pause in (0.3, 0.05, 0.6, 0.2, 0.4):
            wait_until("rows come in", lambda: server.value("SELECT count() FROM readings") > 0)
            time.sleep(pause)
            server.kill()
            server.start()
        load_end(sim)
        gateway.settled(messages=12000)
        assert_stores_equal(gateway, server)


@both
def a_server_that_lost_what_it_had_confirmed_gets_it_again(version):
    """Its 200 is no sync. Power fails: it comes back with the disk of a while ago."""
    with ClickHouse(version) as server, feeding(server.url()) as gateway:
        server.create_tables()
        server.stop()
        data, copy = os.path.join(server.folder, "data"), os.path.join(server.folder, "disk of a while ago")
        shutil.copytree(data, copy, symlinks=True)
        server.start()
        gateway.start()
        gateway.sim("--count", "3000", "--rate", "max", "--meters", "500")
        gateway.settled(messages=3000)
        assert_stores_equal(gateway, server)
        wait_until("its uptime tells a restart from none", lambda: server.value("SELECT uptime()") >= 5)
        server.kill()
        gateway.sim("--count", "500", "--rate", "max", "--meters", "100", "--seed", "9")
        stores.lane_becomes(gateway, "clickhouse", "notices", lambda lane: lane["health"] == "retrying")
        shutil.rmtree(data)
        shutil.copytree(copy, data, symlinks=True)
        server.start()
        gateway.settled(messages=3500)
        wait_until("what was lost is there again", lambda: same(gateway, server), 60, 0.5)
        assert_stores_equal(gateway, server)


def same(gateway, server):
    return stores.clickhouse_rows(server) == stores.newest(stores.parquet_rows(gateway))


def test_sigterm_ends_within_10_seconds_while_the_server_is_down_or_stands_still():
    need("18.16")
    with ClickHouse("18.16") as server, feeding(server.url()) as gateway:
        server.create_tables()
        gateway.start()
        gateway.sim("--count", "1000", "--rate", "max", "--meters", "200")
        gateway.settled(messages=1000)
        server.pause()
        try:
            gateway.sim("--count", "1000", "--rate", "max", "--meters", "200", "--seed", "2")
            time.sleep(1)
            end_within(gateway, 10)
            gateway.start()
            end_within(gateway, 10)
        finally:
            server.go_on()
        server.kill()
        gateway.start()
        stores.lane_becomes(gateway, "clickhouse", "notices", lambda lane: lane["health"] == "retrying")
        end_within(gateway, 10)
        server.start()
        gateway.start()
        gateway.settled(messages=2000)
        assert_stores_equal(gateway, server)


def end_within(gateway, seconds):
    began = time.monotonic()
    assert gateway.stop(seconds=seconds + 5) == 0, gateway.log_tail()
    took = time.monotonic() - began
    assert took < seconds, f"it took {took:.1f} s to end\n{gateway.log_tail()}"


@both
def a_lost_answer_stores_nothing_twice(version):
    """The request arrives, the connection breaks before the 200: unknown. The same bytes come again."""
    with ClickHouse(version) as server, Proxy(server.port) as proxy:
        with feeding(server.url(port=proxy.port)) as gateway:
            server.create_tables()
            gateway.start()
            sim = load_start(gateway, count=6000, rate="3000")
            wait_until("rows come in", lambda: server.value("SELECT count() FROM readings") > 0)
            proxy.mode = "mute"
            wait_until("answers were lost", lambda: proxy.swallowed >= 3)
            proxy.mode = "pass"
            load_end(sim)
            gateway.settled(messages=6000)
            assert_stores_equal(gateway, server)
            if version == "26.7":  # its memory of tokens keeps even the merge from having anything to do
                assert_stores_equal(gateway, server, final=False)


@both
def kill_9_of_the_gateway_under_load_loses_nothing_and_adds_nothing(version):
    with ClickHouse(version) as server, feeding(server.url()) as gateway:
        server.create_tables()
        gateway.start()
        ledger = os.path.join(gateway.folder, "ledger")
        begin = time.strftime("%Y-%m-%dT00:00:00+08:00", time.gmtime(time.time() - 300 * 86400))
        sim = load_start(gateway, count=16000, rate="4000", ledger=ledger, begin=begin, backoff="100ms")
        for pause in (0.2, 0.5, 0.05, 0.7, 0.3, 0.4):
            wait_until("rows come in", lambda: gateway.status()["received"] > 0)
            time.sleep(pause)
            gateway.kill()
            gateway.start()
        load_end(sim)
        gateway.settled(messages=16000)
        rows, sent = [oracle.Row(*row) for row in assert_stores_equal(gateway, server)], oracle.ledger(ledger)
        assert len(sent) == 16000
        oracle.demand(oracle.of_the_ledger(server.what, sent, rows), oracle.planted(server.what, sent, rows))


# ---- a server that refuses ----

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
        kept = [row for row in stores.newest(stores.parquet_rows(gateway)) if row[1] != "poison"]
        stores.assert_same(stores.clickhouse_rows(server), kept, "without the poison")
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


# ---- several servers ----

# All of the log is read, and no part is left to fetch. Merges may be queued, they stand still.
CAUGHT_UP = """SELECT (SELECT log_pointer > log_max_index AND NOT is_readonly FROM system.replicas WHERE table = 'readings')
    AND (SELECT count() FROM system.replication_queue WHERE type = 'GET_PART') = 0"""


def test_of_two_replicas_one_may_die_and_no_row_is_there_twice_even_before_merges():
    need("18.16", zookeeper=True)
    with ZooKeeper() as keeper, ClickHouse(zookeeper=keeper, replica=1) as one, \
            ClickHouse(zookeeper=keeper, replica=2) as two:
        for server in (one, two):
            server.create_tables("--replicated")
            server.send("SYSTEM STOP MERGES")
        with feeding(one.url(), two.url()) as gateway:
            gateway.start()
            sim = load_start(gateway, count=12000, rate="2000")
            for server in (one, two, one):
                wait_until("rows come in", lambda: gateway.status()["received"] > 0)
                time.sleep(0.7)
                server.kill()
                time.sleep(0.8)
                server.start()
                server.send("SYSTEM STOP MERGES")
            load_end(sim)
            gateway.settled(messages=12000)
            for server in (one, two):
                wait_until(f"{server.port} has caught up", lambda: server.value(CAUGHT_UP) == 1)
                assert_stores_equal(gateway, server, final=False)


def test_a_replica_that_stands_still_is_left_for_the_other_and_what_it_took_meanwhile_is_not_there_twice():
    need("18.16", zookeeper=True)
    with ZooKeeper() as keeper, ClickHouse(zookeeper=keeper, replica=1) as one, \
            ClickHouse(zookeeper=keeper, replica=2) as two:
        for server in (one, two):
            server.create_tables("--replicated")
            server.send("SYSTEM STOP MERGES")
        with feeding(one.url(), two.url(), timeout="1s") as gateway:
            gateway.start()
            sim = load_start(gateway, count=8000, rate="1500")
            wait_until("rows come in", lambda: one.value("SELECT count() FROM readings") > 0)
            one.pause()
            try:
                before = two.value("SELECT count() FROM readings")
                wait_until("the other takes rows", lambda: two.value("SELECT count() FROM readings") > before, 30)
            finally:
                one.go_on()
            load_end(sim)
            gateway.settled(messages=8000)
            for server in (one, two):
                wait_until(f"{server.port} has caught up", lambda: server.value(CAUGHT_UP) == 1)
                assert_stores_equal(gateway, server, final=False)


def test_with_a_quorum_of_two_a_block_counts_when_both_replicas_have_it():
    need("18.16", zookeeper=True)
    with ZooKeeper() as keeper, ClickHouse(zookeeper=keeper, replica=1) as one, \
            ClickHouse(zookeeper=keeper, replica=2) as two:
        for server in (one, two):
            server.create_tables("--replicated")
        with feeding(one.url(), two.url(), insert_quorum=2, timeout="3s") as gateway:
            gateway.start()
            gateway.sim("--count", "1000", "--rate", "max", "--meters", "200")
            gateway.settled(messages=1000)
            assert_stores_equal(gateway, two)
            two.kill()
            gateway.sim("--count", "1000", "--rate", "max", "--meters", "200", "--seed", "2")
            stores.lane_becomes(gateway, "clickhouse", "waits for the other", lambda lane: lane["why"])
            assert stores.lane(gateway, "clickhouse")["lag_messages"] > 0
            two.start()
            gateway.settled(messages=2000, seconds=90)
            assert_stores_equal(gateway, one)
            assert_stores_equal(gateway, two)


def test_a_cluster_without_its_zookeeper_takes_nothing_and_later_everything():
    need("18.16", zookeeper=True)
    with ZooKeeper() as keeper, ClickHouse(zookeeper=keeper) as server:
        server.create_tables("--replicated")
        with feeding(server.url()) as gateway:
            gateway.start()
            gateway.sim("--count", "1000", "--rate", "max", "--meters", "200")
            gateway.settled(messages=1000)
            keeper.kill()
            gateway.sim("--count", "1000", "--rate", "max", "--meters", "200", "--seed", "2")
            stores.lane_becomes(gateway, "clickhouse", "is told", lambda lane: lane["health"] == "retrying")
            keeper.start()
            gateway.settled(messages=2000, seconds=90)
            assert_stores_equal(gateway, server)


@both
def of_two_shards_each_device_is_in_one(version):
    with ClickHouse(version) as one, ClickHouse(version) as two:
        for server in (one, two):
            server.create_tables()
        with feeding(f"{one.url()};{two.url()}") as gateway:
            gateway.start()
            sim = load_start(gateway, count=6000, rate="3000")
            wait_until("rows come in", lambda: gateway.status()["received"] > 1000)
            one.kill()
            time.sleep(0.5)
            one.start()
            load_end(sim)
            gateway.settled(messages=6000)
            assert_stores_equal(gateway, one, two)
            devices = [{tuple(row) for row in server.query("SELECT DISTINCT vendor, device FROM readings")}
                       for server in (one, two)]
            assert not devices[0] & devices[1], "a device in both"
            assert min(map(len, devices)) > len(devices[0] | devices[1]) / 3, [len(found) for found in devices]


if __name__ == "__main__":
    lib.run(dict(globals()))
