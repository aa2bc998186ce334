# SPDX-License-Identifier: Apache-2.0
"""B0: what this broker, this disk and this processor can do at all, with nothing of Weir's engine in between."""

TOPICS = "weir.commerce"


def measure(stack, report, size):
    print("\nB0  floors", flush=True)
    stack.reset_topics()
    fills = []
    for run in range(size.runs):
        before = stack.cpu()
        fill = stack.tool("fill", events=size.purchases // size.runs, seed=run + 1)
        fill["broker"] = (stack.cpu()["broker"] - before["broker"]) / fill["events"] * 1e6
        fills.append(fill)
    events = sum(fill["events"] for fill in fills)
    report.add("B0", "produce, acks=all, idempotent, with headers", "events/s", [f["rate"] for f in fills],
               note=f"{fills[0]['bytes'] / fills[0]['events']:.0f} bytes of Avro each, "
                    f"broker {fills[0]['broker']:.2f} CPU-s/M")
    for batch, name in ((10000, "consume from the beginning, in batches"), (1, "consume, one poll per record")):
        found = [stack.tool("consume", topic=TOPICS, events=events, batch=batch) for _ in range(size.runs)]
        report.add("B0", name, "events/s", [f["rate"] for f in found],
                   note=f"client {found[0]['cpu_s'] / events * 1e6:.2f} CPU-s/M")
    decode = [stack.tool("decode", topic=TOPICS, events=min(events, 100000)) for _ in range(size.runs)]
    report.add("B0", "decode to rows, one core", "events/s", [d["rate"] for d in decode],
               note=f"{decode[0]['avro_bytes']:.0f} bytes of Avro to {decode[0]['row_bytes']:.0f} of rows")
    commit = stack.tool("commit", database=stack.conninfo("weir"), events=2000, path=stack.state / "sync")
    report.add("B0", "fdatasync of 8 KiB, p50", "ms", [commit["fdatasync"]["p50_ms"]])
    report.add("B0", "commit of one row, p50", "ms", [commit["commit"]["p50_ms"]])
    report.add("B0", "the same, synchronous_commit=off, p50", "ms", [commit["commit_async"]["p50_ms"]])
    trip = stack.tool("trip", topic="weir.community", events=2000, linger_ms=0)
    report.add("B0", "produce to consume, one at a time, p50", "ms", [trip["arrival"]["p50_ms"]],
               note=f"p99 {trip['arrival']['p99_ms']:.2f}")
    analytics_copy(stack, report, size)


def analytics_copy(stack, report, size):
    """COPY into the analytics processor's table of purchases: it and its index, partitioned by month."""
    count = size.purchases // 4
    stack.fresh_database("bench")
    stack.sql("CREATE SCHEMA source; CREATE TABLE source.commerce AS SELECT gen_random_uuid() AS event_id, "
              "md5((power(10001, random()))::int::text)::uuid AS space_id, now() + n * interval '50 us' AS occurred_at, "
              "'purchase' AS action, gen_random_uuid() AS member_id, gen_random_uuid() AS purchase_id, "
              "NULL::uuid AS product_id, 'EUR' AS currency, 1000::bigint AS amount, 0::bigint AS discount, "
              f"'WEB' AS channel, NULL::uuid AS stream_id, NULL::uuid AS referrer_id FROM generate_series(1, {count}) n",
              "bench")
    path = stack.state / "commerce.copy"
    stack.sql(f"\\copy source.commerce TO '{path}' (FORMAT binary)", "bench")
    seconds = []
    for _ in range(size.runs):
        stack.sql("TRUNCATE analytics_1.commerce", "bench")
        seconds.append(stack.timed_copy("analytics_1.commerce", path, "bench"))
    path.unlink()
    report.add("B0", "COPY into analytics' purchases, with index", "rows/s", [count / s for s in seconds])
    stack.drop_database("bench")
