# SPDX-License-Identifier: Apache-2.0
"""What the gateway writes, read by clients that nobody here wrote: confluent-kafka, fastavro, kcat, Kafka's own tools."""

import datetime
import hashlib
import json
import subprocess
import uuid

import pytest
from confluent_kafka.admin import NewTopic

import events
from harness import PARTITIONS, ROOT

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SCRATCH = "scratch.partitions"
KEYS = [str(uuid.uuid5(uuid.NAMESPACE_URL, f"space {i}")) for i in range(200)]


def fingerprint(event, body):
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(f"{event}\n{canonical}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@pytest.fixture(scope="module")
def sent(fresh):
    """One event of each type that may come over HTTP, with and without what is optional, and its receipt."""
    fresh.start_gateway()
    made = []
    for seed, event in enumerate(events.EVENTS * 3):
        if events.NEWEST[event].ingest == "internal":
            continue
        maker = events.Maker(seed)
        space = str(maker.uuid())
        body, fields = maker.body(event)
        key, meta = None, {}
        if seed % 3:
            key = f"key {seed} \"x\"" if seed % 2 else f"key-{seed}"
            occurred = datetime.datetime.now(events.UTC) - datetime.timedelta(days=seed % 20, microseconds=seed)
            meta = {
                "occurred_at": occurred.isoformat().replace("+00:00", "Z"),
                "actor": "somebody ☂",
                "correlation_id": str(maker.uuid()),
                "causation_id": str(maker.uuid()),
            }
            body["meta"] = meta
        header = None if key is None else '"' + key.replace('"', '\\"') + '"'
        answer = fresh.post(space, event, body, header, headers={"traceparent": TRACEPARENT} if meta else {})
        assert answer.status_code == 202, (event, answer.text, body)
        made.append((event, space, key, body, fields, meta, answer))
    return made


@pytest.fixture(scope="module")
def found(fresh, sent):
    return {place: {m.offset(): m for m in messages} for place, messages in fresh.records().items()}


def message_of(found, receipt):
    return found[receipt["topic"], receipt["partition"]][receipt["offset"]]


def test_every_type_is_sent(sent):
    internal = {event for event in events.EVENTS if events.NEWEST[event].ingest == "internal"}
    assert {one[0] for one in sent} | internal == set(events.EVENTS)
    assert internal, "no internal event to refuse"


def test_every_field_as_it_was_sent(sent, found):
    for event, _, _, _, fields, _, answer in sent:
        version, record = events.decode(message_of(found, answer.json()).value())
        assert (version.event, version.version) == (event, events.NEWEST[event].version)
        record.pop("meta")
        assert record == fields, event


def test_meta(sent, found):
    now = datetime.datetime.now(events.UTC)
    for event, _, key, body, _, meta, answer in sent:
        receipt = answer.json()
        _, record = events.decode(message_of(found, receipt).value())
        got = record["meta"]
        assert str(got["event_id"]) == receipt["event_id"]
        assert abs(now - got["received_at"]) < datetime.timedelta(minutes=5)
        assert got["fingerprint"] == fingerprint(event, body)
        if meta:
            assert got["occurred_at"] == datetime.datetime.fromisoformat(meta["occurred_at"])
            assert got["actor"] == meta["actor"]
            assert str(got["correlation_id"]) == meta["correlation_id"]
            assert str(got["causation_id"]) == meta["causation_id"]
            assert got["event_id"].version == 5
        else:
            assert got["occurred_at"] == got["received_at"]
            assert got["actor"] is None and got["correlation_id"] is None and got["causation_id"] is None
            assert key is None and receipt["idempotency_key"] == receipt["event_id"]
            assert got["event_id"].version == 7


def test_key_headers_and_time(sent, found):
    for event, space, key, _, _, meta, answer in sent:
        message = message_of(found, answer.json())
        _, record = events.decode(message.value())
        headers = {name: value.decode() for name, value in message.headers()}
        occurred = datetime.datetime.fromisoformat(headers.pop("ce_time"))
        assert message.key() == space.encode()
        assert occurred == record["meta"]["occurred_at"]
        expected = {
            "ce_specversion": "1.0",
            "ce_type": f"weir.{events.NEWEST[event].domain}.{event}",
            "ce_source": f"/spaces/{space}",
            "ce_id": str(record["meta"]["event_id"]),
            "content-type": "application/avro",
        }
        assert headers == expected | ({"traceparent": TRACEPARENT} if meta else {})
        kind, ms = message.timestamp()
        assert kind == 2, "the broker's clock"
        assert datetime.datetime.fromtimestamp(ms / 1000, events.UTC) == datetime.datetime.fromisoformat(
            answer.json()["timestamp"]
        )


def test_internal_events_are_nobodys(fresh, sent):
    for event in events.EVENTS:
        if events.NEWEST[event].ingest == "internal":
            body, _ = events.Maker(1).body(event)
            answer = fresh.post(uuid.uuid4(), event, body)
            assert answer.status_code == 403 and answer.json()["type"].endswith("internal-event"), answer.text


def test_partition_as_java_would_choose(fresh, sent, found):
    """Java's own console producer and librdkafka's murmur2, each with the same keys: three opinions, one partition."""
    admin = fresh.admin()
    for topic in (SCRATCH, SCRATCH + ".java"):
        fresh.delete_topics([topic])
        list(admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values())[0].result(60)
    spaces = sorted({one[1] for one in sent})
    keys = KEYS + spaces
    lines = "".join(f"{key}:x\n" for key in keys)
    subprocess.run(
        ["kcat", "-b", fresh.brokers, "-P", "-t", SCRATCH, "-K:", "-X", "topic.partitioner=murmur2_random"],
        input=lines, text=True, check=True, timeout=120,
    )
    subprocess.run(
        [
            "tests/services/kafka.sh", "tool", "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server",
            fresh.brokers, "--topic", SCRATCH + ".java", "--reader-property", "parse.key=true",
            "--reader-property", "key.separator=:",
        ],
        input=lines, text=True, check=True, timeout=180, cwd=ROOT, env=fresh.env, capture_output=True,
    )
    placed = {}
    for topic in (SCRATCH, SCRATCH + ".java"):
        placed[topic] = {
            message.key().decode(): partition
            for (_, partition), messages in fresh.records([topic]).items()
            for message in messages
        }
        fresh.delete_topics([topic])
    assert set(placed[SCRATCH]) == set(keys)
    assert placed[SCRATCH] == placed[SCRATCH + ".java"]
    assert placed[SCRATCH] == {key: events.partition_of(key.encode()) for key in keys}
    for _, space, _, _, _, _, answer in sent:
        assert answer.json()["partition"] == placed[SCRATCH][space]


def test_java_console_consumer_sees_keys_and_headers(fresh, sent):
    receipt = sent[0][6].json()
    done = fresh.script(
        "tests/services/kafka.sh", "tool", "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server",
        fresh.brokers, "--topic", receipt["topic"], "--partition", str(receipt["partition"]), "--offset",
        str(receipt["offset"]), "--max-messages", "1", "--timeout-ms", "90000", "--formatter-property",
        "print.key=true", "--formatter-property", "print.headers=true", "--formatter-property", "print.offset=true",
        "--formatter-property", "print.timestamp=true",
    )
    assert sent[0][1] in done.stdout
    assert f"Offset:{receipt['offset']}" in done.stdout
    assert "LogAppendTime:" in done.stdout
    assert f"ce_id:{receipt['event_id']}" in done.stdout
    assert f"ce_type:weir.{events.NEWEST[sent[0][0]].domain}.{sent[0][0]}" in done.stdout


def test_kcat_sees_keys(fresh, sent):
    receipt = sent[0][6].json()
    done = subprocess.run(
        ["kcat", "-b", fresh.brokers, "-C", "-t", receipt["topic"], "-p", str(receipt["partition"]), "-o",
         str(receipt["offset"]), "-c", "1", "-J"],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    shown = json.loads(done.stdout.decode(errors="replace"))
    assert shown["key"] == sent[0][1]
    assert (shown["tstype"], shown["partition"]) == ("logappend", receipt["partition"])
