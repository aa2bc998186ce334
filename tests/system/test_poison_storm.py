# SPDX-License-Identifier: Apache-2.0
"""Who halts a processor: one whose SQL is broken does, and however many Spaces send what fails, they do not.

An event that is applied while others fail shows that the processor works. The processor `tally` says for each row when it
was written, so that how long honest events took is known from the rows.
"""

import itertools
import threading
import time
import uuid

import pytest
from confluent_kafka import Producer

import events
from harness import wait_until
from test_engine import TALLY, reaction, reactions
from test_parking import NUMBERED, parking  # noqa: F401

TIMED = NUMBERED.replace("kafka_offset bigint", "written_at timestamptz NOT NULL DEFAULT clock_timestamp(),\n    kafka_offset bigint") \
    .replace("space_id uuid NOT NULL", "space_id uuid NOT NULL,\n    kafka_timestamp timestamptz NOT NULL")  # fmt: skip
TIMED_APPLY = TALLY["apply.sql"].replace("kafka_offset", "kafka_offset, kafka_timestamp")
HONEST = [str(uuid.uuid5(uuid.NAMESPACE_URL, f"honest {i}")) for i in range(30)]
RATE = 300
LOOK_S = 3
POISONED = 400


class Honest:
    """300 events a second of some Spaces while it lasts; what they say names the phase that they belong to."""

    def __init__(self, stack):
        self.stack = stack
        self.phase = "start"
        self.sent = 0
        self.thread = threading.Thread(target=self.send)
        self.ended = False

    def send(self):
        producer = Producer({"bootstrap.servers": self.stack.brokers})
        began = time.monotonic()
        while not self.ended:
            topic, partition, key, value, _ = reaction(self.phase, HONEST[self.sent % len(HONEST)])
            producer.produce(topic, partition=partition, key=key, value=value)
            producer.poll(0)
            self.sent += 1
            time.sleep(max(0.0, began + self.sent / RATE - time.monotonic()))
        assert producer.flush(30) == 0

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        self.thread.join(60)


def send_poison(stack, seconds):
    """400 events that fail, each of a Space of its own, spread over that time."""
    producer = Producer({"bootstrap.servers": stack.brokers, "linger.ms": 0 if seconds else 50})
    began = time.monotonic()
    for i in range(POISONED):
        topic, partition, key, value, _ = reaction("bad", str(uuid.uuid4()))
        producer.produce(topic, partition=partition, key=key, value=value)
        time.sleep(max(0.0, began + i * seconds / POISONED - time.monotonic()))
    assert producer.flush(30) == 0


def waited(engine, phase):
    """The p99 of the time from the broker's timestamp to the row, in seconds, of the events of a phase."""
    return engine.stack.value("SELECT extract(epoch FROM percentile_disc(0.99) WITHIN GROUP (ORDER BY written_at - kafka_timestamp)) "
                              "FROM tally_1.reaction WHERE reaction = %s", phase)  # fmt: skip


def is_halted(engine):
    return engine.stack.psql("SELECT code, message FROM weir.halt")


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_storm_of_poison_is_parked_and_the_others_flow(parking, seconds):
    engine = parking("attempts = 2\n", tables_sql=TIMED, apply_sql=TIMED_APPLY)
    process = engine.start()
    with Honest(engine.stack) as honest:
        wait_until(lambda: len(engine.rows()) > RATE, 60, "it flows")
        honest.phase = "quiet"
        time.sleep(LOOK_S)
        honest.phase = "storm"
        send_poison(engine.stack, seconds)
        time.sleep(LOOK_S)
        wait_until(lambda: len(engine.dead_letters()) == POISONED or is_halted(engine), 60, "all that fails is set aside")
        honest.phase = "after"
    assert not is_halted(engine)
    wait_until(lambda: len(engine.rows()) == honest.sent, 60, lambda: f"{honest.sent} were sent, {len(engine.rows())} are there")
    quiet, storm = waited(engine, "quiet"), waited(engine, "storm")
    failures = process.metric("weir_processor_failures_total")
    print(f"p99 of the honest events: quiet {quiet * 1000:.1f} ms, in the storm {storm * 1000:.1f} ms; {failures:.0f} calls failed")
    if seconds == 0:  # each event fails twice; what comes alone is tried alone
        assert failures < POISONED, f"{failures} calls failed"


def test_events_that_fail_in_a_row_cost_few_calls(parking):
    """Each that fails by itself would be a call, and whatever comes behind them waits for all of these."""
    engine = parking("attempts = 1000\nbackoff = 1h\nbackoff_max = 1h\n")
    process = engine.start()
    for rounds in range(1, 5):
        engine.stack.produce([reaction("bad", str(uuid.uuid4())) for _ in range(100)] + reactions("good", space=HONEST[0]))
        wait_until(lambda: len(engine.parked()) == 100 * rounds, 60, "they are parked")
    wait_until(lambda: engine.order(HONEST[0]) == ["good"] * 4, 60, "the others are applied")
    failures = process.metric("weir_processor_failures_total")
    assert failures < 100, f"{failures} calls failed"


def feed(stack, texts, spaces, halted):
    """An event of each Space, one round after the other, until it is halted."""
    for _ in range(600):
        if halted():
            return
        stack.produce([reaction(next(texts), space) for space in spaces])
        time.sleep(0.1)
    raise AssertionError("it was not halted")


