/* SPDX-License-Identifier: Apache-2.0
 *
 * Binds an author's plain SQL to a batch: makes the text of the composite types, of the function
 * `author_…` that holds the author's statements, and of the procedure `apply_…` that applies a
 * batch in one call and performs that function. Its parameters, all arrays:
 *
 *     $1 positions to advance   $2 events applied, a run for each partition   $3 duplicates
 *     $4 dead letters   $5 events to park   $6 parked events that this batch deals with
 *     $7… one per relation of the processor
 *
 * The procedure runs as its caller, the function as the processor's own role, which sees nothing
 * of the control schema (sandbox.h). Names hold a hash of text and types, so that builds with
 * different SQL or schemas live side by side. Lines of the function's body are the lines of
 * apply.sql, so that Postgres' context leads to the author's line (place.h). */
#ifndef WEIR_DEFINITION_BIND_H
#define WEIR_DEFINITION_BIND_H

#include "lib/base/buf.h"
#include "processors/definition/processor.h"

enum { BIND_FIXED_PARAMETERS = 6, BIND_NAME_MAX = 32 };

/* Types of the elements of the fixed parameters. */
extern const char *const bind_fixed_types[BIND_FIXED_PARAMETERS];

/* "product_purchased_1" */
void bind_type_name(const struct relation *relation, char ret_name[128]);

/* Appends CREATE TYPE and its COMMENTs. */
void bind_type(const struct relation *relation, struct buf *out);

/* Appends the text of CREATE OR REPLACE FUNCTION <schema>.author_…, with that of the function for
 * screen.sql before it, and writes its name. Both are to be owned by the processor's role.
 * Errors (ERROR_USAGE): apply.sql holds no statement, or the closing quote of the body. */
int bind_author(const struct processor *processor, const char *schema, struct buf *out,
                char ret_name[BIND_NAME_MAX], struct error *error);

/* Appends the text of CREATE PROCEDURE <schema>.apply_…, and writes its name; and that of CREATE
 * FUNCTION <schema>.search_…, which tries events one after the other, finds those that fail, and
 * takes everything back. Errors as before. */
int bind_procedure(const struct processor *processor, const char *schema, struct buf *out,
                   char ret_name[BIND_NAME_MAX], struct error *error);

/* Appends CREATE FUNCTION <schema>.<name>, which runs apply.sql once, on the rows of tables
 * <table_prefix><relation>; to be owned by the processor's role. `name` begins with "author_". The
 * SQL is that of a function which bind_author has made. */
void bind_fold(const struct processor *processor, const char *schema, const char *table_prefix,
               const char *name, struct buf *out);

/* Appends "SELECT <schema>.search_…($1::…[], …)" of the function that was made with `procedure`.
 * Its parameters are the relations, and of each event: how many rows of each relation there are up
 * to it, behind as many zeros, and a number that events share of which the first that fails spares
 * the others. It always raises PG_SEARCHED; the detail has a line per event that fails: its number
 * from 0, SQLSTATE, message, detail and context (\v for a line's end), with tabs in between. */
void bind_search(const struct processor *processor, const char *schema, const char *procedure,
                 struct buf *out);

/* Appends "CALL <schema>.<name>($1::…[], …)". */
void bind_call(const struct processor *processor, const char *schema, const char *name,
               struct buf *out);

#endif
