#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program from outside: start, publish, see, stop, start again."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from gateway import Gateway, Skip, wait_until  # noqa: E402

# A CJ/T 188 reply to 901F without its checksum: meter 00112233445566, 123.00 m3, settlement 120.00 m3, no
# clock.
FRAME = bytes.fromhex("6810665544332211008116901F00002301002C002001002C000000000000000000")


def frame():
    return bytes.fromhex("FEFE") + FRAME + bytes([sum(FRAME) & 0xFF, 0x16])


def tail_rows(gateway, first):
    """All readings from sequence number `first` on, as the admin interface gives them."""
    code, text = gateway.get(f"/tail?from={first}&limit=10000")
    assert code == 200, text
    return [json.loads(line) for line in text.splitlines()[1:]]


def test_a_json_message_is_seen_in_tail_and_in_parquet():
    with Gateway(plain=True) as gateway:
        gateway.start()
        gateway.publish("v1/aqua/00012345/json", b'{"time": "%s", "volume.total": 123.456,'
                        b' "pressure": {"value": 0.31, "unit": "MPa"}}' % now_text(), "-q", "1")
        gateway.settled(messages=1)
        rows = {row["metric"]: row for row in tail_rows(gateway, 1)}
        assert rows["volume.total"]["value"] == 123.456, rows
        assert rows["volume.total"]["device"] == "00012345"
        assert rows["volume.total"]["vendor"] == "aqua"
        assert (rows["pressure"]["value"], rows["pressure"]["unit"]) == (310, "kPa"), rows["pressure"]
        needs_reader()
        found = gateway.rows("select vendor, device, metric, value, unit, quality, seq from parquet order by metric")
        assert found == [["aqua", "00012345", "pressure", 310.0, "kPa", "good", 1],
                         ["aqua", "00012345", "volume.total", 123.456, "m3", "good", 1]], found


def now_text():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()


def needs_reader():
    reason = lib.reader_missing()
    if reason:
        raise Skip(reason)


