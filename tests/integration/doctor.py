#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`tidegate doctor`: finds what is wrong before the first start and beside a running gateway, says what to do, and
changes nothing."""
import os
import shutil
import socket
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from certificates import Authority  # noqa: E402
from disk_faults import SmallDisk  # noqa: E402
from doctor_kit import BASE, Doctor, found  # noqa: E402
from gateway import Gateway, Skip  # noqa: E402
from mosquitto import Mosquitto  # noqa: E402


def told(findings):
    return "\n".join(str(finding) for finding in findings)


def test_a_good_place_has_no_error_and_nothing_is_made_there():
    with Doctor() as doctor:
        before = set(os.listdir(doctor.folder))
        findings = doctor.look(code=0)
        assert found(findings, "ok", "gateway", "none answers"), told(findings)
        assert found(findings, "ok", "open files", "connections"), told(findings)
        assert found(findings, "ok", "memory", "MiB"), told(findings)
        assert found(findings, "ok", "sink parquet", "files can be made"), told(findings)
        assert any(finding["about"] == "disk" and "a sync takes" in finding["text"] for finding in findings)
        assert any(finding["about"] == "clock" for finding in findings)
        assert set(os.listdir(doctor.folder)) == before, os.listdir(doctor.folder)
        text = doctor.run(code=0).stdout.decode()
        assert text.splitlines()[-1].startswith("errors 0, warnings "), text
        assert all(len(line) <= 98 for line in text.splitlines()), text


def test_beside_a_running_gateway_it_disturbs_nothing_and_asks_it():
    with Gateway() as gateway:
        gateway.start()
        gateway.publish("v1/acme/json", b'{"device":"1","volume.total":1}')
        gateway.settled(messages=1)
        path = os.path.join(gateway.folder, "tidegate.yaml")
        result = gateway.verb("doctor", "--config", path, "--data", gateway.data, "--admin",
                              f"127.0.0.1:{gateway.admin_port}", seconds=120)
        text = result.stdout.decode()
        assert "one runs and is ready" in text, text
        assert "cannot be listened on" not in text, text
        gateway.publish("v1/acme/json", b'{"device":"1","volume.total":2}')
        gateway.settled(messages=2)
        assert not [name for name in os.listdir(gateway.data) if "doctor" in name]


def test_sinks_and_brokers_that_nobody_serves_are_errors():
    more = """sinks:
  - {{type: kafka, brokers: "127.0.0.1:1"}}
  - {{type: clickhouse, url: "http://127.0.0.1:1/default,http://localhost:1/default"}}
brokers: [{{name: away, url: "mqtt://127.0.0.1:1", topics: ["v1/#"]}}]
"""
    with Doctor(more) as doctor:
        findings = doctor.look(code=1)
        assert found(findings, "error", "sink kafka", "topic water.reading.v1", "refused", "is it up"), told(findings)
        assert found(findings, "error", "sink clickhouse", "127.0.0.1:1", "is it up"), told(findings)
        assert found(findings, "error", "sink clickhouse", "localhost:1"), told(findings)
        assert found(findings, "error", "broker away", "mqtt://127.0.0.1:1"), told(findings)


def test_a_broker_that_lets_us_in_is_fine_and_one_that_refuses_says_why():
    with_login = tempfile.mkdtemp(prefix="tidegate-doctor-")
    try:
        password_file = os.path.join(with_login, "passwords")
        with open(password_file, "w", encoding="ascii"):
            pass
        os.chmod(password_file, 0o644)
        os.chmod(with_login, 0o755)
        more = """sinks: [{{type: discard}}]
brokers: [{{name: here, url: "mqtt://127.0.0.1:%d", topics: ["v1/#"]}}]
"""
        broker = Mosquitto().start()
        closed = Mosquitto(more=f"allow_anonymous false\npassword_file {password_file}").start()
        try:
            with Doctor(more % broker.port) as doctor:
                findings = doctor.look(code=0)
                assert found(findings, "ok", "broker here", "lets us in", "MQTT 5.0"), told(findings)
                assert found(findings, "warn", "sinks", "forgotten"), told(findings)
            with Doctor(more % closed.port) as doctor:
                findings = doctor.look(code=1)
                assert found(findings, "error", "broker here", "uthoriz"), told(findings)
        finally:
            broker.stop()
            closed.stop()
    finally:
        shutil.rmtree(with_login)


def test_certificates_that_are_over_end_soon_or_are_none_are_told():
    with Doctor() as doctor:
        authority = Authority(os.path.join(doctor.folder, "ca"))
        over, soon, good = (os.path.join(doctor.folder, name) for name in ("over.pem", "soon.pem", "good.pem"))
        for path, seconds in ((over, -3600), (soon, 10 * 86400), (good, 300 * 86400)):
            authority.sign(authority.key, path, "/CN=server", [], seconds)
        with open(doctor.config, "a", encoding="utf-8") as file:
            file.write("  \n")
        for path, level, words in ((over, "error", ("expired", "put a valid")), (soon, "warn", ("for 9 days", "renew")),
                                   (good, "ok", ("for 299 days",)), (doctor.config, "error", ("no certificate",))):
            more = f"sinks: [{{{{type: clickhouse, url: 'https://127.0.0.1:1/default', tls_ca_file: '{path}'}}}}]\n"
            with Doctor(more) as one:
                findings = one.look(code=1)  # nobody serves there
                assert found(findings, level, "sink clickhouse", *words), (path, told(findings))


def test_a_key_that_is_not_the_certificates_and_one_that_all_may_read_are_told():
    more = """sinks: [{{type: discard}}]
