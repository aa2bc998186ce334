# SPDX-License-Identifier: Apache-2.0
"""Schema ids from a real registry, Apicurio: whole platforms under its ids, with it away, moved to it, and mixed up."""

import io
import itertools
import json
import os
import re
import subprocess
import uuid

import fastavro
import pytest
import requests
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

import events
from harness import ROOT, free_port, wait_until

OTHERS = 40  # subjects of somebody else, so that no id is by chance the lock's
PURCHASED = "weir.commerce-weir.commerce.ProductPurchased"
SEEDS = itertools.count(1)


class Apicurio:
    def __init__(self, state):
        self.port = free_port(2)
        self.url = f"http://127.0.0.1:{self.port}/apis/ccompat/v7"
        self.env = dict(WEIR_STATE=str(state), WEIR_REGISTRY_PORT=str(self.port), WEIR_REGISTRY_KEEP="1")

    def script(self, verb):
        return subprocess.run([ROOT / "tests/services/apicurio.sh", verb], env={**os.environ, **self.env},
                              capture_output=True, text=True, timeout=400)

    def start(self):
        done = self.script("start")
        assert done.returncode == 0, done.stderr

    def register(self, subject, definition):
        response = requests.post(f"{self.url}/subjects/{subject}/versions", json={"schema": json.dumps(definition)}, timeout=30)
        assert response.status_code == 200, response.text
        return response.json()["id"]


@pytest.fixture(scope="module")
def apicurio(module_stack, tmp_path_factory):
    registry = Apicurio(tmp_path_factory.mktemp("apicurio"))
    fetched = registry.script("fetch")
    if fetched.returncode != 0:
        pytest.skip(f"Apicurio Registry cannot be had: {fetched.stderr.strip().splitlines()[-1]}")
    registry.start()
    yield registry
    registry.script("clean")


@pytest.fixture(scope="module")
def platform(module_stack, apicurio):
    """A platform that began with the registry."""
    stack = module_stack
    stack.dirty = True
    for number in range(OTHERS):
        apicurio.register(f"other-{number}", {"type": "enum", "name": f"Other{number}", "symbols": ["A"]})
    begin(stack, "--schema-registry-url", apicurio.url)
    stack.gateway = stack.start_gateway("--schema-registry-url", apicurio.url)
    yield stack
    stack.end_all()


def begin(stack, *options):
    """Empty database and topics, migrated with these options."""
    stack.end_all()
    stack.new_database()
    stack.new_topics()
    stack.run("migrate", *options)


def registry_options(apicurio):
    return ("--schema-registry-url", apicurio.url)


def records(stack, topic):
    reader = Consumer({"bootstrap.servers": stack.brokers, "group.id": f"test-{uuid.uuid4()}"})
    try:
        ends = {key: end for key, end in stack.ends([topic]).items() if end}
        reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for _, number in ends])
        found = []
        while len(found) < sum(ends.values()):
            message = reader.poll(60)
            assert message is not None and message.error() is None
            found.append(message)
        return found
    finally:
        reader.close()


def buy(stack, space):
    body = {"purchase_id": str(uuid.uuid4()), "buyer_id": str(uuid.uuid4()), "currency": "EUR", "total": 100,
            "items": [{"product_id": str(uuid.uuid4()), "unit_price": 100}]}
    answer = stack.post(space, "ProductPurchased", body)
    assert answer.status_code == 202, answer.text
    return answer.json()


def newer(*names):
    """The newest ProductPurchased with optional fields behind the others, as a build of tomorrow has it."""
    definition = dict(events.NEWEST["ProductPurchased"].definition)
    more = [{"name": name, "type": ["null", "string"], "x-length-max": 9, "default": None, "doc": "Of tomorrow."} for name in names]
    return {**definition, "fields": definition["fields"] + more}


def send(stack, space, schema_id, definition):
    """A record of a build of tomorrow."""
    _, fields = events.Maker(next(SEEDS)).body("ProductPurchased")
    _, record = events.decode(events.make_record("ProductPurchased", fields))
    out = io.BytesIO(b"\0" + schema_id.to_bytes(4, "big"))
    out.seek(5)
    fastavro.schemaless_writer(out, fastavro.parse_schema(definition), record)
    produce(stack, "weir.commerce", out.getvalue(), space)


