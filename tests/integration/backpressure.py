#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holding back instead of losing: destinations that take nothing while a small journal fills, vendors that pass
their rate or their share of the journal, QoS 0, and what a flood of one vendor costs another.

Clients are plain sockets: many PUBLISH in one buffer, so that a few threads can fill every window.
"""
import json
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mqtt_conformance as mqtt  # noqa: E402
from mqtt_conformance import V311, Peer, lib, publish  # noqa: E402
from mqtt_vendors import password_line  # noqa: E402

SECRET = b"water"
VENDORS = ("flood", "quiet")
CONFIG = """
data: {{data}}
anonymous: loopback
mqtt: {{{{listen: "127.0.0.1:{{port}}", receive_max: 60000, {mqtt}}}}}
admin: {{{{listen: "127.0.0.1:{{admin}}"}}}}
journal: {{{{max_size: {max_size}, segment_size: 4MiB, memory: {memory}, reserve: 0, keep_size: 0, keep: 0s}}}}
vendors:
  - {{{{name: flood, passwords: flood.txt, {flood}}}}}
  - {{{{name: quiet, passwords: quiet.txt}}}}
routes:
  - {{{{topic: "flood/{{{{device}}}}", codec: json, vendor: flood}}}}
  - {{{{topic: "quiet/{{{{device}}}}", codec: json, vendor: quiet}}}}
  - {{{{topic: "v1/{{{{vendor}}}}/json", codec: json}}}}
  - {{{{topic: "v1/{{{{vendor}}}}/{{{{device}}}}/json", codec: json}}}}
  - {{{{topic: "v1/{{{{vendor}}}}/cjt188", codec: cjt188}}}}
  - {{{{topic: "v1/{{{{vendor}}}}/{{{{device}}}}/cjt188", codec: cjt188}}}}
sinks:
  - {{{{type: discard, {discard}}}}}
