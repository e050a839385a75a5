#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A gateway that goes for good (`tidegate drain`): what was acknowledged is in every sink before it ends, clients are
told to go elsewhere, and it does not come back by itself."""
import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import oracle  # noqa: E402
from gateway import Gateway, Skip, wait_until  # noqa: E402
from mosquitto import Mosquitto  # noqa: E402

# A sink that nobody answers for, beside one that works.
TWO_SINKS = """
data: {{data}}
anonymous: loopback
mqtt: {{{{listen: "127.0.0.1:{{port}}"}}}}
admin: {{{{listen: "127.0.0.1:{{admin}}"}}}}
routes:
  - {{{{topic: "v1/{{{{vendor}}}}/{{{{device}}}}/json", codec: json}}}}
sinks:
  - {{{{type: parquet, flush_age: 300s}}}}
  - {{{{type: clickhouse, name: away, url: "http://127.0.0.1:{0}/water"}}}}
"""


def drain_start(gateway, *options):
    return subprocess.Popen([lib.PROGRAM, "drain", "--admin", f"127.0.0.1:{gateway.admin_port}", *options],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def last_line(text):
    return text.decode().strip().splitlines()[-1]


def state(gateway):
    return gateway.status()["drain"]["state"]


def mqtt5_client(gateway):
    """A connection of MQTT 5, past its CONNACK."""
    peer = socket.create_connection(("127.0.0.1", gateway.port), 30)
    body = b"\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x04idle"
    peer.sendall(bytes([0x10, len(body)]) + body)
    head = peer.recv(2)
    assert head[0] == 0x20, head
    while len(head) < 2 + head[1]:
        head += peer.recv(100)
    assert head[3] == 0, head
    return peer


def test_everything_acknowledged_under_load_is_stored_when_it_has_gone():
    if lib.reader_missing():
        raise Skip(lib.reader_missing())
    with Gateway(config=lib.embedded_text().replace("{", "{{").replace("}", "}}").replace(
            "flush_age: 300ms", "flush_age: 300s")) as gateway:
        gateway.start()
        ledger = os.path.join(gateway.folder, "ledger")
        begin = time.strftime("%Y-%m-%dT00:00:00+08:00", time.gmtime(time.time() - 30 * 86400))
        sim = gateway.sim_start("--meters", "500", "--rate", "2000", "--duration", "1d", "--begin", begin, "--ledger",
                                ledger, "--patience", "600s", "--connections", "20")
        idle = mqtt5_client(gateway)
        try:
            wait_until("load comes in", lambda: gateway.status()["received"] > 3000, 60)
            result = gateway.admin_verb("drain", "--timeout", "120s", seconds=150, check=0)
            assert last_line(result.stdout).startswith("nothing is left: "), result.stdout
            assert gateway.process.wait(60) == 0, gateway.log_tail()
            trail = "".join(open(path, encoding="utf-8").read() for path in glob.glob(
                os.path.join(gateway.data, "**", "audit-*.jsonl"), recursive=True))
            assert trail.count('"drain"') >= 2, trail
            answer = idle.recv(10)
            assert answer[:1] == b"\xe0" and answer[2] == 0x9c, f"no DISCONNECT with use another server: {answer}"
        finally:
            idle.close()
            sim.send_signal(signal.SIGINT)
            sim.send_signal(signal.SIGINT)
            sim.communicate(timeout=60)
        sent, rows = oracle.ledger(ledger), oracle.of_parquet(gateway)
        assert sum(line.outcome == "ACK" for line in sent) > 3000
        oracle.demand(oracle.of_the_ledger("parquet", sent, rows))


def test_a_sink_that_is_away_is_told_and_waited_for_also_over_a_restart():
    with Gateway(config=TWO_SINKS.format(lib.free_port())) as gateway:
        gateway.start()
        gateway.publish("v1/aqua/1/json", b'{"level": 1}', "-q", "1")
        result = gateway.admin_verb("drain", "--timeout", "2s", seconds=60, check=1)
        line = last_line(result.stdout)
        assert "goes on" in line and "sink away: 1 messages are not stored" in line, line
        wait_until("Parquet does not wait for its age", lambda: "parquet" not in str(gateway.status()["drain"]), 60)
        assert gateway.get("/readyz")[0] == 503 and gateway.get("/healthz")[0] == 200
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", gateway.port)) != 0, "somebody listens"
        began = time.monotonic()
        assert gateway.stop(60) == 0
        print(f"SIGTERM during a drain: {time.monotonic() - began:.1f} s")
        gateway.start(ready=False)
        wait_until("it goes on draining", lambda: gateway.get("/status")[0] == 200 and state(gateway) == "sending", 60)
        waiting = drain_start(gateway, "--if-leaving", "--timeout", "60s")
        assert b"sink away" in waiting.stderr.readline()
        assert gateway.get("/readyz")[0] == 503
        cursor = os.path.join(gateway.data, "cursors", "away.cursor")
        assert os.path.exists(cursor), "the sink's position"
        gateway.stop(60)
        out, _ = waiting.communicate(timeout=90)
        assert waiting.returncode == 1 and "ended before it was done" in last_line(out), out
        # Without that sink its cursor still holds what it has not got.
        gateway.config = "\n".join(line for line in TWO_SINKS.format(0).splitlines() if "away" not in line) + "\n"
        gateway.start(ready=False)
        wait_until("the cursor is told", lambda: "lane drop away" in gateway.get("/drain")[1], 60)
        gateway.admin_verb("lane", "drop", "away", "--data", gateway.data, "--yes", check=0)
        assert gateway.process.wait(60) == 0, gateway.log_tail()


FULL = """
data: {{data}}
anonymous: loopback
mqtt: {{{{listen: "127.0.0.1:{{port}}", max_packet: 64KiB}}}}
admin: {{{{listen: "127.0.0.1:{{admin}}"}}}}
journal: {{{{segment_size: 1MiB, extent_size: 256KiB, max_size: 4MiB, keep_size: 1MiB, memory: 4MiB, compression: 0}}}}
routes:
  - {{{{topic: "v1/{{{{vendor}}}}/{{{{device}}}}/json", codec: json}}}}
