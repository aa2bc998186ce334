# SPDX-License-Identifier: Apache-2.0
"""Faults of the broker: killed, frozen, cut off, slow."""

import contextlib
import os
import signal
import time

from confluent_kafka import KafkaException

import events
from harness import wait_until
from parts import ALL, fault


@fault("broker kill -9, started", "17")
def broker_killed(world, scale):
    processors = world.running()
    worst, times = 0.0, max(1, scale - 1)
    with world.traffic():
        for _ in range(times):
            world.recover()
            world.stack.kafka("kill")
            since = time.monotonic()
            world.stack.kafka("start")
            worst = max(worst, world.recover(since))
    assert processors.is_alive() and world.gateway.is_alive()
    return times, worst


def wait_led(stack):
    """Until the controller lets the broker lead again, which it took for dead."""

    def led():
        with contextlib.suppress(KafkaException):
            topics = stack.admin().list_topics(timeout=30).topics
            return all(part.leader >= 0 for name in events.TOPICS for part in topics[name].partitions.values())

    wait_until(led, 60, "each partition has its leader")


@fault("broker frozen (SIGSTOP), thawed", "18")
def broker_frozen(world, scale):
    world.running()
    worst, broker = 0.0, world.stack.service_pid("kafka")
    with world.traffic() as traffic:
        for _ in range(scale):
            world.wait_sent(traffic, 100)
            os.kill(broker, signal.SIGSTOP)
            try:
                time.sleep(world.random.uniform(2, 7))  # around the session's and the requests' times
            finally:
                os.kill(broker, signal.SIGCONT)
            since = time.monotonic()
            wait_led(world.stack)
            worst = max(worst, world.recover(since))
    return scale, worst


@fault("connections to the broker cut", "19", short=True)
def broker_cut(world, scale):
    proxy, worst, times = world.stack.kafka_proxy, 0.0, 2 * scale
    world.running()
    with world.traffic() as traffic:
        for _ in range(times):
            world.wait_sent(traffic, world.random.randrange(10, 60))
            # the next request is lost, or its reply is (a produce that the broker has, and nobody knows), or all end
            order = world.random.choice(["cut", "cut-requests", "cut-replies"])
            before = proxy.cuts()
            proxy.order(order)
            wait_until(lambda: proxy.cuts() > before, 60, f"the proxy does: {order}")
            worst = max(worst, world.recover())
    return times, worst


@fault("broker unreachable, slow, in slices of 100 bytes", "19")
def broker_slow(world, scale):
    proxy = world.stack.kafka_proxy
    world.running()
    with world.traffic() as traffic:
        for orders, more in ((["refuse"], 5), (["stall"], 5), (["delay 50"], 150), (["slice 100"], 150)):
            with proxy.ordered(*orders):
                world.wait_sent(traffic, more) if more > 5 else time.sleep(more)
        seconds = world.recover()
    return 4, seconds
