# SPDX-License-Identifier: Apache-2.0
"""Events that fail: they are parked in order, everybody else flows, and what becomes of them at last is what was asked for.

Two kinds. Rows of marked Spaces that a trigger refuses, until it is dropped: then the tables are those of the plain fold.
Events whose data no table can take: then the tables are those of the fold without them.
"""

import contextlib
import string
import time
import uuid

import psycopg
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

import events
from faults_data import keyed, purchase
from faults_postgres import drop_trigger
from harness import wait_until
from parts import ALL, FAST, fault, make_home_with

PATIENT = "attempts = 1000\nbackoff = 200ms\nbackoff_max = 1s\n"
STRICT = "attempts = 2\nbackoff = 100ms\nbackoff_max = 200ms\n"
TABLES = {"ledger": "ledger_1.transfer", "analytics": "analytics_1.commerce", "overview": "overview_1.member"}
PARKS = (lambda world: "park.guilty" in world.stack.failpoints(), "this build parks nothing")

MARKED = """
CREATE SCHEMA IF NOT EXISTS chaos;
CREATE OR REPLACE FUNCTION chaos.refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    id text := to_jsonb(NEW) ->> 'event_id';
BEGIN
    -- every event of the marked Spaces whose hash says so; where rows are sums, all of them
    IF NEW.space_id = ANY (TG_ARGV[0]::uuid[]) AND (id IS NULL OR hashtext(id) % TG_ARGV[1]::integer = 0) THEN
        RAISE EXCEPTION 'made by a test' USING ERRCODE = TG_ARGV[2];
    END IF;
    RETURN NEW;
END $$;
"""


def options(world, policy):
    """Start options for processors with that policy."""
    return *FAST, "--home", str(make_home_with(world.stack, policy))


@contextlib.contextmanager
def poisoned(world, spaces, tables=TABLES.values(), one_in=5, code="23514"):
    """While it lasts, some rows of the Spaces are refused."""
    stack = world.stack
    stack.psql(MARKED)
    marked = "{" + ",".join(spaces) + "}"
    try:
        for table in tables:
            create_trigger(stack, f"CREATE TRIGGER chaos BEFORE INSERT ON {table} FOR EACH ROW "
                           f"EXECUTE FUNCTION chaos.refuse('{marked}', '{one_in}', '{code}')")  # fmt: skip
        yield
    finally:
        for table in tables:
            drop_trigger(stack, table)


def create_trigger(stack, statement):
    def created():
        try:
            stack.psql("SET lock_timeout = '300ms'; " + statement)
            return True
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            return False

    wait_until(created, 60, "the trigger is there")


def busy_spaces(world, count):
    """Spaces of the traffic that runs now."""
    began = world.stack.value("SELECT now()")
    query = "SELECT DISTINCT space_id::text FROM overview_1.applied_event WHERE kafka_timestamp >= %s ORDER BY 1"
    found = lambda: [row[0] for row in world.stack.psql(query, began)]
    wait_until(lambda: len(found()) >= count + 4, 60, "there is traffic in several Spaces")
    return world.random.sample(found(), count)


def count_parked(world):
    return world.stack.value("SELECT count(*) FROM weir.parked")


def check_parked(world, marked):
    """What is parked belongs to the marked Spaces, and of a Space and topic it is the last records: none overtook."""
    with world.stack.transaction() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        rows = connection.execute(
            "SELECT processor, topic, kafka_partition, space_id::text, min(kafka_offset), count(*) FROM weir.parked "
            "JOIN weir.position USING (position_id) GROUP BY 1, 2, 3, 4"
        ).fetchall()
        overtaken = []
        for processor, topic, partition, space, first, _ in rows:
            assert space in marked, f"{processor} parked events of {space}, which is none of the marked Spaces"
            overtaken += connection.execute(
                f"SELECT '{processor}', a.* FROM {processor}_1.applied_event AS a JOIN weir.position USING (position_id) "
                "WHERE processor = %s AND topic = %s AND kafka_partition = %s AND space_id = %s AND kafka_offset > %s",
                (processor, topic, partition, space, first),
            ).fetchall()
    assert not overtaken, f"applied although an earlier event of the Space and topic is parked: {overtaken[:3]}"
    return len(rows)


