-- SPDX-License-Identifier: Apache-2.0
--
-- Of the commands.
-- role: weir_owner

-- Dead letters and parked events, by $1 processor, $2 Space, $3 event, $4 code, $5 since, $6 until, $7 state, and either $8 ids or
-- places: $9 topics, $10 partitions, $11 offsets. At most $12. Both have the same columns (enum failed_column).
-- name: chosen_letters
SELECT d.dead_letter_id, d.position_id, p.processor, p.topic, p.kafka_partition, d.kafka_offset, d.space_id, d.event_id, d.schema_id,
       e.event, e.version, d.code, d.message, d.attempts, weir.iso_time(d.first_failed_at), weir.iso_time(d.last_failed_at),
       weir.iso_time(d.recorded_at), greatest(extract(epoch FROM now() - d.recorded_at), 0)::bigint, d.state,
       coalesce(s.events, 0), weir.iso_time(s.next_attempt_at), weir.iso_time(d.kafka_timestamp), d.applied_after, p.generation
FROM weir.dead_letter AS d
LEFT JOIN weir.parked_space AS s USING (position_id, space_id)
JOIN weir.position AS p USING (position_id)
JOIN weir.processor AS live USING (processor, generation)
LEFT JOIN weir.schema AS e USING (schema_id)
WHERE ($1::text IS NULL OR p.processor = $1)
  AND ($2::uuid IS NULL OR d.space_id = $2::uuid)
  AND ($3::text IS NULL OR e.event = $3)
  AND ($4::text IS NULL OR d.code = $4)
  AND ($5::timestamptz IS NULL OR d.recorded_at >= $5::timestamptz)
  AND ($6::timestamptz IS NULL OR d.recorded_at < $6::timestamptz)
  AND ($7::text IS NULL OR d.state = $7)
  AND ($8::bigint[] IS NULL OR d.dead_letter_id = ANY ($8::bigint[])
       OR (p.topic, p.kafka_partition, d.kafka_offset) IN (SELECT * FROM unnest($9::text[], $10::integer[], $11::bigint[])))
ORDER BY d.kafka_timestamp, d.position_id, d.kafka_offset
LIMIT $12::bigint;

-- Without $7 only the first event of each Space, else all of them.
-- name: chosen_parked
SELECT NULL, s.position_id, p.processor, p.topic, p.kafka_partition, q.kafka_offset, q.space_id, q.event_id, q.schema_id,
       e.event, e.version, f.code, f.message, coalesce(f.attempts, 0), weir.iso_time(f.first_failed_at),
       weir.iso_time(f.last_failed_at), weir.iso_time(q.parked_at), greatest(extract(epoch FROM now() - q.parked_at), 0)::bigint,
       CASE WHEN q.behind > 0 THEN 'waiting' WHEN s.next_attempt_at IS NULL THEN 'blocked' ELSE 'failing' END,
       s.events, weir.iso_time(s.next_attempt_at), weir.iso_time(q.kafka_timestamp), NULL, p.generation
FROM weir.parked_space AS s
CROSS JOIN LATERAL (SELECT w.*, row_number() OVER (ORDER BY w.kafka_offset) - 1 AS behind
                    FROM weir.parked AS w
                    WHERE w.position_id = s.position_id AND w.space_id = s.space_id
                    ORDER BY w.kafka_offset
                    LIMIT CASE WHEN $7::text IS NULL THEN 1 END) AS q
LEFT JOIN LATERAL (SELECT s.code, s.message, s.attempts, s.first_failed_at, s.last_failed_at
                   WHERE q.behind = 0) AS f ON true
JOIN weir.position AS p ON p.position_id = s.position_id
JOIN weir.processor AS live USING (processor, generation)
LEFT JOIN weir.schema AS e ON e.schema_id = q.schema_id
WHERE ($1::text IS NULL OR p.processor = $1)
  AND ($2::uuid IS NULL OR q.space_id = $2::uuid)
  AND ($3::text IS NULL OR e.event = $3)
  AND ($4::text IS NULL OR f.code = $4)
  AND ($5::timestamptz IS NULL OR q.parked_at >= $5::timestamptz)
  AND ($6::timestamptz IS NULL OR q.parked_at < $6::timestamptz)
  AND ($8::bigint[] IS NULL
       OR (p.topic, p.kafka_partition, q.kafka_offset) IN (SELECT * FROM unnest($9::text[], $10::integer[], $11::bigint[])))
ORDER BY q.kafka_timestamp, s.position_id, q.kafka_offset
LIMIT $12::bigint;

