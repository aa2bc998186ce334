# SPDX-License-Identifier: Apache-2.0
"""Values at and around each limit of an event, made from its schema alone.

`whole` makes an event in which everything is there, and `variants` changes one value of it at a time: to what the limits
just take, and to what they just refuse, with the pointer at which it has to be said.
"""

import copy
import itertools
import math
import random
import re

from events import limits_of

FAR = 6000  # characters that no key of an index can take
DAY_US = 86_400_000_000
FIRST_DAY, LAST_DAY = -719162, 2932896  # 0001-01-01 and 9999-12-31, which dates and times have by themselves
BOUNDS = {
    "int": (-(2**31), 2**31 - 1),
    "long": (-(2**63), 2**63 - 1),
    "date": (FIRST_DAY, LAST_DAY),
    "timestamp-micros": (FIRST_DAY * DAY_US, (LAST_DAY + 1) * DAY_US - 1),
}
UUIDS = ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]


def noise(length):
    """Characters of four bytes, as many as one of UTF-8 can have, that nothing makes shorter: not even an index."""
    return "".join(map(chr, random.Random(length).choices(range(0x20000, 0x2A6D0), k=length)))


class Node:
    """One place in a schema: its type, the limits that are said of it, and what is inside."""

    def __init__(self, schema, named, limits=None, name=""):
        self.name, self.named, self.nullable = name, named, False
        if isinstance(schema, list):
            self.nullable = "null" in schema
            [schema] = [branch for branch in schema if branch != "null"]
        schema = named.get(schema, schema) if isinstance(schema, str) else schema
        schema = {"type": schema} if isinstance(schema, str) else schema
        self.schema = {**schema, **(limits or {})}
        self.kind = schema.get("logicalType", schema["type"])

    def fields(self):
        return [Node(f["type"], self.named, limits_of(f), f["name"]) for f in self.schema["fields"]]

    def inside(self):
        return Node(self.schema.get("items", self.schema.get("values")), self.named, None, self.name)

    def limit(self, name):
        return self.schema.get(name)

    def bounds(self):
        least, most = BOUNDS.get(self.kind, (-math.inf, math.inf))
        return max(least, self.schema.get("x-minimum", least)), min(most, self.schema.get("x-maximum", most))

    # Values

    def texts(self):
        """(what is taken, what is refused) of a text, or of a key of a map."""
        length, pattern = self.limit("x-length-max"), self.limit("x-pattern")
        made = [c * n for c in ("A", "a", "0", " ", '"\\\n') for n in {0, 1, length - 1, length}]
        made += [noise(length - 1), noise(length)]
        short = [text for text in made if len(text) <= length]
        taken = [text for text in short if not pattern or re.search(pattern, text)]
        assert taken, f"nothing that was thought of matches {pattern}"
        refused = [text for text in short if text not in taken]
        longer = ["A" * (length + 1), noise(length + 1), noise(max(FAR, length + 1))]
        # every length once, and the largest of all in bytes last
        return sorted(set(taken), key=lambda text: (len(text), len(text.encode()))), refused + longer

    def numbers(self):
        least, most = self.bounds()
        if self.kind in ("double", "float"):
            return [least, most], [math.nextafter(least, -math.inf), math.nextafter(most, math.inf), -1e308, 1e308]
        ends = BOUNDS[self.schema["type"]]
        beyond = [n for n in (least - 1, most + 1, *ends) if not least <= n <= most]
        return [least, min(max(least, 0), most), most], beyond

    def values(self):
        """(what is taken, what is refused at the value itself) of a node that holds no others."""
        if self.kind == "uuid":
            return UUIDS, ["", UUIDS[0] + "0"]
        if self.kind == "enum":
            return self.schema["symbols"], ["", "A" * FAR]
        if self.kind == "boolean":
            return [True, False], [2]
        if self.kind == "string":
            return self.texts()
        return self.numbers()

    def whole(self, most=False):
        """A value with everything in it: the first that is taken, or the largest."""
        if self.kind == "record":
            return {field.name: field.whole(most) for field in self.fields()}
        if self.kind == "array":
            return [self.inside().whole(most)] * (self.limit("x-items-max") if most else 1)
        if self.kind == "map":
            return {key: self.inside().whole(most) for key in self.keys(self.limit("x-items-max") if most else 1, most)}
        return self.values()[0][-1 if most else 0]

    def keys(self, count, longest=False):
        length = self.limit("x-length-max")
        return [f"{number:03}" + (noise(length - 3) if longest else "") for number in range(count)]

    def variants(self, pointer=""):
        """(value of this node, whether it is taken, the pointer of the fault) of each change of one value."""
        if self.nullable:
            yield None, True, None
        if self.kind == "record":
            whole = self.whole()
            for field in self.fields():
                for value, taken, where in field.variants(f"{pointer}/{field.name}"):
                    yield {**whole, field.name: value}, taken, where
        elif self.kind == "array":
            item, most = self.inside(), self.limit("x-items-max")
            for count in {0, 1, most}:
                yield [item.whole()] * count, True, None
            yield [item.whole()] * (most + 1), False, pointer
            for value, taken, where in item.variants(f"{pointer}/1"):
                yield [item.whole(), value], taken, where
        elif self.kind == "map":
            item, most, length = self.inside(), self.limit("x-items-max"), self.limit("x-length-max")
            for count in {0, 1, most}:
                yield dict.fromkeys(self.keys(count), item.whole()), True, None
            yield dict.fromkeys(self.keys(most + 1), item.whole()), False, pointer
            for key in self.texts()[0]:
                yield {key: item.whole()}, True, None
            for key in ("A" * (length + 1), noise(length + 1)):
                yield {key: item.whole()}, False, pointer
            for value, taken, where in item.variants(f"{pointer}/key"):
                yield {"key": value}, taken, where
        else:
            taken, refused = self.values()
            yield from ((value, True, None) for value in taken)
            yield from ((value, False, pointer) for value in refused)


def event_node(version):
    """The node of an event without its envelope."""
    return Node({"type": "record", "fields": version.fields}, version.named)


def envelope_variants(version):
    """Of what a client may say in the envelope and has a limit."""
    [actor] = [n for n in Node(version.definition["fields"][0]["type"], version.named).fields() if n.name == "actor"]
    for value, taken, where in actor.variants("/meta/actor"):
        yield {"actor": value}, taken, where


def bodies(version, again=3):
    """(body, whether it is taken, the pointer of its fault) of each variant; the largest of all several times."""
    node = event_node(version)
    whole = node.whole()
    for body, taken, where in node.variants():
        yield copy.deepcopy(body), taken, where
    for meta, taken, where in envelope_variants(version):
        yield {**whole, "meta": meta}, taken, where
    yield from itertools.repeat((node.whole(most=True), True, None), again)
