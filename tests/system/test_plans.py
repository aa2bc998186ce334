# SPDX-License-Identifier: Apache-2.0
"""Analysts' questions read what they ask for and no more: rollups for all Spaces, an index for one, few months for a few.

Held at a size at which the planner chooses as it does at millions of events; `./dev bench questions` measures those.
"""

import re

import psycopg
import pytest

from harness import ROOT
from test_analysts import QUESTIONS

EVENTS, SPACES = 120000, 400
MONTH = {"since": "2026-03-01 00:00:00+00", "until": "2026-04-01 00:00:00+00"}
# What may be read for all Spaces, and at most how many months of it. None of the large tables appears without months.
READ = {
    "revenue-by-month": {"space_balance": 1, "space": 1},
    "income-by-source": {"hourly": 1},
    "best-sellers": {"purchase_item": 1},
    "trial-balance": {"space_balance": 1, "member_balance": 1},
    "attention": {"transfer": 1},
    "churn-by-month": {"membership": 37},
    "cohort-retention": {"membership": 37},
    "mrr-by-month": {"membership": 37},
    "first-purchase": {"membership": 1, "community": 2, "livestream": 2, "commerce": 2},
    "livestream-peaks": {"livestream": 3, "space": 1},
}
# And for one Space, always by an index
READ_OF_A_SPACE = {
    "revenue-of-a-space": {"space_balance": 1},
    "top-supporters": {"transfer": 1, "member": 1},
    "balance-at-a-date": {"space_balance": 1, "transfer": 1},
    "livestream-concurrency": {"livestream": 1},
}
BY_INDEX = {"attention"}


@pytest.fixture(scope="module")
def made(whole_stack):
    """A session as a reader in a database with a made-up past, and a Space that is neither large nor small."""
    stack, name = whole_stack, "plans"
    database = re.sub(r"dbname=\w+", f"dbname={name}", stack.database)
    stack.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    stack.psql(f"CREATE DATABASE {name}")
    stack.run("migrate", "--database", database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute((ROOT / "bench/questions/platform.sql").read_text())
        connection.execute(f"CALL synthetic.make({EVENTS}, {SPACES}, '2025-01-01 00:00:00+00', 18)")
        for processor in ("ledger", "analytics", "overview"):
            connection.execute(f"CALL synthetic.fold('{processor}')")
        connection.execute("VACUUM ANALYZE")
        space = connection.execute("SELECT space_id FROM overview.space ORDER BY events DESC OFFSET 10 LIMIT 1").fetchone()[0]
        connection.execute("SET ROLE weir_reader; SET jit = off; SET work_mem = '32MB'; SET timezone = 'UTC'")
        yield connection, space
    stack.psql(f"DROP DATABASE {name} WITH (FORCE)")


def scans(plan):
    """The nodes of a plan that read a table."""
    return [plan] * ("Relation Name" in plan) + [scan for child in plan.get("Plans", []) for scan in scans(child)]


def explain(made, text):
    """{table: how many of its months}, the indexes and the tables read as a whole; with what is known at the start."""
    connection, space = made
    values = dict(MONTH, space=space)
    text = re.sub(r":'(\w+)'", lambda m: f"'{values[m[1]]}'", text)
    plan = connection.execute("EXPLAIN (FORMAT json) " + text).fetchone()[0][0]["Plan"]
    tables, whole = {}, set()
    for scan in scans(plan):
        table = re.sub(r"_(\d{4}_\d\d|default)$", "", scan["Relation Name"])
        tables[table] = tables.get(table, 0) + 1
        if scan["Node Type"] == "Seq Scan":
            whole.add(table)
    return tables, whole, plan


def test_every_question_is_held_to_a_plan():
    assert sorted(QUESTIONS) == sorted({**READ, **READ_OF_A_SPACE})


@pytest.mark.parametrize("name", READ)
def test_all_spaces(made, name):
    tables, whole, _ = explain(made, QUESTIONS[name])
    assert tables.keys() == READ[name].keys()
    assert all(tables[table] <= most for table, most in READ[name].items()), tables
    if name in BY_INDEX:
        assert not whole


@pytest.mark.parametrize("name", READ_OF_A_SPACE)
def test_one_space(made, name):
    tables, whole, _ = explain(made, QUESTIONS[name])
    assert tables == READ_OF_A_SPACE[name]
    assert not whole


@pytest.mark.parametrize("view", ["membership_period", "membership_term"])
def test_views_with_windows_read_one_space_only(made, view):
    _, _, plan = explain(made, f"SELECT * FROM analytics.{view} WHERE space_id = :'space'")
    for scan in scans(plan):
        assert "space_id" in scan.get("Index Cond", "") + scan.get("Recheck Cond", "") + scan.get("Filter", ""), scan


def applied_plan(made, is_first=False):
    """The scans of the plan by which the ledger's refunds and credits are applied, as the engine's session makes it."""
    connection, _ = made
    plans = []
    connection.add_notice_handler(handler := lambda notice: plans.append(notice.message_primary))
    with connection.transaction(force_rollback=True):
        connection.execute("RESET ROLE; LOAD 'auto_explain'; SET LOCAL auto_explain.log_level = notice; "
                           "SET LOCAL auto_explain.log_min_duration = 0; SET LOCAL auto_explain.log_nested_statements = on; "
                           "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off")
        if is_first:
            connection.execute("CREATE OR REPLACE VIEW ledger_1.batch AS SELECT true AS is_first")
        name, count = connection.execute("SELECT oid::regproc::text, pronargs FROM pg_proc WHERE proname LIKE 'apply\\_%' "
                                         "AND pronamespace = 'ledger_1'::regnamespace").fetchone()
        connection.execute(f"CALL {name}({', '.join(['$${}$$'] * count)})")
    connection.remove_notice_handler(handler)
    return re.findall(r"\w+ Scan (?:using \w+ )?on transfer\b", next(plan for plan in plans if "WITH" in plan and "asked AS" in plan))


def test_what_only_a_first_batch_needs_is_in_no_plan(made):
    """`batch.is_first` is a constant to the planner: each purchase and its refunds by index, or all purchases at once."""
    assert applied_plan(made) == ["Index Scan using transfer_purchase on transfer", "Index Scan using transfer_refund on transfer"]
    assert len(applied_plan(made, is_first=True)) == 1


def test_balances_by_month_agree_with_the_entries(made):
    """The made-up past went through the procedures of the processors, so their checks hold for it too."""
    connection, space = made
    months = "SELECT account, currency, sum(change) FROM ledger.account_monthly GROUP BY 1, 2 HAVING sum(change) <> 0"
    entries = "SELECT account, currency, sum(amount) FROM ledger.entry GROUP BY 1, 2 HAVING sum(amount) <> 0"
    assert sorted(connection.execute(months).fetchall()) == sorted(connection.execute(entries).fetchall())
