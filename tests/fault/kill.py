#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random times under load, start again, many times; then the oracle.

The load is `tidegate sim` with a ledger, twice: at QoS 1 and at QoS 2. It keeps what was not acknowledged and
sends it again after each start. At the end, once every lane has caught up, the ledgers and the Parquet files
are compared:

  lost        acknowledged, and not in Parquet                             must be 0
  twice       the same (gateway, seq, metric, ts) in Parquet more than once must be 0
  phantom     in Parquet, and never sent                                   must be 0
  wrong       in Parquet with another value than was sent                  must be 0
  resent      (vendor, device, metric, ts) under several seq: the client sent it again after an ack was
              lost; counted apart. At QoS 2                              must be 0

  kill.py [--cycles N] [--seed S] [--rate R] [--keep]
"""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402

ORACLE = """
import duckdb, json, sys
folder, ledger = sys.argv[1], sys.argv[2]
db = duckdb.connect()
db.execute("SET TimeZone='UTC'; SET enable_progress_bar=false")
db.execute(f"create view rows as select vendor, device, metric, epoch_ms(ts) as ts_ms, value, seq, gateway, "
           f"quality, flags from read_parquet('{folder}/*/*.parquet')")
db.execute(f"create table sent as select column0 as outcome, column1 as number, column2 as vendor, "
           f"column3 as device, column4 as ts_ms, column5 as litres, column8 as attempts from "
           f"read_csv('{ledger}.*', delim='\t', header=false, auto_detect=false, comment='#', columns={{'column0': 'VARCHAR', "
           f"'column1': 'BIGINT', 'column2': 'VARCHAR', 'column3': 'VARCHAR', 'column4': 'BIGINT', "
           f"'column5': 'BIGINT', 'column6': 'VARCHAR', 'column7': 'INTEGER', 'column8': 'INTEGER', "
           f"'column9': 'VARCHAR'}})")
db.execute("create table volumes as select * from rows where metric = 'volume.total'")
one = lambda sql: db.execute(sql).fetchone()[0]
key = "a.vendor = b.vendor and a.device = b.device and a.ts_ms = b.ts_ms"
print(json.dumps({
    "acknowledged": one("select count(*) from sent where outcome = 'ACK'"),
    "refused": one("select count(*) from sent where outcome = 'REJ'"),
    "unanswered": one("select count(*) from sent where outcome = 'UNK'"),
    "sent_again": one("select count(*) from sent where attempts > 1"),
    "rows": one("select count(*) from rows"),
    "gateways": one("select count(distinct gateway) from rows"),
    "lost": one(f"select count(*) from sent a where outcome = 'ACK' and not exists "
                f"(select 1 from volumes b where {key})"),
    "wrong": one(f"select count(*) from sent a join volumes b on {key} "
                 f"where b.value is null or round(b.value * 1000) <> a.litres"),
    "phantom": one(f"select count(*) from volumes b where not exists (select 1 from sent a where {key} "
                   f"and outcome <> 'REJ')"),
    "twice": one("select coalesce(sum(n - 1), 0) from (select count(*) n from rows "
                 "group by gateway, seq, metric, ts_ms having n > 1)"),
    "resent": one("select coalesce(sum(n - 1), 0) from (select count(distinct seq) n from volumes "
                  "where vendor not like '%2' group by vendor, device, metric, ts_ms having n > 1)"),
    "resent_qos2": one("select coalesce(sum(n - 1), 0) from (select count(distinct seq) n from volumes "
                       "where vendor like '%2' group by vendor, device, metric, ts_ms having n > 1)"),
    "acknowledged_qos2": one("select count(*) from sent where outcome = 'ACK' and vendor like '%2'"),
    "examples": db.execute(f"select a.* from sent a where outcome = 'ACK' and not exists "
                           f"(select 1 from volumes b where {key}) order by number limit 5").fetchall(),
}, default=str))
"""


# Small segments, so that kills also meet rotation; files every 0.3 s, so that they meet Parquet.
CONFIG = """
data: {data}
anonymous: loopback
timezone: "+08:00"
mqtt: {{listen: "127.0.0.1:{port}"}}
admin: {{listen: "127.0.0.1:{admin}"}}
journal: {{segment_size: 4MiB, extent_size: 256KiB, compression: 0}}
routes:
  - {{topic: "v1/{{vendor}}/{{device}}/json", codec: json}}
  - {{topic: "v1/{{vendor}}/{{device}}/cjt188", codec: cjt188}}
sinks:
  - {{type: parquet, flush_age: 300ms}}
