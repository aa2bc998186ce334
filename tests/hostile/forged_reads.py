# SPDX-License-Identifier: Apache-2.0
"""forged reads: cursors, zones and receipts that are none, in a flood

Each is the client's fault, in words; a receipt of an event that does not exist keeps nobody waiting.
"""

import base64
import random
import uuid

import events

SHORT = False  # tests/system/test_read_limits.py has each of them
CURSOR_QUERIES = ("activity", "transactions", "products", "supporters", "livestreams")
ZONES = ("+23:59", "-23:59", "+16:00", "+15:60", "+0", "+99:99", "")


def forged(number):
    """(query and parameters, headers) of one bad read."""
    chance = random.Random(number)
    space = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    kind = number % 4
    if kind == 0:
        cursor = base64.urlsafe_b64encode(chance.randbytes(chance.randrange(200))).decode().rstrip("=")
        return space, f"{chance.choice(CURSOR_QUERIES)}?cursor={cursor}", {}
    if kind == 1:
        return space, f"activity?before=2026-01-01T00:00:00{chance.choice(ZONES).replace('+', '%2B')}", {}
    if kind == 2:
        place = f"weir.space/{events.partition_of(space.encode())}/{chance.randrange(10**6, 2**63 - 1)}"
        return space, "overview", {"Weir-After": place}
    letters = bytes(chance.choice(b"/,0123456789.weirspac-") for _ in range(chance.randrange(1, 60)))
    return space, "overview", {"Weir-After": letters.decode()}


def attack(target, seconds):
    wrong = []

    def step(attacker, number):
        space, query, headers = forged(number)
        answer = attacker.request("GET", f"/v1/spaces/{space}/{query}", None, headers)
        if answer and answer.status not in (400, 422, 429, 503, 504):
            wrong.append((query, headers, answer.status))

    asked = target.flood(step, seconds, threads=24)
    return {"reads asked for": asked, "each is refused": not wrong, "wrong": wrong[:3]}
