-- SPDX-License-Identifier: Apache-2.0
--
-- The groups that a session acts as. Roles belong to the whole server, so another database may have made them.

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['weir_processor', 'weir_reader', 'weir_gateway'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
    END LOOP;
    EXECUTE format('GRANT weir_processor TO %I', current_user);
    -- A superuser may take any role; whoever is a member counts as a reader too.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT weir_gateway TO %I', current_user);
    END IF;
END
$$;

COMMENT ON ROLE weir_processor IS 'Weir: applies batches; owns nothing and creates nothing';
COMMENT ON ROLE weir_reader IS 'Weir: reads the published views';
COMMENT ON ROLE weir_gateway IS 'Weir: answers queries over HTTP';

GRANT weir_reader TO weir_gateway;
GRANT USAGE ON SCHEMA weir TO weir_processor, weir_gateway;
GRANT SELECT ON weir.migration TO weir_processor;
