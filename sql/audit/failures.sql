-- SPDX-License-Identifier: Apache-2.0
--
-- What `weir audit` holds the parked events, dead letters and decisions of one processor to, beside counting them (that is
-- C, with the topics at hand). It belongs to the program and is never replaced by --home. The first schema of the search
-- path is the generation that is examined, such as ledger_1. Each query returns the rows that break the rule.

-- name: each Space that is held back counts its parked events (I3)
SELECT s.position_id, p.topic, p.kafka_partition, space_id, s.events AS counted, coalesce(n.events, 0) AS parked
FROM weir.parked_space AS s
FULL JOIN (SELECT e.position_id, e.space_id, count(*) AS events
           FROM weir.parked AS e
           GROUP BY e.position_id, e.space_id) AS n USING (position_id, space_id)
JOIN weir.position AS p ON p.position_id = coalesce(s.position_id, n.position_id)
WHERE p.processor || '_' || p.generation = current_schema()
  AND s.events IS DISTINCT FROM coalesce(n.events, 0);

-- name: each Space that is held back is tried again, or somebody has to decide (I12)
SELECT p.topic, p.kafka_partition, s.space_id, s.events, s.next_attempt_at, s.blocked_by
FROM weir.parked_space AS s
JOIN weir.position AS p USING (position_id)
WHERE p.processor || '_' || p.generation = current_schema()
  AND ((s.next_attempt_at IS NULL AND s.events > 0 AND s.blocked_by IS NULL)
       OR (s.events = 0 AND s.blocked_by IS NULL)
       OR (s.blocked_by IS NOT NULL
           AND NOT EXISTS (SELECT FROM weir.dead_letter AS l
                           WHERE l.position_id = s.position_id AND l.kafka_offset = s.blocked_by
                             AND l.state IN ('open', 'redriving'))));

-- What is redriven stands before whatever was applied since it failed: it is no head.
-- name: nothing of a Space that is held back is applied beyond the event that failed (I4)
SELECT p.topic, p.kafka_partition, h.space_id, h.kafka_offset AS held_back_from, a.kafka_offset AS applied
FROM (SELECT position_id, space_id, min(kafka_offset) AS kafka_offset
      FROM (SELECT e.position_id, e.space_id, e.kafka_offset
            FROM weir.parked AS e
            WHERE NOT EXISTS (SELECT FROM weir.dead_letter AS l
                              WHERE l.position_id = e.position_id AND l.kafka_offset = e.kafka_offset
                                AND l.state = 'redriving')
            UNION ALL
            SELECT s.position_id, s.space_id, s.blocked_by
            FROM weir.parked_space AS s
            WHERE s.blocked_by IS NOT NULL) AS waiting
      GROUP BY position_id, space_id) AS h
JOIN weir.position AS p USING (position_id)
JOIN (SELECT r.position_id, e.space_id, e.kafka_offset
      FROM applied_run AS r
      CROSS JOIN LATERAL weir.run_entries(r.entries) AS e
      WHERE r.position_id IN (SELECT s.position_id FROM weir.parked_space AS s)) AS a
    ON a.position_id = h.position_id AND a.space_id = h.space_id AND a.kafka_offset > h.kafka_offset
WHERE p.processor || '_' || p.generation = current_schema();

-- name: each dead letter that is redriven again waits among the parked events (I3)
SELECT p.topic, p.kafka_partition, l.kafka_offset, l.space_id
FROM weir.dead_letter AS l
JOIN weir.position AS p USING (position_id)
WHERE p.processor || '_' || p.generation = current_schema()
  AND l.state = 'redriving'
  AND NOT EXISTS (SELECT FROM weir.parked AS e
                  WHERE e.position_id = l.position_id AND e.space_id = l.space_id AND e.kafka_offset = l.kafka_offset);

-- name: each dead letter that was decided about has its decision
SELECT p.topic, p.kafka_partition, l.kafka_offset, l.state, d.verdict, d.outcome
FROM weir.dead_letter AS l
JOIN weir.position AS p USING (position_id)
LEFT JOIN weir.decision AS d ON d.decision_id = l.decision_id
WHERE p.processor || '_' || p.generation = current_schema()
  AND l.state <> 'open'
  AND (l.state, d.verdict, d.outcome) IS DISTINCT FROM ('redriving', 'redrive', NULL)
  AND (l.state, d.verdict, d.outcome) IS DISTINCT FROM ('redriven', 'redrive', 'applied')
  AND (l.state, d.verdict, d.outcome) IS DISTINCT FROM ('discarded', 'discard', 'discarded')
  AND (l.state, d.verdict, d.outcome) IS DISTINCT FROM ('patched', 'patch', 'discarded');

-- name: each decision is carried out within five minutes
SELECT d.decision_id, d.verdict, p.topic, p.kafka_partition, d.kafka_offset, d.decided_by, d.decided_at, d.taken_at
FROM weir.decision AS d
JOIN weir.position AS p USING (position_id)
WHERE p.processor || '_' || p.generation = current_schema()
  AND d.outcome IS NULL
  AND NOT (d.verdict = 'skip' AND d.taken_at IS NOT NULL AND p.next_offset <= d.kafka_offset) -- it is still to come
  AND d.decided_at < now() - interval '5 minutes';

-- name: each record of the outbox is published within a minute (I10)
SELECT o.outbox_id, o.topic, o.kafka_partition, o.created_at
FROM weir.outbox AS o
WHERE o.topic IN ('weir.dlt.' || regexp_replace(current_schema(), '_[0-9]+$', ''),
                  'weir.decisions.' || regexp_replace(current_schema(), '_[0-9]+$', ''))
  AND o.created_at < now() - interval '1 minute'
ORDER BY o.outbox_id;
