# SPDX-License-Identifier: Apache-2.0
"""The corners of parking: what comes together, what is in the way, and what a hostile record or query tries."""

import contextlib
import os
import signal
import time
import uuid

import psycopg
import pytest

import events
from harness import wait_until
from test_audit_failures import sound
from test_engine import ELSEWHERE, HERE, PARTITION, TALLY, TOPIC, newer_reaction, newer_version, reaction, reactions
from test_engine import record_version
from test_parking import NUMBERED, parking  # noqa: F401

# Spaces of one partition, so that their records come in the order of their production
NEAR = [space for space in (str(uuid.uuid5(uuid.NAMESPACE_URL, f"near {i}")) for i in range(1000))
        if events.partition_of(space.encode()) == PARTITION]  # fmt: skip
RUDE = "SELECT seq, 'rude' FROM post_reacted WHERE reaction LIKE 'rude%'\n"
WITHOUT_KEY = NUMBERED.replace("event_id uuid PRIMARY KEY", "event_id uuid NOT NULL")
# a row per Space that each of its events changes
TOTALS = {
    "tables_sql": NUMBERED + "CREATE TABLE total (space_id uuid PRIMARY KEY, events bigint NOT NULL);\n",
    "apply_sql": TALLY["apply.sql"]
    + "INSERT INTO total AS t (space_id, events) SELECT space_id, count(*) FROM post_reacted GROUP BY 1\n"
    "ON CONFLICT (space_id) DO UPDATE SET events = t.events + excluded.events;\n",
}


def at_once(engine, messages, *options, ready=True):
    """Has all of them read as one batch; returns the process and the offsets."""
    engine.stack.end(engine.start())
    offsets = engine.stack.produce(messages)
    return engine.start("--batch-max-age", "10s", *options, ready=ready), offsets


def raising(code):
    """A trigger that fails for what is bad, with that SQLSTATE."""
    return NUMBERED.replace("CONSTRAINT not_bad CHECK (reaction <> 'bad')", "") + (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN\n"
        f"    IF new.reaction = 'bad' THEN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END IF; RETURN new;\nEND $$;\n"
        "CREATE TRIGGER refuse BEFORE INSERT ON reaction FOR EACH ROW EXECUTE FUNCTION refuse();\n"
    )


def waiting_pid(engine):
    """The backend of the engine once it waits for a lock."""
    pids = lambda: engine.stack.psql(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'weir process tally' AND wait_event_type = 'Lock'"
    )
    return wait_until(pids, 60, "the engine waits for a lock")[0][0]


def test_screened_and_failing_events_in_one_batch(parking):
    """What stands before a screened event of its Space is innocent, however the batch is halved around both."""
    engine = parking("attempts = 2\nbackoff = 1h\nbackoff_max = 1h\n", screen_sql=RUDE)
    messages = reactions("a") + reactions("x", "y", space=NEAR[0]) + reactions("rude") + reactions("bad", "z", space=NEAR[1])
    process, offsets = at_once(engine, messages)
    wait_until(lambda: len(engine.parked()) == 3, 60, lambda: f"three wait: {engine.parked()} {process.text()[-2000:]}")
    assert engine.order() == ["a"] and engine.order(NEAR[0]) == ["x", "y"]
    assert sorted(engine.spaces("code, events, attempts")) == [("23514", 2, 1), ("screened", 1, 1)]
    for offset, space in ((offsets[3], HERE), (offsets[4], NEAR[1])):
        assert engine.decide(offset, "retry", space)[0] == "retried"
    engine.wait_flowing()
    assert engine.order() == ["a"] and engine.order(NEAR[1]) == ["z"]
    assert engine.dead_letters("kafka_offset, code") == [(offsets[3], "screened"), (offsets[4], "23514")]


def test_few_of_many_are_screened(parking):
    """More than breaker_window of them, but few of all: the breaker counts what stands between them."""
    engine = parking("backoff = 1h\nbackoff_max = 1h\n", screen_sql=RUDE)
    rude = [i % 20 == 0 for i in range(6000)]
    messages = [reaction("rude" if is_rude else "fine", str(uuid.uuid4())) for is_rude in rude]
    process, _ = at_once(engine, messages)
    wait_until(lambda: len(engine.parked()) == sum(rude) or process.metric("weir_processor_halted"), 60, "all are parked")
    assert len(engine.parked()) == sum(rude) and len(engine.rows()) == len(rude) - sum(rude)


def test_a_screen_that_names_what_it_was_not_given(parking):
    """Undecodable bytes are not in its relation: nothing is parked for its sake."""
    engine = parking(screen_sql="SELECT 1, 'the second one' FROM post_reacted LIMIT 1\n")
    at_once(engine, [reaction("a"), reaction("x")[:3] + (b"no avro", None), reaction("b")], ready=False)
    assert engine.halt()["code"] == "bad-screen"
    assert engine.parked() == [] and engine.rows() == []


