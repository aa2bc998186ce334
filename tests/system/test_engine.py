# SPDX-License-Identifier: Apache-2.0
"""What the engine does with records that it cannot apply, logs that changed, and parts that are away.

Each test has empty topics and a database with one small processor, `tally`: one row per PostReacted.
"""

import json
import re
import shutil
import time
import uuid

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import NewPartitions

import events
from harness import PARTITIONS, make_home, wait_until

TOPIC = "weir.community"
TALLY = {
    "processor.conf": "version = 1\ndescription = One row per reaction\nconsumes = PostReacted\n",
    "tables.sql": """CREATE TABLE reaction (
    event_id uuid PRIMARY KEY,
    space_id uuid NOT NULL,
    reaction text NOT NULL CONSTRAINT not_bad CHECK (reaction <> 'bad'),
    kafka_offset bigint NOT NULL
);
""",
    "views.sql": "CREATE OR REPLACE VIEW tally.reaction AS SELECT event_id, reaction FROM reaction;\n",
    "apply.sql": """-- one row each

INSERT INTO reaction (event_id, space_id, reaction, kafka_offset)
SELECT event_id, space_id, reaction, kafka_offset
FROM post_reacted;
""",
    "checks.sql": "-- name: none is empty\nSELECT * FROM reaction WHERE reaction = '';\n",
}
SLOW = """CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
CREATE TRIGGER slow BEFORE INSERT ON tally_1.reaction EXECUTE FUNCTION public.slow()"""
SPACES = [str(uuid.uuid5(uuid.NAMESPACE_URL, f"engine {i}")) for i in range(40)]
HERE = SPACES[0]
PARTITION = events.partition_of(HERE.encode())
ELSEWHERE = next(space for space in SPACES if events.partition_of(space.encode()) != PARTITION)


def reaction(text, space=HERE, **options):
    """A record of PostReacted, for Stack.produce."""
    fields = {"post_id": uuid.uuid4(), "member_id": uuid.uuid4(), "reaction": text}
    value = events.make_record("PostReacted", fields, **options)
    return TOPIC, events.partition_of(space.encode()), space.encode(), value, None


def reactions(*texts, space=HERE):
    return [reaction(text, space) for text in texts]


class Engine:
    def __init__(self, stack, home):
        self.stack = stack
        self.home = home

    def migrate(self, check=True):
        return self.stack.run("migrate", "--home", self.home, check=check)

    def start(self, *options, ready=True):
        return self.stack.start_processors(
            "tally", options=("--home", self.home, "--session-timeout", "6s", *options), ready=ready
        )

    def rows(self):
        rows = self.stack.psql("SELECT reaction FROM tally_1.reaction ORDER BY space_id, kafka_offset")
        return [row[0] for row in rows]

    def wait_rows(self, *texts):
        wait_until(lambda: sorted(self.rows()) == sorted(texts), 60, lambda: f"{texts} are there, but not only {self.rows()}")

    def position(self):
        return self.stack.positions("tally").get((TOPIC, PARTITION))

    def halt(self):
        """The row that says why it stopped."""
        columns = "code, message, topic, kafka_partition, kafka_offset, event, event_id::text"
        rows = wait_until(
            lambda: self.stack.psql(f"SELECT {columns} FROM weir.halt WHERE processor = 'tally'"), 60, "it halts"
        )
        return dict(zip(("code", "message", "topic", "partition", "offset", "event", "event_id"), rows[0]))

    def drain(self):
        self.stack.wait_drained("tally")

    def resume(self):
        return self.stack.run("processor", "resume", "tally", "--home", self.home)

    def assert_halted(self, process, code, rows, position):
        """It stopped for that reason, stays up, says so, and wrote nothing more."""
        halt = self.halt()
        assert halt["code"] == code, halt
        process.wait_log("halted: ")
        # the row is there before it has told anybody else
        process.wait_metric(1, "weir_processor_halted", processor="tally")
        wait_until(lambda: process.answers("/readyz") == 503, 60, "it is not ready")
        assert process.is_alive() and process.answers("/livez") == 200
        assert sorted(self.rows()) == sorted(rows) and self.position() == position
        return halt


