-- SPDX-License-Identifier: Apache-2.0
--
-- The roles of Weir's parts. `weir migrate --roles` lets them log in; logins of your own may be members of them. Whoever
-- migrates is a member too: it ends the sessions of a frozen owner, and tries queries as the role that will run them.
-- Roles belong to the whole server, so another database may have made them. A processor's own SQL runs as yet another
-- role (functions/roles.sql).

DO $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT * FROM (VALUES
            ('weir_processor', 'Weir: runs processors; owns nothing and creates nothing'),
            ('weir_reader', 'Weir: reads the published views'),
            ('weir_gateway', 'Weir: answers queries over HTTP')) AS r (name, comment)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = made.name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', made.name);
            EXECUTE format('COMMENT ON ROLE %I IS %L', made.name, made.comment);
        END IF;
        IF NOT pg_has_role(made.name, 'USAGE') THEN
            EXECUTE format('GRANT %I TO %I', made.name, current_user);
        END IF;
    END LOOP;
    IF NOT pg_has_role('weir_gateway', 'weir_reader', 'USAGE') THEN
        GRANT weir_reader TO weir_gateway;
    END IF;
END
$$;

GRANT USAGE ON SCHEMA weir TO weir_processor, weir_gateway;
GRANT SELECT ON weir.migration TO weir_processor;
