#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What comes over existing brokers counts for its vendor: a flood over one is held at its share of the journal, or
at its rate, in its intake file and then at its broker, while another broker and our own listener go on."""
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import backpressure as water  # noqa: E402
import mqtt_conformance as mqtt  # noqa: E402
from backpressure import acks, login, message, vendor_of  # noqa: E402
from mqtt_conformance import V311, Peer, lib, publish  # noqa: E402
from mosquitto import Mosquitto  # noqa: E402

BROKERS = """brokers:
  - {{{{name: flood, url: "mqtt://127.0.0.1:{flood}", topics: ["flood/#"], intake_size: 4MiB}}}}
  - {{{{name: calm, url: "mqtt://127.0.0.1:{calm}", topics: ["+/#"], vendor: quiet}}}}
"""


def start(flood_broker, calm_broker, **options):
    """Like backpressure.start, with two brokers; that of the flood names its vendor by its route alone."""
    options["sinks"] = options.get("sinks", "") + BROKERS.format(flood=flood_broker.port,
                                                                     calm=calm_broker.port)
    gateway = water.start(**options)
    lib.wait_until("brokers are connected", lambda: all(told["mqtt"] for told in gateway.status()["brokers"]), 30)
    assert [told["vendor"] for told in gateway.status()["brokers"]] == ["flood", "quiet"]
    return gateway


def connect(port, client):
    own, mqtt.PORT = mqtt.PORT, port
    try:
        return Peer(V311, client=client)
    finally:
        mqtt.PORT = own


def send(mosquitto, vendor, count, size):
    """To the broker, each with a device of its own, until it has acknowledged all."""
    filler = os.urandom(1 << 16).hex()
    for begin in range(1, count + 1, 50):
        idents = range(begin, min(begin + 50, count + 1))
        with connect(mosquitto.port, f"{vendor}-{begin}") as peer:
            peer.socket.settimeout(lib.patient(30))
            peer.send(b"".join(publish(V311, topic=f"{vendor}/{ident}", qos=1, ident=ident, payload=(
                '{"volume.total": %d, "note": "%s"}' % (ident, filler[ident:ident + size])).encode())
                for ident in idents))
            acks(peer, len(idents))


def broker_of(gateway, name):
    return next(told for told in gateway.status()["brokers"] if told["name"] == name)


def devices(gateway, vendor):
    return gateway.rows(f"select count(*), count(distinct device) from parquet where "
                        f"vendor = '{vendor}' and metric = 'volume.total'")[0]


def test_a_flood_over_one_broker_is_held_at_its_share_and_the_others_go_on():
    count = 2500  # about 20 MB, of which 8 MiB may be in the journal
    with Mosquitto() as flood, Mosquitto() as calm, start(
            flood, calm, flood="journal_share: 25", discard="delay: 5s", max_size="32MiB", memory="16MiB",
            compression=0, sinks=water.PARQUET.format(min_free="1MiB")) as gateway:
        send(flood, "flood", count, 8000)
        lib.wait_until("it is held for its share", lambda: broker_of(gateway, "flood")["held"] == "share", 30)
        vendor = vendor_of(gateway.status(), "flood")
        # How well it compresses is measured as it goes, so the limit moves a little.
        assert vendor["needed_bytes"] <= 1.2 * vendor["share_bytes"] and vendor["held"] == 1, vendor
        send(calm, "quiet", 200, 10)
        lib.wait_until("the other broker's messages come in",
                       lambda: (vendor_of(gateway.status(), "quiet") or {}).get("messages") == 200, 20)
        with login("quiet", "quiet") as quiet:
            for ident in range(1, 51):
                quiet.send(message("quiet", ident))
                acks(quiet, 1)
        status = gateway.status()
        assert status["journal_health"] == "ok" and vendor_of(status, "quiet")["held"] == 0, status
        assert gateway.metrics()['tidegate_vendor_messages_total{vendor="quiet"}'] == 250
        lib.wait_until("the flood comes in by itself",
                       lambda: vendor_of(gateway.status(), "flood")["messages"] == count, 90)
        status = gateway.settled(60, count + 250)
        assert broker_of(gateway, "flood")["holds"] > 0, "its broker was never made to wait"
        assert water.identity_holds(status) and status["received"] == count + 250 and status["dead"] == 0, status
        if not lib.reader_missing():
            assert tuple(devices(gateway, "flood")) == (count, count), devices(gateway, "flood")


def test_a_rate_holds_a_broker_until_a_reload_takes_it_away():
    with Mosquitto() as flood, Mosquitto() as calm, start(flood, calm, flood="rate: 20, burst: 5") as gateway:
        send(flood, "flood", 3000, 10)
        lib.wait_until("it is held for its rate", lambda: broker_of(gateway, "flood")["held"] == "rate", 20)
        held = 'tidegate_broker_held{broker="flood",worker="0",reason="rate"}'
        lib.wait_until("metrics say so, too", lambda: gateway.metrics()[held] == 1, 20)
        send(calm, "quiet", 500, 10)
        lib.wait_until("the other comes in whole",
                       lambda: (vendor_of(gateway.status(), "quiet") or {}).get("messages") == 500, 20)
        assert vendor_of(gateway.status(), "flood")["messages"] < 3000
        assert "held (rate)" in gateway.verb("status", "--admin", f"127.0.0.1:{gateway.admin_port}",
                                             check=0).stdout.decode()
        path = os.path.join(gateway.folder, "tidegate.yaml")
        with open(path, encoding="utf-8") as file:
            text = file.read().replace("rate: 20, burst: 5}", "rate: 0}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        gateway.process.send_signal(signal.SIGHUP)
        status = gateway.settled(60, 3500)  # at 20 a second they would take 150 s
        assert status["received"] == 3500 and vendor_of(status, "flood")["messages"] == 3000, status


if __name__ == "__main__":
    lib.run(globals())
