# SPDX-License-Identifier: Apache-2.0
"""What a rebuild draws on a terminal, as a terminal would show it; and that nothing of it is seen elsewhere."""

import concurrent.futures
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading

import pytest

from harness import wait_until

EVENTS = 4000
WIDE = 200  # columns


@pytest.fixture(scope="module")
def filled(fresh):
    fresh.run("simulate", "--target", "kafka", "--events", EVENTS, "--rate", 20000, "--seed", 71)
    process = fresh.start_processors("ledger")
    fresh.wait_drained("ledger")
    fresh.end(process)
    return fresh


def on_terminal(stack, columns, *arguments, env=None):
    """Runs the program with stderr on a terminal; returns its exit code, stdout, and what the terminal was sent."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shown = []

    def read():
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # all who had it open are gone
                return
            shown.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    command = [str(stack.weir), *map(str, arguments)]
    try:
        done = subprocess.run(command, env=dict(stack.env, **(env or {})), stdout=subprocess.PIPE, stderr=slave,
                              stdin=subprocess.DEVNULL, text=True, timeout=120)
    finally:
        os.close(slave)
        reader.join(60)
        os.close(master)
    return done.returncode, done.stdout, b"".join(shown).decode()


def screen(sent, columns):
    """The lines that are left on the screen, of one that knows \\r, \\n and "clear to the end of the line", and wraps."""
    lines, column = [""], 0
    for part in re.findall(r"\x1b\[K|\r|\n|[^\x1b\r\n]", sent):
        if part == "\x1b[K":
            lines[-1] = lines[-1][:column]
        elif part == "\r":
            column = 0
        elif part == "\n":
            lines.append("")
        else:
            if column == columns:
                lines.append("")
                column = 0
            lines[-1] = lines[-1][:column].ljust(column) + part + lines[-1][column + 1:]
            column += 1
    return lines


def drawn(sent):
    return [line for line in re.split(r"\r|\x1b\[K", sent) if line]


def begin_anew(stack):
    for generation, in stack.psql("SELECT generation FROM weir.generation WHERE processor = 'ledger' AND state <> 'live'"):
        stack.psql(f"DROP SCHEMA ledger_{generation} CASCADE")
        stack.psql("DELETE FROM weir.position WHERE processor = 'ledger' AND generation = %s", generation)
        stack.psql("DELETE FROM weir.generation WHERE processor = 'ledger' AND generation = %s", generation)


@pytest.mark.parametrize("columns, env, width", [(100, {}, 100), (60, {"COLUMNS": "200"}, 60), (0, {"COLUMNS": "72"}, 72),
                                                 (0, {"COLUMNS": ""}, 80), (24, {}, 24)])
def test_bar(filled, columns, env, width):
    begin_anew(filled)
    code, out, sent = on_terminal(filled, columns, "rebuild", "ledger", "--no-swap", env=env)
    assert code == 0, sent
    lines = drawn(sent)
    assert lines and max(map(len, lines)) < width, lines
    staged = [line for line in lines if line.startswith("ledger stage")]
    assert staged and {line.split()[1] for line in lines} >= {"stage", "fold", "index", "verify"}, lines
    if width >= 60:
        total = sum(filled.positions("ledger").values())
        pattern = rf"ledger stage \[#+\] {total}/{total}  [1-9]\d*/s  0 s left"
        assert re.fullmatch(pattern, staged[-1]), staged[-1]
    assert screen(sent, width) == [""], "the terminal is left clean"
    assert "generation" in out and "\x1b" not in out and "\r" not in out


def test_lines_of_the_log_come_above_the_bar(filled):
    """A session is lost while the bar is there: the line that says so takes the bar away, and it is drawn anew below."""
    begin_anew(filled)
    waiting = "SELECT pid FROM pg_stat_activity WHERE starts_with(application_name, 'weir rebuild') AND wait_event_type = 'Lock'"
    with concurrent.futures.ThreadPoolExecutor(1) as pool, filled.transaction() as tables:
        with filled.transaction() as positions:
            # its tables are there when it wants these rows, and nothing is folded yet
            positions.execute("INSERT INTO weir.position (processor, generation, topic, kafka_partition) SELECT processor, "
                              "generation + 1, topic, kafka_partition FROM weir.position WHERE processor = 'ledger'")
            running = pool.submit(on_terminal, filled, WIDE, "rebuild", "ledger", "--no-swap")
            [early] = wait_until(lambda: filled.psql(waiting), 60, "it waits for the rows")[0]
            tables.execute("LOCK TABLE ledger_2.stage_0 IN SHARE MODE")
        others = f"{waiting} AND query !~ 'note_left_out'"
        [pid] = wait_until(lambda: filled.psql(others), 60, "a worker waits for the table")[0]
        assert pid != early and filled.value("SELECT pg_terminate_backend(%s, 20000)", pid)
        tables.rollback()
        code, _, sent = running.result()
    assert code == 0, sent
    lines = screen(sent, WIDE)
    assert lines[-1] == "" and all(re.match(r"\d{4}-\d\d-\d\dT\S+ warn ", line) for line in lines[:-1]), lines
    assert "trying again" in lines[0]
    assert re.search(r"ledger stage [^\r\n]*\r\x1b\[K[^\r\n]* warn [^\r\n]*trying again\r\nledger stage ", sent), sent


def test_no_bar_without_a_terminal(filled):
    begin_anew(filled)
    done = filled.run("rebuild", "ledger", "--no-swap")
    assert "\r" not in done.stderr and "\x1b" not in done.stderr and "[" not in done.stderr, done.stderr


def test_no_bar_for_programs(filled):
    """Who reads JSON lines is told there, terminal or not."""
    begin_anew(filled)
    code, out, sent = on_terminal(filled, 80, "rebuild", "ledger", "--no-swap", "-o", "jsonl")
    assert code == 0 and '"phase":' in out.replace(" ", "") and "\x1b" not in sent and "\r" not in sent.replace("\r\n", "")
