#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`tidegate audit` against the stores themselves: what is taken out of ClickHouse or Kafka is named by its numbers, and
what is complete is told to be so, also after replays, new decodings and retention."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
import kafka_gateway  # noqa: E402
from clickhouse import PASSWORD, ClickHouse  # noqa: E402
from clickhouse_gateway import both  # noqa: E402
from gateway import Skip, wait_until  # noqa: E402
from kafka import Kafka, copy_records, kafka_missing, reading  # noqa: E402
from replays import ReplayGateway  # noqa: E402


def configuration(gateway, **changes):
    """Its file, with other words in it."""
    with open(os.path.join(gateway.folder, "tidegate.yaml"), encoding="utf-8") as file:
        text = file.read()
    for old, new in changes.get("words", {}).items():
        assert old in text, old
        text = text.replace(old, new)
    path = os.path.join(gateway.folder, "audited.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def audit(gateway, *options, check=0, **changes):
    """Rows, differences, remarks."""
    result = gateway.verb("audit", "--data", gateway.data, "--config", configuration(gateway, **changes), "--json",
                          *options, check=check, seconds=120)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return ([line for line in lines if "day" in line], [line for line in lines if "differs" in line],
            [line for line in lines if "expired" in line or "not_asked" in line])


def total(rows, sink, name):
    return sum(row["sinks"][sink].get(name, 0) for row in rows)


def ranges(differences):
    return [(line["sink"], line["differs"], line["first_seq"], line["last_seq"], line["expected"] - line["found"])
            for line in differences]


def demand_equal(rows, differences, sink):
    """Everything that was confirmed is there, and that is all."""
    assert differences == [], differences
    assert total(rows, sink, "confirmed") > 0
    for row in rows:
        counts = row["sinks"][sink]
        assert counts["confirmed"] == row["readings"] == counts["stored"] + counts["replaced"], (sink, row)
        assert counts["missing"] == counts["extra"] == counts["expired"] == counts["waiting"] == 0, (sink, row)


# ---- ClickHouse ----

def sink_of(server):
    return {"type": "clickhouse", "url": server.url(), "flush_age": "300ms"}


def delete(server, where):
    """As an operator's mistake would."""
    server.send(f"ALTER TABLE readings DELETE WHERE {where}")
    wait_until("the mutation is done", lambda: server.value("SELECT count() FROM system.mutations WHERE NOT is_done") == 0,
               60)


@both
def rows_that_are_gone_from_clickhouse_are_named(version):
    with ClickHouse(version) as server, ReplayGateway(sink_of(server)) as gateway:
        server.create_tables()
        gateway.start()
        gateway.sim("--count", "6000", "--rate", "max", "--meters", "300", "--garbage", "20", "--duplicates", "5")
        gateway.settled()
        rows, differences, _ = audit(gateway)
        demand_equal(rows, differences, "clickhouse")
        demand_equal(rows, differences, "parquet")
        assert audit(gateway, "--memory", "64KiB")[:2] == (rows, differences), "in several windows"
        server.send("OPTIMIZE TABLE readings FINAL")  # of two with one key the later stays
        rows, differences, _ = audit(gateway)
        demand_equal(rows, differences, "clickhouse")
        assert total(rows, "clickhouse", "replaced") > 0, "duplicates were sent"

        gone = server.value("SELECT count() FROM readings WHERE seq BETWEEN 2000 AND 2300 OR seq = 5000")
        delete(server, "(seq BETWEEN 2000 AND 2300) OR seq = 5000")
        rows, differences, _ = audit(gateway, check=65)
        assert {line["sink"] for line in differences} == {"clickhouse"}, differences
        assert sum(lost[4] for lost in ranges(differences)) == gone == total(rows, "clickhouse", "missing"), differences
        assert all(2000 <= lost[2] <= lost[3] <= 2300 or lost[2] == lost[3] == 5000 for lost in ranges(differences))
        assert all(row["sinks"]["parquet"]["missing"] == 0 for row in rows)

        # One metric of many messages, and a row that nobody sent.
        server.send("INSERT INTO readings SELECT * REPLACE ('x' AS device) FROM readings WHERE seq = 100 LIMIT 1"
                     if version != "18.16" else
                     "INSERT INTO readings SELECT vendor, 'x', metric, ts, ts_ms, value, unit, scale, quality, flags, "
                     "time_source, seq, received, received_ms, gateway, version FROM readings WHERE seq = 100 LIMIT 1")
        rows, differences, _ = audit(gateway, check=65)
        assert ("clickhouse", "has what nobody sent", 100, 100, -1) in ranges(differences), differences

        gateway.replay("--sink", "clickhouse")
        rows, differences, _ = audit(gateway, check=65)
        assert ranges(differences) == [("clickhouse", "has what nobody sent", 100, 100, -1)], differences
        assert total(rows, "clickhouse", "missing") == 0


@both
def what_was_decoded_again_is_compared_too(version):
    with ClickHouse(version) as server, ReplayGateway(sink_of(server)) as gateway:
        server.create_tables()
        gateway.start()
        gateway.publish_meters(1, 30)
        gateway.settled(messages=30)
        gateway.write_mapping(volume="m3", second="level")
        gateway.reload()
        gateway.replay("--decode-again", "--sink", "clickhouse")
        gateway.replay("--decode-again", "--sink", "parquet", "--device", "00000003")
        rows, differences, _ = audit(gateway)
        assert differences == [], differences
        assert total(rows, "clickhouse", "stored") == 90 and total(rows, "parquet", "stored") == 60, rows
        assert total(rows, "parquet", "older") == 58 and total(rows, "clickhouse", "older") == 0, rows
        # Of the new decoding and of the old one.
        delete(server, "(seq = 7 AND metric = 'level') OR (seq = 9 AND metric = 'pressure')")
        rows, differences, _ = audit(gateway, check=65)
        assert [lost[0::2] for lost in ranges(differences)] == [("clickhouse", 7, 1), ("clickhouse", 9, 1)], differences
        assert total(rows, "clickhouse", "missing") == 2


def test_a_sink_that_began_later_owes_nothing_from_before():
    with ClickHouse("26.7") as server, ReplayGateway() as gateway:
        server.create_tables()
        gateway.start()
        gateway.publish_meters(1, 4)
        gateway.settled(messages=4)
        gateway.stop()
        gateway.sinks.append({**sink_of(server), "start": "latest"})
        gateway.start()
        gateway.publish_meters(5, 3)
        gateway.settled(messages=7)
        rows, differences, _ = audit(gateway)
        assert differences == [] and total(rows, "clickhouse", "before_start") == 8, (rows, differences)
        assert total(rows, "clickhouse", "stored") == 6, rows


def test_what_a_sink_refused_is_told_and_stored_by_a_retry_after_it_was_mended():
    with ClickHouse("26.7") as server, ReplayGateway(sink_of(server)) as gateway:
        server.create_tables()
        server.send("ALTER TABLE readings ADD CONSTRAINT sane CHECK NOT (device = '00000002' AND metric = 'pressure')")
        gateway.start()
        gateway.publish_meters(1, 3)
        gateway.settled(messages=3)
        rows, differences, _ = audit(gateway)
        assert differences == [] and total(rows, "clickhouse", "refused") == 1, (rows, differences)
        assert total(rows, "clickhouse", "stored") == 5 and total(rows, "parquet", "refused") == 0, rows
        for sink, sent in (("parquet", b"sent 0 readings"), ("nothing", b"sent 0 readings")):
            told = gateway.admin_verb("deadletter", "retry", "--sink", sink, check=0)
            assert sent in told.stdout, told
        server.send("ALTER TABLE readings DROP CONSTRAINT sane")
        dry = gateway.admin_verb("deadletter", "retry", "--dry-run", check=0)
        assert b"would send 2 readings of 1 messages\n" in dry.stdout and b": 0 readings would change, 0 would be" in dry.stdout, dry
        gateway.write_mapping(volume="L", second="level")  # what it gave before goes, too
        gateway.reload()
        told = gateway.admin_verb("deadletter", "retry", "--sink", "clickhouse", check=0)
        assert b"sent 2 readings of 1 messages\n" in told.stdout and b": 2 readings changed, 1 were withdrawn" in told.stdout, told
        rows = server.query("SELECT metric, flags FROM readings FINAL WHERE device = '00000002' ORDER BY metric")
        assert [(metric, "withdrawn" in flags) for metric, flags in rows] == \
            [("level", False), ("pressure", True), ("volume.total", False)], rows
        rows, differences, _ = audit(gateway)
        assert differences == [] and total(rows, "clickhouse", "refused") == 0, (rows, differences)
        assert total(rows, "clickhouse", "stored") == 7, rows


def test_what_the_store_no_longer_keeps_is_no_loss():
    with ClickHouse("26.7") as server, ReplayGateway(sink_of(server)) as gateway:
        server.create_tables()
        gateway.start()
        for day in (1, 2, 3):
            gateway.publish(f"v1/aqua/d{day}/json",
                            json.dumps({"time": f"2026-11-0{day}T08:00:00Z", "volume.total": day}).encode(), "-q", "1")
        gateway.settled(messages=3)
        server.send("ALTER TABLE readings DROP PARTITION 20261101")
        rows, differences, remarks = audit(gateway)
        assert differences == [] and total(rows, "clickhouse", "expired") == 1, (rows, differences)
        assert "2026-11-02" in remarks[0]["expired"], remarks
        server.send("ALTER TABLE readings DROP PARTITION 20261103")  # not the oldest: nothing explains it
        rows, differences, _ = audit(gateway, check=65)
        assert ranges(differences) == [("clickhouse", "misses", 3, 3, 1)], differences
        # Without the server: not proved, and said so.
        server.stop()
        rows, differences, remarks = audit(gateway, check=69)
        assert differences == [] and remarks[0]["sink"] == "clickhouse" and "stored" not in rows[0]["sinks"]["clickhouse"]
        assert audit(gateway, "--logs-only")[1] == []


def test_the_user_who_inserts_may_not_ask_and_another_may():
    with ClickHouse("26.7") as server:
        server.create_tables()
        with ReplayGateway({**sink_of(server), "user": "gateway", "password_file": "secret"}) as gateway:
            secret = os.path.join(gateway.folder, "secret")
            with open(secret, "w", encoding="utf-8") as file:
                file.write(PASSWORD + "\n")
            os.chmod(secret, 0o600)
            gateway.start()
            gateway.publish_meters(1, 3)
            gateway.settled(messages=3)
            _, _, remarks = audit(gateway, check=69)
            assert "--clickhouse-user" in remarks[0]["not_asked"], remarks
            rows, differences, _ = audit(gateway, "--clickhouse-user", "reader", "--clickhouse-password-file", secret)
            demand_equal(rows, differences, "clickhouse")
            # Without a configuration, as `run --clickhouse`; the sink `nothing` is not known to it.
            result = gateway.verb("audit", "--data", gateway.data, "--clickhouse", server.url(), check=69)
            assert b"sink nothing could not be asked" in result.stderr, result
            assert b"clickhouse       acme" in result.stdout and b"DIFFERS" not in result.stdout, result.stdout
            both_given = gateway.verb("audit", "--data", gateway.data, "--clickhouse", server.url(), "--config",
                                      configuration(gateway), check=2)
            assert b"--config" in both_given.stderr or b"clickhouse" in both_given.stderr, both_given


# ---- Kafka ----

def test_records_that_are_gone_from_the_topic_are_named_and_retention_is_told():
    if kafka_missing():
        raise Skip(kafka_missing())
    with Kafka() as kafka:
        topics = kafka_gateway.topics(kafka, "a")
        topic = topics["topic_readings"]
        sink = {"type": "kafka", "brokers": kafka.address, **kafka_gateway.QUICK, **topics}
        with ReplayGateway(sink, parquet=None) as gateway:
            gateway.start()
            gateway.sim("--count", "3000", "--rate", "max", "--meters", "300", "--garbage", "20", "--duplicates", "5")
            gateway.settled()
            rows, differences, _ = audit(gateway)
            demand_equal(rows, differences, "kafka")
            live = kafka.records(topic, committed=True)

            # A copy of the topic, in which some are missing and one stands twice.
            seq = {record[:2]: reading(record.value)["seq"] for record in live}
            kept = [record for record in live if not 1000 <= seq[record[:2]] <= 1100 and seq[record[:2]] != 2000]
            twice = next(record for record in kept if seq[record[:2]] > 2500)
            kafka.create_topic("short")
            copy_records(kafka.address, "short", kept + [twice])
            rows, differences, _ = audit(gateway, check=65, words={topic: "short"})
            lost = ranges(differences)
            assert sum(one[4] for one in lost) == len(live) - len(kept) == total(rows, "kafka", "missing"), lost
            assert all(1000 <= one[2] <= one[3] <= 1100 or one[2] == one[3] == 2000 for one in lost), lost
            assert total(rows, "kafka", "repeated") == 1, rows
            words = {topic: "short", '"type": "kafka"': '"type": "kafka", "delivery": "exactly_once"'}
            _, differences, _ = audit(gateway, check=65, words=words)
            assert ("kafka", "has twice") in [one[:2] for one in ranges(differences)], differences

            # A replay is no second copy, and stands for what was lost.
            gateway.replay("--sink", "kafka")
            rows, differences, _ = audit(gateway)
            demand_equal(rows, differences, "kafka")
            assert total(rows, "kafka", "repeated") == 0, rows

            # Retention takes the beginning of each partition, and the replay's records are not asked to help.
            kafka.delete_records(topic, kafka.offsets(topic))
            rows, differences, remarks = audit(gateway)
            assert differences == [] and total(rows, "kafka", "expired") == len(live), (differences, rows)
            assert "retention" in remarks[0]["expired"], remarks
            kafka.stop()
            _, _, remarks = audit(gateway, check=69)
            assert remarks[0]["sink"] == "kafka" and "not_asked" in remarks[0], remarks


def test_transactions_are_read_as_committed_and_each_reading_stands_once():
    if kafka_missing():
        raise Skip(kafka_missing())
    with Kafka() as kafka:
        topics = kafka_gateway.topics(kafka, "e")
        kafka_gateway.position_topic(kafka, topics)
        sink = {"type": "kafka", "brokers": kafka.address, "delivery": "exactly_once", **kafka_gateway.QUICK, **topics}
        with ReplayGateway(sink, parquet=None) as gateway:
            gateway.start()
            sim = gateway.sim_start("--count", "4000", "--rate", "1500", "--meters", "300", "--patience", "60s")
            wait_until("records flow", lambda: gateway.status()["received"] > 1000)
            gateway.kill()  # a transaction is given up
            gateway.start()
            for _ in range(2):  # beside live traffic
                assert audit(gateway)[1] == []
            assert sim.communicate(timeout=60) and sim.returncode == 0
            gateway.settled(messages=4000)
            rows, differences, _ = audit(gateway)
            demand_equal(rows, differences, "kafka")
            assert total(rows, "kafka", "repeated") == 0, rows


if __name__ == "__main__":
    lib.run(dict(globals()))
