# SPDX-License-Identifier: Apache-2.0
"""Scenario of bench/run with a real mosquitto: what the client for existing brokers costs against a bare subscriber of
the same library that writes each payload to a file."""
import os
import shutil
import statistics
import subprocess
import tempfile

import harness
from harness import BUILD, Measured, lib, load, threads
import mosquitto

FLOOR = os.path.join(BUILD, "bench", "bench_paho_floor")
PAYLOAD = 175
RATE = 10000
BROKERS = """
brokers:
  - {{{{name: bench, url: "mqtt://127.0.0.1:{port}", topics: ["v1/#"]}}}}
"""


def publish(broker, count):
    load(broker.port, broker.process.pid, "--connections", 50, "--window", 20, "--count", count, "--rate", RATE,
         "--payload", PAYLOAD)


def floor_round(broker, folder, count):
    """CPU-seconds of the bare subscriber per million messages."""
    path = os.path.join(folder, "payloads")
    process = subprocess.Popen([FLOOR, f"mqtt://127.0.0.1:{broker.port}", "v1/#", path], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n", "bench_paho_floor did not come up"
        before = sum(threads(process.pid).values())
        publish(broker, count)
        lib.wait_until("the floor has all", lambda: os.path.getsize(path) >= count * PAYLOAD, 60)
        assert os.path.getsize(path) == count * PAYLOAD
        return (sum(threads(process.pid).values()) - before) / count * 1e6
    finally:
        process.kill()
        process.wait()


def source_round(broker, count):
    """CPU-seconds per million messages of the worker process, and of the thread that moves messages on."""
    with Measured(extra=BROKERS.format(port=broker.port)) as measured:
        gateway = measured.gateway
        lib.wait_until("the worker is connected", lambda: gateway.status()["brokers"][0]["mqtt"] == "5.0")
        (worker,) = gateway.workers()

        def spent():
            return sum(threads(worker).values()), threads(gateway.process.pid).get("brokers", 0)
        before = spent()
        publish(broker, count)
        lib.wait_until("all is in the raw log", lambda: gateway.status()["received"] >= count, 60)
        assert gateway.status()["received"] == count
        after = spent()
    return tuple((after[i] - before[i]) / count * 1e6 for i in range(2))


def paho_source():
    """The same messages at the same rate from one broker: to the floor and to the gateway, in turns."""
    count = 50000 if harness.options.quick else 150000
    rounds = 1 if harness.options.quick else 3
    raw = {"floor": [], "worker": [], "mover": []}
    for _ in range(rounds):
        for subscriber in ("floor", "gateway"):
            folder = tempfile.mkdtemp(prefix="tidegate-bench-", dir=harness.options.disk)
            try:
                with mosquitto.Mosquitto(persistence=False) as broker:
                    if subscriber == "floor":
                        raw["floor"].append(floor_round(broker, folder, count))
                    else:
                        worker, mover = source_round(broker, count)
                        raw["worker"].append(worker)
                        raw["mover"].append(mover)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    floor, worker, mover = (statistics.median(raw[name]) for name in ("floor", "worker", "mover"))
    return [("bare Paho subscriber, a write each", floor, "CPU-s/M", f"{RATE:,} messages/s, {PAYLOAD} bytes"),
            ("worker process", worker, "CPU-s/M", f"{worker / floor:.2f} times the bare subscriber"),
            ("worker and what moves messages to the raw log", worker + mover, "CPU-s/M",
             f"{(worker + mover) / floor:.2f} times the bare subscriber")], raw
