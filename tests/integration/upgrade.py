#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Upgrade and rollback: this program reads what older ones wrote (tests/vectors/formats), an upgrade under load loses and
doubles nothing, and a program that meets a newer format refuses it in a sentence and changes nothing.

The newer program is this one with the version of one on-disk format raised: the changed source is compiled as the build
did, and linked in front of the build's libraries."""
import glob
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import oracle  # noqa: E402
from gateway import Gateway, Skip, wait_until  # noqa: E402

BUILD = os.environ.get("TIDEGATE_BUILD") or os.path.join(lib.ROOT, "build/release")
VECTORS = os.path.join(lib.ROOT, "tests/vectors/formats")
WORK = tempfile.mkdtemp(prefix="tidegate-upgrade-")

# Format -> where its version stands.
FORMATS = {
    "segment": ("gateway/journal/segment.c", "gateway/journal/segment.h", "SEGMENT_VERSION = 1,", "SEGMENT_VERSION = 2,"),
    "cursor": ("gateway/journal/cursor.c", None, "VERSION = 2,", "VERSION = 3,"),
    "batch": ("gateway/model/batch_encode.c", None, "BATCH_VERSION = 2,", "BATCH_VERSION = 3,"),
    "state": ("gateway/decode_state.c", None, "STATE_VERSION = 1,", "STATE_VERSION = 2,"),
}


# ---- newer programs ----

def compile_command(source):
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        entry = next(entry for entry in json.load(file) if entry["file"].endswith("/" + source))
    words = shlex.split(entry["command"])
    return [word for word in words if os.path.basename(word) != "ccache"], entry["directory"]


def newer_object(name):
    """The object file of that format's source, with the version raised."""
    source, header, before, after = FORMATS[name]
    folder = os.path.join(WORK, name)
    changed = header or source
    place = os.path.join(folder, changed.removeprefix("gateway/"))
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(os.path.join(lib.ROOT, changed), encoding="utf-8") as file:
        text = file.read()
    assert text.count(before) == 1, f"{changed} has not {before} once: this test must follow"
    with open(place, "w", encoding="utf-8") as file:
        file.write(text.replace(before, after))
    words, directory = compile_command(source)
    words = words[:words.index("-o")] + ["-I", folder, "-I", os.path.join(lib.ROOT, os.path.dirname(source)),
                                         "-o", os.path.join(folder, "newer.o"), "-c"]
    if header:  # found before the real one
        words[1:1] = ["-I", folder]
        words.append(os.path.join(lib.ROOT, source))
    else:
        words.append(place)
    subprocess.run(words, cwd=directory, check=True, timeout=120)
    return os.path.join(folder, "newer.o")


def newer(*names):
    """A program that writes newer versions of these formats."""
    program = os.path.join(WORK, "tidegate-" + "-".join(names))
    if os.path.exists(program):
        return program
    if not shutil.which("ninja"):
        raise Skip("no ninja: how the program is linked is not known")
    listed = subprocess.run(["ninja", "-C", BUILD, "-t", "commands", "tidegate"], capture_output=True, check=True, timeout=60)
    link = next(line for line in reversed(listed.stdout.decode().splitlines()) if " -o tidegate " in line)
    link = link.removeprefix(": && ").removesuffix(" && :").replace(" -o tidegate ", f" {' '.join(map(newer_object, names))} -o {program} ")
    subprocess.run(link, shell=True, cwd=BUILD, check=True, timeout=120)
    return program


class Program:
    """Gateways in the block are that program."""

    def __init__(self, program):
        self.program = program

    def __enter__(self):
        self.before, lib.PROGRAM = lib.PROGRAM, self.program

    def __exit__(self, *error):
        lib.PROGRAM = self.before


# ---- older formats ----

AFTER_UPGRADE = """
data: {data}
anonymous: loopback
mqtt: {{listen: "127.0.0.1:{port}"}}
admin: {{listen: "127.0.0.1:{admin}"}}
journal: {{segment_size: 4MiB, extent_size: 256KiB, keep: 3650d, dead_keep: 3650d}}
routes:
  - {{topic: "v1/{{vendor}}/{{device}}/json", codec: json}}
sinks:
  - {{type: parquet, flush_age: 300ms}}
"""


