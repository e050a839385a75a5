#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A disk that is full and a disk that fails, under the running program (invariants 1, 2, 3, 7)."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from gateway import Gateway, Skip, wait_until  # noqa: E402

CONFIG = """
data: {data}
anonymous: loopback
timezone: "+08:00"
mqtt: {{listen: "127.0.0.1:{port}"}}
admin: {{listen: "127.0.0.1:{admin}"}}
journal: {{segment_size: 4MiB, extent_size: 256KiB, reserve: RESERVE, compression: 0, memory: 4MiB}}
routes:
  - {{topic: "v1/{{vendor}}/{{device}}/json", codec: json}}
  - {{topic: "v1/{{vendor}}/{{device}}/cjt188", codec: cjt188}}
sinks:
  - {{type: parquet, flush_age: 300ms, min_free: 1MiB}}
"""


def root(*command):
    """Runs a command as root; Skip when that cannot be."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if prefix and not shutil.which("sudo"):
        raise Skip("not root, and no sudo: cannot mount a small file system")
    result = subprocess.run(prefix + list(command), capture_output=True, timeout=30)
    if result.returncode != 0:
        raise Skip(f"{' '.join(command)}: {result.stderr.decode().strip()}")


class SmallDisk:
    """A tmpfs of `size`, unmounted at the end."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="tidegate-disk-")
        try:
            root("mount", "-t", "tmpfs", "-o", f"size={self.size},uid={os.getuid()},mode=0700", "tmpfs", self.folder)
        except Skip:
            os.rmdir(self.folder)
            raise
        return self.folder

    def __exit__(self, *error):
        root("umount", "-l", self.folder)
        os.rmdir(self.folder)


