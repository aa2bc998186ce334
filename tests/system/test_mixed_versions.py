# SPDX-License-Identifier: Apache-2.0
"""An event evolves while everything runs: builds with its versions 1, 2 and 3 publish and fold at the same time.

Producers never stop, and all builds' processors are members of one group, which the partitions move between. SongPlayed is an event of this test's own. Version 2 adds `quality` with a default; version 3 adds `mood`, and renames both
`seconds` and `quality`, with aliases. Each build has a processor `plays` that uses the fields of its newest version; the
processor's own version stays 1, so all builds fold into the same tables, and each row tells who wrote it.
"""

import itertools
import json
import shutil
import subprocess
import threading
import uuid

import fastavro
import pytest
import requests

import events
from harness import free_port, make_home, wait_until

TOPIC = "weir.community"
RATE = 30  # events a second of each producer
FAST = ("--session-timeout", "6s")
SPACES = [str(uuid.uuid5(uuid.NAMESPACE_URL, f"mixed {i}")) for i in range(24)]
HERE = SPACES[0]
PARTITION = events.partition_of(HERE.encode())
HERE_ONLY = [space for space in SPACES if events.partition_of(space.encode()) == PARTITION]
ELSEWHERE = [space for space in SPACES if space not in HERE_ONLY]

TRACK = {"name": "track", "type": "string", "x-length-max": 100, "doc": "The track."}
SECONDS = {"name": "seconds", "type": "int", "x-minimum": 0, "x-maximum": 10**6, "doc": "How long it was heard."}
QUALITY = {"name": "quality", "type": "string", "x-length-max": 100, "default": "plain", "doc": "How good it sounded."}
MOOD = {"name": "mood", "type": ["null", "string"], "x-length-max": 100, "default": None, "doc": "What it felt like."}
RENAMED = dict(SECONDS, name="duration_s", aliases=["seconds"])
FIELDS = {
    1: [TRACK, SECONDS],
    2: [TRACK, SECONDS, QUALITY],
    3: [MOOD, dict(QUALITY, name="sound", aliases=["quality"]), TRACK, RENAMED],
    # what a build with version 3 can read in part, and not at all
    4: [dict(TRACK, type=["null", "string"]), RENAMED],
    5: [dict(TRACK, type=["null", "string"]), dict(RENAMED, type="long")],
}
# what the processor of each build writes into the columns seconds, sound and mood
COLUMNS = {
    1: "seconds, NULL, NULL",
    2: "seconds, quality, NULL",
    3: "duration_s, sound, mood",
    4: "duration_s, NULL, NULL",
    5: "duration_s, NULL, NULL",
}
PLAYS = {
    "processor.conf": "version = 1\ndescription = Who heard what\nconsumes = SongPlayed\n",
    "tables.sql": """CREATE TABLE play (
    space_id uuid NOT NULL, event_id uuid NOT NULL, track text NOT NULL, seconds bigint NOT NULL,
    sound text, mood text, build integer NOT NULL, PRIMARY KEY (space_id, event_id)
);
CREATE TABLE total (space_id uuid PRIMARY KEY, plays bigint NOT NULL, seconds bigint NOT NULL);
""",
    "views.sql": "CREATE OR REPLACE VIEW plays.total AS SELECT space_id, plays, seconds FROM total;\n",
    "apply.sql": """INSERT INTO play (space_id, event_id, track, seconds, sound, mood, build)
SELECT space_id, event_id, coalesce(track, 'unknown'), {columns}, {build} FROM song_played;
INSERT INTO total AS t (space_id, plays, seconds)
SELECT space_id, count(*), sum({seconds}) FROM song_played GROUP BY space_id ORDER BY space_id
ON CONFLICT (space_id) DO UPDATE SET plays = t.plays + excluded.plays, seconds = t.seconds + excluded.seconds;
""",
    "checks.sql": """-- name: totals are those of the plays
(SELECT space_id, plays, seconds FROM total EXCEPT SELECT space_id, count(*), sum(seconds) FROM play GROUP BY space_id)
UNION ALL
(SELECT space_id, count(*), sum(seconds) FROM play GROUP BY space_id EXCEPT SELECT space_id, plays, seconds FROM total);
""",
}


def definition(version):
    meta = events.NEWEST["PostReacted"].definition["fields"][0]
    return {"type": "record", "name": "SongPlayed", "namespace": TOPIC, "doc": "Somebody heard a song.",
            "x-ingest": "public", "fields": [meta, *FIELDS[version]]}  # fmt: skip


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """{n: the folder of the build that knows versions 1 to n}; ids come from schemas/lock."""
    folder, homes = tmp_path_factory.mktemp("builds"), {}
    for build in COLUMNS:
        apply = PLAYS["apply.sql"].format(columns=COLUMNS[build], build=build, seconds=COLUMNS[build].split(",")[0])
        home = homes[build] = make_home(folder / str(build), {"plays": dict(PLAYS, **{"apply.sql": apply})})
        if build > 1:
            shutil.rmtree(home / "schemas")
            shutil.copytree(homes[build - 1] / "schemas", home / "schemas")
        path = home / "schemas" / "community" / "SongPlayed" / f"{build}.avsc"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(definition(build), indent=2))
        subprocess.run([home / "schemas" / "lock"], check=True, capture_output=True)
    return homes