def produce(stack, topic, value, space, headers=None):
    producer = Producer({"bootstrap.servers": stack.brokers})
    producer.produce(topic, value, space.encode(), events.partition_of(space.encode()), headers=headers)
    assert producer.flush(60) == 0


def space_of(partition):
    return next(s for s in map(lambda _: str(uuid.uuid4()), itertools.count()) if events.partition_of(s.encode()) == partition)


def test_the_ids_are_the_registrys(platform, apicurio):
    platform.run("simulate", "--seed", 9, "--events", 300, "--rate", 1000, "--spaces", 8)
    decode = AvroDeserializer(SchemaRegistryClient({"url": apicurio.url}))
    found = records(platform, "weir.commerce")
    assert found
    for message in found:
        assert int.from_bytes(message.value()[1:5], "big") > OTHERS
        event = decode(message.value(), SerializationContext(message.topic(), MessageField.VALUE))
        assert str(event["meta"]["event_id"]) == dict(message.headers())["ce_id"].decode()
    recorded = platform.psql("SELECT schema_id, event, version FROM weir.schema")
    assert len(recorded) == len(events.VERSIONS) and min(recorded)[0] > OTHERS
    processors = platform.start_processors(options=registry_options(apicurio))
    platform.wait_drained()
    platform.run("audit", "--wait", "30s", *registry_options(apicurio))
    tail = platform.run("tail", "-o", "jsonl", "--topic", "weir.commerce", *registry_options(apicurio)).stdout.splitlines()
    assert len(tail) == len(found) and all(json.loads(line)["event"] for line in tail)
    answer = requests.get(platform.admin_url + "/subjects", timeout=30)
    assert answer.status_code == 404 and apicurio.url in answer.json()["message"]
    platform.end(processors)


def rebuild(platform, *options):
    return platform.run("rebuild", "ledger", "--verify", "--no-swap", "-o", "json", *options, check=False)


def test_a_rebuild_needs_no_registry_for_ids_that_the_database_knows(platform, apicurio):
    without = rebuild(platform)
    assert without.returncode == 2 and apicurio.url in without.stderr, without.stderr
    assert apicurio.script("stop").returncode == 0
    try:
        done = rebuild(platform, *registry_options(apicurio))
    finally:
        apicurio.start()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verified"] == "equal"


def test_known_ids_go_on_and_unknown_ones_wait_while_the_registry_is_down(platform, apicurio):
    definition = newer("later")
    schema_id = apicurio.register(PURCHASED, definition)
    assert apicurio.script("stop").returncode == 0
    # started while it is down: what the database has recorded is known
    processors = platform.start_processors("ledger", options=registry_options(apicurio))
    waiting, other = space_of(0), space_of(1)
    send(platform, waiting, schema_id, definition)
    wait_until(lambda: processors.metric("weir_processor_waiting_partitions") == 1, what="the partition waits")
    receipts = [buy(platform, other) for _ in range(5)]
    applied = lambda space: platform.value("SELECT count(*) FROM ledger_1.applied_event WHERE space_id = %s", space)
    wait_until(lambda: applied(other) == len(receipts), what="the other partitions go on")
    assert applied(waiting) == 0 and platform.value("SELECT count(*) FROM weir.dead_letter") == 0
    assert processors.answers("/readyz") == 503 and processors.is_alive()
    apicurio.start()
    wait_until(lambda: applied(waiting) == 1, 60, what="it goes on once the registry is there")
    wait_until(lambda: processors.metric("weir_processor_waiting_partitions") == 0)
    assert platform.value("SELECT count(*) FROM weir.dead_letter") == 0
    wait_until(processors.is_ready)
    platform.end(processors)


def test_a_rebuild_names_the_id_that_only_the_registry_knows(platform, apicurio):
    definition, space = newer("soon"), space_of(5)
    stray = apicurio.register(PURCHASED, definition)
    processors = platform.start_processors("ledger", options=registry_options(apicurio))
    send(platform, space, stray, definition)
    wait_until(lambda: platform.value("SELECT count(*) FROM ledger_1.applied_event WHERE space_id = %s", space) == 1, 60)
    platform.end(processors)
    assert not platform.psql("SELECT FROM weir.schema WHERE schema_id = %s", stray)
    assert apicurio.script("stop").returncode == 0
    try:
        refused = rebuild(platform, *registry_options(apicurio))
    finally:
        apicurio.start()
    assert refused.returncode == 1, refused.stderr
    named = re.search(r"weir\.commerce \[\d\] offset \d+: schema id (\d+): ", refused.stderr)
    assert named and apicurio.url in refused.stderr, refused.stderr
    assert not platform.psql("SELECT FROM weir.schema WHERE schema_id = %s", int(named[1]))
    done = rebuild(platform, *registry_options(apicurio))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verified"] == "equal"


