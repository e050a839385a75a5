# SPDX-License-Identifier: Apache-2.0
"""deploy/compose outside its containers: its secrets in a folder of the test, its configurations with paths and
addresses of this machine."""
import os
import shutil
import subprocess

import gateway as lib

FOLDER = os.path.join(lib.ROOT, "deploy/compose")
# What ./secrets makes: whose (the user inside the image that reads it), and its mode.
SECRETS = {
    "ca.crt": (0, 0o644),
    "ca.key": (0, 0o600),
    "tidegate.crt": (0, 0o644),
    "tidegate.key": (10001, 0o600),
    "admin.tokens": (10001, 0o600),
    "operator.token": (10001, 0o600),
    "clickhouse.password": (10001, 0o600),
    "simulator.password": (10001, 0o600),
    "prometheus.token": (65534, 0o600),
    "grafana.password": (472, 0o600),
    "clickhouse-user.xml": (101, 0o600),
}


def secrets(folder, *names):
    """Runs ./secrets in `folder`; where they are."""
    if os.geteuid() != 0:
        raise lib.Skip("not root: ./secrets gives files to the containers' users")
    shutil.copy(os.path.join(FOLDER, "secrets"), folder)
    subprocess.run([os.path.join(folder, "secrets"), *names], check=True, capture_output=True, timeout=60)
    return os.path.join(folder, "secrets.d")


def configuration(folder, **places):
    """tidegate.yaml with data, secrets and these "host:port" texts replaced, in `folder`; its path."""
    made = secrets(folder)
    with open(os.path.join(FOLDER, "tidegate.yaml"), encoding="utf-8") as file:
        text = file.read().replace("/run/secrets", made).replace("/data", os.path.join(folder, "data"))
    for place, address in places.items():
        assert place in text, place
        text = text.replace(place, address)
    path = os.path.join(folder, "tidegate.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def vendors(path, folder):
    """The users of README.md: the simulator, by its secret, and acme, whose password is returned."""
    add = [lib.PROGRAM, "vendor", "add", "--config", path]
    for rest in (["simulated", "--password-file", os.path.join(folder, "secrets.d/simulator.password")],
                 ["acme", "--generate"]):
        made = subprocess.run(add + rest, capture_output=True, text=True, timeout=lib.patient(60), check=False)
        assert made.returncode == 0, made.stderr
    return made.stdout.strip()
