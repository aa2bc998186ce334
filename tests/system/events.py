# SPDX-License-Identifier: Apache-2.0
"""The catalog as an outsider sees it: schemas/ read by fastavro, and nothing of the program.

Makes events of any type from their schemas, as JSON for the gateway and as bytes for a producer, and decodes records.
"""

import datetime
import io
import json
import pathlib
import random
import struct
import uuid

import fastavro

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "schemas"
UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)


class Version:
    """One version of an event."""

    def __init__(self, schema_id, path):
        self.id = schema_id
        self.domain, self.event, number = path.split("/")
        self.version = int(number)
        self.topic = f"weir.{self.domain}"
        self.definition = json.loads((SCHEMAS / f"{path}.avsc").read_text())
        self.parsed = fastavro.parse_schema(self.definition)
        self.ingest = self.definition.get("x-ingest", "service")
        self.fields = [field for field in self.definition["fields"] if field["name"] != "meta"]
        self.named = {}
        self._find_named(self.definition, "")

    def _find_named(self, schema, namespace):
        if isinstance(schema, list):
            for branch in schema:
                self._find_named(branch, namespace)
        elif isinstance(schema, dict):
            if schema["type"] in ("record", "enum", "fixed"):
                namespace = schema.get("namespace", namespace)
                self.named[schema["name"]] = self.named[f"{namespace}.{schema['name']}"] = schema
            for part in [schema.get("items"), schema.get("values"), *(f["type"] for f in schema.get("fields", []))]:
                self._find_named(part, namespace)
            if isinstance(schema["type"], (dict, list)):
                self._find_named(schema["type"], namespace)


def _read_lock():
    versions = {}
    for line in (SCHEMAS / "catalog.lock").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            schema_id, _, path = line.split()
            versions[int(schema_id)] = Version(int(schema_id), path)
    return versions


VERSIONS = _read_lock()
NEWEST = {}
for _version in sorted(VERSIONS.values(), key=lambda v: v.version):
    NEWEST[_version.event] = _version
EVENTS = sorted(NEWEST)
TOPICS = sorted({version.topic for version in VERSIONS.values()})


def consumed(home, processor):
    """The events that processor.conf names."""
    names = []
    for line in (pathlib.Path(home) / "sql" / "processors" / processor / "processor.conf").read_text().splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "consumes":
            names += [name.strip() for name in value.split(",") if name.strip()]
    return names


# {processor: its topics}
PROCESSORS = {
    folder.name: sorted({NEWEST[event].topic for event in consumed(ROOT, folder.name)})
    for folder in sorted((ROOT / "sql" / "processors").iterdir())
    if folder.is_dir()
}


def limits_of(definition):
    """What a field or type says about its values, as lib/avro/limits.h has it."""
    return {key: value for key, value in definition.items() if key.startswith("x-") and key not in ("x-pii", "x-ingest")}