@pytest.fixture
def engine(stack, tmp_path):
    stack.end_all()
    stack.dirty = True
    stack.new_database()
    stack.new_topics()
    engine = Engine(stack, make_home(tmp_path / "home", {"tally": TALLY}))
    engine.migrate()
    yield engine
    stack.end_all()


def newer_version():
    """PostReacted with one more field, under an id that no build has."""
    definition = json.loads(json.dumps(events.NEWEST["PostReacted"].definition))
    definition["fields"].append({"name": "mood", "type": ["null", "string"], "default": None, "doc": "How it felt."})
    version = events.Version.__new__(events.Version)
    version.id, version.event, version.topic, version.version = 900, "PostReacted", TOPIC, 99
    version.definition, version.parsed = definition, events.fastavro.parse_schema(definition)
    return version


def record_version(stack, version, event="PostReacted"):
    stack.psql(
        "INSERT INTO weir.schema (schema_id, event, domain, version, fingerprint, definition) "
        "VALUES (%s, %s, 'community', %s, 'made by a test', %s)",
        version.id, event, version.version, json.dumps(version.definition),
    )  # fmt: skip


def newer_reaction(version, text):
    fields = {"post_id": uuid.uuid4(), "member_id": uuid.uuid4(), "reaction": text, "mood": "fine"}
    return TOPIC, PARTITION, HERE.encode(), events.make_record("PostReacted", fields, version=version), None


def test_unknown_schema_waits_until_it_is_recorded(engine):
    version = newer_version()
    process = engine.start()
    offsets = engine.stack.produce(reactions("before") + [newer_reaction(version, "newer")] + reactions("after"))
    process.wait_log(rf"weir.community \[{PARTITION}\] offset {offsets[1]}.*schema id 900")
    engine.stack.produce(reactions("elsewhere", space=ELSEWHERE))
    engine.wait_rows("before", "elsewhere")
    assert engine.position() == offsets[1]
    assert engine.stack.psql("SELECT 1 FROM weir.dead_letter UNION ALL SELECT 1 FROM weir.halt") == []
    record_version(engine.stack, version)
    engine.wait_rows("before", "newer", "after", "elsewhere")
    assert process.term() == 0


def test_unknown_schema_goes_on_after_a_restart(engine):
    version = newer_version()
    engine.stack.produce([newer_reaction(version, "newer")] + reactions("after"))
    process = engine.start(ready=False)
    process.wait_log("schema id 900")
    assert process.term() == 0
    assert engine.rows() == []
    record_version(engine.stack, version)
    engine.start()
    engine.wait_rows("newer", "after")


def test_unknown_event_type_is_passed_over_once_it_is_recorded(engine):
    version = newer_version()
    process = engine.start()
    engine.stack.produce([newer_reaction(version, "what is this")] + reactions("after"))
    process.wait_log("schema id 900")
    record_version(engine.stack, version, event="PostPondered")
    engine.wait_rows("after")
    engine.drain()


def damaged():
    """(what, key, value, code): records that nobody can apply."""
    key, good = HERE.encode(), reaction("x")[3]
    purchase, fields = events.NEWEST["ProductPurchased"], events.Maker(1).body("ProductPurchased")[1]
    yield "cut short", key, good[:-3], "avro-invalid"
    yield "with something behind it", key, good + b"\0", "avro-invalid"
    yield "not UTF-8", key, good[:-1] + b"\xff", "avro-invalid"
    yield "only a frame", key, good[:5], "avro-invalid"
    yield "another magic byte", key, b"\1" + good[1:], "frame-invalid"
    yield "less than a frame", key, good[:3], "frame-invalid"
    yield "nothing", key, b"", "frame-invalid"
    yield "a tombstone", key, None, "frame-invalid"
    yield "a key that is no UUID", b"somewhere", good, "key-invalid"
    yield "no key", None, good, "key-invalid"
    yield "another domain's event", key, events.make_record("ProductPurchased", fields, version=purchase), "topic-wrong"
    yield "garbage", key, bytes(range(256)), None
    yield "a huge length", key, good[:5] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" + good[6:], "avro-invalid"


