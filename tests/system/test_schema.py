# SPDX-License-Identifier: Apache-2.0
"""weir schema, on schemas that are made up here. Only what says so needs a database; nothing needs a broker.

`decode` is held against fastavro: the same writer, reader and bytes must give the same value or both an error. Where
fastavro and the specification (Avro 1.11/1.12, Schema Resolution) part, the table below says so, and the case counts as
explained; an unexplained one fails.

 where                    fastavro 1.13                       Weir, and why
 default of bytes, fixed  the text as it stands               bytes: "default values for bytes and fixed are JSON strings,
                                                              where code points 0-255 are mapped to bytes"
 default of a record      as it stands                        fields that it leaves out take their own defaults, as in Java
 default, logical type    the bare number or text             the same value as if it had been sent
 reader's union           the first branch that can take      the branch of the very same type first, as Java does: else a
                          the value at all                    value of ["string", "bytes"] would change its type in between
 when it is refused       when a value needs it               when the pair is compiled: an incompatible field is an error
                                                              although this value never reaches it
 text that is no UTF-8    replaced or kept in some paths      always an error: "string: a sequence of Unicode characters"
"""

import base64
import datetime
import decimal
import io
import json
import math
import random
import re
import subprocess
import uuid

import fastavro
import pytest

import avro_cases
from harness import ROOT

WEIR = ROOT / "build/weir"
SEEDS = 150
VALUES = 4


def weir(*words, cwd=ROOT, data=b"", env=None):
    done = subprocess.run([WEIR, "schema", *map(str, words)], input=data, capture_output=True, cwd=cwd, env=env, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


# The oracle


def plain(schema, value):
    """A value of fastavro's as Weir's plain JSON. Bare texts and numbers of defaults are given their types here."""
    kind = avro_cases.kind_of(schema)
    logical = schema.get("logicalType") if isinstance(schema, dict) else None
    if kind == "union":
        branch = next((branch for branch in schema if belongs(branch, value)), None)
        if branch is None and isinstance(value, str) and avro_cases.kind_of(schema[0]) in ("bytes", "fixed"):
            branch = schema[0]  # a default, which is of the first branch
        return plain(branch, value) if branch is not None else value
    if logical is None:
        value = without_logical(value)
    if kind in ("bytes", "fixed"):
        if isinstance(value, str):
            value = value.encode("latin-1")
        if logical == "decimal":
            if isinstance(value, bytes):
                value = decimal.Decimal(int.from_bytes(value, "big", signed=True)).scaleb(-schema["scale"])
            return f"{value:.{schema['scale']}f}"
        return base64.b64encode(value).decode()
    if logical == "timestamp-micros":
        if isinstance(value, int):
            value = EPOCH + datetime.timedelta(microseconds=value)
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if logical == "date":
        if isinstance(value, int):
            value = EPOCH.date() + datetime.timedelta(days=value)
        return value.isoformat()
    if kind == "array":
        return [plain(schema["items"], item) for item in value]
    if kind == "map":
        return {key: plain(schema["values"], item) for key, item in value.items()}
    if kind == "record":
        return {
            field["name"]: plain(field["type"], value[field["name"]] if field["name"] in value else field["default"])
            for field in schema["fields"]
        }
    return str(value) if isinstance(value, uuid.UUID) else value


EPOCH = datetime.datetime(1970, 1, 1)


def without_logical(value):
    """What the writer's logical type made of a number or text, back: a reader that has none sees the bare value."""
    if isinstance(value, datetime.datetime):
        return (value.replace(tzinfo=None) - EPOCH) // datetime.timedelta(microseconds=1)
    if isinstance(value, datetime.date):
        return (value - EPOCH.date()).days
    if isinstance(value, decimal.Decimal):
        unscaled = int(value.scaleb(2))
        return unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)
    return value


def belongs(schema, value):
    kind = avro_cases.kind_of(schema)
    if kind == "union":
        return any(belongs(branch, value) for branch in schema)
    logical = schema.get("logicalType") if isinstance(schema, dict) else None
    made = {datetime.datetime: "timestamp-micros", datetime.date: "date", decimal.Decimal: "decimal"}.get(type(value))
    if made:
        return logical == made or (logical is None and belongs(schema, without_logical(value)))
    types = {
        "null": type(None), "boolean": bool, "int": int, "long": int, "float": float, "double": float, "bytes": bytes,
        "fixed": bytes, "string": (str, uuid.UUID), "array": list, "map": dict, "record": dict,
    }
    if kind == "record":
        needed = {field["name"] for field in schema["fields"] if "default" not in field}
        return isinstance(value, dict) and needed <= set(value) <= {field["name"] for field in schema["fields"]}
    if kind == "map":
        return isinstance(value, dict) and all(belongs(schema["values"], item) for item in value.values())
    if kind == "enum":
        return value in schema["symbols"]
    if kind in ("int", "long", "float", "double") and isinstance(value, bool):
        return False
    return isinstance(value, types[kind])


def same(left, right):
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return math.isclose(left, right, rel_tol=1e-6)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right


