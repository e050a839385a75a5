#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway under a service manager: probes that are true, and what is told to $NOTIFY_SOCKET."""
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from gateway import Gateway, Skip, wait_until  # noqa: E402


def check(gateway, *options):
    """Exit code and the one line of `tidegate healthcheck`."""
    result = gateway.verb("healthcheck", *options)
    text = result.stdout.decode()
    assert text.count("\n") == 1, f"one line, not: {text!r} {result.stderr.decode()}"
    return result.returncode, text


def thread_named(pid, name):
    """The number of the first thread of that name."""
    for tid in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
        with open(f"/proc/{pid}/task/{tid}/comm", encoding="ascii") as file:
            if file.read().strip() == name:
                return tid
    raise AssertionError(f"no thread {name}")


# ---- healthcheck ----

def test_healthcheck_is_yes_while_it_runs_and_no_before_and_after():
    with Gateway() as gateway:
        admin = ["--admin", f"127.0.0.1:{gateway.admin_port}"]
        assert check(gateway, *admin)[0] == 1
        gateway.start()
        for which, word in (("--ready", "ready"), ("--live", "live")):
            code, text = check(gateway, which, *admin)
            assert code == 0 and text.endswith(f": {word}\n"), text
        assert gateway.stop() == 0
        code, text = check(gateway, "--live", *admin)
        assert code == 1 and "not live" in text, text


def test_healthcheck_finds_the_address_in_the_configuration_also_through_a_link():
    with Gateway() as gateway:
        gateway.start()
        config = os.path.join(gateway.folder, "mounted.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f'admin: {{listen: "0.0.0.0:{gateway.admin_port}"}}\n')
        link = os.path.join(gateway.folder, "link.yaml")
        os.symlink("mounted.yaml", link)
        code, text = check(gateway, "--config", link)
        assert code == 0 and text == f"127.0.0.1:{gateway.admin_port}: ready\n", text


def test_healthcheck_gives_up_on_a_gateway_that_stands_still():
    with Gateway() as gateway:
        gateway.start()
        gateway.process.send_signal(signal.SIGSTOP)
        try:
            code, text = check(gateway, "--live", "--admin", f"127.0.0.1:{gateway.admin_port}", "--timeout", "200ms")
            assert code == 1 and "not live" in text, text
        finally:
            gateway.process.send_signal(signal.SIGCONT)
        wait_until("it is well again",
                   lambda: check(gateway, "--live", "--admin", f"127.0.0.1:{gateway.admin_port}")[0] == 0)


def held(thread):
    """strace that lets no poll of that thread return, or the reason why there is none."""
    if not shutil.which("strace"):
        raise Skip("no strace: deploy/setup --tests installs it")
    return subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-p", thread, "-e", "trace=epoll_wait,epoll_pwait", "-e",
                             "inject=epoll_wait,epoll_pwait:delay_enter=600000000"], stderr=subprocess.PIPE)


def test_a_loop_that_does_not_turn_makes_it_not_live():
    with Gateway() as gateway:
        gateway.start()
        admin = ["--admin", f"127.0.0.1:{gateway.admin_port}"]
        for name, whose in (("mqtt", "ingest loop"), ("tidegate", "main loop")):
            tracer = held(thread_named(gateway.process.pid, name))
            try:
                wait_until(f"{whose} is missed", lambda: gateway.get("/healthz")[0] == 503, 60, 0.5)
                assert check(gateway, "--live", *admin)[0] == 1
                assert gateway.get("/readyz")[0] == 200, "readiness is another question"
            finally:
                tracer.terminate()
                tracer.communicate(timeout=60)
            wait_until(f"{whose} turns again", lambda: gateway.get("/healthz")[0] == 200, 60)


# ---- user ----