def test_bytes_that_are_no_event_are_set_aside(engine):
    process = engine.start()
    records, expected = reactions("before"), {}
    for what, key, value, code in damaged():
        expected[len(records)] = what, key, value, code
        records.append((TOPIC, PARTITION, key, value, None))
        records += reactions(f"after {what}")
    offsets = engine.stack.produce(records)
    engine.wait_rows("before", *(f"after {what}" for what, *_ in expected.values()))
    engine.drain()
    rows = engine.stack.psql(
        "SELECT kafka_offset, code, message, key, value, topic, kafka_partition FROM weir.dead_letter "
        "JOIN weir.position USING (position_id) ORDER BY 1"
    )
    assert [row[0] for row in rows] == [offsets[i] for i in expected]
    for row, (what, key, value, code) in zip(rows, expected.values()):
        assert code in (row[1], None), (what, row[1:3])
        assert row[2] and row[3:] == (key, value, TOPIC, PARTITION), what
    process.wait_metric(len(expected), "weir_processor_events_total", outcome="dead_letter")
    assert process.is_ready()


def test_broken_sql_is_refused_by_migrate(engine):
    apply = engine.home / "sql" / "processors" / "tally" / "apply.sql"
    engine.stack.new_database()
    apply.write_text(TALLY["apply.sql"].replace("FROM post_reacted", "FROM post_reacted\nWHERE there_is_no_such_column"))
    done = engine.migrate(check=False)
    assert done.returncode == 2 and "there_is_no_such_column" in done.stderr, done.stderr
    assert re.search(r"sql/processors/tally/apply.sql: ?.*\b3\b", done.stderr), done.stderr
    apply.write_text("SELEKT 1;\n")
    done = engine.migrate(check=False)
    assert done.returncode == 2 and "sql/processors/tally/apply.sql" in done.stderr, done.stderr
    tables = engine.home / "sql" / "processors" / "tally" / "tables.sql"
    apply.write_text(TALLY["apply.sql"])
    tables.write_text("CREATE TABLE fine (a int);\nCREATE TABLE broken (a nonsense);\n")
    done = engine.migrate(check=False)
    assert done.returncode == 2 and "sql/processors/tally/tables.sql:2" in done.stderr, done.stderr
    tables.write_text("CREATE TABLE fine (a int);\nCREATE TABLE batch (a int);\n")
    done = engine.migrate(check=False)
    assert done.returncode == 2 and 'tables.sql: relation "batch" already exists' in done.stderr, done.stderr
    assert engine.stack.psql("SELECT to_regnamespace('tally_1')::text") == [(None,)], "it left something behind"


def test_broken_sql_halts_and_resume_goes_on(engine):
    """The tables were changed behind its back. It is said where it stands."""
    process = engine.start()
    engine.stack.produce(reactions("before"))
    engine.wait_rows("before")
    position = engine.position()
    engine.stack.psql("ALTER TABLE tally_1.reaction RENAME kafka_offset TO place")
    engine.stack.produce(reactions("later"))
    halt = engine.halt()
    assert halt["code"] == "42703" and re.search(r"sql/processors/tally/apply.sql.*\b3\b", halt["message"]), halt
    assert (halt["offset"], halt["event"]) == (position, "PostReacted")
    assert engine.position() == position
    assert process.term() == 0
    # the halt survives a restart, also when its cause is gone
    engine.stack.psql("ALTER TABLE tally_1.reaction RENAME place TO kafka_offset")
    process = engine.start(ready=False)
    engine.assert_halted(process, "42703", ["before"], position)
    assert "it had halted" in engine.resume().stdout
    engine.wait_rows("before", "later")
    assert engine.stack.psql("SELECT 1 FROM weir.halt") == []
    wait_until(process.is_ready, 60, "it is ready again")


