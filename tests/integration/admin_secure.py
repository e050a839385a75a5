# SPDX-License-Identifier: Apache-2.0
"""The admin interface beyond this machine: it does not start without a token and TLS; who may ask what; the
verbs over HTTPS; tokens and certificates that rotate; what the audit log says about all that.
"""
import concurrent.futures
import glob
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import gateway as lib
from lib.gateway import Gateway, wait_until

OPERATE, READ, METRICS = ("operate-" + "o" * 32, "read-" + "r" * 32, "metrics-" + "m" * 32)
CONFIG = """
data: {{data}}
anonymous: loopback
mqtt: {{{{listen: "127.0.0.1:{{port}}"}}}}
admin:
  listen: "{host}:{{admin}}"
{admin}
journal: {{{{segment_size: 4MiB, extent_size: 256KiB, max_size: 64MiB, keep_size: 8MiB}}}}
routes:
  - {{{{topic: "v1/{{{{vendor}}}}/json", codec: json}}}}
sinks:
  - type: discard
"""


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


class Authority:
    """A certificate authority in a folder, for certificates of 127.0.0.1."""

    def __init__(self, folder, name):
        self.folder, self.name, self.path = folder, name, os.path.join(folder, name + ".crt")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                "-subj", f"/CN={name}", "-keyout", os.path.join(folder, name + ".key"), "-out", self.path)

    def issue(self, certificate, key):
        request, more = os.path.join(self.folder, "request"), os.path.join(self.folder, "more")
        with open(more, "w", encoding="ascii") as file:
            file.write("subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=gateway",
                "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.path, "-CAkey",
                os.path.join(self.folder, self.name + ".key"), "-CAcreateserial", "-days", "20",
                "-extfile", more, "-out", certificate)
        os.chmod(key, 0o600)


class Secure(Gateway):
    """With a token file, and with TLS unless told otherwise."""

    def __init__(self, host="127.0.0.1", tls=True, more=""):
        super().__init__(tempfile.mkdtemp(prefix="tidegate-"))
        self.own_folder = True
        self.tls = tls
        self.authority = Authority(self.folder, "authority")
        self.certificate, self.key = (os.path.join(self.folder, name) for name in ("admin.crt", "admin.key"))
        self.token_path = os.path.join(self.folder, "tokens")
        self.authority.issue(self.certificate, self.key)
        self.tokens(f"ops operate {OPERATE}", f"look read {READ}", f"prometheus metrics {METRICS}")
        lines = ["  token_file: tokens"] + (["  certificate_file: admin.crt", "  key_file: admin.key"] if tls else [])
        self.config = CONFIG.format(host=host, admin="\n".join(lines + [more]))

    def tokens(self, *lines):
        with open(self.token_path, "w", encoding="ascii") as file:
            file.write("# who may ask\n\n" + "\n".join(lines) + "\n")
        os.chmod(self.token_path, 0o600)

    def command(self):
        places = super().command()
        at = places.index("--admin")
        return places[:at] + places[at + 2:]  # as the configuration says

    def ask(self, method, path, token=None, body=None, headers=(), context=None):
        """Status, headers, text."""
        context = context or ssl.create_default_context(cafile=self.authority.path)
        make = http.client.HTTPSConnection if self.tls else http.client.HTTPConnection
        connection = make("127.0.0.1", self.admin_port, timeout=60, **({"context": context} if self.tls else {}))
        try:
            head = dict(headers)
            if token:
                head["Authorization"] = f"Bearer {token}"
            if body is not None:
                head.setdefault("Content-Type", "application/json")
            connection.request(method, path, body, head)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def get(self, path, seconds=30):
        try:
            status, _, text = self.ask("GET", path, OPERATE)
            return status, text
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)

    def audit(self):
        """Entries in the order of time; the log has a second to be written."""
        lines = []
        for path in sorted(glob.glob(os.path.join(self.data, "audit", "audit-*.jsonl"))):
            with open(path, encoding="utf-8") as file:
                lines += [json.loads(line) for line in file]
        return lines

    def audited(self, **members):
        def found():
            return [entry for entry in self.audit() if all(entry.get(key) == value for key, value in members.items())]
        return wait_until(f"an entry {members}", found)

    def reload(self, event):
        before = self.log().count(event)
        self.process.send_signal(signal.SIGHUP)
        wait_until(event, lambda: self.log().count(event) > before)


def start_refused(gateway, *words):
    gateway.start(ready=False)
    assert gateway.process.wait(lib.patient(20)) == 78, gateway.log_tail()
    for word in words:
        assert word in gateway.log(), (word, gateway.log_tail())


