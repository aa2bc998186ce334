# SPDX-License-Identifier: Apache-2.0
"""Faults of the processors themselves: killed at any step, two of them, frozen ones, a group that never rests."""

import re
import subprocess
import time

import events
from harness import wait_until
from parts import ALL, FAST, fault


def progress(world):
    return sum(sum(world.stack.positions(name).values()) for name in ALL)


@fault("processors kill -9, at any moment", "1")
def processor_killed(world, scale, kills=None):
    kills, worst, moved = kills or 4 * scale, 0.0, 0
    world.stopped()
    with world.traffic():
        for i in range(kills):
            before = progress(world)
            processors = world.stack.start_processors(*ALL, options=world.static("killed"), ready=False)
            try:
                # any moment: starting, claiming, or with a batch under way; each second time not before the first batch
                if i % 2:
                    wait_until(lambda: progress(world) > before, 60, "a batch is applied")
                processors.popen.wait(world.random.uniform(0.02, 1.2))
                raise AssertionError(f"it ended by itself:\n{processors.text()}")
            except subprocess.TimeoutExpired:
                pass
            processors.kill()
            world.stack.processes.remove(processors)
            moved += progress(world) > before
        # and one that nobody waits for: the group has to notice that it is gone
        since = time.monotonic()
        world.running()
        worst = world.recover(since)
    assert moved >= kills // 2, "it was killed before it did anything"
    return kills, worst


@fault("processors kill -9, at each failpoint", "1", short=True)
def failpoints(world, scale):
    """Dies at a hit that the seed chooses, at every place that a batch passes."""
    worst, names = 0.0, [name for name in world.stack.failpoints() if name.startswith("batch.")]
    world.stopped()
    rounds = [(name, world.random.choice([1, 2, 3, 5, 8, 20])) for name in names for _ in range(scale)]
    with world.traffic() as traffic:
        for name, hit in rounds:
            processors = world.stack.start_processors(
                *ALL, options=world.static("failpoint"), ready=False, env={"WEIR_FAILPOINT": f"{name}:{hit}"}
            )
            wait_until(lambda: not processors.is_alive(), 60, lambda: f"it dies at {name}, hit {hit}: {processors.text()}")
            assert f"failpoint {name}, hit {hit}: kill" in processors.text(), processors.text()
            world.stack.processes.remove(processors)
        since = time.monotonic()
        world.running()
        worst = world.recover(since)
    return len(rounds), worst


@fault("rebalance storm: one joins or is killed every 2 s", "5", short=True)
def rebalance_storm(world, scale):
    times = 3 * scale + 1
    world.running()
    others = []
    with world.traffic():
        for i in range(times):
            if others and world.random.random() < 0.5:
                other = others.pop(0)
                other.kill()
                world.stack.processes.remove(other)
            else:
                others.append(world.started(ready=False))
            time.sleep(2)  # the storm's own rhythm
        for other in others:
            world.stack.end(other)
        seconds = world.recover()
    return times, seconds


def fenced(processes):
    return len(re.findall(r"another owner has claimed|claimed by another owner", "".join(p.text() for p in processes)))


@fault("second owner forced on all partitions", "4")
def second_owner_forced(world, scale):
    processors = world.running()
    before = fenced([processors])
    with world.traffic():
        second = world.started("--force-partitions")
        wait_until(lambda: fenced([processors]) >= before + len(ALL), 60, "the first is fenced")
        wait_until(lambda: fenced([second]) >= len(ALL), 60, "the second is fenced in turn")
        took = fenced([processors, second]) - before
        assert second.term() == 0
        world.stack.processes.remove(second)
        seconds = world.recover()
    return took, seconds


@fault("owner frozen beyond its session, then woken", "3")
def frozen_owner(world, scale):
    """The group gives its partitions away; when it wakes up it believes that it still has them."""
    stack, processors = world.stack, world.running()
    with world.traffic():
        second = world.started()
        wait_until(lambda: second.metric("weir_processor_partitions") > 0, 60, "the second has partitions")
        epochs = dict(stack.psql("SELECT position_id, epoch FROM weir.position"))
        processors.freeze()
        mine = stack.psql("SELECT position_id FROM weir.position WHERE owner LIKE %s", f"%:{processors.pid}")
        taken = lambda: not stack.psql("SELECT 1 FROM weir.position WHERE owner LIKE %s", f"%:{processors.pid}")
        assert mine
        wait_until(taken, 60, "the second has taken everything over")
        seconds = world.recover()
        assert all(
            epoch > epochs[row]
            for row, epoch in stack.psql("SELECT position_id, epoch FROM weir.position")
            if (row,) in mine
        )
        processors.thaw()
        wait_until(lambda: processors.metric("weir_processor_partitions") > 0, 60, "the first is back in the group")
        world.recover()
    stack.end(second)
    return 1, seconds


@fault("owner frozen in mid-transaction, its backend ended", "3")
def frozen_in_mid_transaction(world, scale):
    """The database session of a frozen owner holds the positions: the new owner ends it."""
    stack = world.stack
    world.stopped()
    with world.traffic():
        first = stack.start_processors("ledger", options=(*FAST, "--lock-timeout", "300s", "--statement-timeout", "300s"))
        backend = stack.value("SELECT max(owner_pid) FROM weir.position WHERE processor = 'ledger'")
        with stack.transaction() as holder:
            holder.execute("LOCK TABLE ledger_1.transfer IN ACCESS EXCLUSIVE MODE")
            hangs = lambda: stack.psql(
                "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock' AND state = 'active'", backend
            )
            wait_until(hangs, 60, "a batch hangs in its transaction")
            first.freeze()
            before = stack.positions("ledger")
            second = stack.start_processors("ledger", options=(*FAST, "--lock-timeout", "1s"), ready=False)
            second.wait_log("ending its database session", 60)
            alive = lambda: stack.psql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", backend)
            wait_until(lambda: not alive(), 60, "the frozen owner's database session is ended")
            owned = lambda: stack.psql(
                "SELECT 1 FROM weir.position WHERE processor = 'ledger' HAVING bool_and(owner LIKE %s)", f"%:{second.pid}"
            )
            wait_until(owned, 60, "the second owns the partitions")
            assert stack.positions("ledger") == before, "somebody wrote although the table was locked"
        since = time.monotonic()
        stack.wait_drained("ledger")
        seconds = time.monotonic() - since
        first.thaw()
        others = stack.start_processors(*(name for name in ALL if name != "ledger"), options=FAST)
        wait_until(lambda: re.search("trying again|another owner|[Ll]ost|owns", first.text().split("owns", 1)[-1]), 60)
        world.recover()
    for process in (first, second, others):
        stack.end(process)
    return 1, seconds


@fault("gateway kill -9 in mid-traffic", "2")
def gateway_killed(world, scale):
    world.running()
    worst, times = 0.0, scale
    with world.traffic() as traffic:
        for _ in range(times):
            world.wait_sent(traffic, 100)
            world.gateway.kill()
            world.stack.processes.remove(world.gateway)
            world.gateway = world.stack.start_gateway()
            worst = max(worst, world.recover())
    return times, worst
