# SPDX-License-Identifier: Apache-2.0
"""What becomes of events that fail: parked in order, tried again, drained, dead letters, decisions, and the breaker.

The processor `tally` keeps one row per PostReacted, numbered in the order in which they were applied; a row whose
reaction is forbidden breaks a constraint.
"""

import itertools
import math
import re
import time
import uuid

import pytest

from harness import make_home, wait_until
from test_engine import ELSEWHERE, HERE, PARTITION, TALLY, TOPIC, Engine, reaction, reactions

FAST = "attempts = 3\nbackoff = 200ms\nbackoff_max = 400ms\n"
NEVER = "attempts = 1000\nbackoff = 200ms\nbackoff_max = 400ms\n"
NUMBERED = TALLY["tables.sql"].replace(
    "kafka_offset bigint NOT NULL", "kafka_offset bigint NOT NULL,\n    applied bigint GENERATED ALWAYS AS IDENTITY"
)


class Parking(Engine):
    def order(self, space=HERE):
        rows = self.stack.psql("SELECT reaction FROM tally_1.reaction WHERE space_id = %s ORDER BY applied", space)
        return [row[0] for row in rows]

    def parked(self):
        rows = self.stack.psql("SELECT kafka_offset FROM weir.parked ORDER BY position_id, kafka_offset")
        return [row[0] for row in rows]

    def spaces(self, columns="attempts, code, events"):
        return self.stack.psql(f"SELECT {columns} FROM weir.parked_space ORDER BY position_id, space_id")

    def dead_letters(self, columns="kafka_offset, code, attempts, state"):
        return self.stack.psql(f"SELECT {columns} FROM weir.dead_letter ORDER BY position_id, kafka_offset")

    def allow(self):
        """What failed would not fail any more."""
        self.stack.psql("ALTER TABLE tally_1.reaction DROP CONSTRAINT not_bad")

    def forbid(self):
        self.stack.psql("ALTER TABLE tally_1.reaction ADD CONSTRAINT not_bad CHECK (reaction <> 'bad') NOT VALID")

    def decide(self, offset, verdict, space=HERE, replacement=None, partition=PARTITION):
        """What the command line writes, and what came of it."""
        decision = self.stack.value(
            "INSERT INTO weir.decision (position_id, kafka_offset, space_id, verdict, replacement_id, decided_by, reason) "
            "SELECT position_id, %s, %s, %s, %s, 'test', 'because' FROM weir.position "
            "WHERE processor = 'tally' AND topic = %s AND kafka_partition = %s RETURNING decision_id",
            offset, space, verdict, replacement, TOPIC, partition,
        )  # fmt: skip
        row = lambda: self.stack.psql(
            "SELECT outcome, message, applied_after FROM weir.decision WHERE decision_id = %s AND outcome IS NOT NULL",
            decision,
        )
        return wait_until(row, 60, "the decision is carried out")[0]

    def wait_flowing(self):
        wait_until(lambda: not self.spaces() and not self.parked(), 60, lambda: f"nothing is parked: {self.spaces()}")


@pytest.fixture
def parking(stack, tmp_path):
    """A function that makes the processor, with lines for its processor.conf and other files."""
    stack.end_all()
    stack.dirty = True
    stack.new_database()
    stack.new_topics()

    numbers = itertools.count()

    def make(policy=NEVER, **files):
        files = {"tables.sql": NUMBERED} | {name.replace("_sql", ".sql"): text for name, text in files.items()}
        files = TALLY | files | {"processor.conf": TALLY["processor.conf"] + policy}
        engine = Parking(stack, make_home(tmp_path / f"home {next(numbers)}", {"tally": files}))
        engine.migrate()
        return engine

    yield make
    stack.end_all()


def test_parked_in_order_until_it_succeeds(parking):
    engine = parking()
    process = engine.start()
    offsets = engine.stack.produce(reactions("a", "bad", "b", "c") + reactions("far", space=ELSEWHERE))
    engine.wait_rows("a", "far")
    engine.drain()
    assert engine.parked() == offsets[1:4]
    wait_until(lambda: engine.spaces("attempts")[0][0] >= 2, 60, "it is tried again")
    assert engine.spaces("code, events") == [("23514", 3)]
    engine.stack.produce(reactions("d", "e") + reactions("farther", space=ELSEWHERE))
    engine.wait_rows("a", "far", "farther")
    wait_until(lambda: len(engine.parked()) == 5, 60, "what follows waits behind it")
    assert process.answers("/readyz") == 200
    process.wait_metric(5, "weir_processor_events_total", outcome="parked")
    engine.allow()
    engine.wait_flowing()
    engine.stack.produce(reactions("f"))
    wait_until(lambda: engine.order() == ["a", "bad", "b", "c", "d", "e", "f"], 60, lambda: str(engine.order()))
    assert engine.dead_letters() == []
    assert process.term() == 0


