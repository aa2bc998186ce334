# SPDX-License-Identifier: Apache-2.0
"""Faults of the database: it crashes, its connections are cut at the worst moments, it refuses, locks and fills up."""

import contextlib
import os
import subprocess
import time

import psycopg

from harness import wait_until
from parts import ALL, fault


def stop_now(stack):
    """pg_ctl -m immediate: no checkpoint, no goodbye."""
    home = stack.script("tests/services/postgres.sh", "home").stdout.strip()
    binary = sorted(os.scandir("/usr/lib/postgresql"), key=lambda entry: float(entry.name))[-1].path + "/bin/pg_ctl"
    user = [] if os.geteuid() else ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    command = [*user, binary, "-D", f"{home}/data", "-m", "immediate", "-w", "-s", "stop"]
    subprocess.run(command, cwd="/", check=True, timeout=60)


@fault("Postgres stopped immediately, started", "10", short=True)
def postgres_stopped(world, scale):
    world.running()
    worst, times = 0.0, scale
    with world.traffic() as traffic:
        for _ in range(times):
            world.wait_sent(traffic, 150)
            stop_now(world.stack)
            since = time.monotonic()
            world.stack.postgres("start")
            worst = max(worst, world.recover(since))
    return times, worst


@fault("Postgres kill -9, started", "10")
def postgres_killed(world, scale):
    processors = world.running()
    worst, times = 0.0, scale
    with world.traffic() as traffic:
        for _ in range(times):
            world.wait_sent(traffic, 300)
            world.stack.postgres("kill")
            assert processors.is_alive()
            since = time.monotonic()
            world.stack.postgres("start")
            worst = max(worst, world.recover(since))
    assert processors.is_alive()
    return times, worst


def cut(world, order, times):
    """Cuts a connection at the next request or reply of a batch, each time when all is well again."""
    proxy, worst = world.stack.pg_proxy, 0.0
    world.running()
    with world.traffic() as traffic:
        for _ in range(times):
            world.wait_sent(traffic, world.random.randrange(5, 60))
            before = proxy.cuts()
            proxy.order(order)
            wait_until(lambda: proxy.cuts() > before, 60, f"the proxy does: {order}")
            worst = max(worst, world.recover())
    return times, worst


@fault("connection cut before COMMIT", "8", short=True)
def cut_before_commit(world, scale):
    return cut(world, "cut-requests apply", 2 * scale)


@fault("connection cut after COMMIT, its reply lost", "8", short=True)
def cut_after_commit(world, scale):
    return cut(world, "cut-replies apply", 2 * scale)


@fault("connection cut at the claim, its reply lost", "8")
def cut_at_claim(world, scale):
    """The first cut makes it claim anew, the second one hits that claim."""
    proxy, worst = world.stack.pg_proxy, 0.0
    world.running()
    with world.traffic() as traffic:
        for i in range(scale):
            world.wait_sent(traffic, 30)
            before = proxy.cuts()
            proxy.order("cut-replies weir.claim")
            proxy.order("cut")
            wait_until(lambda: proxy.cuts() > before + len(ALL), 60, "the claim is cut")
            worst = max(worst, world.recover())
    return scale, worst


@fault("all backends of the processors ended", "8")
def backends_ended(world, scale):
    world.running()
    worst = 0.0
    with world.traffic() as traffic:
        for _ in range(scale):
            world.wait_sent(traffic, 50)
            world.stack.psql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'weir process %'"
            )
            worst = max(worst, world.recover())
    return scale, worst


@fault("Postgres slow, and its replies in slices of 7 bytes", "8")
def slow(world, scale):
    proxy = world.stack.pg_proxy
    world.running()
    with world.traffic() as traffic:
        with proxy.ordered("delay 30"):
            world.wait_sent(traffic, 150)
        with proxy.ordered("slice 7"):
            world.wait_sent(traffic, 150)
        seconds = world.recover()
    return 2, seconds


@fault("Postgres frozen for 8 s", "16")
def postgres_frozen(world, scale):
    world.running("--statement-timeout", "2s")
    with world.traffic() as traffic:
        world.wait_sent(traffic, 100)
        with world.stack.frozen("postgres"):
            time.sleep(8)  # longer than the statement's time and what is granted beyond it
        seconds = world.recover()
    world.stopped()
    return 1, seconds


