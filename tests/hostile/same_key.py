# SPDX-License-Identifier: Apache-2.0
"""one key for all: floods of events under the same Idempotency-Key, with equal and with other bodies

The first body counts, each other one is set aside or refused, and nobody else notices.
"""

import uuid

SPACES = 3


def attack(target, seconds):
    target.flooded = [str(uuid.uuid4()) for _ in range(SPACES)]
    owner = str(uuid.uuid4())

    def publish(attacker, number):
        name = "the same" if number % 20 else f"another {number}"
        attacker.publish(target.flooded[number % SPACES], "SpaceCreated", {"name": name, "owner_id": owner, "currency": "EUR"},
                         key="always")  # fmt: skip

    sent = target.flood(publish, seconds)
    return {"requests": sent, "each is 202, 409 or 422": set(target.statuses) <= {202, 409, 422}}


def after(target):
    target.wait_drained()
    codes = target.set_aside(target.flooded)
    counts = target.psql("SELECT events FROM overview.space WHERE space_id = ANY (%s)", target.flooded)
    target.discard_all()
    return {"set aside": codes, "as conflicts only": set(codes) <= {"fingerprint-conflict"},
            "one of each Space counts": counts == [(1,)] * SPACES}  # fmt: skip
