# SPDX-License-Identifier: Apache-2.0
"""Cases for the oracles: writer's schema, reader's schema, and values as bytes; the same for the same seed.

Each family of cases is about some rules of the specification's schema resolution. The largest, `evolved`, takes a
made-up schema through the changes that people make (tests/system/avro_cases.py); the others aim at what chance alone
would rarely hit. Every fourth value is then damaged, for bytes that nobody should take.
"""

import copy
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
from avro_cases import PRIMITIVES, Maker, encode, encode_long, fits, kind_of, repair_defaults  # noqa: E402

VALUES = 4
LOGICAL = [
    ("bytes", {"logicalType": "decimal", "precision": 9, "scale": 2}),
    ("bytes", {"logicalType": "decimal", "precision": 4}),
    ("bytes", {"logicalType": "decimal"}),
    ("fixed", {"name": "D", "size": 4, "logicalType": "decimal", "precision": 9, "scale": 2}),
    ("fixed", {"name": "D", "size": 1, "logicalType": "decimal", "precision": 9}),
    ("string", {"logicalType": "uuid"}),
    ("fixed", {"name": "U", "size": 16, "logicalType": "uuid"}),
    ("fixed", {"name": "U", "size": 15, "logicalType": "uuid"}),
    ("fixed", {"name": "I", "size": 12, "logicalType": "duration"}),
    ("int", {"logicalType": "date"}),
    ("int", {"logicalType": "time-millis"}),
    ("int", {"logicalType": "time-micros"}),
    ("long", {"logicalType": "time-micros"}),
    ("long", {"logicalType": "timestamp-millis"}),
    ("long", {"logicalType": "timestamp-micros"}),
    ("long", {"logicalType": "timestamp-nanos"}),
    ("long", {"logicalType": "local-timestamp-millis"}),
    ("long", {"logicalType": "local-timestamp-micros"}),
    ("long", {"logicalType": "local-timestamp-nanos"}),
    ("long", {"logicalType": "of-tomorrow"}),
    ("string", {"logicalType": "date"}),
]


def record(name, *fields, **more):
    return {"type": "record", "name": name, "fields": list(fields), **more}


def field(name, schema, **more):
    return {"name": name, "type": schema, **more}


def values_of(maker, writer):
    return [encode(writer, maker.value(writer), maker.random) for _ in range(VALUES)]


def evolved(maker):
    chance = maker.random
    writer = record("Top", *(maker.field(f"f{i}", 0) for i in range(chance.randint(1, 5))))
    repair_defaults(writer)
    reader = maker.evolved(writer, 0.12)
    repair_defaults(reader)
    return writer, reader, values_of(maker, writer)


def primitives(maker):
    """A primitive read as another one, in every surrounding."""
    chance = maker.random
    types = [chance.choice(PRIMITIVES), chance.choice(PRIMITIVES)]
    where = chance.choice(["bare", "array", "map", "field", "writer's union", "reader's union", "both"])
    writer, reader = types
    if where == "array":
        writer, reader = ({"type": "array", "items": one} for one in types)
    elif where == "map":
        writer, reader = ({"type": "map", "values": one} for one in types)
    elif where == "field":
        writer, reader = (record("R", field("x", one)) for one in types)
    if where in ("writer's union", "both"):
        writer = chance.sample(PRIMITIVES, chance.randint(1, 4))
    if where in ("reader's union", "both"):
        reader = chance.sample(PRIMITIVES, chance.randint(1, 4))
    return writer, reader, values_of(maker, writer)


def recursive(maker):
    """Lists and trees whose records change."""
    chance = maker.random
    writer = record("Node", field("v", chance.choice(["int", "float", "string"])), field("next", ["null", "Node"]))
    reader = copy.deepcopy(writer)
    tree = chance.random() < 0.5
    if tree:
        for schema in writer, reader:
            schema["fields"][1]["type"] = {"type": "array", "items": "Node"}
    reader["fields"][0]["type"] = maker.evolve(reader["fields"][0]["type"], 0.3)
    if chance.random() < 0.5:
        reader["fields"].append(field("extra", ["null", "int"], default=None))
    if chance.random() < 0.3:
        reader["aliases"], reader["name"] = ["Node"], "Renamed"
        reader["fields"][1]["type"] = {"type": "array", "items": "Renamed"} if tree else ["null", "Renamed"]
    chance.shuffle(reader["fields"])

    def node(depth):
        out = encode(writer["fields"][0]["type"], maker.value(writer["fields"][0]["type"]), chance)
        if not tree:
            return out + (b"\x02" + node(depth - 1) if depth else b"\0")
        children = b"".join(node(depth - 1) for _ in range(2 if depth else 0))
        return out + (encode_long(2) + children if children else b"") + b"\0"

    return writer, reader, [node(chance.randint(0, 4 if tree else 20)) for _ in range(VALUES)]


def named(maker, name):
    kind = maker.random.choice(["record", "enum", "fixed"])
    if kind == "record":
        return record(name, field("x", maker.random.choice(["int", "string", "boolean"])))
    return {"type": kind, "name": name, **({"symbols": ["A", "B"]} if kind == "enum" else {"size": maker.random.randint(1, 2)})}


