# SPDX-License-Identifier: Apache-2.0
"""That `weir audit` finds what may not be with parked events, dead letters, decisions and the outbox.

A processor leaves one of each behind: a Space that is held back with one event behind the one that failed, an open
dead letter, one that was discarded, one that was redriven. That is sound. Then one row after the other is damaged.
"""

import json

import applied
from harness import wait_until
from test_engine import reaction, reactions
from test_parking import parking  # noqa: F401 (a fixture)

RECORDS = "each record below the position is accounted for exactly once"
COUNTS = "each Space that is held back counts its parked events"
GOES_ON = "each Space that is held back is tried again, or somebody has to decide"
ORDER = "nothing of a Space that is held back is applied beyond the event that failed"
REDRIVEN = "each dead letter that is redriven again waits among the parked events"
DECIDED = "each dead letter that was decided about has its decision"
CARRIED_OUT = "each decision is carried out within five minutes"
PUBLISHED = "each record of the outbox is published within a minute"
LETTERS = "each dead letter is a record of its topic, or in the outbox"
LETTER_KNOWN = "each record about a dead letter is about one that is known"
DECISION_KNOWN = "each record of a decision is of one that is known"
TABLES = ("weir.parked", "weir.parked_space", "weir.dead_letter", "weir.decision", "weir.outbox", "tally_1.applied_run")

FOLLOWER = "(SELECT max(kafka_offset) FROM weir.parked)"
OPEN = "state = 'open'"
APPLY_FOLLOWER = (
    "INSERT INTO tally_1.applied_event (event_id, space_id, fingerprint, position_id, kafka_offset, kafka_timestamp) "
    f"SELECT event_id, space_id, 1, position_id, kafka_offset, kafka_timestamp FROM weir.parked WHERE kafka_offset = {FOLLOWER};"
)
FORGET_FOLLOWER = f"DELETE FROM weir.parked WHERE kafka_offset = {FOLLOWER};"

# what is done to the tables, {broken rule: what is said}
DAMAGE = {
    "a parked event is gone": (FORGET_FOLLOWER, {RECORDS: "1 lost", COUNTS: "1 row"}),
    "a count is wrong": ("UPDATE weir.parked_space SET events = events + 1", {COUNTS: "1 row"}),
    "a Space is forgotten": ("DELETE FROM weir.parked_space", {COUNTS: "1 row"}),
    "a Space is never tried again": ("UPDATE weir.parked_space SET next_attempt_at = NULL", {GOES_ON: "1 row"}),
    "a Space waits for a decision that was made": (
        "UPDATE weir.parked_space SET next_attempt_at = NULL, blocked_by = (SELECT min(kafka_offset) FROM weir.dead_letter "
        "WHERE state = 'discarded')",
        {GOES_ON: "1 row", ORDER: "rows break it"},
    ),
    "an event overtook the one that failed": (
        APPLY_FOLLOWER + FORGET_FOLLOWER + "UPDATE weir.parked_space SET events = events - 1", {ORDER: "1 row"},
    ),
    "a parked event is applied too": (APPLY_FOLLOWER, {RECORDS: "1 recorded twice", ORDER: "1 row"}),
    "a parked event is a dead letter too": (
        "INSERT INTO weir.dead_letter (position_id, kafka_offset, kafka_timestamp, code, message) "
        f"SELECT position_id, kafka_offset, kafka_timestamp, 'test', 'test' FROM weir.parked WHERE kafka_offset = {FOLLOWER}",
        {RECORDS: "1 recorded twice", LETTERS: "1 "},
    ),
    "a dead letter is gone": (f"DELETE FROM weir.dead_letter WHERE {OPEN}", {RECORDS: "1 lost", LETTER_KNOWN: "1 of 3"}),
    "a dead letter says redriving, but does not wait": (
        f"UPDATE weir.dead_letter SET state = 'redriving' WHERE {OPEN}",
        {RECORDS: "1 lost", REDRIVEN: "1 row", DECIDED: "1 row"},
    ),
    "a dead letter says redriven, but was not applied": (
        f"UPDATE weir.dead_letter SET state = 'redriven', applied_after = 1 WHERE {OPEN}",
        {RECORDS: "1 lost", DECIDED: "1 row"},
    ),
    "a redriven dead letter was not applied": (
        "DELETE FROM tally_1.applied_event a USING weir.dead_letter l WHERE l.state = 'redriven' "
        "AND (l.position_id, l.kafka_offset) = (a.position_id, a.kafka_offset)",
        {RECORDS: "1 lost"},
    ),
    "a decision is missing": ("DELETE FROM weir.decision WHERE verdict = 'discard'", {DECIDED: "1 row", DECISION_KNOWN: "1 of 3"}),
    "a decision is not carried out": (
        "INSERT INTO weir.decision (position_id, kafka_offset, verdict, decided_by, reason, decided_at) "
        f"SELECT position_id, kafka_offset, 'redrive', 'test', 'test', now() - interval '6 min' FROM weir.dead_letter WHERE {OPEN}",
        {CARRIED_OUT: "1 row"},
    ),
    "the outbox stands": (
        "INSERT INTO weir.outbox (topic, kafka_partition, created_at) VALUES ('weir.decisions.tally', 0, now() - interval '2 min')",
        {PUBLISHED: "1 row"},
    ),
    "a dead letter was never published": (
        "INSERT INTO weir.dead_letter (position_id, kafka_offset, kafka_timestamp, code, message) "
        "SELECT position_id, kafka_offset, kafka_timestamp, 'test', 'test' FROM tally_1.applied_event "
        "ORDER BY kafka_offset DESC LIMIT 1",
        {RECORDS: "1 recorded twice", LETTERS: "1 "},
    ),
}  # fmt: skip


