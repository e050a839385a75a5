#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Parquet files as DuckDB and pyarrow read them: types, counts and sums against an expected JSON.

    parquet_readers.py --venv DIR --sample PROGRAM
        PROGRAM (unit_sinks_parquet_sample) writes its folder, both forms of value, and expected.json.
    parquet_readers.py --venv DIR --folder DIR --expected FILE [--scaled]
        files of a gateway that ran; keys that expected.json lacks are not compared.

The virtual environment is made when it is absent. Exit code 77: the packages cannot be had, nothing
was compared.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

PACKAGES = ["duckdb", "pyarrow", "pytz"]
ARROW_TYPES = [
    ("vendor", "string"), ("device", "string"), ("metric", "string"),
    ("ts", "timestamp[ms, tz=UTC]"), ("value", "double"), ("unit", "string"), ("scale", "int8"),
    ("quality", "string"), ("flags", "string"), ("time_source", "string"), ("seq", "int64"),
    ("received", "timestamp[ms, tz=UTC]"), ("gateway", "string"),
]
DUCK_TYPES = {
    "string": "VARCHAR", "double": "DOUBLE", "int8": "TINYINT", "int64": "BIGINT",
    "timestamp[ms, tz=UTC]": "TIMESTAMP WITH TIME ZONE",
}


def skip(why):
    print("=" * 78)
    print(f"SKIP: no Parquet reader was compared: {why}")
    print("=" * 78)
    sys.exit(77)


