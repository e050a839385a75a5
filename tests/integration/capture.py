#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`tidegate journal export` and the source that plays what it writes: each message once, with its receive time, over
kills and cut files."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from gateway import Gateway, wait_until  # noqa: E402

KEPT = ("received", "vendor", "client", "topic", "qos", "payload", "payload_hex", "properties_hex", "retain")


def playing_config(path, **options):
    text = lib.embedded_text().replace("{", "{{").replace("}", "}}")
    rows = "".join(f"    {key}: {value}\n" for key, value in options.items())
    return f"{text}\ncaptures:\n  - file: {path}\n{rows}"


def export(data, path, *options, check=0):
    result = subprocess.run([lib.PROGRAM, "journal", "export", "--data", data, "--out", path, *options],
                            capture_output=True, timeout=60)
    assert result.returncode == check, (result.returncode, result.stderr.decode())
    return result


def messages(data):
    result = subprocess.run([lib.PROGRAM, "journal", "show", "--data", data, "--json"], capture_output=True,
                            timeout=60, check=True)
    return [json.loads(line) for line in result.stdout.splitlines()]


def kept(rows):
    return [{key: row.get(key) for key in KEPT} for row in rows]


def readings(gateway):
    code, text = gateway.get("/tail?from=1&limit=100000")
    assert code == 200, text
    rows = [json.loads(line) for line in text.splitlines()]
    return [{key: row[key] for key in ("vendor", "device", "metric", "ts", "value", "quality", "received", "time_source")}
            for row in rows if "device" in row]


def played(gateway, seconds=60):
    def done():
        row = gateway.status()["captures"][0]
        return row if row["state"] not in ("waiting", "playing") else None
    return wait_until("the capture was played", done, seconds)


class Recorded:
    """A gateway that received what sim publishes, stopped; and the folder for what the test makes."""

    def __init__(self, count=1000, rate="max"):
        self.options = ("--count", str(count), "--rate", rate, "--garbage", "5", "--connections", "4")

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="tidegate-capture-")
        self.path = os.path.join(self.folder, "capture")
        with Gateway(folder=os.path.join(self.folder, "first")) as gateway:
            gateway.start()
            gateway.sim(*self.options)
            gateway.publish("v1/acme/7/json", b'{"volume.total": 1.5}')
            gateway.publish("nobody/knows", bytes([0, 255, 1]), "-q", "1")
            gateway.settled()
            self.readings = readings(gateway)
            assert gateway.stop() == 0
            self.data = gateway.data
        self.messages = messages(self.data)
        return self

    def player(self, name="second", **options):
        return Gateway(folder=os.path.join(self.folder, name), config=playing_config(self.path, **options))

    def __exit__(self, *error):
        shutil.rmtree(self.folder, ignore_errors=True)


def test_what_is_exported_and_played_is_as_it_was_received():
    with Recorded() as recorded:
        export(recorded.data, recorded.path)
        time.sleep(0.01)
        with recorded.player() as gateway:
            gateway.start()
            row = played(gateway)
            assert row["state"] == "done" and row["restamped"] == 0, row
            assert row["stored"] == row["total"] == len(recorded.messages), row
            gateway.settled()
            # `received` too: without a time of its own a reading gets that of the first gateway.
            assert readings(gateway) == recorded.readings
            gateway.stop()
            assert kept(messages(gateway.data)) == kept(recorded.messages)


def test_a_capture_is_played_once_over_restarts():
    with Recorded() as recorded:
        export(recorded.data, recorded.path)
        with recorded.player() as gateway:
            for _ in range(3):
                gateway.start()
                row = played(gateway)
                assert (row["state"], row["stored"]) == ("done", len(recorded.messages)), row
                assert gateway.status()["received"] == len(recorded.messages)
                gateway.stop()


def test_kill_9_while_it_plays_stores_each_message_once():
    with Recorded(count=20000, rate="8000") as recorded:
        export(recorded.data, recorded.path)
        with recorded.player(speed=1) as gateway:
            stored = 0
            for _ in range(4):
                gateway.start()
                stored = wait_until("it goes on playing", lambda: max(
                    gateway.status()["captures"][0]["stored"] - stored - 500, 0) and
                    gateway.status()["captures"][0]["stored"])
                gateway.kill()
            assert stored < len(recorded.messages), "the kills were not in the middle"
            gateway.config = playing_config(recorded.path)
            gateway.start()
            assert played(gateway)["state"] == "done"
            gateway.settled()
            gateway.stop()
            assert kept(messages(gateway.data)) == kept(recorded.messages)


def test_a_cut_file_is_told_and_goes_on_when_it_is_whole():
    with Recorded(count=30000) as recorded:
        export(recorded.data, recorded.path)
        whole = open(recorded.path, "rb").read()
        with open(recorded.path, "wb") as file:
            file.write(whole[:-1000])
        with recorded.player() as gateway:
            gateway.start()
            row = played(gateway)
            assert row["state"] == "stopped" and "cut" in row["why"] and row["total"] == 0, row
            assert 0 < row["stored"] < len(recorded.messages), row
            assert gateway.status()["received"] == row["stored"]
            gateway.stop()
            assert kept(messages(gateway.data)) == kept(recorded.messages)[:row["stored"]]
            with open(recorded.path, "wb") as file:
                file.write(whole)
            gateway.start()
            row = played(gateway)
            assert (row["state"], row["stored"]) == ("done", len(recorded.messages)), row
            gateway.stop()
            assert kept(messages(gateway.data)) == kept(recorded.messages)


