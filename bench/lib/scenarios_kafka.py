# SPDX-License-Identifier: Apache-2.0
"""Scenarios of bench/run with a real Kafka: the lane against a bare producer, the whole way against a floor, the most
that the machine carries, and how old a reading is when a consumer has it. The broker shares the machine; its CPU
time is not counted, that of the gateway's process alone is."""
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

import harness
from harness import BUILD, Floor, Measured, lib, load, threads
import kafka as kafka_lib

READINGS = "water.reading.v1"
PAYLOAD = ("--payload", 175)
BARE = os.path.join(BUILD, "bench", "bench_kafka")
FLOOR_KAFKA = os.path.join(BUILD, "bench", "bench_floor_kafka")
LATENCY = os.path.join(BUILD, "bench", "bench_latency")
# (connections, messages in flight on each)
SHAPES = ((1000, 64), (16, 2000))


class Broker(kafka_lib.Kafka):
    """On the disk to measure, with the topics that a scenario wants."""

    def __init__(self, *topics):
        self.wanted = topics
        super().__init__(folder=tempfile.mkdtemp(prefix="tidegate-bench-", dir=harness.options.disk))

    def __enter__(self):
        self.start()
        for topic in (*kafka_lib.TOPICS, *self.wanted):
            self.create_topic(topic, partitions=6)
        return self

    def __exit__(self, *error):
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def with_kafka(broker, **options):
    return Measured(sink="kafka", brokers=broker.address, **options)


def lane(status):
    return next(lane for lane in status["lanes"] if lane["name"] == "kafka")


def behind(status):
    """Messages that were received and are not confirmed by the brokers."""
    return status["undecoded"] + lane(status)["lag_messages"]


def is_lane(name):
    """The lane, its helpers, and librdkafka's threads."""
    return name.startswith(("lane-", "help-", "rdk:"))


# ---- the lane alone ----

def lane_round(count):
    """Costs of the bare producer and of the lane, in CPU-s per million readings, and the figures."""
    with Broker("bare") as broker:
        with with_kafka(broker) as measured:
            gateway = measured.gateway
            lib.wait_until("the lane is up", lambda: lane(gateway.status())["health"] == "ok")
            before = threads(gateway.process.pid)
            # The broker stands still meanwhile, so that the lane works when nobody else does.
            broker.pause()
            load(gateway.port, gateway.process.pid, "--connections", 50, "--window", 64, "--count", count, *PAYLOAD)
            lib.wait_until("everything is decoded", lambda: not gateway.status()["undecoded"], 120)
            readings = gateway.status()["readings"]
            began = time.monotonic()
            broker.resume()
            gateway.settled(seconds=120)
            took = time.monotonic() - began
            after = threads(gateway.process.pid)
        stored = sum(broker.offsets(READINGS).values())
        assert stored == readings, f"{stored} records of {readings} readings"
        result = subprocess.run([BARE, broker.address, READINGS, "bare"], capture_output=True, timeout=300, check=True)
    bare = json.loads(result.stdout)
    assert bare["records"] == readings
    spent = {name: (after[name] - before.get(name, 0)) / readings * 1e6 for name in after if is_lane(name)}
    return {"bare": bare, "lane_cpu_s_per_million": sum(spent.values()), "lane_threads": spent, "readings": readings,
            "lane_readings_per_s": readings / took, "bare_readings_per_s": readings / bare["seconds"]}


def kafka_lane():
    """A backlog of readings through the lane, against a bare librdkafka with the same records, three times."""
    rounds = [lane_round(50000 if harness.options.quick else 500000) for _ in range(3)]
    middle = lambda name: statistics.median(one[name] for one in rounds)  # noqa: E731
    for one in rounds:
        one["bare_cpu_s_per_million"] = one["bare"]["cpu_s_per_million"]
        one["ratio"] = one["lane_cpu_s_per_million"] / one["bare_cpu_s_per_million"]
    ratios = sorted(one["ratio"] for one in rounds)
    return [("bare produce_batch", middle("bare_cpu_s_per_million"), "CPU-s/M readings",
             f"{middle('bare_readings_per_s'):,.0f} readings/s"),
            ("Kafka lane", middle("lane_cpu_s_per_million"), "CPU-s/M readings",
             f"{middle('ratio'):.2f} times the bare one ({ratios[0]:.2f} to {ratios[-1]:.2f} in three rounds), reading "
             f"and packing included; {middle('lane_readings_per_s'):,.0f} readings/s")], {"rounds": rounds}


# ---- the whole way ----