def applied(engine, *texts):
    """A processor that has applied some reactions and is stopped again; its position."""
    process = engine.start()
    engine.stack.produce(reactions(*texts))
    engine.wait_rows(*texts)
    engine.drain()
    assert process.term() == 0
    return engine.position()


def test_topic_recreated(engine):
    position = applied(engine, "a", "b", "c")
    engine.stack.new_topics()
    engine.stack.produce(reactions("another", "log", "with", "more", "records"))
    process = engine.start(ready=False)
    halt = engine.assert_halted(process, "log-changed", ["a", "b", "c"], position)
    assert (halt["topic"], halt["partition"]) == (TOPIC, PARTITION)


def test_topic_recreated_and_shorter(engine):
    position = applied(engine, "a", "b", "c")
    engine.stack.new_topics()
    engine.stack.produce(reactions("one"))
    process = engine.start(ready=False)
    engine.assert_halted(process, "log-changed", ["a", "b", "c"], position)


def test_topic_recreated_while_it_runs(engine):
    process = engine.start()
    texts = [f"a{i}" for i in range(30)]
    engine.stack.produce(reactions(*texts))
    engine.wait_rows(*texts)
    position = engine.position()
    engine.stack.new_topics()
    engine.stack.produce(reactions("another", "log"))
    engine.assert_halted(process, "log-changed", texts, position)


def delete_records(stack, offset):
    place = TopicPartition(TOPIC, PARTITION, offset)
    admin = stack.admin()
    for future in admin.delete_records([place]).values():
        future.result(60)


def test_records_deleted_that_were_not_applied(engine):
    position = applied(engine, "a", "b", "c")
    engine.stack.produce(reactions("d", "e", "f"))
    delete_records(engine.stack, position + 2)
    process = engine.start(ready=False)
    engine.assert_halted(process, "log-changed", ["a", "b", "c"], position)


def test_records_deleted_that_were_applied(engine):
    position = applied(engine, "a", "b", "c")
    engine.stack.produce(reactions("d", "e", "f"))
    delete_records(engine.stack, position)
    process = engine.start()
    engine.wait_rows("a", "b", "c", "d", "e", "f")
    process.wait_log("cannot be checked")
    assert engine.stack.psql("SELECT 1 FROM weir.halt") == []


@pytest.mark.parametrize("running", [False, True])
def test_partitions_added(engine, running):
    position = applied(engine, "a")
    process = engine.start("--kafka", "topic.metadata.refresh.interval.ms=500") if running else None
    admin = engine.stack.admin()
    list(admin.create_partitions([NewPartitions(TOPIC, PARTITIONS + 1)]).values())[0].result(60)
    engine.stack.wait_led([TOPIC], PARTITIONS + 1)
    process = process or engine.start(ready=False)
    halt = engine.halt()
    engine.stack.produce(reactions("b"))
    engine.assert_halted(process, "partitions-changed", ["a"], position)
    assert f"{TOPIC} has 7 partitions" in halt["message"]