def test_the_tail_verb_follows_readings_as_they_come():
    with Gateway() as gateway:
        gateway.start()
        tail = subprocess.Popen([lib.PROGRAM, "tail", "--admin", f"127.0.0.1:{gateway.admin_port}", "--count", "1"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            # tail begins with what comes after it asked: publish until it has seen one.
            def seen():
                gateway.publish("v1/aqua/7/json", b'{"level": 2.5}', "-q", "1")
                return tail.poll() is not None
            wait_until("tail prints a reading", seen, 20, 0.2)
            line = json.loads(tail.stdout.read())
            assert (line["device"], line["metric"], line["value"]) == ("7", "level", 2.5), line
        finally:
            tail.kill()
            tail.communicate()


def test_a_cjt188_frame_is_read_as_bytes_and_as_hexadecimal_text():
    with Gateway() as gateway:
        gateway.start()
        gateway.publish("v1/huaxu/cjt188", frame(), "-q", "1")
        gateway.publish("v1/huaxu/cjt188", frame().hex().encode(), "-q", "1")
        gateway.settled(messages=2)
        rows = [row for row in tail_rows(gateway, 1) if row["metric"] == "volume.total"]
        assert [(row["seq"], row["device"], row["value"], row["unit"]) for row in rows] == [
            (1, "00112233445566", 123, "m3"), (2, "00112233445566", 123, "m3")], rows
        needs_reader()
        found = gateway.rows("select seq, value from parquet where metric = 'volume.total' order by seq")
        assert found == [[1, 123.0], [2, 123.0]], found


def test_garbage_becomes_a_dead_letter_with_its_reason():
    with Gateway() as gateway:
        gateway.start()
        spoiled = bytearray(frame())
        spoiled[-2] ^= 0x55
        gateway.publish("v1/aqua/1/json", b"{not json", "-q", "1")
        gateway.publish("v1/huaxu/cjt188", bytes(spoiled), "-q", "1")
        gateway.publish("nobody/knows/this", b"x", "-q", "1")
        status = gateway.settled(messages=3)
        assert (status["dead"], status["readings"]) == (3, 0), status
        listed = gateway.verb("deadletter", "ls", "--data", gateway.data, "--json", check=0).stdout.decode()
        letters = [json.loads(line) for line in listed.splitlines()]
        assert [letter["seq"] for letter in letters] == [1, 2, 3], letters
        assert all(letter["reason"] for letter in letters), letters
        assert letters[2]["reason"] == "no_route", letters[2]
        shown = gateway.verb("deadletter", "show", "--data", gateway.data, "--from", "1", "--count", "1", check=0)
        assert b"not json" in shown.stdout or b"{not json".hex().encode() in shown.stdout.lower().replace(b" ", b""), \
            shown.stdout


def test_mosquitto_pub_is_served_at_each_qos_and_version():
    if not shutil.which("mosquitto_pub"):
        raise Skip("no mosquitto_pub: package mosquitto-clients")
    with Gateway() as gateway:
        gateway.start()
        expected = 0
        for version in ("mqttv31", "mqttv311", "mqttv5"):
            for qos in ("0", "1", "2"):
                expected += 1
                gateway.publish(f"v1/{version}/{qos}/json", b'{"level": %d}' % expected, "-q", qos, "-V", version)
                if qos == "0":  # nothing tells the client; the next assertion would race
                    wait_until("the QoS 0 message is stored", lambda: gateway.status()["received"] >= expected)
        gateway.settled(messages=expected)
        values = [(row["vendor"], row["device"], row["value"]) for row in tail_rows(gateway, 1)]
        assert values == [(version, str(qos), 1 + 3 * i + qos) for i, version in
                          enumerate(("mqttv31", "mqttv311", "mqttv5")) for qos in range(3)], values


def test_sigterm_under_load_exits_0_within_10_seconds_and_keeps_what_was_acknowledged():
    with Gateway() as gateway:
        gateway.start()
        ledger = os.path.join(gateway.folder, "ledger")
        sim = gateway.sim_start("--rate", "3000", "--meters", "1000", "--ledger", ledger, "--patience", "60s")
        wait_until("load is running", lambda: gateway.status()["received"] > 2000)
        assert gateway.stop(seconds=10) == 0, gateway.log_tail()
        gateway.start()
        sim.send_signal(signal.SIGTERM)
        sim.communicate(timeout=30)
        gateway.settled()
        acknowledged = [line.split("\t") for line in open(ledger, encoding="utf-8") if line.startswith("ACK")]
        needs_reader()
        stored = {tuple(row) for row in gateway.rows("select vendor, device, epoch_ms(ts) from parquet")}
        missing = [line for line in acknowledged if (line[2], line[3], int(line[4])) not in stored]
        assert acknowledged and not missing, f"{len(missing)} of {len(acknowledged)} lost, for example {missing[:3]}"


def test_sigterm_exits_0_while_a_client_sends_nothing():
    with Gateway() as gateway:
        gateway.start()
        sim = gateway.sim_start("--meters", "1", "--interval", "1d", "--begin", "2026-01-01T00:00:00Z", "--rate", "0.001")
        wait_until("it is connected", lambda: gateway.status()["mqtt"]["connections"] >= 50)
        assert gateway.stop(seconds=11) == 0
        sim.kill()
        sim.communicate()


def test_who_follows_the_readings_does_not_hold_up_the_end():
    with Gateway() as gateway:
        gateway.start()
        with socket.create_connection(("127.0.0.1", gateway.admin_port)) as follower:
            follower.sendall(b"GET /tail?wait=20000 HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_until("its request is heard", lambda: gateway.status()["ready"])
            assert gateway.stop(seconds=4) == 0, gateway.log_tail()  # sooner than the wait that it asked for


def test_a_second_process_is_refused_and_told_why():
    with Gateway() as gateway:
        gateway.start()
        port = lib.free_port()
        second = subprocess.run([lib.PROGRAM, "run", "--data", gateway.data, "--listen", f"127.0.0.1:{port}",
                                 "--admin", f"127.0.0.1:{lib.free_port()}"], capture_output=True, timeout=30)
        assert second.returncode not in (0, None), "a second process was let in"
        assert str(gateway.process.pid).encode() in second.stderr, second.stderr
        gateway.publish("v1/aqua/1/json", b'{"level": 1}', "-q", "1")
        gateway.settled(messages=1)


def test_a_port_that_is_taken_is_told():
    with Gateway() as gateway:
        gateway.start()
        other = subprocess.run([lib.PROGRAM, "run", "--data", os.path.join(gateway.folder, "other"),
                                "--listen", f"127.0.0.1:{gateway.admin_port}",
                                "--admin", f"127.0.0.1:{lib.free_port()}"], capture_output=True, timeout=30)
        assert other.returncode != 0
        assert str(gateway.admin_port).encode() in other.stderr, other.stderr


def test_a_restart_keeps_everything_and_adds_nothing():
    needs_reader()
    with Gateway() as gateway:
        gateway.start()
        gateway.sim("--count", "3000", "--rate", "max", "--meters", "500")
        before = gateway.settled(messages=3000)
        # Whole numbers: a sum of doubles depends on the order of the files.
        question = "select count(*), count(distinct seq), sum(round(value * 1000)::bigint)::varchar, max(seq) from parquet"
        rows = gateway.rows(question)
        assert gateway.stop() == 0
        gateway.start()
        after = gateway.settled(messages=3000)
        assert after["received"] == before["received"] == 3000
        assert after["gateway"] == before["gateway"]
        assert gateway.rows(question) == rows
        gateway.sim("--count", "10", "--rate", "max", "--seed", "2")
        gateway.settled(messages=3010)
        assert gateway.rows("select max(seq), count(distinct seq) from parquet") == [[3010, 3010]]


def identity_holds(metrics):
    name = "tidegate_messages_"
    received = metrics[name + "received_total"]
    parts = {part: metrics[name + part] for part in
             ("decoded_total", "dead_total", "quarantined_total", "undecoded")}
    return received == sum(parts.values()), f"received {received}, {parts}"


def test_what_came_in_equals_what_went_out_in_the_metrics():
    with Gateway() as gateway:
        gateway.start()
        gateway.sim("--count", "5000", "--rate", "max", "--garbage", "30", "--duplicates", "20", "--late", "20")
        gateway.settled(messages=5000)
        holds, text = identity_holds(gateway.metrics())
        assert holds, text
        before = gateway.metrics()
        assert before["tidegate_messages_dead_total"] > 50, text
        gateway.kill()
        gateway.start()
        gateway.settled(messages=5000)
        holds, text = identity_holds(gateway.metrics())
        assert holds, f"after a restart: {text}"
        assert gateway.metrics()["tidegate_messages_dead_total"] == before["tidegate_messages_dead_total"]


def test_promtool_accepts_the_metrics():
    promtool = shutil.which("promtool")
    if not promtool:
        raise Skip("no promtool: deploy/setup --tests unpacks it from the package prometheus")
    with Gateway() as gateway:
        gateway.start()
        gateway.sim("--count", "100", "--rate", "max")
        gateway.settled(messages=100)
        code, text = gateway.get("/metrics")
        assert code == 200
        result = subprocess.run([promtool, "check", "metrics"], input=text.encode(), capture_output=True, timeout=30)
        assert result.returncode == 0, result.stderr.decode() + result.stdout.decode()
        assert not re.search(r'(device|meter|topic|client)="', text), "a label that has no bound"


CONFIG = """
data: {data}
anonymous: loopback
mqtt: {{listen: "127.0.0.1:{port}"}}
admin: {{listen: "127.0.0.1:{admin}"}}
routes:
  - {{topic: "v1/{{vendor}}/{{device}}/json", codec: json}}
sinks:
  - {{type: parquet, flush_age: 300ms}}
"""


def test_sighup_takes_a_new_route_and_refuses_a_bad_configuration_whole():
    with Gateway(config=CONFIG) as gateway:
        gateway.start()
        gateway.publish("plant/9/up", b'{"level": 1}', "-q", "1")
        assert gateway.settled(messages=1)["dead"] == 1
        path = os.path.join(gateway.folder, "tidegate.yaml")
        text = open(path, encoding="utf-8").read()
        route = '  - {topic: "plant/{device}/up", codec: json, vendor: plant}\n'
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("sinks:", route + "vendors:\n  - {name: plant}\nsinks:"))
        gateway.process.send_signal(signal.SIGHUP)
        wait_until("the reload is counted", lambda: gateway.metrics()["tidegate_reloads_total"] == 1)
        text = open(path, encoding="utf-8").read()
        gateway.publish("plant/9/up", b'{"level": 2}', "-q", "1")
        status = gateway.settled(messages=2)
        assert (status["dead"], status["readings"]) == (1, 1), status
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("codec: json", "codec: jsno"))
        gateway.process.send_signal(signal.SIGHUP)
        wait_until("the refusal is counted", lambda: gateway.metrics()["tidegate_reload_failures_total"] == 1)
        gateway.publish("plant/9/up", b'{"level": 3}', "-q", "1")
        assert gateway.settled(messages=3)["readings"] == 2
        assert "jsno" in gateway.log()


def test_bad_configuration_exits_78_with_place_and_nearest_key():
    with Gateway(config=CONFIG.replace("anonymous:", "anonymus:")) as gateway:
        gateway.start(ready=False)
        assert gateway.process.wait(20) == 78, gateway.log()
        log = gateway.log()
        assert re.search(r"tidegate\.yaml:3:\d+", log) and "anonymous" in log, log


if __name__ == "__main__":
    lib.run(dict(globals()))
