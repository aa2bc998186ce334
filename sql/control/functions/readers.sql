-- SPDX-License-Identifier: Apache-2.0
--
-- Logins that read. The role weir_reader may read the published views and nothing else; it is a group, and Postgres takes
-- settings from the login alone, so each login has its own limits. They guard against mistakes, because a session may
-- change its own settings. Privileges decide what a reader may read.

CREATE OR REPLACE FUNCTION weir.limit_reader(login name, statement_timeout interval DEFAULT '1 minute',
                                  idle_timeout interval DEFAULT '1 minute', lock_timeout interval DEFAULT '5 seconds')
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    role    pg_roles;
    path    text;
    setting record;
BEGIN
    SELECT * INTO role FROM pg_roles WHERE rolname = login;
    IF role.rolname IS NULL THEN
        RAISE EXCEPTION 'there is no role %', login
            USING ERRCODE = 'undefined_object', HINT = format('CREATE ROLE %I LOGIN PASSWORD ''…''', login);
    ELSIF NOT role.rolcanlogin THEN
        RAISE EXCEPTION '% cannot log in, and members of a group do not get its settings', login
            USING ERRCODE = 'invalid_role_specification', HINT = 'Call this for each of its logins.';
    ELSIF role.rolsuper OR role.rolcreaterole OR pg_has_role(login, 'weir_processor', 'MEMBER') THEN
        RAISE EXCEPTION '% may write, whatever its settings say', login
            USING ERRCODE = 'invalid_role_specification', HINT = 'Make a role of its own for reading.';
    END IF;
    SELECT concat_ws(', ', '"$user"', string_agg(quote_ident(processor), ', ' ORDER BY processor)) INTO path
    FROM weir.processor;
    IF NOT pg_has_role(login, 'weir_reader', 'USAGE') THEN
        EXECUTE format('GRANT weir_reader TO %I', login);
    END IF;
    FOR setting IN
        SELECT * FROM (VALUES
            ('default_transaction_read_only', 'on'),
            ('statement_timeout', format('''%s ms''', round(extract(epoch FROM statement_timeout) * 1000))),
            ('lock_timeout', format('''%s ms''', round(extract(epoch FROM lock_timeout) * 1000))),
            -- a transaction that is left open keeps a rebuilt processor's views from being replaced, and rows from VACUUM
            ('idle_in_transaction_session_timeout', format('''%s ms''', round(extract(epoch FROM idle_timeout) * 1000))),
            ('search_path', path),
            ('timezone', '''UTC'''),
            ('work_mem', '''32MB'''), -- a group per member or day, without files
            ('jit', 'off'))           -- compiling a scan of all months takes longer than the scan
            AS s (name, value)
    LOOP
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET %s = %s', login, current_database(), setting.name, setting.value);
    END LOOP;
END
$$;
COMMENT ON FUNCTION weir.limit_reader IS 'Makes a login a reader of the published views: read-only by default, with timeouts, in UTC';

-- What a login starts with: its own setting in this database, its own, this database's, the server's.
CREATE OR REPLACE VIEW weir.reader AS
WITH RECURSIVE member AS (
    SELECT oid FROM pg_roles WHERE rolname = 'weir_reader'
    UNION
    SELECT m.member FROM pg_auth_members m JOIN member g ON g.oid = m.roleid
), setting AS (
    SELECT r.oid, s.name,
           coalesce((SELECT split_part(c.text, '=', 2)
                     FROM pg_db_role_setting d, unnest(d.setconfig) AS c (text)
                     WHERE d.setrole IN (r.oid, 0) AND split_part(c.text, '=', 1) = s.name
                       AND d.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
                     ORDER BY d.setrole DESC, d.setdatabase DESC LIMIT 1),
                    -- the asking session's own settings say nothing about another login
                    CASE WHEN s.source NOT IN ('database', 'user', 'database user', 'client', 'session')
                         THEN s.setting ELSE s.boot_val END) AS value
    FROM member r
    CROSS JOIN pg_settings s
    WHERE s.name IN ('default_transaction_read_only', 'statement_timeout', 'lock_timeout',
                     'idle_in_transaction_session_timeout')
)
SELECT r.rolname AS login,
       r.rolsuper OR r.rolcreaterole OR pg_has_role(r.oid, 'weir_processor', 'MEMBER') AS writes,
       ARRAY(SELECT s.name FROM setting s
             WHERE s.oid = r.oid AND lower(s.value) ~ '^(0+ *[a-z]*|off|false|no)$'
             ORDER BY s.name) AS unlimited
FROM member m
JOIN pg_roles r ON r.oid = m.oid
WHERE r.rolcanlogin
  -- the gateway's sessions set their own limits; the owner reads what it owns
  AND r.rolname <> 'weir_gateway' AND r.oid <> (SELECT nspowner FROM pg_namespace WHERE nspname = 'weir');
COMMENT ON VIEW weir.reader IS 'Logins that may read the published views; weir.limit_reader makes them';
COMMENT ON COLUMN weir.reader.login IS 'The login';
COMMENT ON COLUMN weir.reader.writes IS 'Whether it may do more than read';
COMMENT ON COLUMN weir.reader.unlimited IS 'Timeouts that it lacks, and whether its transactions may write';
