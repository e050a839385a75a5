# SPDX-License-Identifier: Apache-2.0
"""Starts the real program on free ports in a temporary folder, waits for what it says about itself,
stops it by its own pid. Nothing but the standard library.

TIDEGATE names the program (default build/release/tidegate), TIDEGATE_READER_PYTHON a Python that has
DuckDB and pyarrow (default build/venv/bin/python).
"""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("TIDEGATE") or os.path.join(ROOT, "build/release/tidegate")
READER = os.environ.get("TIDEGATE_READER_PYTHON") or os.path.join(ROOT, "build/venv/bin/python")


def free_port():
    """A port that was free a moment ago. Not reserved: whoever starts on it checks. Below those that the
    kernel gives to outgoing connections, of which the scripts beside this one make many."""
    while True:
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


# How much slower than a quiet machine one may be, before what takes so long counts as hung. Waiting is for
# events, so patience costs nothing where all is well; under a sanitizer, beside three other scripts on two
# processors, it tells a fault from a slow day.
PATIENCE = float(os.environ.get("PATIENCE", "4"))


def patient(seconds):
    return seconds * PATIENCE


def wait_until(what, condition, seconds=20, every=0.05):
    """Waits for an event, never for luck: returns the first true result, or fails with `what`."""
    end = time.monotonic() + patient(seconds)
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not within {patient(seconds):g} s: {what}")
        time.sleep(every)


def embedded_text():
    """The embedded default as a file, but for Parquet files every 0.3 s, so that tests need not wait 10 s."""
    text = subprocess.run([PROGRAM, "validate", "--embedded"], capture_output=True, timeout=20, check=True)
    return text.stdout.decode() + "    flush_age: 300ms\n"


