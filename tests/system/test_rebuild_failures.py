# SPDX-License-Identifier: Apache-2.0
"""A rebuild folds each event where the live run did: what is parked or a dead letter is left out, what was redriven comes
behind the offset that it came after, and what people decided moves along with the swap.

The processor `tally` keeps one row per reaction and, for each Space, a chain of all reactions in the order in which they
were applied. Which reactions are forbidden a view of the test's own says, outside of both generations.
"""

import json
import signal

import psycopg
import pytest

from harness import make_home, wait_until
from test_engine import ELSEWHERE, HERE, PARTITION, TALLY, TOPIC, Engine, reaction, reactions

AHEAD = 130000  # records; librdkafka fetches 100,000 ahead
ONCE = "attempts = 1\n"
PATIENT = "attempts = 1000\nbackoff = 200ms\nbackoff_max = 300ms\n"
CHAINED = TALLY | {
    "tables.sql": """CREATE TABLE reaction (
    event_id uuid PRIMARY KEY,
    space_id uuid NOT NULL,
    reaction text NOT NULL,
    kafka_offset bigint NOT NULL
);
CREATE TABLE chain (space_id uuid PRIMARY KEY, links text NOT NULL CHECK (NOT public.is_forbidden(links)));
""",
    "apply.sql": TALLY["apply.sql"] + """
INSERT INTO chain AS c (space_id, links)
SELECT space_id, string_agg(reaction, ' ' ORDER BY seq) FROM post_reacted GROUP BY space_id
ON CONFLICT (space_id) DO UPDATE SET links = c.links || ' ' || excluded.links;
""",
    "views.sql": TALLY["views.sql"] + "CREATE OR REPLACE VIEW tally.chain AS SELECT space_id, links FROM chain;\n",
}


class Chained(Engine):
    def prepare(self):
        self.stack.psql("CREATE TABLE public.forbidden (word text PRIMARY KEY)")
        self.stack.psql("CREATE FUNCTION public.is_forbidden(links text) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS "
                        "'SELECT EXISTS (SELECT FROM public.forbidden WHERE word = ANY (string_to_array(links, '' '')))'")

    def forbid(self, *words):
        self.stack.psql("DELETE FROM public.forbidden")
        for word in words:
            self.stack.psql("INSERT INTO public.forbidden VALUES (%s)", word)

    def chain(self, space=HERE):
        rows = self.stack.psql("SELECT links FROM tally.chain WHERE space_id = %s", space)
        return rows[0][0].split() if rows else []

    def letters(self):
        return self.stack.psql("SELECT kafka_offset, state FROM weir.dead_letter JOIN weir.position USING (position_id) "
                               "JOIN weir.processor USING (processor, generation) ORDER BY 1")

    def parked(self):
        rows = self.stack.psql("SELECT kafka_offset FROM weir.parked JOIN weir.position USING (position_id) "
                               "JOIN weir.processor USING (processor, generation) ORDER BY 1")
        return [row[0] for row in rows]

    def decide(self, offset, verdict, space=HERE):
        decision = self.stack.value(
            "INSERT INTO weir.decision (position_id, kafka_offset, space_id, verdict, decided_by, reason) "
            "SELECT position_id, %s, %s, %s, 'test', 'because' FROM weir.position "
            "JOIN weir.processor USING (processor, generation) "
            "WHERE processor = 'tally' AND topic = %s AND kafka_partition = %s RETURNING decision_id",
            offset, space, verdict, TOPIC, PARTITION)  # fmt: skip
        outcome = "SELECT outcome FROM weir.decision WHERE decision_id = %s AND outcome IS NOT NULL"
        return wait_until(lambda: self.stack.psql(outcome, decision), 60, "the decision is carried out")[0][0]

    def rebuild(self, *options, code=0):
        done = self.stack.run("rebuild", "tally", "--home", self.home, "-o", "json", *options, check=False)
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture
def engine(stack, tmp_path):
    stack.end_all()
    stack.dirty = True
    stack.new_database()
    stack.new_topics()

    def make(policy, **files):
        files = {name.replace("_sql", ".sql"): text for name, text in files.items()}
        conf = {"processor.conf": CHAINED["processor.conf"] + policy}
        home = make_home(tmp_path / "home", {"tally": CHAINED | conf | files})
        engine = Chained(stack, home)
        engine.prepare()
        engine.migrate()
        return engine

    yield make
    stack.end_all()