sinks:
  - {{{{type: clickhouse, name: away, url: "http://127.0.0.1:{0}/water"}}}}
"""


def test_sigterm_ends_a_drain_whose_clients_wait_for_acks_that_a_full_journal_holds():
    with Gateway(config=FULL.format(lib.free_port())) as gateway:
        gateway.start()
        sim = gateway.sim_start("--rate", "max", "--vendors", "aqua:json", "--patience", "600s")
        try:
            wait_until("the journal is full", lambda: gateway.get("/readyz")[0] == 503, 120)
            drain = drain_start(gateway, "--timeout", "300s")
            wait_until("it waits for acks", lambda: state(gateway) == "sources" and "wait for the disk" in str(
                gateway.status()["drain"]["left"]), 60)
            gateway.process.send_signal(signal.SIGTERM)
            assert gateway.process.wait(60) == 0, gateway.log_tail()
            out, _ = drain.communicate(timeout=60)
            assert drain.returncode == 1 and b"wait for the disk" in out, out
        finally:
            sim.kill()
            sim.communicate()


def test_it_takes_nothing_in_again_until_that_is_undone():
    with Gateway() as gateway:
        gateway.start()
        gateway.publish("v1/aqua/1/json", b'{"level": 1}', "-q", "1")
        gateway.admin_verb("drain", check=0)
        assert gateway.process.wait(60) == 0
        for _ in range(2):
            gateway.start(ready=False)
            assert gateway.process.wait(90) == 0, "started again it has nothing to do"
        text = gateway.log()
        assert text.count(" mqtt_listening ") == 1, "it listened again"
        gateway.verb("drain", "--undo", "--data", gateway.data, check=0)
        gateway.verb("drain", "--undo", "--data", gateway.data, check=1)
        gateway.start()
        gateway.publish("v1/aqua/1/json", b'{"level": 2}', "-q", "1")
        gateway.settled(messages=2)
        assert state(gateway) == "none"


def test_a_hook_of_a_restart_does_not_wait_where_nobody_leaves():
    with Gateway() as gateway:
        gateway.start()
        result = gateway.admin_verb("drain", "--if-leaving", check=0)
        assert b"no drain was begun" in result.stdout
        assert gateway.get("/readyz")[0] == 200
    gateway.admin_verb("drain", "--if-leaving", check=69)


SECURE = """
data: {data}
anonymous: loopback
mqtt: {{listen: "127.0.0.1:{port}"}}
admin: {{listen: "127.0.0.1:{admin}", certificate_file: admin.crt, key_file: admin.key, token_file: tokens}}
routes:
  - {{topic: "v1/{{vendor}}/{{device}}/json", codec: json}}
