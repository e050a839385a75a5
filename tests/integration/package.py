#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian package: lintian, and its life in a throw-away layer over this machine's own system (overlayfs in a
mount namespace of this script, chroot), so that dpkg, adduser and the libraries are the real ones. Needs root. There is no
systemd in there: what the unit does is tested in service.py, that it is installed here."""
import ctypes
import glob
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from gateway import Skip, wait_until  # noqa: E402

BUILD = os.environ.get("TIDEGATE_BUILD") or os.path.join(lib.ROOT, "build/release")
WORK = tempfile.mkdtemp(prefix="tidegate-package-")
CLONE_NEWNS = 0x20000


def run(*command, check=True, seconds=200, env=None):
    result = subprocess.run(command, capture_output=True, timeout=seconds, env=env, stdin=subprocess.DEVNULL)
    assert not check or result.returncode == 0, f"{command}: {result.returncode}\n{result.stdout.decode()}{result.stderr.decode()}"
    return result


def package(version):
    """Its file, built once."""
    found = glob.glob(os.path.join(WORK, f"tidegate_{version}_*.deb"))
    if found:
        return found[0]
    made = run(os.path.join(lib.ROOT, "deploy/debian/build"), "--build", BUILD, "--version", version, WORK)
    return made.stdout.decode().strip()


class Layer:
    """This machine's system with a layer of its own on top."""

    def __init__(self):
        if os.geteuid() != 0:
            raise Skip("not root: a package cannot be installed")
        if not shutil.which("adduser", path="/usr/sbin:/sbin"):
            raise Skip("no adduser, which the package needs")
        if os.path.exists("/usr/bin/tidegate"):
            raise Skip("this machine has a tidegate of its own in /usr/bin")
        self.root = os.path.join(tempfile.mkdtemp(prefix="layer-", dir=WORK), "root")
        upper, work = self.root + "-upper", self.root + "-work"
        for folder in (self.root, upper, work):
            os.mkdir(folder)
        mounted = run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", self.root, check=False)
        if mounted.returncode:
            raise Skip(f"no overlay over /: {mounted.stderr.decode().strip()}")
        for folder in ("/dev", "/proc"):
            run("mount", "--bind", folder, self.root + folder)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        run("umount", "-R", "-l", self.root)

    def run(self, *command, user=None, check=True):
        """In there; standard output and error together."""
        who = [f"--userspec={user}:{user}"] if user else []
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
        result = run("chroot", *who, self.root, *command, check=check, env=env)
        return (result.stdout + result.stderr).decode()

    def install(self, file):
        shutil.copy(file, self.root + "/tmp/tidegate.deb")
        return self.run("dpkg", "--force-confdef", "-i", "/tmp/tidegate.deb")

    def path(self, path):
        return self.root + path

    def state(self, path):
        """Owner, group and mode as in there."""
        return self.run("stat", "-c", "%U:%G %a", path).strip()


