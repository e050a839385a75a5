#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Traffic through the container image: a vendor over TLS as its README tells, kill -9 and SIGTERM under load with the
volume kept. container.py looks at the image itself."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import oracle  # noqa: E402
import podman as box  # noqa: E402
from podman import ADD_VENDOR, CONFIG, Container, podman  # noqa: E402


def own_configuration(tls_port):
    """The one in the image, on free ports of 127.0.0.1, as Container wants it; files at once."""
    with open(os.path.join(lib.ROOT, "deploy/container/tidegate.yaml"), encoding="utf-8") as file:
        text = file.read().replace("{", "{{").replace("}", "}}")
    for old, new in (("0.0.0.0:8883", f"127.0.0.1:{tls_port}"), ("127.0.0.1:1883", "127.0.0.1:{port}"),
                     ("127.0.0.1:9464", "127.0.0.1:{admin}"), ("type: parquet", "type: parquet\n    flush_age: 300ms")):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_a_vendor_made_in_it_publishes_over_tls_into_parquet_and_nowhere_else():
    """What deploy/container/README.md tells to do."""
    if lib.reader_missing():
        raise lib.Skip(lib.reader_missing())
    port = lib.free_port()
    with box.Secrets() as secrets, Container(own_configuration(port), options=secrets.mounted) as gateway:
        password = gateway.once(*ADD_VENDOR).strip()
        gateway.start()

        def publish(topic, *options, user="acme", ca=secrets.ca):
            return subprocess.run(
                ["mosquitto_pub", "--cafile", ca, "-h", "127.0.0.1", "-p", str(port), "-V", "5", "-u", user, "-P", password,
                 "-q", "1", "-t", topic, "-m", '{"time": "2026-11-21T08:00:00+08:00", "volume.total": 12.345}', *options],
                capture_output=True, text=True, timeout=60, check=False)
        sent = publish("v1/acme/00012345/json")
        assert sent.returncode == 0 and not sent.stderr, sent
        refused = publish("v1/other/00012345/json")
        assert "Not authorized" in refused.stderr, refused
        assert publish("v1/acme/00012345/json", ca="/etc/ssl/certs/ca-certificates.crt").returncode != 0
        gateway.settled(messages=1)
        assert gateway.rows("select vendor, device, metric, value, unit, epoch_ms(ts) from parquet") == \
            [["acme", "00012345", "volume.total", 12.345, "m3", 1795219200000]]
        said = lib.wait_until("the refused publish is in the audit log",
                              lambda: [one for one in audit(gateway) if one["what"] == "publish"], 60)
        assert [(one["result"], one["object"], one["who"], one["from"]) for one in said] == \
            [("refused", "v1/other/00012345/json", "acme", "127.0.0.1")], said
        # A password while it runs, and the signal that has it read.
        other, password = password, gateway.inside("tidegate", *ADD_VENDOR, "second").stdout.strip()
        assert other != password
        podman("kill", "--signal", "HUP", gateway.name)
        lib.wait_until("the new user may sign in",
                       lambda: publish("v1/acme/2/json", user="second").returncode == 0, 60, every=0.5)
        assert password not in gateway.log() and other not in gateway.log()
        assert gateway.stop() == 0, gateway.log_tail()


def audit(gateway):
    folder = os.path.join(gateway.data, "audit")
    lines = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            lines += [json.loads(line) for line in file if line.endswith("\n")]
    return lines


def test_killed_under_load_and_started_again_on_its_volume_it_loses_nothing():
    if lib.reader_missing():
        raise lib.Skip(lib.reader_missing())
    with tempfile.TemporaryDirectory() as folder, Container(CONFIG) as gateway:
        gateway.start()
        ledger = os.path.join(folder, "ledger")
        load = gateway.sim_start("--count", "24000", "--rate", "3000", "--meters", "500", "--vendors",
                                 "aqua:json:1,huaxu:cjt188:1", "--ledger", ledger, "--patience", "120s")
        for kills in range(3):
            lib.wait_until("the load goes on", lambda: gateway.status()["received"] > 4000 * (kills + 1), 120)
            gateway.kill()
            assert gateway.state()["ExitCode"] == 137, gateway.state()
            gateway.start()
        output, errors = load.communicate(timeout=200)
        assert load.returncode == 0, errors.decode()[-2000:]
        assert json.loads(output)["acknowledged"] == 24000, output
        gateway.settled(seconds=120)
        sent, rows = oracle.ledger(ledger), oracle.of_parquet(gateway)
        oracle.demand(oracle.of_the_ledger("parquet", sent, rows), oracle.nothing_twice("parquet", rows),
                      oracle.planted("parquet", sent, rows))
        assert not gateway.state()["OOMKilled"], gateway.state()
        assert gateway.stop() == 0, gateway.log_tail()


def test_sigterm_under_load_ends_pid_1_with_0_within_the_grace_and_loses_nothing():
    if lib.reader_missing():
        raise lib.Skip(lib.reader_missing())
    with tempfile.TemporaryDirectory() as folder, Container(CONFIG) as gateway:
        gateway.start()
        ledger = os.path.join(folder, "ledger")
        load = gateway.sim_start("--count", "6000", "--rate", "2000", "--meters", "200", "--vendors", "aqua:json:1",
                                 "--ledger", ledger, "--patience", "120s")
        lib.wait_until("the load goes on", lambda: gateway.status()["received"] > 1500, 120)
        assert gateway.stop() == 0, gateway.log_tail()
        assert "stopped" in gateway.log_tail(3), gateway.log_tail()
        gateway.start()
        output, errors = load.communicate(timeout=200)
        assert load.returncode == 0, errors.decode()[-2000:]
        gateway.settled(seconds=120)
        sent, rows = oracle.ledger(ledger), oracle.of_parquet(gateway)
        oracle.demand(oracle.of_the_ledger("parquet", sent, rows), oracle.nothing_twice("parquet", rows))
        assert gateway.stop() == 0, gateway.log_tail()


if __name__ == "__main__":
    lib.run(globals())
