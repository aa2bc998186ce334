# SPDX-License-Identifier: Apache-2.0
"""Avro to rows on one core, without broker and database (bench/micro/decode.c): the record that performance targets are
told in, the largest event of the catalog, and a small one. Rounds go through all of them in turn, so that what else
the machine does is spread; the best round is the one that tells about the program."""

import re
import subprocess

from stack import ROOT, Failed

EVENTS = ["Reference", "ProductPurchased", "MemberJoined"]
ROUNDS = 5
SECONDS = 1
LINE = re.compile(r"(?P<version>\w+/\d+): (?P<shape>.*): (?P<rate>[\d.]+) M events/s, \d+ ns each")


def build():
    subprocess.run(["cmake", "--build", "build", "--target", "bench_decode"], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)


def rates_of(event):
    """{version: (events a second, shape)}, one round."""
    done = subprocess.run(["build/bench_decode", event, str(SECONDS)], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise Failed(f"bench_decode {event}: {done.stderr.strip()}")
    return {found["version"]: (float(found["rate"]) * 1e6, found["shape"])
            for found in map(LINE.match, done.stdout.splitlines()) if found}


def share(report, group, what, event, processor_s_per_million):
    """What decoding all columns of an event takes of the CPU time that a processor spent on it. What the processor does
    not read is left out there, so it takes less."""
    build()
    rates = [max(rate for rate, _ in rates_of(event).values()) for _ in range(ROUNDS)]
    report.add(group, f"{what}: decoding, of the processor's CPU, at most", "%",
               [1e6 / max(rates) / processor_s_per_million * 100], 10, "the target", better="lower")


def measure(report):
    build()
    rates, shapes = {}, {}
    for _ in range(ROUNDS):
        for event in EVENTS:
            for version, (rate, shape) in rates_of(event).items():
                rates.setdefault(version, []).append(rate)
                shapes[version] = shape
    print("\ndecode: Avro to rows, one core", flush=True)
    for version, values in rates.items():
        report.add("dec", version, "events/s", values,
                   note=f"best {max(values):,.0f}, {1e9 / max(values):.0f} ns; {shapes[version]}")
