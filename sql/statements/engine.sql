-- SPDX-License-Identifier: Apache-2.0
--
-- Of processors/engine.
-- role: weir_processor

-- name: record_halt
INSERT INTO weir.halt (processor, generation, code, message, topic, kafka_partition, kafka_offset, event, event_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (processor, generation) DO UPDATE
SET (code, message, topic, kafka_partition, kafka_offset, event, event_id, halted_at)
  = (excluded.code, excluded.message, excluded.topic, excluded.kafka_partition, excluded.kafka_offset, excluded.event,
     excluded.event_id, now());

-- How many partitions are this session's, and whether another generation is live.
-- name: what_is_owned
SELECT count(*) FILTER (WHERE owner_pid = pg_backend_pid()),
       EXISTS (SELECT FROM weir.processor WHERE processor = $1 AND generation <> $2)
FROM weir.position
WHERE processor = $1 AND generation = $2;

-- The generation that a rollback would go to, if it is of this version, and the live one.
-- name: kept_generation
SELECT f.generation, p.generation, p.version
FROM weir.processor AS p
CROSS JOIN LATERAL (SELECT *
                    FROM weir.generation AS g
                    WHERE g.processor = p.processor AND g.state = 'previous'
                    ORDER BY live_at DESC NULLS LAST, generation DESC
                    LIMIT 1) AS f
WHERE p.processor = $1 AND (f.version, f.consumes) = ($2::integer, $3);

-- The Spaces whose turn it is to be tried again.
-- name: due
SELECT position_id, space_id
FROM weir.parked_space
WHERE position_id = ANY ($1::integer[]) AND next_attempt_at <= now()
ORDER BY next_attempt_at
LIMIT $2::integer;

-- Of each Space the first parked event while it fails, else up to $3 events and as many as begin within $4 bytes.
-- name: parked
SELECT d.due, s.attempts::bigint, s.events, coalesce(s.blocked_by, -1),
       coalesce((extract(epoch FROM now() - s.first_failed_at) * 1000)::bigint, 0),
       p.kafka_offset, (extract(epoch FROM p.kafka_timestamp) * 1000000)::bigint, p.headers, p.key, p.value,
       EXISTS (SELECT FROM weir.dead_letter AS l
               WHERE l.state = 'redriving'
                 AND (l.position_id, l.space_id, l.kafka_offset) = (s.position_id, s.space_id, p.kafka_offset))
FROM unnest($1::integer[], $2::uuid[]) WITH ORDINALITY AS d (position_id, space_id, due)
JOIN weir.parked_space AS s USING (position_id, space_id)
CROSS JOIN LATERAL (SELECT q.*, sum(q.bytes) OVER (ORDER BY q.kafka_offset) - q.bytes AS bytes_before
                    FROM (SELECT *, coalesce(length(a.value), 0) + pg_column_size(a.headers) AS bytes
                          FROM weir.parked AS a
                          WHERE a.position_id = s.position_id AND a.space_id = s.space_id
                            AND (s.blocked_by IS NULL OR a.kafka_offset <= s.blocked_by)
                          ORDER BY a.kafka_offset
                          LIMIT CASE WHEN s.attempts > 0 THEN 1 ELSE $3::integer END) AS q) AS p
WHERE p.bytes_before < $4::bigint
ORDER BY d.due, p.kafka_offset;

-- name: heads_failed
SELECT due, is_held
FROM weir.heads_failed(ARRAY(SELECT json_populate_recordset(NULL::weir.failed_head, $1::json)));
