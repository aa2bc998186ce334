# SPDX-License-Identifier: Apache-2.0
"""read flood: 64 connections ask for the largest pages of one Space again and again

Spaces take turns, so another one's reads wait for a few of these and not for all. What finds no place is told so.
"""

CLIENTS = 64
PURCHASES = 400
SPACE = "0190a5f0-7a1c-7000-8000-0000000000f1"
PAGES = ("transactions?limit=200", "activity?limit=200", "statement?currency=EUR&limit=200", "overview")


def prepare(target):
    attacker = target.attacker()
    item = {"product_id": SPACE, "quantity": 1, "unit_price": 100}
    for number in range(PURCHASES):
        body = {"purchase_id": f"0190a5f0-7a1c-7000-8000-{number:012d}", "buyer_id": SPACE, "currency": "EUR", "total": 100,
                "items": [item]}  # fmt: skip
        assert attacker.publish(SPACE, "ProductPurchased", body, key=f"flood-{number}").status == 202
    target.wait_drained()
    attacker.close()


def attack(target, seconds):
    wrong = []

    def step(attacker, number):
        answer = attacker.request("GET", f"/v1/spaces/{SPACE}/{PAGES[number % len(PAGES)]}")
        if answer and answer.status not in (200, 429, 503, 504):
            wrong.append(answer)

    asked = target.flood(step, seconds, threads=CLIENTS)
    return {"reads asked for": asked, "each is answered or told to come again": not wrong}