"""


def load(gateway, arguments, dice, qos, ledger):
    """One simulator. An interval of 900 s a round: times of a meter never fall together. Long ago, so that
    simulated time cannot pass the clock, but within the 400 days that are believed."""
    begin = time.strftime("%Y-%m-%dT00:00:00+08:00", time.gmtime(time.time() - 300 * 86400))
    vendors = "aqua:json,huaxu:cjt188" if qos == 1 else "aqua2:json,huaxu2:cjt188"
    return gateway.sim_start("--meters", "2000", "--rate", str(arguments.rate // 2), "--duration", "1d", "--begin",
                             begin, "--ledger", ledger, "--patience", "120s", "--backoff", "100ms", "--seed",
                             str(arguments.seed), "--mqtt", dice.choice(["3.1.1", "5"]), "--qos", str(qos),
                             "--vendors", vendors, "--client-id", f"kill-{qos}")


def oracle(folder, ledger):
    result = subprocess.run([lib.READER, "-c", ORACLE, folder, ledger], capture_output=True, timeout=600)
    assert result.returncode == 0, result.stderr.decode()[-3000:]
    return json.loads(result.stdout)


def oracle_sees(folder, ledger):
    """The oracle must be able to fail: a lost message, a second copy and a phantom, planted. Spoils the
    folder."""
    with open(ledger + ".1", encoding="utf-8") as file:
        lines = file.read().splitlines(keepends=True)
    row = next(line for line in lines if line.startswith("ACK"))
    with open(ledger + ".planted", "w", encoding="utf-8") as file:
        file.write(row.replace(row.split("\t")[3], "99999999999999"))
    with open(ledger + ".1", "w", encoding="utf-8") as file:
        file.writelines(line for line in lines if line != row)
    place = next(os.path.join(top, name) for top, _, names in os.walk(folder) for name in names
                 if name.endswith(".parquet"))
    shutil.copy(place, place.replace(".parquet", "-copy.parquet"))
    found = oracle(folder, ledger)
    return [f"the oracle does not see a planted {name}" for name in ("lost", "phantom", "twice") if not found[name]]


def cycle(gateway, dice, number):
    """One life of random length, ended by kill -9. Short ones hit starting and recovering."""
    gateway.start(ready=False)
    began, before, taken = time.monotonic(), 0, 0
    if dice.random() < 0.8:
        gateway.wait_ready()
        before = gateway.status()["received"]
        more = dice.choice([1, 100, 1000, 5000])
        lib.wait_until("load comes in", lambda: gateway.status()["received"] >= before + more, 30, 0.005)
        taken = gateway.status()["received"] - before
    time.sleep(dice.choice([0.01, 0.1, 0.5]) * dice.random())
    gateway.kill()
    print(f"cycle {number}: killed after {time.monotonic() - began:.2f} s and {taken} messages", flush=True)


def check(found):
    """Sentences about what must not be."""
    must_be_zero = ("lost", "twice", "phantom", "wrong", "refused", "unanswered", "resent_qos2")
    bad = [f"{name}: {found[name]}" for name in must_be_zero if found[name]]
    if found["gateways"] > 1:
        bad.append(f"{found['gateways']} journal identities")
    if found["acknowledged_qos2"] == 0 or found["acknowledged"] == found["acknowledged_qos2"]:
        bad.append("nothing was acknowledged at one of the two: the load did not run")
    if found["examples"]:
        bad.append(f"lost, for example: {found['examples']}")
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--cycles", type=int, default=12)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")))
    parser.add_argument("--rate", type=int, default=6000)
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    arguments = parser.parse_args()
    reason = lib.reader_missing()
    if reason:
        print(f"SKIP kill_cycles: {reason}")
        return 77
    dice = random.Random(arguments.seed)
    gateway = lib.Gateway(config=CONFIG)
    ledger = os.path.join(gateway.folder, "ledger.tsv")
    print(f"{arguments.cycles} cycles, seed {arguments.seed}, folder {gateway.folder}", flush=True)
    ok, sims = False, []
    try:
        gateway.start()
        sims = [load(gateway, arguments, dice, qos, f"{ledger}.{qos}") for qos in (1, 2)]
        time.sleep(0.5)
        gateway.kill()
        for number in range(1, arguments.cycles + 1):
            cycle(gateway, dice, number)
        gateway.start()
        time.sleep(0.5)
        for sim in sims:
            sim.send_signal(signal.SIGTERM)
        for sim in sims:
            summary, errors = sim.communicate(timeout=60)
            print("sim:", summary.decode().strip(), errors.decode().strip(), flush=True)
        gateway.settled(seconds=120)
        assert gateway.stop() == 0, gateway.log_tail()
        found = oracle(os.path.join(gateway.data, "parquet"), ledger)
        print("oracle:", json.dumps({name: found[name] for name in found if name != "examples"}), flush=True)
        bad = check(found) or oracle_sees(os.path.join(gateway.data, "parquet"), ledger)
        for sentence in bad:
            print("FAIL", sentence)
        ok = not bad and not any(sim.returncode for sim in sims)
    finally:
        if not ok:
            print(gateway.log_tail(40))
        gateway.kill()
        for sim in sims:
            if sim.poll() is None:
                sim.kill()
                sim.communicate()
        if ok and not arguments.keep:
            gateway.close()
        elif not ok:
            print(f"kept: {gateway.folder}")
    print(f"{arguments.cycles if ok else 0} passed, {0 if ok else 1} failed, 0 skipped")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
