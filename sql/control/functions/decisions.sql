-- SPDX-License-Identifier: Apache-2.0
--
-- How the owner of a partition carries out what people decided, behind weir.hold.

CREATE OR REPLACE FUNCTION weir.finish_decision(finished_id uuid, came_to text, why text DEFAULT NULL, behind bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE weir.decision
    SET taken_at = coalesce(taken_at, now()), outcome = came_to, message = why, applied_after = behind, carried_out_at = now()
    WHERE decision_id = finished_id;
    PERFORM weir.publish_decision(finished_id);
END
$$;
COMMENT ON FUNCTION weir.finish_decision IS 'Notes the outcome of a decision, and publishes it';

CREATE OR REPLACE FUNCTION weir.take_redrive(made weir.decision, letter weir.dead_letter) RETURNS void
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
COMMENT ON FUNCTION weir.take_redrive IS 'Parks a dead letter again, in its place among the waiting events of its Space; the first of them is due';

-- The dead letter is out of the way: a Space that waited for it goes on.
CREATE OR REPLACE FUNCTION weir.take_discard(made weir.decision, letter weir.dead_letter) RETURNS void
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

CREATE OR REPLACE FUNCTION weir.take_parked(made weir.decision, waiting weir.parked) RETURNS void
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

-- The owner makes a dead letter of the record when it reaches it. Nobody needs to know its content before.
CREATE OR REPLACE FUNCTION weir.take_skip(made weir.decision, held weir.position) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF made.kafka_offset >= held.next_offset THEN
        UPDATE weir.decision SET taken_at = now() WHERE decision_id = made.decision_id;
    ELSIF EXISTS (SELECT FROM weir.dead_letter
                  WHERE position_id = held.position_id AND kafka_offset = made.kafka_offset AND code = 'skipped') THEN
        PERFORM weir.finish_decision(made.decision_id, 'skipped'); -- by a rebuild
    ELSE
        PERFORM weir.finish_decision(made.decision_id, 'refused', weir.what_became(held.position_id, made.kafka_offset));
    END IF;
END
$$;
COMMENT ON FUNCTION weir.take_skip IS 'Notes that a record is to be skipped, unless the position is beyond it';

CREATE OR REPLACE FUNCTION weir.what_became(of_position integer, at_offset bigint) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM weir.parked AS e WHERE e.position_id = p.position_id AND e.kafka_offset = at_offset)
            THEN 'it is parked: discard or patch it with `weir parked`'
        WHEN l.state IS NOT NULL THEN 'it is a dead letter already (' || l.state || '): see `weir dead-letters`'
        WHEN at_offset < p.next_offset
            THEN 'the position is ' || p.next_offset || ': it was applied, is a duplicate or of an event that is not consumed'
        END
    FROM weir.position AS p
    LEFT JOIN weir.dead_letter AS l ON l.position_id = p.position_id AND l.kafka_offset = at_offset
    WHERE p.position_id = of_position
$$;
COMMENT ON FUNCTION weir.what_became IS 'Says in words why a record can no longer be skipped; null when it is still to come';

CREATE OR REPLACE FUNCTION weir.take(made weir.decision, held weir.position) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    letter weir.dead_letter;
    waiting weir.parked;
BEGIN
    SELECT * INTO letter FROM weir.dead_letter
    WHERE position_id = held.position_id AND kafka_offset = made.kafka_offset;
    SELECT * INTO waiting FROM weir.parked
    WHERE position_id = held.position_id AND space_id = made.space_id AND kafka_offset = made.kafka_offset;
    IF made.verdict = 'skip' THEN
        PERFORM weir.take_skip(made, held);
    ELSIF waiting.position_id IS NOT NULL AND letter.state IS DISTINCT FROM 'redriving' THEN
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
END
$$;
COMMENT ON FUNCTION weir.take IS 'Carries out one decision, or begins to';

-- A decision that fails blocks no other. Unless the failure passes by itself, it is the decision's outcome.
CREATE OR REPLACE FUNCTION weir.carry_out(held_position integer, held_epoch bigint) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    held weir.position;
    made weir.decision;
    taken integer := 0;
BEGIN
    held := weir.hold(held_position, held_epoch);
    FOR made IN
        SELECT * FROM weir.decision WHERE position_id = held_position AND taken_at IS NULL
        ORDER BY decided_at, kafka_offset LIMIT 1000
    LOOP
        taken := taken + 1;
        BEGIN
            PERFORM weir.take(made, held);
        EXCEPTION WHEN OTHERS THEN
            IF left(SQLSTATE, 2) IN ('08', '40', '53', '57', '58') OR SQLSTATE = '55P03' THEN
                RAISE;
            END IF;
            PERFORM weir.finish_decision(made.decision_id, 'failed', SQLSTATE || ': ' || SQLERRM);
        END;
    END LOOP;
    RETURN taken;
END
$$;
COMMENT ON FUNCTION weir.carry_out IS 'Carries out the new decisions about a partition; returns how many there were';
