#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The programs of codecs/reading/README.md, as they stand there, against a real Kafka: what was published over MQTT
comes out of the consumers of deploy/examples and of the kcat line, value by value. The names of the tests are
theirs; what a machine cannot have is skipped with its reason."""
import datetime
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import gateway as lib  # noqa: E402
from gateway import ROOT, Skip  # noqa: E402
from kafka import Kafka  # noqa: E402

README = os.path.join(ROOT, "codecs/reading/README.md")
EXAMPLES = os.path.join(ROOT, "deploy/examples/consumers")
BUILD = os.path.join(ROOT, "build/consumers")
TOPIC = "water.reading.v1"

# device, key, JSON value -> value, unit, quality, flags as they must come out
SENT = [
    ("00012345", "volume.total", "123.456", "123.456", "m3", "good", ""),
    ("00012345", "pressure", '{"value": 0.31, "unit": "MPa"}', "310", "kPa", "good", ""),
    ("00012345", "temperature.water", "-0.50", "-0.50", "degC", "good", ""),
    ("00012345", "battery.voltage", "null", "null", "V", "bad", "device_fault"),
    ("00012345", "flow", "0", "0", "m3/h", "good", ""),
    ("水表-7", "volume.total", "12345678.12345678", "12345678.12345678", "m3", "good", "precision"),
    ("水表-7", "level", "0.000001", "0.000001", "m", "good", ""),
    ("AB 7", "x.unheard", "5", "5", "", "good", "metric_unknown"),
]
ONCE = {}


def parts():
    """One broker with what was sent, for all tests of this file."""
    if "failed" in ONCE:
        raise AssertionError(f"as told above: {ONCE['failed']}")
    if not ONCE:
        ONCE["failed"] = "the readings never came"
        kafka = Kafka().start()
        kafka.create_topics()
        gateway = lib.Gateway(plain=True)
        gateway.command_plain = gateway.command
        gateway.command = lambda: [*gateway.command_plain(), "--kafka", kafka.address]
        ONCE.update(kafka=kafka, gateway=gateway.start())
        now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        ONCE["time"] = now
        for index, (device, metric, value, *_) in enumerate(SENT):
            stamp = (now - datetime.timedelta(seconds=60 - index)).isoformat()
            gateway.publish("v1/acme/json", f'{{"device": {json.dumps(device)}, "time": "{stamp}", '
                            f'"{metric}": {value}}}'.encode(), "-q", "1")
        gateway.publish("v1/acme/json", b"{never closed", "-q", "1")
        lib.wait_until("Kafka has everything", lambda: arrived(gateway.status()), 60)
        del ONCE["failed"]
    return ONCE["kafka"], ONCE["gateway"]


def arrived(status):
    """In Kafka; Parquet's files may take their time."""
    lane = next(lane for lane in status["lanes"] if lane["name"] == "kafka")
    return status["received"] == len(SENT) + 1 and not status["undecoded"] and not lane["lag_messages"]


def schema():
    """The folder that `cmake --install` would fill."""
    folder = os.path.join(BUILD, "share")
    os.makedirs(folder, exist_ok=True)
    source = os.path.join(os.path.dirname(os.path.abspath(lib.PROGRAM)), "codecs/reading/reading.desc")
    shutil.copy(source, folder)
    shutil.copy(os.path.join(ROOT, "codecs/reading/reading.proto"), folder)
    return folder


