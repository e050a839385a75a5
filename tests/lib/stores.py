# SPDX-License-Identifier: Apache-2.0
"""What the stores of one gateway hold, as the same Python rows: a test says that ClickHouse equals Parquet, and
means every column of every row. And the configuration of a gateway with several sinks."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gateway import wait_until  # noqa: E402

# A format string for Gateway(config=...); sinks stand at its end, so that more can follow.
BASE = """
data: {data}
anonymous: loopback
timezone: "+08:00"
mqtt: {{listen: "127.0.0.1:{port}"}}
admin: {{listen: "127.0.0.1:{admin}"}}
routes:
  - {{topic: "v1/{{vendor}}/{{device}}/json", codec: json}}
  - {{topic: "v1/{{vendor}}/{{device}}/cjt188", codec: cjt188}}
journal: {{segment_size: 4MiB, extent_size: 256KiB}}
sinks:
  - {{type: parquet, flush_age: 300ms}}
"""


def config(*sinks):
    """Parquet and these sinks, each a dictionary of options; a list is a YAML list."""
    def text(value):
        return "[" + ", ".join(map(text, value)) + "]" if isinstance(value, (list, tuple)) else f'"{value}"'
    rows = ""
    for sink in sinks:
        pairs = [f"{key}: {text(value)}" for key, value in sink.items()]
        rows += "  - " + "\n    ".join(pairs) + "\n"
    return BASE + rows


# Columns of a row here: vendor, device, metric, ts, value, unit, scale, quality, flags, time_source, seq,
# received, gateway; times in milliseconds since 1970. The first four are the key.
SAME = "vendor, device, metric, {ts}, value, unit, scale, quality, flags, time_source, seq, {received}, gateway"
PARQUET = "select " + SAME.format(ts="epoch_ms(ts)", received="epoch_ms(received)") + " from parquet"
CLICKHOUSE = {
    "18.16": "SELECT " + SAME.format(ts="toInt64(toUInt32(ts)) * 1000 + ts_ms",
                                     received="toInt64(toUInt32(received)) * 1000 + received_ms"),
    "26.7": "SELECT " + SAME.format(ts="toUnixTimestamp64Milli(ts) AS t",
                                    received="toUnixTimestamp64Milli(received) AS r"),
}


def clickhouse_rows(server, table="readings", final=True, where="1"):
    """Sorted. Without `final` also what merges have yet to take away."""
    return sorted(map(tuple, server.query(
        f"{CLICKHOUSE[server.version]} FROM {table}{' FINAL' if final else ''} WHERE {where}")), key=whole)


def parquet_rows(gateway):
    """Sorted; everything that was ever stored, also older readings of one key."""
    return sorted(map(tuple, gateway.rows(PARQUET)), key=whole)


def whole(row):
    return row[:4] + (row[10],)


def newest(rows):
    """One row a key: the one received last, and of those the one with the highest sequence number."""
    kept = {}
    for row in rows:
        have = kept.get(row[:4])
        if have is None or (row[11], row[10]) > (have[11], have[10]):
            kept[row[:4]] = row
    return sorted(kept.values(), key=whole)


def assert_same(found, wanted, what):
    """Equal counts and equal rows, with the first differences when not."""
    if found == wanted:
        return
    missing, extra = set(wanted) - set(found), set(found) - set(wanted)
    raise AssertionError(f"{what}: {len(found)} rows, not {len(wanted)}; {len(missing)} missing or different, for "
                         f"example {sorted(missing, key=whole)[:3]}; {len(extra)} that should not be, for example "
                         f"{sorted(extra, key=whole)[:3]}")


def lane(gateway, name):
    return next(lane for lane in gateway.status()["lanes"] if lane["name"] == name)


def lane_becomes(gateway, name, what, condition, seconds=30):
    """Waits until condition(lane) is true; returns the lane's status."""
    def look():
        found = lane(gateway, name)
        return found if condition(found) else None
    try:
        return wait_until(f"lane {name} {what}", look, seconds, 0.1)
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {lane(gateway, name)}\n{gateway.log_tail()}") from None


def rss_kb(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def acknowledged(ledger, vendors=None):
    """Of `tidegate sim --ledger`: {(vendor, device, ms): litres} of what was acknowledged."""
    found = {}
    with open(ledger, encoding="utf-8") as file:
        for line in file:
            fields = line.rstrip("\n").split("\t")
            if fields[0] == "ACK":
                found[(fields[2], fields[3], int(fields[4]))] = int(fields[5])
    return found
