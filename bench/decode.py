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


def measure(report):
    subprocess.run(["cmake", "--build", "build", "--target", "bench_decode"], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    rates, shapes = {}, {}
    for _ in range(ROUNDS):
        for event in EVENTS:
            done = subprocess.run(["build/bench_decode", event, str(SECONDS)], cwd=ROOT, capture_output=True, text=True,
                                  check=False)
            if done.returncode != 0:
                raise Failed(f"bench_decode {event}: {done.stderr.strip()}")
            for found in map(LINE.match, done.stdout.splitlines()):
                rates.setdefault(found["version"], []).append(float(found["rate"]) * 1e6)
                shapes[found["version"]] = found["shape"]
    print("\ndecode: Avro to rows, one core", flush=True)
    for version, values in rates.items():
        report.add("dec", version, "events/s", values,
                   note=f"best {max(values):,.0f}, {1e9 / max(values):.0f} ns; {shapes[version]}")
