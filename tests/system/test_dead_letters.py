# SPDX-License-Identifier: Apache-2.0
"""weir dead-letters and weir parked: choosing, showing, deciding, rehearsing, patching.

Here the rows are put into the database by the test, and the test itself carries decisions out, as the owner of a
partition does: what the engine makes of them is tested with the engine.
"""

import json
import os
import pty
import subprocess
import threading
import time
import uuid

import psycopg
import pytest

import applied
import events
from harness import wait_until

SPACE = uuid.UUID("3f0c9d9e-6f3d-4c44-9d3b-0f6d3f5f8a11")
ELSEWHERE = uuid.UUID("00000000-0000-4000-8000-000000000001")
TOPIC = "weir.commerce"
ACTOR = "ada@example.org"
BAD = 7  # the total that the owner of the test cannot apply


def partition(space=SPACE):
    return events.partition_of(str(space).encode())


class Letters:
    def __init__(self, stack):
        self.stack = stack
        self.offsets = iter(range(10, 10_000))
        self.maker = events.Maker(5)
        self.before = stack.ends([TOPIC])[TOPIC, partition()]

    def position(self, space=SPACE, processor="ledger", generation=1):
        claim = "SELECT position_id FROM weir.claim(%s, %s, ARRAY[%s], ARRAY[%s::integer], true, 'test')"
        return self.stack.value(claim, processor, generation, TOPIC, partition(space))

    def purchase(self, total=1999, event_id=None):
        items = [{"product_id": self.maker.uuid(), "quantity": 1, "unit_price": total, "label": None}]
        fields = self.maker.body("ProductPurchased")[1] | {"total": total, "currency": "EUR", "items": items}
        event_id = event_id or self.maker.uuid()
        version = events.NEWEST["ProductPurchased"]
        _, record = events.decode(events.make_record("ProductPurchased", fields, event_id=event_id))
        record["meta"]["actor"] = ACTOR
        return event_id, events.encode(version, record)

    def set_aside(self, space=SPACE, total=1999, code="23514", processor="ledger", value=None, event_id=None):
        """A dead letter. Returns (id, offset)."""
        offset = next(self.offsets)
        event_id, made = self.purchase(total, event_id)
        row = self.stack.psql(
            "INSERT INTO weir.dead_letter (position_id, kafka_offset, kafka_timestamp, space_id, event_id, schema_id, code, "
            "message, attempts, headers, key, value) VALUES (%s, %s, now(), %s, %s, %s, %s, 'violates a rule', 5, "
            "ARRAY[weir.text_header('ce_id', %s)], %s, %s) RETURNING dead_letter_id",
            self.position(space, processor), offset, space, None if value else event_id,
            None if value else events.NEWEST["ProductPurchased"].id, code, str(event_id), str(space).encode(), value or made,
        )  # fmt: skip
        return row[0][0], offset

    def park(self, count, space=SPACE, total=1999):
        """Returns their offsets; the first one has failed."""
        position = self.position(space)
        self.stack.psql(
            "INSERT INTO weir.parked_space VALUES (%s, %s, %s, 2, '23514', 'violates a rule', now(), now(), now() + interval '1 h')",
            position, space, count,
        )  # fmt: skip
        offsets = [next(self.offsets) for _ in range(count)]
        for offset in offsets:
            event_id, value = self.purchase(total)
            self.stack.psql(
                "INSERT INTO weir.parked (position_id, space_id, kafka_offset, kafka_timestamp, event_id, schema_id, key, value) "
                "VALUES (%s, %s, %s, now(), %s, %s, %s, %s)",
                position, space, offset, event_id, events.NEWEST["ProductPurchased"].id, str(space).encode(), value,
            )  # fmt: skip
        return offsets

    def run(self, *arguments, code=0, **options):
        done = self.stack.run(*arguments, check=False, **options)
        assert done.returncode == code, f"weir {arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments, code=0):
        return json.loads(self.run(*arguments, "-o", "json", code=code).stdout)

    def listed(self, *options, group="dead-letters"):
        key = "dead_letters" if group == "dead-letters" else "parked"
        return [row["offset"] for row in self.json(group, "list", *options)[key]]

    def published(self):
        """What has come to the Space's partition in this test."""
        return self.stack.records([TOPIC])[TOPIC, partition()][self.before :]

    def state(self, letter):
        return self.stack.value("SELECT state FROM weir.dead_letter WHERE dead_letter_id = %s", letter)

    def decisions(self, columns="verdict, outcome"):
        return self.stack.psql(f"SELECT {columns} FROM weir.decision ORDER BY decided_at")


