#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Simulated meters -> one gateway -> Kafka, ClickHouse 18.16, ClickHouse 26.7 and Parquet at once: the same in
all of them, also when each server is away for a while under load."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import clickhouse  # noqa: E402
import gateway as lib  # noqa: E402
import kafka as kafka_lib  # noqa: E402
import oracle  # noqa: E402
import stores  # noqa: E402
from clickhouse import ClickHouse  # noqa: E402
from gateway import Gateway, Skip, wait_until  # noqa: E402
from kafka_gateway import QUICK  # noqa: E402

TOPIC = "water.reading.v1"
SECONDS = float(os.environ.get("OUTAGE_SECONDS", "4"))
RATE = int(os.environ.get("OUTAGE_RATE", "1500"))


def need_all():
    reason = clickhouse.missing("18.16") or clickhouse.missing("26.7") or kafka_lib.kafka_missing() or \
        lib.reader_missing()
    if reason:
        raise Skip(reason)


class Servers:
    """All of them, with topics and tables."""

    def __enter__(self):
        need_all()
        self.all = []
        try:
            self.kafka = self.keep(kafka_lib.Kafka())
            self.kafka.create_topics()
            self.clickhouses = {}
            for version in clickhouse.VERSIONS:
                self.clickhouses[version] = self.keep(ClickHouse(version))
                self.clickhouses[version].create_tables()
        except BaseException:
            self.__exit__()
            raise
        return self

    def keep(self, server):
        self.all.append(server)
        return server.start()

    def __exit__(self, *error):
        for server in reversed(self.all):
            server.close()

    def gateway(self):
        sinks = [{"type": "kafka", "brokers": self.kafka.address, **QUICK}]
        sinks += [{"type": "clickhouse", "name": f"clickhouse-{version}", "url": server.url(), "flush_age": "300ms"}
                  for version, server in self.clickhouses.items()]
        return Gateway(config=stores.config(*sinks))

    def lanes(self):
        """Name of a lane -> its server."""
        return {"kafka": self.kafka, **{f"clickhouse-{version}": server
                                        for version, server in self.clickhouses.items()}}

    def assert_same_as_parquet(self, gateway):
        """Every reading that Parquet has is in Kafka, copies of the meters included; each key's newest is what
        ClickHouse has. Returns the rows of ClickHouse."""
        stored = stores.parquet_rows(gateway)
        assert stored, "nothing was stored"
        stores.assert_same(kafka_rows(self.kafka), stored, "Kafka")
        newest = stores.newest(stored)
        for server in self.clickhouses.values():
            found = stores.clickhouse_rows(server)
            stores.assert_same(found, stores.newest(stored, like=found), server.what)
            keys = server.value("SELECT count() FROM (SELECT DISTINCT vendor, device, metric, "
                                + ("ts, ts_ms" if server.version == "18.16" else "ts") + " FROM readings)")
            assert keys == len(newest) == server.value("SELECT count() FROM readings FINAL")
        return newest


def kafka_rows(broker):
    """Sorted like those of the other stores. A record that came twice, as it may after a lost delivery report, is
    one row: (gateway, seq, device, metric, ts) says that it is the same."""
    return sorted({tuple(row) for row in oracle.of_kafka(broker.records(TOPIC))}, key=stores.order)


def test_what_meters_send_is_the_same_in_kafka_both_clickhouses_and_parquet():
    with Servers() as servers, servers.gateway() as gateway:
        gateway.start()
        summary = gateway.sim("--count", "12000", "--rate", "max", "--meters", "1500", "--garbage", "5",
                              "--duplicates", "10", "--late", "10", "--resets", "1", "--clock-skew", "5")
        gateway.settled(messages=summary["published"])
        rows = servers.assert_same_as_parquet(gateway)
        records = len(servers.kafka.records(TOPIC))
        assert records == gateway.rows("select count(*) from parquet")[0][0], "a record came twice without a fault"
        wanted = sum(round(row[4] * 1000) for row in rows if row[stores.METRIC] == "volume.total")
        for server in servers.clickhouses.values():
            total = server.value("SELECT toString(sum(toInt64(round(value * 1000)))) FROM readings FINAL "
                                 "WHERE metric = 'volume.total'")
            assert int(total) == wanted, (server.what, total, wanted)
        letters = servers.kafka.records("water.deadletter.v1")
        assert len(letters) == gateway.status()["dead"] == summary["garbage"] > 0, (len(letters), summary)
        assert gateway.stop() == 0, gateway.log_tail()


