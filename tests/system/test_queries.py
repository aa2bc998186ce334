# SPDX-License-Identifier: Apache-2.0
"""Queries over HTTP: what they answer, to whom, and when something is wrong."""

import concurrent.futures
import datetime
import json
import re
import uuid

import pytest

import events
from harness import ROOT, make_home, wait_until

OWNER = "0190a5f0-7a1c-7000-8000-00000000000a"
JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"


def new_space():
    return str(uuid.uuid4())


@pytest.fixture(scope="module")
def system(fresh):
    fresh.start_gateway("--read-wait", "15s")
    fresh.start_processors()
    return fresh


def get(stack, space, query, headers=None, method="GET", **parameters):
    return stack.http.request(method, f"{stack.gateway_url}/v1/spaces/{space}/{query}", params=parameters,
                              headers=headers, timeout=30)


def create(stack, space, name="Clay"):
    answer = stack.post(space, "SpaceCreated", {"name": name, "owner_id": OWNER, "currency": "EUR"})
    assert answer.status_code == 202, answer.text
    return answer.headers["Weir-Receipt"]


def purchase(stack, space, total, buyer=None):
    item = {"product_id": str(uuid.uuid4()), "quantity": 1, "unit_price": total, "label": "Mug"}
    body = {"purchase_id": str(uuid.uuid4()), "buyer_id": buyer or str(uuid.uuid4()), "items": [item],
            "currency": "EUR", "total": total}
    answer = stack.post(space, "ProductPurchased", body)
    assert answer.status_code == 202, answer.text
    return answer.headers["Weir-Receipt"]


def problem(answer, status, name):
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == PROBLEM_TYPE
    body = answer.json()
    assert body["type"] == f"/problems/{name}" and body["status"] == status
    return body


def test_an_object_after_its_event(system):
    space = new_space()
    problem(get(system, space, "overview"), 404, "no-row")
    receipt = create(system, space)
    topic, partition, offset, event_id = receipt.split("/")
    assert topic == "weir.space" and int(offset) >= 0 and uuid.UUID(event_id)
    assert int(partition) == events.partition_of(space.encode())
    answer = get(system, space, "overview", {"Weir-After": receipt})
    assert answer.status_code == 200 and answer.headers["Content-Type"] == JSON_TYPE
    body = answer.json()
    assert (body["space_id"], body["name"], body["events"], body["revenue"]) == (space, "Clay", 1, [])
    receipt = purchase(system, space, 1250)
    body = get(system, space, "overview", {"Weir-After": receipt}).json()
    assert body["purchases"] == 1 and body["revenue"][0]["gross"] == 1250


def test_pages_by_cursor_while_events_arrive(system):
    space = new_space()
    totals = list(range(100, 123))
    for total in totals:
        receipt = purchase(system, space, total)
    first = get(system, space, "transactions", {"Weir-After": receipt}, limit=5)
    page = first.json()
    seen = [item["amount"] for item in page["items"]]
    assert seen == totals[:-6:-1]
    assert f"limit=5&cursor={page['next']}>; rel=\"next\"" in first.headers["Link"]
    purchase(system, space, 999)  # in front of everything
    while page["next"]:
        answer = get(system, space, "transactions", limit=7, cursor=page["next"])
        page = answer.json()
        seen += [item["amount"] for item in page["items"]]
    assert seen == totals[::-1]
    assert "Link" not in answer.headers
    link = re.match("<(.*)>", first.headers["Link"])[1]
    assert system.http.get(system.gateway_url + link, timeout=30).json()["items"][0]["amount"] == totals[-6]


