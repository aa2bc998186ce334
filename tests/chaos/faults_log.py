# SPDX-License-Identifier: Apache-2.0
"""The log is another than it was: the processors halt, say why, and write nothing. The world begins anew behind each."""

from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewPartitions

import events
from harness import PARTITIONS, wait_until
from parts import ALL, fault

TOPIC = "weir.credits"  # one that all processors read


def written(stack):
    """What there is in the tables of the processors and how far they are; no two states look the same."""
    counts = [stack.value(f"SELECT count(*) FROM {name}_1.applied_event") for name in ALL]
    positions = stack.psql("SELECT position_id, next_offset FROM weir.position WHERE topic = %s ORDER BY 1", TOPIC)
    return counts, positions, stack.value("SELECT count(*) FROM weir.dead_letter")


def expect_halts(world, code, before):
    """All processors halt with that code, alarm, stay up, and nothing has been written."""
    stack, processors = world.stack, world.processors
    halted = lambda: [row[0] for row in stack.psql("SELECT code FROM weir.halt")]
    wait_until(lambda: len(halted()) == len(ALL), 60, lambda: f"all halt; {halted()}")
    assert halted() == [code] * len(ALL), halted()
    # the rows are there before anybody else is told
    processors.wait_metric(len(ALL), "weir_processor_halted")
    wait_until(lambda: processors.answers("/readyz") == 503, 60, "it is not ready")
    assert processors.is_alive()
    for count in range(3):  # also not when it looks again
        assert written(stack) == before, "something was written"
        processors.wait_log("halted: ")
    processors.kill()
    world.processors = world.started(ready=False)
    wait_until(lambda: world.processors.answers("/readyz") == 503, 60, "it halts after a restart as well")
    assert written(stack) == before and len(halted()) == len(ALL)


def filled(world):
    """A world in which the topic is not empty, applied to the end, and nobody runs."""
    with world.traffic(1200):
        world.running()
    world.verify("none", 0, world.recover())
    world.results.pop()
    world.stopped()
    ends = world.stack.ends([TOPIC])
    place = max(ends, key=ends.get)
    assert ends[place] > 3, "the traffic holds no credits"
    return place, ends[place]


@fault("records deleted that were not applied", "22", anew=True)
def records_deleted(world, scale):
    (topic, partition), end = filled(world)
    before = written(world.stack)
    records = [message for message in world.stack.records([topic])[topic, partition] if message.key()]
    copies = [(topic, partition, m.key(), m.value(), m.headers()) for m in records[:3]]
    world.stack.produce(copies)
    place = TopicPartition(topic, partition, end + 2)
    admin = world.stack.admin()
    for future in admin.delete_records([place]).values():
        future.result(60)
    world.processors = world.started(ready=False)
    expect_halts(world, "log-changed", before)
    return 1, 0.0


@fault("topic recreated, with more records than before", "23", anew=True)
def topic_recreated(world, scale):
    stack = world.stack
    (topic, partition), end = filled(world)
    before = written(stack)
    records = stack.records([topic])
    stack.delete_topics([topic])
    stack.run("topics", "create")
    # other records at each offset, and more of them
    stack.produce([
        (m.topic(), m.partition(), m.key(), m.value(), m.headers())
        for messages in records.values()
        for m in [*reversed(messages), *messages]
    ])  # fmt: skip
    world.processors = world.started(ready=False)
    expect_halts(world, "log-changed", before)
    return 1, 0.0


@fault("partitions added to a topic", "24", anew=True)
def partitions_added(world, scale):
    stack = world.stack
    filled(world)
    before = written(stack)
    world.running("--kafka", "topic.metadata.refresh.interval.ms=500")
    admin = stack.admin()
    for future in admin.create_partitions([NewPartitions(TOPIC, PARTITIONS + 1)]).values():
        future.result(60)
    stack.wait_led([TOPIC], PARTITIONS + 1)
    expect_halts(world, "partitions-changed", before)
    return 1, 0.0
