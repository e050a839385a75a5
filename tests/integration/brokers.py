#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Existing brokers: real mosquitto, real Paho workers, kill -9 of each (invariant 1; N16 of the faults that
the gateway must survive). What a publisher got a PUBACK for from the broker has to be in Parquet."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "fault")]
import gateway as lib  # noqa: E402
from gateway import Gateway, Skip, wait_until  # noqa: E402
import kill  # noqa: E402
from mosquitto import Mosquitto  # noqa: E402

BROKER = "  - {{{{name: {name}, url: \"{url}\", topics: [\"v1/#\"]{more}}}}}\n"


def config(*brokers):
    """A configuration with these entries: (name, url, more)."""
    return lib.embedded_text().replace("{", "{{").replace("}", "}}") + "brokers:\n" + "".join(
        BROKER.format(name=name, url=url, more=more).replace("{{{{", "{{").replace("}}}}", "}}")
        for name, url, more in brokers)


def one(mosquitto, more=""):
    return Gateway(config=config(("m", f"mqtt://127.0.0.1:{mosquitto.port}", more)))


def connected(gateway, count=1):
    told = lambda: gateway.status()["brokers"]  # noqa: E731
    try:
        wait_until("workers are connected", lambda: sum(bool(worker["mqtt"]) for worker in told()) >= count, 30)
    except AssertionError as error:
        raise AssertionError(f"{error}: {told()}\n{gateway.log_tail()}") from None


def load(mosquitto, folder, count, rate=3000):
    begin = time.strftime("%Y-%m-%dT00:00:00+08:00", time.gmtime(time.time() - 200 * 86400))
    return mosquitto.sim_start("--meters", "1000", "--rate", str(rate), "--count", str(count), "--begin", begin,
                               "--ledger", os.path.join(folder, "ledger.1"), "--patience", "90s", "--backoff",
                               "100ms", "--vendors", "aqua:json,huaxu:cjt188")


def ends_well(sim):
    out, err = sim.communicate(timeout=120)
    assert sim.returncode == 0, (out, err)
    return json.loads(out)


def nothing_lost(gateway, folder):
    if lib.reader_missing():
        raise Skip(lib.reader_missing())
    gateway.settled(90)
    found = kill.oracle(os.path.join(gateway.data, "parquet"), os.path.join(folder, "ledger"))
    bad = {name: found[name] for name in ("lost", "twice", "phantom", "wrong") if found[name]}
    assert not bad and found["acknowledged"], (bad, found)
    return found


def test_messages_come_with_either_protocol_and_keep_their_properties():
    with Mosquitto() as mosquitto, one(mosquitto) as gateway:
        gateway.start()
        connected(gateway)
        assert gateway.status()["brokers"][0]["mqtt"] == "5.0"
        mosquitto.publish("v1/acme/00012345/json", '{"volume.total": 12.5}')
        mosquitto.publish("v1/acme/00012346/json", '{"volume.total": 13.5}', "-V", "5", "-D", "publish",
                          "user-property", "a", "b", "-r")
        gateway.settled(30, 2)
        rows = [json.loads(line) for line in gateway.get("/tail?from=1")[1].splitlines()[1:]]
        assert [(row["vendor"], row["device"], row["value"]) for row in rows] == [
            ("acme", "00012345", 12.5), ("acme", "00012346", 13.5)], rows
        shown = gateway.verb("journal", "show", "--data", gateway.data, check=0).stdout.decode()
        assert "m-0" in shown, shown


def test_a_broker_of_3_1_1_is_served_with_it():
    """A relay that answers a CONNECT of MQTT 5 as brokers of 3.1.1 do: unacceptable protocol version."""
    with Mosquitto() as mosquitto, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        threading.Thread(target=relay_old, args=(listener, mosquitto.port), daemon=True).start()
        with Gateway(config=config(("old", f"mqtt://127.0.0.1:{listener.getsockname()[1]}", ""))) as gateway:
            gateway.start()
            connected(gateway)
            assert gateway.status()["brokers"][0]["mqtt"] == "3.1.1"
            mosquitto.publish("v1/acme/1/json", '{"volume.total": 1}')
            gateway.settled(30, 1)


def relay_old(listener, port):
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        first = client.recv(4096)
        if first[2:8] == b"\x00\x04MQTT" and first[8] == 5:
            client.sendall(bytes([0x20, 2, 0, 1]))
            client.close()
            continue
        server = socket.create_connection(("127.0.0.1", port))
        server.sendall(first)
        for a, b in ((client, server), (server, client)):
            threading.Thread(target=pipe, args=(a, b), daemon=True).start()


