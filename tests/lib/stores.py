# SPDX-License-Identifier: Apache-2.0
"""What Parquet and ClickHouse of one gateway hold, as equal tuples: a test says that they are the same, and means
every column of every row. And what tests ask about a lane. oracle.py gives the columns names."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kafka_gateway  # noqa: E402
from gateway import wait_until  # noqa: E402

KEY, METRIC, SEQ, RECEIVED = slice(4), 2, 10, 11  # places in a row; the key is vendor, device, metric, ts
SAME = "vendor, device, metric, {ts}, value, unit, scale, quality, flags, time_source, seq, {received}, gateway"
PARQUET = "select " + SAME.format(ts="epoch_ms(ts)", received="epoch_ms(received)") + " from parquet"
CLICKHOUSE = {
    "18.16": "SELECT " + SAME.format(ts="toInt64(toUInt32(ts)) * 1000 + ts_ms",
                                     received="toInt64(toUInt32(received)) * 1000 + received_ms"),
    "26.7": "SELECT " + SAME.format(ts="toUnixTimestamp64Milli(ts) AS t",
                                    received="toUnixTimestamp64Milli(received) AS r"),
}


def config(*sinks):
    """A configuration for Gateway: Parquet and these sinks, each a dictionary of options."""
    return kafka_gateway.config(kafka_gateway.PARQUET, *sinks)


def order(row):
    return row[KEY] + (row[SEQ],)


def clickhouse_rows(server, final=True, table="readings"):
    """Sorted. Without `final` also what merges have yet to take away."""
    # FINAL reads all parts at once, 18.16 with a buffer of 1 MiB for each column of each: 400 days do not fit.
    return sorted(map(tuple, server.query(f"{CLICKHOUSE[server.version]} FROM {table}{' FINAL' if final else ''}",
                                          max_read_buffer_size=65536)), key=order)


def parquet_rows(gateway):
    """Sorted; everything that was ever stored, also older readings of one key."""
    return sorted(map(tuple, gateway.rows(PARQUET)), key=order)


def newest(rows, like=()):
    """One row a key: the one received last. A meter's copy may be received in the same millisecond, and then a store
    keeps what came to it last: of those the one that stands in `like`, else the one with the highest number."""
    there, kept = set(like), {}
    for row in rows:
        have = kept.get(row[KEY])
        if have is None or (row[RECEIVED], row in there, row[SEQ]) > (have[RECEIVED], have in there, have[SEQ]):
            kept[row[KEY]] = row
    return sorted(kept.values(), key=order)


def assert_same(found, wanted, what):
    """Equal counts and equal rows, with the first differences when not."""
    if found == wanted:
        return
    missing, extra = set(wanted) - set(found), set(found) - set(wanted)
    raise AssertionError(f"{what}: {len(found)} rows, not {len(wanted)}; {len(missing)} missing or different, for "
                         f"example {sorted(missing, key=order)[:3]}; {len(extra)} that should not be, for example "
                         f"{sorted(extra, key=order)[:3]}")


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