def as_decimal(text):
    """0.50 and 0.5 are one value, of which trailing zeros are no news."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def check_lines(text):
    """The tab-separated lines of the example consumers."""
    rows = [line.split("\t") for line in text.strip().splitlines()]
    assert len(rows) == len(SENT), f"{len(rows)} lines, {len(SENT)} sent:\n{text}"
    found = {(row[1], row[2]): row for row in rows}
    gateways = {row[10] for row in rows}
    assert len(gateways) == 1 and re.fullmatch("[0-9a-f]{16}", gateways.pop()), gateways
    for index, (device, metric, _, value, unit, quality, flags) in enumerate(SENT):
        row = found[device, metric]
        assert row[0] == "acme" and as_decimal(row[4]) == as_decimal(value), row
        assert row[5:9] == [unit, quality, flags, "device"], row
        wanted = ONCE["time"] - datetime.timedelta(seconds=60 - index)
        assert datetime.datetime.fromisoformat(row[3].replace("Z", "+00:00")) == wanted, (row, wanted)
        assert int(row[9]) == index + 1, row


def run(command, seconds=60, **options):
    result = subprocess.run(command, capture_output=True, timeout=seconds, **options)
    assert result.returncode == 0, f"{command}: {result.stdout.decode()[-1500:]}\n{result.stderr.decode()[-1500:]}"
    return result.stdout.decode()


def readme_line(word):
    """The shell block of the README that holds this word, on this test's broker and schema."""
    with open(README, encoding="utf-8") as file:
        blocks = re.findall(r"```sh\n(.*?)```", file.read(), re.S)
    block, = [block for block in blocks if word in block]
    kafka, _ = parts()
    assert "localhost:9092" in block
    return block.replace("localhost:9092", kafka.address).replace("/usr/local/share/tidegate", schema())


def test_the_kcat_line_decodes_readings():
    kafka, _ = parts()
    if shutil.which("protoc") is None:
        raise Skip("no protoc: deploy/setup --tests installs it")
    text = run(["bash", "-c", readme_line("--decode")])
    assert len(kafka.records(TOPIC)) == len(SENT)
    readings = [dict(re.findall(r"^(\w+): (.*)$", part, re.M)) for part in text.strip().split("\n\n")]
    assert len(readings) == len(SENT), text
    found = {reading["metric"].strip('"') + reading["seq"]: reading for reading in readings}
    for index, (_, metric, _, value, unit, quality, flags) in enumerate(SENT):
        reading = found[f"{metric}{index + 1}"]
        assert reading["unit"] == f'"{unit}"' and reading["quality"] == f'"{quality}"', reading
        assert reading["flags"] == f'"{flags}"' and ("value" in reading) == (value != "null"), reading
        if value != "null":
            assert float(reading["value"]) == float(value), reading
            assert int(reading["unscaled"]) == round(float(value) * 10 ** int(reading["scale"])) or \
                "precision" in flags, reading


def test_the_kcat_line_shows_dead_letters():
    text = run(["bash", "-c", readme_line("deadletter")])
    assert "{never closed" in text and "reason=not_json" in text and "stage=decode" in text, text


def test_the_python_consumer():
    kafka, _ = parts()
    venv = os.path.join(BUILD, "venv")
    wanted = os.path.join(EXAMPLES, "python/requirements.txt")
    program = os.path.join(venv, "bin/python")
    if subprocess.run([program, "-c", "import confluent_kafka, google.protobuf"], capture_output=True,
                      check=False).returncode if os.path.exists(program) else True:
        made = subprocess.run(f"python3 -m venv {venv} && {venv}/bin/pip -q install -r {wanted}", shell=True,
                              capture_output=True, timeout=240, check=False)
        if made.returncode != 0:
            raise Skip(f"pip could not install {wanted}: {made.stderr.decode()[-300:]}")
    check_lines(run([program, os.path.join(EXAMPLES, "python/consumer.py"), kafka.address, TOPIC, str(len(SENT))],
                    env=dict(os.environ, TIDEGATE_SCHEMA=schema())))


def maven(pom, output, *goals):
    """Skip when it cannot fetch its parts; another failure is one."""
    made = subprocess.run(["mvn", "-q", "-B", "-f", pom, f"-Doutput={output}", *goals], capture_output=True,
                          timeout=280, check=False)
    said = made.stdout.decode()
    if made.returncode != 0 and ("Could not transfer" in said or "resolve" in said):
        raise Skip(f"mvn could not fetch its parts: {said[-300:]}")
    assert made.returncode == 0, said[-3000:]


