# SPDX-License-Identifier: Apache-2.0
"""A real mosquitto on a free port of 127.0.0.1, in a folder of its own, stopped by pid."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile

import gateway as lib

PROGRAM = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:" +
                       os.path.join(lib.ROOT, "build/tools/usr/sbin"))


class Mosquitto:
    """start() again continues with what it saved. `tls`: (ca, certificate, key) paths; `more`: lines of its
    configuration."""

    def __init__(self, persistence=True, tls=None, more=""):
        if PROGRAM is None:
            raise lib.Skip("no mosquitto: deploy/setup --tests brings it")
        self.folder = tempfile.mkdtemp(prefix="tidegate-mosquitto-")
        self.port = lib.free_port()
        self.process = None
        user = "user root\n" if os.geteuid() == 0 else ""
        lines = f"{user}listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n" \
                f"max_inflight_messages 1000\n{more}\n"
        if tls:
            lines += "cafile {}\ncertfile {}\nkeyfile {}\n".format(*tls)
        if persistence:
            lines += f"persistence true\npersistence_location {self.folder}/\nautosave_interval 1\n"
        self.config = os.path.join(self.folder, "mosquitto.conf")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(lines)

    def start(self):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen([PROGRAM, "-c", self.config], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)

        def listens():
            assert self.process.poll() is None, open(os.path.join(self.folder, "log"), encoding="utf-8").read()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        lib.wait_until("mosquitto listens", listens, 20)
        return self

    def save(self):
        """SIGUSR1: write what is held to disk, and wait for it."""
        path = os.path.join(self.folder, "mosquitto.db")
        before = os.stat(path).st_mtime_ns if os.path.exists(path) else 0
        self.process.send_signal(signal.SIGUSR1)
        lib.wait_until("mosquitto saves", lambda: os.path.exists(path) and os.stat(path).st_mtime_ns > before, 20)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)

    def publish(self, topic, payload, *options):
        subprocess.run(["mosquitto_pub", "-p", str(self.port), "-q", "1", "-t", topic, "-m", payload, *options],
                       check=True, timeout=30)

    def sim_start(self, *options):
        return subprocess.Popen([lib.PROGRAM, "sim", "--connect", f"127.0.0.1:{self.port}", "--json", "--quiet",
                                 *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
