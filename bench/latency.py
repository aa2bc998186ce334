# SPDX-License-Identifier: Apache-2.0
"""B5: from when an event was due to when its row was committed, open loop. The floor is the same producer at the
same rate, a consumer, and one commit of one row for each group of events that had arrived together."""

import time

ATTACH_DEADLINE_S = 30
FOLD_DEADLINE_S = 60
WARM_UP_S = 1
QUANTILES = (("p50", "0.5"), ("p99", "0.99"), ("p99.9", "0.999"))


def rows_latency(stack):
    """Exact, from the rows: occurred_at is when the event was due, on the clock that Postgres stamps commits with."""
    parts = ", ".join(f"percentile_disc({share}) WITHIN GROUP (ORDER BY late)" for _, share in QUANTILES)
    answer = stack.sql(
        f"SELECT {parts} FROM (SELECT 1000 * extract(epoch FROM pg_xact_commit_timestamp(xmin) - occurred_at) AS late, "
        "occurred_at, min(occurred_at) OVER () AS first FROM ledger_1.transfer) t "
        f"WHERE occurred_at > first + interval '{WARM_UP_S} s'", "bench")
    return [float(value) for value in answer.split("|")]


def at_rate(stack, report, size, rate):
    events = rate * (size.latency_s + WARM_UP_S)
    runs, floors = [], []
    for run in range(size.latency_runs):
        stack.reset_topics()
        stack.fresh_database("bench")
        process = stack.start_weir("latency", "process", "ledger", "--database", stack.weir_conninfo("bench"))
        stack.wait(process, lambda: stack.metric("weir_processor_partitions") > 0, ATTACH_DEADLINE_S, "the ledger")
        time.sleep(0.5)
        fill = stack.tool("fill", events=events, rate=rate, linger_ms=1, seed=run + 1)
        stack.wait(process, lambda: stack.metric("weir_processor_events_total", "applied") >= events,
                   FOLD_DEADLINE_S, f"the ledger folds {events} events at {rate}/s")
        stack.end(process)
        runs.append(rows_latency(stack))
        floor = stack.tool("trip", topic="weir.community", rate=rate, events=events, linger_ms=1,
                           database=stack.conninfo("bench"))
        floors.append([floor["commit"][key] for key in ("p50_ms", "p99_ms", "p999_ms")])
    report.check("B5", f"transfers at {rate}/s", stack.sql("SELECT count(*) || ' ' || sum(amount) FROM ledger_1.transfer",
                                                           "bench"), f"{events} {fill['total']}")
    for i, (name, _) in enumerate(QUANTILES):
        report.add("B5", f"event to row in the ledger, {rate}/s, {name}", "ms", [r[i] for r in runs],
                   sorted(f[i] for f in floors)[len(floors) // 2], "produce, consume, commit", better="lower")
    stack.drop_database("bench")


def measure(stack, report, size):
    print("\nB5  latency, open loop, from the time an event was due", flush=True)
    for rate in (1000, 5000):
        at_rate(stack, report, size, rate)
