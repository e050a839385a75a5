# SPDX-License-Identifier: Apache-2.0
"""What TLS costs beside plain MQTT in one run: handshakes, memory, messages; and a fleet that comes back at once while
others publish."""
import json
import os
import subprocess

import harness
from harness import LOAD, Measured, lib, threads
import certificates

LISTEN = """
tls:
  listen: "127.0.0.1:{port}"
  certificate_file: {chain}
  key_file: {key}
"""


class Both(Measured):
    """A gateway with a plain port and a TLS port; the certificate is of the curve P-256, or RSA with 2,048 bits."""

    def __init__(self, kind="EC", **arguments):
        super().__init__(**arguments)
        ca = certificates.Authority(os.path.join(self.gateway.folder, "ca"))
        server = ca.issue("server", kind=kind)
        self.tls_port, self.ca = lib.free_port(), ca.certificate
        self.gateway.config += LISTEN.format(port=self.tls_port, chain=server.chain, key=server.key)

    def arguments(self, tls):
        """Of bench_load: where to, and how."""
        port = self.tls_port if tls else self.gateway.port
        return ["--connect", f"127.0.0.1:{port}", "--pid", self.gateway.process.pid,
                *(["--tls-ca", self.ca] if tls else [])]

    def run(self, tls, *arguments):
        result = subprocess.run([LOAD, *map(str, [*self.arguments(tls), *arguments])], capture_output=True, timeout=900)
        if result.returncode != 0:
            raise RuntimeError(f"bench_load: {result.stdout.decode()} {result.stderr.decode()}")
        return json.loads(result.stdout)

    def front(self):
        return sum(seconds for name, seconds in threads(self.gateway.process.pid).items() if harness.is_front(name))


def tls_handshakes():
    """Handshakes a second of one processor: connections over CPU seconds of the listener, less those of plain ones."""
    count = 500 if harness.options.quick else 5000
    rows, raw = [], {}
    for kind, name in (("EC", "P-256"), ("RSA", "RSA-2048")):
        spent = {}
        for tls in (False, True):
            with Both(kind) as both:
                both.run(tls, "--connections", 10, "--count", 100)
                before = both.front()
                both.run(tls, "--connections", count, "--ramp", 1000000, "--idle", "1s")
                spent[tls] = both.front() - before
        raw[name] = {"connections": count, "plain_cpu_s": spent[False], "tls_cpu_s": spent[True]}
        rows.append((f"TLS handshakes, {name}", count / max(spent[True] - spent[False], 1e-6), "a second and processor",
                     f"TLS 1.3; a plain connection costs {spent[False] / count * 1e6:.0f} us, one with TLS "
                     f"{spent[True] / count * 1e6:.0f} us"))
    return rows, raw


def tls_idle():
    """Memory for a TLS connection that says nothing."""
    few, many = (500, 2000) if harness.options.quick else (1000, 8000)
    growth = {}
    for count in (few, many):
        with Both() as both:
            both.run(True, "--connections", 200, "--count", 2000)
            growth[count] = both.run(True, "--connections", count, "--idle", "2s")["anon_per_connection"] * count
    return [("memory per idle TLS connection", (growth[many] - growth[few]) / (many - few), "bytes",
             f"from {few} to {many} connections, anonymous memory of the process")], {str(k): v for k, v in growth.items()}


def tls_messages():
    """The same messages in the clear and over TLS, in turns."""
    count = 100000 if harness.options.quick else 1000000
    rows, raw, cost = [], {}, {}
    for name, connections, window in (("50 connections, window 64", 50, 64), ("one connection, window 1000", 1, 1000)):
        with Both() as both:
            for tls in (False, True):
                before = both.front()
                figures = both.run(tls, "--connections", connections, "--window", window, "--count", count)
                cost[tls] = (both.front() - before) / figures["published"] * 1e6
                raw[f"{name}, {'TLS' if tls else 'plain'}"] = {**figures, "front_cpu_s_per_million": cost[tls]}
        rows.append((f"TLS, {name}", cost[True], "CPU-s/M",
                     f"{cost[True] / cost[False]:.2f} times plain ({cost[False]:.3g})"))
    return rows, raw


def storm():
    """10,000 connections at once, while 50 others publish 1,000 messages/s: PUBACK of these."""
    count = 1000 if harness.options.quick else 10000
    rows, raw = [], {}
    for name, tls in (("nothing", None), ("plain", False), ("TLS", True)):
        with Both() as both:
            seconds = 4 if harness.options.quick else 15
            vendor = subprocess.Popen([LOAD, *map(str, both.arguments(False)), "--connections", "50", "--window", "4",
                                       "--rate", "1000", "--duration", f"{seconds}s"], stdout=subprocess.PIPE)
            lib.wait_until("the vendor publishes", lambda: both.gateway.status()["received"] > 500)
            if tls is not None:
                fleet = subprocess.run([LOAD, *map(str, both.arguments(tls)), "--connections", str(count), "--ramp",
                                        "1000000", "--idle", "1s"], stdout=subprocess.PIPE, timeout=300, check=True)
                raw[f"{name}, fleet"] = json.loads(fleet.stdout)
            figures = json.loads(vendor.communicate(timeout=300)[0])
            raw[name] = figures
        rows.append((f"PUBACK p99 while {count:,} connections come, {name}", figures["p99_ms"], "ms",
                     f"p50 {figures['p50_ms']:.2f} ms, longest {figures['max_ms']:.0f} ms"))
    return rows, raw


SCENARIOS = [tls_handshakes, tls_idle, tls_messages, storm]