def unions(schema):
    if isinstance(schema, list):
        yield schema
        for branch in schema:
            yield from unions(branch)
    elif isinstance(schema, dict):
        for key in ("items", "values"):
            if key in schema:
                yield from unions(schema[key])
        for field in schema.get("fields", []):
            yield from unions(field["type"])


def takes_either(reader):
    """Whether a union of the reader has a branch that could also take a value of another of its branches."""
    for union in unions(reader):
        kinds = [avro_cases.kind_of(branch) for branch in union]
        if any(other in avro_cases.PROMOTIONS.get(kind, []) for kind in kinds for other in kinds):
            return True
        if any(kinds.count(kind) > 1 for kind in kinds):
            return True
    return False


def explanation(reader, expected, got):
    if isinstance(expected, Exception):
        if isinstance(got, str):
            return "both refuse"
        return "reader's union" if takes_either(reader) else None
    if isinstance(got, str):
        return "refused early" if re.search(r"cannot be read as|no default|logical type|a decimal|in common|can be read", got) else None
    if same(expected, got):
        return "equal"
    return "reader's union" if takes_either(reader) else None


def case(seed):
    chance = random.Random(seed)
    maker = avro_cases.Maker(chance)
    writer = {"type": "record", "name": "Top", "fields": [maker.field(f"f{i}", 0) for i in range(chance.randint(1, 5))]}
    writer["fields"].append({"name": "last", "type": "long"})  # so that no value is empty
    avro_cases.repair_defaults(writer)
    reader = maker.evolved(writer, 0.18)
    avro_cases.repair_defaults(reader)
    data = [avro_cases.encode(writer, maker.value(writer), chance) for _ in range(VALUES)]
    return writer, reader, data


def decode_all(folder, writer, reader, data):
    """What `weir schema decode` makes of each value: JSON, or the message that refuses it."""
    (folder / "w.avsc").write_text(json.dumps(writer))
    (folder / "r.avsc").write_text(json.dumps(reader))
    files = ["--writer", folder / "w.avsc", "--reader", folder / "r.avsc"]
    code, out, _ = weir("decode", *files, data=b"".join(data))
    if code == 0:
        return [json.loads(line) for line in out.splitlines()]
    results = []
    for value in data:
        code, out, err = weir("decode", *files, data=value)
        assert code in (0, 1), err
        results.append(json.loads(out) if code == 0 else err)
    return results


def ask_oracle(value, writer, reader):
    try:
        return plain(reader, fastavro.schemaless_reader(io.BytesIO(value), writer, reader))
    except Exception as refusal:  # it raises whatever it meets
        return refusal


@pytest.mark.parametrize("first", range(0, SEEDS, 25))
def test_decode_agrees_with_fastavro(tmp_path, first):
    counts = {}
    for seed in range(first, first + 25):
        writer, reader, data = case(seed)
        results = decode_all(tmp_path, writer, reader, data)
        assert len(results) == len(data)
        for value, got in zip(data, results):
            expected = ask_oracle(value, writer, reader)
            why = explanation(reader, expected, got)
            assert why, f"seed {seed}\nwriter {json.dumps(writer)}\nreader {json.dumps(reader)}\nfastavro {expected!r}\nweir     {got!r}"
            counts[why] = counts.get(why, 0) + 1
    assert counts["equal"] > 25 * VALUES / 3, counts
    assert counts.get("reader's union", 0) + counts.get("refused early", 0) < 25 * VALUES / 4, counts


# decode, by itself

RECORD = {
    "type": "record", "name": "R", "namespace": "n", "fields": [
        {"name": "id", "type": "int"},
        {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
            {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
            {"name": "note", "type": ["null", "string", {"type": "map", "values": "bytes"}]},
        ]}}},
    ],
}  # fmt: skip
GOOD = b"\x02" + b"\x04" + b"\x00\x00" + b"\x02\x02\x04hi" + b"\x00"


def put(folder, name, schema):
    (folder / name).write_text(json.dumps(schema))
    return folder / name


def test_decode_lines(tmp_path):
    writer = put(tmp_path, "w", RECORD)
    line = '{"id":1,"lines":[{"kind":"A","note":null},{"kind":"B","note":"hi"}]}\n'
    assert weir("decode", "--writer", writer, data=GOOD * 3) == (0, line * 3, "")
    assert weir("decode", "--writer", writer, data=b"") == (0, "", "")


def test_decode_as_avro_json(tmp_path):
    writer = put(tmp_path, "w", RECORD)
    mapped = b"\x00\x02\x00\x04" + b"\x02\x02k\x04\xff\x00" + b"\x00" + b"\x00"
    code, out, _ = weir("decode", "--writer", writer, "--avro-json", data=GOOD + mapped)
    assert code == 0
    assert [json.loads(line)["lines"] for line in out.splitlines()] == [
        [{"kind": "A", "note": None}, {"kind": "B", "note": {"string": "hi"}}],
        [{"kind": "A", "note": {"map": {"k": "\xff\0"}}}],
    ]