class Owner(threading.Thread):
    """Carries decisions out under the fence; an event with the total BAD cannot be applied."""

    def __init__(self, stack):
        super().__init__()
        self.database = stack.database
        self.stopped = threading.Event()
        self.connection = psycopg.connect(self.database, autocommit=True)
        self.connection.execute(
            "UPDATE weir.position SET epoch = epoch + 1, next_offset = 20000, owner = 'test', owner_pid = pg_backend_pid(), "
            "owner_started_at = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())"
        )
        self.failure = None

    def run(self):
        try:
            while not self.stopped.wait(0.02):
                for position, epoch in self.rows("SELECT position_id, epoch FROM weir.position"):
                    self.rows("SELECT weir.carry_out(%s, %s)", position, epoch)
                    self.drain(position, epoch)
        except Exception as failure:  # shown by the test
            self.failure = failure

    def rows(self, query, *values):
        return self.connection.execute(query, values).fetchall()

    def drain(self, position, epoch):
        due = self.rows(
            "SELECT s.space_id, w.kafka_offset, w.value FROM weir.parked_space AS s CROSS JOIN LATERAL (SELECT * FROM "
            "weir.parked AS q WHERE q.position_id = s.position_id AND q.space_id = s.space_id ORDER BY kafka_offset LIMIT 1) "
            "AS w WHERE s.position_id = %s AND s.next_attempt_at <= now()", position
        )  # fmt: skip
        for space, offset, value in due:
            if events.decode(value)[1]["total"] == BAD:
                self.rows("SELECT * FROM weir.heads_failed(ARRAY[(0, %s, %s, %s, %s, '23514', 'still violates it', 3600000, false, false)"
                          "::weir.failed_head])", position, epoch, space, offset)  # fmt: skip
            else:
                self.rows("SELECT weir.drain(ARRAY[ROW(%s, %s, %s)::weir.batch_drained])", position, space, offset)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *failure):
        self.stopped.set()
        self.join()
        self.connection.close()
        assert not self.failure, self.failure


@pytest.fixture
def letters(fresh):
    fresh.psql("TRUNCATE weir.position CASCADE; TRUNCATE weir.outbox, weir.halt; UPDATE weir.processor SET generation = 1")
    tables = [name for (name,) in fresh.psql("SELECT tablename FROM pg_tables WHERE schemaname = 'ledger_1'")]
    fresh.psql("TRUNCATE " + ", ".join(f"ledger_1.{name}" for name in tables))
    return Letters(fresh)


@pytest.fixture
def owner(letters):
    """Begins once the test has its positions."""
    return lambda: Owner(letters.stack)


def test_list_chooses(letters):
    first, here = letters.set_aside()
    _, there = letters.set_aside(ELSEWHERE, code="22003")
    _, other = letters.set_aside(processor="overview")
    letters.stack.psql("UPDATE weir.dead_letter SET recorded_at = now() - interval '3 h' WHERE kafka_offset = %s", here)
    assert letters.listed() == [here, there, other]
    for options, wanted in [
        (("--processor", "ledger"), [here, there]),
        (("--space", str(ELSEWHERE)), [there]),
        (("--error", "23514"), [here, other]),
        (("--event", "ProductPurchased"), [here, there, other]),
        (("--event", "MemberJoined"), []),
        (("--since", "1h"), [there, other]),
        (("--until", "1h"), [here]),
        (("--since", "2020-01-01T00:00:00Z", "--limit", "2"), [here, there]),
        ((first,), [here]),
        ((f"commerce/{partition()}/{other}",), [other]),
        ((f"weir.commerce/{partition()}/{other}", first), [here, other]),
        (("--status", "discarded"), []),
    ]:
        assert letters.listed(*options) == wanted, options
    depth = letters.json("dead-letters", "list")["depth"]
    assert [(row["processor"], row["events"], row["spaces"]) for row in depth] == [("ledger", 2, 2), ("overview", 1, 1)]
    assert 3 * 3600 <= depth[0]["oldest_age_seconds"] < 4 * 3600
    text = letters.run("dead-letters", "list").stdout
    assert text.startswith("    ID  PROCESSOR") and "ledger: 2 open dead letters of 2 Spaces, the oldest for 3 h" in text
    assert len(letters.run("dead-letters", "list", "-o", "jsonl").stdout.splitlines()) == 3


