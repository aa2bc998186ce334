/* SPDX-License-Identifier: Apache-2.0
 *
 * Each statement that mentions a relation gets a common table expression of that name over the
 * parameter. Parameters have no names, so that no column of the author's can be taken for one. */
#include "processors/definition/bind.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/hash.h"
#include "lib/pg/pg.h"
#include "lib/pg/sql_scan.h"

static const char QUOTE[] = "$weir_apply$";

enum { SCREENED_MAX = 1000 }; /* events that one try takes out; the next one finds the others */

/* States that an event causes, in a search: those for which pg_class_of says so, and too big. Any
 * other ends the search, and says nothing about events. */
#define GUILTY "^(20|21|22|23|27|2F|38|39|44|54|P0)"

/* What the engine does of itself, before the author's statements. */
static const char PROLOGUE[] =
    "BEGIN PERFORM weir.advance($1); "
    "INSERT INTO %1$s.applied_run (position_id, run_id, newest_timestamp, hashes, entries) "
    "SELECT r.position_id, r.run_id, r.newest_timestamp, r.hashes, r.entries FROM unnest($2) AS r; "
    "IF cardinality($3) + cardinality($4) + cardinality($5) > 0 THEN "
    "PERFORM weir.set_aside($3, $4, $5); END IF; "
    "IF cardinality($6) > 0 THEN PERFORM weir.drain($6); END IF; ";

/* The author's statements stand in a function of the processor's own role (sandbox.h): there SET
 * ROLE is refused and RESET ROLE too, whoever calls it. Its body keeps the lines of the file. */
static const char AUTHOR[] = " RETURNS void LANGUAGE plpgsql SECURITY DEFINER "
                             "SET search_path = %s, pg_catalog AS %s#variable_conflict use_column "
                             "BEGIN ";

/* What the author's statements may have put off until the end is due before it, where Postgres can
 * still say which statement it was, and where it is done as the author's role. A cursor WITH HOLD
 * would be read at the commit, as the caller. */
static const char EPILOGUE[] =
    "\nSET CONSTRAINTS ALL IMMEDIATE; IF EXISTS (SELECT FROM pg_catalog.pg_cursors AS c "
    "WHERE c.is_holdable) THEN RAISE EXCEPTION 'a cursor WITH HOLD outlives the batch' "
    "USING ERRCODE = '0A000'; END IF; END ";

const char *const bind_fixed_types[BIND_FIXED_PARAMETERS] = {
    "weir.batch_position",    "weir.batch_run",    "weir.batch_event",
    "weir.batch_dead_letter", "weir.batch_parked", "weir.batch_drained"};

void bind_type_name(const struct relation *relation, char ret_name[128])
{
    snprintf(ret_name, 128, "%s_%d", relation->name, relation->version);
}

static void put_literal(struct buf *out, const char *text)
{
    buf_put_text(out, "'");
    for (; *text; text++) {
        if (*text == '\'')
            buf_put_text(out, "'");
        buf_put(out, text, 1);
    }
    buf_put_text(out, "'");
}

void bind_type(const struct relation *relation, struct buf *out)
{
    char name[128];
    bind_type_name(relation, name);
    buf_printf(out, "CREATE TYPE weir_event.%s AS (", name);
    for (size_t i = 0; i < relation->column_count; i++) {
        char type[32];
        relation_column_sql(&relation->columns[i], type);
        buf_printf(out, "%s\"%s\" %s", i ? ", " : "", relation->columns[i].name, type);
    }
    buf_put_text(out, ");\n");
    for (size_t i = 0; i < relation->column_count; i++) {
        if (!relation->columns[i].doc)
            continue;
        buf_printf(out, "COMMENT ON COLUMN weir_event.%s.\"%s\" IS ", name,
                   relation->columns[i].name);
        put_literal(out, relation->columns[i].doc);
        buf_put_text(out, ";\n");
    }
}

static void put_parameter_type(const struct processor *processor, size_t index, struct buf *out)
{
    char name[128];
    if (index < BIND_FIXED_PARAMETERS) {
        buf_printf(out, "%s[]", bind_fixed_types[index]);
        return;
    }
    bind_type_name(processor->relations[index - BIND_FIXED_PARAMETERS], name);
    buf_printf(out, "weir_event.%s[]", name);
}

