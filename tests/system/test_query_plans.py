# SPDX-License-Identifier: Apache-2.0
"""Each shipped query is a matter of index lookups, however much there is: its plan at some hundred thousand events, made
as the gateway's sessions make it (generic, before anybody analysed the tables), and the blocks that it touched."""

import json
import re

import psycopg
import pytest

from harness import REPORTS, ROOT

EVENTS_S, RATE = 15, 12000
SETTINGS = ("SET ROLE weir_gateway", "SET plan_cache_mode = force_generic_plan", "SET enable_seqscan = off", "SET enable_bitmapscan = off",
            "SET jit = off", "SET search_path = pg_catalog", "SET timezone = 'UTC'")
BLOCKS = 12  # for one row; each further row may cost that again, for what is joined to it
BYTES = 1 << 20
QUERIES = sorted(path.stem for path in (ROOT / "sql" / "queries").glob("*.sql"))


@pytest.fixture(scope="module")
def filled(fresh):
    fresh.start_processors("ledger", "overview")
    fresh.run("simulate", "--target", "kafka", "--rate", RATE, "--duration", f"{EVENTS_S}s", "--spaces", "10")
    fresh.wait_drained("ledger", "overview", deadline=400)
    fresh.end_all()
    space = fresh.value("SELECT space_id FROM overview_1.space ORDER BY events DESC LIMIT 1")
    # a statement adds up what went before it: of a member all, of a Space the month's
    members = fresh.psql("SELECT member_id, count(*) FROM ledger.member_entry WHERE space_id = %s GROUP BY 1", space)
    return fresh, dict(members), {
        "space_id": space,
        "member_id": fresh.value("SELECT member_id FROM ledger_1.member_balance WHERE space_id = %s AND currency = "
                                 "'CREDIT' ORDER BY balance DESC LIMIT 1", space),
        "stream_id": fresh.value("SELECT stream_id FROM overview_1.stream_income WHERE space_id = %s "
                                 "ORDER BY tip_amount DESC LIMIT 1", space),
        "currency": fresh.value("SELECT currency FROM overview_1.space WHERE space_id = %s", space),
    }


def statement(name, given):
    """The query as the gateway prepares it, and the values of its first page; in Python, not by the program."""
    text = (ROOT / "sql" / "queries" / f"{name}.sql").read_text()
    declared = re.findall(r"^-- (param|after) (\w+) (\w+)(?: = ([^,:\n]+))?", text, re.M)
    values, types, numbers = [given["space_id"]], ["uuid"], {"space_id": 1}
    for kind, parameter, kind_of_value, preset in declared:
        value = given[parameter] if not preset else None if preset == "null" else preset.strip()
        values.append(value)
        types.append(kind_of_value)
        numbers[("after_" if kind == "after" else "") + parameter] = len(values)
    body = re.sub(r"(?<!:):([a-z_]+)", lambda m: f"${numbers[m[1]]}", re.sub(r"^--.*\n", "", text, flags=re.M))
    page = re.search(r"^-- answer: page of (\d+)", text, re.M)
    rows = f"SELECT row_to_json(q)::text AS json FROM (\n{body}\n) q LIMIT {int(page[1]) + 1 if page else 1000}"
    sizes = f"SELECT r.*, sum(octet_length(r.json)) OVER (ROWS UNBOUNDED PRECEDING) AS bytes FROM ({rows}) r"
    beyond = f"SELECT s.*, count(*) FILTER (WHERE s.bytes > {BYTES}) OVER (ROWS UNBOUNDED PRECEDING) AS beyond FROM ({sizes}) s"
    sql = f"SELECT CASE WHEN t.bytes <= {BYTES} THEN t.json END FROM ({beyond}) t WHERE t.beyond <= 1"
    return f"PREPARE q ({', '.join(types)}) AS {sql}", values


def nodes(plan):
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


@pytest.mark.parametrize("name", QUERIES)
def test_the_plan_is_lookups(filled, name):
    stack, entries, given = filled
    sql, values = statement(name, given)
    with psycopg.connect(stack.database, autocommit=True) as connection:
        for setting in SETTINGS:
            connection.execute(setting)
        connection.execute(sql)
        execute = psycopg.sql.SQL("EXECUTE q ({})").format(psycopg.sql.SQL(", ").join(map(psycopg.sql.Literal, values)))
        rows = connection.execute(execute).fetchall()
        explain = psycopg.sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ") + execute
        shown = connection.execute(explain).fetchone()[0][0]
    plan = shown["Plan"]
    scans = [node for node in nodes(plan) if "Scan" in node["Node Type"] and node.get("Relation Name")]
    assert rows, json.dumps(shown, indent=1)
    assert scans and all(node["Node Type"] in ("Index Scan", "Index Only Scan") for node in scans)
    blocks = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    indexes = sorted({node["Index Name"] for node in nodes(plan) if "Index Name" in node})
    REPORTS.append(f"{name:18} {len(rows):3} rows  {blocks:5} blocks  {shown['Execution Time']:7.2f} ms  {', '.join(indexes)}")
    more = entries.get(given["member_id"], 0) if name == "member-statement" else 0
    assert blocks <= BLOCKS * (1 + len(rows)) + more, json.dumps(shown, indent=1)
