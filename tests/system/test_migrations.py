# SPDX-License-Identifier: Apache-2.0
"""The control schema out of files: what was applied is kept by its hash. A table file never changes afterwards, a function
file is applied anew, and whatever else the database and the files disagree about is refused before anything changes."""

import re

import pytest

from harness import ROOT, make_home

TABLES, FUNCTIONS = "sql/control/tables", "sql/control/functions"
APPLIED = "SELECT path, sha256, applied_at FROM weir.migration ORDER BY path"


class Database:
    def __init__(self, stack, home):
        self.stack, self.home = stack, home
        stack.psql("DROP DATABASE IF EXISTS migrations WITH (FORCE)")
        stack.psql("CREATE DATABASE migrations")
        self.name = re.sub(r"dbname=\w+", "dbname=migrations", stack.database)

    def migrate(self, check=True):
        return self.stack.run("migrate", "--database", self.name, "--home", self.home, check=check)

    def psql(self, query):
        whole, self.stack.database = self.stack.database, self.name
        try:
            return self.stack.psql(query)
        finally:
            self.stack.database = whole

    def refused(self, *words):
        """Says so, with the words, and applies nothing."""
        before = self.psql(APPLIED)
        done = self.migrate(check=False)
        assert done.returncode == 2, done.stdout + done.stderr
        assert all(word in done.stderr for word in words), done.stderr
        assert self.psql(APPLIED) == before

    def write(self, path, text):
        (self.home / path).write_text("-- SPDX-License-Identifier: Apache-2.0\n" + text)

    def append(self, path, text):
        with open(self.home / path, "a") as file:
            file.write(text)


@pytest.fixture
def database(stack, tmp_path):
    database = Database(stack, make_home(tmp_path, {}))
    yield database
    stack.psql("DROP DATABASE migrations WITH (FORCE)")


def test_each_file_is_applied_once(database):
    database.migrate()
    before = database.psql(APPLIED)
    files = [str(path.relative_to(ROOT)) for folder in (TABLES, FUNCTIONS) for path in (ROOT / folder).glob("*.sql")]
    assert sorted(path for path, *_ in before) == sorted(files)
    database.migrate()
    assert database.psql(APPLIED) == before


def test_a_changed_table_file_is_refused(database):
    database.migrate()
    [first, second, *_, last] = sorted(path.name for path in (database.home / TABLES).glob("*.sql"))
    text = (database.home / TABLES / second).read_text()
    number = int(last[:4]) + 1
    database.append(f"{TABLES}/{second}", "CREATE TABLE weir.another (x integer);\n")
    database.refused(f"{TABLES}/{second} was changed", f"{TABLES}/{number:04}_")
    database.write(f"{TABLES}/{second}", text.split("\n", 1)[1])
    (database.home / TABLES / first).rename(database.home / TABLES / "0001_renamed.sql")
    database.refused(f"{TABLES}/{first}", f"{TABLES}/0001_renamed.sql")
    (database.home / TABLES / "0001_renamed.sql").rename(database.home / TABLES / first)
    database.write(f"{TABLES}/{number:04}_another.sql", "CREATE TABLE weir.another (x integer);\n")
    database.migrate()
    assert database.psql("SELECT count(*) FROM weir.another") == [(0,)]
    (database.home / TABLES / f"{number:04}_another.sql").unlink()
    database.refused(f"{number:04}_another.sql", "newer build")


def test_numbers_are_unique_and_without_gaps(database):
    last = max(path.name for path in (database.home / TABLES).glob("*.sql"))
    number = int(last[:4])
    database.write(f"{TABLES}/{number:04}_zzz.sql", "CREATE TABLE weir.another (x integer);\n")
    done = database.migrate(check=False)
    assert done.returncode == 2 and f"{last} and {TABLES}/{number:04}_zzz.sql have one number" in done.stderr
    (database.home / TABLES / f"{number:04}_zzz.sql").rename(database.home / TABLES / f"{number + 2:04}_zzz.sql")
    done = database.migrate(check=False)
    assert done.returncode == 2 and f"{number + 2:04}_zzz.sql should be {TABLES}/{number + 1:04}_" in done.stderr
    assert database.psql("SELECT to_regnamespace('weir')") == [(None,)]


def test_a_changed_function_file_is_applied_anew(database):
    database.migrate()
    before = dict((path, rest) for path, *rest in database.psql(APPLIED))
    path = f"{FUNCTIONS}/receipts.sql"
    database.append(path, "COMMENT ON FUNCTION weir.receipt_outcome IS 'another one';\n")
    database.migrate()
    assert database.psql("SELECT obj_description('weir.receipt_outcome'::regproc)") == [("another one",)]
    after = dict((path, rest) for path, *rest in database.psql(APPLIED))
    assert [name for name in after if after[name] != before[name]] == [path]
    text = (database.home / path).read_text()
    database.append(path, "\nSELECT nothing;\n")
    database.refused(f"{path}:{text.count(chr(10)) + 2}")


def test_doctor_tells_of_files(database):
    database.migrate()
    doctor = lambda: database.stack.run("doctor", "--database", database.name, "--home", database.home, check=False).stdout
    assert re.search(r"migrations +all \d+ are there", doctor())
    database.append(f"{FUNCTIONS}/restore.sql", "-- another comment\n")
    assert re.search(r"migrations +1 of \d+ ", doctor())
    database.append(f"{TABLES}/0002_schemas.sql", "-- another comment\n")
    assert "0002_schemas.sql was changed" in doctor()


def test_functions_stand_in_one_file_each(database):
    """As Postgres has them: no table file makes one, no file makes one that another made, no older form is left over."""
    database.migrate()
    made = re.compile(r"^CREATE OR REPLACE (?:FUNCTION|VIEW) (weir\.\w+)", re.M)
    names = [name for path in (ROOT / FUNCTIONS).glob("*.sql") for name in made.findall(path.read_text())]
    there = database.psql("SELECT 'weir.' || proname FROM pg_proc WHERE pronamespace = 'weir'::regnamespace UNION ALL "
                          "SELECT 'weir.' || viewname FROM pg_views WHERE schemaname = 'weir'")
    assert sorted(names) == sorted(name for name, in there)
