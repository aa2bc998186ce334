/* SPDX-License-Identifier: Apache-2.0
 *
 * Folds a corpus into a scratch generation, as the engine would but without Kafka: same decoder,
 * batches, classification and procedure, one transaction per batch. */
#ifndef WEIR_PROCESSOR_TEST_FOLD_H
#define WEIR_PROCESSOR_TEST_FOLD_H

#include "lib/base/config.h"
#include "lib/pg/pg.h"
#include "processors/definition/install.h"
#include "processors/processor_test/corpus.h"

struct fold_options {
    size_t batch; /* records per batch */
    enum corpus_order order;
    int bare;        /* without indexes.sql, as a rebuild folds the past */
    int all_columns; /* send the unused columns too, as the engine never does */
    uint64_t seed;   /* of a random order */
};

/* Creates the schema `schema` by `conn` and folds into it by a session of its own, as the engine's.
 * Errors: of the SQL, with the event. */
int fold_corpus(const struct config *config, PGconn *conn, const struct processor *processor,
                const struct corpus *corpus, const char *schema, const struct fold_options *options,
                struct error *error);

/* Drops what fold_corpus made. */
int fold_drop(PGconn *conn, const char *schema, struct error *error);

#endif
