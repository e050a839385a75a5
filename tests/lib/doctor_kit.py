# SPDX-License-Identifier: Apache-2.0
"""Runs `tidegate doctor` on a configuration and looks for findings."""
import json
import os
import shutil
import subprocess
import tempfile

from gateway import PROGRAM, free_port

# Its own ports, and room enough on any machine: alone this has no error.
BASE = """
data: {data}
anonymous: loopback
mqtt: {{listen: "127.0.0.1:{port}"}}
admin: {{listen: "127.0.0.1:{admin}"}}
journal: {{segment_size: 4MiB, extent_size: 256KiB, max_size: 64MiB, keep_size: 32MiB, reserve: 1MiB, memory: 4MiB}}
routes: [{{topic: "v1/{{vendor}}/json", codec: json}}]
"""


class Doctor:
    """A folder with a configuration; `more` is appended to it, with {folder}."""

    def __init__(self, more="sinks: [{{type: parquet}}]\n", base=BASE, data=None):
        self.folder = tempfile.mkdtemp(prefix="tidegate-doctor-")
        self.port, self.admin = free_port(), free_port()
        self.data = data or os.path.join(self.folder, "data")
        self.config = os.path.join(self.folder, "tidegate.yaml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write((base + more).format(data=self.data, port=self.port, admin=self.admin, folder=self.folder))

    def run(self, *arguments, wrap=(), code=None):
        result = subprocess.run([*wrap, PROGRAM, "doctor", "--config", self.config, *arguments], capture_output=True,
                                timeout=120)
        if code is not None:
            assert result.returncode == code, (result.returncode, result.stdout.decode(), result.stderr.decode())
        return result

    def look(self, wrap=(), code=None):
        """The findings."""
        result = self.run("--json", wrap=wrap, code=code)
        told = json.loads(result.stdout)
        levels = [finding["level"] for finding in told["findings"]]
        assert told["errors"] == levels.count("error") and told["warnings"] == levels.count("warn"), told
        assert result.returncode == (1 if told["errors"] else 0), told
        for finding in told["findings"]:
            assert (finding["level"] == "ok") == ("action" not in finding), finding
        return told["findings"]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        shutil.rmtree(self.folder, ignore_errors=True)


def found(findings, level, about, *words):
    """Is there a finding of that level about that, in which all words stand?"""
    return any(finding["level"] == level and finding["about"] == about and
               all(word in finding["text"] + " " + finding.get("action", "") for word in words)
               for finding in findings)