def test_positions_reach_the_end_over_transactions(engine):
    """A transaction leaves a control record in the log, an aborted one records that nobody is to see."""
    process = engine.start()
    producer = Producer({"bootstrap.servers": engine.stack.brokers, "transactional.id": "test"})
    producer.init_transactions(60)
    for text, end in (("kept", producer.commit_transaction), ("dropped", producer.abort_transaction)) * 2:
        producer.begin_transaction()
        topic, partition, key, value, _ = reaction(text)
        producer.produce(topic, value, key, partition)
        producer.flush(60)
        end(60)
    engine.wait_rows("kept", "kept")
    # the broker writes the mark of a transaction's end after it has said that it ended
    wait_until(lambda: engine.position() == 8, 60, lambda: f"the position is 8, not {engine.position()}")
    assert engine.stack.ends([TOPIC])[TOPIC, PARTITION] == 8
    engine.stack.produce(reactions("after"))
    engine.wait_rows("kept", "kept", "after")
    assert process.term() == 0
    producer.begin_transaction()
    topic, partition, key, value, _ = reaction("dropped")
    producer.produce(topic, value, key, partition)
    producer.flush(60)
    producer.abort_transaction(60)
    process = engine.start()
    wait_until(lambda: engine.position() == 11, 60, lambda: f"the position is 11, not {engine.position()}")
    assert process.is_ready()
    audit = engine.stack.run("audit", "tally", "--home", engine.home, check=False)
    assert audit.returncode == 0, audit.stdout + audit.stderr


def test_sigterm_finishes_the_batch(engine):
    count = 20000
    for start in range(0, count, 5000):
        engine.stack.produce([reaction(str(i), SPACES[i % len(SPACES)]) for i in range(start, start + 5000)])
    # a batch takes a second: the signal comes long before the end, however late this test is
    engine.stack.psql(SLOW)
    process = engine.start("--batch-max-rows", "1000", ready=False)
    wait_until(lambda: engine.stack.value("SELECT count(*) FROM tally_1.reaction") > 0, 60, "the first rows")
    began = time.monotonic()
    assert process.term() == 0
    seconds = time.monotonic() - began
    rows = engine.stack.value("SELECT count(*) FROM tally_1.reaction")
    assert rows == sum(engine.stack.positions("tally").values())
    assert 0 < rows < count, "it ends with the batches that were under way"
    engine.stack.psql("DROP TRIGGER slow ON tally_1.reaction")
    assert seconds < 15, f"it took {seconds:.1f} s to end"
    engine.start()
    engine.drain()
    assert engine.stack.value("SELECT count(*) FROM tally_1.reaction") == count


def test_postgres_away_at_the_start(engine):
    engine.stack.produce(reactions("a"))
    engine.stack.postgres("stop")
    try:
        process = engine.start(ready=False)
        process.wait_log("trying again")
        wait_until(lambda: process.answers("/livez") == 200, 60, "it lives")
        assert process.is_alive() and process.answers("/readyz") == 503
    finally:
        engine.stack.postgres("start")
    engine.wait_rows("a")
    process.wait_ready()


def test_kafka_away_at_the_start(engine):
    engine.stack.produce(reactions("a"))
    engine.stack.kafka("stop")
    try:
        process = engine.start(ready=False)
        wait_until(lambda: process.answers("/livez") == 200, 60, "it lives")
        assert process.answers("/readyz") == 503
    finally:
        engine.stack.kafka("start")
    engine.wait_rows("a")
    process.wait_ready()


def test_another_version_refuses(engine):
    position = applied(engine, "a")
    engine.stack.produce(reactions("b"))
    home = engine.home.parent / "newer"
    shutil.copytree(engine.home, home)
    (home / "sql" / "processors" / "tally" / "processor.conf").write_text(TALLY["processor.conf"].replace("= 1", "= 2"))
    engine.home = home
    process = engine.start(ready=False)
    assert process.wait(60) == 2
    assert "version 2" in process.text() and "version 1" in process.text(), process.text()
    done = engine.migrate()
    assert "NOT CHANGED" in done.stdout and "version 2" in done.stdout and "weir rebuild tally" in done.stdout, done.stdout
    assert engine.rows() == ["a"] and engine.position() == position


def test_not_migrated_is_said(engine):
    engine.stack.new_database()
    process = engine.start(ready=False)
    assert process.wait(60) == 2
    assert "weir migrate" in process.text()
