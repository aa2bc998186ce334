-- SPDX-License-Identifier: Apache-2.0
--
-- What becomes of events that fail. An event that fails is parked, and with it every later event of its Space and topic,
-- for that processor alone. The owner of the partition tries the first one again; once it is applied the others follow in
-- order, and the Space flows again. An event whose attempts are used up, and a record that can never be applied, becomes a
-- dead letter: a row here and a record on the topic weir.dlt.<processor>, in one transaction by way of the outbox.
--
-- People decide about dead letters. A decision is a row that the command line writes and the owner carries out under its
-- fence; what was done, and behind which offset, goes to the topic weir.decisions.<processor>.
--
-- What a rebuild leaves out because the live generation has not applied it is in weir.left_out: parked events and dead
-- letters. Each round of a rebuild reads them in the snapshot in which it reads how far the live generation is; below those
-- offsets the set only shrinks. What the live generation applies later than in its turn (drained, or redriven) is applied
-- by the rebuild behind the same offset.

CREATE TYPE weir.header AS (name text, value bytea);
COMMENT ON TYPE weir.header IS 'A header of a Kafka record';
COMMENT ON COLUMN weir.header.name IS 'Its name';
COMMENT ON COLUMN weir.header.value IS 'Its bytes as they were';

CREATE TABLE weir.parked (
    position_id     integer NOT NULL REFERENCES weir.position ON DELETE CASCADE,
    space_id        uuid NOT NULL,
    kafka_offset    bigint NOT NULL,
    kafka_timestamp timestamptz NOT NULL,
    event_id        uuid,
    schema_id       integer,
    headers         weir.header[] NOT NULL DEFAULT '{}',
    key             bytea,
    value           bytea,
    parked_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (position_id, space_id, kafka_offset)
);
COMMENT ON TABLE weir.parked IS 'Events that wait: the one that failed, and those of its Space and topic behind it';
COMMENT ON COLUMN weir.parked.position_id IS 'Partition of the record, for one processor';
COMMENT ON COLUMN weir.parked.space_id IS 'Space of the event';
COMMENT ON COLUMN weir.parked.kafka_offset IS 'Offset of the record';
COMMENT ON COLUMN weir.parked.kafka_timestamp IS 'Broker timestamp of the record';
COMMENT ON COLUMN weir.parked.event_id IS 'The event';
COMMENT ON COLUMN weir.parked.schema_id IS 'Schema id of the record';
COMMENT ON COLUMN weir.parked.headers IS 'Headers as they were';
COMMENT ON COLUMN weir.parked.key IS 'Key bytes as they were';
COMMENT ON COLUMN weir.parked.value IS 'Value bytes as they were';
COMMENT ON COLUMN weir.parked.parked_at IS 'When it was parked';

