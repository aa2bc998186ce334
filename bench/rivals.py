# SPDX-License-Identifier: Apache-2.0
"""./dev bench rivals: Weir's event log against consumers that a good team writes by hand (bench/rivals/), in Go and in
Java, from the same topic to the same table with the same key. Each keeps its offsets in the transaction of its rows. Each
has two forms: COPY into the table, where an event that comes twice stops it, and COPY to a temporary table and INSERT …
ON CONFLICT DO NOTHING, where it has no second row.

All take turns. A rate is that of the rows by their commit times, without the first fifth of them; CPU is what /proc says
of broker, Postgres and process between the same moments.
"""

import hashlib
import os
import shutil
import subprocess
import threading
import time

from stack import PARTITIONS, ROOT, Failed, cpu_of, cpu_of_family, per_million

HERE = ROOT / "bench" / "rivals"
BUILD = ROOT / ".weir" / "rivals"
EVENT = "commerce/ProductPurchased/2"
SESSIONS = (1, 2)
SAMPLE_S, POLL_S = 0.2, 1
BUILD_DEADLINE_S, RUN_DEADLINE_S, REFUSE_DEADLINE_S = 600, 300, 60
REPEATED = 1000  # records of each partition that come a second time
STORED = "SELECT count(*) || ' ' || sum(total) || ' ' || sum(hash_record_extended(event, 0)) FROM event_log_1.event"
# when each transaction was committed, and with how many rows
COMMITS = ("SELECT extract(epoch FROM at), count(*) FROM (SELECT pg_xact_commit_timestamp(xmin) AS at "
           "FROM event_log_1.event) AS row GROUP BY 1 ORDER BY 1")
COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


class Missing(Exception):
    """A rival that cannot be built here, with the reason."""


def need(program, advice):
    if not shutil.which(program):
        raise Missing(f"there is no {program} on this machine; {advice}")


def build_step(*words, cwd=HERE):
    try:
        done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False,
                              timeout=BUILD_DEADLINE_S)
    except subprocess.TimeoutExpired as late:
        raise Missing(f"{' '.join(map(str, words[:2]))} was not done within {BUILD_DEADLINE_S} s") from late
    if done.returncode != 0:
        raise Missing(f"{' '.join(map(str, words[:2]))} failed: {' '.join((done.stderr or done.stdout).split())[-500:]}")


def build_go():
    need("go", "bench/rivals/go/go.mod says which version it needs")
    program = BUILD / "rival"
    build_step("go", "build", "-trimpath", "-o", program, ".", cwd=HERE / "go")
    return [program]


def build_java():
    for program in ("java", "javac", "mvn"):
        need(program, "./dev install tests puts it there")
    jars, classes = BUILD / "jars", BUILD / "classes"
    shutil.rmtree(jars, ignore_errors=True)
    build_step("mvn", "-q", "-B", "-f", HERE / "java" / "pom.xml", COPY_JARS, "-DincludeScope=runtime",
               f"-DoutputDirectory={jars}")
    found = "".join(f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}\n" for jar in sorted(jars.iterdir()))
    if found != (HERE / "java" / "jars.sha256").read_text():
        raise Missing(f"the jars in {jars} are not those of bench/rivals/java/jars.sha256")
    build_step("javac", "-d", classes, "-cp", f"{jars}/*", HERE / "java" / "Rival.java")
    return ["java", "-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{classes}:{jars}/*", "Rival"]


class Weir:
    name, removes_duplicates = "weir process", True
    progress = ("SELECT coalesce(sum(next_offset), 0) FROM weir.position "
                "WHERE processor = 'event_log' AND topic = 'weir.commerce'")

    def prepare(self, stack):
        """Nothing: weir migrate has made its tables."""

    def start(self, stack, sessions):
        return stack.start_weir("rival-weir", "process", "event_log", "--sessions", sessions,
                                "--database", stack.weir_conninfo("bench"))


