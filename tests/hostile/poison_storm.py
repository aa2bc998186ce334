# SPDX-License-Identifier: Apache-2.0
"""poison storm: up to 400 invented Spaces send events in one second that fail in every processor, beside 300 honest a second

They come from a broken producer, past the gateway's checks. Each is parked by itself, and no processor halts.
"""

import random
import string
import time
import uuid

import events
from harness import PARTITIONS

RATE = 300
POISONED_A_SECOND, POISONED = 25, 400  # of the attack
SENT_S = 1  # all of them come within this time


def make_poison():
    """(topic, partition, key, value, headers): a purchase whose currency no index can take."""
    space = str(uuid.uuid4())
    currency = "".join(random.choices(string.ascii_letters + string.digits, k=6000))  # that it cannot be compressed away
    fields = {
        "purchase_id": uuid.uuid4(), "buyer_id": uuid.uuid4(), "currency": currency, "total": 100, "items": [], "discount": 0,
        "fee_bps": 500, "referrer_id": None, "referral_bps": 0, "channel": "WEB", "stream_id": None,
    }  # fmt: skip
    key = space.encode()
    return "weir.commerce", events.partition_of(key, PARTITIONS), key, events.make_record("ProductPurchased", fields), []


def spread(records, seconds):
    began = time.monotonic()
    for number, record in enumerate(records):
        time.sleep(max(0.0, began + number * seconds / len(records) - time.monotonic()))
        yield record


def attack(target, seconds):
    count = min(POISONED, int(POISONED_A_SECOND * seconds))
    poison = [make_poison() for _ in range(count)]
    target.produce(spread(poison, SENT_S))
    spaces = [key.decode() for _, _, key, *_ in poison]
    codes = target.wait_set_aside(count * len(events.PROCESSORS), spaces)
    halts = target.psql("SELECT processor, code FROM weir.halt")
    return {"Spaces": count, "set aside": codes, "nobody is halted": halts == []}


def after(target):
    target.discard_all()
