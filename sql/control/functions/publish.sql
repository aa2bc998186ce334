-- SPDX-License-Identifier: Apache-2.0
--
-- Functions that put records into the outbox. A transaction that publishes commits synchronously, because a reader of the
-- topic must not know more than the database after a crash.

CREATE OR REPLACE FUNCTION weir.text_header(header_name text, header_value text) RETURNS weir.header
LANGUAGE sql IMMUTABLE AS $$
    SELECT ROW(header_name, convert_to(header_value, 'UTF8'))::weir.header
$$;
COMMENT ON FUNCTION weir.text_header IS 'A header of text';

CREATE OR REPLACE FUNCTION weir.iso_time(instant timestamptz) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;
COMMENT ON FUNCTION weir.iso_time IS 'An instant as RFC 3339 writes it';

-- Only the live generation publishes dead letters. Those of another one have been published as a rule, by the live one or
-- before the database was lost. The others are published when that generation becomes live.
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
COMMENT ON FUNCTION weir.publish_dead_letters IS 'Puts the records of weir.dlt.<processor> for new dead letters into the outbox';

CREATE OR REPLACE FUNCTION weir.publish_late(of_processor text, of_generation integer) RETURNS bigint
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
COMMENT ON FUNCTION weir.publish_late IS 'Publishes the dead letters that a generation made before it became live; returns how many';

CREATE OR REPLACE FUNCTION weir.publish_decision(published_id uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    INSERT INTO weir.outbox (topic, kafka_partition, key, value, headers)
    SELECT 'weir.decisions.' || p.processor, p.kafka_partition, convert_to(l.space_id::text, 'UTF8'),
           convert_to(jsonb_build_object(
               'decision_id', d.decision_id,
               'processor', p.processor,
               'topic', p.topic,
               'partition', p.kafka_partition,
               'offset', d.kafka_offset,
               'timestamp', weir.iso_time(l.kafka_timestamp),
               'space_id', l.space_id,
               'event_id', l.event_id,
               'verdict', d.verdict,
               'replacement_id', d.replacement_id,
               'decided_by', d.decided_by,
               'reason', d.reason,
               'decided_at', weir.iso_time(d.decided_at),
               'outcome', d.outcome,
               'message', d.message,
               'applied_after', d.applied_after,
               'carried_out_at', weir.iso_time(d.carried_out_at)
           )::text, 'UTF8'),
           ARRAY[
               weir.text_header('ce_specversion', '1.0'),
               weir.text_header('ce_type', 'weir.decision'),
               weir.text_header('ce_source', '/processors/' || p.processor),
               weir.text_header('ce_id', d.decision_id::text),
               weir.text_header('ce_time', weir.iso_time(d.carried_out_at)),
               weir.text_header('content-type', 'application/json')
           ]
    FROM weir.decision AS d
    JOIN weir.position AS p USING (position_id)
    JOIN weir.processor AS live USING (processor, generation)
    LEFT JOIN weir.dead_letter AS l USING (position_id, kafka_offset)
    WHERE d.decision_id = published_id;
END
$$;
COMMENT ON FUNCTION weir.publish_decision IS 'Puts the record of weir.decisions.<processor> for a decision that was carried out into the outbox';