def test_the_java_consumer():
    kafka, _ = parts()
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        raise Skip("no mvn or no javac: deploy/setup --tests installs them")
    pom = os.path.join(EXAMPLES, "java/pom.xml")
    maven(pom, f"{BUILD}/java", "compile")
    text = run(["mvn", "-q", "-B", "-f", pom, f"-Doutput={BUILD}/java", "exec:java",
                f"-Dexec.args={kafka.address} {TOPIC} {len(SENT)}"])
    check_lines(text.replace("\x1b[0m", ""))  # Maven resets colours before and after


def test_the_go_consumer():
    kafka, _ = parts()
    if shutil.which("go") is None:
        raise Skip("no go on this machine")
    program = os.path.join(BUILD, "go-consumer")
    made = subprocess.run(["go", "build", "-o", program, "."], cwd=os.path.join(EXAMPLES, "go"), capture_output=True,
                          timeout=240, check=False)
    said = made.stderr.decode()
    if made.returncode != 0 and ("dial tcp" in said or "proxy" in said or "requires go" in said):
        raise Skip(f"go could not fetch its modules: {said[-300:]}")
    assert made.returncode == 0, said[-3000:]
    check_lines(run([program, kafka.address, TOPIC, str(len(SENT))], env=dict(os.environ, TIDEGATE_SCHEMA=schema())))


# What Flink asks of a Java that closes its packages.
FLINK_OPENS = [word for package in ("lang", "lang.reflect", "net", "nio", "util", "util.concurrent",
                                    "util.concurrent.atomic")
               for word in ("--add-opens", f"java.base/java.{package}=ALL-UNNAMED")]


def test_flink_sql_reads_every_reading_and_null_as_null():
    kafka, _ = parts()
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        raise Skip("no mvn or no javac: deploy/setup --tests installs them")
    maven(os.path.join(EXAMPLES, "java/pom.xml"), f"{BUILD}/java", "compile")  # the classes of the message
    maven(os.path.join(ROOT, "tests/kafka/flink/pom.xml"), f"{BUILD}/flink", "compile",
          "dependency:copy-dependencies")
    path = f"{BUILD}/flink/classes:{BUILD}/java/classes:{BUILD}/flink/dependency/*"
    text = run(["java", *FLINK_OPENS, "-Xmx600m", "-cp", path, "FlinkSql", os.path.join(EXAMPLES, "flink.sql"),
                kafka.address, "SELECT record_key, metric, `value`, unit, quality, flags, seq, unscaled FROM latest"],
               seconds=150)
    rows = {int(row[6]): row for row in (line.split("\t") for line in text.strip().splitlines())}
    assert len(rows) == len(SENT), text
    for index, (device, metric, _, value, unit, quality, flags) in enumerate(SENT):
        row = rows[index + 1]
        assert row[:2] == [f"acme/{device}", metric] and row[3:6] == [unit, quality, flags], row
        assert (row[2], row[7]) == ("null", "null") if value == "null" else float(row[2]) == float(value), row


def test_flink_sql_has_every_field():
    """The columns of flink.sql are the fields of the schema, in name and type."""
    with open(os.path.join(ROOT, "codecs/reading/reading.proto"), encoding="utf-8") as file:
        fields = dict((name, kind) for kind, name in re.findall(r"^  optional (\w+) (\w+) = ", file.read(), re.M))
    with open(os.path.join(EXAMPLES, "flink.sql"), encoding="utf-8") as file:
        table = file.read().split(") WITH (")[0]
    columns = dict(re.findall(r"^  `?(\w+)`? +(STRING|BIGINT|DOUBLE|INT)\b", table, re.M))
    columns.pop("record_key")
    types = {"string": "STRING", "int64": "BIGINT", "sint64": "BIGINT", "double": "DOUBLE", "uint32": "INT"}
    assert len(fields) == 14 and columns == {name: types[kind] for name, kind in fields.items()}, (fields, columns)


if __name__ == "__main__":
    try:
        lib.run(globals())
    finally:
        for part in ("gateway", "kafka"):
            if part in ONCE:
                ONCE[part].close()
