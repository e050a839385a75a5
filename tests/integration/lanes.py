#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lanes of the real program, with sinks that need no server: where a new one begins, what a cursor without a
sink holds, what a full journal does to a stuck sink, and what status says about all of it."""
import json
import os
import pty
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from gateway import Gateway, wait_until  # noqa: E402

HEAD = """
data: {data}
anonymous: loopback
decode: {{batch_age: 20ms}}
mqtt: {{max_packet: 64KiB}}
routes:
  - {{topic: "v1/{{vendor}}/{{device}}/json", codec: json}}
"""


def config(*sinks, journal="{segment_size: 1MiB, extent_size: 16KiB, memory: 2MiB, keep: 0s, keep_size: 0}"):
    lines = "".join(f"  - {sink}\n" for sink in sinks).replace("{", "{{").replace("}", "}}")
    return HEAD + "journal: " + journal.replace("{", "{{").replace("}", "}}") + "\nsinks:\n" + lines


def lane(gateway, name):
    found = [entry for entry in gateway.status()["lanes"] if entry["name"] == name]
    assert len(found) == 1, f"{name}: {found}"
    return found[0]


def orphans(gateway):
    return {entry["name"]: entry for entry in gateway.status()["orphan_cursors"]}


def fill(gateway, messages):
    """So many messages of one reading each."""
    before = gateway.status()["received"]
    gateway.sim("--vendors", "aqua:json:1", "--count", str(messages), "--rate", "max")
    wait_until("all is received and decoded", lambda: gateway.status()["received"] >= before + messages
               and not gateway.status()["undecoded"], 60)


def stored(gateway, name, rows, seconds=30):
    wait_until(f"{name} has {rows} readings", lambda: lane(gateway, name)["rows"] >= rows, seconds)


# ---- where a new lane begins ----

def test_a_lane_added_later_starts_where_its_option_says():
    with Gateway(config=config("{type: discard, name: first}")) as gateway:
        gateway.start()
        fill(gateway, 200)
        readings = gateway.status()["readings"]
        stored(gateway, "first", readings)
        time.sleep(1.1)  # the time below has whole seconds
        middle = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        fill(gateway, 100)
        later = gateway.status()["readings"] - readings
        gateway.stop()
        gateway.config = config("{type: discard, name: first}", "{type: discard, name: all}",
                                "{type: discard, name: fresh, start: latest}",
                                f"{{type: discard, name: since, start: '{middle}'}}",
                                "{type: discard, name: ever, start: 2020-01-01}",
                                "{type: discard, name: ahead, start: 2099-01-01}")
        gateway.start()
        gateway.settled()
        assert lane(gateway, "all")["rows"] == readings + later, lane(gateway, "all")
        assert lane(gateway, "ever")["rows"] == readings + later, lane(gateway, "ever")
        assert lane(gateway, "fresh")["rows"] == 0, lane(gateway, "fresh")
        assert lane(gateway, "ahead")["rows"] == 0, lane(gateway, "ahead")
        # Whole extents: some of what came just before may be in it, nothing that came behind is missing.
        since = lane(gateway, "since")["rows"]
        assert later <= since < readings + later, (since, later, readings)
        fill(gateway, 50)
        gateway.settled()
        more = gateway.status()["readings"] - readings - later
        assert lane(gateway, "fresh")["rows"] == more, (lane(gateway, "fresh"), more)
        assert lane(gateway, "all")["rows"] == readings + later + more


def test_what_a_lane_never_had_to_send_is_not_its_lag():
    with Gateway(config=config("{type: discard, name: first}")) as gateway:
        gateway.start()
        fill(gateway, 200)
        gateway.settled()
        before = gateway.status()["readings"]
        gateway.stop()
        gateway.config = config("{type: discard, name: first}", "{type: discard, name: late, start: latest, delay: 1h}",
                                "{type: discard, name: all, delay: 1h}")
        gateway.start()
        fill(gateway, 100)
        readings = gateway.status()["readings"]
        late, whole = lane(gateway, "late"), lane(gateway, "all")
        assert (late["lag_messages"], late["lag_readings"]) == (100, readings - before), (late, before, readings)
        assert (whole["lag_messages"], whole["lag_readings"]) == (300, readings), (whole, readings)
        # The same after a restart, from the cursor.
        gateway.stop()
        gateway.start()
        late = lane(gateway, "late")
        assert (late["lag_messages"], late["lag_readings"]) == (100, readings - before), (late, before, readings)


def test_a_stated_start_does_not_move_a_cursor_that_is_there():
    with Gateway(config=config("{type: discard, name: one}")) as gateway:
        gateway.start()
        fill(gateway, 100)
        gateway.settled()
        gateway.stop()
        gateway.config = config("{type: discard, name: one, start: latest}", "{type: discard, name: two}")
        gateway.start()
        fill(gateway, 100)
        gateway.settled()
        assert lane(gateway, "one")["rows"] == lane(gateway, "two")["rows"] / 2, gateway.status()["lanes"]


# ---- cursors without a sink ----

def test_a_cursor_without_a_sink_is_reported_and_holds_until_it_is_dropped():
    with Gateway(config=config("{type: discard, name: live}", "{type: discard, name: gone, delay: 1h}")) as gateway:
        gateway.start()
        fill(gateway, 100)
        gateway.stop()
        gateway.config = config("{type: discard, name: live}")
        gateway.start()
        assert list(orphans(gateway)) == ["gone"], orphans(gateway)
        assert "cursor_without_sink" in gateway.log() or "gone" in gateway.log(), gateway.log_tail()
        # Several segments of both logs, all confirmed by the lane that is left.
        while gateway.status()["raw"]["bytes"] < 4 << 20:
            fill(gateway, 20000)
        gateway.settled()
        first = gateway.status()["reading_log"]["first_seq"]
        assert first == 1, f"retention took what the cursor holds: first_seq {first}"
        wait_until("what it holds is told", lambda: orphans(gateway)["gone"]["held_bytes"] > 0)
        text = gateway.admin_verb("status", check=0).stdout.decode()
        assert "ALARM     cursor gone has no sink and holds " in text, text
        metric = 'tidegate_orphan_cursor_held_bytes{sink="gone"}'
        assert gateway.metrics()[metric] > 0
        # No terminal here, and the lane that is in use may not go.
        assert gateway.admin_verb("lane", "drop", "gone", "--data", gateway.data).returncode == 2
        assert gateway.admin_verb("lane", "drop", "live", "--yes", "--data", gateway.data).returncode == 1
        told = gateway.admin_verb("lane", "drop", "gone", "--yes", "--data", gateway.data, check=0)
        assert b"It alone held " in told.stdout, told.stdout
        wait_until("the logs are cut without a restart",
                   lambda: gateway.status()["reading_log"]["first_seq"] > 1, 20)
        assert orphans(gateway) == {}
        assert metric not in gateway.metrics()


def test_drop_without_a_running_gateway_obeys_the_configuration():
    with Gateway(config=config("{type: discard, name: live}", "{type: discard, name: gone}")) as gateway:
        gateway.start()
        fill(gateway, 50)
        gateway.settled()
        gateway.stop()
        with open(os.path.join(gateway.folder, "next.yaml"), "w", encoding="utf-8") as file:
            file.write(config("{type: discard, name: live}").format(data=gateway.data))
        drop = ["lane", "drop", "--data", gateway.data, "--config", file.name, "--yes"]
        assert gateway.verb(*drop, "live").returncode == 1
        gateway.verb(*drop, "gone", check=0)
        names = [json.loads(line)["name"] for line in
                 gateway.verb("lane", "ls", "--json", "--data", gateway.data, check=0).stdout.splitlines()]
        assert names == ["live"], names


def drop_at_a_terminal(gateway, name, typed):
    """Runs `lane drop` with a terminal as standard input; exit code and output."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen([lib.PROGRAM, "lane", "drop", name, "--data", gateway.data], stdin=theirs,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.write(ours, typed.encode() + b"\n")
        output = process.communicate(timeout=20)[0].decode()
        return process.returncode, output
    finally:
        os.close(ours)
        os.close(theirs)


