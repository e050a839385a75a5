#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`tidegate doctor` against real servers: what is missing there is named, what is made is found, and the doctor
makes nothing itself."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from clickhouse import ClickHouse  # noqa: E402
from doctor_kit import Doctor, found  # noqa: E402
from kafka import Kafka  # noqa: E402


def told(findings):
    return "\n".join(str(finding) for finding in findings)


def test_clickhouse_without_the_table_with_it_and_with_a_wrong_login():
    with ClickHouse("26.7") as server:
        with Doctor(f"sinks: [{{{{type: clickhouse, url: '{server.url()}'}}}}]\n") as doctor:
            findings = doctor.look(code=1)
            assert found(findings, "error", "sink clickhouse", "clickhouse ddl"), told(findings)
            server.create_tables()
            findings = doctor.look(code=0)
            assert found(findings, "ok", "sink clickhouse", "version 26.7", "the table fits"), told(findings)
            server.send("ALTER TABLE readings DROP COLUMN received")
            findings = doctor.look(code=1)
            assert found(findings, "error", "sink clickhouse", "received"), told(findings)
        more = f"sinks: [{{{{type: clickhouse, url: '{server.url()}', user: nobody}}}}]\n"
        with Doctor(more) as doctor:
            findings = doctor.look(code=1)
            assert found(findings, "error", "sink clickhouse", "look at user"), told(findings)


def test_kafka_without_topics_with_them_and_with_a_position_that_is_not_compacted():
    more = "sinks: [{{type: kafka, brokers: '%s', %s}}]\n"
    with Kafka() as broker:
        with Doctor(more % (broker.address, "delivery: exactly_once")) as doctor:
            findings = doctor.look(code=1)
            assert found(findings, "error", "sink kafka", "water.reading.v1", "does not exist", "--create"), \
                told(findings)
            assert broker.topics() == [] or "water.reading.v1" not in broker.topics()
            broker.create_topics(partitions=3)
            broker.create_topic("tidegate.position.v1", 1)
            findings = doctor.look(code=1)
            assert found(findings, "ok", "sink kafka", "water.reading.v1", "partitions: 3"), told(findings)
            assert found(findings, "error", "sink kafka", "tidegate.position.v1", "compact"), told(findings)
        with Doctor(more % (broker.address, "topic_readings: made.later, create_topics: true")) as doctor:
            findings = doctor.look(code=0)
            assert found(findings, "ok", "sink kafka", "made.later", "it will be created"), told(findings)
            assert "made.later" not in broker.topics()


if __name__ == "__main__":
    lib.run(globals())