CREATE TABLE weir.parked_space (
    position_id     integer NOT NULL REFERENCES weir.position ON DELETE CASCADE,
    space_id        uuid NOT NULL,
    events          bigint NOT NULL,
    attempts        integer NOT NULL,
    code            text,
    message         text,
    first_failed_at timestamptz,
    last_failed_at  timestamptz,
    next_attempt_at timestamptz,
    blocked_by      bigint,
    PRIMARY KEY (position_id, space_id)
) WITH (fillfactor = 70);
CREATE INDEX parked_space_due ON weir.parked_space (position_id, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
COMMENT ON TABLE weir.parked_space IS 'Spaces that are held back in a topic; a row says how it stands with the first of their events';
COMMENT ON COLUMN weir.parked_space.position_id IS 'Partition of the Space in the topic, for one processor';
COMMENT ON COLUMN weir.parked_space.space_id IS 'The Space';
COMMENT ON COLUMN weir.parked_space.events IS 'How many of its events are parked';
COMMENT ON COLUMN weir.parked_space.attempts IS 'How often the first of them failed; 0 when it has only waited so far';
COMMENT ON COLUMN weir.parked_space.code IS 'SQLSTATE of the last failure, or screened';
COMMENT ON COLUMN weir.parked_space.message IS 'The last failure in words';
COMMENT ON COLUMN weir.parked_space.first_failed_at IS 'When it failed first';
COMMENT ON COLUMN weir.parked_space.last_failed_at IS 'When it failed last';
COMMENT ON COLUMN weir.parked_space.next_attempt_at IS 'When it is tried again; null: it waits for a decision';
COMMENT ON COLUMN weir.parked_space.blocked_by IS 'Offset of the dead letter that has to be decided about first (used_up = block)';

CREATE TABLE weir.dead_letter (
    dead_letter_id  bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    position_id     integer NOT NULL REFERENCES weir.position ON DELETE CASCADE,
    kafka_offset    bigint NOT NULL,
    kafka_timestamp timestamptz NOT NULL,
    space_id        uuid,
    event_id        uuid,
    schema_id       integer,
    code            text NOT NULL,
    message         text NOT NULL,
    attempts        integer NOT NULL DEFAULT 1,
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    last_failed_at  timestamptz NOT NULL DEFAULT now(),
    headers         weir.header[] NOT NULL DEFAULT '{}',
    key             bytea,
    value           bytea,
    state           text NOT NULL DEFAULT 'open'
        CHECK (state IN ('open', 'redriving', 'redriven', 'discarded', 'patched')),
    decision_id     uuid,
    applied_after   bigint,
    recorded_at     timestamptz NOT NULL DEFAULT now(),
    published       boolean NOT NULL DEFAULT true,
    PRIMARY KEY (position_id, kafka_offset),
    CHECK ((state = 'redriven') = (applied_after IS NOT NULL))
);
CREATE INDEX dead_letter_open ON weir.dead_letter (position_id, recorded_at) WHERE state = 'open';
CREATE INDEX dead_letter_redriving ON weir.dead_letter (position_id, space_id, kafka_offset) WHERE state = 'redriving';
COMMENT ON TABLE weir.dead_letter IS 'Records that were not applied: no valid Avro, a known event id with another body, or attempts used up';
COMMENT ON COLUMN weir.dead_letter.dead_letter_id IS 'Short name of the row';
COMMENT ON COLUMN weir.dead_letter.position_id IS 'Partition of the record, for one processor';
COMMENT ON COLUMN weir.dead_letter.kafka_offset IS 'Offset of the record';
COMMENT ON COLUMN weir.dead_letter.kafka_timestamp IS 'Broker timestamp of the record';
COMMENT ON COLUMN weir.dead_letter.space_id IS 'Space of the event, when the key names one';
COMMENT ON COLUMN weir.dead_letter.event_id IS 'The event, when it can be read';
COMMENT ON COLUMN weir.dead_letter.schema_id IS 'Schema id of the record, when it can be read';
COMMENT ON COLUMN weir.dead_letter.code IS 'Short reason: avro-invalid, key-invalid, type-wrong, id-wrong, fingerprint-conflict, screened, skipped, or an SQLSTATE';
COMMENT ON COLUMN weir.dead_letter.message IS 'The last failure in words';
COMMENT ON COLUMN weir.dead_letter.attempts IS 'How often it failed';
COMMENT ON COLUMN weir.dead_letter.first_failed_at IS 'When it failed first';
COMMENT ON COLUMN weir.dead_letter.last_failed_at IS 'When it failed last';
COMMENT ON COLUMN weir.dead_letter.headers IS 'Headers as they were';
COMMENT ON COLUMN weir.dead_letter.key IS 'Key bytes as they were';
COMMENT ON COLUMN weir.dead_letter.value IS 'Value bytes as they were';
COMMENT ON COLUMN weir.dead_letter.state IS 'open: somebody has to decide; redriving: parked again, first of its Space; redriven: applied after all; discarded; patched: another event was published instead';
COMMENT ON COLUMN weir.dead_letter.decision_id IS 'The decision that brought it into its state';
COMMENT ON COLUMN weir.dead_letter.applied_after IS 'Redriven: it was applied behind what its Space had up to this offset of the partition, and before what came later';
COMMENT ON COLUMN weir.dead_letter.recorded_at IS 'When it was set aside';
COMMENT ON COLUMN weir.dead_letter.published IS 'False: it was set aside by a generation that is not live, and nobody has published it';

CREATE TABLE weir.decision (
    decision_id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    position_id    integer NOT NULL REFERENCES weir.position ON DELETE CASCADE,
    kafka_offset   bigint NOT NULL,
    space_id       uuid,
    verdict        text NOT NULL CHECK (verdict IN ('redrive', 'discard', 'patch', 'retry', 'skip')),
    replacement_id uuid CHECK ((replacement_id IS NOT NULL) = (verdict = 'patch')),
    decided_by     text NOT NULL CHECK (decided_by <> ''),
    reason         text NOT NULL,
    decided_at     timestamptz NOT NULL DEFAULT now(),
    taken_at       timestamptz,
    outcome        text CHECK (outcome IN ('applied', 'failed', 'discarded', 'retried', 'skipped', 'refused')),
    message        text,
    applied_after  bigint,
    carried_out_at timestamptz
);
CREATE INDEX decision_record ON weir.decision (position_id, kafka_offset);
CREATE INDEX decision_new ON weir.decision (position_id, decided_at) WHERE taken_at IS NULL;
COMMENT ON TABLE weir.decision IS 'What people decided about parked events, dead letters and records that are still to come; the owner of the partition carries it out';
COMMENT ON COLUMN weir.decision.decision_id IS 'The decision';
COMMENT ON COLUMN weir.decision.position_id IS 'Partition of the record that it is about, for one processor';
COMMENT ON COLUMN weir.decision.kafka_offset IS 'Offset of that record';
COMMENT ON COLUMN weir.decision.space_id IS 'Its Space, when its key names one';
COMMENT ON COLUMN weir.decision.verdict IS 'redrive: apply the dead letter; discard: never apply it; patch: never, another event was published instead; retry: try the parked event now; skip: make a dead letter of the record when it comes';
COMMENT ON COLUMN weir.decision.replacement_id IS 'Patch: the event that was published instead';
COMMENT ON COLUMN weir.decision.decided_by IS 'Who decided';
COMMENT ON COLUMN weir.decision.reason IS 'Why';
COMMENT ON COLUMN weir.decision.decided_at IS 'When';
COMMENT ON COLUMN weir.decision.taken_at IS 'When the owner took it up';
COMMENT ON COLUMN weir.decision.outcome IS 'What came of it; null until then';
COMMENT ON COLUMN weir.decision.message IS 'Failed and refused: why';
COMMENT ON COLUMN weir.decision.applied_after IS 'Applied: behind this offset of the partition';
COMMENT ON COLUMN weir.decision.carried_out_at IS 'When it came to that';

CREATE TABLE weir.left_out (
    position_id     integer NOT NULL REFERENCES weir.position ON DELETE CASCADE,
    kafka_offset    bigint NOT NULL,
    kafka_timestamp timestamptz NOT NULL,
    key             bytea,
    value           bytea,
    applied_after   bigint,
    carried_out_at  timestamptz,
    done            boolean NOT NULL DEFAULT false,
    PRIMARY KEY (position_id, kafka_offset)
);
COMMENT ON TABLE weir.left_out IS 'Records that a generation beside the live one leaves out, or has left out';
COMMENT ON COLUMN weir.left_out.position_id IS 'Partition of the record, for that generation';
COMMENT ON COLUMN weir.left_out.kafka_offset IS 'Offset of the record';
COMMENT ON COLUMN weir.left_out.kafka_timestamp IS 'Broker timestamp of the record';
COMMENT ON COLUMN weir.left_out.key IS 'Key bytes as they were';
COMMENT ON COLUMN weir.left_out.value IS 'Value bytes as they were';
COMMENT ON COLUMN weir.left_out.applied_after IS 'It is to be applied behind this offset of its partition; null: not at all so far';
COMMENT ON COLUMN weir.left_out.carried_out_at IS 'When it was redriven; decides among those behind one offset';
COMMENT ON COLUMN weir.left_out.done IS 'It was applied behind that offset, in this generation too';

-- What the engine hands over with a batch, each as an array.

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

CREATE TYPE weir.failed_head AS (
    due            bigint,
    position_id    integer,
    epoch          bigint,
    space_id       uuid,
    kafka_offset   bigint,
    code           text,
    message        text,
    retry_after_ms bigint,
    used_up        boolean,
    block          boolean
);
COMMENT ON TYPE weir.failed_head IS 'The first parked event of a Space, which failed; due is the caller''s number for it';

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
COMMENT ON TYPE weir.batch_parked IS 'An event that a batch parks; the first of its Space says when it is tried, and with a code it has failed';

CREATE TYPE weir.batch_drained AS (
    position_id    integer,
    space_id       uuid,
    through_offset bigint
);
COMMENT ON TYPE weir.batch_drained IS 'Parked events that a batch deals with: those of a Space up to an offset';

-- weir.left_out, because `weir process` keeps previous generations up to date
GRANT SELECT, INSERT, UPDATE, DELETE ON weir.parked, weir.parked_space, weir.left_out TO weir_processor;
GRANT SELECT, INSERT, UPDATE ON weir.dead_letter, weir.decision TO weir_processor;
