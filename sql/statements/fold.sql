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
