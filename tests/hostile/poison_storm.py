# SPDX-License-Identifier: Apache-2.0
"""poison storm: up to 400 invented Spaces send events in one second that fail in every processor, beside 300 honest a second

They come from a broken producer, past the gateway's checks. Each is parked by itself, and no processor halts.
"""

import random
import string
import uuid

import events

RATE = 300
POISONED_A_SECOND, POISONED = 25, 400  # of the attack; all of them come within one second


def make_poison():
    """(topic, partition, key, value, headers): a purchase whose currency no index can take."""
    space = str(uuid.uuid4())
    currency = "".join(random.choices(string.ascii_letters + string.digits, k=6000))  # that it cannot be compressed away
    fields = {
        "purchase_id": uuid.uuid4(), "buyer_id": uuid.uuid4(), "currency": currency, "total": 100, "items": [], "discount": 0,
        "fee_bps": 500, "referrer_id": None, "referral_bps": 0, "channel": "WEB", "stream_id": None,
    }  # fmt: skip
    return "weir.commerce", None, space.encode(), events.make_record("ProductPurchased", fields), []


def attack(target, seconds):
    count = min(POISONED, int(POISONED_A_SECOND * seconds))
    poison = [make_poison() for _ in range(count)]
    target.send_records(poison)
    spaces = [key.decode() for _, _, key, *_ in poison]
    codes = target.wait_set_aside(count * len(events.PROCESSORS), spaces)
    halts = target.psql("SELECT processor, code FROM weir.halt")
    return {"Spaces": count, "set aside": codes, "nobody is halted": halts == []}


def after(target):
    target.discard_all()
