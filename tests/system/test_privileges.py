# SPDX-License-Identifier: Apache-2.0
"""Least privilege. Whoever writes a processor's SQL or a query reaches what that processor owns and nothing else, whatever
the session is that runs it; each part has a login of its own; and no secret shows."""

import base64
import hashlib
import hmac
import re
import uuid

import psycopg
import pytest

from harness import free_port, make_home, wait_until
from test_engine import TALLY, Engine, reactions

VICTIM = dict(TALLY)
ROGUE = {
    "processor.conf": "version = 1\nconsumes = PostReacted\n",
    "tables.sql": "CREATE TABLE seen (event_id uuid);\n",
    "views.sql": "CREATE OR REPLACE VIEW rogue.seen AS SELECT event_id FROM seen;\n",
    "apply.sql": "INSERT INTO seen SELECT event_id FROM post_reacted;\n",
    "checks.sql": "-- name: none\nSELECT * FROM seen WHERE false;\n",
}
# What no author may do, and how Postgres says so
FORBIDDEN = {
    "RESET ROLE": "cannot set parameter \"role\"",
    "SET ROLE weir_owner": "cannot set parameter \"role\"",
    "SET LOCAL ROLE weir_processor": "cannot set parameter \"role\"",
    "SET SESSION AUTHORIZATION weir": "cannot set parameter \"session_authorization\"|permission denied",
    "DO $do$ BEGIN PERFORM set_config('role', 'none', false); END $do$": "cannot set parameter \"role\"",
    "UPDATE weir.position SET next_offset = 0": "permission denied for schema weir",
    "DROP TABLE weir.position CASCADE": "permission denied for schema weir|must be owner",
    "DO $do$ BEGIN PERFORM weir.advance('{}'); END $do$": "permission denied for schema weir",
    "DELETE FROM tally_1.reaction": "permission denied for schema tally_1",
    "CREATE OR REPLACE VIEW tally.reaction AS SELECT 1 AS one": "permission denied for schema tally",
    "CREATE OR REPLACE VIEW batch AS SELECT true AS is_first": "permission denied for schema rogue_1|must be owner of view batch",
    "CREATE TEMP TABLE stolen AS SELECT rolpassword FROM pg_authid": "permission denied for table pg_authid",
    "DO $do$ BEGIN COPY (SELECT 1) TO PROGRAM 'true'; END $do$": "pg_execute_server_program",
    "ALTER ROLE weir_author_rogue SUPERUSER": "superuser|permission denied",
    "GRANT weir_owner TO weir_author_rogue": "admin option|permission denied",
    "CREATE SCHEMA mine": "permission denied for database",
    "DECLARE later CURSOR WITH HOLD FOR SELECT 1": "outlives|syntax error",
    "COMMIT": "invalid transaction termination|not implemented|not supported",
}


@pytest.fixture(scope="module")
def rogue(module_stack, tmp_path_factory):
    stack = module_stack
    stack.end_all()
    stack.dirty = True
    stack.new_database()
    stack.new_topics()
    engine = Engine(stack, make_home(tmp_path_factory.mktemp("rogue"), {"tally": VICTIM, "rogue": ROGUE}))
    stack.run("migrate", "--roles", "--home", engine.home)
    yield engine
    stack.end_all()


def reset_rogue(engine):
    engine.stack.end_all()
    engine.stack.run("processor", "reset", "rogue", "--yes", "--home", engine.home, check=False)
    for name, text in ROGUE.items():
        write(engine, name, text)


def write(engine, name, text):
    (engine.home / "sql" / "processors" / "rogue" / name).write_text(text)