def wait_unparked(world):
    def empty():
        return count_parked(world) == 0 and world.stack.psql("SELECT 1 FROM weir.parked_space LIMIT 1") == []

    wait_until(empty, 60, lambda: f"nothing is parked; {count_parked(world)} still are: "
               f"{world.stack.psql('SELECT * FROM weir.parked_space LIMIT 3')}")  # fmt: skip


@fault("poison that heals: parked in order, then drained", "27", short=True, needs=PARKS)
def poison_heals(world, scale):
    """Others flow meanwhile, and at the end nothing shows that it ever happened."""
    stack = world.stack
    world.stopped()
    world.processors = stack.start_processors(*ALL, options=options(world, PATIENT))
    worst, total, letters = 0.0, 0, stack.value("SELECT count(*) FROM weir.dead_letter")
    with world.traffic() as traffic:
        for _ in range(scale):
            marked = busy_spaces(world, 3)
            with poisoned(world, marked, code=world.random.choice(["23514", "23502", "P0001", "23505", "55000"])):
                wait_until(lambda: count_parked(world) > 0, 60, "something is parked")
                world.wait_sent(traffic, 300)
                # healthy Spaces flow: the positions reach the end of the topics although others wait
                world.recover()
                assert check_parked(world, marked) > 0
                total += count_parked(world)
            since = time.monotonic()
            wait_unparked(world)
            worst = max(worst, time.monotonic() - since)
    assert stack.value("SELECT count(*) FROM weir.dead_letter") == letters, "patience ended too early"
    world.stopped()
    return total, worst


def unlikely_currency(world):
    """Too long for the key of any index, and nothing that could be compressed: 54000."""
    return "".join(world.random.choice(string.ascii_letters + string.digits) for _ in range(9000))


def keep_currencies_in_keys(world):
    """The processors that such a currency is poison to."""
    rows = world.stack.psql(
        "SELECT DISTINCT n.nspname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = i.indexrelid "
        "WHERE a.attname = 'currency'"
    )
    return [name for name in ALL if (f"{name}_1",) in rows]


@fault("poison for good, at each index of a batch", "27", short=True, needs=PARKS)
def poison_for_good(world, scale):
    """Dead letters, those and no others; those behind them go on in order."""
    stack, length = world.stack, 5 + 2 * scale
    world.stopped()
    records, guilty = [], []
    for index in range(length):
        space = str(uuid.UUID(int=world.random.getrandbits(128), version=4))
        for i in range(length):
            fields = {"currency": unlikely_currency(world)} if i == index else {}
            guilty += [len(records)] if i == index else []
            records.append(keyed(space, "weir.commerce", events.make_record("ProductPurchased", purchase(world, space, **fields))))
    with world.traffic():
        # what lies there already when they start makes large batches
        places = world.produce(records)
        world.processors = stack.start_processors(*ALL, options=options(world, STRICT))
        for processor in keep_currencies_in_keys(world):
            world.dead[processor] |= {places[i] for i in guilty}
        expected = sum(len(world.dead[processor]) for processor in ALL)
        query = "SELECT count(*) FROM weir.dead_letter WHERE code = '54000'"  # of this fault, and of it alone
        wait_until(lambda: stack.value(query) >= expected, 60,
                   lambda: f"{expected} dead letters; there are {stack.value(query)}")  # fmt: skip
        seconds = world.recover()
        since = time.monotonic()
        wait_unparked(world)
        seconds = max(seconds, time.monotonic() - since)
    world.stopped()
    return len(guilty), seconds


def redrive_all(world):
    """An operator redrives every dead letter that a trigger made; they are applied by the owners."""
    stack = world.stack
    stack.psql(
        "INSERT INTO weir.decision (position_id, kafka_offset, space_id, verdict, decided_by, reason) "
        "SELECT position_id, kafka_offset, space_id, 'redrive', 'chaos', 'it would not fail any more' "
        "FROM weir.dead_letter WHERE state = 'open' AND message LIKE '%%made by a test%%' ORDER BY dead_letter_id"
    )
    return stack.value("SELECT count(*) FROM weir.decision WHERE outcome IS NULL")


