# SPDX-License-Identifier: Apache-2.0
"""The few requests of Kafka's own protocol with which tests order a broker about: its command line tools do
the same, but each start of a JVM costs two processor seconds. Records never pass through here: they are read
and written by programs that are not ours (kcat, the console consumer and producer)."""
import socket
import struct

METADATA, LIST_OFFSETS, CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS = 3, 2, 19, 20, 21
CREATE_ACLS, DELETE_ACLS, ELECT_LEADERS, ALTER_CONFIGS = 30, 31, 43, 44

# org.apache.kafka.common.acl and .resource
RESOURCES = {"topic": 2, "group": 3, "cluster": 4, "transactional-id": 5}
OPERATIONS = {"all": 2, "read": 3, "write": 4, "create": 5, "describe": 8, "idempotent-write": 12}
ERRORS = {0: "NONE", 3: "UNKNOWN_TOPIC_OR_PARTITION", 5: "LEADER_NOT_AVAILABLE", 7: "REQUEST_TIMED_OUT",
          17: "INVALID_TOPIC", 36: "TOPIC_ALREADY_EXISTS", 38: "INVALID_REPLICATION_FACTOR", 41: "NOT_CONTROLLER",
          84: "ELECTION_NOT_NEEDED"}


class WireError(Exception):
    """What the broker answered."""


def short(value):
    return struct.pack(">h", value)


def number(value):
    return struct.pack(">i", value)


def text(value):
    if value is None:
        return short(-1)
    data = str(value).encode()
    return short(len(data)) + data


def array(items):
    items = list(items)
    return number(len(items)) + b"".join(items)


class Reader:
    """An answer, from the front to the back."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        size = struct.calcsize(">" + form)
        values = struct.unpack_from(">" + form, self.data, self.at)
        self.at += size
        return values[0]

    def text(self):
        size = self.take("h")
        if size < 0:
            return None
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def array(self, read):
        return [read() for _ in range(max(0, self.take("i")))]


def ask(port, api, version, body, seconds=20):
    """One request on a connection of its own; versions before the flexible ones."""
    head = short(api) + short(version) + number(1) + text("tests")
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(number(len(head) + len(body)) + head + body)
        size, = struct.unpack(">i", receive(connection, 4))
        answer = Reader(receive(connection, size))
    answer.take("i")
    return answer


def receive(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("the broker closed the connection")
        data += piece
    return data


def refuse(code, what):
    if code:
        raise WireError(f"{what}: {ERRORS.get(code, code)}")


def metadata(port):
    """{"controller": id, "brokers": {id: port}, "topics": {name: {partition: {leader, replicas, isr}}}}"""
    answer = ask(port, METADATA, 1, number(-1))
    found = {"brokers": {}, "topics": {}}
    for _ in range(answer.take("i")):
        node, _, broker_port, _ = answer.take("i"), answer.text(), answer.take("i"), answer.text()
        found["brokers"][node] = broker_port
    found["controller"] = answer.take("i")
    for _ in range(answer.take("i")):
        _, name, _ = answer.take("h"), answer.text(), answer.take("b")
        partitions = found["topics"][name] = {}
        for _ in range(answer.take("i")):
            _, index, leader = answer.take("h"), answer.take("i"), answer.take("i")
            partitions[index] = {"leader": leader, "replicas": answer.array(lambda: answer.take("i")),
                                 "isr": answer.array(lambda: answer.take("i"))}
    return found


def create_topic(port, name, partitions, replication, configs, placement=None):
    """`placement`: partition -> list of nodes, the first is the preferred leader."""
    places = [] if placement is None else [number(index) + array(number(node) for node in nodes)
                                           for index, nodes in placement.items()]
    counts = number(-1) + short(-1) if places else number(partitions) + short(replication)
    topic = text(name) + counts + array(places) + array(text(key) + text(value) for key, value in configs.items())
    answer = ask(port, CREATE_TOPICS, 4, array([topic]) + number(15000) + b"\0")
    answer.take("i")
    for _ in range(answer.take("i")):
        topic, code, why = answer.text(), answer.take("h"), answer.text()
        refuse(code, f"create topic {topic} ({why})")


def delete_topic(port, name):
    answer = ask(port, DELETE_TOPICS, 3, array([text(name)]) + number(15000))
    answer.take("i")
    for _ in range(answer.take("i")):
        topic, code = answer.text(), answer.take("h")
        refuse(code, f"delete topic {topic}")


def alter_topic(port, name, configs):
    """Sets settings of a topic; None takes one back."""
    rows = [text(key) + struct.pack(">b", 1 if value is None else 0) + text(value) for key, value in configs.items()]
    answer = ask(port, ALTER_CONFIGS, 0, array([b"\x02" + text(name) + array(rows)]) + b"\0")
    answer.take("i")
    for _ in range(answer.take("i")):
        code, why = answer.take("h"), answer.text()
        answer.take("b"), answer.text()
        refuse(code, f"alter topic {name} ({why})")


def offsets(port, name, partitions, when=-1, committed=False):
    """partition -> offset; `when` -1 the end, -2 the beginning. Only of partitions that `port` leads."""
    rows = array(number(index) + struct.pack(">q", when) for index in partitions)
    answer = ask(port, LIST_OFFSETS, 2, number(-1) + (b"\1" if committed else b"\0") + array([text(name) + rows]))
    found = {}
    answer.take("i")
    for _ in range(answer.take("i")):
        answer.text()
        for _ in range(answer.take("i")):
            index, code, _, offset = (answer.take(form) for form in "ihqq")
            refuse(code, f"offset of {name} {index}")
            found[index] = offset
    return found


def delete_records(port, name, before):
    """Removes what lies before an offset, of each partition; of those that `port` leads."""
    rows = array(number(index) + struct.pack(">q", offset) for index, offset in before.items())
    answer = ask(port, DELETE_RECORDS, 0, array([text(name) + rows]) + number(15000))
    answer.take("i")
    for _ in range(answer.take("i")):
        answer.text()
        for _ in range(answer.take("i")):
            index, _, code = answer.take("i"), answer.take("q"), answer.take("h")
            refuse(code, f"delete records of {name} {index}")


def add_acl(port, principal, operation, resource, name, allow=True):
    row = (struct.pack(">b", RESOURCES[resource]) + text(name) + b"\x03" + text(principal) + text("*") +
           struct.pack(">bb", OPERATIONS[operation], 3 if allow else 2))
    answer = ask(port, CREATE_ACLS, 1, array([row]))
    answer.take("i")
    for _ in range(answer.take("i")):
        code, why = answer.take("h"), answer.text()
        refuse(code, f"acl for {principal} ({why})")


def drop_acls(port, principal, topic=None):
    """All of a principal, or those that are about a topic."""
    row = (b"\x02" if topic else b"\x01") + text(topic) + b"\x01" + text(principal) + text(None) + b"\x01\x01"
    answer = ask(port, DELETE_ACLS, 1, array([row]))
    answer.take("i")
    answer.take("i")
    refuse(answer.take("h"), f"drop acls of {principal}")


def elect_preferred(port):
    """Every partition back to its first replica."""
    answer = ask(port, ELECT_LEADERS, 1, b"\0" + number(-1) + number(15000))
    answer.take("i")
    refuse(answer.take("h"), "elect leaders")
