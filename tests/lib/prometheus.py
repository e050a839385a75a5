# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus of its own: a temporary folder, a free port, stopped by its own pid."""
import json
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

from gateway import ROOT, Skip, free_port, wait_until

RULES = os.path.join(ROOT, "deploy/prometheus/tidegate.rules.yaml")


def program(name):
    """prometheus or promtool."""
    path = shutil.which(name, path=os.environ["PATH"] + ":" + os.path.join(ROOT, "build/tools/usr/bin"))
    if path is None:
        raise Skip(f"no {name}: deploy/setup --tests unpacks it from the package prometheus")
    return path


class Prometheus:
    """Scrapes `targets` (host:port) as the job tidegate every two seconds, with the rules of deploy/; `more` are further
    entries of scrape_configs, which come under the same job."""

    def __init__(self, targets, more=()):
        self.folder = tempfile.mkdtemp(prefix="tidegate-prometheus-")
        self.port = free_port()
        self.log_path = os.path.join(self.folder, "log")
        config = os.path.join(self.folder, "prometheus.yml")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"},
                       "rule_files": [RULES],
                       "scrape_configs": [{"job_name": "tidegate", "static_configs": [{"targets": targets}]},
                                          *[dict(one, relabel_configs=[{"target_label": "job",
                                                                        "replacement": "tidegate"}])
                                            for one in more]]}, file)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={self.folder}/data",
                 f"--web.listen-address=127.0.0.1:{self.port}"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until("Prometheus is ready", self.ready, 60)

    def ready(self):
        assert self.process.poll() is None, self.log()
        try:
            return self.get("/-/ready") is not None
        except (OSError, urllib.error.HTTPError):
            return False

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()[-3000:]

    def get(self, path, **arguments):
        query = "?" + urllib.parse.urlencode(arguments) if arguments else ""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}{query}", timeout=30) as answer:
            return answer.read().decode()

    def query(self, text):
        """The series of an instant query, as (labels, value); an assertion for one that is wrong."""
        try:
            answer = json.loads(self.get("/api/v1/query", query=text))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{text}: {error.read().decode()}") from None
        if answer["data"]["resultType"] == "scalar":
            return [({}, float(answer["data"]["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]

    def rules(self):
        """All rules as Prometheus has read them."""
        groups = json.loads(self.get("/api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()
