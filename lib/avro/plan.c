/* SPDX-License-Identifier: Apache-2.0
 *
 * A plan as its users hold it: what it knows of its relations, and which of that is left out. */
#include <stdlib.h>

#include "lib/avro/plan_steps.h"
#include "lib/avro/shape.h"

/* Columns as far as steps have to know them. */
static void describe_columns(struct plan *plan, const struct relation_set *set)
{
    plan->relation_count = relation_count(set);
    for (size_t i = 0; i < plan->relation_count; i++) {
        const struct relation *relation = relation_at(set, i);
        struct plan_column *columns =
            arena_alloc(&plan->arena, relation->column_count * sizeof *columns);
        for (size_t k = 0; k < relation->column_count; k++) {
            const struct relation_column *column = &relation->columns[k];
            struct relation_column item = {.type = column->type};
            columns[k] =
                (struct plan_column){.oid = relation_column_oid(column),
                                     .item_oid = column->array ? relation_column_oid(&item) : 0,
                                     .is_jsonb = column->type == SQL_JSONB && !column->array};
        }
        plan->relations[i] =
            (struct plan_relation){.columns = columns, .column_count = relation->column_count};
    }
}

int plan_compile(const struct schema *writer, const struct relation_set *set,
                 struct plan **ret_plan, struct error *error)
{
    struct plan *plan = xcalloc(1, sizeof *plan);
    plan->set = set;
    describe_columns(plan, set);
    if (resolve_build(&plan->arena, writer, relation_shape(set)->schema, &plan->resolve, error) !=
            0 ||
        plan_make_steps(plan, error) != 0) {
        plan_free(plan);
        return -1;
    }
    *ret_plan = plan;
    return 0;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    free(plan->steps);
    free(plan->targets);
    arena_free(&plan->arena);
    free(plan);
}

void plan_omit_relation(struct plan *plan, size_t relation)
{
    plan->relations[relation].omitted = 1;
}

void plan_omit_column(struct plan *plan, size_t relation, size_t column)
{
    plan->relations[relation].columns[column].omitted = 1;
}

int plan_trim(struct plan *plan, struct error *error)
{
    return plan_make_steps(plan, error);
}
