# SPDX-License-Identifier: Apache-2.0
"""B1 and B3: a prefilled topic folded into tables, against COPY of the very rows that came out of it."""

import time

import decode
from report import median
from stack import per_million

FOLD_DEADLINE_S = 180
ATTACH_DEADLINE_S = 30
LEDGER_TABLES = ["ledger_1.transfer", "ledger_1.space_balance", "ledger_1.member_balance"]


def fold(stack, processor, events, *options):
    """Runs a processor over what is in the topics; returns seconds from its first partition to its last event,
    and its CPU seconds per million events."""
    stack.fresh_database("bench")
    before = stack.cpu()
    process = stack.start_weir(processor, "process", processor, "--database", stack.weir_conninfo("bench"), *options)
    named = f'processor="{processor}"'

    def applied():
        return stack.metric("weir_processor_events_total", named, "applied") >= events

    stack.wait(process, lambda: stack.metric("weir_processor_partitions", named) > 0, ATTACH_DEADLINE_S,
               f"{processor} gets its partitions", 0.005)
    started = time.monotonic()
    stack.wait(process, applied, FOLD_DEADLINE_S, f"{processor} folds {events} events")
    seconds = time.monotonic() - started
    used = per_million(before | {"processor": 0.0}, stack.cpu(processor=process), events)
    batches = stack.metric("weir_processor_batches_total", named)
    stack.end(process)
    return seconds, used, events / max(batches, 1)


class Runs:
    """A processor's runs, each followed by COPY of the rows it made: into its own tables, and into the engine's
    applied_run, which is the price of having each event once."""

    def __init__(self, stack, processor, events, tables, runs):
        self.rates, self.cpu, self.batches = [], [], []
        self.copies, self.copies_all, self.copy_cpu, self.copy_all_cpu = [], [], [], []
        applied = tables[0].split(".")[0] + ".applied_run"
        for _ in range(runs):
            seconds, used, rows = fold(stack, processor, events)
            self.rates.append(events / seconds)
            self.cpu.append(used)
            self.batches.append(rows)
            seconds, used = stack.copy_time("bench", tables + [applied])
            own, own_cpu = sum(seconds.values()), sum(used.values())
            self.copies_all.append(events / own)
            self.copy_all_cpu.append({"postgres": own_cpu / events * 1e6})
            self.copies.append(events / (own - seconds["applied_run"]))
            self.copy_cpu.append({"postgres": (own_cpu - used["applied_run"]) / events * 1e6})

    def report(self, report, group, what, consume_rate=None):
        copy = report.add(group, f"{what}: COPY into its tables", "events/s", self.copies)
        every = report.add(group, f"{what}: and into applied_run", "events/s", self.copies_all)
        floor, name = min((copy, "COPY"), (consume_rate or copy, "consume"))
        report.add(group, f"{what}: weir process", "events/s", self.rates, floor, name,
                   note=f"batches of {median(self.batches):.0f}")
        all_floor = min(every, consume_rate or every)
        report.add(group, f"{what}: the same", "events/s", self.rates, all_floor, "COPY with applied_run")
        # what a busy machine cannot change much
        report.add(group, f"{what}: CPU of Postgres", "s/M", [run["postgres"] for run in self.cpu],
                   median([run["postgres"] for run in self.copy_all_cpu]), "COPY with applied_run", better="lower")
        report.cpu(group, f"{what}: COPY into its tables", self.copy_cpu)
        report.cpu(group, f"{what}: and into applied_run", self.copy_all_cpu)
        report.cpu(group, f"{what}: weir process", self.cpu)
        return median(self.rates) / all_floor


def event_log(stack, report, size, consume_rate):
    print("\nB1  event log: one table, primary key event_id", flush=True)
    runs = Runs(stack, "event_log", size.filled["events"], ["event_log_1.event"], size.runs)
    report.check("B1", "rows and their sum",
                 stack.sql("SELECT count(*) || ' ' || sum(total) FROM event_log_1.event", "bench"),
                 f"{size.filled['events']} {size.filled['total']}")
    runs.report(report, "B1", "event log", consume_rate)
    stack.drop_database("bench")


def ledger(stack, report, size, kind):
    filled = size.filled
    print(f"\nB3  ledger: {filled['events']} events, {kind}", flush=True)
    runs = Runs(stack, "ledger", filled["events"], LEDGER_TABLES, size.runs)
    report.check("B3", f"purchases and their sum, {kind}",
                 stack.sql("SELECT count(*) || ' ' || sum(amount) FROM ledger_1.transfer WHERE kind = 'purchase'",
                           "bench"), f"{filled['purchases']} {filled['total']}")
    report.check("B3", f"what all legs and all balances sum to, {kind}",
                 stack.sql("SELECT coalesce(sum(amount), 0) || ' ' || (SELECT sum(balance) FROM ledger_1.account) "
                           "FROM ledger_1.entry", "bench"), "0 0")
    ratio = runs.report(report, "B3", f"ledger, {kind}")
    if kind == "purchases":
        decode.share(report, "B3", f"ledger, {kind}", "ProductPurchased", median([run["processor"] for run in runs.cpu]))
    stack.drop_database("bench")
    return ratio
