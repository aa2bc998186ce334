# SPDX-License-Identifier: Apache-2.0
"""What a rebuild knows of old events: those that have left the duplicate window are not kept, except where something that
still waits may be a copy of them."""

import json

from test_rebuild_failures import ONCE, engine  # noqa: F401 a fixture
from test_engine import ELSEWHERE, HERE, reaction, reactions
from harness import wait_until

WINDOW = ONCE + "duplicate_window = 1s\n"
LATER = "SELECT max(anchor_timestamp) < clock_timestamp() - interval '1.3 s' FROM weir.position WHERE processor = 'tally'"
KEPT = "SELECT kafka_offset FROM tally_2.applied_event ORDER BY kafka_offset"


def unkeyed(engine):
    """An id may count twice, further apart than the window: the test's own key is in the way."""
    engine.stack.psql("ALTER TABLE tally_1.reaction DROP CONSTRAINT reaction_pkey")
    tables = engine.home / "sql/processors/tally/tables.sql"
    tables.write_text(tables.read_text().replace("event_id uuid PRIMARY KEY", "event_id uuid NOT NULL"))


def produce(engine, *records):
    """Waits until they are applied, or are no news."""
    offsets = engine.stack.produce(records)
    engine.drain()
    return offsets


def leave_window(engine):
    """The broker's time of the next record is further away from the last one than the window."""
    wait_until(lambda: engine.stack.value(LATER), 30, "time goes on")


def rebuild(engine):
    """At the first try: batch by batch, which is what it falls back to, it would need none of this."""
    done = engine.stack.run("rebuild", "tally", "--home", engine.home, "--verify", "-o", "json")
    report = json.loads(done.stdout)
    assert report["verified"] == "equal" and report["swapped"] and "anew" not in done.stderr, done.stderr
    engine.stack.run("audit", "--home", engine.home)
    return report


def test_what_has_left_the_window_is_not_kept(engine):
    engine = engine(WINDOW)
    unkeyed(engine)
    engine.start()
    twice = reaction("a")
    produce(engine, twice, twice, *reactions("b"), *reactions("far", space=ELSEWHERE))
    leave_window(engine)
    produce(engine, twice)
    leave_window(engine)
    last = produce(engine, *reactions("c", "d"))
    assert engine.chain() == ["a", "b", "a", "c", "d"]
    rebuild(engine)
    # the other partition has seen nothing newer than its only record
    assert engine.stack.psql(KEPT) == sorted([(0,), (last[0],), (last[1],)])
    # and the new generation knows what it has to know
    produce(engine, *reactions("e"))
    assert engine.chain() == ["a", "b", "a", "c", "d", "e"]


def test_what_may_still_meet_its_copy_is_kept(engine):
    """A dead letter is a copy of what was applied within its window; of an id counted twice, the newer copy counts."""
    engine = engine(WINDOW)
    unkeyed(engine)
    engine.start()
    bad, twice = reaction("bad"), reaction("a")
    engine.forbid("bad")
    letter = produce(engine, bad, twice, *reactions("far", space=ELSEWHERE))[0]
    wait_until(engine.letters, 20, "it is a dead letter")
    engine.forbid()
    produce(engine, bad)
    leave_window(engine)
    again = produce(engine, twice)[0]
    leave_window(engine)
    last = produce(engine, *reactions("c"))[0]
    assert engine.chain() == ["a", "bad", "a", "c"]
    assert rebuild(engine)["left_out"] == 1
    assert engine.stack.psql(KEPT) == [(0,), (letter + 1,), (letter + 2,), (again,), (last,)]
    assert engine.decide(letter, "redrive") == "applied"
    assert engine.chain() == ["a", "bad", "a", "c"]
    assert engine.stack.psql("SELECT kafka_offset FROM weir.duplicate JOIN weir.position USING (position_id) "
                             "WHERE generation = 2 AND kafka_offset = %s", letter) == [(letter,)]  # fmt: skip


def test_duplicates_that_have_left_the_window_are_forgotten(engine):
    engine = engine(WINDOW)
    unkeyed(engine)
    process = engine.start()
    twice, far = reaction("a"), reaction("far", space=ELSEWHERE)
    produce(engine, twice, twice, far, far)
    duplicates = lambda: engine.stack.psql("SELECT kafka_offset FROM weir.duplicate ORDER BY kafka_offset")
    assert duplicates() == [(1,), (1,)]
    leave_window(engine)
    later = reaction("b")
    last = produce(engine, later, later)
    assert process.term() == 0
    engine.start()  # which forgets first
    # the other partition has seen nothing newer
    wait_until(lambda: duplicates() == [(1,), (last[1],)], 60, lambda: f"the older one is gone: {duplicates()}")
    assert engine.chain() == ["a", "b"]
    engine.stack.run("audit", "--home", engine.home)
