# SPDX-License-Identifier: Apache-2.0
"""A gateway whose history is sent again: its configuration, with a mapping that a test can mend, and what tests ask
about its replays."""
import json
import os
import signal
import urllib.error
import urllib.request

import kafka_gateway
from gateway import Gateway, wait_until

# Times come from the payload: a message has the same keys in whatever decoding.
MAPPING = """
device: sn
time: {{path: ts, format: "yyyy-MM-dd HH:mm:ss", zone: Asia/Shanghai}}
fields:
  volume.total: {{path: total, unit: {volume}}}
  {second}: {{path: p, unit: MPa}}
"""
NOTHING = {"type": "discard", "name": "nothing", "flush_age": "100ms", "unit_rows": 2000}


class ReplayGateway(Gateway):
    """Sinks Parquet (as `parquet`), discard (as `nothing`) and others. Topics `m/DEVICE` go through the mapping."""

    def __init__(self, *sinks, routes="", journal="", parquet=kafka_gateway.PARQUET):
        super().__init__()
        self.mapping = os.path.join(self.folder, "vendor.yaml")
        self.journal, self.routes = journal, routes
        self.sinks = [*([parquet] if parquet else []), NOTHING, *sinks]
        self.write_mapping()

    def write_mapping(self, volume="L", second="pressure"):
        os.makedirs(self.folder, exist_ok=True)
        with open(self.mapping, "w", encoding="utf-8") as file:
            file.write(MAPPING.format(volume=volume, second=second))

    def command(self):
        text = kafka_gateway.config(*self.sinks)
        text = text.replace("sinks:\n", f"  - {{{{topic: m/+, codec: json, vendor: acme, mapping: {self.mapping}}}}}\n"
                            f"{self.routes}sinks:\n")
        if self.journal:
            text = text.replace("mqtt: {{", "mqtt: {{max_packet: 64KiB, ")
            text = text.replace("journal: {{segment_size: 4MiB, extent_size: 256KiB}}", f"journal: {self.journal}")
        self.config = text
        return super().command()

    def reload(self):
        before = self.status()["generation"]
        self.process.send_signal(signal.SIGHUP)
        wait_until("the new configuration is taken", lambda: self.status()["generation"] > before, 20)

    def publish_meters(self, first, count, minute=0):
        """One message a meter, of two readings each."""
        for number in range(first, first + count):
            text = {"sn": f"{number:08d}", "ts": f"2026-11-20 08:{minute:02d}:00", "total": 1000 + number, "p": 0.31}
            self.publish(f"m/{number}", json.dumps(text).encode(), "-q", "1")

    # ---- replays ----

    def replay(self, *arguments, check=0, seconds=90):
        """`tidegate replay --json`, from the beginning to now unless told; the job as an object."""
        words = list(arguments)
        for option, value in (("--from", "-2h"), ("--to", "now")):
            if option not in words:
                words += [option, value]
        result = self.admin_verb("replay", *words, "--json", check=check, seconds=seconds)
        return json.loads(result.stdout)["replays"][0]

    def begin(self, *arguments):
        """The id of one that runs by itself."""
        return self.admin_verb("replay", "--from", "-2h", "--to", "now", "--detach", *arguments,
                               check=0).stdout.decode().strip()

    def job(self, identity):
        code, text = self.get(f"/replay?id={identity}")
        assert code == 200, f"/replay: {code} {text}"
        found = json.loads(text)["replays"]
        return found[0] if found else None

    def job_becomes(self, identity, what, condition, seconds=40):
        def look():
            found = self.job(identity)
            return found if condition(found) else None
        try:
            return wait_until(f"replay {identity} {what}", look, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.job(identity)}\n{self.log_tail()}") from None

    def ends(self, identity, state="done", seconds=60):
        return self.job_becomes(identity, f"is {state}", lambda job: job["state"] != "running", seconds)["state"] == state

    def post(self, path, body=b"{}", headers=None):
        """Status and text."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin_port}{path}", data=body, method="POST",
                                         headers={"Content-Type": "application/json", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
