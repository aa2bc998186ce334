# SPDX-License-Identifier: Apache-2.0
"""The gateway when things go wrong: a broker that is killed, frozen or away, a full queue, wrong topics, SIGTERM under
load. On a broker of its own, because it is killed."""
import collections
import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import threading
import time
import uuid

import pytest
import requests
from confluent_kafka.admin import AdminClient, NewPartitions
from gateway_process import ROOT, WEIR, Gateway, decode, records_of_space

from harness import free_port, wait_until

TOPIC = "weir.membership"
MEMBER = {"member_id": "0190a5f0-7a1c-7000-8000-000000000002", "display_name": "Ada"}


class Broker:
    """A broker of these tests alone, run by the same script as everybody's."""

    def __init__(self, state):
        self.port = free_port(2)  # the next one is the controller's
        self.address = f"127.0.0.1:{self.port}"
        self.state = pathlib.Path(state)
        self.environment = {**os.environ, "WEIR_STATE": str(state), "WEIR_KAFKA_PORT": str(self.port)}

    def run(self, verb):
        subprocess.run([ROOT / "tests/services/kafka.sh", verb], env=self.environment, check=True, timeout=300)

    def signal(self, number):
        os.kill(int((self.state / "kafka" / "pid").read_text().split()[0]), number)

    def topics(self):
        subprocess.run([WEIR, "topics", "create", "--kafka-brokers", self.address], check=True, timeout=60)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.run("start")
    try:
        broker.topics()
        yield broker
    finally:
        broker.run("clean")


@pytest.fixture
def start(broker, tmp_path):
    """Starts gateways, and ends them with the test."""
    running = []

    def start(*options, **arguments):
        running.append(Gateway(broker.address, tmp_path / f"log-{len(running)}", *options, **arguments))
        return running[-1]
    yield start
    for gateway in running:
        gateway.kill()


@pytest.fixture
def space():
    return str(uuid.uuid4())


SHORT = ("--delivery-timeout", "2s", "--request-timeout", "6s")


class Traffic:
    """Clients that send one event after another and note each answer by its key."""

    def __init__(self, gateway, space, clients=8):
        self.gateway, self.space, self.answers = gateway, space, {}
        self.codes = []  # of the answers; unlike a dict, a list may be read while it grows
        self.lost = []  # keys whose request broke off
        self.done = threading.Event()
        self.threads = [threading.Thread(target=self.client, args=(n,)) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def client(self, number):
        session = requests.Session()
        count = 0
        while not self.done.is_set():
            key = f"{number}-{count}"
            count += 1
            try:
                answer = session.post(f"{self.gateway.url}/v1/spaces/{self.space}/events/MemberJoined",
                                      data=json.dumps(MEMBER), timeout=30,
                                      headers={"Content-Type": "application/json", "Idempotency-Key": key})
                self.answers[key] = answer
                self.codes.append(answer.status_code)
                if answer.status_code != 202:
                    time.sleep(0.05)
            except requests.ConnectionError:
                self.lost.append(key)
                if self.gateway.process.poll() is not None:
                    return
                time.sleep(0.05)

    def accepted(self):
        return self.codes.count(202)

    def stop(self):
        self.done.set()
        for thread in self.threads:
            thread.join()


def check_log(broker, traffic):
    """What clients were told agrees with what is in the topic."""
    ids = [str(decode(m)[1]["meta"]["event_id"]) for m in records_of_space(broker.address, TOPIC, traffic.space)]
    for key, answer in traffic.answers.items():
        body = answer.json()
        assert body["idempotency_key"] == key
        times = ids.count(body["event_id"])
        if answer.status_code == 202:
            assert times == 1, f"{key} was acknowledged and is {times} times in the topic"
        elif answer.status_code == 503:
            assert times == 0, f"{key} was said not to be written: {body}"
            assert int(answer.headers["Retry-After"]) >= 1
        else:
            assert answer.status_code == 504 and body["type"] == "/problems/outcome-unknown", body
            assert times <= 1


def wait_accepted(gateway, space):
    """Until an event is: with a short delivery timeout a busy machine may fail to do it in time."""
    wait_until(lambda: gateway.post(space, "MemberJoined", MEMBER).status_code == 202, 60, "an event is accepted")


def test_broker_killed_under_load(broker, start, space):
    gateway = start(*SHORT)
    traffic = Traffic(gateway, space)
    try:
        wait_until(lambda: traffic.accepted() > 200, 60, "traffic flows")
        broker.run("kill")
        wait_until(lambda: len(traffic.codes) > traffic.accepted(), 60, "the broker is missed")
        wait_until(lambda: not gateway.ready(), 60, "the gateway is not ready")
        assert gateway.alive()
        broker.run("start")
        before = traffic.accepted()
        wait_until(lambda: traffic.accepted() > before + 200, 60, "traffic flows again")
        wait_until(gateway.ready, 60, "the gateway is ready again")
    finally:
        traffic.stop()
    assert not traffic.lost
    check_log(broker, traffic)
    assert gateway.stop() == 0


def test_frozen_broker_gives_unknown_outcomes_that_can_be_retried(broker, start, space):
    gateway = start(*SHORT)
    wait_accepted(gateway, space)
    broker.signal(signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda n: gateway.post(space, "MemberJoined", MEMBER, key=f"u{n}"), range(20)))
    finally:
        broker.signal(signal.SIGCONT)
    assert {a.status_code for a in answers} <= {503, 504} and any(a.status_code == 504 for a in answers)
    for number, answer in enumerate(answers):
        problem = answer.json()
        assert problem["idempotency_key"] == f"u{number}" and problem["event_id"]
        assert problem["type"] == ("/problems/outcome-unknown" if answer.status_code == 504 else "/problems/not-written")
        retry = wait_until(lambda: (r := gateway.post(space, "MemberJoined", MEMBER, key=f"u{number}")).status_code == 202
                           and r, 60, "the retry is accepted")
        assert retry.json()["event_id"] == problem["event_id"]