def note_redriven(world):
    """Where the redriven events took effect: the fold must know, as a rebuild must."""
    rows = world.stack.psql(
        "SELECT processor, topic, kafka_partition, kafka_offset, applied_after FROM weir.dead_letter "
        "JOIN weir.position USING (position_id) WHERE state = 'redriven'"
    )
    for processor, topic, partition, offset, behind in rows:
        world.late[processor][topic, partition, offset] = behind
    return len(rows)


def wait_decided(world):
    undecided = "SELECT count(*) FROM weir.decision WHERE outcome IS NULL"
    wait_until(lambda: world.stack.value(undecided) == 0, 60, "all decisions are carried out")
    failed = world.stack.psql("SELECT outcome, message FROM weir.decision WHERE outcome NOT IN ('applied', 'discarded')")
    assert not failed, f"decisions came to nothing: {failed[:3]}"


@fault("produce to the dead letters' topics refused", "26", needs=PARKS)
def dead_letters_refused(world, scale):
    """The broker takes none of their records for a while: nobody waits for that, and none is missing afterwards."""
    stack, records = world.stack, []
    names = [f"weir.dlt.{name}" for name in ALL]
    world.running()
    wait_until(lambda: set(names) <= set(stack.admin().list_topics(timeout=30).topics), 60, "the topics are there")
    world.check_dead_letters()
    space = str(uuid.UUID(int=world.random.getrandbits(128), version=4))
    with world.traffic() as traffic:
        configure(stack, names, "max.message.bytes", "100")
        try:
            count = 10 * scale
            world.produce([keyed(space, "weir.commerce", b"no event %d" % i) for i in range(count)])
            world.wait_sent(traffic, 200)
            world.recover()  # lag 0 although the records wait
            assert stack.value("SELECT count(*) FROM weir.outbox") >= count * len(ALL)
        finally:
            configure(stack, names, "max.message.bytes", "1048588")
        since = time.monotonic()
        world.check_dead_letters()
        seconds = time.monotonic() - since
    return count * len(ALL), seconds


def configure(stack, topics, name, value):
    entry = lambda: ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    admin = stack.admin()
    resources = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry()]) for topic in topics]
    for future in admin.incremental_alter_configs(resources).values():
        future.result(60)


@fault("dead letters redriven behind later events", "27", needs=PARKS)
def redriven(world, scale):
    """Attempts are used up, followers go on; later the letters are redriven, and count behind what overtook them."""
    world.stopped()
    world.processors = world.stack.start_processors(*ALL, options=options(world, STRICT))
    with world.traffic() as traffic:
        marked = busy_spaces(world, 2)
        with poisoned(world, marked, one_in=3):
            letters = "SELECT count(*) FROM weir.dead_letter WHERE message LIKE '%%made by a test%%'"
            wait_until(lambda: world.stack.value(letters) > 5 * scale, 60, "there are dead letters")
            world.wait_sent(traffic, 100)
        wait_unparked(world)
        count = redrive_all(world)
        since = time.monotonic()
        wait_decided(world)
        seconds = time.monotonic() - since
        wait_unparked(world)
    world.recover()
    note_redriven(world)
    world.stopped()
    return count, seconds


def rounds_of(world, scale, skip=("batch.", "rebuild.")):
    names = [name for name in world.stack.failpoints() if not name.startswith(skip)]
    return [(name, world.random.choice([1, 2, 3, 5])) for name in names for _ in range(scale)]


def die_at(world, name, hit, policy):
    """Processors that run until they meet the failpoint."""
    stack = world.stack
    processors = stack.start_processors(
        *ALL, options=(*options(world, policy), "--kafka", "group.instance.id=failpoint"), ready=False,
        env={"WEIR_FAILPOINT": f"{name}:{hit}"},
    )  # fmt: skip
    wait_until(lambda: not processors.is_alive(), 60, lambda: f"it dies at {name}, hit {hit}:\n{processors.text()[-3000:]}")
    assert f"failpoint {name}, hit {hit}: kill" in processors.text(), processors.text()
    stack.processes.remove(processors)


