# SPDX-License-Identifier: Apache-2.0
"""The tools: topics, tail, position, audit, doctor and simulate, on a platform that really ran."""

import json
import re
import subprocess
import time
import uuid

import pytest
import requests
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

import applied
import events
from registry_stub import Stub

EVENTS = 3000
DEAD_PORT = "127.0.0.1:1"


def as_json(done):
    return json.loads(done.stdout)


def as_lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def platform(fresh):
    """A platform whose traffic is in the tables, and what the simulator says it adds up to."""
    fresh.start_gateway()
    fresh.start_processors()
    done = fresh.run("simulate", "--seed", 11, "--events", EVENTS, "--rate", 1000, "--spaces", 20, "-o", "json")
    fresh.totals = as_json(done)
    fresh.wait_drained()
    return fresh


# simulate


def test_simulator_says_what_it_did(platform):
    requests = platform.totals["requests"]
    assert requests["events"] == EVENTS
    assert platform.totals["acked"] + requests["refused_as_meant"] == EVENTS
    assert requests["refused_as_meant"] > 0 and requests["repeated"] > 0 and platform.totals["late"] > 0
    assert requests["failed"] == requests["refused"] == requests["doubled"] == requests["unknown"] == 0
    assert platform.totals["exact"] and 0 < platform.totals["latency_ms"]["p50"] <= platform.totals["latency_ms"]["p99"]
    assert sum(platform.totals["events"].values()) == platform.totals["acked"]


def test_ledger_is_the_independent_sum(platform):
    kinds = {"purchase": "purchases", "refund": "refunds", "membership": "memberships", "tip": "tips"}
    rows = platform.psql(
        "SELECT kind, currency, count(*), sum(amount), sum(fee) FROM ledger_1.transfer WHERE currency <> 'CREDIT' GROUP BY 1, 2"
    )
    found = {(currency, kinds[kind]): (count, amount, fee) for kind, currency, count, amount, fee in rows}
    for currency, flows in platform.totals["money"].items():
        for flow, total in flows.items():
            count, amount, fee = found.pop((currency, flow), (0, 0, 0))
            assert (count, amount) == (total["count"], total["amount"]), (currency, flow)
            if flow != "refunds":
                assert fee == total["fee"], (currency, flow)
    assert not found
    credits = platform.totals["credits"]
    handed, spent = (
        platform.psql(
            "SELECT count(*), coalesce(sum(amount), 0) FROM ledger_1.transfer WHERE currency = 'CREDIT' AND kind = %s", kind
        )[0]
        for kind in ("handover", "spend")
    )
    assert handed == tuple(credits["issued"][key] + credits["moved"][key] for key in ("count", "amount"))
    assert spent == (credits["spent"]["count"], credits["spent"]["amount"])


def test_contradictions_are_those_that_were_sent(platform):
    meant = platform.totals["contradictions"]
    found = dict(platform.psql("SELECT kind, count(*) FROM ledger_1.transfer WHERE problem IS NOT NULL GROUP BY 1"))
    assert found == {
        kind: meant[name] for kind, name in (("refund", "refunds"), ("spend", "credits_spent")) if meant[name]
    }
    assert found


def test_each_space_has_its_own_sum(platform):
    rows = platform.psql(
        "SELECT space_id::text, count(*), sum(amount) FROM ledger_1.transfer WHERE kind = 'purchase' GROUP BY 1"
    )
    found = {space: (count, amount) for space, count, amount in rows}
    meant = {s["space_id"]: (s["purchases"]["count"], s["purchases"]["amount"]) for s in platform.totals["by_space"]}
    assert found == {space: sums for space, sums in meant.items() if sums[0]}


def test_every_event_is_in_the_topics_once_or_repeated(platform):
    counts = {}
    ids = set()
    for record in as_lines(platform.run("tail")):
        if record["key"] not in {s["space_id"] for s in platform.totals["by_space"]}:
            continue
        event_id = record["payload"]["meta"]["event_id"]
        if event_id not in ids:
            ids.add(event_id)
            counts[record["event"]] = counts.get(record["event"], 0) + 1
    assert counts == {name: count for name, count in platform.totals["events"].items() if count}


