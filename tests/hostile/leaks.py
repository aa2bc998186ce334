# SPDX-License-Identifier: Apache-2.0
"""leaks: a Space that knows every id of another one, and asks for what is not its own

Keys, event ids, purchases, members, receipts, cursors and tags of a Space with secrets are used in another one: nothing of
the first shows in an answer, a problem or a dead letter of the second, and its own rows are as if nobody else were there.
"""

import json
import uuid

SECRET = "secret-" + uuid.uuid4().hex
KEY = "018f0000-0000-7000-8000-" + uuid.uuid4().hex[:12]  # a UUIDv7: the event's id itself


def purchase(ids, label):
    return {
        "purchase_id": ids["purchase"], "buyer_id": ids["member"], "currency": "EUR", "total": 500,
        "items": [{"product_id": ids["product"], "unit_price": 500, "label": label}],
    }  # fmt: skip


def accepted(answer):
    assert answer and answer.status == 202, answer
    return answer.headers["Weir-Receipt"]


def get(client, space, query, **headers):
    return client.request("GET", f"/v1/spaces/{space}/{query}", None, headers)


def fill(client, ids, label):
    """The same events, under the same ids, in whatever Space; the last receipt of each topic."""
    money = {"amount": 700, "currency": "EUR"}
    bodies = (
        ("SpaceCreated", {"name": label, "owner_id": ids["member"], "currency": "EUR"}),
        ("MemberJoined", {"member_id": ids["member"], "display_name": label}),
        ("ProductPublished", {"product_id": ids["product"], "title": label, "kind": "DIGITAL", "price": money}),
        ("LivestreamStarted", {"stream_id": ids["stream"], "host_id": ids["member"], "title": label}),
        ("ProductPurchased", purchase(ids, label)),
    )
    receipts = [accepted(client.publish(ids["space"], event, body, key=f"the same {event}".replace(" ", "-")))
                for event, body in bodies]  # fmt: skip
    receipts.append(accepted(client.publish(ids["space"], "PostPublished", {"post_id": ids["post"], "author_id": ids["member"],
                                                                            "title": label}, key=KEY)))  # fmt: skip
    return ", ".join(receipts)


QUERIES = ("overview", "products", "activity", "supporters", "livestreams", "transactions", "balances?at=2100-01-01T00:00:00Z",
           "statement?currency=EUR", "livestream?stream_id={stream}", "member?member_id={member}",
           "member-statement?member_id={member}", "activity?limit=1")  # fmt: skip


def tricks(own, victim):
    """Paths under a Space of one's own that might lead to another one's."""
    yield from (
        f"/v1/spaces/{own}/overview?space_id={victim}",
        f"/v1/spaces/{own}/overview?space_id={own}&space_id={victim}",
        f"/v1/spaces/{own}/../{victim}/overview",
        f"/v1/spaces/{own}/%2e%2e/{victim}/overview",
        f"/v1/spaces/{own}%2f..%2f{victim}/overview",
        f"/v1/spaces/{own}/overview%00?x={victim}",
        f"/v1/spaces/{own}/overview;space_id={victim}",
        f"/v1/spaces/{own},{victim}/overview",
        f"/v1/spaces/{own}/overview?member_id={victim}",
        f"/v1/spaces/{own}/transactions?limit=1000000",
        f"/v1/spaces/{own}/transactions?limit=-1",
        f"/v1/spaces/{own}/transactions?limit=1&limit=2",
        f"/v1/spaces/{own}/transactions?before='%20OR%20true--",
        f"/v1/spaces/{own}/transactions?after=W10",
    )


def prepare(target):
    client = target.attacker()
    kinds = ("space", "member", "product", "stream", "purchase", "post")
    target.victim = {kind: str(uuid.uuid4()) for kind in kinds}
    target.receipts = fill(client, target.victim, SECRET)
    target.tags, target.cursors = {}, {}
    for query in QUERIES:
        answer = get(client, target.victim["space"], query.format(**target.victim), **{"Weir-After": target.receipts})
        assert answer.status == 200, (query, answer)
        if b'"items":[]' not in answer.body:  # no items have one tag everywhere
            target.tags[query] = answer.headers["ETag"]
        if next_page := json.loads(answer.body).get("next"):
            target.cursors[query] = next_page
    assert target.cursors, "no page has a cursor"
    client.close()
    target.secrets.append(SECRET)


def attack(target, seconds):
    attacker, victim = target.attacker(), target.victim
    empty, thief = str(uuid.uuid4()), {**victim, "space": str(uuid.uuid4())}
    # with receipts of the victim: never applied here, and nothing about where it is
    told = get(attacker, empty, "overview", **{"Weir-After": target.receipts})
    facts = {"a foreign receipt is": told.status}
    for query in QUERIES:
        asked = query.format(**victim)
        for space in (empty, thief["space"]):
            answer = get(attacker, space, asked, **{"If-None-Match": target.tags.get(query, '"none"')})
            assert answer.status != 304, f"the tag of another Space's {query} fits"
    for path in tricks(empty, victim["space"]):
        answer = attacker.request("GET", path)
        assert answer is None or answer.status in (400, 404, 422), (path, answer)
    for query, cursor in target.cursors.items():
        answer = get(attacker, empty, cursor.split("/")[-1] if "/" in cursor else f"{query}&after={cursor}")
        assert answer.status in (200, 400, 422), (query, cursor, answer)
    # the same ids are the thief's own
    receipts = fill(attacker, thief, "mine")
    conflict = attacker.publish(thief["space"], "PostPublished", {"post_id": victim["post"], "author_id": victim["member"],
                                                                  "title": "another"}, key=KEY)  # fmt: skip
    facts["another body under one key is"] = conflict.status
    refund = {"refund_id": str(uuid.uuid4()), "purchase_id": victim["purchase"], "buyer_id": victim["member"], "amount": 500,
              "currency": "EUR"}  # fmt: skip
    last = accepted(attacker.publish(empty, "PurchaseRefunded", refund))
    own = get(attacker, thief["space"], "overview", **{"Weir-After": receipts})
    balances = get(attacker, empty, "balances?at=2100-01-01T00:00:00Z", **{"Weir-After": last})
    assert b"suspense" in balances.body, balances
    capitals = get(attacker, thief["space"].upper(), "overview")
    facts["a Space id in capitals is the same Space"] = capitals.body == own.body
    facts["the same ids are the thief's own"] = own.status == 200 and json.loads(own.body)["purchases"] == 1
    attacker.close()
    return facts


def after(target):
    target.wait_drained()
    victim = target.victim["space"]
    revenue = target.value("SELECT sum(net)::bigint FROM ledger.revenue WHERE space_id = %s", victim)
    told = target.psql("SELECT message FROM weir.dead_letter WHERE space_id <> %s", victim)
    facts = {
        "the victim has what it earned": revenue == 475,
        "dead letters of others do not name it": not any(
            secret in message for (message,) in told for secret in (SECRET, *target.victim.values())),
    }  # fmt: skip
    target.discard_all()
    return facts