@pytest.mark.parametrize("name", ["apply.sql", "tables.sql", "views.sql", "indexes.sql"])
def test_an_author_reaches_nothing_else(rogue, name):
    """Each of them is refused by `weir migrate`, with the file, and leaves nothing behind."""
    reset_rogue(rogue)
    position = rogue.stack.psql("SELECT count(*) FROM weir.position")
    # the files are run in one way, apply.sql in another
    few = len(FORBIDDEN) if name in ("apply.sql", "views.sql") else 5
    for statement, said in list(FORBIDDEN.items())[:few]:
        write(rogue, name, f"{ROGUE.get(name, '')}\n{statement};\n")
        done = rogue.migrate(check=False)
        assert done.returncode == 2 and f"sql/processors/rogue/{name}" in done.stderr, (statement, done.stderr)
        assert re.search(said, done.stderr), (statement, done.stderr)
        assert rogue.stack.psql("SELECT to_regnamespace('rogue_1')::text") == [(None,)], statement
    (rogue.home / "sql" / "processors" / "rogue" / name).write_text(ROGUE.get(name, ""))
    rogue.migrate()
    assert rogue.stack.psql("SELECT count(*) FROM weir.position") == position
    assert rogue.stack.psql("SELECT rolsuper FROM pg_roles WHERE rolname = 'weir_author_rogue'") == [(False,)]


# `weir migrate` tries the SQL on an empty batch, where none of these does anything. What the second record of rogue meets.
SLY = {
    "a function": ({"apply.sql": "INSERT INTO seen SELECT event_id FROM post_reacted "
                                 "WHERE set_config('role', 'none', false) = 'none';\n"}, "cannot set parameter"),
    # a function that it owns would run as its caller from now on
    "its own function": ({
        "tables.sql": ROGUE["tables.sql"] +
        "CREATE FUNCTION flip() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN "
        "EXECUTE (SELECT format('ALTER FUNCTION %s SECURITY INVOKER', oid::regprocedure) FROM pg_proc "
        "WHERE pronamespace = 'rogue_1'::regnamespace AND proname LIKE 'author\\_%'); END $f$;\n",
        "apply.sql": "INSERT INTO seen SELECT event_id FROM post_reacted, flip();\n"}, "somebody altered"),
    # a function that the engine's own SQL could find before Postgres' own
    "a name": ({"tables.sql": ROGUE["tables.sql"] + "".join(
        f"CREATE FUNCTION {name} LANGUAGE plpgsql AS 'BEGIN UPDATE weir.position SET next_offset = 0; RETURN {value}; END';\n"
        for name, value in (("cardinality(anyarray) RETURNS integer", 1), ("now() RETURNS timestamptz", "NULL")))}, None),
}


@pytest.mark.parametrize("way", SLY)
def test_nor_by_what_migrate_does_not_see(rogue, way):
    files, said = SLY[way]
    reset_rogue(rogue)
    for name, text in files.items():
        write(rogue, name, text)
    rogue.migrate()
    rogue.stack.start_processors("tally", "rogue", options=("--home", rogue.home), ready=False)
    rogue.stack.produce(reactions(f"{way}, once"))
    rogue.stack.wait_drained("tally")
    folded = lambda: [row[0] for row in rogue.stack.psql("SELECT count(*) FROM rogue_1.seen")][0]
    if said != "cannot set parameter":
        wait_until(folded, 60, "rogue folds the first record")
    before = folded()
    rogue.stack.produce(reactions(f"{way}, twice"))
    rogue.stack.wait_drained("tally")
    if said is None:
        wait_until(lambda: folded() == before + 1, 60, "rogue folds the second record")
    else:
        halted = "SELECT code, message FROM weir.halt WHERE processor = 'rogue'"
        [(code, message)] = wait_until(lambda: rogue.stack.psql(halted), 60, "rogue halts")
        assert code == "42501" and said in message and folded() == before, message
    offsets = "SELECT sum(next_offset) FROM weir.position WHERE processor = 'tally'"
    assert rogue.stack.value(offsets) == sum(rogue.stack.ends(["weir.community"]).values())