def test_an_id_that_is_registered_later(platform, apicurio):
    processors = platform.start_processors("ledger", options=registry_options(apicurio))
    definition = newer("later", "last")
    coming = apicurio.register("probe", {"type": "enum", "name": "Probe", "symbols": ["A"]}) + 1
    space = space_of(2)
    send(platform, space, coming, definition)
    wait_until(lambda: processors.metric("weir_processor_waiting_partitions") == 1, what="the partition waits")
    assert apicurio.register(PURCHASED, definition) == coming
    wait_until(lambda: platform.value("SELECT count(*) FROM ledger_1.applied_event WHERE space_id = %s", space) == 1, 60)
    platform.end(processors)


def test_a_database_takes_its_ids_from_one_source(platform, apicurio):
    for command in (("migrate",), ("process", "ledger", "--processor-listen", "127.0.0.1:0")):
        done = platform.run(*command, check=False)
        assert done.returncode == 2 and apicurio.url in done.stderr and "--import" in done.stderr, done.stderr
    done = platform.run("schema", "register", "--import", *registry_options(apicurio), check=False)
    assert done.returncode == 2 and "come from the schema registry" in done.stderr


def test_an_event_with_an_id_of_the_other_source_is_a_dead_letter(platform, apicurio):
    """Its number is taken for another event; nothing of it is applied, and nothing else waits."""
    taken = {i: e for i, e in platform.psql("SELECT schema_id, event FROM weir.schema")}
    stray = min(taken)
    version = next(v for v in events.VERSIONS.values() if v.topic == events.NEWEST[taken[stray]].topic
                   and v.event != taken[stray])
    processors = platform.start_processors("overview", options=registry_options(apicurio))
    platform.wait_drained("overview")
    _, fields = events.Maker(1).body(version.event)
    value = b"\0" + stray.to_bytes(4, "big") + events.make_record(version.event, fields)[5:]
    produce(platform, version.topic, value, space_of(3), {"ce_type": f"{version.topic}.{version.event}"})
    platform.wait_drained("overview")
    code, message = platform.psql("SELECT code, message FROM weir.dead_letter")[0]
    assert code == "type-wrong" and version.event in message and "another source" in message
    assert not platform.psql("SELECT FROM weir.halt")
    platform.end(processors)


def test_import_moves_a_platform_over(module_stack, apicurio, tmp_path):
    stack = module_stack
    begin(stack)
    gateway = stack.start_gateway()
    space = space_of(4)
    before = [buy(stack, space) for _ in range(3)]
    done = stack.run("process", "ledger", "--processor-listen", "127.0.0.1:0", *registry_options(apicurio), check=False)
    assert done.returncode == 2 and "weir schema register --import" in done.stderr
    assert stack.run("migrate", *registry_options(apicurio), check=False).returncode == 2
    # a registry in which the ids mean something else
    done = stack.run("schema", "register", "--import", *registry_options(apicurio), check=False)
    assert done.returncode == 2 and "another schema" in done.stderr
    assert stack.psql("SELECT source FROM weir.schema_source") == [("catalog",)]
    empty = Apicurio(tmp_path)
    empty.start()
    try:
        stack.run("schema", "register", "--import", *registry_options(empty))
        assert stack.psql("SELECT source, url FROM weir.schema_source") == [("registry", empty.url)]
        stack.end(gateway)
        stack.run("migrate", *registry_options(empty))
        gateway = stack.start_gateway(*registry_options(empty))
        after = [buy(stack, space) for _ in range(3)]
        processors = stack.start_processors("ledger", options=registry_options(empty))
        stack.wait_drained("ledger")
        applied = stack.value("SELECT count(*) FROM ledger_1.applied_event WHERE space_id = %s", space)
        assert applied == len(before) + len(after)
        ids = {int.from_bytes(m.value()[1:5], "big") for m in records(stack, "weir.commerce")}
        assert ids == {events.NEWEST["ProductPurchased"].id}
        stack.end(processors)
    finally:
        stack.end(gateway)
        empty.script("clean")
