# SPDX-License-Identifier: Apache-2.0
"""unknown schema id: a record whose schema nobody has recorded holds its partition, says where, and is skipped by command line

The other partitions flow, and `weir processor skip` makes the record a dead letter of each processor.
"""

import re

import events
from harness import wait_until
from target import FORSAKEN

UNKNOWN = (b"\0" + (900_000).to_bytes(4, "big")) + b"nothing"


def attack(target, seconds):
    key = target.space_in(FORSAKEN).encode()
    places = target.send_records([("weir.commerce", None, key, UNKNOWN, [])])
    target.unknown = "%s/%d/%d" % (places[0][0].removeprefix("weir."), *places[0][1:])
    waiting = lambda: target.processors.metric("weir_processor_waiting_partitions") >= len(events.PROCESSORS)
    wait_until(waiting, 60, "each processor waits")
    return {"record": target.unknown}


def after(target):
    topic, partition, offset = target.unknown.split("/")
    told = target.run("position", check=False).stdout
    listed = target.run("processor", "list", check=False).stdout
    names = rf"{topic}\b.*\b{partition}\b.*\b{offset}\b"
    facts = {"position says where": bool(re.search(names, told)), "processor list says where": bool(re.search(names, listed))}
    for processor in events.PROCESSORS:
        target.run("processor", "skip", processor, target.unknown, "--reason", "an attack", "--yes")
    target.wait_drained()
    facts["set aside"] = target.set_aside()
    target.discard_all()
    return facts
