# SPDX-License-Identifier: Apache-2.0
"""Exactly once, in order, whatever is killed: every fault of the list under a platform's traffic.

All faults hit one stack one after the other, and nothing is cleaned up in between. After each of them everything that
was ever sent is held against the tables in three ways that do not know of each other: what `weir simulate` says it sent,
a fold of the topics in Python (fold.py), and `weir audit`. The table of results is printed at the end.
"""

import contextlib
import json
import pathlib
import random
import re
import subprocess
import time
import uuid

import pytest

import events
from fold import Difference, Fold, broken_checks
from harness import REPORTS, wait_until

SEED = 20261122
RATE = 250
ALL = tuple(events.PROCESSORS)
FAST = ("--session-timeout", "6s")


class World:
    """The stack, everything that was sent to it, and what became of it."""

    def __init__(self, stack):
        self.stack = stack
        self.reports = []
        self.other_events = 0
        self.results = []
        self.random = random.Random(SEED)
        self.seeds = iter(range(SEED, SEED + 1000))
        self.gateway = stack.start_gateway()

    @contextlib.contextmanager
    def traffic(self, count):
        """A platform of its own sends `count` events meanwhile; afterwards all of them are acknowledged."""
        process = self.stack.start(
            "simulate", "simulate", "--events", count, "--rate", RATE, "--spaces", 12, "--seed", next(self.seeds),
            "-o", "json",
        )  # fmt: skip
        process.wait_log("sent ", 30)
        try:
            yield process
        finally:
            # also when the fault's own test failed: the sums of the tests behind it count this one's events
            self.stack.heal()
            code = process.wait(90)
            self.reports.append(json.loads(process.out.read_text()))
            assert code == 0 and self.reports[-1]["exact"], process.text()

    def sent_so_far(self, process):
        return int(re.findall(r"sent (\d+)", process.text())[-1])

    def started(self, *options):
        return self.stack.start_processors(*ALL, options=(*FAST, *options))

    def static(self, name):
        """Options of a member that keeps its place in the group over a restart, so that none has to wait for it."""
        return *FAST, "--kafka", f"group.instance.id={name}"

    def recover(self, since):
        """Seconds from the end of the fault until everything that was there by then is in the tables."""
        self.stack.wait_drained(*ALL, deadline=75)
        return time.monotonic() - since

    def verify(self, fault, times, seconds):
        """Everything that was ever sent is there, once, in order."""
        stack = self.stack
        stack.wait_drained(*ALL)
        records = stack.records()
        difference = Difference(stack, Fold(records))
        self.results.append((fault, times, len(difference.lost), len(difference.doubled), len(difference.reordered), seconds))
        assert not difference, str(difference)
        for processor in ALL:
            assert broken_checks(stack, processor) == []
        assert stack.psql("SELECT * FROM weir.halt") == []
        self.compare_totals()
        audit = stack.run("audit", "--wait", "20s", check=False)
        assert audit.returncode == 0, audit.stdout + audit.stderr

    def compare_totals(self):
        """The sums of all simulators, which count what was acknowledged, against the tables."""
        stack = self.stack
        expected = {}
        for report in self.reports:
            for currency, flows in report["money"].items():
                for flow, total in flows.items():
                    sums = expected.setdefault((flow, currency), [0, 0, 0])
                    for i, what in enumerate(("count", "amount", "fee")):
                        sums[i] += total.get(what, 0)
        kinds = {"purchase": "purchases", "refund": "refunds", "membership": "memberships", "tip": "tips"}
        found = {
            (kinds[kind], currency): [count, amount, 0 if kind == "refund" else fee]
            for kind, currency, count, amount, fee in stack.psql(
                "SELECT kind, currency, count(*)::bigint, sum(amount)::bigint, sum(fee)::bigint "
                "FROM ledger_1.transfer WHERE kind = ANY (%s) GROUP BY 1, 2",
                list(kinds),
            )
        }
        assert found == {key: sums for key, sums in expected.items() if sums[0]}
        # what a Space hands out is a handover of its own
        for kind, flows in (("spend", ["spent"]), ("handover", ["issued", "moved"])):
            total = [
                sum(report["credits"][flow][what] for report in self.reports for flow in flows)
                for what in ("count", "amount")
            ]
            row = stack.psql(
                "SELECT count(*)::bigint, coalesce(sum(amount), 0)::bigint FROM ledger_1.transfer WHERE kind = %s", kind
            )
            assert list(row[0]) == total, kind
        acknowledged = sum(report["acked"] for report in self.reports) + self.other_events
        assert stack.value("SELECT count(*) FROM overview_1.applied_event") == acknowledged