def test_a_restart_keeps_what_is_parked(parking):
    engine = parking()
    process = engine.start()
    engine.stack.produce(reactions("bad", "b"))
    wait_until(lambda: len(engine.parked()) == 2, 60, "both are parked")
    process.kill()
    engine.stack.produce(reactions("c"))
    process = engine.start()
    wait_until(lambda: len(engine.parked()) == 3, 60, "the third one waits too")
    assert engine.rows() == []
    engine.allow()
    wait_until(lambda: engine.order() == ["bad", "b", "c"], 60, lambda: str(engine.order()))
    engine.wait_flowing()


def test_used_up_becomes_a_dead_letter_and_the_others_go_on(parking):
    engine = parking(FAST)
    process = engine.start()
    record = reaction("bad")[:4] + ([("traceparent", b"00-1-2-03"), ("odd", b"\xff\x00"), ("none", None)],)
    offsets = engine.stack.produce([reaction("a"), record, reaction("b"), reaction("c")])
    wait_until(lambda: engine.order() == ["a", "b", "c"], 60, lambda: str(engine.order()))
    engine.wait_flowing()
    assert engine.dead_letters() == [(offsets[1], "23514", 3, "open")]
    kept = "key, value, ARRAY(SELECT h.name FROM unnest(headers) AS h), ARRAY(SELECT h.value FROM unnest(headers) AS h)"
    assert engine.dead_letters(kept) == [
        (HERE.encode(), record[3], ["traceparent", "odd", "none"], [b"00-1-2-03", b"\xff\x00", None])
    ]
    engine.stack.produce(reactions("d"))
    engine.wait_rows("a", "b", "c", "d")
    assert process.metric("weir_processor_halted") == 0


def test_used_up_blocks_its_space_when_told_to(parking):
    engine = parking(FAST + "used_up = block\n")
    engine.start()
    offsets = engine.stack.produce(reactions("a", "bad", "b") + reactions("far", space=ELSEWHERE))
    wait_until(engine.dead_letters, 60, "it is a dead letter")
    engine.stack.produce(reactions("c"))
    wait_until(lambda: len(engine.parked()) == 2, 60, "the others wait")
    assert engine.spaces("next_attempt_at, events") == [(None, 2)]
    engine.wait_rows("a", "far")
    # what is redriven into a Space that is still held back keeps its place
    engine.allow()
    assert engine.decide(offsets[1], "redrive") == ("applied", None, offsets[2] - 1), "before those that waited for it"
    wait_until(lambda: engine.order() == ["a", "bad", "b", "c"], 60, lambda: str(engine.order()))
    engine.wait_flowing()


def test_a_blocked_space_waits_for_its_own_decision(parking):
    """Also when nothing waited yet when it was blocked, and whatever becomes of older dead letters."""
    engine = parking(FAST + "used_up = block\n")
    engine.start()
    older = engine.stack.produce([reaction("x")[:3] + (b"no avro", None)])[0]
    first = engine.stack.produce(reactions("bad"))[0]
    wait_until(lambda: len(engine.dead_letters()) == 2, 60, "both are dead letters")
    second = engine.stack.produce(reactions("b", "bad", "c"))[1]
    wait_until(lambda: len(engine.parked()) == 3, 60, "what came later waits")
    assert engine.decide(older, "redrive")[0] == "failed"
    assert engine.decide(older, "discard")[0] == "discarded"
    assert engine.decide(first, "redrive")[0] == "failed"
    assert engine.order() == [] and len(engine.parked()) == 3
    assert engine.decide(first, "discard")[0] == "discarded"
    wait_until(lambda: len(engine.dead_letters()) == 3, 60, "the next one is a dead letter too")
    assert engine.order() == ["b"] and engine.spaces("blocked_by, events") == [(second, 1)]
    engine.allow()
    assert engine.decide(second, "redrive")[0] == "applied"
    wait_until(lambda: engine.order() == ["b", "bad", "c"], 60, lambda: str(engine.order()))
    engine.wait_flowing()


def test_one_in_many_is_found_by_halving(parking):
    count = 5000
    engine = parking()
    process = engine.start("--force-partitions", ready=False)
    process.wait_ready()
    engine.stack.end(process)
    spaces = [str(uuid.uuid4()) for _ in range(count)]
    guilty = 3333
    engine.stack.produce([reaction("bad" if i == guilty else "good", spaces[i]) for i in range(count)])
    process = engine.start("--batch-max-age", "60s")
    engine.drain()
    assert len(engine.parked()) == 1 and len(engine.rows()) == count - 1
    failures = process.metric("weir_processor_failures_total")
    batches = process.metric("weir_processor_batches_total")
    assert 1 <= failures <= math.log2(count) + 2, failures
    assert batches <= 2 * math.log2(count) + 12, batches


