# SPDX-License-Identifier: Apache-2.0
"""Holds Weir's reading of Avro against Apache Avro for Java and fastavro, over thousands of made-up cases, in TAP.

    compare.py [--cases N] [--first SEED] [--java CLASSPATH] DECODE

DECODE is the program built of decode.c. A value on which all agree counts as equal, or refused. Any other value must
be a case of one of the headings of disagreements.md, by the tests in `explain_…` below; the first that is not is shown
and fails the test, as does a heading under which nothing fell, so that the list stays true.
"""

import argparse
import collections
import io
import json
import re
import resource
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fastavro
from generate import case, kind_of

HERE = Path(__file__).resolve().parent
SHOWN = 5
MEMORY_MAX = 4 << 30  # of each of the three: hostile bytes must not take the machine with them
CHECKS = [  # what Weir says of bytes that others take or pass over
    ("not valid UTF-8", "text"),
    ("neither 0 nor 1", "boolean"),
    ("int is out of range", "varint"),
    ("int is longer", "varint"),
    ("longer than 64 bits", "varint"),
    ("size of a block", "block size"),
    ("an index is out of range", "skipped fields"),
    ("a size is", "skipped fields"),
    ("the bytes end inside", "skipped fields"),
    ("too many items", "limits"),
    ("nested too deeply", "limits"),
]


# The answers, as lists of {"json": value} or {"error": text}


def is_bomb(mine):
    """A few bytes that say "a billion nulls": the others would make them all, in gigabytes and minutes."""
    return "too many items" in mine.get("error", "")


