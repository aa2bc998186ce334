# SPDX-License-Identifier: Apache-2.0
"""The outbox: every committed row is published, byte for byte and in order, and nothing else is; whatever is killed,
away, missing or refused.

A lock on the table lets the relay read and publish but not delete, which is how a test stops it between the two.
"""

import contextlib
import random
import re
import threading
import time

import psycopg
import pytest
import requests
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from harness import PARTITIONS, REPORTS, wait_until

TOPIC, OTHER = "weir.dlt.ledger", "weir.decisions.ledger"
SEED = 20261122

INSERT = (
    "INSERT INTO weir.outbox (topic, kafka_partition, key, value, headers) "
    "SELECT %s, %s, %s, %s, coalesce(array_agg(ROW (h.name, h.value)::weir.header ORDER BY h.number), '{}') "
    "FROM unnest(%s::text[], %s::bytea[]) WITH ORDINALITY AS h (name, value, number)"
)

KNOWN = """
WITH p AS (INSERT INTO weir.position (processor, generation, topic, kafka_partition) VALUES ('ledger', 1, 'weir.commerce', 0)
           ON CONFLICT DO NOTHING RETURNING position_id)
INSERT INTO weir.decision (position_id, kafka_offset, verdict, decided_by, reason, taken_at, outcome)
SELECT position_id, 0, 'retry', 'test', 'a past', now(), 'refused' FROM p
"""


class Outbox:
    def __init__(self, stack):
        self.stack = stack
        self.numbers = iter(range(10**9))
        self.locking = None

    def add(self, topic=TOPIC, partition=0, key=None, value=None, headers=(), connection=None):
        """One row, in a transaction of its own unless a connection is given; returns its number."""
        number = next(self.numbers)
        headers = [*headers, ("number", str(number).encode())]
        with contextlib.nullcontext(connection) if connection else psycopg.connect(self.stack.database) as used:
            used.execute(INSERT, (topic, partition, key, value, [h[0] for h in headers], [h[1] for h in headers]))
        return number

    def count(self, topic=None):
        return self.stack.value("SELECT count(*) FROM weir.outbox WHERE %s::text IS NULL OR topic = %s", topic, topic)

    def wait_empty(self, deadline=60.0):
        wait_until(lambda: self.count() == 0, deadline, lambda: f"the outbox is empty; {self.count()} rows are there")

    def published(self, *topics):
        """{(topic, partition): numbers of its records in order}"""
        records = self.stack.records(topics or (TOPIC, OTHER))
        return {place: [number_of(message) for message in messages] for place, messages in records.items()}

    def numbers_of(self, *topics):
        return sorted(number for numbers in self.published(*topics).values() for number in numbers)

    def deletes_nothing(self):
        """Keeps every relay from deleting, and writers out."""
        self.locking = psycopg.connect(self.stack.database)
        self.locking.execute("LOCK TABLE weir.outbox IN SHARE MODE")

    def deletes_again(self):
        if self.locking:
            self.locking.close()
        self.locking = None

    def wait_stuck(self):
        """Until a relay waits to delete what it has published."""
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE FROM weir.outbox%'"
        wait_until(lambda: self.stack.value(blocked), 60, "a relay waits to delete")


def number_of(message):
    return int(dict(message.headers())["number"])


def is_failing(process):
    return "[-]outbox" in requests.get(process.url + "/readyz", timeout=30).text


def is_too_large(stack, size):
    """Whether the broker refuses a record of that size for a partition that no test looks at."""
    try:
        stack.produce([(TOPIC, 5, None, bytes(size), [("number", b"-1")])])
    except AssertionError as failure:
        return "MSG_SIZE_TOO_LARGE" in str(failure)
    return False


@contextlib.contextmanager
def frozen(process):
    process.freeze()
    try:
        yield
    finally:
        process.thaw()


@pytest.fixture
def outbox(fresh):
    fresh.psql("DELETE FROM weir.outbox")
    fresh.new_topics()
    # what is published here the processor knows nothing of; a database that is new would have to be rebuilt
    fresh.psql(KNOWN)
    outbox = Outbox(fresh)
    yield outbox
    outbox.deletes_again()
    fresh.heal()
    fresh.end_all()