@pytest.mark.parametrize("words", [
    ("list", "--since", "tomorrow"), ("list", "--status", "lost"), ("list", "--space", "x"), ("list", "a/b/c"), ("lose",),
    (), ("show",), ("show", "99999"), ("redrive",), ("redrive", "99999"), ("patch", "99999", "--reason", "x"),
])  # fmt: skip
def test_wrong_usage(letters, words):
    assert letters.run("dead-letters", *words, code=2).stderr.startswith("weir dead-letters: ")


def test_previous_generations_do_not_show(letters):
    letters.set_aside()
    letters.stack.psql("UPDATE weir.processor SET generation = 2 WHERE processor = 'ledger'")
    assert letters.listed() == []


def test_show_decodes_and_masks(letters):
    letter, offset = letters.set_aside()
    shown = letters.json("dead-letters", "show", letter)
    assert shown["payload"]["total"] == 1999 and shown["payload"]["meta"]["actor"] == "***"
    assert shown["headers"] == [["ce_id", shown["event_id"]]] and shown["key"] == str(SPACE)
    assert (shown["later_applied"], shown["parked_behind"], shown["earlier_open"]) == (0, 0, 0)
    assert letters.json("dead-letters", "show", letter, "--show-pii")["payload"]["meta"]["actor"] == ACTOR
    text = letters.run("dead-letters", "show", letter).stdout
    assert "a redrive keeps the order" in text and ACTOR not in text

    applied.make_writable(letters.stack, "ledger_1")
    row = uuid.uuid4(), SPACE, letters.position(), offset + 1
    letters.stack.psql("INSERT INTO ledger_1.applied_event VALUES (%s, %s, 1, %s, %s, now(), 0)", *row)
    assert "later events of this Space were already applied: 1" in letters.run("dead-letters", "show", letter).stdout

    letters.park(3)
    assert "its Space is still held back: 3 wait behind it" in letters.run("dead-letters", "show", letter).stdout


def test_show_bytes_that_cannot_be_decoded(letters):
    letter, _ = letters.set_aside(value=b"\x00\x00\x00\x00\x04\xff\xfe", code="avro-invalid")
    shown = letters.json("dead-letters", "show", letter)
    assert shown["payload"] is None and shown["payload_error"] and "payload_hex" not in shown
    assert letters.json("dead-letters", "show", letter, "--show-pii")["payload_hex"] == "0000000004fffe"
    assert "7 bytes; --show-pii shows them" in letters.run("dead-letters", "show", letter).stdout


def test_a_terminal_is_not_told_what_to_do(letters):
    letter, _ = letters.set_aside()
    letters.stack.psql("UPDATE weir.dead_letter SET message = E'\\x1b[2Jgone \\u009b2J', "
                       "headers = ARRAY[weir.text_header('x', E'\\x1b]0;title\\x07')]")  # fmt: skip
    for words in (("list",), ("show", letter)):
        text = letters.run("dead-letters", *words).stdout
        assert "?[2Jgone" in text and not set(text) & {"\x1b", "\x07", "\x9b"}


def test_redrive_waits_for_the_owner(letters, owner):
    letter, _ = letters.set_aside()
    done = letters.run("dead-letters", "redrive", letter, "--wait", "300ms", "--by", "ada", "--reason", "fixed", code=1)
    assert "no process runs ledger" in done.stderr and letters.decisions() == [("redrive", None)]
    # the same command waits for the same decision
    again = threading.Thread(target=lambda: said.append(letters.run("dead-letters", "redrive", letter)))
    said = []
    again.start()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'weir dead-letters' AND query LIKE '%%outcome%%'"
    wait_until(lambda: letters.stack.value(waiting) == 1, what="the command waits")
    with owner():
        again.join()
    assert said[0].stdout == f"dead letter {letter} (weir.commerce/{partition()}/10, ledger): applied, behind offset 19999\n"
    assert letters.decisions("verdict, outcome, decided_by, reason") == [("redrive", "applied", "ada", "fixed")]
    assert "redriven" in letters.run("dead-letters", "show", letter).stdout
    assert "settled in that way already" in letters.run("dead-letters", "redrive", letter).stderr
    assert "not open any more" in letters.run("dead-letters", "discard", letter, "--reason", "x", code=1).stderr
    assert len(letters.decisions()) == 1


