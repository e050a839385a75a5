# SPDX-License-Identifier: Apache-2.0
"""A real Kafka for tests: one broker, or several, in KRaft mode, on free ports in a temporary folder; started,
killed and continued by pid; and readers that are not ours: kcat and Kafka's console consumer.

    with Kafka() as kafka:
        kafka.create_topic("water.reading.v1", partitions=6)
        ...
        for record in kafka.records("water.reading.v1"):
            print(record.key, reading(record.value)["metric"])

The jars come from tests/kafka/pom.xml through Maven, once, into build/kafka/lib. A broker takes 3 s to start and
300 MB. Whatever happens to the test, its brokers end with it.
"""
import atexit
import base64
import collections
import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kafka_wire as wire  # noqa: E402
from gateway import ROOT, Skip, free_port, wait_until  # noqa: E402

POM = os.path.join(ROOT, "tests/kafka/pom.xml")
LIB = os.environ.get("TIDEGATE_KAFKA_LIB") or os.path.join(ROOT, "build/kafka/lib")
# Few threads and the cheap compiler: a test broker lives for seconds.
JVM = ["java", "-Xms96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
USER, PASSWORD = "tidegate", "well-kept-secret"
STORE_PASSWORD = "changeit"


# ---- the jars ----

def kafka_missing():
    """A reason when no broker can be had, or None; fetches the jars the first time."""
    for program in ("java", "kcat"):
        if shutil.which(program) is None:
            return f"no {program}: deploy/setup --tests installs it"
    with open(POM, "rb") as file:
        pom = file.read()
    os.makedirs(os.path.dirname(LIB), exist_ok=True)
    with open(LIB + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = os.path.join(LIB, "pom.xml")  # names what the folder was made from
        if os.path.exists(stamp):
            with open(stamp, "rb") as file:
                if file.read() == pom:
                    return None
        return fetch_jars(stamp)


def fetch_jars(stamp):
    if shutil.which("mvn") is None:
        return "no mvn: deploy/setup --tests installs it"
    new = LIB + ".new"
    shutil.rmtree(new, ignore_errors=True)
    try:
        result = subprocess.run(["mvn", "-q", "-B", "-f", POM, "dependency:copy-dependencies",
                                 f"-DoutputDirectory={new}"], capture_output=True, timeout=240, text=True)
    except subprocess.TimeoutExpired:
        return "mvn did not fetch Kafka's jars within 240 s"
    if result.returncode != 0:
        lines = [line for line in (result.stdout + result.stderr).splitlines() if "ERROR" in line]
        return f"mvn could not fetch Kafka's jars: {(lines or ['no reason given'])[0]}"
    shutil.copy(POM, os.path.join(new, os.path.basename(stamp)))
    shutil.rmtree(LIB, ignore_errors=True)
    os.rename(new, LIB)
    return None


def kafka_lib():
    """The folder of the jars; raises Skip with the reason when there can be none."""
    reason = kafka_missing()
    if reason:
        raise Skip(reason)
    return LIB


def java(heap, main, *arguments):
    return [*JVM, f"-Xmx{heap}m", "-cp", os.path.join(kafka_lib(), "*"),
            f"-Dorg.slf4j.simpleLogger.defaultLogLevel={os.environ.get('KAFKA_LOG', 'warn')}", main, *arguments]


def die_with_parent():
    """In the child: SIGKILL when this test ends in whatever way (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


# ---- one broker ----

class Kafka:
    """One broker. It always has an open listener, which `address` names and where everybody may do everything;
    with `sasl` one that asks for USER and PASSWORD by PLAIN or SCRAM-SHA-256 (`sasl_address`; librdkafka before
    2.6.1 has a wrong nonce that Kafka 4 refuses, so from there only PLAIN), with `tls` one with a certificate for
    `tls_name` (`tls_address`). With `acl` only what add_acl allows is allowed there.
    `settings` go into server.properties."""

    def __init__(self, sasl=False, tls=False, tls_name="localhost", acl=False, settings=None, node=1, cluster=None,
                 folder=None):
        self.lib = kafka_lib()
        self.node = node
        self.cluster = cluster
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="tidegate-kafka-")
        self.sasl, self.tls, self.tls_name, self.acl = sasl, tls, tls_name, acl
        self.settings = dict(settings or {})
        self.port, self.sasl_port, self.tls_port = free_port(), free_port(), free_port()
        self.controller_port = free_port()
        self.process = None
        self.uuid = cluster.uuid if cluster else new_uuid()
        atexit.register(self.close)

    address = property(lambda self: f"127.0.0.1:{self.port}")
    sasl_address = property(lambda self: f"127.0.0.1:{self.sasl_port}")
    tls_address = property(lambda self: f"127.0.0.1:{self.tls_port}")
    log_path = property(lambda self: os.path.join(self.folder, "broker.log"))
    ca = property(lambda self: os.path.join(self.folder, "ca.pem"))

    # ---- life ----

    def properties(self):
        quorum = self.cluster.brokers[0] if self.cluster else self
        controller = quorum is self
        listeners = {"PLAINTEXT": self.port}
        if self.sasl:
            listeners["SASL_PLAINTEXT"] = self.sasl_port
        if self.tls:
            listeners["SSL"] = self.tls_port
        named = ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items())
        copies = len(self.cluster.brokers) if self.cluster else 1
        lines = {
            "process.roles": "broker,controller" if controller else "broker",
            "node.id": self.node,
            "controller.quorum.voters": f"{quorum.node}@127.0.0.1:{quorum.controller_port}",
            "listeners": named + (f",CONTROLLER://127.0.0.1:{self.controller_port}" if controller else ""),
            "advertised.listeners": named.replace("SSL://127.0.0.1", "SSL://localhost"),
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,"
                                              "SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL",
            "log.dirs": os.path.join(self.folder, "logs"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.num.partitions": 3,
            "transaction.state.log.min.isr": min(copies, 2),
            "group.initial.rebalance.delay.ms": 0,
            "num.network.threads": 1,
            "num.io.threads": 2,
            # A broker that was killed is found missing in 3 s, not in 9.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "replica.lag.time.max.ms": 3000,
            "log.cleaner.dedupe.buffer.size": 4 << 20,
        }
        if self.sasl:
            module = "org.apache.kafka.common.security"
            lines["sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256"
            lines["listener.name.sasl_plaintext.plain.sasl.jaas.config"] = (
                f'{module}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";')
            lines["listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config"] = (
                f"{module}.scram.ScramLoginModule required;")
        if self.tls:
            lines.update(make_certificates(self.folder, self.tls_name))
        if self.acl:
            lines["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
            lines["super.users"] = "User:ANONYMOUS"
        lines.update(self.settings)
        return "".join(f"{key}={value}\n" for key, value in lines.items())

    def format(self):
        path = os.path.join(self.folder, "server.properties")
        os.makedirs(self.folder, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.properties())
        if os.path.exists(os.path.join(self.folder, "logs", "meta.properties")):
            return path
        scram = ["--add-scram", f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]"] if self.sasl else []
        result = subprocess.run(java(128, "kafka.tools.StorageTool", "format", "-t", self.uuid, "-c", path, *scram),
                                capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, f"StorageTool: {result.stdout} {result.stderr}"
        return path

    def start(self, ready=True, seconds=60):
        """Starts, or continues after stop or kill: same folder, same ports."""
        path = self.format()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(java(384, "kafka.Kafka", path), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
        return self.wait_ready(seconds) if ready else self

    def wait_ready(self, seconds=60):
        def ready():
            assert self.process.poll() is None, f"the broker ended:\n{self.log_tail()}"
            try:
                return self.node in wire.metadata(self.port)["brokers"]
            except OSError:
                return False
        wait_until(f"Kafka broker {self.node} is ready", ready, seconds)
        return self

    def stop(self, seconds=30):
        """SIGTERM: hands its leaderships over and ends."""
        self.resume()
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        """kill -9."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)

    def pause(self):
        """Stands still with open connections, as when a machine hangs."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)

    def close(self):
        self.kill()
        atexit.unregister(self.close)
        if self.own_folder and not os.environ.get("KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, *error):
        self.close()

    def log_tail(self, lines=25):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return "\n".join(file.read().splitlines()[-lines:])

    # ---- topics ----

    def create_topic(self, name, partitions=6, replication=1, placement=None, **configs):
        """`configs` with _ for the dots: max_message_bytes=1000."""
        wire.create_topic(self.port, name, partitions, replication,
                          {key.replace("_", "."): value for key, value in configs.items()}, placement)
        # Made is not known: brokers learn of it a moment later.
        def known():
            partitions = wire.metadata(self.port)["topics"].get(name)
            return partitions and all(partition["leader"] > 0 for partition in partitions.values())
        wait_until(f"topic {name} has leaders", known, 20)

    def create_topics(self, partitions=6, replication=1, **configs):
        """Those that the gateway writes by default."""
        for name in TOPICS:
            self.create_topic(name, partitions, replication, **configs)

    def alter_topic(self, name, **configs):
        wire.alter_topic(self.port, name, {key.replace("_", "."): value for key, value in configs.items()})

    def delete_topic(self, name):
        wire.delete_topic(self.port, name)
        wait_until(f"topic {name} is gone", lambda: name not in self.topics(), 20)

    def topics(self):
        """name -> partition -> {leader, replicas, isr}"""
        return wire.metadata(self.port)["topics"]

    def add_acl(self, operation, resource, name, user=USER):
        wire.add_acl(self.port, f"User:{user}", operation, resource, name)

    def drop_acls(self, user=USER, topic=None):
        wire.drop_acls(self.port, f"User:{user}", topic)

    def offsets(self, name, when=-1, committed=False):
        """partition -> end of the log (or its beginning, -2). Markers of transactions count."""
        brokers = wire.metadata(self.port)
        found = {}
        for index, partition in brokers["topics"][name].items():
            found.update(wire.offsets(brokers["brokers"][partition["leader"]], name, [index], when, committed))
        return found

    def delete_records(self, name, before):
        """As retention does: partition -> the first offset that stays."""
        wire.delete_records(self.port, name, before)

    def in_transaction(self, name):
        """Records stand in the topic that are neither committed nor given up yet."""
        partitions = range(len(self.topics()[name]))
        stable = wire.offsets(self.port, name, partitions, committed=True)
        return any(end > stable[index] for index, end in wire.offsets(self.port, name, partitions).items())

    # ---- readers and writers that are not ours ----

    def records(self, topic, committed=False, properties=None, address=None):
        """Everything in a topic, in order of partition and offset; with `committed` as a reader of committed
        transactions. `properties` are librdkafka's."""
        return kcat_records(address or self.address, topic, committed, properties)

    def console_records(self, topic, committed=False, count=None, idle_ms=4000):
        """The same through Kafka's own console consumer. With `count` it ends after so many, otherwise when
        nothing came for idle_ms."""
        return console_records(self.address, topic, committed, count, idle_ms)

    def produce(self, topic, pairs):
        """Kafka's own console producer: pairs of texts, key and value."""
        result = subprocess.run(
            java(128, "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", self.address, "--topic", topic,
                 "--property", "parse.key=true", "--property", "key.separator=\t"),
            input="".join(f"{key}\t{value}\n" for key, value in pairs).encode(), capture_output=True, timeout=60)
        assert result.returncode == 0, result.stderr.decode()[-2000:]


def copy_records(address, topic, records):
    """Records of one topic into another, each in its partition; without headers."""
    key, end = b"<|key|>", b"<|end|>"
    for index in sorted({record.partition for record in records}):
        data = end.join(record.key + key + record.value for record in records if record.partition == index)
        result = subprocess.run(["kcat", "-P", "-b", address, "-t", topic, "-p", str(index), "-K", key.decode(), "-D",
                                 end.decode()], input=data, capture_output=True, timeout=60)
        assert result.returncode == 0, result.stderr.decode()[-1000:]


TOPICS = ("water.reading.v1", "water.deadletter.v1", "water.event.v1")


def new_uuid():
    """As StorageTool random-uuid makes them; it takes a JVM to do it."""
    while True:
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made


class KafkaCluster:
    """Brokers that replicate. The first is also the only controller: stop the others, and their leaderships move
    and the in-sync replicas shrink; without the first nothing of that happens."""

    def __init__(self, count=3, **options):
        self.uuid = new_uuid()
        self.folder = tempfile.mkdtemp(prefix="tidegate-kafkas-")
        self.brokers = []
        for node in range(1, count + 1):
            self.brokers.append(Kafka(node=node, cluster=self, folder=os.path.join(self.folder, str(node)), **options))
        atexit.register(self.close)

    address = property(lambda self: ",".join(broker.address for broker in self.brokers))

    def start(self):
        for broker in self.brokers:
            broker.start(ready=False)
        for broker in self.brokers:
            broker.wait_ready()
        wait_until("all brokers know each other", lambda: all(
            len(wire.metadata(broker.port)["brokers"]) == len(self.brokers) for broker in self.brokers), 30)
        return self

    def broker(self, node):
        return self.brokers[node - 1]

    def create_topic(self, name, partitions=6, replication=3, **options):
        self.brokers[0].create_topic(name, partitions, replication, **options)

    def create_topics(self, partitions=6, replication=3, **configs):
        for name in TOPICS:
            self.create_topic(name, partitions, replication, **configs)

    def topics(self):
        return self.brokers[0].topics()

    def leaders(self, topic):
        """partition -> node"""
        return {index: partition["leader"] for index, partition in self.topics()[topic].items()}

    def in_sync(self, topic):
        """The fewest in-sync replicas that a partition has."""
        return min(len(partition["isr"]) for partition in self.topics()[topic].values())

    def elect_preferred(self):
        wire.elect_preferred(self.brokers[0].port)

    def records(self, topic, **options):
        return self.brokers[0].records(topic, **options)

    def close(self):
        for broker in reversed(self.brokers):
            broker.close()
        atexit.unregister(self.close)
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.close()


def make_certificates(folder, name):
    """An authority (ca.pem) and a broker's certificate for `name`; returns the broker's settings."""
    store = os.path.join(folder, "broker.p12")
    path = lambda file: os.path.join(folder, file)  # noqa: E731
    settings = {"ssl.keystore.location": store, "ssl.keystore.type": "PKCS12",
                "ssl.keystore.password": STORE_PASSWORD, "ssl.key.password": STORE_PASSWORD,
                "ssl.client.auth": "none"}
    if os.path.exists(store):
        return settings
    os.makedirs(folder, exist_ok=True)
    with open(path("names"), "w", encoding="utf-8") as file:
        file.write(f"subjectAltName=DNS:{name}\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
            ["req", "-x509", *key, "-keyout", path("ca.key"), "-out", path("ca.pem"), "-days", "2", "-subj",
             "/CN=Tidegate tests"],
            ["req", *key, "-keyout", path("broker.key"), "-out", path("broker.csr"), "-subj", f"/CN={name}"],
            ["x509", "-req", "-in", path("broker.csr"), "-CA", path("ca.pem"), "-CAkey", path("ca.key"),
             "-CAcreateserial", "-out", path("broker.pem"), "-days", "2", "-extfile", path("names")],
            ["pkcs12", "-export", "-in", path("broker.pem"), "-inkey", path("broker.key"), "-out", store, "-passout",
             f"pass:{STORE_PASSWORD}"]):
        result = subprocess.run(["openssl", *command], capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
    return settings


# ---- reading ----

Record = collections.namedtuple("Record", "partition offset timestamp key value headers")


def kcat_records(address, topic, committed=False, properties=None, seconds=120):
    settings = {"isolation.level": "read_committed" if committed else "read_uncommitted", "check.crcs": "true"}
    settings.update(properties or {})
    options = [word for key, value in settings.items() for word in ("-X", f"{key}={value}")]
    # Sizes first, since keys and values are any bytes; headers last, up to what no header of ours contains.
    result = subprocess.run(["kcat", "-C", "-b", address, "-t", topic, "-o", "beginning", "-e", "-q", *options,
                             "-f", "%p %o %T %K %S\\n%k%s%h\\x1e\\x1f\\n"], capture_output=True, timeout=seconds)
    if result.returncode != 0:
        raise AssertionError(f"kcat: {result.stderr.decode()[-1000:]}")
    return sorted(parse_kcat(result.stdout), key=lambda record: record[:2])


def parse_kcat(data):
    at, found = 0, []
    while at < len(data):
        line = data.index(b"\n", at)
        partition, offset, stamp, key_size, size = map(int, data[at:line].split())
        at = line + 1
        key = data[at:at + key_size] if key_size >= 0 else None
        at += max(0, key_size)
        value = data[at:at + size] if size >= 0 else None
        at += max(0, size)
        end = data.index(b"\x1e\x1f\n", at)
        found.append(Record(partition, offset, stamp, key, value, parse_headers(data[at:end])))
        at = end + 3
    return found


def parse_headers(data):
    """NAME=VALUE,NAME=VALUE: a comma only separates when a name follows."""
    pairs = re.split(rb",(?=[a-z][a-z_.-]*=)", data) if data else []
    return {name.decode(): value for name, value in (pair.split(b"=", 1) for pair in pairs)}


def console_records(address, topic, committed=False, count=None, idle_ms=4000, seconds=120):
    # Separators are text; these have not been seen in a protobuf.
    field, line = "<|tidegate|>", "<|end of record|>"
    wanted = {"print.partition": "true", "print.offset": "true", "print.headers": "true", "print.key": "true",
              "key.separator": field, "line.separator": line}
    options = [word for key, value in wanted.items() for word in ("--property", f"{key}={value}")]
    if count is not None:
        options += ["--max-messages", str(count)]
    result = subprocess.run(
        java(192, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", address, "--topic", topic,
             "--from-beginning", "--timeout-ms", str(idle_ms), "--isolation-level",
             "read_committed" if committed else "read_uncommitted", *options), capture_output=True, timeout=seconds)
    found = []
    for row in result.stdout.split(line.encode())[:-1]:
        partition, offset, headers, key, value = row.split(field.encode(), 4)
        found.append(Record(int(partition.split(b":")[1]), int(offset.split(b":")[1]), None,
                            None if key == b"null" else key, value,
                            headers.decode("utf-8", "replace")))
    if result.returncode != 0 and not found:
        raise AssertionError(f"console consumer: {result.stderr.decode()[-1000:]}")
    return sorted(found, key=lambda record: record[:2])


# ---- what stands in a record (codecs/reading/reading.proto) ----

FIELDS = {1: "vendor", 2: "device", 3: "metric", 4: "ts", 5: "value", 6: "unit", 7: "scale", 8: "quality",
          9: "flags", 10: "time_source", 11: "seq", 12: "received", 13: "gateway", 14: "unscaled"}
WIRE_TYPES = {4: 0, 5: 1, 7: 0, 11: 0, 12: 0, 14: 0}  # the others are strings: 2
ALWAYS = set(FIELDS.values()) - {"value", "unscaled"}


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def reading(data):
    """A Reading as a dictionary. Written from the schema and the wire format, not from our encoder; strict: an
    unknown field or wire type, a missing or repeated one is an error."""
    found, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        assert number in FIELDS and kind == WIRE_TYPES.get(number, 2), f"field {number} of wire type {kind}"
        if kind == 2:
            size, at = varint(data, at)
            assert at + size <= len(data), "a string beyond the end"
            value = data[at:at + size].decode()
            at += size
        elif kind == 1:
            value, = struct.unpack_from("<d", data, at)
            at += 8
        else:
            value, at = varint(data, at)
            if number == 14:
                value = (value >> 1) ^ -(value & 1)
            elif value >= 1 << 63:
                value -= 1 << 64
        assert FIELDS[number] not in found, f"field {number} twice"
        found[FIELDS[number]] = value
    assert ALWAYS <= found.keys() and ("value" in found) == ("unscaled" in found), found
    return {"value": None, "unscaled": None, **found}


def murmur2(data):
    """Kafka's hash of keys (org.apache.kafka.common.utils.Utils.murmur2)."""
    factor, mask = 0x5BD1E995, 0xFFFFFFFF
    value = (0x9747B28C ^ len(data)) & mask
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at:at + 4], "little") * factor & mask
        word = (word ^ word >> 24) * factor & mask
        value = (value * factor & mask) ^ word
    if len(data) & 3:
        value = (value ^ int.from_bytes(data[whole:], "little")) * factor & mask
    value = (value ^ value >> 13) * factor & mask
    return value ^ value >> 15


def partition_of(key, partitions):
    """Where the Java producer puts a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


# ---- a broker that is none ----

class HostileBroker:
    """Listens and answers each request, or each connection, with what `answer(request)` gives: bytes, or None to
    close. `request` is b"" when a connection opens."""

    def __init__(self, answer):
        import threading
        self.answer = answer
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(50)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.connections = 0
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        import threading
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with peer:
            peer.settimeout(10)
            try:
                request = b""
                while True:
                    reply = self.answer(request)
                    if reply is None:
                        return
                    peer.sendall(reply)
                    request = peer.recv(65536)
                    if not request:
                        return
            except OSError:
                return

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


if __name__ == "__main__":
    # kafka.py: a broker to try something with, until Enter or the end of input.
    with Kafka(settings=dict(argument.split("=", 1) for argument in sys.argv[1:])) as broker:
        broker.create_topics()
        print(f"{broker.address}  topics {' '.join(TOPICS)}  folder {broker.folder}", flush=True)
        sys.stdin.read(1)
