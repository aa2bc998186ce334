# SPDX-License-Identifier: Apache-2.0
"""Damage for tests: makes the view applied_event of a generation writable, which shows the packed events of applied_run.

An update changes offsets in place, a delete cuts an event out, an insert adds a run of one event that no memory knows."""

TRIGGER = """
CREATE OR REPLACE FUNCTION public.damage_applied() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    runs regclass := (TG_TABLE_SCHEMA || '.applied_run')::regclass;
    place integer;
BEGIN
    IF TG_OP = 'INSERT' THEN
        EXECUTE format('INSERT INTO %s (position_id, run_id, newest_timestamp, hashes, entries) '
                       'SELECT $1, coalesce(max(run_id), 0) + 1, $2, $3, $4 FROM %s WHERE position_id = $1', runs, runs)
        USING NEW.position_id, NEW.kafka_timestamp, ''::bytea,
              uuid_send(NEW.event_id) || uuid_send(NEW.space_id) || int8send(NEW.fingerprint) || int8send(NEW.kafka_offset)
              || int8send((extract(epoch FROM NEW.kafka_timestamp) * 1000000)::bigint);
        RETURN NEW;
    END IF;
    EXECUTE format('SELECT position($1 IN entries) FROM %s WHERE (position_id, run_id) = ($2, $3)', runs) INTO STRICT place
    USING uuid_send(OLD.event_id) || uuid_send(OLD.space_id) || int8send(OLD.fingerprint) || int8send(OLD.kafka_offset),
          OLD.position_id, OLD.run_id;
    EXECUTE format('UPDATE %s SET entries = overlay(entries PLACING $1 FROM $2 FOR 56) '
                   'WHERE (position_id, run_id) = ($3, $4)', runs)
    USING CASE WHEN TG_OP = 'UPDATE' THEN
              uuid_send(OLD.event_id) || uuid_send(OLD.space_id) || int8send(OLD.fingerprint) || int8send(NEW.kafka_offset)
              || int8send((extract(epoch FROM OLD.kafka_timestamp) * 1000000)::bigint)
          ELSE ''::bytea END, place, OLD.position_id, OLD.run_id;
    RETURN coalesce(NEW, OLD);
END
$$;
CREATE OR REPLACE TRIGGER damage INSTEAD OF INSERT OR UPDATE OR DELETE ON {schema}.applied_event
FOR EACH ROW EXECUTE FUNCTION public.damage_applied()
"""


def make_writable(stack, *schemas):
    for schema in schemas:
        stack.psql(TRIGGER.format(schema=schema))
