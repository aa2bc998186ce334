-- SPDX-License-Identifier: Apache-2.0
--
-- Redrives of one Space that were carried out with no record between them stand behind the same offset: when they were
-- carried out decides. And the follower of a former generation, which runs in `weir process`, notes what is left out.

ALTER TABLE weir.left_out ADD COLUMN carried_out_at timestamptz;
COMMENT ON COLUMN weir.left_out.carried_out_at IS 'When it was redriven; decides among those behind one offset';
GRANT INSERT, UPDATE ON weir.left_out TO weir_processor;

CREATE OR REPLACE VIEW weir.not_applied AS
SELECT position_id, kafka_offset, kafka_timestamp, key, value, NULL::bigint AS applied_after, NULL::timestamptz AS carried_out_at
FROM weir.parked
UNION ALL
SELECT d.position_id, d.kafka_offset, d.kafka_timestamp, d.key, d.value, d.applied_after, n.carried_out_at
FROM weir.dead_letter d
LEFT JOIN weir.decision n USING (decision_id)
WHERE NOT EXISTS (SELECT FROM weir.parked p
                  WHERE p.position_id = d.position_id AND p.space_id = d.space_id AND p.kafka_offset = d.kafka_offset);
GRANT SELECT ON weir.not_applied TO weir_processor;

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