class Rival:
    progress = "SELECT sum(next_offset) FROM event_log_1.consumer_offset"

    def __init__(self, language, words, mode, database):
        self.language, self.words, self.mode, self.database = language.lower(), words, mode, database
        self.removes_duplicates = mode == "staged"
        self.name = f"{language}, " + ("ON CONFLICT" if self.removes_duplicates else "COPY")

    def prepare(self, stack):
        """The table itself is Weir's: weir migrate has made it, empty, with its key."""
        stack.sql("SET search_path = event_log_1; " + (HERE / "offsets.sql").read_text() +
                  f"INSERT INTO consumer_offset SELECT n, 0 FROM generate_series(0, {PARTITIONS - 1}) n", "bench")

    def start(self, stack, sessions):
        schemas = ROOT / "schemas"
        lines = (schemas / "catalog.lock").read_text().splitlines()
        schema_id = next(line.split()[0] for line in lines if line.endswith(f" {EVENT}"))
        return stack.spawn(f"rival-{self.language}-{self.mode}", *self.words, self.mode, sessions,
                           f"127.0.0.1:{stack.kafka_port}", self.database(stack), schema_id, schemas / f"{EVENT}.avsc")


def build_rivals():
    """All that can be built here; what cannot is told with its reason, and left out."""
    made = []
    for language, build, database in (
            ("Go", build_go, lambda stack: stack.conninfo("bench")),
            ("Java", build_java, lambda stack: f"jdbc:postgresql://127.0.0.1:{stack.pg_port}/bench?user=weir")):
        try:
            words = build()
        except Missing as missing:
            print(f"  {language}: SKIPPED: {missing}", flush=True)
            continue
        made += [Rival(language, words, mode, database) for mode in ("copy", "staged")]
    return made


class Meter(threading.Thread):
    """CPU seconds of broker, Postgres and a process, noted every so often with the time of day."""

    def __init__(self, stack, process):
        super().__init__(daemon=True)
        self.stack, self.postmaster, self.process = stack, stack.postmaster(), process
        self.samples, self.done = [], threading.Event()

    def run(self):
        ended = False
        while not ended:
            ended = self.done.wait(SAMPLE_S)
            self.samples.append((time.time(), {
                "broker": cpu_of(self.stack.broker()), "postgres": cpu_of_family(self.postmaster),
                "processor": cpu_of(self.process.pid)}))

    def finish(self):
        self.done.set()
        self.join()

    def at(self, moment):
        """By a straight line between the samples around it."""
        after = next((i for i, (when, _) in enumerate(self.samples) if when >= moment), None)
        if not after:
            raise Failed("no CPU was measured around a commit: is the clock of this machine being set?")
        (start, first), (end, second) = self.samples[after - 1:after + 1]
        share = (moment - start) / (end - start)
        return {name: first[name] + share * (second[name] - first[name]) for name in first}


def wait_stored(stack, contender, process, events):
    stack.wait(process, lambda: int(stack.sql(contender.progress, "bench")) >= events, RUN_DEADLINE_S,
               f"{contender.name} stores {events} events", POLL_S)


def rate_of(commits, events):
    """Events a second without the first fifth of them, and the two moments between which that is."""
    seen, began = 0, None
    for at, rows in commits:
        seen += rows
        if seen >= events / 5:
            began = at
            break
    ended = commits[-1][0]
    if seen >= events or ended == began:
        raise Failed("too few transactions for a rate: --events has to be larger")
    return (events - seen) / (ended - began), began, ended


