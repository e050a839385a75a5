# SPDX-License-Identifier: Apache-2.0
"""Real ClickHouse servers for the tests: on free ports of 127.0.0.1, in a temporary folder, ended by their own
pid, and by the kernel when the test itself dies. Nothing but the standard library.

    with ClickHouse("18.16") as server:             # or "26.7"
        server.create_tables()                      # what `tidegate clickhouse ddl` prints
        server.query("SELECT count() FROM readings FINAL")   -> [[0]]
        server.kill(); server.start()               # the same data, the same port

18.16 is Debian's clickhouse-server, 26.7 a library from npm behind tests/chdb/server.c; deploy/setup
--clickhouse and --clickhouse-26 bring them. missing(version) says why one cannot be had. Users: `default` may do all;
`gateway` (password PASSWORD) may insert and describe, which 26.7 enforces by grants; `reader` only reads.

TIDEGATE_CLICKHOUSE (a clickhouse-server 18.16) and TIDEGATE_CHDB (a folder) name others than those of setup.
"""
import ctypes
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request

from gateway import PROGRAM, ROOT, Skip, free_port, wait_until

CHDB = os.environ.get("TIDEGATE_CHDB") or os.path.join(ROOT, "build/chdb")
PASSWORD = "high-water"
VERSIONS = ("18.16", "26.7")
ZOOKEEPER_JAR = "/usr/share/java/zookeeper.jar"

# clickhouse-local ends with its last query, so this one does not; the listener serves meanwhile.
SERVE = ("SYSTEM START LISTEN HTTP; SELECT sleepEachRow(3) FROM numbers(100000000) "
         "SETTINGS function_sleep_max_microseconds_per_block=0, max_block_size=1 FORMAT Null")

CONFIG = """<?xml version="1.0"?>
<{tag}>
  <logger><level>information</level><log>{folder}/server.log</log><errorlog>{folder}/server.err.log</errorlog>
    <size>100M</size><count>2</count></logger>
  <listen_host>127.0.0.1</listen_host><http_port>{port}</http_port>{own_ports}
  <max_connections>256</max_connections><keep_alive_timeout>30</keep_alive_timeout>
  <max_concurrent_queries>{max_queries}</max_concurrent_queries>
  <uncompressed_cache_size>67108864</uncompressed_cache_size><mark_cache_size>67108864</mark_cache_size>
  <path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path>
  <users_config>{folder}/users.xml</users_config><default_profile>default</default_profile>
  <default_database>default</default_database><timezone>UTC</timezone>
  <macros><shard>{shard}</shard><replica>{replica}</replica></macros>
  {extra}
</{tag}>
"""

USERS = """<?xml version="1.0"?>
<{tag}>
  <profiles><default><max_memory_usage>4000000000</max_memory_usage></default>
    <readonly><readonly>2</readonly></readonly></profiles>
  <users>
    <default><password></password>{anyone}{all_rights}</default>
    <gateway><password>{password}</password>{anyone}{insert_rights}</gateway>
    <reader><password>{password}</password>{reader}{select_rights}</reader>
  </users>
  <quotas><default><interval><duration>3600</duration><queries>0</queries><errors>0</errors>
    <result_rows>0</result_rows><read_rows>0</read_rows><execution_time>0</execution_time></interval></default></quotas>
</{tag}>
"""


class QueryError(Exception):
    """What the server answered when it was not 200: .status, .code (ClickHouse's number or None)."""

    def __init__(self, status, text):
        super().__init__(f"HTTP {status}: {text[:400]}")
        self.status = status
        digits = text[6:].split(",")[0].split(".")[0] if text.startswith("Code: ") else ""
        self.code = int(digits) if digits.isdigit() else None


def server_program():
    places = (os.environ.get("TIDEGATE_CLICKHOUSE"), os.path.join(ROOT, "build/tools/usr/sbin/clickhouse-server"),
              "/usr/sbin/clickhouse-server")
    return next((place for place in places if place and os.access(place, os.X_OK)), None)


def missing(version):
    """Why there is no server of this version, or None."""
    if version == "26.7":
        names = ("libchdb.so", "clickhouse-26.7")
        if all(os.path.exists(os.path.join(CHDB, name)) for name in names):
            return None
        return f"no ClickHouse 26.7 in {CHDB}: deploy/setup --clickhouse-26 brings it"
    program = server_program()
    if program is None:
        return "no clickhouse-server: deploy/setup --clickhouse brings it"
    libraries = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=20).stdout
    absent = [line.split()[0] for line in libraries.splitlines() if "not found" in line]
    if absent:
        return f"{program} lacks {', '.join(absent)}: deploy/setup --clickhouse brings them"
    return None if "libclickhouse.so.18.16" in libraries else f"{program} is not version 18.16"


def zookeeper_missing():
    if not os.path.exists(ZOOKEEPER_JAR):
        return f"no {ZOOKEEPER_JAR}: deploy/setup --clickhouse brings it"
    return None if shutil.which("java") else "no java: deploy/setup --clickhouse brings it"


