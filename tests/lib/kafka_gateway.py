# SPDX-License-Identifier: Apache-2.0
"""A gateway with a Kafka lane, and what tests ask about the lane."""
import json
import os

from gateway import Gateway, wait_until
from kafka import TOPICS

CONFIG = """
data: {data}
anonymous: loopback
timezone: "+08:00"
mqtt: {{listen: "127.0.0.1:{port}"}}
admin: {{listen: "127.0.0.1:{admin}"}}
journal: {{segment_size: 4MiB, extent_size: 256KiB}}
routes:
  - {{topic: "v1/{{vendor}}/{{device}}/json", codec: json}}
  - {{topic: "v1/{{vendor}}/{{device}}/cjt188", codec: cjt188}}
sinks:
"""
PARQUET = {"type": "parquet", "flush_age": "300ms"}
QUICK = {"linger": "20ms", "flush_age": "50ms"}


def config(*sinks):
    """A configuration with these sinks, as a template of Gateway. JSON is YAML."""
    rows = (json.dumps(sink).replace("{", "{{").replace("}", "}}") for sink in sinks)
    return CONFIG + "".join(f"  - {row}\n" for row in rows)


def topics(kafka, prefix, partitions=6, only=None, **settings):
    """Topics of one test, made, as options of its sink: several tests share a broker."""
    options = {}
    for option, name in zip(("topic_readings", "topic_deadletters", "topic_events"), TOPICS):
        options[option] = f"{prefix}.{name}"
        if only is None or option in only:
            kafka.create_topic(options[option], partitions, **settings)
    options["topic_position"] = f"{prefix}.position"
    return options


def position_topic(kafka, options, **settings):
    kafka.create_topic(options["topic_position"], 1, **{"cleanup_policy": "compact", **settings})


class KafkaGateway(Gateway):
    """A gateway with the sinks Parquet and Kafka."""

    def __init__(self, address, folder=None, sinks=(), parquet=PARQUET, **options):
        self.sink = {"type": "kafka", "brokers": address, **QUICK, **options}
        self.sinks = [*([parquet] if parquet else []), self.sink, *sinks]
        self.sims = []
        super().__init__(folder=folder)

    def sim_start(self, *options):
        self.sims.append(super().sim_start(*options))
        return self.sims[-1]

    def close(self):
        for sim in self.sims:  # of a test that failed under load
            if sim.poll() is None:
                sim.kill()
                sim.communicate()
        super().close()

    def command(self):
        self.config = config(*self.sinks)  # options may change between two lives
        return super().command()

    def lane(self, name="kafka"):
        return next(lane for lane in self.status()["lanes"] if lane["name"] == name)

    def wait_lane(self, health, why="", name="kafka", seconds=30):
        """Until the lane says so, with `why` in its sentence. The sentence."""
        def said():
            lane = self.lane(name)
            return lane["health"] == health and why in lane["why"] and (lane["why"] or "ok")
        try:
            return wait_until(f"lane {name} is {health} ({why})", said, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.lane(name)}\n{self.log_tail()}") from None

    def wait_lane_done(self, name="kafka", seconds=60, messages=0):
        """Until one lane has everything that was received, whatever the others do."""
        def done():
            status = self.status()
            lane = next(lane for lane in status["lanes"] if lane["name"] == name)
            enough = status["received"] >= messages and not status["undecoded"]
            return enough and not lane["lag_messages"] and status
        try:
            return wait_until(f"lane {name} has everything", done, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.lane(name)}\n{self.log_tail()}") from None

    def memory(self):
        """Resident bytes now."""
        with open(f"/proc/{self.process.pid}/statm", encoding="utf-8") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
