# SPDX-License-Identifier: Apache-2.0
"""What is attacked: the stack of the system tests with one gateway and one process of all processors, the honest client
beside it, and clients for those who mean harm.

Whatever an attacker is answered goes through `answered`, which keeps that no answer is a 500 and that none holds anything
of the honest client's Spaces.
"""

import collections
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "system"))

import events
from harness import PARTITIONS, Stack, wait_until

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
HONEST_SPACES = 6
FORSAKEN = PARTITIONS - 1  # a partition without an honest Space, for what may hold a partition
WARM_S = 1
DRAIN_S = 120
ANSWER_S = 30
ASK_S = 0.5
LOG_GROWTH_KB = 2000  # of each process during one attack
FD_SLACK = 60  # descriptors that may stay open: kept connections, database sessions, a broker
BUILD = os.environ.get("WEIR_HOSTILE_BUILD", "build")
SANITIZED = BUILD == "build-asan"  # slow, and keeps what was freed
SANITIZER = re.compile(r"^.*(?:ERROR: \w+Sanitizer|runtime error:|WARNING: ThreadSanitizer).*$", re.MULTILINE)

Answer = collections.namedtuple("Answer", "status headers body")


class Honest:
    """honest.py, as long as the block lasts."""

    def __init__(self, target, rate):
        self.target = target
        self.token = target.new_token()
        spaces = [target.space_in(number % FORSAKEN) for number in range(HONEST_SPACES)]
        target.tokens.append(self.token)
        target.secrets += [self.token, *spaces]
        probes = [target.probe_url(process) for process in (target.gateway, target.processors)]
        command = [sys.executable, str(ROOT / "tests" / "hostile" / "honest.py"), target.gateway_url, str(rate), self.token]
        self.popen = subprocess.Popen(
            [*command, *spaces, "--", *probes], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        self.phase("warm", WARM_S)
        return self

    def __exit__(self, *_):
        self.popen.kill()
        self.popen.communicate()

    def order(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()
        answer = self.popen.stdout.readline()
        assert answer, "the honest client ended"
        return json.loads(answer)

    def begin(self, name):
        self.order(f"begin {name}")

    def end(self):
        return self.order("end")

    def phase(self, name, seconds):
        self.begin(name)
        time.sleep(seconds)  # a measurement, not a wait
        return self.end()


class Attacker:
    """One kept connection of a client that means harm; its answers are looked at."""

    def __init__(self, target, timeout=ANSWER_S, admin=False):
        self.target = target
        address = (target.admin_url if admin else target.gateway_url).removeprefix("http://")
        self.http = http.client.HTTPConnection(address, timeout=timeout)

    def request(self, method, path, body=None, headers=None):
        """The Answer, or None when the connection was closed instead."""
        try:
            self.http.request(method, path, body, headers or {})
            answer = self.http.getresponse()
            return self.target.answered(Answer(answer.status, answer.headers, answer.read()))
        except (http.client.HTTPException, ConnectionError):
            self.http.close()
            self.target.statuses["closed"] += 1
            return None

    def publish(self, space, event, body, key=None, headers=JSON):
        """Body as bytes or text as it is, anything else as JSON."""
        body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        body = body.encode() if isinstance(body, str) else body
        path = f"/v1/spaces/{space}/events" + (f"/{event}" if event else "")
        return self.request("POST", path, body, {**headers, **({"Idempotency-Key": key} if key else {})})

    def close(self):
        self.http.close()


class Target(Stack):
    def __init__(self):
        super().__init__()
        self.weir = ROOT / BUILD / "weir"
        host, _, port = self.gateway_url.removeprefix("http://").rpartition(":")
        self.gateway_address = host, int(port)
        self.gateway = self.processors = self.options = None
        self.secrets = []
        self.tokens = []  # what honest events hold
        self.leaks = []
        self.statuses = collections.Counter()
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536), most))

    def new_token(self):
        return "honest-" + uuid.uuid4().hex

    # What runs

    def up(self):
        (self.state / "log").mkdir(parents=True, exist_ok=True)
        self.script("./dev", "services", "down", check=False)  # left over from a run that was killed
        super().up()

    def with_options(self, gateway=(), process=()):
        """The gateway and the processors run with these options."""
        options = tuple(map(str, gateway)), tuple(map(str, process))
        alive = self.gateway and self.gateway.is_alive() and self.processors.is_alive()
        if alive and options == self.options:
            return
        self.end_all()
        self.options = options
        self.gateway = self.start_gateway(*options[0])
        self.processors = self.start_processors(options=options[1])

    def begin_anew(self):
        """Whatever the last attack did to the database and the topics is gone."""
        for process in list(self.processes):
            process.kill()
        self.processes.clear()
        self.gateway = None
        self.dirty = True
        self.heal()

    def probe_url(self, process):
        return f"{process.admin or process.url}/livez"

    # Watching

    def watched(self):
        return {"gateway": self.gateway, "processors": self.processors}

    def begin_watch(self):
        self.leaks, self.statuses = [], collections.Counter()
        self.fds = {}
        for name, process in self.watched().items():
            self.fds[name] = len(os.listdir(f"/proc/{process.pid}/fd"))
            with contextlib.suppress(OSError):
                pathlib.Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak begins anew
        self.logged = {name: process.log.stat().st_size for name, process in self.watched().items()}
        self.memory = {name: self.status_mb(process, "VmRSS") for name, process in self.watched().items()}

    def status_mb(self, process, what):
        text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+)", text)[1]) // 1024

    def end_watch(self, growth_mb):
        """Facts about the attack; what the processes hold is within limits."""
        facts = {"answers": dict(self.statuses)} if self.statuses else {}
        for name, process in self.watched().items():
            assert process.is_alive(), f"the {name} ended with {process.popen.returncode}"
            peak = self.status_mb(process, "VmHWM")
            facts[f"{name} MB"] = f"{self.memory[name]}→{peak}"
            assert peak <= self.memory[name] + growth_mb, f"the {name} took {peak} MB, and {self.memory[name]} before"
            logged = (process.log.stat().st_size - self.logged[name]) // 1024
            assert logged <= LOG_GROWTH_KB, f"the {name} logged {logged} KB: {process.text()[-1000:]}"
            count = lambda process=process: len(os.listdir(f"/proc/{process.pid}/fd"))
            wait_until(lambda: count() <= self.fds[name] + FD_SLACK, 60, lambda: f"the {name} holds {count()} descriptors")
        return facts

    def answered(self, answer):
        """Notes what an attacker was told."""
        self.statuses[answer.status] += 1
        text = str(answer.headers) + answer.body.decode(errors="replace")
        if answer.status == 500:
            self.leaks.append(f"an answer is 500: {text[:300]}")
        for secret in self.secrets:
            if secret in text:
                self.leaks.append(f"an answer holds {secret} of the honest client: {text[:300]}")
        return answer

    def secrets_kept(self):
        assert not self.leaks, f"{len(self.leaks)} answers are wrong: {self.leaks[:3]}"

    def all_is_well(self):
        """Everything is applied or accounted for, nobody waits for a person, no sanitizer found anything."""
        self.wait_drained(deadline=DRAIN_S)
        halts = self.psql("SELECT * FROM weir.halt")
        assert not halts, f"halted: {halts}"
        audit = self.run("audit", "--wait", "60s", check=False)
        assert audit.returncode == 0, audit.stdout + audit.stderr
        for process in self.processes:
            found = SANITIZER.search(process.text())
            assert not found, f"{process.name}: {found[0]}"
            for secret in self.tokens:
                assert secret not in process.text(), f"the log of {process.name} holds what is in honest events"

    # Clients that mean harm

    def attacker(self, timeout=ANSWER_S, admin=False):
        return Attacker(self, timeout, admin)

    def connect(self, timeout=ANSWER_S):
        """A bare connection to the gateway."""
        return socket.create_connection(self.gateway_address, timeout)

    def raw(self, data, timeout=ANSWER_S):
        """What is answered to these bytes until the connection is closed; None when it is still open after `timeout`."""
        with self.connect(timeout) as connection:
            received = b""
            try:
                connection.sendall(data)
                while part := connection.recv(65536):
                    received += part
            except socket.timeout:
                return None
            except ConnectionError:
                pass
            return received

    def flood(self, step, seconds, threads=8, admin=False):
        """Calls step(attacker, number) from so many threads until the time is over; how often."""
        end = time.monotonic() + seconds

        def work(first):
            attacker, number = self.attacker(admin=admin), first
            while time.monotonic() < end:
                step(attacker, number)
                number += threads
            attacker.close()
            return (number - first) // threads

        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(work, range(threads)))

    def space_in(self, partition):
        """A new Space whose records lie in that partition."""
        while True:
            space = str(uuid.uuid4())
            if events.partition_of(space.encode(), PARTITIONS) == partition:
                return space

    def send_records(self, records):
        """Records past the gateway, as a broken producer sends them: (topic, partition or None: by key, key, value, headers)
        each; their places."""
        placed = [
            (topic, events.partition_of(key, PARTITIONS) if partition is None else partition, key, value, headers)
            for topic, partition, key, value, headers in records
        ]
        offsets = self.produce(placed)
        return [(topic, partition, offset) for (topic, partition, *_), offset in zip(placed, offsets)]

    # What became of events, and what an operator does about them by command line

    def set_aside(self, spaces=None):
        """{code: how many events} of these Spaces, or of all, failed and wait for another try or for a decision."""
        codes = collections.Counter()
        for rows in ("weir.parked_space", "weir.dead_letter WHERE state = 'open'"):
            for code, count in self.psql(
                f"SELECT code, count(*) FROM (SELECT * FROM {rows}) AS failed "
                "WHERE %s::uuid[] IS NULL OR space_id = ANY (%s) GROUP BY 1", spaces, spaces,
            ):  # fmt: skip
                codes[code] += count
        return dict(codes)

    def wait_set_aside(self, count, spaces=None):
        """Until so many have failed, over all processors; {code: how many}."""
        def total():
            time.sleep(ASK_S)  # asking costs a process of the server, beside whom others are measured
            return sum(events for code, events in self.set_aside(spaces).items() if code)  # those without wait untried

        wait_until(lambda: total() >= count, 60, lambda: f"{count} events are set aside; {self.set_aside(spaces)} are")
        return self.set_aside(spaces)

    def discard_all(self):
        """Nothing is parked or open any more: all of it is discarded, as documented."""
        for tool, rows in (("parked", "weir.parked"), ("dead-letters", "weir.dead_letter WHERE state = 'open'")):
            found = f"SELECT DISTINCT processor FROM (SELECT * FROM {rows}) AS one JOIN weir.position USING (position_id)"
            wait_until(lambda: not self.discard(tool, self.psql(found)), 120, f"weir {tool} discard leaves nothing")

    def discard(self, tool, processors):
        """Discards what these processors have at the moment; what waited behind it may fail next."""
        for (processor,) in processors:
            self.run(tool, "discard", "--processor", processor, "--reason", "made by an attack", "--max", 100000,
                     "--rate", 100000, "--yes", "--wait", "60s", check=False)  # fmt: skip
        return processors
