/* SPDX-License-Identifier: Apache-2.0
 *
 * The scratch generation has positions under its own name, so that the fence is exercised too. */
#include "processors/processor_test/fold.h"

#include <stdlib.h>
#include <string.h>

#include "processors/definition/column_usage.h"
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
    session_send(fold->session, fold->batch, from, fold->batch->count, &fold->positions);
    enum session_outcome outcome = session_finish(fold->session, error);
    *ret_to = session_slice(fold->session)->to;
    return outcome == SESSION_COMMITTED ? 0 : -1;
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
    int code = make_scratch(&fold, schema, error);
    if (code == 0)
        code = open_session(&fold, config, options, error);
    if (code == 0)
        code = fold_batches(&fold, options, error);
    session_free(fold.session);
    positions_free(&fold.positions);
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
