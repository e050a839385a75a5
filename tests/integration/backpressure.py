#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holding back instead of losing: destinations that take nothing while a small journal fills, vendors that pass
their rate or their share of the journal, QoS 0, and what a flood of one vendor costs another.

Clients are plain sockets: many PUBLISH in one buffer, so that a few threads can fill every window.
"""
import json
import os
import select
import signal
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mqtt_conformance as mqtt  # noqa: E402
import oracle  # noqa: E402
import stores  # noqa: E402
from mqtt_conformance import V311, Peer, lib, publish  # noqa: E402
from mqtt_vendors import password_line  # noqa: E402

SECRET = b"water"
VENDORS = ("flood", "quiet")
CONFIG = """
data: {{data}}
anonymous: loopback
mqtt: {{{{listen: "127.0.0.1:{{port}}", receive_max: 60000, {mqtt}}}}}
admin: {{{{listen: "127.0.0.1:{{admin}}"}}}}
journal: {{{{max_size: {max_size}, segment_size: 4MiB, memory: {memory}, reserve: 0, keep_size: 0, keep: 0s,
          compression: {compression}}}}}
vendors:
  - {{{{name: flood, passwords: flood.txt, {flood}}}}}
  - {{{{name: quiet, passwords: quiet.txt}}}}
routes:
  - {{{{topic: "flood/{{{{device}}}}", codec: json, vendor: flood}}}}
  - {{{{topic: "quiet/{{{{device}}}}", codec: json, vendor: quiet}}}}
  - {{{{topic: "v1/{{{{vendor}}}}/json", codec: json}}}}
  - {{{{topic: "v1/{{{{vendor}}}}/{{{{device}}}}/json", codec: json}}}}
  - {{{{topic: "v1/{{{{vendor}}}}/cjt188", codec: cjt188, timezone: "+08:00"}}}}
  - {{{{topic: "v1/{{{{vendor}}}}/{{{{device}}}}/cjt188", codec: cjt188, timezone: "+08:00"}}}}
