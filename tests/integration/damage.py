#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starting on what was damaged, wiped or is out of bounds: nothing is lost in silence, every refusal names
the way out, and the way out leads out (invariants 5, 7 and 10)."""
import glob
import os
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from disk_faults import SmallDisk, fill  # noqa: E402
from gateway import Gateway, wait_until  # noqa: E402

SMALL = """
data: {data}
anonymous: loopback
mqtt: {{listen: "127.0.0.1:{port}", max_packet: 64KiB}}
admin: {{listen: "127.0.0.1:{admin}"}}
journal: {{segment_size: 1MiB, extent_size: 64KiB, max_size: 6MiB, keep_size: 4MiB, reserve: 0, compression: 0, memory: 1MiB}}
routes:
  - {{topic: "v1/{{vendor}}/{{device}}/json", codec: json}}
sinks:
  - {{type: parquet, flush_age: 200ms, min_free: 0}}
"""


def filled(gateway):
    """A gateway that took three messages and stopped."""
    gateway.start()
    for device in ("1", "2", "3"):
        gateway.publish(f"v1/acme/{device}/json", b'{"flow": 1.5}', "-q", "1")
    gateway.settled(messages=3)
    assert gateway.stop() == 0, gateway.log_tail()


def refused(gateway):
    """Starts it, which must fail; the exit code."""
    gateway.start(ready=False)
    wait_until("it gives up", lambda: gateway.process.poll() is not None)
    return gateway.process.returncode


def overwrite(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        file.write(data)


def leads_out(gateway):
    gateway.verb("journal", "new-identity", "--data", gateway.data, check=0)
    gateway.start()
    gateway.publish("v1/acme/4/json", b'{"flow": 2}', "-q", "1")
    gateway.settled(messages=1)
    assert gateway.stop() == 0, gateway.log_tail()


def test_a_wiped_raw_log_is_refused_and_a_new_identity_leads_out():
    for what in ("journal/raw", "journal/raw/*.log"):
        with Gateway() as gateway:
            filled(gateway)
            for path in glob.glob(os.path.join(gateway.data, what)):
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
            assert refused(gateway) == 78, gateway.log_tail()
            assert "tidegate journal new-identity --data " + gateway.data in gateway.log_tail()
            leads_out(gateway)
            assert glob.glob(os.path.join(gateway.data, "retired/*/journal/readings/*.log"))


def test_a_new_identity_is_had_before_the_first_refusal():
    with Gateway() as gateway:
        filled(gateway)
        shutil.rmtree(os.path.join(gateway.data, "journal/raw"))
        leads_out(gateway)


def test_a_new_identity_is_refused_while_the_gateway_runs_and_where_there_is_no_journal():
    with Gateway() as gateway:
        gateway.start()
        running = gateway.verb("journal", "new-identity", "--data", gateway.data)
        assert running.returncode == 1 and b"stop it first" in running.stderr, running.stderr
        assert gateway.stop() == 0
        nowhere = gateway.verb("journal", "new-identity", "--data", os.path.join(gateway.folder, "none"))
        assert nowhere.returncode == 1, nowhere


def test_a_damaged_end_of_the_reading_log_is_decoded_again():
    with Gateway() as gateway:
        filled(gateway)
        [log] = glob.glob(os.path.join(gateway.data, "journal/readings/*.log"))
        overwrite(log, -600, b"\xff" * 600)
        gateway.start()
        gateway.publish("v1/acme/4/json", b'{"flow": 2}', "-q", "1")
        status = gateway.settled(messages=4)
        assert status["decoded"] == 4, status
        assert gateway.stop() == 0, gateway.log_tail()
        if not lib.reader_missing():
            rows = gateway.rows("select device, count(*) from parquet group by 1 order by 1")
            assert [tuple(row) for row in rows] == [(d, 1) for d in "1234"], rows


def test_a_damaged_save_of_the_decoder_is_passed_over():
    with Gateway() as gateway:
        filled(gateway)
        [state] = glob.glob(os.path.join(gateway.data, "state/*.state"))
        overwrite(state, 20, b"damage")
        gateway.start()
        assert "decode_state_skipped" in gateway.log()
        assert gateway.status()["decoded"] == 3
        assert gateway.stop() == 0


def test_a_damaged_cursor_is_refused_with_the_way_out():
    with Gateway() as gateway:
        filled(gateway)
        cursor = os.path.join(gateway.data, "cursors/parquet.cursor")
        overwrite(cursor, 10, b"damage")
        gateway.start()  # one copy is left
        assert gateway.stop() == 0
        overwrite(cursor, 10, b"damage")
        overwrite(cursor, 4096 + 10, b"damage")
        assert refused(gateway) == 65, gateway.log_tail()
        assert "remove it to have everything that is kept sent again" in gateway.log_tail()


def test_a_folder_that_cannot_be_made_is_told():
    with Gateway() as gateway:
        with open(gateway.data, "w", encoding="utf-8") as file:
            file.write("a file")
        assert refused(gateway) == 1, gateway.log_tail()
        assert gateway.data in gateway.log_tail()


def test_logs_at_their_limit_hold_the_sources_and_resume_when_the_sink_does():
    with Gateway(config=SMALL) as gateway:
        gateway.start()
        parquet = os.path.join(gateway.data, "parquet")
        os.rename(parquet, parquet + ".away")
        with open(parquet, "w", encoding="utf-8") as file:
            file.write("in the way")
        sim = gateway.sim_start("--meters", "200", "--rate", "20000", "--duration", "1d", "--patience", "120s",
                                "--begin", "2026-09-01T00:00:00Z")
        try:
            wait_until("it is not ready", lambda: gateway.get("/readyz")[0] == 503, 60)
            [lane] = gateway.status()["lanes"]
            assert lane["health"] != "ok" and lane["why"], lane
            os.unlink(parquet)
            os.rename(parquet + ".away", parquet)
            before = gateway.status()["received"]
            # Many times what the logs may hold: retention goes on too.
            wait_until("it goes on", lambda: gateway.status()["received"] > before + 60000, 90)
            sim.terminate()
            sim.communicate(timeout=60)
            status = gateway.settled(seconds=60)
            assert status["lanes"][0]["health"] == "ok", status
            assert gateway.stop() == 0, gateway.log_tail()
        finally:
            if sim.poll() is None:
                sim.kill()
                sim.communicate()


def test_a_volume_that_is_full_at_start_is_waited_for():
    with SmallDisk("64m") as disk:
        gateway = Gateway(folder=os.path.join(disk, "g"), config=SMALL)
        try:
            filled(gateway)
            filler = os.path.join(disk, "filler")
            fill(filler)
            gateway.start(ready=False)
            wait_until("it answers", lambda: gateway.get("/healthz")[0] == 200)
            assert gateway.status()["decoded"] == 3
            os.unlink(filler)
            gateway.publish("v1/acme/4/json", b'{"flow": 2}', "-q", "1")
            gateway.settled(messages=4)
            assert gateway.stop() == 0, gateway.log_tail()
        finally:
            gateway.kill()


def test_the_end_while_the_logs_are_full_keeps_its_time():
    with Gateway(config=SMALL) as gateway:
        gateway.start()
        parquet = os.path.join(gateway.data, "parquet")
        os.rename(parquet, parquet + ".away")
        with open(parquet, "w", encoding="utf-8") as file:
            file.write("in the way")
        sim = gateway.sim_start("--meters", "200", "--rate", "20000", "--duration", "1d", "--patience", "60s",
                                "--begin", "2026-09-01T00:00:00Z")
        try:
            wait_until("it is not ready", lambda: gateway.get("/readyz")[0] == 503, 60)
            gateway.process.send_signal(signal.SIGHUP)
            gateway.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            gateway.process.send_signal(signal.SIGTERM)
            assert gateway.process.wait(10) == 0, gateway.log_tail()
        finally:
            sim.kill()
            sim.communicate()


if __name__ == "__main__":
    lib.run(dict(globals()))
