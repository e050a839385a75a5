#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The container image as an operator runs it: nothing writable but the volume, no capability, 256 MiB, an own user.
Built once for a program by deploy/container/build, kept below build/container."""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import oracle  # noqa: E402
import podman as box  # noqa: E402
from podman import Container, podman  # noqa: E402

# Small segments, so that kills also meet rotation; files every 0.3 s, so that they meet Parquet.
CONFIG = """
data: {data}
anonymous: loopback
timezone: "+08:00"
mqtt: {{listen: "127.0.0.1:{port}"}}
admin: {{listen: "127.0.0.1:{admin}"}}
journal: {{segment_size: 4MiB, reserve: 16MiB}}
routes:
  - {{topic: "v1/{{vendor}}/{{device}}/json", codec: json}}
  - {{topic: "v1/{{vendor}}/{{device}}/cjt188", codec: cjt188}}
  - {{topic: "v1/{{vendor}}/json", codec: json}}
  - {{topic: "v1/{{vendor}}/cjt188", codec: cjt188}}
sinks:
  - type: parquet
    flush_age: 300ms
"""


ADD_VENDOR = ("vendor", "add", "acme", "--config", "/etc/tidegate/tidegate.yaml", "--generate")


def own_configuration(tls_port):
    """The one in the image, on free ports of 127.0.0.1, as Container wants it; files at once."""
    with open(os.path.join(lib.ROOT, "deploy/container/tidegate.yaml"), encoding="utf-8") as file:
        text = file.read().replace("{", "{{").replace("}", "}}")
    for old, new in (("0.0.0.0:8883", f"127.0.0.1:{tls_port}"), ("127.0.0.1:1883", "127.0.0.1:{port}"),
                     ("127.0.0.1:9464", "127.0.0.1:{admin}"), ("type: parquet", "type: parquet\n    flush_age: 300ms")):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_a_vendor_made_in_it_publishes_over_tls_into_parquet_and_nowhere_else():
    """What deploy/container/README.md tells to do."""
    if lib.reader_missing():
        raise lib.Skip(lib.reader_missing())
    port = lib.free_port()
    with box.Secrets() as secrets, Container(own_configuration(port), options=secrets.mounted) as gateway:
        password = gateway.once(*ADD_VENDOR).strip()
        gateway.start()

        def publish(topic, *options, user="acme", ca=secrets.ca):
            return subprocess.run(
                ["mosquitto_pub", "--cafile", ca, "-h", "127.0.0.1", "-p", str(port), "-V", "5", "-u", user, "-P", password,
                 "-q", "1", "-t", topic, "-m", '{"time": "2026-11-21T08:00:00+08:00", "volume.total": 12.345}', *options],
                capture_output=True, text=True, timeout=60, check=False)
        sent = publish("v1/acme/00012345/json")
        assert sent.returncode == 0 and not sent.stderr, sent
        refused = publish("v1/other/00012345/json")
        assert "Not authorized" in refused.stderr, refused
        assert publish("v1/acme/00012345/json", ca="/etc/ssl/certs/ca-certificates.crt").returncode != 0
        gateway.settled(messages=1)
        assert gateway.rows("select vendor, device, metric, value, unit, epoch_ms(ts) from parquet") == \
            [["acme", "00012345", "volume.total", 12.345, "m3", 1795219200000]]
        said = lib.wait_until("the refused publish is in the audit log",
                              lambda: [one for one in audit(gateway) if one["what"] == "publish"], 60)
        assert [(one["result"], one["object"], one["who"], one["from"]) for one in said] == \
            [("refused", "v1/other/00012345/json", "acme", "127.0.0.1")], said
        # A password while it runs, and the signal that has it read.
        other, password = password, gateway.inside("tidegate", *ADD_VENDOR, "second").stdout.strip()
        assert other != password
        podman("kill", "--signal", "HUP", gateway.name)
        lib.wait_until("the new user may sign in",
                       lambda: publish("v1/acme/2/json", user="second").returncode == 0, 60, every=0.5)
        assert password not in gateway.log() and other not in gateway.log()
        assert gateway.stop() == 0, gateway.log_tail()


def audit(gateway):
    folder = os.path.join(gateway.data, "audit")
    lines = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            lines += [json.loads(line) for line in file if line.endswith("\n")]
    return lines


def test_runs_as_its_own_user_without_capabilities_network_or_anything_to_write_but_its_volume():
    """The image's own configuration as it is, on a volume that podman makes from the image."""
    name = volume = f"tidegate-own-{os.getpid()}"
    image = box.image()
    with box.Secrets() as secrets:
        options = [*Container.HARDENED, *secrets.options, "--network=none", "-v", f"{volume}:/data"]
        try:
            podman("run", "--rm", *options, image, *ADD_VENDOR)
            podman("run", "-d", "--name", name, *options, image)
            lib.wait_until("HEALTHCHECK says healthy",
                           lambda: podman("healthcheck", "run", name, check=False).returncode == 0, 60, every=0.5)
            assert box.inspect(name)["State"]["Health"]["Status"] == "healthy"
            assert_confined(box.inspect(name)["State"]["Pid"])
            for command in ("/bin/sh", "/bin/bash", "/usr/bin/dpkg", "/usr/bin/apt-get", "/usr/bin/perl"):
                assert podman("exec", name, command, "--version", check=False).returncode != 0, command
            sent = json.loads(podman("exec", name, "tidegate", "sim", "--count", 500, "--rate", "max", "--json",
                                     "--quiet").stdout)
            assert sent["acknowledged"] == 500, sent
            podman("stop", "-t", 30, name)
            assert box.inspect(name)["State"]["ExitCode"] == 0, podman("logs", name).stderr[-2000:]
            place = json.loads(podman("volume", "inspect", volume).stdout)[0]["Mountpoint"]
            assert owners(place) == {10001}, owners(place)
        finally:
            podman("rm", "-f", "-v", name, check=False)
            podman("volume", "rm", "-f", volume, check=False)


