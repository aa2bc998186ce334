# SPDX-License-Identifier: Apache-2.0
"""malformed records: whatever a broken producer can write to a topic, over and over

Each ends as its own dead letter, or is passed over where there is nothing to keep; no processor halts, no partition waits.
"""

import datetime
import random
import time
import uuid

import events

HUGE = 900_000
AT_ONCE = 20  # records of each burst


def purchase(**fields):
    now = datetime.datetime.now(datetime.timezone.utc)
    body = {
        "purchase_id": uuid.uuid4(), "buyer_id": uuid.uuid4(), "currency": "EUR", "total": 100, "items": [], "discount": 0,
        "fee_bps": 500, "referrer_id": None, "referral_bps": 0, "channel": "WEB", "stream_id": None,
    }  # fmt: skip
    return events.make_record("ProductPurchased", {**body, **fields}, occurred_at=now)


def overlong(value):
    """The same number of items, spelt with more bytes than a long has."""
    return value[:5] + b"\x80" * 12 + value[5:]


def kinds():
    """{what is wrong: (topic, key or None for a new Space, value, headers)}"""
    good, topic = purchase(), "weir.commerce"
    posted = events.make_record(
        "MemberJoined",
        {"member_id": uuid.uuid4(), "display_name": "", "email": None, "tier": "free", "payment": None, "fee_bps": 0,
         "invited_by": None},
    )  # fmt: skip
    return {
        "no value": (topic, None, None, []),
        "empty value": (topic, None, b"", []),
        "another magic": (topic, None, b"\x01" + good[1:], []),
        "half a frame": (topic, None, good[:3], []),
        "a frame and nothing else": (topic, None, good[:5], []),
        "cut off": (topic, None, good[: len(good) // 2], []),
        "bytes behind the end": (topic, None, good + b"\0", []),
        "random bytes": (topic, None, good[:5] + random.randbytes(300), []),
        "overlong numbers": (topic, None, overlong(good), []),
        "huge and not Avro": (topic, None, good[:5] + b"\xff" * HUGE, []),
        "a huge array said": (topic, None, good[:-20] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f", []),
        "no key": (topic, b"", good, []),
        "a key that is no Space": (topic, b"../../etc/passwd", good, []),
        "a key in capitals": (topic, str(uuid.uuid4()).upper().encode(), good, []),
        "a huge key": (topic, b"k" * HUGE, good, []),
        "NUL in a text": (topic, None, purchase(currency="E\0R"), []),
        "an event of another topic": (topic, None, posted, []),
        "another ce_type": (topic, None, purchase(), [("ce_type", b"weir.space.SpaceCreated")]),
        "a ce_type that is none": (topic, None, purchase(), [("ce_type", b"\xff\0" * 50)]),
        "a thousand headers": (topic, None, good, [(f"h{i}", b"x" * 50) for i in range(1000)]),
        "a huge header": (topic, None, good, [("ce_id", b"x" * HUGE)]),
        "dates out of range": (topic, None, good[:5] + with_time(good[5:]), []),
    }


def with_time(body):
    """meta.occurred_at, behind the text of the event id, is the largest number there is."""
    at = 1 + 36
    end = at
    while body[end] & 0x80:
        end += 1
    return body[:at] + b"\xfe" + b"\xff" * 8 + b"\x01" + body[end + 1 :]


def send(target, chosen):
    target.send_records(
        (topic, None, str(uuid.uuid4()).encode() if key is None else key, value, headers)
        for topic, key, value, headers in chosen
    )


def attack(target, seconds):
    end, sent = time.monotonic() + seconds, 0
    every = list(kinds().values())
    send(target, every)
    while time.monotonic() < end:
        small = [kind for kind in every if len(kind[2] or b"") < HUGE and len(kind[1] or b"") < HUGE]
        send(target, random.choices(small, k=AT_ONCE))
        sent += AT_ONCE
        time.sleep(0.2)  # a rate, not a wait
    halts = target.psql("SELECT processor, code FROM weir.halt")
    return {"records": sent + len(every), "nobody is halted": halts == []}


def after(target):
    target.wait_drained()
    codes = target.set_aside()
    target.discard_all()
    return {"set aside": codes}
