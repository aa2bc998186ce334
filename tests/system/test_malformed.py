# SPDX-License-Identifier: Apache-2.0
"""Every kind of malformed record on a domain's topic, beside honest Spaces: those flow, nothing halts, and there is a way
past each by command line. Records are written by a producer that nobody here wrote."""

import json
import uuid

import pytest

import events
from harness import PARTITIONS, wait_until

TOPIC = "weir.commerce"
PURCHASED = f"{TOPIC}.ProductPurchased"
SPACES = [str(uuid.uuid5(uuid.NAMESPACE_URL, f"malformed {i}")) for i in range(200)]
PARTITION = 2
HERE = [space for space in SPACES if events.partition_of(space.encode()) == PARTITION]
HONEST, BAD, OTHER = HERE[:3]
PROCESSORS = ("ledger", "overview")
REASON = ("--reason", "malformed, INC-114")


def purchase(**options):
    line = {"product_id": uuid.uuid4(), "quantity": 1, "unit_price": 1999, "label": None}
    fields = {
        "purchase_id": uuid.uuid4(), "buyer_id": uuid.uuid4(), "items": [line], "currency": "EUR", "discount": 0, "total": 1999,
        "fee_bps": 500, "referrer_id": None, "referral_bps": 0, "channel": "WEB", "stream_id": None,
    }  # fmt: skip
    return events.make_record("ProductPurchased", fields, **options)


def frame(schema_id, body):
    return b"\0" + schema_id.to_bytes(4, "big") + body


def made(event):
    return events.make_record(event, events.Maker(3).body(event)[1])


ID = events.NEWEST["ProductPurchased"].id
GOOD = purchase()
NAMED = purchase()
FOREIGN = next(e for e in events.EVENTS if events.NEWEST[e].topic != TOPIC)
QUIET = next(  # ledger passes it over
    e for e in events.EVENTS if events.NEWEST[e].topic == TOPIC and e not in events.consumed(events.ROOT, "ledger")
)
# {kind: (key, value, headers, code of its dead letter; None: it is applied)}
KINDS = {
    "a wrong magic byte": (BAD, b"\1" + GOOD[1:], None, "frame-invalid"),
    "a short value": (BAD, b"\0\0\0", None, "frame-invalid"),
    "an empty value": (BAD, b"", None, "frame-invalid"),
    "a tombstone": (BAD, None, None, "frame-invalid"),
    "a schema id beyond all": (BAD, frame(0x7FFFFFFF, GOOD[5:]), None, "frame-invalid"),
    "a known id with garbage": (BAD, frame(ID, b"\xff" * 40), None, "avro-invalid"),
    "a known id with nothing": (BAD, frame(ID, b""), None, "avro-invalid"),
    "trailing bytes": (BAD, purchase() + b"\0", None, "avro-invalid"),
    "invalid UTF-8": (BAD, purchase().replace(b"EUR", b"E\xff\xfe"), None, "avro-invalid"),
    "a text with U+0000": (BAD, purchase().replace(b"EUR", b"E\0R"), None, "text-nul"),
    "a text with U+0000": (BAD, purchase().replace(b"EUR", b"E\0R"), None, "text-nul"),
    "a huge value": (BAD, frame(ID, b"\x80" * 900_000), None, "avro-invalid"),
    "no key": (None, purchase(), None, "key-invalid"),
    "an empty key": ("", purchase(), None, "key-invalid"),
    "a key that is no UUID": ("not-a-space", purchase(), None, "key-invalid"),
    "a key of another Space": (BAD, purchase(), [("ce_source", f"/spaces/{OTHER}".encode())], "space-wrong"),
    "an event of another topic": (BAD, made(FOREIGN), None, "topic-wrong"),
    "a wrong ce_type": (BAD, purchase(), [("ce_type", b"com.example.shop.sold")], "type-wrong"),
    "a ce_type of another event": (BAD, purchase(), [("ce_type", b"weir.commerce.PurchaseRefunded")], "type-wrong"),
    "a ce_type of another event, of one that few consume": (BAD, made(QUIET), [("ce_type", PURCHASED.encode())], "type-wrong"),
    "a ce_type that is no text": (BAD, purchase(), [("ce_type", b"\0\xff\xfe")], "type-wrong"),
    "two ce_type, the last one wrong": (
        BAD, purchase(), [("ce_type", PURCHASED.encode()), ("ce_type", b"x")], "type-wrong",
    ),
    "two ce_type, the last one right": (BAD, purchase(), [("ce_type", b"x"), ("ce_type", PURCHASED.encode())], None),
    "an empty ce_type": (BAD, purchase(), [("ce_type", b"")], None),
    "a ce_type of null": (BAD, purchase(), [("ce_type", None)], None),
    "a ce_id of another event": (BAD, purchase(), [("ce_id", str(uuid.uuid4()).encode())], "id-wrong"),
    "a ce_id of another event, of one that few consume": (BAD, made(QUIET), [("ce_id", str(uuid.uuid4()).encode())], "id-wrong"),
    "a ce_id in capitals": (BAD, NAMED, [("ce_id", NAMED[6:42].upper())], None),
    "a ce_id that is no UUID": (BAD, purchase(), [("ce_id", b"shop-17")], None),
    "a header without a name, and one of bytes": (BAD, purchase(), [("", b""), ("odd", b"\0\xff")], None),
    "a hundred headers": (BAD, purchase(), [(f"h{i}", b"x" * 200) for i in range(100)], None),
}  # fmt: skip
REDRIVEN = (
    "a wrong ce_type", "a ce_type of another event, of one that few consume",
    "a ce_id of another event", "a ce_id of another event, of one that few consume",
)  # fmt: skip
CODES = {kind: code for kind, (_, _, _, code) in KINDS.items()}


