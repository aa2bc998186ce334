# SPDX-License-Identifier: Apache-2.0
"""docs/evolve-an-event.md does what it says, on a database of its own: its new version and the event of
docs/first-event.md would both take the next schema id."""

from harness import ROOT
from test_docs import ports, shell  # noqa: F401


def test_event_evolves_while_everything_runs(shell, fresh):  # noqa: F811
    shell.follow(ROOT / "docs/evolve-an-event.md")
    fresh.wait_drained()