def test_it_runs_as_a_user_of_its_own_without_any_capability():
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise Skip("not root: this script already runs as somebody else")
    as_nobody = ["setpriv", "--reuid", "10001", "--regid", "10001", "--clear-groups", "--bounding-set", "-all",
                 "--inh-caps", "-all", "--no-new-privs"]
    folder = tempfile.mkdtemp(prefix="tidegate-")
    try:
        program = shutil.copy(lib.PROGRAM, os.path.join(folder, "tidegate"))  # where that user may read it
        os.chown(folder, 10001, 10001)
        with Gateway(folder=folder, wrap=as_nobody) as gateway:
            before, lib.PROGRAM = lib.PROGRAM, program
            try:
                gateway.start()
            finally:
                lib.PROGRAM = before
            with open(f"/proc/{gateway.process.pid}/status", encoding="ascii") as file:
                facts = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            assert facts["Uid"].split() == ["10001"] * 4, facts["Uid"]
            assert all(int(facts[name], 16) == 0 for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd")), facts
            gateway.publish("v1/aqua/1/json", b'{"level": 1}', "-q", "1")
            gateway.settled(messages=1)
            assert gateway.stop() == 0
            for top, folders, files in os.walk(gateway.data):
                for name in folders + files:
                    mode = os.lstat(os.path.join(top, name)).st_mode & 0o777
                    assert mode & 0o077 == 0, f"{top}/{name}: {mode:o}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---- notify ----

class Manager:
    """The socket of a service manager."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(0.2)
        self.heard = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def next(self):
        try:
            self.heard.append(self.socket.recv(4096).decode())
            return self.heard[-1]
        except TimeoutError:
            return None

    def wait(self, word, seconds=60):
        """The next message that begins with the word; those before it are gone."""
        def take():
            text = self.next()
            return text if text and text.startswith(word) else None
        return wait_until(f"the manager hears {word}", take, seconds, 0)


def test_the_manager_hears_of_start_life_reload_and_end_in_their_order():
    with Gateway() as gateway:
        with Manager(gateway.folder) as manager:
            gateway.env.update(NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="1000000")
            gateway.start(ready=False)
            assert str(gateway.port) in manager.wait("STATUS=Taking")
            manager.wait("READY=1")
            assert gateway.get("/readyz")[0] == 200, "ready was told too early"
            for _ in range(3):
                manager.wait("WATCHDOG=1")
            gateway.process.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in manager.wait("RELOADING=1")
            manager.wait("READY=1")
            gateway.process.send_signal(signal.SIGTERM)
            manager.wait("STOPPING=1")
            assert gateway.stop() == 0


def test_a_stuck_loop_is_silent_to_the_watchdog():
    with Gateway() as gateway:
        with Manager(gateway.folder) as manager:
            gateway.env.update(NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="1000000")
            gateway.start()
            manager.wait("WATCHDOG=1")
            tracer = held(thread_named(gateway.process.pid, "mqtt"))
            try:
                wait_until("it is missed", lambda: gateway.get("/healthz")[0] == 503, 60, 0.5)
                while manager.next():  # what was said before
                    pass
                manager.socket.settimeout(2)
                assert manager.next() is None, manager.heard[-1]
            finally:
                tracer.terminate()
                tracer.communicate(timeout=60)
            manager.socket.settimeout(0.2)
            manager.wait("WATCHDOG=1")


# ---- the unit ----

UNIT = os.path.join(lib.ROOT, "deploy/systemd/tidegate.service")


def analyze(*arguments):
    if not shutil.which("systemd-analyze"):
        raise Skip("no systemd-analyze: deploy/setup --tests installs systemd's programs")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, timeout=60)


def test_systemd_accepts_the_unit_and_would_not_accept_a_mistake():
    with tempfile.TemporaryDirectory() as folder:
        with open(UNIT, encoding="utf-8") as file:
            text = file.read().replace("/usr/bin/tidegate", os.path.abspath(lib.PROGRAM))
        for name, content in (("tidegate.service", text), ("wrong.service", text.replace("Type=notify", "Type=notice"))):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(content)
        good = analyze("verify", "--man=no", os.path.join(folder, "tidegate.service"))
        # Of the machine's own units others may be wrong.
        ours = [line for line in good.stderr.decode().splitlines() if "tidegate" in line]
        assert not ours, ours
        wrong = analyze("verify", "--man=no", os.path.join(folder, "wrong.service")).stderr.decode()
        assert "notice" in wrong, wrong


def test_the_unit_is_hardened():
    """2.0 of 10 at most, and not because the check sees nothing."""
    assert analyze("security", "--offline=yes", "--threshold=20", UNIT).returncode == 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "open.service")
        with open(UNIT, encoding="utf-8") as file:
            lines = [line for line in file if not line.startswith(("NoNewPrivileges", "Capability", "SystemCall", "Protect"))]
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(lines)
        assert analyze("security", "--offline=yes", "--threshold=20", path).returncode != 0


if __name__ == "__main__":
    lib.run(dict(globals()))