def test_queue_full(broker, start, space):
    gateway = start("--delivery-timeout", "3s", "--request-timeout", "6s", "--inflight-max", "10")
    wait_accepted(gateway, space)
    broker.signal(signal.SIGSTOP)
    try:
        lines = "".join(json.dumps(MEMBER) + "\n" for _ in range(15))
        answer = requests.post(f"{gateway.url}/v1/spaces/{space}/events/MemberJoined", data=lines, timeout=30,
                               headers={"Content-Type": "application/x-ndjson"})
    finally:
        broker.signal(signal.SIGCONT)
    answers = [json.loads(line) for line in answer.text.splitlines()]
    assert len(answers) == 15
    assert [a["type"] for a in answers[10:]] == ["/problems/queue-full"] * 5
    assert all(a["status"] in (503, 504) for a in answers[:10])
    wait_until(lambda: gateway.post(space, "MemberJoined", MEMBER).status_code == 202, 60, "the queue is free again")


def test_a_space_has_a_rate(start, space):
    gateway = start("--space-rate", "1")
    answers = [gateway.post(space, "MemberJoined", MEMBER) for _ in range(12)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert answers[0].status_code == 202 and {answer.status_code for answer in answers} == {202, 429}
    assert refused[0].json()["type"] == "/problems/space-throttled" and refused[0].headers["Retry-After"] == "1"
    assert gateway.post(str(uuid.uuid4()), "MemberJoined", MEMBER).status_code == 202, "others do not pay for it"
    wait_until(lambda: gateway.post(space, "MemberJoined", MEMBER).status_code == 202, 60, "time makes room")


def test_one_space_leaves_room_for_others(broker, start, space):
    gateway = start("--delivery-timeout", "20s", "--request-timeout", "40s", "--inflight-max", "20", "--inflight-space-max", "12")
    wait_accepted(gateway, space)
    other, answers = str(uuid.uuid4()), []
    url = f"{gateway.url}/v1/spaces/{{}}/events/MemberJoined"
    headers = {"Content-Type": "application/x-ndjson"}
    lines = "".join(json.dumps(MEMBER) + "\n" for _ in range(15))
    greedy = threading.Thread(target=lambda: answers.append(requests.post(url.format(space), data=lines, timeout=60, headers=headers)))
    broker.signal(signal.SIGSTOP)
    try:
        greedy.start()
        wait_until(lambda: gateway.metric("weir_gateway_inflight_events") == 12, 60, "the Space has what it may have")
        refused = gateway.post(space, "MemberJoined", MEMBER)
        assert refused.status_code == 429 and refused.json()["type"] == "/problems/space-busy"
        assert refused.headers["Retry-After"] == "1"
        modest = threading.Thread(target=lambda: answers.append(gateway.post(other, "MemberJoined", MEMBER, timeout=60)))
        modest.start()
        wait_until(lambda: gateway.metric("weir_gateway_inflight_events") == 13, 60, "another Space has room")
    finally:
        broker.signal(signal.SIGCONT)
    greedy.join()
    modest.join()
    statuses = collections.Counter(json.loads(line)["status"] for answer in answers for line in answer.text.splitlines() if "status" in line)
    assert statuses[429] == 3, statuses
    wait_until(lambda: gateway.post(space, "MemberJoined", MEMBER).status_code == 202, 60, "the Space has room again")


def test_sigterm_under_load_loses_nothing(broker, start, space):
    gateway = start()
    traffic = Traffic(gateway, space, clients=16)
    wait_until(lambda: traffic.accepted() > 500, 60, "traffic flows")
    began = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - began < 15, "it waits out its drain timeout of 20 s"
    traffic.stop()
    assert {a.status_code for a in traffic.answers.values()} <= {202, 503}
    check_log(broker, traffic)


def test_sigterm_answers_what_waits_for_a_dead_broker(broker, start, space):
    gateway = start("--drain-timeout", "1s")
    assert gateway.post(space, "MemberJoined", MEMBER).status_code == 202
    broker.signal(signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            answers = [pool.submit(gateway.post, space, "MemberJoined", MEMBER, f"s{n}") for n in range(10)]
            wait_until(lambda: (gateway.metric("weir_gateway_inflight_events") or 0) >= 10, 60, "all wait")
            began = time.monotonic()
            assert gateway.stop() == 0
            assert time.monotonic() - began < 15
            assert {a.result().status_code for a in answers} <= {503, 504}
    finally:
        broker.signal(signal.SIGCONT)


def test_gateway_starts_before_its_broker(broker, start, space):
    broker.run("stop")
    try:
        gateway = start(*SHORT, ready=False)
        assert requests.get(gateway.admin + "/readyz", timeout=30).status_code == 503
        answer = gateway.post(space, "MemberJoined", MEMBER)
        assert answer.status_code == 503 and answer.json()["type"] == "/problems/not-ready"
    finally:
        broker.run("start")
    wait_until(gateway.ready, 60, "the gateway is ready")
    wait_accepted(gateway, space)


def test_other_partition_count_closes_the_topic(broker, start, space):
    gateway = start("--partitions", "5", ready=False)
    wait_until(lambda: "instead of 5" in requests.get(gateway.admin + "/readyz", timeout=30).text, 60, "the count is checked")
    answer = gateway.post(space, "MemberJoined", MEMBER)
    assert answer.status_code == 503 and answer.json()["type"] == "/problems/not-ready"
    assert records_of_space(broker.address, TOPIC, space) == []


def test_partitions_added_while_it_runs(broker, start, space):
    """Last of all: partitions cannot be taken away again."""
    gateway = start()
    assert gateway.post(space, "MemberJoined", MEMBER).status_code == 202
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_partitions([NewPartitions(TOPIC, 7)])[TOPIC].result(30)
    wait_until(lambda: gateway.post(space, "MemberJoined", MEMBER).status_code == 503, 60, "the topic is closed")
    assert not gateway.ready()
    purchase = {"stream_id": MEMBER["member_id"], "host_id": MEMBER["member_id"], "title": "Hello"}
    assert gateway.post(space, "LivestreamStarted", purchase).status_code in (202, 422), "other topics stay open"
