# SPDX-License-Identifier: Apache-2.0
"""The program's own statements in sql/statements/: each is used, and can be planned by the role that runs it, with its rights."""

import re

import psycopg
import pytest

from harness import ROOT

NAME = re.compile(r"^-- name: (\w+)\n(.*?);$", re.M | re.S)
STATEMENTS = [(path.stem, *found) for path in sorted((ROOT / "sql/statements").glob("*.sql"))
              for found in NAME.findall(path.read_text())]


def role_of(file, name):
    """What the last line "-- role: …" above the statement says."""
    text = (ROOT / f"sql/statements/{file}.sql").read_text()
    return re.findall(r"^-- role: (\w+)$", text[:text.index(f"-- name: {name}\n")], re.M)[-1]


def test_each_is_used_and_each_use_is_there():
    sources = [path for folder in ("cli", "lib", "processors", "producers") for path in sorted((ROOT / folder).rglob("*.c"))]
    calls = [call for path in sources for call in re.findall(r"\bstatement\(([^;]*?)\)", path.read_text()) if "const char" not in call]
    used = [re.findall(r'"(\w+)"', call) for call in calls]
    assert calls and all(used), "a name that is no constant"
    assert sorted(name for _, name, _ in STATEMENTS) == sorted({name for names in used for name in names})


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
