# SPDX-License-Identifier: Apache-2.0
"""Rebuilds: equal to the live tables and to a fold of the topics in Python, whatever is killed; nobody who reads notices."""

import contextlib
import json
import random
import signal
import threading
import time
import uuid

import psycopg
import pytest

import events
from fold import Difference, Fold
from harness import wait_until

ALL = tuple(events.PROCESSORS)
FAST = ("--session-timeout", "6s")
SEED = 20261122


@contextlib.contextmanager
def traffic(stack, count=None, rate=400):
    """A platform sends `count` events meanwhile, or as many as it can until the block is left; all are acknowledged in the
    end. What waits for something that only new records bring about must not count them."""
    process = stack.start(
        "simulate", "simulate", "--events", count or 10**6, "--rate", rate, "--spaces", 12, "--seed", next(traffic.seeds), "-o", "json"
    )
    process.wait_log("sent ", 60)
    try:
        yield process
    except BaseException:
        process.kill()  # those behind a test that failed know nothing of its traffic
        raise
    if count is None:
        process.send(signal.SIGINT)
    assert process.wait(120) == 0, process.text()


traffic.seeds = iter(range(SEED, SEED + 100))


@contextlib.contextmanager
def reading(stack):
    """Somebody reads without a pause, by prepared statements and over a view of their own; nothing may go wrong, and no
    answer may be smaller than the one before."""
    failures, answers = [], []
    over = threading.Event()
    with psycopg.connect(stack.database, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS analyst")
        connection.execute(
            "CREATE OR REPLACE VIEW analyst.purchases AS SELECT space_id, count(*) AS purchases, sum(amount) AS amount "
            "FROM ledger.transfer WHERE kind = 'purchase' GROUP BY space_id"
        )

    def read():
        try:
            with psycopg.connect(stack.database, autocommit=True) as connection:
                connection.prepare_threshold = 1
                while not over.is_set():
                    answer = connection.execute("SELECT coalesce(sum(purchases), 0) FROM analyst.purchases").fetchone()[0]
                    balance = connection.execute("SELECT coalesce(sum(balance), 0) FROM ledger.trial_balance").fetchone()[0]
                    if answers and answer < answers[-1]:
                        failures.append(f"{answer} purchases after {answers[-1]}")
                    if balance != 0:
                        failures.append(f"the books are {balance} out of balance")
                    answers.append(answer)
        except psycopg.Error as error:
            failures.append(repr(error))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join(60)
    assert not failures, failures[:3]
    assert answers


class Live:
    """A stack whose first generation stands for the live one, for what compares tables."""

    def __init__(self, stack):
        self.stack = stack

    def __getattr__(self, name):
        return getattr(self.stack, name)

    def psql(self, query, *values):
        return self.stack.psql_live(query, *values)


def check(stack):
    """The live tables hold what the topics say."""
    stack.wait_drained()
    difference = Difference(Live(stack), Fold(stack.records()))
    assert not difference, str(difference)


def rebuild(stack, *arguments, code=0, **options):
    done = stack.run("rebuild", *arguments, "-o", "json", check=False, **options)
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture(scope="module")
def platform(fresh):
    fresh.start_gateway()
    fresh.start_processors(options=FAST)
    with traffic(fresh, 3000):
        pass
    fresh.wait_drained()
    return fresh


def test_rebuilt_equals_live_and_fold(platform):
    """Under a platform's traffic, while somebody reads."""
    with traffic(platform, 3000), reading(platform) as answers:
        for name in ALL:
            report = rebuild(platform, name, "--verify")
            assert report["verified"] == "equal" and report["swapped"] and report["findings"] == []
            assert platform.live(name) == f"{name}_2"
        count = len(answers)
        wait_until(lambda: len(answers) > count, 60, "readers go on")
    check(platform)
    audit = platform.run("audit", "--wait", "20s", check=False)
    assert audit.returncode == 0, audit.stdout


def test_killed_again_and_again(platform):
    """Ten times at random, before, while and after it folds; each run goes on where the one before ended."""
    draw = random.Random(SEED)
    done = []
    with traffic(platform, 4000):
        started = time.monotonic()
        rebuild(platform, "overview", "--verify", "--no-swap")
        usual = time.monotonic() - started
        for _ in range(10):
            process = platform.start("rebuild", "rebuild", "ledger", "--verify", "--no-swap", "-o", "jsonl")
            time.sleep(draw.uniform(0.1, 1.2) * usual)
            process.send(signal.SIGKILL)
            process.wait(60)
            rows = platform.psql("SELECT generation, records_done FROM weir.generation WHERE state IN ('building', 'caught-up')")
            done.append(rows)
        # Postgres ends a session when it has something to tell to who is gone
        left = "SELECT FROM pg_stat_activity WHERE application_name LIKE 'weir rebuild%'"
        wait_until(lambda: not platform.psql(left), 60, "the sessions of those killed have ended")
        report = rebuild(platform, "ledger", "--verify")
    assert report["resumed"] and report["verified"] == "equal" and report["swapped"], done
    assert len({row[0] for rows in done for row in rows}) == 1, f"it began anew: {done}"
    check(platform)


def test_only_one_at_a_time(platform):
    with platform.transaction() as connection:
        connection.execute("SELECT pg_advisory_lock(2003134835, hashtext('overview'))")
        refused = rebuild(platform, "overview", code=2)
    assert "overview is being rebuilt already" in refused


def test_abandoned(platform):
    """What a rebuild has built and not published goes, with its positions; the live generation stays."""
    before = platform.live("overview")
    number = rebuild(platform, "overview", "--no-swap")["generation"]
    report = rebuild(platform, "overview", "--abandon")
    assert report["generation"] == number and report["records"] > 0
    assert platform.value("SELECT to_regnamespace(%s) IS NULL", f"overview_{number}") and platform.live("overview") == before
    for table in ("generation", "position"):
        assert not platform.psql(f"SELECT FROM weir.{table} WHERE processor = 'overview' AND generation = %s", number)
    assert "no rebuild of overview" in rebuild(platform, "overview", "--abandon", code=2)
    platform.run("rebuild", "--all", "--abandon")
    assert rebuild(platform, "overview", "--verify", "--no-swap")["verified"] == "equal"
    with platform.transaction() as connection:
        connection.execute("SELECT pg_advisory_lock(2003134835, hashtext('overview'))")
        assert "overview is being rebuilt already" in rebuild(platform, "overview", "--abandon", code=2)
    platform.run("rebuild", "overview", "--abandon")


def test_wrong_row_is_named(platform):
    """A row of the live tables that no event explains."""
    platform.wait_drained()
    live = platform.live("ledger")
    space, member, balance = platform.psql(
        f"SELECT space_id::text, member_id::text, balance FROM {live}.member_balance WHERE balance > 0 LIMIT 1")[0]
    change = f"UPDATE {live}.member_balance SET balance = balance + %s WHERE space_id = %s AND member_id = %s AND balance = %s"
    platform.psql(change, 7, space, member, balance)
    for options in ((), ("--space", space)):
        report = rebuild(platform, "ledger", "--verify", *options, code=3)
        assert report["verified"] == "different" and not report["swapped"]
        assert [(finding["table"], finding["spaces"]) for finding in report["findings"]] == [("member_balance", [space])]
        assert {row["side"] for row in report["findings"][0]["sample"]} == {"live", "rebuilt"}
    other = rebuild(platform, "ledger", "--verify", "--no-swap", "--space", uuid.uuid4())
    assert other["verified"] == "equal"
    platform.psql(change, -7, space, member, balance + 7)
    assert rebuild(platform, "ledger", "--verify")["swapped"]


def test_rollback_loses_nothing(platform):
    """The previous generation catches up with what came meanwhile, and is live again; only then it can be dropped."""
    before, live = platform.psql("SELECT max(generation) FILTER (WHERE state = 'previous'), max(generation) FILTER "
                                 "(WHERE state = 'live') FROM weir.generation WHERE processor = 'overview'")[0]
    for generation, as_live, fits in ((live, True, True), (live, False, False), (before, True, False), (before, False, True)):
        claim = "SELECT FROM weir.claim('overview', %s, '{}', '{}', %s, 'nobody')"
        with pytest.raises(psycopg.Error, match="any more") if not fits else contextlib.nullcontext():
            platform.psql(claim, generation, as_live)
    with traffic(platform, 500):
        pass
    platform.wait_drained("overview")
    report = rebuild(platform, "overview", "--rollback", "--verify")
    assert report["verified"] == "equal" and report["swapped"] and platform.live("overview") == f"overview_{before}"
    platform.run("rebuild", "overview", "--drop-old")
    assert not platform.psql("SELECT FROM weir.generation WHERE processor = 'overview' AND state = 'previous'")
    assert platform.value("SELECT to_regnamespace(%s) IS NULL", f"overview_{live}")
    assert "no previous generation" in rebuild(platform, "overview", "--rollback", code=2)
    check(platform)


def test_status(platform):
    report = json.loads(platform.run("rebuild", "--status", "-o", "json").stdout)
    assert {(row["processor"], row["state"]) for row in report["generations"]} >= {(name, "live") for name in ALL}


def contents(stack):
    """Every row of every live table, counted."""
    tables = stack.psql(
        "SELECT processor, generation, relname FROM weir.processor JOIN pg_class ON relnamespace = "
        "(processor || '_' || generation)::regnamespace WHERE relkind IN ('r', 'p') AND NOT relispartition")
    return {
        (processor, table): stack.psql(
            f"SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {processor}_{generation}.{table} t")
        for processor, generation, table in tables if table != "applied_run"
    }  # fmt: skip


def test_disaster(platform):
    """Postgres is lost altogether; two commands bring everything back from Kafka."""
    platform.wait_drained()
    for process in [p for p in platform.processes if p.name == "process"]:
        platform.end(process)
    lost = contents(platform)
    assert all(rows[0][0] for key, rows in lost.items() if key[1] in ("transfer", "hourly", "space", "member")), lost
    platform.new_database()
    platform.run("migrate")
    platform.run("rebuild", "--all", timeout=400)
    assert contents(platform) == lost
    platform.start_processors(options=FAST)
    with traffic(platform, 500):
        pass
    check(platform)
