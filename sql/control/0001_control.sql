-- SPDX-License-Identifier: Apache-2.0
--
-- The control schema: which processors there are and how far each has come. Everything here moves in the same transaction
-- as a processor's own tables. What becomes of events that fail is in 0003_parking.sql.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weir_processor') THEN
        CREATE ROLE weir_processor NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weir_reader') THEN
        CREATE ROLE weir_reader NOLOGIN;
    END IF;
    EXECUTE format('GRANT weir_processor TO %I', current_user);
END
$$;

COMMENT ON ROLE weir_processor IS 'Weir: applies batches; owns nothing and creates nothing';
COMMENT ON ROLE weir_reader IS 'Weir: reads the published views';

CREATE SCHEMA weir_event;
COMMENT ON SCHEMA weir_event IS 'One composite type per version of an event: the shape of its rows in a batch';

CREATE TABLE weir.schema (
    schema_id   integer PRIMARY KEY,
    event       text COLLATE "C" NOT NULL,
    domain      text COLLATE "C" NOT NULL,
    version     integer NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    definition  text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (event, version)
);
COMMENT ON TABLE weir.schema IS 'The catalog as builds recorded it, so that an older build can decode a newer event';
COMMENT ON COLUMN weir.schema.schema_id IS 'Number in the five bytes before each event';
COMMENT ON COLUMN weir.schema.event IS 'Name of the event, such as ProductPurchased';
COMMENT ON COLUMN weir.schema.domain IS 'Domain of the event; its topic is weir.<domain>';
COMMENT ON COLUMN weir.schema.version IS 'Version of the event, from 1';
COMMENT ON COLUMN weir.schema.fingerprint IS 'SHA-256 of the schema file, hexadecimal';
COMMENT ON COLUMN weir.schema.definition IS 'The Avro schema';
COMMENT ON COLUMN weir.schema.recorded_at IS 'When a build recorded it first';

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
    position_id  integer NOT NULL REFERENCES weir.position ON DELETE CASCADE,
    kafka_offset bigint NOT NULL,
    space_id     uuid NOT NULL,
    event_id     uuid NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (position_id, kafka_offset)
);
COMMENT ON TABLE weir.duplicate IS 'Records that were left out because their event had been applied already';
COMMENT ON COLUMN weir.duplicate.position_id IS 'Partition of the record, for one processor';
COMMENT ON COLUMN weir.duplicate.kafka_offset IS 'Offset of the record';
COMMENT ON COLUMN weir.duplicate.space_id IS 'Space of the event';
COMMENT ON COLUMN weir.duplicate.event_id IS 'The event';
COMMENT ON COLUMN weir.duplicate.recorded_at IS 'When it was left out';

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
COMMENT ON TYPE weir.batch_event IS 'An event that a batch applies, or that it found to be a duplicate';

