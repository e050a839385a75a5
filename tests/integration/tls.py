#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""MQTT over TLS with clients that others wrote, and with sockets that do wrong: certificates of a test
authority, mutual TLS, revocation, rotation by SIGHUP under load, other protocols on both ports."""
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import certificates  # noqa: E402
import gateway  # noqa: E402

CONFIG = """
data: {{data}}
anonymous: loopback
mqtt: {{{{listen: "127.0.0.1:{{port}}"}}}}
admin: {{{{listen: "127.0.0.1:{{admin}}"}}}}
tls:
  listen: "127.0.0.1:{tls}"
  certificate_file: {certificate}
  key_file: {key}
{more}
vendors:
  - {{{{name: acme, topics: ["v1/acme/#"]}}}}
  - {{{{name: borealis, topics: ["v1/borealis/#"]}}}}
routes:
  - {{{{topic: "v1/{{{{vendor}}}}/json", codec: json}}}}
sinks:
  - type: discard
"""

READING = b'{"device":"1","flow":1}'


class Site:
    """A folder with an authority, a server certificate and a gateway that uses it."""

    def __init__(self, more="", issued=None):
        self.folder = tempfile.mkdtemp(prefix="tidegate-tls-")
        self.ca = certificates.Authority(os.path.join(self.folder, "ca"))
        self.server = self.ca.issue("server")
        self.tls_port = gateway.free_port()
        self.more = more
        if issued:
            issued(self)
        config = CONFIG.format(tls=self.tls_port, certificate=self.server.chain, key=self.server.key,
                               more=self.more.format(site=self))
        self.gateway = gateway.Gateway(self.folder, config)

    def __enter__(self):
        self.gateway.start()
        return self

    def __exit__(self, *error):
        self.gateway.own_folder = True
        self.gateway.close()

    def publish(self, *options, topic="v1/acme/json", host="localhost"):
        """Exit code of mosquitto_pub over TLS."""
        return subprocess.run(["mosquitto_pub", "-h", host, "-p", str(self.tls_port), "-q", "1", "-t", topic, "-s",
                               "--cafile", self.ca.certificate, *options], input=READING, capture_output=True,
                              timeout=60).returncode

    def refused(self, reason):
        return self.gateway.metrics()[f'tidegate_tls_refused_total{{reason="{reason}"}}']


def test_tls_1_2_and_1_3_publish():
    with Site() as site:
        for version in ("tlsv1.2", "tlsv1.3"):
            assert site.publish("--tls-version", version) == 0, version
        metrics = site.gateway.metrics()
        assert metrics['tidegate_tls_handshakes_total{kind="full"}'] == 2
        assert 29 * 86400 < metrics['tidegate_tls_expiry_seconds{file="certificate"}'] <= 30 * 86400
        status = site.gateway.status()["tls"]
        assert status["port"] == site.tls_port and status["expires"]["certificate"] > "2", status
        gateway.wait_until("the log warns", lambda: " certificate_expires " in site.gateway.log())  # 30 days
        gateway.wait_until("both messages are received", lambda: site.gateway.status()["received"] == 2)


MUTUAL = "  client: require\n  vendor_from: cn\n  client_ca_file: {site.ca.certificate}\n"


def test_client_certificate_names_the_vendor():
    def issued(site):
        site.acme = site.ca.issue("acme", "/CN=acme", None, "clientAuth")
    with Site(MUTUAL, issued) as site:
        mine = ["--cert", site.acme.certificate, "--key", site.acme.key]
        assert site.publish(*mine) == 0
        assert site.publish(*mine, "-u", "acme") == 0
        assert site.publish(*mine, "-u", "borealis") != 0
        assert site.publish(*mine, topic="v1/borealis/json") != 0
        assert site.publish() != 0
        assert site.refused("no_certificate") == 1



def clients(site):
    """One good client certificate, and others that are wrong in one way each."""
    ca, make = site.ca, lambda file, subject="/CN=acme", **more: site.ca.issue(
        file, subject, **dict({"san": None, "usage": "clientAuth"}, **more))
    site.acme = make("acme")
    site.borealis = make("borealis", "/CN=borealis")
    site.wrong = {
        "expired": make("expired", seconds=-60),
        "not_yet_valid": make("early", begin=86400),
        "purpose": make("server_only", usage="serverAuth"),
        "revoked": make("revoked"),
        "name": make("nobody", "/O=Nobody"),
        "too_large": make("large", san=",".join(f"DNS:{i:04d}.{'a' * 50}.example" for i in range(260))),
    }
    ca.revoke(site.wrong["revoked"])
    other = certificates.Authority(os.path.join(site.folder, "other"), "Other Root")
    site.wrong["unknown_ca"] = other.issue("acme", "/CN=acme", None, "clientAuth")
    alone = site.ca.path("alone")
    certificates.key_make(alone + ".key")
    certificates.openssl("req", "-x509", "-new", "-key", alone + ".key", "-subj", "/CN=acme", "-days", "9", "-out",
                         alone + ".pem")
    site.wrong["self_signed"] = certificates.Issued(alone + ".pem", alone + ".key")
    last = site.ca
    for depth in range(6):
        last = certificates.Authority(os.path.join(site.folder, f"depth{depth}"), f"Depth {depth}", last)
    site.wrong["chain_too_long"] = last.issue("deep", "/CN=acme", None, "clientAuth")
    site.crl = certificates.join(os.path.join(site.folder, "crls.pem"), site.ca.crl())


REVOKING = MUTUAL + "  crl_file: {site.crl}\n"


def test_wrong_client_certificates_are_refused_by_reason():
    with Site(REVOKING, clients) as site:
        assert site.publish("--cert", site.acme.chain, "--key", site.acme.key) == 0
        for reason, issued in site.wrong.items():
            assert site.publish("--cert", issued.chain, "--key", issued.key) != 0, reason
            assert site.refused(reason) == 1, (reason, tls_counts(site))
        assert site.publish("--cert", site.acme.chain, "--key", site.acme.key) == 0
        log = site.gateway.log()
        assert log.count("mqtt_tls_refused") == len(site.wrong), log[-3000:]


def test_paho_publishes_over_tls_at_every_version():
    client = os.path.join(os.path.dirname(gateway.PROGRAM), "tests", "paho_client")
    with Site(MUTUAL, clients) as site:
        def publish(host, *certificate, version="5"):
            return subprocess.run([client, f"ssl://{host}:{site.tls_port}", f"paho{version}", version, "1",
                                   "v1/acme/json", "20", site.ca.certificate, *certificate], capture_output=True,
                                  timeout=120).returncode
        mine = (site.acme.chain, site.acme.key)
        for version in ("3", "4", "5"):
            assert publish("localhost", *mine, version=version) == 0, version
        assert publish("127.0.0.2", *mine) != 0, "its certificate is for another host"
        assert publish("localhost") != 0
        assert site.gateway.status()["received"] == 60


def tls_counts(site):
    return {name: count for name, count in site.gateway.metrics().items()
            if count and ("tls" in name or "wrong_protocol" in name or "closed" in name)}


def test_server_certificate_for_another_host_is_refused_by_the_client():
    with Site() as site:
        assert site.publish(host="127.0.0.2") != 0  # the certificate is for localhost and 127.0.0.1
        assert site.publish(host="127.0.0.1") == 0
        with_other = certificates.Authority(os.path.join(site.folder, "other"), "Other Root")
        assert site.publish("--cafile", with_other.certificate) != 0
        gateway.wait_until("the client's alert is counted", lambda: site.refused("peer_alert") >= 1)


def handshake(site, minimum=ssl.TLSVersion.TLSv1_2, maximum=ssl.TLSVersion.TLSv1_3, issued=None, session=None,
              ciphers="DEFAULT", context=None):
    context = context or client_context(site, minimum, maximum, issued, ciphers)
    raw = socket.create_connection(("127.0.0.1", site.tls_port), timeout=60)
    return context.wrap_socket(raw, server_hostname="localhost", session=session)


def client_context(site, minimum=ssl.TLSVersion.TLSv1_2, maximum=ssl.TLSVersion.TLSv1_3, issued=None,
                   ciphers="DEFAULT"):
    context = ssl.create_default_context(cafile=site.ca.certificate)
    context.set_ciphers(ciphers)
    context.minimum_version, context.maximum_version = minimum, maximum
    if issued:
        context.load_cert_chain(issued.chain, issued.key)
    return context


def connect_packet(client):
    name = client.encode()
    body = b"\0\4MQTT\4\2\0\x3c" + len(name).to_bytes(2, "big") + name
    return bytes([0x10, len(body)]) + body


def publish_packet(number, topic=b"v1/acme/json"):
    body = len(topic).to_bytes(2, "big") + topic + number.to_bytes(2, "big") + READING
    return bytes([0x32, len(body)]) + body


def read_exactly(peer, size):
    data = b""
    while len(data) < size:
        more = peer.recv(size - len(data))
        assert more, f"closed after {data!r}"
        data += more
    return data


def test_old_versions_and_weak_suites_are_refused():
    with Site() as site:
        for wrong, reason in (({"minimum": ssl.TLSVersion.TLSv1, "maximum": ssl.TLSVersion.TLSv1_1}, "version"),
                              ({"maximum": ssl.TLSVersion.TLSv1_2, "ciphers": "AES128-SHA@SECLEVEL=0"},
                               "no_cipher")):
            try:
                if reason == "version":
                    wrong["ciphers"] = "DEFAULT@SECLEVEL=0"
                handshake(site, **wrong)
                raise AssertionError(f"taken: {wrong}")
            except ssl.SSLError:
                pass
            gateway.wait_until(f"{reason} is counted", lambda: site.refused(reason) == 1)  # pylint: disable=W0640
        with handshake(site) as peer:
            assert peer.version() == "TLSv1.3" and peer.compression() is None


def test_sessions_are_resumed_until_whom_we_trust_changes():
    with Site(REVOKING, clients) as site:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = client_context(site, version, version, site.acme)
            resumed = site.gateway.metrics()['tidegate_tls_handshakes_total{kind="resumed"}']
            session = None
            for turn in range(2):
                with handshake(site, context=context, session=session) as peer:
                    peer.sendall(connect_packet(f"r{turn}"))
                    assert read_exactly(peer, 4) == b"\x20\2\0\0"
                    assert peer.session_reused == (turn == 1)
                    session = peer.session
            assert site.gateway.metrics()['tidegate_tls_handshakes_total{kind="resumed"}'] == resumed + 1
            reload(site)  # the same files: still resumed
            with handshake(site, context=context, session=session) as peer:
                peer.sendall(connect_packet("again"))
                assert read_exactly(peer, 4) == b"\x20\2\0\0" and peer.session_reused
                session = peer.session
        site.ca.revoke(site.acme)
        certificates.join(site.crl, site.ca.crl())
        reload(site)
        try:
            with handshake(site, context=context, session=session) as peer:
                peer.sendall(connect_packet("revoked"))
                assert peer.recv(4) == b"", "a revoked certificate resumed its session"
        except (ssl.SSLError, ConnectionError):
            pass
        assert site.refused("revoked") == 1


def reload(site, good=True):
    name = "reloaded" if good else "reload_failed"
    before = site.gateway.log().count(f" {name} ")
    site.gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_until(name, lambda: site.gateway.log().count(f" {name} ") > before, 60)


def test_rotation_under_load_drops_no_session():
    with Site() as site:
        load = subprocess.Popen(
            [gateway.PROGRAM, "sim", "--connect", f"localhost:{site.tls_port}", "--tls-ca", site.ca.certificate,
             "--meters", "200", "--connections", "50", "--rate", "500", "--duration", "6s", "--mqtt", "3.1.1", "--vendors", "acme:json:1", "--json", "--quiet"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            gateway.wait_until("all are connected",
                               lambda: site.gateway.metrics()["tidegate_tls_connections"] == 50, 60)
            for turn in range(3):
                fresh = site.ca.issue(f"turn{turn}")
                os.replace(fresh.chain, site.server.chain)
                os.replace(fresh.key, site.server.key)
                reload(site)
                with handshake(site) as peer:
                    seen = ssl.DER_cert_to_PEM_cert(peer.getpeercert(True)).strip()
                    with open(fresh.certificate, encoding="ascii") as file:
                        assert file.read().strip() == seen, "the old certificate is still shown"
            out, errors = load.communicate(timeout=120)
        finally:
            if load.poll() is None:
                load.kill()
        summary = json.loads(out)
        assert load.returncode == 0, errors.decode()
        assert summary["breaks"] == 0 and summary["connects"] == 50, summary
        metrics = site.gateway.metrics()
        assert metrics['tidegate_mqtt_connected_total{protocol="3.1.1"}'] == 50, "somebody connected twice"


def test_bad_files_keep_the_old_certificate_and_refuse_a_start():
    with Site() as site:
        with open(site.server.chain, encoding="ascii") as file:
            good = file.read()
        expired, other = site.ca.issue("old", seconds=-60), site.ca.issue("other")
        client = site.ca.issue("client", usage="clientAuth")
        locked = site.ca.path("locked.key")
        certificates.openssl("pkey", "-in", site.server.key, "-aes256", "-passout", "pass:secret", "-out", locked)
        cases = [(expired.chain, "expired on"), (other.chain, "is not the key of"), (client.chain, "not made for servers"),
                 (site.server.key, "holds no certificate"), ("/nonexistent", "cannot be read")]
        for path, why in cases:
            if os.path.exists(path):
                with open(path, encoding="ascii") as source, open(site.server.chain, "w", encoding="ascii") as out:
                    out.write(source.read())
            else:
                os.unlink(site.server.chain)
            reload(site, good=False)
            assert why in site.gateway.log(), (why, site.gateway.log_tail())
            assert site.publish() == 0, why
        with open(site.server.chain, "w", encoding="ascii") as out:
            out.write(good)
        os.replace(site.server.key, site.server.key + ".kept")
        for path, mode, why in ((locked, 0o600, "has a passphrase"), (site.server.key + ".kept", 0o644, "chmod 640")):
            with open(path, encoding="ascii") as source, open(site.server.key, "w", encoding="ascii") as out:
                out.write(source.read())
            os.chmod(site.server.key, mode)
            reload(site, good=False)
            assert why in site.gateway.log(), (why, site.gateway.log_tail())
        assert site.gateway.stop() == 0
        site.gateway.start(ready=False)
        assert site.gateway.process.wait(60) == 78
        os.chmod(site.server.key, 0o600)
        site.gateway.start()
        assert site.publish() == 0


WRONG_FIRST_BYTES = {"http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
                     "proxy": b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "other": b"\xff"}


def closed_with(port, data):
    """What the port answers to these bytes until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        peer.sendall(data)
        answer = b""
        try:
            while more := peer.recv(4096):
                answer += more
        except ConnectionResetError:
            pass
        return answer


