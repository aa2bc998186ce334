# SPDX-License-Identifier: Apache-2.0
"""BC: what it costs to know which events were applied. A duplicate window of IDS events is made, as if it had been applied in
batches of 20,000; then `weir process` claims the partitions and reads the hashes of all of them into memory, and folds a
backlog with that many known. Disk is held against a row and a key for each event, time and CPU against an empty window."""

import time

import folds
from report import number

RUN_EVENTS = 3334  # of a batch of 20,000 on six partitions
ATTACH_DEADLINE_S = 300
ROW_SQL = """CREATE SCHEMA floor;
CREATE TABLE floor.row_each (event_id uuid, space_id uuid, fingerprint bigint, position_id integer, kafka_offset bigint,
                             kafka_timestamp timestamptz, PRIMARY KEY (event_id, space_id));
CREATE INDEX ON floor.row_each USING brin (kafka_timestamp);
INSERT INTO floor.row_each SELECT gen_random_uuid(), gen_random_uuid(), i, 1, i, now() FROM generate_series(1, 1000000) AS i;
SELECT pg_total_relation_size('floor.row_each') / 1000000.0"""
# md5 stands for the hash; nobody looks at the entries of events that no batch has
FILL_SQL = """INSERT INTO event_log_1.applied_run (position_id, run_id, newest_timestamp, hashes, entries)
SELECT p.position_id, r, now(), h.hashes, e.entries
FROM weir.position AS p
CROSS JOIN generate_series(1, {runs}) AS r
CROSS JOIN LATERAL (SELECT string_agg(decode(md5(concat_ws('/', p.position_id, r, i)), 'hex'), ''::bytea) AS hashes
                    FROM generate_series(1, {each} / 2) AS i) AS h
CROSS JOIN (SELECT decode(repeat('00', 56 * {each}), 'hex') AS entries) AS e"""


def attach(stack):
    """Starts the processor; returns it and the seconds until it owns its partitions."""
    started = time.monotonic()
    process = stack.start_weir("claim", "process", "event_log", "--database", stack.weir_conninfo("bench"))
    stack.wait(process, lambda: stack.metric("weir_processor_partitions") > 0, ATTACH_DEADLINE_S, "it gets its partitions", 0.01)
    return process, time.monotonic() - started


def fold(stack, events):
    """Folds the backlog. Returns the process, the seconds until it owned its partitions, and its CPU in µs for each event."""
    process, seconds = attach(stack)
    before = stack.cpu(processor=process)["processor"]
    stack.wait(process, lambda: stack.metric("weir_processor_events_total", "applied") >= events, folds.FOLD_DEADLINE_S,
               f"it folds {events} events")
    time.sleep(2)  # gauges are written once a second
    used = (stack.cpu(processor=process)["processor"] - before) / events * 1e6
    return process, seconds, used


def measure(stack, report, size, ids):
    events = size.filled["events"]
    runs = max(1, ids // (stack.partitions * RUN_EVENTS))
    ids = runs * stack.partitions * RUN_EVENTS
    print(f"\nBC  {ids:,} events inside the duplicate window", flush=True)
    stack.fresh_database("bench")
    stack.end(attach(stack)[0])  # which makes tables and topics
    process, empty_s, empty_us = fold(stack, events)
    stack.end(process)
    stack.sql("UPDATE weir.position SET next_offset = 0, anchor_offset = NULL, anchor_event_id = NULL, "
              "anchor_timestamp = NULL; TRUNCATE event_log_1.applied_run, event_log_1.event", "bench")
    stack.sql(FILL_SQL.format(runs=runs, each=RUN_EVENTS), "bench")
    row = float(stack.sql(ROW_SQL, "bench"))
    disk = float(stack.sql("SELECT pg_total_relation_size('event_log_1.applied_run')", "bench")) / ids
    report.add("BC", "disk", "bytes/event", [disk], row, "a row and a key for each event", better="lower")
    process, full_s, full_us = fold(stack, events)
    report.check("BC", "events that are known", stack.metric("weir_processor_known_events"), float(ids + events))
    memory = stack.metric("weir_processor_known_bytes")
    report.add("BC", "memory", "MB/million", [memory / (ids + events)], note=f"{number(memory / 1e6)} MB in all")
    report.add("BC", "from the start to the claim", "s", [full_s], empty_s, "an empty window", better="lower")
    report.add("BC", "CPU of the processor", "µs/event", [full_us], empty_us, "an empty window", better="lower")
    stack.end(process)
    stack.drop_database("bench")