class Service:
    """What the unit's ExecStart runs, as its user."""

    def __init__(self, layer):
        self.port, self.admin = lib.free_port(), lib.free_port()
        self.process = subprocess.Popen(
            ["chroot", "--userspec=tidegate:tidegate", layer.root, "/usr/bin/tidegate", "run", "--config", "/etc/tidegate/tidegate.yaml",
             "--data", "/var/lib/tidegate", "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")

        def well():
            assert self.process.poll() is None, self.process.stderr.read().decode()
            return run(lib.PROGRAM, "healthcheck", "--admin", f"127.0.0.1:{self.admin}", check=False).returncode == 0
        wait_until("the installed gateway is ready", well, 60)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.terminate()
        assert self.process.wait(60) == 0, self.process.stderr.read().decode()
        self.process.stderr.close()

    def publish(self, value):
        run("mosquitto_pub", "-p", str(self.port), "-q", "1", "-t", "v1/aqua/1/json", "-m", '{"level": %d}' % value)


def test_lintian_finds_no_error():
    if not shutil.which("lintian"):
        raise Skip("no lintian: deploy/setup --tests installs it")
    result = run("lintian", "--allow-root", "--fail-on", "error", package("0.1.0"), check=False)
    print(result.stdout.decode(), end="")
    assert result.returncode == 0, result.stdout.decode() + result.stderr.decode()
    assert b"E:" not in result.stdout


def test_it_installs_a_service_of_its_own_user_with_manuals_completion_and_dashboards():
    with Layer() as layer:
        layer.install(package("0.1.0"))
        assert "tidegate" in layer.run("id", "-nu", "tidegate")
        assert layer.state("/etc/tidegate") == "root:tidegate 750"
        assert layer.state("/etc/tidegate/tidegate.yaml") == "root:tidegate 640"
        assert layer.state("/etc/tidegate/secrets") == "root:root 700"
        assert layer.state("/var/lib/tidegate") == "tidegate:tidegate 750"
        for path in ("/usr/share/man/man1/tidegate.1.gz", "/usr/share/man/man5/tidegate.yaml.5.gz",
                     "/usr/share/man/zh_CN/man1/tidegate.1.gz", "/usr/share/bash-completion/completions/tidegate",
                     "/lib/systemd/system/tidegate.service", "/usr/share/tidegate/prometheus/tidegate.rules.yaml",
                     "/usr/share/doc/tidegate/changelog.gz", "/usr/share/doc/tidegate/sbom.spdx.json",
                     "/usr/share/doc/tidegate/examples/one-vendor.yaml"):
            assert os.path.exists(layer.path(path)), path
        assert len(os.listdir(layer.path("/usr/share/tidegate/grafana/dashboards"))) >= 4
        assert "ok" in layer.run("/usr/bin/tidegate", "validate", "--config", "/etc/tidegate/tidegate.yaml", user="tidegate")
        assert "Failed" not in layer.run("dpkg", "--verify", "tidegate"), "a file is not what the package says"


def test_it_runs_as_its_user_and_an_upgrade_keeps_what_was_changed_and_what_was_stored():
    with Layer() as layer:
        layer.install(package("0.1.0"))
        with Service(layer) as service:
            service.publish(1)
        config = layer.path("/etc/tidegate/tidegate.yaml")
        with open(config, "a", encoding="utf-8") as file:
            file.write("# mine\n")
        layer.install(package("0.1.1"))
        assert "0.1.1" in layer.run("dpkg-query", "-W", "tidegate")
        with open(config, encoding="utf-8") as file:
            assert "# mine" in file.read()
        assert layer.state("/etc/tidegate/tidegate.yaml") == "root:tidegate 640"
        with Service(layer) as service:
            service.publish(2)
            status = run(lib.PROGRAM, "status", "--json", "--admin", f"127.0.0.1:{service.admin}").stdout.decode()
            assert '"received":2,' in status, status


def test_a_purge_takes_the_configuration_and_leaves_the_data():
    with Layer() as layer:
        layer.install(package("0.1.0"))
        with Service(layer) as service:
            service.publish(1)
        layer.run("dpkg", "--remove", "tidegate")
        assert os.path.exists(layer.path("/etc/tidegate/tidegate.yaml")), "a removal keeps the configuration"
        assert not os.path.exists(layer.path("/usr/bin/tidegate"))
        text = layer.run("dpkg", "--purge", "tidegate")
        assert "holds journal and readings" in text, text
        assert not os.path.exists(layer.path("/etc/tidegate")), os.listdir(layer.path("/etc/tidegate"))
        assert os.path.isdir(layer.path("/var/lib/tidegate/journal/raw"))


def test_a_purge_without_data_leaves_nothing():
    with Layer() as layer:
        layer.install(package("0.1.0"))
        layer.run("dpkg", "--purge", "tidegate")
        for path in ("/etc/tidegate", "/var/lib/tidegate", "/usr/share/tidegate", "/usr/share/doc/tidegate"):
            assert not os.path.exists(layer.path(path)), path


def own_mounts():
    """Mounts of this script are nobody else's, and end with it."""
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) == 0:
        run("mount", "--make-rprivate", "/")


if __name__ == "__main__":
    own_mounts()
    try:
        lib.run(dict(globals()))
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
