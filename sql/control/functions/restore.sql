-- SPDX-License-Identifier: Apache-2.0
--
-- Dead letters and decisions that the database lost, or that an older copy lacks, come back from weir.dlt.<processor> and
-- weir.decisions.<processor>, in the order of their partitions. A record that comes twice has one effect.

CREATE OR REPLACE FUNCTION weir.restore_dead_letter(of_processor text, of_generation integer, of_topic text, of_partition integer,
                                         at_offset bigint, about jsonb, header_names text[], header_values bytea[],
                                         letter_key bytea, letter_value bytea)
RETURNS void
LANGUAGE sql AS $$
    INSERT INTO weir.dead_letter AS l (position_id, kafka_offset, kafka_timestamp, space_id, event_id, schema_id, code, message,
                                       attempts, first_failed_at, last_failed_at, headers, key, value)
    SELECT p.position_id, at_offset, (about->>'timestamp')::timestamptz, (about->>'space_id')::uuid,
           (about->>'event_id')::uuid, (about->>'schema_id')::integer, about->>'code', about->>'message',
           (about->>'attempts')::integer, (about->>'first_failed_at')::timestamptz, (about->>'last_failed_at')::timestamptz,
           ARRAY(SELECT ROW(h.name, h.value)::weir.header FROM unnest(header_names, header_values) AS h (name, value)),
           letter_key, letter_value
    FROM weir.position p
    WHERE (p.processor, p.generation, p.topic, p.kafka_partition) = (of_processor, of_generation, of_topic, of_partition)
    ON CONFLICT (position_id, kafka_offset) DO UPDATE
    SET code = excluded.code, message = excluded.message, attempts = excluded.attempts,
        last_failed_at = excluded.last_failed_at
$$;
COMMENT ON FUNCTION weir.restore_dead_letter IS 'Takes back a dead letter from its record';

CREATE OR REPLACE FUNCTION weir.restore_decision(of_processor text, of_generation integer, decision jsonb) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO weir.decision AS d (decision_id, position_id, kafka_offset, space_id, verdict, replacement_id, decided_by, reason,
                               decided_at, taken_at, outcome, message, applied_after, carried_out_at)
    SELECT (decision->>'decision_id')::uuid, p.position_id, (decision->>'offset')::bigint, (decision->>'space_id')::uuid,
           decision->>'verdict', (decision->>'replacement_id')::uuid, decision->>'decided_by', decision->>'reason',
           (decision->>'decided_at')::timestamptz, (decision->>'carried_out_at')::timestamptz, decision->>'outcome',
           decision->>'message', (decision->>'applied_after')::bigint, (decision->>'carried_out_at')::timestamptz
    FROM weir.position p
    WHERE (p.processor, p.generation, p.topic, p.kafka_partition)
        = (of_processor, of_generation, decision->>'topic', (decision->>'partition')::integer)
    ON CONFLICT (decision_id) DO UPDATE -- an older copy of the database knew that it was made
    SET taken_at = excluded.taken_at, outcome = excluded.outcome, message = excluded.message,
        applied_after = excluded.applied_after, carried_out_at = excluded.carried_out_at
    WHERE d.outcome IS NULL;
    UPDATE weir.dead_letter AS l
    SET state = CASE WHEN decision->>'outcome' = 'applied' THEN 'redriven'
                     WHEN decision->>'verdict' = 'patch' THEN 'patched' ELSE 'discarded' END,
        applied_after = CASE WHEN decision->>'outcome' = 'applied' THEN (decision->>'applied_after')::bigint END,
        decision_id = (decision->>'decision_id')::uuid
    FROM weir.position p
    WHERE l.position_id = p.position_id AND l.kafka_offset = (decision->>'offset')::bigint
      AND decision->>'outcome' IN ('applied', 'discarded')
      AND (p.processor, p.generation, p.topic, p.kafka_partition)
        = (of_processor, of_generation, decision->>'topic', (decision->>'partition')::integer)
$$;
COMMENT ON FUNCTION weir.restore_decision IS 'Takes back a decision from its record, and its effect on the dead letter';
