# SPDX-License-Identifier: Apache-2.0
"""Secrets and payloads stay where they belong: a gateway with every kind of secret, each a word that stands nowhere
else, and destinations that are not there. Whatever it writes or shows is searched for these words. And: no core
file holds its memory unless asked for; its own files are for its user only.
"""
import http.client
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import gateway as lib
from lib.gateway import Gateway, wait_until

CANARIES = {name: f"canary-{name}-{'x' * 20}" for name in (
    "kafka", "clickhouse", "broker", "token", "publisher", "guessed", "misplaced", "payload", "url", "yaml")}
CONFIG = """
data: {{data}}
anonymous: loopback
mqtt: {{{{listen: "127.0.0.1:{{port}}"}}}}
tls: {{{{listen: "127.0.0.1:{tls}", certificate_file: own.crt, key_file: own.key}}}}
admin: {{{{listen: "127.0.0.1:{{admin}}", token_file: token}}}}
journal: {{{{segment_size: 4MiB, extent_size: 256KiB, max_size: 64MiB, keep_size: 8MiB}}}}
vendors:
  - {{{{name: acme, passwords: users}}}}
brokers:
  - {{{{name: old, url: "mqtt://127.0.0.1:{dead}", topics: ["v1/#"], user: gate, password_file: broker}}}}
routes:
  - {{{{topic: "v1/{{{{vendor}}}}/json", codec: json}}}}
sinks:
  - {{{{type: discard}}}}
  - {{{{type: kafka, brokers: "127.0.0.1:{dead}", sasl_mechanism: PLAIN, sasl_user: gate, sasl_password_file: kafka}}}}
  - {{{{type: clickhouse, url: "http://127.0.0.1:{dead}/water", user: gate, password_file: clickhouse}}}}
{more}
"""


class Full(Gateway):
    """Every secret in a file of its own."""

    def __init__(self, more="", **options):
        super().__init__(tempfile.mkdtemp(prefix="tidegate-"), **options)
        self.own_folder = True
        self.dead, self.tls = lib.free_port(), lib.free_port()
        self.config = CONFIG.format(dead=self.dead, tls=self.tls, more=more)
        for name in ("kafka", "clickhouse", "broker", "token"):
            self.write(name, CANARIES[name] + "\n")
        self.write("users", "")
        subprocess.run(["mosquitto_passwd", "-b", self.path("users"), "north", CANARIES["publisher"]], check=True,
                       capture_output=True, timeout=60)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "30", "-subj", "/CN=localhost", "-keyout", self.path("own.key"), "-out",
                        self.path("own.crt")], check=True, capture_output=True, timeout=60)
        os.chmod(self.path("own.key"), 0o600)
        with open(self.path("own.key"), encoding="ascii") as file:
            key = file.read().splitlines()[1]
        with open(self.path("users"), encoding="ascii") as file:
            hashed = file.read().strip().split("$")[-1]
        self.secrets = dict(CANARIES, key=key, hash=hashed)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(self.path(name), 0o600)

    def get(self, path, seconds=30, token=CANARIES["token"]):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=seconds)
            connection.request("GET", path, headers={"Authorization": "Bearer " + token})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)

    def processes(self):
        """The gateway and its workers."""
        return [self.process.pid, *self.workers()]

    def shown(self):
        """place -> text of everything that others see of it, but for the journal, which is there to hold payloads."""
        out = {"log": self.log()}
        for path in ("/metrics", "/status", "/replay", "/readyz", "/no/such"):
            out[path] = self.get(path)[1]
        for pid in self.processes():
            for name in ("cmdline", "environ"):
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    out[f"{pid} {name}"] = file.read().decode(errors="replace")
        for name in os.listdir(os.path.join(self.data, "audit")):
            with open(os.path.join(self.data, "audit", name), encoding="utf-8") as file:
                out[name] = file.read()
        for arguments in (["validate", "--config", self.path("tidegate.yaml")],
                          ["validate", "--config", self.path("tidegate.yaml"), "--json"]):
            result = self.verb(*arguments)
            out[" ".join(arguments)] = (result.stdout + result.stderr).decode()
        return out

    def search(self, shown):
        # A password typed as the user name looks like a name, and the audit log tells who was refused.
        found = [(place, name) for place, text in shown.items() for name, secret in self.secrets.items()
                 if secret in text and not (name == "misplaced" and place.startswith("audit-"))]
        assert not found, found


