#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Vendors with logins at the real program: what a wrong password hears and how long that takes, client ids of
other vendors, topics that are not theirs, a Receive Maximum that QoS 1 can pass.
"""
import base64
import hashlib
import os
import statistics
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mqtt_conformance as mqtt  # noqa: E402
from mqtt_conformance import V5, V311, Peer, connect, lib, publish  # noqa: E402

ITERATIONS = 4000  # so that the time of a hash is far above the noise
CONFIG = """
data: {data}
anonymous: refuse
mqtt: {{listen: "127.0.0.1:{port}", receive_max: 3}}
admin: {{listen: "127.0.0.1:{admin}"}}
login: {{lockout_after: 0, address_failures: 0, user_failures: 0}}  # guessing is what this does; see guards.py
vendors:
  - name: acme
    passwords: acme.txt
  - name: borealis
    passwords: borealis.txt
routes:
  - {{topic: "acme/{{device}}/up", codec: json, vendor: acme}}
  - {{topic: "b/{{device}}/up", codec: json, vendor: borealis}}
sinks:
  - {{type: discard}}
"""
SECRETS = {"acme": b"correct\x00horse", "borealis": b"battery"}


def password_line(user, secret):
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", secret, salt, ITERATIONS)
    return f"{user}:$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


def start():
    gateway = lib.Gateway(config=CONFIG)
    os.makedirs(gateway.folder, exist_ok=True)
    for user, secret in SECRETS.items():
        path = os.path.join(gateway.folder, user + ".txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write(password_line(user, secret))
        os.chmod(path, 0o600)
    gateway.start()
    mqtt.PORT, mqtt.ADMIN = gateway.port, f"127.0.0.1:{gateway.admin_port}"
    return gateway


def login(user, version=V5, **options):
    return dict(version=version, user=user, password=SECRETS[user], **options)


def refusal(version, **options):
    """The code of the CONNACK, and that nothing follows."""
    with Peer(version, data=connect(version, **options)) as peer:
        first, body = peer.read()
        assert first == 0x20, first
        assert peer.read() == (None, None)
        return body[1]


def test_row_22_password_with_nul_is_compared_whole():
    for version in (V311, V5):
        with Peer(**login("acme", version)) as peer:
            peer.alive()
        for wrong in (b"correct", b"correct\x00", b"correct\x00horsf", b"correct\x00horse\x00", b""):
            code = refusal(version, user="acme", password=wrong)
            assert code == (0x86 if version == V5 else 4), (wrong, code)


def test_row_28_wrong_password_and_unknown_user_hear_the_same():
    for version, wanted in ((V311, 4), (V5, 0x86)):
        assert refusal(version, user="acme", password="wrong") == wanted
        assert refusal(version, user="nobody", password="wrong") == wanted
        assert refusal(version, user="borealis", password=SECRETS["acme"]) == wanted
    assert refusal(V5) == 0x87 and refusal(V311) == 5  # nobody without a name


def test_row_28_wrong_password_and_unknown_user_take_the_same_time():
    def took(user):
        began = time.perf_counter()
        refusal(V5, user=user, password="wrong")
        return time.perf_counter() - began
    pairs = [(took("acme"), took(f"nobody-{i}")) for i in range(60)]
    known, unknown = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
    # Without the work for a user there is not, the second would be a small part of the first.
    assert 0.5 < unknown / known < 2, (known, unknown)


def test_row_25_client_ids_belong_to_their_vendor():
    kept = b"\x11\0\0\0\x3c"
    with Peer(**login("acme", client="meter-1", properties=kept)) as ours:
        with Peer(**login("borealis", client="meter-1", clean=False, properties=kept)) as theirs:
            assert theirs.connack[0] == 0, "another vendor's session"
            ours.alive()
            theirs.alive()
    with Peer(**login("acme", client="meter-1", clean=False, properties=kept)) as ours:
        assert ours.connack[0] == 1


def test_row_25_long_and_odd_client_ids():
    with Peer(**login("acme", client="c" * 1024)) as peer:
        peer.alive()
    with Peer(**login("acme", client="a/+/#/../\u00e9 ;--")) as peer:  # only a name: no path, no filter
        peer.alive()
    for version, wanted in ((V311, 2), (V5, 0x85)):
        assert refusal(version, client="c" * 1025, user="acme", password=SECRETS["acme"]) == wanted


def test_row_45_topic_of_another_vendor():
    with Peer(**login("acme")) as peer:
        peer.publish(topic="acme/17/up")
        peer.send(publish(topic="b/17/up", ident=2))
        peer.expect(mqtt.PUBACK, b"\x00\x02\x87")
        peer.send(publish(topic="b/17/up", qos=2, ident=3))
        peer.expect(mqtt.PUBREC, b"\x00\x03\x87")
        peer.send(publish(topic="b/17/up", qos=0))
        peer.alive()
    with Peer(**login("acme", V311)) as peer:
        peer.send(publish(V311, topic="b/17/up"))
        peer.expect_closed()
    assert refusal(V5, user="acme", password=SECRETS["acme"], will=("b/17/up", "x", 0, False, b"")) == 0x87


def test_row_44_receive_maximum_at_qos_1():
    burst = 200  # in one segment: all are parsed before the first is durable
    with Peer(**login("acme")) as peer:
        assert mqtt.connack_properties(peer.connack)[0x21] == 3
        peer.send(b"".join(publish(topic="acme/1/up", ident=i) for i in range(1, burst)))
        kinds = []
        while True:
            first, body = peer.read()
            if first is None:
                break
            kinds.append((first >> 4, body))
        assert kinds and kinds[-1] == (mqtt.DISCONNECT, b"\x93\x00") or kinds[-1] == (mqtt.DISCONNECT, b"\x93"), kinds
    with Peer(**login("acme", V311)) as peer:  # it was never told: it waits
        peer.send(b"".join(publish(V311, topic="acme/1/up", ident=i) for i in range(1, burst)))
        for i in range(1, burst):
            peer.expect(mqtt.PUBACK, struct.pack(">H", i))


def test_withdrawn_logins_are_disconnected():
    with Peer(**login("borealis")) as peer, Peer(**login("acme", client="stays")) as stays:
        with open(os.path.join(gateway.folder, "borealis.txt"), "w", encoding="utf-8") as file:
            file.write(password_line("borealis", b"changed"))
        gateway.process.send_signal(mqtt.lib.signal.SIGHUP)
        peer.expect_closed(0x98)
        stays.publish(topic="acme/1/up")


if __name__ == "__main__":
    gateway = start()
    try:
        lib.run(globals())
    finally:
        gateway.close()