def test_same_seed_again_has_no_effect(platform):
    counts = "SELECT count(*), sum(amount) FROM ledger_1.transfer"
    before = platform.psql(counts)
    again = as_json(platform.run("simulate", "--seed", 11, "--events", 300, "--rate", 1000, "--spaces", 20, "-o", "json"))
    assert again["requests"]["doubled"] == 0 and again["acked"] > 290
    platform.wait_drained()
    assert platform.psql(counts) == before
    assert platform.value("SELECT count(*) FROM weir.duplicate") >= 290


def test_simulator_gives_no_event_up_while_the_gateway_restarts(platform):
    done = subprocess.Popen(
        [str(platform.weir), "simulate", "--seed", "12", "--events", "3000", "--rate", "300", "-o", "json"],
        env=platform.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    gateway = next(p for p in platform.processes if p.name == "gateway")
    ends = platform.ends()
    platform.wait_until(lambda: sum(platform.ends().values()) > sum(ends.values()) + 100, what="traffic flows")
    gateway.kill()
    platform.end(gateway)
    platform.start_gateway()
    out, err = done.communicate(timeout=180)
    assert done.returncode == 0, err
    totals = json.loads(out)
    assert totals["exact"] and totals["requests"]["retried"] > 0 and totals["acked"] > 1000
    platform.wait_drained()
    spaces = [space["space_id"] for space in totals["by_space"]]
    for currency, flows in totals["money"].items():
        row = platform.psql(
            "SELECT count(*), coalesce(sum(amount), 0) FROM ledger_1.transfer "
            "WHERE kind = 'purchase' AND currency = %s AND space_id = ANY (%s::uuid[])",
            currency, spaces,
        )[0]
        assert row == (flows["purchases"]["count"], flows["purchases"]["amount"])


def test_straight_to_the_topics_is_the_same_event(platform):
    """What the simulator encodes by itself under the keys of before has the ids that the gateway gave."""
    counts = "SELECT count(*), sum(amount) FROM ledger_1.transfer"
    before = platform.psql(counts)
    direct = ("simulate", "--target", "kafka", "--seed", 11, "--events", 300, "--rate", 5000, "--spaces", 20, "-o", "json")
    again = as_json(platform.run(*direct))
    assert again["acked"] > 290 and again["requests"]["refused_as_meant"] + again["acked"] == 300
    platform.wait_drained()
    assert platform.psql(counts) == before
    assert platform.value("SELECT count(*) FROM weir.dead_letter") == 0


# topics


def test_topics_create_may_be_repeated(platform):
    rows = as_json(platform.run("topics", "create", "-o", "json"))
    ours = [f"weir.{kind}.{name}" for name in sorted(events.PROCESSORS) for kind in ("dlt", "decisions")]
    assert [row["topic"] for row in rows] == sorted(events.TOPICS) + ours
    assert {row["state"] for row in rows} == {"ok"} and {row["partitions"] for row in rows} == {6}


def test_another_partition_count_is_named(platform):
    for verb in ("check", "create"):
        done = platform.run("topics", verb, "--partitions", 7, check=False)
        assert done.returncode == 3
        assert "partitions is 6, pinned to 7" in done.stdout
    assert platform.run("topics", "list", "--partitions", 7).returncode == 0


def test_another_setting_is_named_and_left_alone(platform):
    def set_retention(value):
        admin = platform.admin()  # must outlive what it is asked
        entry = ConfigEntry("retention.ms", value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, "weir.space", incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(60)

    set_retention("86400000")
    try:
        platform.wait_until(lambda: platform.run("topics", "check", check=False).returncode == 3, what="the setting shows")
        done = platform.run("topics", "create", "-o", "jsonl", check=False)
        assert done.returncode == 3
        bad = [row for row in as_lines(done) if row["state"] == "differs"]
        assert [row["topic"] for row in bad] == ["weir.space"]
        assert bad[0]["difference"] == "retention.ms is 86400000, pinned to -1"
        doctor = platform.run("doctor", check=False)
        assert doctor.returncode == 3 and "retention.ms is 86400000" in doctor.stdout
    finally:
        set_retention("-1")
    platform.wait_until(lambda: platform.run("topics", "check", check=False).returncode == 0, what="it is as pinned")


def test_mistakes_are_named(stack):
    done = stack.run("topics", "list", "--kafka", "no.such.property=1", check=False)
    assert done.returncode == 2 and "no.such.property" in done.stderr
    done = stack.run("topics", "forget", check=False)
    assert done.returncode == 2 and "create, list or check" in done.stderr
    begin = time.monotonic()
    done = stack.run("topics", "list", "--kafka-brokers", DEAD_PORT, check=False)
    assert done.returncode == 1 and DEAD_PORT in done.stderr and time.monotonic() - begin < 20


# tail


def test_configuration_that_nobody_reads_is_an_error(stack, tmp_path):
    done = stack.run("schema", "list", "--config", tmp_path, check=False)
    assert done.returncode == 2 and f"{tmp_path}: Is a directory" in done.stderr, done.stderr
    for name, told in (("WEIR_KAFKA_BROKER", "perhaps WEIR_KAFKA_BROKERS"), ("WEIR_READTIMEOUT", "perhaps WEIR_READ_TIMEOUT"),
                       ("WEIR_", "no option WEIR_"), ("WEIR_ELSEWHERE", "no option WEIR_ELSEWHERE")):
        done = stack.run("schema", "list", check=False, env={name: "1"})
        assert done.returncode == 2 and told in done.stderr, (name, done.stderr)
    # what Kubernetes sets for a service that is called weir-gateway
    stack.run("schema", "list", env={"WEIR_GATEWAY_SERVICE_HOST": "10.0.0.1", "WEIR_GATEWAY_PORT_18080_TCP": "tcp://10.0.0.1:18080"})


def test_resume_knows_its_processors(stack):
    done = stack.run("processor", "resume", "nope", check=False)
    assert done.returncode == 2 and 'no processor "nope"' in done.stderr, done.stdout + done.stderr


def test_tail_decodes_and_masks(platform):
    space = str(uuid.uuid4())
    member = str(uuid.uuid4())
    body = {"member_id": member, "display_name": "Ada L.", "email": "ada@example.com", "tier": "patron",
            "payment": {"amount": 1500, "currency": "EUR"}, "meta": {"actor": "desk"}}
    receipt = platform.post(space, "MemberJoined", body).json()
    record, = as_lines(platform.run("tail", "--space", space, "--event", "MemberJoined"))
    assert (record["event"], record["topic"], record["key"]) == ("MemberJoined", "weir.membership", space)
    assert (record["partition"], record["offset"], record["tstype"]) == (receipt["partition"], receipt["offset"], "logappend")
    payload = record["payload"]
    assert payload["meta"]["event_id"] == receipt["event_id"]
    assert (payload["display_name"], payload["email"], payload["meta"]["actor"]) == ("***", "***", "***")
    assert payload["payment"] == {"amount": 1500, "currency": "EUR"} and payload["member_id"] == member
    shown, = as_lines(platform.run("tail", "membership", "--space", space, "--show-pii"))
    assert (shown["payload"]["display_name"], shown["payload"]["email"]) == ("Ada L.", "ada@example.com")
    assert "Ada" not in json.dumps(record)


def test_tail_has_the_names_of_kcat(platform):
    record = as_lines(platform.run("tail", "commerce", "--limit", 1))[0]
    line = subprocess.run(
        ["kcat", "-b", platform.brokers, "-C", "-t", record["topic"], "-p", str(record["partition"]),
         "-o", str(record["offset"]), "-c", "1", "-J", "-q"],
        capture_output=True, timeout=30, check=True).stdout
    other = json.loads(line.decode("utf-8", "replace"))
    for name in ("topic", "partition", "offset", "tstype", "ts", "headers", "key"):
        assert record[name] == other[name], name
    assert set(other) - set(record) == set()


def test_tail_limits_and_ends(platform):
    whole = as_lines(platform.run("tail", "space"))
    assert len(whole) == sum(end for (topic, _), end in platform.ends().items() if topic == "weir.space")
    assert len(as_lines(platform.run("tail", "space", "--limit", 3))) == 3
    last = as_lines(platform.run("tail", "weir.space", "--last", 1))
    newest = {record["partition"]: record["offset"] for record in whole}
    assert {record["partition"]: record["offset"] for record in last} == newest
    only = as_lines(platform.run("tail", "--event", "ProductPurchased"))
    assert only and {record["event"] for record in only} == {"ProductPurchased"}


def test_tail_follows(platform):
    space = str(uuid.uuid4())
    follower = platform.start("tail", "tail", "-f", "--space", space, "--last", 1, "--limit", 2)
    body = {"name": "Kiln", "owner_id": str(uuid.uuid4()), "currency": "EUR"}
    platform.post(space, "SpaceCreated", body)
    platform.wait_until(lambda: "SpaceCreated" in follower.out.read_text(), what="the tail shows the event")
    platform.post(space, "SpaceSettingsChanged", {"settings": {"theme": "dark"}})
    assert follower.wait(60) == 0
    assert [json.loads(line)["event"] for line in follower.out.read_text().splitlines()] == ["SpaceCreated", "SpaceSettingsChanged"]
    platform.wait_drained()


def test_tail_shows_what_it_cannot_decode(platform):
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": platform.brokers})
    space = str(uuid.uuid4())
    producer.produce("weir.space", key=space, value=b"no avro", headers={"who": b"\xff\x00"}, partition=0)
    producer.flush(60)
    record = [r for r in as_lines(platform.run("tail", "space")) if r["key"] == space][0]
    assert record["payload"] is None and record["event"] is None and record["error"]
    assert record["headers"] == ["who", "base64:/wA="] and "payload_base64" not in record
    shown = [r for r in as_lines(platform.run("tail", "space", "--show-pii")) if r["key"] == space][0]
    assert shown["payload_base64"] == "bm8gYXZybw=="
    platform.wait_drained()


def test_tail_names_mistakes(stack):
    for arguments, said in ((["nonsense"], "weir.nonsense"), (["--event", "Nope"], "Nope"), (["--space", "x"], "UUID")):
        done = stack.run("tail", *arguments, check=False)
        assert done.returncode == 2 and said in done.stderr


# position


def test_position_is_at_the_end(platform):
    platform.wait_drained()
    ends = platform.ends()
    found = {p["processor"]: p for p in as_json(platform.run("position", "-o", "json"))["processors"]}
    assert set(found) == set(events.PROCESSORS)
    for processor in found.values():
        assert processor["live"] and processor["lag"] == 0 and processor["halted"] is None
        for row in processor["partitions"]:
            assert row["position"] == row["end"] == ends[row["topic"], row["partition"]]
            assert row["owner"] and row["owner_alive"] and row["epoch"] >= 1
    one = as_json(platform.run("position", "ledger", "-o", "json"))["processors"]
    assert [p["processor"] for p in one] == ["ledger"]
    assert "ledger, generation 1: lag 0" in platform.run("position").stdout


# doctor


def test_doctor_finds_nothing_wrong(platform):
    found = as_json(platform.run("doctor", "--processor-listen", processors_of(platform), "-o", "json"))
    assert found["ok"] and found["failures"] == found["warnings"] == 0
    subjects = {finding["subject"] for finding in found["findings"]}
    assert {"catalog", "kafka", "topics", "postgres", "migrations", "processor ledger", "gateway", "processors"} <= subjects


def processors_of(platform):
    return next(p for p in platform.processes if p.name == "process").url.removeprefix("http://")


def test_doctor_says_what_is_wrong_and_what_to_do(stack):
    done = stack.run("doctor", "-o", "json", "--kafka-brokers", DEAD_PORT, "--database", "host=127.0.0.1 port=1 user=weir",
                     "--admin-listen", DEAD_PORT, check=False)
    assert done.returncode == 3
    found = as_json(done)
    failed = {f["subject"]: f for f in found["findings"] if f["state"] == "fail"}
    assert set(failed) == {"kafka", "postgres"} and all(f["advice"] for f in failed.values())
    assert [f["state"] for f in found["findings"] if f["subject"] == "gateway"] == ["warn"]


@pytest.mark.parametrize("settings, told", [
    ({}, None),
    ({"log_min_duration_statement": "1s"}, "log_min_duration_statement = 1000"),
    ({"log_statement": "all"}, "log_statement = all"),
    ({"log_statement": "mod"}, None),
    ({"log_min_duration_statement": "0", "log_parameter_max_length": "0"}, None),
    ({"log_parameter_max_length_on_error": "64"}, "log_parameter_max_length_on_error = 64"),
])
def test_doctor_warns_of_logged_parameters(platform, settings, told):
    """Settings of a login, as an operator would make them."""
    database = platform.database.replace("user=weir", "user=logged")
    platform.psql("CREATE ROLE logged SUPERUSER LOGIN")
    try:
        for name, value in settings.items():
            platform.psql(f"ALTER ROLE logged SET {name} = '{value}'")
        done = platform.run("doctor", "-o", "json", "--database", database, check=False)
    finally:
        platform.psql("DROP ROLE logged")
    found = [f for f in as_json(done)["findings"] if f["subject"] == "postgres log"]
    assert [f["state"] for f in found] == (["warn"] if told else [])
    assert not told or (found[0]["message"].endswith(": " + told) and "log_parameter_max_length" in found[0]["advice"])


def test_doctor_misses_migrations(stack):
    done = stack.run("doctor", "--database", stack.database.replace("dbname=weir", "dbname=postgres"), check=False)
    assert done.returncode == 3 and "`weir migrate`" in done.stdout


def test_doctor_looks_at_the_registry(platform):
    def look(url):
        done = platform.run("doctor", "-o", "json", "--schema-registry-url", url, "--processor-listen", processors_of(platform),
                            check=False)
        return {f["subject"]: f for f in as_json(done)["findings"] if f["subject"] in ("registry", "schema ids")}

    registry = Stub()
    try:
        found = look(registry.url)
        assert found["registry"]["state"] == "warn" and "weir schema register" in found["registry"]["advice"]
        # this database's ids are those of the lock
        assert found["schema ids"]["state"] == "fail" and "catalog.lock" in found["schema ids"]["message"]
        platform.run("schema", "register", "--schema-registry-url", registry.url)
        assert look(registry.url)["registry"]["state"] == "ok"
        posts = [path for method, path in registry.requests if method == "POST" and path.endswith("/versions")]
        look(registry.url)
        assert posts == [path for method, path in registry.requests if method == "POST" and path.endswith("/versions")]
    finally:
        registry.close()
    found = look(f"http://{DEAD_PORT}")
    assert found["registry"]["state"] == "fail" and DEAD_PORT in found["registry"]["message"]


def test_probe_is_a_health_check(platform):
    assert platform.run("doctor", "--probe", platform.admin_url + "/readyz").returncode == 0
    for url in (platform.gateway_url + "/nothing-here", f"http://{DEAD_PORT}/readyz"):
        done = platform.run("doctor", "--probe", url, check=False)
        assert done.returncode == 1 and url in done.stderr


def test_alerts_are_about_metrics_that_exist(platform):
    rules = (events.ROOT / "compose" / "alerts.yaml").read_text()
    named = set(re.findall(r"\b(?:weir|kafka_consumergroup)_[a-z_]+", "".join(re.findall(r"expr: (.*)", rules))))
    shown = requests.get(f"http://{processors_of(platform)}/metrics", timeout=30).text
    assert len(named) >= 8 and named <= set(re.findall(r"^# TYPE (\S+)", shown, re.M)), named


# audit: last, because it breaks what it looks at


def rules(done):
    return {(rule["processor"], rule["rule"]): rule for rule in as_json(done)["rules"]}


LETTERS = "each dead letter is a record of its topic, or in the outbox"
RECORDS = "each record below the position is accounted for exactly once"


def test_audit_holds(platform):
    done = platform.run("audit", "--wait", "30s", "-o", "json")
    report = as_json(done)
    assert report["ok"] and report["broken"] == report["skipped"] == report["lag"] == 0
    assert {"I1", "I3", "I7", "I9", "I11"} <= {rule["invariant"] for rule in report["rules"]}
    assert "audit: all is well" in platform.run("audit").stdout


@pytest.mark.parametrize("name, harm, processor, rule, said", [
    ("lost", "DELETE FROM ledger_1.applied_event WHERE event_id IN (SELECT event_id FROM ledger_1.applied_event LIMIT 2)",
     "ledger", RECORDS, "2 lost"),
    ("twice", "INSERT INTO weir.dead_letter (position_id, kafka_offset, kafka_timestamp, code, message) "
              "SELECT position_id, kafka_offset, kafka_timestamp, 'test', 'test' FROM overview_1.applied_event LIMIT 1",
     "overview", RECORDS, "1 recorded twice"),
    ("stray", "UPDATE analytics_1.applied_event SET kafka_offset = kafka_offset + 1000000 "
              "WHERE event_id = (SELECT event_id FROM analytics_1.applied_event LIMIT 1)",
     "analytics", RECORDS, "1 lost, 0 recorded twice, 1 recorded without"),
    ("balance", "UPDATE ledger_1.member_balance SET balance = balance + 1 "
                "WHERE ctid = (SELECT ctid FROM ledger_1.member_balance LIMIT 1)",
     "ledger", "each balance is the sum of its entries", "1 row breaks it"),
    ("month", "UPDATE ledger_1.space_balance SET month = month - 7 "
              "WHERE ctid = (SELECT ctid FROM ledger_1.space_balance LIMIT 1)",
     "ledger", "each month holds what its transfers add up to", "2 rows break it"),
    ("beyond", "UPDATE weir.position SET next_offset = next_offset + 5 WHERE ctid = "
               "(SELECT ctid FROM weir.position WHERE processor = 'ledger' AND next_offset > 0 LIMIT 1)",
     "ledger", "each position lies inside the log", "but the log holds"),
    ("halted", "INSERT INTO weir.halt (processor, generation, code, message) VALUES ('overview', 1, 'test', 'a reason')",
     "overview", "is not halted", "a reason"),
])
def test_audit_sees_harm(platform, name, harm, processor, rule, said):
    for process in [p for p in platform.processes if p.name == "process"]:
        platform.end(process)
    save(platform)
    applied.make_writable(platform, "ledger_1", "overview_1", "analytics_1")
    try:
        assert platform.run("audit", check=False).returncode == 0
        platform.psql(harm)
        done = platform.run("audit", "-o", "json", check=False)
        assert done.returncode == 3
        broken = {key: value for key, value in rules(done).items() if value["state"] == "broken"}
        # a dead letter out of nothing was never published either
        assert set(broken) - {(processor, LETTERS)} == {(processor, rule)}
        assert said in broken[processor, rule]["message"]
    finally:
        restore(platform)


SAVED = ("ledger_1.applied_run", "overview_1.applied_run", "analytics_1.applied_run", "ledger_1.space_balance",
         "ledger_1.member_balance", "weir.dead_letter", "weir.halt")


def save(platform):
    for table in SAVED:
        platform.psql(f"CREATE TABLE IF NOT EXISTS public.{table.replace('.', '_')} AS TABLE {table}")
    platform.psql("CREATE TABLE IF NOT EXISTS public.offsets AS SELECT position_id, next_offset FROM weir.position")


def restore(platform):
    for table in SAVED:
        platform.psql(f"DELETE FROM {table}")
        platform.psql(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM public.{table.replace('.', '_')}")
    platform.psql(
        "UPDATE weir.position p SET next_offset = o.next_offset FROM public.offsets o WHERE o.position_id = p.position_id"
    )


def test_audit_sees_lag(platform):
    platform.post(str(uuid.uuid4()), "SpaceCreated", {"name": "Late", "owner_id": str(uuid.uuid4()), "currency": "EUR"})
    shown = platform.run("audit", "overview", "-o", "json")
    assert as_json(shown)["lag"] == 1 and as_json(shown)["skipped"] == 1
    waited = platform.run("audit", "overview", "--wait", "300ms", "-o", "json", check=False)
    assert waited.returncode == 3
    assert rules(waited)["overview", "reaches the end of the log"]["state"] == "broken"


def test_audit_names_mistakes(stack):
    done = stack.run("audit", "nobody", check=False)
    assert done.returncode == 2 and "nobody" in done.stderr
    done = stack.run("audit", "--database", stack.database.replace("dbname=weir", "dbname=postgres"), check=False)
    assert done.returncode == 2 and "weir migrate" in done.stderr
