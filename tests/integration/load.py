#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The whole path under load, with faults in the data: also run with the sanitizers' builds. Nothing may be
lost, counted wrongly, or reported by a sanitizer."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from gateway import Gateway  # noqa: E402

REPORT = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error|assert", re.I)


def load(*options, count=10000):
    with Gateway() as gateway:
        gateway.start()
        summary = gateway.sim("--count", str(count), "--meters", "2000", "--patience", "60s", *options,
                              seconds=240)
        assert summary["acknowledged"] == summary["published"] >= count, summary
        status = gateway.settled(seconds=120, messages=summary["published"])
        assert status["received"] == status["decoded"] + status["dead"] + status["quarantined"], status
        assert status["quarantined"] == 0
        assert status["dead"] == summary["garbage"], (status["dead"], summary["garbage"])
        assert gateway.stop(seconds=30) == 0, gateway.log_tail(60)
        found = REPORT.search(gateway.log())
        assert not found, gateway.log_tail(80)
        return gateway


def test_qos_1_on_mqtt_5_with_faults_in_the_data():
    load("--rate", "max", "--garbage", "10", "--duplicates", "5", "--late", "5", "--resets", "1", "--clock-skew", "5")


def test_qos_2_on_mqtt_3_1_1():
    load("--qos", "2", "--mqtt", "3.1.1", "--rate", "max", count=4000)


def test_a_thousand_connections_one_message_at_a_time():
    load("--connections", "1000", "--window", "1", "--rate", "max", count=10000)


def test_kill_9_and_a_start_under_the_same_load():
    with Gateway() as gateway:
        gateway.start()
        sim = gateway.sim_start("--count", "15000", "--meters", "2000", "--rate", "5000", "--patience", "60s")
        lib.wait_until("load is running", lambda: gateway.status()["received"] > 1000)
        gateway.kill()
        gateway.start()
        out, errors = sim.communicate(timeout=200)
        assert sim.returncode == 0, out.decode() + errors.decode()
        status = gateway.settled(seconds=120, messages=15000)
        assert status["received"] == status["decoded"] + status["dead"] + status["quarantined"], status
        assert gateway.stop(seconds=30) == 0
        assert not REPORT.search(gateway.log()), gateway.log_tail(80)


if __name__ == "__main__":
    lib.run(dict(globals()))
