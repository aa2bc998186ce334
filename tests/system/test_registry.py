# SPDX-License-Identifier: Apache-2.0
"""The gateway as a schema registry: Confluent's own client looks its schemas up and decodes real events with them."""

import json
import time
import uuid

import fastavro
import pytest
import requests
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

import events

JSON = {"Content-Type": "application/json"}
LOOK_UPS_S = 3  # of twenty; they took five seconds while all names were compared
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
TRAFFIC = ("--seed", 5, "--events", 400, "--rate", 1000, "--spaces", 8)
SUBJECTS = {version.event: f"{version.topic}-{version.topic}.{version.event}" for version in events.NEWEST.values()}
PURCHASED = SUBJECTS["ProductPurchased"]
NEXT = f"schemas/commerce/ProductPurchased/{events.NEWEST['ProductPurchased'].version + 1}.avsc"


@pytest.fixture(scope="module")
def gateway(module_stack):
    return module_stack.start_gateway()


@pytest.fixture(scope="module")
def client(gateway):
    return SchemaRegistryClient({"url": gateway.admin})


@pytest.fixture
def ask(gateway):
    def ask(path, status=200, method="GET", **options):
        response = requests.request(method, gateway.admin + path, timeout=10, **options)
        assert response.status_code == status, response.text
        assert response.headers["Content-Type"] == MEDIA_TYPE
        return response.json()

    return ask


def text_of(version):
    return (events.SCHEMAS / version.domain / version.event / f"{version.version}.avsc").read_text()


def every_record(stack):
    """Every record of every domain topic."""
    reader = Consumer({"bootstrap.servers": stack.brokers, "group.id": f"test-{uuid.uuid4()}"})
    try:
        ends = stack.ends()
        reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for (topic, number), end in ends.items() if end])
        found = []
        while len(found) < sum(ends.values()):
            message = reader.poll(60)
            assert message is not None and message.error() is None, message and message.error()
            found.append(message)
        return found
    finally:
        reader.close()


@pytest.mark.parametrize("strategy", ["ASSOCIATED", "TOPIC", "TOPIC_RECORD"])
def test_confluents_deserializer_decodes_every_event(stack, client, gateway, strategy):
    if strategy == "ASSOCIATED":
        stack.run("simulate", *TRAFFIC)
    deserialize = AvroDeserializer(client, conf={"subject.name.strategy.type": strategy})
    seen = set()
    for message in every_record(stack):
        context = SerializationContext(message.topic(), MessageField.VALUE, message.headers())
        version, expected = events.decode(message.value())
        assert deserialize(message.value(), context) == expected
        seen.add(version.event)
    assert len(seen) > 10, seen


def test_confluents_deserializer_decodes_every_type(client):
    deserialize = AvroDeserializer(client)
    maker = events.Maker(3)
    for event in events.EVENTS:
        value = events.make_record(event, maker.body(event)[1])
        version, expected = events.decode(value)
        assert deserialize(value, SerializationContext(version.topic, MessageField.VALUE)) == expected


def test_serializer_finds_the_id_of_a_known_schema(client):
    version = events.NEWEST["ProductPurchased"]
    _, fields = events.Maker(1).body("ProductPurchased")
    value = events.make_record("ProductPurchased", fields)
    _, record = events.decode(value)
    for conf in ({"auto.register.schemas": False}, {"auto.register.schemas": True}):
        serialize = AvroSerializer(client, text_of(version), conf={**conf, "subject.name.strategy.type": "TOPIC_RECORD"})
        assert serialize(record, SerializationContext(version.topic, MessageField.VALUE)) == value


