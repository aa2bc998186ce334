# SPDX-License-Identifier: Apache-2.0
"""weir schema check and new: on the catalog as it is, and on drafts that break this and that.

Those that take `stack` compile SQL in its database; the others need none.
"""

import json
import re
import shutil
import subprocess

import psycopg
import pytest

from harness import ROOT
from test_schema import weir

EVENT = "schemas/commerce/ProductPurchased"


@pytest.fixture
def home(tmp_path):
    for name in ("schemas", "sql"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def newest(home):
    return max((home / EVENT).glob("*.avsc"), key=lambda path: int(path.stem))


def draft(home, change):
    """The next version of ProductPurchased: the newest, changed by `change`, which gets its fields by name."""
    before = newest(home)
    schema = json.loads(before.read_text())
    fields = {field["name"]: field for field in schema["fields"]}
    change(fields)
    schema["fields"] = list(fields.values())
    after = before.with_name(f"{int(before.stem) + 1}.avsc")
    after.write_text(json.dumps(schema, indent=2))
    return after


def check(home, *words, database=""):
    code, out, err = weir("check", "-o", "json", "--database", database, *words, cwd=home)
    return code, json.loads(out) if out else None, err


def test_whole_catalog_keeps_its_promise(stack):
    """Every version of every event, and every processor's SQL, as they are in this checkout."""
    code, out, err = weir("check", cwd=ROOT, env=stack.env)
    assert code == 0, out + err
    assert ": BACKWARD_TRANSITIVE holds; every processor's SQL compiles" in out


def test_catalog_without_a_database():
    code, report, _ = check(ROOT)
    assert (code, report["breaks"], report["processors"]) == (0, [], [])
    assert report["versions"] == len(list((ROOT / "schemas").glob("*/*/*.avsc")))


def test_draft_that_breaks_nobody(home):
    def add(fields):
        fields["coupon"] = {"name": "coupon", "type": ["null", "string"], "x-length-max": 20, "default": None, "doc": "The coupon."}

    draft(home, add)
    code, report, _ = check(home, "ProductPurchased", "--compatibility", "FULL_TRANSITIVE")
    assert (code, report["breaks"], report["changes"]) == (0, [], [])


def test_break_is_explained(home):
    def retype(fields):
        fields["total"] = {"name": "total", "type": "string", "x-length-max": 20, "doc": "The total."}

    draft(home, retype)
    code, report, _ = check(home)
    [found] = report["breaks"]
    assert code == 3
    assert (found["path"], found["direction"]) == ("total", "BACKWARD")
    assert found["versions"] == [int(newest(home).stem) - 1 - i for i in range(len(found["versions"]))]
    assert found["reason"].startswith("long → string") and "add a field" in found["instead"]
    for user in found["processors"]:
        line = (home / user["file"]).read_text().splitlines()[user["line"] - 1]
        assert re.search(r"\btotal\b", line), user
    assert {user["processor"] for user in found["processors"]} == {"ledger", "analytics", "overview"}
    code, out, _ = weir("check", "--database", "", cwd=home)
    assert code == 3 and "BREAK  ProductPurchased.total: long → string" in out and "ledger (sql/processors/ledger/apply.sql:" in out


def test_tighter_limits_break_producers(home):
    """Not those who read: so whatever the mode is, but for NONE, and only against the version before."""

    def tighten(fields):
        line = fields["items"]["type"]["items"]["fields"]
        line[1]["x-maximum"] = 100
        line[3]["x-pattern"] = "^[a-z ]*$"
        fields["items"]["x-items-max"] = 300
        fields["currency"]["x-length-max"] = 4
        del fields["currency"]["x-pattern"]

    draft(home, tighten)
    for mode in ("BACKWARD", "FORWARD_TRANSITIVE"):
        code, report, err = check(home, "--compatibility", mode)
        assert code == 3, err
        reasons = {found["path"]: found["reason"] for found in report["breaks"]}
        assert reasons == {
            "items[].quantity": "from 1 to 10000 → from 1 to 100: producers are refused what they could send until now",
            "items[].label": "at most 200 characters → at most 200 characters, matching ^[a-z ]*$: producers are refused what "
            "they could send until now",
        }
        assert {(found["direction"], *found["versions"]) for found in report["breaks"]} == {("PRODUCERS", int(newest(home).stem) - 1)}
        assert report["changes"] == []
    assert check(home, "--compatibility", "NONE")[0] == 0
    out = weir("check", "--database", "", cwd=home)[1]
    assert "BREAK  ProductPurchased.items[].quantity: from 1 to 10000 → from 1 to 100: producers" in out
    said = json.loads(weir("diff", "ProductPurchased", "-o", "json", cwd=home)[1])["changes"]
    assert [(one["change"], one["path"], one["text"]) for one in said] == [
        ("looser", "items", "at most 200 items → at most 300 items"),
        ("tighter", "items[].quantity", "from 1 to 10000 → from 1 to 100"),
        ("tighter", "items[].label", "at most 200 characters → at most 200 characters, matching ^[a-z ]*$"),
        ("looser", "currency", "at most 3 characters, matching ^[A-Z]{3}$ → at most 4 characters"),
    ]
    # published all the same: a check that runs once the version has its id still says it
    subprocess.run([home / "schemas/lock"], check=True, capture_output=True, timeout=60)
    assert check(home)[0] == 3


@pytest.mark.parametrize("harm, words", [
    (lambda fields: fields["currency"].pop("x-length-max"), "ProductPurchased.currency: the string has no limit: say \"x-length-max\""),
    (lambda fields: fields["total"].pop("x-maximum"), "ProductPurchased.total: the long has no limit: say \"x-maximum\""),
    (lambda fields: fields["items"].pop("x-items-max"), "ProductPurchased.items: the array has no limit: say \"x-items-max\""),
    (lambda fields: fields["items"]["type"]["items"]["fields"][3].pop("x-length-max"),
     "ProductPurchased.items[].label: the string has no limit"),
    (lambda fields: fields["meta"]["type"]["fields"][3].update({"x-pii": True}), "ProductPurchased.meta.actor: x-pii names the field"),
    (lambda fields: fields["currency"].update({"x-pattern": "^[A-Z{3}$"}), "ProductPurchased.currency: x-pattern: ^[A-Z{3}$ is no pattern: a [ has no ]"),
    (lambda fields: fields["fee_bps"].update({"x-minimum": 501}), "ProductPurchased.fee_bps: the default breaks the limits"),
])  # fmt: skip
def test_what_has_no_limits_is_refused(home, harm, words):
    file = draft(home, harm)
    code, _, err = check(home)
    assert code == 2 and f"schemas/commerce/ProductPurchased/{file.name}: {words}" in err, err


def test_mode_decides(home):
    def add_required_by_old(fields):
        del fields["currency"]

    draft(home, add_required_by_old)
    assert check(home, "--compatibility", "BACKWARD")[0] == 0
    assert check(home, "--compatibility", "NONE")[0] == 0
    code, report, _ = check(home, "--compatibility", "FORWARD")
    assert code == 3 and [found["path"] for found in report["breaks"]] == ["currency"]
    # not a break for Avro, but somebody may notice
    assert {user["processor"] for user in report["changes"][0]["processors"]} >= {"ledger"}
    assert check(home, "--compatibility", "SIDEWAYS")[0] == 2


def test_removed_field_breaks_sql(home, stack):
    """Lawful for Avro; Postgres knows better. Nothing of the attempt stays."""

    def remove(fields):
        del fields["fee_bps"]

    draft(home, remove)
    tables = "SELECT oid FROM pg_class UNION ALL SELECT oid FROM pg_namespace UNION ALL SELECT oid FROM pg_type ORDER BY 1"
    before = stack.psql(tables)
    code, report, err = check(home, database=stack.env["WEIR_DATABASE"])
    assert code == 3, err
    assert report["breaks"] == [] and report["compiled"]
    faults = {fault["processor"]: fault["reason"] for fault in report["processors"]}
    assert list(faults) == ["ledger"]
    place = re.match(r'sql/processors/ledger/apply\.sql: statement at line (\d+): column \S*fee_bps"? does not exist', faults["ledger"])
    assert place, faults
    statement = (home / "sql/processors/ledger/apply.sql").read_text().splitlines()[int(place[1]) - 1 :]
    assert any("fee_bps" in line for line in statement)
    assert stack.psql(tables) == before


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("name", ["views.sql", "checks.sql", "screen.sql"])
def test_all_sql_is_compiled(home, stack, name):
    """What is shown, checked and screened, with the place of the fault; and nothing of it in what is published."""
    folder = home / "sql/processors/analytics"
    if name == "views.sql":
        edit(folder / name, "channel, stream_id, referrer_id\nFROM commerce;", "channel, no_such_column, referrer_id\nFROM commerce;")
    elif name == "checks.sql":
        edit(folder / name, "FROM ", "FROM no_such_column, ")
    else:
        (folder / name).write_text("-- What breaks a rule\nSELECT seq, 'why' AS reason\nFROM product_purchased WHERE no_such_column;\n")
    views = "SELECT schemaname, viewname, definition FROM pg_views WHERE schemaname NOT LIKE 'pg_%' ORDER BY 1, 2"
    before = stack.psql(views)
    code, report, err = check(home, database=stack.env["WEIR_DATABASE"])
    assert code == 3 and report["breaks"] == [], err
    [fault] = report["processors"]
    assert fault["processor"] == "analytics" and "no_such_column" in fault["reason"]
    line = int(re.match(rf"sql/processors/analytics/{re.escape(name)}\D*(\d+): ", fault["reason"])[1])
    lines = (folder / name).read_text().splitlines()
    # of views the very line; of checks and screens that of the statement
    found = lines[line - 1 : line] if name == "views.sql" else lines[line - 1 :]
    assert any("no_such_column" in text for text in found), fault
    assert stack.psql(views) == before


def test_retyped_field_breaks_sql(home, stack):
    def retype(fields):
        values = {"type": "string", "x-length-max": 9}
        fields["referrer_id"]["type"] = ["null", {"type": "map", "values": values, "x-items-max": 9, "x-length-max": 9}]

    draft(home, retype)
    code, report, err = check(home, "--compatibility", "NONE", database=stack.env["WEIR_DATABASE"])
    assert code == 3, err
    assert {fault["processor"] for fault in report["processors"]} >= {"ledger"}


def test_database_that_weir_never_saw(home, stack):
    with psycopg.connect(stack.database, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS bare")
        connection.execute("CREATE DATABASE bare OWNER weir_owner")
    bare = stack.env["WEIR_DATABASE"].replace("dbname=weir", "dbname=bare")
    code, report, err = check(home, database=bare)
    assert (code, report and report["compiled"]) == (0, True), err
    with psycopg.connect(bare + " user=weir") as connection:
        assert connection.execute("SELECT to_regnamespace('weir')").fetchone() == (None,)


def test_database_that_was_named_must_answer(home):
    code, _, err = check(home, database="host=127.0.0.1 port=1 dbname=weir user=weir")
    assert code == 1 and "port 1" in err


def test_new_draft(home):
    before = newest(home)
    code, out, _ = weir("new", "ProductPurchased", cwd=home)
    after = home / out.splitlines()[0]
    assert code == 0 and after == before.with_name(f"{int(before.stem) + 1}.avsc") and "schemas/lock" in out
    # nothing but the new field differs, and it must be named and explained before anything else
    old, new = before.read_text(), after.read_text()
    start = next(i for i, (a, b) in enumerate(zip(old, new)) if a != b)
    assert new[:start] == old[:start] and new.endswith(old[start:])
    code, _, err = check(home)
    assert code == 2 and f"{after.stem}.avsc" in err and "new_field has no doc" in err
    after.write_text(new.replace('"doc": ""', '"doc": "Why it was bought."').replace("new_field", "occasion"))
    assert check(home)[0] == 0
    assert weir("new", "ProductPurchased", cwd=home)[0] == 2  # still a draft
    listed = {event["event"]: event["versions"] for event in json.loads(weir("list", "-o", "json", cwd=home)[1])}
    assert [version["draft"] for version in listed["ProductPurchased"]] == [False] * int(before.stem) + [True]


def test_new_draft_of_every_event(home):
    for event in json.loads(weir("list", "-o", "json", cwd=home)[1]):
        code, out, err = weir("new", event["event"], "-o", "json", cwd=home)
        assert code == 0, err
        made = json.loads(out)
        schema = json.loads((home / made["file"]).read_text())
        assert schema["fields"][-1]["name"] == "new_field" and made["version"] == len(event["versions"]) + 1
        (home / made["file"]).unlink()


def test_new_in_another_folder(home, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert weir("new", "ProductPurchased", cwd=elsewhere)[0] == 2  # nowhere to write to
    code, out, _ = weir("new", "ProductPurchased", "--home", home, cwd=elsewhere)
    assert code == 0 and f"{home}/schemas/lock" in out
    assert weir("new", "Nothing", cwd=home)[0] == 2
