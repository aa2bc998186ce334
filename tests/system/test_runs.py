# SPDX-License-Identifier: Apache-2.0
"""Runs: events that were applied, packed by batch and partition. A copy is a duplicate whether its event is in a small run, in
one that was merged, or in memory only since a claim; and whoever claims knows what another owner has applied."""

import time

from harness import wait_until
from test_engine import ELSEWHERE, HERE, reaction, reactions
from test_parking import parking  # noqa: F401 a fixture
from test_parking_hard import NEAR, WITHOUT_KEY
from test_rebuild_failures import ONCE, engine  # noqa: F401 a fixture
from test_rebuild_window import LATER

ONE_BY_ONE = ("--batch-max-rows", "1")
RUNS = "SELECT count(*), coalesce(sum(octet_length(entries)) / 56, 0)::bigint, coalesce(sum(octet_length(hashes)) / 8, 0)::bigint FROM tally_1.applied_run"
DUPLICATES = "SELECT count(*) FROM weir.duplicate"
SMALL_RUNS = 256  # as in runs.c: so many in a row are merged
LARGE_RUN = 300  # more than a small one has
LARGEST = "SELECT coalesce(max(octet_length(entries)) / 56, 0) FROM tally_1.applied_run"
MANY = 4 * SMALL_RUNS  # that nobody has merged
LEAVE_RUNS = f"""INSERT INTO tally_1.applied_run (position_id, run_id, newest_timestamp, hashes, entries)
SELECT position_id, run_id + n, newest_timestamp, hashes, entries
FROM (SELECT * FROM tally_1.applied_run ORDER BY position_id, run_id DESC LIMIT 1) AS r, generate_series(1, {MANY}) AS n"""
SEGMENT = 12288  # as in run_index.c: hashes that the first segment takes


def names(first, count):
    return [f"e{number}" for number in range(first, first + count)]


def test_a_copy_of_an_event_in_any_run_is_a_duplicate(engine):
    """One large run and three times as many small ones as are merged, so that a range of runs, as memory has it, begins
    inside of what is merged."""
    engine = engine(ONCE)
    stack, sent = engine.stack, [reaction(name) for name in names(0, LARGE_RUN + 3 * SMALL_RUNS + 20)]
    known = lambda process: process.metric("weir_processor_known_events", processor="tally")
    stack.produce(sent[:LARGE_RUN])
    process = engine.start()
    engine.drain()
    assert process.term() == 0
    process = engine.start(*ONE_BY_ONE)
    stack.produce(sent[LARGE_RUN:])
    engine.drain()
    wait_until(lambda: stack.psql(RUNS)[0][0] < 60, 60, lambda: f"small runs are merged: {stack.psql(RUNS)}")
    assert stack.psql(RUNS)[0][1:] == (len(sent), len(sent)), "and nothing is lost by that"
    wait_until(lambda: known(process) == len(sent), 30, lambda: f"all are in memory: {known(process)}")
    stack.produce(sent)  # by memory as it was filled
    engine.drain()
    assert stack.value(DUPLICATES) == len(sent) and engine.chain() == names(0, len(sent))
    assert process.term() == 0
    process = engine.start()  # in large batches, by memory as it was read at the claim
    stack.produce(sent)
    engine.drain()
    assert stack.value(DUPLICATES) == 2 * len(sent) and engine.chain() == names(0, len(sent))
    wait_until(lambda: known(process) == len(sent), 30, lambda: f"all are in memory: {known(process)}")
    assert stack.value("SELECT count(DISTINCT event_id) FROM tally_1.applied_event") == len(sent)
    stack.run("audit", "tally", "--home", engine.home)


def test_runs_are_merged_while_there_is_a_backlog(engine):
    """The session is never idle then: the next batch is full when one is done."""
    engine = engine(ONCE)
    stack = engine.stack
    engine.start(*ONE_BY_ONE)
    last = stack.produce([reaction(name) for name in names(0, 1500)])[-1]
    state = f"SELECT ({LARGEST}), (SELECT max(next_offset) FROM weir.position WHERE processor = 'tally')"
    _, reached = wait_until(lambda: [row for row in stack.psql(state) if row[0] >= SMALL_RUNS], 120, "some are merged")[0]
    assert reached < last, "while others wait"
    engine.drain()


