# SPDX-License-Identifier: Apache-2.0
"""fuzz: values of all kinds for each field of each event, with fastavro as the oracle of what is in the topics

What is answered 202 is in the topic as it was sent, read by another library with a schema in which logical types are plain
numbers and texts; and no processor fails at it, but for what a rule of the domain parks.
"""

import copy
import io
import json
import random
import struct
import time
import uuid

import fastavro

import events

RULES = {"screened", "P0001"}  # the codes by which a domain refuses an event that the gateway took
LINES = 100  # of a request
NDJSON = {"Content-Type": "application/x-ndjson"}
INTS = [0, -1, 1, 2**31 - 1, -(2**31), 2**31, 2**53, 2**63 - 1, -(2**63), 2**63, 10**30, 1.0, 0.5]
TIMES = ["2024-02-29T23:59:60Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "-4713-01-01T00:00:00Z", "infinity",
         "2026-01-01T00:00:00+23:59", "2026-01-01T00:00:00.1234567Z", "294276-12-31T23:59:59Z", 2**63 - 1, -(2**63),
         9223371331200000000, 9223371331199999999, -211813488000000000, -211813488000000001, 253402300800000000, 0]  # fmt: skip
ALPHABETS = ["ab", " \t\n\r", "äß€漢🙂", "\x01\x1f\x7f\x85\u2028\ufeff", "'\"\\;--$${}", "\u202e\u0301\u200d", "\0"]


def text(source):
    length = source.choice([0, 1, 2, 3, 16, 17, 63, 64, 65, 100, 200, 255, 256, 257, 500, 1000, 2000, 2001, 5000, 20000])
    alphabet = source.choice(ALPHABETS) if source.random() < 0.7 else "abcdefghijklmnopqrstuvwxyz0123456789" * 2
    return "".join(source.choices(alphabet, k=length))


class Fuzzer(events.Maker):
    """A Maker with a value here and there that nobody meant."""

    def __init__(self, seed):
        super().__init__(seed)
        self.odd = 0.0

    def value(self, schema, name="", limits=None):
        made = super().value(schema, name, limits)
        if self.random.random() < self.odd and not (isinstance(schema, dict) and schema["type"] == "record"):
            return self.replaced(schema, made[0]), None
        return made

    def replaced(self, schema, made):
        kind = schema if isinstance(schema, str) else schema.get("type") if isinstance(schema, dict) else "union"
        logical = schema.get("logicalType") if isinstance(schema, dict) else None
        source = self.random
        if logical in ("timestamp-micros", "date"):
            return source.choice(TIMES)
        if logical == "uuid":
            return source.choice([str(uuid.UUID(int=0)), str(uuid.UUID(int=2**128 - 1)), "", str(made).upper(), f"{{{made}}}"])
        if kind in ("int", "long"):
            return source.choice(INTS)
        if kind in ("float", "double"):
            return source.choice([*INTS, 1e308, 5e-324, 3.5e38, -0.0])
        if kind == "string":
            return text(source)
        if kind == "array":
            return made * source.choice([0, 1, 10, 100, 1000]) if made else made
        if kind == "map":
            return {text(source) if source.random() < 0.3 else f"key {i}": text(source) for i in range(source.choice([0, 1, 50, 300]))}
        return made

    def line(self):
        event = self.random.choice(events.EVENTS)
        self.odd = self.random.choice([0, 0.03, 0.1])
        body = self.body(event)[0]
        if self.random.random() < 0.3:  # fields that have a default may be left out
            for field in events.NEWEST[event].fields:
                if "default" in field and self.random.random() < 0.5:
                    body.pop(field["name"])
        return event, body


def plain(schema):
    """The schema without logical types: what is read by it is what lies there."""
    if isinstance(schema, list):
        return [plain(branch) for branch in schema]
    if isinstance(schema, dict):
        return {key: part if key == "default" else plain(part) for key, part in schema.items() if key != "logicalType"}
    return schema


PLAIN = {schema_id: fastavro.parse_schema(plain(copy.deepcopy(one.definition))) for schema_id, one in events.VERSIONS.items()}


