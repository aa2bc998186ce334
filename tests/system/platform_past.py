# SPDX-License-Identifier: Apache-2.0
"""A small platform's past, made up event by event, and what analysts' questions must answer about it.

The events span six months in three Spaces and go to the topics as a producer of the platform's own would write them, some
of them late. The answers are computed from the same events in plain Python, by the words of docs/questions-*.md.
"""

import collections
import datetime
import random
import uuid

import events

UTC = datetime.timezone.utc
START = datetime.datetime(2025, 1, 1, tzinfo=UTC)
END = datetime.datetime(2025, 7, 1, tzinfo=UTC)
SPAN = END - START
MONTHS = [datetime.datetime(2025, month, 1, tzinfo=UTC) for month in range(1, 8)]
DAY = datetime.timedelta(days=1)
MINUTE = datetime.timedelta(minutes=1)
PAYING = ("MemberJoined", "MembershipUpgraded", "MembershipRenewed")


def month_of(at):
    return at.date().replace(day=1)


def later(month, count):
    """The first of the month so many months after that of a moment."""
    number = month.year * 12 + month.month - 1 + count
    return datetime.datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)


def a_month_after(at):
    first = later(at, 1)
    last_day = (later(at, 2) - DAY).day
    return first.replace(day=min(at.day, last_day), hour=at.hour, minute=at.minute, second=at.second, microsecond=at.microsecond)


