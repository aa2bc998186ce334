# SPDX-License-Identifier: Apache-2.0
"""Faults that come in the topics: copies, bytes that are no event, extremes, and poison."""

import uuid

import events
from fold import DEAD_LETTER
from harness import wait_until
from parts import ALL, fault

MAX, MIN = 2**63 - 1, -(2**63)


def keyed(space, topic, value, headers=None):
    """A record for Stack.produce, in the partition of its Space."""
    key = space.encode()
    return topic, events.partition_of(key), key, value, headers


def purchase(world, space, **fields):
    """A purchase of a Space of the test's own."""
    body = {
        "purchase_id": uuid.UUID(int=world.random.getrandbits(128), version=4),
        "buyer_id": uuid.UUID(int=world.random.getrandbits(128), version=4),
        "currency": "EUR",
        "total": 500,
        "discount": 0,
        "fee_bps": 500,
        "referral_bps": 0,
        "referrer_id": None,
        "channel": "WEB",
        "stream_id": None,
        "items": [],
    }
    made = events.Maker(world.random.getrandbits(32)).body("ProductPurchased")[1]
    return {**made, **{name: value for name, value in body.items() if name in made}, **fields}


@fault("copies and conflicts of known events", "32")
def duplicates(world, scale):
    """Byte for byte again, and a known id with another body."""
    world.running()
    records = [message for messages in world.stack.records().values() for message in messages if message.key()]
    copies = world.random.sample(records, min(len(records), 130 * scale))
    conflicts = []
    for message in world.random.sample(records, min(len(records), 14 * scale)):
        try:
            version, record = events.decode(message.value())
        except Exception:  # another fault's bytes
            continue
        record["meta"]["fingerprint"] += 1
        conflicts.append((message, events.encode(version, record)))
    with world.traffic():
        world.stack.produce([(m.topic(), m.partition(), m.key(), m.value(), m.headers()) for m in copies])
        world.stack.produce([(m.topic(), m.partition(), m.key(), value, m.headers()) for m, value in conflicts])
    return len(copies) + len(conflicts), world.recover()


def damaged(world, space):
    """(topic, partition, key, value, headers) of records that nobody can apply."""
    key = space.encode()
    member, post = uuid.UUID(space), uuid.UUID(int=world.random.getrandbits(128), version=4)
    react = lambda text: events.make_record("PostReacted", {"post_id": post, "member_id": member, "reaction": text})
    good = react("x")
    name = uuid.UUID(int=world.random.getrandbits(128), version=4)
    values = [
        *(good[:size] for size in range(0, len(good), max(1, len(good) // 12))),  # cut short
        good + b"\0",
        good[:-1] + b"\xff",  # no UTF-8
        good[:-1] + b"\xc0",
        react("a\0b"),  # NUL: Avro's text may hold it, Postgres' cannot
        b"\1" + good[1:],
        bytes(world.random.getrandbits(8) for _ in range(300)),
        # bombs: lengths and counts of 2^62, of -2^63, and blocks without end
        good[:5] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f" + good[6:],
        good[:5] + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + good[6:],
        good[:-2] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f",
        good[:5] + b"\x80" * 300,
        events.make_record("ProductPurchased", purchase(world, space)),  # another topic's event
    ]
    for value in values:
        yield "weir.community", events.partition_of(key), key, value, None
    yield "weir.community", events.partition_of(key), b"somewhere", good, None
    yield "weir.community", events.partition_of(key), None, good, None
    yield "weir.community", events.partition_of(key), key, None, None
    posts = events.make_record("PostPublished", {**events.Maker(1).body("PostPublished")[1], "post_id": name})
    for size in (len(posts) // 3, len(posts) // 2, len(posts) - 1):
        yield "weir.community", events.partition_of(key), key, posts[:size], None


@fault("NUL, bad UTF-8, truncations, bombs, strange keys", "28, 29", short=True)
def bytes_of_no_event(world, scale):
    """They are dead letters, each of them, and what stands between them is applied."""
    space = str(uuid.UUID(int=world.random.getrandbits(128), version=4))
    processors = world.running()
    records = list(damaged(world, space)) * scale
    good = [
        keyed(space, "weir.community", events.make_record(
            "PostReacted", {"post_id": uuid.uuid4(), "member_id": uuid.uuid4(), "reaction": str(i)}))
        for i in range(len(records))
    ]  # fmt: skip
    with world.traffic():
        world.produce([record for pair in zip(records, good) for record in pair])
    assert processors.is_alive()
    return len(records), world.recover()


@fault("events of the largest size and beyond", "29")
def oversize(world, scale):
    """What the gateway takes is applied; what it does not take is refused; both say so."""
    stack = world.stack
    world.running()
    space = str(uuid.UUID(int=world.random.getrandbits(128), version=4))
    body = lambda size: {"post_id": str(uuid.uuid4()), "member_id": str(uuid.uuid4()), "reaction": "x" * size}
    with world.traffic():
        taken = stack.post(space, "PostReacted", body(250_000))
        assert taken.status_code == 202, taken.text
        world.other_events += 1
        for size in (300_000, 1_100_000):
            refused = stack.post(space, "PostReacted", body(size))
            assert refused.status_code in (413, 422), refused.text
        # past the gateway, as large as the topic lets it be
        world.produce([keyed(str(uuid.uuid4()), "weir.community", events.make_record(
            "PostReacted", {"post_id": uuid.uuid4(), "member_id": uuid.uuid4(), "reaction": "y" * 900_000}))])  # fmt: skip
    return 4, world.recover()


@fault("money extremes", "33", short=True)
def money_extremes(world, scale):
    """The largest and smallest amounts there are: recorded, with legs of zero where they are no money; no overflow."""
    world.running()
    spaces = [str(uuid.UUID(int=world.random.getrandbits(128), version=4)) for _ in range(3 * scale)]
    amounts = [MAX, MIN, 10**14, 10**14 + 1, 0, -1, 1]
    records = []
    for space in spaces:
        for amount in world.random.sample(amounts * 2, 2 * len(amounts)):
            fields = {"total": amount, "discount": world.random.choice(amounts), "fee_bps": world.random.choice([0, 10000, -1])}
            records.append(keyed(space, "weir.commerce", events.make_record("ProductPurchased", purchase(world, space, **fields))))
    with world.traffic():
        world.produce(records)
    return len(records), world.recover()