def test_at_a_terminal_drop_asks_for_the_name_again():
    with Gateway(config=config("{type: discard, name: gone}")) as gateway:
        gateway.start()
        gateway.stop()
        code, output = drop_at_a_terminal(gateway, "gone", "yes")
        assert code == 1 and "nothing was removed" in output, (code, output)
        assert os.path.exists(os.path.join(gateway.data, "cursors", "gone.cursor"))
        code, output = drop_at_a_terminal(gateway, "gone", "gone")
        assert code == 0 and "Type the sink's name" in output and "is removed" in output, (code, output)
        assert os.listdir(os.path.join(gateway.data, "cursors")) == []


# ---- a full journal ----

SMALL = "{segment_size: 1MiB, extent_size: 16KiB, memory: 2MiB, keep: 0s, max_size: 6MiB, keep_size: 0, compression: 0}"


def test_a_stuck_lane_that_parks_lets_the_others_go_on_and_tells_what_it_missed():
    with Gateway(config=config("{type: discard, name: stuck, delay: 1h, when_full: park}",
                               "{type: discard, name: live}", journal=SMALL)) as gateway:
        gateway.start()
        messages = 0
        # Twice what the logs may hold: with `hold` it would never end.
        while gateway.status()["stored"]["disk_bytes"] < 12 << 20:
            fill(gateway, 20000)
            messages += 20000
        wait_until("the live lane has all", lambda: lane(gateway, "live")["lag_messages"] == 0, 60)
        assert lane(gateway, "live")["rows"] == gateway.status()["readings"]
        stuck = wait_until("the stuck one tells what it missed",
                           lambda: lane(gateway, "stuck")["parked_messages"] and lane(gateway, "stuck"), 30)
        assert stuck["when_full"] == "park" and stuck["parked_first_seq"] == 1, stuck
        assert stuck["parked_last_seq"] - stuck["parked_first_seq"] + 1 == stuck["parked_messages"], stuck
        assert gateway.metrics()['tidegate_lane_parked_messages{sink="stuck"}'] >= stuck["parked_messages"]
        text = gateway.admin_verb("status", check=0).stdout.decode()
        assert "PARKED: it missed " in text, text
        listed = gateway.admin_verb("lane", "ls", "--json", "--data", gateway.data, check=0).stdout.splitlines()
        ranges = {entry["name"]: entry["missed"] for entry in map(json.loads, listed)}
        assert ranges["live"] == [], ranges
        assert ranges["stuck"][0]["first_seq"] == 1 and ranges["stuck"][0]["kind"] == "parked", ranges
        # It is still so after a restart, and the lane goes on behind it.
        last = lane(gateway, "stuck")["parked_last_seq"]
        gateway.stop()
        gateway.start()
        stuck = lane(gateway, "stuck")
        assert stuck["parked_first_seq"] == 1 and stuck["parked_last_seq"] >= last, (stuck, last)


