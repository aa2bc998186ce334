-- SPDX-License-Identifier: Apache-2.0
--
-- Which processors there are, in which generations, and how far each has come. A position moves in the transaction of the
-- effects in a processor's own tables.
--
-- Generations of a processor: the live one, one that `weir rebuild` builds beside it, and those that were live before.
-- weir.processor says which is live; a swap changes it, weir.generation and the published views in one transaction.

CREATE TABLE weir.processor (
    processor  text COLLATE "C" PRIMARY KEY,
    generation integer NOT NULL,
    version    integer NOT NULL,
    consumes   text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE weir.processor IS 'The live generation of each processor';
COMMENT ON COLUMN weir.processor.processor IS 'Name of the processor: its folder, and the schema of its published views';
COMMENT ON COLUMN weir.processor.generation IS 'Live generation; its tables are in the schema <processor>_<generation>';
COMMENT ON COLUMN weir.processor.version IS 'Version in processor.conf that the generation was built with';
COMMENT ON COLUMN weir.processor.consumes IS 'Events that the generation was built from; one more would be missing its past';
COMMENT ON COLUMN weir.processor.created_at IS 'When the generation was created';

CREATE TABLE weir.generation (
    processor          text COLLATE "C" NOT NULL,
    generation         integer NOT NULL,
    version            integer NOT NULL,
    consumes           text NOT NULL,
    source             text COLLATE "C" NOT NULL DEFAULT '',
    state              text COLLATE "C" NOT NULL CHECK (state IN ('building', 'caught-up', 'live', 'previous')),
    indexed            boolean NOT NULL DEFAULT true,
    phase              text NOT NULL DEFAULT '',
    records_done       bigint NOT NULL DEFAULT 0,
    records_total      bigint NOT NULL DEFAULT 0,
    records_per_second bigint NOT NULL DEFAULT 0,
    owner              text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    caught_up_at       timestamptz,
    live_at            timestamptz,
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (processor, generation)
);
CREATE UNIQUE INDEX generation_in_work ON weir.generation (processor) WHERE state IN ('building', 'caught-up');
COMMENT ON TABLE weir.generation IS 'Generations of processors: live, being rebuilt, or kept for a rollback';
COMMENT ON COLUMN weir.generation.processor IS 'The processor';
COMMENT ON COLUMN weir.generation.generation IS 'Its generation; the tables are in the schema <processor>_<generation>';
COMMENT ON COLUMN weir.generation.version IS 'Version in processor.conf that it was built with';
COMMENT ON COLUMN weir.generation.consumes IS 'Events that it was built from';
COMMENT ON COLUMN weir.generation.source IS 'Hash of the SQL that a rebuild began it with; another one begins anew';
COMMENT ON COLUMN weir.generation.state IS 'building, caught-up, live or previous';
COMMENT ON COLUMN weir.generation.indexed IS 'Its indexes are there; a rebuild makes them last';
COMMENT ON COLUMN weir.generation.phase IS 'What the rebuild is doing, for weir rebuild --status';
COMMENT ON COLUMN weir.generation.records_done IS 'Records read so far';
COMMENT ON COLUMN weir.generation.records_total IS 'Records to read';
COMMENT ON COLUMN weir.generation.records_per_second IS 'How fast that goes';
COMMENT ON COLUMN weir.generation.owner IS 'Host and process of the rebuild';
COMMENT ON COLUMN weir.generation.created_at IS 'When it was begun';
COMMENT ON COLUMN weir.generation.caught_up_at IS 'When it had come as far as the live one';
COMMENT ON COLUMN weir.generation.live_at IS 'When it was published last';
COMMENT ON COLUMN weir.generation.updated_at IS 'When the rebuild last said how far it is';

CREATE TABLE weir.column_usage (
    schema_name text COLLATE "C" NOT NULL,
    procedure   text COLLATE "C" NOT NULL,
    columns     text[],
    PRIMARY KEY (schema_name, procedure)
);
COMMENT ON TABLE weir.column_usage IS 'What the SQL of a processor reads of the events in a batch; nothing else is sent';
COMMENT ON COLUMN weir.column_usage.schema_name IS 'The schema of a generation';
COMMENT ON COLUMN weir.column_usage.procedure IS 'Its procedure that was made from the SQL';
COMMENT ON COLUMN weir.column_usage.columns IS 'relation.column, or relation for one that is only counted; NULL: everything';

CREATE TABLE weir.position (
    position_id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    processor        text COLLATE "C" NOT NULL,
    generation       integer NOT NULL,
    topic            text COLLATE "C" NOT NULL,
    kafka_partition  integer NOT NULL,
    next_offset      bigint NOT NULL DEFAULT 0,
    anchor_offset    bigint,
    anchor_event_id  uuid,
    anchor_timestamp timestamptz,
    epoch            bigint NOT NULL DEFAULT 0,
    owner            text,
    owner_pid        integer,
    owner_started_at timestamptz,
    claimed_at       timestamptz,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (processor, generation, topic, kafka_partition)
) WITH (fillfactor = 20);
COMMENT ON TABLE weir.position IS 'How far a processor has applied each partition; moves only under its epoch, with the effects';
COMMENT ON COLUMN weir.position.position_id IS 'Short name of the row';
COMMENT ON COLUMN weir.position.processor IS 'The processor';
COMMENT ON COLUMN weir.position.generation IS 'Its generation';
COMMENT ON COLUMN weir.position.topic IS 'The topic';
COMMENT ON COLUMN weir.position.kafka_partition IS 'The partition';
COMMENT ON COLUMN weir.position.next_offset IS 'Every offset below it is dealt with, none from it on';
COMMENT ON COLUMN weir.position.anchor_offset IS 'Last record dealt with; read again on assignment to prove that the log is the same';
COMMENT ON COLUMN weir.position.anchor_event_id IS 'Event id of that record';
COMMENT ON COLUMN weir.position.anchor_timestamp IS 'Broker timestamp of that record';
COMMENT ON COLUMN weir.position.epoch IS 'Raised by each claim; a batch of an older epoch is refused';
COMMENT ON COLUMN weir.position.owner IS 'Host and process that claimed it last';
COMMENT ON COLUMN weir.position.owner_pid IS 'Backend of the owner';
COMMENT ON COLUMN weir.position.owner_started_at IS 'Start of that backend, so that a later one with the same pid is not taken for it';
COMMENT ON COLUMN weir.position.claimed_at IS 'When the owner claimed it';
COMMENT ON COLUMN weir.position.updated_at IS 'When it moved last';

CREATE TABLE weir.duplicate (
    position_id     integer NOT NULL REFERENCES weir.position ON DELETE CASCADE,
    kafka_offset    bigint NOT NULL,
    kafka_timestamp timestamptz NOT NULL,
    space_id        uuid NOT NULL,
    event_id        uuid NOT NULL,
    PRIMARY KEY (position_id, kafka_offset)
);
COMMENT ON TABLE weir.duplicate IS 'Records of the duplicate window that were left out because their event had been applied already';
COMMENT ON COLUMN weir.duplicate.position_id IS 'Partition of the record, for one processor';
COMMENT ON COLUMN weir.duplicate.kafka_offset IS 'Offset of the record';
COMMENT ON COLUMN weir.duplicate.kafka_timestamp IS 'Its broker timestamp';
COMMENT ON COLUMN weir.duplicate.space_id IS 'Space of the event';
COMMENT ON COLUMN weir.duplicate.event_id IS 'The event';

CREATE TABLE weir.halt (
    processor       text COLLATE "C" NOT NULL,
    generation      integer NOT NULL,
    code            text NOT NULL,
    message         text NOT NULL,
    topic           text,
    kafka_partition integer,
    kafka_offset    bigint,
    event           text,
    event_id        uuid,
    halted_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (processor, generation)
);
COMMENT ON TABLE weir.halt IS 'Processors that stopped and wait for a person; `weir processor resume` deletes the row';
COMMENT ON COLUMN weir.halt.processor IS 'The processor';
COMMENT ON COLUMN weir.halt.generation IS 'Its generation';
COMMENT ON COLUMN weir.halt.code IS 'Short reason: an SQLSTATE, log-changed, partitions-changed, breaker-open';
COMMENT ON COLUMN weir.halt.message IS 'The reason in words';
COMMENT ON COLUMN weir.halt.topic IS 'Topic of the guilty record, when there is one';
COMMENT ON COLUMN weir.halt.kafka_partition IS 'Its partition';
COMMENT ON COLUMN weir.halt.kafka_offset IS 'Its offset';
COMMENT ON COLUMN weir.halt.event IS 'Its event type';
COMMENT ON COLUMN weir.halt.event_id IS 'Its event id';
COMMENT ON COLUMN weir.halt.halted_at IS 'When it stopped';

CREATE TABLE weir.waiting (
    position_id  integer PRIMARY KEY REFERENCES weir.position ON DELETE CASCADE,
    kafka_offset bigint NOT NULL,
    code         text NOT NULL,
    message      text NOT NULL,
    since        timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE weir.waiting IS 'Where a partition waits, as its owner noted it; over once the position is beyond the record (see weir.stopped)';
COMMENT ON COLUMN weir.waiting.position_id IS 'The partition, for one processor';
COMMENT ON COLUMN weir.waiting.kafka_offset IS 'Offset of the record that it waits at';
COMMENT ON COLUMN weir.waiting.code IS 'Short reason: schema-unknown, schema-newer';
COMMENT ON COLUMN weir.waiting.message IS 'The reason in words';
COMMENT ON COLUMN weir.waiting.since IS 'When it came to that record';

-- What the engine hands over with a batch, each as an array.

CREATE TYPE weir.batch_position AS (
    position_id      integer,
    epoch            bigint,
    expected_offset  bigint,
    next_offset      bigint,
    anchor_offset    bigint,
    anchor_event_id  uuid,
    anchor_timestamp timestamptz
);
COMMENT ON TYPE weir.batch_position IS 'How a batch moves one position';

CREATE TYPE weir.batch_event AS (
    event_id        uuid,
    space_id        uuid,
    fingerprint     bigint,
    position_id     integer,
    kafka_offset    bigint,
    kafka_timestamp timestamptz
);
COMMENT ON TYPE weir.batch_event IS 'An event that a batch found to be a duplicate';

CREATE TYPE weir.batch_run AS (
    position_id      integer,
    run_id           bigint,
    newest_timestamp timestamptz,
    hashes           bytea,
    entries          bytea
);
COMMENT ON TYPE weir.batch_run IS 'The events of one partition that a batch applies';

-- Hashes of events are kept, and clients choose the ids of events: nobody shall choose ids of one hash.
CREATE TABLE weir.run_seed (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    seed    bigint NOT NULL
);
COMMENT ON TABLE weir.run_seed IS 'One row, drawn when the database is made';
COMMENT ON COLUMN weir.run_seed.is_only IS 'Keeps it one row';
COMMENT ON COLUMN weir.run_seed.seed IS 'Seed of the hashes in applied_run';
INSERT INTO weir.run_seed (seed)
VALUES (('x' || right(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint);

GRANT SELECT ON weir.processor, weir.generation, weir.column_usage, weir.position, weir.duplicate, weir.halt, weir.run_seed
TO weir_processor;
GRANT INSERT, UPDATE ON weir.position TO weir_processor;
GRANT INSERT, DELETE ON weir.duplicate TO weir_processor;
GRANT INSERT, UPDATE, DELETE ON weir.halt TO weir_processor;
GRANT SELECT, INSERT, UPDATE ON weir.waiting TO weir_processor;
