# SPDX-License-Identifier: Apache-2.0
"""Gateways as the tests run them, and what independent clients see of their work."""
import io
import json
import os
import pathlib
import signal
import subprocess
import uuid

import confluent_kafka
import fastavro
import requests

from harness import free_port, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEIR = os.environ.get("WEIR_TEST_PROGRAM", str(ROOT / "build" / "weir"))
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
START_TIMEOUT_S = 60
ANSWER_S = 30  # on a machine that is busy with others


class Gateway:
    """A gateway of its own, with the options given, on a free port."""

    def __init__(self, brokers, log, *options, ready=True):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_port = free_port()
        self.admin = f"http://127.0.0.1:{self.admin_port}"
        self.log = pathlib.Path(log)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}
        self.process = subprocess.Popen(
            [WEIR, "gateway", "--gateway-listen", f"127.0.0.1:{self.port}", "--admin-listen", f"127.0.0.1:{self.admin_port}",
             "--kafka-brokers", brokers, *options],
            stderr=self.log.open("w"), env=environment)
        wait_until(self.ready if ready else self.alive, START_TIMEOUT_S, f"the gateway is up; see {self.log}")

    def alive(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return requests.get(self.admin + "/livez", timeout=ANSWER_S).status_code == 200
        except requests.ConnectionError:
            return False

    def ready(self):
        return self.alive() and requests.get(self.admin + "/readyz", timeout=ANSWER_S).status_code == 200

    def post(self, space, event, body, key=None, headers=None, timeout=30):
        headers = {**JSON, **(headers or {})}
        if key is not None:
            headers["Idempotency-Key"] = key
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return requests.post(f"{self.url}/v1/spaces/{space}/events/{event}", data=data, headers=headers,
                             timeout=timeout)

    def metric(self, line):
        for text in requests.get(self.admin + "/metrics", timeout=ANSWER_S).text.splitlines():
            if text.startswith(line + " "):
                return float(text.rsplit(" ", 1)[1])
        return None

    def stop(self):
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def kill(self):
        self.process.kill()
        self.process.wait()


def consumer(brokers):
    return confluent_kafka.Consumer({"bootstrap.servers": brokers, "group.id": f"test-{uuid.uuid4()}",
                                     "enable.auto.commit": False, "enable.partition.eof": True,
                                     "auto.offset.reset": "error"})


def record_at(brokers, receipt):
    """The record that a receipt names, read by librdkafka's Python client."""
    reader = consumer(brokers)
    try:
        reader.assign([confluent_kafka.TopicPartition(receipt["topic"], receipt["partition"], receipt["offset"])])
        message = wait_until(lambda: reader.poll(1.0), 60, "the record of the receipt")
        assert message.error() is None and message.offset() == receipt["offset"]
        return message
    finally:
        reader.close()


def records_of_space(brokers, topic, space):
    """All records of one Space in a topic."""
    reader = consumer(brokers)
    found = []
    try:
        partitions = reader.list_topics(topic, timeout=20).topics[topic].partitions
        reader.assign([confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING) for p in partitions])
        left = set(partitions)
        while left:
            message = reader.poll(60)
            assert message is not None, "the topic cannot be read to its end"
            if message.error():
                assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, message.error()
                left.discard(message.partition())
            elif message.key().decode() == space:
                found.append(message)
        return found
    finally:
        reader.close()


def schema_path(schema_id):
    for line in (ROOT / "schemas" / "catalog.lock").read_text().splitlines():
        parts = line.split()
        if parts and parts[0] == str(schema_id):
            return ROOT / "schemas" / (parts[2] + ".avsc")
    raise AssertionError(f"no schema {schema_id} in the lock")


def decode(message):
    """The event of a record, by fastavro."""
    value = message.value()
    assert value[0] == 0
    path = schema_path(int.from_bytes(value[1:5], "big"))
    schema = fastavro.parse_schema(json.loads(path.read_text()))
    stream = io.BytesIO(value[5:])
    event = fastavro.schemaless_reader(stream, schema)
    assert stream.read() == b""
    return path.parent.name, event
