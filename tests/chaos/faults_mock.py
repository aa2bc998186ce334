# SPDX-License-Identifier: Apache-2.0
"""Every error that a broker can answer with, request by request, from librdkafka's mock cluster (mock.c)."""

import contextlib
import subprocess
import time

import events
from harness import PARTITIONS
from parts import ALL, BUILD, fault

PRODUCE, FETCH, LIST_OFFSETS, METADATA, COMMIT, COORDINATOR, JOIN, HEARTBEAT, SYNC = 0, 1, 2, 3, 8, 10, 11, 12, 14
CLOSED, UNKNOWN = -195, -1
ERRORS = {
    # not leader, leader not available, timed out, network, not enough replicas (before, after), storage, out of order
    PRODUCE: [6, 5, 7, 13, 19, 20, 56, 45, CLOSED],
    # out of range although it is not, corrupt, unknown topic, not leader, storage, fenced and unknown leader epoch
    FETCH: [1, 2, 3, 6, 56, 74, 75, CLOSED],
    LIST_OFFSETS: [3, 6, 5, 56, CLOSED],
    METADATA: [5, 7, CLOSED],
    # coordinator loading, not available, not it; illegal generation, unknown member, rebalance
    COMMIT: [14, 15, 16, 22, 25, 27, CLOSED],
    COORDINATOR: [15, 14, CLOSED],
    JOIN: [14, 15, 16, 25, CLOSED],
    HEARTBEAT: [15, 16, 22, 25, 27, CLOSED],
    SYNC: [15, 16, 22, 25, 27, CLOSED],
}


class Mock:
    def __init__(self, stack):
        command = [str(BUILD / "chaos_mock"), "3", str(PARTITIONS), *events.TOPICS, *(f"weir.dlt.{name}" for name in ALL),
                   *(f"weir.decisions.{name}" for name in ALL)]  # fmt: skip
        self.log = open(stack.state / "log" / "mock.log", "ab")
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.brokers = self.popen.stdout.readline().strip()
        assert self.brokers, "the mock cluster did not start"

    def order(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()
        assert self.popen.stdout.readline() == "ok\n", line

    def close(self):
        self.popen.stdin.close()
        try:
            self.popen.wait(60)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.log.close()


@contextlib.contextmanager
def instead(world, mock):
    """The mock cluster in the broker's place, before an empty database."""
    stack = world.stack
    world.begin_anew()
    brokers, proxied = stack.brokers, dict(stack.proxied)
    stack.end(world.gateway)
    stack.brokers = stack.proxied["WEIR_KAFKA_BROKERS"] = stack.env["WEIR_KAFKA_BROKERS"] = mock.brokers
    # The mock does not hold a producer to its sequence of messages: with several requests under way one that comes through
    # behind one that failed would be taken for the proof that both did.
    world.gateway = stack.start_gateway("--kafka", "max.in.flight.requests.per.connection=1")
    try:
        yield
    finally:
        world.stopped()
        stack.brokers = stack.env["WEIR_KAFKA_BROKERS"] = brokers
        stack.proxied = proxied


@fault("error codes and disconnects per Kafka request", "20", anew=True)
def error_codes(world, scale):
    cases = [(api, code) for api, codes in ERRORS.items() for code in codes]
    world.random.shuffle(cases)
    cases = cases[: 16 * scale]
    mock, worst = Mock(world.stack), 0.0
    try:
        with instead(world, mock):
            processors = world.running()
            with world.traffic() as traffic:
                for number, (api, code) in enumerate(cases):
                    mock.order(f"error {api} {code} {world.random.choice([1, 1, 2, 5])}")
                    if api in (LIST_OFFSETS, METADATA, COORDINATOR, JOIN, SYNC):
                        world.stack.pg_proxy.order("cut")  # they attach anew, and ask for all of that
                    world.wait_sent(traffic, 40)
                    if number % 8 == 7:
                        worst = max(worst, world.recover())
                for broker in (1, 2, 3):
                    mock.order(f"down {broker}")
                    time.sleep(2)
                    mock.order(f"up {broker}")
                worst = max(worst, world.recover())
                assert processors.is_alive()
            world.verify("error codes", len(cases), worst)
            world.results.pop()  # the caller notes it
    finally:
        mock.close()
    return len(cases) + 3, worst
