/* SPDX-License-Identifier: Apache-2.0
 *
 * An offset vector: for each partition of a processor's topics the offset before which everything
 * is dealt with. Two generations hold the same events exactly when their vectors are equal. */
#ifndef WEIR_REBUILD_VECTOR_H
#define WEIR_REBUILD_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/config.h"
#include "lib/pg/pg.h"
#include "processors/definition/processor.h"

struct vector {
    size_t count; /* topics × partitions, in that order */
    struct vector_element {
        const char *topic; /* the processor's */
        int32_t partition;
        int64_t offset;
    } * at;
};

/* All partitions of the processor's topics, at offset 0. */
struct vector vector_new(const struct processor *processor, int32_t partitions);
void vector_free(struct vector *vector);
struct vector vector_copy(const struct vector *vector);

/* NULL when there is no such partition. */
struct vector_element *vector_find(const struct vector *vector, const char *topic,
                                   int32_t partition);
/* Raises each offset to that of `other`. */
void vector_raise(struct vector *vector, const struct vector *other);
int64_t vector_sum(const struct vector *vector);
int vector_equal(const struct vector *a, const struct vector *b);
/* Whether no offset of `a` is below that of `b`. */
int vector_covers(const struct vector *a, const struct vector *b);

/* Sets the offsets to a generation's positions; with `lock` its rows stay locked until the end of
 * the transaction, so that the generation stands still. A partition that nobody has claimed is
 * at 0. */
int vector_load(struct vector *vector, PGconn *conn, const char *processor, int generation,
                int lock, struct error *error);

/* Sets the offsets to the ends of the logs. Errors: ERROR_RETRY without a broker;
 * ERROR_HALT "partitions-changed". */
int vector_load_ends(struct vector *vector, const struct config *config, struct error *error);

#endif