def same(schema, named, sent, found):
    """Does the record hold what the JSON said?"""
    if isinstance(schema, str) and schema in named:
        schema = named[schema]
    if isinstance(schema, list):
        if sent is None:
            return found is None
        return found is not None and any(same(branch, named, sent, found) for branch in schema if branch != "null")
    if isinstance(schema, str):
        schema = {"type": schema}
    kind, logical = schema["type"], schema.get("logicalType")
    if isinstance(kind, (dict, list)):
        return same(kind, named, sent, found)
    if kind == "record":
        return all(same(field["type"], named, sent.get(field["name"], field.get("default")), found[field["name"]])
                   for field in schema["fields"])  # fmt: skip
    if kind == "array":
        return len(sent) == len(found) and all(same(schema["items"], named, *pair) for pair in zip(sent, found))
    if kind == "map":
        return sent.keys() == found.keys() and all(same(schema["values"], named, sent[key], found[key]) for key in sent)
    if logical == "uuid":
        return sent.lower() == found
    if logical == "timestamp-micros":
        return isinstance(sent, str) or int(sent) == found  # texts of a time are the Maker's business and its tests'
    if logical == "date":
        return isinstance(sent, str) or int(sent) == found
    if kind == "float":
        return struct.pack("f", sent) == struct.pack("f", found)
    return sent == found


def read(value):
    """(version, the record in plain values)"""
    schema_id = struct.unpack(">I", value[1:5])[0]
    stream = io.BytesIO(value[5:])
    record = fastavro.schemaless_reader(stream, PLAIN[schema_id], None)
    assert value[0] == 0 and stream.read() == b"", value[:16]
    return events.VERSIONS[schema_id], record


def attack(target, seconds):
    seed = random.randrange(10**6)
    fuzzer, end = Fuzzer(seed), time.monotonic() + seconds
    target.fuzz_since, target.fuzzed, refused = target.ends(), {}, 0
    attacker, lines_sent = target.attacker(), 0
    while time.monotonic() < end:
        space = str(fuzzer.uuid())
        made = [fuzzer.line() for _ in range(LINES)]
        text_of = lambda event, body: json.dumps({"event": event, "data": body}, ensure_ascii=fuzzer.random.random() < 0.5)
        lines = [text_of(*one) for one in made]
        answer = attacker.publish(space, None, "\n".join(lines), headers=NDJSON)
        if not answer or answer.status == 413:
            refused += LINES
            continue
        assert answer.status in (202, 207), (answer.status, answer.body[:300])
        told = [json.loads(line) for line in answer.body.splitlines()]
        assert len(told) == LINES, f"{LINES} lines have {len(told)} answers"
        for (event, body), one in zip(made, told):
            if one["status"] == 202:
                target.fuzzed[one["topic"], one["partition"], one["offset"]] = space, event, body
            else:
                assert one["status"] in (400, 403, 413, 422), one  # 400: U+0000
                refused += 1
        lines_sent += LINES
    attacker.close()
    assert target.fuzzed, "not one line was taken"
    return {"seed": seed, "lines": lines_sent, "taken": len(target.fuzzed), "refused": refused}


def after(target):
    missing = dict(target.fuzzed)
    for messages in target.records(since=target.fuzz_since).values():
        for message in messages:
            place = message.topic(), message.partition(), message.offset()
            if place in missing:
                space, event, body = missing.pop(place)
                version, record = read(message.value())
                assert message.key().decode() == space and version.event == event, place
                assert same({"type": "record", "fields": version.fields}, version.named, body, record), (
                    f"{event} at {place}: sent {json.dumps(body)[:2000]}, and in the topic is {str(record)[:2000]}")
    assert not missing, f"receipts without a record: {list(missing)[:3]}"
    target.wait_drained()
    spaces = sorted({space for space, *_ in target.fuzzed.values()})
    codes = target.set_aside(spaces)
    facts = {"no processor failed at what was taken": set(codes) <= RULES, "set aside": codes}
    target.discard_all()
    return facts
