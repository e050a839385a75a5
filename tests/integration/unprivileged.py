#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a container does to the program, without one: a user that has no name and no home, no capability, no way to get
any, and a data folder of somebody else. container.py does the same with podman, where that is to be had."""
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from gateway import Gateway, Skip  # noqa: E402

USER = 65532


def confined(owner=USER):
    """A gateway in a folder of `owner`, as that other user."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise Skip("not root, or no setpriv: another user is not to be had")
    folder = tempfile.mkdtemp(prefix="tidegate-")
    program = shutil.copy(lib.PROGRAM, folder)  # the tree may be closed to others
    os.chmod(folder, 0o755)
    gateway = Gateway(folder=folder, env={"HOME": "/nonexistent"},
                      wrap=["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--inh-caps=-all",
                            "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"])
    command = gateway.command
    gateway.command = lambda: [program, *command()[1:]]
    os.mkdir(gateway.data, 0o755)
    os.chown(gateway.data, owner, owner)
    return gateway


def remove(gateway):
    gateway.close()
    shutil.rmtree(gateway.folder, ignore_errors=True)


def test_runs_as_a_user_without_name_home_or_capabilities():
    gateway = confined()
    try:
        gateway.start()
        with open(f"/proc/{gateway.process.pid}/status", encoding="utf-8") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        assert status["Uid"].split() == [str(USER)] * 4 and status["NoNewPrivs"] == "1", status
        assert int(status["CapEff"], 16) == 0 and int(status["CapBnd"], 16) == 0, status
        gateway.publish("v1/aqua/00012345/json", b'{"volume.total": 1.5}', "-q", "1")
        gateway.settled(messages=1)
        assert gateway.stop() == 0, gateway.log_tail()
        paths = [os.path.join(here, name) for here, folders, files in os.walk(gateway.data) for name in folders + files]
        assert any(path.endswith(".parquet") for path in paths), paths
        assert {os.stat(path).st_uid for path in paths} == {USER}
        opened = [path for path in paths if os.stat(path).st_mode & 0o077]
        assert not opened, f"open to others: {opened}"
    finally:
        remove(gateway)


def test_a_data_folder_of_root_is_a_clear_error_and_nothing_is_written():
    gateway = confined(owner=0)
    try:
        gateway.start(ready=False)
        assert gateway.process.wait(lib.patient(60)) == 1, gateway.log_tail()
        for part in ("Permission denied", f"{gateway.data} belongs to user 0, group 0 (mode 0755)", f"user {USER}",
                     f"chown -R {USER}:{USER}"):
            assert part in gateway.log(), (part, gateway.log_tail())
        assert os.listdir(gateway.data) == []
    finally:
        remove(gateway)


if __name__ == "__main__":
    lib.run(globals())
