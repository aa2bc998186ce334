# SPDX-License-Identifier: Apache-2.0
"""crafted ids: event ids and Spaces chosen to fall into one slot of a hash table without a seed

Idempotency keys that are UUIDv7 are event ids, so a client chooses both. Records go to the topics at once, for as many as
possible in one batch; those that are invented twice make a processor look them up.
"""

import random
import struct
import time
import uuid

import events

MANY = 10000
MASK = 2**64 - 1
FACTOR = 0x9E3779B97F4A7C15


def words(space):
    return struct.unpack("<2Q", uuid.UUID(space).bytes)


def colliding_ids(count, seed):
    """UUIDv7 whose two halves make the same x ^ y * FACTOR: one chain of an unseeded table."""
    source, made = random.Random(seed), []
    wanted = source.getrandbits(64)
    while len(made) < count:
        high = source.getrandbits(64) & ~(0xC0) | 0x80  # the variant
        low = wanted ^ (high * FACTOR & MASK)
        if struct.pack("<Q", low)[6] >> 4 == 7:
            made.append(uuid.UUID(bytes=struct.pack("<2Q", low, high)))
    return made


def post(event_id):
    fields = {"post_id": event_id, "author_id": event_id, "title": "", "body": "", "tags": [], "visibility": "MEMBERS"}
    return events.make_record("PostPublished", fields, event_id=event_id)


def timed(target, ids):
    """Seconds until all of these are dealt with."""
    space = target.space_in(0).encode()
    records = [("weir.community", None, space, post(one), []) for one in ids]
    began = time.monotonic()
    target.send_records(records)
    target.send_records(records[:10])  # copies, so that batches are classified
    target.wait_drained()
    return round(time.monotonic() - began, 1)


def prepare(target):
    target.ordinary_s = timed(target, [uuid.uuid4() for _ in range(MANY)])


def attack(target, seconds):
    return {"events": MANY, "random s": target.ordinary_s, "crafted s": timed(target, colliding_ids(MANY, 7))}
