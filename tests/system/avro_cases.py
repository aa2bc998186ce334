# SPDX-License-Identifier: Apache-2.0
"""Made-up Avro schemas, what may become of them, and values of them: the same for the same seed.

A case is a writer's schema, a reader's schema that was evolved from it (often lawfully, sometimes not) and values. Each
change is one that people make: fields that come, go, move and are renamed, types that are widened, enums and unions that
grow and shrink, defaults of every type.
"""

import copy
import struct

PROMOTIONS = {"int": ["long", "float", "double"], "long": ["float", "double"], "float": ["double"], "string": ["bytes"], "bytes": ["string"]}
PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
LOGICAL = [
    {"type": "string", "logicalType": "uuid"},
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "int", "logicalType": "date"},
    {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
]
TEXTS = ["", "a", "hello world", "Grüße", "日本語", "🎈", "\"quoted\"\\", "line\nbreak\ttab", "x" * 300, "n\0l"]
DEPTH_MAX = 3


class Maker:
    def __init__(self, random):
        self.random = random
        self.names = 0
        self.named = {}

    def name(self, head):
        self.names += 1
        return f"{head}{self.names}"

    # schemas

    def schema(self, depth=0, kinds=None):
        kinds = kinds or (["primitive"] * 6 + ["logical"] + ["enum", "fixed"] + (["record", "array", "map", "union"] * 2 if depth < DEPTH_MAX else []))
        kind = self.random.choice(kinds)
        if kind == "primitive":
            return self.random.choice(PRIMITIVES)
        if kind == "logical":
            return copy.deepcopy(self.random.choice(LOGICAL))
        if kind == "enum":
            symbols = [f"S{i}" for i in range(self.random.randint(1, 5))]
            enum = {"type": "enum", "name": self.name("E"), "symbols": symbols}
            if self.random.random() < 0.5:
                enum["default"] = self.random.choice(symbols)
            return enum
        if kind == "fixed":
            return {"type": "fixed", "name": self.name("F"), "size": self.random.randint(1, 9)}
        if kind == "array":
            return {"type": "array", "items": self.schema(depth + 1)}
        if kind == "map":
            return {"type": "map", "values": self.schema(depth + 1)}
        if kind == "union":
            return self.union(depth)
        fields = [self.field(f"f{i}", depth) for i in range(self.random.randint(0, 5))]
        record = {"type": "record", "name": self.name("R"), "fields": fields}
        if self.random.random() < 0.3:
            record["namespace"] = "space.a"
        return record

    def union(self, depth):
        branches = []
        for _ in range(self.random.randint(1, 4)):
            branch = self.schema(depth + 1, ["primitive"] * 4 + ["enum", "fixed", "record", "array", "map"])
            if not any(kind_of(branch) == kind_of(other) and kind_of(branch) not in ("record", "enum", "fixed") for other in branches):
                branches.append(branch)
        return branches

    def field(self, name, depth):
        field = {"name": name, "type": self.schema(depth + 1)}
        if self.random.random() < 0.3:
            field["default"] = self.default(field["type"])
        return field

    # values in the form of defaults; those of unions are of the first branch

    def default(self, schema):
        kind = kind_of(schema)
        if kind == "union":
            return self.default(schema[0])
        if kind == "record":
            return {
                field["name"]: self.default(field["type"])
                for field in schema["fields"]
                if "default" not in field or self.random.random() < 0.5
            }
        if kind == "array":
            return [self.default(schema["items"]) for _ in range(self.random.randint(0, 2))]
        if kind == "map":
            return {f"k{i}": self.default(schema["values"]) for i in range(self.random.randint(0, 2))}
        if kind in ("bytes", "fixed"):
            size = schema["size"] if kind == "fixed" else self.random.randint(1, 3)
            return "".join(chr(self.random.randint(0, 255)) for _ in range(size))
        value = self.value(schema)
        if kind == "string":
            return value.replace("\0", "")  # a default that Postgres cannot hold is refused
        return value if kind != "float" else 1.5

    # values as fastavro's writer takes them; a union's is a pair of branch and value

    def value(self, schema):
        kind = kind_of(schema)
        random = self.random
        if kind == "null":
            return None
        if kind == "boolean":
            return random.random() < 0.5
        if kind in ("int", "long"):
            if isinstance(schema, dict):
                return random.randint(0, 20_000)
            bits = 31 if kind == "int" else 63
            return random.choice([0, -1, 1, 63, -64, 2**bits - 1, -(2**bits), random.randint(-1000, 1000)])
        if kind in ("float", "double"):
            return random.choice([0.0, 1.0, -2.5, 0.1, 1e10, 1.25e-5])
        if kind == "bytes":
            size = random.randint(1, 3) if isinstance(schema, dict) else random.randint(0, 6)  # of a decimal of nine digits
            return bytes(random.choice([random.randint(0, 255), 65]) for _ in range(size))
        if kind == "string":
            if isinstance(schema, dict) and schema.get("logicalType") == "uuid":
                return f"{random.getrandbits(128):032x}"[:8] + "-1111-4222-8333-" + f"{random.getrandbits(48):012x}"
            return random.choice(TEXTS)
        if kind == "enum":
            return random.choice(schema["symbols"])
        if kind == "fixed":
            return bytes(random.randint(0, 255) for _ in range(schema["size"]))
        if kind == "array":
            return [self.value(schema["items"]) for _ in range(random.randint(0, 3))]
        if kind == "map":
            return {f"k{i}": self.value(schema["values"]) for i in range(random.randint(0, 3))}
        if kind == "union":
            branch = random.randrange(len(schema))
            return (branch, self.value(schema[branch]))
        return {field["name"]: self.value(field["type"]) for field in schema["fields"]}

    # changes

    def evolved(self, schema, chance):
        """A copy of the schema in which some places have changed."""
        return self.evolve(copy.deepcopy(schema), chance)

    def evolve(self, schema, chance):
        random = self.random
        kind = kind_of(schema)
        hit = random.random() < chance
        if hit and kind in PROMOTIONS and isinstance(schema, str):
            return random.choice(PROMOTIONS[kind])
        if hit and random.random() < 0.2 and kind != "union":
            other = self.schema(DEPTH_MAX)
            return other if random.random() < 0.5 else self.schema(DEPTH_MAX, ["primitive"])
        if hit and kind not in ("union", "null") and random.random() < 0.6:
            union = ["null", self.evolve(schema, chance)]
            if kind_of(union[1]) not in ("union", "null"):
                return random.choice([union, union[::-1]])
            return union[1]
        if kind == "record":
            self.evolve_record(schema, chance)
        elif kind == "enum" and hit:
            self.evolve_enum(schema)
        elif kind == "fixed" and hit:
            schema["size"] += 1
        elif kind == "array":
            schema["items"] = self.evolve(schema["items"], chance)
        elif kind == "map":
            schema["values"] = self.evolve(schema["values"], chance)
        elif kind == "union":
            return self.evolve_union(schema, chance)
        if hit and kind in ("record", "enum", "fixed") and random.random() < 0.3:
            schema["aliases"] = [schema["name"]]
            schema["name"] = self.name(schema["name"][0])
        return schema

    def evolve_record(self, schema, chance):
        random = self.random
        fields = schema["fields"]
        for field in fields:
            before = field["type"]
            field["type"] = self.evolve(before, chance)
            if "default" in field and field["type"] != before:
                field["default"] = self.default(field["type"])
            if random.random() < chance / 2:
                field["aliases"] = [field["name"]]
                field["name"] = self.name("g")
        if fields and random.random() < chance:
            fields.pop(random.randrange(len(fields)))
        if random.random() < chance:
            random.shuffle(fields)
        if random.random() < chance * 2:
            field = self.field(self.name("n"), 1)
            if random.random() < 0.9:
                field["default"] = self.default(field["type"])
            fields.insert(random.randint(0, len(fields)), field)

    def evolve_enum(self, schema):
        symbols = schema["symbols"]
        what = self.random.choice(["add", "remove", "shuffle"])
        if what == "add":
            symbols.append(f"S{len(symbols)}")
        elif what == "remove" and len(symbols) > 1:
            symbols.pop(self.random.randrange(len(symbols)))
            if schema.get("default") not in symbols:
                schema.pop("default", None)
        self.random.shuffle(symbols)

    def evolve_union(self, schema, chance):
        random = self.random
        branches = [branch if kind_of(branch) in PRIMITIVES else self.evolve(branch, chance / 2) for branch in schema]
        branches = [branch for branch in branches if kind_of(branch) != "union"]
        kept = []
        for branch in branches:
            if not any(kind_of(branch) == kind_of(other) and kind_of(branch) not in ("record", "enum", "fixed") for other in kept):
                kept.append(branch)
        if len(kept) > 1 and random.random() < chance:
            kept.pop(random.randrange(len(kept)))
        if random.random() < chance:
            random.shuffle(kept)
        if random.random() < chance:
            extra = random.choice(PRIMITIVES)
            if extra not in [kind_of(branch) for branch in kept]:
                kept.append(extra)
        if len(kept) == 1 and random.random() < 0.5:
            return kept[0]
        return kept or ["null"]


