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
SCRIPT_S = 480
VARIES = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "TIME"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00", "TIME"),
    (r'"(partition|offset)":\d+', r'"\1":N'),
]


def blocks(page):
    """(info words, text) of each fenced block."""
    return [(info.split(), text) for info, text in FENCE.findall(page.read_text())]


def anchors(page):
    """The links to the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def constant(text):
    for pattern, name in VARIES:
        text = re.sub(pattern, name, text)
    return [line.rstrip() for line in text.strip("\n").splitlines()]


class Shell:
    """A folder as a newcomer has it, and the blocks of pages run in it."""

    def __init__(self, folder, stack, ports):
        self.folder = folder
        self.ports = ports
        self.env = dict(stack.env, WEIR_GATEWAY_PORT=str(ports["18080"]), WEIR_PROCESSOR_PORT=str(ports["18081"]),
                        WEIR_ADMIN_PORT=str(ports["18082"]))
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
    bases = {"18080": gateway.url, "18081": processors.url, "18082": gateway.admin}
    up = {name: base.rpartition(":")[2] for name, base in bases.items()}
    return up | {name: free_port() for name in ("18090", "18091", "18092")}


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


@pytest.mark.parametrize("name", ["README.md", "docs/build-on.md", "docs/publish-over-http.md", "docs/registry.md", "docs/read-models.md", "docs/operate-dead-letters.md"])
def test_page_runs(shell, name):
    shell.follow(ROOT / name)


def test_queries_for_operators_run(fresh):
    queries = [text for words, text in blocks(ROOT / "docs/operate.md") if words == ["sql"]]
    assert queries
    for query in queries:
        fresh.psql(query)


# What needs no services


def help_of(*words):
    return subprocess.run([ROOT / "build/weir", *words], capture_output=True, text=True, check=True).stdout


def commands():
    return re.findall(r"^  ([\w-]+) ", help_of("help"), re.M)


def command_lines(page):
    """Each `weir …` of the page, in a block of shell or between backticks, up to what the shell takes for itself."""
    text = re.sub(r"\\\n", " ", page.read_text())
    shell = "\n".join(block for info, block in FENCE.findall(text) if info.startswith("sh"))
    inline = re.findall(r"`((?:build/)?weir [^`]*)`", FENCE.sub("", text))
    for line in [re.sub(r"(^|\s)#.*", "", line) for line in shell.splitlines()] + inline:
        for match in re.finditer(r"(?:^|[\s`($])(?:build/)?weir ([a-z][^|&>;`#\n]*)", line):
            yield match[1].split()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_command_lines_are_understood(page):
    known = commands()
    for words in command_lines(page):
        name = words[0].rstrip(",.")
        if name == "help":
            continue
        assert name in known, f"weir {' '.join(words)}: no such command"
        text = help_of(name, "--help")
        for word in words[1:]:
            option = word.split("=")[0].strip(",.")
            if option.startswith("--") and option != "--help":
                assert re.search(rf"^  {re.escape(option)} ", text, re.M), f"weir {' '.join(words)}: no {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_options_links_and_length(page):
    text = page.read_text()
    options = "".join(help_of(name, "--help") for name in commands()) + (ROOT / "dev").read_text() + "--wait --check --volumes"
    prose = re.sub(r"```.*?^```", "", text, flags=re.M | re.S)
    for option in re.findall(r"`(--[a-z][a-z-]+)", prose):
        assert option in options, f"{page.name}: nothing takes {option}"
    for link, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", prose):
        target = page.parent / link if link else page
        assert target.exists(), f"{page.name}: {link} is not there"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link} has no heading #{anchor}"
    assert len(text.splitlines()) <= 200, f"{page.name} is too long to be read"


def test_readme_leads_to_every_page():
    linked = set(re.findall(r"\]\((docs/[^)#]+)\)", (ROOT / "README.md").read_text()))
    assert linked == {f"docs/{page.name}" for page in PAGES if page.name != "README.md"}


def test_problems_are_the_ones_listed():
    source = (ROOT / "producers/gateway/problem.c").read_text()
    sent = {(name, status) for name, status in re.findall(r'= \{"([a-z-]+)", (\d+),', source)}
    page = (ROOT / "docs/publish-over-http.md").read_text()
    listed = set()
    for status, names in re.findall(r"^\| (\d{3}) \| (`[^|]*`) \|", page, re.M):
        listed |= {(name, status) for name in re.findall(r"`([a-z-]+)`", names)}
    assert listed == sent


def test_codes_of_halts_and_dead_letters_are_the_ones_listed():
    """Each code that a live processor raises has its row in docs/operate.md, and each row its code."""
    folders = [ROOT / "processors" / name for name in ("engine", "fold", "outbox")] + [ROOT / "lib/avro"]
    source = "".join(path.read_text() for folder in folders for path in sorted(folder.glob("*.[ch]")))
    page = (ROOT / "docs/operate.md").read_text()
    for kind, title in (("HALT", "Halts"), ("DEAD_LETTER", "Dead letters")):
        raised = set(re.findall(rf'ERROR_{kind},\s*"([\w-]+)"', source)) - {"schema-incompatible"}  # a partition that waits
        section = re.search(rf"^## {title}\n(.*?)^## ", page, re.M | re.S)[1]
        rows = re.findall(r"^\| ([^|]*) \|", section, re.M)
        listed = {code for row in rows for code in re.findall(r"`([\w-]+)`", row)} - {"code"}
        assert raised and raised <= listed, f"docs/operate.md lacks {raised - listed}"
        assert [code for code in listed if f'"{code}"' not in source] == [], f"no {kind} has such a code"


def test_metrics_are_the_ones_listed():
    sources = [path.read_text() for folder in ("producers", "processors", "lib/observe") for path in (ROOT / folder).rglob("*.c")]
    name = r"(?:weir_gateway|weir_processor|weir_outbox|weir_metrics|kafka_consumergroup)_\w+"
    made = {found for text in sources for found in re.findall(rf'"({name})"', text)}
    listed = set(re.findall(rf"\b{name}", (ROOT / "docs/metrics.md").read_text()))
    assert made and listed == made


def test_the_tests_of_threats_are_there():
    page = (ROOT / "docs/threats.md").read_text()
    tests = {path.stem for folder in ("system", "unit") for path in (ROOT / "tests" / folder).glob("test_*")}
    attacks = {path.stem for path in (ROOT / "tests/hostile").glob("*.py") if "\ndef attack(" in path.read_text()}
    shown = " ".join(re.findall(r"^\| [^|]* \| [^|]* \| ([^|]*) \|$", page, re.M))
    assert set(re.findall(r"\btest_\w+", shown)) <= tests
    assert set(re.findall(r"hostile (\w+)", shown)) - {"attack"} == attacks, "each attack has its row, and each row its attack"
    options = (ROOT / "lib/base/options.def").read_text()
    named = {name for name in re.findall(r"`--([a-z-]+)`", page.partition("## What is measured")[0]) if name not in ("only", "list")}
    assert [name for name in named if f'"{name}"' not in options] == [], "options that there are"


def test_every_event_column_type_is_listed():
    """docs/write-a-processor.md names each SQL type that a column can have."""
    source = (ROOT / "lib/avro/relation.c").read_text()
    page = (ROOT / "docs/write-a-processor.md").read_text()
    types = re.findall(r'^    \[SQL_\w+\] = \{"(\w+)"', source, re.M)
    assert types and [name for name in types if f"`{name}`" not in page] == []
