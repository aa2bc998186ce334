# SPDX-License-Identifier: Apache-2.0
"""The fixtures of the system tests: one real Kafka, one real Postgres, and the program that the build left.

stack   for the whole run: broker, database, schema and topics are there. Ask it to start what the test needs.
fresh   the same, with an empty database and empty topics for the module, for tests that count everything.

Whatever a module started is ended with it. No test sleeps for a fixed time: it waits for a condition with a deadline.
"""

import os

import pytest

from harness import REPORTS, Stack

STACK = Stack()
# for tests that start things themselves
for name in ("WEIR_STATE", "WEIR_KAFKA_PORT", "WEIR_PG_PORT", "WEIR_KAFKA_BROKERS", "WEIR_DATABASE"):
    os.environ[name] = STACK.env[name]


@pytest.fixture(scope="session", autouse=True)
def whole_stack():
    stack = STACK
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def module_stack(whole_stack):
    whole_stack.heal()
    yield whole_stack
    whole_stack.end_all()


@pytest.fixture
def stack(module_stack):
    return module_stack


@pytest.fixture(scope="module")
def fresh(module_stack):
    module_stack.reset()
    yield module_stack
    module_stack.end_all()
    module_stack.dirty = True


def pytest_terminal_summary(terminalreporter):
    for line in REPORTS:
        terminalreporter.write_line(line)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of the logs of whatever ran during it."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for name in ("stack", "fresh"):
            stack = item.funcargs.get(name)
            if stack is not None:
                report.sections.append(("logs", stack.logs_tail()))
                break