def fill(path):
    """Takes all room that is left."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                pass


def received(gateway):
    return gateway.status()["received"]


def stands_still(gateway, seconds=1.5):
    """True when nothing is received for so long, though somebody publishes."""
    before = received(gateway)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.1)
        if received(gateway) != before:
            return False
    return True


def test_a_full_disk_holds_acks_and_resumes_by_itself_when_there_is_room():
    if lib.reader_missing():
        raise Skip(lib.reader_missing())
    with SmallDisk("64m") as disk:
        gateway = Gateway(folder=os.path.join(disk, "g"), config=CONFIG.replace("RESERVE", "1MiB"))
        outside = tempfile.mkdtemp(prefix="tidegate-ledger-")
        ledger = os.path.join(outside, "ledger")
        sim = None
        try:
            gateway.start()
            sim = gateway.sim_start("--meters", "500", "--rate", "2000", "--duration", "1d", "--ledger", ledger,
                                    "--begin", "2026-09-01T00:00:00Z", "--patience", "120s")
            wait_until("load is running", lambda: received(gateway) > 1000)
            filler = os.path.join(disk, "filler")
            fill(filler)
            wait_until("it is not ready", lambda: gateway.get("/readyz")[0] == 503, 60)
            assert "room" in gateway.get("/readyz")[1]
            wait_until("nothing is acknowledged", lambda: stands_still(gateway), 60)
            assert gateway.process.poll() is None
            os.unlink(filler)
            wait_until("it is ready again", lambda: gateway.get("/readyz")[0] == 200, 30)
            before = received(gateway)
            wait_until("it takes messages again", lambda: received(gateway) > before + 1000, 30)
            sim.send_signal(signal.SIGTERM)
            out, errors = sim.communicate(timeout=60)
            assert sim.returncode == 0, out.decode() + errors.decode()
            gateway.settled(seconds=60)
            assert gateway.stop() == 0, gateway.log_tail()
            sent = {tuple(line.split("\t")[2:5]) for line in open(ledger, encoding="utf-8")
                    if line.startswith("ACK")}
            stored = {(row[0], row[1], str(row[2])) for row in
                      gateway.rows("select distinct vendor, device, epoch_ms(ts) from parquet")}
            assert sent and not sent - stored, f"{len(sent - stored)} of {len(sent)} acknowledged are lost"
        finally:
            gateway.kill()
            if sim and sim.poll() is None:
                sim.kill()
                sim.communicate()
            shutil.rmtree(outside, ignore_errors=True)


def strace(*options):
    if not shutil.which("strace"):
        raise Skip("no strace: deploy/setup --tests installs it")
    probe = subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True, timeout=20)
    if probe.returncode != 0:
        raise Skip(f"strace may not trace here: {probe.stderr.decode().strip()}")
    return ["strace", "-f", "-qq", "-o", "/dev/null", *options]


def inject(gateway, *options):
    """strace on the running gateway, so that starting is not disturbed."""
    process = subprocess.Popen(strace("-p", str(gateway.process.pid), *options), stderr=subprocess.PIPE)

    def attached():
        if process.poll() is not None:
            raise Skip(f"strace may not attach here: {process.stderr.read().decode().strip()}")
        status = open(f"/proc/{gateway.process.pid}/status", encoding="ascii").read()
        return f"TracerPid:\t{process.pid}" in status
    wait_until("strace is attached", attached, 10)
    return process


def publish_waits(gateway):
    """mosquitto_pub at QoS 1 that gets no answer within 2 s: its exit code is not 0."""
    try:
        result = subprocess.run(["mosquitto_pub", "-p", str(gateway.port), "-q", "1", "-t", "v1/a/1/json", "-m",
                                 '{"level": 1}'], capture_output=True, timeout=2)
        return result.returncode != 0
    except subprocess.TimeoutExpired:
        return True


def test_no_ack_while_every_sync_fails_and_a_clear_error():
    if not shutil.which("mosquitto_pub"):
        raise Skip("no mosquitto_pub")
    with Gateway(config=CONFIG.replace("RESERVE", "0")) as gateway:
        gateway.start()
        gateway.publish("v1/a/1/json", b'{"level": 0}', "-q", "1")
        tracer = inject(gateway, "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO")
        try:
            assert publish_waits(gateway), "an ack without a sync"
            wait_until("it says that it cannot make messages durable",
                       lambda: gateway.process.poll() is not None or gateway.get("/readyz")[0] != 200, 20)
        finally:
            tracer.send_signal(signal.SIGTERM)
            tracer.wait(20)
        assert "Input/output error" in gateway.log(), gateway.log_tail()
        if gateway.process.poll() is None:
            wait_until("it recovers on a new segment", lambda: gateway.get("/readyz")[0] == 200, 60)
        else:
            assert gateway.process.returncode != 0
            gateway.start()
        gateway.publish("v1/a/2/json", b'{"level": 2}', "-q", "1")
        gateway.settled()
        values = sorted({row[0] for row in gateway.rows("select value from parquet")}) if not lib.reader_missing() else []
        assert not values or (0.0 in values and 2.0 in values), values


def test_one_failed_sync_loses_nothing_that_was_acknowledged():
    if lib.reader_missing():
        raise Skip(lib.reader_missing())
    with Gateway(config=CONFIG.replace("RESERVE", "0")) as gateway:
        gateway.start()
        ledger = os.path.join(gateway.folder, "ledger")
        sim = gateway.sim_start("--meters", "500", "--rate", "1000", "--duration", "1d", "--ledger", ledger,
                                "--begin", "2026-09-01T00:00:00Z", "--patience", "60s")
        wait_until("load is running", lambda: received(gateway) > 500)
        tracer = inject(gateway, "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=5+40")
        try:
            wait_until("a sync failed", lambda: gateway.process.poll() is not None or
                       gateway.metrics()["tidegate_rawlog_failures_total"] >= 2, 60)
        finally:
            tracer.send_signal(signal.SIGTERM)
            tracer.wait(20)
        if gateway.process.poll() is not None:
            gateway.start()
        before = received(gateway)
        wait_until("it takes messages", lambda: received(gateway) > before + 500, 60)
        gateway.kill()
        gateway.start()
        sim.send_signal(signal.SIGTERM)
        sim.communicate(timeout=60)
        gateway.settled(seconds=60)
        sent = {tuple(line.split("\t")[2:5]) for line in open(ledger, encoding="utf-8") if line.startswith("ACK")}
        stored = {(row[0], row[1], str(row[2])) for row in
                  gateway.rows("select distinct vendor, device, epoch_ms(ts) from parquet")}
        assert sent and not sent - stored, f"{len(sent - stored)} of {len(sent)} acknowledged are lost"


if __name__ == "__main__":
    lib.run(dict(globals()))
