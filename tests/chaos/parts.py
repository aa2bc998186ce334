# SPDX-License-Identifier: Apache-2.0
"""What the chaos suite adds to the harness of the system tests: the build with failpoints, proxies between the program
and its servers, processes of the services that are frozen, and a world that outlives its faults.

The program reaches Postgres and Kafka through proxies; whatever checks it does not.
"""

import collections
import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "system"))

import psycopg

import events
from harness import Stack, free_port, wait_until
from world import ALL, FAST, World

BUILD = ROOT / os.environ.get("WEIR_CHAOS_BUILD", "build-chaos")
SANITIZER = re.compile(r"^.*(?:ERROR: \w+Sanitizer|runtime error:).*$", re.MULTILINE)
FD_SLACK = 12  # descriptors that may come and go: a connection to a broker, a log

Fault = collections.namedtuple("Fault", "name rows run short needs anew")
FAULTS = []


def fault(name, rows, short=False, needs=None, anew=False):
    """Registers a function of (world, scale) that injects a fault, heals it, and returns (times, worst seconds).

    rows: those of the fault matrix. short: part of the short run. needs: (condition of the world, what is missing
    otherwise). anew: the topics or tables are spoilt by it, and the world begins anew.
    """

    def register(run):
        FAULTS.append(Fault(name, rows, run, short, needs, anew))
        return run

    return register


class Proxy:
    """tests/chaos/proxy.c before a port of this machine."""

    def __init__(self, target, log, port=None):
        self.port = port or free_port()
        self.control = free_port()
        self.log = open(log, "ab")
        command = [str(BUILD / "chaos_proxy"), str(self.port), str(target), str(self.control)]
        self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until(self._connect, 60, "the proxy listens")

    def _connect(self):
        try:
            self.socket = socket.create_connection(("127.0.0.1", self.control), 60)
            self.file = self.socket.makefile("rw")
            return True
        except OSError:
            assert self.popen.poll() is None, "the proxy ended"
            return False

    def order(self, line):
        """Carries out one line of proxy.c's language; the words behind `ok`."""
        self.file.write(line + "\n")
        self.file.flush()
        answer = self.file.readline().split()
        assert answer and answer[0] == "ok", f"the proxy said {answer} to {line}"
        return answer[1:]

    def cuts(self):
        return int(self.order("stats")[2])

    @contextlib.contextmanager
    def ordered(self, *lines):
        for line in lines:
            self.order(line)
        try:
            yield
        finally:
            self.order("pass")

    def close(self):
        self.popen.kill()
        self.popen.wait()
        self.log.close()


class ChaosStack(Stack):
    def __init__(self):
        super().__init__()
        self.weir = BUILD / "weir"
        self.kafka_proxy_port = free_port()
        self.env["WEIR_KAFKA_PROXY"] = str(self.kafka_proxy_port)
        self.proxied = {}
        self.disk = None  # a database on a small disk, while there is one (faults_disk.py)

    def heal(self):
        if self.disk:
            self.disk.repair()
        else:
            super().heal()

    def up(self):
        log = self.state / "log"
        log.mkdir(parents=True, exist_ok=True)
        self.script("./dev", "services", "down", check=False)  # left over from a run that was killed
        self.kafka_proxy = Proxy(self.kafka_port + 2, log / "proxy.log", self.kafka_proxy_port)
        self.pg_proxy = Proxy(self.pg_port, log / "proxy.log")
        self.proxies = self.kafka_proxy, self.pg_proxy
        self.proxied = {
            "WEIR_KAFKA_BROKERS": f"127.0.0.1:{self.kafka_proxy.port}",
            "WEIR_DATABASE": self.env["WEIR_DATABASE"].replace(f"port={self.pg_port}", f"port={self.pg_proxy.port}"),
        }
        shutil.rmtree(self.state / "homes", ignore_errors=True)
        super().up()

    def down(self):
        super().down()
        for proxy in self.proxies:
            proxy.close()

    def start(self, name, *arguments, env=None):
        return super().start(name, *arguments, env={**self.proxied, **(env or {})})

    def service_pid(self, name):
        """Of the broker, or of Postgres' postmaster."""
        return int(self.script(f"tests/services/{name}.sh", "status").stdout.split()[-1])

    @contextlib.contextmanager
    def frozen(self, name):
        """A service that is stopped as by a debugger, with all of its processes."""
        pid = self.service_pid(name)
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
        family = [pid, *map(int, children)]
        try:
            for one in family:
                send(one, signal.SIGSTOP)
            yield
        finally:
            for one in family:
                send(one, signal.SIGCONT)

    def failpoints(self):
        """The names of the failpoints of this build."""
        listed = self.run("version", env={"WEIR_FAILPOINT": "list"}).stdout
        return [line.split()[0] for line in listed.splitlines() if line.strip()]


