#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway and several ClickHouse servers: replicas with ZooKeeper, a quorum, shards."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import stores  # noqa: E402
from clickhouse import ClickHouse, QueryError, ZooKeeper, need  # noqa: E402
from clickhouse_gateway import assert_stores_equal, both, feeding, load_end, load_start  # noqa: E402
from gateway import wait_until  # noqa: E402

# All of the log is read, and no part is left to fetch. Merges may be queued, they stand still.
CAUGHT_UP = """SELECT (SELECT log_pointer > log_max_index AND NOT is_readonly FROM system.replicas WHERE table = 'readings')
    AND (SELECT count() FROM system.replication_queue WHERE type = 'GET_PART') = 0"""


def replicated(keeper):
    return ClickHouse(zookeeper=keeper, replica=1), ClickHouse(zookeeper=keeper, replica=2)


def without_merges(*servers, make=True):
    for server in servers:
        if make:
            server.create_tables("--replicated")
        server.send("SYSTEM STOP MERGES")


def caught_up(server):
    try:
        return server.value(CAUGHT_UP) == 1
    except QueryError as error:
        if error.code == 999:  # its session with ZooKeeper expired while it stood still: it begins another
            return False
        raise


def assert_caught_up_and_equal(gateway, *servers, final=False):
    for server in servers:
        wait_until(f"{server.port} has caught up", lambda server=server: caught_up(server), 40)
        assert_stores_equal(gateway, server, final=final)


def test_of_two_replicas_one_may_die_and_no_row_is_there_twice_even_before_merges():
    need("18.16", zookeeper=True)
    with ZooKeeper() as keeper:
        one, two = replicated(keeper)
        with one, two, feeding(one.url(), two.url()) as gateway:
            without_merges(one, two)
            gateway.start()
            sim = load_start(gateway, count=6000, rate="2000")
            wait_until("rows come in", lambda: one.value("SELECT count() FROM readings") > 0)
            one.kill()
            load_end(sim)
            gateway.settled(messages=6000)
            assert gateway.stop() == 0, gateway.log_tail()  # who sees a restart sends again, see below
            one.start()
            without_merges(one, make=False)
            assert_caught_up_and_equal(gateway, one, two)


def test_replicas_that_die_in_turn_and_come_back_miss_nothing():
    need("18.16", zookeeper=True)
    with ZooKeeper() as keeper:
        one, two = replicated(keeper)
        with one, two, feeding(one.url(), two.url()) as gateway:
            for server in (one, two):
                server.create_tables("--replicated")
            gateway.start()
            sim = load_start(gateway, count=12000, rate="2000")
            for server in (one, two, one):
                before = stores.lane(gateway, "clickhouse")["rows"]
                stores.lane_becomes(gateway, "clickhouse", "moves", lambda lane: lane["rows"] > before)
                server.kill()
                time.sleep(0.8)  # the length of the outage
                server.start()
            load_end(sim)
            gateway.settled(messages=12000)
            # What was confirmed before a restart that was noticed came twice: once with FINAL.
            assert_caught_up_and_equal(gateway, one, two, final=True)


def test_a_replica_that_stands_still_is_left_for_the_other_and_what_it_took_meanwhile_is_not_there_twice():
    need("18.16", zookeeper=True)
    with ZooKeeper() as keeper:
        one, two = replicated(keeper)
        with one, two, feeding(one.url(), two.url(), timeout="1s") as gateway:
            without_merges(one, two)
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
            assert_caught_up_and_equal(gateway, one, two)


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
