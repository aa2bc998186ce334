-- SPDX-License-Identifier: Apache-2.0
--
-- Of processors/fold.
-- role: weir_processor

-- Of several decisions about a record the first one counts.
-- name: skips
SELECT DISTINCT ON (position_id, kafka_offset) position_id, kafka_offset, 'skipped by ' || decided_by || ': ' || reason
FROM weir.decision
WHERE position_id = ANY ($1::integer[]) AND outcome IS NULL AND verdict = 'skip' AND taken_at IS NOT NULL
ORDER BY position_id, kafka_offset, decided_at;

-- The decisions about the live generation's partitions, at the positions of another generation.
-- name: skips_of_live
SELECT DISTINCT ON (p.position_id, d.kafka_offset) p.position_id, d.kafka_offset, 'skipped by ' || d.decided_by || ': ' || d.reason
FROM weir.decision AS d
JOIN weir.position AS l USING (position_id)
JOIN weir.processor USING (processor, generation)
JOIN weir.position AS p ON (p.processor, p.topic, p.kafka_partition) = (l.processor, l.topic, l.kafka_partition)
WHERE p.position_id = ANY ($1::integer[]) AND d.outcome IS NULL AND d.verdict = 'skip'
ORDER BY p.position_id, d.kafka_offset, d.decided_at;

-- Looks at the first $4 duplicates of each partition only.
-- name: prune_duplicates
DELETE FROM weir.duplicate
WHERE ctid = ANY (ARRAY(SELECT d.ctid
                        FROM weir.position AS p
                        CROSS JOIN LATERAL (SELECT o.ctid, o.kafka_timestamp
                                            FROM weir.duplicate AS o
                                            WHERE o.position_id = p.position_id
                                            ORDER BY o.kafka_offset
                                            LIMIT $4::integer) AS d
                        WHERE p.processor = $1 AND p.generation = $2 AND d.kafka_timestamp < p.anchor_timestamp - $3::interval));