/* "fixed_type[], …, relation_type[], …", from parameter `first` on. */
static void put_parameter_types(const struct processor *processor, size_t first, struct buf *out)
{
    for (size_t i = first; i < processor->relation_count + BIND_FIXED_PARAMETERS; i++) {
        buf_put_text(out, i > first ? ", " : "");
        put_parameter_type(processor, i, out);
    }
}

/* Where a statement's relations come from: parameters from $first on, or tables. */
struct relations_from {
    size_t first;
    const char *table_prefix; /* NULL: parameters */
};

/* Appends `name AS (SELECT * FROM unnest($n))` for each relation that the statement mentions.
 * Returns how many. */
static int put_expressions(const struct processor *processor, const struct sql_statement *statement,
                           const struct relations_from *from, struct buf *out)
{
    int count = 0;
    for (size_t i = 0; i < processor->relation_count; i++) {
        const char *name = processor->relations[i]->name;
        if (!sql_mentions(statement, name))
            continue;
        buf_put_text(out, count++ ? ", " : "");
        if (from->table_prefix) /* so large that a copy costs, and planned by what is in it */
            buf_printf(out, "%s AS NOT MATERIALIZED (SELECT * FROM %s%s)", name, from->table_prefix,
                       name);
        else
            buf_printf(out, "%s AS (SELECT * FROM unnest($%zu))", name, from->first + i);
    }
    return count;
}

static void put_statement(const struct processor *processor, const struct sql_statement *statement,
                          const struct relations_from *from, struct buf *out)
{
    buf_put(out, statement->lead, statement->lead_size);
    struct buf expressions = {0};
    if (put_expressions(processor, statement, from, &expressions) > 0) {
        buf_put_text(out, statement->recursive ? "WITH RECURSIVE " : "WITH ");
        buf_put(out, expressions.data, expressions.size);
        buf_put_text(out, statement->with_size ? "," : " ");
        buf_put(out, statement->text + statement->with_size,
                statement->size - statement->with_size);
    } else {
        buf_put(out, statement->text, statement->size);
    }
    buf_free(&expressions);
}

static void name_by_hash(const char *kind, const struct buf *text, char ret_name[BIND_NAME_MAX])
{
    char hash[65];
    hash_sha256_hex(text->data, text->size, hash);
    snprintf(ret_name, BIND_NAME_MAX, "%s_%.12s", kind, hash);
}

/* The author's query over events that break a rule becomes a function that raises PG_SCREENED with
 * what the query found. It runs before anything is applied. */
static int put_screen(const struct processor *processor, const char *schema, struct buf *out,
                      char ret_name[BIND_NAME_MAX], struct error *error)
{
    const struct asset *screen = processor->screen;
    struct sql_cursor cursor = sql_open(screen->data, screen->size);
    struct sql_statement statement;
    struct sql_statement more;
    if (memmem(screen->data, screen->size, QUOTE, sizeof QUOTE - 1) ||
        !sql_next(&cursor, &statement) || sql_next(&cursor, &more))
        return error_set(error, ERROR_USAGE, "bad-processor",
                         "%s must be one query that returns seq and reason, without %s",
                         screen->path, QUOTE);
    struct buf text = {0};
    buf_put_text(&text, "(");
    put_parameter_types(processor, BIND_FIXED_PARAMETERS, &text);
    buf_printf(&text,
               ") RETURNS void LANGUAGE plpgsql AS %s#variable_conflict use_column "
               "DECLARE weir_found text; BEGIN SELECT string_agg(coalesce(s.seq, -1) || E'\\t' || "
               "translate(left(coalesce(s.reason, 'screened'), 500), E'\\t\\n', '  '), E'\\n' "
               "ORDER BY s.seq) "
               "INTO weir_found FROM (SELECT q.seq::integer, q.reason::text FROM (",
               QUOTE);
    put_statement(processor, &statement, &(struct relations_from){.first = 1}, &text);
    buf_printf(&text,
               "\n) AS q (seq, reason) ORDER BY 1 LIMIT %d) AS s; IF weir_found IS NOT NULL THEN "
               "RAISE EXCEPTION 'screened' USING ERRCODE = '" PG_SCREENED
               "', DETAIL = weir_found; END IF; END %s",
               SCREENED_MAX, QUOTE);
    name_by_hash("screen", &text, ret_name);
    buf_printf(out, "CREATE OR REPLACE FUNCTION %s.%s", schema, ret_name);
    buf_put(out, text.data, text.size);
    buf_put_text(out, ";\n");
    buf_free(&text);
    return 0;
}

