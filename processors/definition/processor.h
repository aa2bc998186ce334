/* SPDX-License-Identifier: Apache-2.0
 *
 * A processor as its folder describes it: sql/processors/<name>/. Immutable after it is loaded. */
#ifndef WEIR_DEFINITION_PROCESSOR_H
#define WEIR_DEFINITION_PROCESSOR_H

#include <stdint.h>

#include "lib/avro/catalog.h"
#include "lib/avro/relation.h"
#include "lib/base/asset.h"
#include "processors/definition/policy.h"

enum { PROCESSOR_NAME_MAX = 40, PROCESSOR_RELATIONS_MAX = 90 };

/* An event type that the processor consumes. */
struct consumed {
    const struct catalog_event *event;
    struct relation_set *relations;
    size_t first_relation; /* of these in processor.relations */
};

struct processor {
    char *name;
    int version;
    int64_t duplicate_window_ms;
    struct policy policy;
    char *consumes; /* names of the consumed events, sorted: "MemberJoined, ProductPurchased" */
    const struct catalog *catalog;
    struct consumed *consumed;
    size_t consumed_count;
    const struct relation **relations; /* of all consumed events, one after the other */
    size_t relation_count;
    const char **topics; /* distinct, in name order */
    size_t topic_count;
    const struct asset *tables, *apply, *checks;
    const struct asset *indexes, *views, *screen; /* may be NULL */
};

/* Reads a processor. `assets` and `catalog` must outlive it. Errors (ERROR_USAGE) name file and
 * line. */
int processor_load(const struct assets *assets, const struct catalog *catalog, const char *name,
                   struct processor **ret_processor, struct error *error);
void processor_free(struct processor *processor);

/* NULL when the processor does not consume the event. */
const struct consumed *processor_consumes(const struct processor *processor,
                                          const struct catalog_event *event);

/* Calls `visit` with the name of each processor in the assets, in name order, until it returns
 * non-zero; returns that. */
int processor_each(const struct assets *assets, int (*visit)(const char *name, void *context),
                   void *context);

#endif
