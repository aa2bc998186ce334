# SPDX-License-Identifier: Apache-2.0
"""A changed processor is rolled out under load by a rebuild, while an analyst's view and prepared statements are in use."""

import re
import shutil
import threading

import psycopg
import pytest

import events
from harness import ROOT, wait_until
from test_rebuild import FAST, rebuild, traffic

ANALYTICS = ROOT / "sql/processors/analytics"
NOW = int(re.search(r"^version = (\d+)", (ANALYTICS / "processor.conf").read_text(), re.M)[1])
VIEW = "SELECT space_id, hour, action, nullif(currency, '') AS currency, events, amount\nFROM hourly;"


def make_home(folder, version, **changes):
    """The program's own SQL with another version of analytics. `changes` are {file: [(old text, new text)]}."""
    for part in ("schemas", "sql"):
        shutil.copytree(ROOT / part, folder / part)
    analytics = folder / "sql" / "processors" / "analytics"
    changes["processor_conf"] = [(f"version = {NOW}\n", f"version = {version}\n")]
    for name, pairs in changes.items():
        path = analytics / ".".join(name.rsplit("_", 1))
        text = path.read_text()
        for old, new in pairs:
            assert old in text, f"{path.name} says no longer: {old}"
            text = text.replace(old, new)
        path.write_text(text)
    return folder


def second(folder):
    """The hours also know the largest amount; the view gets a column at its end."""
    return make_home(
        folder, NOW + 1,
        tables_sql=[("    amount   numeric NOT NULL,", "    amount   numeric NOT NULL,\n    largest  numeric NOT NULL,")],
        apply_sql=[
            ("INSERT INTO hourly AS h (space_id, hour, action, currency, events, amount)",
             "INSERT INTO hourly AS h (space_id, hour, action, currency, events, amount, largest)"),
            ("count(*) AS events, coalesce(sum(amount), 0) AS amount",
             "count(*) AS events, coalesce(sum(amount), 0) AS amount, coalesce(max(amount), 0) AS largest"),
            ("amount = h.amount + excluded.amount",
             "amount = h.amount + excluded.amount, largest = greatest(h.largest, excluded.largest)"),
        ],
        views_sql=[(VIEW, VIEW.replace("events, amount", "events, amount, largest"))],
    )  # fmt: skip


def third(folder):
    """A published column goes away."""
    comment = re.search(r"COMMENT ON COLUMN analytics.hourly.amount IS .*;\n", (ANALYTICS / "views.sql").read_text())[0]
    return make_home(folder, NOW + 2, views_sql=[(VIEW, VIEW.replace("events, amount", "events")), (comment, "")])


@pytest.fixture(scope="module")
def platform(fresh):
    fresh.start_gateway()
    fresh.start_processors("ledger", "overview", options=FAST)
    with traffic(fresh, 2000):
        pass
    fresh.psql("CREATE SCHEMA analyst")
    fresh.psql("CREATE VIEW analyst.by_action AS SELECT action, sum(events)::bigint AS events FROM analytics.hourly GROUP BY action")
    return fresh


def test_rolled_out_under_load(platform, tmp_path):
    home = second(tmp_path / "second")
    old = platform.start_processors("analytics", options=FAST)
    platform.wait_drained()
    failures, sums, over = [], [], threading.Event()

    def read():
        try:
            with psycopg.connect(platform.database, autocommit=True) as connection:
                connection.execute("PREPARE busiest (text) AS SELECT events FROM analyst.by_action WHERE action = $1")
                while not over.is_set():
                    sums.append(connection.execute("EXECUTE busiest ('purchase')").fetchone()[0])
                    if len(sums) > 1 and sums[-1] < sums[-2]:
                        failures.append(sums[-2:])
        except psycopg.Error as error:
            failures.append(repr(error))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        refused = platform.run("process", "analytics", "--home", home, check=False)
        assert refused.returncode == 2 and f"version {NOW + 1} here" in refused.stderr and "weir rebuild analytics" in refused.stderr
        assert "weir rebuild analytics" in platform.run("migrate", "--home", home).stdout
        with traffic(platform, 2500):
            report = rebuild(platform, "analytics", "--home", home, "--verify")
            assert report["swapped"] and report["version"] == NOW + 1 and "versions differ" in report["verified"]
            old.wait_log(f"version {NOW} here", 60)
            assert old.is_alive()
            new = platform.start_processors("analytics", options=("--home", home, *FAST))
            platform.end(old)
        platform.wait_drained()
    finally:
        over.set()
        reader.join(30)
    assert not failures and sums, failures
    assert platform.live("analytics") == "analytics_2" and new.is_alive()
    assert platform.value("SELECT count(*) FROM analytics.hourly WHERE largest > amount AND amount >= 0") == 0
    assert platform.value("SELECT sum(events) FROM analytics.hourly") == platform.value("SELECT sum(events) FROM analyst.by_action")
    assert platform.value("SELECT sum(purchases) FROM overview.space") == sums[-1] or wait_until(
        lambda: platform.value("SELECT events FROM analyst.by_action WHERE action = 'purchase'")
        == platform.value("SELECT sum(purchases)::bigint FROM overview.space"))
    # equality is claimed within one version: rebuilt once more it is
    assert rebuild(platform, "analytics", "--home", home, "--verify")["verified"] == "equal"


def test_a_broken_view_is_refused(platform, tmp_path):
    home = third(tmp_path / "third")
    said = rebuild(platform, "analytics", "--home", home, code=2)
    assert "analyst.by_action" in said and "--break-views" in said
    assert platform.value("SELECT version FROM weir.processor WHERE processor = 'analytics'") == NOW + 1
    assert platform.value("SELECT count(*) FROM analyst.by_action") > 0
    report = rebuild(platform, "analytics", "--home", home, "--break-views")
    assert report["swapped"] and report["dropped"] == ["analyst.by_action"]
    columns = "SELECT string_agg(column_name, ' ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_schema = 'analytics' AND table_name = 'hourly'"
    assert platform.value(columns) == "space_id hour action currency events"
    assert set(events.PROCESSORS) == {name for name, in platform.psql("SELECT processor FROM weir.processor")}