def test_what_the_first_formats_hold_is_read_sent_and_continued():
    with open(os.path.join(VECTORS, "first.json"), encoding="utf-8") as file:
        known = json.load(file)
    with Gateway(config=AFTER_UPGRADE) as gateway:
        with tarfile.open(os.path.join(VECTORS, "first.tar.xz")) as archive:
            archive.extractall(gateway.folder)  # of our own making
        with open(os.path.join(gateway.data, "cursors/parquet.cursor"), "rb") as file:
            assert file.read(6)[4:] == b"\x01\x00", "this folder is not of the first format"
        gateway.start()
        status = gateway.settled(messages=known["received"])
        assert status["gateway"] == known["gateway"], "another identity"
        assert (status["received"], status["dead"], status["readings"]) == (known["received"], known["dead"], known["readings"]), status
        gateway.publish("v1/aqua/new/json", b'{"level": 1}', "-q", "1")
        gateway.settled(messages=known["received"] + 1)
        rows = gateway.verb("journal", "show", "--data", gateway.data, "--json", check=0).stdout.decode().splitlines()
        assert [json.loads(row)["seq"] for row in rows] == list(range(1, known["received"] + 2))
        letters = gateway.verb("deadletter", "ls", "--data", gateway.data, "--json", check=0).stdout.decode().splitlines()
        assert len(letters) == known["dead"]
        if lib.reader_missing():
            raise Skip(lib.reader_missing())
        found = gateway.rows("select count(*), count(distinct (seq, device, metric, ts)), max(seq) from parquet")
        assert found == [[known["readings"] + 1, known["readings"] + 1, known["received"] + 1]], found


# ---- upgrade under load ----

def test_an_upgrade_under_load_loses_and_doubles_nothing():
    if lib.reader_missing():
        raise Skip(lib.reader_missing())
    with Gateway() as gateway:
        gateway.start()
        ledger = os.path.join(gateway.folder, "ledger")
        begin = time.strftime("%Y-%m-%dT00:00:00+08:00", time.gmtime(time.time() - 30 * 86400))
        sim = gateway.sim_start("--meters", "500", "--rate", "1000", "--duration", "1d", "--begin", begin, "--ledger", ledger,
                                "--patience", "600s", "--backoff", "100ms", "--connections", "20")
        try:
            wait_until("load comes in", lambda: gateway.status()["received"] > 1000, 60)
            assert gateway.stop(60) == 0
            with Program(newer(*FORMATS)):
                gateway.start()
                before = gateway.status()["received"]
                wait_until("clients came back", lambda: gateway.status()["received"] > before + 1000, 90)
                sim.send_signal(signal.SIGINT)
                sim.communicate(timeout=120)
                gateway.settled()
                assert gateway.stop(60) == 0
        finally:
            sim.kill()
            sim.communicate()
        sent, rows = oracle.ledger(ledger), oracle.of_parquet(gateway)
        assert sum(line.outcome == "ACK" for line in sent) > 2000
        oracle.demand(oracle.of_the_ledger("parquet", sent, rows), oracle.nothing_twice("parquet", rows))


# ---- rollback ----

def content(folder):
    """Of every file, but for what says that somebody was here."""
    found = {}
    for path in glob.glob(os.path.join(folder, "**"), recursive=True):
        if os.path.isfile(path) and not path.endswith("lock") and "/audit" not in path:
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = hashlib.sha256(file.read()).hexdigest()
    return found


def refused(name, sentence):
    """An upgrade to a program with that newer format, and back."""
    with Gateway() as gateway:
        with Program(newer(name)):
            gateway.start()
            gateway.publish("v1/aqua/1/json", b'{"level": 1}', "-q", "1")
            gateway.settled(messages=1)
            assert gateway.stop(60) == 0
        before = content(gateway.data)
        gateway.start(ready=False)
        assert gateway.process.wait(60) == 65, gateway.log_tail()
        text = [line for line in gateway.log().splitlines() if "start_failed" in line][-1]
        assert sentence in text and "start the newer program again" in text, text
        after = content(gateway.data)
        assert after == before, sorted(key for key in {**before, **after} if before.get(key) != after.get(key))
        with Program(newer(name)):
            gateway.start()
            gateway.publish("v1/aqua/1/json", b'{"level": 2}', "-q", "1")
            gateway.settled(messages=2)
            assert gateway.stop(60) == 0


def test_a_newer_segment_is_refused_and_nothing_is_written():
    refused("segment", "written in journal format 2, this program reads up to 1")


def test_a_newer_cursor_is_refused_and_nothing_is_written():
    refused("cursor", "written in format 3, this program reads up to 2")


def test_a_newer_batch_is_refused_and_nothing_is_written():
    refused("batch", "written in format 3, this program reads up to 2")


def test_a_newer_memory_of_the_decoder_is_made_anew():
    """It holds nothing that the raw log does not: the older program decodes forward in its place."""
    with Gateway() as gateway:
        with Program(newer("state")):
            gateway.start()
            gateway.publish("v1/aqua/1/json", b'{"level": 1}', "-q", "1")
            gateway.settled(messages=1)
            assert gateway.stop(60) == 0
        gateway.start()
        assert "decode_state_skipped" in gateway.log(), gateway.log_tail()
        gateway.publish("v1/aqua/1/json", b'{"level": 2}', "-q", "1")
        assert gateway.settled(messages=2)["readings"] == 2


if __name__ == "__main__":
    try:
        lib.run(dict(globals()))
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