def honest(count=1):
    return [(TOPIC, PARTITION, HONEST.encode(), purchase(), None) for _ in range(count)]


def applied(stack, processor, offsets):
    return stack.value(
        f"SELECT count(*) FROM {processor}_1.applied_event JOIN weir.position USING (position_id) "
        "WHERE topic = %s AND kafka_partition = %s AND kafka_offset = ANY (%s)",
        TOPIC, PARTITION, list(offsets),
    )  # fmt: skip


def letters(stack, processor, status="any", **more):
    listed = stack.run("dead-letters", "list", "--processor", processor, "--status", status, "--limit", 500, "-o", "json")
    return {row["offset"]: row for row in json.loads(listed.stdout)["dead_letters"] if row["topic"] == TOPIC}


class Sent:
    """The records of all kinds, each between two honest ones."""

    def __init__(self, stack):
        self.stack = stack
        records = honest()
        for key, value, headers, _ in KINDS.values():
            records += [(TOPIC, PARTITION, key.encode() if key is not None else None, value, headers), *honest()]
        offsets = stack.produce(records, **{"message.max.bytes": 2_000_000})
        self.honest = offsets[::2]
        self.kinds = dict(zip(KINDS, offsets[1::2]))
        self.values = dict(zip(offsets, (record[3] for record in records)))


@pytest.fixture(scope="module")
def sent(fresh):
    fresh.process = fresh.start_processors(*PROCESSORS, options=("--session-timeout", "6s"))
    made = Sent(fresh)
    fresh.wait_drained(*PROCESSORS)
    return made


