# SPDX-License-Identifier: Apache-2.0
"""The shipped processors are folds, are explained, and are shown to readers and nobody else; bad ones are caught."""

import psycopg
import pytest

import events
from harness import make_home

CONF = "version = 1\ndescription = Made by a test\nconsumes = {}\n"
CHECKS = "-- name: nothing\nSELECT 1 WHERE false;\n"


def tables(definition):
    return f"CREATE TABLE kept ({definition});\n"


# {name: (events, tables, apply)}
BAD = {
    "uses_now": (
        "PostReacted",
        tables("event_id uuid PRIMARY KEY, at timestamptz"),
        "INSERT INTO kept SELECT event_id, clock_timestamp() FROM post_reacted;",
    ),
    "uses_transaction_time": (
        "PostReacted",
        tables("event_id uuid PRIMARY KEY, at timestamptz"),
        "INSERT INTO kept SELECT event_id, now() FROM post_reacted;",
    ),
    "uses_random": (
        "PostReacted",
        tables("event_id uuid PRIMARY KEY, luck double precision"),
        "INSERT INTO kept SELECT event_id, random() FROM post_reacted;",
    ),
    "counts_the_batch": (
        "PostReacted",
        tables("event_id uuid PRIMARY KEY, of_batch bigint"),
        "INSERT INTO kept SELECT event_id, count(*) OVER () FROM post_reacted;",
    ),
    "keeps_seq": (
        "PostReacted",
        tables("event_id uuid PRIMARY KEY, place integer"),
        "INSERT INTO kept SELECT event_id, seq FROM post_reacted;",
    ),
    "latest_by_arrival": (
        "PostReacted, ProductPurchased, MemberJoined",
        tables("space_id uuid PRIMARY KEY, last uuid"),
        """INSERT INTO kept
SELECT DISTINCT ON (space_id) space_id, event_id
FROM (SELECT seq, space_id, event_id FROM post_reacted
      UNION ALL SELECT seq, space_id, event_id FROM product_purchased
      UNION ALL SELECT seq, space_id, event_id FROM member_joined) e
ORDER BY space_id, seq DESC
ON CONFLICT (space_id) DO UPDATE SET last = excluded.last;""",
    ),
    "looks_at_another_topic": (
        "PostReacted, MemberJoined",
        "CREATE TABLE joined (space_id uuid, member_id uuid, PRIMARY KEY (space_id, member_id));\n"
        "CREATE TABLE kept (event_id uuid, by_member boolean);\n",
        """INSERT INTO joined SELECT DISTINCT space_id, member_id FROM member_joined ON CONFLICT DO NOTHING;
INSERT INTO kept
SELECT event_id, EXISTS (SELECT 1 FROM joined j WHERE j.space_id = r.space_id AND j.member_id = r.member_id)
FROM post_reacted r;""",
    ),
}
GOOD = (
    "PostReacted, ProductPurchased, MemberJoined",
    tables("space_id uuid PRIMARY KEY, last uuid, at timestamptz, n bigint"),
    """INSERT INTO kept AS k
SELECT space_id, (array_agg(event_id ORDER BY occurred_at DESC, event_id DESC))[1], max(occurred_at), count(*)
FROM (SELECT space_id, event_id, occurred_at FROM post_reacted
      UNION ALL SELECT space_id, event_id, occurred_at FROM product_purchased
      UNION ALL SELECT space_id, event_id, occurred_at FROM member_joined) e
GROUP BY space_id
ON CONFLICT (space_id) DO UPDATE
SET n = k.n + excluded.n,
    last = CASE WHEN (excluded.at, excluded.last) > (k.at, k.last) THEN excluded.last ELSE k.last END,
    at = greatest(k.at, excluded.at);""",
)


def home_of(folder, processors):
    files = {
        name: {"processor.conf": CONF.format(consumes), "tables.sql": table, "apply.sql": apply, "checks.sql": CHECKS,
               "views.sql": ""}
        for name, (consumes, table, apply) in processors.items()
    }  # fmt: skip
    return make_home(folder / "home", files)