sinks:
  - {{type: parquet}}
"""


def test_inside_a_container_address_certificate_and_token_come_from_the_configuration():
    if not shutil.which("openssl"):
        raise Skip("no openssl: deploy/setup --tests installs it")
    with Gateway(config=SECURE) as gateway:
        for name in ("admin", "other"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                            "-subj", "/CN=tidegate-admin", "-keyout", f"{gateway.folder}/{name}.key", "-out", f"{gateway.folder}/{name}.crt"],
                           check=True, capture_output=True, timeout=60)
            os.chmod(f"{gateway.folder}/{name}.key", 0o600)
        tokens = os.path.join(gateway.folder, "tokens")
        with open(tokens, "w", encoding="ascii") as file:
            file.write("operator operate " + "0123456789abcdef" * 4 + "\n")
        os.chmod(tokens, 0o600)
        config = os.path.join(gateway.folder, "tidegate.yaml")
        gateway.start(ready=False)
        wait_until("a probe says yes", lambda: os.path.exists(config) and gateway.verb(
            "healthcheck", "--config", config).returncode == 0, 60)
        # Somebody else's certificate gets no token of ours.
        other = os.path.join(gateway.folder, "other.yaml")
        with open(config, encoding="utf-8") as file, open(other, "w", encoding="utf-8") as copy:
            copy.write(file.read().replace("admin.crt", "other.crt"))
        gateway.verb("drain", "--if-leaving", "--config", other, check=69)
        gateway.verb("drain", "--if-leaving", "--config", config, check=0)
        assert b"nothing is left" in gateway.verb("drain", "--config", config, check=0).stdout
        assert gateway.process.wait(60) == 0


BROKER = """brokers:
  - {{name: m, url: "mqtt://127.0.0.1:{port}", topics: ["v1/#"]}}
"""


def test_a_broker_keeps_nothing_for_a_gateway_that_has_gone():
    with Mosquitto() as broker:
        config = lib.embedded_text() + BROKER.format(port=broker.port)
        with Gateway(config=config.replace("{", "{{").replace("}", "}}")) as gateway:
            gateway.start()
            wait_until("it has subscribed", lambda: gateway.metrics().get(
                'tidegate_broker_connected{broker="m",worker="0"}') == 1, 60)
            broker.publish("v1/aqua/1/json", '{"level": 1}')
            wait_until("it came", lambda: gateway.status()["received"] == 1, 60)
            gateway.admin_verb("drain", check=0)
            assert gateway.process.wait(60) == 0
            log = open(os.path.join(broker.folder, "log"), encoding="utf-8", errors="replace").read()
            broker.save()
            with open(os.path.join(broker.folder, "mosquitto.db"), "rb") as file:
                assert b"tidegate-" not in file.read(), f"its session is kept\n{log}"


if __name__ == "__main__":
    lib.run(dict(globals()))