class Producer(threading.Thread):
    """A client that plays songs through the gateway of one build until it is told to stop, and what it was promised."""

    numbers = itertools.count()

    def __init__(self, url, version, spaces):
        super().__init__(daemon=True)
        self.url, self.version, self.spaces = url, version, spaces
        self.ending = threading.Event()
        self.sent = []
        self.failure = None

    def body(self, number):
        track, seconds, quality = f"song {number}", number % 977, ("plain", "fine")[number % 2]
        mood = (None, "calm")[number // 2 % 2]
        if self.version == 1:
            return {"track": track, "seconds": seconds}, (track, seconds, "plain", None)
        if self.version == 2:
            # what has a default need not be sent
            fields = {"quality": quality} if quality != "plain" else {}
            return {"track": track, "seconds": seconds, **fields}, (track, seconds, quality, None)
        if number % 5 == 0:  # a client that has not changed since version 2
            return {"track": track, "seconds": seconds, "quality": quality}, (track, seconds, quality, None)
        return {"track": track, "duration_s": seconds, "sound": quality, "mood": mood}, (track, seconds, quality, mood)

    def run(self):
        session = requests.Session()
        try:
            while not self.ending.wait(1 / RATE):
                number = next(Producer.numbers)
                space = self.spaces[number % len(self.spaces)]
                body, expected = self.body(number)
                for _ in range(2 if number % 10 == 0 else 1):  # every tenth is sent once more
                    answer = session.post(f"{self.url}/v1/spaces/{space}/events/SongPlayed", json=body, timeout=30,
                                          headers={"Idempotency-Key": f"play-{number}"})  # fmt: skip
                    assert answer.status_code in (200, 201, 202), answer.text
                self.sent.append((space, *expected))
        except Exception as failure:
            self.failure = failure

    def stop(self):
        self.ending.set()
        self.join(40)
        assert self.failure is None, self.failure


class Rollout:
    def __init__(self, stack, homes):
        self.stack = stack
        self.homes = homes
        self.producers = []
        self.gateways = {}
        self.builds = []

    def migrate(self, build):
        self.builds.append(build)
        self.stack.run("migrate", "--home", self.homes[build])

    def processor(self, build, ready=True):
        return self.stack.start_processors("plays", options=("--home", self.homes[build], *FAST), ready=ready)

    def produce(self, version, spaces=SPACES):
        """Traffic of that version from now on."""
        if version not in self.gateways:
            listen, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
            gateway = self.stack.start(f"gateway-{version}", "gateway", "--home", self.homes[version],
                                       "--gateway-listen", listen, "--admin-listen", admin)  # fmt: skip
            gateway.url, gateway.admin = f"http://{listen}", f"http://{admin}"
            self.gateways[version] = gateway.wait_ready()
        producer = Producer(self.gateways[version].url, version, spaces)
        self.producers.append(producer)
        producer.start()
        return producer

    def count(self, where="true"):
        for producer in self.producers:
            assert producer.failure is None, producer.failure
        return self.stack.value(f"SELECT count(*) FROM plays_1.play WHERE {where}")

    def wait_more(self, where="true", more=25):
        """More events of that kind are applied."""
        before = self.count(where)
        wait_until(lambda: self.count(where) >= before + more, 60, lambda: f"{more} more where {where}")

    def tracks_of(self, version):
        tracks = [expected[1] for producer in self.producers if producer.version == version for expected in producer.sent]
        return "track IN ({})".format(", ".join(f"'{track}'" for track in tracks or [""]))

    def wait_applied(self, version, build, more=10):
        """Events of that version have been applied by that build."""
        where = lambda: f"build = {build} AND {self.tracks_of(version)}"
        wait_until(lambda: self.count(where()) >= more, 60, lambda: f"events of version {version} folded by {build}")

    def stop_producers(self):
        for producer in self.producers:
            producer.stop()

    def verify(self):
        """Every event that was acknowledged was applied exactly once, with the values of its version."""
        stack = self.stack
        wait_until(lambda: sum(len(producer.sent) for producer in self.producers) > 200, what="enough was sent")
        self.stop_producers()
        stack.wait_drained("plays")
        assert stack.psql("SELECT code, message FROM weir.halt") == []
        assert stack.psql("SELECT code, message FROM weir.dead_letter") == []
        rows = {
            (space, track): (seconds, sound, mood, build)
            for space, track, seconds, sound, mood, build in stack.psql(
                "SELECT space_id::text, track, seconds, sound, mood, build FROM plays_1.play"
            )
        }
        sent = [expected for producer in self.producers for expected in producer.sent]
        assert self.count() == len(rows) == len(sent)
        for space, track, seconds, sound, mood in sent:
            build = rows[space, track][-1]
            expected = seconds, sound if build > 1 else None, mood if build > 2 else None, build
            assert rows[space, track] == expected, track
        assert stack.value("SELECT count(*) FROM weir.duplicate") > 10
        assert stack.psql("SELECT generation, version FROM weir.processor WHERE processor = 'plays'") == [(1, 1)]
        for build in self.builds:
            audit = stack.run("audit", "plays", "--home", self.homes[build], "--wait", "10s", check=False)
            assert audit.returncode == 0, audit.stdout + audit.stderr


@pytest.fixture
def rollout(stack, homes):
    stack.end_all()
    stack.dirty = True
    stack.new_database()
    stack.new_topics()
    rollout = Rollout(stack, homes)
    rollout.migrate(1)
    yield rollout
    for producer in rollout.producers:
        producer.ending.set()
    stack.end_all()


def test_producers_first(rollout):
    """Old processors wait for what nobody has recorded, alone in its partition, and then fold it by themselves."""
    old = rollout.processor(1)
    first = rollout.produce(1, ELSEWHERE)
    rollout.wait_more()
    for version in (2, 3):
        rollout.produce(version, HERE_ONLY)
    old.wait_log(rf"{TOPIC} \[{PARTITION}\] offset \d+.*schema id")
    rollout.wait_more()  # elsewhere
    old.wait_metric(1, "weir_processor_waiting_partitions", processor="plays")
    assert rollout.count(rollout.tracks_of(2)) == rollout.count(rollout.tracks_of(3)) == 0
    rollout.migrate(3)
    rollout.wait_applied(2, build=1)
    rollout.wait_applied(3, build=1)
    for version in (1, 2, 3):
        rollout.produce(version)
    new = rollout.processor(3)
    for build in (1, 3):
        rollout.wait_more(f"build = {build}")
    assert old.term() == 0
    rollout.wait_applied(1, build=3)
    new.wait_ready()  # not while the partitions move
    assert first.is_alive()
    rollout.verify()


def test_processors_first(rollout):
    """New processors fold what old producers send, with defaults, beside processors of both older builds."""
    builds = {1: rollout.processor(1)}
    rollout.produce(1)
    rollout.wait_more()
    for build in (2, 3):
        rollout.migrate(build)
        builds[build] = rollout.processor(build)
    for build in builds:
        rollout.wait_applied(1, build)
    for version in (2, 3):
        rollout.produce(version)
    rollout.stack.end(builds[1])
    builds[2].kill()
    for version in (1, 2, 3):
        rollout.wait_applied(version, build=3)
    # and back: the older build takes over from the newer one
    builds[2] = rollout.processor(2)
    before = rollout.count("build = 2")
    assert builds[3].term() == 0
    wait_until(lambda: rollout.count("build = 2") > before + 50, 60, "the older build goes on")
    rollout.wait_applied(3, build=2)
    rollout.verify()


def test_what_an_old_build_cannot_read_waits_for_a_new_one(rollout, tmp_path):
    """It is no dead letter and no halt, which would stop the new build too."""

    def record(version, track, seconds, tail=b""):
        made = events.Version.__new__(events.Version)
        lock = (rollout.homes[5] / "schemas" / "catalog.lock").read_text().splitlines()
        made.id = next(int(line.split()[0]) for line in lock if line.endswith(f" community/SongPlayed/{version}"))
        made.parsed = fastavro.parse_schema(definition(version))
        value = events.make_record("SongPlayed", {"track": track, "duration_s": seconds}, version=made)
        return TOPIC, partition, space.encode(), value + tail, None

    rollout.migrate(3)
    rollout.migrate(5)
    places = {events.partition_of(space.encode()): space for space in SPACES}
    old = rollout.processor(3)
    rollout.produce(3, [places[5]])
    partition, space = 0, places[0]
    rollout.stack.produce([record(4, "read", 1), record(4, "broken", 2, b"\0"), record(4, None, 3), record(4, "behind", 4)])
    partition, space = 1, places[1]
    rollout.stack.produce([record(5, "long", 5)])
    for partition in (0, 1):
        old.wait_log(rf"{TOPIC} \[{partition}\].*newer version than this build's.*\((SongPlayed.)?(track|duration_s)\b")
    rollout.wait_more()  # elsewhere
    old.wait_metric(2, "weir_processor_waiting_partitions", processor="plays")
    wait_until(lambda: not old.is_ready(), what="it is not ready")
    wait_until(lambda: rollout.count("NOT starts_with(track, 'song')") == 1, what="what it can read is applied")
    rollout.processor(5, ready=False)
    assert old.term() == 0
    query = "SELECT track FROM plays_1.play WHERE NOT starts_with(track, 'song') ORDER BY seconds"
    tracks = lambda: [row[0] for row in rollout.stack.psql(query)]
    wait_until(lambda: tracks() == ["read", "unknown", "behind", "long"], 60, lambda: f"all are there: {tracks()}")
    rollout.stop_producers()
    rollout.stack.wait_drained("plays")
    assert rollout.stack.psql("SELECT code FROM weir.halt") == []
    assert rollout.stack.psql("SELECT code, kafka_offset FROM weir.dead_letter") == [("avro-invalid", 1)]