def test_each_part_has_a_login_of_its_own(rogue):
    """None of them is a superuser, or may become anything."""
    stack = rogue.stack
    reset_rogue(rogue)
    rogue.migrate()
    queries = rogue.home / "sql" / "queries"
    queries.mkdir(exist_ok=True)
    (queries / "mine.sql").write_text("-- reads: tally\n-- answer: list\nSELECT :space_id AS s, set_config('role', 'none', false), "
                                      "(SELECT count(*) FROM pg_authid) AS roles\n")
    stack.start_processors("tally", options=("--home", rogue.home))
    gateway = stack.start_gateway("--home", rogue.home)
    answer = stack.http.get(f"{stack.gateway_url}/v1/spaces/{uuid.uuid4()}/mine", timeout=30)
    assert answer.status_code >= 500 and "s" not in answer.json(), answer.text
    (queries / "mine.sql").unlink()
    sessions = stack.psql("SELECT DISTINCT split_part(application_name, ' ', 2), usename, rolsuper FROM pg_stat_activity "
                          "JOIN pg_roles ON rolname = usename WHERE application_name LIKE 'weir %' ORDER BY 1")
    who = {part: login for part, login, _ in sessions}
    assert who["gateway"] == "weir_gateway" and who["process"] == "weir_processor", sessions
    assert set(who.values()) == {"weir_gateway", "weir_processor"} and not any(row[2] for row in sessions)
    assert gateway.is_alive()


EVERYBODY = ("SET ROLE weir", "SET ROLE weir_owner", "SET ROLE weir_author_tally", "SELECT FROM pg_authid", "CREATE SCHEMA mine",
             "DROP TABLE weir.position CASCADE", "COPY (SELECT 1) TO PROGRAM 'true'", "DELETE FROM tally_1.reaction",
             "CREATE TABLE public.mine (x integer)", "ALTER ROLE weir_gateway SUPERUSER", "SELECT FROM tally_1.reaction")
READERS = ("SET ROLE weir_processor", "SELECT FROM weir.position", "SELECT FROM weir.dead_letter",
           "SELECT weir.evict('tally', 1, '{}', '{}')", "UPDATE tally.reaction SET reaction = ''")


@pytest.mark.parametrize("login, more", [("weir_gateway", READERS), ("weir_reader", READERS), ("weir_processor", ())])
def test_a_login_may_do_its_part_alone(rogue, login, more):
    name = rogue.stack.database.replace("user=weir", f"user={login}")
    with psycopg.connect(name, autocommit=True) as connection:
        if login == "weir_reader":
            connection.execute("SET default_transaction_read_only = off")
        for statement in EVERYBODY + more:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
            connection.execute("RESET ROLE")
        allowed = "SELECT FROM weir.position" if login == "weir_processor" else "SELECT FROM tally.reaction"
        connection.execute(allowed)


def test_a_password_is_kept_as_a_hash(rogue):
    done = rogue.stack.run("migrate", "--roles", "--home", rogue.home, env={"WEIR_GATEWAY_PASSWORD": "s3cret and more"})
    try:
        assert "weir_gateway, with a password" in done.stdout and "s3cret" not in done.stdout + done.stderr
        kept = rogue.stack.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'weir_gateway'")
        _, iterations, salt, stored = re.match(r"(SCRAM-SHA-256)\$(\d+):([^$]+)\$([^:]+):", kept).groups()
        salted = hashlib.pbkdf2_hmac("sha256", b"s3cret and more", base64.b64decode(salt), int(iterations))
        key = hmac.new(salted, b"Client Key", "sha256").digest()
        assert hashlib.sha256(key).digest() == base64.b64decode(stored)
    finally:
        rogue.stack.psql("ALTER ROLE weir_gateway PASSWORD NULL")