def test_export_takes_a_vendor_a_topic_and_a_span_beside_a_running_gateway():
    with Gateway() as gateway:
        gateway.start()
        for device in range(4):
            gateway.publish(f"v1/acme/{device}/json", b'{"volume.total": 1}', "-q", "1")
            gateway.publish(f"v1/zenner/{device}/json", b'{"volume.total": 2}', "-q", "1")
        wait_until("stored", lambda: gateway.status()["received"] == 8)
        rows = messages(gateway.data)

        def taken(*options):
            path = os.path.join(gateway.folder, "capture")
            text = export(gateway.data, path, *options).stderr.decode()
            os.unlink(path)
            return int(text.split()[1])
        assert taken() == 8
        assert taken("--vendor", "acme") == 4
        assert taken("--vendor", "nobody") == 0
        assert taken("--topic", "v1/+/3/json") == 2
        middle = rows[4]["received"]
        assert taken("--to", middle) == sum(row["received"] < middle for row in rows)
        assert taken("--from", middle, "--vendor", "zenner") == sum(
            row["received"] >= middle and "zenner" in row["topic"] for row in rows)
        assert taken("--to", "2001-01-01") == 0
        gateway.publish("v1/acme/9/json", b'{"volume.total": 1}', "-q", "1")
        assert gateway.settled(messages=9)["received"] == 9


def test_export_never_overwrites_and_writes_to_a_pipe():
    with Recorded(count=50) as recorded:
        export(recorded.data, recorded.path)
        again = export(recorded.data, recorded.path, check=1)
        assert b"is there already" in again.stderr
        piped = export(recorded.data, "-")
        with open(recorded.path, "wb") as file:
            file.write(piped.stdout)
        with recorded.player() as gateway:
            gateway.start()
            assert played(gateway)["stored"] == len(recorded.messages)


def test_ranges_lost_to_damage_are_told_by_export_and_by_playing():
    with Recorded(count=30000) as recorded:
        segments = os.path.join(recorded.data, "journal", "raw")
        segment = os.path.join(segments, sorted(n for n in os.listdir(segments) if n.endswith(".log"))[0])
        with open(segment, "r+b") as file:
            file.seek(20000)
            file.write(b"\xff" * 64)
        result = export(recorded.data, recorded.path, check=65)
        assert b"damaged: messages" in result.stderr, result.stderr
        with recorded.player() as gateway:
            gateway.start()
            row = played(gateway)
            assert row["state"] == "done" and row["lost"] > 0, row
            assert row["stored"] + row["lost"] == len(recorded.messages), row
            assert "capture_lost" in gateway.log()


def test_speed_1_takes_as_long_as_receiving_did():
    with Recorded(count=300, rate="150") as recorded:
        export(recorded.data, recorded.path)
        times = [row["received"] for row in recorded.messages]
        import datetime
        first, last = (datetime.datetime.fromisoformat(t.replace("Z", "+00:00")).timestamp() for t in (times[0], times[-1]))
        took = {}
        for speed in ("1", "max"):
            with recorded.player(name=f"at-{speed}", speed=speed) as gateway:
                began = time.monotonic()
                gateway.start()
                assert played(gateway)["stored"] == len(recorded.messages)
                took[speed] = time.monotonic() - began
        assert took["1"] >= last - first > 1, (took, last - first)
        assert took["max"] < took["1"], took


def test_beside_later_messages_restamped_ones_are_counted():
    with Recorded(count=50) as recorded:
        export(recorded.data, recorded.path)
        with Gateway(folder=os.path.join(recorded.folder, "second")) as gateway:
            gateway.start()
            gateway.publish("v1/acme/1/json", b'{"volume.total": 1}', "-q", "1")
            gateway.settled(messages=1)
            gateway.stop()
            gateway.config = playing_config(recorded.path)
            gateway.start()
            row = played(gateway)
            assert row["stored"] == row["restamped"] == len(recorded.messages), row
            gateway.stop()
            received = [row["received"] for row in messages(gateway.data)]
            assert received == sorted(received)


def test_the_built_in_configuration_plays_with_an_option():
    with Recorded(count=50) as recorded:
        export(recorded.data, recorded.path)
        with Gateway(plain=True) as gateway:
            command = gateway.command
            gateway.command = lambda: command() + ["--capture", recorded.path, "--capture-speed", "1000"]
            gateway.start()
            assert played(gateway)["stored"] == len(recorded.messages)
            name = gateway.status()["captures"][0]["name"]
            assert gateway.metrics()[f'tidegate_capture_stored_messages{{capture="{name}"}}'] == len(
                recorded.messages)


def test_a_missing_or_foreign_file_is_a_refusal_to_start():
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        foreign = os.path.join(folder, "foreign")
        with open(foreign, "wb") as file:
            file.write(b"x" * 1000)
        for path, word in ((os.path.join(folder, "none"), "No such file"), (foreign, "no capture file")):
            with Gateway(config=playing_config(path)) as gateway:
                gateway.start(ready=False)
                assert gateway.process.wait(20) != 0
                assert word in gateway.log() and path in gateway.log(), gateway.log_tail()


if __name__ == "__main__":
    lib.run(dict(globals()))
