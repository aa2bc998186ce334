-- SPDX-License-Identifier: Apache-2.0
--
-- The fence, and how partitions change hands.

-- The fence. The first thing in each transaction with effects: whoever does not hold the newest epoch, or is not where the
-- row says, may write nothing. The caller sorts by position_id, so that two owners cannot deadlock.
CREATE OR REPLACE FUNCTION weir.advance(positions weir.batch_position[]) RETURNS void
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

CREATE OR REPLACE FUNCTION weir.hold(held_position integer, held_epoch bigint) RETURNS weir.position
LANGUAGE plpgsql AS $$
DECLARE
    held weir.position;
BEGIN
    SELECT * INTO held FROM weir.position WHERE position_id = held_position AND epoch = held_epoch FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'another owner has claimed a partition of this batch' USING ERRCODE = 'WR001';
    END IF;
    RETURN held;
END
$$;
COMMENT ON FUNCTION weir.hold IS 'The fence of a transaction that moves no position: locks its row under its epoch, or raises WR001';

-- A live processor takes the live generation only, and a rebuild another one: a swap or a reset may have come in between.
-- Generation 0 are scratch folds.
CREATE OR REPLACE FUNCTION weir.claim(claimed_processor text, claimed_generation integer, topics text[], partitions integer[],
                           live boolean, new_owner text, backend_started_at timestamptz DEFAULT NULL)
RETURNS SETOF weir.position
LANGUAGE plpgsql AS $$
BEGIN
    IF claimed_generation <> 0 AND NOT EXISTS (
        SELECT FROM weir.processor p
        WHERE live AND (p.processor, p.generation) = (claimed_processor, claimed_generation)
        UNION ALL
        SELECT FROM weir.generation g
        WHERE NOT live AND (g.processor, g.generation) = (claimed_processor, claimed_generation) AND g.state <> 'live'
    ) THEN
        RAISE EXCEPTION 'processor % has no generation % % any more', claimed_processor, claimed_generation,
            CASE WHEN live THEN 'that is live' ELSE 'beside the live one' END USING ERRCODE = 'WR002';
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

CREATE OR REPLACE FUNCTION weir.note_waiting(held_position integer, held_epoch bigint, at_offset bigint, why_code text, why text)
RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    noted timestamptz;
BEGIN
    PERFORM weir.hold(held_position, held_epoch);
    INSERT INTO weir.waiting AS w (position_id, kafka_offset, code, message)
    VALUES (held_position, at_offset, why_code, why)
    ON CONFLICT (position_id) DO UPDATE
    SET since = CASE WHEN w.kafka_offset = excluded.kafka_offset THEN w.since ELSE now() END,
        kafka_offset = excluded.kafka_offset, code = excluded.code, message = excluded.message
    RETURNING since INTO noted;
    RETURN extract(epoch FROM noted) * 1000000;
END
$$;
COMMENT ON FUNCTION weir.note_waiting IS 'Notes that a partition waits at a record; returns since when, in microseconds since 1970';

-- A breaker that opened names the last failure, which is not its cause.
CREATE OR REPLACE FUNCTION weir.halted_at(halt weir.halt, of_topic text, of_partition integer, at_offset bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT (halt.topic, halt.kafka_partition, halt.kafka_offset) IS NOT DISTINCT FROM (of_topic, of_partition, at_offset)
       AND halt.code NOT IN ('breaker-open', 'too-many-parked')
$$;
COMMENT ON FUNCTION weir.halted_at IS 'Whether a record is why the processor halted';

CREATE OR REPLACE FUNCTION weir.release_halt(of_processor text, of_generation integer) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM weir.halt AS h
    USING weir.position AS p, weir.decision AS d
    WHERE h.processor = of_processor AND h.generation = of_generation
      AND p.processor = of_processor AND p.generation = of_generation
      AND d.position_id = p.position_id AND d.verdict = 'skip' AND d.outcome IS NULL
      AND weir.halted_at(h, p.topic, p.kafka_partition, d.kafka_offset);
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION weir.release_halt IS 'Ends a halt at a record that somebody decided to skip; returns whether there was one';

CREATE OR REPLACE VIEW weir.stopped AS
SELECT h.processor, h.generation, 'halted'::text AS how, h.topic, h.kafka_partition, h.kafka_offset, h.code, h.message,
       h.halted_at AS since
FROM weir.halt AS h
UNION ALL
SELECT p.processor, p.generation, 'waits', p.topic, p.kafka_partition, w.kafka_offset, w.code, w.message, w.since
FROM weir.waiting AS w
JOIN weir.position AS p USING (position_id)
WHERE w.kafka_offset >= p.next_offset;
COMMENT ON VIEW weir.stopped IS 'Processors that halted, and partitions that wait: at which record, why and since when';
GRANT SELECT ON weir.stopped TO weir_processor;

CREATE OR REPLACE FUNCTION weir.evict(claimed_processor text, claimed_generation integer, topics text[], partitions integer[])
RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*)::integer
    FROM (SELECT DISTINCT a.pid
          FROM weir.position p
          JOIN unnest(topics, partitions) AS c (topic, kafka_partition) USING (topic, kafka_partition)
          JOIN pg_stat_activity a ON a.pid = p.owner_pid AND a.backend_start = p.owner_started_at
          WHERE p.processor = claimed_processor AND p.generation = claimed_generation
            AND a.pid <> pg_backend_pid()) AS previous
    WHERE pg_terminate_backend(previous.pid)
$$;
COMMENT ON FUNCTION weir.evict IS 'Ends the database sessions of the owners of partitions: one frozen in mid-transaction blocks nobody for long';

REVOKE ALL ON FUNCTION weir.evict FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir.evict TO weir_processor;

-- 56 bytes of each event: id, Space, fingerprint, offset, and its broker timestamp in µs since 1970. The value is made
-- flat once; each substring would read it anew otherwise.
CREATE OR REPLACE FUNCTION weir.run_entries(entries bytea)
RETURNS TABLE (event_id uuid, space_id uuid, fingerprint bigint, kafka_offset bigint, kafka_timestamp timestamptz)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT encode(substring(e.entry FROM 1 FOR 16), 'hex')::uuid,
           encode(substring(e.entry FROM 17 FOR 16), 'hex')::uuid,
           ('x' || encode(substring(e.entry FROM 33 FOR 8), 'hex'))::bit(64)::bigint,
           ('x' || encode(substring(e.entry FROM 41 FOR 8), 'hex'))::bit(64)::bigint,
           timestamptz 'epoch'
               + ('x' || encode(substring(e.entry FROM 49 FOR 8), 'hex'))::bit(64)::bigint * interval '1 microsecond'
    FROM (SELECT entries || ''::bytea AS flat OFFSET 0) AS whole
    CROSS JOIN LATERAL (SELECT substring(whole.flat FROM i * 56 + 1 FOR 56) AS entry
                        FROM generate_series(0, length(whole.flat) / 56 - 1) AS i OFFSET 0) AS e
$$;
COMMENT ON FUNCTION weir.run_entries IS 'The events of a run (applied_run), as rows';
