-- SPDX-License-Identifier: Apache-2.0
--
-- How far another generation is, which records it leaves out, and which rows move to it when it becomes the live one.

-- What a generation has not applied, with a row for each.
CREATE OR REPLACE VIEW weir.not_applied AS
SELECT position_id, kafka_offset, kafka_timestamp, key, value, NULL::bigint AS applied_after, NULL::timestamptz AS carried_out_at
FROM weir.parked
UNION ALL
SELECT d.position_id, d.kafka_offset, d.kafka_timestamp, d.key, d.value, d.applied_after, n.carried_out_at
FROM weir.dead_letter d
LEFT JOIN weir.decision n USING (decision_id)
WHERE NOT EXISTS (SELECT FROM weir.parked p
                  WHERE p.position_id = d.position_id AND p.space_id = d.space_id AND p.kafka_offset = d.kafka_offset);
COMMENT ON VIEW weir.not_applied IS 'Parked events and dead letters; applied_after is set for those that were redriven';

GRANT SELECT ON weir.not_applied TO weir_processor;

-- Positions that nobody ever claimed are of topics that the generation does not consume.
CREATE OR REPLACE FUNCTION weir.records_behind(of_processor text, of_generation integer) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(greatest(l.next_offset - p.next_offset, 0)), 0)::bigint
    FROM weir.position p
    JOIN weir.processor live USING (processor)
    JOIN weir.position l ON (l.processor, l.generation, l.topic, l.kafka_partition)
                          = (live.processor, live.generation, p.topic, p.kafka_partition)
    WHERE p.processor = of_processor AND p.generation = of_generation AND p.owner IS NOT NULL
$$;
COMMENT ON FUNCTION weir.records_behind IS 'How many records a generation is behind the live one';

CREATE OR REPLACE FUNCTION weir.position_pairs(of_processor text, source integer, target integer,
                                    OUT source_id integer, OUT target_id integer, OUT next_offset bigint)
RETURNS SETOF record
LANGUAGE sql STABLE AS $$
    SELECT s.position_id, t.position_id, t.next_offset
    FROM weir.position s
    JOIN weir.position t USING (processor, topic, kafka_partition)
    WHERE s.processor = of_processor AND s.generation = source AND t.generation = target
$$;
COMMENT ON FUNCTION weir.position_pairs IS 'The positions of the same partitions in two generations, and where the second one is';

CREATE OR REPLACE FUNCTION weir.note_left_out(of_processor text, source integer, target integer) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO weir.position (processor, generation, topic, kafka_partition)
    SELECT processor, target, topic, kafka_partition
    FROM weir.position s
    WHERE s.processor = of_processor AND s.generation = source
    ORDER BY topic, kafka_partition
    ON CONFLICT DO NOTHING;
    INSERT INTO weir.left_out (position_id, kafka_offset, kafka_timestamp, key, value, applied_after, carried_out_at)
    SELECT p.target_id, n.kafka_offset, n.kafka_timestamp, n.key, n.value, n.applied_after, n.carried_out_at
    FROM weir.position_pairs(of_processor, source, target) p
    JOIN weir.not_applied n ON n.position_id = p.source_id
    WHERE n.kafka_offset >= p.next_offset
    ON CONFLICT DO NOTHING;
    UPDATE weir.left_out l
    SET applied_after = n.applied_after, carried_out_at = n.carried_out_at
    FROM weir.position_pairs(of_processor, source, target) p
    JOIN weir.not_applied n ON n.position_id = p.source_id
    WHERE l.position_id = p.target_id AND l.kafka_offset = n.kafka_offset AND l.applied_after IS NULL
      AND n.applied_after IS NOT NULL;
    -- drained: its Space and topic have waited for it, so that it is the next of them
    UPDATE weir.left_out l
    SET applied_after = p.next_offset - 1
    FROM weir.position_pairs(of_processor, source, target) p
    WHERE l.position_id = p.target_id AND l.applied_after IS NULL
      AND NOT EXISTS (SELECT FROM weir.not_applied n WHERE n.position_id = p.source_id AND n.kafka_offset = l.kafka_offset);
    RETURN (SELECT count(*) FROM weir.left_out l
            JOIN weir.position_pairs(of_processor, source, target) p ON l.position_id = p.target_id);
END
$$;
COMMENT ON FUNCTION weir.note_left_out IS 'Notes the records that the target leaves out, and those that it applies later; returns how many there are';

-- A target that was restored from the topics knows more: of an older copy only decisions without an outcome count.
DROP FUNCTION IF EXISTS weir.move_failures(text, integer, integer);
CREATE OR REPLACE FUNCTION weir.move_failures(of_processor text, source integer, target integer, restored boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM weir.left_out l
    USING weir.position_pairs(of_processor, source, target) p
    WHERE l.position_id IN (p.source_id, p.target_id);
    -- for a rollback: the source knows nothing of them any more
    INSERT INTO weir.left_out (position_id, kafka_offset, kafka_timestamp, key, value)
    SELECT p.source_id, n.kafka_offset, n.kafka_timestamp, n.key, n.value
    FROM weir.position_pairs(of_processor, source, target) p
    JOIN weir.not_applied n ON n.position_id = p.source_id
    WHERE n.applied_after IS NULL;
    IF restored THEN
        DELETE FROM weir.parked USING weir.position_pairs(of_processor, source, target) p WHERE position_id = p.source_id;
        DELETE FROM weir.parked_space USING weir.position_pairs(of_processor, source, target) p WHERE position_id = p.source_id;
        DELETE FROM weir.dead_letter USING weir.position_pairs(of_processor, source, target) p WHERE position_id = p.source_id;
        DELETE FROM weir.halt WHERE processor = of_processor AND generation = source AND code = 'rebuild-needed';
        UPDATE weir.decision SET taken_at = NULL
        FROM weir.position_pairs(of_processor, source, target) p WHERE position_id = p.source_id AND outcome IS NULL;
    END IF;
    DELETE FROM weir.dead_letter d
    USING weir.position_pairs(of_processor, source, target) p, weir.dead_letter s
    WHERE d.position_id = p.target_id AND s.position_id = p.source_id AND s.kafka_offset = d.kafka_offset;
    UPDATE weir.parked SET position_id = p.target_id
    FROM weir.position_pairs(of_processor, source, target) p WHERE position_id = p.source_id;
    UPDATE weir.parked_space SET position_id = p.target_id
    FROM weir.position_pairs(of_processor, source, target) p WHERE position_id = p.source_id;
    UPDATE weir.dead_letter SET position_id = p.target_id
    FROM weir.position_pairs(of_processor, source, target) p WHERE position_id = p.source_id;
    UPDATE weir.decision SET position_id = p.target_id
    FROM weir.position_pairs(of_processor, source, target) p WHERE position_id = p.source_id;
END
$$;
COMMENT ON FUNCTION weir.move_failures IS 'Gives parked events, dead letters and decisions to the generation that becomes the live one';