class Maker:
    """Random values by schema, the same for the same seed. Each comes twice: as JSON, and as fastavro decodes it."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.named = {}

    def uuid(self):
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    def value(self, schema, name="", limits=None):
        """`limits` are those of the field, which are of what is beside null in its type."""
        if isinstance(schema, str) and schema in self.named:
            return self.value(self.named[schema], name)
        if isinstance(schema, list):
            branches = [branch for branch in schema if branch != "null"]
            if "null" in schema and self.random.random() < 0.3:
                return None, None
            return self.value(self.random.choice(branches), name, limits)
        if isinstance(schema, str):
            schema = {"type": schema}
        schema = {**schema, **(limits or {})}
        kind, logical = schema["type"], schema.get("logicalType")
        if isinstance(kind, (dict, list)):
            return self.value(kind, name, limits_of(schema))
        return getattr(self, f"_{logical}".replace("-", "_") if logical else f"_{kind}")(schema, name)

    def _uuid(self, schema, name):
        made = self.uuid()
        return str(made), made

    def _timestamp_micros(self, schema, name):
        us = 1_700_000_000_000_000 + self.random.randrange(10**15)
        moment = EPOCH + datetime.timedelta(microseconds=us)
        return (us if self.random.random() < 0.5 else moment.isoformat().replace("+00:00", "Z")), moment

    def _date(self, schema, name):
        day = datetime.date(2020, 1, 1) + datetime.timedelta(days=self.random.randrange(4000))
        return day.isoformat(), day

    def _string(self, schema, name):
        if "currency" in name:
            return ("EUR",) * 2
        length = self.random.randrange(0, min(20, schema.get("x-length-max", 20) + 1))
        text = "".join(self.random.choice("abc xyz-_\"\\/äß€漢🙂\n\t") for _ in range(length))
        return text, text

    def _int(self, schema, name):
        return (self.whole(schema, 1000),) * 2

    def _long(self, schema, name):
        return (self.random.choice([self.whole(schema, 10**6), self.whole(schema, 2**53)]),) * 2

    def whole(self, schema, end):
        return self.random.randrange(schema.get("x-minimum", 0), min(end, schema.get("x-maximum", end) + 1))

    def _double(self, schema, name):
        # eighths have one shortest spelling, which the fingerprint of the body depends on
        number = self.random.randrange(schema.get("x-minimum", -(10**9)), 10**9) / 8
        return number, number

    def _float(self, schema, name):
        number = float(self.random.randrange(-1000, 1000)) / 8
        return number, number

    def _boolean(self, schema, name):
        return (self.random.random() < 0.5,) * 2

    def _enum(self, schema, name):
        return (self.random.choice(schema["symbols"]),) * 2

    def _array(self, schema, name):
        made = [self.value(schema["items"], name) for _ in range(self.random.randrange(0, 4))]
        return [one[0] for one in made], [one[1] for one in made]

    def _map(self, schema, name):
        made = {f"key {i}": self.value(schema["values"], name) for i in range(self.random.randrange(0, 4))}
        return {key: one[0] for key, one in made.items()}, {key: one[1] for key, one in made.items()}

    def _record(self, schema, name):
        made = {field["name"]: self.value(field["type"], field["name"], limits_of(field)) for field in schema["fields"]}
        return {key: one[0] for key, one in made.items()}, {key: one[1] for key, one in made.items()}

    def body(self, event):
        """(JSON body, the fields as fastavro will decode them) of an event's newest version, without meta."""
        self.named = NEWEST[event].named
        return self._record({"fields": NEWEST[event].fields}, "")


def decode(value):
    """(version, the whole record) of a framed value, by the schema that it was written with."""
    magic, schema_id = struct.unpack(">bI", value[:5])
    assert magic == 0, value[:16]
    stream = io.BytesIO(value[5:])
    version = VERSIONS[schema_id]
    record = fastavro.schemaless_reader(stream, version.parsed, None)
    assert stream.read() == b"", f"bytes behind the end of {version.event}"
    return version, record


def encode(version, record):
    out = io.BytesIO()
    out.write(struct.pack(">bI", 0, version.id))
    fastavro.schemaless_writer(out, version.parsed, record)
    return out.getvalue()


def make_record(event, fields, version=None, event_id=None, occurred_at=None, fingerprint=1):
    """(key-less) value bytes of an event that a producer of the platform's own sends: internal ones, duplicates."""
    now = datetime.datetime.now(UTC)
    meta = {
        "event_id": event_id or uuid.uuid4(),
        "occurred_at": occurred_at or now,
        "received_at": now,
        "actor": None,
        "correlation_id": None,
        "causation_id": None,
        "fingerprint": fingerprint,
    }
    return encode(version or NEWEST[event], {"meta": meta, **fields})


def murmur2(data):
    """The hash of Java's default partitioner (org.apache.kafka.common.utils.Utils.murmur2), in 32 bits."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(key, count=6):
    return (murmur2(key) & 0x7FFFFFFF) % count
