-- SPDX-License-Identifier: Apache-2.0
--
-- Of processors/definition.
-- role: weir_owner

-- Answers with what another schema of that id, or of that event and version, says that differs.
-- name: record_schema
WITH added AS (
    INSERT INTO weir.schema (schema_id, event, domain, version, fingerprint, definition)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT event, version, fingerprint, schema_id
FROM weir.schema
WHERE (schema_id = $1 OR (event, version) = ($2, $4::integer))
  AND (schema_id, event, version, fingerprint) IS DISTINCT FROM ($1::integer, $2, $4::integer, $5);

-- name: event_type_attributes
SELECT string_agg(a.attname || ' ' || a.atttypid::bigint, ', ' ORDER BY a.attnum)
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'weir_event'::regnamespace AND c.relname = $1 AND a.attnum > 0
GROUP BY c.oid;

-- The columns that the procedure pg_temp.weir_reads depends on. A use of a row as a whole is no dependency on its columns, but
-- stands in the procedure's body as a variable of attribute 0 and the row's type.
-- name: find_column_usage
SELECT array_agg(concat_ws('.', c.relname, a.attname) ORDER BY c.relname, a.attnum)
FROM pg_proc AS p
JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_class'::regclass
JOIN pg_class AS c ON c.oid = d.refobjid AND c.relnamespace = pg_my_temp_schema()
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid AND d.refobjsubid <> 0
WHERE p.pronamespace = pg_my_temp_schema() AND p.proname = 'weir_reads'
HAVING NOT bool_or(p.prosqlbody::text ~ (':varattno 0 :vartype (2249|' || c.reltype || '|' || c.reloftype || ') '));

-- Generations that were dropped are forgotten on the way.
-- name: record_column_usage
WITH dropped AS (
    DELETE FROM weir.column_usage WHERE to_regnamespace(quote_ident(schema_name)) IS NULL
)
INSERT INTO weir.column_usage (schema_name, procedure, columns)
VALUES ($1, $2, $3)
ON CONFLICT (schema_name, procedure) DO UPDATE
SET columns = excluded.columns;
