# SPDX-License-Identifier: Apache-2.0
"""B6: POST to acknowledgement. Floors: the same HTTP server with a handler that only answers, and the same producer
with as many events under way as there are connections times lines."""

from report import median
from stack import ROOT, per_million

READY_DEADLINE_S = 30
CONNECTIONS = 128


def written(stack):
    """Events in the topic by its own count."""
    return sum(int(line.split(":")[2]) for line in stack.call(
        "tests/services/kafka.sh", "tool", "org.apache.kafka.tools.GetOffsetShell", "--bootstrap-server",
        f"127.0.0.1:{stack.kafka_port}", "--topic", "weir.commerce").splitlines() if line.count(":") == 2)


def bodies(stack, report, size, lines, events):
    what = "one event a request" if lines == 1 else f"{lines} events a request"
    rates, latencies, tails, cpu, bare_rates, producer_rates = [], [], [], [], [], []
    load = {"connections": CONNECTIONS, "lines": lines, "events": events}
    stack.reset_topics()
    for run in range(size.runs):
        gateway = stack.start_weir("gateway", "gateway", "--inflight-max", "50000", "--inflight-space-max", "50000",
                                   "--space-rate", "1000000")
        stack.wait(gateway, lambda: stack.get(stack.admin_port, "/readyz"), READY_DEADLINE_S, "the gateway")
        stack.tool("load", address=f"127.0.0.1:{stack.gateway_port}", seed=100, **dict(load, events=events // 10))
        before = stack.cpu(gateway=gateway)
        found = stack.tool("load", address=f"127.0.0.1:{stack.gateway_port}", seed=run + 1, **load)
        cpu.append(per_million(before, stack.cpu(gateway=gateway), found["events"]))
        stack.end(gateway)
        rates.append(found["rate"])
        latencies.append(found["answer"]["p50_ms"])
        tails.append(found["answer"]["p99_ms"])
        bare = stack.spawn("bare", ROOT / "build" / "bench", "bare", f"address=127.0.0.1:{stack.bare_port}")
        stack.wait(bare, lambda: stack.get(stack.bare_port, "/"), READY_DEADLINE_S, "the bare server")
        bare_rates.append(stack.tool("load", address=f"127.0.0.1:{stack.bare_port}", **load)["rate"])
        stack.end(bare)
    report.check("B6", f"events in the topic, {what}", written(stack), size.runs * (events + events // 10))
    for run in range(size.runs):
        producer_rates.append(stack.tool("fill", events=events, linger_ms=1, inflight=CONNECTIONS * lines,
                                         seed=run + 1)["rate"] / lines)
    bare = report.add("B6", f"bare HTTP server, {what}", "req/s", bare_rates)
    producer = report.add("B6", f"bare producer, {CONNECTIONS} × {lines} under way", "req/s", producer_rates)
    floor, name = min((bare, "bare HTTP"), (producer, "bare producer"))
    report.add("B6", f"weir gateway, {what}", "req/s", rates, floor, name,
               note=f"{median(rates) * lines:,.0f} events/s" if lines > 1 else "")
    report.add("B6", f"answer, {what}, p50", "ms", latencies)
    report.add("B6", f"answer, {what}, p99", "ms", tails)
    report.cpu("B6", f"gateway, {what}", cpu)


def measure(stack, report, size):
    print(f"\nB6  gateway, acks=all, {CONNECTIONS} connections", flush=True)
    bodies(stack, report, size, 1, size.single)
    bodies(stack, report, size, 100, size.batched)
