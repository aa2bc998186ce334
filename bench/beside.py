# SPDX-License-Identifier: Apache-2.0
"""BB: what a rebuild does to the live processor beside it. Purchases come open loop at a modest rate; how late their rows
are is measured alone, before and after, and while `weir rebuild ledger --verify --no-swap` builds the same ledger from
its history. The latency alone is the floor; the target is at most twice as much at p99. How much of that is the machine's
is told by the same beside a program that only keeps one core busy.

A row counts to the phase of the rebuild in which its event was due, as `-o jsonl` tells the phases."""

import json
import subprocess
import time

from latency import ATTACH_DEADLINE_S, FOLD_DEADLINE_S, QUANTILES
from report import number
from stack import Failed

RATE = 1000
WARM_UP_S = 2
HISTORY_DEADLINE_S = 120
REBUILD_DEADLINE_S = 120
LONGEST_S = 180  # of traffic beside the rebuild; it is ended when that is
SETTLE_S = 2     # behind it, before traffic counts as alone again
FEW = 200  # rows: of fewer no p99 is told
TARGET = 2.0


def late(stack, windows):
    """(rows, p50, p99, p99.9, latest, p99 of the second in the middle) in ms, of the events that were due in any of the
    windows. Exact, as in B5. One stall of the machine decides the p99 of some seconds, but not that of the one in the
    middle."""
    when = " OR ".join(f"occurred_at >= to_timestamp({start:.6f}) AND occurred_at < to_timestamp({end:.6f})"
                       for start, end in windows)
    parts = ", ".join(f"percentile_disc({share}) WITHIN GROUP (ORDER BY late)" for _, share in QUANTILES)
    answer = stack.sql(
        "WITH t AS (SELECT date_trunc('second', occurred_at) AS second, 1000 * extract(epoch FROM "
        f"pg_xact_commit_timestamp(xmin) - occurred_at) AS late FROM ledger_1.transfer WHERE {when}), "
        "s AS (SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY late) AS late FROM t GROUP BY second "
        f"HAVING count(*) >= {FEW}) "
        f"SELECT count(*), {parts}, max(late), (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY late) FROM s) FROM t",
        "bench")
    rows, *values = answer.split("|")
    return int(rows), *(float(value or 0) for value in values)


def traffic(stack, seconds, seed):
    return stack.spawn("beside", stack.program.parent / "bench", "fill", f"brokers=127.0.0.1:{stack.kafka_port}",
                       f"rate={RATE}", f"events={int(RATE * seconds)}", "linger_ms=1", f"seed={seed}")


def alone(stack, seconds, seed):
    process = traffic(stack, WARM_UP_S + seconds, seed)
    start = time.time() + WARM_UP_S
    if process.wait(FOLD_DEADLINE_S):
        raise Failed(f"traffic: exit code {process.returncode}; the log is {process.log}")
    stack.end(process)
    return start, start + seconds


def busy(stack, seconds):
    """A window in which something needs a core."""
    process = stack.spawn("busy", "sh", "-c", "while :; do :; done")
    start = time.time()
    time.sleep(seconds)
    end = time.time()
    process.kill()
    stack.end(process)
    return start, end


def rebuild(stack, options):
    """Runs one; returns its phases as (name, start, end) and its report."""
    words = [stack.program, "rebuild", "ledger", "--verify", "--no-swap", "--database", stack.weir_conninfo("bench"), "--home",
             stack.home, "-o", "jsonl", *options]
    phases, report, told = [], {}, None
    with open(stack.state / "log" / "rebuild.log", "a", encoding="utf-8") as log:
        process = subprocess.Popen([str(word) for word in words], env=stack.env, stdout=subprocess.PIPE, stderr=log,
                                   text=True)
        stack.processes.append(process)
        for line in process.stdout:
            told = json.loads(line)
            if "phase" not in told:
                report = told
            elif not phases or phases[-1][0] != told["phase"]:
                phases.append((told["phase"], time.time()))
        process.wait(REBUILD_DEADLINE_S)
    stack.processes.remove(process)
    if process.returncode:
        raise Failed(f"weir rebuild: exit code {process.returncode}; the log is {log.name}")
    ends = [start for _, start in phases[1:]] + [time.time()]
    return [(name, start, end) for (name, start), end in zip(phases, ends)], report


def add(report, what, found, floor=None):
    rows, p50, p99, _, latest, usual = found
    note = f"{rows} events, p50 {number(p50)}, latest {number(latest)}, p99 of the second in the middle {number(usual)}"
    if rows >= FEW:
        report.add("BB", what, "ms", [p99], floor, "alone", better="lower", note=note)


def measure(stack, report, size, options=()):
    print(f"\nBB  event to row at {RATE}/s, beside a rebuild of {size.filled['events']} purchases", flush=True)
    stack.fresh_database("bench")
    process = stack.start_weir("beside-process", "process", "ledger", "--database", stack.weir_conninfo("bench"))
    stack.wait(process, lambda: stack.metric("weir_processor_partitions") > 0, ATTACH_DEADLINE_S, "the ledger")
    stack.wait(process, lambda: stack.metric("weir_processor_events_total", "applied") >= size.filled["events"],
               HISTORY_DEADLINE_S, f"the ledger folds {size.filled['events']} events")
    time.sleep(SETTLE_S)
    quiet = [alone(stack, size.latency_s, 71)]
    beside = traffic(stack, LONGEST_S, 72)
    time.sleep(WARM_UP_S)
    phases, told = rebuild(stack, options)
    time.sleep(SETTLE_S)
    one_core = busy(stack, size.latency_s)
    stack.end(beside)
    time.sleep(SETTLE_S)
    quiet.append(alone(stack, size.latency_s, 73))
    time.sleep(SETTLE_S)
    stack.end(process)
    report.check("BB", "both generations at one vector", told.get("verified"), "equal")
    last_line = add_figures(stack, report, phases, quiet, one_core)
    stack.drop_database("bench")
    return last_line


def add_figures(stack, report, phases, quiet, one_core):
    floor = late(stack, quiet)
    add(report, "event to row, p99, alone", floor)
    add(report, "beside a busy loop", late(stack, [one_core]), floor[2])
    whole = late(stack, [(phases[0][1], phases[-1][2])])
    add(report, "beside a rebuild", whole, floor[2])
    for name in dict.fromkeys(name for name, *_ in phases):
        windows = [(start, end) for phase, start, end in phases if phase == name]
        seconds = sum(end - start for start, end in windows)
        add(report, f"beside: {name}, {seconds:.1f} s", late(stack, windows), floor[2])
    return (f"beside: p99 {floor[2]:.1f} ms alone, {whole[2]:.1f} ms beside a rebuild of "
            f"{phases[-1][2] - phases[0][1]:.0f} s, {whole[2] / floor[2]:.2f} times as much, target {TARGET:g}; of the second "
            f"in the middle {floor[5]:.1f} and {whole[5]:.1f} ms, {whole[5] / floor[5]:.2f} times")
