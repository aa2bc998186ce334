# SPDX-License-Identifier: Apache-2.0
"""SIGTERM to a gateway under load: kept-alive connections that read, that wait for an event, and that do nothing. Each is
answered or closed, never with 404, and the process ends by itself, in time, with 0. And the simulator, which ends although
its target is dead."""

import contextlib
import http.client
import re
import signal
import socket
import threading
import time
import uuid

import pytest

from harness import free_port, wait_until
from test_queries import create, get

DRAIN_S = 4
READERS, WAITERS, IDLE = 6, 6, 40


class Clients:
    """Kept-alive connections. `codes` are the answers by kind; a connection that is closed without one is closed for good."""

    def __init__(self, stack, space, behind):
        self.address = stack.gateway_url.removeprefix("http://").split(":")
        self.path, self.behind = f"/v1/spaces/{space}/overview", behind
        self.codes, self.broken, self.unlabelled = {"read": [], "wait": [], "idle": []}, [], []
        self.stopping = threading.Event()
        self.idle = []
        for _ in range(IDLE):  # used once, then kept
            connection = self.connect()
            self.ask(connection, {})
            self.idle.append(connection)
        loops = [(self.loop, "read", {})] * READERS + [(self.loop, "wait", {"Weir-After": behind})] * WAITERS
        self.threads = [threading.Thread(target=loop, args=rest) for loop, *rest in loops]
        self.threads.append(threading.Thread(target=self.wake_idle))
        for thread in self.threads:
            thread.start()

    def connect(self):
        return http.client.HTTPConnection(self.address[0], int(self.address[1]), timeout=60)

    def ask(self, connection, headers):
        connection.request("GET", self.path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 503 and (answer.headers["Retry-After"] is None or b"/problems/" not in body):
            self.unlabelled.append((answer.status, body))
        return answer.status

    def loop(self, kind, headers):
        with contextlib.suppress(ConnectionRefusedError):  # it listens no more
            while True:
                connection = self.connect()
                try:
                    while True:
                        self.codes[kind].append(self.ask(connection, headers))
                        if connection.sock is None:  # Connection: close
                            break
                except ConnectionRefusedError:
                    raise
                except (http.client.RemoteDisconnected, ConnectionError):  # closed before the request, or beside it
                    if not self.stopping.is_set():
                        self.broken.append(kind)
                except (http.client.HTTPException, socket.timeout) as failure:  # half an answer, or none
                    self.broken.append((kind, failure))
                finally:
                    connection.close()

    def wake_idle(self):
        """From the signal on, one idle connection after the other asks once more, through the whole of the shutdown."""
        self.stopping.wait(60)
        for number, connection in enumerate(self.idle[:IDLE // 2]):
            try:
                self.codes["idle"].append(self.ask(connection, {"Weir-After": self.behind} if number % 2 else {}))
            except (http.client.RemoteDisconnected, ConnectionError):
                pass
            except (http.client.HTTPException, socket.timeout) as failure:
                self.broken.append(("idle", failure))


@pytest.fixture(scope="module")
def spaces(fresh):
    """A Space that can be read, and a receipt of an event that nobody applies."""
    fresh.start_gateway()
    process = fresh.start_processors("overview")
    space = str(uuid.uuid4())
    receipt = create(fresh, space)
    wait_until(lambda: get(fresh, space, "overview", {"Weir-After": receipt}).status_code == 200, 60, "it is applied")
    assert process.term() == 0
    behind = create(fresh, space)
    fresh.end_all()
    return space, behind


@pytest.mark.parametrize("wait_s", [1, 60])
def test_sigterm_under_reads_waits_and_idle_connections(fresh, spaces, wait_s):
    """With waits that end in the drain, and with waits that outlast it."""
    fresh.end_all()
    gateway = fresh.start_gateway("--read-wait", f"{wait_s}s", "--drain-timeout", f"{DRAIN_S}s")
    clients = Clients(fresh, *spaces)
    wait_until(lambda: len(clients.codes["read"]) > 200, 60, "reads flow")
    clients.stopping.set()
    began = time.monotonic()
    code = gateway.term()
    took = time.monotonic() - began
    for thread in clients.threads:
        thread.join()
    text = gateway.text()
    assert code == 0, text[-3000:]
    assert "Sanitizer" not in text, text[-6000:]
    assert took < DRAIN_S + 4, f"it took {took:.1f} s"
    for kind, codes in clients.codes.items():
        assert set(codes) <= {200, 503, 504}, (kind, {code: codes.count(code) for code in set(codes)})
    assert not clients.broken and not clients.unlabelled, (clients.broken, clients.unlabelled)
    assert len(clients.codes["wait"]) >= WAITERS
    assert "gateway: stopped" in text


@pytest.fixture
def mute():
    """Takes connections and what is sent, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_the_simulator_gives_a_dead_target_up(stack, mute):
    """Nobody listens, and somebody who never answers: ten seconds are enough."""
    ports = (free_port(), mute)
    runs = [stack.start("simulate", "simulate", "--duration", "2s", "--target", f"http://127.0.0.1:{port}") for port in ports]
    for run in runs:
        assert run.wait(60) == 1
        assert "no answer in 10 s" in run.text()
        stack.processes.remove(run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_simulator_ends_when_it_is_told(stack, mute, number):
    run = stack.start("simulate", "simulate", "--duration", "60s", "--target", f"http://127.0.0.1:{mute}")
    wait_until(lambda: re.search(r"sent [1-9]", run.text()), 60, "requests are under way")
    began = time.monotonic()
    run.send(number)
    assert run.wait(60) == 1
    assert time.monotonic() - began < 4
    assert "given up" in run.text()
    stack.processes.remove(run)