def test_etag_and_head(system):
    space = new_space()
    receipt = create(system, space)
    first = get(system, space, "overview", {"Weir-After": receipt})
    etag = first.headers["ETag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', etag) and first.headers["Cache-Control"] == "private, no-cache"
    for value in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        again = get(system, space, "overview", {"If-None-Match": value})
        assert (again.status_code, again.text, again.headers["ETag"]) == (304, "", etag)
    assert get(system, space, "overview", {"If-None-Match": '"other"'}).status_code == 200
    head = get(system, space, "overview", method="HEAD")
    assert head.status_code == 200 and head.headers["ETag"] == etag and head.text == ""
    assert head.headers["Content-Length"] == str(len(first.content))
    receipt = purchase(system, space, 100)
    changed = get(system, space, "overview", {"If-None-Match": etag, "Weir-After": receipt})
    assert changed.status_code == 200 and changed.headers["ETag"] != etag


@pytest.mark.parametrize("parameters, status, names", [
    ({"limt": "5"}, 400, ["limt"]),
    ({"limit": "0"}, 422, ["limit"]),
    ({"limit": "201"}, 422, ["limit"]),
    ({"limit": "5x"}, 422, ["limit"]),
    ({"before": "yesterday"}, 422, ["before"]),
    ({"before": "infinity"}, 422, ["before"]),
    ({"before": "x" * 2000}, 422, ["before"]),
    ({"before": "2026-01-01T00:00:00Z", "limit": ["1", "2"]}, 422, ["limit"]),
    ({"cursor": "abc"}, 422, ["cursor"]),
    ({"cursor": "Zm9v' OR 1=1"}, 422, ["cursor"]),
    ({"space_id": str(uuid.uuid4())}, 400, ["space_id"]),
    ({"limit": "-1", "nope": ""}, 400, ["limit", "nope"]),
])
def test_wrong_parameters_are_named(system, parameters, status, names):
    answer = get(system, new_space(), "transactions", **parameters)
    body = problem(answer, status, "unknown-parameter" if status == 400 else "invalid-parameter")
    assert [fault["parameter"] for fault in body["errors"]] == names


def test_a_cursor_is_of_its_query_and_text_is_data(system):
    space = new_space()
    for total in (1, 2):
        receipt = purchase(system, space, total)
    page = get(system, space, "transactions", {"Weir-After": receipt}, limit=1).json()
    # of another Space it says nothing
    other = new_space()
    assert get(system, other, "transactions", cursor=page["next"]).json() == {"items": [], "next": None}
    broken = page["next"][:-4] + "AAAA"
    assert get(system, space, "transactions", cursor=broken).status_code in (200, 422)
    raw = f"{system.gateway_url}/v1/spaces/{space}/transactions?before=2026-01-01T00%3A00%3A00%2B02%3A00"
    assert system.http.get(raw, timeout=30).json()["items"] == []
    raw = f"{system.gateway_url}/v1/spaces/{space}/transactions?before=%00"
    problem(system.http.get(raw, timeout=30), 422, "invalid-parameter")


def test_paths_and_methods(system):
    space = new_space()
    body = problem(get(system, space, "overviw"), 404, "not-found")
    assert "did you mean overview?" in body["detail"]
    problem(get(system, "nobody", "overview"), 404, "bad-space-id")
    answer = get(system, space, "overview", method="POST")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "GET, HEAD"
    listed = system.http.get(f"{system.gateway_url}/v1/queries", timeout=30).json()["queries"]
    files = sorted(path.stem for path in (ROOT / "sql" / "queries").glob("*.sql"))
    assert sorted(query["query"] for query in listed) == files
    assert all(query["doc"] and query["reads"] for query in listed)


def test_receipts(system):
    space = new_space()
    partition = events.partition_of(space.encode())
    for text in ("", "x", "weir.space", "weir.space/1", f"weir.space/{partition}/-1", f"weir.space/{partition}/1x",
                 f"weir.nowhere/{partition}/1", f"weir.space/{partition}/1/no-uuid",
                 f"weir.space/{(partition + 1) % 6}/1", ",".join([f"weir.space/{partition}/1"] * 7)):
        problem(get(system, space, "overview", {"Weir-After": text}), 400, "bad-receipt")
    behind = f"weir.space/{partition}/999999999"
    answer = get(system, space, "overview", {"Weir-After": behind})
    body = problem(answer, 422, "receipt-beyond-log")
    # the ledger reads no events of this topic
    assert [(p["processor"], p["outcome"]) for p in body["processors"]] == [("overview", "behind")]
    assert 0 <= body["processors"][0]["next_offset"] < 999999999
    lines = "\n".join([
        json.dumps({"event": "SpaceCreated", "data": {"name": "n", "owner_id": OWNER, "currency": "EUR"}}),
        json.dumps({"event": "PostReacted", "data": {"post_id": OWNER, "member_id": OWNER, "reaction": "like"}}),
        json.dumps({"event": "PostReacted", "data": {"post_id": OWNER, "member_id": OWNER, "reaction": "wow"}}),
    ])
    answer = system.http.post(f"{system.gateway_url}/v1/spaces/{space}/events", data=lines, timeout=20,
                              headers={"Content-Type": "application/x-ndjson"})
    receipts = answer.headers["Weir-Receipt"].split(", ")
    assert [receipt.split("/")[0] for receipt in receipts] == ["weir.community", "weir.space"]
    last = [json.loads(line) for line in answer.text.splitlines()][2]
    assert receipts[0].endswith(f"/{last['offset']}/{last['event_id']}")
    assert get(system, space, "overview", {"Weir-After": ", ".join(receipts)}).json()["events"] == 3


def test_parked_and_dead_events(system):
    space = new_space()
    receipt = create(system, space)
    assert get(system, space, "overview", {"Weir-After": receipt}).status_code == 200
    topic, partition, offset, event_id = receipt.split("/")
    position = system.value("SELECT position_id FROM weir.position WHERE (processor, topic, kafka_partition) = "
                            "('overview', %s, %s)", topic, int(partition))

    def count(seconds, answer, status, name):
        body = problem(answer, status, name)
        assert answer.elapsed.total_seconds() < seconds
        assert body["processors"][0]["processor"] == "overview"

    system.psql("INSERT INTO weir.parked (position_id, space_id, kafka_offset, kafka_timestamp) VALUES "
                "(%s, %s, %s, now())", position, space, int(offset))
    count(10, get(system, space, "overview", {"Weir-After": receipt}), 409, "event-parked")
    system.psql("DELETE FROM weir.parked")
    system.psql("INSERT INTO weir.dead_letter (position_id, kafka_offset, kafka_timestamp, space_id, code, message) "
                "VALUES (%s, %s, now(), %s, 'test', 'test')", position, int(offset), space)
    count(10, get(system, space, "overview", {"Weir-After": receipt}), 410, "event-dead-lettered")
    # what became of it after all
    system.psql("UPDATE weir.dead_letter SET state = 'redriven', applied_after = 1")
    assert get(system, space, "overview", {"Weir-After": receipt}).status_code == 200
    system.psql("DELETE FROM weir.dead_letter")


def test_many_reads_wait_at_once(system):
    space = new_space()
    create(system, space)

    def write_and_read(number):
        receipt = purchase(system, space, 100)
        answer = get(system, space, "overview", {"Weir-After": receipt})
        return answer.status_code

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(write_and_read, range(200))) == {200}
    assert get(system, space, "overview").json()["purchases"] == 200