def pipe(source, target):
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def test_a_broker_that_is_down_is_waited_for_and_says_so():
    with Mosquitto() as mosquitto, one(mosquitto) as gateway:
        mosquitto.stop()
        gateway.start()
        wait_until("status says why", lambda: gateway.status()["brokers"][0]["why"], 30)
        gateway.publish("v1/acme/1/json", b'{"volume.total": 1}', "-q", "1")  # our own listener goes on
        gateway.settled(30, 1)
        mosquitto.start()
        connected(gateway)
        mosquitto.publish("v1/acme/2/json", '{"volume.total": 2}')
        gateway.settled(30, 2)


def test_killing_the_gateway_under_load_loses_nothing_and_stores_nothing_twice():
    with Mosquitto() as mosquitto, one(mosquitto) as gateway:
        gateway.start()
        connected(gateway)
        sim = load(mosquitto, gateway.folder, 24000)
        for pause in (0.7, 0.2, 1.1, 0.4):
            before = gateway.status()["received"]
            wait_until("load comes in", lambda: gateway.status()["received"] > before + 500, 30)
            time.sleep(pause)
            gateway.kill()
            gateway.start()
        ends_well(sim)
        found = nothing_lost(gateway, gateway.folder)
        assert found["acknowledged"] == 24000, found


def test_killing_a_worker_of_a_shared_subscription_loses_nothing():
    with Mosquitto() as mosquitto, one(mosquitto, ", workers: 2") as gateway:
        gateway.start()
        connected(gateway, 2)
        sim = load(mosquitto, gateway.folder, 15000)
        for turn in range(4):
            before = gateway.status()["received"]
            wait_until("load comes in", lambda: gateway.status()["received"] > before + 300, 60)
            pids = gateway.workers()
            assert pids, gateway.log_tail()
            os.kill(pids[turn % len(pids)], signal.SIGKILL)
        ends_well(sim)
        connected(gateway, 2)
        wait_until("all came", lambda: gateway.status()["received"] >= 15000, 60)
        nothing_lost(gateway, gateway.folder)
        status = gateway.status()["brokers"]
        assert sum(worker["restarts"] for worker in status) >= 3, status
        assert all(worker["messages"] for worker in status), ("one worker got nothing", status)


def test_a_broker_that_is_killed_gives_what_it_had_saved():
    with Mosquitto() as mosquitto, one(mosquitto) as gateway:
        gateway.start()
        connected(gateway)
        gateway.stop()
        ends_well(load(mosquitto, gateway.folder, 3000))
        mosquitto.save()
        mosquitto.kill()
        gateway.start()
        mosquitto.start()
        connected(gateway)
        wait_until("all came", lambda: gateway.status()["received"] >= 3000, 60)
        nothing_lost(gateway, gateway.folder)
        assert gateway.status()["brokers"][0]["sessions_lost"] == 0


def test_a_lost_session_is_told():
    with Mosquitto(persistence=False) as mosquitto, one(mosquitto) as gateway:
        gateway.start()
        connected(gateway)
        mosquitto.kill()
        wait_until("the loss of the connection is noticed", lambda: gateway.status()["brokers"][0]["why"], 30)
        mosquitto.start()
        connected(gateway)
        assert gateway.status()["brokers"][0]["sessions_lost"] == 1
        assert "broker_session_lost" in gateway.log()


def test_a_full_intake_file_makes_the_broker_wait():
    with Mosquitto() as mosquitto, one(mosquitto, ", intake_size: 4MiB") as gateway:
        gateway.start()
        connected(gateway)
        worker = gateway.workers()[0]
        gateway.process.send_signal(signal.SIGSTOP)  # takes nothing out of the file
        try:
            ends_well(load(mosquitto, gateway.folder, 40000, 20000))  # about 7 MB
            wait_until("the callback is held", lambda: intake_told(gateway, 48), 60)
            with open(f"/proc/{worker}/status", encoding="ascii") as file:
                memory = int(next(line for line in file if line.startswith("RssAnon")).split()[1])
            assert memory < 65536, f"the worker keeps {memory} kB"
        finally:
            gateway.process.send_signal(signal.SIGCONT)
        wait_until("all came", lambda: gateway.status()["received"] >= 40000, 90)
        nothing_lost(gateway, gateway.folder)
        assert gateway.status()["brokers"][0]["holds"] > 0


