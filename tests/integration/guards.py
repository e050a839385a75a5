#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who guesses, sprays, floods or publishes where it may not, against the real program: what he hears, that it is
written down, and that those who are right do not feel it. Users are made with `tidegate vendor`.
"""
import glob
import json
import os
import pty
import signal
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mqtt_conformance as mqtt  # noqa: E402
from mqtt_conformance import V5, V311, Peer, connect, lib, publish  # noqa: E402

CONFIG = """
data: {data}
anonymous: refuse
mqtt:
  listen: "127.0.0.1:{port}"
  connect_timeout: 3s
  address_connections_max: 60
  address_unnamed_max: 20
  login_queue: 8
  topic_alias_max: 4
admin: {{listen: "127.0.0.1:{admin}"}}
login: {{lockout_after: 3, lockout_max: 4s, address_failures: 0, user_failures: 0}}
vendors:
  - {{name: acme, passwords: acme.txt, connections: 6, payload: 100, topic_levels: 4}}
  - {{name: borealis, passwords: borealis.txt}}
  - {{name: certified}}
routes:
  - {{topic: "acme/#", codec: json, vendor: acme}}
  - {{topic: "b/{{device}}/up", codec: json, vendor: borealis}}
sinks:
  - {{type: discard}}
"""
PASSWORD = b"correct horse"


def start():
    it = lib.Gateway(config=CONFIG)
    os.makedirs(it.folder, exist_ok=True)
    it.yaml = os.path.join(it.folder, "tidegate.yaml")
    with open(it.yaml, "w", encoding="utf-8") as file:
        file.write(CONFIG.format(data=it.data, port=it.port, admin=it.admin_port))
    secret = os.path.join(it.folder, "secret")
    with open(secret, "wb") as file:
        file.write(PASSWORD + b"\n")
    os.chmod(secret, 0o600)

    def vendor(action, *arguments, check=0):
        return it.verb("vendor", action, *arguments, "--config", it.yaml, check=check).stdout.decode()
    it.vendor = vendor
    it.secret = secret
    vendor("add", "acme", "--password-file", secret)
    vendor("add", "acme", "bound", "--password-file", secret, "--client", "m-*", "--topics", "acme/1/up,acme/2/#")
    it.generated = vendor("add", "borealis", "--generate").strip().encode()
    it.start()
    mqtt.PORT, mqtt.ADMIN = it.port, f"127.0.0.1:{it.admin_port}"
    return it


def reload():
    before = gateway.log().count(" reloaded ") + gateway.log().count("reload_failed")
    gateway.process.send_signal(signal.SIGHUP)
    lib.wait_until("the reload is told", lambda: gateway.log().count(" reloaded ")
                   + gateway.log().count("reload_failed") > before)


def acme(**options):
    return dict(dict(user="acme", password=PASSWORD), **options)


def borealis(**options):
    return dict(dict(user="borealis", password=gateway.generated), **options)


def answer(version=V5, **options):
    """The code of the CONNACK; None when it was closed without one."""
    with Peer(version, data=connect(version, **options)) as peer:
        first, body = peer.read()
        return None if first is None else body[1]


def metric(name):
    return gateway.metrics().get(name, 0)


def audited(**wanted):
    """The first entry of the audit log with these members, once it is there."""
    def find():
        for path in sorted(glob.glob(os.path.join(gateway.data, "audit", "audit-*.jsonl"))):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    entry = json.loads(line)
                    if all(str(value) in str(entry.get(key, "")) for key, value in wanted.items()):
                        return entry
        return None
    return lib.wait_until(f"audited: {wanted}", find, 30)


def until(code, seconds=60, **options):
    lib.wait_until(f"the answer is {code:#x}", lambda: answer(**options) == code, seconds, every=0.3)


# The audit log writes 30 refusals a minute of one address: what looks there comes first.

def test_z3_topics_wills_and_aliases_are_asked_alike():
    refused = metric('tidegate_mqtt_rejected_total{reason="acl"}')
    with Peer(**acme(user="bound", client="m-1")) as peer:
        peer.publish(topic="acme/1/up")
        peer.publish(topic="acme/2/x")
        for ident, topic in enumerate(("acme/3/up", "acme/1/upx", "acme/1/up/", "/acme/1/up", "Acme/1/up", "acme/1",
                                       "b/1/up", "$share/acme/1/up", "$SYS/x"), 10):
            peer.send(publish(topic=topic, ident=ident))
            peer.expect(mqtt.PUBACK, struct.pack(">HB", ident, 0x87))
        peer.send(publish(topic="acme/3/up", ident=30, properties=mqtt.alias(1)))
        peer.expect(mqtt.PUBACK, struct.pack(">HB", 30, 0x87))
        peer.send(publish(topic="", ident=31, properties=mqtt.alias(1)))  # resolved, and asked again
        peer.expect(mqtt.PUBACK, struct.pack(">HB", 31, 0x87))
        peer.send(publish(topic="acme/3/up", ident=32, qos=1, flags=0x3))  # with retain
        peer.expect(mqtt.PUBACK, struct.pack(">HB", 32, 0x87))
        peer.send(publish(topic="acme/3/up", qos=0))
        peer.alive()
    with Peer(V311, **acme(user="bound", client="m-1")) as peer:
        peer.send(publish(V311, topic="acme/3/up"))
        peer.expect_closed()
    assert answer(**acme(user="bound", client="m-1", will=("acme/3/up", "x", 0, False, b""))) == 0x87
    assert metric('tidegate_mqtt_rejected_total{reason="acl"}') >= refused + 12
    entry = audited(what="publish", result="refused", who="bound", object="acme/3/up")
    assert entry["client"] == "m-1" and entry["from"].startswith("127.0.0.1"), entry


def test_a5_client_ids_are_those_of_the_user():
    assert answer(user="bound", password=PASSWORD, client="M-1") == 0x87
    assert answer(user="bound", password=PASSWORD, client="x-m-1") == 0x87
    assert answer(V311, user="bound", password=PASSWORD, client="x") == 5
    assert answer(user="bound", password=PASSWORD, client="m-") == 0
    audited(what="sign_in", who="bound", client="M-1", why="client id")


def test_a8_disabled_and_changed_users_are_disconnected_and_a_second_one_overlaps():
    gateway.vendor("add", "acme", "before", "--password-file", gateway.secret)
    reload()
    with Peer(**acme(user="before")) as old, Peer(**acme(user="bound", client="m-2")) as new:
        gateway.vendor("disable", "acme", "before")
        reload()
        old.expect_closed(0x98)
        new.publish(topic="acme/1/up")
        assert answer(**acme(user="before")) == 0x86, "as if he were not there"
    audited(what="sign_in", who="before", why="disabled")
    gateway.vendor("enable", "acme", "before")
    reload()
    with Peer(**acme(user="before")) as old:
        gateway.vendor("passwd", "acme", "before", "--generate")
        reload()
        old.expect_closed(0x98)
    audited(what="vendor", object="acme/before", why="vendor passwd")
    gateway.vendor("rm", "acme", "before")
    reload()


def test_a6_guessing_waits_longer_each_time_and_is_written_down():
    with Peer(**borealis(client="known")) as known:
        for user in ("acme", "nobody"):  # the same for those that there are not
            codes = [answer(user=user, password=b"guess-%d" % i) for i in range(3)]
            assert codes == [0x86] * 3, codes
            began = time.monotonic()
            assert answer(user=user, password=b"guess") == 0x9f
            assert answer(V311, user=user, password=b"guess") == 3
            if user == "acme":
                assert answer(**acme()) == 0x9f, "the right one, too: nothing is learned meanwhile"
            until(0x86, user=user, password=b"guess")  # the fourth failure: now two seconds
            first = time.monotonic() - began
            began = time.monotonic()
            assert answer(user=user, password=b"guess") == 0x9f
            until(0x86, user=user, password=b"guess")
            assert time.monotonic() - began > 1.5 > 0.5 < first
        with Peer(**borealis()) as peer:  # from the same address
            peer.publish(topic="b/1/up")
        known.publish(topic="b/1/up")
    audited(what="sign_in", result="refused", who="nobody", why="wrong password")
    audited(what="sign_in", result="refused", who="acme", why="locked out")
    assert metric('tidegate_lockouts_total{by="user_and_address"}') >= 4
    until(0, **acme())
    audited(what="sign_in", result="ok", who="acme")
    assert b"guess" not in gateway.log().encode()


def test_right_passwords_are_hashed_once_and_then_remembered():
    hashed = metric('tidegate_logins_total{result="hashed"}')
    for _ in range(20):
        for options in (acme(), borealis(), acme(user="bound", client="m-1")):
            with Peer(**options) as peer:
                peer.alive()
    assert metric('tidegate_logins_total{result="hashed"}') - hashed <= 3
    reload()
    before = metric('tidegate_logins_total{result="hashed"}')
    with Peer(**acme()) as peer:
        peer.alive()
    assert metric('tidegate_logins_total{result="hashed"}') == before, "a reload keeps what it may"


def test_packets_behind_connect_wait_for_the_password_and_are_then_taken():
    gateway.vendor("add", "borealis", "eager", "--password-file", gateway.secret)
    reload()
    data = connect(user="eager", password=PASSWORD) + publish(topic="b/1/up", payload=b"{}", ident=7)
    with Peer(data=data) as peer:
        assert peer.read()[1][1] == 0
        peer.expect(mqtt.PUBACK, struct.pack(">H", 7))
    received = metric('tidegate_mqtt_messages_total{qos="1"}')
    data = connect(user="eager", password=b"wrong") + publish(topic="b/1/up", payload=b"{}", ident=7)
    with Peer(data=data) as peer:  # [MQTT-3.1.4-6]
        assert peer.read()[1][1] == 0x86
        assert peer.read() == (None, None)
    assert metric('tidegate_mqtt_messages_total{qos="1"}') == received
    gateway.vendor("rm", "borealis", "eager")
    reload()


def test_a2_an_empty_or_broken_file_changes_nothing():
    path = os.path.join(gateway.folder, "acme.txt")
    with open(path, "rb") as file:
        good = file.read()
    for bad in (b"", b"# nobody\n", b"acme:secret\n", good + b"\xff\x00\n", good[:-20]):
        with open(path, "wb") as file:
            file.write(bad)
        failures = gateway.log().count("reload_failed")
        reload()
        assert gateway.log().count("reload_failed") == failures + 1, bad
        assert answer(user="nobody-else", password=b"") in (0x86, 0x9f)
        with Peer(**acme()) as peer:
            peer.publish(topic="acme/1/up")
    with open(path, "wb") as file:
        file.write(good)
    reload()
    assert "secret" not in gateway.log()


def test_a3_a_password_or_a_user_alone_is_no_login():
    assert answer(user="acme") == 0x86
    assert answer(password=PASSWORD) == 0x86
    assert answer() == 0x87 and answer(V311) == 5
    assert answer(user="", password=b"") == 0x86
    assert answer(user="certified", password=b"") in (0x86, 0x9f)


def test_z5_changed_topics_hold_for_who_is_connected():
    with Peer(**acme(user="bound", client="m-1")) as peer:
        peer.publish(topic="acme/1/up")
        gateway.vendor("bind", "acme", "bound", "--client", "m-*", "--topics", "acme/2/#")
        reload()
        peer.send(publish(topic="acme/1/up", ident=2))
        peer.expect(mqtt.PUBACK, struct.pack(">HB", 2, 0x87))
        peer.publish(topic="acme/2/up")
        gateway.vendor("bind", "acme", "bound", "--client", "n-*")
        reload()
        peer.expect_closed(0x98)
    gateway.vendor("bind", "acme", "bound", "--client", "m-*", "--topics", "acme/1/up,acme/2/#")
    reload()


def test_check_says_what_the_gateway_does():
    for topic, user, client, code in (("acme/1/up", "bound", "m-1", 0), ("acme/3/up", "bound", "m-1", 1),
                                      ("acme/1/up", "bound", "x", 1), ("b/1/up", "acme", "m-1", 1),
                                      ("acme/a/b/c/d", "acme", "x", 1), ("acme/a/b", "acme", "x", 0)):
        said = gateway.verb("check", "--config", gateway.yaml, "--vendor", "acme", "--user", user, "--client", client,
                            "--topic", topic, check=code).stdout.decode()
        assert said.endswith("allowed\n" if code == 0 else "denied\n"), said
        if client == "x" and user == "bound":
            continue
        with Peer(**acme(user=user, client=client)) as peer:
            peer.send(publish(topic=topic, ident=9))
            kind, body = peer.read()
            assert kind >> 4 == mqtt.PUBACK and (len(body) == 2 or body[2] == 0) == (code == 0), (topic, body)


def test_quotas_of_a_vendor_are_refused_for_good():
    with Peer(**acme()) as peer:
        peer.send(publish(topic="acme/1/up", payload=b"x" * 100, ident=1))
        peer.expect(mqtt.PUBACK, struct.pack(">H", 1))
        peer.send(publish(topic="acme/1/up", payload=b"x" * 101, ident=2))
        peer.expect(mqtt.PUBACK, struct.pack(">HB", 2, 0x97))
        peer.send(publish(topic="acme/1/2/3", ident=3))
        peer.expect(mqtt.PUBACK, struct.pack(">H", 3))
        peer.send(publish(topic="acme/1/2/3/4", ident=4))
        peer.expect(mqtt.PUBACK, struct.pack(">HB", 4, 0x90))
    assert answer(**acme(will=("acme/w", b"x" * 101, 0, False, b""))) == 0x97
    assert answer(**acme(will=("acme/1/2/3/4", b"x", 0, False, b""))) == 0x90
    with Peer(V311, **acme()) as peer:
        peer.send(publish(V311, topic="acme/1/up", payload=b"x" * 101))
        peer.expect_closed()
    with Peer(**borealis()) as peer:
        peer.send(publish(topic="b/1/up", payload=b"x" * 5000, ident=1))
        peer.expect(mqtt.PUBACK, struct.pack(">H", 1))
    assert metric('tidegate_mqtt_rejected_total{reason="payload"}') == 2
    assert metric('tidegate_mqtt_rejected_total{reason="levels"}') >= 1


def test_connections_of_a_vendor_are_bounded_and_take_over_is_none_more():
    lib.wait_until("nobody is left", lambda: metric('tidegate_vendor_connections{vendor="acme"}') == 0)
    peers = [Peer(**acme(client=f"c-{i}")) for i in range(6)]
    assert answer(**acme(client="c-6")) == 0x97
    assert answer(V311, **acme(client="c-6")) == 3
    with Peer(**acme(client="c-0")) as again:
        peers[0].expect_closed(0x8e)
        again.alive()
    with Peer(**borealis()) as peer:
        peer.alive()
    for peer in peers:
        peer.socket.close()
    until(0, **acme(client="c-6"))
    assert metric('tidegate_mqtt_closed_total{reason="vendor_max"}') == 2


def test_n2_silent_connections_of_one_address_leave_room():
    with Peer(**borealis(client="before")) as before:
        lib.wait_until("nobody is silent", lambda: metric("tidegate_mqtt_unnamed") == 0)
        silent = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(30)]
        lib.wait_until("ten are refused", lambda: metric('tidegate_mqtt_closed_total{reason="address_max"}') >= 10)
        assert metric("tidegate_mqtt_unnamed") <= 20
        before.publish(topic="b/1/up")
        other = socket.socket()  # another address is not their concern
        other.bind(("127.0.0.2", 0))
        other.settimeout(20)
        other.connect(("127.0.0.1", gateway.port))
        other.sendall(connect(**borealis(client="elsewhere")))
        assert other.recv(4)[3] == 0
        other.close()
        lib.wait_until("the silent ones are closed", lambda: metric("tidegate_mqtt_unnamed") == 0)  # connect_timeout
        for one in silent:
            one.close()
    until(0, **borealis())


def test_connections_of_one_address_are_bounded():
    lib.wait_until("nobody is left", lambda: metric("tidegate_mqtt_connections") == 0)
    refused = metric('tidegate_mqtt_closed_total{reason="address_max"}')
    peers = [Peer(**borealis(client=f"a-{i}")) for i in range(60)]
    with Peer(data=connect(**borealis(client="a-60"))) as peer:
        assert peer.read() == (None, None)
    assert metric('tidegate_mqtt_closed_total{reason="address_max"}') == refused + 1
    assert metric("tidegate_mqtt_addresses") == 1
    for peer in peers:
        peer.socket.close()
    lib.wait_until("their places are free", lambda: metric("tidegate_mqtt_addresses") == 0)


def test_a7_wrong_passwords_in_masses_are_turned_away_and_publishers_go_on():
    stop, worst, count = threading.Event(), [0.0], [0]

    def steady():
        with Peer(**borealis(client="steady")) as peer:
            ident = 0
            while not stop.is_set():
                ident = ident % 1000 + 1
                began = time.monotonic()
                peer.send(publish(topic="b/1/up", ident=ident))
                peer.expect(mqtt.PUBACK, struct.pack(">H", ident))
                worst[0] = max(worst[0], time.monotonic() - began)
                count[0] += 1
    thread = threading.Thread(target=steady)
    thread.start()
    codes = {}
    for _ in range(6):
        peers = [Peer(data=connect(user=f"spray-{os.urandom(4).hex()}", password=b"x")) for _ in range(18)]
        for peer in peers:
            first, body = peer.read()
            code = None if first is None else body[1]
            codes[code] = codes.get(code, 0) + 1
            peer.socket.close()
    stop.set()
    thread.join()
    print(f"     {codes}, {count[0]} messages beside it, worst PUBACK {worst[0] * 1000:.0f} ms")
    assert set(codes) <= {0x86, 0x89, None} and codes.get(0x86) and codes.get(0x89), codes
    assert metric("tidegate_mqtt_logins_busy_total") > 0
    assert count[0] > 0 and worst[0] < 20, "the storm starved it"
    lib.wait_until("nobody waits", lambda: metric("tidegate_mqtt_logins_waiting") == 0)


def typed(*lines):
    """`vendor add` at a terminal: what is typed at each prompt. Its exit code and all that the terminal showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(lib.PROGRAM, [lib.PROGRAM, "vendor", "add", "borealis", "typed", "--config", gateway.yaml])
    shown = b""

    def read():
        try:
            return os.read(terminal, 1000)
        except OSError:  # the other side is gone
            return b""
    for prompt, line in zip((b"Password: ", b"Again: "), lines):
        while prompt not in shown:
            more = read()
            assert more, shown
            shown += more
        os.write(terminal, line + b"\n")
    while more := read():
        shown += more
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def test_a_password_is_asked_for_twice_and_not_shown():
    code, shown = typed(b"typed-one", b"typed-two")
    assert code == 1 and b"differ" in shown and b"typed-" not in shown, shown
    code, shown = typed(b"typed-one", b"typed-one")
    assert code == 0 and b"typed-" not in shown, shown
    reload()
    with Peer(user="typed", password=b"typed-one") as peer:
        peer.publish(topic="b/1/up")
    result = gateway.verb("vendor", "add", "borealis", "typed", "--config", gateway.yaml, "--generate", check=1)
    assert b"already" in result.stderr and not result.stdout


def test_passwords_stand_nowhere():
    gateway.stop()
    for folder, _, names in os.walk(gateway.data):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                content = file.read()
            assert PASSWORD not in content and gateway.generated not in content, name
    log = gateway.log().encode()
    assert PASSWORD not in log and gateway.generated not in log


if __name__ == "__main__":
    gateway = start()
    try:
        lib.run(globals())
    finally:
        gateway.close()
