# SPDX-License-Identifier: Apache-2.0
"""An independent fold of the topics, and what the tables must hold by it.

Written from the schemas alone, in the plainest way there is: one event after the other, in memory. It knows every
rule of exactly-once (one effect per Space and event id, the first copy counts, another body under the same id is set
aside) and a few of the domain's sums, of which some depend on the order of a Space's events.
"""

import collections
import re

import events

# What a record is to a processor
APPLIED, DUPLICATE, DEAD_LETTER, NOT_CONSUMED = "applied", "duplicate", "dead letter", "not consumed"


class Fold:
    def __init__(self, records):
        self.sums = collections.Counter()
        self.members = collections.defaultdict(lambda: {"status": "guest", "tier": None, "display_name": None})
        self.settings = collections.defaultdict(dict)
        self.names = {}
        self.fate = {}
        self.order = {}
        self.types = collections.Counter()
        self.event_of = {}
        seen = {}
        for place, messages in sorted(records.items()):
            for message in messages:
                version, record = events.decode(message.value())
                space, meta = message.key().decode(), record["meta"]
                identity = space, str(meta["event_id"])
                at = (*place, message.offset())
                self.event_of[at] = version.event
                if identity not in seen:
                    seen[identity] = meta["fingerprint"]
                    self.fate[at] = APPLIED
                    self.types[version.event] += 1
                    self.add(space, version.event, record)
                else:
                    self.fate[at] = DUPLICATE if seen[identity] == meta["fingerprint"] else DEAD_LETTER

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
            self.settings[space].update(record["settings"])
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
        consumed = set(events.consumed(events.ROOT, processor))
        return {
            at: fate if self.event_of[at] in consumed else NOT_CONSUMED
            for at, fate in self.fate.items()
            if at[0] in events.PROCESSORS[processor]
        }


class Difference:
    """What the tables of all processors hold too little, too often, or in another order."""

    def __init__(self, stack, fold):
        self.lost, self.doubled, self.reordered, self.wrong = [], [], [], []
        for processor in events.PROCESSORS:
            self.compare_fates(stack, fold, processor)
        self.compare_sums(stack, fold)
        self.compare_order(stack, fold)

    def compare_fates(self, stack, fold, processor):
        """Each record below the position is in exactly one table, and in the right one."""
        expected = fold.fates(processor)
        found = collections.defaultdict(list)
        for table, fate in (
            (f"{processor}_1.applied_event", APPLIED),
            ("weir.duplicate", DUPLICATE),
            ("weir.dead_letter", DEAD_LETTER),
        ):
            rows = stack.psql(
                f"SELECT topic, kafka_partition, kafka_offset FROM {table} JOIN weir.position USING (position_id) "
                "WHERE processor = %s",
                processor,
            )
            for row in rows:
                found[row].append(fate)
        positions = stack.positions(processor)
        for at, fate in expected.items():
            got = found.pop(at, [])
            if at[2] >= positions.get(at[:2], 0):
                self.lost.append((processor, at, "beyond the position"))
            elif fate != NOT_CONSUMED and not got:
                self.lost.append((processor, at, fate))
            elif got != ([] if fate == NOT_CONSUMED else [fate]):
                self.doubled.append((processor, at, fate, got))
        self.wrong += [(processor, at, got, "no such record") for at, got in found.items()]

    def compare_sums(self, stack, fold):
        rows = stack.psql(
            "SELECT space_id::text, kind, 'count', count(*)::bigint FROM ledger_1.transfer "
            "WHERE kind IN ('purchase', 'tip') GROUP BY 1, 2 UNION ALL "
            "SELECT space_id::text, kind, 'amount', sum(amount)::bigint FROM ledger_1.transfer "
            "WHERE kind IN ('purchase', 'tip') GROUP BY 1, 2 UNION ALL "
            "SELECT space_id::text, 'joined', 'count', sum(events)::bigint FROM analytics_1.hourly "
            "WHERE action = 'joined' GROUP BY 1 UNION ALL "
            "SELECT space_id::text, 'events', 'count', events FROM overview_1.space"
        )
        self.compare({key: n for key, n in fold.sums.items() if n}, {(s, k, w): n for s, k, w, n in rows if n})
        for table, kinds in (
            ("analytics_1.commerce WHERE action = 'purchase'", {"purchase"}),
            ("analytics_1.livestream WHERE action = 'tip'", {"tip"}),
        ):
            rows = stack.psql(f"SELECT space_id::text, count(*), sum(amount)::bigint FROM {table} GROUP BY 1")
            got = {}
            for space, count, amount in rows:
                kind = next(iter(kinds))
                got[space, kind, "count"] = count
                got[space, kind, "amount"] = amount
            expected = {key: n for key, n in fold.sums.items() if key[1] in kinds and n}
            self.compare(expected, {key: n for key, n in got.items() if n})
        rows = stack.psql("SELECT space_id::text, joined FROM overview_1.space WHERE joined > 0")
        expected = {key: n for key, n in fold.sums.items() if key[1:] == ("joined", "count")}
        self.compare(expected, {(space, "joined", "count"): joined for space, joined in rows})

    def compare(self, expected, got):
        for key in expected.keys() | got.keys():
            want, have = expected.get(key, 0), got.get(key, 0)
            if want != have:
                (self.lost if have < want else self.doubled).append((key, want, have))

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
