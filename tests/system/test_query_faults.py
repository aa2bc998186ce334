# SPDX-License-Identifier: Apache-2.0
"""Queries over HTTP when things go wrong: Postgres away, frozen or slow, a full queue, processors that stand still, SIGTERM.
Whatever happens to reads, events are taken as ever."""

import concurrent.futures
import contextlib
import os
import shutil
import signal
import threading
import time
import uuid

import pytest
import requests

from harness import ROOT, make_home, wait_until
from test_queries import create, get, problem

SLOW = """-- SPDX-License-Identifier: Apache-2.0
-- reads: overview
-- answer: object
-- param seconds integer = 0, 0 to 60: how long it takes
SELECT :space_id AS space_id, pg_sleep(:seconds) IS NULL AS slept
"""


@pytest.fixture
def home(tmp_path):
    home = make_home(tmp_path / "home", {})
    shutil.copytree(ROOT / "sql" / "queries", home / "sql" / "queries")
    (home / "sql" / "queries" / "slow.sql").write_text(SLOW)
    return home


def sessions(stack):
    return stack.psql("SELECT pid FROM pg_stat_activity WHERE application_name = 'weir gateway'")


def test_postgres_away_and_back(fresh):
    gateway = fresh.start_gateway("--read-wait", "500ms")
    fresh.start_processors("overview")
    space = str(uuid.uuid4())
    receipt = create(fresh, space)
    wait_until(lambda: get(fresh, space, "overview", {"Weir-After": receipt}).status_code == 200, 60, "it is applied")
    fresh.postgres("kill")
    try:
        wait_until(lambda: get(fresh, space, "overview").status_code == 503, 60)
        for headers in ({}, {"Weir-After": receipt}):
            answer = get(fresh, space, "overview", headers)
            problem(answer, 503, "database-away")
            assert answer.headers["Retry-After"] == "1" and answer.elapsed.total_seconds() < 10
        create(fresh, str(uuid.uuid4()))
        assert gateway.is_ready()
        # a session that is lost shows when it is used
        wait_until(lambda: get(fresh, space, "overview").status_code == 503 and
                   gateway.metric("weir_gateway_read_sessions") == 0, 20)
    finally:
        fresh.postgres("start")
    wait_until(lambda: get(fresh, space, "overview").status_code == 200, 60)
    wait_until(lambda: gateway.metric("weir_gateway_reads_total", code="503", query="overview") >= 3, 60, "they are counted")
    gateway.wait_log("reads: the database is back")
    # each session is lost and none of them knows: no client notices
    fresh.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'weir gateway'")
    assert {get(fresh, space, "overview").status_code for _ in range(20)} == {200}


def test_a_start_without_postgres(fresh):
    fresh.end_all()
    fresh.postgres("stop")
    try:
        fresh.start_gateway()
        space = str(uuid.uuid4())
        create(fresh, space)
        problem(get(fresh, space, "overview"), 503, "database-away")
    finally:
        fresh.postgres("start")
    wait_until(lambda: get(fresh, space, "overview").status_code == 404, 60)


def test_slow_queries_and_a_full_queue(fresh, home):
    fresh.end_all()
    gateway = fresh.start_gateway("--home", home, "--read-timeout", "4s", "--read-workers", "4", "--read-queue", "12")
    space = str(uuid.uuid4())
    answer = get(fresh, space, "slow", seconds=60)
    problem(answer, 504, "read-timeout")
    assert 3.5 < answer.elapsed.total_seconds() < 20
    assert get(fresh, space, "slow").json() == {"space_id": space, "slept": False}
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        url = f"{fresh.gateway_url}/v1/spaces/{space}/slow?seconds=60"
        asked = [pool.submit(requests.get, url, timeout=60) for _ in range(12)]
        wait_until(lambda: gateway.metric("weir_gateway_queued_reads") >= 3, 30, "the Space's part of the queue is full")
        create(fresh, space)
        assert not all(answer.done() for answer in asked), "the event waited for the reads"
        codes = sorted(answer.result().json()["type"] for answer in asked)
    # two run, three wait as long as these run, and then two of them may
    assert codes.count("/problems/read-timeout") >= 2 and codes.count("/problems/reads-full") >= 7, codes
    assert get(fresh, space, "slow").status_code == 200


@contextlib.contextmanager
def frozen(pids):
    for (pid,) in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for (pid,) in pids:
            os.kill(pid, signal.SIGCONT)


def test_frozen_sessions_are_given_up(fresh):
    fresh.end_all()
    fresh.start_gateway("--read-timeout", "300ms", "--read-workers", "2")
    space = str(uuid.uuid4())
    wait_until(lambda: get(fresh, space, "overview").status_code == 404, 60)
    with frozen(sessions(fresh)):
        for _ in range(2):
            answer = get(fresh, space, "overview")
            if answer.status_code == 504:
                problem(answer, 504, "read-timeout")
            assert answer.elapsed.total_seconds() < 15
        # new sessions took their place
        wait_until(lambda: get(fresh, space, "overview").status_code == 404, 60)


