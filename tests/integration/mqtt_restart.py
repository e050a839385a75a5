#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sessions and QoS 2 over kill -9 (invariant 11): what PUBREC and PUBCOMP said holds in the next life."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mqtt_conformance as mqtt  # noqa: E402
from mqtt_conformance import V5, V311, Peer, lib, publish, pubrel  # noqa: E402


def again(gateway):
    gateway.kill()
    gateway.start()
    mqtt.PORT, mqtt.ADMIN = gateway.port, f"127.0.0.1:{gateway.admin_port}"


def stored():
    return mqtt.counter("tidegate_mqtt_messages_total")


def test_packet_ids_of_qos_2_survive_kill():
    with lib.Gateway() as gateway:
        again(gateway)
        sessions = {version: dict(client=f"kept-{version}", clean=False,
                                  properties=b"\x11\0\0\0\x3c" if version == V5 else b"") for version in (V311, V5)}
        for version, session in sessions.items():
            with Peer(version, **session) as peer:
                peer.publish(qos=2, ident=21)
        again(gateway)  # between PUBREC and PUBREL
        for version, session in sessions.items():
            with Peer(version, **session) as peer:
                assert peer.connack[0] == 1, "session present"
                peer.send(publish(version, qos=2, ident=21, flags=0x0c))
                peer.expect(mqtt.PUBREC, b"\x00\x15")
                peer.send(pubrel(21))
                peer.expect(mqtt.PUBCOMP, b"\x00\x15")
        assert stored() == 0, "a message was stored twice"
        again(gateway)  # behind PUBCOMP: the id is free
        for version, session in sessions.items():
            with Peer(version, **session) as peer:
                assert peer.connack[0] == 1
                peer.publish(qos=2, ident=21)
        assert stored() == 2


def test_sessions_that_ended_stay_ended():
    with lib.Gateway() as gateway:
        again(gateway)
        for client in ("cleaned", "told"):
            with Peer(client=client, properties=b"\x11\0\0\0\x3c") as peer:
                if client == "told":
                    peer.send(b"\xe0\x07\x00\x05\x11\0\0\0\0")  # DISCONNECT with expiry 0
                    peer.expect_closed()
        with Peer(client="cleaned"):
            pass
        again(gateway)
        for client in ("cleaned", "told"):
            with Peer(client=client, clean=False) as peer:
                assert peer.connack[0] == 0, client


if __name__ == "__main__":
    lib.run(globals())
