# SPDX-License-Identifier: Apache-2.0
"""An independent fold of the topics, and what the tables must hold by it.

Written from the schemas alone, in the plainest way there is: one event after the other, in memory. It knows every
rule of exactly-once (one effect per Space and event id, the first copy counts, another body under the same id is set
aside, so is what is no event) and a few of the domain's sums, of which some depend on the order of a Space's events.
"""

import collections
import re
import uuid

import events

# What a record is to a processor
APPLIED, DUPLICATE, DEAD_LETTER, PARKED, NOT_CONSUMED = "applied", "duplicate", "dead letter", "parked", "not consumed"

Entry = collections.namedtuple("Entry", "at event space event_id fingerprint record")

SETTINGS_MAX = 100  # of a Space, the first that it sets


def read_entry(message):
    """What an outsider reads in a record; without an event if it is none."""
    at = message.topic(), message.partition(), message.offset()
    try:
        key = message.key().decode()
        version, record = events.decode(message.value())
        if str(uuid.UUID(key)) != key or version.topic != message.topic() or holds_nul(record):
            raise ValueError("not an event of this topic")
    except Exception:  # whatever a foreign decoder makes of foreign bytes
        return Entry(at, None, None, None, None, None)
    meta = record["meta"]
    return Entry(at, version.event, key, str(meta["event_id"]), meta["fingerprint"], record)


def holds_nul(value):
    """Postgres' text has no NUL: such an event can never be a row."""
    if isinstance(value, dict):
        return any(holds_nul(part) for pair in value.items() for part in pair)
    if isinstance(value, (list, tuple)):
        return any(holds_nul(part) for part in value)
    return isinstance(value, str) and "\0" in value


def read_entries(records):
    """The entries of all records, in the order of their offsets within each partition."""
    return [read_entry(message) for _, messages in sorted(records.items()) for message in messages]


class Fold:
    """What one processor, or each, makes of the entries.

    dead: places (topic, partition, offset) that it cannot apply. late: {place: offset} of those that were applied
    behind that offset of their partition instead of at their own, as decisions say.
    """

    def __init__(self, entries, dead=(), late=None):
        if isinstance(entries, dict):
            entries = read_entries(entries)
        self.sums = collections.Counter()
        self.members = collections.defaultdict(lambda: {"status": "guest", "tier": None, "display_name": None})
        self.settings = collections.defaultdict(dict)
        self.names = {}
        self.fate = {}
        self.types = collections.Counter()
        self.event_of = {}
        self.spaces = set()
        seen = {}
        dead = set(dead)
        for entry in in_order(entries, late or {}):
            self.event_of[entry.at] = entry.event
            identity = entry.space, entry.event_id
            if entry.event is None or entry.at in dead:
                self.fate[entry.at] = DEAD_LETTER
            elif identity not in seen:
                seen[identity] = entry.fingerprint
                self.fate[entry.at] = APPLIED
                self.types[entry.event] += 1
                self.spaces.add(entry.space)
                self.add(entry.space, entry.event, entry.record)
            else:
                self.fate[entry.at] = DUPLICATE if seen[identity] == entry.fingerprint else DEAD_LETTER

    def add(self, space, event, record):
        total = lambda kind, amount: self.sums.update({(space, kind, "count"): 1, (space, kind, "amount"): amount})
        self.sums[space, "events", "count"] += 1
        if event == "ProductPurchased":
            total("purchase", record["total"])
        elif event == "LivestreamInteraction" and record["kind"] == "TIP" and record["tip"]:
            total("tip", record["tip"]["amount"])
        elif event == "SpaceCreated":
            self.names[space] = record["name"]
        elif event == "SpaceSettingsChanged":
            kept = self.settings[space]
            for name, value in sorted(record["settings"].items()):
                if name in kept or len(kept) < SETTINGS_MAX:
                    kept[name] = value
        elif event.startswith("Member"):
            member = self.members[space, str(record["member_id"])]
            member["status"] = "cancelled" if event == "MembershipCancelled" else "active"
            if event == "MemberJoined":
                total("joined", 0)
                member["display_name"] = record["display_name"]
            tier = record.get("tier") or record.get("to_tier")
            member["tier"] = tier or member["tier"]

    def fates(self, processor):
        """{(topic, partition, offset): what must have become of the record} for one processor."""
        consumed = {*events.consumed(events.ROOT, processor), None}
        return {
            at: fate if self.event_of[at] in consumed else NOT_CONSUMED
            for at, fate in self.fate.items()
            if at[0] in events.PROCESSORS[processor]
        }


def in_order(entries, late):
    """The entries in the order in which they count."""
    if not late:
        return entries
    place = lambda entry: (*entry.at[:2], late.get(entry.at, entry.at[2]), entry.at in late, entry.at[2])
    return sorted(entries, key=place)