def instant(moment):
    return moment.isoformat().replace("+00:00", "Z")


def test_balances_and_statements_at_a_time(system):
    """Against the entries themselves, across months and pages."""
    space = new_space()
    member = str(uuid.uuid4())
    now = datetime.datetime.now(datetime.timezone.utc)
    moments = [now - datetime.timedelta(days=29) + datetime.timedelta(hours=7 * step) for step in range(95)]
    for step, moment in enumerate(moments):
        meta = {"occurred_at": instant(moment)}
        item = {"product_id": OWNER, "quantity": 1, "unit_price": 1000 + step, "label": "Mug"}
        answer = system.post(space, "ProductPurchased", {
            "purchase_id": str(uuid.uuid4()), "buyer_id": str(uuid.uuid4()), "items": [item], "currency": "EUR",
            "total": 1000 + step, "fee_bps": 500, "referrer_id": member, "referral_bps": 300, "meta": meta})
        assert answer.status_code == 202, answer.text
    after = {"Weir-After": answer.headers["Weir-Receipt"]}
    assert get(system, space, "balances", after).status_code == 200
    entries = system.psql("SELECT occurred_at, event_id::text, account, amount FROM ledger.entry WHERE space_id = %s", space)

    for moment in (moments[0], moments[1], moments[40], moments[-1], now + datetime.timedelta(days=400)):
        expected = {}
        for occurred_at, _, account, amount in entries:
            if occurred_at < moment:
                expected[account] = expected.get(account, 0) + amount
        items = get(system, space, "balances", at=instant(moment)).json()["items"]
        assert {item["account"]: item["balance"] for item in items} == {k: v for k, v in expected.items() if v}
        assert sum(item["balance"] for item in items) == 0
    assert get(system, space, "balances").json()["items"] == items

    def statement(query, kind, **parameters):
        """Every page of it, held against the entries."""
        start = parameters.get("from", "")
        found, cursor = [], {}
        while True:
            page = get(system, space, query, **parameters, **cursor).json()
            found += [(item["event_id"], item["amount"], item["balance"]) for item in page["items"]]
            if not page["next"]:
                break
            cursor = {"cursor": page["next"]}
        balance, expected = 0, []
        for occurred_at, event_id, _, amount in sorted(entry for entry in entries if entry[2] == kind):
            balance += amount
            if not start or occurred_at >= datetime.datetime.fromisoformat(start.replace("Z", "+00:00")):
                expected.append((event_id, amount, balance))
        assert found == expected

    for start in ({}, {"from": instant(moments[33])}, {"from": instant(moments[94])}):
        for account in ("space", "fee", "clearing"):
            statement("statement", account, account=account, currency="EUR", limit=20, **start)
        statement("member-statement", "member", member_id=member, currency="EUR", limit=20, **start)
    until = get(system, space, "statement", currency="EUR", limit=200, to=instant(moments[10])).json()["items"]
    assert len(until) == 10