def test_decisions_are_folded_where_they_were(engine):
    engine = engine(ONCE)
    process = engine.start()
    engine.forbid("bad", "worse", "worst")
    offsets = engine.stack.produce(reactions("a", "bad", "b", "worse", "c", "worst", "d") + reactions("far", space=ELSEWHERE))
    wait_until(lambda: len(engine.letters()) == 3, 60, "three dead letters")
    wait_until(lambda: engine.chain() == list("abcd"), 60, lambda: str(engine.chain()))
    engine.forbid("worst")
    assert engine.decide(offsets[1], "redrive") == "applied"
    engine.stack.produce(reactions("e"))
    wait_until(lambda: engine.chain() == ["a", "b", "c", "d", "bad", "e"], 60, lambda: str(engine.chain()))
    assert engine.decide(offsets[3], "discard") == "discarded"
    engine.drain()
    report = engine.rebuild("--verify")
    assert report["verified"] == "equal" and report["swapped"] and report["left_out"] == 3
    assert engine.chain() == ["a", "b", "c", "d", "bad", "e"]
    assert engine.letters() == [(offsets[1], "redriven"), (offsets[3], "discarded"), (offsets[5], "open")]
    # the new generation carries decisions out, and the old one learns of them when it comes back
    engine.forbid()
    engine.stack.produce(reactions("f"))
    wait_until(lambda: engine.chain()[-1:] == ["f"], 60, lambda: str(engine.chain()))
    assert engine.decide(offsets[5], "redrive") == "applied"
    engine.stack.produce(reactions("g"))
    expected = ["a", "b", "c", "d", "bad", "e", "f", "worst", "g"]
    wait_until(lambda: engine.chain() == expected, 60, lambda: str(engine.chain()))
    engine.drain()
    report = engine.rebuild("--rollback", "--verify")
    assert report["verified"] == "equal" and engine.chain() == expected
    assert engine.rebuild("--verify")["verified"] == "equal" and engine.chain() == expected
    assert engine.letters() == [(offsets[1], "redriven"), (offsets[3], "discarded"), (offsets[5], "redriven")]
    assert process.is_alive()


def test_redrives_are_folded_in_the_order_they_were_carried_out(engine):
    """With no record between them they stand behind one offset, and the later event was redriven first."""
    engine = engine(ONCE)
    engine.start()
    engine.forbid("bad", "worse", "worst")
    offsets = engine.stack.produce(reactions("a", "bad", "worse", "worst", "b"))
    wait_until(lambda: len(engine.letters()) == 3, 60, "three dead letters")
    wait_until(lambda: engine.chain() == ["a", "b"], 60, lambda: str(engine.chain()))
    engine.forbid()
    for offset in (offsets[2], offsets[3], offsets[1]):
        assert engine.decide(offset, "redrive") == "applied"
    expected = ["a", "b", "worse", "worst", "bad"]
    wait_until(lambda: engine.chain() == expected, 60, lambda: str(engine.chain()))
    report = engine.rebuild("--verify")
    assert report["verified"] == "equal" and report["swapped"] and engine.chain() == expected


def test_the_previous_generation_learns_of_decisions(engine):
    """It follows by itself, with what is redriven and drained meanwhile, in the order of the live one."""
    engine = engine(ONCE + "duplicate_window = 1s\n")
    process = engine.start()
    engine.forbid("bad", "worse")
    offsets = engine.stack.produce(reactions("a", "bad", "b", "worse", "c"))
    wait_until(lambda: len(engine.letters()) == 2, 60, "two dead letters")
    engine.drain()
    assert engine.rebuild("--verify")["swapped"]
    engine.stack.produce(reactions("d"))
    previous = lambda: engine.stack.psql("SELECT links FROM tally_1.chain WHERE space_id = %s", HERE)
    wait_until(lambda: previous() == [("a b c d",)], 60, lambda: str(previous()))
    engine.forbid()
    for offset in (offsets[3], offsets[1]):
        assert engine.decide(offset, "redrive") == "applied"
    expected = ["a", "b", "c", "d", "worse", "bad"]
    wait_until(lambda: previous() == [(" ".join(expected),)], 60, lambda: str(previous()))
    left = "SELECT count(*) FROM weir.left_out JOIN weir.position USING (position_id) WHERE generation = 1"
    wait_until(lambda: engine.stack.value(left) == 0, 60, "it need not be looked for any more")
    # a process begins with forgetting what has left the window, of both; of the previous one when it has folded all there is
    engine.stack.produce(reactions("e"))  # by now, all before it has
    wait_until(lambda: engine.chain()[-1:] == ["e"], 60, lambda: str(engine.chain()))
    assert process.term() == 0
    process = engine.start()
    expected += ["e"]
    kept = "SELECT count(*) FROM tally_1.applied_event WHERE kafka_offset = %s UNION ALL SELECT count(*) FROM tally_2.applied_event WHERE kafka_offset = %s"

    def forgotten():
        expected.append("f")
        engine.stack.produce(reactions("f"))
        wait_until(lambda: engine.chain() == expected, 60, lambda: str(engine.chain()))
        return engine.stack.psql(kept, offsets[0], offsets[0]) == [(0,), (0,)]

    wait_until(forgotten, 60, lambda: str(engine.stack.psql(kept, offsets[0], offsets[0])))
    report = engine.rebuild("--rollback", "--verify")
    assert report["verified"] == "equal" and report["swapped"] and engine.chain() == expected
    assert process.is_alive()