def test_bytes_and_headers_are_kept(outbox):
    stack = outbox.stack
    source = random.Random(SEED)
    many = [(f"header {i}", source.randbytes(i)) for i in range(200)]
    given = [
        (None, None, [("none", None), ("empty", b""), ("twice", b"1"), ("twice", b"2")]),
        (b"", b"", []),
        (bytes(range(256)), b"\0", [("ünïcödé", bytes(range(256)))]),
        (b"key", source.randbytes(700_000), many),
    ]
    for key, value, headers in given:
        outbox.add(partition=5, key=key, value=value, headers=headers)
    stack.start_processors("ledger")
    outbox.wait_empty()
    messages = stack.records([TOPIC])[TOPIC, 5]
    assert [(m.key(), m.value(), m.headers()[:-1]) for m in messages] == given


def test_a_backlog_of_ten_thousand(outbox):
    """In order within each partition, each once, and how fast."""
    stack, count = outbox.stack, 10_000
    stack.psql(
        "INSERT INTO weir.outbox (topic, kafka_partition, key, value, headers) "
        "SELECT %s, i %% 6, convert_to(i::text, 'UTF8'), decode(repeat(md5(i::text), 20), 'hex'), "
        "       ARRAY[weir.text_header('number', i::text), weir.text_header('weir_topic', 'weir.commerce')] "
        "FROM generate_series(0, %s - 1) AS i",
        TOPIC, count,
    )  # fmt: skip
    process = stack.start_processors("ledger")
    began = time.monotonic()
    before = stack.value("SELECT count(*) FROM weir.outbox")
    outbox.wait_empty()
    seconds = time.monotonic() - began
    assert outbox.published(TOPIC) == {(TOPIC, p): list(range(p, count, 6)) for p in range(PARTITIONS)}
    process.wait_metric(count, "weir_outbox_published_total")
    REPORTS.append(f"outbox: a backlog of {before} records of 320 bytes published in {seconds:.2f} s: {before / seconds:.0f}/s")


def test_two_processes_publish_each_row_once(outbox):
    stack, count = outbox.stack, 600
    stack.start_processors("ledger")
    stack.start_processors("ledger")
    with psycopg.connect(stack.database, autocommit=True) as connection:
        for i in range(count):
            outbox.add(partition=i % 2, connection=connection)
    outbox.wait_empty()
    assert outbox.published() == {(TOPIC, p): list(range(p, count, 2)) for p in (0, 1)}


def test_killed_between_publishing_and_deleting(outbox):
    stack = outbox.stack
    first = stack.start_processors("ledger")
    with frozen(first):
        numbers = [outbox.add(partition=1) for _ in range(5)]
        outbox.deletes_nothing()
    outbox.wait_stuck()
    first.freeze()  # its lock times out, and it would publish once more
    assert outbox.numbers_of() == numbers and outbox.count() == 5
    first.kill()
    outbox.deletes_again()
    stack.start_processors("ledger")
    outbox.wait_empty()
    assert outbox.published() == {(TOPIC, 1): numbers + numbers}, "published again, in order: at least once"


def test_a_broker_that_is_away(outbox):
    stack = outbox.stack
    process = stack.start_processors("ledger")
    numbers = [outbox.add()]
    outbox.wait_empty()
    stack.kafka("kill")
    numbers += [outbox.add(partition=i) for i in range(3)]
    wait_until(lambda: process.metric("weir_outbox_records") == 3, 60, "the metric shows what waits")
    wait_until(lambda: is_failing(process), 60, "the check fails")
    assert outbox.count() == 3
    stack.kafka("start")
    outbox.wait_empty(180)
    assert sorted(set(outbox.numbers_of())) == numbers
    process.wait_ready()


def test_a_topic_that_was_deleted_is_made_again(outbox):
    stack = outbox.stack
    process = stack.start_processors("ledger")
    outbox.add()
    outbox.wait_empty()
    stack.delete_topics([TOPIC, OTHER])
    numbers = [outbox.add(topic) for topic in (TOPIC, OTHER, TOPIC)]
    outbox.wait_empty(180)
    assert sorted(set(outbox.numbers_of())) == numbers
    assert stack.run("topics", "check").returncode == 0
    process.wait_ready()


def test_a_topic_that_is_missing_holds_back_its_own_records_alone(outbox):
    stack = outbox.stack
    process = stack.start_processors("ledger")
    numbers = [outbox.add(topic) for topic in ("weir.no.such", TOPIC, "weir.no.such", OTHER)]
    wait_until(lambda: outbox.count() == 2, 60, "the others are published")
    wait_until(lambda: is_failing(process), 60, "the check fails")
    later = [outbox.add() for _ in range(20)]
    wait_until(lambda: outbox.count() == 2, 60, "and those that come later")
    assert outbox.numbers_of() == sorted([numbers[1], numbers[3], *later])
    process.wait_log("weir.no.such")
    assert len(re.findall("weir.no.such", process.text())) == 1, "said once"
    stack.psql("DELETE FROM weir.outbox WHERE topic = 'weir.no.such'")