def test_a_screen_that_names_nothing(parking):
    engine = parking(screen_sql="SELECT NULL::integer, 'nobody' FROM post_reacted\n")
    engine.start()
    engine.stack.produce(reactions("a"))
    assert engine.halt()["code"] == "bad-screen"
    assert engine.parked() == [] and engine.rows() == []


def test_hostile_records(parking):
    """Whatever bytes and headers come: each record has its fate, decisions about it too, and nobody else waits."""
    engine = parking("attempts = 2\nbackoff = 100ms\n")
    process = engine.start()
    key, good = HERE.encode(), reaction("x")[3]
    odd = [("", b""), ("\n\t'\"\\", b"\0" * 7000), ("ce_type", None), ("ce_id", b"\xff")] * 50
    bad = [
        (None, None), (b"", b""), (key, None), (key, b""), (key, b"\0"), (key, b"\0\xff\xff\xff\xff"), (key, good[:-1]),
        (key, good + b"\0"), (key[:-1], good), (key.replace(b"-", b"_"), good), (key[:35] + b"\0", good), (b"\xff" * 36, good),
    ]  # fmt: skip
    engine.stack.produce(reactions("bad"))
    offsets = engine.stack.produce([(TOPIC, PARTITION, key, value, odd[:4] * (i + 1)) for i, (key, value) in enumerate(bad)])
    last = reaction("b")
    engine.stack.produce([last[:4] + (odd,), (TOPIC, PARTITION, HERE.upper().encode(), last[3], None)])
    engine.drain()
    engine.wait_flowing()
    assert engine.order() == ["b"] and engine.stack.value("SELECT count(*) FROM weir.duplicate") == 1
    assert len(engine.dead_letters()) == 1 + len(bad)
    for offset, (key, _) in zip(offsets, bad):
        is_space = key == HERE.encode()
        assert engine.decide(offset, "redrive", HERE if is_space else None)[0] == ("failed" if is_space else "refused")
    engine.wait_flowing()
    assert process.metric("weir_processor_halted") == 0
    sound(engine)


def test_headers_larger_than_the_events(parking):
    """What waits goes to Postgres in parts of a bounded size, and comes back in parts."""
    engine = parking("attempts = 1000\nbackoff = 100ms\nbackoff_max = 100ms\n")  # none is used up before all wait
    names = [f"{i}" for i in range(25)]
    big = [("pad", b"p" * 900_000)]
    process = engine.start()
    engine.stack.produce(reactions("bad") + [record[:4] + (big,) for record in reactions(*names)])
    wait_until(lambda: len(engine.parked()) == 26, 60, lambda: f"all wait, but {engine.parked()}")
    engine.allow()
    engine.wait_flowing()
    assert engine.order() == ["bad", *names]


def test_a_space_without_a_number(parking):
    """The nil UUID is a Space like any other."""
    nil = str(uuid.UUID(int=0))
    engine = parking("attempts = 2\nbackoff = 200ms\n")
    process = engine.start()
    engine.stack.produce(reactions("bad", "b", space=nil) + reactions("far"))
    wait_until(lambda: engine.order(nil) == ["b"] and engine.dead_letters(), 60, lambda: process.text()[-2000:])
    engine.wait_flowing()
    engine.wait_rows("b", "far")
    assert engine.stack.value("SELECT count(*) FROM weir.duplicate") == 0


def test_a_parked_event_of_another_build_s_schema(parking):
    """Its schema was looked up when it came; a restart has to look it up again."""
    engine = parking()
    version = newer_version()
    record_version(engine.stack, version)
    process = engine.start()
    engine.stack.produce(reactions("bad") + [newer_reaction(version, "b")])
    wait_until(lambda: len(engine.parked()) == 2, 60, "both are parked")
    process.kill()
    engine.start()
    engine.allow()
    wait_until(lambda: engine.order() == ["bad", "b"], 60, lambda: str(engine.order()))
    engine.wait_flowing()


def test_a_redriven_copy_of_what_was_applied_long_ago(parking):
    """What could still meet its copy is not forgotten with the duplicate window."""
    engine = parking("attempts = 1\nduplicate_window = 1s\n", tables_sql=WITHOUT_KEY)
    process = engine.start()
    twice = reaction("bad")
    first = engine.stack.produce([twice])[0]
    wait_until(engine.dead_letters, 60, "it is a dead letter")
    engine.allow()
    engine.stack.produce([twice])
    engine.wait_rows("bad")
    time.sleep(1.5)
    engine.stack.produce(reactions("c"))
    engine.wait_rows("bad", "c")
    engine.stack.end(process)
    engine.start()  # which forgets old events first
    time.sleep(0.5)
    assert engine.decide(first, "redrive")[0] == "applied"
    assert engine.rows() == ["bad", "c"]
    assert engine.stack.psql("SELECT kafka_offset FROM weir.duplicate") == [(first,)]
    sound(engine)