def sound(stack):
    """What the tables hold is what the topics and the decisions say."""
    for name in PROCESSORS:
        audit = stack.run("audit", name, "--wait", "60s", check=False)
        assert audit.returncode == 0, audit.stdout + audit.stderr
    done = stack.run("rebuild", *PROCESSORS, "--verify", "--no-swap", "-o", "json", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in PROCESSORS:
        stack.run("rebuild", name, "--abandon")


def test_honest_spaces_flow_and_nothing_halts(sent):
    assert sent.stack.psql("SELECT * FROM weir.halt") == []
    for processor in PROCESSORS:
        assert applied(sent.stack, processor, sent.honest) == len(sent.honest)
    assert sent.stack.process.is_ready()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_a_dead_letter_of_its_own(sent, kind):
    offset = sent.kinds[kind]
    for processor in PROCESSORS:
        letter = letters(sent.stack, processor).get(offset)
        assert (letter and letter["code"]) == CODES[kind], letter
        assert applied(sent.stack, processor, [offset]) == (CODES[kind] is None)
        if letter:
            value = sent.stack.value(
                "SELECT value FROM weir.dead_letter WHERE dead_letter_id = %s", letter["dead_letter_id"]
            )  # fmt: skip
            assert value == sent.values[offset], "the bytes as they were"


def test_all_is_accounted_for_and_rebuilt_alike(sent):
    sound(sent.stack)


def test_a_record_in_another_partition_is_applied_counted_and_named(sent):
    stack, other = sent.stack, (PARTITION + 1) % PARTITIONS
    stack.process.wait_metric(0, "weir_processor_misplaced_total", processor="ledger")
    offsets = stack.produce([(TOPIC, other, HERE[3].encode(), purchase(), None) for _ in range(2)])
    stack.wait_drained(*PROCESSORS)
    for processor in PROCESSORS:
        rows = f"SELECT count(*) FROM {processor}_1.applied_event WHERE space_id = %s"
        assert stack.value(rows, HERE[3]) == 2
        stack.process.wait_metric(2, "weir_processor_misplaced_total", processor=processor)
        place = f"{TOPIC} partition {other} offset {offsets[0]}, which belongs in {PARTITION}"
        said = stack.run("audit", processor, "--wait", "60s").stdout
        assert f"2 in another partition than their key's, so in no known order ({place}): " in said, said
    # a copy in the right partition is a duplicate, in a rebuild by two workers too
    copy = purchase()
    stack.produce([(TOPIC, partition, HERE[4].encode(), copy, None) for partition in (other, PARTITION)])
    stack.wait_drained(*PROCESSORS)
    assert stack.value("SELECT count(*) FROM ledger_1.applied_event WHERE space_id = %s", HERE[4]) == 1
    done = stack.run("rebuild", "ledger", "--verify", "--no-swap", "--workers", 2, "-o", "json", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # and while it follows, with the generation that it has
    copy = purchase()
    stack.produce([(TOPIC, partition, HERE[4].encode(), copy, None) for partition in (other, PARTITION)])
    stack.wait_drained(*PROCESSORS)
    done = stack.run("rebuild", "ledger", "--verify", "--no-swap", "--workers", 2, "-o", "json", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["resumed"] and "only one worker may fold" in done.stderr, done.stderr
    stack.run("rebuild", "ledger", "--abandon")
    stack.process.wait_log(rf"\[{other}\] offset {offsets[0]}: its key belongs in partition {PARTITION}, .* murmur2")


def shown(stack, processor):
    """What each tool says about where the processor has stopped, as (how, place)."""
    rows = json.loads(stack.run("position", processor, "-o", "json").stdout)["processors"]
    position = next(row for row in rows if row["live"])["stopped"]
    lines = [json.loads(line) for line in stack.run("processor", "list", "-o", "json").stdout.splitlines()]
    listed = next(line for line in lines if line["processor"] == processor)["stopped"]
    assert listed == position
    text = stack.run("processor", "list").stdout + stack.run("position", processor).stdout
    doctor = stack.run("doctor", check=False).stdout
    for one in position:
        place = f"{one['topic']}/{one['partition']}/{one['offset']} since {one['since']}"
        assert text.count(place) >= 2 and place in doctor, (text, doctor)
    return [(one["how"], one["code"], one["topic"], one["partition"], one["offset"]) for one in position]


def skip(stack, processor, place, *options, code=0):
    done = stack.run("processor", "skip", processor, place, *options, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def test_an_unknown_schema_id_waits_in_sight_and_can_be_skipped(sent):
    stack, process = sent.stack, sent.stack.process
    value = frame(999, GOOD[5:])
    waiting, behind = stack.produce([(TOPIC, PARTITION, BAD.encode(), value, [("who", b"\xff")]), *honest()])
    elsewhere = next(space for space in SPACES if events.partition_of(space.encode()) != PARTITION)
    stack.produce([(TOPIC, events.partition_of(elsewhere.encode()), elsewhere.encode(), purchase(), None)])
    counted = "SELECT count(*) FROM ledger_1.applied_event WHERE space_id = %s"
    wait_until(lambda: stack.value(counted, elsewhere) == 1, what="the other partitions flow")
    for processor in PROCESSORS:
        wait_until(lambda: shown(stack, processor), what="it says where it waits")
        assert shown(stack, processor) == [("waits", "schema-unknown", TOPIC, PARTITION, waiting)]
        labels = {"processor": processor, "how": "waits", "topic": TOPIC, "partition": PARTITION}
        gauge = lambda name: process.metric(f"weir_processor_stopped_{name}", **labels)
        wait_until(lambda: gauge("offset") == waiting and gauge("since_timestamp_seconds") > 1.7e9, what="metrics say so")
        text = stack.http.get(process.url + "/readyz").text
        assert f"{TOPIC} [{PARTITION}] waits at offset {waiting} since 2" in text and "schema id 999" in text

        place = f"commerce/{PARTITION}/{waiting}"
        assert "needs --reason" in skip(stack, processor, place, code=2)
        done = f"commerce/{PARTITION}/{sent.honest[0]}"
        assert f"the position is {waiting}" in skip(stack, processor, done, *REASON, code=2)
        dead = f"commerce/{PARTITION}/{sent.kinds['a tombstone']}"
        assert "it is a dead letter already (open)" in skip(stack, processor, dead, *REASON, code=2)
        assert "ends at offset" in skip(stack, processor, f"commerce/{PARTITION}/{behind + 1}", *REASON, code=2)
        assert "no position in partition 77" in skip(stack, processor, "commerce/77/1", *REASON, code=2)
        assert "no processor" in skip(stack, "nope", place, *REASON, code=2)
        assert "is no topic/partition/offset" in skip(stack, processor, "commerce/1", *REASON, code=2)
        assert stack.value("SELECT count(*) FROM weir.decision WHERE verdict = 'skip' AND outcome IS NULL") == 0

        assert f"record {TOPIC}/{PARTITION}/{waiting} of {processor}: skipped" in skip(stack, processor, place, *REASON)
        wait_until(lambda: applied(stack, processor, [behind]) == 1, what="what waited behind it flows")
        letter = letters(stack, processor)[waiting]
        assert (letter["code"], letter["status"], letter["schema_id"]) == ("skipped", "open", 999)
        assert "malformed, INC-114" in letter["message"] and letter["space_id"] == BAD
        row = stack.psql("SELECT value, headers[1].value FROM weir.dead_letter WHERE dead_letter_id = %s", letter["dead_letter_id"])
        assert row == [(value, b"\xff")]
        assert "it is a dead letter already" in skip(stack, processor, place, *REASON, code=2)
        assert shown(stack, processor) == []
        wait_until(lambda: f'{processor}",how="waits"' not in stack.http.get(process.url + "/metrics").text, what="it is gone")
        published = lambda: [
            json.loads(message.value()) for message in stack.records([f"weir.decisions.{processor}"])[
                f"weir.decisions.{processor}", PARTITION
            ]
        ]  # fmt: skip
        made = lambda: [one for one in published() if one["verdict"] == "skip"]
        wait_until(made, what="the decision is published")
        (decision,) = made()
        assert (decision["offset"], decision["outcome"], decision["space_id"]) == (waiting, "skipped", BAD)
        assert decision["reason"] == "malformed, INC-114" and decision["decided_by"]
    wait_until(process.is_ready, what="it is ready again")


def test_the_way_past_each_is_a_command(sent):
    """A wrong header is no reason to lose an event: it is redriven. The others are patched or discarded."""
    stack = sent.stack
    for processor in PROCESSORS:
        for kind in REDRIVEN:
            place = f"commerce/{PARTITION}/{sent.kinds[kind]}"
            stack.run("dead-letters", "redrive", place, "--processor", processor)
    assert applied(stack, "ledger", [sent.kinds[kind] for kind in REDRIVEN]) == 2
    wrong = f"commerce/{PARTITION}/{sent.kinds['trailing bytes']}"
    ids = {name: str(uuid.uuid4()) for name in ("purchase_id", "buyer_id")}
    body = stack.state / "patch.json"
    body.write_text(json.dumps({**ids, "items": [], "currency": "EUR", "total": 1999}))
    stack.run("dead-letters", "patch", wrong, "--processor", "ledger", "--as", "ProductPurchased", "--file", body, *REASON)
    nul = f"commerce/{PARTITION}/{sent.kinds['a text with U+0000']}"
    assert "E\\u0000R" in stack.run("dead-letters", "show", nul, "--processor", "ledger", "-o", "json").stdout
    refused = stack.run("dead-letters", "patch", nul, "--processor", "ledger", "--set", "/discount=1", *REASON, check=False)
    assert refused.returncode == 2 and "/currency: the text has a NUL character" in refused.stderr, refused.stderr
    stack.run("dead-letters", "patch", nul, "--processor", "ledger", "--set", "/currency=EUR", *REASON)
    stack.run("dead-letters", "discard", "--processor", "ledger", "--max", 100, "--yes", *REASON)
    stack.run("dead-letters", "discard", "--processor", "overview", "--max", 100, "--yes", *REASON)
    for processor in PROCESSORS:
        assert letters(stack, processor, "open") == {}
    sound(stack)
