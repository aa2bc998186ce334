# SPDX-License-Identifier: Apache-2.0
"""Faults of a rebuild: killed wherever it changes what it is about, and a database that crashes under what is staged."""

import json
import signal

from harness import wait_until
from parts import fault, send

UNFIT = "rebuild.sets_folded:1:fail,"  # then it is begun anew
REBUILD = ("rebuild", "ledger", "--verify", "--no-swap", "-o", "json")


def begin(world, failpoint):
    """Of nothing: what a rebuild before this one left half done or caught up is dropped."""
    world.stack.run("rebuild", "ledger", "--abandon", check=False)
    return world.stack.start("rebuild", *REBUILD, env={"WEIR_FAILPOINT": failpoint})


def finish(world):
    report = json.loads(world.stack.run(*REBUILD).stdout)
    assert report["verified"] == "equal" and report["findings"] == [], report
    return report


@fault("rebuild kill -9, at each failpoint", "1", short=True)
def rebuild_killed(world, scale):
    names = [name for name in world.stack.failpoints() if name.startswith("rebuild.")]
    world.running()
    with world.traffic():
        for name in names * scale:
            rebuild = begin(world, (UNFIT if name == "rebuild.dropped" else "") + name + ":1")
            wait_until(lambda: not rebuild.is_alive(), 120, lambda: f"it dies at {name}: {rebuild.text()}")
            assert f"failpoint {name}, hit 1: kill" in rebuild.text(), rebuild.text()
            world.stack.processes.remove(rebuild)
            assert finish(world)["resumed"]
    world.stack.run("rebuild", "ledger", "--abandon")
    return len(names) * scale, world.recover()


@fault("rebuild kill -9, between two copies of an event", "1")
def copies_apart(world, scale):
    """What a killed rebuild had staged is known to the next one: a copy behind the kill counts for nothing."""
    world.running()
    with world.traffic(10000, rate=2000):  # so that the first batch of a rebuild is not all of it
        pass
    world.recover()
    first = [messages[0] for place, messages in world.stack.records().items() if messages[0].key()]
    world.stack.produce([(m.topic(), m.partition(), m.key(), m.value(), m.headers()) for m in first])
    rebuild = begin(world, "rebuild.staged:1")
    wait_until(lambda: not rebuild.is_alive(), 120, rebuild.text)
    world.stack.processes.remove(rebuild)
    torn = "SELECT count(*) FROM weir.position p JOIN weir.position l USING (processor, topic, kafka_partition) " \
           "WHERE processor = 'ledger' AND l.generation = 1 AND p.generation > 1 AND p.next_offset > 0 " \
           "AND p.next_offset < l.next_offset"  # fmt: skip
    assert world.stack.value(torn) > 0, "the kill is behind some first record, and before its copy"
    done = world.stack.run(*REBUILD)
    report = json.loads(done.stdout)
    assert report["resumed"] and report["verified"] == "equal" and "anew" not in done.stderr, done.stderr
    world.stack.run("rebuild", "ledger", "--abandon")
    return len(first), world.recover()


@fault("rebuild's COMMIT of its indexes cut, its reply lost", "8", short=True)
def index_reply_lost(world, scale):
    """The stage is gone and the indexes are there: it goes on behind them, and folds nothing twice."""
    world.running()
    proxy = world.stack.pg_proxy
    with world.traffic():
        for _ in range(scale):
            cuts = proxy.cuts()
            with proxy.ordered("cut-replies SET indexed"):
                rebuild = begin(world, "")
                assert rebuild.wait(120) == 0, rebuild.text()
            assert proxy.cuts() > cuts and "trying again" in rebuild.text() and "anew" not in rebuild.text(), rebuild.text()
            report = json.loads(rebuild.out.read_text())
            assert report["verified"] == "equal" and not report["resumed"], report
    world.stack.run("rebuild", "ledger", "--abandon")
    return scale, world.recover()


@fault("rebuild that does not fit as a whole", "37")
def unfit(world, scale):
    """It is begun anew batch by batch, by itself."""
    world.running()
    with world.traffic():
        rebuild = begin(world, UNFIT)
        assert rebuild.wait(120) == 0, rebuild.text()
        assert "it is built anew, batch by batch" in rebuild.text(), rebuild.text()
        assert finish(world)["resumed"]
    world.stack.run("rebuild", "ledger", "--abandon")
    return 1, world.recover()


@fault("Postgres crashes while a rebuild stages", "10")
def stage_lost(world, scale):
    """The stage is unlogged: the rebuild notices that it is empty, and begins anew by itself."""
    world.running()
    with world.traffic():
        rebuild = begin(world, "rebuild.staged:1:freeze")
        wait_until(lambda: "freeze" in rebuild.text(), 60, rebuild.text)
        world.stack.postgres("kill")
        world.stack.postgres("start")
        send(rebuild.popen.pid, signal.SIGCONT)
        assert rebuild.wait(120) == 0, rebuild.text()
        assert "what was staged is lost; it is built anew" in rebuild.text(), rebuild.text()
        assert finish(world)["resumed"]
    world.stack.run("rebuild", "ledger", "--abandon")
    return 1, world.recover()
