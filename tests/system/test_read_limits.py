# SPDX-License-Identifier: Apache-2.0
"""Reads have a size and a time: large answers, answers that nobody takes, one Space that asks for everything, values that
are none, and a Postgres that is frozen. Beside each, another Space is answered as ever."""

import base64
import concurrent.futures
import contextlib
import hashlib
import os
import pathlib
import random
import shutil
import signal
import socket
import threading
import time
import uuid

import pytest
import requests

from harness import ROOT, make_home, wait_until
from test_queries import create, get, problem

ROWS = """-- SPDX-License-Identifier: Apache-2.0
-- reads: overview
-- answer: page of 200, at most 200
-- param bytes integer = 10, 0 to 10000000: of each row
-- param wide integer = 0, 0 to 1000: this row is ten times as large
-- param rows integer = 300, 0 to 1000: how many there are
-- after n integer = 0
SELECT n, repeat('x', CASE WHEN n = :wide THEN 10 ELSE 1 END * :bytes) AS filler, :space_id AS space
FROM generate_series(1, :rows) n
WHERE n > :after_n
"""
LIST = """-- SPDX-License-Identifier: Apache-2.0
-- reads: overview
-- answer: list
-- param bytes integer = 10, 0 to 10000000: of each row
SELECT n, repeat('x', :bytes) AS filler, :space_id AS space FROM generate_series(1, 20) n ORDER BY n
"""
SLOW = """-- SPDX-License-Identifier: Apache-2.0
-- reads: overview
-- answer: object
-- param ms integer = 0, 0 to 60000: how long it takes
SELECT :space_id AS space_id, pg_sleep(:ms / 1000.0) IS NULL AS slept
"""
MIB = 1 << 20
SANITIZED = "WEIR_TEST_PROGRAM" in os.environ  # a build that takes memory of its own


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = make_home(tmp_path_factory.mktemp("limits") / "home", {})
    shutil.copytree(ROOT / "sql" / "queries", home / "sql" / "queries")
    for name, text in {"rows": ROWS, "list": LIST, "slow": SLOW}.items():
        (home / "sql" / "queries" / f"{name}.sql").write_text(text)
    return home


@pytest.fixture
def start(fresh, home):
    def start(*options):
        fresh.end_all()
        gateway = fresh.start_gateway("--home", home, *options)
        wait_until(lambda: get(fresh, str(uuid.uuid4()), "slow").status_code == 200, 60, "reads are answered")
        return gateway
    return start


def resident(process):
    """Megabytes of memory, and the most that there ever were."""
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return [int(line.split()[1]) / 1024 for name in ("VmRSS", "VmHWM") for line in text.splitlines() if line.startswith(name)]


def test_a_page_ends_where_the_bytes_do(fresh, start):
    gateway = start("--read-bytes", "1MiB")
    space = str(uuid.uuid4())
    before = resident(gateway)[1]
    seen, cursor, pages = [], {}, 0
    while cursor is not None:
        answer = get(fresh, space, "rows", bytes=240000, rows=30, **cursor)
        assert answer.status_code == 200 and len(answer.content) < MIB + 1000, answer.text[:300]
        body = answer.json()
        seen += [row["n"] for row in body["items"]]
        cursor = {"cursor": body["next"]} if body["next"] else None
        assert (cursor is None) == ("next" not in answer.links)
        pages += 1
    assert seen == list(range(1, 31)) and pages == 8
    # 200 rows are 48 MB; many at once
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: get(fresh, str(uuid.uuid4()), "rows", bytes=240000), range(32)))
    assert {len(answer.json()["items"]) for answer in answers} == {4}
    grown = resident(gateway)[1] - before
    assert SANITIZED or grown < 40, f"the gateway grew by {grown:.0f} MB"
    # small ones are as they were
    body = get(fresh, space, "rows").json()
    assert len(body["items"]) == 200 and body["next"]