def audit(engine):
    done = engine.stack.run("audit", "tally", "--home", engine.home, "-o", "json", check=False)
    assert done.returncode in (0, 3), done.stderr
    return {rule["rule"]: rule for rule in json.loads(done.stdout)["rules"]}


def sound(engine):
    rules = audit(engine)
    broken = {name: rule["message"] for name, rule in rules.items() if rule["state"] == "broken"}
    assert not broken, broken
    return rules


def test_each_damage_is_found(parking):  # noqa: F811
    engine = parking("attempts = 2\nbackoff = 1h\nbackoff_max = 1h\n")
    process = engine.start()
    stack = engine.stack
    discarded, _ = stack.produce([reaction("x")[:3] + (b"no avro", None) for _ in range(2)])
    redriven = stack.produce(reactions("bad"))[0]
    wait_until(lambda: engine.parked() == [redriven] and len(engine.dead_letters()) == 2, 60, "all are set aside")
    assert engine.decide(discarded, "discard")[0] == "discarded"
    assert engine.decide(redriven, "retry")[0] == "retried"
    wait_until(lambda: len(engine.dead_letters()) == 3, 60, "its attempts are used up")
    engine.allow()
    assert engine.decide(redriven, "redrive")[0] == "applied"
    stack.psql("ALTER TABLE tally_1.reaction ADD CONSTRAINT not_worse CHECK (reaction <> 'worse')")
    stack.produce(reactions("a", "b", "worse", "c"))
    wait_until(lambda: len(engine.parked()) == 2, 60, "one fails, and one waits behind it")
    engine.wait_rows("bad", "a", "b")
    shows = lambda: [
        process.metric(f"weir_processor_{name}", processor="tally")
        for name in ("parked_events", "parked_spaces", "dead_letters_open")
    ]
    wait_until(lambda: shows() == [2, 1, 1], 60, lambda: f"the metrics show it: {shows()}")
    assert 0 < process.metric("weir_processor_parked_oldest_seconds", processor="tally") < 120
    assert 0 < process.metric("weir_processor_dead_letter_oldest_seconds", processor="tally") < 120
    wait_until(lambda: stack.value("SELECT count(*) FROM weir.outbox") == 0, 60, "everything is published")
    assert process.term() == 0
    rules = sound(engine)
    assert "2 dead letters + 2 parked" in rules[RECORDS]["message"], rules[RECORDS]
    applied.make_writable(stack, "tally_1")
    for table in TABLES:
        stack.psql(f"CREATE TABLE public.{table.replace('.', '_')} AS TABLE {table}")
    for what, (damage, expected) in DAMAGE.items():
        stack.psql(damage)
        broken = {name: rule["message"] for name, rule in audit(engine).items() if rule["state"] == "broken"}
        assert set(broken) == set(expected), (what, broken)
        assert all(said in broken[rule] for rule, said in expected.items()), (what, broken)
        for table in TABLES:
            stack.psql(
                f"DELETE FROM {table}; "
                f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM public.{table.replace('.', '_')}"
            )
    sound(engine)