@pytest.mark.parametrize(
    "data, words",
    [
        (GOOD[:3], "value 1: lines[0].note, byte 3: the bytes end inside a number"),
        (GOOD + GOOD[:-2], "value 2: lines[1].note, byte 15: a size is larger than what is left"),
        (GOOD + b"\x02\x02\x06", "value 2: lines[0].kind, byte 12: an index is out of range"),
        (b"\x02\x02\x00\x02\x04\xc0\x80", "lines[0].note, byte 3: a text is not valid UTF-8"),
        (b"\xff" * 11, "id, byte 0: a number is longer than 64 bits"),
        (b"\x02\xfe\xff\xff\xff\xff\xff\xff\xff\x7f", "lines, byte 1: there are too many items"),
    ],
)
def test_decode_names_path_byte_and_reason(tmp_path, data, words):
    writer = put(tmp_path, "w", RECORD)
    code, out, err = weir("decode", "--writer", writer, data=data)
    assert code == 1 and words in err, err
    assert len(out.splitlines()) == data.count(GOOD)


def test_decode_refuses_what_cannot_be_read(tmp_path):
    writer = put(tmp_path, "w", RECORD)
    reader = json.loads(json.dumps(RECORD))
    reader["fields"][1]["type"]["items"]["fields"][0]["type"] = "int"
    code, out, err = weir("decode", "--writer", writer, "--reader", put(tmp_path, "r", reader), data=GOOD)
    assert (code, out) == (1, "") and "R.lines[].kind: the writer's enum Kind cannot be read as int" in err
    assert weir("decode", "--writer", put(tmp_path, "x", "nonsense"))[0] == 2
    assert weir("decode", "--writer", tmp_path / "missing")[0] == 2
    assert weir("decode")[0] == 2
    code, _, err = weir("decode", "--writer", put(tmp_path, "null", "null"), data=b"\x00")
    assert code == 2 and "take no bytes" in err


def test_decode_takes_what_avro_allows(tmp_path):
    """A default of any branch; text with U+0000; of two unions what fits."""
    fields = [
        {"name": "b", "type": ["null", "string"], "default": "x"},
        {"name": "c", "type": [{"type": "array", "items": "int"}, "double"], "default": 1.5},
    ]
    old = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]}
    writer, reader = put(tmp_path, "w", old), put(tmp_path, "r", {**old, "fields": old["fields"] + fields})
    code, out, err = weir("decode", "--writer", writer, "--reader", reader, data=b"\x06a\0b")
    assert (code, err) == (0, "") and out == '{"a":"a\\u0000b","b":"x","c":1.5}\n'
    code, out, err = weir("decode", "--writer", writer, "--avro-json", data=b"\x06a\0b")
    assert (code, json.loads(out), err) == (0, {"a": "a\0b"}, "")
    other = {**old, "fields": [{"name": "a", "type": "int"}]}
    writer, reader = put(tmp_path, "w", ["null", old]), put(tmp_path, "r", ["null", other])
    code, out, err = weir("decode", "--writer", writer, "--reader", reader, data=b"\0\0\x02\x02a")
    assert (code, out) == (1, "null\n" * 2)
    assert "value 3: byte 2: the writer's record R does not fit: value.a: the writer's string cannot be read as int" in err, err


# list, show, diff


def test_list_and_show_of_the_whole_catalog():
    code, out, _ = weir("list", "-o", "json")
    events = {event["event"]: event for event in json.loads(out)}
    lock = [line.split() for line in (ROOT / "schemas/catalog.lock").read_text().splitlines()]
    listed = [
        (version["id"], version["sha256"], f"{event['domain']}/{name}/{version['version']}")
        for name, event in events.items()
        for version in event["versions"]
    ]
    assert code == 0 and sorted(listed) == sorted((int(number), sha256, path) for number, sha256, path in lock)
    for number, _, path in lock:
        _, name, version = path.split("/")
        assert weir("show", f"{name}/{version}", "-o", "json")[1] == (ROOT / f"schemas/{path}.avsc").read_text()
        text = weir("show", f"{name}/{version}")[1]
        schema = json.loads((ROOT / f"schemas/{path}.avsc").read_text())
        assert schema["doc"] in text and all(field["doc"] in text for field in schema["fields"]) and number in text
    code, out, _ = weir("list")
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(events)


def test_diff_in_words():
    code, out, _ = weir("diff", "ProductPurchased", "1", "2", "-o", "json")
    changes = json.loads(out)["changes"]
    assert code == 0
    assert [(change["change"], change["path"]) for change in changes] == [("added", "channel"), ("added", "stream_id")]
    assert changes[1]["text"] == "null or string (uuid), default null"
    _, back, _ = weir("diff", "ProductPurchased", "2", "1")
    assert re.search(r"removed +channel +was enum Channel", back)


@pytest.mark.parametrize("words", [["show", "Nothing"], ["show", "ProductPurchased/9"], ["diff", "ProductPurchased", "1", "x"], ["show"], ["nonsense"], []])
def test_wrong_usage(words):
    code, out, err = weir(*words)
    assert code == 2 and out == "" and err
