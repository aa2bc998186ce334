# SPDX-License-Identifier: Apache-2.0
"""The documentation does what it says.

Blocks of README.md and docs/ are run as they stand there, in the order in which they stand, by one shell:

    ```sh run            a piece of the script
    ```<any> file=PATH   the content of a file
    ```<any> result      what the piece before it prints; ids, times and places in Kafka may differ

In the text only the ports of ./dev up become those of the test. Someone who follows the pages can do no more than that, and
no C is at hand: the shell stands in a folder with schemas/, sql/, the built program and ./dev.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest

from harness import ROOT, free_port

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.M | re.S)
MARK = "@@ block "
SCRIPT_S = 240
VARIES = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "TIME"),
    (r'"(partition|offset)":\d+', r'"\1":N'),
]


def blocks(page):
    """(info words, text) of each fenced block."""
    return [(info.split(), text) for info, text in FENCE.findall(page.read_text())]


def constant(text):
    for pattern, name in VARIES:
        text = re.sub(pattern, name, text)
    return [line.rstrip() for line in text.strip("\n").splitlines()]


class Shell:
    """A folder as a newcomer has it, and the blocks of pages run in it."""

    def __init__(self, folder, stack, ports):
        self.folder = folder
        self.ports = ports
        self.env = dict(stack.env, WEIR_GATEWAY_PORT=str(ports["18080"]), WEIR_PROCESSOR_PORT=str(ports["18081"]))
        for name in ("dev", "tests", "build"):
            (folder / name).symlink_to(ROOT / name)
        for name in ("schemas", "sql"):
            shutil.copytree(ROOT / name, folder / name)

    def here(self, text):
        return re.sub(r"127\.0\.0\.1:(\d{5})", lambda m: f"127.0.0.1:{self.ports.get(m[1], m[1])}", text)

    def script(self, page):
        """The page as a script, and the expected output by the number of the block."""
        lines, expected = [], {}
        for number, (words, text) in enumerate(blocks(page)):
            files = [word.removeprefix("file=") for word in words if word.startswith("file=")]
            if files:
                lines.append(f"mkdir -p {shlex.quote(os.path.dirname(files[0]))}")
                lines.append(f"cat >{shlex.quote(files[0])} <<'END OF FILE'\n{text}END OF FILE")
            elif words[1:] == ["run"]:
                last = number
                lines.append(f"echo '{MARK}{number}'\n{self.here(text)}")
            elif words[1:] == ["result"]:
                expected[last] = text
        return "\n".join(lines), expected

    def follow(self, *pages):
        """Runs the pages in one shell and returns what each expected block printed, beside the expectation."""
        script, wanted = "set -euo pipefail\n", []
        for page in pages:
            part, expected = self.script(page)
            script += f"echo '{MARK}{page.name}'\n{part}\n"
            wanted += [(page.name, number, text) for number, text in expected.items()]
        output = self.run(script)
        sections = {}
        page = None
        for section in output.split(MARK)[1:]:
            name, _, text = section.partition("\n")
            page = page if name.isdigit() else name
            if name.isdigit():
                sections[page, int(name)] = text
        for name, number, text in wanted:
            printed = sections[name, number]
            body = printed.split("\r\n\r\n")[-1]  # behind the headers that curl -i shows
            assert constant(body)[-len(constant(text)) :] == constant(text), f"{name}, block {number} printed:\n{printed}"
        return sections

    def run(self, script):
        (self.folder / "script").write_text(script)
        with open(self.folder / "errors", "w+") as errors:
            process = subprocess.Popen(
                ["bash", "script"], cwd=self.folder, env=self.env, text=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
            )
            try:
                output, _ = process.communicate(timeout=SCRIPT_S)
            finally:
                try:
                    os.killpg(process.pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass
            errors.seek(0)
            assert process.returncode == 0, f"{output}\n--- stderr\n{errors.read()}"
        return output


@pytest.fixture(scope="module")
def ports(fresh):
    """Those of `./dev up`, which is what the pages start from, and those that they choose."""
    gateway = fresh.start_gateway()
    processors = fresh.start_processors()
    up = {"18080": gateway.url.rpartition(":")[2], "18081": processors.url.rpartition(":")[2]}
    return up | {name: free_port() for name in ("18090", "18091")}


@pytest.fixture
def shell(fresh, ports, tmp_path):
    return Shell(tmp_path, fresh, ports)


def test_newcomer_adds_event_and_processor(shell, fresh):
    shell.follow(ROOT / "docs/first-event.md", ROOT / "docs/write-a-processor.md")
    assert fresh.value("SELECT count(*) FROM badges_1.member") == 1
    assert fresh.psql("SELECT badges, points, last_badge, place FROM badges.leaderboard") == [(1, 10, "early-bird", 1)]
    assert fresh.value("SELECT version FROM weir.processor WHERE processor = 'badges'") == 2
    # processors of the program, which has never heard of the event, go on
    fresh.wait_drained()


@pytest.mark.parametrize("name", ["README.md", "docs/publish-over-http.md"])
def test_page_runs(shell, name):
    shell.follow(ROOT / name)