def test_halted_processor_is_named(letters):
    letter, _ = letters.set_aside()
    letters.stack.psql("INSERT INTO weir.halt (processor, generation, code, message) VALUES ('ledger', 1, 'breaker-open', 'x')")
    done = letters.run("dead-letters", "redrive", letter, "--wait", "100ms", code=1)
    assert "weir processor resume ledger" in done.stderr


def test_many_need_yes_and_the_first_failure_ends_it(letters, owner):
    good = [letters.set_aside()[0] for _ in range(30)]
    bad = letters.set_aside(total=BAD)[0]
    late = [letters.set_aside()[0] for _ in range(60)]
    done = letters.run("dead-letters", "redrive", "--processor", "ledger", code=2)
    assert "say --yes" in done.stderr and letters.decisions() == []
    with owner():
        report = letters.json("dead-letters", "redrive", "--processor", "ledger", "--yes", code=1)
        assert report["failed"] == 1 and 30 <= report["succeeded"] <= 61
        assert report["not_decided"] >= 29 and report["without_outcome"] == 0
        assert {letters.state(letter) for letter in good} == {"redriven"} and letters.state(bad) == "open"
        assert letters.state(late[-1]) == "open"

        # the one that goes first is the bad one now: nothing else is decided
        decided = len(letters.decisions())
        report = letters.json("dead-letters", "redrive", "--processor", "ledger", "--yes", code=1)
        assert (report["succeeded"], report["failed"]) == (0, 1)
        assert len(letters.decisions()) == decided + 1

        letters.run("dead-letters", "discard", bad, "--reason", "never")
        started = time.monotonic()
        report = letters.json("dead-letters", "redrive", "--processor", "ledger", "--yes", "--max", "20", "--rate", "20")
        assert report["succeeded"] == 20 and time.monotonic() - started > 0.7
        letters.run("dead-letters", "redrive", "--processor", "ledger", "--yes")
    assert letters.listed() == []


def test_discard_needs_a_reason(letters, owner):
    letter, _ = letters.set_aside()
    assert "--reason" in letters.run("dead-letters", "discard", letter, code=2).stderr
    with owner():
        letters.run("dead-letters", "discard", letter, "--reason", "a test of the shop")
    assert letters.state(letter) == "discarded"
    assert "because: a test of the shop: discarded" in letters.run("dead-letters", "show", letter).stdout