class Past:
    def __init__(self, seed=11):
        self.random = random.Random(seed)
        self.events = []
        self.spaces = []
        for name, currency, size in (("Clay", "EUR", 60), ("Chess", "USD", 25), ("Haiku", "JPY", 8)):
            self.make_space(name, currency, size)
        self.events.sort(key=lambda e: e["at"])
        # some come late: the topics hold them in another order than that in which they happened
        for i in range(5, len(self.events) - 1, 23):
            if self.events[i]["event"] in ("LivestreamInteraction", "PostCommented", "MemberJoined"):
                self.events[i], self.events[i + 1] = self.events[i + 1], self.events[i]

    def id(self):
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    def moment(self, start=START, end=END):
        return start + (end - start) * self.random.random()

    def add(self, at, event, **fields):
        if at < END:
            self.events.append({"at": at, "event": event, "space": self.space, "id": self.id(), "fields": fields})

    def money(self, amount):
        return {"amount": amount, "currency": self.currency}

    # What happens

    def make_space(self, name, currency, size):
        self.space, self.currency = self.id(), currency
        self.spaces.append((self.space, name))
        self.members = [(self.id(), self.moment()) for _ in range(size)]
        self.add(START, "SpaceCreated", name=name, owner_id=self.members[0][0], currency=currency)
        self.products = [self.id() for _ in range(5)]
        for number, (member, joined) in enumerate(self.members):
            self.make_member(member, joined, number)
        for _ in range(size * 3):
            self.make_purchase()
        for _ in range(size // 4):
            self.make_stream()
        for _ in range(size // 4):
            self.make_post()
        self.make_credits()

    def make_member(self, member, at, number):
        tier = self.random.choice(["free", "free", "silver", "gold"])
        price = {"free": 0, "silver": 500, "gold": 1500}[tier]
        stays = self.random.expovariate(1 / 90) * DAY
        payment = self.money(price) if price else None
        self.add(at, "MemberJoined", member_id=member, display_name=f"M{number}", tier=tier, payment=payment)
        due = a_month_after(at)
        while price and due < at + stays:
            term = {"period_start": due.date(), "period_end": a_month_after(due).date()}
            if number % 9 == 0:  # a year at once
                term["period_end"] = due.date().replace(year=due.year + 1)
                payment = self.money(price * 10)
            self.add(due, "MembershipRenewed", member_id=member, tier=tier, payment=payment, **term)
            if number % 9 == 0:
                break
            due = a_month_after(due)
        if tier == "silver" and number % 2:
            self.add(at + stays / 2, "MembershipUpgraded", member_id=member, from_tier=tier, to_tier="gold", payment=self.money(1500))
        self.add(at + stays, "MembershipCancelled", member_id=member, reason="BY_MEMBER")
        if number % 5 == 0:
            self.add(at + stays + 3 * DAY, "MembershipCancelled", member_id=member, reason="BY_SPACE")
            self.add(at + stays + 20 * DAY, "MemberJoined", member_id=member, display_name=f"M{number}", tier="free", payment=None)

    def make_purchase(self):
        member, joined = self.random.choice(self.members)
        at, purchase = self.moment(max(joined - 2 * DAY, START), END), self.id()
        items = [
            {"product_id": self.random.choice(self.products), "quantity": self.random.randint(1, 3), "unit_price": self.random.randint(1, 5000)}
            for _ in range(self.random.randint(1, 2))
        ]
        total = sum(item["quantity"] * item["unit_price"] for item in items)
        referrer = self.random.choice(self.members)[0] if self.random.random() < 0.2 else None
        self.add(at, "ProductPurchased", purchase_id=purchase, buyer_id=member, items=items, currency=self.currency, total=total,
                 discount=0, fee_bps=500, referrer_id=referrer, referral_bps=1000, channel="WEB", stream_id=None)
        for _ in range(self.random.choice([0, 0, 0, 1, 2])):
            at += 10 * DAY * self.random.random()
            amount = self.random.choice([total, total // 2, total // 3])
            self.add(at, "PurchaseRefunded", refund_id=self.id(), purchase_id=purchase, buyer_id=member, amount=amount, currency=self.currency)
        if self.random.random() < 0.02:
            self.add(at, "PurchaseRefunded", refund_id=self.id(), purchase_id=self.id(), buyer_id=member, amount=77, currency=self.currency)

    def make_stream(self):
        stream, at = self.id(), self.moment()
        length = self.random.randint(20, 90) * MINUTE
        self.add(at, "LivestreamStarted", stream_id=stream, title="Live", host_id=self.members[0][0])
        for _ in range(self.random.randint(5, 60)):
            kind = self.random.choice(["CHAT", "CHAT", "REACTION", "TIP"])
            tip = self.money(self.random.randint(50, 900)) if kind == "TIP" else None
            self.add(at + length * self.random.random() ** 2, "LivestreamInteraction", stream_id=stream, kind=kind,
                     member_id=self.random.choice(self.members)[0], tip=tip, fee_bps=500)
        self.add(at + length, "LivestreamEnded", stream_id=stream, duration_seconds=int(length.total_seconds()),
                 peak_viewers=self.random.randint(1, 999), average_viewers=0.5)

    def make_post(self):
        post, at = self.id(), self.moment()
        self.add(at, "PostPublished", post_id=post, author_id=self.random.choice(self.members)[0], title="T", body="B", tags=[])
        for _ in range(self.random.randint(0, 6)):
            member = self.random.choice(self.members)[0]
            self.add(at + DAY * self.random.random(), "PostCommented", post_id=post, comment_id=self.id(), author_id=member, body="!")

    def make_credits(self):
        for member, joined in self.members[::3]:
            at = self.moment(joined, END)
            self.add(at, "CreditsTransferred", from_member_id=None, to_member_id=member, credits=100)
            self.add(at + DAY, "CreditsSpent", member_id=member, credits=self.random.choice([40, 130]), purpose="a song")

    def messages(self):
        """What stack.produce takes."""
        for e in self.events:
            version, key = events.NEWEST[e["event"]], str(e["space"]).encode()
            value = events.make_record(e["event"], self.whole(e, version), event_id=e["id"], occurred_at=e["at"])
            yield version.topic, events.partition_of(key), key, value, None

    @staticmethod
    def whole(event, version):
        """The fields with defaults where the event names none."""
        return {f["name"]: event["fields"].get(f["name"], f.get("default")) for f in version.fields}
