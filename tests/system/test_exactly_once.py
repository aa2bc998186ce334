# SPDX-License-Identifier: Apache-2.0
"""Exactly once, in order, whatever is killed: every fault of the list under a platform's traffic.

All faults hit one stack one after the other, and nothing is cleaned up in between. After each of them everything that
was ever sent is held against the tables in three ways that do not know of each other: what `weir simulate` says it sent,
a fold of the topics in Python (fold.py), and `weir audit`. The table of results is printed at the end.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import uuid

import pytest

import events
from harness import REPORTS, ROOT, wait_until
from world import DAMAGE, damage_is_seen

sys.path.append(str(ROOT / "tests" / "chaos"))

import faults_kafka
import faults_owner
import faults_postgres
from parts import ChaosWorld

SEED = 20261122


@pytest.fixture(scope="module")
def world(fresh):
    world = ChaosWorld(fresh, SEED)
    yield world
    REPORTS.extend(world.table())


def test_nothing_is_killed(world):
    with world.traffic(1500):
        world.running()
    world.verify("none", 0, world.recover())
    world.stopped()


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_would_be_seen(world, what):
    damage_is_seen(world, what)


@pytest.mark.parametrize(
    "name, fault, scale",
    [
        ("processor kill -9", faults_owner.processor_killed, 5),
        ("Postgres kill -9, start", faults_postgres.postgres_killed, 3),
        ("broker kill -9, start", faults_kafka.broker_killed, 3),
        ("second owner forced on all partitions", faults_owner.second_owner_forced, 1),
        ("owner frozen beyond its session, then woken", faults_owner.frozen_owner, 1),
        ("owner frozen in mid-transaction, its backend ended", faults_owner.frozen_in_mid_transaction, 1),
    ],
)
def test_fault(world, name, fault, scale):
    times, seconds = fault(world, scale)
    world.running()
    world.verify(name, times, seconds)


def test_duplicates(world):
    """Byte for byte again, and a known id with another body, directly and through the gateway."""
    stack = world.stack
    world.running()
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
    seconds = world.recover()
    assert stack.value("SELECT count(*) FROM weir.duplicate") >= len(copies)
    codes = stack.psql("SELECT DISTINCT code FROM weir.dead_letter")
    assert codes == [("fingerprint-conflict",)]
    assert stack.value("SELECT count(*) FROM weir.dead_letter WHERE event_id = %s", ids.pop()) == 2  # analytics, overview
    world.verify("duplicates injected, of which conflicts: 41", len(copies) + len(conflicts) + 3, seconds)


def receive_queue(port, sender):
    """Bytes of one process that lie in the kernel for the listener on a port."""
    rows = [
        line.split() for table in ("/proc/net/tcp", "/proc/net/tcp6") for line in pathlib.Path(table).read_text().splitlines()[1:]
    ]
    sockets = set()
    for descriptor in pathlib.Path(f"/proc/{sender}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(descriptor))
    number = lambda place: int(place.split(":")[1], 16)
    ours = {number(row[1]) for row in rows if f"socket:[{row[9]}]" in sockets}
    return sum(number(row[4]) for row in rows if number(row[1]) == port and number(row[2]) in ours)


def unanswered(stack, gateway, post, body):
    """Sends `body`, and kills the gateway when the broker has it in its hands but could not answer yet."""
    broker = stack.script("tests/services/kafka.sh", "status").stdout.split()[-1]
    subprocess.run(["kill", "-STOP", broker], check=True)
    try:
        waiting = lambda: receive_queue(stack.kafka_port, gateway.pid)
        before = waiting()
        client = subprocess.Popen(post, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client.stdin.write(body)
        client.stdin.close()
        wait_until(lambda: waiting() > before + len(body), 60, "the broker's kernel has it")
        gateway.kill()
        assert client.wait(60) != 0, "the client got an answer"
    finally:
        subprocess.run(["kill", "-CONT", broker], check=True)


def test_gateway_killed(world):
    """In the middle of traffic, and when the broker has the events but the client no answer; it sends them again."""
    stack = world.stack
    world.running()
    faults_owner.gateway_killed(world, 3)
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
    seconds = world.recover()
    copies = stack.value(
        "SELECT count(*) FROM weir.duplicate JOIN weir.position USING (position_id) "
        "WHERE processor = 'overview' AND event_id = ANY (%s::uuid[])", list(ids)
    )  # fmt: skip
    assert (len(ids), copies) == (times * size, times * size), "each was written twice"
    world.verify("gateway kill -9, 3 of them between produce and answer", 3 + times, seconds)
    assert world.processors.term() == 0
