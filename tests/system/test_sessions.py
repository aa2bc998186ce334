# SPDX-License-Identifier: Apache-2.0
"""Sessions divide the partitions of a processor within one program, and keep what one session keeps."""

import itertools

from harness import PARTITIONS, wait_until
from test_engine import SPACES, reactions
from test_parking import NUMBERED, parking  # noqa: F401

SESSIONS = 3
ROUNDS = 40
# each row says which database session wrote it
NAMED = NUMBERED.replace("kafka_offset bigint", "written_by integer NOT NULL DEFAULT pg_backend_pid(),\n    kafka_offset bigint")


def partitions(process):
    return [process.metric("weir_processor_partitions", session=str(number + 1)) for number in range(SESSIONS)]


def test_sessions_divide_the_partitions(parking):
    """Killed at some moment, each event of each Space is applied once and in order, by the session that has its partition."""
    engine = parking("", tables_sql=NAMED)
    process = engine.start("--sessions", SESSIONS)
    wait_until(lambda: sorted(partitions(process)) == [PARTITIONS / SESSIONS] * SESSIONS, 60, lambda: str(partitions(process)))
    texts = [str(number) for number in range(2 * ROUNDS)]
    engine.stack.produce(list(itertools.chain(*(reactions(*texts[:ROUNDS], space=space) for space in SPACES))))
    wait_until(lambda: len(engine.rows()) > ROUNDS, 60, "some are applied")
    process.kill()
    process = engine.start("--sessions", SESSIONS)
    engine.stack.produce(list(itertools.chain(*(reactions(*texts[ROUNDS:], space=space) for space in SPACES))))
    wait_until(lambda: len(engine.rows()) >= len(SPACES) * len(texts), 60, lambda: f"{len(engine.rows())} rows")
    for space in SPACES:
        assert engine.order(space) == texts
    assert engine.stack.value("SELECT count(DISTINCT written_by) FROM tally_1.reaction WHERE reaction = %s", texts[-1]) == SESSIONS
    assert process.term() == 0


def test_a_session_that_halts_is_shown(parking):
    """Its processor is not ready, and goes on when it is resumed."""
    engine = parking("")
    process = engine.start("--sessions", SESSIONS)
    engine.stack.psql("ALTER TABLE tally_1.reaction RENAME TO gone")
    engine.stack.produce(reactions("a"))
    wait_until(lambda: process.metric("weir_processor_halted") > 0, 60, "it halts")
    assert process.answers("/readyz") == 503
    engine.stack.psql("ALTER TABLE tally_1.gone RENAME TO reaction")
    engine.resume()
    wait_until(lambda: process.answers("/readyz") == 200, 60, "it is ready")
    engine.wait_rows("a")


def test_forced_sessions_divide_all_partitions(parking):
    engine = parking("")
    process = engine.start("--sessions", SESSIONS, "--force-partitions")
    wait_until(lambda: sum(partitions(process)) == PARTITIONS, 60, lambda: str(partitions(process)))
    engine.stack.produce(list(itertools.chain(*(reactions("a", "b", space=space) for space in SPACES))))
    wait_until(lambda: len(engine.rows()) == 2 * len(SPACES), 60, lambda: f"{len(engine.rows())} rows")
    assert process.metric("weir_processor_events_total", outcome="duplicate") == 0