"""


def start(flood="timezone: UTC", discard="delay: 0s", max_size="1GiB", memory="64MiB", mqtt_options="loops: 1, held_bytes: 256KiB",
          folder=None):
    text = CONFIG.format(flood=flood, discard=discard, max_size=max_size, memory=memory, mqtt=mqtt_options)
    gateway = lib.Gateway(config=text, folder=folder)
    os.makedirs(gateway.folder, exist_ok=True)
    for vendor in VENDORS:
        path = os.path.join(gateway.folder, vendor + ".txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write(password_line(vendor, SECRET))
        os.chmod(path, 0o600)
    gateway.start()
    mqtt.PORT, mqtt.ADMIN = gateway.port, f"127.0.0.1:{gateway.admin_port}"
    return gateway


def login(vendor, client, **options):
    peer = Peer(V311, user=vendor, password=SECRET, client=client, **options)
    peer.socket.settimeout(60)
    return peer


PAYLOAD = b'{"volume.total": 1234.567, "pressure": 312.5, "battery.voltage": 3.6}'


def message(vendor, ident, qos=1, payload=PAYLOAD):
    return publish(V311, topic=f"{vendor}/{ident}", payload=payload, qos=qos, ident=ident)


def acks(peer, count):
    """Waits for PUBACKs; all must be positive, and in order they are in 3.1.1 the packet ids that were sent."""
    for _ in range(count):
        peer.expect(mqtt.PUBACK)


def vendor_of(status, name):
    return next((vendor for vendor in status["vendors"] if vendor["name"] == name), None)


class Flood:
    """Connections of one vendor, each with a full window all the time, until stop()."""

    def __init__(self, vendor, connections, window, size):
        payload = b'{"volume.total": 1, "note": "' + b"x" * size + b'"}'
        self.blob = b"".join(message(vendor, ident, payload=payload) for ident in range(1, window + 1))
        self.window, self.stopping, self.acked, self.errors = window, False, 0, []
        self.peers = [login(vendor, f"{vendor}-{i}") for i in range(connections)]
        self.threads = [threading.Thread(target=self.run, args=(peer.socket,)) for peer in self.peers]
        for thread in self.threads:
            thread.start()

    def run(self, sock):
        try:
            sock.setblocking(False)
            out, wanted = memoryview(self.blob), 4 * self.window
            while not self.stopping:
                readable, writable, _ = select.select([sock], [sock] if out else [], [], 0.2)
                if writable:
                    out = out[sock.send(out[:1 << 18]):]
                if readable:
                    data = sock.recv(1 << 16)
                    if not data:
                        raise ConnectionError("the flooder was disconnected")
                    wanted -= len(data)
                    self.acked += len(data) // 4
                if not out and wanted == 0:
                    out, wanted = memoryview(self.blob), 4 * self.window
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()
        for peer in self.peers:
            peer.socket.close()
        assert not self.errors, self.errors


def puback_times(seconds):
    """Of a quiet vendor: one message at a time, every 5 ms; ascending, in seconds."""
    times = []
    with login("quiet", "quiet") as peer:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            peer.send(message("quiet", 1))
            peer.expect(mqtt.PUBACK)
            times.append(time.monotonic() - began)
            time.sleep(0.005)
    return sorted(times)


def p99(times):
    return times[len(times) * 99 // 100]


def test_a_vendor_over_its_rate_is_held_alone_and_answered_in_full():
    with start(flood="rate: 200, burst: 50") as gateway, login("flood", "flood") as flood:
        began = time.monotonic()
        flood.send(b"".join(message("flood", ident) for ident in range(1, 501)))
        lib.wait_until("it is held", lambda: vendor_of(gateway.status(), "flood")["held"] == 1, 5)
        assert gateway.status()["held"]["rate"] == 1
        with login("quiet", "quiet") as quiet:
            quiet.send(b"".join(message("quiet", ident) for ident in range(1, 501)))
            acks(quiet, 500)
            assert vendor_of(gateway.status(), "quiet")["held"] == 0
        assert vendor_of(gateway.status(), "flood")["messages"] < 500, "the other was no faster"
        flood.send(b"\xc0\x00")
        kinds = [flood.read() for _ in range(501)]
        took = time.monotonic() - began
        assert (0xd0, b"") in kinds[:-1], "PINGREQ waited behind the messages"
        assert [body for first, body in kinds if first == 0x40] == [struct.pack(">H", i) for i in range(1, 501)]
        assert took > 450 / 200 * 0.9, f"500 messages at 200/s with a burst of 50 in {took:.2f} s"
        status = gateway.settled(messages=1000)
        assert status["received"] == 1000 and status["decoded"] == 1000
        assert vendor_of(status, "flood")["held"] == 0 and vendor_of(status, "flood")["dropped"] == 0


def test_bytes_count_as_well_as_messages():
    with start(flood="byte_rate: 64KiB") as gateway, login("flood", "flood") as flood:
        began = time.monotonic()
        flood.send(b"".join(message("flood", ident, payload=b'{"note":"' + b"x" * 4000 + b'"}')
                            for ident in range(1, 41)))
        acks(flood, 40)  # 160 KB: a second's worth at once, the rest takes a second and a half
        took = time.monotonic() - began
        assert took > 1, f"160 KB at 64 KiB/s in {took:.2f} s"
        assert gateway.settled(messages=40)["received"] == 40


def test_qos_0_is_held_like_the_rest_by_default():
    with start(flood="rate: 500") as gateway, login("flood", "flood") as flood:
        flood.send(b"".join(message("flood", ident, qos=0) for ident in range(1, 1501)))
        status = gateway.settled(messages=1500)
        assert status["received"] == 1500 and vendor_of(status, "flood")["dropped"] == 0


def test_qos_0_is_dropped_and_counted_only_where_the_policy_says_so():
    with start(flood="rate: 100, qos0: drop") as gateway, login("flood", "flood") as flood:
        flood.send(b"".join(message("flood", ident, qos=0) for ident in range(1, 1001)))
        flood.alive()
        vendor = vendor_of(gateway.status(), "flood")
        status = gateway.settled(messages=vendor["messages"])
        assert vendor["dropped"] > 0 and vendor["messages"] >= 100
        assert vendor["dropped"] + vendor["messages"] == 1000, vendor
        assert status["received"] == vendor["messages"], "a drop was counted as received"
        assert gateway.metrics()['tidegate_mqtt_dropped_total{vendor="flood"}'] == vendor["dropped"]
        flood.send(b"".join(message("flood", ident) for ident in range(1, 51)))  # QoS 1 is never dropped
        acks(flood, 50)
        assert vendor_of(gateway.status(), "flood")["dropped"] == vendor["dropped"]


def test_limits_change_with_a_reload_under_open_connections():
    with start(flood="rate: 20") as gateway, login("flood", "flood") as flood:
        flood.send(b"".join(message("flood", ident) for ident in range(1, 2001)))
        lib.wait_until("it is held", lambda: vendor_of(gateway.status(), "flood")["held"] == 1, 5)
        path = os.path.join(gateway.folder, "tidegate.yaml")
        with open(path, encoding="utf-8") as file:
            text = file.read().replace("rate: 20}", "rate: 0}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        gateway.process.send_signal(signal.SIGHUP)
        flood.socket.settimeout(20)
        acks(flood, 2000)  # at 20 a second they would take 100 s


def test_flood_of_one_vendor_does_not_delay_another_beyond_the_bound():
    memory = 64 << 20
    with start(mqtt_options="loops: 1, held_bytes: 4MiB") as gateway:
        calm = puback_times(1.5)
        flood = Flood("flood", connections=60, window=4000, size=1000)
        lib.wait_until("the flood runs", lambda: flood.acked > 4000 or flood.errors)
        before, began = flood.acked, time.monotonic()
        busy = puback_times(5)
        rate = (flood.acked - before) / (time.monotonic() - began)
        flood.stop()
        print(f"     quiet PUBACK p50/p99/max: {calm[len(calm) // 2] * 1e3:.1f}/{p99(calm) * 1e3:.1f}/"
              f"{calm[-1] * 1e3:.1f} ms alone, {busy[len(busy) // 2] * 1e3:.1f}/{p99(busy) * 1e3:.1f}/"
              f"{busy[-1] * 1e3:.1f} ms beside {rate:.0f} messages/s of 1 KB", flush=True)
        # The flood has four times the memory in flight. Were all of the memory its, the other would wait as
        # long as that takes to be stored; an eighth is (README).
        whole = memory / (rate * 1050)
        assert busy[len(busy) // 2] < whole / 2, f"half of the quiet vendor's PUBACKs took over {whole / 2:.3f} s"


if __name__ == "__main__":
    lib.run(globals())