def test_no_query_shows_another_space(system):
    """Simulated Spaces with everything in them: an answer has no id of another Space, whatever is asked."""
    system.run("simulate", "--rate", "300", "--duration", "8s", "--spaces", "5", "--seed", "7")
    system.wait_drained("ledger", "overview")
    own = {}
    for (space,) in system.psql("SELECT space_id::text FROM overview_1.space"):
        rows = system.psql("SELECT member_id::text FROM overview_1.member WHERE space_id = %s UNION "
                           "SELECT event_id::text FROM overview_1.activity WHERE space_id = %s UNION "
                           "SELECT event_id::text FROM ledger_1.transfer WHERE space_id = %s UNION "
                           "SELECT product_id::text FROM overview_1.product WHERE space_id = %s UNION "
                           "SELECT stream_id::text FROM overview_1.stream WHERE space_id = %s", *[space] * 5)
        own[space] = {value for (value,) in rows} | {space}
    largest = sorted(own, key=lambda space: -len(own[space]))[:3]


    def some(table, column, space, strangers=frozenset()):
        rows = system.psql(f"SELECT {column}::text FROM overview_1.{table} WHERE space_id = %s ORDER BY 1", space)
        return next((value for (value,) in rows if value not in strangers), None) or str(uuid.uuid4())

    listed = system.http.get(f"{system.gateway_url}/v1/queries", timeout=30).json()["queries"]
    for mine, other in [(a, b) for a in largest for b in largest if a != b]:
        foreign = own[other] - own[mine] - {OWNER}
        for query in listed:
            values = {"member_id": some("member", "member_id", mine), "currency": "EUR",
                      "stream_id": some("stream", "stream_id", mine)}
            given = {p["name"]: values[p["name"]] for p in query["parameters"] if p["name"] in values}
            answer = get(system, mine, query["query"], **given)
            assert answer.status_code in (200, 404), answer.text
            assert not {word for word in re.findall(r"[0-9a-f-]{36}", answer.text) if word in foreign}, query
            # and with ids of the other Space there is nothing
            values |= {"member_id": some("member", "member_id", other, own[mine]),
                       "stream_id": some("stream", "stream_id", other, own[mine])}
            given = {name: values[name] for name in given if name != "currency"}
            if given:
                answer = get(system, mine, query["query"], **given)
                assert answer.status_code == 404 or answer.json() == {"items": [], "next": None}, answer.text


