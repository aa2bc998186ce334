-- SPDX-License-Identifier: Apache-2.0
--
-- The functions that move events between applied, parked and dead. Each runs in a transaction of the partition's owner,
-- behind its fence: a batch (set_aside, drained) behind weir.advance, the others behind weir.hold.

CREATE OR REPLACE FUNCTION weir.set_aside(duplicates weir.batch_event[], dead_letters weir.batch_dead_letter[],
                                parked weir.batch_parked[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    again record;
BEGIN
    INSERT INTO weir.duplicate (position_id, kafka_offset, kafka_timestamp, space_id, event_id)
    SELECT d.position_id, d.kafka_offset, d.kafka_timestamp, d.space_id, d.event_id
    FROM unnest(duplicates) AS d;
    IF cardinality(dead_letters) > 0 THEN
        -- One that is redriven is there already, and has failed again.
        FOR again IN
            SELECT l.decision_id, d.message FROM unnest(dead_letters) AS d
            JOIN weir.dead_letter AS l USING (position_id, kafka_offset)
            WHERE l.state = 'redriving'
        LOOP
            PERFORM weir.finish_decision(again.decision_id, 'failed', again.message);
        END LOOP;
        INSERT INTO weir.dead_letter AS l (position_id, kafka_offset, kafka_timestamp, space_id, event_id, schema_id, code,
                                           message, headers, key, value)
        SELECT d.position_id, d.kafka_offset, d.kafka_timestamp, d.space_id, d.event_id, d.schema_id, d.code, d.message,
               d.headers, d.key, d.value
        FROM unnest(dead_letters) AS d
        ON CONFLICT (position_id, kafka_offset) DO UPDATE
        SET code = excluded.code, message = excluded.message, attempts = l.attempts + 1, last_failed_at = now(),
            state = 'open';
        PERFORM weir.publish_dead_letters(
            ARRAY(SELECT d.position_id FROM unnest(dead_letters) AS d),
            ARRAY(SELECT d.kafka_offset FROM unnest(dead_letters) AS d));
        FOR again IN
            SELECT n.decision_id FROM unnest(dead_letters) AS d
            JOIN weir.decision AS n USING (position_id, kafka_offset)
            WHERE d.code = 'skipped' AND n.verdict = 'skip' AND n.outcome IS NULL
        LOOP
            PERFORM weir.finish_decision(again.decision_id, 'skipped');
        END LOOP;
    END IF;
    IF cardinality(parked) > 0 THEN
        INSERT INTO weir.parked_space (position_id, space_id, events, attempts, code, message, first_failed_at,
                                       last_failed_at, next_attempt_at)
        SELECT p.position_id, p.space_id, 0, (p.code IS NOT NULL)::integer, p.code, p.message,
               CASE WHEN p.code IS NOT NULL THEN now() END, CASE WHEN p.code IS NOT NULL THEN now() END,
               now() + p.retry_after_ms * interval '1 ms'
        FROM unnest(parked) AS p
        WHERE p.retry_after_ms IS NOT NULL;
        INSERT INTO weir.parked (position_id, space_id, kafka_offset, kafka_timestamp, event_id, schema_id, headers, key,
                                 value)
        SELECT p.position_id, p.space_id, p.kafka_offset, p.kafka_timestamp, p.event_id, p.schema_id, p.headers, p.key,
               p.value
        FROM unnest(parked) AS p;
        UPDATE weir.parked_space AS s
        SET events = s.events + n.events
        FROM (SELECT p.position_id, p.space_id, count(*) AS events FROM unnest(parked) AS p GROUP BY 1, 2) AS n
        WHERE s.position_id = n.position_id AND s.space_id = n.space_id;
    END IF;
END
$$;
COMMENT ON FUNCTION weir.set_aside IS 'Records the dead letters and parked events of a batch';

-- A Space whose parked events are all dealt with flows again; otherwise the next of them is due, unless it stands behind a
-- dead letter that has to be decided about.
CREATE OR REPLACE FUNCTION weir.release_space(held_position integer, released_space uuid, gone bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE weir.parked_space AS s
    SET events = s.events - gone, attempts = 0, code = NULL, message = NULL, first_failed_at = NULL, last_failed_at = NULL,
        next_attempt_at = CASE
            WHEN s.blocked_by IS NULL
              OR EXISTS (SELECT FROM weir.parked AS p
                         WHERE p.position_id = s.position_id AND p.space_id = s.space_id
                           AND p.kafka_offset <= s.blocked_by) THEN now()
        END
    WHERE s.position_id = held_position AND s.space_id = released_space;
    DELETE FROM weir.parked_space
    WHERE position_id = held_position AND space_id = released_space AND events = 0 AND blocked_by IS NULL;
END
$$;
COMMENT ON FUNCTION weir.release_space IS 'Takes parked events off a Space''s count and makes the next one due; a Space without any flows again';

CREATE OR REPLACE FUNCTION weir.drain(drained weir.batch_drained[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    part weir.batch_drained;
    gone bigint;
    letter weir.dead_letter;
    behind bigint;
BEGIN
    FOREACH part IN ARRAY drained LOOP
        FOR letter IN
            SELECT * FROM weir.dead_letter AS l
            WHERE l.position_id = part.position_id AND l.space_id = part.space_id
              AND l.kafka_offset <= part.through_offset AND l.state = 'redriving'
            ORDER BY l.kafka_offset
        LOOP
            -- Whatever still waited for it comes behind it; everything else of its Space came before.
            behind := coalesce(
                (SELECT p.kafka_offset FROM weir.parked AS p
                 WHERE p.position_id = part.position_id AND p.space_id = part.space_id AND p.kafka_offset > letter.kafka_offset
                   AND NOT EXISTS (SELECT FROM weir.dead_letter AS l
                                   WHERE l.position_id = p.position_id AND l.kafka_offset = p.kafka_offset
                                     AND l.state IN ('redriving', 'redriven'))
                 ORDER BY p.kafka_offset LIMIT 1),
                (SELECT p.next_offset FROM weir.position AS p WHERE p.position_id = part.position_id)) - 1;
            UPDATE weir.dead_letter SET state = 'redriven', applied_after = behind
            WHERE position_id = letter.position_id AND kafka_offset = letter.kafka_offset;
            PERFORM weir.finish_decision(letter.decision_id, 'applied', NULL, behind);
        END LOOP;
        DELETE FROM weir.parked AS p
        WHERE p.position_id = part.position_id AND p.space_id = part.space_id AND p.kafka_offset <= part.through_offset;
        GET DIAGNOSTICS gone = ROW_COUNT;
        UPDATE weir.parked_space SET blocked_by = NULL
        WHERE position_id = part.position_id AND space_id = part.space_id AND blocked_by <= part.through_offset;
        PERFORM weir.release_space(part.position_id, part.space_id, gone);
        UPDATE weir.left_out SET done = true -- a rebuild applies them one by one
        WHERE position_id = part.position_id AND kafka_offset = part.through_offset;
    END LOOP;
END
$$;
COMMENT ON FUNCTION weir.drain IS 'Removes the parked events that this transaction dealt with, and finishes the redrives among them';

-- A dead letter whose redrive failed is open again, whatever attempts its Space has left.
CREATE OR REPLACE FUNCTION weir.heads_failed(failed weir.failed_head[]) RETURNS TABLE (due bigint, is_held boolean)
LANGUAGE plpgsql AS $$
DECLARE
    again record;
    redriven bigint[] := '{}';
BEGIN
    PERFORM weir.hold(h.position_id, h.epoch)
    FROM (SELECT DISTINCT f.position_id, f.epoch FROM unnest(failed) AS f ORDER BY f.position_id) AS h;
    FOR again IN
        UPDATE weir.dead_letter AS l
        SET state = 'open', code = f.code, message = f.message, attempts = l.attempts + 1, last_failed_at = now()
        FROM unnest(failed) AS f
        WHERE l.position_id = f.position_id AND l.kafka_offset = f.kafka_offset AND l.state = 'redriving'
        RETURNING f.due, l.decision_id, f.message
    LOOP
        redriven := redriven || again.due;
        PERFORM weir.finish_decision(again.decision_id, 'failed', again.message);
    END LOOP;
    UPDATE weir.parked_space AS s
    SET attempts = s.attempts + 1, code = f.code, message = f.message,
        first_failed_at = coalesce(s.first_failed_at, now()), last_failed_at = now(),
        next_attempt_at = now() + f.retry_after_ms * interval '1 ms'
    FROM unnest(failed) AS f
    WHERE s.position_id = f.position_id AND s.space_id = f.space_id AND NOT f.used_up AND f.due <> ALL (redriven);
    INSERT INTO weir.dead_letter (position_id, kafka_offset, kafka_timestamp, space_id, event_id, schema_id, code, message,
                                  attempts, first_failed_at, headers, key, value)
    SELECT p.position_id, p.kafka_offset, p.kafka_timestamp, p.space_id, p.event_id, p.schema_id, f.code, f.message,
           s.attempts + 1, coalesce(s.first_failed_at, now()), p.headers, p.key, p.value
    FROM unnest(failed) AS f
    JOIN weir.parked AS p USING (position_id, space_id, kafka_offset)
    JOIN weir.parked_space AS s USING (position_id, space_id)
    WHERE f.used_up AND f.due <> ALL (redriven);
    IF FOUND THEN
        PERFORM weir.publish_dead_letters(array_agg(f.position_id), array_agg(f.kafka_offset))
        FROM unnest(failed) AS f
        WHERE f.used_up AND f.due <> ALL (redriven);
        UPDATE weir.parked_space AS s SET blocked_by = f.kafka_offset
        FROM unnest(failed) AS f
        WHERE f.block AND f.used_up AND f.due <> ALL (redriven)
          AND s.position_id = f.position_id AND s.space_id = f.space_id;
    END IF;
    DELETE FROM weir.parked AS p USING unnest(failed) AS f
    WHERE p.position_id = f.position_id AND p.space_id = f.space_id AND p.kafka_offset = f.kafka_offset
      AND (f.used_up OR f.due = ANY (redriven));
    PERFORM weir.release_space(f.position_id, f.space_id, 1)
    FROM unnest(failed) AS f
    WHERE f.used_up OR f.due = ANY (redriven);
    RETURN QUERY
    SELECT f.due, EXISTS (SELECT FROM weir.parked_space AS s WHERE s.position_id = f.position_id AND s.space_id = f.space_id)
    FROM unnest(failed) AS f;
END
$$;
COMMENT ON FUNCTION weir.heads_failed IS 'The first parked events of some Spaces failed: they are tried later, or become dead letters; returns which Spaces are still held back';

-- Nothing has failed: no attempt is spent.
CREATE OR REPLACE FUNCTION weir.postpone(held_position integer, held_epoch bigint, held_space uuid, pause_ms bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM weir.hold(held_position, held_epoch);
    UPDATE weir.parked_space AS s SET next_attempt_at = now() + pause_ms * interval '1 ms'
    WHERE s.position_id = held_position AND s.space_id = held_space AND s.next_attempt_at IS NOT NULL;
END
$$;
COMMENT ON FUNCTION weir.postpone IS 'Tries the parked events of a Space later, for a cause that is not theirs';