def test_every_version_by_subject_and_by_id(ask, client):
    assert sorted(ask("/subjects")) == sorted(client.get_subjects()) == sorted(SUBJECTS.values())
    for version in events.VERSIONS.values():
        subject = SUBJECTS[version.event]
        text = text_of(version)
        expected = {"subject": subject, "version": version.version, "id": version.id, "schemaType": "AVRO", "schema": text}
        assert ask(f"/subjects/{subject}/versions/{version.version}") == expected
        assert ask(f"/subjects/{subject}/versions/{version.version}/schema") == version.definition
        assert ask(f"/subjects/{subject}/versions/{version.version}/referencedby") == []
        assert ask(f"/schemas/ids/{version.id}") == {"schemaType": "AVRO", "schema": text}
        assert ask(f"/schemas/ids/{version.id}/schema") == version.definition
        assert ask(f"/schemas/ids/{version.id}/versions") == [{"subject": subject, "version": version.version}]
        assert ask(f"/schemas/ids/{version.id}/subjects") == [subject]
        assert version.version in client.get_versions(subject)
    for version in events.NEWEST.values():
        latest = client.get_latest_version(SUBJECTS[version.event])
        assert (latest.version, latest.schema_id) == (version.version, version.id)
        assert fastavro.parse_schema(json.loads(latest.schema.schema_str))["name"] == f"{version.topic}.{version.event}"
        assert ask(f"/subjects/{SUBJECTS[version.event]}/versions/-1")["id"] == version.id


def test_settings_and_lists(ask, client):
    assert ask("/schemas/types") == ["AVRO"]
    assert ask("/config") == ask(f"/config/{PURCHASED}") == {"compatibilityLevel": "BACKWARD_TRANSITIVE"}
    assert ask("/mode") == ask(f"/mode/{PURCHASED}") == {"mode": "READONLY"}
    assert ask("/subjects/") == ask("/subjects", params={"subjectPrefix": ":*:"}) == ask("/subjects?deleted=true")
    assert set(ask("/subjects?subjectPrefix=weir.commerce-")) == {
        SUBJECTS[e] for e, v in events.NEWEST.items() if v.topic == "weir.commerce"
    }
    assert ask("/subjects?subjectPrefix=none") == ask("/subjects?subjectPrefix=%") == []
    assert ask("/subjects/" + PURCHASED.replace("-", "%2d").replace(".", "%2E") + "/versions")
    assert client.get_compatibility() == "BACKWARD_TRANSITIVE"


def test_look_up_by_schema(ask, client):
    version = events.NEWEST["ProductPurchased"]
    found = client.lookup_schema(PURCHASED, Schema(text_of(version), "AVRO"))
    assert (found.schema_id, found.version) == (version.id, version.version)
    # spaces and the order of members do not count
    other = json.dumps(dict(reversed(version.definition.items())), indent=7)
    assert ask(f"/subjects/{PURCHASED}", method="POST", json={"schema": other})["id"] == version.id
    changed = dict(version.definition, doc="another")
    answer = ask(f"/subjects/{PURCHASED}", 404, "POST", json={"schema": json.dumps(changed)})
    assert answer["error_code"] == 40403
    assert ask(f"/subjects/{PURCHASED}", 404, "POST", json={"schema": '"nothing"'})["error_code"] == 40403
    for body in (b"", b"7", b"{", b"{}", b'{"schema": 1}', b'{"schema": "{"}', b'{"schema": "nothing"}',
                 b'{"schema": "\\"int\\"", "schemaType": "JSON"}'):
        assert ask(f"/subjects/{PURCHASED}", 422, "POST", data=body, headers=JSON)["error_code"] == 42201, body


