# SPDX-License-Identifier: Apache-2.0
"""A stack under a platform's traffic, and what must hold of it after each fault.

Everything that was ever sent is held against the tables in ways that do not know of each other: what `weir simulate`
says it sent, a fold of the topics in Python (fold.py), the processors' own checks, and `weir audit`. Used by
test_exactly_once.py and by tests/chaos.
"""

import collections
import contextlib
import itertools
import json
import random
import signal
import time

import requests

import applied
import events
from fold import Difference, Fold, broken_checks, read_entry
from harness import wait_until

RATE = 250
ALL = tuple(events.PROCESSORS)
FAST = ("--session-timeout", "6s")
RECOVER_S = 75  # in which everything must be in the tables again once a fault is over
FLOWS = {"purchase": "purchases", "refund": "refunds", "membership": "memberships", "tip": "tips"}

Result = collections.namedtuple("Result", "fault times lost doubled reordered seconds")


class World:
    """The stack, everything that was sent to it, and what became of it."""

    def __init__(self, stack, seed):
        self.stack = stack
        self.random = random.Random(seed)
        self.seeds = itertools.count(seed)
        self.reports = []
        self.other_events = 0  # acknowledged by the gateway, but not sent by the simulator
        self.own_spaces = set()  # Spaces that tests send records to past the gateway
        self.dead = {processor: set() for processor in ALL}  # places of events that cannot be applied
        self.late = {processor: {} for processor in ALL}  # {place: the offset that it was applied behind}
        self.entries = []
        self.ends = {}
        self.known = set()
        self.results = []
        self.sent_before = 0  # acknowledged in topics that are gone since
        self.gateway = stack.start_gateway()

    # Traffic

    @contextlib.contextmanager
    def traffic(self, count=None, rate=RATE):
        """A platform of its own sends `count` events meanwhile, or as many as it can; afterwards all of them are
        acknowledged."""
        answered = self.answered()
        process = self.stack.start(
            "simulate", "simulate", "--events", count or 10**6, "--rate", rate, "--spaces", 12,
            "--seed", next(self.seeds), "-o", "json",
        )  # fmt: skip
        try:
            wait_until(lambda: self.answered() not in (None, answered) or not process.is_alive(), 60, "traffic flows")
            yield process
        finally:
            # also when the fault's own test failed: the sums of the tests behind it count this one's events
            self.heal()
            if count is None:
                self.wait_sent(process, 100)  # it has a moment to finish from here on, so there must be answers
                process.send(signal.SIGINT)
            code = process.wait(150)
            self.reports.append(json.loads(process.out.read_text()))
            self.stack.processes.remove(process)
            assert code == 0 and self.reports[-1]["exact"], process.text()

    def heal(self):
        self.stack.heal()

    def wait_sent(self, process, more):
        """Until the gateway has answered that many events more, or the traffic is at its end."""
        seen = None

        def enough():
            nonlocal seen, more
            now = self.answered()
            if now is not None:
                if seen is not None:
                    more -= now - seen if now >= seen else now  # less: another gateway
                seen = now
            return more <= 0 or not process.is_alive()

        wait_until(enough, 60, "traffic flows")

    def answered(self):
        """As the gateway counts; None while it does not say."""
        try:
            return self.gateway.metric("weir_gateway_events_total", outcome="accepted")
        except requests.RequestException:
            return None

    def started(self, *options, **more):
        return self.stack.start_processors(*ALL, options=(*FAST, *options), **more)

    def static(self, name):
        """Options of a member that keeps its place in the group over a restart, so that none has to wait for it."""
        return *FAST, "--kafka", f"group.instance.id={name}"

    def recover(self, since=None):
        """Seconds from the end of the fault until everything that was there by then is in the tables."""
        since = since or time.monotonic()
        self.stack.wait_drained(*ALL, deadline=RECOVER_S)
        return time.monotonic() - since

    # Checks

    def read_topics(self):
        """Takes what is new in the topics; what was read before is still there, record by record, at the end."""
        for place, messages in sorted(self.stack.records(since=self.ends).items()):
            self.entries += [read_entry(message) for message in messages]
            self.ends[place] = messages[-1].offset() + 1
        self.entries.sort(key=lambda entry: entry.at)

    def folds(self):
        if not any(self.dead.values()) and not any(self.late.values()):
            return Fold(self.entries)
        return {name: Fold(self.entries, self.dead[name], self.late[name]) for name in ALL}

    def compare(self):
        """The Difference, of which only what no fault before has caused is left."""
        self.read_topics()
        difference = Difference(self.stack, self.folds())
        for kind in ("lost", "doubled", "reordered", "wrong"):
            found = getattr(difference, kind)
            fresh = [one for one in found if repr(one) not in self.known]
            self.known.update(map(repr, found))
            setattr(difference, kind, fresh)
        return difference

    def verify(self, fault, times, seconds):
        """Everything that was ever sent is there, once, in order."""
        stack = self.stack
        stack.wait_drained(*ALL)
        difference = self.compare()
        self.results.append(
            Result(fault, times, len(difference.lost), len(difference.doubled), len(difference.reordered), seconds)
        )
        assert not difference, str(difference)
        for processor in ALL:
            assert broken_checks(stack, processor) == []
        assert stack.psql("SELECT * FROM weir.halt") == []
        self.compare_totals()
        audit = stack.run("audit", "--wait", "20s", check=False)
        assert audit.returncode == 0, audit.stdout + audit.stderr

    def compare_totals(self):
        """The sums of all simulators, which count what was acknowledged, against the tables."""
        stack, own = self.stack, list(self.own_spaces)
        expected = {}
        for report in self.reports:
            for currency, flows in report["money"].items():
                for flow, total in flows.items():
                    sums = expected.setdefault((flow, currency), [0, 0, 0])
                    for i, what in enumerate(("count", "amount", "fee")):
                        sums[i] += total.get(what, 0)
        found = {
            (FLOWS[kind], currency): [count, amount, 0 if kind == "refund" else fee]
            for kind, currency, count, amount, fee in stack.psql(
                "SELECT kind, currency, count(*)::bigint, sum(amount)::bigint, sum(fee)::bigint "
                "FROM ledger_1.transfer WHERE kind = ANY (%s) AND space_id <> ALL (%s::uuid[]) GROUP BY 1, 2",
                list(FLOWS), own,
            )
        }  # fmt: skip
        assert found == {key: sums for key, sums in expected.items() if sums[0]}
        # what a Space hands out is a handover of its own
        for kind, flows in (("spend", ["spent"]), ("handover", ["issued", "moved"])):
            total = [
                sum(report["credits"][flow][what] for report in self.reports for flow in flows)
                for what in ("count", "amount")
            ]
            row = stack.psql(
                "SELECT count(*)::bigint, coalesce(sum(amount), 0)::bigint FROM ledger_1.transfer "
                "WHERE kind = %s AND space_id <> ALL (%s::uuid[])", kind, own,
            )  # fmt: skip
            assert list(row[0]) == total, kind
        applied = stack.value(
            "SELECT count(*) FROM overview_1.applied_event WHERE space_id <> ALL (%s::uuid[])", own
        )  # fmt: skip
        assert self.acknowledged() == applied, f"{self.acknowledged()} acknowledged, {applied} applied: {self.by_type()}"

    def by_type(self):
        """Per event type where they differ: how many were acknowledged, and how many are in the topics."""
        said = collections.Counter()
        for report in self.reports:
            said.update(report["events"])
        ids = {(e.event, e.event_id) for e in self.entries if e.event and e.space not in self.own_spaces}
        there = collections.Counter(event for event, _ in ids)
        return {event: (said[event], there[event]) for event in said | there if said[event] != there[event]}

    def acknowledged(self):
        return sum(report["acked"] for report in self.reports) + self.other_events

    def table(self):
        """The lines that say what came of each fault."""
        lines = [f"{'fault':<58}{'times':>6}{'lost':>6}{'doubled':>9}{'reordered':>11}{'seconds':>9}"]
        for result in self.results:
            lines.append("{:<58}{:>6}{:>6}{:>9}{:>11}{:>9.1f}".format(*result))
        lines.append(
            f"{self.sent_before + self.acknowledged()} events acknowledged, {len(ALL)} processors; seconds: from the end of "
            "the fault to lag 0, at worst"
        )
        return lines


