#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints readings, one a line:  consumer.py BROKERS [TOPIC [COUNT]]  ends after COUNT.

  pip install -r requirements.txt

The message class is made from reading.desc, which is installed beside reading.proto, so that no code has to be
generated; TIDEGATE_SCHEMA names the folder.
"""
import datetime
import decimal
import os
import sys

from confluent_kafka import Consumer, KafkaException
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SCHEMA = os.environ.get("TIDEGATE_SCHEMA", "/usr/local/share/tidegate")


def reading_class():
    with open(os.path.join(SCHEMA, "reading.desc"), "rb") as file:
        files = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for one in files.file:
        pool.Add(one)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tidegate.v1.Reading"))


def line(reading):
    # value is a double that anyone can sum; unscaled and scale are the exact decimal. Neither is there for a null.
    value = "null"
    if reading.HasField("value"):
        value = format(decimal.Decimal(reading.unscaled).scaleb(-reading.scale), "f")
    time = datetime.datetime.fromtimestamp(reading.ts / 1000, datetime.timezone.utc)
    return "\t".join([reading.vendor, reading.device, reading.metric, time.isoformat(timespec="milliseconds"), value,
                      reading.unit, reading.quality, reading.flags, reading.time_source, str(reading.seq),
                      reading.gateway])


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    topic = sys.argv[2] if len(sys.argv) > 2 else "water.reading.v1"
    left = int(sys.argv[3]) if len(sys.argv) > 3 else sys.maxsize
    reading = reading_class()
    consumer = Consumer({
        "bootstrap.servers": sys.argv[1],
        "group.id": "reading-consumer-python",
        "auto.offset.reset": "earliest",
        # The default; with `delivery: exactly_once` anything else would see aborted readings.
        "isolation.level": "read_committed",
    })
    consumer.subscribe([topic])
    try:
        while left > 0:
            record = consumer.poll(1.0)
            if record is None:
                continue
            if record.error():
                raise KafkaException(record.error())
            print(line(reading.FromString(record.value())))
            left -= 1
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
