# SPDX-License-Identifier: Apache-2.0
"""The answers to the questions of docs/, folded from a list of events in plain Python.

Each function is called as its question is, with - as _, and returns the rows in the question's order. Times compare as
datetimes, months as dates.
"""

import collections
import datetime
import decimal
import statistics

from platform_past import DAY, MINUTE, PAYING, UTC, later, month_of, a_month_after

ROUND = decimal.ROUND_HALF_UP


def percent(part, whole):
    return (decimal.Decimal(100 * part) / whole).quantize(decimal.Decimal("0.1"), ROUND)


class Answers:
    def __init__(self, past, space, since, until):
        self.events, self.names = past.events, dict(past.spaces)
        self.space, self.since, self.until = space, since, until
        self.payments = []  # (event, kind, currency, member, {account: change})
        self.fold()

    def of(self, *names):
        """(space, at, fields) of the events of those types, in the order of the topics."""
        return [(e["space"], e["at"], e["fields"]) for e in self.events if e["event"] in names]

    # The ledger's rules

    def fold(self):
        purchases, refunded, held = {}, collections.Counter(), collections.Counter()
        for e in self.events:
            f, space, event = e["fields"], e["space"], e["event"]
            if event == "ProductPurchased":
                total = f["total"]
                fee = total * f["fee_bps"] // 10000
                referral = total * f["referral_bps"] // 10000 if f["referrer_id"] else 0
                purchases[f["purchase_id"]] = total, fee, referral
                self.post(e, "purchase", f["currency"], f["buyer_id"], clearing=-total, fee=fee, member=referral, space=total - fee - referral)
            elif event == "PurchaseRefunded":
                total, fee, referral = purchases.get(f["purchase_id"], (0, 0, 0))
                before = refunded[f["purchase_id"]]
                after = refunded[f["purchase_id"]] = min(total, before + f["amount"])
                share = lambda part: part * after // total - part * before // total if total else 0
                back = after - before
                self.post(e, "refund", f["currency"], f["buyer_id"], clearing=f["amount"], fee=-share(fee), member=-share(referral),
                          space=-(back - share(fee) - share(referral)), suspense=back - f["amount"])
            elif event == "LivestreamInteraction" and f["tip"]:
                self.share(e, "tip", f["tip"], 500)
            elif event in PAYING and f["payment"]:
                self.share(e, "membership", f["payment"], 500)
            elif event == "CreditsTransferred":
                held[space, f["to_member_id"]] += f["credits"]
                self.post(e, "handover", "CREDIT", None, clearing=-f["credits"], member=f["credits"])
            elif event == "CreditsSpent":
                there = min(held[space, f["member_id"]], f["credits"])
                held[space, f["member_id"]] -= there
                self.post(e, "spend", "CREDIT", f["member_id"], member=-there, suspense=there - f["credits"], space=f["credits"])

    def share(self, event, kind, money, bps):
        fee = money["amount"] * bps // 10000
        member = event["fields"]["member_id"]
        self.post(event, kind, money["currency"], member, clearing=-money["amount"], fee=fee, space=money["amount"] - fee)

    def post(self, event, kind, currency, member, /, **changes):
        assert sum(changes.values()) == 0
        self.payments.append((event, kind, currency, member, changes))

    # Money

    def months_of_money(self):
        """{(month, space, currency): [paid, refunded, fee, referrals, net]}"""
        found = collections.defaultdict(lambda: [0] * 5)
        for event, kind, currency, _, changes in self.payments:
            if currency != "CREDIT":
                row = found[month_of(event["at"]), event["space"], currency]
                row[kind == "refund"] += abs(changes["clearing"])
                for place, account in enumerate(("fee", "member", "space"), 2):
                    row[place] += changes.get(account, 0)
        return found

    def revenue_by_month(self):
        rows = [(m, s, c, *r) for (m, s, c), r in self.months_of_money().items()]
        rows.sort(key=lambda r: (r[0], -r[7], r[1].bytes))
        return [(r[0], self.names[r[1]], r[2], r[3], r[4], r[5], r[6], r[7]) for r in rows]

    def revenue_of_a_space(self):
        return sorted((m, c, *r) for (m, s, c), r in self.months_of_money().items() if s == self.space)

    def income_by_source(self):
        place = {"purchase": 0, "membership": 1, "tip": 2, "refund": 3}
        found = collections.defaultdict(lambda: [0] * 4)
        for event, kind, currency, _, changes in self.payments:
            if currency != "CREDIT":
                found[month_of(event["at"]), currency][place[kind]] += abs(changes["clearing"])
        return sorted((*key, *row) for key, row in found.items())

    def trial_balance(self):
        accounts = collections.Counter()
        for event, _, currency, member, changes in self.payments:
            space, fields = event["space"], event["fields"]
            owner = fields.get("referrer_id") or fields.get("to_member_id") or fields.get("member_id")
            if event["event"] == "PurchaseRefunded":
                bought = [f for _, _, f in self.of("ProductPurchased") if f["purchase_id"] == fields["purchase_id"]]
                owner = bought[0]["referrer_id"] if bought else None
            for account in ("clearing", "space", "fee", "suspense"):
                accounts[currency, account, space] += changes.get(account, 0)
            if changes.get("member"):
                accounts[currency, "member", (space, owner)] += changes["member"]
        rows = collections.defaultdict(lambda: [0, 0, 0])
        for (currency, account, _), balance in accounts.items():
            row = rows[currency, account]
            row[0] += 1
            row[1 if balance < 0 else 2] += abs(balance)
        return sorted((*key, n, debit, credit, credit - debit, 0) for key, (n, debit, credit) in rows.items())

    def balance_at_a_date(self):
        sums = collections.defaultdict(int)
        for event, _, currency, _, changes in self.payments:
            if event["space"] == self.space and event["at"] < self.until:
                for account, change in changes.items():
                    if change:
                        sums[account, currency] += change
        return sorted((*key, balance) for key, balance in sums.items() if balance)

    def attention(self):
        found = collections.defaultdict(list)
        known = {f["purchase_id"] for _, _, f in self.of("ProductPurchased")}
        for event, kind, currency, _, changes in self.payments:
            if changes.get("suspense"):
                fields = event["fields"]
                unknown = kind == "refund" and fields["purchase_id"] not in known
                why = "refund of an unknown purchase" if unknown else "refund larger than what is left"
                found[why if kind == "refund" else "spend without funds", currency].append(event)
        amount = lambda e: e["fields"].get("amount") or e["fields"]["credits"]
        rows = [(*key, len(es), sum(map(amount, es)), max(e["at"] for e in es)) for key, es in found.items()]
        return sorted(rows, key=lambda r: (-r[2], r[0], r[1]))

    def top_supporters(self):
        given = collections.defaultdict(lambda: [0, 0, 0])
        for event, kind, currency, member, changes in self.payments:
            if event["space"] == self.space and event["at"] >= self.since and currency != "CREDIT":
                row = given[member, currency]
                row[0] -= changes["clearing"]
                row[1] += kind == "purchase"
                row[2] += kind == "tip"
        people = {}
        for space, _, fields in self.of("MemberJoined", "MembershipUpgraded", "MembershipRenewed"):
            name, tier = fields.get("display_name"), fields.get("tier") or fields.get("to_tier")
            people[space, fields["member_id"]] = name or people.get((space, fields["member_id"]), (None,))[0], tier
        rows = [(m, *people.get((self.space, m), (None, None)), c, *row) for (m, c), row in given.items()]
        return sorted(rows, key=lambda r: (-r[4], r[0].bytes))[:10]

    def best_sellers(self):
        found = collections.defaultdict(lambda: [0, 0])
        for space, at, fields in self.of("ProductPurchased"):
            for item in fields["items"] if self.since <= at < self.until else []:
                row = found[space, item["product_id"], fields["currency"]]
                row[0] += item["quantity"]
                row[1] += item["quantity"] * item["unit_price"]
        rows = [(*key, *row) for key, row in found.items()]
        return sorted(rows, key=lambda r: (-r[4], r[1].bytes))[:10]

    # Members

    def periods(self):
        """(space, member, first, start, end or None) of each membership."""
        lives = collections.defaultdict(list)
        for e in self.events:
            if e["event"].startswith("Member"):
                lives[e["space"], e["fields"]["member_id"]].append((e["at"], e["id"].bytes, e["event"] != "MembershipCancelled"))
        for (space, member), changes in lives.items():
            first = start = None
            for at, _, is_member in sorted(changes):
                if is_member and start is None:
                    start = at
                    first = first or at
                elif not is_member and start is not None:
                    yield space, member, first, start, at
                    start = None
            if start is not None:
                yield space, member, first, start, None

    def churn_by_month(self):
        joined, lost = collections.Counter(), collections.Counter()
        for _, _, _, start, end in self.periods():
            joined[month_of(start)] += 1
            if end:
                lost[month_of(end)] += 1
        rows, members = [], 0
        for month in sorted(joined.keys() | lost.keys()):
            rows.append((month, members, joined[month], lost[month], percent(lost[month], members) if members else None))
            members += joined[month] - lost[month]
        return rows

    def cohort_retention(self):
        periods = list(self.periods())
        rows = []
        for cohort in sorted({month_of(first) for _, _, first, _, _ in periods}):
            mine = [p for p in periods if month_of(p[2]) == cohort]
            size = len({p[:2] for p in mine})
            for age in range(13):
                end = later(cohort, age + 1)
                if end <= self.until:
                    members = len({p[:2] for p in mine if p[3] < end and (p[4] is None or p[4] >= end)})
                    rows.append((cohort, size, age, members, percent(members, size)))
        return rows

    def mrr_by_month(self):
        lives = collections.defaultdict(list)
        for e in self.events:
            if e["event"] == "MembershipCancelled" or e["event"] in PAYING and e["fields"]["payment"]:
                lives[e["space"], e["fields"]["member_id"]].append(e)
        paying, sums = collections.Counter(), collections.defaultdict(decimal.Decimal)
        for life in lives.values():
            life.sort(key=lambda e: (e["at"], e["id"].bytes))
            for e, following in zip(life, [*life[1:], None]):
                if e["event"] == "MembershipCancelled":
                    continue
                money, months, end = e["fields"]["payment"], 1, a_month_after(e["at"])
                if e["event"] == "MembershipRenewed":
                    last = e["fields"]["period_end"]
                    end = datetime.datetime(last.year, last.month, last.day, tzinfo=UTC)
                    months = 12 if (last - e["fields"]["period_start"]).days > 300 else 1
                end = min(end, following["at"]) if following else end
                for age in range(1, 14):
                    month_end = later(e["at"], age)
                    if month_end <= end and month_end <= self.until:
                        key = month_of(month_end - DAY), money["currency"]
                        paying[key] += 1
                        sums[key] += decimal.Decimal(money["amount"]) / months
        return [(*key, paying[key], sums[key].quantize(decimal.Decimal(1), ROUND)) for key in sorted(paying)]

    def first_purchase(self):
        joined = {}
        for space, at, fields in self.of("MemberJoined"):
            if self.since <= at < self.until:
                key = space, fields["member_id"]
                joined[key] = min(at, joined.get(key, at))
        within = lambda days, moments, at: [m for m in moments if at <= m < at + days * DAY]
        spoken, bought = collections.defaultdict(list), collections.defaultdict(list)
        for space, at, fields in self.of("PostPublished", "PostCommented"):
            spoken[space, fields["author_id"]].append(at)
        for space, at, fields in self.of("LivestreamInteraction"):
            if fields["kind"] == "CHAT":
                spoken[space, fields["member_id"]].append(at)
        for space, at, fields in self.of("ProductPurchased"):
            bought[space, fields["buyer_id"]].append(at)
        rows = []
        for month in sorted({month_of(at) for at in joined.values()}):
            mine = {key: at for key, at in joined.items() if month_of(at) == month}
            spoke = sum(1 for key, at in mine.items() if within(7, spoken[key], at))
            delays = [min(found) - at for key, at in mine.items() if (found := within(30, bought[key], at))]
            median = statistics.median_low(delays) / DAY if delays else None
            days = None if median is None else decimal.Decimal(median).quantize(decimal.Decimal("0.1"), ROUND)
            rows.append((month, len(mine), spoke, len(delays), percent(len(delays), len(mine)), days))
        return rows

    # Livestreams

    def interactions(self):
        streams = collections.defaultdict(list)
        for space, at, fields in self.of("LivestreamInteraction"):
            if self.since <= at < self.until:
                streams[space, fields["stream_id"]].append((at, fields))
        return streams

    def livestream_peaks(self):
        peaks = {(s, f["stream_id"]): f["peak_viewers"] for s, at, f in self.of("LivestreamEnded") if self.since <= at < self.until + DAY}
        rows = []
        for (space, stream), found in self.interactions().items():
            minutes = collections.Counter(at.replace(second=0, microsecond=0) for at, _ in found)
            minute, most = min(minutes.items(), key=lambda item: (-item[1], item[0]))
            tips = sum(fields["tip"]["amount"] for _, fields in found if fields["tip"])
            if (space, stream) in peaks:
                rows.append((self.names[space], stream, peaks[space, stream], minute, most, len(found), tips))
        return sorted(rows, key=lambda r: (-r[2], r[1].bytes))[:20]

    def livestream_concurrency(self):
        rows = []
        for (space, stream), found in self.interactions().items():
            visits = collections.defaultdict(list)
            for at, fields in found if space == self.space else []:
                visits[fields["member_id"]].append(at)
            changes = [(min(ats), -1, 1) for ats in visits.values()] + [(max(ats), 1, -1) for ats in visits.values()]
            viewers, best = 0, (0, None)
            for at, _, change in sorted(changes):
                viewers += change
                if viewers > best[0]:
                    best = viewers, at
            if visits:
                rows.append((stream, *best))
        return sorted(rows, key=lambda r: r[0].bytes)
