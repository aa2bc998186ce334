# SPDX-License-Identifier: Apache-2.0
"""The hostile suite: attacks on a running system, each beside an honest client whose latency and errors are the result.

    ./dev hostile [--sanitize] [--only TEXT]… [--seconds S] [--list]

One gateway and one `weir process` with all processors run on a broker and a database of their own. For each attack the
honest client (honest.py) is measured in a quiet phase first, then while the attack runs. The attack passes when

- the honest client saw no error: each event acknowledged, each read answered, each probe of /livez fine
- its p99 of each kind (ack, read, row: from the request to a read that shows the event, probe) stayed within 3 times that
  of the quiet phase, or below a floor: 2 s in the short run, whose machine is busy with other tests, 300 ms in the full one
- what the attack itself claims is true
- both processes still run, nobody is halted, the lag returns to 0, `weir audit` says that all is well, and the memory
  and the descriptors of the gateway and the processors stay within limits

A p99 above its limit is measured again, twice at most, since the machine has other things to do; an error never is.
With --sanitize a p99 is only shown, and there is no limit for memory: that build is slow, and keeps what was freed.

At the end all processors are rebuilt from the topics and compared with what is live, row by row.

The result is a line of TAP for each attack. Whatever an attack left behind (a halt, say) is thrown away before the next one.

An attack is a module in this folder with a function `attack`; no list names it. What it may hold:

    \"\"\"slow headers: 1,100 connections whose headers never end\"\"\"     the first line is its name
    RATE = 300                              honest events a second (100)
    SHORT = False                           not part of the short run (it is)
    GATEWAY = ("--connections-max", 64)     more options for the gateway, and PROCESS for the processors

    def prepare(target):                    optional: before the quiet phase
    def attack(target, seconds):            runs for about so long, in this process, while the honest client is measured;
                                            must end by itself. Returns {claim: value}: a value that is True or False is
                                            a claim that must be True, anything else is printed
    def after(target):                      optional: once the honest client was measured: puts right what an operator would,
                                            by command line, and returns claims as well

`target` is a Target (target.py): the system tests' Stack, plus clients for attacks. Attackers come from 127.0.0.1 and the
honest client from 127.0.0.2, so limits by address tell them apart.
"""

import argparse
import importlib
import math
import pathlib
import signal
import sys
import time
import traceback

from target import SANITIZED, Honest, Target

HERE = pathlib.Path(__file__).resolve().parent
RATIO = 3
FLOOR_SHORT_MS, FLOOR_FULL_MS = 2000, 300
SHORT_S, FULL_S = 4, 20
MEASURED_S = 1  # at least
MEASURED_TIMES = 3  # while nothing but a p99 is wrong
MEMORY_GROWTH_MB = 400  # of each process during one attack


def find_attacks():
    """{name of the module: module} of those with an attack."""
    names = [path.stem for path in sorted(HERE.glob("*.py")) if "\ndef attack(" in path.read_text()]
    return {name: importlib.import_module(name) for name in names}


def title(name, module):
    return f"{name}: {module.__doc__.strip().splitlines()[0]}"


