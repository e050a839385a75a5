#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway and real ClickHouse servers, 18.16 and 26.7: what arrives, and what becomes of it when a server is
away, dies or answers wrongly. Parquet of the same gateway is the measure: the same rows."""
import json
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import oracle  # noqa: E402
import stores  # noqa: E402
from clickhouse import ClickHouse, Proxy, need  # noqa: E402
from clickhouse_gateway import assert_stores_equal, both, feeding, load_end, load_start  # noqa: E402
from gateway import wait_until  # noqa: E402

FAULTS = ("--garbage", "5", "--duplicates", "10", "--late", "10", "--resets", "1", "--clock-skew", "5")


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
        wait_until("what was lost is there again", lambda: same(gateway, server), 90, 0.5)  # asked once a minute
        assert_stores_equal(gateway, server)


def same(gateway, server):
    found = stores.clickhouse_rows(server)
    return found == stores.newest(stores.parquet_rows(gateway), like=found)


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
            end(gateway)
            gateway.start()
            end(gateway)
        finally:
            server.go_on()
        server.kill()
        gateway.start()
        stores.lane_becomes(gateway, "clickhouse", "notices", lambda lane: lane["health"] == "retrying")
        end(gateway)
        server.start()
        gateway.start()
        gateway.settled(messages=2000)
        assert_stores_equal(gateway, server)


def end(gateway):
    """Whatever the server does: one that waited for it would not end."""
    assert gateway.stop(seconds=10) == 0, gateway.log_tail()


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

if __name__ == "__main__":
    lib.run(dict(globals()))