def is_stopped(process):
    with open(f"/proc/{process.pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "T"


@fault("owner frozen at failpoints of batch, park and drain", "3, 4", needs=PARKS)
def frozen_at_failpoints(world, scale):
    """Another takes over while it stands there; when it goes on, with its batch in hand, it writes nothing."""
    stack, worst = world.stack, 0.0
    names = ["batch.filled", "batch.sent", "park.guilty", "park.sent", "drain.loaded", "drain.sent"]
    world.stopped()
    with world.traffic():
        for name in world.random.sample(names, 2 * scale):
            second = stack.start_processors(*ALL, options=options(world, PATIENT))
            marked = busy_spaces(world, 2)
            with poisoned(world, marked, one_in=3):
                wait_until(lambda: count_parked(world) > 0, 60, "something is parked")
                stack.end(second)
                first = stack.start_processors(
                    *ALL, options=options(world, PATIENT), ready=False, env={"WEIR_FAILPOINT": f"{name}:2:freeze"}
                )
                if not name.startswith("drain."):
                    wait_until(lambda: is_stopped(first), 60, lambda: f"it freezes at {name}: {first.text()[-2000:]}")
            # with nothing in its way what is parked drains
            wait_until(lambda: is_stopped(first), 60, lambda: f"it freezes at {name}: {first.text()[-2000:]}")
            since = time.monotonic()
            second = stack.start_processors(*ALL, options=options(world, PATIENT), ready=False)
            world.recover()
            wait_unparked(world)
            worst = max(worst, time.monotonic() - since)
            first.thaw()
            wait_until(lambda: first.text().split(": freeze\n")[-1], 60, "it finds out, and says so")
            for process in (first, second):
                stack.end(process)
    return 2 * scale, worst


@fault("kill -9 at each failpoint of park, drain, dead letter, redrive", "1", short=True, needs=PARKS)
def failpoints_of_failure(world, scale):
    """Each in a situation that leads there; a trigger refuses rows while it is about parking."""
    stack, rounds = world.stack, rounds_of(world, max(1, scale // 2))
    world.stopped()
    world.stack.end(stack.start_processors(*ALL, options=FAST))
    with world.traffic() as traffic:
        for name, hit in rounds:
            quiet = stack.start_processors(*ALL, options=(*options(world, STRICT), "--kafka", "group.instance.id=failpoint"))
            wait_decided(world)  # those of a round before, while nothing refuses them
            marked = busy_spaces(world, 2)
            if name.startswith(("drain.", "decide.")):
                # something parked or dead, and nothing that refuses it any more
                with poisoned(world, marked, one_in=3):
                    policy = PATIENT if name.startswith("drain.") else STRICT
                    stack.end(quiet)
                    quiet = stack.start_processors(
                        *ALL, options=(*options(world, policy), "--kafka", "group.instance.id=failpoint")
                    )
                    there = "weir.parked" if policy is PATIENT else "weir.dead_letter WHERE state = 'open' AND code = '23514'"
                    wait_until(lambda: stack.value(f"SELECT count(*) FROM {there}") > 8, 60, "some are set aside")
                    stack.end(quiet)
                if policy is STRICT:
                    redrive_all(world)
                die_at(world, name, 1 if name.startswith("decide.") else min(hit, 2), policy)
            else:
                stack.end(quiet)
                with poisoned(world, marked, one_in=2):
                    die_at(world, name, hit, STRICT)
        since = time.monotonic()
        world.processors = stack.start_processors(*ALL, options=options(world, STRICT))
        wait_unparked(world)
        redrive_all(world)
        wait_decided(world)
        wait_unparked(world)
        seconds = time.monotonic() - since
    world.recover()
    note_redriven(world)
    world.stopped()
    return len(rounds), seconds