def kafka_path():
    """MQTT QoS 1, JSON of 175 bytes, 20,000 messages/s -> Kafka, against a floor without journal and JSON."""
    seconds = 4 if harness.options.quick else 12
    rows, raw = [], {}
    with Broker("floor") as broker:
        for connections, window in SHAPES:
            arguments = ("--connections", connections, "--window", window, "--rate", 20000, "--duration",
                         f"{seconds}s", *PAYLOAD)
            with Floor(FLOOR_KAFKA, broker.address, "floor") as floor:
                base = floor.load(*arguments)
            floor_cost = base["cpu_s_per_million"]
            rows.append((f"floor, {connections} connections", floor_cost, "CPU-s/M messages",
                         f"{base['rate']:,.0f} messages/s; PUBACK p50 {base['p50_ms']:.0f} ms, p99 "
                         f"{base['p99_ms']:.0f} ms"))
            raw[f"floor_{connections}"] = base
            for readings in (4, 1):
                with with_kafka(broker) as measured:
                    figures = measured.load(*arguments, "--readings", readings)
                assert figures["readings"] == readings * figures["published"]
                cost = figures["whole_cpu_s_per_million"]
                rows.append((f"gateway, {connections} connections, readings a message: {readings}", cost,
                             "CPU-s/M messages", f"{cost / floor_cost:.2f} times the floor; PUBACK p50 "
                             f"{figures['p50_ms']:.1f} ms, p99 {figures['p99_ms']:.1f} ms"))
                raw[f"gateway_{connections}_{readings}"] = figures
    return rows, raw


# ---- the most ----

def lags(gateway, stop, out):
    """(seconds, messages behind), as long as a load runs."""
    began = time.monotonic()
    while not stop.wait(0.25):
        out.append((time.monotonic() - began, behind(gateway.status())))


def carries(broker, rate, seconds):
    """Whether messages at this rate reach the brokers as fast as they come, and the figures."""
    with with_kafka(broker) as measured:
        stop, seen = threading.Event(), []
        watcher = threading.Thread(target=lags, args=(measured.gateway, stop, seen))
        watcher.start()
        try:
            figures = load(measured.gateway.port, measured.gateway.process.pid, "--connections", 200, "--window", 500,
                           "--rate", rate, "--duration", f"{seconds}s", *PAYLOAD)
        finally:
            stop.set()
            watcher.join()
        measured.gateway.settled(seconds=300)
    last = seen[-1][0]
    # The first half is warming up; of the second, its beginning against its end.
    early = [lag for when, lag in seen if last * 0.4 <= when < last * 0.6]
    late = [lag for when, lag in seen if last * 0.8 <= when]
    growth = (sum(late) / len(late) - sum(early) / len(early)) / (last * 0.4)
    figures.update(wanted=rate, lag_growth_per_s=growth, lag_at_end=seen[-1][1])
    return figures["rate"] > 0.97 * rate and growth < 0.03 * rate, figures


def kafka_most():
    """The most messages/s, 4 readings each, that the whole machine carries without the lag growing."""
    seconds, steps = (4, 1) if harness.options.quick else (10, 4)
    low, high, raw = 0, None, []
    rate = 20000
    with Broker() as broker:
        while high is None or steps > 0:
            good, figures = carries(broker, rate, seconds)
            raw.append(figures)
            if good:
                low = rate
            else:
                high = rate
            if high is None:
                rate *= 2
            else:
                steps -= 1
                rate = int((low + high) / 2)
    return [("most without growing lag", low, "messages/s",
             f"{4 * low:,} readings/s; broker and load share the {os.cpu_count()} processors; too much: "
             f"{high:,}")], {"tries": raw}


# ---- latency ----

def latency_run(broker, rate, seconds, **options):
    with with_kafka(broker, **options) as measured:
        with subprocess.Popen([LATENCY, broker.address, READINGS], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as consumer:
            line = consumer.stderr.readline()
            assert line == b"ready\n", line
            figures = load(measured.gateway.port, measured.gateway.process.pid, "--connections", 200, "--window", 100,
                           "--rate", rate, "--duration", f"{seconds}s", "--now", *PAYLOAD)
            text, errors = consumer.communicate(timeout=60)
    assert consumer.returncode == 0, errors
    seen = json.loads(text)
    assert seen["whole"]["count"] + seen["undated"] == 4 * figures["published"], (seen, figures)
    return seen


def kafka_latency():
    """From a device's publish to a consumer, by the clock of the machine that all of them share."""
    seconds = 3 if harness.options.quick else 10
    quick = {"linger": "5ms", "flush_age": "10ms", "extra": "decode: {{batch_age: 10ms}}\n"}
    rows, raw = [], {}
    with Broker() as broker:
        for name, rate, options in (("as it is, 1,000 messages/s", 1000, {}),
                                    ("as it is, 20,000 messages/s", 20000, {}),
                                    ("batch_age 10 ms, flush_age 10 ms, linger 5 ms, 1,000 messages/s", 1000, quick)):
            seen = latency_run(broker, rate, seconds, **options)
            rows.append((f"publish -> consumer p50, {name}", seen["whole"]["p50_ms"], "ms",
                         f"p99 {seen['whole']['p99_ms']:.0f} ms, p99.9 {seen['whole']['p999_ms']:.0f} ms, most "
                         f"{seen['whole']['max_ms']:.0f} ms"))
            raw[name] = seen
    return rows, raw


SCENARIOS = [kafka_lane, kafka_path, kafka_most, kafka_latency]