-- name: failures_by_generation
WITH letters AS (
    SELECT p.processor, p.generation, count(*) AS events, count(DISTINCT d.space_id) AS spaces, min(d.recorded_at) AS since
    FROM weir.dead_letter AS d
    JOIN weir.position AS p USING (position_id)
    WHERE d.state = 'open'
    GROUP BY 1, 2
), parked AS (
    SELECT p.processor, p.generation, sum(s.events) AS events, count(DISTINCT s.space_id) AS spaces, min(q.parked_at) AS since
    FROM weir.parked_space AS s
    JOIN weir.position AS p USING (position_id)
    CROSS JOIN LATERAL (SELECT w.parked_at
                        FROM weir.parked AS w
                        WHERE w.position_id = s.position_id AND w.space_id = s.space_id
                        ORDER BY w.kafka_offset
                        LIMIT 1) AS q
    GROUP BY 1, 2
)
SELECT processor, generation, live.processor IS NOT NULL,
       coalesce(l.events, 0), coalesce(l.spaces, 0), coalesce(extract(epoch FROM now() - l.since), 0)::bigint,
       coalesce(w.events, 0), coalesce(w.spaces, 0), coalesce(extract(epoch FROM now() - w.since), 0)::bigint
FROM letters AS l
FULL JOIN parked AS w USING (processor, generation)
LEFT JOIN weir.processor AS live USING (processor, generation)
ORDER BY 1, 2;

-- The record with its headers, a row for each; $3 is for parked events only.
-- name: letter_record
SELECT d.key, d.value, h.name, h.value
FROM weir.dead_letter AS d
LEFT JOIN LATERAL unnest(d.headers) WITH ORDINALITY AS h (name, value, at) ON true
WHERE position_id = $1 AND kafka_offset = $2 AND coalesce($3, '') IS NOT NULL
ORDER BY h.at;

-- name: parked_record
SELECT d.key, d.value, h.name, h.value
FROM weir.parked AS d
LEFT JOIN LATERAL unnest(d.headers) WITH ORDINALITY AS h (name, value, at) ON true
WHERE position_id = $1 AND kafka_offset = $2 AND space_id = $3::uuid
ORDER BY h.at;

-- name: decisions_about
SELECT to_jsonb(d) - 'position_id' - 'kafka_offset' - 'space_id'
       || jsonb_build_object('decided_at', weir.iso_time(decided_at), 'taken_at', weir.iso_time(taken_at),
                             'carried_out_at', weir.iso_time(carried_out_at))
FROM weir.decision AS d
WHERE position_id = $1 AND kafka_offset = $2
ORDER BY d.decided_at;

-- How many of its Space are parked behind it, how many dead letters are open before it, and what the Space waits for.
-- name: place_in_space
SELECT (SELECT count(*) FROM weir.parked WHERE position_id = $1 AND space_id = $3::uuid AND kafka_offset > $2),
       (SELECT count(*) FROM weir.dead_letter
        WHERE position_id = $1 AND space_id = $3::uuid AND kafka_offset < $2 AND state = 'open'),
       coalesce((SELECT blocked_by FROM weir.parked_space WHERE position_id = $1 AND space_id = $3::uuid), -1);

-- name: decide
WITH pending AS (
    SELECT decision_id
    FROM weir.decision
    WHERE position_id = $1 AND kafka_offset = $2 AND verdict = $4 AND replacement_id IS NOT DISTINCT FROM $5::uuid
      AND (taken_at IS NULL OR ($4 = 'skip' AND outcome IS NULL))
    UNION ALL
    SELECT decision_id
    FROM weir.dead_letter
    WHERE position_id = $1 AND kafka_offset = $2 AND state = 'redriving' AND $4 = 'redrive'
    LIMIT 1
), made AS (
    INSERT INTO weir.decision (position_id, kafka_offset, space_id, verdict, replacement_id, decided_by, reason)
    SELECT $1, $2, $3, $4, $5, $6, $7
    WHERE NOT EXISTS (SELECT FROM pending)
    RETURNING decision_id
)
SELECT decision_id FROM made
UNION ALL
SELECT decision_id FROM pending;

-- $1 are positions. A halt at the record $2, which is to be skipped, ends with that.
-- name: unattended
SELECT p.processor, max(h.message)
FROM weir.position AS p
LEFT JOIN weir.halt AS h ON (h.processor, h.generation) = (p.processor, p.generation)
    AND NOT ($2::bigint IS NOT NULL AND weir.halted_at(h, p.topic, p.kafka_partition, $2))
