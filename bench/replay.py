# SPDX-License-Identifier: Apache-2.0
"""B4: a processor's tables built anew from a prefilled topic by `weir rebuild`, against the floors of the same machine in
the same run: reading the topic and doing nothing with it, and COPY of the very rows that came out.

For one table the floor is COPY into the table with its indexes, for the ledger COPY and then the index builds. Neither
has anything that makes events count once; the same with applied_run stands beside it. The time of a rebuild runs from
the start of the program until all rows and indexes are there; checks and the swap are added in the last column.

What is replayed is either the past, spread evenly over DAYS, of which all but the duplicate window need not be known event
by event any more, or was all sent just now, so that it must be.
"""

import json

from report import median
from stack import per_million

DAYS = 90
LEDGER_TABLES = ["ledger_2.transfer", "ledger_2.space_balance", "ledger_2.member_balance"]
EVENT_TABLES = ["event_log_2.event"]
COPY_SQL = """SELECT format('CREATE TABLE floor.%I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', relname, oid::regclass)
FROM pg_class WHERE oid = '{table}'::regclass"""
INDEX_SQL = """SELECT string_agg(replace(pg_get_indexdef(indexrelid), ' ON {schema}.', ' ON floor.'), ';')
FROM pg_index WHERE indrelid = '{table}'::regclass"""


def copy_then_index(stack, database, tables):
    """Seconds of COPY into bare tables and of the index builds after it, in one session each, and the CPU of both."""
    folder = stack.state / "copy"
    folder.mkdir(exist_ok=True)
    stack.sql("DROP SCHEMA IF EXISTS floor CASCADE; CREATE SCHEMA floor", database)
    seconds, cpu = 0.0, 0.0
    for table in tables:
        schema, name = table.split(".")
        path = folder / f"{name}.copy"
        stack.sql(stack.sql(COPY_SQL.format(table=table), database), database)
        indexes = stack.sql(INDEX_SQL.format(table=table, schema=schema), database)
        stack.sql(f"\\copy {table} TO '{path}' (FORMAT binary)", database)
        stack.sql("CHECKPOINT", database)
        before = stack.cpu()["postgres"]
        seconds += stack.timed_copy(f"floor.{name}", path, database)
        answer = stack.call("tests/services/postgres.sh", "psql", "-d", database, "-XAtqv", "ON_ERROR_STOP=1", "-c",
                            "SET maintenance_work_mem = '256MB'", "-c", "\\timing on", "-c", indexes or "SELECT 1")
        seconds += float(answer.split("Time: ")[1].split()[0]) / 1000
        cpu += stack.cpu()["postgres"] - before
        path.unlink()
    return seconds, cpu


def rebuild(stack, processor, events, *options):
    """Runs it in a database where the live generation has nothing; returns its report and what it cost in CPU."""
    stack.fresh_database("bench")
    before = stack.cpu()
    command = stack.spawn_measured("rebuild", "rebuild", processor, "--database", stack.weir_conninfo("bench"), "-o", "json",
                                   *options)
    used = per_million(before | {"processor": 0.0}, stack.cpu() | {"processor": command.cpu}, events)
    return json.loads(command.out.strip().splitlines()[-1]), used


def print_phases(title, runs):
    """Where the time of the median run went."""
    run = sorted(runs, key=lambda done: done["fold_seconds"])[len(runs) // 2]
    print(f"  {title}: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in run["phases"].items())
          + f"; until all is indexed {run['fold_seconds']:.2f} s")


def measure_one(stack, report, size, what, processor, tables, consume, options):
    events = size.filled["events"]
    rates, whole, used, copies, copies_all, copy_cpu, reports = [], [], [], [], [], [], []
    title = f"{processor} {what}"
    applied = tables[0].split(".")[0] + ".applied_run"
    for _ in range(size.runs):
        done, cpu = rebuild(stack, processor, events, *options)
        reports.append(done)
        rates.append(events / done["fold_seconds"])
        whole.append(events / done["seconds"])
        used.append(cpu)
        if processor == "ledger":
            seconds, cpu_s = copy_then_index(stack, "bench", tables)
            extra, _ = copy_then_index(stack, "bench", [applied])
        else:
            times, cpus = stack.copy_time("bench", tables + [applied])
            extra = times.pop("applied_run")
            cpus.pop("applied_run")
            seconds, cpu_s = sum(times.values()), sum(cpus.values())
        copies.append(events / seconds)
        copies_all.append(events / (seconds + extra))
        copy_cpu.append({"postgres": cpu_s / events * 1e6})
    name = "COPY + index build" if processor == "ledger" else "COPY"
    copy = report.add("B4", f"{title}: {name}", "events/s", copies)
    every = report.add("B4", f"{title}: the same with applied_run", "events/s", copies_all)
    floor, floor_name = min((copy, name), (consume, "consume"))
    report.add("B4", f"{title}: weir rebuild", "events/s", rates, floor, floor_name)
    report.add("B4", f"{title}: the same", "events/s", rates, min(every, consume), f"{name} with applied_run")
    report.add("B4", f"{title}: with checks and swap", "events/s", whole)
    print_phases(title, reports)
    report.cpu("B4", f"{title}: {name}", copy_cpu)
    report.cpu("B4", f"{title}: weir rebuild", used)
    return median(rates) / floor


def measure_filled(stack, report, size, what, options):
    """The two ratios, of one table and of the ledger, of what the topics hold now."""
    print(f"\nB4  replay of {size.filled['events']} purchases, {what}", flush=True)
    reads = [stack.tool("consume", events=size.filled["events"])["rate"] for _ in range(size.runs)]
    consume = report.add("B4", f"consume {what}", "events/s", reads)
    one = measure_one(stack, report, size, what, "event_log", EVENT_TABLES, consume, options)
    report.check("B4", f"rows and their sum, {what}",
                 stack.sql("SELECT count(*) || ' ' || sum(total) FROM event_log_2.event", "bench"),
                 f"{size.filled['events']} {size.filled['total']}")
    ledger = measure_one(stack, report, size, what, "ledger", LEDGER_TABLES, consume, options)
    report.check("B4", f"purchases and their sum, {what}",
                 stack.sql("SELECT count(*) || ' ' || sum(amount) FROM ledger_2.transfer WHERE kind = 'purchase'",
                           "bench"), f"{size.filled['purchases']} {size.filled['total']}")
    stack.drop_database("bench")
    return one, ledger


def measure_past(stack, report, size, fill, options=()):
    fill(DAYS)
    return measure_filled(stack, report, size, f"of {DAYS} days", options)


def measure(stack, report, size, fill, options=()):
    fill(0)
    recent = measure_filled(stack, report, size, "of today", options)
    past = measure_past(stack, report, size, fill, options)
    lines = [f"{what}: one table {one:.2f}, ledger {ledger:.2f}" for what, (one, ledger) in
             (("replay of today, all inside the duplicate window", recent), ("replay", past))]
    return "\n".join(lines)
