# SPDX-License-Identifier: Apache-2.0
"""What the system tests stand on: the services of this checkout, and the program's processes, known by their pid.

The services are those of `./dev test` when it started them (WEIR_STATE says so), else a pair of their own in
.weir/system on free ports. Everything that is started here is ended here, also when a test fails.
"""

import collections
import contextlib
import itertools
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import psycopg
import requests
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

import events

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTITIONS = 6
ANSWER_S = 30  # for one answer of a process on a machine that is busy with others
END_S = 60  # for a process to end
PROCESSOR_TOPICS = ("weir.dlt.", "weir.decisions.")
REPORTS = []  # lines that are printed when all tests are done
POLL_S = 0.03
LOG_TAIL = 3000

_ports = []  # sockets that keep the ports which were handed out


def free_port(together=1):
    """The first of `together` ports that nobody uses. They stay bound here, though nobody listens: so neither another run
    nor a connection that goes out is given one of them, while a server that sets SO_REUSEADDR, as ours all do, can listen."""
    while True:
        with contextlib.ExitStack() as held:
            first = 0
            try:
                for number in range(together):
                    made = held.enter_context(socket.socket())
                    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    made.bind(("127.0.0.1", first + number if number else 0))
                    first = first or made.getsockname()[1]
            except (OSError, OverflowError):
                continue
            _ports.append(held.pop_all())
            return first


def wait_until(condition, deadline=60.0, what=None):
    """What `condition` returns, once it is true. `deadline` in seconds."""
    end = time.monotonic() + deadline
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            text = what() if callable(what) else what
            raise AssertionError(f"not within {deadline} s: {text or getattr(condition, '__name__', 'the condition')}")
        time.sleep(POLL_S)


