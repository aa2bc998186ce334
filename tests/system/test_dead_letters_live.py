# SPDX-License-Identifier: Apache-2.0
"""weir dead-letters and weir parked with a processor that runs: what the engine makes of what is decided."""

import json
import subprocess
import uuid

from harness import wait_until
from test_engine import HERE, PARTITION, TOPIC, reaction, reactions
from test_parking import parking  # noqa: F401 (a fixture)

ONCE = "attempts = 1\nbackoff = 50ms\nbreaker_failures = 1000\n"  # here many fail with none applied in between
BLOCK = ONCE + "used_up = block\n"
LONG = "attempts = 9\nbackoff = 1h\nbackoff_max = 1h\n"
MANY = 60


def weir(engine, *arguments, code=0):
    done = engine.stack.run(*arguments, "--home", engine.home, check=False)
    assert done.returncode == code, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


def wait_letters(engine, count):
    wait_until(lambda: len(engine.dead_letters()) == count, 60, lambda: f"{count} dead letters: {engine.dead_letters()}")


def test_redrive_of_a_blocked_space_keeps_its_order(parking):  # noqa: F811
    engine = parking(BLOCK)
    engine.start()
    _, bad, _, _ = engine.stack.produce(reactions("a", "bad", "b", "c"))
    wait_letters(engine, 1)
    engine.drain()
    place = f"community/{PARTITION}/{bad}"
    shown = weir(engine, "dead-letters", "show", place).stdout
    assert "a redrive keeps the order" in shown and "its Space is still held back: 2 wait behind it" in shown
    parked = weir(engine, "parked", "show", f"community/{PARTITION}/{bad + 1}").stdout
    assert f"it waits until the dead letter at offset {bad} is decided" in parked
    failed = weir(engine, "dead-letters", "redrive", place, code=1)
    assert "failed: " in failed.stdout and engine.order() == ["a"]
    engine.allow()
    weir(engine, "dead-letters", "redrive", place)
    wait_until(lambda: engine.order() == ["a", "bad", "b", "c"], 60, lambda: str(engine.order()))


def test_redrive_behind_later_events_says_so(parking):  # noqa: F811
    engine = parking(ONCE)
    engine.start()
    _, bad, _, last = engine.stack.produce(reactions("a", "bad", "b", "c"))
    engine.wait_rows("a", "b", "c")
    shown = weir(engine, "dead-letters", "show", "--processor", "tally").stdout
    assert "later events of this Space were already applied: 2" in shown
    engine.allow()
    done = weir(engine, "dead-letters", "redrive", f"community/{PARTITION}/{bad}")
    assert done.stdout.endswith(f"applied, behind offset {last}\n")
    assert engine.order() == ["a", "b", "c", "bad"]


def test_what_is_rehearsed_is_what_is_done(parking):  # noqa: F811
    engine = parking(ONCE)
    engine.start()
    engine.stack.produce([reaction("bad", str(uuid.uuid4())) for _ in range(MANY)] + reactions("a"))
    wait_letters(engine, MANY)
    engine.wait_rows("a")
    rehearse = ("dead-letters", "redrive", "--processor", "tally", "--dry-run", "-o", "json")
    report = json.loads(weir(engine, *rehearse, code=3).stdout)
    assert (report["applied"], report["failed"]) == (0, MANY)
    assert "sql/processors/tally/apply.sql: statement at line 3" in report["rehearsed"][0]["outcome_message"]
    engine.allow()
    report = json.loads(weir(engine, *rehearse).stdout)
    promised = sum(table["inserted"] for row in report["rehearsed"] for table in row["tables"])
    assert (report["applied"], promised) == (MANY, MANY) and engine.rows() == ["a"]
    weir(engine, "dead-letters", "redrive", "--processor", "tally", "--yes")
    assert len(engine.rows()) == 1 + promised
    assert "no dead letter is open" in weir(engine, "dead-letters", "list").stdout


def test_redrive_survives_the_processor_s_death(parking):  # noqa: F811
    engine = parking(ONCE)
    process = engine.start()
    engine.stack.produce([reaction("bad", str(uuid.uuid4())) for _ in range(MANY)])
    wait_letters(engine, MANY)
    engine.allow()
    command = [engine.stack.weir, "dead-letters", "redrive", "--processor", "tally", "--yes", "--rate", "20", "-o", "json"]
    running = subprocess.Popen(command, env=engine.stack.env, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: len(engine.rows()) >= 5, 60, "some are applied")
    process.kill()
    engine.start()
    report = json.loads(running.communicate(timeout=120)[0])
    assert running.returncode == 0 and report["succeeded"] == MANY
    assert len(engine.rows()) == MANY
    kinds = engine.stack.psql("SELECT verdict, outcome, count(*) FROM weir.decision GROUP BY 1, 2")
    assert kinds == [("redrive", "applied", MANY)]


def test_retry_now(parking):  # noqa: F811
    engine = parking(LONG)
    engine.start()
    offsets = engine.stack.produce(reactions("bad", "b"))
    engine.drain()
    place = f"{TOPIC}/{PARTITION}/{offsets[0]}"
    assert "failed: " in weir(engine, "parked", "retry", place, code=1).stdout
    assert json.loads(weir(engine, "parked", "list", "-o", "json").stdout)["parked"][0]["attempts"] == 2
    engine.allow()
    weir(engine, "parked", "retry", place)
    wait_until(lambda: engine.order(HERE) == ["bad", "b"], 60, lambda: str(engine.order()))


def test_halted_by_the_breaker(parking):  # noqa: F811
    engine = parking(LONG + "breaker_failures = 5\nbreaker_after = 500ms\n")
    engine.start()
    sent = 0
    while not engine.stack.psql("SELECT code FROM weir.halt"):
        sent += len(engine.stack.produce([reaction("bad", str(uuid.uuid4()))]))
    engine.halt()
    parked = len(engine.parked())
    listed = next(line for line in weir(engine, "processor", "list").stdout.splitlines() if line.startswith("tally"))
    assert f"parked {parked}" in listed and "HALTED: breaker-open: " in listed
    assert f"parked {parked}, HALTED: breaker-open: " in weir(engine, "position", "tally").stdout
    waits = weir(engine, "parked", "retry", "--processor", "tally", "--yes", "--wait", "500ms", code=1)
    assert "tally is halted" in waits.stderr
    engine.allow()
    assert "tally goes on" in weir(engine, "processor", "resume", "tally").stdout
    wait_until(lambda: len(engine.rows()) >= sent - parked, 60, "the others are applied")
    weir(engine, "parked", "retry", "--processor", "tally", "--yes")
    wait_until(lambda: len(engine.rows()) == sent, 60, "all are applied")
    listed = next(line for line in weir(engine, "processor", "list").stdout.splitlines() if line.startswith("tally"))
    assert "parked 0" in listed and "HALTED" not in listed