def test_what_the_gateway_may_see(system):
    def refused(query):
        try:
            system.psql(query, role="weir_gateway")
        except Exception as failure:
            return getattr(failure, "sqlstate", None) == "42501"
        return False

    system.psql("SELECT FROM ledger.transfer LIMIT 1", role="weir_gateway")
    for table in ("weir.position", "weir.parked", "weir.dead_letter", "ledger_1.transfer", "overview_1.space"):
        assert refused(f"SELECT FROM {table}"), table
    assert refused("SELECT FROM weir.evict('ledger', 1, '{}', '{}')")
    system.psql("SELECT FROM weir.receipt_outcome('{}', '{}', '{}', '{}', '{}')", role="weir_gateway")


BAD_FILES = {
    "no space": ("-- reads: ledger\n-- answer: list\nSELECT 1 AS one\n", "does not use :space_id"),
    "two statements": ("-- reads: ledger\n-- answer: list\nSELECT :space_id AS s; SELECT 2\n", "one statement"),
    "no reads": ("-- answer: list\nSELECT :space_id AS s\n", "lacks the line -- reads:"),
    "no answer": ("-- reads: ledger\nSELECT :space_id AS s\n", "lacks the line -- answer:"),
    "unknown parameter": ("-- reads: ledger\n-- answer: list\nSELECT :space_id AS s,\n :nope AS n\n",
                          ':4: there is no parameter ":nope"'),
    "unused parameter": ("-- reads: ledger\n-- answer: list\n-- param n integer = 1: x\nSELECT :space_id AS s\n",
                         "does not use :n"),
    "wrong default": ("-- reads: ledger\n-- answer: list\n-- param n integer = x: x\nSELECT :space_id AS s\n", ":3: "),
    "page without order": ("-- reads: ledger\n-- answer: page of 5, at most 9\nSELECT :space_id AS s\n", "-- after"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_wrong_stops_the_start(stack, tmp_path, name):
    text, expected = BAD_FILES[name]
    home = make_home(tmp_path / "home", {})
    (home / "sql" / "queries").mkdir()
    (home / "sql" / "queries" / "mine.sql").write_text(text)
    done = stack.run("gateway", "--home", home, "--gateway-listen", "127.0.0.1:0", check=False, timeout=30)
    assert done.returncode != 0 and "sql/queries/mine.sql" in done.stderr and expected in done.stderr, done.stderr


@pytest.mark.parametrize("statement, line", [
    ("SELECT space_id,\n nothing\nFROM ledger.transfer\nWHERE space_id = :space_id", ":4: "),
    ("SELECT event_id FROM ledger_1.transfer\nWHERE space_id = :space_id", "permission denied"),
    ("DELETE FROM ledger.transfer\nWHERE space_id = :space_id", ":3: "),
])
def test_migrate_names_what_is_wrong_in_the_sql(system, tmp_path, statement, line):
    home = make_home(tmp_path / "home", {})
    (home / "sql" / "queries").mkdir()
    (home / "sql" / "queries" / "mine.sql").write_text(f"-- reads: ledger\n-- answer: list\n{statement}\n")
    done = system.run("migrate", "--home", home, check=False)
    assert done.returncode == 2 and "sql/queries/mine.sql" in done.stderr and line in done.stderr, done.stderr
