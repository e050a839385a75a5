#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/compose as far as it can be tried without its images: what docker-compose makes of it, what each service
reads, and the secrets. compose_servers.py runs the gateway's part against real servers."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import compose  # noqa: E402
import gateway as lib  # noqa: E402

FOLDER = compose.FOLDER


def parsed(folder=FOLDER):
    """compose.yaml with .env, as docker-compose understands it."""
    if shutil.which("docker-compose") is None:
        raise lib.Skip("no docker-compose: deploy/setup --tests brings it")
    made = subprocess.run(["docker-compose", "-f", os.path.join(folder, "compose.yaml"), "config"], cwd=folder,
                          capture_output=True, text=True, timeout=120, check=False)
    return made.returncode, made.stdout + made.stderr


def test_docker_compose_takes_it_and_refuses_it_with_a_wrong_key():
    code, text = parsed()
    assert code == 0, text
    for service in ("tidegate", "simulator", "kafka", "topics", "clickhouse", "prometheus", "grafana"):
        assert re.search(f"^  {service}:$", text, re.MULTILINE), service
    with tempfile.TemporaryDirectory() as folder:
        for name in ("compose.yaml", ".env"):
            shutil.copy(os.path.join(FOLDER, name), folder)
        path = os.path.join(folder, "compose.yaml")
        with open(path, encoding="utf-8") as file:
            broken = file.read().replace("stop_grace_period", "stop_grace_time")
        with open(path, "w", encoding="utf-8") as file:
            file.write(broken)
        code, text = parsed(folder)
        assert code != 0 and "stop_grace_time" in text, text


def test_every_image_has_a_version_and_every_file_that_is_mounted_is_there():
    code, text = parsed()
    assert code == 0, text
    images = set(re.findall(r"^ +image: (\S+)", text, re.MULTILINE)) - {"localhost/tidegate:latest"}
    assert len(images) == 4 and all(re.search(r":v?\d+\.\d+", image) for image in images), images
    made = {f"{FOLDER}/secrets.d/{name}" for name in compose.SECRETS}
    mounted = set(re.findall(r"(/\S+):/\S+:ro$", text, re.MULTILINE)) | \
        set(re.findall(r"^ +file: (/\S+)", text, re.MULTILINE))
    assert len(mounted) > 10, mounted
    missing = {path for path in mounted - made if not os.path.exists(path)}
    assert not missing, missing
    assert {path for path in mounted if "/secrets.d/" in path} <= made, mounted - made


def test_the_secrets_are_made_once_belong_to_their_readers_and_the_certificate_is_for_the_names():
    with tempfile.TemporaryDirectory() as folder:
        made = compose.secrets(folder, "gateway.example.org", "192.0.2.7")
        before = {name: os.stat(os.path.join(made, name)) for name in compose.SECRETS}
        for name, (user, mode) in compose.SECRETS.items():
            assert (before[name].st_uid, before[name].st_mode & 0o777) == (user, mode), (name, before[name])
            assert before[name].st_size > 0, name
        for name in ("tidegate", "localhost", "gateway.example.org"):
            assert verified(made, "-verify_hostname", name), name
        assert verified(made, "-verify_ip", "192.0.2.7")
        assert not verified(made, "-verify_hostname", "other.example.org")
        compose.secrets(folder)
        kept = [name for name in compose.SECRETS if name not in ("admin.tokens", "clickhouse-user.xml")]
        assert all(os.stat(os.path.join(made, name)).st_mtime_ns == before[name].st_mtime_ns for name in kept)


def verified(made, *wanted):
    return subprocess.run(["openssl", "verify", "-CAfile", os.path.join(made, "ca.crt"), "-purpose", "sslserver",
                           *wanted, os.path.join(made, "tidegate.crt")], capture_output=True, check=False).returncode == 0


def test_the_gateway_takes_its_configuration():
    with tempfile.TemporaryDirectory() as folder:
        path = compose.configuration(folder)
        compose.vendors(path, folder)
        checked = subprocess.run([lib.PROGRAM, "validate", "--config", path], capture_output=True, text=True,
                                 timeout=60, check=False)
        assert checked.returncode == 0, checked.stderr


def test_the_tables_are_what_the_program_prints():
    with open(os.path.join(FOLDER, ".env"), encoding="utf-8") as file:
        version = re.search(r"clickhouse-server:(\d+\.\d+)", file.read()).group(1)
    printed = subprocess.run([lib.PROGRAM, "clickhouse", "ddl", "--server-version", version], capture_output=True,
                             text=True, timeout=60, check=True).stdout
    with open(os.path.join(FOLDER, "clickhouse/readings.sql"), encoding="utf-8") as file:
        assert file.read() == printed, f"tidegate clickhouse ddl --server-version {version} > clickhouse/readings.sql"


def test_prometheus_takes_its_configuration_with_the_rules():
    promtool = shutil.which("promtool", path=os.environ["PATH"] + ":" + os.path.join(lib.ROOT, "build/tools/usr/bin"))
    if promtool is None:
        raise lib.Skip("no promtool: deploy/setup --tests brings it")
    with tempfile.TemporaryDirectory() as folder:
        made = compose.secrets(folder)
        shutil.copy(os.path.join(lib.ROOT, "deploy/prometheus/tidegate.rules.yaml"), folder)
        with open(os.path.join(FOLDER, "prometheus.yml"), encoding="utf-8") as file:
            text = file.read().replace("/run/secrets", made)
        path = os.path.join(folder, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        checked = subprocess.run([promtool, "check", "config", path], capture_output=True, text=True, timeout=60,
                                 check=False)
        assert checked.returncode == 0 and "rules found" in checked.stdout, checked.stdout + checked.stderr


if __name__ == "__main__":
    lib.run(globals())
