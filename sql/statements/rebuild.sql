-- SPDX-License-Identifier: Apache-2.0
--
-- Of processors/rebuild.
-- role: weir_owner

-- name: is_owned
SELECT EXISTS (SELECT FROM weir.position AS p
               JOIN pg_stat_activity AS a ON a.pid = p.owner_pid AND a.backend_start = p.owner_started_at
               WHERE p.processor = $1 AND p.generation = $2);

-- name: evict_follower
SELECT pg_terminate_backend(l.pid)
FROM pg_locks AS l
JOIN pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 2003134835
  AND l.objid::bigint = hashtext($1)::bigint & 4294967295
  AND a.datname = current_database() AND a.application_name = $2;

-- name: rebuilds_at_work
SELECT coalesce(string_agg(owner || ', generation ' || generation || ', ' || phase, '; '), 'another session')
FROM weir.generation
WHERE processor = $1 AND owner IS NOT NULL AND updated_at > now() - interval '1m';

-- name: list_live_generation
INSERT INTO weir.generation (processor, generation, version, consumes, state)
SELECT processor, generation, version, consumes, 'live'
FROM weir.processor
WHERE processor = $1
ON CONFLICT (processor, generation) DO NOTHING;

-- name: add_generation
INSERT INTO weir.generation (processor, generation, version, consumes, source, state, indexed)
SELECT $1, max(generation) + 1, $2::integer, $3, $4, 'building', $5::boolean
FROM weir.generation
WHERE processor = $1
RETURNING generation;

-- What is NULL stays as it is.
-- name: note_generation
UPDATE weir.generation
SET state = coalesce($3, state),
    phase = coalesce($4, phase),
    records_done = coalesce($5, records_done),
    records_total = coalesce($6, records_total),
    records_per_second = coalesce($7, records_per_second),
    caught_up_at = CASE WHEN $3 = 'caught-up' THEN now() ELSE caught_up_at END,
    updated_at = now()
WHERE processor = $1 AND generation = $2;

-- name: unfinished_generation
SELECT generation, version,
       (SELECT coalesce(sum(next_offset), 0)::bigint
        FROM weir.position AS p
        WHERE (p.processor, p.generation) = (g.processor, g.generation))
FROM weir.generation AS g
WHERE processor = $1 AND state IN ('building', 'caught-up');

-- Views outside of the schema that read its tables.
-- name: views_on_tables
SELECT string_agg(DISTINCT v.oid::regclass::text, ', ')
FROM pg_depend AS d
JOIN pg_rewrite AS r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_class AS v ON v.oid = r.ev_class
JOIN pg_class AS t ON t.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
WHERE t.relnamespace = $1::regnamespace AND v.relnamespace <> t.relnamespace;

-- Views outside of the published schema that stand on its views, over any number of others.
-- name: views_on_views
WITH RECURSIVE d AS (
    SELECT oid FROM pg_class WHERE relnamespace = $1::regnamespace
    UNION
    SELECT r.ev_class
    FROM d
    JOIN pg_depend AS p ON p.refobjid = d.oid AND p.refclassid = 'pg_class'::regclass AND p.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS r ON r.oid = p.objid
)
SELECT c.oid::regclass::text
FROM d
JOIN pg_class AS c USING (oid)
WHERE c.relnamespace <> $1::regnamespace
ORDER BY 1;

-- Published views of $1 that read another generation than $2.
-- name: stale_views
SELECT string_agg(DISTINCT v.oid::regclass::text, ', ')
FROM pg_class AS v
JOIN pg_rewrite AS r ON r.ev_class = v.oid
JOIN pg_depend AS d ON d.objid = r.oid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_class AS t ON t.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE v.relnamespace = $1::text::regnamespace AND v.relkind = 'v'
  AND n.nspname ~ ('^' || $1 || '_[0-9]+$') AND n.nspname <> $2;

-- name: positions_locked
SELECT topic, kafka_partition, next_offset
FROM weir.position
WHERE processor = $1 AND generation = $2
ORDER BY position_id
FOR UPDATE;

-- The rest is what `weir process` asks when it keeps the previous generation up to date, and what workers ask.
-- role: weir_processor

-- name: previous_generation
SELECT f.generation, f.version, f.consumes, p.generation, weir.records_behind(p.processor, f.generation),
       EXISTS (SELECT FROM weir.left_out
               JOIN weir.position AS o USING (position_id)
               WHERE (o.processor, o.generation) = (p.processor, f.generation))
FROM weir.processor AS p
CROSS JOIN LATERAL (SELECT *
                    FROM weir.generation AS g
                    WHERE g.processor = p.processor AND g.state = 'previous'
                    ORDER BY live_at DESC NULLS LAST, generation DESC
                    LIMIT 1) AS f
WHERE p.processor = $1;

-- name: positions_reached
SELECT topic, kafka_partition, next_offset
FROM weir.position
WHERE processor = $1 AND generation = $2
ORDER BY position_id;

-- name: is_live_and_previous
SELECT
FROM weir.processor AS p
JOIN weir.generation AS g USING (processor)
WHERE p.processor = $1 AND p.generation = $2 AND g.generation = $3 AND g.state = 'previous';

-- name: forget_left_out
DELETE FROM weir.left_out AS l
USING weir.position AS p
WHERE p.processor = $1 AND p.generation = $2 AND l.position_id = p.position_id AND l.applied_after < p.next_offset;

-- Deferred records, with key and value where they are still to be applied, behind the offset `after`.
-- name: left_out
SELECT position_id::bigint, kafka_offset, (extract(epoch FROM kafka_timestamp) * 1000000)::bigint, after,
       (extract(epoch FROM carried_out_at) * 1000000)::bigint,
       CASE WHEN after IS NOT NULL THEN key END,
       CASE WHEN after IS NOT NULL THEN value END
FROM (SELECT *, CASE WHEN NOT done THEN applied_after END AS after
      FROM weir.left_out
      WHERE position_id = ANY ($1::integer[])) AS l;