class Gateway:
    """One gateway on one data folder; start() again continues it. Without `config` (a format string with
    data, port, admin) it runs the embedded default: quick, as above, or with `plain` exactly as it is."""

    def __init__(self, folder=None, config=None, wrap=(), env=None, plain=False, log_format="text"):
        self.plain = plain
        self.log_format = log_format
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="tidegate-")
        self.data = os.path.join(self.folder, "data")
        self.log_path = os.path.join(self.folder, "gateway.log")
        self.config = config
        self.wrap = list(wrap)
        self.env = dict(os.environ, **(env or {}))
        self.port = free_port()
        self.admin_port = free_port()
        self.process = None

    # ---- life ----

    def command(self):
        places = ["--data", self.data, "--listen", f"127.0.0.1:{self.port}", "--admin",
                  f"127.0.0.1:{self.admin_port}"]
        if self.plain:
            return [PROGRAM, "run", "--log-format", self.log_format, *places]
        path = os.path.join(self.folder, "tidegate.yaml")
        text = embedded_text() if self.config is None else self.config.format(
            data=self.data, port=self.port, admin=self.admin_port)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return [PROGRAM, "run", "--log-format", self.log_format, "--config", path, *places]

    def start(self, ready=True, seconds=60):
        os.makedirs(self.folder, exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.wrap + self.command(), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env=self.env)
        if ready:
            self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds=60):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"the gateway ended with {self.process.returncode}:\n{self.log_tail()}")
            return self.get("/readyz")[0] == 200
        wait_until("the gateway is ready", ready, seconds)

    def stop(self, seconds=15):
        """SIGTERM; returns the exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(patient(seconds))
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"SIGTERM did not end it within {seconds} s:\n{self.log_tail()}")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)

    def workers(self):
        """Pids of its worker processes, which subscribe at brokers."""
        mine = []
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            try:
                with open(f"/proc/{self.process.pid}/task/{task}/children", encoding="ascii") as file:
                    mine += file.read().split()
            except (FileNotFoundError, ProcessLookupError):
                pass  # a thread that ended meanwhile
        return sorted({int(pid) for pid in mine})

    def close(self):
        self.kill()
        if self.own_folder and not os.environ.get("KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    # ---- what it says ----

    def get(self, path, seconds=30):
        """Status and text; (0, reason) when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}",
                                        timeout=seconds) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (OSError, ConnectionError) as error:
            return 0, str(error)

    def status(self):
        code, text = self.get("/status")
        assert code == 200, f"/status: {code} {text}\n{self.log_tail(60)}"
        return json.loads(text)

    def metrics(self):
        """Name with labels -> value."""
        code, text = self.get("/metrics")
        assert code == 200, f"/metrics: {code} {text}\n{self.log_tail(60)}"
        lines = (line for line in text.splitlines() if line and line[0] != "#")
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def log_tail(self, lines=25):
        return "\n".join(self.log().splitlines()[-lines:])

    def settled(self, seconds=60, messages=None):
        """Waits until everything received is decoded and every lane has confirmed it."""
        def done():
            status = self.status()
            if messages is not None and status["received"] < messages:
                return None
            behind = status["undecoded"] or any(lane["lag_messages"] for lane in status["lanes"])
            return None if behind else status
        return wait_until("everything is decoded and stored", done, seconds)

    # ---- other programs against it ----

    def verb(self, *arguments, seconds=60, check=None, stdin=None):
        """Runs `tidegate ARGUMENTS`; with check, the exit code must be that."""
        result = subprocess.run([PROGRAM, *arguments], capture_output=True, timeout=patient(seconds), input=stdin,
                                env=self.env)
        if check is not None and result.returncode != check:
            raise AssertionError(f"tidegate {' '.join(arguments)}: exit code {result.returncode}, not {check}"
                                 f"\n{result.stdout.decode()[-2000:]}\n{result.stderr.decode()[-2000:]}")
        return result

    def admin_verb(self, *arguments, **options):
        return self.verb(*arguments, "--admin", f"127.0.0.1:{self.admin_port}", **options)

    def publish(self, topic, payload, *options):
        """mosquitto_pub; the payload is bytes."""
        result = subprocess.run(
            ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.port), "-t", topic, "-s", *options],
            input=payload, capture_output=True, timeout=30)
        assert result.returncode == 0, f"mosquitto_pub: {result.stderr.decode()}"

    def sim(self, *options, seconds=120, check=0):
        """`tidegate sim`; the summary as an object."""
        result = self.verb("sim", "--connect", f"127.0.0.1:{self.port}", "--json", "--quiet", *options,
                           seconds=seconds, check=check)
        return json.loads(result.stdout)

    def sim_start(self, *options):
        return subprocess.Popen([PROGRAM, "sim", "--connect", f"127.0.0.1:{self.port}", "--json", "--quiet",
                                 *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env)

    def rows(self, sql):
        """Asks DuckDB over the Parquet files; `parquet` in the text is all of them. A list of rows."""
        return query(os.path.join(self.data, "parquet"), sql)


def reader_missing():
    """A reason when there is no DuckDB, or None."""
    if os.path.exists(READER) and subprocess.run([READER, "-c", "import duckdb, pytz"],
                                                 capture_output=True).returncode == 0:
        return None
    return f"no DuckDB in {READER}: deploy/setup --readers makes it"


QUERY = """
import duckdb, json, sys
connection = duckdb.connect()
connection.execute("SET TimeZone='UTC'; SET enable_progress_bar=false")  # it would print after two seconds
files = sys.argv[1] + "/*/*.parquet"
print(json.dumps(connection.execute(sys.argv[2].replace("parquet", "read_parquet('" + files + "')")).fetchall(),
                 default=str))
"""


def query(folder, sql):
    if not any(name.endswith(".parquet") for _, _, names in os.walk(folder) for name in names):
        return []
    result = subprocess.run([READER, "-c", QUERY, folder, sql], capture_output=True, timeout=300)
    assert result.returncode == 0, result.stderr.decode()[-2000:]
    return json.loads(result.stdout)


def sanitized():
    """The program carries a sanitizer, whose own memory is not ours to judge."""
    with open(PROGRAM, "rb") as file:
        data = file.read()
    return b"__asan_init" in data or b"__tsan_init" in data


# ---- a small runner: tests are functions whose names are facts ----

class Skip(Exception):
    """Raised with the reason."""


def run(namespace):
    """Runs every function test_* of a module in the order of the file; exits."""
    wanted = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    tests = [(name[5:], function) for name, function in namespace.items()
             if name.startswith("test_") and callable(function)]
    tests = [test for test in tests if not wanted or test[0] in wanted]
    passed, failed, skipped = 0, 0, 0
    for name, function in tests:
        began = time.monotonic()
        try:
            function()
            passed += 1
            print(f"ok   {name} ({time.monotonic() - began:.1f} s)", flush=True)
        except Skip as reason:
            skipped += 1
            print(f"SKIP {name}: {reason}", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            import traceback
            traceback.print_exc(file=sys.stdout)
            print(f"FAIL {name}: {error}", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or not tests else 0)
