# SPDX-License-Identifier: Apache-2.0
"""Analysts: what their login may do, and that the questions of docs/ are answered rightly and by the right plan."""

import csv
import datetime
import re
import subprocess
import sys

import psycopg
import pytest

import events
from harness import ROOT
from past_answers import Answers
from platform_past import END, MONTHS, Past

PAGE = (ROOT / "docs/analyse.md").read_text()
PAGES = PAGE + "".join(path.read_text() for path in sorted((ROOT / "docs").glob("questions-*.md")))
BLOCKS = re.findall(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", PAGES, re.M | re.S)
QUESTIONS = {name: text for kind, name, text in BLOCKS if kind == "sql" and name and name != "operator"}
OPERATOR = next(text for kind, name, text in BLOCKS if (kind, name) == ("sql", "operator"))
PUBLISHED = sorted(events.PROCESSORS)


def ask(connection, name, **values):
    """The rows of a question, with psql's variables put in as psql does."""
    text = re.sub(r":'(\w+)'", lambda m: "'" + str(values[m[1]]) + "'", QUESTIONS[name])
    return connection.execute(text).fetchall()


def login(stack, name, **options):
    return psycopg.connect(stack.database.replace("user=weir", f"user={name}"), autocommit=True, **options)


def drop_login(stack, name):
    if stack.value("SELECT count(*) FROM pg_roles WHERE rolname = %s", name):
        stack.psql(f"DROP OWNED BY {name}")
        stack.psql(f"DROP ROLE {name}")


@pytest.fixture(scope="module")
def past(fresh):
    past = Past()
    fresh.produce(list(past.messages()))
    processors = fresh.start_processors()
    fresh.wait_drained()
    fresh.end(processors)
    return past


@pytest.fixture(scope="module")
def ada(fresh, past):
    """A session of the login that the page tells the operator to make."""
    drop_login(fresh, "ada")
    fresh.psql(OPERATOR)
    with login(fresh, "ada") as connection:
        yield connection
    drop_login(fresh, "ada")


# Questions


@pytest.mark.parametrize("name", QUESTIONS)
def test_question_is_answered_rightly(past, ada, name):
    for space, _ in past.spaces:
        for since, until in ((MONTHS[1], MONTHS[3]), (MONTHS[0], END)):
            answers = Answers(past, space, since, until)
            expected = getattr(answers, name.replace("-", "_"))()
            assert ask(ada, name, space=space, since=since, until=until) == expected
    assert expected, "the last answer is that of a small Space over all months"


def test_buckets_are_utc_whatever_the_session_says(past, ada):
    values = {"space": past.spaces[0][0], "since": MONTHS[1], "until": MONTHS[3]}
    before = {name: ask(ada, name, **values) for name in QUESTIONS}
    try:
        for zone in ("Pacific/Kiritimati", "America/Los_Angeles"):
            ada.execute(f"SET timezone = '{zone}'")
            assert {name: ask(ada, name, **values) for name in QUESTIONS} == before
    finally:
        ada.execute("RESET timezone")


def test_page_lists_every_view_and_no_other(fresh, past):
    rows = fresh.psql("SELECT schemaname, viewname FROM pg_views WHERE schemaname = ANY (%s)", PUBLISHED)
    listed, schema = set(), None
    for cells in re.findall(r"^\| (`\w+`)? ?\| (`[^|]*`) \|", PAGE, re.M):
        schema = cells[0].strip("`") or schema
        listed |= {(schema, view) for view in re.findall(r"`(\w+)`", cells[1])}
    assert listed == set(rows)


# Ways to connect


def test_ways_to_connect_work(fresh, ada, tmp_path):
    here = lambda text: text.replace("port=15432", f"port={fresh.pg_port}")
    for kind, _, text in BLOCKS:
        if kind == "sh":
            subprocess.run(["bash", "-euc", here(text)], cwd=tmp_path, stdin=subprocess.DEVNULL, check=True, timeout=120)
        elif kind == "python":
            done = subprocess.run([sys.executable, "-c", here(text)], capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            assert "2025-01-01" in done.stdout and "JPY" in done.stdout
    with open(tmp_path / "revenue.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    found = ada.execute("SELECT count(*), sum(net) FROM ledger.revenue_monthly").fetchone()
    assert found == (len(rows), sum(int(row["net"]) for row in rows))


# What a reader may do


def denied(connection, statement, error=psycopg.errors.InsufficientPrivilege):
    with pytest.raises(error):
        connection.execute(statement)


def test_reader_reads_every_view(fresh, ada):
    views = fresh.psql("SELECT format('%%I.%%I', schemaname, viewname) FROM pg_views WHERE schemaname = ANY (%s)", PUBLISHED)
    for (view,) in views:
        ada.execute(f"SELECT * FROM {view} LIMIT 1")
    # which is what a BI tool offers to choose from
    shown = ada.execute(
        "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables "
        "WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
    )
    assert sorted(shown.fetchall()) == sorted(views)


def test_reader_reads_nothing_else(fresh, ada):
    fresh.psql("CREATE SCHEMA other; CREATE TABLE other.secret (); CREATE TABLE public.secret ()")
    try:
        tables = fresh.psql(
            "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind IN ('r', 'p', 'v') AND n.nspname <> ALL (%s) AND n.nspname !~ '^(pg_|information_schema)'",
            PUBLISHED,
        )
        assert {"weir.processor", "weir.reader", "ledger_1.transfer", "other.secret", "public.secret"} <= {t for (t,) in tables}
        for (table,) in tables:
            denied(ada, f"SELECT FROM {table}")
    finally:
        fresh.psql("DROP SCHEMA other CASCADE; DROP TABLE public.secret")
    denied(ada, "SELECT weir.limit_reader('ada')")
    denied(ada, "SELECT pg_read_file('PG_VERSION')")
    denied(ada, "COPY (SELECT 1) TO PROGRAM 'true'")


WRITES = [
    "INSERT INTO overview.space (space_id) VALUES (gen_random_uuid())",
    "UPDATE ledger.payment SET kind = 'tip'",
    "DELETE FROM analytics.commerce",
    "CREATE TABLE analytics.mine ()",
    "CREATE VIEW ledger.mine AS SELECT 1",
    "CREATE TABLE public.mine ()",
    "CREATE SCHEMA mine",
    "SET ROLE weir_processor",
]


@pytest.mark.parametrize("statement", WRITES)
def test_reader_writes_nothing(ada, statement):
    """By its settings, and by its privileges once it has changed those."""
    if not statement.startswith("SET"):
        denied(ada, statement, (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.InsufficientPrivilege))
    ada.execute("SET default_transaction_read_only = off")
    try:
        denied(ada, statement)
    finally:
        ada.execute("RESET default_transaction_read_only")


def test_reader_has_limits(fresh, ada):
    shown = lambda name: ada.execute(f"SHOW {name}").fetchone()[0]
    assert shown("default_transaction_read_only") == "on"
    assert shown("statement_timeout") == "1min"
    assert shown("lock_timeout") == "5s"
    assert shown("idle_in_transaction_session_timeout") == "1min"
    assert shown("timezone") == "UTC"
    assert shown("search_path") == '"$user", analytics, ledger, overview'
    fresh.psql("SELECT weir.limit_reader('ada', statement_timeout => '500 ms', idle_timeout => '500 ms', lock_timeout => '500 ms')")
    try:
        with login(fresh, "ada") as other:
            denied(other, "SELECT pg_sleep(20)", psycopg.errors.QueryCanceled)
            with fresh.transaction() as holder:
                holder.execute("LOCK TABLE ledger.payment IN ACCESS EXCLUSIVE MODE")
                denied(other, "SELECT FROM ledger.payment", (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled))
            other.execute("BEGIN")
            sessions = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
            fresh.wait_until(lambda: fresh.value(sessions, other.info.backend_pid) == 0, 60, "the idle transaction is ended")
            other.close()
    finally:
        fresh.psql("SELECT weir.limit_reader('ada')")


def test_reader_keeps_views_in_a_schema_of_its_own(fresh, ada):
    fresh.psql("CREATE SCHEMA ada AUTHORIZATION ada")
    ada.execute("SET default_transaction_read_only = off")
    ada.execute("CREATE VIEW big AS SELECT * FROM ledger.payment WHERE gross > 1000")
    ada.execute("RESET default_transaction_read_only")
    assert ada.execute("SELECT count(*) > 0 FROM ada.big").fetchone() == (True,)


@pytest.mark.parametrize("name,words", [("nobody_there", "no role"), ("weir_author_ledger", "cannot log in"), ("weir", "may write")])
def test_only_a_login_without_other_powers_becomes_a_reader(fresh, past, name, words):
    with pytest.raises(psycopg.Error, match=words):
        fresh.psql("SELECT weir.limit_reader(%s)", name)


def test_doctor_names_readers_without_limits(fresh, past):
    drop_login(fresh, "bob")
    fresh.psql("CREATE ROLE bob LOGIN IN ROLE weir_reader")
    try:
        assert "bob has no default_transaction_read_only" in fresh.run("doctor", check=False).stdout
        fresh.psql("SELECT weir.limit_reader('bob')")
        assert "bob has no" not in fresh.run("doctor", check=False).stdout
        fresh.psql("ALTER ROLE bob IN DATABASE weir SET statement_timeout = 0")
        assert "bob has no statement_timeout" in fresh.run("doctor", check=False).stdout
        fresh.psql("GRANT weir_processor TO bob")
        assert "bob reads for analysis, but may write" in fresh.run("doctor", check=False).stdout
    finally:
        drop_login(fresh, "bob")
