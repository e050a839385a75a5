#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""History sent again into Parquet and nowhere, beside live traffic; what becomes of a replay that is stopped, killed or
meets damage; history decoded again after a mapping was mended. replay_stores.py does it with servers."""
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import stores  # noqa: E402
from gateway import PROGRAM, Skip, wait_until  # noqa: E402
from replays import ReplayGateway  # noqa: E402

# At a pace, so that there are several batches: the position of a replay is between two.
FEW = ("--count", "3000", "--rate", "2500", "--meters", "300")


def reader():
    if lib.reader_missing():
        raise Skip(lib.reader_missing())


def filled(*sinks, **options):
    gateway = ReplayGateway(*sinks, **options).start()
    gateway.sim(*FEW)
    gateway.settled(messages=3000)
    return gateway


# ---- what is sent ----

def test_a_span_sent_twice_leaves_the_store_as_it_was():
    reader()
    with filled() as gateway:
        before, readings = stores.parquet_rows(gateway), gateway.status()["readings"]
        for _ in range(2):
            job = gateway.replay("--sink", "parquet")
            assert (job["state"], job["messages"], job["readings"]) == ("done", 3000, readings), job
            stores.assert_same(stores.parquet_rows(gateway), before, "after a replay")
        lane = stores.lane(gateway, "parquet")
        assert lane["rows"] == readings and lane["replay_rows"] == 2 * readings, lane


def test_filters_choose_what_is_sent():
    with ReplayGateway(parquet=None).start() as gateway:
        gateway.publish_meters(1, 6)
        for number in range(4):
            gateway.publish(f"v1/aqua/d{number}/json", b'{"volume.total": 5}', "-q", "1")
        gateway.settled(messages=10)
        wanted = {(): (10, 16), ("--vendor", "aqua"): (4, 4), ("--vendor", "acme", "--device", "00000003"): (1, 2),
                  ("--topic", "v1/+/d2/json"): (1, 1), ("--topic", "m/#"): (6, 12), ("--device", "nobody"): (0, 0),
                  ("--from", "2026-01-01", "--to", "2026-01-02"): (0, 0)}
        for words, numbers in wanted.items():
            job = gateway.replay("--sink", "nothing", *words)
            assert (job["messages"], job["readings"]) == numbers, (words, job)


def test_all_sinks_get_it_one_after_the_other():
    with ReplayGateway().start() as gateway:
        gateway.publish_meters(3, 12)
        gateway.settled(messages=12)
        told = gateway.admin_verb("replay", "--from", "-1h", "--to", "now", "--all-sinks", check=0)
        lines = told.stdout.decode().splitlines()
        names = [lane["name"] for lane in gateway.status()["lanes"]]
        assert len(names) == 2 and [line.split(":")[0] for line in lines if " sent " in line] == names, (names, lines)
        refused = gateway.admin_verb("replay", "--from", "-1h", "--to", "now", "--all-sinks", "--sink", names[0], check=2)
        assert b"exclude each other" in refused.stderr, refused


def test_a_dry_run_changes_nothing_and_needs_no_sink():
    with filled(parquet=None) as gateway:
        before = stores.lane(gateway, "nothing")
        job = gateway.replay("--dry-run")
        assert job["readings"] == gateway.status()["readings"], job
        assert stores.lane(gateway, "nothing") == before
        assert json.loads(gateway.get("/replay")[1])["replays"] == [], "a dry run that was told is forgotten"


# ---- stopping ----

def niceness(process):
    """Of each thread, by its name."""
    found = {}
    for thread in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{thread}/stat", encoding="utf-8", errors="replace") as file:
            head, _, rest = file.read().rpartition(")")
        found[head.partition("(")[2]] = int(rest.split()[16])
    return found


def test_a_replay_is_stopped_and_goes_on_where_it_was():
    with filled(parquet=None) as gateway:
        readings = gateway.status()["readings"]
        job = gateway.begin("--sink", "nothing", "--rate", "2000")
        gateway.job_becomes(job, "has begun", lambda found: found["readings"] > 0)
        nice = niceness(gateway.process.pid)
        assert {value for name, value in nice.items() if name.startswith("replay-")} == {10}, nice
        behind = ("replay-", "login")  # password checks yield, too
        assert {value for name, value in nice.items() if not name.startswith(behind)} == {os.nice(0)}, nice
        gateway.admin_verb("replay", "stop", job, check=0)
        assert gateway.ends(job, "stopped")
        stopped = gateway.job(job)
        assert 0 < stopped["readings"] < readings and stopped["next_seq"] > 1, stopped
        busy = gateway.admin_verb("replay", "--from", "-1h", "--to", "now", "--sink", "nothing", "--detach", check=0)
        assert gateway.ends(busy.stdout.decode().strip()), "a sink is free while a replay is stopped"
        gateway.admin_verb("replay", "resume", job, check=0)
        gateway.job_becomes(job, "goes on", lambda found: found["readings"] > stopped["readings"])
        taken = gateway.admin_verb("replay", "--from", "-1h", "--to", "now", "--sink", "nothing", check=1)
        assert b"already" in taken.stderr, taken.stderr
        assert gateway.ends(job) and gateway.job(job)["readings"] == readings, gateway.job(job)
        gateway.admin_verb("replay", "forget", job, check=0)
        assert gateway.job(job) is None
        assert gateway.stop() == 0


def test_an_interrupt_stops_the_replay_and_says_how_it_goes_on():
    with filled(parquet=None) as gateway:
        words = [PROGRAM, "replay", "--from", "-1h", "--to", "now", "--sink", "nothing", "--rate", "500", "--admin",
                 f"127.0.0.1:{gateway.admin_port}"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            wait_until("a replay runs", lambda: gateway.status()["replays"])
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        assert process.returncode == 1 and b"tidegate replay resume " in errors, errors
        assert json.loads(gateway.get("/replay")[1])["replays"][0]["state"] == "stopped"


def test_a_replay_goes_on_after_kill_9():
    reader()
    with filled() as gateway:
        before, readings = stores.parquet_rows(gateway), gateway.status()["readings"]
        jobs = [gateway.begin("--sink", "parquet", "--rate", "3000"), gateway.begin("--sink", "nothing", "--rate", "3000")]
        for job in jobs:
            gateway.job_becomes(job, "has begun", lambda found: found["readings"] > 0)
        gateway.kill()
        gateway.start()
        for job in jobs:
            assert gateway.ends(job), gateway.job(job)
            assert gateway.job(job)["readings"] >= readings
        stores.assert_same(stores.parquet_rows(gateway), before, "after kill -9 in a replay")


def test_a_gateway_that_stops_does_not_wait_for_a_replay():
    """Also when its sink takes nothing: then it goes on at the next start, where it was."""
    slow = {"type": "discard", "name": "slow", "delay": "30s"}
    with ReplayGateway(slow, parquet=None).start() as gateway:
        gateway.sim(*FEW)
        wait_until("all is decoded", lambda: not gateway.status()["undecoded"])
        jobs = [gateway.begin("--sink", "nothing", "--rate", "500"), gateway.begin("--sink", "slow")]
        gateway.job_becomes(jobs[0], "has begun", lambda found: found["readings"] > 0)
        assert gateway.stop() == 0
        gateway.start()
        for job in jobs:
            gateway.job_becomes(job, "goes on", lambda found: found["state"] == "running")
        assert gateway.job(jobs[1])["readings"] == 0, "nothing of it was confirmed"


# ---- beside others ----

def test_live_traffic_goes_on_beside_replays():
    with filled(parquet=None) as gateway:
        sim = gateway.sim_start("--count", "8000", "--rate", "2000", "--meters", "300", "--patience", "60s")
        rounds, lag = 0, 0
        while sim.poll() is None:
            assert gateway.replay("--sink", "nothing")["state"] == "done"
            rounds += 1
            lag = max(lag, stores.lane(gateway, "nothing")["lag_seconds"])
        assert sim.communicate(timeout=60) and sim.returncode == 0
        status = gateway.settled(messages=11000)
        lane = stores.lane(gateway, "nothing")
        assert rounds >= 2 and lag <= 2, (rounds, lag)
        assert lane["rows"] == status["readings"] and lane["replay_rows"] > 0, lane


def test_retention_leaves_what_a_replay_needs():
    small = "{{segment_size: 1MiB, extent_size: 16KiB, memory: 2MiB, keep: 1h, keep_size: 2MiB, compression: 0}}"
    with ReplayGateway(parquet=None, journal=small).start() as gateway:
        def fill(count):
            sent = gateway.status()["received"]
            gateway.sim("--count", str(count), "--rate", "12000", "--meters", "300")
            gateway.settled(messages=sent + count)

        def first():
            return gateway.status()["raw"]["first_seq"]
        fill(3000)
        job = gateway.begin("--sink", "nothing", "--rate", "50")
        gateway.job_becomes(job, "knows its span", lambda found: found["next_seq"] > 0)
        fill(40000)
        assert gateway.status()["raw"]["bytes"] > 4 << 20, gateway.status()["raw"]
        time.sleep(3)  # a round of retention comes every two seconds
        assert gateway.job(job)["state"] == "running" and first() == 1, (gateway.job(job), first())
        raw = gateway.status()["raw"]
        assert raw["limited_by"] == "replay" and raw["history_seconds"] > 0, raw
        gateway.admin_verb("replay", "stop", job, check=0)
        assert gateway.ends(job, "stopped")
        wait_until("the rest goes then", lambda: first() > 1, 20)
        # By the size, or by the decoder's memory, which is saved about once a segment.
        wait_until("no replay holds it", lambda: gateway.status()["raw"]["limited_by"] in ("keep_size", "decoder"), 20)


def test_damage_in_the_span_is_told_and_passed_over():
    with filled(parquet=None) as gateway:
        assert gateway.stop() == 0
        folder = os.path.join(gateway.data, "journal", "readings")
        path = max((os.path.join(folder, name) for name in os.listdir(folder)), key=os.path.getsize)
        with open(path, "r+b") as file:
            used = len(file.read().rstrip(b"\0"))
            file.seek(used // 2)
            byte = file.read(1)
            file.seek(used // 2)
            file.write(bytes([byte[0] ^ 0x55]))
        gateway.start()
        job = gateway.replay("--sink", "nothing", check=65)
        assert job["state"] == "done" and job["damaged"] > 0, job
        assert job["messages"] + job["damaged"] == 3000, job


# ---- decoded again ----

def keys(rows):
    return sorted((row[1], row[2]) for row in rows)


def test_decoding_again_after_a_mapping_was_mended_corrects_what_was_wrong():
    reader()
    with ReplayGateway().start() as gateway:
        gateway.publish_meters(1, 20)
        gateway.publish("v1/aqua/d1/json", b'{"volume.total": 5}', "-q", "1")
        gateway.settled(messages=21)
        before = stores.parquet_rows(gateway)
        gateway.write_mapping(volume="m3", second="level")
        gateway.reload()
        stores.assert_same(stores.parquet_rows(gateway), before, "a reload changes no history")
        dry = gateway.replay("--decode-again", "--dry-run", "--sink", "parquet")
        assert dry["withdrawn"] == 20 and dry["changed"] >= 20, dry
        stores.assert_same(stores.parquet_rows(gateway), before, "after a dry run")
        told = gateway.admin_verb("replay", "--from", "-1h", "--to", "now", "--decode-again", "--dry-run", check=0)
        assert b"->" in told.stdout, told.stdout
        for _ in range(2):
            gateway.replay("--decode-again", "--sink", "parquet")
            rows = stores.parquet_rows(gateway)
            assert len(rows) == 41, len(rows)
            by_metric = {metric: [row for row in rows if row[2] == metric and row[0] == "acme"]
                         for metric in ("volume.total", "level", "pressure")}
            assert sorted(row[4] for row in by_metric["volume.total"]) == [1000.0 + n for n in range(1, 21)], rows[:3]
            assert len(by_metric["level"]) == 20 and not by_metric["pressure"], keys(rows)
            assert [row for row in rows if row[0] == "aqua"] == [row for row in before if row[0] == "aqua"]
        gateway.replay("--sink", "parquet")
        stores.assert_same(stores.parquet_rows(gateway), rows, "the newest decoding is what a replay sends")


def test_dead_letters_are_decoded_after_a_route_was_added():
    reader()
    with ReplayGateway().start() as gateway:
        for number in range(5):
            gateway.publish(f"late/{number}", json.dumps({"sn": f"{number}", "ts": "2026-11-20 08:00:00", "total": number,
                                                          "p": 0.2}).encode(), "-q", "1")
        gateway.publish("other/1", b"?", "-q", "1")
        gateway.settled(messages=6)
        assert stores.parquet_rows(gateway) == []
        gateway.routes = f"  - {{{{topic: late/+, codec: json, vendor: acme, mapping: {gateway.mapping}}}}}\n"
        gateway.command()  # writes the file
        gateway.reload()
        dry = gateway.admin_verb("deadletter", "retry", "--dry-run", check=0)
        assert b"would send 10 readings of 5 messages" in dry.stdout, dry.stdout
        assert stores.parquet_rows(gateway) == []
        told = gateway.admin_verb("deadletter", "retry", "--all-sinks", "--reason", "no_route", check=0)
        assert told.stdout.count(b"sent 10 readings of 5 messages") == 2 and b"1 messages still" in told.stdout, told
        rows = stores.parquet_rows(gateway)
        assert len(rows) == 10 and {row[0] for row in rows} == {"acme"}, rows
        gateway.admin_verb("deadletter", "retry", "--sink", "parquet", check=0)
        stores.assert_same(stores.parquet_rows(gateway), rows, "after a second try")


# ---- mistakes ----

def test_mistakes_are_told():
    with ReplayGateway(parquet=None).start() as gateway:
        gateway.publish_meters(1, 1)
        gateway.settled(messages=1)
        nobody = gateway.verb("replay", "--from", "-1h", "--to", "now", "--sink", "nothing", "--admin",
                              f"127.0.0.1:{lib.free_port()}", check=69)
        assert b"is the gateway running" in nobody.stderr
        for words, code, text in (
                (("--sink", "nothing"), 2, b"--from and --to"),
                (("--from", "-1h", "--to", "now"), 2, b"--sink NAME"),
                (("--from", "now", "--to", "-1h", "--sink", "nothing"), 2, b"before"),
                (("--from", "2026-11-21T08:00:00", "--to", "now", "--sink", "nothing"), 2, b"zone"),
                (("--from", "-1h", "--to", "now", "--sink", "nobody"), 1, b"no sink"),
                (("--from", "-1h", "--to", "now", "--sink", "nothing", "--topic", "a/#/b"), 1, b"filter")):
            result = gateway.admin_verb("replay", *words, check=code)
            assert text in result.stderr, (words, result.stderr)
        gateway.admin_verb("replay", "stop", "20260101-000000-1", check=1)
        span = {"from": "2026-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z", "sink": "nothing"}
        for body, headers, code in ((span, {}, 200), (dict(span, sink="no"), {}, 404), (dict(span, too="x"), {}, 400),
                                    (span, {"Origin": "http://evil.example"}, 403), (span, {"Content-Type": "text/plain"}, 415)):
            answer = gateway.post("/replay", json.dumps(body).encode(), headers)
            assert answer[0] == code, (body, headers, answer)
        assert gateway.post("/replay", b'{"a": "' + b"x" * 70000 + b'"}')[0] == 413
        assert gateway.get("/replay/stop?id=1")[0] == 405


if __name__ == "__main__":
    lib.run(globals())
