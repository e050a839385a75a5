#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three brokers that replicate: leaders change, replicas go missing. A gateway with both deliveries writes through
all of it; at the end each lane has everything, in order, exactly_once without repeats."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import oracle  # noqa: E402
from gateway import wait_until  # noqa: E402
from kafka import KafkaCluster  # noqa: E402
from kafka_gateway import KafkaGateway, position_topic, topics  # noqa: E402

CLUSTER = []


def cluster():
    if not CLUSTER:
        CLUSTER.append(KafkaCluster().start())
    return CLUSTER[0]


def both(prefix):
    kafkas = cluster()
    names, once = ({**topics(kafkas, name, replication=3, min_insync_replicas=2)} for name in (prefix, prefix + ".tx"))
    position_topic(kafkas, once, min_insync_replicas=2)
    gateway = KafkaGateway(kafkas.address, **names)
    gateway.sinks.append({**gateway.sink, **once, "name": "once", "delivery": "exactly_once"})
    gateway.names, gateway.once = names, once
    gateway.ledger = os.path.join(gateway.folder, "ledger")
    return gateway


def load(gateway):
    """Until finish(); an interval as long as a round, so that times of a meter never fall together."""
    return gateway.sim_start("--duration", "1d", "--meters", "500", "--rate", "400", "--interval", "900s", "--begin",
                             "2026-01-01T00:00:00+08:00", "--ledger", gateway.ledger)


def finish(gateway, sim):
    sim.terminate()
    out, errors = sim.communicate(timeout=60)
    assert sim.returncode == 0, out.decode() + errors.decode()
    for name in ("kafka", "once"):
        gateway.wait_lane_done(name)
    sent = oracle.ledger(gateway.ledger)
    assert sent and all(line.outcome == "ACK" for line in sent)
    rows = oracle.of_kafka(cluster().records(gateway.names["topic_readings"]))
    exact = oracle.of_kafka(cluster().records(gateway.once["topic_readings"], committed=True))
    oracle.demand(oracle.of_the_ledger("Kafka", sent, rows), oracle.in_order("Kafka", rows),
                  oracle.of_the_ledger("exactly once", sent, exact), oracle.in_order("exactly once", exact),
                  oracle.nothing_twice("exactly once", exact), oracle.alike("Kafka", rows, "exactly once", exact))
    again = len(rows) - len({oracle.identity(row) for row in rows})
    print(f"at least once: {again} of {len(rows)} twice")
    return rows


def moving(gateway, rows=500):
    for name in ("kafka", "once"):
        before = gateway.lane(name)["rows"]
        try:
            wait_until(f"lane {name} moves", lambda: gateway.lane(name)["rows"] >= before + rows, 60)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {gateway.lane(name)}\n{gateway.log_tail()}") from None


def test_leaders_change_under_load():
    kafkas = cluster()
    with both("leaders") as gateway:
        gateway.start()
        sim = load(gateway)
        moving(gateway)
        kafkas.broker(2).kill()
        wait_until("its leaderships moved", lambda: 2 not in kafkas.leaders(gateway.names["topic_readings"]).values(), 30)
        moving(gateway)
        kafkas.broker(2).start()
        wait_until("it is in sync again", lambda: kafkas.in_sync(gateway.names["topic_readings"]) == 3, 30)
        kafkas.elect_preferred()
        moving(gateway)
        kafkas.broker(3).stop()  # in order: leaderships are handed over first
        moving(gateway)
        kafkas.broker(3).start()
        finish(gateway, sim)
        assert gateway.stop() == 0, gateway.log_tail()


def test_too_few_replicas_hold_the_lane_and_then_it_goes_on():
    kafkas = cluster()
    topic = "few.water.reading.v1"
    with both("few") as gateway:
        wait_until("all in sync", lambda: kafkas.in_sync(topic) == 3, 30)
        gateway.start()
        sim = load(gateway)
        moving(gateway)
        kafkas.broker(3).kill()
        wait_until("two are in sync", lambda: kafkas.in_sync(topic) == 2, 30)
        moving(gateway)
        kafkas.broker(2).kill()
        wait_until("one is in sync", lambda: kafkas.in_sync(topic) == 1, 30)
        before = {name: gateway.lane(name)["rows"] for name in ("kafka", "once")}
        received = gateway.status()["received"]
        wait_until("acknowledgements go on", lambda: gateway.status()["received"] >= received + 500, 30)
        gateway.wait_lane("ok", name="parquet")
        after = {name: gateway.lane(name)["rows"] for name in ("kafka", "once")}
        assert after == before, "stored with one replica of two"
        said = {name: gateway.wait_lane("retrying", name=name, seconds=40) for name in ("kafka", "once")}
        kafkas.broker(2).start()
        moving(gateway)
        kafkas.broker(3).start()
        rows = finish(gateway, sim)
        assert rows and "ok" not in said.values(), "a lane that is held up says why"
        assert gateway.stop() == 0, gateway.log_tail()


if __name__ == "__main__":
    lib.run(dict(globals()))