def ask(stack, answer, *arguments):
    """The command with a terminal: (exit code, what it said)."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([stack.weir, *map(str, arguments)], env=stack.env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, answer)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        said += part
    os.close(ours)
    return process.wait(60), said.decode()


def test_a_terminal_is_asked(letters, owner):
    for _ in range(3):
        letters.set_aside()
    command = ("dead-letters", "redrive", "--processor", "ledger")
    code, said = ask(letters.stack, b"n\n", *command)
    assert code == 2 and "redrive 3 dead letters. [y/N]" in said and letters.decisions() == []
    with owner():
        code, said = ask(letters.stack, b"y\n", *command)
    assert code == 0 and "3 of 3 decided: 3 as wanted" in said


def test_parked(letters, owner):
    offsets = letters.park(3)
    assert letters.listed(group="parked") == offsets[:1]
    assert letters.listed("--all", group="parked") == offsets
    first, second = letters.json("parked", "list", "--all")["parked"][:2]
    assert (first["status"], first["code"], first["parked_of_space"]) == ("failing", "23514", 3)
    assert (second["status"], second["code"]) == ("waiting", None)
    places = [f"commerce/{partition()}/{offset}" for offset in offsets]
    assert "2 wait behind it" in letters.run("parked", "show", places[0]).stdout
    assert "only that one can be tried" in letters.run("parked", "retry", places[1], code=1).stderr
    with owner():
        letters.run("parked", "discard", places[2], "--reason", "not wanted")
        assert letters.listed("--all", group="parked") == offsets[:2]
        done = letters.run("parked", "retry", places[0])
        assert done.stdout.endswith("of ledger: applied\n")
        wait_until(lambda: letters.listed("--all", group="parked") == [], what="the others follow")
    assert "nothing is parked" in letters.run("parked", "list").stdout
    assert letters.listed("--status", "discarded") == offsets[2:]


def test_retry_that_fails_again(letters, owner):
    (offset,) = letters.park(1, total=BAD)
    with owner():
        done = letters.run("parked", "retry", f"commerce/{partition()}/{offset}", code=1)
    assert "failed: still violates it" in done.stdout


def contents(stack):
    tables = [name for (name,) in stack.psql("SELECT tablename FROM pg_tables WHERE schemaname = 'ledger_1'")]
    return {name: sorted(map(str, stack.psql(f"TABLE ledger_1.{name}"))) for name in tables}


def test_dry_run_changes_nothing(letters):
    letters.set_aside(event_id=(event_id := letters.purchase()[0]))
    letters.set_aside(event_id=event_id)  # the same event: in the batch before it is applied already
    letters.set_aside(value=b"\x00\x00\x00\x00\x04\xff\xfe", code="avro-invalid")
    before = contents(letters.stack)
    epoch = letters.stack.psql("SELECT epoch, next_offset FROM weir.position")
    report = letters.json("dead-letters", "redrive", "--processor", "ledger", "--dry-run", code=3)
    assert [row["outcome"] for row in report["rehearsed"]] == ["applied", "duplicate", "failed"]
    tables = {table["table"]: table["inserted"] for table in report["rehearsed"][0]["tables"]}
    assert tables["transfer"] == 1 and "applied_run" not in tables
    assert contents(letters.stack) == before
    assert letters.stack.psql("SELECT epoch, next_offset FROM weir.position") == epoch
    assert letters.decisions() == []


def test_dry_run_names_the_line(letters):
    letters.set_aside(total=5)
    letters.set_aside(total=500)
    letters.stack.psql("ALTER TABLE ledger_1.transfer ADD CONSTRAINT small CHECK (amount > 100)")
    try:
        done = letters.run("dead-letters", "redrive", "--processor", "ledger", "--dry-run", code=3)
    finally:
        letters.stack.psql("ALTER TABLE ledger_1.transfer DROP CONSTRAINT small")
    assert "would fail: 23514: sql/processors/ledger/apply.sql: statement at line " in done.stdout
    assert "rehearsed 2 of 2: 1 would be applied, 0 would change nothing, 1 would fail" in done.stdout


def patch(letters, letter, *options, code=0):
    return letters.run("dead-letters", "patch", letter, "--reason", "cents", *options, code=code)


def test_patch_publishes_and_discards(letters, owner):
    letter, offset = letters.set_aside()
    old = letters.json("dead-letters", "show", letter, "--show-pii")
    faults = patch(letters, letter, "--set", "/total=many", "--set", "/items/0/quantity=1.5", "--set", "/nix=1", code=2).stderr
    assert "/total: " in faults and "/items/0/quantity: " in faults and "/nix: " in faults
    assert "redrive it" in patch(letters, letter, "--set", "/total=1999", code=2).stderr
    assert "no such place" in patch(letters, letter, "--set", "/items/9/quantity=1", code=2).stderr
    assert "masked" in patch(letters, letter, "--set", "/currency=***", code=2).stderr
    done = patch(letters, letter, "--set", "/total=20", "--dry-run")
    assert "would be applied" in done.stdout and "transfer" in done.stdout
    assert letters.published() == [] and letters.decisions() == []
    with owner():
        done = patch(letters, letter, "--set", "/total=20")
    assert done.stdout.splitlines()[0].startswith("published ProductPurchased ")
    (message,) = letters.published()
    _, record = events.decode(message.value())
    assert message.key() == str(SPACE).encode() and record["total"] == 20
    assert str(record["meta"]["causation_id"]) == old["event_id"] and record["meta"]["actor"] == ACTOR
    headers = dict(message.headers())
    assert headers["ce_type"] == b"weir.commerce.ProductPurchased" and headers["ce_id"].decode() == str(record["meta"]["event_id"])
    assert letters.state(letter) == "patched"
    assert letters.decisions("verdict, outcome, replacement_id") == [("patch", "discarded", record["meta"]["event_id"])]


def test_patch_of_a_parked_event(letters, owner):
    first, second = letters.park(2)
    place = f"commerce/{partition()}/{first}"
    options = ("parked", "patch", place, "--processor", "ledger", "--reason", "cents, not euros")
    assert "retry it" in letters.run(*options, "--set", "/total=1999", code=2).stderr
    assert "would be applied" in letters.run(*options, "--set", "/total=20", "--dry-run").stdout
    assert letters.published() == [] and letters.decisions() == []
    with owner():
        letters.run(*options, "--set", "/total=20")
        wait_until(lambda: letters.listed("--all", group="parked") == [], what="the one behind it follows")
    (message,) = letters.published()
    _, record = events.decode(message.value())
    assert message.key() == str(SPACE).encode() and record["total"] == 20 and record["meta"]["actor"] == ACTOR
    assert letters.decisions() == [("patch", "discarded")]
    assert letters.listed("--status", "patched") == [first]


def test_patch_again_after_a_crash_has_the_same_id(letters):
    letter, _ = letters.set_aside()
    for _ in range(2):  # as if the decision of the first had never been written
        patch(letters, letter, "--set", "/total=20", "--wait", "0s")
        letters.stack.psql("DELETE FROM weir.decision")
    first, second = (events.decode(m.value())[1]["meta"] for m in letters.published())
    assert first["event_id"] == second["event_id"] and first["fingerprint"] == second["fingerprint"]


def test_patch_asks_when_others_applied_it(letters, owner):
    letter, offset = letters.set_aside()
    other = letters.set_aside(processor="overview")[1]
    letters.stack.psql("UPDATE weir.dead_letter SET kafka_offset = %s WHERE kafka_offset = %s", offset, other)
    letters.position(processor="analytics")
    letters.stack.psql("UPDATE weir.position SET next_offset = 20000")
    done = patch(letters, letter, "--set", "/total=20", code=2)
    assert "analytics applied the old event" in done.stderr and letters.decisions() == []
    with owner():
        patch(letters, letter, "--set", "/total=20", "--yes")
    # where it is a dead letter too, it is settled as well
    assert letters.decisions() == [("patch", "discarded"), ("patch", "discarded")] and letters.listed() == []


def test_patch_bytes_that_cannot_be_decoded(letters, owner, tmp_path):
    letter, _ = letters.set_aside(value=b"\x00\x00\x00\x00\x04\xff\xfe", code="avro-invalid")
    assert "--as EVENT --file FILE" in patch(letters, letter, "--set", "/total=20", code=2).stderr
    body = letters.maker.body("ProductPurchased")[0]
    (tmp_path / "event.json").write_text(json.dumps(body))
    with owner():
        patch(letters, letter, "--as", "ProductPurchased", "--file", tmp_path / "event.json")
    (message,) = letters.published()
    assert events.decode(message.value())[1]["total"] == body["total"]


def test_patch_in_an_editor(letters, owner, tmp_path):
    letter, _ = letters.set_aside()
    editor = tmp_path / "editor"
    editor.write_text(
        f'#!/bin/sh\ncp "$1" {tmp_path}/seen\n'
        'if grep -q many "$1"; then sed -i \'s/"many"/1999/; s/"EUR"/"CHF"/\' "$1"\n'
        'else sed -i \'s/"total": 1999/"total": "many"/\' "$1"; fi\n'
    )
    editor.chmod(0o755)
    with owner():
        letters.stack.env["EDITOR"] = str(editor)
        try:
            code, said = ask(letters.stack, b"y\n", "dead-letters", "patch", letter, "--reason", "currency")
        finally:
            del letters.stack.env["EDITOR"]
    assert code == 0 and "edit it again? [Y/n]" in said, said
    seen = json.loads((tmp_path / "seen").read_text())
    assert seen["total"] == "many" and "meta" not in seen
    (message,) = letters.published()
    assert events.decode(message.value())[1]["currency"] == "CHF"