def test_a_stuck_lane_that_holds_stops_the_intake_and_loses_nothing():
    with Gateway(config=config("{type: discard, name: stuck, delay: 1h}", "{type: discard, name: live}",
                               journal=SMALL)) as gateway:
        gateway.start()
        sim = gateway.sim_start("--vendors", "aqua:json:1", "--rate", "max", "--patience", "60s")
        try:
            wait_until("the journal is full", lambda: gateway.get("/readyz")[0] == 503, 60)
            status = gateway.status()
            assert status["journal_health"] == "full", status["journal_health"]
            wait_until("no time is left", lambda: gateway.status()["journal_seconds_left"] == 0, 10)
            assert lane(gateway, "stuck")["parked_messages"] == 0
            assert status["reading_log"]["first_seq"] == 1 and status["raw"]["first_seq"] == 1
        finally:
            sim.kill()
            sim.communicate()
        # An operator gives that sink up: the intake goes on.
        gateway.stop(30)
        gateway.config = config("{type: discard, name: live}", journal=SMALL)
        gateway.start(ready=False)
        wait_until("it answers", lambda: gateway.get("/healthz")[0] == 200)
        gateway.admin_verb("lane", "drop", "stuck", "--yes", "--data", gateway.data, check=0)
        wait_until("there is room again", lambda: gateway.get("/readyz")[0] == 200, 30)
        fill(gateway, 1000)
        wait_until("the live lane has all", lambda: lane(gateway, "live")["lag_messages"] == 0, 60)


