# SPDX-License-Identifier: Apache-2.0
"""Scenarios of bench/run about history: a day of 10,000 meters sent again into each sink, what a replay beside it costs
live traffic, and how fast a lane catches up after an outage while messages go on coming."""
import json
import os
import threading
import time

import harness
from harness import Measured, lib, load
import clickhouse
import kafka as kafka_lib
from scenarios_kafka import Broker

METERS = 10000
SLOTS = 96  # of 15 minutes
MAPPING = """device: "{{device}}"
time: time
fields:
  volume.total: {{path: '"volume.total"', scale: {scale}}}
  pressure: {{path: pressure.value, unit: {unit}}}
"""
WRONG, MENDED = {"scale": "0.001", "unit": "kPa"}, {"scale": "1", "unit": "MPa"}
ROUTE = '  - {topic: "v1/{vendor}/{device}/json", codec: json, mapping: meters.yaml}'
KEPT = ("keep: 0s, keep_size: 0", "keep: 7d, keep_size: 40GiB")


class History(Measured):
    """A gateway that keeps what it took in; two readings a message, by a mapping that can be mended."""

    def __init__(self, sink, **options):
        super().__init__(sink=sink, routes=ROUTE, **options)
        self.sink = sink
        self.gateway.config = self.gateway.config.replace(*KEPT)
        self.map(**WRONG)

    def map(self, **values):
        os.makedirs(self.gateway.folder, exist_ok=True)
        with open(os.path.join(self.gateway.folder, "meters.yaml"), "w", encoding="utf-8") as file:
            file.write(MAPPING.format(**values))

    def mend(self):
        """Every value changes, under the same device, metric and time."""
        before = self.gateway.status()["generation"]
        self.map(**MENDED)
        self.gateway.process.send_signal(lib.signal.SIGHUP)
        lib.wait_until("the mended mapping is taken", lambda: self.gateway.status()["generation"] > before)

    def take_in(self, slots):
        """Yesterday's first `slots` quarters of an hour of all meters, as they would have come."""
        begin = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - 86400))
        self.gateway.sim("--meters", str(METERS), "--interval", "15m", "--begin", begin, "--count", str(METERS * slots),
                         "--rate", "max", "--vendors", "aqua:json", seconds=900)
        return self.gateway.settled(seconds=900, messages=METERS * slots)["readings"]

    def replay(self, *words):
        """Readings a second, from the request until readers of the sink see the last one; and the job."""
        began = time.monotonic()
        name = self.gateway.admin_verb("replay", "--sink", self.sink, "--from", "-1d", "--to", "now", "--detach", *words,
                                       check=0).stdout.decode().strip()
        # Parquet exchanges a day as a whole, a moment after it has all of it.
        waiting = f'tidegate_sink_parquet_replay_waiting_rows{{sink="{self.sink}"}}'

        def done():
            job = json.loads(self.gateway.get(f"/replay?id={name}")[1])["replays"][0]
            return job if job["state"] != "running" and not self.gateway.metrics().get(waiting) else None
        job = lib.wait_until(f"replay {name} ends and readers see it", done, 300, every=0.01)
        took = time.monotonic() - began
        assert job["state"] == "done", job
        return {"readings_per_s": job["readings"] / took, "seconds": took, "job": job}


def rounds_of(history, slots):
    readings = history.take_in(slots)
    raw = {"as it was, first": history.replay(), "as it was, second": history.replay(),
           "decoded again, nothing changed": history.replay("--decode-again")}
    history.mend()
    raw["decoded again, every value changed"] = history.replay("--decode-again")
    assert all(one["job"]["readings"] == readings for one in raw.values()), (readings, raw)
    assert raw["decoded again, every value changed"]["job"]["changed"] == readings, raw
    assert raw["decoded again, nothing changed"]["job"]["changed"] == 0, raw
    return readings, raw


def replay_into(what, sink, **options):
    slots = 4 if harness.options.quick else SLOTS
    with History(sink, **options) as history:
        readings, raw = rounds_of(history, slots)
    return [(f"{what}, {name}", one["readings_per_s"], "readings/s", f"{readings:,} readings in {one['seconds']:.2f} s")
            for name, one in raw.items()], raw


def replay_discard():
    """A day of 10,000 meters sent again to a sink that only counts."""
    return replay_into("discard", "discard")


def replay_parquet():
    """A day of 10,000 meters sent again into Parquet files, until readers see all of it."""
    return replay_into("Parquet", "parquet")


def replay_kafka():
    """A day of 10,000 meters sent again to Kafka."""
    reason = kafka_lib.kafka_missing()
    if reason:
        print(f"    not measured: {reason}", file=harness.sys.stderr)
        return [], {}
    with Broker() as broker:
        return replay_into("Kafka", "kafka", brokers=broker.address)