def kind_of(schema):
    if isinstance(schema, list):
        return "union"
    return schema["type"] if isinstance(schema, dict) else schema


def repair_defaults(schema):
    """Drops the defaults that no longer fit after what is inside of the field's type changed."""
    if isinstance(schema, list):
        for branch in schema:
            repair_defaults(branch)
    elif isinstance(schema, dict):
        for key in ("items", "values"):
            if key in schema:
                repair_defaults(schema[key])
        for field in schema.get("fields", []):
            repair_defaults(field["type"])
            if "default" in field and not fits(field["type"], field["default"]):
                del field["default"]


def fits(schema, value):
    kind = kind_of(schema)
    if kind == "union":
        return fits(schema[0], value)
    if kind == "null":
        return value is None
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("int", "long"):
        return isinstance(value, int) and not isinstance(value, bool) and (kind == "long" or -(2**31) <= value < 2**31)
    if kind in ("float", "double"):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str) and "\0" not in value
    if kind == "bytes":
        return isinstance(value, str) and all(ord(c) < 256 for c in value)
    if kind == "fixed":
        return isinstance(value, str) and all(ord(c) < 256 for c in value) and len(value) == schema["size"]
    if kind == "enum":
        return value in schema["symbols"]
    if kind == "array":
        return isinstance(value, list) and all(fits(schema["items"], item) for item in value)
    if kind == "map":
        return isinstance(value, dict) and all(fits(schema["values"], item) for item in value.values())
    if not isinstance(value, dict) or set(value) - {field["name"] for field in schema["fields"]}:
        return False
    return all(
        fits(field["type"], value[field["name"]]) if field["name"] in value else "default" in field for field in schema["fields"]
    )


