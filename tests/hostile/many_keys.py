# SPDX-License-Identifier: Apache-2.0
"""one key for all: floods of events under the same Idempotency-Key, with equal and with other bodies

The first body counts, each other one is set aside or refused, and nobody else notices.
"""

import uuid


def attack(target, seconds):
    spaces = [str(uuid.uuid4()) for _ in range(3)]
    owner = str(uuid.uuid4())

    def publish(attacker, number):
        space = spaces[number % 3]
        name = "the same" if number % 2 else f"another {number}"
        attacker.publish(space, "SpaceCreated", {"name": name, "owner_id": owner, "currency": "EUR"}, key="always")

    sent = target.flood(publish, seconds)
    return {"requests": sent, "each is 202, 409 or 422": set(target.statuses) <= {202, 409, 422}}


def after(target):
    target.wait_drained()
    return {"dead letters": target.open_dead_letters()}
