# SPDX-License-Identifier: Apache-2.0
"""BP: what poison costs. The ledger folds purchases of which some break a constraint: all those of 1 % of the Spaces, or
1 % of all events spread evenly. Against the same topic and the same constraint, which nothing breaks.

In the first half most of the guilty Spaces are met for the first time, each of which costs a search; in the second half
they are held back already, as they are in a system that has been running.

Events are counted when they are dealt with: applied, parked or a dead letter. Parked ones are tried again meanwhile and
fail each time, as poison does."""

import shutil
import time

FOLD_DEADLINE_S = 300
ATTACH_DEADLINE_S = 30

# One expression for all, so that checking it costs the same.
CHECKS = {
    "no poison": ("space_id", -1),
    "all events of 1 % of the Spaces": ("space_id", 7),
    "1 % of the events, spread evenly": ("event_id", 7),
}


def fold(stack, events, home, column, remainder):
    """Events a second, those of the second half, and what became of them."""
    stack.fresh_database("bench")
    stack.forget_failures()
    stack.sql(f"ALTER TABLE ledger_1.transfer ADD CONSTRAINT poison CHECK (abs(hashtext({column}::text)) % 100 <> {remainder})",
              "bench")
    words = ["process", "ledger", "--database", stack.weir_conninfo("bench"), "--home", home]
    process = stack.spawn("ledger", stack.program, *words)
    named = 'processor="ledger"'

    def count(outcome):
        return stack.metric("weir_processor_events_total", named, f'outcome="{outcome}"')

    def dealt():
        return sum(count(outcome) for outcome in ("applied", "parked", "dead_letter"))

    stack.wait(process, lambda: stack.metric("weir_processor_partitions", named) > 0, ATTACH_DEADLINE_S,
               "the ledger gets its partitions", 0.005)
    started = time.monotonic()
    stack.wait(process, lambda: dealt() >= events / 2, FOLD_DEADLINE_S, f"the ledger deals with half of {events} events")
    half, at = time.monotonic(), dealt()
    stack.wait(process, lambda: dealt() >= events, FOLD_DEADLINE_S, f"the ledger deals with {events} events")
    ended = time.monotonic()
    fates = {outcome: int(count(outcome)) for outcome in ("applied", "parked", "dead_letter")}
    fates["failed calls"] = int(stack.metric("weir_processor_failures_total", named))
    fates["Spaces held back"] = int(stack.sql("SELECT count(*) FROM weir.parked_space", "bench"))
    stack.end(process)
    return events / (ended - started), (events - at) / (ended - half), fates


def impatient_home(stack):
    """The same processors, but what fails is a dead letter at once, so that nothing waits behind it."""
    home = stack.state / "impatient"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(stack.home, home)
    with open(home / "sql/processors/ledger/processor.conf", "a", encoding="utf-8") as conf:
        conf.write("\nattempts = 1\n")
    return home


def measure(stack, report, size):
    print("\nBP  poison among the ledger's purchases", flush=True)
    events, floors = size.filled["events"], (None, None)
    plans = [(name, stack.home, *check) for name, check in CHECKS.items()]
    plans.append(("the same, without parking (attempts = 1)", impatient_home(stack),
                  *CHECKS["1 % of the events, spread evenly"]))
    for name, home, column, remainder in plans:
        runs = [fold(stack, events, home, column, remainder) for _ in range(size.runs)]
        fates = ", ".join(f"{count} {fate}" for fate, count in runs[-1][2].items() if count)
        whole = report.add("BP", name, "events/s", [run[0] for run in runs], floors[0], "no poison", note=fates)
        late = report.add("BP", f"{name}, second half", "events/s", [run[1] for run in runs], floors[1], "no poison")
        floors = floors if floors[0] else (whole, late)
    stack.drop_database("bench")
