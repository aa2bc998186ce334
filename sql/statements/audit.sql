-- SPDX-License-Identifier: Apache-2.0
--
-- Of processors/audit. What the tables must hold by themselves is in sql/audit and in the processors' checks.sql.
-- role: weir_owner

-- name: audited_positions
SELECT p.processor, p.generation, coalesce(l.generation = p.generation, false)::int, p.topic, p.kafka_partition, p.position_id,
       p.next_offset, p.epoch, coalesce(p.anchor_offset, -1), coalesce(p.owner, ''),
       EXISTS (SELECT FROM pg_stat_activity AS a
               WHERE a.pid = p.owner_pid AND a.backend_start = p.owner_started_at)::int,
       weir.iso_time(p.updated_at)
FROM weir.position AS p
LEFT JOIN weir.processor AS l USING (processor)
WHERE $1::text IS NULL OR p.processor = $1
ORDER BY p.processor, p.generation, p.topic, p.kafka_partition;

-- name: audited_halts
SELECT processor, generation, code, message, weir.iso_time(halted_at)
FROM weir.halt
WHERE $1::text IS NULL OR processor = $1
ORDER BY processor, generation;

-- name: skipped_records
SELECT position_id, kafka_offset
FROM weir.dead_letter AS d
JOIN weir.position AS p USING (position_id)
WHERE p.processor = $1 AND d.code = 'skipped';

-- name: audited_letters
SELECT p.topic, p.kafka_partition, l.kafka_offset
FROM weir.dead_letter AS l
JOIN weir.position AS p USING (position_id)
WHERE p.processor = $1 AND p.generation = $2::integer
ORDER BY p.topic, p.kafka_partition, l.kafka_offset;

-- Whether it may be a record that the processor does not consume.
-- name: letters_for_good
SELECT position_id::bigint, kafka_offset, state = 'redriven'
FROM weir.dead_letter
WHERE state NOT IN ('redriving', 'redriven')
   OR (state = 'redriven' AND code IN ('type-wrong', 'id-wrong', 'skipped'));

-- Of each record that waits to be published, what its last headers of these names say.
-- name: letters_in_outbox
SELECT (array_agg(encode(h.value, 'escape') ORDER BY h.number DESC) FILTER (WHERE h.name = 'weir_topic'))[1],
       (array_agg(encode(h.value, 'escape') ORDER BY h.number DESC) FILTER (WHERE h.name = 'weir_partition'))[1],
       (array_agg(encode(h.value, 'escape') ORDER BY h.number DESC) FILTER (WHERE h.name = 'weir_offset'))[1]
FROM weir.outbox AS o, unnest(o.headers) WITH ORDINALITY AS h (name, value, number)
WHERE o.topic = $1
GROUP BY o.outbox_id;
