# SPDX-License-Identifier: Apache-2.0
"""After a swap the previous generation keeps following, by itself, until --drop-old: a rollback is a matter of moments."""

import json
import os
import signal

import psycopg
import pytest
import requests

from harness import wait_until
from test_rebuild import FAST, check, rebuild, traffic
from test_rebuild_versions import NOW, second, third

PREVIOUS = "SELECT generation FROM weir.generation WHERE processor = %s AND state = 'previous' ORDER BY live_at DESC LIMIT 1"


def previous(stack, name):
    return stack.value(PREVIOUS, name)


def vector(stack, name, generation):
    return stack.psql("SELECT topic, kafka_partition, next_offset FROM weir.position WHERE processor = %s AND generation = %s "
                      "ORDER BY 1, 2", name, generation)


def status(stack, name, state="previous"):
    rows = json.loads(stack.run("rebuild", "--status", "-o", "json").stdout)["generations"]
    return [row for row in rows if (row["processor"], row["state"]) == (name, state)][-1]


def owners(stack, name, generation):
    """Process ids of those who claimed the generation last."""
    rows = stack.psql("SELECT DISTINCT split_part(owner, ':', 2)::int FROM weir.position WHERE processor = %s AND "
                      "generation = %s AND owner IS NOT NULL", name, generation)
    return {pid for pid, in rows}


def rows(stack, schema):
    """Every row of a generation, counted."""
    tables = stack.psql("SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p') "
                        "AND NOT relispartition AND relname <> 'applied_run' ORDER BY 1", schema)
    return {table: stack.psql(f"SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {schema}.{table} t")
            for table, in tables}


def follows(stack, name, deadline=60):
    """The previous generation comes to where the live one is, and holds the same rows."""
    stack.wait_drained(name)
    number, live = previous(stack, name), stack.live(name)
    same = lambda: vector(stack, name, number) == vector(stack, name, int(live.rsplit("_", 1)[1]))
    wait_until(same, deadline, lambda: f"{name} {number} follows {live}: {status(stack, name)}\n{stack.logs_tail()}")
    assert status(stack, name)["behind"] == 0
    assert rows(stack, f"{name}_{number}") == rows(stack, live)


@pytest.fixture(scope="module")
def platform(fresh):
    fresh.start_gateway()
    fresh.process = fresh.start_processors(options=FAST)
    with traffic(fresh, 2000):
        pass
    fresh.wait_drained()
    assert rebuild(fresh, "ledger", "--verify")["swapped"]
    return fresh


def test_it_follows_under_writes(platform):
    with traffic(platform):
        process = platform.process
        process.wait_log("follows generation 1 of ledger", 60)
        wait_until(lambda: owners(platform, "ledger", 1) == {process.pid}, 60, "the process follows")
    follows(platform, "ledger")
    behind = lambda: process.metric("weir_processor_former_behind_records", processor="ledger")
    wait_until(lambda: behind() == 0, 60, lambda: f"the metric shows it; it is {behind()}")
    assert "records behind" in platform.run("rebuild", "--status").stdout


def test_killed_it_goes_on(platform):
    with traffic(platform):
        wait_until(lambda: status(platform, "ledger")["behind"] > 0, 60, "there is something to follow")
        platform.process.kill()
        platform.process = platform.start_processors(options=FAST)
    follows(platform, "ledger")
    assert owners(platform, "ledger", previous(platform, "ledger")) == {platform.process.pid}


def test_postgres_crashes(platform):
    """It takes the last commits of both generations back."""
    with traffic(platform):
        wait_until(lambda: status(platform, "ledger")["behind"] > 0, 60, "there is something to follow")
        platform.postgres("kill")
        platform.postgres("start")
    follows(platform, "ledger")
    assert platform.process.is_alive() and "not followed any more" not in platform.process.text()