def test_poison_at_each_index(parking):
    count = 11
    engine = parking("attempts = 1\n")
    engine.start()
    expected, produced = {}, []
    for guilty in range(count):
        space = str(uuid.uuid4())
        names = ["bad" if i == guilty else f"{i}" for i in range(count)]
        expected[space] = [name for name in names if name != "bad"]
        produced += reactions(*names, space=space)
    engine.stack.produce(produced)
    engine.drain()
    engine.wait_flowing()
    for space, names in expected.items():
        assert engine.order(space) == names
    assert len(engine.dead_letters()) == count


def test_a_deferred_constraint_is_the_event_s_fault(parking):
    tables = NUMBERED.replace("CONSTRAINT not_bad CHECK (reaction <> 'bad')", "") + (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN\n"
        "    IF new.reaction = 'bad' THEN RAISE EXCEPTION 'refused at the end'; END IF; RETURN NULL;\nEND $$;\n"
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON reaction DEFERRABLE INITIALLY DEFERRED\n"
        "    FOR EACH ROW EXECUTE FUNCTION refuse();\n"
    )
    engine = parking(tables_sql=tables)
    engine.start()
    engine.stack.produce(reactions("a", "bad", "b") + reactions("far", space=ELSEWHERE))
    engine.drain()
    engine.wait_rows("a", "far")
    assert engine.spaces("code, events") == [("P0001", 2)]


def test_screened_before_anything_is_applied(parking):
    screen = "-- a rule\nSELECT seq, 'rude: ' || left(reaction, 4) FROM post_reacted WHERE reaction LIKE 'rude%'\n"
    engine = parking("attempts = 2\nbackoff = 100ms\n", screen_sql=screen)
    process = engine.start()
    # one of them follows another in its Space
    first = reactions("a", "rude 1", "b", "rude 2", "c") + reactions("rude 3", "x", space=ELSEWHERE)
    engine.stack.produce(first)
    wait_until(lambda: len(engine.dead_letters()) == 3, 60, lambda: str(engine.dead_letters()))
    engine.wait_flowing()
    assert engine.order() == ["a", "b", "c"] and engine.order(ELSEWHERE) == ["x"]
    assert {row[:2] for row in engine.dead_letters("code, message")} == {("screened", "rude: rude")}
    assert process.metric("weir_processor_halted") == 0


def test_many_wait_and_drain_in_order(parking):
    engine = parking()
    engine.start()
    names = ["bad"] + [f"{i}" for i in range(3500)]
    engine.stack.produce(reactions(*names))
    wait_until(lambda: len(engine.parked()) == len(names), 60, "all of them are parked")
    engine.allow()
    engine.wait_flowing()
    assert engine.order() == names


def test_one_that_fails_while_draining_is_the_next_to_wait(parking):
    engine = parking()
    engine.start()
    engine.stack.produce(reactions("bad", "b", "worse", "c"))
    wait_until(lambda: len(engine.parked()) == 4, 60, "all of them are parked")
    engine.stack.psql(
        "BEGIN; ALTER TABLE tally_1.reaction DROP CONSTRAINT not_bad;"
        "ALTER TABLE tally_1.reaction ADD CONSTRAINT not_worse CHECK (reaction <> 'worse'); COMMIT"
    )
    wait_until(lambda: engine.order() == ["bad", "b"], 60, lambda: str(engine.order()))
    wait_until(lambda: engine.spaces("events, code") == [(2, "23514")], 60, lambda: str(engine.spaces()))
    engine.stack.psql("ALTER TABLE tally_1.reaction DROP CONSTRAINT not_worse")
    wait_until(lambda: engine.order() == ["bad", "b", "worse", "c"], 60, lambda: str(engine.order()))
    engine.wait_flowing()


def test_decisions(parking):
    engine = parking("attempts = 1\n")
    engine.start()
    offsets = engine.stack.produce(reactions("bad", "a", "bad", "b", "bad", "c"))
    wait_until(lambda: engine.order() == ["a", "b", "c"], 60, lambda: str(engine.order()))
    engine.wait_flowing()
    first, second, third = offsets[0], offsets[2], offsets[4]
    outcome, message, _ = engine.decide(first, "redrive")
    assert outcome == "failed" and "not_bad" in message
    assert engine.dead_letters()[0] == (first, "23514", 2, "open")
    assert engine.decide(second, "discard")[0] == "discarded"
    assert engine.decide(second, "redrive")[:2] == ("refused", "it is discarded already")
    assert engine.decide(offsets[1], "redrive")[:2] == ("refused", "it is neither parked nor a dead letter")
    assert engine.decide(third, "retry")[0] == "refused"
    assert engine.decide(third, "patch", replacement=uuid.uuid4())[0] == "discarded"
    engine.allow()
    assert engine.decide(first, "redrive") == ("applied", None, offsets[-1])
    assert engine.order() == ["a", "b", "c", "bad"]
    states = engine.dead_letters("kafka_offset, state, applied_after")
    assert states == [(first, "redriven", offsets[-1]), (second, "discarded", None), (third, "patched", None)]
    published = engine.stack.psql(
        "SELECT convert_from(value, 'UTF8')::jsonb ->> 'outcome' FROM weir.outbox "
        "WHERE topic = 'weir.decisions.tally' ORDER BY outbox_id"
    ) or None
    if published:  # unless the relay was faster
        assert published[-1][0] == "applied"


