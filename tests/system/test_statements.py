# SPDX-License-Identifier: Apache-2.0
"""The program's own statements in sql/statements/: each is used, and can be planned by the role that runs it, with its rights."""

import re

import psycopg
import pytest

from harness import ROOT

NAME = re.compile(r"^-- name: (\w+)\n(.*?);$", re.M | re.S)
STATEMENTS = [(path.stem, *found) for path in sorted((ROOT / "sql/statements").glob("*.sql"))
              for found in NAME.findall(path.read_text())]

SOURCES = [path for folder in ("cli", "lib", "processors", "producers") for path in sorted((ROOT / folder).rglob("*.c"))]
# A literal in C, in as many parts as it has lines
LITERAL = re.compile(r'"(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b(?:[^"\\\n]|\\.)*"(?:\s*"(?:[^"\\\n]|\\.)*")*')
# Not moved yet: which tables are compared (verify.c), and of which Spaces and from when on a stage keeps events (stage_events.c)
LEFT = {"verify.c", "stage_events.c"}


def role_of(file, name):
    """What the last line "-- role: …" above the statement says."""
    text = (ROOT / f"sql/statements/{file}.sql").read_text()
    return re.findall(r"^-- role: (\w+)$", text[:text.index(f"-- name: {name}\n")], re.M)[-1]


def test_each_is_used_and_each_use_is_there():
    calls = [call for path in SOURCES for call in re.findall(r"\bstatement\(([^;]*?)\)", path.read_text()) if "const char" not in call]
    used = [re.findall(r'"(\w+)"', call) for call in calls]
    assert calls and all(used), "a name that is no constant"
    assert sorted(name for _, name, _ in STATEMENTS) == sorted({name for names in used for name in names})


def test_long_statements_are_not_in_c():
    """Unless names of schemas and tables are put into them."""
    long = {(path.name, text) for path in SOURCES for text in LITERAL.findall(path.read_text())
            if text.count("\n") >= 2 and not re.search(r"%[0-9$]*[sd]", text)}
    assert not [found for found in sorted(long) if found[0] not in LEFT]


@pytest.fixture(scope="module")
def connection(module_stack):
    with psycopg.connect(module_stack.database, autocommit=True) as connection:
        connection.execute("SET plan_cache_mode = force_generic_plan")
        yield connection


@pytest.mark.parametrize("file, name, text", STATEMENTS, ids=[name for _, name, _ in STATEMENTS])
def test_its_role_may_run_it(connection, file, name, text):
    connection.execute(f"SET ROLE {role_of(file, name)}")
    connection.execute(f"PREPARE {name} AS {text}", prepare=False)
    count = connection.execute("SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = %s", (name,)).fetchone()[0]
    connection.execute(f"EXPLAIN EXECUTE {name}" + (f"({', '.join(['NULL'] * count)})" if count else ""))
    connection.execute("RESET ROLE")