def make_home_with(stack, policy):
    """A folder for --home: this checkout's schemas and SQL, each processor with these lines of policy as well."""
    folder = stack.state / "homes" / hashlib.sha256(policy.encode()).hexdigest()[:12]
    if not folder.exists():
        shutil.copytree(ROOT / "schemas", folder / "schemas")
        shutil.copytree(ROOT / "sql", folder / "sql")
        for conf in (folder / "sql" / "processors").glob("*/processor.conf"):
            conf.write_text(conf.read_text() + policy)
    return folder


def send(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class ChaosWorld(World):
    """One long-lived process of all processors, unless a fault starts its own."""

    def __init__(self, stack, seed):
        super().__init__(stack, seed)
        self.processors = None
        self.fds = {}
        self.began = time.time()
        self.without_relay = False  # in a cluster that cannot make its topics

    def running(self, *options):
        """The long-lived processors, started if need be."""
        if not self.processors or not self.processors.is_alive():
            self.processors = self.started(*options)
        return self.processors

    def stopped(self):
        """For a fault that starts processors of its own: the long-lived ones are ended."""
        if self.processors:
            self.stack.end(self.processors)
        self.processors = None

    def heal(self):
        for proxy in getattr(self.stack, "proxies", ()):
            proxy.order("pass")
        super().heal()

    def repair(self):
        """After a fault that went wrong: whatever still runs is ended, services and gateway are there."""
        for process in list(self.stack.processes):
            if process is not self.gateway:
                process.thaw()
                process.kill()
                self.stack.processes.remove(process)
        self.processors = None
        self.heal()
        if not self.gateway.is_alive():
            self.gateway = self.stack.start_gateway()
        self.stack.psql("DELETE FROM weir.halt")

    def begin_anew(self):
        """Empty topics, an empty database; what was counted stays counted."""
        self.stopped()
        self.sent_before += self.acknowledged()
        self.stack.dirty = True
        self.stack.processes = [process for process in self.stack.processes if process.is_alive()]
        self.stack.heal()
        self.reports, self.other_events, self.entries, self.ends = [], 0, [], {}
        self.own_spaces, self.known = set(), set()
        self.dead, self.late = {name: set() for name in ALL}, {name: {} for name in ALL}
        self.gateway = self.stack.start_gateway()

    def count_descriptors(self):
        """A process that came through a fault has no more descriptors open than before it."""
        for process in self.stack.processes:
            if process.is_alive() and process.url:
                count = len(os.listdir(f"/proc/{process.pid}/fd"))
                least = self.fds.setdefault(process.pid, count)
                assert count <= least + FD_SLACK, f"{process.name}: {count} descriptors are open, {least} at first"

    def check_logs(self):
        """No sanitizer has found anything, if the build has one."""
        for log in (self.stack.state / "log").glob("*.log"):
            if log.stat().st_mtime > self.began:
                found = SANITIZER.search(log.read_text(errors="replace"))
                assert not found, f"{log}: {found[0]}"

    def check_dead_letters(self):
        """Each dead letter has its record on the processor's topic, and each record its dead letter."""
        stack, waiting = self.stack, "SELECT count(*) FROM weir.outbox"
        wait_until(lambda: stack.value(waiting) == 0, 60,
                   lambda: f"the outbox is empty; {stack.value(waiting)} records wait")  # fmt: skip
        tables, topics = collections.defaultdict(set), collections.defaultdict(set)
        for processor, *place in stack.psql(
            "SELECT processor, topic, kafka_partition, kafka_offset FROM weir.dead_letter "
            "JOIN weir.position USING (position_id)"
        ):
            tables[processor].add(tuple(place))
        for messages in stack.records([f"weir.dlt.{name}" for name in ALL]).values():
            for message in messages:
                headers = dict(message.headers())
                place = headers["weir_topic"].decode(), int(headers["weir_partition"]), int(headers["weir_offset"])
                topics[headers["weir_processor"].decode()].add(place)
        for name in ALL:
            without, more = tables[name] - topics[name], topics[name] - tables[name]
            assert not without, f"{name}: dead letters without their record: {sorted(without)[:3]}"
            assert not more, f"{name}: records without their dead letter: {sorted(more)[:3]}"

    def verify(self, fault, times, seconds):
        super().verify(fault, times, seconds)
        if not self.without_relay:
            self.check_dead_letters()
        self.check_logs()

    def produce(self, messages, **settings):
        """Records past the gateway; their places."""
        self.own_spaces |= {key.decode() for _, _, key, _, _ in messages if key and len(key) == 36 and key.isascii()}
        offsets = self.stack.produce(messages, **settings)
        return [(topic, partition, offset) for (topic, partition, *_), offset in zip(messages, offsets)]