def assert_confined(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    assert status["Uid"].split() == ["10001"] * 4 and status["Gid"].split() == ["10001"] * 4, status
    assert status["NoNewPrivs"] == "1" and status["NSpid"].split()[-1] == "1", status
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[capabilities], 16) == 0, (capabilities, status[capabilities])
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
        writable = {part[4] for part in map(str.split, file) if "ro" not in part[5].split(",")}
    kernel = {path for path in writable if path.startswith(("/dev", "/proc", "/sys"))}
    runtime = {"/run/.containerenv", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run", "/tmp",
               "/var/tmp"}
    assert writable - kernel - runtime == {"/data"}, writable


def owners(folder):
    return {os.stat(os.path.join(here, name)).st_uid for here, _, names in os.walk(folder) for name in names}


def test_killed_under_load_and_started_again_on_its_volume_it_loses_nothing():
    if lib.reader_missing():
        raise lib.Skip(lib.reader_missing())
    with tempfile.TemporaryDirectory() as folder, Container(CONFIG) as gateway:
        gateway.start()
        ledger = os.path.join(folder, "ledger")
        load = gateway.sim_start("--count", "24000", "--rate", "3000", "--meters", "500", "--vendors",
                                 "aqua:json:1,huaxu:cjt188:1", "--ledger", ledger, "--patience", "120s")
        for kills in range(3):
            lib.wait_until("the load goes on", lambda: gateway.status()["received"] > 4000 * (kills + 1), 120)
            gateway.kill()
            assert gateway.state()["ExitCode"] == 137, gateway.state()
            gateway.start()
        output, errors = load.communicate(timeout=200)
        assert load.returncode == 0, errors.decode()[-2000:]
        assert json.loads(output)["acknowledged"] == 24000, output
        gateway.settled(seconds=120)
        sent, rows = oracle.ledger(ledger), oracle.of_parquet(gateway)
        oracle.demand(oracle.of_the_ledger("parquet", sent, rows), oracle.nothing_twice("parquet", rows),
                      oracle.planted("parquet", sent, rows))
        assert not gateway.state()["OOMKilled"], gateway.state()
        assert gateway.stop() == 0, gateway.log_tail()