def test_beyond_this_machine_it_does_not_start_without_a_token_and_tls():
    with Gateway() as gateway:
        for host in ("0.0.0.0", "[::]"):
            result = gateway.verb("run", "--data", gateway.data, "--listen", "127.0.0.1:0", "--admin", f"{host}:0")
            assert result.returncode == 78 and b"admin.token_file" in result.stderr, result
    with Secure(host="0.0.0.0", tls=False) as gateway:
        start_refused(gateway, "certificate_file", "insecure")
        path = os.path.join(gateway.folder, "tidegate.yaml")
        result = gateway.verb("validate", "--config", path)
        assert result.returncode == 78 and b"certificate_file" in result.stderr, result


def test_insecure_is_said_aloud_and_needs_a_token_all_the_same():
    with Secure(host="0.0.0.0", tls=False, more="  insecure: true") as gateway:
        gateway.start()
        assert "admin_insecure" in gateway.log()
        assert gateway.ask("GET", "/metrics")[0] == 401
        assert gateway.ask("GET", "/metrics", METRICS)[0] == 200


def test_files_that_others_read_or_that_do_not_fit_are_refused_before_the_start():
    with Secure() as gateway:
        os.chmod(gateway.token_path, 0o644)
        start_refused(gateway, "tokens", "chmod 640")
        os.chmod(gateway.token_path, 0o600)
        os.chmod(gateway.key, 0o644)
        start_refused(gateway, "admin.key", "chmod 640")
        gateway.authority.issue(os.path.join(gateway.folder, "other.crt"), gateway.key)
        start_refused(gateway, "is not the key of")
        gateway.authority.issue(gateway.certificate, gateway.key)
        gateway.tokens("ops operate short")
        start_refused(gateway, "tokens:3")
        assert "short" not in gateway.log().split("tokens:3")[1].splitlines()[0], "a token in the log"
        gateway.tokens()
        start_refused(gateway, "no token in it")


def test_each_role_may_what_it_may_and_probes_need_none():
    wanted = {  # path -> least role; a POST needs operate
        "/metrics": 0, "/status": 1, "/tail?wait=0": 1, "/replay": 1, "/drain": 1, "/no/such/path": 0,
    }
    with Secure() as gateway:
        gateway.start()
        for path, least in wanted.items():
            good = 404 if path == "/no/such/path" else 200
            for role, token in enumerate((METRICS, READ, OPERATE)):
                status = gateway.ask("GET", path, token)[0]
                assert status == (good if role >= least else 403), (path, role, status)
            status, headers, _ = gateway.ask("GET", path)
            assert status == 401 and headers["WWW-Authenticate"].startswith("Bearer"), (path, status, headers)
        for token, want in ((None, 401), (METRICS, 403), (READ, 403), (OPERATE, 400)):
            assert gateway.ask("POST", "/replay", token, "{}")[0] == want, token
        for probe in ("/healthz", "/readyz"):
            assert gateway.ask("GET", probe)[0] == 200
            assert gateway.ask("GET", probe, "no-such-token-but-long-enough")[0] == 200


def test_a_token_is_taken_from_its_header_only():
    with Secure() as gateway:
        gateway.start()
        for path in (f"/metrics?token={OPERATE}", f"/metrics?access_token={OPERATE}"):
            assert gateway.ask("GET", path)[0] == 401
        for header in ("Basic " + OPERATE, OPERATE, "Bearer", "Bearer " + OPERATE[:-1], "Bearer " + OPERATE + "x",
                       "Bearer " + OPERATE + " x"):
            assert gateway.ask("GET", "/metrics", headers={"Authorization": header})[0] == 401, header
        assert gateway.ask("GET", "/metrics", headers={"Authorization": "bearer  " + OPERATE})[0] == 200
        assert OPERATE not in gateway.log() and OPERATE not in json.dumps(gateway.audit())


def test_tls_is_1_2_or_1_3_and_nothing_else():
    with Secure() as gateway:
        gateway.start()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cafile=gateway.authority.path)
            context.minimum_version = context.maximum_version = version
            assert gateway.ask("GET", "/healthz", context=context)[0] == 200
        result = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.admin_port}", "-tls1_1",
                                 "-cipher", "ALL:@SECLEVEL=0"], stdin=subprocess.DEVNULL, capture_output=True,
                                timeout=60)
        assert result.returncode != 0, result
        with socket.create_connection(("127.0.0.1", gateway.admin_port), timeout=60) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" not in plain.recv(4096)
        try:
            gateway.ask("GET", "/healthz", context=ssl.create_default_context())
            raise AssertionError("a certificate of nobody was trusted")
        except ssl.SSLCertVerificationError:
            pass