def test_a_record_that_is_too_large_holds_back_nothing_else(outbox):
    stack = outbox.stack
    process = stack.start_processors("ledger")
    admin = stack.admin()

    def limit(value):
        entry = ConfigEntry("max.message.bytes", value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(60)

    limit("20000")
    wait_until(lambda: is_too_large(stack, 30_000), 60, "the broker keeps to the limit")
    with frozen(process):
        small = [outbox.add(value=b"s") for _ in range(10)]
        large = outbox.add(value=random.Random(SEED).randbytes(30_000))
        small += [outbox.add(value=b"s") for _ in range(10)]
    wait_until(lambda: outbox.count() == 1, 60, "all but the large one are published")
    wait_until(lambda: is_failing(process), 60, "the check fails")
    small += [outbox.add(value=b"s") for _ in range(10)]
    wait_until(lambda: outbox.count() == 1, 60, "and those that come later")
    assert outbox.published()[TOPIC, 0] == small, "in order, each once"
    process.wait_log("refuses record")
    assert len(re.findall("refuses record", process.text())) == 1, "said once"
    limit("1000000")
    outbox.wait_empty(180)
    assert outbox.published()[TOPIC, 0] == [*small, large]
    process.wait_ready()


def test_row_and_record_never_one_without_the_other(outbox):
    """Transactions that commit or roll back while processes are killed: what is committed is published, nothing else."""
    stack, source = outbox.stack, random.Random(SEED)
    committed, rolled_back, stop = [], [], threading.Event()

    def write():
        with psycopg.connect(stack.database) as connection:
            while not stop.is_set():
                numbers = [outbox.add(partition=source.randrange(6), connection=connection) for _ in range(3)]
                if source.random() < 0.3:
                    connection.rollback()
                    rolled_back.extend(numbers)
                else:
                    connection.commit()
                    committed.extend(numbers)

    writer = threading.Thread(target=write)
    writer.start()
    sessions = lambda: stack.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'weir outbox'")
    kills = 8
    try:
        for _ in range(kills):
            process = stack.start_processors("ledger", ready=False)
            wait_until(lambda: sessions() > 0, 60, "its relay has a session")
            time.sleep(source.random() * 0.5)  # where in a round it is killed is left to chance
            process.kill()
            wait_until(lambda: sessions() == 0, 60, "its session has ended")
        wait_until(lambda: len(rolled_back) > 100, 60, "enough was rolled back")
    finally:
        stop.set()
        writer.join()
    stack.start_processors("ledger")
    outbox.wait_empty()
    numbers = outbox.numbers_of()
    assert set(numbers) == set(committed) and not set(numbers) & set(rolled_back)
    REPORTS.append(
        f"outbox: {len(committed)} rows committed, {len(rolled_back)} rolled back, {kills} kill -9: "
        f"{len(set(committed) - set(numbers))} lost, {len(set(numbers) - set(committed))} too many, "
        f"{len(numbers) - len(set(numbers))} twice"
    )


def test_a_dead_letter_becomes_a_record(outbox):
    """From bytes that are no event to the topic, as they were."""
    stack = outbox.stack
    stack.start_processors("ledger")
    key, value = bytes(range(200, 256)), b"\0\0\0\0\x01\xff\xff\0"
    headers = [("ce_type", b"weir.commerce.ProductPurchased"), ("odd", None), ("odd", b"\0\xff")]
    offset = stack.produce([("weir.commerce", 4, key, value, headers)])[0]
    record = wait_until(lambda: stack.records([TOPIC]).get((TOPIC, 4)), 60, "the record is there")[0]
    assert (record.key(), record.value(), record.headers()[:3]) == (key, value, headers)
    names = {name: text.decode() for name, text in record.headers()[3:]}
    row = stack.psql("SELECT code, message, key, value, state FROM weir.dead_letter JOIN weir.position USING (position_id) "
                     "WHERE processor = 'ledger' AND kafka_partition = 4 AND kafka_offset = %s", offset)[0]  # fmt: skip
    assert (names["weir_error_code"], names["weir_error_message"], row[2], row[3], row[4]) == (
        row[0], row[1], key, value, "open",
    )  # fmt: skip
    place = names["weir_processor"], names["weir_topic"], names["weir_partition"], names["weir_offset"]
    assert place == ("ledger", "weir.commerce", "4", str(offset)) and names["weir_attempts"] == "1"