def ask(command, cases, answers=None):
    """Without the bombs among the values, if `answers`, which are Weir's, tell them."""
    lines = ""
    for index, one in enumerate(cases):
        mine = of_each(answers[index], len(one[3])) if answers else [{}] * len(one[3])
        data = [None if is_bomb(value) else data.hex() for value, data in zip(mine, one[3])]
        lines += json.dumps({"writer": one[1], "reader": one[2], "data": data}) + "\n"
    done = subprocess.run(command, input=lines, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def of_each(answer, count):
    return answer["values"] if "values" in answer else [answer] * count


def bare(schema):
    """The schema without logical types, so that values of base types are compared."""
    if isinstance(schema, list):
        return [bare(one) for one in schema]
    if isinstance(schema, dict):
        return {key: value if key == "default" else bare(value) for key, value in schema.items() if key not in ("logicalType", "precision", "scale")}
    return schema


def ask_fastavro(one, answer):
    answers = []
    for data, mine in zip(one[3], of_each(answer, len(one[3]))):
        if is_bomb(mine):
            answers.append({"error": "not asked"})
            continue
        stream = io.BytesIO(data)
        try:
            value = fastavro.schemaless_reader(stream, bare(one[1]), bare(one[2]))
            answers.append({"value": value} if stream.tell() == len(data) else {"error": "bytes are left over"})
        except Exception as refusal:  # it raises whatever it meets
            answers.append({"error": repr(refusal)})
    return answers


# Are two values one?


def single(number):
    try:
        return struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        return None


def same(left, right):
    """Two values in Avro's own JSON; a float may be written with the digits of a double."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return left == right or single(left) == left == single(right) or single(left) == right == single(right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and left == right


def types_of(schema, space=""):
    """Full name → schema, of every named type inside."""
    found = {}
    if isinstance(schema, list):
        for one in schema:
            found |= types_of(one, space)
    elif isinstance(schema, dict):
        name = schema.get("name", "")
        inside = schema.get("namespace", space)
        if "." in name:
            inside = name.rpartition(".")[0]
        if name and schema["type"] in ("record", "enum", "fixed"):
            found[name if "." in name or not inside else f"{inside}.{name}"] = schema
        for key in ("items", "values"):
            if key in schema:
                found |= types_of(schema[key], inside)
        for place in schema.get("fields", []):
            found |= types_of(place["type"], inside)
    return found


def tag_of(schema, names):
    return next((name for name, one in names.items() if one is schema), kind_of(schema))


def is_value(schema, tagged, value, names):
    """Whether a value in Avro's own JSON is this one of fastavro's, which has no tags and no types."""
    schema = names.get(schema, schema) if isinstance(schema, str) else schema
    kind = kind_of(schema)
    if kind == "union":
        tag = "null" if tagged is None else next(iter(tagged))
        branch = next(one for one in schema if tag_of(names.get(one, one) if isinstance(one, str) else one, names) == tag)
        return is_value(branch, None if tagged is None else tagged[tag], value, names)
    if kind in ("bytes", "fixed"):
        text = value.decode("latin-1") if isinstance(value, bytes) else value  # a default stays a text
        return isinstance(value, (bytes, str)) and text == tagged
    if kind == "array":
        return isinstance(value, list) and len(value) == len(tagged) and all(is_value(schema["items"], *pair, names) for pair in zip(tagged, value))
    if kind == "map":
        return isinstance(value, dict) and value.keys() == tagged.keys() and all(is_value(schema["values"], tagged[key], value[key], names) for key in value)
    if kind == "record":
        if not isinstance(value, dict):
            return False
        # a default may leave out fields that have defaults of their own
        return all(is_value(one["type"], tagged[one["name"]], value.get(one["name"], one.get("default")), names) for one in schema["fields"])
    if isinstance(tagged, str) and isinstance(value, float):
        return tagged == {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(str(value))
    return same(tagged, value)


# What disagreements.md has words for


def duplicate_names(schema):
    plain = [name.rpartition(".")[2] for name in types_of(schema)]
    return len(plain) != len(set(plain))


def renamed(one):
    """Whether a type has another full name on the reader's side: names in other namespaces, aliases, other names."""
    return types_of(one[1]).keys() != types_of(one[2]).keys()


def explain_refusal(one, answer, message, compatible):
    """Why Weir refuses what the other one reads."""
    fits = "values" in answer and "does not fit" not in message
    if not fits:
        if re.search("logical type|a decimal", message):
            return "logical types"
        if renamed(one) and (re.search(r"record \w+ cannot be read as", message) or duplicate_names(one[2])):
            return "names"
        return "refused early" if not compatible else None
    if "has no place" in message and renamed(one) and duplicate_names(one[1]):
        return "names"
    return next((heading for words, heading in CHECKS if words in message), None)


def explain_java(one, answer, mine, theirs, compatible):
    if "error" in mine:
        return explain_refusal(one, answer, mine["error"], compatible)
    message = theirs.get("error", "")
    if re.search(r"Found [\w.]+, expecting", message) and renamed(one):
        return "names"
    if "Invalid default for field" in message and '"aliases"' in json.dumps(one[2]):
        return "defaults of renamed fields"
    if "AvroRuntimeException: Not a" in message and any(kind_of(schema) == "union" for schema in defaults_of(one[2])):
        return "defaults of unions"
    return None


def explain_fastavro(one, answer, mine, theirs, compatible):
    if "error" in mine:
        return explain_refusal(one, answer, mine["error"], compatible)
    if renamed(one):
        return "names"
    if any(several(union) for union in unions(one[2])):
        return "a reader's union"
    return None


def defaults_of(schema):
    """The types of the fields that have defaults."""
    return [place["type"] for record in types_of(schema).values() for place in record.get("fields", []) if "default" in place]


def unions(schema):
    if isinstance(schema, list):
        yield schema
    inside = schema if isinstance(schema, list) else []
    if isinstance(schema, dict):
        inside = [schema[key] for key in ("items", "values") if key in schema] + [place["type"] for place in schema.get("fields", [])]
    for one in inside:
        yield from unions(one)


def several(union):
    """Whether more than one branch may take a value."""
    return sum(kind_of(one) != "null" for one in union) > 1


class Tally:
    def __init__(self):
        self.counts = collections.Counter()
        self.unexplained = []

    def add(self, oracle, heading, one, index, mine, theirs):
        self.counts[oracle, heading or "unexplained"] += 1
        if heading is None:
            self.unexplained.append((oracle, one, index, mine, theirs))


def compare(tally, oracle, one, answer, theirs_all, compatible, agrees, explain):
    for index, mine in enumerate(of_each(answer, len(one[3]))):
        theirs = theirs_all[index]
        if "error" in mine and "error" in theirs:
            heading = "refused"
        elif "error" not in mine and "error" not in theirs and agrees(mine["json"], theirs):
            heading = "equal"
        else:
            heading = explain(one, answer, mine, theirs, compatible)
        tally.add(oracle, heading, one, index, mine, theirs)


def empty(tagged):
    return tagged is None or (isinstance(tagged, dict) and all(map(empty, tagged.values())))


def agrees_java(tagged, theirs):
    if theirs["text"] == "":  # its JSON encoder writes nothing for a value that takes no bytes
        return empty(tagged)
    return same(tagged, json.loads(theirs["text"]))


def report(tally, answers, oracles, headings):
    """TAP. Returns the exit code."""
    wrong = [value for answer in answers for value in answer.get("values", []) if "wrong" in value]
    lines = [(not wrong, f"Weir's own ways of reading agree on {sum(len(answer.get('values', [])) for answer in answers)} values", wrong)]
    for oracle in oracles:
        mine = [bad for bad in tally.unexplained if bad[0] == oracle]
        counts = {heading: count for (name, heading), count in tally.counts.most_common() if name == oracle}
        lines.append((not mine, f"{oracle}: {sum(counts.values())} values: " + ", ".join(f"{count} {heading}" for heading, count in counts.items()), mine))
    used = {heading for _, heading in tally.counts} - {"equal", "refused", "unexplained"}
    if len(oracles) > 1:
        lines.append((used == headings, "disagreements.md has a heading for each disagreement, and no other", sorted(used ^ headings)))
    for number, (good, text, bad) in enumerate(lines, 1):
        print(f"{'ok' if good else 'not ok'} {number} - oracle: {text}")
        for one in bad[:SHOWN] if not good else []:
            print(f"# {json.dumps(one, default=repr)[:3000]}")
    print(f"1..{len(lines)}")
    return 0 if all(good for good, _, _ in lines) else 1


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--cases", type=int, default=2500)
    arguments.add_argument("--first", type=int, default=0)
    arguments.add_argument("--java")
    arguments.add_argument("decode")
    options = arguments.parse_args()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MAX, MEMORY_MAX))
    cases = [case(seed) for seed in range(options.first, options.first + options.cases)]
    java = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m", "-cp", options.java, "Oracle"]
    with ThreadPoolExecutor() as pool:
        answers = ask([options.decode], cases)
        other = pool.submit(ask, java, cases, answers) if options.java else None
        fast = [ask_fastavro(one, answer) for one, answer in zip(cases, answers)]
        other = other.result() if other else None
    tally = Tally()
    for index, one in enumerate(cases):
        compatible = other is not None and other[index].get("compatible", False)
        names = types_of(one[2])
        if other:
            compare(tally, "Java", one, answers[index], of_each(other[index], len(one[3])), compatible, agrees_java, explain_java)
        compare(
            tally, "fastavro", one, answers[index], fast[index], compatible,
            lambda tagged, theirs: is_value(one[2], tagged, theirs["value"], names), explain_fastavro,
        )  # fmt: skip
    headings = set(re.findall("(?m)^## (.*)$", (HERE / "disagreements.md").read_text()))
    sys.exit(report(tally, answers, (["Java"] if other else []) + ["fastavro"], headings))


if __name__ == "__main__":
    main()