def test_the_verbs_ask_over_https_with_a_token_file():
    with Secure() as gateway:
        gateway.start()
        bare = os.path.join(gateway.folder, "bare")
        with open(bare, "w", encoding="ascii") as file:
            file.write(READ + "\n")
        place = ["--admin", f"https://127.0.0.1:{gateway.admin_port}"]
        trust = ["--admin-ca", gateway.authority.path]
        assert b"gateway" in gateway.verb("status", "--json", *place, *trust, "--token-file", bare, check=0).stdout
        gateway.verb("status", "--json", *place, *trust, "--token-file", gateway.token_path, check=0)
        gateway.verb("replay", "ls", *place, *trust, "--token-file", bare, check=0)
        for missing, word in ((trust, b"--token-file"), (["--token-file", bare], b"--admin-ca")):
            result = gateway.verb("status", *place, *missing)
            assert result.returncode in (1, 69) and word in result.stderr, result
        result = gateway.verb("status", "--admin", "192.0.2.1:9464", "--token-file", bare)
        assert result.returncode != 0 and b"in the clear" in result.stderr, result
        path = os.path.join(gateway.folder, "tidegate.yaml")
        gateway.verb("healthcheck", "--config", path, "--admin", f"127.0.0.1:{gateway.admin_port}", check=1)
        gateway.verb("healthcheck", "--admin", f"https://127.0.0.1:{gateway.admin_port}", *trust, check=0)


def test_tokens_and_certificate_rotate_with_sighup_all_or_nothing():
    new = "fresh-" + "f" * 32
    with Secure() as gateway:
        gateway.start()
        gateway.tokens(f"ops operate {OPERATE}", f"ops operate {new}")
        gateway.reload("reloaded")
        assert gateway.ask("GET", "/status", OPERATE)[0] == gateway.ask("GET", "/status", new)[0] == 200
        other = Authority(gateway.folder, "other")
        other.issue(gateway.certificate, gateway.key)
        gateway.tokens(f"ops operate {new}")
        open_context = ssl.create_default_context(cafile=gateway.authority.path)
        before = http.client.HTTPSConnection("127.0.0.1", gateway.admin_port, timeout=60, context=open_context)
        before.request("GET", "/status", headers={"Authorization": f"Bearer {OPERATE}"})
        before.getresponse().read()
        gateway.reload("reloaded")
        gateway.audited(what="certificates", result="ok", object=gateway.certificate)
        gateway.authority = other
        assert gateway.ask("GET", "/status", new)[0] == 200
        assert gateway.ask("GET", "/status", OPERATE)[0] == 401
        before.request("GET", "/status", headers={"Authorization": f"Bearer {OPERATE}"})
        assert before.getresponse().status == 401, "a connection of before keeps its right"
        before.close()
        gateway.tokens(f"ops operate {OPERATE}", "broken")
        gateway.reload("reload_failed")
        gateway.audited(what="configuration", result="refused")
        assert gateway.ask("GET", "/status", new)[0] == 200
        assert gateway.ask("GET", "/status", OPERATE)[0] == 401


def test_a_reload_neither_ends_tls_nor_opens_the_interface_to_others():
    with Secure(host="0.0.0.0") as gateway:
        gateway.start()
        config = gateway.config
        for without in ("  certificate_file: admin.crt\n  key_file: admin.key\n", "  token_file: tokens\n"):
            # As if it listened on this machine only, which a reload does not bring about.
            text = config.replace(without, "").replace("0.0.0.0:", "127.0.0.1:")
            gateway.config = text
            gateway.command()  # writes the file
            gateway.reload("reload_failed")
            assert gateway.ask("GET", "/metrics")[0] == 401
            assert gateway.ask("GET", "/metrics", METRICS)[0] == 200
        assert "cannot change while it runs" in gateway.log() and "keep admin.token_file" in gateway.log()


def test_guessing_is_slow_bounded_told_and_hinders_nobody():
    with Secure(tls=False) as gateway:
        gateway.start()
        stop = time.monotonic() + 2

        def guess(number):
            seen = set()
            while time.monotonic() < stop:
                seen.add(gateway.ask("GET", "/metrics", f"guessed-{number}-" + "g" * 32)[0])
            return seen
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            guesses = [pool.submit(guess, number) for number in range(40)]
            while time.monotonic() < stop:
                assert gateway.ask("GET", "/metrics", METRICS)[0] == 200
            seen = set().union(*(one.result() for one in guesses))
        assert seen <= {401, 429} and 401 in seen, seen
        entry = gateway.audited(what="admin", result="refused")[0]
        assert entry["from"] == "127.0.0.1" and entry["object"] == "GET /metrics", entry
        gateway.stop()
        # One line, and its count: not one a guess.
        refused = [entry for entry in gateway.audit() if entry["result"] == "refused"]
        assert len(refused) <= 4 and any(entry.get("repeated", 0) >= 40 for entry in refused), refused