def replay_clickhouse():
    """A day of 10,000 meters sent again to ClickHouse 18.16 and 26.7."""
    rows, raw = [], {}
    for version in clickhouse.VERSIONS:
        reason = clickhouse.missing(version)
        if reason:
            print(f"    not measured: ClickHouse {version}: {reason}", file=harness.sys.stderr)
            continue
        with clickhouse.ClickHouse(version) as server:
            server.create_tables()
            more, raw[version] = replay_into(f"ClickHouse {version}", "clickhouse", url=server.url())
            found = server.value("SELECT count() FROM readings FINAL")
            assert found == raw[version]["as it was, first"]["job"]["readings"], found
        rows += more
    return rows, raw


# ---- beside live traffic ----

def replays_until(history, stop, jobs):
    while not stop.is_set():
        jobs.append(history.replay())


def puback(history, rate, seconds):
    return load(history.gateway.port, history.gateway.process.pid, "--connections", 200, "--window", 4, "--rate", rate,
                "--duration", f"{seconds}s")


def beside(history, rate, seconds):
    """The same load while one replay follows the other."""
    stop, jobs = threading.Event(), []
    thread = threading.Thread(target=replays_until, args=(history, stop, jobs))
    thread.start()
    try:
        lib.wait_until("a replay runs", lambda: any(job["state"] == "running" for job in history.gateway.status()["replays"])
                       or jobs)
        return puback(history, rate, seconds), jobs
    finally:
        stop.set()
        thread.join()


def replay_beside():
    """PUBACK of live messages without and with a replay into Parquet beside them, in turns."""
    seconds, rounds, rate = (3, 1, 5000) if harness.options.quick else (6, 2, 10000)
    raw = {"without": [], "with": [], "jobs": []}
    with History("parquet") as history:
        history.take_in(8 if harness.options.quick else 48)
        for _ in range(rounds):
            raw["without"].append(puback(history, rate, seconds))
            figures, jobs = beside(history, rate, seconds)
            raw["with"].append(figures)
            raw["jobs"] += [job["readings_per_s"] for job in jobs]
    worst = lambda name: max(one["p99_ms"] for one in raw[name])  # noqa: E731
    middle = lambda name: sum(one["p50_ms"] for one in raw[name]) / rounds  # noqa: E731
    speed = sum(raw["jobs"]) / len(raw["jobs"])
    return [("PUBACK p99 without a replay", worst("without"), "ms", f"p50 {middle('without'):.2f} ms; {rate:,} messages/s "
             "on 200 connections"),
            ("PUBACK p99 beside one", worst("with"), "ms", f"p50 {middle('with'):.2f} ms; "
             f"{worst('with') / worst('without'):.2f} times; the replay went at {speed:,.0f} readings/s")], raw


# ---- after an outage ----

def lag(gateway):
    (lane,) = gateway.status()["lanes"]
    return lane["lag_messages"], lane["next_seq"]


def outage(away, back, rate, seconds, **sink):
    """Messages come at a steady rate; the destination is away for `seconds`. How fast its lane catches up."""
    with Measured(**sink) as measured:
        gateway = measured.gateway
        duration = 8 * seconds
        thread = threading.Thread(target=load, args=(gateway.port, gateway.process.pid, "--connections", 50, "--window", 64,
                                                     "--rate", rate, "--duration", f"{duration}s"))
        thread.start()
        try:
            lib.wait_until("messages come", lambda: gateway.status()["received"] > rate)
            away()
            time.sleep(seconds)
            behind, first = lag(gateway)
            began = time.monotonic()
            back()
            lib.wait_until("the lane has caught up", lambda: lag(gateway)[0] < rate / 2, 8 * seconds, every=0.02)
            took = time.monotonic() - began
            stored = lag(gateway)[1] - first
            alive = thread.is_alive()
        finally:
            thread.join()
        status = gateway.settled(seconds=120)
    assert alive, "the load ended first: this is no rate beside it"
    return {"rate": rate, "behind": behind, "seconds": took, "drain_rate": stored / took,
            "readings": status["readings"], "messages": status["received"]}


def outage_drain():
    """Kafka away for some seconds under 10,000 messages/s of four readings: how fast its lane catches up beside them."""
    reason = kafka_lib.kafka_missing()
    if reason:
        print(f"    not measured: {reason}", file=harness.sys.stderr)
        return [], {}
    seconds = 2 if harness.options.quick else 5
    with Broker() as broker:
        one = outage(broker.pause, broker.resume, 10000, seconds, sink="kafka", brokers=broker.address)
    return [("drain after an outage", one["drain_rate"], "messages/s", f"{one['drain_rate'] / one['rate']:.1f} times what "
             f"comes in meanwhile; {one['behind']:,} messages behind after {seconds} s, caught up in {one['seconds']:.2f} s, "
             "waiting for the broker's sessions included")], one


SCENARIOS = [replay_discard, replay_parquet, replay_kafka, replay_clickhouse, replay_beside, outage_drain]
