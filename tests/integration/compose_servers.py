#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway of deploy/compose as it is configured there, with a real Kafka whose topics its script made and a real
ClickHouse with its tables and its user: simulated meters and a vendor over TLS, Prometheus' token."""
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import clickhouse  # noqa: E402
import compose  # noqa: E402
import gateway as lib  # noqa: E402
import kafka as kafka_lib  # noqa: E402
import oracle  # noqa: E402
from gateway import Skip  # noqa: E402

COUNT = 2000


class ClickHouse(clickhouse.ClickHouse):
    """With the user that ./secrets made, as users.d/tidegate.xml adds it."""

    def __init__(self, secrets):
        super().__init__("26.7")
        self.user = os.path.join(secrets, "clickhouse-user.xml")

    def write_configuration(self):
        super().write_configuration()
        with open(self.user, encoding="utf-8") as file:
            user = file.read().split("<users>")[1].split("</users>")[0]
        path = os.path.join(self.folder, "users.xml")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("</users>", user + "</users>"))


class ComposeGateway(lib.Gateway):
    """Its configuration with addresses of this machine, and its admin interface by TLS with the token."""

    def __init__(self, folder, kafka, server):
        super().__init__(folder=folder)
        self.tls_port = lib.free_port()
        self.path = compose.configuration(folder, **{
            "kafka:9092": kafka.address, "clickhouse:8123": f"127.0.0.1:{server.port}",
            "0.0.0.0:8883": f"127.0.0.1:{self.tls_port}",
            "0.0.0.0:9464": f"127.0.0.1:{self.admin_port}"})
        self.secrets = os.path.join(folder, "secrets.d")

    def command(self):
        return [lib.PROGRAM, "run", "--config", self.path]

    def get(self, path, seconds=30, token="operator.token"):
        request = urllib.request.Request(f"https://localhost:{self.admin_port}{path}")
        if token:
            with open(os.path.join(self.secrets, token), encoding="utf-8") as file:
                request.add_header("Authorization", f"Bearer {file.read()}")
        try:
            trust = ssl.create_default_context(cafile=os.path.join(self.secrets, "ca.crt"))
            with urllib.request.urlopen(request, timeout=seconds, context=trust) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)


def make_topics(folder, kafka):
    """deploy/compose/topics, with the tool of the same jars."""
    tool = os.path.join(folder, "kafka-topics")
    with open(tool, "w", encoding="utf-8") as file:
        command = " ".join(f"'{word}'" for word in kafka_lib.java(128, "org.apache.kafka.tools.TopicCommand"))
        file.write(f'#!/bin/sh\nexec {command} "$@"\n')
    os.chmod(tool, 0o755)
    made = subprocess.run([os.path.join(compose.FOLDER, "topics")], capture_output=True, text=True, timeout=200, check=False,
                          env=dict(os.environ, KAFKA_TOPICS=tool, BROKER=kafka.address))
    assert made.returncode == 0, made.stdout + made.stderr


def test_what_compose_configures_reaches_kafka_clickhouse_and_parquet_alike():
    reason = clickhouse.missing("26.7") or kafka_lib.kafka_missing() or lib.reader_missing()
    if reason:
        raise Skip(reason)
    with tempfile.TemporaryDirectory() as folder:
        secrets = compose.secrets(folder)
        with kafka_lib.Kafka() as kafka, ClickHouse(secrets) as server:
            make_topics(folder, kafka)
            with open(os.path.join(compose.FOLDER, "clickhouse/readings.sql"), encoding="utf-8") as file:
                for statement in clickhouse.statements(file.read()):
                    server.send(statement)
            with ComposeGateway(folder, kafka, server) as gateway:
                flow(gateway, kafka, server)


def flow(gateway, kafka, server):
    password = compose.vendors(gateway.path, gateway.folder)
    gateway.start()
    ledger = os.path.join(gateway.folder, "ledger")
    trust = os.path.join(gateway.secrets, "ca.crt")
    gateway.verb("sim", "--connect", f"localhost:{gateway.tls_port}", "--tls-ca", trust, "--username", "simulated",
                 "--password-file", os.path.join(gateway.secrets, "simulator.password"), "--vendors", "simulated:json:1",
                 "--count", str(COUNT), "--rate", "max", "--meters", "200", "--ledger", ledger, "--quiet", check=0)
    sent = subprocess.run(
        ["mosquitto_pub", "--cafile", trust, "-h", "localhost", "-p", str(gateway.tls_port),
         "-u", "acme", "-P", password, "-q", "1", "-t", "v1/acme/00012345/json", "-m", '{"pressure": 310}'],
        capture_output=True, text=True, timeout=60, check=False)
    assert sent.returncode == 0, sent.stderr
    gateway.settled(seconds=120, messages=COUNT + 1)
    rows = oracle.of_parquet(gateway)
    assert [row.value for row in rows if row.vendor == "acme"] == [310.0], rows[-1]
    in_kafka = oracle.of_kafka(kafka.records("water.reading.v1", committed=True))
    in_house = oracle.of_clickhouse(server)
    oracle.demand(oracle.of_the_ledger("parquet", oracle.ledger(ledger), [row for row in rows if row.vendor != "acme"]),
                  oracle.alike("kafka", in_kafka, "parquet", rows), oracle.nothing_twice("kafka", in_kafka),
                  oracle.alike("clickhouse", in_house, "parquet", oracle.newest(rows, like=in_house)))
    gateway.verb("healthcheck", "--config", gateway.path, check=0)
    gateway.verb("status", "--admin", f"https://127.0.0.1:{gateway.admin_port}", "--admin-ca",
                 trust, "--token-file", os.path.join(gateway.secrets, "operator.token"),
                 check=0)
    # What Prometheus is given opens the metrics; without it only health is told.
    assert gateway.get("/metrics", token="prometheus.token")[0] == 200
    assert gateway.get("/status", token="prometheus.token")[0] == 403
    assert gateway.get("/metrics", token=None)[0] == 401, gateway.get("/metrics", token=None)
    assert gateway.get("/readyz", token=None)[0] == 200
    assert gateway.stop() == 0, gateway.log_tail()


if __name__ == "__main__":
    lib.run(globals())