def test_what_is_parked_moves_along(engine):
    engine = engine(PATIENT)
    process = engine.start()
    engine.forbid("bad")
    offsets = engine.stack.produce(reactions("a", "bad", "b", "c") + reactions("far", space=ELSEWHERE))
    wait_until(lambda: len(engine.parked()) == 3, 60, "what fails is parked, with what follows")
    report = engine.rebuild("--verify", "--no-swap")
    assert report["verified"] == "equal" and report["left_out"] == 3
    # what drains while a rebuild is under way is applied there too, in its order
    engine.forbid("worse")
    wait_until(lambda: engine.chain() == ["a", "bad", "b", "c"], 60, lambda: str(engine.chain()))
    more = engine.stack.produce(reactions("d", "worse", "e"))
    wait_until(lambda: len(engine.parked()) == 2, 60, "the next one is parked")
    report = engine.rebuild("--verify")
    assert report["verified"] == "equal" and report["swapped"] and report["resumed"]
    assert engine.parked() == more[1:] and offsets[0] < more[1]
    assert engine.stack.value("SELECT max(generation) FROM weir.position JOIN weir.parked USING (position_id)") == 2
    engine.forbid()
    wait_until(lambda: engine.chain() == ["a", "bad", "b", "c", "d", "worse", "e"], 60, lambda: str(engine.chain()))
    assert engine.rebuild("--rollback", "--verify")["verified"] == "equal"
    assert engine.chain() == ["a", "bad", "b", "c", "d", "worse", "e"] and process.is_alive()


def test_an_event_that_fails_only_in_the_rebuild_is_named(engine):
    engine = engine(PATIENT)
    engine.start()
    [message] = [reaction("bad")]
    [offset] = engine.stack.produce([message])
    wait_until(lambda: engine.chain() == ["bad"], 60, "it is applied")
    engine.forbid("bad")
    said = engine.rebuild(code=1)
    assert f"{TOPIC} [{PARTITION}] offset {offset}" in said and "PostReacted" in said
    engine.forbid()
    assert engine.rebuild("--verify")["verified"] == "equal"


def test_all_comes_back_from_kafka_alone(engine):
    """Postgres is lost altogether: dead letters and decisions are on topics of their own."""
    engine = engine(ONCE)
    process = engine.start()
    engine.forbid("bad", "worse", "worst")
    offsets = engine.stack.produce(reactions("a", "bad", "b", "worse", "c", "worst", "d"))
    wait_until(lambda: len(engine.letters()) == 3, 60, "three dead letters")
    engine.forbid("worse", "worst")
    assert engine.decide(offsets[1], "redrive") == "applied"
    assert engine.decide(offsets[3], "discard") == "discarded"
    engine.stack.produce(reactions("e", "f"))
    expected = ["a", "b", "c", "d", "bad", "e", "f"]
    wait_until(lambda: engine.chain() == expected, 60, lambda: str(engine.chain()))
    wait_until(lambda: engine.stack.value("SELECT count(*) FROM weir.outbox") == 0, 60, "the outbox is empty")
    letters = "SELECT kafka_offset, state, code, message, attempts, applied_after, key, value, event_id FROM weir.dead_letter ORDER BY 1"
    decisions = "SELECT decision_id, kafka_offset, verdict, decided_by, reason, outcome, applied_after FROM weir.decision ORDER BY 1"
    lost = engine.stack.psql(letters), engine.stack.psql(decisions)
    assert process.term() == 0
    forbidden = engine.stack.psql("SELECT word FROM public.forbidden")
    engine.stack.new_database()
    engine.prepare()
    engine.forbid(*(word for word, in forbidden))
    engine.migrate()
    report = engine.rebuild()
    assert report["swapped"] and report["restored"] >= 3 and engine.chain() == expected
    assert (engine.stack.psql(letters), engine.stack.psql(decisions)) == lost
    engine.start()
    engine.forbid("worse")
    assert engine.decide(offsets[5], "redrive") == "applied"
    wait_until(lambda: engine.chain() == [*expected, "worst"], 60, lambda: str(engine.chain()))