@pytest.mark.parametrize("processor", sorted(events.PROCESSORS))
@pytest.mark.parametrize("seed", [1, 20261122])
def test_shipped_processor_is_a_fold(stack, processor, seed):
    done = stack.run("processor", "test", processor, "--seed", seed, "--events", 1500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout and "checks hold" in done.stdout


@pytest.mark.parametrize("name", sorted(BAD))
def test_no_fold_is_caught(stack, tmp_path, name):
    home = home_of(tmp_path, {name: BAD[name]})
    done = stack.run("processor", "test", name, "--home", home, "--events", 400, check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "DIFFERENT" in done.stdout and "FAILED" in done.stdout and "kept" in done.stdout, done.stdout


def test_a_fold_passes(stack, tmp_path):
    done = stack.run("processor", "test", "good", "--home", home_of(tmp_path, {"good": GOOD}), "--events", 400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_check_is_caught(stack, tmp_path):
    home = home_of(tmp_path, {"good": GOOD})
    (home / "sql" / "processors" / "good" / "checks.sql").write_text("-- name: no Space at all\nSELECT * FROM kept;\n")
    done = stack.run("processor", "test", "good", "--home", home, "--events", 400, check=False)
    assert done.returncode == 3 and "no Space at all" in done.stdout, done.stdout + done.stderr


def test_it_leaves_nothing_behind(stack, tmp_path):
    home = home_of(tmp_path, {"good": GOOD, "bad": BAD["uses_now"]})
    stack.run("processor", "test", "good", "bad", "--home", home, "--events", 100, check=False)
    assert stack.psql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'weir_test%%'") == []


SCHEMAS = [*events.PROCESSORS, *(f"{name}_1" for name in events.PROCESSORS), "weir", "weir_event"]


def test_everything_has_a_comment(stack):
    missing = stack.psql(
        """SELECT n.nspname || '.' || c.relname || coalesce('.' || a.attname, '')
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN LATERAL (
            SELECT 0 AS attnum, NULL::name AS attname
            UNION ALL
            SELECT attnum, attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        ) a ON true
        WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'c') AND NOT c.relispartition
          AND NOT (n.nspname = 'weir' AND c.relkind = 'c' AND a.attnum > 0)
          AND (c.relkind <> 'c' OR a.attnum > 0 OR n.nspname = 'weir')
          AND NOT EXISTS (SELECT 1 FROM pg_description d WHERE d.objoid = c.oid AND d.objsubid = a.attnum
                          AND d.classoid = 'pg_class'::regclass AND length(trim(d.description)) > 3)
          AND NOT (c.relkind = 'c' AND a.attnum = 0 AND obj_description(c.reltype, 'pg_type') IS NOT NULL)
        ORDER BY 1""",
        SCHEMAS,
    )
    assert missing == []
    assert stack.psql("SELECT nspname FROM pg_namespace WHERE nspname = ANY (%s) AND obj_description(oid) IS NULL",
                      [s for s in SCHEMAS if s.endswith("_1")]) == []  # fmt: skip


def relations(stack, schemas, kinds):
    return [
        row[0]
        for row in stack.psql(
            "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = ANY (%s) AND c.relkind = ANY (%s) ORDER BY 1",
            schemas, list(kinds),
        )
    ]  # fmt: skip


def test_a_processor_publishes_views_only(stack):
    assert relations(stack, list(events.PROCESSORS), "rpmSf") == []
    for processor in events.PROCESSORS:
        assert relations(stack, [processor], "v"), processor


def test_every_view_answers_a_reader(stack):
    for view in relations(stack, list(events.PROCESSORS), "v"):
        stack.psql(f"SELECT * FROM {view} LIMIT 5", role="weir_reader")


def refused(stack, statement, role="weir_reader"):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stack.psql(statement, role=role)


def test_a_reader_reads_nothing_else(stack):
    inside = relations(stack, [f"{name}_1" for name in events.PROCESSORS] + ["weir"], "rpv")
    assert len(inside) > 10
    for relation in inside:
        refused(stack, f"SELECT 1 FROM {relation} LIMIT 1")


def test_a_reader_writes_nothing(stack):
    for relation in relations(stack, [f"{name}_1" for name in events.PROCESSORS] + ["weir"], "rp"):
        refused(stack, f"DELETE FROM {relation}")
        refused(stack, f"TRUNCATE {relation}")
    for view in relations(stack, list(events.PROCESSORS), "v"):
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)):
            stack.psql(f"DELETE FROM {view}", role="weir_reader")
    for schema in SCHEMAS:
        refused(stack, f"CREATE TABLE {schema}.mine ()")
    for call in ("weir.evict('ledger', 1, '{weir.commerce}', '{0}')", "weir.claim('ledger', 1, '{weir.commerce}', '{0}', 'me')"):
        refused(stack, f"SELECT {call}")


def test_the_processors_role_makes_nothing(stack):
    for schema in SCHEMAS:
        refused(stack, f"CREATE TABLE {schema}.mine ()", role="weir_processor")
        refused(stack, f"DROP SCHEMA {schema} CASCADE", role="weir_processor")
    refused(stack, "DELETE FROM weir.dead_letter", role="weir_processor")
    refused(stack, "UPDATE weir.schema SET version = 1", role="weir_processor")
