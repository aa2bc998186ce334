# SPDX-License-Identifier: Apache-2.0
"""Limits of the contract: what the gateway takes, no processor fails on.

Values at and around each limit of each event, made from the schemas (limits.py), go through the gateway and the shipped
processors. What is beyond a limit is 422 at its pointer; what is taken is applied by all of them, live and as one batch.
"""

import collections
import json
import uuid

import pytest

import events
import limits

LINES, BYTES = 400, 900_000  # of one request; the gateway takes 1000 lines and 1 MiB


@pytest.fixture(scope="module")
def running(fresh):
    fresh.start_gateway()
    fresh.start_processors()
    return fresh


def failed(stack):
    """What a processor could not apply, or waits behind such."""
    found = []
    for table in ("weir.dead_letter", "weir.parked_space"):
        found += stack.psql(f"SELECT processor, space_id::text, code, message FROM {table} JOIN weir.position USING (position_id)")
    return found


def send(stack, space, event, cases):
    """The answers to the bodies, as many in one request as it takes."""
    answers, lines, size = [], [], 0

    def flush():
        if lines:
            url = f"{stack.gateway_url}/v1/spaces/{space}/events/{event}"
            headers = {"Content-Type": "application/x-ndjson"}
            answer = stack.http.post(url, data="\n".join(lines).encode(), headers=headers, timeout=60)
            assert answer.status_code in (202, 207), answer.text
            answers.extend(json.loads(line) for line in answer.text.splitlines())
            lines.clear()

    for body, _, _ in cases:
        line = json.dumps(body, ensure_ascii=False)
        if len(lines) == LINES or size + len(line.encode()) > BYTES:
            flush()
            size = 0
        lines.append(line)
        size += len(line.encode()) + 1
    flush()
    return answers


@pytest.fixture(scope="module")
def sent(running):
    """{event: (its Space, [(body, taken, pointer, answer)])}; internal ones are produced, as the platform does."""
    made = {}
    for event, version in events.NEWEST.items():
        space, cases = str(uuid.uuid4()), list(limits.bodies(version))
        if version.ingest == "internal":
            cases = [case for case in cases if case[1]]
            values = [events.make_record(event, {k: v for k, v in body.items() if k != "meta"}) for body, _, _ in cases]
            key = space.encode()
            running.produce([(version.topic, events.partition_of(key), key, value, None) for value in values])
            answers = [{"status": 202}] * len(cases)
        else:
            answers = send(running, space, event, cases)
        made[event] = space, [(*case, answer) for case, answer in zip(cases, answers, strict=True)]
    return made


def test_each_limit_is_tried(sent):
    """The test derives what it sends; it must not have derived nothing."""
    kinds = collections.Counter()
    for event, version in events.NEWEST.items():
        text = json.dumps(version.definition)
        kinds.update({name: text.count(f'"{name}"') for name in ("x-length-max", "x-items-max", "x-minimum", "x-maximum")})
        refused = {where for _, taken, where, _ in sent[event][1] if not taken}
        named = {field["name"] for field in version.fields if events.limits_of(field)}
        assert version.ingest == "internal" or {where.split("/")[1] for where in refused if where} >= named, event
    assert all(kinds.values()) and sum(len(cases) for _, cases in sent.values()) > 1000, kinds


def test_what_is_beyond_a_limit_is_refused_at_its_pointer(sent):
    for event, (_, cases) in sent.items():
        for body, taken, where, answer in cases:
            shown = json.dumps(body)[:300]
            assert answer["status"] == (202 if taken else 422), (event, shown, answer)
            if not taken:
                assert [fault["pointer"] for fault in answer["errors"]] == [where], (event, shown, answer)


def test_what_is_taken_is_applied_by_every_processor(running, sent):
    running.wait_drained()
    assert failed(running) == []
    assert running.psql("SELECT * FROM weir.halt") == []
    counted = dict(running.psql("SELECT space_id::text, events FROM overview.space"))
    taken = {space: sum(one[1] for one in cases) for space, cases in sent.values()}
    consumed = {e for name in events.PROCESSORS for e in events.consumed(events.ROOT, name)}
    assert consumed == set(events.EVENTS)
    assert {space: counted.get(space, 0) for space in taken} == taken


def test_it_is_applied_as_one_batch_too(running, sent):
    for name in events.PROCESSORS:
        report = json.loads(running.run("rebuild", name, "--verify", "--no-swap", "-o", "json").stdout)
        assert report["verified"] == "equal" and report["findings"] == [], name
        running.run("rebuild", name, "--abandon")


def test_sums_stay_far_from_overflowing():
    """A million of the largest amounts of one kind, or one purchase of the largest lines, are below what bigint holds."""
    for event, version in events.NEWEST.items():
        for node in walk(limits.event_node(version)):
            if node.kind in ("int", "long"):
                assert max(map(abs, node.bounds())) * 10**6 < 2**63, (event, node.name)
        lines = [n for n in walk(limits.event_node(version)) if n.kind == "array" and n.inside().kind == "record"]
        for line in lines:
            most = {field.name: field.bounds()[1] for field in line.inside().fields()}
            assert most["quantity"] * most["unit_price"] * line.limit("x-items-max") < 2**63


def walk(node):
    yield node
    below = node.fields() if node.kind == "record" else [node.inside()] if node.kind in ("array", "map") else []
    for inside in below:
        yield from walk(inside)


def test_the_limits_are_listed(running):
    listed = {e["event"]: e for e in running.http.get(running.gateway_url + "/v1/events", timeout=30).json()["events"]}
    for event, version in events.NEWEST.items():
        found = listed[event]["limits"]
        for field in version.fields:
            said = events.limits_of(field)
            assert found.get(field["name"], {}) == said, (event, field["name"])
        assert found["meta.actor"] == {"x-length-max": 200}
    assert listed["ProductPublished"]["limits"]["tags[]"] == {"x-length-max": 50}
    assert listed["ProductPurchased"]["limits"]["items[].quantity"] == {"x-minimum": 1, "x-maximum": 10000}


def test_what_is_in_a_topic_still_folds(running):
    """Decoding asks for no limits: what an older build wrote is applied, or is the domain's to judge."""
    version, space = events.NEWEST["PostPublished"], str(uuid.uuid4())
    node = limits.event_node(version)
    long = {**node.whole(), "title": "A" * (node.fields()[2].limit("x-length-max") + 1)}
    value, key = events.make_record("PostPublished", long), space.encode()
    running.produce([(version.topic, events.partition_of(key), key, value, None)])
    running.wait_drained()
    assert failed(running) == []
    assert running.value("SELECT length(title) FROM overview.activity WHERE space_id = %s", space) == len(long["title"])