RAISES = """
CREATE SCHEMA IF NOT EXISTS chaos;
CREATE SEQUENCE IF NOT EXISTS chaos.turn;
CREATE OR REPLACE FUNCTION chaos.raise() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    -- nextval is not rolled back: each TG_ARGV[0]-th row fails, whichever it is
    IF nextval('chaos.turn') %% TG_ARGV[0]::integer = 0 THEN
        RAISE EXCEPTION 'made by a test' USING ERRCODE = TG_ARGV[1];
    END IF;
    RETURN NEW;
END $$;
""".replace("%%", "%")


@contextlib.contextmanager
def raising(stack, table, code, every):
    """Each so manieth new row of a table fails with that SQLSTATE; trying again is a new turn."""
    stack.psql(RAISES)
    stack.psql(
        f"CREATE TRIGGER chaos BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION chaos.raise('{every}', '{code}')"
    )
    try:
        yield
    finally:
        drop_trigger(stack, table)


def drop_trigger(stack, table):
    """A processor may hold the table all the time: small tries until one gets in between."""

    def dropped():
        try:
            stack.psql(f"SET lock_timeout = '300ms'; DROP TRIGGER IF EXISTS chaos ON {table}")
            return True
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            return False

    wait_until(dropped, 60, "the trigger is dropped")


@fault("serialization, deadlock, lock errors in mid-batch", "9", short=True)
def transient_errors(world, scale):
    """Each of these passes; no attempt of an event is spent on it."""
    before = set_aside(world)
    processors = world.running()
    codes = ["40001", "40P01", "55P03", "57P03", "53300", "53100"][: 2 * scale]
    seconds = 0.0
    with world.traffic() as traffic:
        for code in codes:
            table = world.random.choice(["ledger_1.transfer", "analytics_1.hourly", "overview_1.space"])
            failures = processors.metric("weir_processor_failures_total")
            with raising(world.stack, table, code, 41):
                world.wait_sent(traffic, 200)
                wait_until(lambda: processors.metric("weir_processor_failures_total") > failures, 60, "a batch fails")
            seconds = max(seconds, world.recover())
    assert set_aside(world) == before, "something was set aside for a failure that passes"
    return len(codes), seconds


def set_aside(world):
    """How many records are parked, or are dead letters because Postgres refused them."""
    return world.stack.value(
        "SELECT (SELECT count(*) FROM weir.parked) + "
        "(SELECT count(*) FROM weir.dead_letter WHERE code LIKE '_____' AND code = upper(code))"
    )


@fault("tables locked for longer than the timeouts", "16")
def locked(world, scale):
    """A statement times out while somebody holds a table: no event is to blame, all of it comes through later."""
    stack = world.stack
    before = set_aside(world)
    world.stopped()
    processors = world.running("--lock-timeout", "500ms", "--statement-timeout", "3s")
    timeouts = lambda: processors.text().count("lock timeout")
    tables, seconds = ["ledger_1.transfer", "overview_1.space", "analytics_1.hourly"][:scale], 0.0
    with world.traffic() as traffic:
        for table in tables:
            world.wait_sent(traffic, 50)
            with stack.transaction() as holder:
                holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                before_it = timeouts()
                wait_until(lambda: timeouts() >= before_it + 5, 60, f"statements give up waiting for {table}")
            seconds = max(seconds, world.recover())
    world.stopped()
    assert set_aside(world) == before, "something was set aside because a table was locked"
    return len(tables), seconds


@fault("a table so slow that statements time out", "16")
def slow_table(world, scale):
    """Batches are halved until they fit into the time that a statement has."""
    stack = world.stack
    before = set_aside(world)
    world.stopped()
    world.running("--statement-timeout", "1s")
    with world.traffic() as traffic:
        world.wait_sent(traffic, 50)
        world.processors.freeze()
        world.wait_sent(traffic, 250)
        stack.psql(
            "CREATE SCHEMA IF NOT EXISTS chaos; CREATE OR REPLACE FUNCTION chaos.slow() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$; CREATE TRIGGER chaos BEFORE INSERT ON "
            "ledger_1.transfer FOR EACH ROW EXECUTE FUNCTION chaos.slow()"
        )
        world.processors.thaw()
        try:
            wait_until(lambda: world.processors.metric("weir_processor_failures_total", processor="ledger") > 0, 60,
                       "a statement times out")  # fmt: skip
        finally:
            drop_trigger(stack, "ledger_1.transfer")
        seconds = world.recover()
    world.stopped()
    assert set_aside(world) == before, "something was set aside because a table was slow"
    return 1, seconds