def test_what_a_removed_broker_left_is_taken_in():
    with Mosquitto() as mosquitto, one(mosquitto) as gateway:
        gateway.start()
        connected(gateway)
        worker = gateway.workers()[0]
        gateway.process.send_signal(signal.SIGSTOP)
        ends_well(load(mosquitto, gateway.folder, 500, 5000))
        # The worker has them all when the broker has nothing more in flight.
        wait_until("the worker has them", lambda: intake_messages(gateway) >= 500, 30)
        os.kill(worker, signal.SIGKILL)
        gateway.kill()
        gateway.config = config().replace("brokers:\n", "")
        gateway.start()
        wait_until("all came", lambda: gateway.status()["received"] >= 500, 30)
        nothing_lost(gateway, gateway.folder)


def intake_told(gateway, offset):
    """struct intake_worker, second page of the file: connected, connects, sessions_lost, messages, bytes, oversize, holds."""
    with open(os.path.join(gateway.data, "intake", "m-0.intake"), "rb") as file:
        file.seek(4096 + offset)
        return int.from_bytes(file.read(8), "little")


def intake_messages(gateway):
    return intake_told(gateway, 24)


GARBAGE = [b"\xff" * 4096, bytes([0x20, 0xff, 0xff, 0xff, 0x7f]), b"\x20\x03\x00\x00\x00" + b"\x30\xff\xff\xff\x7f",
           b"\x20\x03\x00\x00\x00" + b"\x90\x04\x00\x01\x00\x00" + b"\x36\x05\x00\xff\xff\xff\xff" * 100,
           b"\x20\x03\x00\x00\x00" + b"\xd0\x00" * 50000, b""]


def hostile(listener):
    number = 0
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            try:
                client.recv(4096)
                client.sendall(GARBAGE[number % len(GARBAGE)])
                client.settimeout(0.3)
                client.recv(4096)
            except OSError:
                pass
        number += 1


def test_a_hostile_broker_harms_nobody_else():
    with Mosquitto() as mosquitto, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        threading.Thread(target=hostile, args=(listener,), daemon=True).start()
        bad = f"mqtt://127.0.0.1:{listener.getsockname()[1]}"
        with Gateway(config=config(("bad", bad, ""), ("m", f"mqtt://127.0.0.1:{mosquitto.port}", ""))) as gateway:
            gateway.start()
            connected(gateway)
            sim = load(mosquitto, gateway.folder, 8000, 1500)
            ends_well(sim)
            wait_until("all came", lambda: gateway.status()["received"] >= 8000, 60)
            nothing_lost(gateway, gateway.folder)
            assert gateway.status()["brokers"][0]["messages"] == 0


def certificates(folder, name):
    """A CA and a server certificate for that DNS name."""
    run = lambda *command: subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: E731
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days",
        "2", "-subj", "/CN=test ca")
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj",
        f"/CN={name}")
    with open(os.path.join(folder, "san"), "w", encoding="ascii") as file:
        file.write(f"subjectAltName=DNS:{name}\n")
    run("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "server.pem", "-days", "2", "-extfile", "san")
    return tuple(os.path.join(folder, name) for name in ("ca.pem", "server.pem", "server.key"))


def over_tls(name):
    """mosquitto with a certificate for `name`; a gateway that connects to localhost."""
    folder = tempfile.mkdtemp(prefix="tidegate-tls-")
    files = certificates(folder, name)
    return folder, Mosquitto(tls=files), files[0]


def test_tls_works_with_the_right_host_name_only():
    for name, good in (("localhost", True), ("elsewhere.example", False)):
        folder, server, ca = over_tls(name)
        try:
            with server as mosquitto, Gateway(config=config(
                    ("m", f"mqtts://localhost:{mosquitto.port}", f", tls_ca_file: {ca}"))) as gateway:
                gateway.start()
                if good:
                    connected(gateway)
                    mosquitto.publish("v1/acme/1/json", '{"volume.total": 1}', "--cafile", ca, "-h", "localhost")
                    gateway.settled(30, 1)
                else:
                    wait_until("status says why", lambda: gateway.status()["brokers"][0]["why"], 30)
                    time.sleep(2)
                    assert not gateway.status()["brokers"][0]["mqtt"]
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def test_a_wrong_entry_is_refused_with_its_place():
    text = config(("m", "http://127.0.0.1:1", ", workers: 0"))
    with Gateway(config=text) as gateway:
        gateway.start(ready=False)
        assert gateway.process.wait(20) == 78
        assert "must begin with mqtt://" in gateway.log() and "workers" in gateway.log(), gateway.log()


if __name__ == "__main__":
    lib.run(dict(globals()))
