#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`tidegate audit`: what came in equals what went out, by vendor and day; and what is not there is told by its numbers."""
import glob
import json
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from gateway import Gateway, wait_until  # noqa: E402


def audit(gateway, *options, check=0):
    """Rows and differences."""
    result = gateway.verb("audit", "--data", gateway.data, "--json", *options, check=check)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return [line for line in lines if "day" in line], [line for line in lines if "differs" in line]


def total(rows, name):
    return sum(row[name] for row in rows)


def total_of(rows, name):
    return sum(row["sinks"]["parquet"].get(name, 0) for row in rows)


def filled(gateway, count=3000):
    gateway.start()
    gateway.sim("--count", str(count), "--rate", "max", "--garbage", "20", "--duplicates", "5")
    gateway.publish("nobody/knows", b"x", "-q", "1")
    return gateway.settled()


def test_every_message_is_accounted_for_by_vendor_and_in_the_store():
    with Gateway() as gateway:
        status = filled(gateway)
        rows, differences = audit(gateway)
        assert differences == []
        assert {row["vendor"] for row in rows} >= {"aqua", "huaxu"}, rows
        for name in ("received", "dead", "readings"):
            assert total(rows, name) == status[name], (name, rows, status)
        assert total(rows, "decoded") + total(rows, "empty") == status["decoded"]
        for row in rows:
            assert row["received"] == row["decoded"] + row["empty"] + row["dead"], row
            sink = row["sinks"]["parquet"]
            assert sink["confirmed"] == sink["stored"] == row["readings"] and not sink["waiting"], row
        # By hand, from the files themselves.
        if not lib.reader_missing():
            counted = dict(gateway.rows("select vendor, count(*) from parquet group by vendor"))
            assert counted == {row["vendor"]: row["readings"] for row in rows if row["readings"]}, (counted, rows)
        text = gateway.verb("audit", "--data", gateway.data, check=0).stdout.decode()
        assert "aqua" in text and "DIFFERS" not in text, text
        gateway.stop()
        assert audit(gateway) == (rows, [])


def test_a_lost_parquet_file_is_told_by_its_numbers():
    with Gateway() as gateway:
        filled(gateway)
        gateway.stop()
        path = sorted(glob.glob(os.path.join(gateway.data, "parquet", "*", "*.parquet")))[0]
        first, last = (int(part) for part in os.path.basename(path).split("-")[1:3])
        os.unlink(path)
        rows, differences = audit(gateway, check=65)
        assert differences and all(row["sink"] == "parquet" for row in differences), differences
        assert first <= differences[0]["first_seq"] and differences[-1]["last_seq"] <= last, (path, differences)
        missing = sum(row["expected"] - row["found"] for row in differences)
        assert missing > 0 and missing == sum(
            row["sinks"]["parquet"]["confirmed"] - row["sinks"]["parquet"]["stored"] for row in rows)


def test_a_file_that_stands_twice_is_told():
    with Gateway() as gateway:
        filled(gateway)
        gateway.stop()
        path = sorted(glob.glob(os.path.join(gateway.data, "parquet", "*", "*.parquet")))[0]
        head, first, last, tail = os.path.basename(path).split("-")
        # The same rows under a name that seems to cover one message more.
        shutil.copy(path, os.path.join(os.path.dirname(path), "-".join((head, first, f"{int(last) + 1:0{len(last)}d}",
                                                                         tail.replace("g", "r", 1)))))
        rows, differences = audit(gateway, check=65)
        assert {row["differs"] for row in differences} == {"has twice"}, differences
        assert sum(row["found"] - row["expected"] for row in differences) == total_of(rows, "repeated") > 0
        assert total_of(rows, "missing") == 0


def test_a_lost_file_is_told_though_later_messages_had_the_same_readings():
    """A meter that sends again what it was not sure of: files keep both, so neither excuses the other."""
    with Gateway() as gateway:
        gateway.start()
        text = json.dumps({"time": "2026-11-20T08:00:00Z", "volume.total": 5}).encode()
        for count in (1, 2):
            gateway.publish("v1/aqua/d1/json", text, "-q", "1")
            gateway.settled(messages=count)
        gateway.stop()
        paths = sorted(glob.glob(os.path.join(gateway.data, "parquet", "*", "*.parquet")))
        assert len(paths) == 2, paths
        os.unlink(paths[0])
        rows, differences = audit(gateway, check=65)
        assert [(row["first_seq"], row["last_seq"]) for row in differences] == [(1, 1)], differences
        assert total_of(rows, "missing") == 1 and total_of(rows, "replaced") == 0, rows


def test_days_that_the_sink_no_longer_keeps_are_no_loss():
    with Gateway() as gateway:
        gateway.start()
        today = time.strftime("%Y-%m-%d", time.gmtime())
        for day in ("2026-01-05", "2026-02-06", today):
            gateway.publish("v1/aqua/d1/json", json.dumps({"time": f"{day}T00:00:01Z", "volume.total": 5}).encode(), "-q", "1")
        gateway.settled(messages=3)
        gateway.stop()
        day = os.path.join(gateway.data, "parquet", "dt=2026-01-05")
        shutil.rmtree(day)
        path = os.path.join(gateway.folder, "kept.yaml")
        text = gateway.verb("validate", "--embedded", check=0).stdout.decode()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("type: parquet", "type: parquet\n    keep: 30d"))
        _, differences = audit(gateway, check=65)
        assert [(row["first_seq"], row["last_seq"]) for row in differences] == [(1, 1)], differences
        rows, differences = audit(gateway, "--config", path)
        assert differences == [] and total_of(rows, "expired") == 1, (rows, differences)
        assert total_of(rows, "stored") == 2, rows


def test_beside_a_running_gateway_under_load_nothing_differs():
    with Gateway() as gateway:
        gateway.start()
        sim = gateway.sim_start("--count", "40000", "--rate", "8000")
        try:
            wait_until("messages flow", lambda: gateway.status()["received"] > 2000)
            received = 0
            for _ in range(4):
                rows, differences = audit(gateway)
                assert differences == [], differences
                assert total(rows, "received") >= received > -1
                received = total(rows, "received")
            assert sim.wait(60) == 0
        finally:
            sim.kill()
            sim.communicate()
        gateway.settled()
        rows, differences = audit(gateway)
        assert differences == [] and total(rows, "received") == gateway.status()["received"]


def test_damage_of_the_raw_log_after_decoding_takes_nothing_from_the_proof():
    with Gateway() as gateway:
        filled(gateway)
        gateway.stop()
        before, _ = audit(gateway)
        path = sorted(glob.glob(os.path.join(gateway.data, "journal", "raw", "*.log")))[0]
        with open(path, "r+b") as file:
            file.seek(20000)
            file.write(b"\xff" * 64)
        # What was decoded before the damage came stays accounted for.
        rows, differences = audit(gateway)
        assert differences == [] and total(rows, "received") == total(before, "received")
        assert total(rows, "quarantined") == 0


def test_damage_of_the_reading_log_leaves_nothing_proved_there():
    with Gateway() as gateway:
        filled(gateway)
        gateway.stop()
        path = sorted(glob.glob(os.path.join(gateway.data, "journal", "readings", "*.log")))[0]
        with open(path, "r+b") as file:
            file.seek(6000)
            file.write(b"\xff" * 64)
        rows, _ = audit(gateway, check=65)
        assert total(rows, "hidden") + total(rows, "undecoded") > 0, rows


if __name__ == "__main__":
    lib.run(dict(globals()))
