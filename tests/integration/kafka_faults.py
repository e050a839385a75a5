#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong at one broker: it is away, hangs, is killed, refuses, is none at all. Whatever it is, nothing
acknowledged is lost, the order of a device is kept, and neither acknowledgements nor the Parquet lane wait.

Both deliveries at once where it matters: the gateway has two Kafka lanes, `kafka` (at_least_once) and `once`
(exactly_once, read as committed)."""
import atexit
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import oracle  # noqa: E402
from gateway import free_port, wait_until  # noqa: E402
from kafka import HostileBroker, Kafka, PASSWORD, USER, reading  # noqa: E402
from kafka_gateway import QUICK, KafkaGateway, position_topic, topics  # noqa: E402

LOAD = ("--meters", "500", "--patience", "60s")
BROKER, GUARDED = [], []


def broker():
    if not BROKER:
        BROKER.append(Kafka().start())
    return BROKER[0]


def guarded():
    """A broker that asks who is there and looks up what they may."""
    if not GUARDED:
        GUARDED.append(Kafka(sasl=True, tls=True, acl=True).start())
    return GUARDED[0]


def both(kafka, prefix, **options):
    """A gateway with a lane of each delivery, and the names of their topics."""
    names, once = topics(kafka, prefix), topics(kafka, prefix + ".once")
    position_topic(kafka, once)
    gateway = KafkaGateway(kafka.address, **names, **options)
    gateway.sinks.append({**gateway.sink, **once, "name": "once", "delivery": "exactly_once"})
    return gateway, names, once


def start_load(gateway, count, *options):
    gateway.ledger = os.path.join(gateway.folder, "ledger")
    return gateway.sim_start("--count", str(count), *LOAD, "--ledger", gateway.ledger, *options)


def finish_load(sim):
    out, errors = sim.communicate(timeout=100)
    assert sim.returncode == 0, out.decode() + errors.decode()


def check(kafka, gateway, names, once=None, repeats=False):
    """Everything of the ledger in each topic. `repeats`: at_least_once may have sent some twice."""
    sent = oracle.ledger(gateway.ledger)
    assert sent and all(line.outcome == "ACK" for line in sent)
    rows = oracle.of_kafka(kafka.records(names["topic_readings"]))
    oracle.demand(oracle.of_the_ledger("Kafka", sent, rows), oracle.in_order("Kafka", rows),
                  [] if repeats else oracle.nothing_twice("Kafka", rows))
    if once:
        exact = oracle.of_kafka(kafka.records(once["topic_readings"], committed=True))
        oracle.demand(oracle.of_the_ledger("exactly once", sent, exact), oracle.in_order("exactly once", exact),
                      oracle.nothing_twice("exactly once", exact), oracle.alike("Kafka", rows, "exactly once", exact))


def test_a_broker_that_is_away_delays_nobody_and_gets_everything_when_it_comes():
    kafka = Kafka()  # its ports are known, and nobody is there
    gateway = KafkaGateway(kafka.address)
    try:
        gateway.start()  # the broker comes only later: a start that waited for it would not end
        finish_load(start_load(gateway, 3000, "--rate", "max"))
        gateway.wait_lane_done("parquet", seconds=20, messages=3000)
        why = gateway.wait_lane("retrying", "")
        assert why, "a lane that is held up says why"
        lane = gateway.lane()
        assert lane["lag_messages"] == 3000 and gateway.get("/readyz")[0] == 200, lane
        assert gateway.stop(seconds=10) == 0, gateway.log_tail()
        kafka.start()
        kafka.create_topics()
        gateway.start()
        gateway.wait_lane_done(messages=3000)
        check(kafka, gateway, {"topic_readings": "water.reading.v1"})
        assert gateway.stop() == 0
    finally:
        gateway.close()
        kafka.close()


def test_a_broker_killed_under_load_and_started_again_misses_nothing():
    kafka = broker()
    gateway, names, once = both(kafka, "killed")
    with gateway:
        gateway.start()
        sim = start_load(gateway, 12000, "--rate", "2500")
        wait_until("the lane moves", lambda: gateway.lane()["rows"] > 2000)
        kafka.kill()
        gateway.wait_lane("retrying", name="once")
        kafka.start()
        finish_load(sim)
        for name in ("kafka", "once"):
            gateway.wait_lane_done(name, messages=12000)
        check(kafka, gateway, names, once, repeats=True)
        assert gateway.stop() == 0, gateway.log_tail()


def test_a_gateway_killed_under_load_misses_nothing():
    kafka = broker()
    gateway, names, once = both(kafka, "mortal")
    with gateway:
        gateway.start()
        sim = start_load(gateway, 15000, "--rate", "4000", "--backoff", "100ms")
        for more in (1500, 300, 3000):
            lane = gateway.lane("once")["rows"]
            wait_until("the lane moves", lambda lane=lane, more=more: gateway.lane("once")["rows"] > lane + more)
            gateway.kill()
            gateway.start()
        finish_load(sim)
        for name in ("kafka", "once"):
            gateway.wait_lane_done(name, messages=15000)
        check(kafka, gateway, names, once, repeats=True)
        assert gateway.stop() == 0, gateway.log_tail()


def test_a_broker_that_hangs_holds_up_nobody_else():
    kafka = broker()
    names = topics(kafka, "hangs")
    with KafkaGateway(kafka.address, **names, properties={"socket.timeout.ms": "3000"}) as gateway:
        gateway.start()
        gateway.publish("v1/aqua/1/json", b'{"volume.total": 1}', "-q", "1")
        gateway.wait_lane_done(messages=1)
        kafka.pause()
        try:
            before = gateway.memory()
            finish_load(start_load(gateway, 20000, "--rate", "max"))
            gateway.wait_lane_done("parquet", seconds=20, messages=20001)
            assert gateway.lane()["lag_messages"] > 0
            grown = (gateway.memory() - before) >> 20
            assert grown < 200, f"{grown} MiB more while the broker hangs"
        finally:
            kafka.resume()
        gateway.wait_lane_done(messages=20001)
        rows = oracle.of_kafka(kafka.records(names["topic_readings"]))
        sent = oracle.ledger(gateway.ledger)
        oracle.demand(oracle.of_the_ledger("Kafka", sent, [row for row in rows if row.device != "1"]),
                      oracle.in_order("Kafka", rows), oracle.nothing_twice("Kafka", rows))


def test_a_record_that_is_too_large_is_a_dead_letter_and_the_others_are_delivered():
    kafka = broker()
    names = topics(kafka, "large", partitions=1, only=("topic_events", "topic_deadletters"))
    kafka.create_topic(names["topic_readings"], 1, max_message_bytes=330)
    once = {**names, "topic_readings": "large.once", "topic_events": "", "topic_deadletters": ""}
    kafka.create_topic(once["topic_readings"], 1, max_message_bytes=330)
    position_topic(kafka, once)
    gateway = KafkaGateway(kafka.address, compression="none", **names)
    gateway.sinks.append({**gateway.sink, **once, "name": "once", "delivery": "exactly_once"})
    with gateway:
        gateway.start()
        long = "m" * 120  # stands in the key and in the value
        for number, device in enumerate(["1", "2", long, "3", "2", "1"]):
            gateway.publish(f"v1/aqua/{device}/json", b'{"volume.total": %d}' % number, "-q", "1")
        for name in ("kafka", "once"):
            gateway.wait_lane_done(name, messages=6, seconds=30)
        letters = wait_until("the dead letter is in its topic", lambda: kafka.records(names["topic_deadletters"]))
        for topic, committed in ((names["topic_readings"], False), (once["topic_readings"], True)):
            rows = oracle.of_kafka(kafka.records(topic, committed=committed))
            found = {device: [row.value for row in rows if row.device == device] for device in ("1", "2", "3", long)}
            assert found == {"1": [0, 5], "2": [1, 4], "3": [3], long: []}, rows
        assert [letter.value for letter in letters] == [b'{"volume.total": 2}'], letters
        assert letters[0].headers["stage"] == b"sink", letters
        listed = gateway.verb("deadletter", "ls", "--data", gateway.data, check=0).stdout.decode()
        assert long in listed, listed
        metrics = gateway.metrics()
        refused = {name: value for name, value in metrics.items() if "refused_readings_total" in name and value}
        assert refused and set(refused.values()) == {1}, refused


def test_a_payload_too_large_for_the_dead_letter_topic_stops_nobody():
    kafka = broker()
    names = topics(kafka, "bulky", partitions=1, only=("topic_readings", "topic_events"))
    kafka.create_topic(names["topic_deadletters"], 1, max_message_bytes=2000)
    with KafkaGateway(kafka.address, **names) as gateway:
        gateway.start()
        gateway.publish("v1/aqua/1/json", os.urandom(5000), "-q", "1")
        gateway.publish("v1/aqua/1/json", b"small", "-q", "1")
        gateway.publish("v1/aqua/1/json", b'{"volume.total": 3}', "-q", "1")
        gateway.wait_lane_done(messages=3)
        assert [reading(one.value)["value"] for one in kafka.records(names["topic_readings"])] == [3.0]
        letters = [one.value for one in kafka.records(names["topic_deadletters"])]
        assert b"small" in letters and len(letters) <= 2, letters


def test_topics_are_made_where_that_is_wanted():
    kafka = broker()
    names = topics(kafka, "wanted", only=())
    gateway = KafkaGateway(kafka.address, **names, create_topics=True, create_partitions=3,
                           delivery="exactly_once")
    with gateway:
        gateway.start()
        gateway.publish("v1/aqua/1/json", b'{"volume.total": 1}', "-q", "1")
        gateway.wait_lane_done(messages=1)
        made = kafka.topics()
        assert {name: len(made.get(name, ())) for name in names.values()} == {
            names["topic_readings"]: 3, names["topic_events"]: 3, names["topic_deadletters"]: 3,
            names["topic_position"]: 1}, made.keys()


class Stopped:
    """One gateway with a lane for each thing that an operator must mend. A lane that waits for people asks every
    half minute, so all of them wait together: each test looks at its own lane."""

    def __init__(self):
        kafka, guards = broker(), guarded()
        self.gateway = KafkaGateway(kafka.address, **topics(kafka, "fine"))
        atexit.register(self.gateway.close)
        self.names = {name: topics(guards, name, partitions=2) for name in ("deleted", "password", "denied", "revoked",
                                                                           "host", "signer")}
        self.names["missing"] = topics(guards, "missing", only=("topic_events", "topic_deadletters"))
        self.password = os.path.join(self.gateway.folder, "password")
        self.write_password("not-that-one")
        right = os.path.join(self.gateway.folder, "right-password")
        self.write_password(PASSWORD, right)
        self.allow("password")
        self.allow("revoked")
        login = {"brokers": guards.sasl_address, "sasl_mechanism": "PLAIN", "sasl_user": USER}
        self.add("missing", brokers=guards.address)
        self.add("deleted", brokers=guards.address, properties={"topic.metadata.refresh.interval.ms": "1000"})
        self.add("password", **login, sasl_password_file=self.password)
        self.add("denied", **login, sasl_password_file=right)
        self.add("revoked", **login, sasl_password_file=right)
        # The certificate is for localhost, and its authority is none of the system's.
        self.add("host", brokers=f"127.0.0.1:{guards.tls_port}", tls=True, tls_ca_file=guards.ca)
        self.add("signer", brokers=f"localhost:{guards.tls_port}", tls=True)
        self.add("tls", brokers=f"localhost:{guards.tls_port}", tls=True, tls_ca_file=guards.ca)
        self.gateway.start()
        self.publish(1)
        for name in ("deleted", "revoked"):
            self.gateway.wait_lane_done(name, messages=1)
        guards.delete_topic(self.names["deleted"]["topic_readings"])
        guards.drop_acls(topic=self.names["revoked"]["topic_readings"])
        self.publish(2)
        self.said = {name: self.gateway.wait_lane("stopped", name=name, seconds=60) for name in self.names if name != "tls"}
        self.gateway.wait_lane_done("kafka", messages=2)
        self.gateway.wait_lane_done("parquet", messages=2)
        for name in ("missing", "deleted"):
            guards.create_topic(self.names[name]["topic_readings"], 2)
        self.write_password(PASSWORD)
        self.allow("denied")
        self.allow("revoked")

    def add(self, name, **options):
        if name not in self.names:
            self.names[name] = topics(guarded(), name)
        self.gateway.sinks.append({"type": "kafka", "name": name, **QUICK, **self.names[name], **options})

    def write_password(self, password, path=None):
        with open(path or self.password, "w", encoding="utf-8") as file:
            file.write(password + "\n")
        os.chmod(path or self.password, 0o600)

    def allow(self, name):
        for topic in ("topic_readings", "topic_events", "topic_deadletters"):
            guarded().add_acl("all", "topic", self.names[name][topic])

    def publish(self, number):
        self.gateway.publish("v1/aqua/1/json", b'{"volume.total": %d}' % number, "-q", "1")

    def values(self, name):
        return [reading(one.value)["value"] for one in guarded().records(self.names[name]["topic_readings"])]

    def healed(self, name):
        """What is in its topic once its lane goes on."""
        self.gateway.wait_lane_done(name, seconds=90, messages=2)
        self.gateway.wait_lane("ok", name=name)
        return self.values(name)


STOPPED = []


def stopped():
    if not STOPPED:
        STOPPED.append(None)  # made once, also when that fails
        STOPPED[0] = Stopped()
    assert STOPPED[0], "the lanes did not become what the first test says"
    return STOPPED[0]


def test_a_missing_topic_is_named_and_the_lane_goes_on_when_it_is_made():
    assert "missing.water.reading.v1" in stopped().said["missing"] and "create" in stopped().said["missing"].lower()
    assert stopped().healed("missing") == [1, 2]


def test_a_topic_that_is_deleted_under_the_lane_stops_it_until_it_is_back():
    assert "deleted.water.reading.v1" in stopped().said["deleted"], stopped().said
    assert stopped().healed("deleted") == [2]


def test_a_wrong_password_is_said_and_a_right_one_heals_without_a_restart():
    assert "uthentication" in stopped().said["password"], stopped().said
    assert stopped().healed("password") == [1, 2]
    for text in (stopped().gateway.log(), stopped().gateway.get("/status")[1], stopped().gateway.get("/metrics")[1]):
        assert PASSWORD not in text and "not-that-one" not in text


def test_a_denied_topic_stops_the_lane_until_the_permission_is_there():
    assert "denied.water.reading.v1" in stopped().said["denied"], stopped().said
    assert stopped().healed("denied") == [1, 2]


def test_a_permission_taken_away_under_way_stops_the_lane_and_loses_nothing():
    assert "revoked.water.reading.v1" in stopped().said["revoked"], stopped().said
    assert stopped().healed("revoked") == [1, 2]


def test_a_broker_whose_certificate_has_another_name_or_signer_gets_nothing():
    scene = stopped()
    for name in ("host", "signer"):
        assert "certificate" in scene.said[name] or "SSL" in scene.said[name], scene.said
        assert scene.gateway.lane(name)["rows"] == 0 and scene.values(name) == []
    assert scene.healed("tls")[:2] == [1, 2]


def framed(request, body):
    """An answer to a request: its correlation id, then what one likes."""
    size = len(body) + 4
    return size.to_bytes(4, "big") + request[8:12] + body


HOSTILE = {
    "garbage": lambda request: os.urandom(3000),
    "a_huge_length": lambda request: b"\x7f\xff\xff\xff" + b"\0" * 4000,
    "a_negative_length": lambda request: b"\xff\xff\xff\xff" * 100,
    "http": lambda request: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "closing_at_once": lambda request: None,
    "arrays_without_end": lambda request: framed(request, b"\0\0" + b"\x7f\xff\xff\xff" * 300) if request else b"",
    "an_answer_cut_short": lambda request: framed(request, b"\0") if request else b"",
    "silence": lambda request: b"",
}


def test_a_broker_that_is_none_neither_ends_nor_fills_the_gateway():
    """Eight lanes at once, each with a kind of hostile broker."""
    brokers = {name: HostileBroker(answer) for name, answer in HOSTILE.items()}
    sinks = [{"type": "kafka", "name": name, "brokers": one.address, "linger": "20ms", "flush_age": "50ms"}
             for name, one in brokers.items()]
    gateway = KafkaGateway(f"127.0.0.1:{free_port()}", sinks=sinks)
    try:
        gateway.start()
        finish_load(start_load(gateway, 2000, "--rate", "max"))
        gateway.wait_lane_done("parquet", messages=2000)
        wait_until("each was asked", lambda: all(one.connections for one in brokers.values()), 30)
        before, last = gateway.memory(), time.monotonic() + 4
        wait_until("some seconds of hostility", lambda: time.monotonic() > last, 10)
        grown = (gateway.memory() - before) >> 20
        assert gateway.process.poll() is None and grown < 150, f"{grown} MiB more"
        for name in brokers:
            lane = gateway.lane(name)
            assert lane["health"] != "ok" and lane["lag_messages"] == 2000, lane
        assert gateway.stop(seconds=12) == 0, gateway.log_tail()
    finally:
        gateway.close()
        for one in brokers.values():
            one.close()


if __name__ == "__main__":
    lib.run(dict(globals()))