def test_decisions_about_parked_events(parking):
    engine = parking("attempts = 1000\nbackoff = 1h\nbackoff_max = 1h\n")
    engine.start()
    offsets = engine.stack.produce(reactions("bad", "a", "b", "c"))
    wait_until(lambda: len(engine.parked()) == 4, 60, "all of them are parked")
    assert engine.decide(offsets[1], "retry")[0] == "refused"
    assert engine.decide(offsets[2], "discard")[0] == "discarded"
    assert engine.decide(offsets[0], "retry")[0] == "retried"
    wait_until(lambda: engine.spaces("attempts, events") == [(2, 3)], 60, lambda: str(engine.spaces()))
    assert engine.decide(offsets[0], "discard")[0] == "discarded"
    wait_until(lambda: engine.order() == ["a", "c"], 60, lambda: str(engine.order()))
    engine.wait_flowing()
    assert [row[3] for row in engine.dead_letters()] == ["discarded", "discarded"]


def test_the_breaker_halts_and_goes_on_when_told_to(parking):
    engine = parking("breaker_failures = 5\nbreaker_after = 1ms\nbackoff = 1h\nbackoff_max = 1h\n")
    process = engine.start()
    engine.stack.produce([reaction("bad", str(uuid.uuid4())) for _ in range(30)])
    halt = engine.halt()
    assert halt["code"] == "breaker-open" and "events of 5 Spaces have failed" in halt["message"]
    parked = len(engine.parked())
    assert parked < 30 and engine.dead_letters() == []
    process.wait_metric(1, "weir_processor_halted")
    wait_until(lambda: process.answers("/readyz") == 503, 60, "it is not ready")
    assert process.term() == 0
    process = engine.start(ready=False)
    process.wait_log("halted: ")
    assert len(engine.parked()) == parked
    engine.allow()
    engine.resume()
    wait_until(lambda: len(engine.rows()) == 30 - parked, 60, "the others are applied")
    assert len(engine.parked()) == parked


def test_too_many_spaces_held_back(parking):
    engine = parking("parked_spaces_max = 3\nbackoff = 1h\nbackoff_max = 1h\n")
    engine.start()
    engine.stack.produce([reaction("bad", str(uuid.uuid4())) for _ in range(5)])
    assert engine.halt()["code"] == "too-many-parked"
    assert len(engine.spaces()) <= 3


def test_a_duplicate_waits_its_turn(parking):
    engine = parking()
    engine.start()
    twice = reaction("b")
    engine.stack.produce([reaction("bad"), twice, twice])
    wait_until(lambda: len(engine.parked()) == 3, 60, "all of them are parked")
    engine.allow()
    wait_until(lambda: engine.order() == ["bad", "b"], 60, lambda: str(engine.order()))
    engine.wait_flowing()
    assert engine.stack.value("SELECT count(*) FROM weir.duplicate") == 1


def test_another_transaction_in_the_way_costs_no_attempt(parking):
    """A deadlock or a lock that is held too long: the batch is sent again, and nothing is parked."""
    engine = parking()
    process = engine.start("--lock-timeout", "100ms")
    with engine.stack.transaction() as holder:
        holder.execute("LOCK TABLE tally_1.reaction IN ACCESS EXCLUSIVE MODE")
        engine.stack.produce(reactions("a", "b"))
        wait_until(lambda: process.metric("weir_processor_failures_total") >= 3, 60, "it is tried again")
    wait_until(lambda: engine.order() == ["a", "b"], 60, lambda: str(engine.order()))
    assert engine.parked() == [] and engine.dead_letters() == []
    assert not re.search("halted", process.text())


def test_bad_policy_is_refused(parking):
    for line, complaint in (
        ("attempts = none", "attempts must be a number from 1 to 1000"),
        ("backoff = 5", "backoff must be a time such as 30s"),
        ("used_up = ignore", "used_up is drain"),
        ("patience = 5", 'unknown key "patience"'),
    ):
        with pytest.raises(AssertionError, match=re.escape(complaint)):
            parking(line + "\n")