def test_a_row_that_is_too_large(fresh, start):
    start("--read-bytes", "100KiB")
    space = str(uuid.uuid4())
    first = get(fresh, space, "rows", bytes=30000, wide=3, limit=10).json()
    assert [row["n"] for row in first["items"]] == [1, 2]
    answer = get(fresh, space, "rows", bytes=30000, wide=3, limit=10, cursor=first["next"])
    body = problem(answer, 422, "row-too-large")
    behind = get(fresh, space, "rows", bytes=30000, wide=3, limit=10, cursor=body["next"]).json()
    assert [row["n"] for row in behind["items"]] == [4, 5, 6]
    problem(get(fresh, space, "list", bytes=10000), 422, "answer-too-large")
    assert len(get(fresh, space, "list", bytes=4000).json()["items"]) == 20
    assert "next" not in problem(get(fresh, space, "list", bytes=200000), 422, "row-too-large")


def ask_and_do_not_read(stack, space, path):
    """A connection that asks and takes as little of the answer as it can."""
    host, port = stack.gateway_url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    client.sendall(f"GET /v1/spaces/{space}/{path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    return client


def test_answers_that_nobody_takes(fresh, start):
    """They stay within the memory for answers, whose quarter is one Space's; others are answered meanwhile."""
    gateway = start("--read-bytes", "8MiB", "--read-memory", "64MiB", "--read-timeout", "2s", "--read-workers", "4")
    greedy, honest = str(uuid.uuid4()), str(uuid.uuid4())
    before = resident(gateway)[0]
    with contextlib.ExitStack() as held:
        for _ in range(24):
            held.enter_context(ask_and_do_not_read(fresh, greedy, "rows?bytes=200000&limit=39"))
        refused = lambda: gateway.metric("weir_gateway_reads_total", code="503", query="rows")
        wait_until(lambda: refused() >= 22, 60, lambda: f"those that find no room are refused: {refused()}")
        assert gateway.metric("weir_gateway_reads_total", code="200", query="rows") == 2
        answer = get(fresh, greedy, "rows")
        assert problem(answer, 503, "reads-full") and answer.headers["Retry-After"]
        assert get(fresh, honest, "rows").status_code == 200
        grown = resident(gateway)[0] - before
        assert SANITIZED or grown < 64, f"the gateway grew by {grown:.0f} MB"
    wait_until(lambda: gateway.metric("weir_gateway_read_bytes") < MIB, 60, "they are gone")
    assert get(fresh, greedy, "rows").status_code == 200


def test_spaces_take_turns(fresh, start):
    """64 clients of one Space keep the workers busy; another Space waits for one of these reads, not for all."""
    start("--read-workers", "4", "--read-queue", "512", "--read-timeout", "30s")
    greedy, honest = str(uuid.uuid4()), str(uuid.uuid4())
    done, answers, waits = threading.Event(), [], []

    def ask():
        with requests.Session() as session:
            while not done.is_set():
                answers.append(session.get(f"{fresh.gateway_url}/v1/spaces/{greedy}/slow?ms=200", timeout=60).status_code)

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        clients = [pool.submit(ask) for _ in range(64)]
        try:
            wait_until(lambda: len(answers) > 20, 60, "the reads of the one are slow")
            for _ in range(20):
                answer = get(fresh, honest, "overview")
                assert answer.status_code == 404
                waits.append(answer.elapsed.total_seconds())
        finally:
            done.set()
        for client in clients:
            client.result()
    assert set(answers) == {200}
    assert sorted(waits)[-3] < 0.5, f"the other one waited {max(waits):.2f} s"


def test_waiting_for_a_turn_has_an_end(fresh, start):
    start("--read-workers", "2", "--read-queue", "64", "--read-timeout", "1500ms")
    space = str(uuid.uuid4())
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(get, fresh, space, "slow", ms=60000) for _ in range(12)]
        answers = [one.result() for one in asked]
    kinds = [answer.json()["type"] for answer in answers]
    assert 1 <= kinds.count("/problems/read-timeout") <= 3 and kinds.count("/problems/reads-full") >= 9, kinds
    assert max(answer.elapsed.total_seconds() for answer in answers) < 8
    for answer in answers:
        assert answer.headers["Retry-After"] == "1"