def test_a_copy_that_was_drained_is_left_out_once(engine):
    """It was parked, and turned out to be a duplicate when its turn came: each run that goes on knows that of the one before."""
    engine = engine(PATIENT)
    process = engine.start()
    engine.forbid("bad")
    twice = reaction("a")
    offsets = engine.stack.produce([twice, reaction("bad"), twice])
    wait_until(lambda: engine.parked() == offsets[1:], 60, lambda: str(engine.parked()))
    assert engine.rebuild("--no-swap")["left_out"] == 2
    engine.forbid()
    wait_until(lambda: engine.parked() == [], 60, "they are drained")
    assert engine.chain() == ["a", "bad"]
    for _ in range(2):
        assert engine.rebuild("--verify", "--no-swap")["verified"] == "equal"
    assert process.term() == 0


def test_kafka_goes_away_while_dead_letters_are_read(engine):
    """There are more records than are fetched ahead; the first one waits for a lock until Kafka is away. Ctrl-C ends it."""
    engine = engine(ONCE)
    process = engine.start()
    engine.forbid("bad")
    engine.stack.produce(reactions("bad"))
    empty = lambda: engine.stack.value("SELECT count(*) FROM weir.outbox") == 0
    wait_until(lambda: len(engine.letters()) == 1 and empty(), 60, "the dead letter is published")
    assert process.term() == 0
    place = next(place for place, records in engine.stack.records(["weir.dlt.tally"]).items() if records)
    engine.stack.produce([(*place, b"nobody's", b"", None)] * AHEAD)
    engine.stack.new_database()
    engine.prepare()
    engine.migrate()
    with psycopg.connect(engine.stack.database) as holder:
        holder.execute("LOCK TABLE weir.dead_letter IN ACCESS EXCLUSIVE MODE")
        rebuild = engine.stack.start("rebuild", "rebuild", "tally", "--home", engine.home)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%restore_dead_letter%'"
        wait_until(lambda: engine.stack.value(waits) == 1, 60, "it waits")
        engine.stack.kafka("stop")
    try:
        idle = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle' AND query LIKE '%restore_dead_letter%'"
        wait_until(lambda: engine.stack.value(idle) == 1, 60, "it goes on reading")
        assert rebuild.is_alive()
        rebuild.send(signal.SIGINT)
        assert rebuild.wait() == 1 and "stopped while Kafka was read" in rebuild.text(), rebuild.text()
    finally:
        engine.stack.kafka("start")
    engine.stack.processes.remove(rebuild)
    engine.stack.ends(["weir.dlt.tally"])  # which a broker that has just come back does not know at once
    assert engine.rebuild()["restored"] == 1


def test_the_database_is_lost_while_processors_run(engine):
    """They come back before it is rebuilt, and fold nothing until it is: what people decided would be reversed."""
    engine = engine(ONCE)
    process = engine.start()
    engine.forbid("bad", "worse")
    offsets = engine.stack.produce(reactions("a", "bad", "b", "worse", "c"))
    wait_until(lambda: len(engine.letters()) == 2, 60, "two dead letters")
    engine.forbid()
    assert engine.decide(offsets[1], "redrive") == "applied"
    assert engine.decide(offsets[3], "discard") == "discarded"
    expected = ["a", "b", "c", "bad"]
    wait_until(lambda: engine.chain() == expected, 60, lambda: str(engine.chain()))
    wait_until(lambda: engine.stack.value("SELECT count(*) FROM weir.outbox") == 0, 60, "the outbox is empty")
    engine.stack.new_database()
    engine.stack.psql("CREATE TABLE public.forbidden (word text PRIMARY KEY)")
    engine.stack.psql("CREATE FUNCTION public.is_forbidden(links text) RETURNS boolean LANGUAGE sql AS 'SELECT false'")
    engine.migrate()
    assert engine.halt()["code"] == "rebuild-needed"
    process.wait_log("`weir rebuild tally` reads it")
    assert engine.chain() == []
    done = engine.stack.run("audit", "tally", "--home", engine.home, check=False)
    assert done.returncode == 3 and "2 of 2 records of weir.dlt.tally are unknown here" in done.stdout, done.stdout
    assert "2 of 2 records of weir.decisions.tally are unknown here" in done.stdout, done.stdout
    # resuming it does not make it fold
    engine.resume()
    wait_until(lambda: engine.stack.psql("SELECT code FROM weir.halt"), 60, "it halts again")
    assert engine.chain() == []
    engine.stack.run("rebuild", "--all", "--home", engine.home)
    assert engine.chain() == expected
    assert engine.letters() == [(offsets[1], "redriven"), (offsets[3], "discarded")]
    engine.stack.produce(reactions("d"))
    wait_until(lambda: engine.chain() == [*expected, "d"], 60, lambda: f"{engine.chain()} {process.text()[-2000:]}")
    wait_until(process.is_ready, 60, "it is ready")
    done = engine.stack.run("audit", "tally", "--home", engine.home, "--wait", "30s", check=False)
    assert done.returncode == 0, done.stdout


