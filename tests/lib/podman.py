# SPDX-License-Identifier: Apache-2.0
"""The container image of the program under test, made by deploy/container/build, and gateways that run in it. With
podman and runc, in a storage of our own below build/: images and containers of the machine's user are not touched.

Needs root, as the machine's Debian gives it: without, or without a podman that can run anything at all, everything
here is skipped with the reason."""
import atexit
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib

import compose
import gateway as lib

FOLDER = os.path.join(lib.ROOT, "build/container")
# podman wants a short path here, and that it stays the same.
RUN = f"/tmp/tidegate-podman-{zlib.crc32(FOLDER.encode()):08x}"
TAG = "localhost/tidegate-test"
USER = 10001
ADD_VENDOR = ("vendor", "add", "acme", "--config", "/etc/tidegate/tidegate.yaml", "--generate")
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
# Default limits and cgroups of podman fail where the hard limit on open files is low, or cgroups are mixed.
CONF = os.path.join(lib.ROOT, "deploy/container/containers.conf")
# The second copies the image for each container; it works on any file system.
DRIVERS = ("overlay", "vfs")
# One time for all images: what is the same has the same layers, whatever was committed in between.
ENVIRONMENT = dict(os.environ, SOURCE_DATE_EPOCH="1700000000",
                   CONTAINERS_CONF=CONF,
                   PATH=os.environ["PATH"] + ":/usr/sbin:" + os.path.join(lib.ROOT, "build/tools/usr/bin"))


_state = {"driver": DRIVERS[0]}


def command():
    """podman with our storage, for the driver that works here."""
    driver = _state["driver"]
    return ["podman", "--root", os.path.join(FOLDER, driver), "--runroot", f"{RUN}/{driver}", "--tmpdir",
            f"{RUN}/{driver}/libpod", "--storage-driver", driver]


def podman(*arguments, check=True, seconds=120, **options):
    """Runs podman; with check a failure is raised with what it said."""
    result = subprocess.run([*command(), *map(str, arguments)], capture_output=True, text=True, timeout=seconds,
                            env=ENVIRONMENT, check=False, **options)
    if check and result.returncode:
        raise AssertionError(f"podman {' '.join(map(str, arguments))}: exit code {result.returncode}\n"
                             f"{result.stdout[-2000:]}\n{result.stderr[-4000:]}")
    return result