def enter_venv(folder):
    """Run this script again by the interpreter of the virtual environment."""
    python = os.path.join(folder, "bin", "python")
    if os.path.realpath(sys.prefix) == os.path.realpath(folder):
        return
    check = [python, "-c", "import duckdb, pyarrow.parquet, pytz"]
    if not os.path.exists(python):
        made = subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True, text=True)
        if made.returncode != 0:
            skip(f"python3 -m venv failed: {made.stderr.strip() or made.stdout.strip()}")
    if subprocess.run(check, capture_output=True).returncode != 0:
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            done = subprocess.run(install + PACKAGES, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            skip("pip install took longer than 300 s")
        if done.returncode != 0:
            skip(f"pip install {' '.join(PACKAGES)}: {done.stderr.strip()[-400:]}")
    os.execv(python, [python, os.path.abspath(__file__)] + sys.argv[1:])


def columns(scaled):
    return [("unscaled", "int64") if scaled and name == "value" else (name, kind)
            for name, kind in ARROW_TYPES]


def files_below(folder):
    return sorted(os.path.join(root, name) for root, _, names in os.walk(folder)
                  for name in names if name.endswith(".parquet"))


class Comparison:
    def __init__(self, reader, folder):
        self.reader, self.folder, self.failures, self.count = reader, folder, 0, 0

    def equal(self, what, found, expected):
        self.count += 1
        if found != expected:
            self.failures += 1
            print(f"FAILED {self.reader} {self.folder}: {what} is {found!r}, expected {expected!r}")

    def near(self, what, found, expected):
        """Sums of doubles depend on the order of adding."""
        self.count += 1
        if found is None or abs(found - expected) > 1e-9 * max(1.0, abs(expected)):
            self.failures += 1
            print(f"FAILED {self.reader} {self.folder}: {what} is {found!r}, expected {expected!r}")


def compare_figures(comparison, found, expected, scaled):
    for key, value in found.items():
        if key not in expected or (key == "value") == scaled and key in ("value", "unscaled"):
            continue
        if key == "value":
            comparison.near(key, value, expected[key])
        else:
            comparison.equal(key, value, expected[key])


def wrap(number):
    """As a sum of int64 in C."""
    return None if number is None else (number + 2**63) % 2**64 - 2**63


def compare_pyarrow(folder, expected, scaled):
    import pyarrow as pa
    import pyarrow.parquet as pq

    comparison = Comparison("pyarrow", folder)
    total = dict.fromkeys(["rows", "values", "bad", "flagged", "seq", "ts", "received", "scale"], 0)
    value, unscaled, devices = 0.0, 0, set()
    for path in files_below(folder):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        comparison.equal("columns", [(f.name, str(f.type)) for f in file.schema_arrow],
                         columns(scaled))
        comparison.equal("nullable", [f.name for f in file.schema_arrow if f.nullable],
                         ["unscaled" if scaled else "value"])
        if file.metadata.num_row_groups:
            comparison.equal("sorting", [c.column_index for c in file.metadata.row_group(0).sorting_columns],
                             [0, 1, 2, 3])
        table = file.read()
        check_statistics(comparison, file, table)
        keys = [(v, d, m, t) for v, d, m, t in zip(*(table[c].to_pylist()
                for c in ("vendor", "device", "metric", "ts")))]
        comparison.equal("order", keys == sorted(keys), True)
        total["rows"] += table.num_rows
        numbers = table["unscaled" if scaled else "value"].to_pylist()
        total["values"] += sum(n is not None for n in numbers)
        total["bad"] += table["quality"].to_pylist().count("bad")
        total["flagged"] += sum(f != "" for f in table["flags"].to_pylist())
        for key in ("seq", "scale"):
            total[key] += sum(table[key].to_pylist())
        for key in ("ts", "received"):
            total[key] += sum(table[key].cast(pa.int64()).to_pylist())
        devices |= set(table["device"].to_pylist())
        if scaled:
            unscaled += sum(n for n in numbers if n is not None)
        else:
            value += sum(n for n in numbers if n is not None)
    compare_figures(comparison, dict(total, value=value, unscaled=wrap(unscaled),
                                     devices=len(devices)), expected, scaled)
    return comparison


def check_statistics(comparison, file, table):
    import pyarrow.compute as pc

    start = 0
    for g in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(g)
        rows = table.slice(start, group.num_rows)
        start += group.num_rows
        for c in range(group.num_columns):
            chunk, column = group.column(c), rows.column(c)
            comparison.equal("has page index", chunk.has_offset_index and chunk.has_column_index, True)
            if chunk.statistics is None or not chunk.statistics.has_min_max:
                continue
            found = pc.min_max(column).as_py()
            if found["min"] is None:
                continue
            # Long strings have bounds, not extremes.
            comparison.equal(f"min of {chunk.path_in_schema}", chunk.statistics.min <= found["min"], True)
            comparison.equal(f"max of {chunk.path_in_schema}", chunk.statistics.max >= found["max"], True)
            comparison.equal("nulls", chunk.statistics.null_count, column.null_count)


def compare_duckdb(folder, expected, scaled):
    import duckdb

    comparison = Comparison("duckdb", folder)
    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'")
    source = f"read_parquet('{folder}/**/*.parquet', hive_partitioning=true)"
    described = connection.execute(f"DESCRIBE SELECT * EXCLUDE (dt) FROM {source}").fetchall()
    comparison.equal("columns", [(row[0], row[1]) for row in described],
                     [(name, DUCK_TYPES[kind]) for name, kind in columns(scaled)])
    number = "unscaled" if scaled else "value"
    row = connection.execute(f"""
        SELECT count(*), count({number}), count(*) FILTER (quality = 'bad'),
               count(*) FILTER (flags <> ''), sum(seq)::HUGEINT, sum(epoch_ms(ts))::HUGEINT,
               sum(epoch_ms(received))::HUGEINT, sum(scale)::HUGEINT, sum({number}),
               count(DISTINCT device), count(DISTINCT dt) FROM {source}""").fetchone()
    found = dict(zip(["rows", "values", "bad", "flagged", "seq", "ts", "received", "scale", number,
                      "devices", "days"], row))
    if scaled and found["unscaled"] is not None:
        found["unscaled"] = wrap(int(found["unscaled"]))
    compare_figures(comparison, found, expected, scaled)
    wrong = connection.execute(f"SELECT count(*) FROM {source} WHERE dt <> strftime(ts, '%Y-%m-%d')::DATE")
    comparison.equal("rows of another day", wrong.fetchone()[0], 0)
    if not scaled:
        # round(value, scale) is the exact decimal again (DESIGN 7).
        again = connection.execute(f"SELECT count(*) FROM {source} WHERE round(value, scale) <> value")
        comparison.equal("values that round(value, scale) changes", again.fetchone()[0], 0)
    return comparison


def compare(folder, expected, scaled):
    if not files_below(folder):
        print(f"FAILED {folder}: there are no files")
        return 1
    failures = 0
    for function in (compare_pyarrow, compare_duckdb):
        comparison = function(folder, expected, scaled)
        failures += comparison.failures
        print(f"{comparison.reader}: {folder}: {comparison.count} comparisons, "
              f"{comparison.failures} failed")
    return failures


def run_sample(program):
    with tempfile.TemporaryDirectory(prefix="tidegate-parquet-") as folder:
        subprocess.run([program], check=True, timeout=120, stdout=subprocess.DEVNULL,
                       env=dict(os.environ, TIDEGATE_PARQUET_SAMPLE=folder))
        with open(os.path.join(folder, "expected.json"), encoding="utf-8") as file:
            expected = json.load(file)
        return (compare(os.path.join(folder, "double"), expected, False) +
                compare(os.path.join(folder, "scaled"), expected, True))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", required=True)
    parser.add_argument("--sample")
    parser.add_argument("--folder")
    parser.add_argument("--expected")
    parser.add_argument("--scaled", action="store_true")
    arguments = parser.parse_args()
    if not arguments.sample and not (arguments.folder and arguments.expected):
        parser.error("give --sample, or --folder and --expected")
    enter_venv(arguments.venv)
    if arguments.sample:
        failures = run_sample(arguments.sample)
    else:
        with open(arguments.expected, encoding="utf-8") as file:
            failures = compare(arguments.folder, json.load(file), arguments.scaled)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