def test_one_of_two_processes_follows(platform):
    other = platform.start_processors(options=FAST)
    epochs = "SELECT max(epoch) FROM weir.position WHERE processor = 'ledger' AND generation = %s"
    before = platform.value(epochs, previous(platform, "ledger"))
    with traffic(platform, 2000):
        pass
    follows(platform, "ledger")
    assert platform.value(epochs, previous(platform, "ledger")) <= before + 1, "they take it from each other"
    platform.end(platform.process)
    platform.process = other
    with traffic(platform, 500):
        pass
    follows(platform, "ledger")
    assert owners(platform, "ledger", previous(platform, "ledger")) == {other.pid}


def test_back_and_forth_under_writes(platform):
    with traffic(platform, 3000):
        for _ in range(2):
            before = previous(platform, "ledger")
            report = rebuild(platform, "ledger", "--rollback", "--verify")
            assert report["verified"] == "equal" and report["swapped"] and platform.live("ledger") == f"ledger_{before}"
    follows(platform, "ledger")
    check(platform)
    audit = platform.run("audit", "--wait", "20s", check=False)
    assert audit.returncode == 0, audit.stdout


def test_dropped_while_it_follows(platform):
    for _ in range(2):
        assert rebuild(platform, "overview")["swapped"]
        with traffic(platform):  # without new records there is nothing to follow
            wait_until(lambda: platform.process.pid in owners(platform, "overview", previous(platform, "overview")), 60, "it follows")
            platform.run("rebuild", "overview", "--drop-old")
            assert not platform.psql(PREVIOUS, "overview")
    check(platform)
    assert platform.process.is_alive() and "overview is not followed" not in platform.process.text()


def test_a_frozen_follower_is_in_nobodys_way(platform):
    """It keeps the lock for ever, so it loses its session."""
    assert rebuild(platform, "overview")["swapped"]
    login = platform.database.replace("user=weir", "user=weir_processor")
    with psycopg.connect(login, application_name="weir follow", autocommit=True) as frozen:
        wait_until(lambda: frozen.execute("SELECT pg_try_advisory_lock(2003134835, hashtext('overview'))").fetchone()[0], 60)
        platform.run("rebuild", "overview", "--drop-old")
        with pytest.raises(psycopg.OperationalError):
            frozen.execute("SELECT 1")


def test_a_frozen_backend_does_not_hold_the_follower(platform):
    """Nothing but a clock of its own ends the wait for it: the session is given up, and another one follows."""
    backends = "SELECT pid FROM pg_stat_activity WHERE application_name = 'weir follow ledger 0'"
    with traffic(platform, 500):
        pid = wait_until(lambda: platform.psql(backends), 60, "it follows")[0][0]
    follows(platform, "ledger")
    os.kill(pid, signal.SIGSTOP)
    try:
        with traffic(platform, 500):
            pass
        follows(platform, "ledger")
    finally:
        os.kill(pid, signal.SIGCONT)


def test_its_failure_leaves_the_live_one_alone(platform):
    assert rebuild(platform, "overview")["swapped"]
    number = previous(platform, "overview")
    platform.psql(f"ALTER TABLE overview_{number}.space RENAME TO elsewhere")
    said = f"generation {number} of overview is not followed any more"
    with traffic(platform):
        platform.process.wait_log(said, 60)
    check(platform)
    platform.process.wait_ready()
    assert platform.process.text().count(said) == 1
    platform.run("rebuild", "overview", "--drop-old")
    assert rebuild(platform, "overview")["swapped"]
    follows(platform, "overview")


def test_the_old_build_follows_its_own(platform, tmp_path):
    """A changed version is rolled out while processes of the build before still run."""
    home = second(tmp_path / "second")
    platform.end(platform.process)
    old = platform.start_processors(options=FAST)
    with traffic(platform):
        report = rebuild(platform, "analytics", "--home", home)
        assert report["swapped"] and report["version"] == NOW + 1
        number = report["former"]
        old.wait_log("stands aside", 60)
        old.wait_log(f"follows generation {number} of analytics", 60)
        new = platform.start_processors("analytics", options=("--home", home, *FAST))
        # the group gives everything to the new build's, although the old one is there
        wait_until(lambda: new.metric("weir_processor_partitions") == len(vector(platform, "analytics", number)), 60, "all of them")
    platform.wait_drained()
    wait_until(lambda: status(platform, "analytics")["behind"] == 0, 60, lambda: str(status(platform, "analytics")))
    assert owners(platform, "analytics", number) == {old.pid} and old.text().count("stands aside") == 1
    with traffic(platform):  # until long after the swap: without new records there is nothing to follow
        assert rebuild(platform, "analytics", "--rollback", "--break-views")["swapped"]  # the new column goes
        old.wait_log("is live again", 60)
        new.wait_log("stands aside", 60)
    check(platform)
    assert platform.live("analytics") == f"analytics_{number}" and new.is_alive()
    old.wait_ready()
    wait_until(lambda: owners(platform, "analytics", report["generation"]) == {new.pid}, 60, "now the new one follows")
    platform.wait_drained()
    wait_until(lambda: status(platform, "analytics")["behind"] == 0, 60, lambda: str(status(platform, "analytics")))