@pytest.fixture(scope="module")
def world(fresh):
    world = World(fresh)
    yield world
    REPORTS.append(f"{'fault':<58}{'times':>6}{'lost':>6}{'doubled':>9}{'reordered':>11}{'seconds':>9}")
    for fault, times, lost, doubled, reordered, seconds in world.results:
        REPORTS.append(f"{fault:<58}{times:>6}{lost:>6}{doubled:>9}{reordered:>11}{seconds:>9.1f}")
    sent = sum(report["acked"] for report in world.reports) + world.other_events
    REPORTS.append(f"{sent} events, {len(ALL)} processors; seconds: from the end of the fault to lag 0, at worst")


def test_nothing_is_killed(world):
    processors = world.started()
    with world.traffic(1500):
        pass
    since = time.monotonic()
    world.verify("none", 0, world.recover(since))
    assert processors.term() == 0


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


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_would_be_seen(world, what):
    """Rows are changed behind the processors' back, and changed back."""
    stack = world.stack
    ids = {
        "id": stack.value("SELECT min(event_id::text) FROM overview_1.applied_event"),
        "last": stack.value("SELECT min(last_event_id::text) FROM overview_1.space"),
    }
    do, undo = (statement.format(**ids) for statement in DAMAGE[what])
    fold = Fold(stack.records())
    stack.psql(do)
    try:
        assert getattr(Difference(stack, fold), what)
    finally:
        stack.psql(undo)
    assert not Difference(stack, fold)


def test_processor_killed(world):
    kills, worst, moved = 20, 0.0, 0
    with world.traffic(4000):
        for i in range(kills):
            before = sum(sum(world.stack.positions(name).values()) for name in ALL)
            processors = world.stack.start_processors(*ALL, options=world.static("killed"), ready=False)
            with pytest.raises(subprocess.TimeoutExpired):
                # any moment: starting, claiming, or with a batch under way
                processors.popen.wait(world.random.uniform(0.02, 1.2))
            processors.kill()
            moved += sum(sum(world.stack.positions(name).values()) for name in ALL) > before
        # and one that nobody waits for: the group has to notice that it is gone
        since = time.monotonic()
        processors = world.started()
        worst = world.recover(since)
    assert moved >= kills // 4, "it was killed before it did anything"
    world.verify("processor kill -9", kills, worst)
    assert processors.term() == 0


@pytest.fixture(scope="module")
def processors(world):
    return world.started()


def test_postgres_killed(world, processors):
    times, worst = 3, 0.0
    with world.traffic(2500) as traffic:
        for i in range(times):
            target = world.sent_so_far(traffic) + 300
            wait_until(lambda: sum(world.stack.positions("overview").values()) >= target or not traffic.is_alive(), 30)
            world.stack.postgres("kill")
            assert processors.is_alive()
            since = time.monotonic()
            world.stack.postgres("start")
            worst = max(worst, world.recover(since))
    assert processors.is_alive()
    world.verify("Postgres kill -9, start", times, worst)


def test_broker_killed(world, processors):
    times, worst = 2, 0.0
    with world.traffic(2500):
        for i in range(times):
            world.stack.wait_drained(*ALL)
            world.stack.kafka("kill")
            since = time.monotonic()
            world.stack.kafka("start")
            worst = max(worst, world.recover(since))
    assert processors.is_alive() and world.gateway.is_alive()
    world.verify("broker kill -9, start", times, worst)


