/* SPDX-License-Identifier: Apache-2.0
 *
 * Each statement that mentions a relation gets a common table expression of that name over the
 * parameter. Parameters have no names, so that no column of the author's can be taken for one. */
#include "processors/engine/bind.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/hash.h"
#include "lib/pg/pg.h"
#include "lib/pg/sql_scan.h"

static const char QUOTE[] = "$weir_apply$";

enum { SCREENED_MAX = 1000 }; /* events that one try takes out; the next one finds the others */

/* What the engine does of itself, before the author's statements. */
static const char PROLOGUE[] =
    "BEGIN PERFORM weir.advance($1); "
    "IF cardinality($3) + cardinality($4) + cardinality($6) > 0 THEN "
    "PERFORM weir.set_aside($3, $4, $6); END IF; "
    "IF cardinality($7) > 0 THEN PERFORM weir.drain($7); END IF; "
    "IF cardinality($5) > 0 THEN DELETE FROM %1$s.applied_event AS a USING unnest($5) AS e "
    "WHERE a.event_id = e.event_id AND a.space_id = e.space_id; END IF; "
    "INSERT INTO %1$s.applied_event (event_id, space_id, fingerprint, position_id, kafka_offset, "
    "kafka_timestamp) "
    "SELECT e.event_id, e.space_id, e.fingerprint, e.position_id, e.kafka_offset, "
    "e.kafka_timestamp "
    "FROM unnest($2) AS e; ";

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
    "weir.batch_position", "weir.batch_event",  "weir.batch_event",  "weir.batch_dead_letter",
    "weir.batch_event",    "weir.batch_parked", "weir.batch_drained"};

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

int bind_procedure(const struct processor *processor, const char *schema, struct buf *out,
                   char ret_name[BIND_NAME_MAX], struct error *error)
{
    char author[BIND_NAME_MAX];
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
    name_by_hash("apply", &text, ret_name);
    buf_printf(out, "CREATE PROCEDURE %s.%s", schema, ret_name);
    buf_put(out, text.data, text.size);
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