def need(version, zookeeper=False):
    """Skips the test, loudly, where the server cannot be had."""
    reason = missing(version) or (zookeeper_missing() if zookeeper else None)
    if reason:
        raise Skip(reason)


def die_with_parent():
    """In the child: the kernel ends it when the thread that started it is gone, however that ended."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Server:
    """A process with a log; what ClickHouse and ZooKeeper share."""

    what = "server"

    def __init__(self, folder):
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="tidegate-servers-")
        self.output = os.path.join(self.folder, "output.log")
        self.process = None

    def command(self):
        raise NotImplementedError

    def answers(self):
        raise NotImplementedError

    def start(self, seconds=60):
        """Waits until it answers. Fails with the end of its log when it ends or stays silent."""
        assert not self.running(), f"{self.what} runs already"
        with open(self.output, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            cwd=self.folder, preexec_fn=die_with_parent)

        def up():
            assert self.running(), f"{self.what} ended with {self.process.returncode}:\n{self.log_tail()}"
            return self.answers()
        try:
            wait_until(f"{self.what} answers", up, seconds)
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{error}\n{self.log_tail()}") from None
        return self

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, seconds=30):
        """SIGTERM, and what it needs to end."""
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        if self.running():
            self.process.kill()
            self.process.wait(20)

    def pause(self):
        """SIGSTOP: it holds its connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        self.kill()
        if self.own_folder and not os.environ.get("KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self if self.running() else self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *error):
        self.close()

    def rss_kb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def log_tail(self, lines=15):
        text = ""
        for name in (self.output, os.path.join(self.folder, "server.err.log")):
            if os.path.exists(name):
                with open(name, encoding="utf-8", errors="replace") as file:
                    text += "".join(file.readlines()[-lines:])
        return text


class ZooKeeper(Server):
    """Debian's ZooKeeper, alone, for the replicated tables of 18.16."""

    what = "ZooKeeper"

    def __init__(self, folder=None):
        super().__init__(folder)
        self.port = free_port()

    def command(self):
        path = os.path.join(self.folder, "zoo.cfg")
        with open(path, "w", encoding="ascii") as file:
            file.write(f"tickTime=500\ndataDir={self.folder}/data\nclientPort={self.port}\n"
                       "clientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=srvr\n"
                       "minSessionTimeout=1000\nmaxSessionTimeout=20000\n")
        return ["java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
                f"{ZOOKEEPER_JAR}:/usr/share/java/slf4j-nop.jar",
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", path]

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as link:
                link.sendall(b"srvr")
                return link.recv(64).startswith(b"Zookeeper version")
        except OSError:
            return False


class ClickHouse(Server):
    def __init__(self, version="18.16", folder=None, zookeeper=None, shard=1, replica=1, max_queries=100, extra="",
                 https=False):
        super().__init__(folder)
        assert version in VERSIONS, version
        self.version = version
        self.what = f"ClickHouse {version}"
        self.port = free_port()
        self.https_port = free_port() if https else None
        self.places = {"shard": shard, "replica": f"r{replica}", "max_queries": max_queries}
        self.extra = extra
        if zookeeper:
            self.extra += (f"<zookeeper><node index=\"1\"><host>127.0.0.1</host><port>{zookeeper.port}</port></node>"
                           "<session_timeout_ms>3000</session_timeout_ms></zookeeper>")
        if https:
            certificate, key = make_certificate(self.folder)
            self.extra += (f"<https_port>{self.https_port}</https_port><openSSL><server>"
                           f"<certificateFile>{certificate}</certificateFile><privateKeyFile>{key}</privateKeyFile>"
                           "<verificationMode>none</verificationMode></server></openSSL>")
            self.certificate = certificate

    # ---- life ----

    def write_configuration(self):
        old = self.version == "18.16"
        anyone = "<networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>"
        own_ports = ""
        if old:  # it does not start without them
            self.places.setdefault("tcp", free_port())
            self.places.setdefault("interserver", free_port())
            own_ports = (f"<tcp_port>{self.places['tcp']}</tcp_port>"
                         f"<interserver_http_port>{self.places['interserver']}</interserver_http_port>"
                         "<interserver_http_host>127.0.0.1</interserver_http_host>")
        values = {
            "tag": "yandex" if old else "clickhouse", "folder": self.folder, "port": self.port,
            "own_ports": own_ports, "extra": self.extra, "password": PASSWORD, "anyone": anyone,
            "reader": anyone.replace("<profile>default", "<profile>readonly") if old else anyone,
            "all_rights": "" if old else "<access_management>1</access_management>",
            "insert_rights": "" if old else "<grants><query>GRANT INSERT, SHOW COLUMNS ON *.*</query></grants>",
            "select_rights": "" if old else "<grants><query>GRANT SELECT ON *.*</query></grants>",
            **self.places}
        for name, text in (("config.xml", CONFIG), ("users.xml", USERS)):
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write(text.format(**values))

    def command(self):
        for name in ("data", "tmp"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        self.write_configuration()
        config = os.path.join(self.folder, "config.xml")
        if self.version == "18.16":
            return [server_program(), f"--config-file={config}"]
        return [os.path.join(CHDB, "clickhouse-26.7"), os.path.join(CHDB, "libchdb.so"), f"--config-file={config}",
                f"--path={self.folder}/data", "--multiquery", "--query", SERVE]

    def stop(self, seconds=30):
        # 26.7 is clickhouse-local: it ends only when its last query does, and loses nothing by SIGKILL.
        if self.version == "18.16":
            super().stop(seconds)
        else:
            self.kill()

    def answers(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=2) as answer:
                return answer.read() == b"Ok.\n"
        except (OSError, urllib.error.URLError):
            return False

    # ---- use ----

    def url(self, database="default", port=None):
        """What `tidegate run --clickhouse` takes."""
        return f"http://127.0.0.1:{port or self.port}/{database}"

    def send(self, sql, user="default", password=None, seconds=120, **settings):
        """The answer's text; QueryError when the server refuses."""
        if password is None:
            password = "" if user == "default" else PASSWORD
        address = f"http://127.0.0.1:{self.port}/"
        if settings:
            address += "?" + urllib.parse.urlencode(settings)
        request = urllib.request.Request(address, data=sql.encode(), headers={
            "X-ClickHouse-User": user, "X-ClickHouse-Key": password})
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            raise QueryError(error.code, error.read().decode(errors="replace")) from None

    def query(self, sql, **options):
        """A list of rows; 64-bit integers come as integers."""
        text = self.send(sql + "\nFORMAT JSONCompact", output_format_json_quote_64bit_integers=0, **options)
        return json.loads(text)["data"]

    def value(self, sql, **options):
        return self.query(sql, **options)[0][0]

    def create_tables(self, *options, program=None):
        """Runs what `tidegate clickhouse ddl --server-version V [options]` prints; returns it."""
        result = subprocess.run([program or PROGRAM, "clickhouse", "ddl", "--server-version", self.version, *options],
                                capture_output=True, text=True, timeout=30)
        assert result.returncode == 0, f"tidegate clickhouse ddl: {result.returncode}\n{result.stderr}{result.stdout}"
        for statement in statements(result.stdout):
            self.send(statement)
        return result.stdout

    def insert(self, table, rows):
        """Rows as dictionaries."""
        self.send(f"INSERT INTO {table} FORMAT JSONEachRow\n" + "\n".join(json.dumps(row) for row in rows))


def statements(text):
    """SQL statements of a file: `--` comments gone, cut at semicolons at the end of a line."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    parts = ("\n".join(lines) + "\n").split(";\n")
    return [part.strip() for part in parts if part.strip()]


# ---- between the gateway and the server ----

def make_certificate(folder):
    """A certificate of its own for 127.0.0.1; paths of certificate and key."""
    certificate, key = os.path.join(folder, "server.crt"), os.path.join(folder, "server.key")
    if not os.path.exists(certificate):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                        "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out",
                        certificate], check=True, capture_output=True, timeout=60)
    return certificate, key


class Proxy:
    """A TCP proxy in front of a server, to break what a server does not break by itself. With `folder` it speaks
    TLS to whoever connects (certificate: .certificate).

    mode "pass"          as it is
         "mute"          what the client sends arrives, the answer is swallowed and the connection closed
         "hold"          connections are taken, nothing passes
    """

    def __init__(self, target, folder=None):
        self.target = target
        self.mode = "pass"
        self.swallowed = 0
        self.connections = 0
        self.context = None
        if folder:
            self.certificate, key = make_certificate(folder)
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(self.certificate, key)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.links = set()
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.listener.close()
        for link in list(self.links):
            shut(link)

    def accept(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(link,), daemon=True).start()

    def serve(self, link):
        try:
            if self.context:
                link.settimeout(20)
                link = self.context.wrap_socket(link, server_side=True)
            link.settimeout(None)
            server = socket.create_connection(("127.0.0.1", self.target), 10)
        except OSError:
            shut(link)
            return
        server.settimeout(None)
        self.links |= {link, server}
        back = threading.Thread(target=self.copy, args=(server, link, True), daemon=True)
        back.start()
        self.copy(link, server, False)
        back.join(60)
        self.links -= {link, server}

    def copy(self, source, sink, is_answer):
        try:
            while data := source.recv(65536):
                while self.mode == "hold":
                    threading.Event().wait(0.02)
                if is_answer and self.mode == "mute":
                    self.swallowed += 1
                    break
                sink.sendall(data)
        except OSError:
            pass
        shut(source)
        shut(sink)


def shut(link):
    try:
        link.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    link.close()
