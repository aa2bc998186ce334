# SPDX-License-Identifier: Apache-2.0
"""Figures, each beside its floor, and the machine they were measured on."""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import time


def median(values):
    return statistics.median(values)


def number(value):
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


class Report:
    def __init__(self):
        self.rows = []
        self.cpu_rows = []
        self.checks = []
        self.started = time.monotonic()

    def add(self, group, what, unit, values, floor=None, floor_name="", better="higher", note=""):
        """A figure (the median of its values) and, where there is one, its ratio to the floor. For times the
        ratio is floor : figure too, so that 100 % is always as good as the floor."""
        middle = median(values)
        ratio = None
        if floor:
            ratio = middle / floor if better == "higher" else floor / middle
        self.rows.append({"group": group, "what": what, "unit": unit, "value": middle, "runs": len(values),
                          "lowest": min(values), "highest": max(values), "floor": floor,
                          "floor_name": floor_name, "ratio": ratio, "note": note})
        spread = f"  [{number(min(values))} – {number(max(values))}]" if len(values) > 1 else ""
        against = f"  {ratio:.0%} of {floor_name} ({number(floor)})" if ratio else ""
        print(f"  {what}: {number(middle)} {unit}{spread}{against}{'  ' + note if note else ''}", flush=True)
        return middle

    def cpu(self, group, what, used):
        """CPU seconds per million events, the medians of several runs."""
        middle = {name: median([run[name] for run in used]) for name in used[0]}
        self.cpu_rows.append({"group": group, "what": what, **middle, "total": sum(middle.values())})
        parts = "  ".join(f"{name} {value:.2f}" for name, value in middle.items())
        print(f"  CPU-s per million events: {parts}  together {sum(middle.values()):.2f}", flush=True)

    def check(self, group, what, found, expected):
        self.checks.append({"group": group, "what": what, "good": found == expected})
        if found != expected:
            print(f"  WRONG: {what}: {found}, not {expected}", flush=True)
        else:
            print(f"  checked: {what}: {found}", flush=True)

    def good(self):
        return all(check["good"] for check in self.checks)

    def table(self):
        lines = [f"{'':4} {'figure':46} {'value':>12} {'unit':9} {'floor':>12} {'ratio':>6}  floor is, runs"]
        for row in self.rows:
            ratio = f"{row['ratio']:.0%}" if row["ratio"] else ""
            floor = number(row["floor"]) if row["floor"] else ""
            runs = f"median of {row['runs']}" if row["runs"] > 1 else "1 run"
            lines.append(f"{row['group']:4} {row['what']:46} {number(row['value']):>12} {row['unit']:9} {floor:>12} "
                         f"{ratio:>6}  {row['floor_name']}{', ' if row['floor_name'] else ''}{runs}")
        if self.cpu_rows:
            names = ["broker", "postgres", "processor", "gateway", "total"]
            lines += ["", f"{'':4} {'CPU-seconds per million events':46} " + " ".join(f"{n:>10}" for n in names)]
            for row in self.cpu_rows:
                cells = " ".join(f"{number(row[n]) if n in row else '':>10}" for n in names)
                lines.append(f"{row['group']:4} {row['what']:46} {cells}")
        bad = [c for c in self.checks if not c["good"]]
        lines += ["", f"checks: {len(self.checks) - len(bad)} right, {len(bad)} wrong; "
                      f"{time.monotonic() - self.started:.0f} s"]
        return "\n".join(lines)

    def save(self, folder, machine):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / time.strftime("%Y-%m-%dT%H%M%S.json")
        path.write_text(json.dumps({"machine": machine, "figures": self.rows, "cpu": self.cpu_rows,
                                    "checks": self.checks}, indent=1) + "\n")
        return path


def first_line(*words):
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.split("\n", 1)[0]
    except FileNotFoundError:
        return ""


def machine(stack=None):
    """What a figure is worth nothing without."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((l.split(": ")[1] for l in info.splitlines() if l.startswith("model name")), platform.machine())
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) / 2**20
    services = {}
    if stack:
        settings = stack.sql("SELECT string_agg(name || '=' || current_setting(name), ' ' ORDER BY name) FROM pg_settings "
                             "WHERE name IN ('shared_buffers', 'max_wal_size', 'wal_compression', 'fsync', 'wal_level', "
                             "'track_commit_timestamp', 'checkpoint_timeout', 'full_page_writes')")
        services = {"postgres": stack.sql("SELECT current_setting('server_version')") + " " + settings,
                    "broker": "Kafka 4.3.1, one node, heap 256 MiB, 6 partitions, LogAppendTime, lz4"}
    return {"cpu": f"{os.cpu_count()} × {model}", "memory": f"{memory:.0f} GiB",
            "kernel": f"{platform.system()} {platform.release()}",
            "system": next((l.split("=")[1].strip('"') for l in pathlib.Path("/etc/os-release").read_text().splitlines()
                            if l.startswith("PRETTY_NAME=")), ""),
            "load": " ".join(f"{v:.2f}" for v in os.getloadavg()),
            "weir": first_line("build/weir", "--version") + " " + first_line("git", "describe", "--always", "--dirty"),
            "librdkafka": first_line("pkg-config", "--modversion", "rdkafka"),
            **services,
            "time": time.strftime("%Y-%m-%d %H:%M:%S %Z")}
