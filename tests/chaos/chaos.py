# SPDX-License-Identifier: Apache-2.0
"""The chaos suite: breaks what the program stands on, under a platform's traffic, heals it, and counts.

    ./dev chaos [--seed N] [--minutes M] [--short] [--only TEXT]… [--list]

Each fault once, in an order that the seed decides, on one stack that is never cleaned up in between (but where a fault
spoils the topics); with --minutes then faults at random until the time is over. After each of them everything that was
ever sent is held against the tables (tests/system/world.py). It prints a table, and exits with 1 if anything was lost,
doubled or reordered, an invariant broke, or nothing came back in time.
"""

import argparse
import random
import sys
import time
import traceback

import parts
import faults_data  # noqa: F401  each registers its faults
import faults_disk  # noqa: F401
import faults_kafka  # noqa: F401
import faults_log  # noqa: F401
import faults_mock  # noqa: F401
import faults_owner  # noqa: F401
import faults_poison  # noqa: F401
import faults_postgres  # noqa: F401
import faults_rebuild  # noqa: F401
from world import DAMAGE, Result, damage_is_seen


def arguments():
    parser = argparse.ArgumentParser(prog="./dev chaos", description="Break things, heal them, and count.")
    parser.add_argument("--seed", type=int, help="of the order, the moments and the traffic; printed if left out")
    parser.add_argument("--minutes", type=float, default=0, help="go on with faults at random until then")
    parser.add_argument("--short", action="store_true", help="the faults of the short run alone, fewer times each")
    parser.add_argument("--only", action="append", default=[], help="faults whose name contains this")
    parser.add_argument("--tap", action="store_true", help="a line of TAP for each fault as well")
    parser.add_argument("--list", action="store_true", help="say what there is")
    return parser.parse_args()


class Run:
    def __init__(self, options, stack):
        self.options = options
        self.stack = stack
        self.random = random.Random(options.seed)
        self.failed = []
        self.skipped = {}
        self.began = time.monotonic()

    def say(self, text):
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", file=sys.stderr, flush=True)

    def attempt(self, name, times):
        """Runs `times`; a failure is noted and repaired, and the run goes on."""
        try:
            times()
            return True
        except Exception as failure:  # whatever it is, the next fault is still worth its time
            text = str(failure) or traceback.format_exc()
            self.failed.append((name, text))
            self.say(f"FAILED {name}: {text}")
            if not isinstance(failure, AssertionError):
                traceback.print_exc()
            sys.stderr.write(self.stack.logs_tail() + "\n")
            return False

    def nothing(self):
        """Without a fault all is well, and the checks would see if it were not."""
        with self.world.traffic(300 if self.options.short else 1000):
            self.world.running()
        self.world.verify("none", 0, self.world.recover())
        for what in DAMAGE:
            damage_is_seen(self.world, what)

    def inject(self, fault):
        world = self.world
        if fault.needs and not fault.needs[0](world):
            self.skipped[fault.name] = fault.needs[1]
            return

        def whole():
            results = len(world.results)
            times, seconds = fault.run(world, 1 if self.options.short else 3)
            if fault.anew:  # it has looked for itself
                world.results.append(Result(fault.name, times, 0, 0, 0, seconds))
                world.begin_anew()
            elif len(world.results) == results:
                world.running()
                world.verify(fault.name, times, seconds)
            world.count_descriptors()

        self.say(fault.name)
        if not self.attempt(fault.name, whole):
            if not any(result.fault == fault.name for result in world.results[-1:]):
                world.results.append(Result(fault.name, 0, 0, 0, 0, float("nan")))
            if not self.attempt(f"after {fault.name}", world.begin_anew if fault.anew else world.repair):
                world.begin_anew()

    def schedule(self):
        """The faults of this run, one after the other; endless with --minutes."""
        chosen = [fault for fault in parts.FAULTS if fault.short or not self.options.short or self.options.only]
        if self.options.only:
            chosen = [fault for fault in chosen if any(text in fault.name for text in self.options.only)]
        first = chosen[:]
        self.random.shuffle(first)
        # what spoils the topics comes last: the more lies in them until then, the better
        yield from sorted(first, key=lambda fault: fault.anew)
        while self.options.minutes and chosen:
            yield self.random.choice(chosen)

    def run(self):
        self.stack.up()
        self.world = parts.ChaosWorld(self.stack, self.options.seed)
        self.attempt("none", self.nothing)
        for fault in self.schedule():
            if self.options.minutes and time.monotonic() - self.began > self.options.minutes * 60:
                break
            self.inject(fault)
        self.attempt("the topics, read again from their beginning", self.read_again)

    def read_again(self):
        """What is in the topics now is what was seen when it came."""
        seen, self.world.entries, self.world.ends = self.world.entries, [], {}
        if not seen:
            return  # a fault has spoilt the topics, and nothing has come since
        self.world.running()
        self.world.verify("all of it, the topics read anew", 0, self.world.recover())
        at = {entry.at: entry for entry in self.world.entries}
        gone = [entry.at for entry in seen if at.get(entry.at) != entry]
        assert not gone, f"records are gone from the topics or have changed: {gone[:5]}"

    def report(self):
        print("\n".join(self.world.table()))
        for name, why in self.skipped.items():
            print(f"skipped: {name}: {why}")
        if self.options.tap:
            self.print_tap()
        for name, text in self.failed:
            print(f"FAILED: {name}: {text}")
        totals = [sum(getattr(result, kind) for result in self.world.results) for kind in ("lost", "doubled", "reordered")]
        print("seed {}: {} lost, {} doubled, {} reordered, {} failed".format(self.options.seed, *totals, len(self.failed)))
        return 1 if any(totals) or self.failed else 0


    def print_tap(self):
        """For the counts of tests/run."""
        failed = {name.removeprefix("after ") for name, _ in self.failed}
        for result in self.world.results:
            bad = result.fault in failed or result.lost or result.doubled or result.reordered
            print(f"{'not ok' if bad else 'ok'} - chaos: {result.fault}")
        for name, why in self.skipped.items():
            print(f"ok - chaos: {name} # SKIP {why}")


def main():
    options = arguments()
    if options.list:
        for fault in parts.FAULTS:
            print(f"{fault.name:<58} row {fault.rows}{', short run' if fault.short else ''}")
        return 0
    options.seed = options.seed if options.seed is not None else random.randrange(10**6)
    print(f"seed {options.seed}", file=sys.stderr)
    stack = parts.ChaosStack()
    run = Run(options, stack)
    try:
        run.run()
    finally:
        code = run.report() if hasattr(run, "world") else 1
        sys.stdout.flush()
        stack.down()
    return code


sys.exit(main())