def test_the_database_is_an_older_copy(engine):
    """It does not know what was set aside and decided after the backup: nothing is folded on from its positions."""
    engine = engine(ONCE)
    stack = engine.stack
    postgres = stack.database.replace("dbname=weir", "dbname=postgres")
    process = engine.start()
    engine.forbid("bad", "worse")
    offsets = stack.produce(reactions("a", "bad", "worse", "b"))
    wait_until(lambda: len(engine.letters()) == 2, 60, "two dead letters")
    assert engine.decide(offsets[1], "discard") == "discarded"
    assert process.term() == 0
    conf = engine.home / "sql" / "processors" / "tally" / "processor.conf"
    conf.write_text(conf.read_text().replace(ONCE, PATIENT))
    process = engine.start()
    engine.forbid("odd", "worst")
    offsets += stack.produce(reactions("odd", "after"))
    wait_until(lambda: engine.parked() == offsets[4:6], 60, "they are parked")
    published = lambda: stack.value("SELECT count(*) FROM weir.outbox") == 0
    wait_until(published, 60, "the outbox is empty")
    assert process.term() == 0
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS weir_backup")
        admin.execute("CREATE DATABASE weir_backup TEMPLATE weir")
    # What the backup does not know: a redrive, that the parked ones are drained, and a dead letter.
    process = engine.start()
    assert engine.decide(offsets[2], "redrive") == "applied"
    engine.forbid("worst")
    wait_until(lambda: engine.parked() == [], 60, "they are drained")
    offsets += stack.produce(reactions("worst", "c"))
    wait_until(lambda: engine.parked() == offsets[6:], 60, "they are parked")
    assert engine.decide(offsets[6], "discard") == "discarded"
    expected = ["a", "b", "worse", "odd", "after", "c"]
    wait_until(lambda: engine.chain() == expected, 60, lambda: str(engine.chain()))
    letters = engine.letters()
    wait_until(published, 60, "the outbox is empty")
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute("DROP DATABASE weir WITH (FORCE)")
        admin.execute("CREATE DATABASE weir TEMPLATE weir_backup OWNER weir_owner")
        admin.execute("DROP DATABASE weir_backup")
    engine.forbid()
    state = lambda: (engine.chain(), engine.letters(), engine.parked())
    known = ["a", "b"], [(offsets[1], "discarded"), (offsets[2], "open")], offsets[4:6]
    halt = engine.halt()
    assert halt["code"] == "rebuild-needed" and f"{TOPIC}/{PARTITION}/{offsets[6]}, which this database does not know" in halt["message"], halt
    engine.resume()
    wait_until(lambda: stack.psql("SELECT code FROM weir.halt"), 60, "it halts again")
    assert state() == known
    report = engine.rebuild("--verify")
    assert report["swapped"] and report["restored"] == 3, report
    assert state() == (expected, letters, [])
    stack.produce(reactions("d"))
    expected += ["d"]
    wait_until(lambda: engine.chain() == expected, 60, lambda: f"{engine.chain()} {process.text()[-2000:]}")
    done = stack.run("audit", "tally", "--home", engine.home, "--wait", "30s", check=False)
    assert done.returncode == 0, done.stdout
    # The older copy's tables lead to the same, and nothing halts there any more.
    assert engine.rebuild("--rollback", "--verify")["verified"] == "equal" and engine.chain() == expected
    stack.produce(reactions("e"))
    wait_until(lambda: engine.chain() == [*expected, "e"], 60, lambda: f"{engine.chain()} {process.text()[-2000:]}")