class Process:
    """One process of the program. What it prints is in `out`, what it logs in `log`."""

    def __init__(self, name, command, env, log):
        self.name = name
        self.log = log
        self.out = log.with_suffix(".out")
        with open(log, "wb") as err, open(self.out, "wb") as out:
            self.popen = subprocess.Popen(command, env=env, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        self.pid = self.popen.pid
        self.url = None
        self.admin = None  # the base of health and metrics, where it is not `url`

    def text(self):
        return self.log.read_text(errors="replace")

    def is_alive(self):
        return self.popen.poll() is None

    def wait_log(self, pattern, deadline=60.0):
        """The match of a pattern in what the process has said so far, or will say."""
        found = lambda: re.search(pattern, self.text())
        return wait_until(found, deadline, lambda: f"{self.name} says /{pattern}/; it said:\n{self.text()[-LOG_TAIL:]}")

    def is_ready(self):
        return self.answers("/readyz") == 200

    def answers(self, path):
        try:
            return requests.get((self.admin or self.url) + path, timeout=ANSWER_S).status_code
        except requests.RequestException:
            return None

    def metric(self, name, **labels):
        """Sum of the series of /metrics with that name and those labels."""
        total = 0.0
        for line in requests.get((self.admin or self.url) + "/metrics", timeout=ANSWER_S).text.splitlines():
            match = re.match(rf"{name}(?:{{(.*)}})? (\S+)$", line)
            if match and all(f'{key}="{value}"' in (match[1] or "") for key, value in labels.items()):
                total += float(match[2])
        return total

    def wait_metric(self, wanted, name, deadline=60.0, **labels):
        """Until the metric says that, and not more: what is in the tables already is counted a moment later."""
        seen = []

        def reached():
            seen.append(self.metric(name, **labels))
            return seen[-1] >= wanted

        wait_until(reached, deadline, lambda: f"{name} is {wanted}; it is {seen[-1]}")
        assert seen[-1] == wanted, f"{name} is {seen[-1]}, not {wanted}"

    def wait_ready(self, deadline=60.0):
        def ready():
            assert self.is_alive(), f"{self.name} ended with {self.popen.returncode}:\n{self.text()[-LOG_TAIL:]}"
            return self.is_ready()

        wait_until(ready, deadline, lambda: f"{self.name} is ready; it said:\n{self.text()[-LOG_TAIL:]}")
        return self

    def send(self, number):
        if self.is_alive():
            self.popen.send_signal(number)

    def freeze(self):
        self.send(signal.SIGSTOP)

    def thaw(self):
        self.send(signal.SIGCONT)

    def kill(self):
        self.send(signal.SIGKILL)
        self.popen.wait(END_S)

    def term(self, deadline=END_S):
        """SIGTERM, and the exit code."""
        self.send(signal.SIGTERM)
        self.thaw()
        return self.wait(deadline)

    def wait(self, deadline=END_S):
        try:
            return self.popen.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {deadline} s:\n{self.text()[-LOG_TAIL:]}") from None


def make_home(folder, processors):
    """A folder for --home with the catalog, the control schema and processors made of {name: {file: text}}."""
    shutil.copytree(ROOT / "schemas", folder / "schemas")
    shutil.copytree(ROOT / "sql" / "control", folder / "sql" / "control")
    for name, files in processors.items():
        (folder / "sql" / "processors" / name).mkdir(parents=True)
        for file, text in files.items():
            (folder / "sql" / "processors" / name / file).write_text(text)
    return folder


def first_offset(reader, place):
    """Where the log begins; a topic that was just made has no leader yet."""

    def read():
        with contextlib.suppress(KafkaException):
            return reader.get_watermark_offsets(place, timeout=20)

    return wait_until(read, 60, "the broker says where the log begins")[0]


class Stack:
    def __init__(self):
        self.shared = "WEIR_STATE" in os.environ and "WEIR_KAFKA_PORT" in os.environ
        self.state = pathlib.Path(os.environ["WEIR_STATE"]) if self.shared else ROOT / ".weir" / "system"
        self.kafka_port = int(os.environ["WEIR_KAFKA_PORT"]) if self.shared else free_port(2)
        self.pg_port = int(os.environ["WEIR_PG_PORT"]) if self.shared else free_port()
        self.weir = pathlib.Path(os.environ.get("WEIR_TEST_PROGRAM", ROOT / "build" / "weir"))
        self.brokers = f"127.0.0.1:{self.kafka_port}"
        # a superuser, for what tests look at and bring about; nothing of Weir's connects as it
        self.database = f"host=127.0.0.1 port={self.pg_port} dbname=weir user=weir"
        self.gateway_url = f"http://127.0.0.1:{free_port()}"
        self.admin_url = f"http://127.0.0.1:{free_port()}"
        self.processes = []
        self.dirty = False
        self.numbers = itertools.count(1)
        self.http = requests.Session()
        self.env = dict(
            os.environ,
            WEIR_STATE=str(self.state),
            WEIR_KAFKA_PORT=str(self.kafka_port),
            WEIR_PG_PORT=str(self.pg_port),
            WEIR_KAFKA_BROKERS=self.brokers,
            WEIR_DATABASE=self.database.removesuffix(" user=weir"),  # each command has a login of its own
            WEIR_GATEWAY_LISTEN=self.gateway_url.removeprefix("http://"),
            WEIR_ADMIN_LISTEN=self.admin_url.removeprefix("http://"),
            WEIR_TARGET=self.gateway_url,
            WEIR_LOG_FORMAT="text",
            # patience with a machine that is busy; tests of these times set them
            WEIR_READ_TIMEOUT="30s",
            WEIR_READ_WAIT="30s",
        )
        self.wait_until = wait_until

    # The services

    def script(self, *command, check=True):
        done = subprocess.run(
            command, cwd=ROOT, env=self.env, capture_output=True, text=True, errors="replace", timeout=300
        )
        assert not check or done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stderr}"
        return done

    def up(self):
        assert self.weir.exists(), "build/weir is missing: ./dev build"
        self.was_up = self.script("./dev", "services", "status", check=False).returncode == 0
        (self.state / "log").mkdir(parents=True, exist_ok=True)
        self.script("./dev", "services", "up")
        self.reset()

    def down(self):
        self.end_all()
        if not self.was_up:
            self.script("./dev", "services", "down" if self.shared else "clean", check=False)

    def kafka(self, verb):
        """start, stop or kill (-9) of the broker."""
        self.script("tests/services/kafka.sh", verb)

    def postgres(self, verb):
        """start, stop or kill (-9) of the database."""
        self.script("tests/services/postgres.sh", verb)

    def heal(self):
        """Both services run; the database and the topics are those of the catalog."""
        self.script("./dev", "services", "up")
        if self.dirty:
            self.reset()

    def reset(self):
        """An empty database, migrated, and empty topics."""
        self.end_all()
        self.new_database()
        self.new_topics()
        self.run("migrate", "--roles")
        self.dirty = False

    def new_database(self):
        with psycopg.connect(self.database.replace("dbname=weir", "dbname=postgres"), autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS weir WITH (FORCE)")
            connection.execute("CREATE DATABASE weir OWNER weir_owner")

    def new_topics(self):
        """Empty topics of the domains, and of the processors of this checkout; those of other homes are gone."""
        present = self.admin().list_topics(timeout=20).topics
        self.delete_topics([*events.TOPICS, *(name for name in present if name.startswith(PROCESSOR_TOPICS))])
        self.run("topics", "create")
        self.wait_led(events.TOPICS)

    def wait_led(self, names, partitions=PARTITIONS):
        """Until the broker itself knows that it leads so many partitions of each: it learns of that after the controller."""
        admin = self.admin()

        def led():
            with contextlib.suppress(KafkaException):
                topics = admin.list_topics(timeout=20).topics
                parts = [list(topics[name].partitions.values()) if name in topics else [] for name in names]
                return all(len(part) == partitions and all(one.leader >= 0 for one in part) for part in parts)

        wait_until(led, what=f"the broker leads {partitions} partitions of {names}")

    def delete_topics(self, names):
        admin = self.admin()
        present = [name for name in admin.list_topics(timeout=20).topics if name in names]
        for future in admin.delete_topics(present).values() if present else []:
            future.result(60)
        wait_until(lambda: not set(admin.list_topics(timeout=20).topics) & set(names), what="the topics are gone")

    def admin(self):
        return AdminClient({"bootstrap.servers": self.brokers})

    # The program

    def run(self, *arguments, check=True, timeout=300, env=None):
        """One command of the program, to its end."""
        done = subprocess.run(
            [str(self.weir), *map(str, arguments)],
            env=dict(self.env, **(env or {})),
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        assert not check or done.returncode == 0, f"weir {arguments} ended with {done.returncode}:\n{done.stderr}"
        return done

    def start(self, name, *arguments, env=None):
        log = self.state / "log" / f"{name}-{next(self.numbers)}.log"
        process = Process(name, [str(self.weir), *map(str, arguments)], dict(self.env, **(env or {})), log)
        self.processes.append(process)
        return process

    def start_gateway(self, *options, ready=True):
        process = self.start("gateway", "gateway", *options)
        process.url, process.admin = self.gateway_url, self.admin_url
        return process.wait_ready() if ready else process

    def start_processors(self, *names, options=(), ready=True, env=None):
        port = free_port()
        names = names or tuple(events.PROCESSORS)
        process = self.start("process", "process", *names, "--processor-listen", f"127.0.0.1:{port}", *options, env=env)
        process.url = f"http://127.0.0.1:{port}"
        return process.wait_ready() if ready else process

    def end(self, process):
        if process.is_alive():
            process.thaw()
            process.send(signal.SIGTERM)
            try:
                process.popen.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
        if process in self.processes:
            self.processes.remove(process)

    def end_all(self):
        for process in self.processes:
            process.thaw()
            process.send(signal.SIGTERM)
        for process in list(self.processes):
            self.end(process)

    def logs_tail(self):
        return "\n".join(f"--- {p.name} {p.pid}\n{p.text()[-LOG_TAIL:]}" for p in self.processes)

    # HTTP, Postgres, Kafka

    def post(self, space, event, body, key=None, **options):
        headers = options.pop("headers", {})
        if key is not None:
            headers = {"Idempotency-Key": key, **headers}
        url = f"{self.gateway_url}/v1/spaces/{space}/events/{event}"
        return self.http.post(url, json=body, headers=headers, timeout=30, **options)

    def psql(self, query, *values, role=None):
        """The rows of a query, as a list of tuples; an empty list where there are none."""
        with psycopg.connect(self.database, autocommit=True, connect_timeout=60) as connection:
            if role:
                connection.execute(f"SET ROLE {role}")
            result = connection.execute(query, values or None)
            return result.fetchall() if result.description else []

    def live(self, processor):
        """The schema of the live generation."""
        return "%s_%s" % self.psql("SELECT processor, generation FROM weir.processor WHERE processor = %s", processor)[0]

    def psql_live(self, query, *values):
        """The same, where the first generation's schema stands for the live one's."""
        return self.psql(re.sub(r"\b(\w+)_1\.", lambda match: self.live(match[1]) + ".", query), *values)

    def value(self, query, *values):
        return self.psql(query, *values)[0][0]

    @contextlib.contextmanager
    def transaction(self):
        """A database session of the test's own that is rolled back at the end."""
        connection = psycopg.connect(self.database)
        try:
            yield connection
            connection.rollback()
        finally:
            connection.close()

    def ends(self, topics=events.TOPICS):
        """{(topic, partition): end of the log}; the end that a reader of committed records comes to."""
        reader = Consumer({"bootstrap.servers": self.brokers, "group.id": "test-ends"})

        def read():
            try:
                return {
                    (topic, partition): reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)[1]
                    for topic in topics
                    for partition in range(PARTITIONS)
                }
            except KafkaException:  # a broker that has just come back
                return None

        try:
            return wait_until(read, 60, "the broker says where its logs end")
        finally:
            reader.close()

    def positions(self, processor):
        rows = self.psql(
            "SELECT topic, kafka_partition, next_offset FROM weir.position JOIN weir.processor USING (processor, generation) "
            "WHERE processor = %s", processor)
        return {(topic, partition): offset for topic, partition, offset in rows}

    def lag(self, processor, ends=None):
        topics = events.PROCESSORS.get(processor) or sorted({t for t, _ in self.positions(processor)})
        ends = ends or self.ends(topics)
        positions = self.positions(processor)
        return sum(max(0, end - positions.get(key, 0)) for key, end in ends.items() if key[0] in topics)

    def wait_drained(self, *processors, deadline=120.0):
        """Until each has dealt with everything that is in its topics now."""
        processors = processors or tuple(events.PROCESSORS)
        ends = self.ends()

        def drained():
            try:
                return all(self.lag(name, ends) == 0 for name in processors)
            except psycopg.OperationalError:
                return False

        wait_until(drained, deadline, lambda: f"lag 0; it is {[(n, self.lag(n, ends)) for n in processors]}")

    def produce(self, messages, **settings):
        """(topic, partition, key, value, headers) each, as they are; returns their offsets."""
        failures, offsets = [], {}

        def delivered(number):
            def report(failure, message):
                if failure:
                    failures.append(failure)
                else:
                    offsets[number] = message.offset()

            return report

        producer = Producer({"bootstrap.servers": self.brokers, "linger.ms": 5, "enable.idempotence": True, **settings})
        for number, (topic, partition, key, value, headers) in enumerate(messages):
            while True:
                try:
                    producer.produce(topic, value, key, partition, headers=headers or [], on_delivery=delivered(number))
                    break
                except BufferError:  # the broker is slower
                    assert producer.poll(60), "the broker takes nothing"
            producer.poll(0)
        assert producer.flush(60) == 0 and not failures, failures
        return [offsets[number] for number in range(len(offsets))]

    def records(self, topics=events.TOPICS, since=None):
        """Every committed record of the topics, by partition in the order of their offsets; {place: offset} in `since`
        says from where on."""
        found = collections.defaultdict(list)
        reader = Consumer(
            {
                "bootstrap.servers": self.brokers,
                "group.id": "test-records",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
            }
        )
        try:
            places = []
            for topic in topics:
                for partition in reader.list_topics(topic, timeout=20).topics[topic].partitions:
                    place = TopicPartition(topic, partition)
                    first = (since or {}).get((topic, partition))
                    places.append(TopicPartition(topic, partition, first_offset(reader, place) if first is None else first))
            reader.assign(places)
            open_places = {(place.topic, place.partition) for place in places}
            end, failure = time.monotonic() + 120, None
            while open_places:
                assert time.monotonic() < end, f"the topics could not be read: {open_places}: {failure}"
                for message in reader.consume(5000, 1.0 if len(open_places) > 1 else 0.2):
                    if message.error() is None:
                        found[message.topic(), message.partition()].append(message)
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        open_places.discard((message.topic(), message.partition()))
                    else:
                        failure = message.error()
        finally:
            reader.close()
        return found