/* "PERFORM <schema>.<name>($first, …); ", with the relations. */
static void put_perform(const struct processor *processor, const char *schema, const char *name,
                        size_t first, struct buf *out)
{
    buf_printf(out, "PERFORM %s.%s(", schema, name);
    for (size_t i = 0; i < processor->relation_count; i++)
        buf_printf(out, "%s$%zu", i ? ", " : "", first + i);
    buf_put_text(out, "); ");
}

/* Those of apply.sql; returns how many. */
static int put_statements(const struct processor *processor, const struct relations_from *from,
                          struct buf *out)
{
    struct sql_cursor cursor = sql_open(processor->apply->data, processor->apply->size);
    struct sql_statement statement;
    int count = 0;
    for (; sql_next(&cursor, &statement); count++) {
        put_statement(processor, &statement, from, out);
        buf_put_text(out, ";");
    }
    return count;
}

int bind_author(const struct processor *processor, const char *schema, struct buf *out,
                char ret_name[BIND_NAME_MAX], struct error *error)
{
    const struct asset *apply = processor->apply;
    if (memmem(apply->data, apply->size, QUOTE, sizeof QUOTE - 1))
        return error_set(error, ERROR_USAGE, "bad-processor", "%s must not hold %s", apply->path,
                         QUOTE);
    char screen[BIND_NAME_MAX];
    if (processor->screen && put_screen(processor, schema, out, screen, error) != 0)
        return -1;
    struct buf text = {0};
    buf_put_text(&text, "(");
    put_parameter_types(processor, BIND_FIXED_PARAMETERS, &text);
    buf_put_text(&text, ")");
    buf_printf(&text, AUTHOR, schema, QUOTE);
    if (processor->screen)
        put_perform(processor, schema, screen, 1, &text);
    int count = put_statements(processor, &(struct relations_from){.first = 1}, &text);
    buf_printf(&text, "%s%s", EPILOGUE, QUOTE);
    name_by_hash("author", &text, ret_name);
    buf_printf(out, "CREATE OR REPLACE FUNCTION %s.%s", schema, ret_name);
    buf_put(out, text.data, text.size);
    buf_free(&text);
    return count > 0 ? 0
                     : error_set(error, ERROR_USAGE, "bad-processor", "%s holds no statement",
                                 apply->path);
}

/* The function's parameters and body. Each event's rows are cut out of the relations' arrays; a
 * subtransaction takes back what an event did that fails, and the raise at the end all the rest. */
static void put_search(const struct processor *processor, const char *schema, const char *author,
                       struct buf *out)
{
    size_t relations = processor->relation_count;
    buf_put_text(out, "(");
    put_parameter_types(processor, BIND_FIXED_PARAMETERS, out);
    buf_printf(out,
               ", integer[], integer[]) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog "
               "AS %sDECLARE guilty text := ''; held integer[] := '{}'; said text; detail text; "
               "place text; BEGIN PERFORM weir.check_author('%s', '%s'); "
               "FOR i IN 1 .. cardinality($%zu) LOOP CONTINUE WHEN $%zu[i] = ANY (held); "
               "BEGIN PERFORM %s.%s(",
               QUOTE, schema, author, relations + 2, relations + 2, schema, author);
    for (size_t i = 0; i < relations; i++)
        buf_printf(out, "%s$%zu[$%zu[(i - 1) * %zu + %zu] + 1 : $%zu[i * %zu + %zu]]",
                   i ? ", " : "", i + 1, relations + 1, relations, i + 1, relations + 1, relations,
                   i + 1);
    buf_printf(out,
               "); EXCEPTION WHEN OTHERS THEN IF SQLSTATE !~ '" GUILTY "' THEN RAISE; END IF; "
               "GET STACKED DIAGNOSTICS said = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, "
               "place = PG_EXCEPTION_CONTEXT; held := held || $%zu[i]; "
               "guilty := guilty || concat_ws(E'\t', i - 1, SQLSTATE, "
               "translate(left(said, 500), E'\t\n', '  '), "
               "translate(left(detail, 500), E'\t\n', '  '), "
               "translate(left(place, 2000), E'\t\n', E' \v')) || E'\n'; END; END LOOP; "
               "RAISE EXCEPTION 'searched' USING ERRCODE = '" PG_SEARCHED
               "', DETAIL = guilty; END %s",
               relations + 2, QUOTE);
}