def test_sigterm_under_load_ends_pid_1_with_0_within_the_grace_and_loses_nothing():
    if lib.reader_missing():
        raise lib.Skip(lib.reader_missing())
    with tempfile.TemporaryDirectory() as folder, Container(CONFIG) as gateway:
        gateway.start()
        ledger = os.path.join(folder, "ledger")
        load = gateway.sim_start("--count", "6000", "--rate", "2000", "--meters", "200", "--vendors", "aqua:json:1",
                                 "--ledger", ledger, "--patience", "120s")
        lib.wait_until("the load goes on", lambda: gateway.status()["received"] > 1500, 120)
        assert gateway.stop() == 0, gateway.log_tail()
        assert "stopped" in gateway.log_tail(3), gateway.log_tail()
        gateway.start()
        output, errors = load.communicate(timeout=200)
        assert load.returncode == 0, errors.decode()[-2000:]
        gateway.settled(seconds=120)
        sent, rows = oracle.ledger(ledger), oracle.of_parquet(gateway)
        oracle.demand(oracle.of_the_ledger("parquet", sent, rows), oracle.nothing_twice("parquet", rows))
        assert gateway.stop() == 0, gateway.log_tail()


def test_a_volume_of_root_is_a_clear_error_and_nothing_is_written():
    with Container(CONFIG, own=0) as gateway:
        os.chmod(gateway.data, 0o755)
        gateway.start(ready=False)
        assert gateway.wait() == 1, gateway.log_tail()
        log = gateway.log()
        for part in ("Permission denied", "/data belongs to user 0, group 0 (mode 0755)", "user 10001",
                     "chown -R 10001:10001"):
            assert part in log, (part, log)
        assert os.listdir(gateway.data) == []


def test_runs_as_a_user_without_a_name_or_home_and_with_nothing_to_execute_from():
    with Container(CONFIG, user=65532, options=["--tmpfs", "/tmp:noexec,size=1m", "--env", "HOME="]) as gateway:
        gateway.start()
        gateway.publish("v1/aqua/00012345/json", b'{"volume.total": 1.5}', "-q", "1")
        gateway.settled(messages=1)
        assert gateway.stop() == 0, gateway.log_tail()
        assert owners(gateway.data) == {65532}, owners(gateway.data)


def test_labels_tell_version_and_revision_and_the_bill_of_materials_is_of_the_files_in_the_image():
    image = box.inspect(box.image())
    version = subprocess.run([lib.PROGRAM, "version"], capture_output=True, check=True).stdout.decode().split()[1]
    labels = image["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == version, labels
    assert labels["org.opencontainers.image.title"] == "Tidegate" and labels["org.opencontainers.image.revision"], labels
    assert image["Config"]["User"] == "10001:10001" and image["Config"]["StopSignal"] == "SIGTERM", image["Config"]
    name = f"tidegate-files-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        podman("create", "--name", name, box.image())
        try:
            podman("cp", f"{name}:/usr", folder)
            podman("cp", f"{name}:/var", folder)
        finally:
            podman("rm", "-f", "-v", name)
        with open(os.path.join(folder, labels["org.tidegate.sbom"].strip("/")), encoding="utf-8") as file:
            bill = json.load(file)
        libraries = {path for path in map(os.path.realpath, shared_objects(folder))}
        told = {os.path.join(folder, one["fileName"][2:]): one for one in bill["files"]}
        assert libraries <= set(told), libraries - set(told)
        for path in libraries:
            assert checksum(path) == told[path]["checksums"][1]["checksumValue"], path
        packages = {one["name"] for one in bill["packages"]} - {"tidegate", "uthash-dev"}
        assert packages == set(os.listdir(os.path.join(folder, "var/lib/dpkg/status.d")))
        for package in packages:
            assert os.path.getsize(os.path.join(folder, "usr/share/doc", package, "copyright")) > 0


def shared_objects(folder):
    for here, _, names in os.walk(os.path.join(folder, "usr")):
        for name in names:
            if ".so" in name:
                yield os.path.join(here, name)


def checksum(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def test_the_same_program_gives_the_same_layers():
    layers = box.inspect(box.image())["RootFS"]["Layers"]
    again = f"localhost/tidegate-again-{os.getpid()}"
    time.sleep(max(0, 1.1 - time.time() % 1))  # another second than the first one's, whatever cached that
    box.build(again)
    try:
        assert box.inspect(f"{again}:latest")["RootFS"]["Layers"] == layers
    finally:
        for tag in podman("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").stdout.split():
            if tag.startswith(again):
                podman("rmi", tag, check=False)


if __name__ == "__main__":
    lib.run(globals())