LEFT JOIN pg_stat_activity AS a ON a.pid = p.owner_pid AND a.backend_start = p.owner_started_at
WHERE p.position_id = ANY ($1::integer[]) AND (a.pid IS NULL OR h.message IS NOT NULL)
GROUP BY 1
ORDER BY 1;

-- name: decision_outcomes
SELECT decision_id, outcome, message, applied_after
FROM weir.decision
WHERE decision_id = ANY ($1::uuid[]) AND outcome IS NOT NULL
ORDER BY carried_out_at, decided_at;

-- name: retried_event
SELECT EXISTS (SELECT FROM weir.parked WHERE position_id = $1 AND space_id = $3 AND kafka_offset = $2),
       (SELECT message FROM weir.dead_letter WHERE position_id = $1 AND kafka_offset = $2),
       s.attempts, s.message
FROM (SELECT) AS one
LEFT JOIN weir.parked_space AS s ON s.position_id = $1 AND s.space_id = $3;

-- What the processors other than $4 did with the event $5 of the Space $6 at the place $1, $2, $3.
-- name: others_and_event
SELECT p.processor, p.next_offset > $3::bigint
FROM weir.position AS p
JOIN weir.processor AS live USING (processor, generation)
WHERE p.topic = $1 AND p.kafka_partition = $2 AND p.processor <> $4
  AND $5 = ANY (regexp_split_to_array(live.consumes, ',\s*'))
  AND NOT EXISTS (SELECT FROM weir.dead_letter AS d
                  WHERE d.position_id = p.position_id AND d.kafka_offset = $3::bigint AND d.state <> 'redriven')
  AND NOT EXISTS (SELECT FROM weir.parked AS w
                  WHERE w.position_id = p.position_id AND w.space_id = $6::uuid AND w.kafka_offset = $3::bigint)
ORDER BY 1;

-- The record at a place as a row of chosen_letters, of which little is known yet, and what became of it.
-- name: record_ahead
SELECT NULL, p.position_id, p.processor, p.topic, p.kafka_partition, $4::bigint, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL, NULL, NULL, $5, NULL, NULL, NULL, NULL, p.generation, weir.what_became(p.position_id, $4::bigint)
FROM weir.position AS p
JOIN weir.processor AS live USING (processor, generation)
WHERE p.processor = $1 AND p.topic = $2 AND p.kafka_partition = $3::integer;

-- name: processors
SELECT p.processor, p.generation, p.version, h.code, h.message, weir.iso_time(h.halted_at)
FROM weir.processor AS p
LEFT JOIN weir.halt AS h USING (processor, generation)
ORDER BY 1;

-- name: stopped
SELECT processor, generation, how, topic, kafka_partition, kafka_offset, code, message, weir.iso_time(since)
FROM weir.stopped
ORDER BY processor, generation, how, topic, kafka_partition;

-- The generations of $1, or of all; $2 is how a session that follows is called, which is no rebuild.
-- name: generations
SELECT processor, generation, version, state, phase, records_done, records_total, records_per_second,
       to_char(updated_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       state <> 'live' AND EXISTS (SELECT FROM pg_locks AS l
                                   JOIN pg_stat_activity AS a USING (pid)
                                   WHERE l.locktype = 'advisory' AND l.classid = 2003134835
                                     AND l.objid::bigint = hashtext(processor)::bigint & 4294967295
                                     AND a.application_name IS DISTINCT FROM $2),
       CASE WHEN state = 'previous' THEN weir.records_behind(processor, generation) END
FROM (SELECT processor, generation, version, state, phase, records_done, records_total, records_per_second, updated_at
      FROM weir.generation
      UNION ALL
      SELECT processor, generation, version, 'live', '', 0, 0, 0, created_at
      FROM weir.processor AS p
      WHERE NOT EXISTS (SELECT FROM weir.generation AS g
                        WHERE (g.processor, g.generation) = (p.processor, p.generation))) AS g
WHERE $1::text IS NULL OR processor = $1
ORDER BY processor, generation;

-- What `weir doctor` asks.

-- name: free_connections
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
       - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend');

-- Settings by which the server logs the parameters of statements.
-- name: parameter_logging
SELECT string_agg(name || ' = ' || setting, ', ' ORDER BY name)
FROM pg_settings
WHERE CASE WHEN name = 'log_parameter_max_length_on_error' THEN setting <> '0'
           WHEN current_setting('log_parameter_max_length') = '0' THEN false
           WHEN name LIKE 'log\_min\_duration\_%' THEN setting <> '-1'
           WHEN name = 'log_transaction_sample_rate' THEN setting <> '0'
           ELSE name = 'log_statement' AND setting = 'all' END;