@pytest.mark.parametrize("policy", ["attempts = 1\n", "attempts = 2\nbackoff = 100ms\n"])
def test_sql_that_fails_for_ten_spaces_halts(parking, policy):
    """Few enough Spaces that soon all of them are held back, so that only what is parked is tried; and few dead letters."""
    engine = parking(policy + "breaker_after = 1s\n")
    process = engine.start()
    engine.stack.produce([reaction("good", space) for space in HONEST[:10]])
    wait_until(lambda: len(engine.rows()) == 10, 60, "it works")
    engine.stack.psql("ALTER TABLE tally_1.reaction ADD CONSTRAINT broken CHECK (reaction = 'never') NOT VALID")
    feed(engine.stack, itertools.repeat("good"), HONEST[:10], lambda: is_halted(engine))
    halt = engine.halt()
    assert halt["code"] == "breaker-open" and "broken" in halt["message"], halt
    assert len(engine.dead_letters()) <= 10, f"{len(engine.dead_letters())} dead letters"
    # and what waits is applied once the SQL is good again
    engine.stack.psql("ALTER TABLE tally_1.reaction DROP CONSTRAINT broken")
    engine.resume()
    wait_until(lambda: len(engine.order(HONEST[0])) > 1, 60, "they go on")
    engine.wait_flowing()
    process.wait_metric(0, "weir_processor_halted")


def test_one_space_that_only_fails_halts_nobody(parking):
    """Its dead letters in a row are few, until somebody else shows that the processor works."""
    engine = parking("attempts = 2\nbackoff = 50ms\nbackoff_max = 50ms\nbreaker_after = 100ms\n")
    process = engine.start()
    engine.stack.produce([reaction("bad", HONEST[0]) for _ in range(25)])
    wait_until(lambda: len(engine.dead_letters()) == 10, 60, "the first are dead letters")
    failures = process.metric("weir_processor_failures_total")
    wait_until(lambda: process.metric("weir_processor_failures_total") > failures + 10, 60, "it is tried again")
    assert len(engine.dead_letters()) == 10 and not is_halted(engine)
    for count in (20, 25):
        engine.stack.produce(reactions("good", space=HONEST[1]))
        wait_until(lambda: len(engine.dead_letters()) == count, 60, lambda: f"{len(engine.dead_letters())} are dead letters")
    engine.wait_flowing()
    assert not is_halted(engine)


def test_data_that_cannot_pass_holds_its_space_for_a_moment(parking):
    """Whatever the patience: four that overflow, one after the other, are dead letters within seconds."""
    overflow = TALLY["apply.sql"] + "INSERT INTO total (space_id, points) SELECT space_id, length(reaction) * 99999999::int FROM post_reacted;\n"
    engine = parking("", tables_sql=NUMBERED + "CREATE TABLE total (space_id uuid, points integer);\n", apply_sql=overflow)
    engine.start()
    engine.stack.produce(reactions("a", *["x" * 100] * 4, "b", space=HONEST[0]))
    wait_until(lambda: engine.order(HONEST[0]) == ["a", "b"], 60, lambda: f"{engine.order(HONEST[0])} {engine.spaces()}")
    assert engine.dead_letters("code, attempts") == [("22003", 2)] * 4


def test_redriving_what_still_fails_halts_nobody(parking):
    engine = parking("attempts = 1\nbreaker_failures = 3\nbreaker_after = 1ms\n")
    engine.start()
    offsets = []
    for space in HONEST[:5]:  # each with one that is applied behind it
        offsets += engine.stack.produce([reaction("bad", space), reaction("good", space)])[:1]
        wait_until(lambda: len(engine.dead_letters()) == len(offsets) and engine.order(space), 60, "it is a dead letter")
    for _ in range(2):
        for space, offset in zip(HONEST, offsets):
            partition = events.partition_of(space.encode())
            assert engine.decide(offset, "redrive", space, partition=partition)[0] == "failed"
    assert not is_halted(engine)


def test_honest_events_do_not_wait_until_all_poison_was_tried(parking):
    """To try one takes long here. Spaces of which nothing was applied lately wait parked, untried, while the others flow."""
    slow = "INSERT INTO nap (done) SELECT pg_sleep(0.02)::text WHERE 'bad' IN (SELECT reaction FROM post_reacted);\n" + TALLY["apply.sql"]
    engine = parking("attempts = 2\n", tables_sql=NUMBERED + "CREATE TABLE nap (done text);\n", apply_sql=slow)
    process = engine.start()
    new = str(uuid.uuid4())
    with Honest(engine.stack) as honest:
        wait_until(lambda: len(engine.rows()) > RATE, 60, "it flows")
        send_poison(engine.stack, 0)
        engine.stack.produce([reaction("behind", space) for space in [*HONEST, new]])
        wait_until(lambda: engine.rows().count("behind") >= len(HONEST), 60, "honest events are applied")
        untried = engine.stack.value("SELECT count(*) FROM weir.parked_space WHERE attempts = 0")
        wait_until(lambda: len(engine.dead_letters()) == POISONED, 60, lambda: f"{len(engine.dead_letters())} dead letters")
    assert untried > POISONED / 4, f"only {untried} Spaces wait untried"
    wait_until(lambda: engine.order(new) == ["behind"], 60, "a new Space waited for moments")
    engine.wait_flowing()
    wait_until(lambda: len(engine.rows()) == honest.sent + len(HONEST) + 1, 60, "all the others are applied")
    assert not is_halted(engine) and process.answers("/readyz") == 200