class Run:
    def __init__(self, options, target):
        self.options = options
        self.target = target
        self.began = time.monotonic()
        self.failed = 0

    def say(self, text):
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", file=sys.stderr, flush=True)

    def errors_of(self, attacked):
        for kind, now in attacked.items():
            if now["errors"]:
                yield f"{now['errors']} of {now['count']} honest {kind} failed: {now['examples']}"
            if not now["count"]:
                yield f"the honest client made no {kind}"

    def slow(self, quiet, attacked):
        """What took the honest client too long."""
        if SANITIZED:
            return
        floor = FLOOR_SHORT_MS if self.options.short else FLOOR_FULL_MS
        for kind, now in attacked.items():
            before = quiet.get(kind)
            if before and before["count"] and now["p99_ms"] > max(RATIO * before["p99_ms"], floor):
                yield f"honest {kind} p99 {now['p99_ms']:.0f} ms, quiet {before['p99_ms']:.0f} ms"

    def measure(self, module, seconds):
        """One attack beside the honest client: (figures, what is wrong, what took too long)."""
        target, wrong, facts = self.target, [], {}
        prepare, after = getattr(module, "prepare", None), getattr(module, "after", None)
        target.with_options(getattr(module, "GATEWAY", ()), getattr(module, "PROCESS", ()))
        if prepare:
            prepare(target)
        with Honest(target, getattr(module, "RATE", 100)) as honest:
            quiet = honest.phase("quiet", seconds=max(2, seconds / 4))
            target.begin_watch()
            honest.begin("attacked")
            began = time.monotonic()
            try:
                facts.update(module.attack(target, seconds) or {})
                time.sleep(max(0, MEASURED_S - (time.monotonic() - began)))  # a measurement, not a wait
            finally:
                attacked = honest.end()
                honest.begin("after")
            wrong += self.errors_of(attacked)
            facts.update(after(target) or {} if after else {})
            target.secrets_kept()
        wrong += [f"not true: {claim}" for claim, value in facts.items() if value is False]
        facts.update(target.end_watch(math.inf if SANITIZED else MEMORY_GROWTH_MB))
        target.all_is_well()
        return self.figures(quiet, attacked, facts), wrong, list(self.slow(quiet, attacked))

    def figures(self, quiet, attacked, facts):
        kinds = [f"{kind} {quiet[kind]['p99_ms']:.0f}→{now['p99_ms']:.0f}" for kind, now in attacked.items() if kind in quiet]
        errors = sum(now["errors"] for now in attacked.values())
        shown = [f"{claim} {value}" for claim, value in facts.items() if not isinstance(value, bool)]
        return f"honest p99 ms quiet→attacked: {', '.join(kinds)}; {errors} errors" + "".join(f"; {text}" for text in shown)

    def inject(self, name, module, seconds):
        self.say(title(name, module))
        figures, wrong = "", []
        try:
            for _ in range(MEASURED_TIMES):
                figures, wrong, slow = self.measure(module, seconds)
                if wrong or not slow:
                    break
                self.say(f"slow: {slow}")
            wrong += slow
        except Exception as failure:  # whatever it is, the next attack is still worth its time
            wrong = [str(failure) or type(failure).__name__]
            if not isinstance(failure, AssertionError):
                traceback.print_exc()
        self.failed += bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} - hostile: {title(name, module)}; {figures}")
        for text in wrong:
            print("# " + text.replace("\n", "\n# "), flush=True)
        if wrong:
            sys.stderr.write(self.target.logs_tail() + "\n")
            self.target.begin_anew()

    def hold_against_rebuild(self):
        """What the processors made of all of it, and of what was decided since, is what its topics say."""
        self.target.with_options()
        done = self.target.run("rebuild", "--all", "--verify", "--no-swap", check=False, timeout=600)
        self.failed += done.returncode != 0
        print(f"{'not ok' if done.returncode else 'ok'} - hostile: what was rebuilt afterwards equals what is live")
        if done.returncode:
            print("# " + (done.stdout + done.stderr).replace("\n", "\n# "), flush=True)

    def run(self, attacks):
        self.target.up()
        self.say("the stack is up")
        for name, module in attacks.items():
            self.inject(name, module, self.options.seconds)
        self.hold_against_rebuild()
        print(f"1..{len(attacks) + 1}")
        return 1 if self.failed else 0


def main():
    parser = argparse.ArgumentParser(prog="./dev hostile", description="Attack a running system beside an honest client.")
    parser.add_argument("--only", action="append", default=[], help="attacks whose name contains this")
    parser.add_argument("--seconds", type=float, help=f"of each attack ({FULL_S}; {SHORT_S} in the short run)")
    parser.add_argument("--short", action="store_true", help="the short run, as ./dev test does it")
    parser.add_argument("--list", action="store_true", help="say what there is")
    options = parser.parse_args()
    options.seconds = options.seconds or (SHORT_S if options.short else FULL_S)
    attacks = {
        name: module
        for name, module in find_attacks().items()
        if (not options.short or getattr(module, "SHORT", True))
        and (not options.only or any(text in title(name, module) for text in options.only))
    }
    if options.list:
        for name, module in attacks.items():
            print(title(name, module) + ("" if getattr(module, "SHORT", True) else " (full run only)"))
        return 0
    if not attacks:
        parser.error(f"no attack is called {' or '.join(options.only)}; --list names them")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended
    target = Target()
    try:
        return Run(options, target).run(attacks)
    finally:
        sys.stdout.flush()
        target.down()


sys.exit(main())