# ---- sinks without a configuration file ----

class WithFlags(Gateway):
    """The embedded default with Kafka and ClickHouse at addresses where nobody listens."""

    def command(self):
        return [*super().command(), "--kafka", f"127.0.0.1:{self.kafka}", "--clickhouse",
                f"http://127.0.0.1:{self.clickhouse}/water"]

    kafka, clickhouse = lib.free_port(), lib.free_port()


def test_sinks_that_are_down_from_the_start_delay_nobody():
    with WithFlags(plain=True) as gateway:
        gateway.start()
        fill(gateway, 500)
        readings = gateway.status()["readings"]
        stored(gateway, "parquet", readings)
        for name in ("kafka", "clickhouse"):
            down = wait_until(f"{name} is told to be down",
                              lambda: lane(gateway, name)["health"] == "retrying" and lane(gateway, name), 30)
            assert down["rows"] == 0 and down["why"], down
            assert down["lag_readings"] == readings, (down, readings)
            assert down["next_seq"] == down["settled_seq"] == 1, down
            wait_until(f"a retry of {name} is counted",
                       lambda: sum(lane(gateway, name)["retries_by_reason"].values()) > 0, 40)
        assert gateway.get("/readyz")[0] == 200
        text = gateway.admin_verb("status", check=0).stdout.decode()
        assert "sink      kafka RETRYING, " in text and "sink      clickhouse RETRYING, " in text, text
        assert gateway.stop(15) == 0, gateway.log_tail()
        # Their cursors stand where they began, and hold.
        listed = gateway.verb("lane", "ls", "--json", "--data", gateway.data, check=0).stdout.splitlines()
        cursors = {entry["name"]: entry for entry in map(json.loads, listed)}
        assert cursors["kafka"]["next_seq"] == cursors["clickhouse"]["next_seq"] == 1, cursors
        assert cursors["parquet"]["lag_messages"] == 0, cursors


# ---- what is told ----

def test_status_shows_every_lane_and_how_long_the_journal_lasts():
    with Gateway(config=config("{type: parquet, flush_age: 300ms}", "{type: discard, delay: 1h, name: slow}",
                               "{type: discard}")) as gateway:
        gateway.start()
        assert gateway.status()["journal_seconds_left"] is None
        fill(gateway, 5000)
        left = wait_until("the outlook is a number", lambda: gateway.status()["journal_seconds_left"], 20)
        assert 0 < left, left
        assert gateway.metrics()["tidegate_journal_seconds_left"] > 0
        stored(gateway, "parquet", gateway.status()["readings"])
        slow = lane(gateway, "slow")
        assert slow["lag_readings"] == gateway.status()["readings"] and slow["open_rows"] > 0, slow
        text = gateway.admin_verb("status", check=0).stdout.decode()
        for part in ("sink      parquet ok, nothing waits", "sink      slow ok, ", " readings wait for ",
                     " in flight", "sink      discard ok, nothing waits", "journal   has room for "):
            assert part in text, f"{part}\n{text}"
        assert max(map(len, text.splitlines())) <= 100, text
        rows = gateway.metrics()
        assert rows['tidegate_lane_unit_readings_count{sink="discard"}'] > 0
        assert rows['tidegate_lane_health{sink="slow",state="ok"}'] == 1
        check = subprocess.run(["promtool", "check", "metrics"], input=gateway.get("/metrics")[1].encode(),
                               capture_output=True, timeout=20)
        assert check.returncode == 0 and not check.stdout and not check.stderr, check


if __name__ == "__main__":
    lib.run(globals())