# Avro's binary encoding, written out here so that the oracle is not asked about its own writer.


def encode_long(value):
    rest = (value << 1) ^ (value >> 63)
    rest &= (1 << 64) - 1
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def encode(schema, value, random):
    kind = kind_of(schema)
    if kind == "null":
        return b""
    if kind == "boolean":
        return bytes([value])
    if kind in ("int", "long"):
        return encode_long(value)
    if kind in ("float", "double"):
        return struct.pack("<f" if kind == "float" else "<d", value)
    if kind in ("bytes", "string"):
        data = value.encode() if kind == "string" else value
        return encode_long(len(data)) + data
    if kind == "fixed":
        return value
    if kind == "enum":
        return encode_long(schema["symbols"].index(value))
    if kind == "union":
        return encode_long(value[0]) + encode(schema[value[0]], value[1], random)
    if kind == "record":
        return b"".join(encode(field["type"], value[field["name"]], random) for field in schema["fields"])
    items = list(value.items()) if kind == "map" else value
    out = b""
    while items:
        # blocks of any size, half of them with their size in bytes before them
        count = random.randint(1, len(items))
        block, items = items[:count], items[count:]
        body = b"".join(
            encode("string", item[0], random) + encode(schema["values"], item[1], random) if kind == "map" else encode(schema["items"], item, random)
            for item in block
        )
        out += encode_long(-count) + encode_long(len(body)) + body if random.random() < 0.5 else encode_long(count) + body
    return out + b"\0"
