# SPDX-License-Identifier: Apache-2.0
"""BR: a query of one row over HTTP, open loop at 1,000 a second, while the processors fold 500 purchases a second into the
same rows. The floor is the same statement by pgbench: prepared, at the same rate, on as many sessions, as the same role,
beside the same work."""

import os
import pathlib
import re
import subprocess

from report import median
from stack import cpu_of

RATE = 1000
BESIDE = 500  # purchases a second
SESSIONS = 4
CONNECTIONS = 64
SPACES = 64  # that are asked for: a statement each for pgbench, which has no parameters of type uuid
READY_DEADLINE_S = 30
FOLD_DEADLINE_S = 120
TARGET_MS = 5
PGOPTIONS = ("-c role=weir_gateway -c default_transaction_read_only=on -c plan_cache_mode=force_generic_plan "
             "-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off -c search_path=pg_catalog -c timezone=UTC")
QUERY = pathlib.Path("sql/queries/overview.sql")


def pgbench(stack, scripts, seconds):
    """p50 and p99 in ms from the log, which counts from when a transaction was due."""
    bindir = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False).stdout.strip()
    program = pathlib.Path(bindir) / "pgbench"
    if not program.exists():
        program = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench"))[-1]
    prefix = stack.state / "pgbench"
    for old in stack.state.glob("pgbench.*"):
        old.unlink()
    words = [program, "-n", "-M", "prepared", "-R", RATE, "-c", SESSIONS, "-j", 1, "-T", seconds, "-l",
             f"--log-prefix={prefix}", *[f"-f{script}" for script in scripts], stack.conninfo("bench")]
    stack.call(*words, env=dict(os.environ, PGOPTIONS=PGOPTIONS))
    times = sorted(int(line.split()[2]) for log in stack.state.glob("pgbench.*") for line in log.read_text().splitlines())
    return len(times), times[len(times) // 2] / 1000, times[len(times) * 99 // 100] / 1000


def make_scripts(stack, spaces):
    text = re.sub(r"^--.*\n", "", QUERY.read_text(encoding="utf-8"), flags=re.M)
    folder = stack.state / "scripts"
    folder.mkdir(exist_ok=True)
    for number, space in enumerate(spaces):
        body = text.replace(":space_id", f"'{space}'").strip()
        (folder / f"{number}.sql").write_text(f"SELECT row_to_json(q)::text FROM (\n{body}\n) q LIMIT 1;\n")
    return sorted(folder.glob("*.sql"))


def beside(stack, seconds, seed):
    """Purchases at a steady rate, by a process that is not waited for."""
    return stack.spawn("beside", stack.program.parent / "bench", "fill", f"brokers=127.0.0.1:{stack.kafka_port}",
                       f"rate={BESIDE}", f"events={int(BESIDE * seconds)}", "linger_ms=1", f"seed={seed}")


def measure(stack, report, size):
    seconds = size.latency_s * 2
    print(f"\nBR  the query overview at {RATE}/s, {seconds} s, beside {BESIDE} purchases/s into two processors", flush=True)
    stack.reset_topics()
    stack.fresh_database("bench")
    sent = stack.tool("fill", kind="purchases", events=size.mixed)["events"]
    database = stack.conninfo("bench")
    folding = stack.start_weir("reads-process", "process", "ledger", "overview", "--database", database)
    stack.wait(folding, lambda: stack.metric("weir_processor_events_total", "overview", "applied") >= size.mixed and
               stack.metric("weir_processor_events_total", "ledger", "applied") >= size.mixed, FOLD_DEADLINE_S,
               f"the processors fold {sent} events")
    spaces = stack.sql(f"SELECT space_id FROM overview_1.space ORDER BY events DESC LIMIT {SPACES}", "bench").split()
    scripts = make_scripts(stack, spaces)
    paths = stack.state / "paths"
    paths.write_text("".join(f"/v1/spaces/{space}/overview\n" for space in spaces))
    gateway = stack.start_weir("reads-gateway", "gateway", "--database", database, "--read-workers", str(SESSIONS))
    stack.wait(gateway, lambda: stack.get(stack.gateway_port, f"/v1/spaces/{spaces[0]}/overview"), READY_DEADLINE_S,
               "the gateway answers")
    floors, figures, cpu = [], [], []
    load = {"address": f"127.0.0.1:{stack.gateway_port}", "path": paths, "connections": CONNECTIONS, "rate": RATE}
    for run in range(size.runs):
        traffic = beside(stack, seconds * 3, 1000 + run)
        stack.tool("load", events=RATE, **load)
        count, *floor = pgbench(stack, scripts, seconds)
        before = cpu_of(gateway.pid)
        found = stack.tool("load", events=RATE * seconds, **load)
        cpu.append({"gateway": (cpu_of(gateway.pid) - before) / found["requests"] * 1e6})
        report.check("BR", "reads by pgbench at its rate", count > 0.97 * RATE * seconds, True)
        report.check("BR", "reads over HTTP at their rate", found["rate"] > 0.97 * RATE, True)
        floors.append(floor)
        figures.append([found["answer"]["p50_ms"], found["answer"]["p99_ms"]])
        stack.end(traffic)
    stack.end(gateway)
    stack.end(folding)
    stack.drop_database("bench")
    for place, name in enumerate(("p50", "p99")):
        floor = report.add("BR", f"pgbench, the same query, {name}", "ms", [values[place] for values in floors])
        report.add("BR", f"GET overview, {name}", "ms", [values[place] for values in figures], floor, "pgbench",
                   better="lower")
    report.cpu("BR", "GET overview, the gateway alone", cpu)
    tail = median([values[1] for values in figures])
    size.last_line = f"reads: p99 {tail:.2f} ms at {RATE}/s, target {TARGET_MS} ms; pgbench {median([f[1] for f in floors]):.2f} ms"
