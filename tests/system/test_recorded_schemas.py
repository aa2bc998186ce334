# SPDX-License-Identifier: Apache-2.0
"""What a database has recorded about schemas never changes: `weir migrate` refuses a build that says otherwise, in
whatever order ids and versions disagree, and records nothing then."""

import pytest

RECORDED = "SELECT schema_id, event, version, fingerprint FROM weir.schema ORDER BY 1"


@pytest.fixture
def database(stack):
    stack.end_all()
    stack.dirty = True
    stack.new_database()
    stack.run("migrate")
    return stack


def swap(stack, one, other):
    """Gives two recorded versions each other's ids."""
    for before, after in ((one, -1), (other, one), (-1, other)):
        stack.psql("UPDATE weir.schema SET schema_id = %s WHERE schema_id = %s RETURNING 1", after, before)


def refused(stack):
    before = stack.psql(RECORDED)
    done = stack.run("migrate", check=False)
    assert done.returncode == 2 and "never change" in done.stderr, done.stdout + done.stderr
    assert stack.psql(RECORDED) == before
    return done.stderr


def test_a_version_under_another_id_is_refused(database):
    ids = [row[0] for row in database.psql(RECORDED)]
    first, last = ids[0], ids[-1]
    for recorded in (first, last, ids[len(ids) // 2]):
        for other in (last + 1000, 0):  # behind all that the build has, and before
            event, version = database.psql("UPDATE weir.schema SET schema_id = %s WHERE schema_id = %s "
                                           "RETURNING event, version", other, recorded)[0]
            assert f"{event} version {version} has id {other} in this database, but {recorded} here" in refused(database)
            database.psql("UPDATE weir.schema SET schema_id = %s WHERE schema_id = %s RETURNING 1", recorded, other)
    database.run("migrate")


def test_ids_of_each_other_are_refused(database):
    ids = [row[0] for row in database.psql(RECORDED)]
    versions = {}
    for schema_id, event, version, _ in database.psql(RECORDED):
        versions.setdefault(event, []).append(schema_id)
    of_one_event = next(same for same in versions.values() if len(same) > 1)
    for one, other in ((ids[0], ids[-1]), (ids[-1], ids[0]), of_one_event[:2]):
        swap(database, one, other)
        refused(database)
        swap(database, one, other)
    database.run("migrate")


def test_another_text_and_a_foreign_event_are_refused(database):
    schema_id, event, version, fingerprint = database.psql(RECORDED)[0]
    database.psql("UPDATE weir.schema SET fingerprint = repeat('0', 64) WHERE schema_id = %s RETURNING 1", schema_id)
    assert "with another text" in refused(database)
    database.psql("UPDATE weir.schema SET fingerprint = %s WHERE schema_id = %s RETURNING 1", fingerprint, schema_id)
    database.psql("UPDATE weir.schema SET event = 'SomethingElse' WHERE schema_id = %s RETURNING 1", schema_id)
    assert f"schema id {schema_id} is SomethingElse version {version} in this database" in refused(database)
    database.psql("UPDATE weir.schema SET event = %s WHERE schema_id = %s RETURNING 1", event, schema_id)
    database.run("migrate")


def test_what_a_newer_build_recorded_stays(database):
    newer = database.value("SELECT max(schema_id) + 1 FROM weir.schema")
    database.psql("INSERT INTO weir.schema (schema_id, event, domain, version, fingerprint, definition) "
                  "VALUES (%s, 'ProductPurchased', 'commerce', 999, repeat('1', 64), '{}') RETURNING 1", newer)
    database.run("migrate")
    assert database.psql("SELECT version FROM weir.schema WHERE schema_id = %s", newer) == [(999,)]
