#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Paho MQTT C against the listener: QoS 0, 1, 2 on MQTT 3.1, 3.1.1 and 5.0."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from gateway import Gateway, Skip, wait_until  # noqa: E402

BUILD = os.environ.get("TIDEGATE_BUILD") or os.path.join(lib.ROOT, "build/release")
CLIENT = os.path.join(BUILD, "tests", "paho_client")
COUNT = 300


def publish_all(version):
    if not os.path.exists(CLIENT):
        raise Skip(f"{CLIENT} was not built: no libpaho-mqtt-dev")
    with Gateway() as gateway:
        gateway.start()
        for qos in (0, 1, 2):
            result = subprocess.run(
                [CLIENT, f"tcp://127.0.0.1:{gateway.port}", f"paho-{version}-{qos}", str(version), str(qos),
                 f"v1/paho/{qos}/json", str(COUNT)], capture_output=True, timeout=90)
            assert result.returncode == 0, (qos, result.stdout, result.stderr, gateway.log_tail())
        wait_until("all are stored", lambda: gateway.status()["received"] >= 3 * COUNT, 20)
        status = gateway.settled()
        assert status["received"] == status["decoded"] == 3 * COUNT, status
        code, text = gateway.get("/tail?from=1&limit=10000")
        assert code == 200
        import json
        rows = [json.loads(line) for line in text.splitlines()[1:]]
        for qos in (0, 1, 2):
            values = [row["value"] for row in rows if row["device"] == str(qos)]
            assert values == list(range(1, COUNT + 1)), (qos, len(values), "not all once, in order")


def test_mqtt_3_1_at_each_qos():
    publish_all(3)


def test_mqtt_3_1_1_at_each_qos():
    publish_all(4)


def test_mqtt_5_at_each_qos():
    publish_all(5)


if __name__ == "__main__":
    lib.run(dict(globals()))