class Difference:
    """What the tables of all processors hold too little, too often, or in another order.

    `fold` is a Fold that counts for all of them, or {processor: Fold}.
    """

    def __init__(self, stack, fold):
        self.lost, self.doubled, self.reordered, self.wrong = [], [], [], []
        folds = fold if isinstance(fold, dict) else {processor: fold for processor in events.PROCESSORS}
        for processor, one in folds.items():
            self.compare_fates(stack, one, processor)
        self.compare_ledger(stack, folds["ledger"])
        self.compare_analytics(stack, folds["analytics"])
        self.compare_overview(stack, folds["overview"])
        self.compare_order(stack, folds["overview"])

    def compare_fates(self, stack, fold, processor):
        """Each record below the position is in exactly one table, and in the right one."""
        expected = fold.fates(processor)
        found = collections.defaultdict(list)
        for row in fate_rows(stack, processor):
            found[row[:3]].append(row[3])
        positions = stack.positions(processor)
        for at, fate in expected.items():
            got = found.pop(at, [])
            if at[2] >= positions.get(at[:2], 0):
                self.lost.append((processor, at, "beyond the position"))
            elif fate != NOT_CONSUMED and not got:
                self.lost.append((processor, at, fate))
            elif fate == APPLIED and APPLIED not in got:
                self.lost.append((processor, at, fate, got))
            elif got != ([] if fate == NOT_CONSUMED else [fate]):
                (self.doubled if APPLIED in got else self.wrong).append((processor, at, fate, got))
        self.wrong += [(processor, at, got, "no such record") for at, got in found.items()]

    def compare_ledger(self, stack, fold):
        rows = stack.psql(
            "SELECT space_id::text, kind, count(*), sum(amount) FROM ledger_1.transfer "
            "WHERE kind IN ('purchase', 'tip') GROUP BY 1, 2"
        )
        self.compare(fold, {"purchase", "tip"}, "ledger", rows)

    def compare_analytics(self, stack, fold):
        for table, kind, where in (
            ("commerce", "purchase", "action = 'purchase'"),
            ("livestream", "tip", "action = 'tip' AND amount IS NOT NULL"),
            ("membership", "joined", "action = 'joined'"),
        ):
            amount = "0" if kind == "joined" else "sum(amount)"
            rows = stack.psql(
                f"SELECT space_id::text, %s, count(*), {amount} FROM analytics_1.{table} WHERE {where} GROUP BY 1", kind
            )
            self.compare(fold, {kind}, "analytics", rows)
        rows = stack.psql(
            "SELECT space_id::text, 'joined', sum(events), 0 FROM analytics_1.hourly WHERE action = 'joined' GROUP BY 1"
        )
        self.compare(fold, {"joined"}, "analytics by hour", rows)

    def compare_overview(self, stack, fold):
        rows = stack.psql(
            "SELECT space_id::text, 'events', events, 0 FROM overview_1.space UNION ALL "
            "SELECT space_id::text, 'joined', joined, 0 FROM overview_1.space WHERE joined > 0"
        )
        self.compare(fold, {"events", "joined"}, "overview", rows)

    def compare(self, fold, kinds, who, rows):
        """Rows of (Space, kind, count, amount) against the fold's sums of these kinds."""
        expected = {key: n for key, n in fold.sums.items() if key[1] in kinds and n}
        got = {}
        for space, kind, count, amount in rows:
            got[space, kind, "count"] = int(count)
            got[space, kind, "amount"] = int(amount or 0)
        for key in expected.keys() | got.keys():
            want, have = expected.get(key, 0), got.get(key, 0)
            if want != have:
                (self.lost if have < want else self.doubled).append((who, key, want, have))

    def compare_order(self, stack, fold):
        """What the last event of a topic says about a member or a Space."""
        rows = stack.psql(
            "SELECT space_id::text, member_id::text, status, tier, display_name FROM overview_1.member "
            "WHERE status <> 'guest'"
        )
        got = {(s, m): {"status": status, "tier": tier, "display_name": name} for s, m, status, tier, name in rows}
        rows = stack.psql("SELECT space_id::text, name, settings FROM overview_1.space")
        got |= {space: (name, settings) for space, name, settings in rows}
        expected = dict(fold.members)
        for space in {key[0] for key in fold.sums}:
            expected[space] = fold.names.get(space), fold.settings.get(space, {})
        for key in expected.keys() | got.keys():
            if expected.get(key) != got.get(key):
                self.reordered.append((key, expected.get(key), got.get(key)))

    def __bool__(self):
        return bool(self.lost or self.doubled or self.reordered or self.wrong)

    def __str__(self):
        parts = []
        for name in ("lost", "doubled", "reordered", "wrong"):
            found = getattr(self, name)
            parts.append(f"{len(found)} {name}: {found[:5]}")
        return "\n".join(parts)


def fate_rows(stack, processor):
    """(topic, partition, offset, fate) of every record that a processor has a row for."""
    tables = [
        (f"{processor}_1.applied_event", APPLIED, "true"),
        ("weir.duplicate", DUPLICATE, "true"),
        ("weir.dead_letter", DEAD_LETTER, "true"),
    ]
    if stack.psql("SELECT to_regclass('weir.parked')") != [(None,)]:
        # what was redriven is applied, and what is being redriven waits among the parked
        tables[2] = ("weir.dead_letter", DEAD_LETTER, "state NOT IN ('redriving', 'redriven')")
        tables.append(("weir.parked", PARKED, "true"))
    return [
        row
        for table, fate, where in tables
        for row in stack.psql(
            f"SELECT topic, kafka_partition, kafka_offset, %s FROM {table} JOIN weir.position USING (position_id) "
            f"JOIN weir.processor USING (processor, generation) WHERE processor = %s AND {where}", fate, processor,
        )
    ]  # fmt: skip


def statements(path):
    """The statements of a .sql file that holds no quoted semicolon."""
    text = re.sub(r"--[^\n]*", "", path.read_text())
    return [statement.strip() for statement in text.split(";") if statement.strip()]


def broken_checks(stack, processor):
    """The queries of checks.sql that return a row, with the row."""
    broken = []
    for query in statements(events.ROOT / "sql" / "processors" / processor / "checks.sql"):
        with stack.transaction() as connection:
            connection.execute(f"SET LOCAL search_path = {processor}_1, pg_catalog")
            row = connection.execute(query).fetchone()
        if row:
            broken.append((query, row))
    return broken