sinks:
  - {{{{type: discard, {discard}}}}}
{sinks}"""
PARQUET = "  - {{{{type: parquet, flush_age: 300ms, min_free: {min_free}}}}}\n"


def configured(flood="timezone: UTC", discard="delay: 0s", max_size="1GiB", memory="64MiB",
               mqtt_options="loops: 1, held_bytes: 256KiB", sinks="", compression=1):
    return CONFIG.format(flood=flood, discard=discard, max_size=max_size, memory=memory, mqtt=mqtt_options, sinks=sinks,
                         compression=compression)


def start(**options):
    gateway = lib.Gateway(config=configured(**options))
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

    def __init__(self, vendor, connections, window, size, noisy=False):
        filler = (lambda: os.urandom(size // 2).hex().encode()) if noisy else (lambda: b"x" * size)
        self.blob = b"".join(message(vendor, ident, payload=b'{"volume.total": 1, "note": "' + filler() + b'"}')
                             for ident in range(1, window + 1))
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


def resident_bytes(gateway):
    with open(f"/proc/{gateway.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def identity_holds(status):
    """Invariant 9."""
    parts = status["decoded"] + status["dead"] + status["quarantined"] + status["undecoded"]
    return status["received"] == parts


class KeepsAlive:
    """A client that waits for the acknowledgement of its window, sends PINGREQ in time, and is answered."""

    def __init__(self, vendor, name, window):
        self.peer = Peer(V311, user=vendor, password=SECRET, client=name, keep_alive=2)
        self.pongs = self.acked = 0
        self.window = window
        self.peer.send(b"".join(message(vendor, ident) for ident in range(1, window + 1)))

    def turn(self, seconds):
        """A PINGREQ, and its answer; acknowledgements may stand before it."""
        self.peer.socket.settimeout(seconds)
        self.peer.send(b"\xc0\x00")
        while True:
            first, _ = self.peer.read()
            assert first is not None, "a client that keeps its keep alive was disconnected"
            if first == 0xd0:
                self.pongs += 1
                return
            assert first == 0x40, hex(first)
            self.acked += 1

    def finish(self):
        self.peer.socket.settimeout(60)
        acks(self.peer, self.window - self.acked)
        self.peer.socket.close()


def closed_connections(gateway):
    return sum(count for name, count in gateway.metrics().items() if name.startswith("tidegate_mqtt_closed_total"))


def test_all_destinations_held_for_long_cost_nothing_but_time():
    """Small journal, full load, Parquet without room and another destination that never answers; then both go on."""
    held = dict(compression=0, max_size="16MiB", memory="8MiB", mqtt_options="loops: 1, held_bytes: 256KiB")
    with start(discard="delay: 1h", sinks=PARQUET.format(min_free="900TiB"), **held) as gateway:
        ledger = os.path.join(gateway.folder, "ledger")
        sim = gateway.sim_start("--rate", "max", "--connections", "40", "--window", "400", "--meters", "500",
                                "--interval", "1s", "--count", "150000", "--patience", "90s",
                                "--ledger", ledger)
        lib.wait_until("the journal is full", lambda: gateway.status()["journal_health"] == "full", 40)
        client = KeepsAlive("flood", "keeps-alive", 50)
        lib.wait_until("all are held", lambda: gateway.status()["mqtt"]["held_connections"] >= 30, 10)
        first, closed = gateway.status(), closed_connections(gateway)
        sizes = []
        for _ in range(12):
            client.turn(2)
            sizes.append(resident_bytes(gateway))
            time.sleep(0.8)
        last = gateway.status()
        assert max(sizes[3:]) - min(sizes[3:]) < 1 << 20, f"memory moved: {sizes}"
        assert max(sizes) < 128 << 20 or lib.sanitized(), f"too much memory: {sizes}"
        assert last["received"] == first["received"] and last["mqtt"]["acks"] == first["mqtt"]["acks"]
        assert last["mqtt"]["acks"] <= last["received"], "acknowledged before it was durable"
        assert client.pongs == 12 and client.acked == 0
        assert closed_connections(gateway) == closed, "somebody was disconnected"
        assert last["journal_seconds_left"] == 0 and not last["ready"] and identity_holds(last)
        gateway.kill()  # what was acknowledged is durable, so this is allowed
        gateway.config = configured(discard="delay: 0s", sinks=PARQUET.format(min_free="1MiB"), **held)
        gateway.start(ready=False)
        out, errors = sim.communicate(timeout=90)
        summary = json.loads(out)
        assert sim.returncode == 0 and summary["acknowledged"] == summary["published"], (summary, errors)
        status = gateway.settled(seconds=60)
        assert identity_holds(status) and status["undecoded"] == status["dead"] == status["quarantined"] == 0, status
        rows = [oracle.Row(*row) for row in gateway.rows(stores.PARQUET + " where metric = 'volume.total'")]
        oracle.demand(oracle.of_the_ledger("Parquet", oracle.ledger(ledger), rows))
        print(f"     {first['received']} messages filled the journal, {status['received']} in the end; resident "
              f"{min(sizes) >> 20} to {max(sizes) >> 20} MiB while held", flush=True)


def test_when_destinations_go_on_everybody_goes_on_and_nobody_was_disconnected():
    with start(discard="delay: 5s", max_size="16MiB", memory="16MiB") as gateway:
        closed = closed_connections(gateway)
        clients = [KeepsAlive("quiet", f"client-{i}", 100) for i in range(3)]
        writer = Flood("flood", connections=4, window=20, size=8000, noisy=True)
        lib.wait_until("the journal is full", lambda: gateway.status()["journal_health"] == "full", 30)
        lib.wait_until("messages wait", lambda: gateway.status()["stored"]["waiting_bytes"] > 100000, 10)
        before = writer.acked
        for client in clients:
            client.turn(2)
        lib.wait_until("they go on", lambda: writer.acked > before + 200 or writer.errors, 30)
        for client in clients:
            client.finish()
        writer.stop()
        assert closed_connections(gateway) - closed <= 7, "somebody was disconnected"  # 3 + 4 that left
        status = gateway.status()
        assert identity_holds(status), status


def test_a_vendor_over_its_share_of_the_journal_is_held_alone_until_destinations_have_caught_up():
    with start(flood="journal_share: 25", discard="delay: 6s", max_size="64MiB", memory="16MiB") as gateway:
        writer = Flood("flood", connections=2, window=20, size=8000, noisy=True)
        lib.wait_until("it is held for its share", lambda: gateway.status()["held"]["share"] == 2 or writer.errors, 30)
        vendor = vendor_of(gateway.status(), "flood")
        # How well it compresses is measured as it goes, so the limit moves a little.
        assert vendor["needed_bytes"] <= 1.2 * vendor["share_bytes"] and vendor["held"] == 2, vendor
        with login("quiet", "quiet") as quiet:
            for ident in range(1, 101):
                quiet.send(message("quiet", ident))
                acks(quiet, 1)
        status, before = gateway.status(), writer.acked
        assert status["journal_health"] == "ok" and vendor_of(status, "quiet")["held"] == 0
        lib.wait_until("it goes on by itself", lambda: writer.acked > before + 100 or writer.errors, 30)
        writer.stop()


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
