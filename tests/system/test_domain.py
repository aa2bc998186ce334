# SPDX-License-Identifier: Apache-2.0
"""The shipped domain: the lock of its schemas, the ledger's rules by example, and that what docs/ says is so."""

import json
import pathlib
import re
import shutil
import subprocess
import uuid

import pytest

import events
from harness import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]


# schemas/lock


@pytest.fixture
def schemas(tmp_path):
    copy = tmp_path / "schemas"
    shutil.copytree(ROOT / "schemas", copy)
    return copy


def lock(schemas, *arguments):
    return subprocess.run([schemas / "lock", *arguments], capture_output=True, text=True, timeout=60)


def test_the_lock_is_whole(schemas):
    done = lock(schemas, "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_new_version_gets_the_next_id(schemas):
    before = (schemas / "catalog.lock").read_text()
    shutil.copy(schemas / "space/SpaceCreated/1.avsc", schemas / "space/SpaceCreated/2.avsc")
    assert lock(schemas, "--check").returncode == 3
    assert lock(schemas).returncode == 0
    after = (schemas / "catalog.lock").read_text()
    assert after.startswith(before)
    assert re.fullmatch(rf"{len(before.splitlines()) + 1} [0-9a-f]{{64}} space/SpaceCreated/2\n", after[len(before) :])
    assert lock(schemas, "--check").returncode == 0


@pytest.mark.parametrize("harm", ["edit", "remove"])
def test_a_locked_version_stays_as_it_is(schemas, harm):
    path = schemas / "space/SpaceCreated/1.avsc"
    if harm == "edit":
        path.write_text(path.read_text() + "\n")
    else:
        path.unlink()
    for arguments in ((), ("--check",)):
        done = lock(schemas, *arguments)
        assert done.returncode == 3 and "space/SpaceCreated/1.avsc" in done.stderr


# The ledger, by example


class Space:
    """A Space of one test, whose events go through the gateway."""

    def __init__(self, stack):
        self.stack = stack
        self.id = str(uuid.uuid4())

    def send(self, event, **body):
        answer = self.stack.post(self.id, event, body)
        assert answer.status_code == 202, answer.text

    def buy(self, purchase, total, **body):
        item = {"product_id": str(uuid.uuid4()), "quantity": 1, "unit_price": total}
        fields = {"purchase_id": purchase, "buyer_id": str(uuid.uuid4()), "items": [item], "currency": "EUR", "total": total}
        self.send("ProductPurchased", **fields, **body)

    def refund(self, purchase, amount, currency="EUR"):
        ids = {"refund_id": str(uuid.uuid4()), "purchase_id": purchase, "buyer_id": str(uuid.uuid4())}
        self.send("PurchaseRefunded", **ids, amount=amount, currency=currency)

    def balances(self, currency):
        """{account: balance}, a member's by its id, once every event is in."""
        self.stack.wait_drained("ledger")
        rows = self.stack.psql(
            "SELECT CASE account WHEN 'member' THEN owner_id::text ELSE account END, balance FROM ledger.account "
            "WHERE space_id = %s AND currency = %s",
            self.id,
            currency,
        )
        return {account: balance for account, balance in rows if balance != 0}

    def problems(self):
        rows = self.stack.psql("SELECT problem, suspense FROM ledger.suspense WHERE space_id = %s", self.id)
        return sorted(rows)


@pytest.fixture(scope="module")
def running(module_stack):
    module_stack.start_gateway()
    module_stack.start_processors()
    return module_stack


@pytest.fixture
def space(running):
    return Space(running)


def test_a_purchase_is_shared_and_a_refund_takes_back_from_each(space):
    purchase, referrer = str(uuid.uuid4()), str(uuid.uuid4())
    space.buy(purchase, 1999, referrer_id=referrer)
    assert space.balances("EUR") == {"clearing": -1999, "fee": 99, referrer: 199, "space": 1701}
    space.refund(purchase, 1000)
    assert space.balances("EUR") == {"clearing": -999, "fee": 50, referrer: 100, "space": 849}
    space.refund(purchase, 999)
    assert space.balances("EUR") == {}
    assert space.problems() == []


def test_a_refund_beyond_its_purchase_goes_to_suspense(space):
    purchase = str(uuid.uuid4())
    space.buy(purchase, 1000)
    space.refund(purchase, 700)
    space.refund(purchase, 500)
    assert space.balances("EUR") == {"clearing": 200, "suspense": -200}
    assert space.problems() == [("refund larger than what is left", -200)]


def test_refunds_that_fit_no_purchase_go_to_suspense(space):
    purchase = str(uuid.uuid4())
    space.refund(purchase, 300)
    space.buy(purchase, 1000)
    space.refund(purchase, 400, "USD")
    space.buy(purchase, 500)
    assert space.balances("EUR") == {"clearing": -1200, "fee": 50, "space": 950, "suspense": 200}
    assert space.balances("USD") == {"clearing": 400, "suspense": -400}
    assert space.problems() == [
        ("purchase id used twice", 500),
        ("refund in another currency", -400),
        ("refund of an unknown purchase", -300),
    ]


def test_an_invalid_purchase_leaves_its_id_to_a_valid_one(space):
    purchase = str(uuid.uuid4())
    space.buy(purchase, 1000, fee_bps=9500)  # and the referrer's share: more than all of it
    space.buy(purchase, 1000)
    space.buy(purchase, 700)
    assert space.balances("EUR") == {"clearing": -1700, "fee": 50, "space": 950, "suspense": 700}
    assert space.problems() == [("invalid amount", 0), ("purchase id used twice", 700)]


def test_a_purchase_of_another_space_is_unknown(running):
    purchase, one, other = str(uuid.uuid4()), Space(running), Space(running)
    one.buy(purchase, 1000)
    other.refund(purchase, 1000)
    other.balances("EUR")
    assert one.problems() == []
    assert other.problems() == [("refund of an unknown purchase", -1000)]


def test_credits_beyond_what_is_held_come_from_suspense(space):
    anna, ben = str(uuid.uuid4()), str(uuid.uuid4())
    space.send("CreditsTransferred", to_member_id=anna, credits=100)
    space.send("CreditsTransferred", from_member_id=anna, to_member_id=ben, credits=130)
    space.send("CreditsSpent", member_id=ben, credits=50, purpose="a song")
    assert space.balances("CREDIT") == {"clearing": -100, "space": 50, "suspense": -30, ben: 80}
    assert space.problems() == [("handover without funds", -30)]


def test_memberships_and_tips_pay_a_fee(space):
    member = str(uuid.uuid4())
    space.send("MemberJoined", member_id=member, display_name="Mia", payment={"amount": 900, "currency": "EUR"})
    tip = {"stream_id": str(uuid.uuid4()), "kind": "TIP", "tip": {"amount": 200, "currency": "EUR"}}
    space.send("LivestreamInteraction", member_id=member, **tip)
    assert space.balances("EUR") == {"clearing": -1100, "fee": 55, "space": 1045}


def test_a_refund_reads_its_purchase_alone(running):
    """However large the ledger has become since its plans were made."""
    purchase, space = str(uuid.uuid4()), Space(running)
    space.buy(purchase, 1000)
    space.refund(purchase, 100)
    running.run("simulate", "--target", "kafka", "--events", 15000, "--rate", 15000, "--seed", 7)
    running.wait_drained("ledger")
    read = "SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'transfer_purchase' AND schemaname = 'ledger_1'"
    # a session counts what it read up to ten seconds late, and then all of it: a refund of no interest brings that about
    [(scans, _)] = running.psql(read)
    space.refund(purchase, 50)
    wait_until(lambda: running.psql(read)[0][0] > scans, 60, "what was read until now is counted")
    [(scans, rows)] = running.psql(read)
    space.refund(purchase, 150)
    assert space.balances("EUR") == {"clearing": -700, "fee": 35, "space": 665}
    wait_until(lambda: running.psql(read)[0][0] > scans, 60, "the refund is counted")
    assert running.psql(read)[0][1] - rows < 10
    assert running.value("SELECT count(*) FROM ledger_1.transfer WHERE kind = 'purchase'") > 2000


def test_all_of_it_as_one_batch_gives_the_same(running):
    """A rebuild folds what the tests before sent at once, without an index on purchase ids."""
    report = json.loads(running.run("rebuild", "ledger", "--verify", "--no-swap", "-o", "json").stdout)
    assert report["verified"] == "equal" and report["findings"] == [] and "stage" in report["phases"]
    problems = "SELECT problem, count(*) FROM ledger_2.transfer WHERE problem IS NOT NULL GROUP BY 1"
    assert len(dict(running.psql(problems))) >= 5
    running.run("rebuild", "ledger", "--abandon")


# What the documents say


def test_the_table_of_events_is_the_catalog():
    row = re.compile(r"^\| ?\w* ?\| (\w+) \| (public|service|internal) \|", re.M)
    rows = row.findall((ROOT / "docs/events.md").read_text())
    assert sorted(rows) == sorted((name, version.ingest) for name, version in events.NEWEST.items())


@pytest.mark.parametrize("processor", ["ledger", "analytics", "overview"])
def test_every_column_is_explained(running, processor):
    silent = running.psql(
        "SELECT n.nspname, c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "WHERE n.nspname = %s AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)",
        processor,
    )
    assert silent == []