static void name_search(const char *procedure, char ret_name[BIND_NAME_MAX])
{
    snprintf(ret_name, BIND_NAME_MAX, "search%s", strchr(procedure, '_'));
}

int bind_procedure(const struct processor *processor, const char *schema, struct buf *out,
                   char ret_name[BIND_NAME_MAX], struct error *error)
{
    char author[BIND_NAME_MAX];
    char search[BIND_NAME_MAX];
    struct buf text = {0};
    int code = bind_author(processor, schema, &text, author, error);
    buf_reset(&text);
    if (code != 0) {
        buf_free(&text);
        return -1;
    }
    buf_put_text(&text, "(");
    put_parameter_types(processor, 0, &text);
    /* nothing that an author made is found by its bare name */
    buf_printf(&text, ") LANGUAGE plpgsql SET search_path = pg_catalog AS %s", QUOTE);
    buf_printf(&text, PROLOGUE, schema);
    buf_printf(&text, "PERFORM weir.check_author('%s', '%s'); ", schema, author);
    put_perform(processor, schema, author, BIND_FIXED_PARAMETERS + 1, &text);
    buf_printf(&text, "END %s", QUOTE);
    size_t size = text.size;
    put_search(processor, schema, author, &text);
    name_by_hash("apply", &text, ret_name);
    name_search(ret_name, search);
    buf_printf(out, "CREATE PROCEDURE %s.%s", schema, ret_name);
    buf_put(out, text.data, size);
    buf_printf(out, ";\nCREATE FUNCTION %s.%s", schema, search);
    buf_put(out, text.data + size, text.size - size);
    buf_free(&text);
    return 0;
}

void bind_fold(const struct processor *processor, const char *schema, const char *table_prefix,
               const char *name, struct buf *out)
{
    const struct relations_from from = {.table_prefix = table_prefix};
    buf_printf(out, "CREATE FUNCTION %s.%s()", schema, name);
    buf_printf(out, AUTHOR, schema, QUOTE);
    put_statements(processor, &from, out);
    buf_printf(out, "%s%s", EPILOGUE, QUOTE);
}

void bind_search(const struct processor *processor, const char *schema, const char *procedure,
                 struct buf *out)
{
    char name[BIND_NAME_MAX];
    name_search(procedure, name);
    buf_printf(out, "SELECT %s.%s(", schema, name);
    for (size_t i = 0; i < processor->relation_count; i++) {
        buf_printf(out, "$%zu::", i + 1);
        put_parameter_type(processor, BIND_FIXED_PARAMETERS + i, out);
        buf_put_text(out, ", ");
    }
    buf_printf(out, "$%zu::integer[], $%zu::integer[])", processor->relation_count + 1,
               processor->relation_count + 2);
}

void bind_call(const struct processor *processor, const char *schema, const char *name,
               struct buf *out)
{
    buf_printf(out, "CALL %s.%s(", schema, name);
    for (size_t i = 0; i < processor->relation_count + BIND_FIXED_PARAMETERS; i++) {
        buf_printf(out, "%s$%zu::", i ? ", " : "", i + 1);
        put_parameter_type(processor, i, out);
    }
    buf_put_text(out, ")");
}