def test_what_changes_something_is_audited_with_its_name_and_place():
    with Secure() as gateway:
        gateway.start()
        body = {"sink": "discard", "from": "2026-01-01T00:00:00Z", "to": "2036-01-01T00:00:00Z", "dry_run": True}
        status, _, text = gateway.ask("POST", "/replay", OPERATE, json.dumps(body))
        assert status == 200, text
        job = json.loads(text)["id"]
        begun = gateway.audited(what="replay", why="begun", object=job)[0]
        assert begun["who"] == "ops" and begun["from"] == "127.0.0.1", begun
        gateway.audited(what="replay", why="done", object=job)
        gateway.audited(what="admin", result="ok", who="ops", object="POST /replay")
        assert gateway.ask("POST", "/replay", READ, "{}")[0] == 403
        gateway.audited(what="admin", result="refused", who="look", object="POST /replay", why="HTTP status 403")
        assert gateway.ask("POST", "/replay/stop?id=no%0a%22such", OPERATE, "{}")[0] == 404
        gateway.audited(what="admin", result="refused", who="ops", object="POST /replay/stop?id=no\n\"such")
        for name in ("../../etc/passwd", "%2e%2e%2fjournal", "/etc/passwd", "a%00b", ""):
            assert gateway.ask("POST", f"/replay/forget?id={name}", OPERATE, "{}")[0] in (400, 404), name
        assert gateway.stop() == 0
        # Behind the stop only counts of what repeated.
        words = [entry["what"] for entry in gateway.audit() if "repeated" not in entry]
        assert words[0] == "start" and words[-1] == "stop", words


def text(word):
    data = word.encode()
    return len(data).to_bytes(2, "big") + data


def packet(kind, body):
    size, left = b"", len(body)
    while True:
        left, low = divmod(left, 128)
        size += bytes([low | (0x80 if left else 0)])
        if not left:
            return bytes([kind]) + size + body


def publish(gateway, client, topics, user=None):
    """One connection that sends to each topic at QoS 0, or is refused for its user."""
    connect = text("MQTT") + bytes([4, 0xc2 if user else 2]) + b"\0\x3c" + text(client)
    connect += text(user) + text("wrong") if user else b""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as stream:
        stream.sendall(packet(0x10, connect))
        if stream.recv(4)[3:] != b"\0":
            return
        for topic in topics:
            stream.sendall(packet(0x30, text(topic) + b'{"device": "device-%d", "level": 1}' % len(topic)))
        stream.sendall(packet(0xe0, b""))
        while stream.recv(4096):
            pass


def visit(gateway, number):
    publish(gateway, f"client-{number}", ["v1/aqua/json"])
    publish(gateway, f"client-{number}", [], user=f"user-{number}")
    gateway.ask("GET", f"/path-{number}", f"guess-{number}-" + "g" * 32)


def series(gateway):
    lines = gateway.ask("GET", "/metrics", METRICS)[2].splitlines()
    return {line.rsplit(" ", 1)[0] for line in lines if line and line[0] != "#"}


def test_visitors_add_no_series_to_the_metrics_and_topics_a_bounded_number():
    with Secure(tls=False) as gateway:
        gateway.start()
        visit(gateway, 0)
        gateway.settled(messages=1)
        before = len(series(gateway))
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: visit(gateway, number), range(1, 100)))
        gateway.settled(messages=100)
        # What happened for the first time may add a reason; a hundred visitors add none of their own.
        after = series(gateway)
        assert len(after) - before < 30, len(after)
        words = ("client-", "user-", "device-", "path-", "guess-")
        assert not [name for name in after if any(word in name for word in words)]
        publish(gateway, "many", [f"v1/vendor-{number}/json" for number in range(1200)])
        gateway.settled(messages=1300)
        names = {name.split('vendor="')[1].split('"')[0] for name in series(gateway) if 'vendor="' in name}
        assert 900 < len(names) <= 1003, len(names)
        assert len(gateway.log()) < 100000, len(gateway.log())


if __name__ == "__main__":
    lib.run(globals())
