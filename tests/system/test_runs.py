# SPDX-License-Identifier: Apache-2.0
"""Runs: events that were applied, packed by batch and partition. A copy is a duplicate whether its event is in a small run, in
one that was merged, or in memory only since a claim; and whoever claims knows what another owner has applied."""

from harness import wait_until
from test_engine import HERE, TOPIC, reaction, reactions  # noqa: F401
from test_rebuild_failures import ONCE, engine  # noqa: F401 a fixture

ONE_BY_ONE = ("--batch-max-rows", "1")
RUNS = "SELECT count(*), coalesce(sum(octet_length(entries)) / 56, 0)::bigint, coalesce(sum(octet_length(hashes)) / 8, 0)::bigint FROM tally_1.applied_run"
DUPLICATES = "SELECT count(*) FROM weir.duplicate"
SMALL_RUNS = 256  # as in runs.c: so many in a row are merged


def names(first, count):
    return [f"e{number}" for number in range(first, first + count)]


def test_a_copy_of_an_event_in_any_run_is_a_duplicate(engine):
    engine = engine(ONCE)
    stack, process = engine.stack, engine.start(*ONE_BY_ONE)
    sent = [reaction(name) for name in names(0, SMALL_RUNS + 44)]
    stack.produce(sent)
    engine.drain()
    wait_until(lambda: stack.psql(RUNS)[0][0] < 60, 60, lambda: f"small runs are merged: {stack.psql(RUNS)}")
    assert stack.psql(RUNS)[0][1:] == (len(sent), len(sent)), "and nothing is lost by that"
    known = lambda process: process.metric("weir_processor_known_events", processor="tally")
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


def test_an_owner_learns_what_another_has_applied(engine):
    """Two processes take turns on the same partitions; each knows only what it read and applied itself."""
    engine = engine(ONCE)
    stack = engine.stack
    first = engine.start("--force-partitions")
    sent = [reaction(name) for name in names(0, 3)]
    stack.produce(sent[:1])
    engine.drain()
    second = engine.start("--force-partitions", ready=False)
    wait_until(lambda: second.metric("weir_processor_partitions", processor="tally") > 0, 60, "the second one owns them")
    stack.produce(sent[:2])
    engine.drain()
    stack.end(second)
    wait_until(lambda: first.metric("weir_processor_partitions", processor="tally") > 0, 60, "the first one again")
    stack.produce(sent)
    engine.drain()
    assert engine.chain() == names(0, 3)
    assert stack.value(DUPLICATES) == 3
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
    sent = [reaction(name) for name in names(0, 5)]
    offsets = engine.stack.produce(sent)
    engine.drain()
    rows = engine.stack.psql(
        "SELECT a.event_id, a.space_id, a.kafka_offset, a.kafka_timestamp = r.kafka_timestamp FROM tally_1.applied_event AS a "
        "JOIN tally_1.reaction AS r USING (event_id) ORDER BY a.kafka_offset")  # fmt: skip
    assert [row[2] for row in rows] == offsets and all(row[3] and row[1] == HERE for row in rows)