def run_once(stack, contender, sessions, events):
    """From an empty table and offset 0; returns events/s, CPU seconds per million, and what the table holds."""
    stack.fresh_database("bench")
    contender.prepare(stack)
    process = contender.start(stack, sessions)
    meter = Meter(stack, process)
    meter.start()
    try:
        wait_stored(stack, contender, process, events)
    finally:
        meter.finish()
        stack.end(process)
    stored = stack.sql(STORED, "bench")
    if not stored.startswith(f"{events} "):
        raise Failed(f"{contender.name} stored {stored}, not {events} rows")
    commits = [tuple(map(float, line.split("|"))) for line in stack.sql(COMMITS, "bench").splitlines()]
    rate, began, ended = rate_of(commits, events)
    used = per_million(meter.at(began), meter.at(ended), rate * (ended - began))
    print(f"  {contender.name}, {sessions}: {rate:,.0f} events/s, CPU-s per million {sum(used.values()):.2f}, "
          f"{events / len(commits):.0f} rows a transaction, load {os.getloadavg()[0]:.1f}", flush=True)
    return rate, used, stored


def repeat_events(stack, report, rival, stored):
    """The last records of each partition once more: ON CONFLICT leaves the table as it is, COPY stops."""
    events = int(stored.split()[0])
    stack.sql(f"UPDATE event_log_1.consumer_offset SET next_offset = greatest(next_offset - {REPEATED}, 0)", "bench")
    process = rival.start(stack, 1)
    try:
        if rival.removes_duplicates:
            wait_stored(stack, rival, process, events)
        else:
            process.wait(REFUSE_DEADLINE_S)
    finally:
        stack.end(process)
    end = "goes on" if rival.removes_duplicates else "exit code 1"
    found = "goes on" if rival.removes_duplicates else f"exit code {process.returncode}"
    report.check("RV", f"{rival.name}: events that come twice", f"{found}; {stack.sql(STORED, 'bench')}", f"{end}; {stored}")


def tell(report, weir, others, runs, sessions):
    """Every contender's figures, Weir's beside the best rate of each kind. Returns Weir's rate and CPU as multiples of
    the best of those that remove duplicates, and of those that do not."""
    words = f"{sessions} session{'s' if sessions > 1 else ''}"
    rates, cpu, found = {}, {}, []
    for contender in [*others, weir]:
        done = runs[contender, sessions]
        rates[contender] = report.add("RV", f"{contender.name}, {words}", "events/s", [rate for rate, _, _ in done])
        report.cpu("RV", f"{contender.name}, {words}", [used for _, used, _ in done])
        cpu[contender] = report.cpu_rows[-1]["total"]
    for kind, removes_duplicates in (("best that removes duplicates", True), ("best that does not", False)):
        of_kind = [other for other in others if other.removes_duplicates == removes_duplicates]
        if not of_kind:
            found.append("– rate, – cpu")
            continue
        best = max(rates[other] for other in of_kind)
        report.add("RV", f"{weir.name}, {words}", "events/s", [rate for rate, _, _ in runs[weir, sessions]], best, kind)
        found.append(f"{rates[weir] / best:.2f} rate, {cpu[weir] / min(cpu[other] for other in of_kind):.2f} cpu")
    return ", ".join(found)


def measure(stack, report, size):
    """Returns the last line of the run."""
    events, total = size.filled["events"], size.filled["total"]
    print(f"\nRV  rivals: event log, {events} purchases, in turns", flush=True)
    weir, others = Weir(), build_rivals()
    runs = {(contender, sessions): [] for sessions in SESSIONS for contender in [weir, *others]}
    for turn in range(size.runs):
        for (contender, sessions), done in runs.items():
            done.append(run_once(stack, contender, sessions, events))
            if contender is not weir and turn == 0 and sessions == 1:
                repeat_events(stack, report, contender, done[0][2])
    stack.drop_database("bench")
    stored = runs[weir, 1][0][2]
    report.check("RV", "rows and their sum", stored.rsplit(" ", 1)[0], f"{events} {total}")
    for (contender, sessions), done in runs.items():
        report.check("RV", f"{contender.name}, {sessions}: rows, sum, hash of all columns",
                     " / ".join(sorted({found for _, _, found in done})), stored)
    first, *_ = [tell(report, weir, others, runs, sessions) for sessions in SESSIONS]
    return f"rivals: {first}"
