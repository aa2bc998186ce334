/* SPDX-License-Identifier: Apache-2.0
 *
 * The scratch generation has positions under its own name, so that the fence is exercised too. */
#include "processors/processor_test/fold.h"

#include <stdlib.h>
#include <string.h>

#include "processors/definition/column_usage.h"
#include "processors/fold/duplicates.h"
#include "processors/fold/session.h"

enum { LOCK_TIMEOUT_MS = 30000, STATEMENT_TIMEOUT_MS = 600000 }; /* a fold may be one batch */

struct fold {
    PGconn *conn; /* of who may create what is folded into */
    const struct processor *processor;
    const struct corpus *corpus;
    struct installed installed;
    int bare; /* its indexes are missing */
    struct session *session;
    struct positions positions; /* one per stream of the corpus */
    struct decoder *decoder;
    struct batch *batch;
    struct slice *slice;
};

static int make_scratch(struct fold *fold, const char *schema, struct error *error)
{
    if (pg_run(fold->conn, "BEGIN", error) != 0)
        return -1;
    int code =
        install_scratch(fold->conn, fold->processor, schema, fold->bare, &fold->installed, error);
    if (code == 0)
        code = column_usage_record(fold->conn, fold->processor, &fold->installed, error);
    return pg_commit(fold->conn, code, error);
}

static int open_session(struct fold *fold, const struct config *config,
                        const struct fold_options *options, struct error *error)
{
    const struct corpus *corpus = fold->corpus;
    const struct session_options session = {.config = config,
                                            .processor = fold->processor,
                                            .application = "weir processor test",
                                            .work_mem = "64MB",
                                            .lock_timeout_ms = LOCK_TIMEOUT_MS,
                                            .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
                                            .live = 1};
    if (session_connect(&session, &fold->session, error) != 0 ||
        session_prepare(fold->session, &fold->installed, fold->decoder, error) != 0)
        return -1;
    if (options->all_columns)
        decoder_set_column_usage(fold->decoder, NULL);
    for (size_t i = 0; i < corpus->stream_count; i++) {
        const struct record *record = &corpus->records[corpus->streams[i]];
        session_want(fold->session, record->topic, record->partition);
    }
    return session_claim(fold->session, &fold->positions, error);
}

/* Applies entries from `from` on. Sets *ret_to to the end of what was applied. */
static int apply(struct fold *fold, size_t from, size_t *ret_to, struct error *error)
{
    struct batch *batch = fold->batch;
    struct slice *slice = fold->slice;
    struct known *known = NULL;
    size_t known_count = 0;
    int code = -1;
    for (int tries = 0; tries < 2; tries++) {
        size_t to = batch_classify(batch, from, batch->count, known, known_count);
        slice_make(slice, batch, from, to, fold->positions.list, fold->positions.count,
                   session_types(fold->session));
        PGresult *result =
            PQexecPrepared(session_conn(fold->session), "apply", slice->parameter_count,
                           slice->values, slice->lengths, slice->formats, 1);
        slice_uncover(slice, batch);
        int duplicate = duplicates_caused(result);
        code = PQresultStatus(result) == PGRES_COMMAND_OK
                   ? 0
                   : pg_fail(session_conn(fold->session), result, error);
        PQclear(result);
        if (code == 0 || !duplicate ||
            duplicates_find(session_conn(fold->session), fold->installed.schema, batch, from, to,
                            session_types(fold->session), &known, &known_count, error) != 0)
            break;
    }
    free(known);
    if (code == 0 && error)
        *error = (struct error){0}; /* of the try that found the duplicates */
    if (code == 0)
        positions_advance(&fold->positions, slice);
    *ret_to = slice->to;
    return code;
}

static int add_record(struct fold *fold, const struct record *record, struct error *error)
{
    const struct position *position =
        positions_find(&fold->positions, record->topic, record->partition);
    return batch_add(fold->batch, fold->decoder, record,
                     (uint32_t)(position - fold->positions.list), error);
}

/* A batch that was cut at a duplicate is more than one. */
static int add_indexes(struct fold *fold, struct error *error)
{
    fold->bare = 0;
    int code = pg_run(fold->conn, "BEGIN", error);
    if (code == 0)
        code = install_indexes(fold->conn, fold->processor, &fold->installed, error);
    return pg_commit(fold->conn, code, error);
}

static int fold_batches(struct fold *fold, const struct fold_options *options, struct error *error)
{
    const struct corpus *corpus = fold->corpus;
    size_t *order = xcalloc(corpus->count, sizeof *order);
    int code = 0;
    corpus_arrange(corpus, options->order, options->seed, order);
    for (size_t at = 0; code == 0 && at < corpus->count;) {
        batch_reset(fold->batch, corpus->stream_count);
        for (; code == 0 && at < corpus->count && fold->batch->count < options->batch; at++)
            code = add_record(fold, &corpus->records[order[at]], error);
        for (size_t from = 0; code == 0 && from < fold->batch->count;) {
            if (fold->bare && from > 0 && add_indexes(fold, error) != 0)
                code = -1;
            else
                code = apply(fold, from, &from, error);
        }
    }
    free(order);
    return code;
}

int fold_corpus(const struct config *config, PGconn *conn, const struct processor *processor,
                const struct corpus *corpus, const char *schema, const struct fold_options *options,
                struct error *error)
{
    struct fold fold = {
        .conn = conn, .processor = processor, .corpus = corpus, .bare = options->bare};
    fold.decoder = decoder_new(processor);
    fold.batch = batch_new(processor, options->batch, NULL); /* the corpus keeps its records */
    fold.slice = slice_new();
    int code = make_scratch(&fold, schema, error);
    if (code == 0)
        code = open_session(&fold, config, options, error);
    if (code == 0)
        code = fold_batches(&fold, options, error);
    session_free(fold.session);
    positions_free(&fold.positions);
    slice_free(fold.slice);
    batch_free(fold.batch);
    decoder_free(fold.decoder);
    return code;
}

int fold_drop(PGconn *conn, const char *schema, struct error *error)
{
    const char *values[] = {schema};
    if (pg_runf(conn, error, "SET search_path = pg_catalog; DROP SCHEMA IF EXISTS %s CASCADE",
                schema) != 0)
        return -1;
    return pg_query(conn, "DELETE FROM weir.position WHERE processor = $1 AND generation = 0", 1,
                    values, NULL, error);
}
