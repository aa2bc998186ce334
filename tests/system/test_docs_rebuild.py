# SPDX-License-Identifier: Apache-2.0
"""docs/rebuild.md does what it says."""

from harness import ROOT
from test_docs import ports, shell  # noqa: F401


def test_a_processor_is_rebuilt(shell, fresh):  # noqa: F811
    sections = shell.follow(ROOT / "docs/rebuild.md")
    printed = "".join(text for (page, _), text in sections.items())
    assert printed.count("against the live generation: equal") == 3
    assert "generation 2 is live" in printed and "generation 1 is live" in printed and "1 previous generation dropped" in printed
    fresh.wait_drained()