def test_an_event_that_fails_first_after_the_loss_is_published(engine):
    """The rebuild is the first to set it aside: the topic hears of it once, when the tables are live, and the next loss knows."""
    engine = engine(ONCE)
    process = engine.start()
    engine.forbid("bad")
    offsets = engine.stack.produce(reactions("a", "bad", "b", "late", "c"))
    wait_until(lambda: engine.chain() == ["a", "b", "late", "c"], 60, lambda: str(engine.chain()))
    empty = lambda: engine.stack.value("SELECT count(*) FROM weir.outbox") == 0
    wait_until(lambda: len(engine.letters()) == 1 and empty(), 60, "the dead letter is published")
    assert process.term() == 0
    for number, restored in enumerate((1, 2)):
        engine.stack.new_database()
        engine.prepare()
        engine.forbid("bad", *(["late"] if number == 0 else []))
        engine.migrate()
        assert engine.rebuild("--no-swap")["restored"] == restored
        assert empty(), "a generation that is not live publishes nothing"
        assert engine.rebuild()["swapped"] and engine.chain() == ["a", "b", "c"]
        assert engine.letters() == [(offsets[1], "open"), (offsets[3], "open")]
        process = engine.start()
        wait_until(empty, 60, "the outbox is empty")
        [records] = engine.stack.records(["weir.dlt.tally"]).values()
        published = [int(dict(record.headers())["weir_offset"]) for record in records]
        assert published == [offsets[1], offsets[3]]
        assert process.term() == 0
    assert engine.stack.value("SELECT count(*) FROM weir.dead_letter WHERE NOT published") == 0


def test_what_was_parked_is_parked_again(engine):
    """What was parked when the database was lost is on no topic: it is met again."""
    engine = engine(PATIENT)
    process = engine.start()
    engine.forbid("bad")
    offsets = engine.stack.produce(reactions("a", "bad", "b"))
    wait_until(lambda: len(engine.parked()) == 2, 60, "what fails is parked, with what follows")
    assert process.term() == 0
    engine.stack.new_database()
    engine.prepare()
    engine.forbid("bad")
    engine.migrate()
    assert engine.rebuild()["swapped"]
    assert engine.chain() == ["a"] and engine.parked() == offsets[1:]
    engine.start()
    engine.forbid()
    wait_until(lambda: engine.chain() == ["a", "bad", "b"], 60, lambda: str(engine.chain()))


def test_what_was_screened_is_parked_with_its_reason(engine):
    """As the engine parks it."""
    engine = engine(PATIENT, screen_sql="SELECT seq, 'rude: ' || reaction FROM post_reacted WHERE reaction LIKE 'rude%'\n")
    process = engine.start()
    engine.stack.produce(reactions("a", "rude", "b"))
    parked = "SELECT code, message FROM weir.parked_space"
    wait_until(lambda: engine.stack.psql(parked), 60, "it is parked")
    live = engine.stack.psql(parked)
    assert process.term() == 0
    engine.stack.new_database()
    engine.prepare()
    engine.migrate()
    assert engine.rebuild()["swapped"]
    assert engine.stack.psql(parked) == live == [("screened", "rude: rude")]


def test_an_operator_cancels_a_batch_of_a_rebuild(engine):
    """Which says nothing about its event, though it is the only one."""
    engine = engine(ONCE)
    engine.start()
    engine.stack.produce(reactions("a"))
    engine.drain()
    engine.rebuild("--no-swap")  # its tables have indexes now, so that the next event is a call
    engine.stack.produce(reactions("b"))
    engine.drain()
    waiting = ("SELECT pid, query_start FROM pg_stat_activity WHERE application_name LIKE 'weir rebuild tally _' "
               "AND wait_event_type = 'Lock'")
    with engine.stack.transaction() as holder:
        holder.execute("SELECT FROM tally_2.chain WHERE space_id = %s FOR UPDATE", [HERE])
        process = engine.stack.start("rebuild", "rebuild", "tally", "--home", engine.home)
        pid, started = wait_until(lambda: engine.stack.psql(waiting), 60, "it waits for the lock")[0]
        holder.execute("SELECT pg_cancel_backend(%s)", [pid])
        again = lambda: not process.is_alive() or [row for row in engine.stack.psql(waiting) if row[1] != started]
        wait_until(again, 60, "the statement is over")
    assert process.wait() == 0, process.text()
    assert engine.chain() == ["a", "b"]