def cursor_of(query, after, *values):
    """A cursor as somebody would forge it: the tag of the query, then each value behind its length."""
    tag = hashlib.sha256(" ".join([query, *after]).encode()).hexdigest()[:8].encode()
    bytes_ = tag + b"".join(bytes([len(value)]) + value for value in values)
    return base64.urlsafe_b64encode(bytes_).decode().rstrip("=")


ACTIVITY = ("activity", ("occurred_at timestamptz", "event_id uuid"))
ID = b"0190a5f0-7a1c-7000-8000-000000000001"


@pytest.mark.parametrize("after", [
    b"2026-01-01 00:00:00+23", b"2026-01-01 00:00:00+15:59:59:59", b"99999999-01-01 00:00:00+00", b"i", b"", b"-", b"infinity infinity",
    b"2026-02-30 00:00:00+00", b"2026-01-01 25:00:00+00", b"1", b"0", b"....", b"2026-01-01 00:00:00\x00+00", b"+-+-",
])
def test_a_forged_cursor_is_the_clients_fault(fresh, start, after, request):
    if request.node.callspec.indices["after"] == 0:
        start()
    space = str(uuid.uuid4())
    problem(get(fresh, space, "activity", cursor=cursor_of(*ACTIVITY, after, ID)), 422, "invalid-parameter")


def test_values_that_are_none(fresh, start):
    start()
    space = str(uuid.uuid4())
    assert get(fresh, space, "activity", cursor=cursor_of(*ACTIVITY, b"2026-01-01 00:00:00+00", ID)).status_code == 200
    for query, parameters in [
        ("activity", {"before": "2026-01-01T00:00:00+23:59"}), ("activity", {"before": "2026-01-01T00:00:00-23:59"}),
        ("balances", {"at": "2026-01-01T00:00:00+16:00"}), ("statement", {"currency": "EUR", "from": "9999-12-31T23:59:59-23:59"}),
        ("activity", {"cursor": "%%%"}), ("activity", {"cursor": "A" * 700}), ("activity", {"cursor": ""}),
        ("supporters", {"cursor": cursor_of("supporters", ("paid numeric", "member_id uuid"), b"1e999999", ID)}),
    ]:
        problem(get(fresh, space, query, **parameters), 422, "invalid-parameter")


def server_pids(stack):
    """Postgres' first process and all that it made."""
    first = int((stack.state / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    backends = stack.psql("SELECT pid FROM pg_stat_activity")
    return [first, *(pid for (pid,) in backends)]


def test_a_frozen_postgres_keeps_nobody_waiting(fresh, start):
    """Neither the reads on sessions that are there, nor those for which one has to be opened, nor those that wait for an
    event; and events are taken as ever."""
    gateway = start("--read-workers", "2", "--read-timeout", "1s", "--read-wait", "1s", "--read-queue", "64")
    space = str(uuid.uuid4())
    receipt = create(fresh, space)
    pids = server_pids(fresh)
    took = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        for headers in ({}, {"Weir-After": receipt}, {}, {"Weir-After": receipt}):
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda n: get(fresh, str(uuid.uuid4()) if not headers else space, "overview", headers),
                                        range(8)))
            for answer in answers:
                took.append(answer.elapsed.total_seconds())
                assert answer.status_code in (503, 504), answer.text
                assert answer.json()["type"] in ("/problems/read-timeout", "/problems/database-away", "/problems/reads-full",
                                                 "/problems/not-applied-yet")
        create(fresh, str(uuid.uuid4()))
        wait_until(lambda: gateway.metric("weir_gateway_read_sessions") == 0, 60, "the sessions are thrown away")
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    assert max(took) < 5, f"they waited {max(took):.1f} s"
    wait_until(lambda: get(fresh, space, "overview").status_code in (200, 404), 60, "reads are answered again")
    wait_until(lambda: fresh.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'weir gateway'") <= 3, 60,
               "what the lost sessions did is over")