def test_where_a_redriven_event_stands(parking):
    """Its Space was blocked: it is applied before what waits, and the decision says so. Else it comes after all there is."""
    engine = parking("attempts = 1\nused_up = block\nbackoff = 100ms\n")
    engine.start()
    offsets = engine.stack.produce(reactions("a", "bad", "b", "c"))
    engine.stack.produce(reactions("x", space=NEAR[0]))
    wait_until(engine.dead_letters, 60, "it is a dead letter")
    wait_until(lambda: len(engine.parked()) == 2, 60, "the others wait")
    engine.allow()
    assert engine.decide(offsets[1], "redrive") == ("applied", None, offsets[1])
    wait_until(lambda: engine.order() == ["a", "bad", "b", "c"], 60, lambda: str(engine.order()))


def test_a_redrive_behind_a_block_waits(parking):
    engine = parking("attempts = 1\nused_up = block\nbackoff = 100ms\n")
    engine.start()
    first = engine.stack.produce(reactions("bad"))[0]
    wait_until(lambda: engine.spaces("blocked_by") == [(first,)], 60, "it is blocked")
    later = engine.stack.produce([reaction("x")[:3] + (b"no avro", None)])[0]
    wait_until(lambda: len(engine.dead_letters()) == 2, 60, "both are dead letters")
    engine.stack.psql(
        "INSERT INTO weir.decision (position_id, kafka_offset, space_id, verdict, decided_by, reason) "
        "SELECT position_id, kafka_offset, space_id, 'redrive', 'test', 'because' FROM weir.dead_letter WHERE kafka_offset = %s",
        later,
    )
    wait_until(lambda: engine.parked() == [later], 60, "it waits")
    assert engine.spaces("next_attempt_at, events") == [(None, 1)]
    engine.allow()
    assert engine.decide(first, "redrive")[0] == "applied"
    engine.wait_flowing()
    assert engine.dead_letters("kafka_offset, state") == [(first, "redriven"), (later, "open")]


def test_an_operator_cancels_a_statement(parking):
    """Which says nothing about the event, or about the position alone."""
    engine = parking("attempts = 1\n")
    process = engine.start("--lock-timeout", "60s")
    for texts, table in ((["a"], "tally_1.reaction"), ([], "weir.position")):
        with engine.stack.transaction() as holder:
            holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            other = events.make_record("PostPublished", events.Maker(1).body("PostPublished")[1])
            engine.stack.produce(reactions(*texts) or [(TOPIC, PARTITION, HERE.encode(), other, None)])
            pid = waiting_pid(engine)
            holder.execute("SELECT pg_cancel_backend(%s)", [pid])
            wait_until(lambda: process.metric("weir_processor_failures_total") >= 1, 60, "it was cancelled")
        engine.drain()
        assert engine.rows() == ["a"] and engine.dead_letters() == []
    assert process.metric("weir_processor_halted") == 0


def test_a_locked_space_is_not_everybody_s(parking):
    """A row that another transaction holds keeps one Space's parked events from being applied, and nobody else's."""
    engine = parking(**TOTALS)
    engine.start("--lock-timeout", "300ms")
    engine.stack.produce(reactions("a", "bad", "b"))
    wait_until(lambda: len(engine.parked()) == 2, 60, "two wait")
    with engine.stack.transaction() as holder:
        holder.execute("SELECT FROM tally_1.total WHERE space_id = %s FOR UPDATE", [HERE])
        engine.allow()
        waiting_pid(engine)
        engine.stack.produce(reactions("1", "2", space=ELSEWHERE) + reactions("3", space=NEAR[0]))
        engine.wait_rows("a", "1", "2", "3")
        assert len(engine.parked()) == 2
    engine.wait_flowing()
    assert engine.order() == ["a", "bad", "b"]
    assert engine.dead_letters() == []


def test_a_long_reason_is_cut(parking):
    engine = parking(
        "attempts = 1\n", screen_sql="SELECT seq, repeat('ö', 1000000) FROM post_reacted WHERE reaction LIKE 'rude%'\n"
    )
    engine.start()
    engine.stack.produce(reactions("rude", "b"))
    engine.wait_rows("b")
    (message,) = engine.dead_letters("message")[0]
    assert message.startswith("ö") and len(message.encode()) < 2000


