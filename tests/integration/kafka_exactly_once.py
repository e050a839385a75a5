#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""delivery: exactly_once, whatever is killed and whoever else writes in our name: a reader of committed
transactions sees each (gateway, seq, metric, ts) once; and where the position cannot be trusted, the gateway says
so and writes nothing."""
import os
import random
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import oracle  # noqa: E402
from gateway import wait_until  # noqa: E402
from kafka import Kafka, reading  # noqa: E402
from kafka_gateway import KafkaGateway, position_topic, topics  # noqa: E402

BROKER = []


def broker():
    if not BROKER:
        BROKER.append(Kafka().start())
    return BROKER[0]


def once(prefix, folder=None, make=True, **options):
    kafka = broker()
    if make:
        names = topics(kafka, prefix, partitions=3)
        position_topic(kafka, names)
    else:
        names = topics(kafka, prefix, only=())
    gateway = KafkaGateway(kafka.address, folder=folder, delivery="exactly_once", **{**names, **options})
    gateway.topic = names["topic_readings"]
    return gateway


def values(gateway, committed=True):
    return [reading(one.value)["value"] for one in broker().records(gateway.topic, committed=committed)]


def publish(gateway, *numbers):
    for number in numbers:
        gateway.publish("v1/aqua/1/json", b'{"volume.total": %d}' % number, "-q", "1")


def copy_of(gateway):
    """Its data folder, as a backup or a cloned machine has it."""
    folder = gateway.folder + "-copy"
    shutil.copytree(gateway.data, os.path.join(folder, "data"))
    return folder


def refused(gateway, *words):
    """The program ends with an error that says all the words."""
    gateway.start(ready=False)
    code = gateway.process.wait(40)
    assert code not in (0, None) and code > 0, code
    text = gateway.log_tail(10)
    assert all(word in text for word in words), text


def test_kill_9_of_gateway_and_broker_under_load_stores_each_reading_once():
    dice = random.Random(int(os.environ.get("SEED", "1")))
    kafka = broker()
    with once("kills", linger="5ms", flush_age="30ms") as gateway:
        gateway.start()
        ledger = os.path.join(gateway.folder, "ledger")
        sim = gateway.sim_start("--duration", "1d", "--meters", "500", "--rate", "1500", "--interval", "900s",
                                "--begin", "2026-01-01T00:00:00+08:00", "--patience", "60s", "--backoff", "50ms",
                                "--ledger", ledger)
        for cycle in range(6):
            before = gateway.lane()["rows"]
            more = dice.choice([1, 50, 500, 3000])
            wait_until("the lane moves", lambda: gateway.lane()["rows"] >= before + more, 150, 0.002)
            if cycle % 2:  # within a transaction whose records the broker has
                wait_until("a transaction", lambda: kafka.in_transaction(gateway.topic), 60, 0)
            if cycle in (2, 3):
                kafka.kill()
                if dice.random() < 0.5:
                    gateway.kill()
                kafka.start()
            else:
                gateway.kill()
            if gateway.process.poll() is not None:
                gateway.start()
        sim.terminate()
        sim.communicate(timeout=60)
        gateway.settled(seconds=90)
        sent = oracle.ledger(ledger)
        assert gateway.stop() == 0, gateway.log_tail()
        rows = oracle.of_kafka(kafka.records(gateway.topic, committed=True))
        oracle.demand(oracle.of_the_ledger("exactly once", sent, rows), oracle.nothing_twice("exactly once", rows),
                      oracle.in_order("exactly once", rows), oracle.planted("exactly once", sent, rows))
        aborted = len(kafka.records(gateway.topic)) - len(rows)
        print(f"{len(rows)} readings once; {aborted} more in transactions that were given up")
        assert aborted, "no transaction was cut: this test tested nothing"


def producers(gateway):
    """So many were made: each time one is given up, so is its transaction."""
    return sum(value for name, value in gateway.metrics().items() if name.startswith("tidegate_sink_kafka_producers_total"))


def test_the_first_transaction_after_an_outage_is_given_its_time():
    """What went wrong before counts from when the brokers were there again: a large unit would be cut each time."""
    kafka = broker()
    with once("outage") as gateway:
        gateway.start()
        publish(gateway, 1)
        wait_until("the lane moves", lambda: gateway.lane()["rows"] > 0)
        kafka.kill()
        gateway.sim("--count", "40000", "--rate", "max", "--meters", "500")
        gateway.kill()
        gateway.start()  # the lane begins with a unit as large as they get
        gateway.wait_lane("retrying", "")
        gateway.sim("--duration", "6s", "--rate", "200", "--meters", "500", "--seed", "2")
        kafka.start()
        made = producers(gateway)
        gateway.settled(seconds=90)
        assert producers(gateway) <= made + 1, f"{producers(gateway) - made:g} transactions were given up after the outage"
        assert gateway.stop() == 0, gateway.log_tail()


def test_a_console_consumer_of_committed_transactions_sees_each_once_too():
    gateway = once("console")
    with gateway:
        gateway.start()
        for number in range(4):
            publish(gateway, number)
            wait_until("stored", lambda number=number: gateway.lane()["next_seq"] > number + 1)
            gateway.kill()
            gateway.start()
        gateway.settled(messages=4)
    seen = broker().console_records(gateway.topic, committed=True, count=4)
    assert [reading(one.value)["value"] for one in seen] == [0, 1, 2, 3], seen


def test_what_was_confirmed_and_not_noted_is_not_sent_again():
    """The lane's own cursor may be old, or gone: the position in the topic counts."""
    with once("older") as gateway:
        gateway.start()
        publish(gateway, 1)
        gateway.settled(messages=1)
        assert gateway.stop() == 0
        cursors = [os.path.join(top, name) for top, _, names in os.walk(gateway.data) for name in names
                   if "cursor" in os.path.join(top, name) and "kafka" in name]
        assert cursors, "where is the lane's cursor?"
        kept = [(path, open(path, "rb").read()) for path in cursors]
        gateway.start()
        publish(gateway, 2, 3)
        gateway.settled(messages=3)
        gateway.kill()
        for path, data in kept:
            with open(path, "wb") as file:
                file.write(data)
        gateway.start()
        publish(gateway, 4)
        gateway.settled(messages=4)
        assert values(gateway) == [1, 2, 3, 4], values(gateway)