def test_a_receipt_of_no_event(fresh, start):
    """An offset beyond the log is refused at once; one that is there, and that another gateway gave, is waited for. While
    Kafka does not say, it is waited for too."""
    gateway = start("--read-wait", "3s")
    space = str(uuid.uuid4())
    topic, partition, offset, _ = create(fresh, space).split("/")
    beyond = {"Weir-After": f"{topic}/{partition}/{int(offset) + 1}"}
    for _ in range(3):
        answer = get(fresh, space, "overview", beyond)
        body = problem(answer, 422, "receipt-beyond-log")
        assert body["processors"][0]["outcome"] == "behind" and answer.elapsed.total_seconds() < 2
    problem(get(fresh, space, "overview", {"Weir-After": f"{topic}/{partition}/9223372036854775806"}), 422, "receipt-beyond-log")
    problem(get(fresh, space, "overview", {"Weir-After": f"{topic}/{partition}/{offset}"}), 504, "not-applied-yet")
    receipt = create(fresh, space)  # it has that offset
    assert receipt.split("/")[2] == str(int(offset) + 1)
    problem(get(fresh, space, "overview", beyond), 504, "not-applied-yet")
    beyond = {"Weir-After": f"{topic}/{partition}/{int(offset) + 2}"}
    broker = int((fresh.state / "kafka" / "pid").read_text().split()[0])
    os.kill(broker, signal.SIGSTOP)
    try:
        problem(get(fresh, space, "overview", beyond), 504, "not-applied-yet")
    finally:
        os.kill(broker, signal.SIGCONT)
    wait_until(lambda: get(fresh, space, "overview", beyond).status_code == 422, 60, "Kafka says again where the log ends")
    assert gateway.is_alive()


def test_waits_of_one_space_have_a_bound(fresh, start):
    """One Space may wait 64 times; another one is answered as soon as its event is applied."""
    start("--read-wait", "30s")
    greedy, honest = str(uuid.uuid4()), str(uuid.uuid4())
    behind = {"Weir-After": create(fresh, greedy)}
    applied = create(fresh, honest)
    done = []
    with concurrent.futures.ThreadPoolExecutor(80) as pool:
        asked = [pool.submit(get, fresh, greedy, "overview", behind) for _ in range(80)]
        for one in asked:
            one.add_done_callback(lambda one: done.append(one.result()))
        wait_until(lambda: len(done) >= 16, 60, "those above the bound are refused")
        for answer in done[:16]:
            assert problem(answer, 503, "reads-full")["detail"].startswith("64 reads of this Space")
        fresh.start_processors("overview")
        assert get(fresh, honest, "overview", {"Weir-After": applied}).status_code == 200
        codes = [one.result().status_code for one in asked]
    assert codes.count(503) == 16 and codes.count(200) == 64, codes


def test_a_space_keeps_a_hundred_settings(fresh, start):
    """However many it sets: the first hundred names, each with its last value, live and in a rebuild."""
    start()
    fresh.start_processors("overview")
    space, expected = str(uuid.uuid4()), {}
    names = random.Random(7).sample([f"name-{number}" for number in range(180)], 180)
    changes = [names[:40], names[20:70], names[60:110], [*names[90:130], *names[:10]], names[130:], names[5:50]]
    for number, some in enumerate(changes):
        receipt = fresh.post(space, "SpaceSettingsChanged", {"settings": {name: f"{number}" for name in some}}).headers["Weir-Receipt"]
        for name in sorted(some):
            if name in expected or len(expected) < 100:
                expected[name] = f"{number}"
    body = get(fresh, space, "overview", {"Weir-After": receipt}).json()
    assert len(expected) == 100 and body["settings"] == expected
    fresh.run("rebuild", "overview", "--verify")
    assert get(fresh, space, "overview").json()["settings"] == expected
