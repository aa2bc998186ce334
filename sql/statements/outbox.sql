-- SPDX-License-Identifier: Apache-2.0
--
-- Of processors/outbox: publishing weir.outbox, measuring what waits, and asking whether the database knows what topics tell.
-- role: weir_processor

-- $1 and $2 are ids and topics to skip, $3 is how many rows, $4 how many bytes. What a row weighs is read from its head, not by
-- unpacking it.
-- name: outbox_rows
SELECT outbox_id, topic, kafka_partition, key, value
FROM (SELECT r.*, sum(r.bytes) OVER (ORDER BY r.outbox_id) - r.bytes AS bytes_before
      FROM (SELECT o.outbox_id, o.topic, o.kafka_partition, o.key, o.value,
                   (coalesce(octet_length(o.value), 0) + pg_column_size(o.headers))::bigint AS bytes
            FROM weir.outbox AS o
            WHERE o.outbox_id <> ALL ($1::bigint[]) AND o.topic <> ALL ($2::text[])
            ORDER BY o.outbox_id
            LIMIT $3::integer) AS r) AS s
WHERE bytes_before < $4::bigint
ORDER BY outbox_id;

-- name: outbox_headers
SELECT o.outbox_id, h.name, h.value
FROM weir.outbox AS o, unnest(o.headers) WITH ORDINALITY AS h (name, value, number)
WHERE o.outbox_id = ANY ($1::bigint[])
ORDER BY o.outbox_id, h.number;

-- name: outbox_depth
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)) * 1e6, 0)::bigint
FROM weir.outbox;

-- Counts come from the sums in weir.parked_space and from partial indexes, never from the parked events themselves, of which
-- there may be a million.
-- name: failures_depth
SELECT n.number, coalesce(parked.events, 0), coalesce(parked.spaces, 0),
       coalesce(extract(epoch FROM clock_timestamp() - parked.oldest) * 1e6, 0)::bigint, coalesce(letters.open, 0),
       coalesce(extract(epoch FROM clock_timestamp() - letters.oldest) * 1e6, 0)::bigint
FROM unnest($1::text[]) WITH ORDINALITY AS n (processor, number)
JOIN weir.processor AS live USING (processor)
CROSS JOIN LATERAL (SELECT sum(s.events)::bigint AS events, count(*) AS spaces, min(head.parked_at) AS oldest
                    FROM weir.position AS p
                    JOIN weir.parked_space AS s USING (position_id)
                    LEFT JOIN LATERAL (SELECT e.parked_at
                                       FROM weir.parked AS e
                                       WHERE e.position_id = s.position_id AND e.space_id = s.space_id
                                       ORDER BY e.kafka_offset
                                       LIMIT 1) AS head ON true
                    WHERE p.processor = n.processor AND p.generation = live.generation) AS parked
CROSS JOIN LATERAL (SELECT count(*) AS open, min(d.recorded_at) AS oldest
                    FROM weir.position AS p
                    JOIN weir.dead_letter AS d USING (position_id)
                    WHERE p.processor = n.processor AND p.generation = live.generation AND d.state = 'open') AS letters;

-- name: stopped_places
SELECT s.processor, s.how, coalesce(s.topic, ''), coalesce(s.kafka_partition::text, ''), coalesce(s.kafka_offset, -1),
       (extract(epoch FROM s.since) * 1e6)::bigint
FROM weir.stopped AS s
JOIN weir.processor AS live USING (processor, generation)
WHERE s.processor = ANY ($1::text[])
ORDER BY s.since
LIMIT $2::integer;

-- $1 is the processor, $2 to $4 are the dead letters that records name, $5 are the processor's topics.
-- name: unknown_letters
SELECT u.topic || '/' || u.kafka_partition || '/' || u.kafka_offset
FROM unnest($2::text[], $3::integer[], $4::bigint[]) AS u (topic, kafka_partition, kafka_offset)
WHERE u.topic = ANY ($5::text[])
  AND NOT EXISTS (SELECT FROM weir.dead_letter AS l
                  JOIN weir.position AS p USING (position_id)
                  JOIN weir.processor AS v USING (processor, generation)
                  WHERE p.processor = $1 AND (p.topic, p.kafka_partition, l.kafka_offset)
                                           = (u.topic, u.kafka_partition, u.kafka_offset))
ORDER BY 1;

-- The same of decisions.
-- name: unknown_decisions
SELECT u.decision_id || ' about ' || u.topic || '/' || u.place
FROM unnest($2::uuid[], $3::text[], $4::text[]) AS u (decision_id, topic, place)
WHERE u.topic = ANY ($5::text[])
  AND NOT EXISTS (SELECT FROM weir.decision AS d
                  JOIN weir.position AS p USING (position_id)
                  JOIN weir.processor AS v USING (processor, generation)
                  WHERE p.processor = $1 AND d.decision_id = u.decision_id)
ORDER BY 1;

-- name: has_applied_nothing
SELECT NOT EXISTS (SELECT FROM weir.position AS p
                   JOIN weir.processor AS live USING (processor, generation)
                   WHERE p.processor = $1 AND p.next_offset > 0);
