-- SPDX-License-Identifier: Apache-2.0
--
-- The functions that move events between applied, parked and dead. Each runs in a transaction of the partition's owner,
-- behind its fence: a batch (set_aside, drained) behind weir.advance, the others behind weir.hold. Whatever publishes
-- commits synchronously, because a reader of the topic must not know more than the database after a crash.

CREATE TYPE weir.batch_dead_letter AS (
    position_id     integer,
    kafka_offset    bigint,
    kafka_timestamp timestamptz,
    space_id        uuid,
    event_id        uuid,
    schema_id       integer,
    code            text,
    message         text,
    headers         weir.header[],
    key             bytea,
    value           bytea
);
COMMENT ON TYPE weir.batch_dead_letter IS 'A record that a batch sets aside';

CREATE TYPE weir.batch_parked AS (
    position_id     integer,
    kafka_offset    bigint,
    kafka_timestamp timestamptz,
    space_id        uuid,
    event_id        uuid,
    schema_id       integer,
    code            text,
    message         text,
    headers         weir.header[],
    key             bytea,
    value           bytea,
    retry_after_ms  bigint
);
COMMENT ON TYPE weir.batch_parked IS 'An event that a batch parks; with a code it is the one that failed, without it waits behind that one';

CREATE TYPE weir.batch_drained AS (
    position_id    integer,
    space_id       uuid,
    through_offset bigint
);
COMMENT ON TYPE weir.batch_drained IS 'Parked events that a batch deals with: those of a Space up to an offset';

CREATE FUNCTION weir.hold(held_position integer, held_epoch bigint) RETURNS weir.position
LANGUAGE plpgsql AS $$
DECLARE
    held weir.position;
BEGIN
    SELECT * INTO held FROM weir.position WHERE position_id = held_position AND epoch = held_epoch FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'another owner has claimed a partition of this batch' USING ERRCODE = 'WR001';
    END IF;
    RETURN held;
END
$$;
COMMENT ON FUNCTION weir.hold IS 'The fence of a transaction that moves no position: locks its row under its epoch, or raises WR001';

CREATE FUNCTION weir.text_header(header_name text, header_value text) RETURNS weir.header
LANGUAGE sql IMMUTABLE AS $$
    SELECT ROW(header_name, convert_to(header_value, 'UTF8'))::weir.header
$$;
COMMENT ON FUNCTION weir.text_header IS 'A header of text';

CREATE FUNCTION weir.iso_time(instant timestamptz) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;
COMMENT ON FUNCTION weir.iso_time IS 'An instant as RFC 3339 writes it';

