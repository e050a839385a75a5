#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the gateway, of the Kafka broker and of the ClickHouse server at random times under load; then every
store must hold what was acknowledged, and all the same.

The gateway has four lanes: Parquet, Kafka at_least_once, Kafka exactly_once, ClickHouse. The load is `tidegate sim`
with a ledger, at QoS 1 and at QoS 2. At the end, once every lane has caught up:

  every store         what was acknowledged is there with the value that was sent, and nothing that was not sent;
                      all thirteen columns of all rows are those of Parquet
  exactly_once        a reader of committed transactions sees each (gateway, seq, device, metric, ts) once
  both Kafka topics   the rows of a device in the order of its messages
  ClickHouse          SELECT count() ... FINAL is the number of distinct (vendor, device, metric, ts); sums alike
  Parquet             each row once; at QoS 2 no message twice

  kill_sinks.py [--cycles N] [--server-cycles N] [--clickhouse 18.16|26.7|none] [--seed S] [--rate R] [--keep]
"""
import argparse
import collections
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import clickhouse  # noqa: E402
import gateway as lib  # noqa: E402
import oracle  # noqa: E402
from kafka import Kafka, kafka_missing  # noqa: E402
from kafka_gateway import KafkaGateway, position_topic, topics  # noqa: E402


class Scene:
    """The gateway, its servers and its load."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.dice = random.Random(arguments.seed)
        self.kafka = Kafka()
        self.house = None if arguments.clickhouse == "none" else clickhouse.ClickHouse(arguments.clickhouse)
        self.gateway = None
        self.sims = []
        self.ledger = None

    def start(self):
        self.kafka.start()
        self.names, self.once = topics(self.kafka, "least"), topics(self.kafka, "once")
        position_topic(self.kafka, self.once)
        self.gateway = KafkaGateway(self.kafka.address, **self.names)
        self.gateway.sinks.append({**self.gateway.sink, **self.once, "name": "once", "delivery": "exactly_once"})
        if self.house:
            self.house.start()
            self.house.create_tables()
            self.gateway.sinks.append({"type": "clickhouse", "url": self.house.url(), "flush_age": "300ms"})
        self.ledger = os.path.join(self.gateway.folder, "ledger")
        self.gateway.start()
        self.sims = [self.load(qos) for qos in (1, 2)]

    def load(self, qos):
        """An interval of 900 s a round, so that times of a meter never fall together; long ago, so that simulated
        time cannot pass the clock."""
        begin = time.strftime("%Y-%m-%dT00:00:00+08:00", time.gmtime(time.time() - 300 * 86400))
        vendors = "aqua:json,huaxu:cjt188" if qos == 1 else "aqua2:json,huaxu2:cjt188"
        return self.gateway.sim_start(
            "--meters", "1000", "--rate", str(self.arguments.rate // 2), "--duration", "1d", "--begin", begin,
            "--ledger", f"{self.ledger}.{qos}", "--patience", "120s", "--backoff", "100ms", "--seed",
            str(self.arguments.seed), "--mqtt", self.dice.choice(["3.1.1", "5"]), "--qos", str(qos), "--vendors", vendors,
            "--client-id", f"kill-{qos}")

    # ---- killing ----

    def victims(self):
        """In random order, the gateway so often, each server so often."""
        servers = ["kafka"] + (["clickhouse"] if self.house else [])
        found = ["gateway"] * self.arguments.cycles + servers * self.arguments.server_cycles
        self.dice.shuffle(found)
        return found

    def run(self):
        for number, victim in enumerate(self.victims(), 1):
            began = time.monotonic()
            what = {"gateway": self.kill_gateway, "kafka": lambda: self.kill_server(self.kafka),
                    "clickhouse": lambda: self.kill_server(self.house)}[victim]()
            print(f"kill {number}: {victim} {what} ({time.monotonic() - began:.1f} s)", flush=True)

    def progress(self, seconds=60):
        """Until a lane of the dice's choice has stored some more: kills fall between two units, and within one."""
        name = self.dice.choice([lane["name"] for lane in self.gateway.status()["lanes"]])
        before = self.gateway.lane(name)["rows"]
        more = self.dice.choice([0, 1, 1000, 3000])
        lib.wait_until(f"lane {name} moves", lambda: self.gateway.lane(name)["rows"] >= before + more, seconds, 0.005)
        time.sleep(self.dice.choice([0.01, 0.1, 0.3]) * self.dice.random())
        return f"after {more} more rows of {name}"

    def kill_gateway(self):
        # One life in five is cut while it starts.
        what = "while starting"
        if self.dice.random() < 0.8:
            self.gateway.wait_ready()
            what = self.progress()
        self.gateway.kill()
        self.gateway.start(ready=False)
        return what

    def kill_server(self, server):
        self.gateway.wait_ready()
        what = self.progress()
        server.kill()
        away = self.dice.choice([0, 0, 0.5, 2])
        time.sleep(away)  # the length of the outage is the fault, not a wait
        server.start()
        return f"{what}, away for {away} s"

    def end(self):
        self.gateway.wait_ready()
        for sim in self.sims:
            sim.terminate()
        for sim in self.sims:
            summary, errors = sim.communicate(timeout=90)
            print("sim:", summary.decode().strip(), errors.decode().strip(), flush=True)
            assert sim.returncode == 0, "the simulator"
        self.gateway.settled(seconds=180)
        assert self.gateway.stop() == 0, self.gateway.log_tail()

    def close(self, keep):
        for sim in self.sims:
            if sim.poll() is None:
                sim.kill()
                sim.communicate()
        if self.gateway:
            self.gateway.kill()
            if not keep:
                self.gateway.close()
        self.kafka.close()
        if self.house:
            self.house.close()

    # ---- the oracle ----

    def check(self):
        sent = oracle.ledger(self.ledger)
        outcomes = collections.Counter(line.outcome for line in sent)
        parquet = oracle.of_parquet(self.gateway)
        least = oracle.of_kafka(self.kafka.records(self.names["topic_readings"]))
        once = oracle.of_kafka(self.kafka.records(self.once["topic_readings"], committed=True))
        given_up = len(self.kafka.records(self.once["topic_readings"])) - len(once)
        house = oracle.of_clickhouse(self.house) if self.house else oracle.newest(parquet)
        distinct = oracle.newest(parquet, like=house)
        bad = []
        for name, rows in (("Parquet", parquet), ("Kafka", least), ("Kafka exactly once", once), ("ClickHouse", house)):
            bad += oracle.of_the_ledger(name, sent, rows)
        bad += oracle.nothing_twice("Parquet", parquet) + oracle.nothing_twice("Kafka exactly once", once)
        bad += oracle.in_order("Kafka", least) + oracle.in_order("Kafka exactly once", once)
        bad += oracle.alike("Kafka", least, "Parquet", parquet)
        bad += oracle.alike("Kafka exactly once", once, "Parquet", parquet)
        bad += oracle.alike("ClickHouse", house, "Parquet", distinct)
        bad += self.count_clickhouse(distinct) + self.check_qos2(sent, parquet, outcomes)
        sums = {name: oracle.sums(rows) for name, rows in (
            ("parquet", distinct), ("kafka", oracle.newest(least, like=house)), ("once", oracle.newest(once, like=house)),
            ("clickhouse", house))}
        if len({str(one) for one in sums.values()}) != 1:
            bad.append(f"counts and sums differ: {sums}")
        oracle.report({"messages": dict(outcomes), "sent_again": sum(line.attempts > 1 for line in sent),
                       "rows": len(parquet), "repeats_at_least_once": len(least) - len(parquet),
                       "records_given_up_in_transactions": given_up, **sums["parquet"]})
        return bad or oracle.planted("Kafka exactly once", sent, once)

    def count_clickhouse(self, distinct):
        if not self.house:
            return []
        count = self.house.value("SELECT count() FROM readings FINAL")
        return [] if count == len(distinct) else [f"ClickHouse counts {count}, not {len(distinct)}"]

    @staticmethod
    def check_qos2(sent, parquet, outcomes):
        messages = collections.defaultdict(set)
        for row in parquet:
            if row.vendor.endswith("2"):
                messages[oracle.measured(row)].add(row.seq)
        bad = [f"{key} twice at QoS 2" for key, numbers in messages.items() if len(numbers) > 1][:3]
        if not messages or not any(line.qos == 1 for line in sent):
            bad.append("one of the two loads did not run")
        if outcomes["REJ"] or outcomes["UNK"] or not outcomes["ACK"]:
            bad.append(f"outcomes {dict(outcomes)}")
        return bad


def parse():
    cycles = int(os.environ.get("KILL_SINK_CYCLES", "8"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--cycles", type=int, default=cycles, help="kill -9 of the gateway so often")
    parser.add_argument("--server-cycles", type=int, default=None, help="of each server; default a third")
    parser.add_argument("--clickhouse", choices=["18.16", "26.7", "none"], default="18.16")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")))
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--keep", action="store_true", help="leave the gateway's folder")
    arguments = parser.parse_args()
    if arguments.server_cycles is None:
        arguments.server_cycles = (arguments.cycles + 2) // 3
    return arguments


def missing(arguments):
    reason = lib.reader_missing() or kafka_missing()
    return reason or (None if arguments.clickhouse == "none" else clickhouse.missing(arguments.clickhouse))


def main():
    arguments = parse()
    reason = missing(arguments)
    if reason:
        print(f"SKIP kill_sinks: {reason}")
        return 77
    scene, ok = Scene(arguments), False
    print(f"{arguments.cycles} kills of the gateway, {arguments.server_cycles} of each server, seed {arguments.seed}",
          flush=True)
    try:
        scene.start()
        scene.run()
        scene.end()
        bad = scene.check()
        for sentence in bad:
            print("FAIL", sentence)
        ok = not bad
    finally:
        if not ok and scene.gateway:
            print(scene.gateway.log_tail(40))
            print(f"kept: {scene.gateway.folder}")
        scene.close(keep=arguments.keep or not ok)
    kills = arguments.cycles + arguments.server_cycles * (1 + bool(scene.house))
    print(f"{kills if ok else 0} passed, {0 if ok else 1} failed, 0 skipped")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
