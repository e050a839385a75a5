#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The container image: what is in it, and as whom it runs: nothing writable but the volume, no capability, 256 MiB, an
own user. container_load.py takes traffic through it."""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import podman as box  # noqa: E402
from podman import ADD_VENDOR, CONFIG, Container, podman  # noqa: E402


def test_runs_as_its_own_user_without_capabilities_network_or_anything_to_write_but_its_volume():
    """The image's own configuration as it is, on a volume that podman makes from the image."""
    name = volume = f"tidegate-own-{os.getpid()}"
    image = box.image()
    with box.Secrets() as secrets:
        options = [*Container.HARDENED, *secrets.options, "--network=none", "-v", f"{volume}:/data"]
        try:
            password = podman("run", "--rm", *options, image, *ADD_VENDOR).stdout.strip()
            podman("run", "-d", "--name", name, *options, image)
            lib.wait_until("HEALTHCHECK says healthy",
                           lambda: podman("healthcheck", "run", name, check=False).returncode == 0, 60, every=0.5)
            assert box.inspect(name)["State"]["Health"]["Status"] == "healthy"
            assert_confined(box.inspect(name)["State"]["Pid"])
            for command in ("/bin/sh", "/bin/bash", "/usr/bin/dpkg", "/usr/bin/apt-get", "/usr/bin/perl"):
                assert podman("exec", name, command, "--version", check=False).returncode != 0, command
            load = ("exec", name, "tidegate", "sim", "--count", 500, "--rate", "max", "--vendors", "acme:json:1", "--json",
                    "--quiet")
            sent = json.loads(podman(*load, "--username", "acme", "--password", password).stdout)
            assert sent["acknowledged"] == 500, sent
            assert podman(*load, "--patience", "1s", check=False).returncode != 0, "without a login"
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
