#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""MQTT over TLS with clients that others wrote, and with sockets that do wrong: certificates of a test
authority, mutual TLS, revocation, rotation by SIGHUP under load, other protocols on both ports."""
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


if __name__ == "__main__":
    gateway.run(globals())