def test_two_gateways_of_one_identity_do_not_both_write():
    with once("twins") as first:
        first.start()
        publish(first, 1)
        first.settled(messages=1)
        first.stop()
        folder = copy_of(first)
        first.start()
        try:
            with once("twins", folder=folder, make=False) as second:
                # The younger takes the name over; the elder finds itself fenced at its next write.
                second.start()
                second.wait_lane("ok")
                publish(first, 2)
                first.wait_lane("stopped", "", seconds=40)
                assert values(first) == [1]
                publish(second, 20)
                second.wait_lane_done(messages=2)
                assert values(first) == [1, 20], values(first)
                # Still fenced, and nothing of its message is lost: it waits in its journal.
                lane = first.lane()
                assert lane["health"] == "stopped" and lane["lag_messages"] == 1, lane
                assert second.stop() == 0 and first.stop(seconds=12) == 0
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def test_a_journal_restored_from_a_backup_is_refused():
    with once("restored") as gateway:
        gateway.start()
        publish(gateway, 1)
        gateway.settled(messages=1)
        gateway.stop()
        folder = copy_of(gateway)
        gateway.start()
        publish(gateway, 2, 3)
        gateway.settled(messages=3)
        gateway.stop()
        shutil.rmtree(gateway.data)
        os.rename(os.path.join(folder, "data"), gateway.data)
        os.rmdir(folder)
        refused(gateway, "journal new-identity")
        assert values(gateway) == [1, 2, 3]


def test_a_wiped_journal_is_another_identity_and_loses_nothing():
    with once("wiped") as gateway:
        gateway.start()
        publish(gateway, 1)
        gateway.settled(messages=1)
        gateway.stop()
        shutil.rmtree(gateway.data)
        gateway.start()
        publish(gateway, 2)
        gateway.settled(messages=1)
        found = [reading(one.value) for one in broker().records(gateway.topic, committed=True)]
        assert [one["value"] for one in found] == [1, 2] and found[0]["gateway"] != found[1]["gateway"], found


def test_a_position_topic_that_is_not_compacted_is_refused():
    kafka = broker()
    names = topics(kafka, "loose")
    kafka.create_topic(names["topic_position"], 1, cleanup_policy="delete")
    with once("loose", make=False) as gateway:
        refused(gateway, names["topic_position"], "compact")
        kafka.alter_topic(names["topic_position"], cleanup_policy="compact")
        gateway.start()
        publish(gateway, 1)
        gateway.settled(messages=1)
        assert values(gateway) == [1]


def test_an_empty_position_topic_beside_a_used_journal_is_refused_unless_it_is_wanted():
    kafka = broker()
    with once("emptied") as gateway:
        gateway.start()
        publish(gateway, 1)
        gateway.settled(messages=1)
        gateway.stop()
        name = gateway.sink["topic_position"]
        kafka.delete_topic(name)
        kafka.create_topic(name, 1, cleanup_policy="compact")
        refused(gateway, name, "position_new")
        gateway.sink["position_new"] = True
        gateway.start()
        publish(gateway, 2)
        gateway.settled(messages=2)
        assert values(gateway) == [1, 2]


if __name__ == "__main__":
    lib.run(dict(globals()))