DAMAGE = {
    "lost": (
        "UPDATE overview_1.applied_event SET kafka_offset = -1 - kafka_offset WHERE event_id = '{id}'",
        "UPDATE overview_1.applied_event SET kafka_offset = -1 - kafka_offset WHERE event_id = '{id}'",
    ),
    "doubled": (
        "UPDATE overview_1.space SET joined = joined + 1 WHERE last_event_id = '{last}'",
        "UPDATE overview_1.space SET joined = joined - 1 WHERE last_event_id = '{last}'",
    ),
    "reordered": (
        "UPDATE overview_1.space SET name = name || '!' WHERE last_event_id = '{last}'",
        "UPDATE overview_1.space SET name = left(name, -1) WHERE last_event_id = '{last}'",
    ),
}


def damage_is_seen(world, what):
    """Rows are changed behind the processors' back, and changed back: would the checks have told?"""
    stack = world.stack
    applied.make_writable(stack, "overview_1")
    ids = {
        "id": stack.value("SELECT min(event_id::text) FROM overview_1.applied_event"),
        "last": stack.value("SELECT min(last_event_id::text) FROM overview_1.space WHERE name IS NOT NULL"),
    }
    do, undo = (statement.format(**ids) for statement in DAMAGE[what])
    world.read_topics()
    folds = world.folds()
    stack.psql(do)
    try:
        assert getattr(Difference(stack, folds), what), f"a row that was {what} was not noticed"
    finally:
        stack.psql(undo)
    assert not Difference(stack, folds)