-- Only the live generation publishes dead letters. What another one sets aside has been published as a rule, by the live
-- one or before the database was lost; what has not is published when that generation becomes live.
CREATE FUNCTION weir.publish_dead_letters(positions integer[], offsets bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    INSERT INTO weir.outbox (topic, kafka_partition, key, value, headers)
    SELECT 'weir.dlt.' || p.processor, p.kafka_partition, d.key, d.value,
           d.headers || ARRAY[
               weir.text_header('weir_processor', p.processor),
               weir.text_header('weir_topic', p.topic),
               weir.text_header('weir_partition', p.kafka_partition::text),
               weir.text_header('weir_offset', d.kafka_offset::text),
               weir.text_header('weir_timestamp', weir.iso_time(d.kafka_timestamp)),
               weir.text_header('weir_error_code', d.code),
               weir.text_header('weir_error_message', d.message),
               weir.text_header('weir_attempts', d.attempts::text),
               weir.text_header('weir_first_failed_at', weir.iso_time(d.first_failed_at)),
               weir.text_header('weir_last_failed_at', weir.iso_time(d.last_failed_at))
           ]
    FROM unnest(positions, offsets) AS u (position_id, kafka_offset)
    JOIN weir.dead_letter AS d USING (position_id, kafka_offset)
    JOIN weir.position AS p USING (position_id)
    JOIN weir.processor AS live USING (processor, generation)
    ORDER BY d.position_id, d.kafka_offset;
    UPDATE weir.dead_letter AS d
    SET published = live.processor IS NOT NULL
    FROM unnest(positions, offsets) AS u (position_id, kafka_offset)
    JOIN weir.position AS p USING (position_id)
    LEFT JOIN weir.processor AS live USING (processor, generation)
    WHERE d.position_id = u.position_id AND d.kafka_offset = u.kafka_offset
      AND d.published <> (live.processor IS NOT NULL);
END
$$;
COMMENT ON FUNCTION weir.publish_dead_letters IS 'Puts the records of weir.dlt.<processor> for new dead letters into the outbox';

CREATE FUNCTION weir.publish_late(of_processor text, of_generation integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    positions integer[];
    offsets bigint[];
BEGIN
    SELECT array_agg(d.position_id), array_agg(d.kafka_offset) INTO positions, offsets
    FROM weir.dead_letter AS d
    JOIN weir.position AS p USING (position_id)
    WHERE p.processor = of_processor AND p.generation = of_generation AND NOT d.published;
    IF positions IS NOT NULL THEN
        PERFORM weir.publish_dead_letters(positions, offsets);
    END IF;
    RETURN coalesce(cardinality(positions), 0);
END
$$;
COMMENT ON FUNCTION weir.publish_late IS 'Publishes what a generation that is live now set aside while it was not; returns how many';

CREATE FUNCTION weir.publish_decision(published_id uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    INSERT INTO weir.outbox (topic, kafka_partition, key, value, headers)
    SELECT 'weir.decisions.' || p.processor, p.kafka_partition, convert_to(l.space_id::text, 'UTF8'),
           convert_to(jsonb_build_object(
               'decision_id', d.decision_id,
               'processor', p.processor,
               'topic', p.topic,
               'partition', p.kafka_partition,
               'offset', d.kafka_offset,
               'timestamp', weir.iso_time(l.kafka_timestamp),
               'space_id', l.space_id,
               'event_id', l.event_id,
               'verdict', d.verdict,
               'replacement_id', d.replacement_id,
               'decided_by', d.decided_by,
               'reason', d.reason,
               'decided_at', weir.iso_time(d.decided_at),
               'outcome', d.outcome,
               'message', d.message,
               'applied_after', d.applied_after,
               'carried_out_at', weir.iso_time(d.carried_out_at)
           )::text, 'UTF8'),
           ARRAY[
               weir.text_header('ce_specversion', '1.0'),
               weir.text_header('ce_type', 'weir.decision'),
               weir.text_header('ce_source', '/processors/' || p.processor),
               weir.text_header('ce_id', d.decision_id::text),
               weir.text_header('ce_time', weir.iso_time(d.carried_out_at)),
               weir.text_header('content-type', 'application/json')
           ]
    FROM weir.decision AS d
    JOIN weir.position AS p USING (position_id)
    JOIN weir.processor AS live USING (processor, generation)
    LEFT JOIN weir.dead_letter AS l USING (position_id, kafka_offset)
    WHERE d.decision_id = published_id;
END
$$;
COMMENT ON FUNCTION weir.publish_decision IS 'Puts the record of weir.decisions.<processor> for a decision that was carried out into the outbox';

CREATE FUNCTION weir.finish_decision(finished_id uuid, came_to text, why text DEFAULT NULL, behind bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE weir.decision
    SET taken_at = coalesce(taken_at, now()), outcome = came_to, message = why, applied_after = behind, carried_out_at = now()
    WHERE decision_id = finished_id;
    PERFORM weir.publish_decision(finished_id);
END
$$;
COMMENT ON FUNCTION weir.finish_decision IS 'Notes what came of a decision, and publishes it';

CREATE FUNCTION weir.set_aside(duplicates weir.batch_event[], dead_letters weir.batch_dead_letter[],
                                parked weir.batch_parked[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    again record;
BEGIN
    INSERT INTO weir.duplicate (position_id, kafka_offset, space_id, event_id)
    SELECT d.position_id, d.kafka_offset, d.space_id, d.event_id
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
    END IF;
    IF cardinality(parked) > 0 THEN
        INSERT INTO weir.parked_space (position_id, space_id, events, attempts, code, message, first_failed_at,
                                       last_failed_at, next_attempt_at)
        SELECT p.position_id, p.space_id, 0, 1, p.code, p.message, now(), now(),
               now() + p.retry_after_ms * interval '1 ms'
        FROM unnest(parked) AS p
        WHERE p.code IS NOT NULL;
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
COMMENT ON FUNCTION weir.set_aside IS 'Records what a batch did not apply';

-- A Space whose parked events are all dealt with flows again; otherwise the next of them is due, unless it stands behind a
-- dead letter that has to be decided about.
CREATE FUNCTION weir.release_space(held_position integer, released_space uuid, gone bigint) RETURNS void
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
COMMENT ON FUNCTION weir.release_space IS 'The first parked events of a Space are gone, or what it waited for is decided';

CREATE FUNCTION weir.drain(drained weir.batch_drained[]) RETURNS void
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
    END LOOP;
END
$$;
COMMENT ON FUNCTION weir.drain IS 'Parked events were applied in this transaction, or set aside for good';

CREATE FUNCTION weir.head_failed(held_position integer, held_epoch bigint, held_space uuid, failed_offset bigint,
                                 failed_code text, failed_message text, retry_after_ms bigint, used_up boolean,
                                 block boolean)
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    space weir.parked_space;
    letter weir.dead_letter;
BEGIN
    PERFORM weir.hold(held_position, held_epoch);
    SELECT * INTO STRICT space FROM weir.parked_space WHERE position_id = held_position AND space_id = held_space;
    SELECT * INTO letter FROM weir.dead_letter
    WHERE position_id = held_position AND kafka_offset = failed_offset AND state = 'redriving';
    IF FOUND THEN
        UPDATE weir.dead_letter
        SET state = 'open', code = failed_code, message = failed_message, attempts = attempts + 1, last_failed_at = now()
        WHERE position_id = held_position AND kafka_offset = failed_offset;
        PERFORM weir.finish_decision(letter.decision_id, 'failed', failed_message);
    ELSIF used_up THEN
        INSERT INTO weir.dead_letter (position_id, kafka_offset, kafka_timestamp, space_id, event_id, schema_id, code, message,
                                      attempts, first_failed_at, headers, key, value)
        SELECT position_id, kafka_offset, kafka_timestamp, space_id, event_id, schema_id, failed_code, failed_message,
               space.attempts + 1, coalesce(space.first_failed_at, now()), headers, key, value
        FROM weir.parked
        WHERE position_id = held_position AND space_id = held_space AND kafka_offset = failed_offset;
        PERFORM weir.publish_dead_letters(ARRAY[held_position], ARRAY[failed_offset]);
        UPDATE weir.parked_space SET blocked_by = failed_offset
        WHERE block AND position_id = held_position AND space_id = held_space;
    ELSE
        UPDATE weir.parked_space
        SET attempts = attempts + 1, code = failed_code, message = failed_message,
            first_failed_at = coalesce(first_failed_at, now()), last_failed_at = now(),
            next_attempt_at = now() + head_failed.retry_after_ms * interval '1 ms'
        WHERE position_id = held_position AND space_id = held_space;
        RETURN true;
    END IF;
    DELETE FROM weir.parked
    WHERE position_id = held_position AND space_id = held_space AND kafka_offset = failed_offset;
    PERFORM weir.release_space(held_position, held_space, 1);
    RETURN EXISTS (SELECT FROM weir.parked_space WHERE position_id = held_position AND space_id = held_space);
END
$$;
COMMENT ON FUNCTION weir.head_failed IS 'The first parked event of a Space failed again: later once more, or it becomes a dead letter; returns whether the Space is still held back';

-- Nothing has failed: no attempt is spent.
CREATE FUNCTION weir.postpone(held_position integer, held_epoch bigint, held_space uuid, pause_ms bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM weir.hold(held_position, held_epoch);
    UPDATE weir.parked_space AS s SET next_attempt_at = now() + pause_ms * interval '1 ms'
    WHERE s.position_id = held_position AND s.space_id = held_space AND s.next_attempt_at IS NOT NULL;
END
$$;
COMMENT ON FUNCTION weir.postpone IS 'Something is in the way of the parked events of a Space that is not about them: later once more';

CREATE FUNCTION weir.take_redrive(made weir.decision, letter weir.dead_letter) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO weir.parked (position_id, space_id, kafka_offset, kafka_timestamp, event_id, schema_id, headers, key, value)
    VALUES (letter.position_id, letter.space_id, letter.kafka_offset, letter.kafka_timestamp, letter.event_id,
            letter.schema_id, letter.headers, letter.key, letter.value);
    INSERT INTO weir.parked_space AS s (position_id, space_id, events, attempts, next_attempt_at)
    VALUES (letter.position_id, letter.space_id, 1, 0, now())
    ON CONFLICT (position_id, space_id) DO UPDATE SET events = s.events + 1;
    -- Behind another one it waits its turn, and behind a dead letter that blocks its Space too.
    UPDATE weir.parked_space AS s
    SET attempts = 0, code = NULL, message = NULL, first_failed_at = NULL, last_failed_at = NULL,
        next_attempt_at = CASE WHEN s.blocked_by IS NULL OR letter.kafka_offset <= s.blocked_by THEN now() END
    WHERE s.position_id = letter.position_id AND s.space_id = letter.space_id
      AND NOT EXISTS (SELECT FROM weir.parked AS p
                      WHERE p.position_id = s.position_id AND p.space_id = s.space_id
                        AND p.kafka_offset < letter.kafka_offset);
    UPDATE weir.dead_letter SET state = 'redriving', decision_id = made.decision_id
    WHERE position_id = letter.position_id AND kafka_offset = letter.kafka_offset;
    UPDATE weir.decision SET taken_at = now() WHERE decision_id = made.decision_id;
END
$$;
COMMENT ON FUNCTION weir.take_redrive IS 'Parks a dead letter again, in its place among what waits of its Space; the first of them is due';

-- The dead letter is out of the way: a Space that waited for it goes on.
CREATE FUNCTION weir.take_discard(made weir.decision, letter weir.dead_letter) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE weir.dead_letter
    SET state = CASE WHEN made.verdict = 'patch' THEN 'patched' ELSE 'discarded' END, decision_id = made.decision_id
    WHERE position_id = letter.position_id AND kafka_offset = letter.kafka_offset;
    UPDATE weir.parked_space SET blocked_by = NULL
    WHERE position_id = letter.position_id AND space_id = letter.space_id AND blocked_by = letter.kafka_offset;
    IF FOUND THEN
        PERFORM weir.release_space(letter.position_id, letter.space_id, 0);
    END IF;
    PERFORM weir.finish_decision(made.decision_id, 'discarded');
END
$$;
COMMENT ON FUNCTION weir.take_discard IS 'A dead letter is never to be applied';

CREATE FUNCTION weir.take_parked(made weir.decision, waiting weir.parked) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    space weir.parked_space;
    is_first boolean;
BEGIN
    SELECT * INTO STRICT space FROM weir.parked_space
    WHERE position_id = waiting.position_id AND space_id = waiting.space_id;
    is_first := NOT EXISTS (SELECT FROM weir.parked AS p
                            WHERE p.position_id = waiting.position_id AND p.space_id = waiting.space_id
                              AND p.kafka_offset < waiting.kafka_offset);
    IF made.verdict = 'retry' AND is_first AND space.next_attempt_at IS NOT NULL THEN
        UPDATE weir.parked_space SET next_attempt_at = now()
        WHERE position_id = waiting.position_id AND space_id = waiting.space_id;
        PERFORM weir.finish_decision(made.decision_id, 'retried');
    ELSIF made.verdict IN ('discard', 'patch') THEN
        INSERT INTO weir.dead_letter (position_id, kafka_offset, kafka_timestamp, space_id, event_id, schema_id, code, message,
                                      attempts, first_failed_at, headers, key, value, state, decision_id)
        VALUES (waiting.position_id, waiting.kafka_offset, waiting.kafka_timestamp, waiting.space_id, waiting.event_id,
                waiting.schema_id, CASE WHEN is_first THEN coalesce(space.code, 'discarded') ELSE 'discarded' END,
                CASE WHEN is_first THEN coalesce(space.message, made.reason) ELSE made.reason END,
                CASE WHEN is_first THEN space.attempts ELSE 0 END, coalesce(space.first_failed_at, now()), waiting.headers,
                waiting.key, waiting.value, CASE WHEN made.verdict = 'patch' THEN 'patched' ELSE 'discarded' END,
                made.decision_id);
        PERFORM weir.publish_dead_letters(ARRAY[waiting.position_id], ARRAY[waiting.kafka_offset]);
        DELETE FROM weir.parked
        WHERE position_id = waiting.position_id AND space_id = waiting.space_id AND kafka_offset = waiting.kafka_offset;
        IF is_first THEN
            PERFORM weir.release_space(waiting.position_id, waiting.space_id, 1);
        ELSE
            UPDATE weir.parked_space SET events = events - 1
            WHERE position_id = waiting.position_id AND space_id = waiting.space_id;
        END IF;
        PERFORM weir.finish_decision(made.decision_id, 'discarded');
    ELSE
        PERFORM weir.finish_decision(made.decision_id, 'refused', CASE
            WHEN made.verdict = 'redrive' THEN 'it is parked: retry or discard it'
            WHEN space.next_attempt_at IS NULL THEN 'its Space waits for a decision about a dead letter'
            ELSE 'only the first parked event of a Space can be tried' END);
    END IF;
END
$$;
COMMENT ON FUNCTION weir.take_parked IS 'Carries out a decision about a parked event';

CREATE FUNCTION weir.carry_out(held_position integer, held_epoch bigint) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    made weir.decision;
    letter weir.dead_letter;
    waiting weir.parked;
    taken integer := 0;
BEGIN
    PERFORM weir.hold(held_position, held_epoch);
    FOR made IN
        SELECT * FROM weir.decision WHERE position_id = held_position AND taken_at IS NULL
        ORDER BY decided_at, kafka_offset LIMIT 1000
    LOOP
        taken := taken + 1;
        SELECT * INTO letter FROM weir.dead_letter
        WHERE position_id = held_position AND kafka_offset = made.kafka_offset;
        SELECT * INTO waiting FROM weir.parked
        WHERE position_id = held_position AND space_id = made.space_id AND kafka_offset = made.kafka_offset;
        IF waiting.position_id IS NOT NULL AND letter.state IS DISTINCT FROM 'redriving' THEN
            PERFORM weir.take_parked(made, waiting);
        ELSIF letter.state = 'open' AND made.verdict = 'redrive' AND letter.space_id IS NOT NULL THEN
            PERFORM weir.take_redrive(made, letter);
        ELSIF letter.state = 'open' AND made.verdict IN ('discard', 'patch') THEN
            PERFORM weir.take_discard(made, letter);
        ELSE
            PERFORM weir.finish_decision(made.decision_id, 'refused', CASE
                WHEN letter.position_id IS NULL THEN 'it is neither parked nor a dead letter'
                WHEN letter.state <> 'open' THEN 'it is ' || letter.state || ' already'
                WHEN made.verdict = 'retry' THEN 'it is a dead letter: redrive or discard it'
                ELSE 'its key names no Space, so it can never be applied' END);
        END IF;
    END LOOP;
    RETURN taken;
END
$$;
COMMENT ON FUNCTION weir.carry_out IS 'Carries out the new decisions about a partition; returns how many there were';
