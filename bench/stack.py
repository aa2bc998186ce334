# SPDX-License-Identifier: Apache-2.0
"""The benchmark's own broker, database and processes, and what they cost in CPU.

Everything has its own state folder and ports, so that nothing else of this checkout is touched, and everything
that is started here is ended here by its pid. Whatever waits has a deadline.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
PORT_OFFSET = 500
PARTITIONS = 6
TICKS = os.sysconf("SC_CLK_TCK")
SERVICE_DEADLINE_S = 120
TOOL_DEADLINE_S = 180
POLL_S = 0.02
DELETE_DEADLINE_S, DELETE_POLL_S = 30, 0.2


class Failed(Exception):
    """A measurement that cannot be believed: it stops the run."""


def port(name, default):
    return int(os.environ.get(name, default)) + PORT_OFFSET


def stat_of(pid):
    """The fields of /proc/<pid>/stat behind the name, or None when the process is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def cpu_of(pid):
    """CPU seconds of a process, with those of its children that have ended."""
    fields = stat_of(pid)
    return sum(map(int, fields[11:15])) / TICKS if fields else 0.0


def children_of(pid):
    found = []
    for path in pathlib.Path("/proc").iterdir():
        if path.name.isdigit():
            fields = stat_of(path.name)
            if fields and fields[1] == str(pid):
                found.append(int(path.name))
    return found


def cpu_of_family(pid):
    """CPU seconds of a process and all its children. One that ends in between would count twice or not at all, so
    none must have."""
    while True:
        children = children_of(pid)
        used = cpu_of(pid) + sum(map(cpu_of, children))
        if children_of(pid) == children and all(stat_of(child) for child in children):
            return used
        time.sleep(POLL_S)