def test_no_secret_shows(rogue):
    """Neither on the command line, where `ps` shows it, nor in an error."""
    run, port = rogue.stack.run, free_port()
    for words in (("migrate", "--gateway-password", "s3cret"), ("migrate", "--database", "host=127.0.0.1 password=s3cret"),
                  ("position", "--database", "postgresql://weir:s3cret@127.0.0.1/weir"),
                  ("tail", "--kafka", "sasl.password=s3cret"), ("schema", "register", "--schema-registry-auth", "ada:s3cret")):
        done = run(*words, check=False)
        assert done.returncode == 2 and "shows in `ps`" in done.stderr and "s3cret" not in done.stderr, done.stderr
    for conninfo in ("host=127.0.0.1 password=s3cret dbname", "postgresql://weir:p@s3cret@127.0.0.1/weir", "s3cret",
                     f"host=127.0.0.1 port={port} dbname=weir password=s3cret",
                     f"postgresql://weir:s3cret@127.0.0.1:{port}/weir"):
        done = run("position", check=False, env={"WEIR_DATABASE": conninfo})
        assert done.returncode in (1, 2) and done.stderr and "s3cret" not in done.stdout + done.stderr, done.stderr


def test_a_session_is_in_utc_whatever_it_is_told(rogue, tmp_path):
    """As an error shows that quotes a time."""
    home = make_home(tmp_path, {})
    with open(home / "sql/control/tables/0002_schemas.sql", "a") as file:
        file.write("-- changed\n")
    for env in ({"WEIR_DATABASE": rogue.stack.env["WEIR_DATABASE"] + " options='-c timezone=Asia/Kolkata -c work_mem=5MB'"},
                {"PGOPTIONS": "-c timezone=Asia/Kolkata"}):
        done = rogue.stack.run("migrate", "--home", home, env=env, check=False)
        assert re.search(r"had applied it at \S+ \S+\+00;", done.stderr), done.stderr
    # what else they ask for counts
    done = rogue.stack.run("migrate", "--home", home, env={"PGOPTIONS": "-c nonsense=1"}, check=False)
    assert "nonsense" in done.stderr, done.stderr


def test_a_processor_is_tested_as_the_engine_runs_it(rogue, tmp_path):
    """In its role and by its plans."""
    settings = " || ' ' || ".join(f"current_setting('{name}')" for name in ("role", "enable_seqscan", "plan_cache_mode"))
    home = make_home(tmp_path, {"alike": {
        "processor.conf": "version = 1\nconsumes = PostReacted\n",
        "tables.sql": "CREATE TABLE seen (event_id uuid, settings text);\n",
        "apply.sql": f"INSERT INTO seen SELECT event_id, {settings} FROM post_reacted;\n",
        "checks.sql": "-- name: as the engine\n"
                      "SELECT settings FROM seen WHERE settings <> 'weir_processor off force_generic_plan';\n"}})
    done = rogue.stack.run("processor", "test", "alike", "--home", home, "--events", "100", check=False)
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout + done.stderr


FOREIGN = "CREATE SCHEMA rogue; CREATE TABLE rogue.customer (name text); INSERT INTO rogue.customer VALUES ('ada')"


def test_a_schema_of_somebody_else_is_left_alone(rogue):
    stack = rogue.stack
    reset_rogue(rogue)
    try:
        stack.psql(FOREIGN)
        done = rogue.migrate(check=False)
        assert done.returncode == 2 and "schema rogue that Weir did not make" in done.stderr, done.stderr
        # as if an older build had taken it
        stack.psql("INSERT INTO weir.processor (processor, generation, version, consumes) VALUES ('rogue', 1, 1, '') RETURNING 1")
        done = stack.run("processor", "reset", "rogue", "--yes", "--home", rogue.home, check=False)
        assert done.returncode == 2 and "table customer, which Weir did not make" in done.stderr, done.stderr
        assert stack.psql("SELECT name FROM rogue.customer") == [("ada",)]
    finally:
        stack.psql("DELETE FROM weir.processor WHERE processor = 'rogue'")
        stack.psql("DROP SCHEMA IF EXISTS rogue CASCADE")
    rogue.migrate()
