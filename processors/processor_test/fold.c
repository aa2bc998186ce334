/* SPDX-License-Identifier: Apache-2.0
 *
 * The scratch generation has positions under its own name, so that the fence is exercised too. */
#include "processors/processor_test/fold.h"

#include <stdlib.h>
#include <string.h>

#include "processors/definition/column_usage.h"
#include "processors/fold/duplicates.h"

struct fold {
    PGconn *conn;
    const struct processor *processor;
    const struct corpus *corpus;
    struct installed installed;
    int bare; /* its indexes are missing */
    struct slice_types types;
    struct position *positions; /* one per stream of the corpus */
    struct decoder *decoder;
    struct batch *batch;
    struct slice *slice;
};

/* Claims a position for each stream. Scratch schemas have names of their own, so position ids
 * ascend with streams. */
static int claim_positions(struct fold *fold, const char *schema, struct error *error)
{
    const struct corpus *corpus = fold->corpus;
    fold->positions = xcalloc(corpus->stream_count, sizeof *fold->positions);
    for (size_t i = 0; i < corpus->stream_count; i++) {
        const struct record *record = &corpus->records[corpus->streams[i]];
        const char *values[] = {schema, record->topic, PG_NUMBER(record->partition)};
        PGresult *result = NULL;
        if (pg_query(fold->conn,
                     "SELECT position_id, epoch FROM weir.claim($1, 0, ARRAY[$2], "
                     "ARRAY[$3::integer], 'test')",
                     3, values, &result, error) != 0)
            return -1;
        fold->positions[i] = (struct position){.topic = xstrdup(record->topic),
                                               .partition = record->partition,
                                               .id = (int32_t)pg_int(result, 0, 0),
                                               .epoch = pg_int(result, 0, 1),
                                               .anchor_offset = -1,
                                               .verified = 1};
        PQclear(result);
    }
    return 0;
}

static int open_scratch(struct fold *fold, const char *schema, const struct fold_options *options,
                        struct error *error)
{
    char *usage = NULL;
    struct buf call = {0};
    if (pg_run(fold->conn, "BEGIN", error) != 0)
        return -1;
    int code = install_scratch(fold->conn, fold->processor, schema, options->bare, &fold->installed,
                               error);
    if (code == 0)
        code = column_usage_record(fold->conn, fold->processor, &fold->installed, error);
    if (code == 0)
        code = column_usage_load(fold->conn, &fold->installed, &usage, error);
    if (options->all_columns)
        free(usage);
    else
        decoder_set_column_usage(fold->decoder, usage);
    if (code == 0)
        code = claim_positions(fold, schema, error);
    if (code != 0) {
        pg_run(fold->conn, "ROLLBACK", NULL);
        return -1;
    }
    if (pg_run(fold->conn, "COMMIT", error) != 0 ||
        pg_runf(fold->conn, error,
                "DEALLOCATE ALL; SET search_path = pg_catalog, pg_temp; SET plan_cache_mode = "
                "force_generic_plan;"
                "SET synchronous_commit = off; SET jit = off") != 0 ||
        slice_types_load(fold->conn, fold->processor, &fold->types, error) != 0)
        return -1;
    bind_call(fold->processor, fold->installed.schema, fold->installed.procedure, &call);
    PGresult *result = PQprepare(fold->conn, "apply", buf_text(&call), 0, NULL);
    code = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : pg_fail(fold->conn, result, error);
    PQclear(result);
    buf_free(&call);
    return code;
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
        slice_make(slice, batch, from, to, fold->positions, fold->corpus->stream_count,
                   &fold->types);
        PGresult *result = PQexecPrepared(fold->conn, "apply", slice->parameter_count,
                                          slice->values, slice->lengths, slice->formats, 1);
        slice_uncover(slice, batch);
        int duplicate = duplicates_caused(result);
        code = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : pg_fail(fold->conn, result, error);
        PQclear(result);
        if (code == 0 || !duplicate ||
            duplicates_find(fold->conn, fold->installed.schema, batch, from, to, &fold->types,
                            &known, &known_count, error) != 0)
            break;
    }
    free(known);
    if (code == 0 && error)
        *error = (struct error){0}; /* of the try that found the duplicates */
    for (size_t i = 0; code == 0 && i < fold->corpus->stream_count; i++)
        if (slice->next_offsets[i] >= 0)
            fold->positions[i].next_offset = slice->next_offsets[i];
    *ret_to = slice->to;
    return code;
}

static uint32_t stream_of(const struct corpus *corpus, size_t record)
{
    size_t low = 0;
    size_t high = corpus->stream_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (corpus->streams[middle] <= record)
            low = middle;
        else
            high = middle;
    }
    return (uint32_t)low;
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
            code = batch_add(fold->batch, fold->decoder, &corpus->records[order[at]],
                             stream_of(corpus, order[at]), error);
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

int fold_corpus(PGconn *conn, const struct processor *processor, const struct corpus *corpus,
                const char *schema, const struct fold_options *options, struct error *error)
{
    struct fold fold = {
        .conn = conn, .processor = processor, .corpus = corpus, .bare = options->bare};
    fold.decoder = decoder_new(processor);
    fold.batch = batch_new(processor, options->batch, NULL); /* the corpus keeps its records */
    fold.slice = slice_new();
    int code = open_scratch(&fold, schema, options, error);
    if (code == 0)
        code = fold_batches(&fold, options, error);
    for (size_t i = 0; fold.positions && i < corpus->stream_count; i++)
        free(fold.positions[i].topic);
    free(fold.positions);
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