def test_second_owner_forced(world, processors):
    fenced = r"another owner has claimed|claimed by another owner"
    before = len(re.findall(fenced, processors.text()))
    with world.traffic(2500):
        second = world.started("--force-partitions")
        wait_until(lambda: len(re.findall(fenced, processors.text())) >= before + len(ALL), 30, "the first is fenced")
        wait_until(lambda: len(re.findall(fenced, second.text())) >= len(ALL), 30, "the second is fenced in turn")
        took = len(re.findall(fenced, processors.text() + second.text())) - before
        assert second.term() == 0
        since = time.monotonic()
        seconds = world.recover(since)
    world.verify("second owner forced on all partitions", took, seconds)


def test_frozen_owner(world, processors):
    """The group gives its partitions away; when it wakes up it believes that it still has them."""
    with world.traffic(4500):
        second = world.started()
        wait_until(lambda: second.metric("weir_processor_partitions") > 0, 30, "the second has partitions")
        epochs = dict(world.stack.psql("SELECT position_id, epoch FROM weir.position"))
        processors.freeze()
        mine = world.stack.psql("SELECT position_id FROM weir.position WHERE owner LIKE %s", f"%:{processors.pid}")
        taken = lambda: not world.stack.psql("SELECT 1 FROM weir.position WHERE owner LIKE %s", f"%:{processors.pid}")
        assert mine
        wait_until(taken, 40, "the second has taken everything over")
        seconds = world.recover(time.monotonic())
        assert all(
            epoch > epochs[row]
            for row, epoch in world.stack.psql("SELECT position_id, epoch FROM weir.position")
            if (row,) in mine
        )
        processors.thaw()
        wait_until(lambda: processors.metric("weir_processor_partitions") > 0, 40, "the first is back in the group")
        world.recover(time.monotonic())
    world.stack.end(second)
    world.verify("owner frozen beyond its session, then woken", 1, seconds)


def test_frozen_in_mid_transaction(world, processors):
    """The database session of a frozen owner holds the positions: the new owner ends it."""
    stack = world.stack
    world.stack.end(processors)
    with world.traffic(3500):
        first = stack.start_processors("ledger", options=(*FAST, "--lock-timeout", "300s", "--statement-timeout", "300s"))
        backend = stack.value("SELECT max(owner_pid) FROM weir.position WHERE processor = 'ledger'")
        with stack.transaction() as holder:
            holder.execute("LOCK TABLE ledger_1.transfer IN ACCESS EXCLUSIVE MODE")
            hangs = lambda: stack.psql(
                "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock' AND state = 'active'", backend
            )
            wait_until(hangs, 20, "a batch hangs in its transaction")
            first.freeze()
            before = stack.positions("ledger")
            second = stack.start_processors("ledger", options=(*FAST, "--lock-timeout", "1s"), ready=False)
            second.wait_log("ending its database session", 40)
            alive = lambda: stack.psql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", backend)
            wait_until(lambda: not alive(), 20, "the frozen owner's database session is ended")
            owned = lambda: stack.psql(
                "SELECT 1 FROM weir.position WHERE processor = 'ledger' HAVING bool_and(owner LIKE %s)", f"%:{second.pid}"
            )
            wait_until(owned, 20, "the second owns the partitions")
            assert stack.positions("ledger") == before, "somebody wrote although the table was locked"
        since = time.monotonic()
        stack.wait_drained("ledger")
        seconds = time.monotonic() - since
        first.thaw()
        others = stack.start_processors(*(name for name in ALL if name != "ledger"), options=FAST)
        wait_until(lambda: re.search("trying again|another owner|[Ll]ost|owns", first.text().split("owns", 1)[-1]), 40)
    world.verify("owner frozen in mid-transaction, its backend ended", 1, seconds)
    for process in (first, second, others):
        stack.end(process)