def test_no_more_runs_are_merged_at_once_than_fit_a_statement(engine):
    """Whoever wrote them did not merge, for whatever reason."""
    engine = engine(ONCE)
    stack = engine.stack
    process = engine.start()
    event = reaction("a")
    stack.produce([event])
    engine.drain()
    assert process.term() == 0
    stack.psql(LEAVE_RUNS)
    engine.start()
    wait_until(lambda: stack.psql(RUNS)[0][0] < 10, 60, lambda: f"small runs are merged: {stack.psql(RUNS)}")
    assert stack.psql(RUNS)[0][1:] == (MANY + 1, MANY + 1), "and nothing is lost by that"
    assert stack.value(LARGEST) <= SMALL_RUNS
    stack.produce([event, *reactions("b")])
    engine.drain()
    assert engine.chain() == ["a", "b"] and stack.value(DUPLICATES) == 1


def test_a_previous_generation_has_its_runs_merged(engine):
    engine = engine(ONCE)
    stack = engine.stack
    engine.start()
    stack.produce(reactions("a"))
    engine.drain()
    assert engine.rebuild()["swapped"]
    stack.psql(LEAVE_RUNS)

    def few_are_left():
        stack.produce(reactions("b"))  # a round of its follower merges some of them
        return stack.psql(RUNS)[0][0] < SMALL_RUNS

    wait_until(few_are_left, 60, lambda: f"small runs are merged: {stack.psql(RUNS)}")
    assert stack.psql(RUNS)[0][1] > MANY, "and nothing is lost by that"


def test_a_partition_without_records_keeps_nothing_in_memory(engine):
    """The second process has nothing to forget, as it begins with that, and leaves it to the third."""
    engine = engine(ONCE + "duplicate_window = 1s\n")
    stack = engine.stack
    known = lambda: process.metric("weir_processor_known_events", processor="tally")
    process = engine.start()
    stack.produce(reactions("quiet", space=ELSEWHERE))
    stack.produce(reactions(*["a"] * (SEGMENT + 100)))
    engine.drain()
    wait_until(lambda: stack.value(LATER), 30, "time goes on")
    assert process.term() == 0
    process = engine.start()
    wait_until(lambda: known() == SEGMENT + 101, 60, lambda: f"all are in memory: {known()}")
    stack.produce(reactions("b"))
    engine.drain()
    assert process.term() == 0
    process = engine.start()
    wait_until(lambda: stack.psql(RUNS)[0][1] < 200, 60, lambda: f"they are pruned: {stack.psql(RUNS)}")
    wait_until(lambda: 0 < known() < 200, 30, lambda: f"and forgotten: {known()}")


def test_a_prune_that_fails_stops_nothing(engine):
    engine = engine(ONCE + "duplicate_window = 1s\n")
    stack = engine.stack
    process = engine.start()
    stack.produce(reactions("a"))
    engine.drain()
    wait_until(lambda: stack.value(LATER), 30, "time goes on")
    stack.produce(reactions("b"))
    engine.drain()
    assert process.term() == 0
    stack.psql("CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''refused''; END'")
    stack.psql("CREATE TRIGGER refuse BEFORE DELETE ON tally_1.applied_run FOR EACH ROW EXECUTE FUNCTION public.refuse()")
    process = engine.start(ready=False)
    process.wait_log("refused")
    stack.produce(reactions("c"))
    wait_until(lambda: engine.chain() == ["a", "b", "c"], 60, lambda: str(engine.chain()))