def test_processors_that_stand_still(fresh):
    fresh.end_all()
    fresh.start_gateway("--read-wait", "400ms")
    space = str(uuid.uuid4())
    receipt = create(fresh, space)
    started = time.monotonic()
    body = problem(get(fresh, space, "overview", {"Weir-After": receipt}), 504, "not-applied-yet")
    assert 0.35 < time.monotonic() - started < 15
    (place,) = body["processors"]
    assert place["processor"] == "overview" and place["next_offset"] <= place["offset"]
    # without the receipt there is an answer at once, of what there is
    assert get(fresh, space, "overview").status_code == 404
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        fresh.end_all()
        fresh.start_gateway("--read-wait", "30s")
        waiting = pool.submit(get, fresh, space, "overview", {"Weir-After": receipt})
        fresh.start_processors("overview")
        assert waiting.result().json()["name"] == "Clay"


def test_a_shutdown_answers_what_it_has(fresh, home):
    fresh.end_all()
    gateway = fresh.start_gateway("--home", home, "--read-wait", "60s", "--drain-timeout", "15s", "--read-timeout", "30s",
                                  "--read-workers", "4")
    space = str(uuid.uuid4())
    never = {"Weir-After": create(fresh, space)}  # no processor runs
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        base = f"{fresh.gateway_url}/v1/spaces/{space}/"
        waiting = [pool.submit(requests.get, base + "overview", headers=never, timeout=60) for _ in range(3)]
        slow = [pool.submit(requests.get, base + "slow?seconds=4", timeout=60) for _ in range(4)]
        wait_until(lambda: gateway.metric("weir_gateway_queued_reads") >= 2, 30, "two wait for a session")
        assert gateway.term() == 0
        assert {answer.result().status_code for answer in slow} == {200}
        for answer in waiting:
            problem(answer.result(), 503, "shutting-down")


def test_an_event_that_fails_for_real(fresh):
    """The gateway's word on a parked event and on a dead letter is the engine's."""
    fresh.end_all()
    fresh.start_gateway("--read-wait", "20s")
    fresh.psql("ALTER TABLE overview_1.space ADD CONSTRAINT poison CHECK (name <> 'poison')")
    fresh.start_processors("overview")
    space, other = str(uuid.uuid4()), str(uuid.uuid4())
    receipt = create(fresh, space, name="poison")
    body = problem(get(fresh, space, "overview", {"Weir-After": receipt}), 409, "event-parked")
    assert body["processors"][0]["outcome"] == "parked"
    behind = create(fresh, space)
    problem(get(fresh, space, "overview", {"Weir-After": behind}), 409, "event-parked")
    healthy = create(fresh, other)
    assert get(fresh, other, "overview", {"Weir-After": healthy}).status_code == 200
    fresh.run("parked", "discard", "/".join(receipt.split("/")[:3]).removeprefix("weir."), "--yes", "--reason", "a test")
    problem(get(fresh, space, "overview", {"Weir-After": receipt}), 410, "event-dead-lettered")
    answer = wait_until(lambda: get(fresh, space, "overview", {"Weir-After": behind}), 60)
    assert answer.json()["name"] == "Clay" and answer.json()["events"] == 1
    fresh.psql("ALTER TABLE overview_1.space DROP CONSTRAINT poison")


def test_readers_run_through_a_rebuild(fresh):
    fresh.end_all()
    fresh.start_gateway("--read-wait", "20s")
    fresh.start_processors("overview")
    space = str(uuid.uuid4())
    receipt = create(fresh, space)
    first = get(fresh, space, "overview", {"Weir-After": receipt}).json()
    stop, answers = threading.Event(), []

    def read():
        with requests.Session() as session:
            while not stop.is_set():
                answer = session.get(f"{fresh.gateway_url}/v1/spaces/{space}/overview", timeout=30,
                                     headers={"Weir-After": receipt})
                answers.append((answer.status_code, answer.json()))

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        try:
            wait_until(lambda: len(answers) > 20, 60, "readers read")
            fresh.run("rebuild", "overview", timeout=300)
            count = len(answers)
            wait_until(lambda: len(answers) > count + 20, 60, "readers go on")
        finally:
            stop.set()
        for reader in readers:
            reader.result()
    assert fresh.value("SELECT generation FROM weir.processor WHERE processor = 'overview'") == 2
    assert all(answer == (200, first) for answer in answers)
    # what is written now is read from the new generation
    receipt = create(fresh, space, name="Clay and wood")
    assert get(fresh, space, "overview", {"Weir-After": receipt}).json()["name"] == "Clay and wood"
