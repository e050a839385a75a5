#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway and a real Kafka, while all is well: what stands in the topics. Read by kcat and by Kafka's own
console consumer; keys compared with Kafka's own producer."""
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import oracle  # noqa: E402
from gateway import Gateway, Skip, wait_until  # noqa: E402
from kafka import Kafka, TOPICS, partition_of, reading  # noqa: E402
from kafka_gateway import KafkaGateway, topics  # noqa: E402

BROKER = []
EVENT = re.compile(r"alarm\.|valve\.state$|pump\.state$|door\.state$")


def broker():
    """One for all tests of this file, made by the first."""
    if not BROKER:
        BROKER.append(Kafka().start())
    return BROKER[0]


def needs_reader():
    reason = lib.reader_missing()
    if reason:
        raise Skip(reason)


def now_text():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def loaded(prefix, count, **options):
    """A gateway's readings of `count` messages of simulated meters: records and rows of each topic."""
    kafka = broker()
    names = topics(kafka, prefix)
    with KafkaGateway(kafka.address, **names, **options) as gateway:
        gateway.start()
        ledger = os.path.join(gateway.folder, "ledger")
        summary = gateway.sim("--count", str(count), "--meters", "1000", "--rate", "max", "--ledger", ledger)
        gateway.settled(messages=summary["published"])
        rows = oracle.of_parquet(gateway)
        assert gateway.stop() == 0, gateway.log_tail()
        return names, oracle.ledger(ledger), rows


def test_every_acknowledged_reading_is_there_once_and_in_order_and_equal_to_parquet():
    needs_reader()
    names, sent, parquet = loaded("equal", 6000)
    records = broker().records(names["topic_readings"])
    rows = oracle.of_kafka(records)
    assert len(sent) == 6000 and len(rows) == len(parquet), (len(sent), len(rows), len(parquet))
    oracle.demand(oracle.of_the_ledger("Kafka", sent, rows), oracle.nothing_twice("Kafka", rows),
                  oracle.in_order("Kafka", rows), oracle.alike("Kafka", rows, "Parquet", parquet),
                  oracle.planted("Kafka", sent, rows))
    events = oracle.of_kafka(broker().records(names["topic_events"]))
    expected = [row for row in rows if EVENT.match(row.metric)]
    assert expected, "the simulator sends states and alarms"
    oracle.demand(oracle.alike("the event topic", events, "the events among the readings", expected),
                  oracle.nothing_twice("the event topic", events), oracle.in_order("the event topic", events))
    assert not broker().records(names["topic_deadletters"])


def test_the_console_consumer_reads_the_same_bytes_as_kcat():
    names, _, _ = loaded("console", 500)
    seen = broker().records(names["topic_readings"])
    console = broker().console_records(names["topic_readings"], count=len(seen))
    pick = lambda records: [(one.partition, one.offset, one.key, one.value) for one in records]  # noqa: E731
    assert pick(console) == pick(seen)


def test_keys_fall_into_the_partitions_where_javas_producer_puts_them():
    kafka = broker()
    names = topics(kafka, "keys", partitions=7)
    kafka.create_topic("keys.java", 7)
    # Lengths of every remainder by four, and bytes above 127: where hashes go wrong.
    devices = [("1234567890" * 4)[:size] for size in range(1, 30)] + ["表-%d" % i for i in range(20)] + ["Zähler 7"]
    with KafkaGateway(kafka.address, **names) as gateway:
        gateway.start()
        points = [{"device": device, "volume.total": 1.5} for device in devices]
        for point in points:
            gateway.publish(f"v1/aqua/{point['device']}/json", json.dumps({"volume.total": 1.5}).encode(), "-q", "1")
        gateway.wait_lane_done(messages=len(devices))
    ours = {record.key: record.partition for record in kafka.records(names["topic_readings"])}
    assert len(ours) == len(devices) and len(set(ours.values())) == 7, ours
    kafka.produce("keys.java", [(key.decode(), "x") for key in ours])
    javas = {record.key: record.partition for record in kafka.records("keys.java")}
    assert ours == javas, {key: (ours[key], javas.get(key)) for key in ours if ours[key] != javas.get(key)}
    assert all(partition_of(key, 7) == partition for key, partition in javas.items())