class WithFlags(Gateway):
    """The built-in configuration, and what the command line adds."""

    def __init__(self, *flags):
        super().__init__(plain=True)
        self.flags = list(flags)

    def command(self):
        return super().command() + self.flags


def test_two_flags_are_enough_for_kafka_and_clickhouse_beside_parquet():
    with Servers() as servers:
        old = servers.clickhouses["18.16"]
        with WithFlags("--kafka", servers.kafka.address, "--clickhouse", old.url()) as gateway:
            gateway.start()
            gateway.sim("--count", "2000", "--rate", "max", "--meters", "500")
            gateway.settled(messages=2000)
            names = [lane["name"] for lane in gateway.status()["lanes"]]
            assert names == ["parquet", "kafka", "clickhouse"], names
            # Parquet of the plain configuration closes its files after 10 s, or now.
            assert gateway.stop() == 0, gateway.log_tail()
            stored = stores.parquet_rows(gateway)
            stores.assert_same(stores.clickhouse_rows(old), stored, old.what)
            stores.assert_same(kafka_rows(servers.kafka), stored, "Kafka")


def test_an_outage_of_each_server_in_turn_delays_no_other_and_is_made_up_for():
    with Servers() as servers, servers.gateway() as gateway:
        gateway.start()
        lanes = servers.lanes()
        rounds = len(lanes)
        count = int(RATE * (SECONDS + 5) * rounds)
        sim = gateway.sim_start("--count", str(count), "--rate", str(RATE), "--meters", "5000", "--patience", "60s")
        try:
            wait_until("load is running", lambda: gateway.status()["received"] > RATE)
            settle_in(gateway, lanes)
            base = stores.rss_kb(gateway.process)
            for name, server in lanes.items():
                outage(gateway, name, server, base)
            out, errors = sim.communicate(timeout=120)
            assert sim.returncode == 0, out.decode() + errors.decode()
        finally:
            if sim.poll() is None:
                sim.kill()
                sim.communicate()
        gateway.settled(seconds=90, messages=count)
        servers.assert_same_as_parquet(gateway)


def settle_in(gateway, lanes):
    """Every lane has stored something: connections stand, buffers have their size."""
    for name in lanes:
        stores.lane_becomes(gateway, name, "has begun", lambda lane: lane["units"] > 2)


def outage(gateway, name, server, base):
    """Kills a server for SECONDS, then watches its lane catch up while load goes on."""
    server.kill()
    end, worst, memory = time.monotonic() + SECONDS, 0, []
    while time.monotonic() < end:
        status = {lane["name"]: lane for lane in gateway.status()["lanes"]}
        worst = max([worst] + [lane["lag_seconds"] for other, lane in status.items() if other != name])
        memory.append(stores.rss_kb(gateway.process))
        time.sleep(0.2)
    peak = max(memory)
    behind = status[name]["lag_messages"]
    server.start()
    began = time.monotonic()
    stores.lane_becomes(gateway, name, "catches up", lambda lane: lane["lag_messages"] < RATE, 60)
    print(f"  {name}: {behind} messages behind after {SECONDS:g} s, made up for in {time.monotonic() - began:.1f} s; "
          f"others at most {worst} s behind; memory {base // 1024} -> {peak // 1024} MB", flush=True)
    assert behind > RATE * SECONDS / 2, f"{name} went on without its server: {behind}"
    assert worst <= 3, f"{name} away, and another lane fell {worst} s behind"
    # What a lane may hold (some units, and their blocks or records) fills up, and then nothing grows.
    assert peak < base + 320 * 1024, f"memory grew from {base} to {peak} kB"


if __name__ == "__main__":
    lib.run(dict(globals()))