def exercise(gateway):
    """Whatever may make it talk: failed sign-ins, garbage, wrong tokens, dead destinations, reloads good and bad."""
    def publish(*options, check=None):
        result = subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(gateway.port), "-t", "v1/acme/json", "-q",
                                 "1", *options], capture_output=True, timeout=60)
        assert check is None or (result.returncode == 0) == check, result.stderr
    publish("-u", "north", "-P", CANARIES["publisher"], "-m", '{"device": "1", "level": 1}', check=True)
    publish("-u", "north", "-P", CANARIES["publisher"], "-m", CANARIES["payload"], check=True)
    publish("-u", "north", "-P", CANARIES["guessed"], "-m", "x", check=False)
    publish("-u", CANARIES["misplaced"], "-P", "north", "-m", "x", check=False)  # in the wrong field
    gateway.get("/status", token=CANARIES["guessed"])
    wait_until("all sinks have been tried", lambda: all(
        lane["why"] for lane in gateway.status()["lanes"] if lane["type"] != "discard"))
    wait_until("the broker was tried", lambda: "broker_not_connected" in gateway.log())
    gateway.process.send_signal(signal.SIGHUP)
    wait_until("a reload", lambda: "reloaded" in gateway.log())
    for number, line in enumerate((f"  - {{type: kafka, name: k, brokers: x, properties: {{sasl.password: {CANARIES['yaml']}}}}}",
                                   f"  - {{type: clickhouse, name: c, password: {CANARIES['yaml']}}}",
                                   f"  - {{type: clickhouse, name: c, url: 'http://me:{CANARIES['url']}@127.0.0.1:1/x'}}",
                                   f"brokers: [{{name: b, url: 'mqtt://me:{CANARIES['url']}@127.0.0.1:1', topics: [a]}}]")):
        with open(gateway.path("tidegate.yaml"), "a", encoding="utf-8") as file:
            before = file.tell()
            file.write(line + "\n")
        gateway.process.send_signal(signal.SIGHUP)
        wait_until("a refused reload", lambda: gateway.log().count("reload_failed") > number)
        yield
        os.truncate(gateway.path("tidegate.yaml"), before)


def search_all(log_format):
    with Full(log_format=log_format) as gateway:
        gateway.start()
        for _ in exercise(gateway):
            gateway.search(gateway.shown())
        gateway.search(gateway.shown())
        assert gateway.stop() == 0
        assert gateway.log().count("reload_failed") == 4
        gateway.search({"log at the end": gateway.log()})
        for folder, folders, files in os.walk(gateway.data):
            for name in folders + files:
                mode = os.lstat(os.path.join(folder, name)).st_mode
                assert not stat.S_IMODE(mode) & 0o077, (folder, name, oct(mode))


def test_no_secret_and_no_payload_is_in_what_it_writes_or_shows():
    search_all("text")


def test_nor_in_json_lines_which_are_json_throughout():
    search_all("json")
    with Full(log_format="json") as gateway:
        gateway.start()
        gateway.kill()
        for line in gateway.log().splitlines():
            assert {"time", "level", "event"} <= set(json.loads(line)), line


def crash(gateway):
    """SIGSEGV with no limit on core files, in a folder of its own; the files it leaves there."""
    places = tempfile.mkdtemp(prefix="core-", dir=gateway.folder)
    command = gateway.command()
    with open(gateway.log_path, "ab") as log:
        gateway.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=places,
                                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE,
                                                                                 (resource.RLIM_INFINITY,) * 2))
    gateway.wait_ready()
    with open(f"/proc/{gateway.process.pid}/limits", encoding="ascii") as file:
        limit = next(line.split()[4] for line in file if line.startswith("Max core file size"))
    gateway.process.send_signal(signal.SIGSEGV)
    assert gateway.process.wait(lib.patient(30)) == -signal.SIGSEGV
    return limit, os.listdir(places)


def test_a_crash_leaves_no_memory_behind_unless_asked_for():
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
        raise lib.Skip("the hard limit on core files is not ours to raise")
    with Full() as gateway:
        assert crash(gateway) == ("0", [])
        gateway.search({"log": gateway.log()})
    with Full(more="core_dumps: true") as gateway:
        assert crash(gateway)[0] == "unlimited"


NOBODY = 65534


def as_nobody(gateway):
    """The gateway, and who looks at it, as the same user without rights; (as who we are, when that is one)."""
    if os.geteuid() != 0:
        return []
    wrap = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    for folder, _, files in os.walk(gateway.folder):
        for path in [folder] + [os.path.join(folder, name) for name in files]:
            os.chown(path, NOBODY, NOBODY)
    if subprocess.run([*wrap, lib.PROGRAM, "version"], capture_output=True, timeout=60).returncode != 0:
        raise lib.Skip("the program lies where only root may run it")
    gateway.wrap = wrap
    return wrap


def readable(gateway):
    """Whether each of its processes shows its memory map to another one of the same user."""
    wrap = as_nobody(gateway)
    gateway.start()
    wait_until("the worker runs", lambda: "broker_not_connected" in gateway.log())
    answers = []
    for pid in gateway.processes():
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            assert "State" in file.read()  # tools that look at it from outside go on
        answers.append(subprocess.run([*wrap, "cat", f"/proc/{pid}/maps"], capture_output=True,
                                      timeout=30).returncode == 0)
    assert len(answers) == 2, answers
    return answers


def test_another_process_of_the_same_user_cannot_look_into_it_unless_asked_for():
    with Full() as gateway:
        gateway.command()  # writes the configuration
        assert readable(gateway) == [False, False]
    with Full(more="core_dumps: true") as gateway:
        gateway.command()
        # The worker goes by the limit on core files, which may be 0 for all of this machine.
        assert readable(gateway)[0]


if __name__ == "__main__":
    lib.run(globals())
