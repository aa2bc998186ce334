-- SPDX-License-Identifier: Apache-2.0
--
-- Generations of a processor: the live one, one that `weir rebuild` builds beside it, and those that were live before.
-- weir.processor says which is live; a swap changes it, this table and the published views in one transaction.

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

GRANT SELECT ON weir.generation TO weir_processor;

-- As weir.claim, for a generation that is not live: only `weir rebuild` folds into one.
CREATE FUNCTION weir.claim_generation(claimed_processor text, claimed_generation integer, topics text[],
                                      partitions integer[], new_owner text, backend_started_at timestamptz DEFAULT NULL)
RETURNS SETOF weir.position
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM weir.generation g
                   WHERE g.processor = claimed_processor AND g.generation = claimed_generation
                     AND g.state <> 'live') THEN
        RAISE EXCEPTION 'processor % has no generation % beside the live one', claimed_processor, claimed_generation
            USING ERRCODE = 'WR002';
    END IF;
    INSERT INTO weir.position (processor, generation, topic, kafka_partition)
    SELECT claimed_processor, claimed_generation, c.topic, c.kafka_partition
    FROM unnest(topics, partitions) AS c (topic, kafka_partition)
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
        owner_started_at = backend_started_at,
        claimed_at = now()
    FROM unnest(topics, partitions) AS c (topic, kafka_partition)
    WHERE (p.processor, p.generation, p.topic, p.kafka_partition)
        = (claimed_processor, claimed_generation, c.topic, c.kafka_partition)
    RETURNING p.*;
END
$$;
COMMENT ON FUNCTION weir.claim_generation IS 'Makes a rebuild the owner of partitions of a generation that is not live';

-- Positions that nobody ever claimed are of topics that the generation does not consume.
CREATE FUNCTION weir.records_behind(of_processor text, of_generation integer) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(greatest(l.next_offset - p.next_offset, 0)), 0)::bigint
    FROM weir.position p
    JOIN weir.processor live USING (processor)
    JOIN weir.position l ON (l.processor, l.generation, l.topic, l.kafka_partition)
                          = (live.processor, live.generation, p.topic, p.kafka_partition)
    WHERE p.processor = of_processor AND p.generation = of_generation AND p.owner IS NOT NULL
$$;
COMMENT ON FUNCTION weir.records_behind IS 'How many records a generation is behind the live one';
