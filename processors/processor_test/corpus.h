/* SPDX-License-Identifier: Apache-2.0
 *
 * Made-up records of the events that a processor consumes, as a topic would hold them: random but
 * valid, the same for the same seed, of every version of each event, with a few duplicates among
 * them. */
#ifndef WEIR_PROCESSOR_TEST_CORPUS_H
#define WEIR_PROCESSOR_TEST_CORPUS_H

#include "processors/fold/batch.h"

struct corpus {
    struct record *records; /* by topic and partition, in offset order within each */
    size_t *streams; /* index of the first record of each (topic, partition), and the end behind the
                        last */
    size_t stream_count;
    size_t count;
};

struct corpus_options {
    uint64_t seed;
    size_t events;
    int spaces;
    int32_t partitions;
};

/* Errors: ERROR_FATAL when an event made here is not valid: a defect. */
int corpus_make(const struct processor *processor, const struct corpus_options *options,
                struct corpus **ret_corpus, struct error *error);
void corpus_free(struct corpus *corpus);

enum corpus_order {
    ORDER_BY_TOPIC,
    ORDER_BY_TOPIC_BACKWARDS,
    ORDER_ROUND_ROBIN,
    ORDER_RANDOM,
    ORDER_COUNT
};
const char *corpus_order_name(enum corpus_order order);

/* Puts the indexes of all records into `ret_order`: within a stream by offset, between streams as
 * `order` says. */
void corpus_arrange(const struct corpus *corpus, enum corpus_order order, uint64_t seed,
                    size_t *ret_order);

#endif