def test_other_protocols_are_closed_at_their_first_bytes_on_both_ports():
    with Site(issued=None) as site:
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        for name, data in WRONG_FIRST_BYTES.items():
            assert closed_with(site.gateway.port, data) == b"", name
            assert closed_with(site.tls_port, data) == b"", name
        assert closed_with(site.gateway.port, hello) == b""
        assert closed_with(site.tls_port, connect_packet("plain")) == b""
        metrics = site.gateway.metrics()
        for name in WRONG_FIRST_BYTES:
            assert metrics[f'tidegate_mqtt_wrong_protocol_total{{protocol="{name}"}}'] == 1
            assert metrics[f'tidegate_tls_wrong_protocol_total{{protocol="{name}"}}'] == 1
        assert metrics['tidegate_mqtt_wrong_protocol_total{protocol="tls"}'] == 1
        assert metrics['tidegate_tls_wrong_protocol_total{protocol="mqtt"}'] == 1
        assert metrics['tidegate_mqtt_closed_total{reason="connect_timeout"}'] == 0
        with handshake(site) as peer:  # another protocol within TLS
            peer.sendall(WRONG_FIRST_BYTES["http"])
            assert peer.recv(100) == b""


class Wire:
    """A TLS client over memory, so that a test decides which bytes go when."""

    def __init__(self, site, version=ssl.TLSVersion.TLSv1_3):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = client_context(site, version, version)
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.socket = socket.create_connection(("127.0.0.1", site.tls_port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, each=None):
        data = self.outgoing.read()
        for at in range(0, len(data), each or len(data) or 1):
            self.socket.sendall(data[at:at + (each or len(data))])

    def until(self, step, each=None):
        while True:
            try:
                result = step()
                self.send(each)
                return result
            except ssl.SSLWantReadError:
                self.send(each)
                data = self.socket.recv(65536)
                assert data, "closed"
                self.incoming.write(data)

    def read(self, size):
        data = b""
        while len(data) < size:
            data += self.until(lambda: self.tls.read(size - len(data)))
        return data


def test_one_byte_at_a_time_is_the_same():
    with Site() as site:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            wire = Wire(site, version)
            wire.until(wire.tls.do_handshake, each=1)
            for byte in connect_packet("drop"):  # a record for each byte, and a segment for each of theirs
                wire.tls.write(bytes([byte]))
            wire.send(each=1)
            assert wire.read(4) == b"\x20\2\0\0"
            for number in range(1, 4):
                wire.tls.write(publish_packet(number))
            wire.send()
            assert wire.read(12) == b"".join(b"\x40\2" + n.to_bytes(2, "big") for n in range(1, 4))
            wire.socket.close()


def test_half_a_handshake_and_an_idle_session_meet_the_connect_deadline():
    with Site() as site:
        fast = site.gateway.config.replace('mqtt: {{listen: "127.0.0.1:{port}"}}',
                                           'mqtt: {{listen: "127.0.0.1:{port}", connect_timeout: 1s}}')
        assert fast != site.gateway.config
        site.gateway.stop()
        site.gateway.config = fast
        site.gateway.start()
        half, silent = Wire(site), socket.create_connection(("127.0.0.1", site.tls_port), timeout=60)
        try:
            half.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        half.socket.sendall(half.outgoing.read()[:100])
        idle = handshake(site)
        for peer in (half.socket, silent, idle):
            try:
                while peer.recv(4096):
                    pass
            except ConnectionResetError:
                pass
            peer.close()
        assert site.refused("timeout") == 2, tls_counts(site)
        assert site.gateway.metrics()['tidegate_mqtt_closed_total{reason="connect_timeout"}'] == 3


def test_stalled_handshakes_give_way_to_others():
    with Site() as site:
        stalled = [Wire(site) for _ in range(200)]
        for wire in stalled:
            try:
                wire.tls.do_handshake()
            except ssl.SSLWantReadError:
                wire.send()
        for _ in range(3):
            assert site.publish() == 0
        assert site.refused("timeout") > 0, tls_counts(site)
        for wire in stalled:
            wire.socket.close()
        assert site.publish() == 0


def test_an_end_without_close_notify_is_a_reset_only_within_a_packet():
    with Site() as site:
        def closed(reason):
            return site.gateway.metrics()[f'tidegate_mqtt_closed_total{{reason="{reason}"}}']
        for unfinished, reason in ((b"", "peer_closed"), (publish_packet(1)[:9], "peer_reset")):
            before = closed(reason)
            wire = Wire(site)
            wire.until(wire.tls.do_handshake)
            wire.tls.write(connect_packet("end") + unfinished)
            wire.send()
            assert wire.read(4) == b"\x20\2\0\0"
            wire.socket.close()
            gateway.wait_until(reason, lambda: closed(reason) == before + 1)  # pylint: disable=W0640
        before = closed("peer_closed")
        with handshake(site) as peer:
            peer.sendall(connect_packet("orderly"))
            assert read_exactly(peer, 4) == b"\x20\2\0\0"
            peer.unwrap()
        gateway.wait_until("close_notify is an end", lambda: closed("peer_closed") == before + 1)


def test_balancer_says_whose_connection_it_is():
    with Site() as site:
        site.gateway.stop()
        site.gateway.config = site.gateway.config.replace(
            'mqtt: {{listen: "127.0.0.1:{port}"}}',
            'mqtt: {{listen: "127.0.0.1:{port}", proxy_from: "127.0.0.0/8, 10.0.0.0/8"}}').replace(
                "anonymous: loopback", "anonymous: allow")
        site.gateway.start()
        header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\7\x7f\0\0\1\x12\x34\x22\xb3"
        with socket.create_connection(("127.0.0.1", site.gateway.port), timeout=60) as peer:
            peer.sendall(header + connect_packet("plain") + publish_packet(1))
            assert read_exactly(peer, 8) == b"\x20\2\0\0\x40\2\0\1"
        with socket.create_connection(("127.0.0.1", site.tls_port), timeout=60) as raw:
            for byte in header:
                raw.sendall(bytes([byte]))
            with client_context(site).wrap_socket(raw, server_hostname="localhost") as peer:
                peer.sendall(connect_packet("secure"))
                assert read_exactly(peer, 4) == b"\x20\2\0\0"
        wire = Wire(site)  # header and ClientHello in one segment
        wire.outgoing.write(header)
        wire.until(wire.tls.do_handshake)
        wire.socket.close()
        for data, reason in ((connect_packet("none"), "missing"), (header.replace(b"\x21\x11", b"\x21\x12"), "family"),
                             (b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n", "version_1")):
            assert closed_with(site.gateway.port, data) == b"", reason
            assert site.gateway.metrics()[f'tidegate_mqtt_proxy_refused_total{{reason="{reason}"}}'] == 1
        closed_with(site.gateway.port, header + WRONG_FIRST_BYTES["http"])
        assert "peer=192.0.2.7" in site.gateway.log(), site.gateway.log_tail()


if __name__ == "__main__":
    gateway.run(globals())
