# SPDX-License-Identifier: Apache-2.0
"""./dev bench questions [EVENTS]: how long analysts' questions take when so many events (5,000,000) have been folded.

The events are made up and folded inside a database of their own by bench/questions/platform.sql. Then each question of
docs/questions-*.md is asked as a reader would, under the settings that weir.limit_reader gives, for the largest Space and a
middling one; the figure is the median of three. Beside it stands what was read, as Postgres tells.
"""

import collections
import json
import os
import re
import statistics
import subprocess
import time

from stack import ROOT, Failed, port

RUNS = 3
SPACES_PER_EVENT = 0.002
START, MONTHS = "2025-01-01 00:00:00+00", 18
# of what was made: one month for what asks about a month, and what else a question is about
VALUES = {"since": "2026-03-01 00:00:00+00", "until": "2026-04-01 00:00:00+00"}
EXCEPT = {
    "cohort-retention": {"until": "2026-07-01 00:00:00+00"},
    "mrr-by-month": {"until": "2026-07-01 00:00:00+00"},
    "top-supporters": {"since": "2025-07-01 00:00:00+00"},
    "first-purchase": {"since": "2026-01-01 00:00:00+00", "until": "2026-06-01 00:00:00+00"},
}
LOGIN = "weir_bench_reader"


def questions():
    text = "".join(path.read_text() for path in sorted((ROOT / "docs").glob("questions-*.md")))
    return dict(re.findall(r"^```sql ([a-z-]+)\n(.*?)^```$", text, re.M | re.S))


class Database:
    def __init__(self):
        self.port = port("WEIR_PG_PORT", 15432)
        self.env = dict(os.environ, WEIR_STATE=str(ROOT / ".weir" / "bench"), WEIR_PG_PORT=str(self.port))

    def call(self, *words, text=None):
        done = subprocess.run([str(word) for word in words], cwd=ROOT, env=self.env, input=text, capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(map(str, words[:3]))} …: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def psql(self, text, user="weir", **variables):
        given = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
        return self.call("tests/services/postgres.sh", "psql", "-d", "weir", "-U", user, "-XAtqv", "ON_ERROR_STOP=1",
                         *given, text=text)

    def up(self):
        self.call("tests/services/postgres.sh", "clean")
        self.call("tests/services/postgres.sh", "start")
        self.call("build/weir", "migrate", "--database", f"host=127.0.0.1 port={self.port} dbname=weir")
        self.psql(f"CREATE ROLE {LOGIN} LOGIN; SELECT weir.limit_reader('{LOGIN}')")

    def fill(self, events):
        self.psql((ROOT / "bench/questions/platform.sql").read_text())
        self.psql(f"CALL synthetic.make({events}, {max(int(events * SPACES_PER_EVENT), 100)}, '{START}', {MONTHS})")
        for processor in ("ledger", "analytics", "overview"):
            start = time.monotonic()
            self.psql(f"CALL synthetic.fold('{processor}')")
            print(f"  folded by {processor} in {time.monotonic() - start:.0f} s", flush=True)
        made = self.psql("SELECT count(*) FROM synthetic.event")
        self.psql("DROP SCHEMA synthetic CASCADE; VACUUM ANALYZE; CHECKPOINT")
        return int(made)


def read(plan, found):
    """{(table, without its month; how it was read): how often}"""
    if plan.get("Relation Name") and plan["Actual Loops"]:
        index = {"Seq Scan": "whole"}.get(plan["Node Type"], "by index")
        found[re.sub(r"_(\d{4}_\d\d|default)$", " months", plan["Relation Name"]), index] += 1
    for child in plan.get("Plans", []):
        read(child, found)
    return found


def ask(database, name, text, space):
    values = {**VALUES, **EXCEPT.get(name, {}), "space": space}
    text = "EXPLAIN (ANALYZE, BUFFERS, FORMAT json) " + text
    plans = [json.loads(database.psql(text, LOGIN, **values))[0] for _ in range(RUNS)]
    times = [plan["Execution Time"] + plan["Planning Time"] for plan in plans]
    top = plans[0]["Plan"]
    pages = top["Shared Hit Blocks"] + top["Shared Read Blocks"]
    tables = read(top, collections.Counter())
    told = ", ".join(f"{table if count == 1 else table.replace(' months', f' {count} months')} {how}"
                     for (table, how), count in tables.items())
    return statistics.median(times), pages, told


def run(events):
    database = Database()
    try:
        database.up()
        made = database.fill(events)
        ranked = database.psql("SELECT space_id FROM overview.space ORDER BY events DESC").split()
        shares = database.psql("SELECT round(100.0 * max(events) / sum(events), 1) FROM overview.space").strip()
        print(f"{made:,} events in {len(ranked):,} Spaces over {MONTHS} months; the largest has {shares} % of them\n")
        for name, text in questions().items():
            of_a_space = ":'space'" in text
            for space in (ranked[0], ranked[len(ranked) // 100]) if of_a_space else ranked[:1]:
                took, pages, told = ask(database, name, text, space)
                which = ("largest Space" if space == ranked[0] else "Space") if of_a_space else "all Spaces"
                print(f"{name:24} {which:14} {took:9.1f} ms {pages:8} pages  {told}", flush=True)
    finally:
        database.call("tests/services/postgres.sh", "clean")
    return 0