-- The fence. The first thing in each transaction with effects: whoever does not hold the newest epoch, or is not where the
-- row says, may write nothing. The caller sorts by position_id, so that two owners cannot deadlock.
CREATE FUNCTION weir.advance(positions weir.batch_position[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    moved integer;
BEGIN
    UPDATE weir.position AS p
    SET next_offset = b.next_offset,
        anchor_offset = coalesce(b.anchor_offset, p.anchor_offset),
        anchor_event_id = CASE WHEN b.anchor_offset IS NULL THEN p.anchor_event_id ELSE b.anchor_event_id END,
        anchor_timestamp = coalesce(b.anchor_timestamp, p.anchor_timestamp),
        updated_at = now()
    FROM unnest(positions) AS b
    WHERE p.position_id = b.position_id
      AND p.epoch = b.epoch
      AND p.next_offset = b.expected_offset
      AND b.next_offset >= b.expected_offset;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved = cardinality(positions) THEN
        RETURN;
    END IF;
    -- An owner whose generation is not live any more looks which one is, and goes on with that at once.
    IF EXISTS (SELECT FROM unnest(positions) AS b
               JOIN weir.position p USING (position_id)
               JOIN weir.generation g ON g.processor = p.processor AND g.generation = p.generation
               WHERE g.state = 'previous' AND p.epoch <> b.epoch) THEN
        RAISE EXCEPTION 'another generation of the processor is live now' USING ERRCODE = 'WR002';
    END IF;
    RAISE EXCEPTION 'another owner has claimed a partition of this batch' USING ERRCODE = 'WR001';
END
$$;
COMMENT ON FUNCTION weir.advance IS 'Moves positions under their epoch, or raises WR001; WR002 when another generation is live now';

CREATE FUNCTION weir.claim(claimed_processor text, claimed_generation integer, topics text[], partitions integer[],
                           new_owner text, backend_started_at timestamptz DEFAULT NULL)
RETURNS SETOF weir.position
LANGUAGE plpgsql AS $$
BEGIN
    -- Generation 0 are scratch folds; any other one is gone after a reset, and its owner must not begin it anew.
    IF claimed_generation <> 0 AND NOT EXISTS (SELECT FROM weir.processor p
                                               WHERE p.processor = claimed_processor
                                                 AND p.generation = claimed_generation) THEN
        RAISE EXCEPTION 'processor % has no generation % any more', claimed_processor, claimed_generation
            USING ERRCODE = 'WR002';
    END IF;
    INSERT INTO weir.position (processor, generation, topic, kafka_partition)
    SELECT claimed_processor, claimed_generation, c.topic, c.kafka_partition
    FROM unnest(topics, partitions) AS c (topic, kafka_partition)
    WHERE NOT EXISTS (SELECT FROM weir.position p
                      WHERE (p.processor, p.generation, p.topic, p.kafka_partition)
                          = (claimed_processor, claimed_generation, c.topic, c.kafka_partition))
    ORDER BY c.topic, c.kafka_partition
    ON CONFLICT DO NOTHING;
    PERFORM FROM weir.position p
    JOIN unnest(topics, partitions) AS c (topic, kafka_partition) USING (topic, kafka_partition)
    WHERE p.processor = claimed_processor AND p.generation = claimed_generation
    ORDER BY p.position_id
    FOR UPDATE OF p;
    RETURN QUERY
    UPDATE weir.position AS p
    SET epoch = p.epoch + 1,
        owner = new_owner,
        owner_pid = pg_backend_pid(),
        owner_started_at = backend_started_at, -- a session under SET ROLE cannot see its own
        claimed_at = now()
    FROM unnest(topics, partitions) AS c (topic, kafka_partition)
    WHERE (p.processor, p.generation, p.topic, p.kafka_partition)
        = (claimed_processor, claimed_generation, c.topic, c.kafka_partition)
    RETURNING p.*;
END
$$;
COMMENT ON FUNCTION weir.claim IS 'Makes the caller the owner of partitions and returns where to go on';

CREATE FUNCTION weir.evict(claimed_processor text, claimed_generation integer, topics text[], partitions integer[])
RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*)::integer
    FROM (SELECT DISTINCT a.pid
          FROM weir.position p
          JOIN unnest(topics, partitions) AS c (topic, kafka_partition) USING (topic, kafka_partition)
          JOIN pg_stat_activity a ON a.pid = p.owner_pid AND a.backend_start = p.owner_started_at
          WHERE p.processor = claimed_processor AND p.generation = claimed_generation
            AND a.pid <> pg_backend_pid()) AS former
    WHERE pg_terminate_backend(former.pid)
$$;
COMMENT ON FUNCTION weir.evict IS 'Ends the database sessions of the owners of partitions: one frozen in mid-transaction blocks nobody for long';
REVOKE ALL ON FUNCTION weir.evict FROM PUBLIC;

GRANT USAGE ON SCHEMA weir, weir_event TO weir_processor;
GRANT SELECT ON ALL TABLES IN SCHEMA weir TO weir_processor;
GRANT INSERT, UPDATE ON weir.position TO weir_processor;
GRANT INSERT ON weir.duplicate TO weir_processor;
GRANT INSERT, UPDATE, DELETE ON weir.halt TO weir_processor;
GRANT EXECUTE ON FUNCTION weir.evict TO weir_processor;
