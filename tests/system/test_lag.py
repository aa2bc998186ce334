# SPDX-License-Identifier: Apache-2.0
"""The lag that an instance shows: right while Postgres is away, and of the partitions that it has, no others."""

import re

import requests

from harness import ANSWER_S, PARTITIONS, wait_until
from test_engine import ELSEWHERE, TOPIC, engine, reactions  # noqa: F401

LAG = "kafka_consumergroup_lag"


def partitions_shown(process):
    text = requests.get(process.url + "/metrics", timeout=ANSWER_S).text
    return sorted(int(number) for number in re.findall(rf'^{LAG}{{.*topic="{TOPIC}",partition="(\d+)"}}', text, re.M))


def test_lag_grows_while_postgres_is_away(engine):  # noqa: F811
    process = engine.start()
    engine.stack.produce(reactions("a", "b", "c"))
    engine.wait_rows("a", "b", "c")
    wait_until(lambda: len(partitions_shown(process)) == PARTITIONS and process.metric(LAG) == 0, 60, "lag 0 is shown")
    engine.stack.postgres("stop")
    try:
        engine.stack.produce(reactions("d", "e"))
        process.wait_metric(2, LAG)
        engine.stack.produce(reactions("f", space=ELSEWHERE))  # where nothing was before
        process.wait_metric(3, LAG)
    finally:
        engine.stack.postgres("start")
    engine.wait_rows("a", "b", "c", "d", "e", "f")
    wait_until(lambda: process.metric(LAG) == 0, 60, "lag 0 is shown again")


def test_lag_of_partitions_that_went_to_another_instance_is_gone(engine):  # noqa: F811
    everything = list(range(PARTITIONS))
    first = engine.start()
    engine.stack.produce(reactions("a"))
    wait_until(lambda: partitions_shown(first) == everything, 60, lambda: f"all are shown: {partitions_shown(first)}")
    second = engine.start()

    def shared():
        shown = partitions_shown(first), partitions_shown(second)
        return all(shown) and sorted(shown[0] + shown[1]) == everything

    wait_until(shared, 60, lambda: f"each is shown once: {partitions_shown(first)}, {partitions_shown(second)}")
    assert second.term() == 0
    wait_until(lambda: partitions_shown(first) == everything, 60, "all are back")