def test_duplicates(world):
    """Byte for byte again, and a known id with another body, directly and through the gateway."""
    stack = world.stack
    processors = world.started()
    records = [message for messages in stack.records().values() for message in messages]
    copies = world.random.sample(records, 400)
    conflicts = []
    for message in world.random.sample(records, 40):
        version, record = events.decode(message.value())
        record["meta"]["fingerprint"] += 1
        conflicts.append((message, events.encode(version, record)))
    with world.traffic(1000):
        stack.produce([(m.topic(), m.partition(), m.key(), m.value(), m.headers()) for m in copies])
        stack.produce([(m.topic(), m.partition(), m.key(), value, m.headers()) for m, value in conflicts])
        space, key = str(uuid.uuid4()), "order 1"
        body = {"post_id": str(uuid.uuid4()), "member_id": str(uuid.uuid4()), "reaction": "wave"}
        ids = {stack.post(space, "PostReacted", body, f'"{key}"').json()["event_id"] for _ in range(3)}
        ids |= {stack.post(space, "PostReacted", body | {"reaction": "clap"}, f'"{key}"').json()["event_id"]}
        assert len(ids) == 1
        world.other_events += 1
    since = time.monotonic()
    seconds = world.recover(since)
    assert stack.value("SELECT count(*) FROM weir.duplicate") >= len(copies)
    codes = stack.psql("SELECT DISTINCT code FROM weir.dead_letter")
    assert codes == [("fingerprint-conflict",)]
    assert stack.value("SELECT count(*) FROM weir.dead_letter WHERE event_id = %s", ids.pop()) == 2  # analytics, overview
    world.verify("duplicates injected, of which conflicts: 41", len(copies) + len(conflicts) + 3, seconds)
    assert processors.term() == 0


def receive_queue(port):
    """Bytes that lie in the kernel for the listener's connections on a port."""
    total = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].split(":")[1], 16) == port:
                total += int(fields[4].split(":")[1], 16)
    return total


def unanswered(stack, gateway, post, body):
    """Sends `body`, and kills the gateway when the broker has it in its hands but could not answer yet."""
    broker = stack.script("tests/services/kafka.sh", "status").stdout.split()[-1]
    subprocess.run(["kill", "-STOP", broker], check=True)
    try:
        before = receive_queue(stack.kafka_port)
        client = subprocess.Popen(post, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client.stdin.write(body)
        client.stdin.close()
        wait_until(lambda: receive_queue(stack.kafka_port) > before + len(body), 10, "the broker's kernel has it")
        gateway.kill()
        assert client.wait(10) != 0, "the client got an answer"
    finally:
        subprocess.run(["kill", "-CONT", broker], check=True)


def test_gateway_killed(world):
    """In the middle of traffic, and when the broker has the events but the client no answer; it sends them again."""
    stack = world.stack
    processors = world.started()
    with world.traffic(1500) as traffic:
        for _ in range(3):
            position = lambda: sum(stack.positions("overview").values())
            before = position()
            wait_until(lambda: position() > before + 100 or not traffic.is_alive(), 20, "traffic flows")
            world.gateway.kill()
            world.gateway = stack.start_gateway()
            world.recover(time.monotonic())
    times, size, space, ids = 3, 20, str(uuid.uuid4()), set()
    for i in range(times):
        post = ["curl", "-sS", "-m", "30", "--data-binary", "@-", "-H", "Content-Type: application/x-ndjson",
                "-H", f"Idempotency-Key: batch-{i}", f"{stack.gateway_url}/v1/spaces/{space}/events/PostReacted"]  # fmt: skip
        line = lambda: json.dumps({"post_id": str(uuid.uuid4()), "member_id": str(uuid.uuid4()), "reaction": "wave"})
        body = "".join(line() + "\n" for _ in range(size)).encode()
        # a first event, so that the gateway has its connections to the broker
        warm = stack.post(space, "PostReacted", json.loads(line()))
        assert warm.status_code == 202
        unanswered(stack, world.gateway, post, body)
        world.gateway = stack.start_gateway()
        again = subprocess.run(post, input=body, capture_output=True, check=True)
        receipts = [json.loads(line) for line in again.stdout.splitlines()]
        assert [receipt["status"] for receipt in receipts] == [202] * size, again.stdout
        ids |= {receipt["event_id"] for receipt in receipts}
    world.other_events += times * (size + 1)
    seconds = world.recover(time.monotonic())
    copies = stack.value(
        "SELECT count(*) FROM weir.duplicate JOIN weir.position USING (position_id) "
        "WHERE processor = 'overview' AND event_id = ANY (%s::uuid[])", list(ids)
    )  # fmt: skip
    assert (len(ids), copies) == (times * size, times * size), "each was written twice"
    world.verify("gateway kill -9, 3 of them between produce and answer", 3 + times, seconds)
    assert processors.term() == 0