def test_the_old_build_is_started_in_the_middle_of_a_roll_out(platform, tmp_path):
    """Whoever restarts it meets the new version: it stands aside from the beginning, and follows. What nothing is kept of is refused."""
    home, other = second(tmp_path / "second"), third(tmp_path / "third")
    for process in [process for process in platform.processes if process.name == "process"]:
        platform.end(process)
    platform.start_processors("ledger", "overview", options=FAST)
    platform.run("rebuild", "analytics", "--drop-old")
    report = rebuild(platform, "analytics", "--home", home)
    number, live = report["former"], report["generation"]
    new = platform.start_processors("analytics", options=("--home", home, *FAST))
    owned = lambda process: process.metric("weir_processor_partitions", processor="analytics")
    wait_until(lambda: owned(new) == len(vector(platform, "analytics", number)), 60, "it has all partitions")
    rebalances = new.metric("weir_processor_rebalances_total")
    old = platform.start_processors("analytics", options=FAST, ready=False)
    old.wait_log(f"version {NOW} here, and generation {live}, of version {NOW + 1}, is live: this instance stands aside, and follows", 60)
    old.wait_log(f"follows generation {number} of analytics", 60)
    with traffic(platform, 1000):
        pass
    platform.wait_drained("analytics")
    wait_until(lambda: status(platform, "analytics")["behind"] == 0, 60, lambda: str(status(platform, "analytics")))
    # what is said about it is true
    wait_until(lambda: old.metric("weir_processor_former_behind_records", processor="analytics") == 0, 60, "so says its metric")
    old.wait_metric(1, "weir_processor_aside")
    assert owned(old) == 0 and new.metric("weir_processor_aside") == 0
    wait_until(lambda: old.answers("/readyz") == 503, 60, "it is not ready")
    assert old.answers("/livez") == 200 and new.is_ready()
    assert "stands aside" in requests.get(old.url + "/readyz", timeout=30).text
    shown = {row["generation"]: row for row in json.loads(platform.run("position", "analytics", "-o", "json").stdout)["processors"]}
    for generation, process in ((number, old), (live, new)):
        assert {row["owner"].rsplit(":", 1)[1] for row in shown[generation]["partitions"]} == {str(process.pid)}
        assert shown[generation]["live"] == (process is new) and shown[generation]["lag"] == 0
    assert new.metric("weir_processor_rebalances_total") == rebalances, "it took partitions from the new build's"
    assert old.is_alive() and old.text().count("stands aside") == 1
    refused = platform.run("process", "analytics", "--home", other, check=False)
    assert refused.returncode == 2 and f"version {NOW + 2} here" in refused.stderr and f"version {NOW + 1};" in refused.stderr
    # it is as good as one that was there before
    assert rebuild(platform, "analytics", "--rollback", "--break-views")["swapped"]
    old.wait_log("is live again", 60)
    old.wait_ready()
    new.wait_log("stands aside, and follows", 60)
    check(platform)
    platform.run("rebuild", "analytics", "--drop-old")
    new.wait_log("no generation of this build is kept", 60)
    refused = platform.run("process", "analytics", "--home", home, check=False)
    assert refused.returncode == 2 and f"version {NOW + 1} here" in refused.stderr
    assert new.is_alive() and new.text().count("stands aside") == 2
