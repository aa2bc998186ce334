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