def namesakes(maker):
    """Types of one name in several namespaces, bare and in unions."""
    chance = maker.random
    writer = [{**named(maker, "N"), "namespace": space} for space in chance.sample(["a", "b", "a.b", "c"], chance.randint(1, 3))]
    reader = copy.deepcopy(writer)
    for branch in reader:
        if chance.random() < 0.2:
            branch["namespace"] = f"other{reader.index(branch)}"
    chance.shuffle(reader)
    if chance.random() < 0.3:
        reader.pop()
    reader.insert(chance.randint(0, len(reader)), "null")
    if len(writer) == 1 and chance.random() < 0.5:
        writer = writer[0]
        reader = next((branch for branch in reader if branch != "null"), reader)
    return writer, reader, values_of(maker, writer)


def aliases(maker):
    """Named types and fields under new names, with aliases in their own and in other namespaces."""
    chance = maker.random
    space = chance.choice(["", "a.b"])
    inner = {**named(maker, "Old"), "namespace": space}
    writer = record("Top", field("one", inner), field("two", ["null", "int"]), field("three", "string"))
    reader = copy.deepcopy(writer)
    renamed = reader["fields"][0]["type"]
    renamed["name"], renamed["namespace"] = "New", chance.choice([space, "c"])
    full = "Old" if not space else f"{space}.Old"
    renamed["aliases"] = chance.choice([[full], ["Older", full], ["Old"], ["x.Old"], ["Older"]])
    if chance.random() < 0.4:
        reader["fields"][0]["type"] = ["null", renamed]
    for place in reader["fields"][1:]:
        if chance.random() < 0.6:
            place["aliases"], place["name"] = chance.choice([[place["name"]], ["before", place["name"]]]), maker.name("g")
    chance.shuffle(reader["fields"])
    return writer, reader, values_of(maker, writer)


def logical(maker):
    """Every logical type, fitting or not, kept, dropped, added and changed."""
    chance = maker.random
    sides = []
    base, more = chance.choice(LOGICAL)
    for keep in (True, chance.random() < 0.6):
        if not keep:
            options = [one for one in LOGICAL if one[0] == base] + [(base, {key: more[key] for key in ("name", "size") if key in more})]
            base, more = chance.choice(options)
        sides.append({"type": base, **copy.deepcopy(more)})
    plain = {key: value for key, value in sides[0].items() if key in ("type", "name", "size")}
    bare = plain if "name" in plain else plain["type"]
    data = [encode(bare, maker.value(bare), chance) for _ in range(VALUES)]
    if chance.random() < 0.3:
        return {"type": "array", "items": sides[0]}, {"type": "array", "items": sides[1]}, [b"\x02" + one + b"\0" for one in data]
    return sides[0], sides[1], data


def defaults(maker):
    """Fields that only the reader has, nested in one another."""
    chance = maker.random
    writer = record("Top", field("i", "int"))
    reader = copy.deepcopy(writer)
    for i in range(chance.randint(1, 4)):
        schema = maker.schema(chance.randint(0, 2), None if chance.random() < 0.5 else ["record", "array", "map", "union"])
        place = field(f"d{i}", schema)
        if chance.random() < 0.95:
            place["default"] = maker.default(schema)
        reader["fields"].insert(chance.randint(0, len(reader["fields"])), place)
    repair_defaults(reader)
    return writer, reader, values_of(maker, writer)


def enums(maker):
    chance = maker.random
    symbols = [f"S{i}" for i in range(5)]
    sides = [{"type": "enum", "name": "E", "symbols": chance.sample(symbols, chance.randint(1, 5))} for _ in range(2)]
    for side in sides:
        if chance.random() < 0.4:
            side["default"] = chance.choice(side["symbols"])
    where = chance.choice(["bare", "array", "union"])
    if where == "array":
        sides = [{"type": "array", "items": side} for side in sides]
    elif where == "union":
        sides = [["null", sides[0]], [sides[1], "null"]]
    return sides[0], sides[1], values_of(maker, sides[0])


FAMILIES = {
    evolved: 12, primitives: 5, recursive: 2, namesakes: 2, aliases: 3, logical: 3, defaults: 4, enums: 2,
}  # fmt: skip


def wrapped(schema, chance):
    """The same schema with type objects around some of its type objects."""
    if isinstance(schema, list):
        return [wrapped(branch, chance) for branch in schema]
    if isinstance(schema, dict):
        schema = dict(schema)
        for key in ("items", "values"):
            if key in schema:
                schema[key] = wrapped(schema[key], chance)
        if "fields" in schema:
            schema["fields"] = [{**place, "type": wrapped(place["type"], chance)} for place in schema["fields"]]
        return {"type": schema} if chance.random() < 0.3 else schema
    return {"type": schema} if schema in PRIMITIVES and chance.random() < 0.1 else schema


def damaged(data, chance):
    data = bytearray(data)
    how = chance.choice(["cut", "longer", "changed", "changed"])
    if how == "cut" and data:
        del data[chance.randrange(len(data)) :]
    elif how == "longer" or not data:
        data.append(chance.randrange(256))
    else:
        data[chance.randrange(len(data))] = chance.choice([chance.randrange(256), chance.randrange(8), 0xFF])
    return bytes(data)


def case(seed):
    """(family, writer, reader, values)"""
    chance = random.Random(seed)
    family = chance.choices(list(FAMILIES), FAMILIES.values())[0]
    writer, reader, data = family(Maker(chance))
    writer, reader = json.loads(json.dumps([writer, reader]))
    marks = [chance.random() < 0.25 for _ in data]
    return family.__name__, writer, reader, [damaged(one, chance) if mark else one for one, mark in zip(data, marks)]


__all__ = ["case", "fits", "kind_of"]
