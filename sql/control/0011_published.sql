-- SPDX-License-Identifier: Apache-2.0
--
-- Only the live generation publishes dead letters. What another one sets aside has been published as a rule, by the live
-- one or before the database was lost; what has not is published when that generation becomes live.

ALTER TABLE weir.dead_letter ADD COLUMN published boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN weir.dead_letter.published IS 'False: it was set aside by a generation that is not live, and nobody has published it';

CREATE OR REPLACE FUNCTION weir.publish_dead_letters(positions integer[], offsets bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    INSERT INTO weir.outbox (topic, kafka_partition, key, value, headers)
    SELECT 'weir.dlt.' || p.processor, p.kafka_partition, d.key, d.value,
           d.headers || ARRAY[
               weir.text_header('weir_processor', p.processor),
               weir.text_header('weir_topic', p.topic),
               weir.text_header('weir_partition', p.kafka_partition::text),
               weir.text_header('weir_offset', d.kafka_offset::text),
               weir.text_header('weir_timestamp', weir.iso_time(d.kafka_timestamp)),
               weir.text_header('weir_error_code', d.code),
               weir.text_header('weir_error_message', d.message),
               weir.text_header('weir_attempts', d.attempts::text),
               weir.text_header('weir_first_failed_at', weir.iso_time(d.first_failed_at)),
               weir.text_header('weir_last_failed_at', weir.iso_time(d.last_failed_at))
           ]
    FROM unnest(positions, offsets) AS u (position_id, kafka_offset)
    JOIN weir.dead_letter AS d USING (position_id, kafka_offset)
    JOIN weir.position AS p USING (position_id)
    JOIN weir.processor AS live USING (processor, generation)
    ORDER BY d.position_id, d.kafka_offset;
    UPDATE weir.dead_letter AS d
    SET published = live.processor IS NOT NULL
    FROM unnest(positions, offsets) AS u (position_id, kafka_offset)
    JOIN weir.position AS p USING (position_id)
    LEFT JOIN weir.processor AS live USING (processor, generation)
    WHERE d.position_id = u.position_id AND d.kafka_offset = u.kafka_offset
      AND d.published <> (live.processor IS NOT NULL);
END
$$;

CREATE FUNCTION weir.publish_late(of_processor text, of_generation integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    positions integer[];
    offsets bigint[];
BEGIN
    SELECT array_agg(d.position_id), array_agg(d.kafka_offset) INTO positions, offsets
    FROM weir.dead_letter AS d
    JOIN weir.position AS p USING (position_id)
    WHERE p.processor = of_processor AND p.generation = of_generation AND NOT d.published;
    IF positions IS NOT NULL THEN
        PERFORM weir.publish_dead_letters(positions, offsets);
    END IF;
    RETURN coalesce(cardinality(positions), 0);
END
$$;
COMMENT ON FUNCTION weir.publish_late IS 'Publishes what a generation that is live now set aside while it was not; returns how many';
