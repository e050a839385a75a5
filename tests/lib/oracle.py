# SPDX-License-Identifier: Apache-2.0
"""What must be in every store after whatever happened, and whether it is: the ledger of `tidegate sim` (what was
acknowledged) against the rows that Kafka, Parquet and ClickHouse hold, and these against each other.

A row is the thirteen columns that every table and record of ours has, in their order. All checks return a list
of sentences; empty is good, and `demand` raises with them. A check that cannot fail is a defect: planted() proves
that these can."""
import collections
import decimal
import glob
import json

import kafka as kafka_lib
import stores

COLUMNS = ("vendor", "device", "metric", "ts", "value", "unit", "scale", "quality", "flags", "time_source", "seq",
           "received", "gateway")
Row = collections.namedtuple("Row", COLUMNS)
Sent = collections.namedtuple("Sent", "outcome number vendor device ts litres kind qos attempts crc")

# Of a Row: which reading of which message it is; which measurement it is, however often it was sent.
identity = lambda row: (row.gateway, row.seq, row.device, row.metric, row.ts)  # noqa: E731
measured = lambda row: (row.vendor, row.device, row.metric, row.ts)  # noqa: E731


def ledger(path):
    """Lines of all files that begin with path."""
    found = []
    for name in sorted(glob.glob(glob.escape(path) + "*")):
        with open(name, encoding="utf-8") as file:
            for line in file:
                if line[0] != "#" and line.endswith("\n"):
                    part = line.rstrip("\n").split("\t")
                    found.append(Sent(part[0], int(part[1]), part[2], part[3], int(part[4]), int(part[5]), part[6],
                                      int(part[7]), int(part[8]), part[9]))
    return found


# ---- rows of each store ----

def of_kafka(records):
    """Rows of records in the order given. Also holds key, partition and the exact decimal against the columns."""
    rows = []
    for record in records:
        found = kafka_lib.reading(record.value)
        assert record.key == f"{found['vendor']}/{found['device']}".encode(), (record.key, found)
        if found["value"] is not None:
            exact = float(decimal.Decimal(found["unscaled"]).scaleb(-found["scale"]))
            assert exact == found["value"], found
        rows.append(Row(*(found[name] for name in COLUMNS)))
    return rows


def of_parquet(gateway):
    return [Row(*row) for row in stores.parquet_rows(gateway)]


def of_clickhouse(server):
    """What a SELECT ... FINAL gives."""
    return [Row(*row) for row in stores.clickhouse_rows(server)]


def newest(rows, like=()):
    """One row for each measurement, as ClickHouse keeps it: of several the one received last; `like` as there."""
    return [Row(*row) for row in stores.newest(rows, like)]


# ---- checks ----

def demand(*lists):
    sentences = [sentence for one in lists for sentence in one]
    assert not sentences, "\n".join(sentences)


def _some(what, items):
    items = list(items)
    return [f"{what}: {len(items)}, for example {items[:3]}"] if items else []


def nothing_twice(name, rows):
    """Each (gateway, seq, device, metric, ts) once."""
    counts = collections.Counter(map(identity, rows))
    return _some(f"twice in {name}", (key for key, count in counts.items() if count > 1))


def in_order(name, rows):
    """The rows of a device come in the order in which its messages came: their first occurrence, since at
    least once may repeat what was sent."""
    last, seen, wrong = {}, set(), []
    for row in rows:
        key = identity(row)
        if key in seen:
            continue
        seen.add(key)
        device = (row.gateway, row.vendor, row.device)
        if row.seq < last.get(device, 0):
            wrong.append(row)
        last[device] = row.seq
    return _some(f"out of order in {name}", wrong)


def of_the_ledger(name, sent, rows):
    """Everything acknowledged is there with the litres that were sent, and nothing that was not sent. `rows` may
    hold other readings of the messages beside volume.total."""
    volumes = {measured(row): row for row in rows if row.metric == "volume.total"}
    keys = {(line.vendor, line.device, "volume.total", line.ts): line for line in sent if line.outcome != "REJ"}
    lost, wrong = [], []
    for key, line in keys.items():
        row = volumes.get(key)
        if row is None:
            if line.outcome == "ACK":
                lost.append(line)
        elif row.value is None or round(row.value * 1000) != line.litres:
            wrong.append((line, row))
    return (_some(f"acknowledged and not in {name}", lost) + _some(f"with another value in {name}", wrong) +
            _some(f"never sent and in {name}", (key for key in volumes if key not in keys)))


def alike(name, rows, other_name, others):
    """Two stores hold the same rows, all columns equal; how often, is another question."""
    rows, others = set(rows), set(others)
    return (_some(f"in {name}, not in {other_name}", rows - others) +
            _some(f"in {other_name}, not in {name}", others - rows))


def sums(rows):
    """Distinct rows by measurement: their count, and the exact sum of litres. What a SELECT gives in each store."""
    litres = {measured(row): round(row.value * 1000) for row in rows if row.metric == "volume.total"}
    return {"readings": len({measured(row) for row in rows}), "volumes": len(litres), "litres": sum(litres.values())}


def planted(name, sent, rows):
    """The checks see a planted loss, copy, phantom, wrong value and disorder; else sentences."""
    volume = next(index for index, row in enumerate(rows) if row.metric == "volume.total")
    row = rows[volume]
    lines = [line for line in sent if (line.vendor, line.device, line.ts) == (row.vendor, row.device, row.ts)]
    changed = rows[:volume] + [row._replace(value=row.value + 1)] + rows[volume + 1:]
    later = [row._replace(seq=row.seq + 1), row]
    found = {
        "loss": of_the_ledger(name, lines, [one for one in rows if one.metric != "volume.total"]),
        "copy": nothing_twice(name, [*rows, row]),
        "phantom": of_the_ledger(name, lines, [row, row._replace(device="never-sent")]),
        "wrong value": of_the_ledger(name, lines, changed),
        "difference": alike(name, changed, "itself", rows),
        "disorder": in_order(name, later),
    }
    return [f"the checks do not see a planted {what}" for what, sentences in found.items() if not sentences]


def report(found):
    print("oracle:", json.dumps(found), flush=True)
