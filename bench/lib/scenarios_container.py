# SPDX-License-Identifier: Apache-2.0
"""The container image: how large it is, and how long a gateway in it takes until it is ready. Needs root and podman."""
import shutil
import sys
import tempfile
import time

import harness
import podman
from harness import CONFIG, ROUTE, lib, load


def until_ready(container):
    """Seconds from asking podman to the first yes of /readyz."""
    began = time.monotonic()
    container.start(ready=False)
    lib.wait_until("ready", lambda: container.get("/readyz")[0] == 200, 600, every=0.005)
    return time.monotonic() - began


def bare_start():
    """What podman itself takes for a container that ends at once."""
    began = time.monotonic()
    podman.podman("run", "--rm", "--network=host", podman.image(), "version")
    return time.monotonic() - began


def fill(container, wanted):
    """Messages of 4 kB until the raw log has `wanted` bytes; how many it has then."""
    size = 0
    while size < wanted:
        load(container.port, container.state()["Pid"], "--connections", 4, "--window", 500, "--payload", 4000, "--count",
             int(min(200000, (wanted - size) / 4000 + 1000)))
        size = container.status()["stored"]["disk_bytes"]
    container.settled(seconds=900)
    return size


def container_start():
    """From podman to ready: with an empty volume, and after kill -9 with a large journal on it."""
    config = CONFIG.format(compression=0, sink="discard", routes=ROUTE).replace("keep: 0s, keep_size: 0",
                                                                                 "keep: 7d, keep_size: 40GiB")
    try:
        podman.need()
    except lib.Skip as reason:
        print(f"    not measured: {reason}", file=sys.stderr)
        return [], {}
    folder = tempfile.mkdtemp(prefix="tidegate-bench-", dir=harness.options.disk)
    container = podman.Container(config, folder=folder)
    try:
        image = podman.inspect(podman.image())["Size"]
        bare = min(bare_start() for _ in range(3))
        empty = until_ready(container)
        size = fill(container, harness.options.restart_gb * 1e9)
        container.kill()
        full = until_ready(container)
        count = container.status()["received"]
    finally:
        container.close()
        shutil.rmtree(folder, ignore_errors=True)
    return [("size of the image", image / 1e6, "MB", "one layer"),
            ("podman alone: a container that prints its version", bare, "s", "the least of three"),
            ("from podman to ready, empty volume", empty, "s", "made by podman run"),
            ("from podman to ready, after kill -9", full, "s", f"journal of {size / 1e9:.1f} GB, {count:,} messages")], \
        {"image_bytes": image, "podman_s": bare, "empty_s": empty, "full_s": full, "journal_bytes": size}


SCENARIOS = [container_start]
