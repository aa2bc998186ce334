-- SPDX-License-Identifier: Apache-2.0
--
-- The roles that processors' own SQL runs as. Roles belong to the whole server: another database may have made one.

CREATE OR REPLACE FUNCTION weir.make_author(processor text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    author text := 'weir_author_' || processor;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = author) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN', author);
        EXECUTE format('COMMENT ON ROLE %I IS %L', author, 'Weir: the SQL of the processor ' || processor || ' runs as it');
    END IF;
    -- whoever migrates gives it what it is to own, and takes it away again
    IF NOT pg_has_role(author, 'USAGE') THEN
        EXECUTE format('GRANT %I TO %I', author, current_user);
    END IF;
END
$$;
COMMENT ON FUNCTION weir.make_author IS 'Makes the role weir_author_<processor>, and the caller a member of it';

-- Who owns a function may make it run as its caller; to replace it an author lacks CREATE on the schema. Asked with each
-- batch, so without a SET clause: names are qualified instead.
CREATE OR REPLACE FUNCTION weir.check_author(of_schema text, function_name text) RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_proc p
               WHERE p.proname = function_name::name AND p.pronamespace = of_schema::regnamespace AND NOT p.prosecdef) THEN
        RAISE EXCEPTION 'somebody altered the function %.%', of_schema, function_name
            USING ERRCODE = 'insufficient_privilege', HINT = 'Drop it, then `weir migrate`.';
    END IF;
END
$$;
COMMENT ON FUNCTION weir.check_author IS 'Raises 42501 when a function of an author would not run as the author''s role';
