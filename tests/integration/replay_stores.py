#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""History sent again into ClickHouse 18.16 and 26.7 and Kafka, beside Parquet (replay.py): twice, and decoded again."""
import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import kafka_gateway  # noqa: E402
import stores  # noqa: E402
from clickhouse import ClickHouse  # noqa: E402
from clickhouse_gateway import both  # noqa: E402
from gateway import Skip, wait_until  # noqa: E402
from kafka import Kafka, kafka_missing  # noqa: E402
from replays import ReplayGateway  # noqa: E402

HEADER = "tidegate-replay"


def clickhouse(server):
    return {"type": "clickhouse", "url": server.url(), "flush_age": "300ms"}


# ---- ClickHouse ----

@both
def clickhouse_is_as_it_was_after_a_span_was_sent_twice(version):
    with ClickHouse(version) as server, ReplayGateway(clickhouse(server)) as gateway:
        server.create_tables()
        gateway.start()
        gateway.sim("--count", "3000", "--rate", "2500", "--meters", "300")
        gateway.settled(messages=3000)
        before, readings = stores.clickhouse_rows(server), gateway.status()["readings"]
        for _ in range(2):
            assert gateway.replay("--sink", "clickhouse")["readings"] == readings
        stores.assert_same(stores.clickhouse_rows(server), before, "after two replays")
        assert server.value("SELECT count() FROM readings") > len(before) or \
            server.value("SELECT sum(rows) FROM system.parts WHERE table = 'readings'") > len(before), "nothing was sent"


@both
def clickhouse_and_parquet_are_corrected_alike_after_a_mapping_was_mended(version):
    with ClickHouse(version) as server, ReplayGateway(clickhouse(server)) as gateway:
        server.create_tables()
        gateway.start()
        gateway.publish_meters(1, 20)
        gateway.publish("v1/aqua/d1/json", b'{"volume.total": 5}', "-q", "1")
        gateway.settled(messages=21)
        before = stores.clickhouse_rows(server)
        assert len(before) == 41
        gateway.write_mapping(volume="m3", second="level")
        gateway.reload()
        for sink in ("clickhouse", "parquet"):
            gateway.replay("--decode-again", "--sink", sink)
        rows = stores.clickhouse_rows(server)
        kept = [row for row in rows if "withdrawn" not in row[8].split(",")]
        assert len(rows) == 61 and len(kept) == 41, (len(rows), len(kept))
        assert all(row[2] == "pressure" and row[4] is None for row in rows if row not in kept)
        assert server.value("SELECT count() FROM readings_unique") == 41
        stores.assert_same(kept, stores.parquet_rows(gateway), "ClickHouse, against Parquet")
        changed = {row[stores.KEY] for row in set(kept) - set(before)}
        assert len(changed) == 40 and all(key[0] == "acme" for key in changed), len(changed)
        for sink in ("clickhouse", "parquet"):
            gateway.replay("--sink", sink)
        stores.assert_same(stores.clickhouse_rows(server), rows, "after what was decoded again is sent again")


# ---- Kafka ----

def kafka_counts(kafka, topic):
    """How many records are live, and how many of replays."""
    found = collections.Counter(HEADER in dict(record.headers) for record in kafka.records(topic, committed=True))
    return found[False], found[True]


def of_mode(delivery):
    if kafka_missing():
        raise Skip(kafka_missing())
    with Kafka() as kafka:
        topics = kafka_gateway.topics(kafka, "r")
        kafka_gateway.position_topic(kafka, topics)
        sink = {"type": "kafka", "brokers": kafka.address, "delivery": delivery, **kafka_gateway.QUICK, **topics}
        with ReplayGateway(sink, parquet=None) as gateway:
            gateway.start()
            gateway.sim("--count", "2000", "--rate", "2000", "--meters", "200")
            status = gateway.settled(messages=2000)
            readings = status["readings"]
            assert kafka_counts(kafka, topics["topic_readings"]) == (readings, 0)
            before = stores.lane(gateway, "kafka")["next_seq"]
            assert gateway.replay("--sink", "kafka")["readings"] == readings
            assert kafka_counts(kafka, topics["topic_readings"]) == (readings, readings)
            assert stores.lane(gateway, "kafka")["next_seq"] == before
            sim = gateway.sim_start("--count", "3000", "--rate", "1500", "--meters", "200", "--patience", "60s")
            sent = 0
            while sim.poll() is None:
                sent += gateway.replay("--sink", "kafka", "--to", "now")["readings"]
            assert sim.communicate(timeout=60) and sim.returncode == 0
            live = gateway.settled(messages=5000)["readings"]
            assert kafka_counts(kafka, topics["topic_readings"]) == (live, readings + sent)
            # The position is that of live traffic: nothing is lost or twice over a kill.
            gateway.kill()
            gateway.start()
            gateway.sim("--count", "500", "--rate", "max", "--meters", "200")
            live = gateway.settled(messages=5500)["readings"]
            wait_until("all is there", lambda: kafka_counts(kafka, topics["topic_readings"])[0] >= live)
            if delivery == "exactly_once":
                assert kafka_counts(kafka, topics["topic_readings"])[0] == live


def test_kafka_records_of_a_replay_say_so():
    of_mode("at_least_once")


def test_kafka_transactions_of_a_replay_leave_the_position():
    of_mode("exactly_once")


if __name__ == "__main__":
    lib.run(globals())