def test_an_owner_learns_what_another_has_applied(engine):
    """Two processes take the same partitions from each other; in each round come a new event and copies of all before it."""
    engine = engine(ONCE)
    stack = engine.stack
    owners = [engine.start("--force-partitions") for _ in range(2)]
    done = lambda owner: owner.metric("weir_processor_batches_total", processor="tally")
    sent, copies = [], 0

    def round_of_copies():
        nonlocal copies
        copies += len(sent)
        sent.append(reaction(f"e{len(sent)}"))
        stack.produce(sent)
        engine.drain()
        turns.append([done(owner) for owner in owners])
        return sum(a[0] != b[0] and a[1] == b[1] for a, b in zip(turns[1:], turns)) > 1 and turns[-1][1] > turns[0][1]

    turns = [[done(owner) for owner in owners]]
    wait_until(round_of_copies, 60, lambda: f"each has had its turns: {turns}")
    assert engine.chain() == names(0, len(sent))
    assert stack.value(DUPLICATES) == copies
    stack.run("audit", "tally", "--home", engine.home)


def test_a_copy_that_another_body_has_is_a_conflict(engine):
    """Also when the event is known by its run alone."""
    engine = engine(ONCE)
    process = engine.start()
    event = reaction("a")
    engine.stack.produce([event])
    engine.drain()
    assert process.term() == 0
    engine.start()
    engine.stack.psql("UPDATE tally_1.applied_run SET entries = overlay(entries PLACING int8send(7) FROM 33 FOR 8)")
    engine.stack.produce([event])
    wait_until(engine.letters, 60, "it is a dead letter")
    assert engine.stack.value("SELECT code FROM weir.dead_letter") == "fingerprint-conflict"
    assert engine.chain() == ["a"]


def test_the_view_shows_what_is_packed(engine):
    engine = engine(ONCE)
    engine.start()
    offsets = engine.stack.produce(reactions(*names(0, 5)))
    engine.drain()
    shown = "SELECT a.kafka_offset, a.space_id::text, a.kafka_timestamp = p.anchor_timestamp FROM tally_1.applied_event AS a "
    rows = engine.stack.psql(
        shown + "JOIN tally_1.reaction AS r USING (event_id) JOIN weir.position AS p USING (position_id) ORDER BY a.kafka_offset"
    )
    assert [row[:2] for row in rows] == [(offset, HERE) for offset in offsets]
    assert rows[-1][2], "its time is that of the last record"


def test_what_memory_forgets_is_read_again(parking):  # noqa: F811
    """Everything has left the window, and memory drops it; but a dead letter may be a copy of some of it."""
    engine = parking("attempts = 1\nduplicate_window = 1s\n", tables_sql=WITHOUT_KEY)
    process = engine.start()
    twice = reaction("bad")
    letter = engine.stack.produce([twice])[0]
    wait_until(engine.dead_letters, 60, "it is a dead letter")
    engine.allow()
    engine.stack.produce([twice, reaction("other", space=NEAR[0])])
    engine.wait_rows("bad", "other")
    time.sleep(1.5)
    bad = engine.stack.produce([reaction("x")[:3] + (b"no avro", None)])[0]  # moves the partition on, and is not applied
    wait_until(lambda: len(engine.dead_letters()) == 2, 60, "so is that")
    engine.stack.end(process)
    process = engine.start()  # which prunes first
    known = lambda: process.metric("weir_processor_known_events", processor="tally")
    wait_until(lambda: known() == 1, 60, lambda: f"only the copy is left: {known()}")
    assert engine.stack.psql("SELECT space_id::text FROM tally_1.applied_event") == [(HERE,)]
    assert engine.decide(letter, "redrive")[0] == "applied"
    assert sorted(engine.rows()) == ["bad", "other"]
    assert engine.stack.psql("SELECT kafka_offset FROM weir.duplicate") == [(letter,)]
    # once nothing is open any more, nothing is kept
    assert engine.decide(bad, "discard")[0] == "discarded"
    engine.stack.end(process)
    engine.start()
    wait_until(lambda: engine.stack.value("SELECT count(*) FROM tally_1.applied_run") == 0, 60, "nothing is kept")