class Stack:
    partitions = PARTITIONS

    def __init__(self):
        self.state = ROOT / ".weir" / "bench"
        self.kafka_port = port("WEIR_KAFKA_PORT", 19092)
        self.pg_port = port("WEIR_PG_PORT", 15432)
        self.gateway_port = port("WEIR_GATEWAY_PORT", 18080)
        self.processor_port = port("WEIR_PROCESSOR_PORT", 18081)
        self.admin_port = port("WEIR_ADMIN_PORT", self.processor_port + 1)
        self.bare_port = self.gateway_port + 5
        self.processes = []
        self.env = dict(os.environ, WEIR_STATE=str(self.state), WEIR_KAFKA_PORT=str(self.kafka_port),
                        WEIR_PG_PORT=str(self.pg_port), WEIR_KAFKA_BROKERS=f"127.0.0.1:{self.kafka_port}",
                        WEIR_GATEWAY_LISTEN=f"127.0.0.1:{self.gateway_port}",
                        WEIR_ADMIN_LISTEN=f"127.0.0.1:{self.admin_port}",
                        WEIR_PROCESSOR_LISTEN=f"127.0.0.1:{self.processor_port}")
        self.home = self.state / "home"
        self.program = ROOT / "build" / "weir"

    # services

    def call(self, *words, deadline=SERVICE_DEADLINE_S, env=None):
        done = subprocess.run([str(w) for w in words], cwd=ROOT, env=env or self.env, capture_output=True,
                              text=True, timeout=deadline, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(map(str, words[:4]))} …: {(done.stderr or done.stdout).strip()[-2000:]} (exit code {done.returncode})")
        return done.stdout

    def up(self):
        self.call("./dev", "services", "clean")
        self.call("./dev", "services", "up")
        # so that rows tell when they became visible; the rest of the settings is the development server's
        self.sql("ALTER SYSTEM SET track_commit_timestamp = on", database="postgres")
        self.call("tests/services/postgres.sh", "stop")
        self.call("tests/services/postgres.sh", "start")
        self.make_home()
        self.weir("migrate", "--roles", "--database", self.weir_conninfo("weir"))
        self.weir("topics", "create")

    def down(self):
        for process in self.processes[:]:
            self.end(process)
        self.call("./dev", "services", "clean")

    def make_home(self):
        """Weir's own schemas and SQL, and the processors that are only here to be measured."""
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(ROOT / "schemas", self.home / "schemas")
        shutil.copytree(ROOT / "sql", self.home / "sql")
        shutil.copytree(ROOT / "bench" / "processors", self.home / "sql" / "processors", dirs_exist_ok=True)

    def reset_topics(self, past=False):
        """Empty topics, with offsets from 0; for records of the past they take the times of producers."""
        self.call("tests/services/kafka.sh", "tool", "org.apache.kafka.tools.TopicCommand", "--bootstrap-server",
                  f"127.0.0.1:{self.kafka_port}", "--delete", "--topic", r"weir\..*")
        # the broker takes its time, and one that is about to go is told to be there already, or is gone while it is asked
        end = time.monotonic() + DELETE_DEADLINE_S
        while self.topics_left():
            if time.monotonic() > end:
                raise Failed(f"the topics are still there {DELETE_DEADLINE_S} s after they were deleted")
            time.sleep(DELETE_POLL_S)
        self.weir("topics", "create")
        if past:
            self.call("tests/services/kafka.sh", "tool", "kafka.admin.ConfigCommand", "--bootstrap-server",
                      f"127.0.0.1:{self.kafka_port}", "--alter", "--entity-type", "topics", "--entity-name",
                      "weir.commerce", "--add-config", "message.timestamp.type=CreateTime")

    def forget_failures(self):
        """The topics of dead letters and decisions are gone: a database that is new would not be folded into beside them."""
        tool = ("tests/services/kafka.sh", "tool", "org.apache.kafka.tools.TopicCommand", "--bootstrap-server",
                f"127.0.0.1:{self.kafka_port}")  # fmt: skip
        pattern = r"weir\.(dlt|decisions)\..*"
        end = time.monotonic() + DELETE_DEADLINE_S
        self.call(*tool, "--delete", "--if-exists", "--topic", pattern)
        while re.search(pattern, self.call(*tool, "--list")):
            if time.monotonic() > end:
                raise Failed(f"the topics are still there {DELETE_DEADLINE_S} s after they were deleted")

    def topics_left(self):
        try:
            return any(topic["state"] != "missing" for topic in json.loads(self.weir("topics", "list", "-o", "json")))
        except Failed:
            return True

    # programs

    def weir(self, *words):
        return self.call(ROOT / "build" / "weir", *words, "--home", self.home)

    def tool(self, name, **options):
        """Runs one of the tools of bench/*.c; returns what it printed."""
        words = [f"{key}={value}" for key, value in options.items()]
        return json.loads(self.call(ROOT / "build" / "bench", name, f"brokers=127.0.0.1:{self.kafka_port}",
                                    *words, deadline=TOOL_DEADLINE_S))

    def spawn(self, name, *words):
        log = open(self.state / "log" / f"{name}.log", "a", encoding="utf-8")
        process = subprocess.Popen([str(w) for w in words], cwd=ROOT, env=self.env, stdout=log, stderr=log,
                                   stdin=subprocess.DEVNULL)
        process.log = log.name
        self.processes.append(process)
        return process

    def start_weir(self, name, *words):
        return self.spawn(name, ROOT / "build" / "weir", *words, "--home", self.home)

    def spawn_measured(self, name, *words):
        """Runs the program to its end; what it printed is in `out`, and what it cost in `cpu`, in seconds."""
        process = subprocess.Popen([str(ROOT / "build" / "weir"), *map(str, words), "--home", str(self.home)], cwd=ROOT,
                                   env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, err = "", ""
        try:
            # the answer is short, so that its pipe never fills
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            process.cpu = usage.ru_utime + usage.ru_stime
            out, err = process.stdout.read(), process.stderr.read()
        finally:
            process.stdout.close()
            process.stderr.close()
        if process.returncode != 0:
            raise Failed(f"{name}: {err[-2000:]} (exit code {process.returncode})")
        process.out = out
        return process

    def end(self, process):
        if process in self.processes:
            self.processes.remove(process)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait(self, process, condition, deadline_s, what, poll_s=POLL_S):
        end = time.monotonic() + deadline_s
        while True:
            result = condition()
            if result:
                return result
            if process.poll() is not None:
                raise Failed(f"{what}: the process ended; its log is {process.log}")
            if time.monotonic() > end:
                raise Failed(f"{what}: not within {deadline_s} s; the log is {process.log}")
            time.sleep(poll_s)

    @staticmethod
    def get(port_number, path):
        """The body of a successful answer, or None."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port_number}{path}", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def metric(self, name, *labels):
        """The sum of the processors' series of that name whose labels hold all the words."""
        total = 0.0
        for line in (self.get(self.processor_port, "/metrics") or "").splitlines():
            if line.startswith(name + "{") and all(label in line for label in labels):
                total += float(line.rsplit(" ", 1)[1])
        return total

    # database

    def conninfo(self, database):
        return f"host=127.0.0.1 port={self.pg_port} dbname={database} user=weir"

    def weir_conninfo(self, database):
        """For Weir's own commands, each of which has a login of its own."""
        return self.conninfo(database).removesuffix(" user=weir")

    def sql(self, text, database="weir"):
        return self.call("tests/services/postgres.sh", "psql", "-d", database, "-XAtqv", "ON_ERROR_STOP=1", "-c",
                         text).strip()

    def fresh_database(self, name):
        """A copy of the migrated database, and a checkpoint, so that each run starts alike."""
        self.drop_database(name)
        self.sql(f"CREATE DATABASE {name} TEMPLATE weir OWNER weir_owner", database="postgres")
        self.sql("CHECKPOINT", database="postgres")

    def drop_database(self, name):
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", database="postgres")

    def copy_time(self, database, tables):
        """COPY the present rows of the tables, in binary, into empty ones with the same indexes and checks. Returns
        {table: seconds}, {table: CPU seconds of Postgres}."""
        self.sql("DROP SCHEMA IF EXISTS floor CASCADE; CREATE SCHEMA floor", database)
        folder = self.state / "copy"
        folder.mkdir(exist_ok=True)
        seconds, cpu = {}, {}
        for table in tables:
            clone = "floor." + table.split(".")[1]
            path = folder / f"{clone}.copy"
            self.sql(f"CREATE TABLE {clone} (LIKE {table} INCLUDING ALL)", database)
            self.sql(f"\\copy {table} TO '{path}' (FORMAT binary)", database)
            self.sql("CHECKPOINT", database)
            before = self.cpu()["postgres"]
            seconds[table.split(".")[1]] = self.timed_copy(clone, path, database)
            cpu[table.split(".")[1]] = self.cpu()["postgres"] - before
            path.unlink()
        return seconds, cpu

    def timed_copy(self, table, path, database):
        answer = self.call("tests/services/postgres.sh", "psql", "-d", database, "-XAtqv", "ON_ERROR_STOP=1", "-c",
                           "\\timing on", "-c", f"\\copy {table} FROM '{path}' (FORMAT binary)")
        return float(answer.split("Time: ")[1].split()[0]) / 1000

    # CPU

    def postmaster(self):
        data = pathlib.Path(self.call("tests/services/postgres.sh", "home").strip()) / "data"
        return int((data / "postmaster.pid").read_text().split("\n", 1)[0])

    def broker(self):
        return int((self.state / "kafka" / "pid").read_text().split()[0])

    def cpu(self, **processes):
        """CPU seconds so far: broker, Postgres with all its backends, and the named processes."""
        used = {"broker": cpu_of(self.broker()), "postgres": cpu_of_family(self.postmaster())}
        used.update({name: cpu_of(process.pid) for name, process in processes.items()})
        return used


def per_million(before, after, events):
    """CPU seconds per million events, by process."""
    return {name: (after[name] - before[name]) / events * 1e6 for name in after}
