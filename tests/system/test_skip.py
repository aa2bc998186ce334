# SPDX-License-Identifier: Apache-2.0
"""`weir processor skip`: past a record that halts the processor, before it is come to, and after the loss of the database.
And that a decision which cannot be carried out is in the way of no other."""

import json

import events
from harness import wait_until
from test_engine import ELSEWHERE, HERE, PARTITION, TALLY, TOPIC, newer_reaction, newer_version, reaction, reactions, record_version
from test_parking import parking  # noqa: F401 (a fixture)

REASON = ("--reason", "no way past, INC-115")
# An event can halt it: 42704, undefined_object, is about the SQL as a rule.
NAMES = TALLY["apply.sql"].replace("SELECT event_id, space_id, reaction,", "SELECT event_id, space_id, reaction::regtype,")
PLAIN = {"tables_sql": TALLY["tables.sql"]}  # without numbers, which a rebuild gives anew


def skip(engine, offset, *options, code=0):
    place = f"{TOPIC}/{PARTITION}/{offset}"
    done = engine.stack.run("processor", "skip", "tally", place, "--home", engine.home, *REASON, *options, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def sound(engine):
    options = ("tally", "--home", engine.home)
    engine.stack.run("audit", *options, "--wait", "60s")
    done = engine.stack.run("rebuild", *options, "--verify", "--no-swap", "-o", "json", check=False)
    assert done.returncode == 0 and json.loads(done.stdout)["verified"] == "equal", done.stdout + done.stderr
    engine.stack.run("rebuild", *options, "--abandon")


def test_past_a_record_that_halts(parking):
    engine = parking(apply_sql=NAMES, **PLAIN)
    process = engine.start()
    first, bad, last = engine.stack.produce(reactions("text", "nonsense", "uuid"))
    engine.stack.produce(reactions("date", space=ELSEWHERE))
    halt = engine.halt()
    assert (halt["code"], halt["topic"], halt["partition"], halt["offset"]) == ("42704", TOPIC, PARTITION, bad)
    engine.resume()
    process.wait_log("resumed")
    wait_until(lambda: engine.halt()["offset"] == bad, what="it halts again")
    listed = engine.stack.run("processor", "list", "--home", engine.home).stdout
    assert f"halted at {TOPIC}/{PARTITION}/{bad} since " in listed
    assert "skipped" in skip(engine, bad)
    wait_until(lambda: engine.position() == last + 1, what="it goes on without another command")
    engine.wait_rows("text", "uuid", "date")
    assert engine.dead_letters() == [(bad, "skipped", 1, "open")]
    process.wait_metric(0, "weir_processor_halted", processor="tally")
    sound(engine)


def test_before_it_is_come_to(parking):
    """Nobody runs the processor: the decision waits, and the record is set aside when it comes."""
    engine = parking(**PLAIN)
    process = engine.start()
    engine.stack.produce(reactions("a"))
    engine.drain()
    engine.stack.end(process)
    comment = TOPIC, PARTITION, HERE.encode(), events.make_record("PostCommented", events.Maker(1).body("PostCommented")[1]), None
    keyless = TOPIC, PARTITION, None, b"\0\0\0\3\xe7", None
    unwanted, other, nobodys, _ = engine.stack.produce([reaction("unwanted"), comment, keyless, reaction("b")])
    said = skip(engine, unwanted, "--wait", "1s", code=1)
    assert "no process runs tally" in said and "The decision stays" in said
    skip(engine, unwanted, "--wait", "1s", code=1)
    assert engine.stack.value("SELECT count(*) FROM weir.decision") == 1, "the same again is waited for"
    for offset in (other, nobodys):
        skip(engine, offset, "--wait", "1s", code=1)
    engine.start()
    engine.wait_rows("a", "b")
    # also an event that it does not consume, and a record without a Space
    letters = engine.dead_letters("kafka_offset, code, space_id::text")
    assert letters == [(unwanted, "skipped", HERE), (other, "skipped", HERE), (nobodys, "skipped", None)]
    assert engine.stack.psql("SELECT verdict, outcome FROM weir.decision") == [("skip", "skipped")] * 3
    sound(engine)
    # what was skipped can still be applied
    for offset in (unwanted, other):
        engine.stack.run("dead-letters", "redrive", f"community/{PARTITION}/{offset}", "--home", engine.home)
    engine.wait_rows("a", "unwanted", "b")
    sound(engine)


def test_after_the_loss_of_the_database(parking):
    """What was skipped comes back from the topics, and what nobody has decided about yet waits where it did."""
    engine = parking(**PLAIN)
    process = engine.start()
    version = newer_version()
    unknown = newer_reaction(version, "new")
    skipped, _, waiting, last = engine.stack.produce([unknown, reaction("a"), unknown, reaction("b")])
    skip(engine, skipped)
    engine.wait_rows("a")
    wait_until(lambda: engine.stack.value("SELECT count(*) FROM weir.outbox") == 0, what="all is published")
    engine.stack.end(process)
    engine.stack.new_database()
    engine.migrate()
    done = engine.stack.run("rebuild", "tally", "--home", engine.home)
    assert "the processor will wait there" in done.stderr
    engine.start(ready=False)
    stopped = lambda: engine.stack.psql("SELECT how, kafka_offset FROM weir.stopped")
    wait_until(stopped, what="it waits where it did")
    assert stopped() == [("waits", waiting)]
    rows = lambda: engine.stack.psql(f"SELECT reaction FROM {engine.stack.live('tally')}.reaction ORDER BY kafka_offset")
    assert rows() == [("a",)]
    skip(engine, waiting)
    engine.drain()
    assert rows() == [("a",), ("b",)] and engine.position() == last + 1
    letters = engine.dead_letters("kafka_offset, code, state")
    assert letters == [(skipped, "skipped", "open"), (waiting, "skipped", "open")]
    assert engine.stack.psql("SELECT verdict, outcome FROM weir.decision") == [("skip", "skipped")] * 2
    sound(engine)


def lose(engine):
    """Everything is published, and then there is a new database."""
    wait_until(lambda: engine.stack.value("SELECT count(*) FROM weir.outbox") == 0, what="all is published")
    engine.stack.end_all()
    engine.stack.new_database()
    engine.migrate()


def test_an_unknown_id_in_front_of_what_was_decided(parking):
    """The processor would not know of that when it came to it: the rebuild goes no way around the record, and says which."""
    engine = parking(**PLAIN)
    version = newer_version()
    record_version(engine.stack, version)
    newer, _ = engine.stack.produce([newer_reaction(version, "newer"), reaction("b")])
    process = engine.start()
    engine.drain()
    engine.stack.end(process)
    unwanted, _ = engine.stack.produce(reactions("unwanted", "c"))
    skip(engine, unwanted, "--wait", "1s", code=1)
    engine.start()
    engine.wait_rows("newer", "b", "c")
    lose(engine)
    rebuild = ("rebuild", "tally", "--home", engine.home)
    done = engine.stack.run(*rebuild, check=False)
    assert done.returncode == 1, done.stderr
    assert f"{TOPIC} [{PARTITION}] offset {newer}: schema id 900 " in done.stderr, done.stderr
    assert f"weir processor skip tally {TOPIC}/{PARTITION}/{newer} --reason" in done.stderr, done.stderr
    assert engine.stack.live("tally") == "tally_1"
    assert "The decision stays" in skip(engine, newer, "--wait", "1s", code=1)
    engine.stack.run(*rebuild)
    engine.start()
    decided = lambda: engine.stack.psql("SELECT kafka_offset, outcome FROM weir.decision ORDER BY 1")
    wait_until(lambda: decided() == [(newer, "skipped"), (unwanted, "skipped")], what="the decision is carried out")
    rows = engine.stack.psql(f"SELECT reaction FROM {engine.stack.live('tally')}.reaction ORDER BY kafka_offset")
    assert rows == [("b",), ("c",)]
    assert engine.dead_letters("kafka_offset, code") == [(newer, "skipped"), (unwanted, "skipped")]
    sound(engine)


def test_an_id_that_the_registry_does_not_have(parking):
    """Decided while a rebuild waits for it."""
    engine = parking(**PLAIN)
    engine.stack.start_gateway()
    registry = ("--schema-registry-url", engine.stack.admin_url)
    engine.stack.new_database()
    engine.stack.run("migrate", "--home", engine.home, *registry)
    unknown, _ = engine.stack.produce([newer_reaction(newer_version(), "newer"), reaction("a")])
    rebuild = engine.stack.start("rebuild", "rebuild", "tally", "--home", engine.home, *registry)
    wait_until(lambda: engine.stack.psql("SELECT 1 FROM weir.position WHERE generation = 1"), what=rebuild.text)
    skip(engine, unknown, "--wait", "1s", code=1)
    assert rebuild.wait(60) == 0, rebuild.text()
    assert engine.stack.psql(f"SELECT reaction FROM {engine.stack.live('tally')}.reaction") == [("a",)]
    assert engine.dead_letters("kafka_offset, code") == [(unknown, "skipped")]


def test_a_decision_that_fails_blocks_no_other(parking):
    engine = parking(**PLAIN)
    engine.start()
    broken, other = engine.stack.produce([reaction(text)[:3] + (b"no avro", None) for text in "ab"])
    engine.drain()
    engine.stack.psql(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION ''out of reach'' USING ERRCODE = ''22000''; END'"
    )
    engine.stack.psql(
        "CREATE TRIGGER refuse BEFORE UPDATE ON weir.dead_letter FOR EACH ROW "
        f"WHEN (old.kafka_offset = {broken}) EXECUTE FUNCTION public.refuse()"
    )
    try:
        failed = engine.stack.run(
            "dead-letters", "discard", f"community/{PARTITION}/{broken}", "--home", engine.home, *REASON, check=False
        )
        assert failed.returncode == 1 and "failed: 22000: out of reach" in failed.stdout, failed.stdout + failed.stderr
        done = engine.stack.run("dead-letters", "discard", f"community/{PARTITION}/{other}", "--home", engine.home, *REASON)
        assert "discarded" in done.stdout
    finally:
        engine.stack.psql("DROP FUNCTION public.refuse CASCADE")
    states = engine.dead_letters("kafka_offset, state")
    assert states == [(broken, "open"), (other, "discarded")]
    engine.stack.run("dead-letters", "discard", f"community/{PARTITION}/{broken}", "--home", engine.home, *REASON)