def test_dead_letters_carry_the_payload_unchanged_and_say_why():
    kafka = broker()
    names = topics(kafka, "dead", partitions=2)
    payloads = {"v1/aqua/7/json": bytes(range(256)) + b'{"volume', "v1/aqua/8/cjt188": b"\x68\x10\x00\xff\x16",
                "elsewhere/1": b"nobody's"}
    with KafkaGateway(kafka.address, **names) as gateway:
        gateway.start()
        for topic, payload in payloads.items():
            gateway.publish(topic, payload, "-q", "1")
        gateway.publish("v1/aqua/9/json", b'{"volume.total": 2}', "-q", "1")
        status = gateway.wait_lane_done(messages=4)
        assert status["dead"] == 3, status
        identity = status["gateway"]
    letters = {record.headers["topic"].decode(): record for record in kafka.records(names["topic_deadletters"])}
    assert {topic: record.value for topic, record in letters.items()} == payloads
    heads = {topic: {name: value.decode() for name, value in record.headers.items()}
             for topic, record in letters.items()}
    assert (heads["v1/aqua/7/json"]["vendor"], heads["v1/aqua/7/json"]["stage"]) == ("aqua", "decode"), heads
    assert heads["elsewhere/1"]["stage"] == "route" and heads["elsewhere/1"]["reason"] == "no_route", heads
    assert [heads[topic]["seq"] for topic in payloads] == ["1", "2", "3"], heads
    for head in heads.values():
        assert head["gateway"] == identity and head["reason"], head
    assert heads["v1/aqua/8/cjt188"]["codec"] == "cjt188" and int(heads["v1/aqua/8/cjt188"]["codec_version"]) > 0
    assert [reading(one.value)["value"] for one in kafka.records(names["topic_readings"])] == [2.0]


def test_a_null_value_and_unusual_texts_arrive_as_they_are():
    kafka = broker()
    names = topics(kafka, "odd", partitions=1)
    with KafkaGateway(kafka.address, **names) as gateway:
        gateway.start()
        gateway.publish("v1/aqua/表 7/json", json.dumps({
            "time": now_text(), "flow": -0.125, "pressure": {"value": 3, "unit": "furlong"},
            "volume.total": 123456789.123}).encode(), "-q", "1")
        gateway.publish("v1/aqua/8/json", b'{"volume.total": 1e17, "level": null}', "-q", "1")
        gateway.settled(messages=2)
        rows = oracle.of_kafka(kafka.records(names["topic_readings"]))
        found = {(row.device, row.metric): row for row in rows}
        assert found["表 7", "flow"].value == -0.125 and found["表 7", "flow"].scale == 3
        assert found["表 7", "pressure"].unit == "furlong" and "unit_unknown" in found["表 7", "pressure"].flags
        assert found["表 7", "volume.total"].value == 123456789.123
        if not lib.reader_missing():
            oracle.demand(oracle.alike("Kafka", rows, "Parquet", oracle.of_parquet(gateway)))


def test_one_option_of_the_command_line_is_enough():
    kafka = broker()
    kafka.create_topics()

    class Plain(Gateway):
        def command(self):
            return super().command() + ["--kafka", kafka.address]
    with Plain(plain=True) as gateway:
        gateway.start()
        gateway.publish("v1/aqua/7/json", b'{"volume.total": 2, "alarm.tamper": 1}', "-q", "1")
        wait_until("the reading is in the topic", lambda: len(kafka.records(TOPICS[0])) == 2)
        assert [reading(one.value)["metric"] for one in kafka.records("water.event.v1")] == ["alarm.tamper"]
        lanes = {lane["type"] for lane in gateway.status()["lanes"]}
        assert lanes == {"parquet", "kafka"}, lanes
        assert gateway.stop() == 0


def test_framing_for_a_schema_registry_stands_before_the_message():
    kafka = broker()
    names = topics(kafka, "framed", partitions=1)
    with KafkaGateway(kafka.address, framing="confluent", schema_id_readings=258, schema_id_events=7,
                      **names) as gateway:
        gateway.start()
        gateway.publish("v1/aqua/7/json", b'{"volume.total": 2, "alarm.tamper": 1}', "-q", "1")
        gateway.wait_lane_done(messages=1)
    for topic, head in (("topic_readings", b"\0\0\0\x01\x02\0"), ("topic_events", b"\0\0\0\0\x07\0")):
        for record in kafka.records(names[topic]):
            assert record.value[:6] == head, record
            assert reading(record.value[6:])["device"] == "7"


if __name__ == "__main__":
    lib.run(dict(globals()))