def probe():
    """Whether podman runs anything here: a program of two lines, in the way the tests run ours. A reason, or None."""
    if os.geteuid() != 0:
        return "not root"
    missing = [name for name in ("podman", "runc", "conmon", "cc")
               if not any(os.access(os.path.join(folder, name), os.X_OK)
                          for folder in ENVIRONMENT["PATH"].split(":"))]
    if missing:
        return f"no {', '.join(missing)}: deploy/setup --tests brings it"
    os.makedirs(FOLDER, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tidegate-probe-") as root:
        for name in ("proc", "sys", "dev", "etc", "run"):
            os.mkdir(os.path.join(root, name))
        made = subprocess.run(["cc", "-static", "-x", "c", "-", "-o", os.path.join(root, "true")],
                              input=b"int main(void) { return 0; }", capture_output=True, check=False)
        if made.returncode:
            return f"no static program: {made.stderr.decode()[-300:]}"
        for driver in DRIVERS:
            _state["driver"] = driver
            # Imported and run, so that the storage is used as by the image.
            name = f"localhost/tidegate-probe:{os.getpid()}"
            tried = podman("import", archive(root), name, check=False)
            if tried.returncode == 0:
                tried = podman("run", "--rm", "--network=none", "--memory=64m", name, "/true", check=False)
            podman("rmi", name, check=False)
            if tried.returncode == 0:
                return None
        return f"podman runs nothing here: {tried.stderr.strip()[-300:]}"


def archive(root):
    path = os.path.join(root, "root.tar")
    with tarfile.open(path, "w") as file:
        for name in ("proc", "sys", "dev", "etc", "run", "true"):
            file.add(os.path.join(root, name), name)
    return path


def use():
    """Ours until this process ends. podman leaves its storage mounted, and a clone with a mount in it cannot be
    removed: the last of us unmounts it, and the next podman mounts it again."""
    os.makedirs(FOLDER, exist_ok=True)
    users = open(os.path.join(FOLDER, "users"), "w", encoding="utf-8")  # pylint: disable=consider-using-with
    fcntl.flock(users, fcntl.LOCK_SH)
    _state["users"] = users
    atexit.register(leave)


def leave():
    try:
        fcntl.flock(_state["users"], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    try:  # podman cleans up behind a container that ended, on its own
        lib.wait_until("no podman of ours runs", lambda: subprocess.run(
            ["pgrep", "-f", f"podman --root {FOLDER}/"], capture_output=True, check=False).returncode, 10)
    except AssertionError as error:
        print(error)
    for driver in DRIVERS:
        subprocess.run(["umount", os.path.join(FOLDER, driver, driver)], capture_output=True, check=False)
    shutil.rmtree(RUN, ignore_errors=True)


def need():
    """Raises Skip where there is no podman that works."""
    if "reason" not in _state:
        if os.geteuid() == 0:
            use()
        _state["reason"] = probe()
    if _state["reason"]:
        raise lib.Skip(_state["reason"])


def fingerprint():
    """Of what the image is made from: our files, the program, and what Debian's packages are here."""
    here = os.path.join(lib.ROOT, "deploy/container")
    found = hashlib.sha256(subprocess.run(
        [os.path.join(lib.ROOT, "deploy/sbom"), "--packages", "ca-certificates,tzdata,base-files", lib.PROGRAM],
        capture_output=True, timeout=60, env=ENVIRONMENT, check=True).stdout)
    for path in sorted(os.path.join(here, name) for name in os.listdir(here)):
        with open(path, "rb") as file:
            found.update(file.read())
    return found.hexdigest()[:16]


def build(tag=TAG):
    """deploy/container/build of the program under test; returns what it printed."""
    made = subprocess.run([os.path.join(lib.ROOT, "deploy/container/build"), "--program", lib.PROGRAM, "--tag", tag],
                          capture_output=True, text=True, timeout=280, check=False,
                          env=dict(ENVIRONMENT, PODMAN=" ".join(command())))
    assert made.returncode == 0, f"deploy/container/build: {made.stdout[-1000:]}\n{made.stderr[-3000:]}"
    return made.stdout


def image():
    """The image's name; built when nothing of it is there yet."""
    need()
    if "image" in _state:
        return _state["image"]
    name = f"{TAG}:{fingerprint()}"
    with open(os.path.join(FOLDER, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if podman("image", "exists", name, check=False).returncode:
            build()
            podman("tag", f"{TAG}:latest", name)
            for old in podman("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").stdout.split():
                if old.startswith(TAG) and old not in (name, f"{TAG}:latest"):
                    podman("rmi", old, check=False)  # one that another run still uses stays
    _state["image"] = name
    return name


def inspect(name):
    return json.loads(podman("inspect", name).stdout)[0]


class Secrets:
    """Certificate and key of the gateway, from a CA of the test, for `podman run` where the image's configuration looks
    for them: `options` as secrets of podman, `mounted` as a folder."""

    FILES = ("tidegate.crt", "tidegate.key")

    def __init__(self, user=USER):
        need()
        self.folder = tempfile.mkdtemp(prefix="tidegate-secrets-")
        made = compose.secrets(self.folder)
        self.ca = os.path.join(made, "ca.crt")
        self.names = {file: f"{os.path.basename(self.folder)}-{file}" for file in self.FILES}
        self.options = []
        tls = os.path.join(self.folder, "tls")
        os.mkdir(tls, 0o750)
        os.chown(tls, 0, user)
        self.mounted = ["-v", f"{tls}:/etc/tidegate/tls:ro"]
        for file, name in self.names.items():
            shutil.copy(os.path.join(made, file), tls)
            os.chmod(os.path.join(tls, file), 0o640)
            os.chown(os.path.join(tls, file), 0, user)
            podman("secret", "create", name, os.path.join(made, file))
            self.options += ["--secret", f"{name},target=/etc/tidegate/tls/{file},uid={user},mode=0400"]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        podman("secret", "rm", *self.names.values(), check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class Container(lib.Gateway):
    """A gateway in a container of the image: as lib.Gateway, with `data` of this machine as its volume, and
    --network=host. `options` are more of `podman run`."""

    HARDENED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--memory=256m")

    def __init__(self, config, options=(), user=USER, network="host", own=None, folder=None):
        super().__init__(folder=folder, config=config)
        self.image = image()
        self.name = os.path.basename(self.folder)
        self.options = [*self.HARDENED, f"--network={network}", "--user", f"{user}:{user}", *options]
        os.mkdir(self.data, 0o700)
        os.chown(self.data, *[user if own is None else own] * 2)

    def settings(self):
        path = os.path.join(self.folder, "tidegate.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.config.format(data="/data", port=self.port, admin=self.admin_port))
        return path

    def mounts(self):
        return ["-v", f"{self.data}:/data", "-v", f"{self.settings()}:/etc/tidegate/tidegate.yaml:ro"]

    def once(self, *arguments):
        """Another container of the same volume and configuration, for one verb; what it printed."""
        return podman("run", "--rm", *self.mounts(), *self.options, self.image, *arguments).stdout

    def start(self, ready=True, seconds=60):
        if podman("container", "exists", self.name, check=False).returncode == 0:
            podman("start", self.name)
        else:
            podman("run", "-d", "--name", self.name, *self.mounts(), *self.options, self.image)
        if ready:
            self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds=60):
        def ready():
            if not self.state()["Running"]:
                raise AssertionError(f"the container ended with {self.state()['ExitCode']}:\n{self.log_tail()}")
            return self.get("/readyz")[0] == 200
        lib.wait_until("the container is ready", ready, seconds, every=0.2)

    def wait(self):
        """Waits for its end; the exit code."""
        return int(podman("wait", self.name).stdout)

    def state(self):
        return inspect(self.name)["State"]

    def stop(self, seconds=30):
        """SIGTERM, and SIGKILL after that grace; the exit code (137 when it was killed)."""
        podman("stop", "-t", seconds, self.name, seconds=seconds + 120)
        return self.state()["ExitCode"]

    def kill(self):
        podman("kill", "-s", "KILL", self.name, check=False)
        podman("wait", self.name, check=False)

    def close(self):
        podman("rm", "-f", "-v", self.name, check=False)
        super().close()

    def log(self):
        result = podman("logs", self.name, check=False)
        return result.stdout + result.stderr

    def inside(self, *command, check=True, **options):
        return podman("exec", self.name, *command, check=check, **options)