brokers: [{{name: away, url: "mqtts://127.0.0.1:1", topics: ["v1/#"], tls_certificate_file: "%s", tls_key_file: "%s"}}]
"""
    with Doctor() as doctor:
        authority = Authority(os.path.join(doctor.folder, "ca"))
        one, other = authority.issue("one"), authority.issue("other")
        with Doctor(more % (one.certificate, other.key)) as wrong:
            findings = wrong.look(code=1)
            assert found(findings, "error", "broker away", "does not belong", "made for"), told(findings)
        with Doctor(more % (one.certificate, one.key)) as right:
            findings = right.look(code=1)  # nobody serves there
            assert found(findings, "error", "broker away", "mqtts://127.0.0.1:1"), told(findings)
            assert not found(findings, "error", "broker away", "does not belong"), told(findings)
        os.chmod(one.key, 0o644)
        with Doctor(more % (one.certificate, one.key)) as open_to_all:
            findings = open_to_all.look(code=1)
            assert found(findings, "error", "configuration", "others may read", "chmod"), told(findings)


def test_a_listener_whose_certificate_is_over_is_an_error_of_the_configuration():
    more = """sinks: [{{type: parquet}}]
tls: {{listen: "127.0.0.1:0", certificate_file: "{folder}/over.pem", key_file: "{folder}/ca/ca.key"}}
"""
    with Doctor(more) as doctor:
        authority = Authority(os.path.join(doctor.folder, "ca"))
        authority.sign(authority.key, os.path.join(doctor.folder, "over.pem"), "/CN=localhost",
                       ["subjectAltName=DNS:localhost"], -3600)
        findings = doctor.look(code=1)
        assert found(findings, "error", "configuration", "expired", "validate"), told(findings)
        assert any(finding["about"] == "clock" for finding in findings), "it looks on at what it can"


def test_memory_is_no_disk_and_a_small_one_is_too_small():
    with SmallDisk("6m") as folder, Doctor(data=os.path.join(folder, "data")) as doctor:
        findings = doctor.look(code=1)
        assert found(findings, "error", "file system", "tmpfs", "ext4"), told(findings)
        assert found(findings, "error", "space", "make room"), told(findings)
        assert os.listdir(folder) == []
    with SmallDisk("100m") as folder, Doctor(data=os.path.join(folder, "data")) as doctor:
        findings = doctor.look(code=1)
        assert found(findings, "warn", "space", "the logs may grow by", "journal.max_size"), told(findings)


def test_a_folder_that_is_not_ours_is_an_error():
    if os.geteuid() != 0:
        raise Skip("only root may become somebody else")
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    with Doctor() as doctor:
        os.chmod(doctor.folder, 0o755)
        findings = doctor.look(wrap=user, code=1)
        assert found(findings, "error", "disk", "no file can be written", "chown"), told(findings)
        assert found(findings, "error", "sink parquet", "no files can be made"), told(findings)


def test_fewer_files_than_connections_is_an_error():
    base = base_with("connections_max: 5000")
    with Doctor(base=base) as doctor:
        findings = doctor.look(wrap=["prlimit", "--nofile=1000:1000"], code=1)
        assert found(findings, "error", "open files", "5000 connections", "936", "LimitNOFILE"), told(findings)
        findings = doctor.look(wrap=["prlimit", "--nofile=100:100"], code=1)
        assert found(findings, "error", "open files", "too few to start"), told(findings)
    with Doctor() as doctor:
        findings = doctor.look(wrap=["prlimit", "--nofile=500:500"], code=0)
        assert found(findings, "warn", "open files", "room for 436"), told(findings)


def base_with(more):
    return BASE.replace('mqtt: {{listen: "127.0.0.1:{port}"', 'mqtt: {{' + more + ', listen: "127.0.0.1:{port}"')


def test_a_port_that_somebody_has_is_an_error():
    with Doctor() as doctor, socket.socket() as other:
        other.bind(("127.0.0.1", doctor.port))
        other.listen()
        findings = doctor.look(code=1)
        assert found(findings, "error", "port", f"127.0.0.1:{doctor.port}", "in use", "ss -ltnp"), told(findings)


def test_each_error_of_a_configuration_is_a_finding():
    with Doctor("sinks: [{{type: parquett}}]\nrouts: []\n") as doctor:
        findings = doctor.look(code=1)
        errors = [finding for finding in findings if finding["about"] == "configuration"]
        assert len(errors) == 2 and all(finding["level"] == "error" for finding in errors), told(findings)
        assert all("tidegate.yaml:" in finding["text"] for finding in errors), told(findings)


def test_what_is_unwise_is_a_warning():
    base = base_with("").replace("mqtt: {{, listen", "mqtt: {{listen")
    with Doctor("sinks: [{{type: parquet}}]\nvendors: [{{name: a}}, {{name: b, rate: 10}}]\n", base=base) as doctor:
        findings = doctor.look()
        assert found(findings, "warn", "quota", "1 of 2", "as a"), told(findings)
        assert found(findings, "warn", "journal", "64 MiB each"), told(findings)


def test_a_memory_limit_below_the_budgets_is_a_warning():
    base = base_with("connections_max: 1000").replace("memory: 4MiB", "memory: 60GiB")
    with Doctor(base=base) as doctor:
        with open("/proc/meminfo", encoding="ascii") as file:
            total = int(file.readline().split()[1]) << 10
        findings = doctor.look(code=0)
        level = "warn" if total < 120 << 30 else "ok"
        assert found(findings, level, "memory", "all budgets"), told(findings)


def test_usage_mistakes_are_told():
    gateway = Gateway()
    try:
        assert b"needs --config FILE or --data DIR" in gateway.verb("doctor", check=2).stderr
        assert b"did you mean --config" in gateway.verb("doctor", "--confg", "x", check=2).stderr
    finally:
        gateway.close()


if __name__ == "__main__":
    lib.run(globals())
