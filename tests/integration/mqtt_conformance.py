#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The listener against malformed, forbidden and odd packets, by raw sockets: what it answers, that it
closes where it must, and that nothing of a refused packet is stored. Clause numbers are those of MQTT 5.0
unless 3.1.1 is named.

TIDEGATE_PORT (and TIDEGATE_ADMIN, HOST:PORT or PORT, for the counters) name a running gateway that lets
anonymous clients of loopback in; without them one is started.
"""
import os
import socket
import struct
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402

V31, V311, V5 = 3, 4, 5
CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15
MALFORMED, PROTOCOL = 0x81, 0x82
PORT, ADMIN = None, None
stored = 0  # messages that the gateway acknowledged or took at QoS 0


# ---- packets out ----

def varint(value):
    out = b""
    while True:
        value, low = value >> 7, value & 0x7f
        out += bytes([low | (0x80 if value else 0)])
        if not value:
            return out


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(value)) + value


def packet(first, body):
    return bytes([first]) + varint(len(body)) + body


def props(*items):
    body = b"".join(items)
    return varint(len(body)) + body


def connect(version=V5, client="conformance", clean=True, keep_alive=60, user=None, password=None, will=None,
            properties=b"", flags=None, name=None, level=None, tail=b""):
    """will: (topic, payload, qos, retain, properties)"""
    name = name if name is not None else ("MQIsdp" if version == V31 else "MQTT")
    bits = 2 if clean else 0
    payload = text(client)
    if will:
        bits |= 4 | will[2] << 3 | (0x20 if will[3] else 0)
        payload += (props(will[4]) if version == V5 else b"") + text(will[0]) + text(will[1])
    if user is not None:
        bits |= 0x80
        payload += text(user)
    if password is not None:
        bits |= 0x40
        payload += text(password)
    head = text(name) + bytes([version if level is None else level, bits if flags is None else flags])
    head += struct.pack(">H", keep_alive)
    if version == V5:
        head += props(properties)
    return packet(0x10, head + payload + tail)


def publish(version=V5, topic="conformance/t", payload=b"{}", qos=1, ident=1, properties=b"", flags=None):
    body = text(topic)
    if qos:
        body += struct.pack(">H", ident)
    if version == V5:
        body += props(properties)
    return packet(0x30 | (qos << 1 if flags is None else flags), body + payload)


def pubrel(ident):
    return packet(0x62, struct.pack(">H", ident))


def alias(number):
    return b"\x23" + struct.pack(">H", number)


def filters(kind, version=V5, ident=1, entries=(("a/b", 1),), properties=b"", flags=2):
    body = struct.pack(">H", ident) + (props(properties) if version == V5 else b"")
    for name, options in entries:
        body += text(name) + (bytes([options]) if kind == SUBSCRIBE else b"")
    return packet(kind << 4 | flags, body)


# ---- packets in ----

class Peer:
    def __init__(self, version=V5, data=None, expect=0, **options):
        self.version = version
        self.buffer = b""
        self.socket = socket.create_connection(("127.0.0.1", PORT), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ended = False
        if data is None:
            self.send(connect(version, **options))
            kind, self.connack = self.read()
            assert kind >> 4 == CONNACK and self.connack[1] == expect, (hex(kind), self.connack)
        else:
            self.send(data)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # closed already: what it said can still be read

    def fill(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.ended = self.ended or not data
        self.buffer += data
        return bool(data)

    def read(self):
        """First byte and body of the next packet, or (None, None) at the end."""
        while True:
            length, shift, at = 0, 0, 1
            while at < len(self.buffer):
                byte = self.buffer[at]
                length |= (byte & 0x7f) << shift
                shift, at = shift + 7, at + 1
                if not byte & 0x80:
                    if len(self.buffer) >= at + length:
                        first, body = self.buffer[0], self.buffer[at:at + length]
                        self.buffer = self.buffer[at + length:]
                        return first, body
                    break
            if not self.fill():
                return None, None

    def expect(self, kind, body=None):
        first, got = self.read()
        assert first is not None, f"closed instead of packet {kind}"
        assert first >> 4 == kind, f"packet {first >> 4} {got.hex()} instead of {kind}"
        if body is not None:
            assert got == body, f"body {got.hex()}, not {body.hex()}"
        return got

    def expect_closed(self, codes=()):
        """Closed; in 5.0 after a DISCONNECT with one of these codes (none given: or without)."""
        codes = (codes,) if isinstance(codes, int) else codes
        first, body = self.read()
        if first is not None and first >> 4 == DISCONNECT:
            assert self.version == V5, "a DISCONNECT to an older client"
            assert not codes or body[0] in codes, f"code {body[0]:#x}, not {[hex(c) for c in codes]}"
            first, body = self.read()
        else:
            assert self.version != V5 or not codes, f"no DISCONNECT but {first}"
        assert first is None, f"packet {first >> 4} {body.hex()} instead of the end"

    def alive(self):
        self.send(b"\xc0\x00")
        self.expect(PINGRESP, b"")

    def publish(self, qos=1, ident=1, **options):
        """Publishes and waits until it is durable."""
        global stored
        self.send(publish(self.version, qos=qos, ident=ident, **options))
        if qos == 1:
            self.expect(PUBACK, struct.pack(">H", ident))
        elif qos == 2:
            self.expect(PUBREC, struct.pack(">H", ident))
        else:
            self.alive()
        stored += 1


def refused(data, codes, versions=(V311, V5), first=None):
    """After a CONNECT (and `first`), these bytes end the connection."""
    for version in versions:
        with Peer(version) as peer:
            bad = data(version) if callable(data) else data
            peer.send((first or b"") + bad)
            peer.expect_closed(codes)


def refused_connect(data, connack=None, version=V5):
    """A first packet that is refused: `connack` the codes allowed, None for silence."""
    with Peer(version, data=data) as peer:
        first, body = peer.read()
        if connack is None or first is None:
            assert first is None, f"{first:#x} {body.hex()} instead of silence"
            assert connack is None or None in connack, "no CONNACK"
            return
        assert first == 0x20 and body[1] in connack, f"{first:#x} {body.hex()}"
        assert body[0] == 0, "session present with an error"  # [MQTT-3.2.2-6]
        assert peer.read() == (None, None)


def counter(name):
    if ADMIN is None:
        return None
    with urllib.request.urlopen(f"http://{ADMIN}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines
               if line.split("{")[0].split(" ")[0] == name)


def counted(test):
    """Nothing but what the test saw accepted is stored."""
    def run():
        names = ("tidegate_mqtt_messages_total", "tidegate_mqtt_wills_total")
        before, known = [counter(name) for name in names], stored
        test()
        if before[0] is not None:
            lib.wait_until("the stored messages are those accepted",
                           lambda: counter(names[0]) - before[0] == stored - known, 3)
    run.__name__ = test.__name__
    return run


# ---- 3.1 framing, strings, integers ----

def test_row_01_wrong_type_or_flags_is_malformed():
    for version in (V311, V5):
        for kind in (0, 1, 3, 4, 5, 6, 7, 8, 10, 12, 14, 15):
            for flags in range(16):
                right = {6: 2, 8: 2, 10: 2}.get(kind, 0)
                if kind == PUBLISH and flags & 6 != 6 and not (flags & 8 and not flags & 6):
                    continue
                if kind == 15 and version == V311:
                    right = -1
                if kind not in (0, PUBLISH) and flags == right:
                    continue
                with Peer(version) as peer:
                    peer.send(bytes([kind << 4 | flags, 2, 0, 1]))
                    peer.expect_closed(MALFORMED)


def test_row_02_length_of_five_bytes_is_malformed():
    refused(b"\x30\xff\xff\xff\xff\x7f", MALFORMED)


def test_row_03_lengths_are_as_short_as_possible():
    refused(b"\x30\x89\x00" + text("a/b") + b"\x00\x00\x00\x00", MALFORMED, versions=(V5,))  # [MQTT-1.5.5-1]
    bad = struct.pack(">H", 1) + b"\x80\x00" + text("a/b") + b"\x00"
    refused(packet(0x82, bad), MALFORMED, versions=(V5,))
    bad = struct.pack(">H", 1) + b"\x04\x0b\x81\x80\x00" + text("a/b") + b"\x00"
    refused(packet(0x82, bad), MALFORMED, versions=(V5,))


def test_row_04_announced_length_beyond_the_limit_is_refused_at_once():
    refused(b"\x30\xff\xff\xff\x7f", 0x95)


def test_row_05_first_packet_must_be_connect():
    for kind in range(2, 16):
        refused_connect(bytes([kind << 4, 2, 0, 1]))
        refused_connect(bytes([kind << 4, 0xff, 0xff, 0xff, 0x7f]) + b"x" * 1000)


def test_row_06_packet_of_the_largest_size_is_taken_and_one_more_is_not():
    global stored
    limit = 1 << 20
    for version in (V311, V5):
        bare = len(publish(version, payload=b"")) + 2  # the length takes three bytes, not one
        with Peer(version) as peer:
            peer.publish(payload=b"x" * (limit - bare))
        with Peer(version) as peer:
            peer.send(publish(version, payload=b"x" * (limit - bare + 1)))
            peer.expect_closed(0x95)


def test_row_07_a_client_that_takes_no_connack_is_closed():
    refused_connect(connect(properties=b"\x27" + struct.pack(">I", 2)))


def test_row_07_suback_beyond_the_clients_maximum_closes():
    with Peer(properties=b"\x27" + struct.pack(">I", 40)) as peer:
        peer.send(filters(SUBSCRIBE, entries=[(f"a/{i}", 0) for i in range(60)]))
        peer.expect_closed()


def test_row_08_connect_cut_at_every_byte_is_malformed():
    whole = connect(client="c", user="u", password="p", will=("w/t", "gone", 1, False, b""))
    body = whole[2:]
    for size in range(len(body)):
        refused_connect(packet(0x10, body[:size]), (MALFORMED, PROTOCOL, None))


def test_row_08_fields_that_run_past_the_end_are_malformed():
    def cut(version):
        return packet(0x32, b"\x00\x09ab")
    refused(cut, MALFORMED)
    refused(packet(0x32, text("a/b")), MALFORMED)  # no packet id
    refused(packet(0x32, text("a/b") + b"\x00\x01" + b"\x05\x01"), MALFORMED, versions=(V5,))
    refused(packet(0x40, b"\x01"), MALFORMED)
    refused(packet(0x82, b"\x00\x01" + b"\x00\x09a"), MALFORMED, versions=(V311,))


def test_row_09_trailing_bytes_are_malformed():
    refused_connect(connect(tail=b"x"), (MALFORMED,))
    refused_connect(connect(V311, tail=b"x"), version=V311)
    refused(b"\xc0\x01x", MALFORMED)
    refused(b"\xe0\x01\x00", (), versions=(V311,))
    refused(b"\x40\x03\x00\x01\x00", (), versions=(V311,))
    refused(b"\x40\x05\x00\x01\x00\x00x", MALFORMED, versions=(V5,))


ILL_FORMED = [b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf5\x80\x80\x80", b"\x80", b"\xc3",
              b"\xe2\x82", b"\xf4\x90\x80\x80", b"\xff", b"a\xfea"]


def test_row_10_ill_formed_utf8_is_malformed():
    for bad in ILL_FORMED:
        refused(lambda version, bad=bad: publish(version, topic=b"t/" + bad), MALFORMED)
        refused_connect(connect(client=b"c" + bad), (MALFORMED,))
        refused_connect(connect(user=bad, password="x"), (MALFORMED,))
        refused(lambda version, bad=bad: filters(SUBSCRIBE, version, entries=[(b"a" + bad, 0)]), MALFORMED)
        refused(publish(properties=b"\x26" + text(bad) + text("v")), MALFORMED, versions=(V5,))


def test_row_11_nul_in_a_string_is_malformed():
    refused(lambda version: publish(version, topic=b"a\x00b"), MALFORMED)
    refused_connect(connect(client=b"a\x00"), (MALFORMED,))


def test_row_12_control_and_non_characters_are_malformed():
    for bad in ("\x01", "\x1f", "\x7f", "\x9f", "\ufffe", "\uffff", "\ufdd0", "\U0001ffff"):
        refused(lambda version, bad=bad: publish(version, topic="a/" + bad), MALFORMED)


def test_row_13_byte_order_mark_is_a_character():
    for version in (V311, V5):
        with Peer(version) as peer:
            peer.publish(topic="\ufeffa/b")


def test_row_14_long_and_empty_strings():
    for version in (V311, V5):
        with Peer(version) as peer:
            peer.publish(topic="t" * 65535)
            peer.publish(topic="t/" + "u" * 60000, payload=b"")
    refused_connect(connect(client="c" * 65535), (0x85,))
    refused_connect(connect(V311, client="c" * 65535), (2,), version=V311)


def test_row_15_packets_of_a_server_are_a_protocol_error():
    for kind in (CONNACK, SUBACK, UNSUBACK, PINGRESP):
        for body in (b"", b"\x00\x00", b"\x00\x01\x00\x00"):
            refused(packet(kind << 4, body), PROTOCOL)


# ---- 3.2 CONNECT ----

def test_row_16_second_connect_is_a_protocol_error():
    refused(connect, PROTOCOL)


def test_row_17_wrong_protocol_name_closes():
    for name in ("MQTTX", "", "MQT", "mqtt", "MQTTT"):
        refused_connect(connect(name=name))
    refused_connect(connect(V311, name="MQIsdp"))
    refused_connect(connect(V31, name="MQTT"), (1,), version=V311)


def test_row_18_unknown_level_is_refused():
    for level in (0, 2, 3, 0x84):
        refused_connect(connect(V311, level=level), (1,), version=V311)
    for level in (6, 127, 255):
        refused_connect(connect(V311, level=level), (0x84, 1))


def test_row_19_reserved_flag_is_malformed():
    refused_connect(connect(flags=3), (MALFORMED,))
    refused_connect(connect(V311, flags=3), version=V311)


def test_row_20_wills_are_checked():
    for flags in (0x0a, 0x12, 0x22):  # QoS or retain without will
        refused_connect(connect(flags=flags), (MALFORMED,))
        refused_connect(connect(V311, flags=flags), version=V311)
    refused_connect(connect(will=("w", "x", 3, False, b"")), (MALFORMED,))
    refused_connect(connect(flags=6), (MALFORMED,))  # flag without topic and payload
    refused_connect(connect(will=("", "x", 0, False, b"")), (MALFORMED, PROTOCOL, 0x90))
    for topic in ("a/#", "+/a"):
        refused_connect(connect(will=(topic, "x", 0, False, b"")), (MALFORMED, 0x90))
        refused_connect(connect(V311, will=(topic, "x", 0, False, b"")), version=V311)
    refused_connect(connect(will=("$SYS/x", "x", 0, False, b"")), (0x87,))
    refused_connect(connect(V311, will=("$SYS/x", "x", 0, False, b"")), (5,), version=V311)


def test_row_21_user_and_password_flags_match_the_payload():
    refused_connect(connect(flags=0x82), (MALFORMED,))
    refused_connect(connect(flags=0xc2), (MALFORMED,))
    refused_connect(connect(user="u", flags=2), (MALFORMED,))
    refused_connect(connect(V311, password="p"), version=V311)


def test_row_23_empty_client_id_needs_a_clean_session():
    refused_connect(connect(V311, client="", clean=False), (2,), version=V311)
    with Peer(V311, client="") as peer:
        peer.alive()


def connack_properties(body):
    """5.0: number properties and the assigned id."""
    widths = {0x11: 4, 0x13: 2, 0x21: 2, 0x22: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x28: 1, 0x29: 1, 0x2a: 1}
    at, out = 3, {}
    assert body[2] == len(body) - 3, body.hex()
    while at < len(body):
        ident, at = body[at], at + 1
        if ident in widths:
            out[ident] = int.from_bytes(body[at:at + widths[ident]], "big")
            at += widths[ident]
        else:
            size = int.from_bytes(body[at:at + 2], "big")
            out[ident] = body[at + 2:at + 2 + size]
            at += 2 + size
    return out


def test_row_24_empty_client_id_is_assigned_a_unique_one():
    with Peer(client="") as one, Peer(client="") as two:
        first, second = (connack_properties(peer.connack)[0x12] for peer in (one, two))
        assert first and second and first != second
    with Peer() as peer:
        assert 0x12 not in connack_properties(peer.connack)


def test_row_26_second_connection_takes_over():
    for version in (V311, V5):
        for _ in range(20):
            with Peer(version, client="twice") as old:
                with Peer(version, client="twice") as new:
                    old.expect_closed(0x8e)
                    new.alive()


def test_row_26_take_over_storm_leaves_one_connection():
    peers = [Peer(data=connect(client="storm", properties=b"\x11\x00\x00\x00\x05")) for _ in range(60)]
    time.sleep(0.1)
    open_ones = 0
    for peer in peers:
        with peer:
            peer.send(b"\xc0\x00")
            kinds = []
            peer.socket.settimeout(5)
            while True:
                first, _ = peer.read()
                if first is None or first >> 4 == PINGRESP:
                    open_ones += first is not None
                    break
                kinds.append(first >> 4)
    assert open_ones == 1, open_ones


def test_row_27_what_follows_a_refused_connect_is_not_processed():
    refused_connect(connect(client=b"\xff") + publish(), (MALFORMED,))
    refused_connect(connect(V311, client="", clean=False) + publish(V311), (2,), version=V311)


def test_what_follows_an_accepted_connect_is_processed_in_order():
    global stored
    for clean, expiry in ((True, b""), (False, b"\x11\x00\x00\x00\x0a")):
        data = connect(client="pipelined", clean=clean, properties=expiry)
        with Peer(data=data + b"".join(publish(ident=i) for i in range(1, 11)) + b"\xc0\x00") as peer:
            assert peer.expect(CONNACK)[1] == 0
            got = []
            while len(got) < 11:
                first, body = peer.read()
                got.append(first >> 4 if first >> 4 == PINGRESP else body)
            assert [g for g in got if g != PINGRESP] == [struct.pack(">H", i) for i in range(1, 11)], got
            stored += 10


def test_row_29_properties_of_connect_are_checked():
    for good in (b"\x11\0\0\0\x01", b"\x21\0\x01", b"\x27\0\0\x40\0", b"\x22\0\x0a", b"\x19\x01", b"\x17\x00",
                 b"\x26" + text("k") + text("v"), b"\x26" + text("k") + text("v") * 1 + b"\x26" + text("k") + text("w")):
        with Peer(properties=good) as peer:
            peer.alive()
    for short in (b"\x11\0\0\0", b"\x21\0", b"\x27\0", b"\x22", b"\x19", b"\x17", b"\x26" + text("k"), b"\x15"):
        refused_connect(connect(properties=short), (MALFORMED,))
    for twice in (b"\x11\0\0\0\x01", b"\x21\0\x01", b"\x27\0\0\1\0", b"\x22\0\x0a", b"\x19\x01", b"\x17\x00"):
        refused_connect(connect(properties=twice * 2), (PROTOCOL,))
    for bad in (b"\x21\0\0", b"\x27\0\0\0\0", b"\x19\x02", b"\x17\x02"):
        refused_connect(connect(properties=bad), (PROTOCOL,))
    for foreign in (b"\x01\x00", b"\x02\0\0\0\1", b"\x03" + text("x"), b"\x08" + text("x"), b"\x09" + text("x"),
                    b"\x0b\x01", b"\x12" + text("x"), b"\x13\0\1", b"\x18\0\0\0\1", b"\x1a" + text("x"),
                    b"\x1c" + text("x"), b"\x1f" + text("x"), b"\x23\0\1", b"\x24\1", b"\x25\1", b"\x28\1", b"\x29\1",
                    b"\x2a\1", b"\x7f\1", b"\x00", b"\x80\x01\0"):
        refused_connect(connect(properties=foreign), (MALFORMED, PROTOCOL))
    refused_connect(connect(properties=(b"\x26" + text("k") + text("v")) * 5000), (0x97, 0x95, PROTOCOL))


def test_row_30_enhanced_authentication_is_refused():
    refused_connect(connect(properties=b"\x15" + text("SCRAM-SHA-1")), (0x8c,))
    refused_connect(connect(properties=b"\x16" + text("data")), (PROTOCOL,))
    refused(b"\xf0\x00", PROTOCOL, versions=(V5,))
    refused(b"\xf0\x02\x18\x00", PROTOCOL, versions=(V5,))
    refused(b"\xf1\x00", MALFORMED, versions=(V5,))
    refused(b"\xf0\x02\x55\x00", (MALFORMED, PROTOCOL), versions=(V5,))
    refused(b"\xf0\x00", (), versions=(V311,))


def test_row_31_keep_alive_is_enforced_and_told():
    began = time.monotonic()
    with Peer(keep_alive=1) as five, Peer(V311, client="other", keep_alive=1) as four:
        five.expect_closed(0x8d)
        four.expect_closed()
    assert 1.4 <= time.monotonic() - began <= 15, time.monotonic() - began
    with Peer(keep_alive=0) as peer:
        assert connack_properties(peer.connack)[0x13] == 65535


def test_row_32_other_protocols_are_closed_fast():
    for hello in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                  b"SSH-2.0-OpenSSH_9.2\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", b"\r\n\r\n"):
        began = time.monotonic()
        refused_connect(hello)
        assert time.monotonic() - began < 5  # not the deadline for a CONNECT


# ---- 3.3 PUBLISH ----

def test_row_33_qos_3_is_malformed():
    refused(lambda version: publish(version, qos=1, flags=6), MALFORMED)
    refused(lambda version: publish(version, qos=0, flags=6), MALFORMED)


def test_row_34_dup_with_qos_0_is_malformed():
    refused(lambda version: publish(version, qos=0, flags=8), MALFORMED)


def test_row_35_empty_topic_is_refused():
    refused(lambda version: publish(version, topic=""), (PROTOCOL, MALFORMED))


def test_row_36_wildcards_and_reserved_topics():
    for topic in ("a/+", "#", "a/#", "a+b"):
        refused(lambda version, topic=topic: publish(version, topic=topic), (MALFORMED, 0x90))
    for topic in ("$SYS/x", "$CONTROL/dynamic-security/v1", "$share/g/t"):
        refused(lambda version, topic=topic: publish(version, topic=topic), (), versions=(V311,))
        with Peer() as peer:
            peer.send(publish(topic=topic, ident=9))
            peer.expect(PUBACK, b"\x00\x09\x87")
            peer.send(publish(topic=topic, ident=10, qos=2))
            peer.expect(PUBREC, b"\x00\x0a\x87")
            peer.send(publish(topic=topic, qos=0))
            peer.alive()


def test_row_37_topic_of_slashes_is_refused():
    refused(lambda version: publish(version, topic="/" * 65535), (0x90, MALFORMED))


def test_row_38_packet_id_zero_is_a_protocol_error():
    refused(lambda version: publish(version, ident=0), PROTOCOL)
    refused(lambda version: publish(version, ident=0, qos=2), PROTOCOL)
    with Peer(V311) as peer:
        peer.publish(qos=0, payload=b"\x00\x01 this is payload")


def test_row_39_qos_2_and_retain_are_offered_and_taken():
    with Peer() as peer:
        offered = connack_properties(peer.connack)
        assert 0x24 not in offered and offered.get(0x25, 1) == 1, offered  # Maximum QoS, Retain Available
        for qos in (0, 1, 2):
            peer.publish(qos=qos, ident=1, flags=qos << 1 | 1)


def test_row_40_topic_aliases():
    maximum = None
    with Peer() as peer:
        maximum = connack_properties(peer.connack)[0x22]
        peer.publish(topic="al/one", properties=alias(1))
        peer.publish(topic="", properties=alias(1), ident=2)
        peer.publish(topic="al/two", properties=alias(1), ident=3)
        peer.publish(topic="", properties=alias(1), ident=4)
        peer.publish(topic="al/last", properties=alias(maximum), ident=5)
    assert maximum > 0
    refused(publish(properties=alias(0)), 0x94, versions=(V5,))
    refused(publish(properties=alias(maximum + 1)), 0x94, versions=(V5,))
    refused(publish(topic="", properties=alias(1)), PROTOCOL, versions=(V5,))  # and not known from before
    refused(publish(properties=alias(1) * 2), PROTOCOL, versions=(V5,))


def test_row_41_subscription_identifier_is_a_protocol_error():
    refused(publish(properties=b"\x0b\x01"), PROTOCOL, versions=(V5,))


def test_row_42_payload_format_is_zero_or_one():
    refused(publish(properties=b"\x01\x02"), PROTOCOL, versions=(V5,))
    refused(publish(properties=b"\x01\x01\x01\x01"), PROTOCOL, versions=(V5,))
    with Peer() as peer:
        peer.publish(properties=b"\x01\x01", payload="grün".encode())


def test_row_43_properties_of_publish_are_checked():
    for bad, codes in ((b"\x08" + text("a/#"), (PROTOCOL, MALFORMED)), (b"\x08" + text(""), (PROTOCOL, MALFORMED)),
                       (b"\x02\0\0\0\1" * 2, PROTOCOL), (b"\x03" + text(b"\xff"), MALFORMED),
                       (b"\x03" + text("x") + b"\x03" + text("x"), PROTOCOL), (b"\x09\x00\x09x", MALFORMED),
                       (b"\x11\0\0\0\1", (MALFORMED, PROTOCOL)), (b"\x7f", MALFORMED)):
        refused(publish(properties=bad), codes, versions=(V5,))
    with Peer() as peer:
        peer.publish(properties=b"\x02\0\0\0\1\x03" + text("text/plain") + b"\x08" + text("r/t") + b"\x09" +
                     text(b"\x00\xff") + (b"\x26" + text("k") + text("v")) * 3)


def test_row_46_empty_payload_and_retain_are_legal():
    for version in (V311, V5):
        with Peer(version) as peer:
            peer.publish(payload=b"", flags=3)
            peer.publish(payload=b"", qos=0)


def test_row_47_qos_2_is_stored_once():
    for version in (V311, V5):
        with Peer(version) as peer:
            peer.publish(qos=2, ident=7)
            for _ in range(3):
                peer.send(publish(version, qos=2, ident=7, flags=0x0c))
                peer.expect(PUBREC, b"\x00\x07")
            peer.send(pubrel(7))
            peer.expect(PUBCOMP, b"\x00\x07")
            peer.send(pubrel(7))
            body = peer.expect(PUBCOMP)
            assert body in (b"\x00\x07", b"\x00\x07\x92")
            peer.publish(qos=2, ident=7)  # a new message


def test_row_47_qos_2_survives_the_connection():
    for version in (V311, V5):
        session = dict(client=f"qos2-{version}", clean=False)
        if version == V5:
            session["properties"] = b"\x11\x00\x00\x00\x3c"
        with Peer(version, client=session["client"]):
            pass  # ends what an earlier run left
        with Peer(version, **session) as peer:
            assert peer.connack[0] == 0
            peer.publish(qos=2, ident=21)
        with Peer(version, **session) as peer:
            assert peer.connack[0] == 1, "session present"
            peer.send(publish(version, qos=2, ident=21, flags=0x0c))
            peer.expect(PUBREC, b"\x00\x15")
            peer.send(pubrel(21))
            peer.expect(PUBCOMP, b"\x00\x15")
        with Peer(version, client=session["client"]) as peer:
            assert peer.connack[0] == 0, "clean start"
        with Peer(version, **session) as peer:
            assert peer.connack[0] == 0, "the clean session ended it"


# ---- 3.4 acknowledgements, SUBSCRIBE, PING, DISCONNECT ----

def test_row_48_acks_nobody_asked_for_are_passed_over():
    for version in (V311, V5):
        with Peer(version) as peer:
            for kind in (PUBACK, PUBREC, PUBCOMP):
                peer.send(packet(kind << 4, b"\x00\x05"))
            if version == V5:
                peer.send(packet(PUBACK << 4, b"\x00\x05\x10"))
                peer.send(packet(PUBACK << 4, b"\x00\x05\x80\x06\x1f" + text("why")))
            peer.alive()
    refused(packet(PUBACK << 4, b"\x00\x00"), PROTOCOL)
    refused(packet(PUBACK << 4, b"\x00\x01\x55"), (PROTOCOL, MALFORMED), versions=(V5,))
    refused(packet(PUBACK << 4, b"\x00\x01\x00\x02\x1f\x00"), MALFORMED, versions=(V5,))
    refused(packet(PUBACK << 4, b"\x00\x01\x00\x0a" + (b"\x1f" + text("a")) * 2 + b"\0\0"), (PROTOCOL, MALFORMED),
            versions=(V5,))
    refused(packet(PUBACK << 4, b"\x00\x01\x00\x03\x21\0\1"), (PROTOCOL, MALFORMED), versions=(V5,))


def test_row_49_flags_of_pubrel():
    refused(b"\x60\x02\x00\x01", MALFORMED)


def test_row_50_malformed_subscribe():
    for kind in (SUBSCRIBE, UNSUBSCRIBE):
        refused(lambda version, kind=kind: filters(kind, version, flags=0), MALFORMED)
        refused(lambda version, kind=kind: filters(kind, version, entries=()), (PROTOCOL, MALFORMED))
        refused(lambda version, kind=kind: filters(kind, version, ident=0), PROTOCOL)
        for bad in ("", "a/#/b", "a#", "a/b+", "+a", "##", b"\xff"):
            refused(lambda version, kind=kind, bad=bad: filters(kind, version, entries=[(bad, 0)]),
                    (PROTOCOL, MALFORMED))
    for options in (3, 4, 0x40, 0x80):
        refused(filters(SUBSCRIBE, V311, entries=[("a", options)]), (), versions=(V311,))
    for options in (3, 0x30, 0x40, 0xc0):
        refused(filters(SUBSCRIBE, entries=[("a", options)]), (PROTOCOL, MALFORMED), versions=(V5,))
    refused(filters(SUBSCRIBE, entries=[("$share/g/a", 4)]), PROTOCOL, versions=(V5,))
    for bad in ("$share/", "$share/g", "$share/g/", "$share/+/a", "$share//a"):
        refused(filters(SUBSCRIBE, entries=[(bad, 0)]), (PROTOCOL, MALFORMED), versions=(V5,))
    refused(packet(0x82, b"\x00\x01\x00" + text("a")), MALFORMED, versions=(V5,))


def test_row_51_subscribe_is_refused_for_each_filter():
    entries = [("a/b", 0), ("+/c", 1), ("#", 2)]
    with Peer(V311) as peer:
        peer.send(filters(SUBSCRIBE, V311, ident=5, entries=entries))
        peer.expect(SUBACK, b"\x00\x05\x80\x80\x80")
        peer.send(filters(UNSUBSCRIBE, V311, ident=6, entries=entries))
        peer.expect(UNSUBACK, b"\x00\x06")
    with Peer() as peer:
        peer.send(filters(SUBSCRIBE, ident=5, entries=entries, properties=b"\x0b\x01"))
        assert peer.expect(SUBACK) in (b"\x00\x05\x00\x87\x87\x87", b"\x00\x05\x00\x80\x80\x80")
        peer.send(filters(UNSUBSCRIBE, ident=6, entries=entries))
        peer.expect(UNSUBACK, b"\x00\x06\x00\x11\x11\x11")
        peer.publish()


def test_row_52_pings():
    for version in (V31, V311, V5):
        with Peer(version) as peer:
            peer.send(b"\xc0\x00" * 10)
            for _ in range(10):
                peer.expect(PINGRESP, b"")
    with Peer() as peer:
        peer.send(b"\xc0\x00" * 5000)
        codes = []
        while True:
            first, body = peer.read()
            if first is None:
                break
            if first >> 4 == DISCONNECT:
                codes.append(body[0])
        assert codes == [0x96], codes


def test_row_53_disconnect():
    refused(b"\xe1\x00", MALFORMED)
    refused(b"\xe0\x01\x8b", (PROTOCOL, MALFORMED), versions=(V5,))
    refused(b"\xe0\x01\x55", (PROTOCOL, MALFORMED), versions=(V5,))
    refused(b"\xe0\x07\x00\x05\x11\x00\x00\x00\x10", PROTOCOL, versions=(V5,))  # expiry was 0
    refused(b"\xe0\x02\x00\x01", MALFORMED, versions=(V5,))
    for goodbye in (b"\xe0\x00", b"\xe0\x01\x00", b"\xe0\x02\x00\x00", b"\xe0\x02\x04\x00"):
        with Peer() as peer:
            peer.send(goodbye + publish())
            peer.expect_closed()
    with Peer(V311) as peer:
        peer.send(b"\xe0\x00" + publish(V311))
        peer.expect_closed()


# ---- streams ----

def test_one_byte_at_a_time_gives_the_same_as_all_at_once():
    global stored
    for version in (V31, V311, V5):
        data = connect(version, client="dribble") + b"".join(
            publish(version, ident=i, payload=b"%d" % i) for i in range(1, 6)) + publish(version, qos=2, ident=9)
        data += b"\xc0\x00"
        answers = []
        for step in (1, 3, len(data)):
            with Peer(version, data=b"") as peer:
                for at in range(0, len(data), step):
                    peer.send(data[at:at + step])
                got = []
                while len(got) < 8:
                    first, body = peer.read()
                    got.append((first, body))
                answers.append(sorted(got, key=lambda one: (one[0] >> 4, one[1])))
                stored += 6
        assert answers[0] == answers[1] == answers[2], answers


def test_a_thousand_packets_in_one_segment_are_acknowledged_in_order():
    global stored
    for version in (V311, V5):
        with Peer(version) as peer:
            peer.send(b"".join(publish(version, ident=i) for i in range(1, 1001)))
            for i in range(1, 1001):
                peer.expect(PUBACK, struct.pack(">H", i))
            stored += 1000


def test_receive_maximum_is_enforced_in_5_and_a_reason_to_wait_before():
    global stored
    with Peer() as peer:
        most = connack_properties(peer.connack)[0x21]
    for version in (V311, V5):
        with Peer(version) as peer:
            data = b"".join(publish(version, qos=2, ident=i) for i in range(1, most + 1))
            peer.send(data)
            for i in range(1, most + 1):
                peer.expect(PUBREC, struct.pack(">H", i))
            stored += most
            peer.send(publish(version, qos=2, ident=most + 1))
            peer.expect_closed(0x93)


def test_session_expiry_beyond_the_limit_is_cut_and_told():
    with Peer(client="expiry", properties=b"\x11\xff\xff\xff\xff") as peer:
        assert 0 < connack_properties(peer.connack)[0x11] < 0xffffffff
    with Peer(client="expiry") as peer:
        assert peer.connack[0] == 0


def test_session_ends_when_its_expiry_is_over():
    for wait, present in ((0, 1), (2.2, 0)):
        with Peer(client="short", clean=True, properties=b"\x11\0\0\0\1") as peer:
            peer.send(b"\xe0\x00")
            peer.expect_closed()
        time.sleep(wait)
        with Peer(client="short", clean=False, properties=b"\x11\0\0\0\1") as peer:
            assert peer.connack[0] == present, (wait, peer.connack[0])


def will_count():
    return counter("tidegate_mqtt_wills_total")


def test_wills_are_stored_when_due_and_dropped_by_goodbye():
    if ADMIN is None:
        raise lib.Skip("no admin address")
    will = ("w/t", "gone", 1, True, b"")
    before = will_count()
    for version in (V311, V5):
        with Peer(version, client="will", will=will) as peer:
            peer.send(b"\xe0\x00")
            peer.expect_closed()
    with Peer(client="will", will=will) as peer:  # 3.14.2.1: 0x04 keeps the will
        peer.send(b"\xe0\x01\x04")
        peer.expect_closed()
    lib.wait_until("one will", lambda: will_count() == before + 1, 3)
    for version in (V311, V5):
        with Peer(version, client="will", will=will):
            pass
        with Peer(version, client="will", will=will) as peer:
            peer.send(b"\x00\x00")
            peer.expect_closed(MALFORMED)
    lib.wait_until("five wills", lambda: will_count() == before + 5, 3)


def test_will_delay_waits_and_a_new_connection_drops_it():
    if ADMIN is None:
        raise lib.Skip("no admin address")
    options = dict(client="delay", will=("w/t", "gone", 0, False, b"\x18\0\0\0\1"), properties=b"\x11\0\0\0\x3c")
    before = will_count()
    with Peer(**options):
        pass
    with Peer(clean=False, **options) as peer:  # back before the delay is over [MQTT-3.1.3-9]
        assert peer.connack[0] == 1
        peer.send(b"\xe0\x00")
        peer.expect_closed()
    time.sleep(1.6)
    assert will_count() == before
    with Peer(**options):
        pass
    lib.wait_until("the will after its delay", lambda: will_count() == before + 1, 4)
    with Peer(clean=False, **options):
        pass
    with Peer(**dict(options, clean=True)) as peer:  # the session ends: at once
        lib.wait_until("the will of the ended session", lambda: will_count() == before + 2, 0.9)
        peer.send(b"\xe0\x00")


def start():
    global PORT, ADMIN
    if os.environ.get("TIDEGATE_PORT"):
        PORT = int(os.environ["TIDEGATE_PORT"])
        admin = os.environ.get("TIDEGATE_ADMIN")
        ADMIN = admin and (admin if ":" in admin else "127.0.0.1:" + admin)
        return None
    gateway = lib.Gateway().start()
    PORT, ADMIN = gateway.port, f"127.0.0.1:{gateway.admin_port}"
    return gateway


if __name__ == "__main__":
    running = start()
    try:
        lib.run({name: counted(value) if name.startswith("test_") else value
                 for name, value in globals().items()})
    finally:
        if running:
            running.close()