def test_an_author_raises_what_is_the_engine_s(parking):
    """And SQLSTATEs that nobody thought of: the event's fault, after a few tries."""
    for code in ("WR003", "55000", "2D000"):
        engine = parking("backoff = 1h\nbackoff_max = 1h\n", tables_sql=raising(code))
        process = engine.start()
        engine.stack.produce(reactions("a", "bad", "b"))
        wait_until(lambda: engine.parked() and engine.order() == ["a"], 60, lambda: f"{code}: {process.text()[-2000:]}")
        assert [row[0] for row in engine.spaces("code")] == [code]
        engine.stack.end_all()
        engine.stack.new_database()
        engine.stack.new_topics()


def backend_of(engine):
    return engine.stack.value("SELECT pid FROM pg_stat_activity WHERE application_name = 'weir process tally'")


def test_a_frozen_backend_does_not_hold_the_loop(parking):
    """Neither while nothing is applied, nor while parked events are read: the session is given up, and another one goes on."""
    engine = parking("attempts = 1000\nbackoff = 100ms\nbackoff_max = 100ms\n")
    process = engine.start("--statement-timeout", "1s")
    for text in ("a", "bad"):
        engine.stack.produce(reactions(text))
        wait_until(lambda: engine.order() == ["a"], 60, "it flows")
        pid = backend_of(engine)
        os.kill(pid, signal.SIGSTOP)
        try:
            process.wait_log("Postgres did not answer in time")
            wait_until(lambda: backend_of_another(engine, pid), 60, "another session goes on")
            engine.stack.produce(reactions(f"behind {text}", space=ELSEWHERE))
            wait_until(lambda: f"behind {text}" in engine.order(ELSEWHERE), 60, "it flows again")
        finally:
            os.kill(pid, signal.SIGCONT)
        process.log.write_bytes(b"")


def backend_of_another(engine, pid):
    return engine.stack.psql("SELECT pid FROM pg_stat_activity WHERE application_name = 'weir process tally' AND pid <> %s", pid)


def used_cpu_s(process):
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


SEARCHED = NUMBERED + """CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.reaction = 'last' AND current_query() LIKE 'SELECT %' THEN -- a batch is a CALL
        PERFORM pg_advisory_xact_lock_shared(7);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pause BEFORE INSERT ON reaction FOR EACH ROW EXECUTE FUNCTION pause();
"""


@pytest.mark.parametrize("victim", ["processor", "backend"])
def test_killed_in_the_middle_of_a_search(parking, victim):
    """It has tried the events before one by one, found the one that fails, and all of that is taken back."""
    engine = parking(tables_sql=SEARCHED)
    texts = [f"text {i}" for i in range(20)]
    messages = [reaction(text, NEAR[i % 10]) for i, text in enumerate(texts)]
    messages[5:5] = [reaction("bad", NEAR[11])]
    searches = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE 'SELECT tally_1.search_%%'"
    holder = psycopg.connect(engine.stack.database)
    holder.execute("SELECT pg_advisory_xact_lock(7)")
    process, offsets = at_once(engine, [*messages, reaction("last", NEAR[12])])
    [(backend,)] = wait_until(lambda: engine.stack.psql(searches), what=lambda: process.text()[-2000:])
    if victim == "processor":
        process.kill()
        engine.stack.processes.remove(process)
        engine.start()
    else:
        os.kill(backend, signal.SIGKILL)  # after which Postgres ends all others, the holder's too
        wait_until(lambda: not answers(holder.execute), what="Postgres ends them")
        wait_until(lambda: answers(engine.stack.psql), what="Postgres starts anew")
    holder.close()
    engine.wait_rows(*texts, "last")
    assert engine.parked() == [offsets[5]] and engine.spaces("code, events") == [("23514", 1)]
    engine.drain()
    sound(engine)


def answers(query):
    with contextlib.suppress(psycopg.OperationalError):
        return query("SELECT 1")


def test_nothing_spins_while_a_batch_grows(parking):
    """A backlog is there, its batch may grow for long, parked events are due, and draining has had its share."""
    engine = parking("attempts = 1000\nbackoff = 1ms\nbackoff_max = 1ms\n")
    engine.stack.end(engine.start())
    engine.stack.produce([reaction("bad", str(uuid.uuid4())) for _ in range(200)])
    process = engine.start("--batch-max-age", "1ms")
    wait_until(lambda: len(engine.parked()) == 200, 60, "they are parked")
    engine.stack.end(process)
    engine.stack.produce(reactions("old"))
    time.sleep(1.5)  # then it is a backlog
    process = engine.start("--batch-max-age", "8s", ready=False)
    process.wait_log("owns 6 partitions")
    time.sleep(1)
    began, used = time.monotonic(), used_cpu_s(process)
    time.sleep(3)
    assert engine.rows() == [], "the batch grows"
    share = (used_cpu_s(process) - used) / (time.monotonic() - began)
    assert share < 0.06  # busy or not, one that spins takes more
    engine.wait_rows("old")