def test_a_hostile_schema_costs_no_time(ask, gateway):
    """Names that would have to be compared with each other, and what is no JSON by its media type."""
    names = [{"type": "fixed", "size": 1, "name": f"n{number}"} for number in range(4500)]
    fields = [{"name": f"f{number}", "type": name} for number, name in enumerate(names)]
    body = json.dumps({"schema": json.dumps({"type": "record", "name": "r", "fields": fields})}).encode()
    assert 250 * 1024 < len(body) < 1024 * 1024
    small = json.dumps({"schema": json.dumps({"type": "record", "name": "r", "fields": fields[:2300]})}).encode()
    assert len(small) < 250 * 1024
    began = time.monotonic()
    for _ in range(20):
        assert ask(f"/subjects/{PURCHASED}", 404, "POST", data=small, headers=JSON)["error_code"] == 40403
    assert time.monotonic() - began < LOOK_UPS_S
    url = gateway.admin + f"/subjects/{PURCHASED}"
    assert requests.post(url, data=body, headers=JSON, timeout=30).status_code == 413
    for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/xml"}, {"Content-Type": "json"}):
        assert ask(f"/subjects/{PURCHASED}", 415, "POST", data=small, headers=headers)["error_code"] == 415


def test_the_public_address_serves_no_registry(gateway):
    for path in ("/subjects", "/schemas/types", "/livez", "/readyz", "/metrics"):
        answer = requests.get(gateway.url + path, timeout=30)
        assert answer.status_code == 404 and "--admin-listen" in answer.json()["detail"]


def test_errors_have_the_codes_of_the_api(ask, client):
    for path, code in {
        "/subjects/nothing/versions": 40401,
        "/subjects/nothing/versions/1": 40401,
        "/config/nothing": 40401,
        "/mode/nothing": 40401,
        f"/subjects/{PURCHASED}/versions/99": 40402,
        f"/subjects/{PURCHASED}/versions/2147483647": 40402,
        "/schemas/ids/999999": 40403,
        "/schemas/ids/999999/schema": 40403,
        "/schemas/ids/x": 40403,
        "/schemas/ids/99999999999": 40403,
        "/subjects/nothing/other": 404,
        f"/subjects/{PURCHASED}/versions/1/other": 404,
        "/schemas/ids/1/other": 404,
        "/schemas": 404,
        "/schemas/ids": 404,
        "/config/a/b": 404,
    }.items():
        answer = ask(path, 404)
        assert answer["error_code"] == code and answer["message"], path
    for number in ("0", "-2", "x", "1x", "2147483648", "+1"):
        assert ask(f"/subjects/{PURCHASED}/versions/{number}", 422)["error_code"] == 42202, number
    with pytest.raises(SchemaRegistryError) as raised:
        client.get_latest_version("weir.commerce-value")
    assert raised.value.error_code == 40401


@pytest.mark.parametrize("subject,hint", [("weir.commerce-value", "TopicRecordNameStrategy"), ("weir.commerce-key", "Space"),
                                          ("weir.commerce", "TopicRecordNameStrategy"), ("ProductPurchased", PURCHASED),
                                          ("weir.commerce.ProductPurchased", PURCHASED), ("weir.commerces-value", "GET /subjects")])
def test_a_subject_of_another_strategy_is_explained(ask, subject, hint):
    answer = ask(f"/subjects/{subject}/versions/latest", 404)
    assert answer["error_code"] == 40401
    assert answer["message"].startswith(f"Subject '{subject}' not found.") and hint in answer["message"]


def test_nothing_is_written(ask):
    new = json.dumps(dict(events.NEWEST["ProductPurchased"].definition, doc="another"))
    answer = ask(f"/subjects/{PURCHASED}/versions", 422, "POST", json={"schema": new})
    assert answer["error_code"] == 42205 and NEXT in answer["message"]
    for method, path in (("PUT", "/config"), ("PUT", f"/config/{PURCHASED}"), ("DELETE", f"/config/{PURCHASED}"),
                         ("PUT", "/mode"), ("DELETE", f"/subjects/{PURCHASED}"), ("POST", "/subjects"),
                         ("DELETE", f"/subjects/{PURCHASED}/versions/1"), ("POST", "/schemas/ids/1")):
        answer = ask(path, 405, method, json={"compatibility": "NONE"})
        assert answer["error_code"] == 405 and "read-only" in answer["message"], path
