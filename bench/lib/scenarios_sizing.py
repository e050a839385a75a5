# SPDX-License-Identifier: Apache-2.0
"""Scenario of bench/run behind deploy/sizing.md: what a message takes of disk and processor when a fleet reports evenly,
and when all of it reports at once."""
import json

import harness
from harness import Measured, threads

# Meters and their cadence, evenly spread: 10,000 and 164,257 in 15 minutes and in an hour; a million in an hour.
EVEN = {"10,000 meters each 15 min": 11.1, "164,257 meters hourly": 45.6, "164,257 meters each 15 min": 182.5,
        "1,000,000 meters hourly": 277.8, "1,000,000 meters each 15 min": 1111.1}
KEPT = {"compression": 1, "sink": "parquet", "routes": '  - {topic: "v1/{vendor}/json", codec: json}\n'
        '  - {topic: "v1/{vendor}/cjt188", codec: cjt188}\n'
        '  - {topic: "v1/{vendor}/{device}/json", codec: json}\n  - {topic: "v1/{vendor}/{device}/cjt188", codec: cjt188}'}


def used(gateway):
    """Bytes of extents in the raw log and in the reading log, without what is reserved ahead."""
    text = gateway.verb("journal", "ls", "--data", gateway.data, "--json", check=0).stdout.decode()
    found = {"raw": 0, "readings": 0}
    for line in text.splitlines():
        row = json.loads(line)
        if row["log"] in found:
            found[row["log"]] += row["bytes_used"]
    return found


def resident(gateway):
    with open(f"/proc/{gateway.process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))


def sim_run(meters, *arguments):
    """One gateway under simulated meters of two vendors, through 200 connections as of concentrators."""
    with Measured(**KEPT) as measured:
        gateway = measured.gateway
        begun = used(gateway)
        before = sum(threads(gateway.process.pid).values())
        summary = gateway.sim("--meters", str(meters), "--connections", "200", *arguments)
        status = gateway.settled(seconds=300, messages=summary["published"])
        spent = sum(threads(gateway.process.pid).values()) - before
        after = used(gateway)
        messages = status["received"]
        return {"messages": messages, "readings": status["readings"], "extents": status["stored"]["extents"],
                "message_bytes": status["stored"]["message_bytes"] / messages,
                "raw_bytes": (after["raw"] - begun["raw"]) / messages,
                "reading_log_bytes": (after["readings"] - begun["readings"]) / messages,
                "cpu_s_per_million": spent / messages * 1e6, "resident_bytes": resident(gateway)}


def row(what, figures):
    return (what, figures["raw_bytes"], "bytes of raw log a message",
            f"{figures['message_bytes']:.0f} bytes as sent; {figures['messages'] / figures['extents']:.1f} messages a commit; "
            f"reading log {figures['reading_log_bytes']:.0f}; {figures['readings'] / figures['messages']:.1f} readings; "
            f"{figures['cpu_s_per_million']:.0f} CPU-s/M messages; resident {figures['resident_bytes'] / 2**20:.0f} MiB")


def sizing():
    """What a message takes of the journal and of the processor, by rate."""
    seconds = 3 if harness.options.quick else 15
    raw, rows = {}, []
    for what, rate in EVEN.items():
        raw[what] = sim_run(10000, "--rate", f"{rate:g}", "--duration", f"{seconds}s")
        rows.append(row(what, raw[what]))
    meters = 10000 if harness.options.quick else 164257
    what = f"{meters:,} meters at once"
    raw[what] = sim_run(meters, "--rate", "max", "--count", str(meters))
    rows.append(row(what, raw[what]))
    return rows, raw


SCENARIOS = [sizing]
