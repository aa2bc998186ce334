# SPDX-License-Identifier: Apache-2.0
"""The engine sends only the columns that a processor's SQL reads, as Postgres says. What that must not break: stars,
rows used as a whole, relations that are only counted."""

import uuid

import events
from harness import make_home

CONF = "version = 1\ndescription = For a test\nconsumes = ProductPurchased\n"
CHECKS = "-- name: nothing is wrong\nSELECT WHERE false;\n"
SPACE = str(uuid.uuid5(uuid.NAMESPACE_URL, "reads"))
PURCHASES = 5


def processor(tables, apply):
    return {"processor.conf": CONF, "tables.sql": tables, "apply.sql": apply, "checks.sql": CHECKS}


PROCESSORS = {
    "narrow": processor("CREATE TABLE t (event_id uuid PRIMARY KEY, total bigint NOT NULL);",
                        "INSERT INTO t SELECT event_id, total FROM product_purchased WHERE currency = 'EUR';"),
    "star": processor("CREATE TABLE t (seq int NOT NULL, ordinal int NOT NULL, product_id uuid NOT NULL, "
                      "quantity int NOT NULL, unit_price bigint NOT NULL, label text NOT NULL);",
                      "INSERT INTO t SELECT * FROM product_purchased_items;"),
    "whole": processor("CREATE TABLE t (body jsonb NOT NULL);",
                       "INSERT INTO t SELECT to_jsonb(e) FROM product_purchased e;"),
    "nested": processor("CREATE TABLE t (body jsonb NOT NULL);",
                        "INSERT INTO t SELECT to_jsonb(j) FROM (product_purchased e JOIN product_purchased_items i "
                        "ON i.seq = e.seq AND i.ordinal = 1) AS j;"),
    "counting": processor("CREATE TABLE t (n bigint NOT NULL);",
                          "INSERT INTO t SELECT count(*) FROM product_purchased;"),
}


def purchase(total):
    items = [{"product_id": uuid.uuid4(), "quantity": 2, "unit_price": 50, "label": f"line {line}"} for line in range(2)]
    fields = {"purchase_id": uuid.uuid4(), "buyer_id": uuid.uuid4(), "items": items, "currency": "EUR", "total": total}
    value = events.make_record("ProductPurchased", fields)
    return "weir.commerce", events.partition_of(SPACE.encode()), SPACE.encode(), value, None


def usage(stack, name):
    columns = stack.psql("SELECT columns FROM weir.column_usage WHERE schema_name = %s AND procedure LIKE 'apply_%%'", f"{name}_1")
    return columns[0][0]


def test_what_is_not_read_is_left_out_and_nothing_else(stack, tmp_path):
    stack.end_all()
    stack.dirty = True
    stack.new_database()
    stack.new_topics()
    home = make_home(tmp_path / "home", PROCESSORS)
    stack.run("migrate", "--home", home)
    assert usage(stack, "narrow") == [f"product_purchased.{column}" for column in ("event_id", "currency", "total")]
    assert usage(stack, "counting") == ["product_purchased"]
    columns = "seq", "ordinal", "product_id", "quantity", "unit_price", "label"
    assert usage(stack, "star") == [f"product_purchased_items.{column}" for column in columns]
    for name in ("whole", "nested"):
        assert usage(stack, name) is None

    stack.produce([purchase(200 + number) for number in range(PURCHASES)])
    stack.start_processors(*PROCESSORS, options=("--home", home))
    for name in PROCESSORS:
        stack.wait_drained(name)

    assert stack.psql("SELECT count(*), sum(total) FROM narrow_1.t") == [(PURCHASES, 1010)]
    assert stack.psql("SELECT count(*), sum(quantity * unit_price), max(label) FROM star_1.t") == [(10, 1000, "line 1")]
    assert stack.psql("SELECT sum(n) FROM counting_1.t") == [(PURCHASES,)]
    for name in ("whole", "nested"):
        rows = stack.psql(f"SELECT body->>'kafka_topic', body->>'buyer_id' IS NOT NULL, body->>'channel' FROM {name}_1.t")
        assert rows == [("weir.commerce", True, "UNKNOWN")] * PURCHASES


def test_a_batch_is_the_first_in_a_rebuild_only(stack, tmp_path):
    stack.end_all()
    stack.dirty = True
    stack.new_database()
    stack.new_topics()
    home = make_home(tmp_path / "home", {"first": processor(
        "CREATE TABLE t (event_id uuid, is_first boolean);",
        "INSERT INTO t SELECT event_id, is_first FROM product_purchased, batch;")})
    stack.run("migrate", "--home", home)
    assert usage(stack, "first") == ["product_purchased.event_id"]
    rows = lambda generation: stack.psql(f"SELECT is_first, count(*) FROM first_{generation}.t GROUP BY 1 ORDER BY 1")

    stack.produce([purchase(200 + number) for number in range(PURCHASES)])
    stack.start_processors("first", options=("--home", home))
    stack.wait_drained("first")
    assert rows(1) == [(False, PURCHASES)]
    stack.run("rebuild", "first", "--home", home)
    assert rows(2) == [(True, PURCHASES)]
    stack.produce([purchase(300)])
    stack.wait_drained("first")
    assert rows(2) == [(False, 1), (True, PURCHASES)]
    # "everything at once" is a first batch too, and so this is no fold
    done = stack.run("processor", "test", "first", "--home", home, "--events", "100", check=False)
    assert done.returncode == 3 and "DIFFERENT" in done.stdout, done

    stack.run("rebuild", "first", "--drop-old", "--home", home)
    stack.run("migrate", "--home", home)
    assert stack.psql("SELECT schema_name FROM weir.column_usage") == [("first_2",)], "what is gone is forgotten"
