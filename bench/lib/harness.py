# SPDX-License-Identifier: Apache-2.0
"""What the scenarios of bench/run share: the gateway under load, the floors, CPU time by threads. `options` are those
of the command line, set before a scenario runs."""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("TIDEGATE", os.path.join(ROOT, "build/release/tidegate"))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import gateway as lib  # noqa: E402

BUILD = os.path.dirname(os.environ["TIDEGATE"])
LOAD = os.path.join(BUILD, "bench", "bench_load")
FLOOR = os.path.join(BUILD, "bench", "bench_floor")
PARQUET = os.path.join(BUILD, "bench", "bench_parquet")

CONFIG = """
data: {{data}}
anonymous: loopback
mqtt: {{{{listen: "127.0.0.1:{{port}}"}}}}
admin: {{{{listen: "127.0.0.1:{{admin}}"}}}}
journal: {{{{compression: {compression}, keep: 0s, keep_size: 0}}}}
routes:
{routes}
sinks:
  - {{{{type: {sink}}}}}
"""
ROUTE = '  - {{topic: "v1/{{vendor}}/{{device}}/json", codec: json}}'
options = None  # set by bench/run


def load(port, pid, *arguments):
    """One run of bench_load; its figures."""
    result = subprocess.run([LOAD, "--connect", f"127.0.0.1:{port}", "--pid", str(pid), *map(str, arguments)],
                            capture_output=True, timeout=900)
    if result.returncode != 0:
        raise RuntimeError(f"bench_load: {result.stdout.decode()} {result.stderr.decode()}")
    return json.loads(result.stdout)


class Floor:
    def __init__(self, program=FLOOR, *arguments):
        self.program, self.arguments = program, arguments

    def __enter__(self):
        self.port = lib.free_port()
        self.process = subprocess.Popen([self.program, str(self.port), *self.arguments])
        lib.wait_until("the floor listens", self.listens)
        return self

    def listens(self):
        assert self.process.poll() is None, f"{self.program} ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()

    def load(self, *arguments):
        return load(self.port, self.process.pid, *arguments)


def gateway(compression=1, sink="discard", extra="", routes=ROUTE.format(), **of_sink):
    """`of_sink` are options of the sink."""
    given = "".join(f", {name}: {json.dumps(value)}" for name, value in of_sink.items())
    text = CONFIG.format(compression=compression, sink=sink + given, routes=routes.replace("{", "{{").replace("}", "}}"))
    return lib.Gateway(folder=tempfile.mkdtemp(prefix="tidegate-bench-", dir=options.disk), config=text + extra)


class Measured:
    """A gateway with its own folder, removed at the end; without decoding, when asked, by threads' CPU."""

    def __init__(self, **arguments):
        self.gateway = gateway(**arguments)

    def __enter__(self):
        self.gateway.start()
        return self

    def __exit__(self, *error):
        self.gateway.close()
        shutil.rmtree(self.gateway.folder, ignore_errors=True)

    def load(self, *arguments):
        before = threads(self.gateway.process.pid)
        figures = load(self.gateway.port, self.gateway.process.pid, *arguments)
        self.gateway.settled(seconds=600)
        after = threads(self.gateway.process.pid)
        spent = {name: after[name] - before.get(name, 0) for name in after}
        figures["threads"] = {name: round(seconds, 3) for name, seconds in spent.items()}
        millions = figures["published"] / 1e6
        figures["whole_cpu_s_per_million"] = round(sum(spent.values()) / millions, 3) if millions else 0
        front = sum(seconds for name, seconds in spent.items() if is_front(name))
        figures["front_cpu_s_per_million"] = round(front / millions, 3) if millions else 0
        status = self.gateway.status()
        figures["readings"] = status["readings"]
        figures["raw_bytes"] = status["stored"]["disk_bytes"]
        figures["commits"] = status["stored"]["extents"]
        return figures


def is_front(name):
    """Listener loops and journal thread; what decodes and drives sinks is the back."""
    return name.startswith(("mqtt", "rawlog", "journal", "ingest", "commit"))


def threads(pid):
    """CPU seconds of each thread by its name; threads of one name are summed."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as file:
                name = file.read().strip()
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="utf-8") as file:
                seconds = int(file.read().split()[0]) / 1e9
        except OSError:
            continue
        found[name] = found.get(name, 0) + seconds
    return found


def show(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
