/* SPDX-License-Identifier: Apache-2.0
 *
 * Kafka is only asked while the database knows nothing, which is once for each processor. */
#include "processors/engine/past.h"

#include <stdio.h>

#include "lib/kafka/reader.h"
#include "processors/outbox/topics.h"

static int is_new(PGconn *conn, const char *processor, int generation, int *ret_new,
                  struct error *error)
{
    char number[16];
    snprintf(number, sizeof number, "%d", generation);
    const char *values[] = {processor, number};
    PGresult *result = NULL;
    int code = pg_query(
        conn,
        "SELECT NOT EXISTS (SELECT FROM weir.position AS p "
        "WHERE p.processor = $1 AND p.generation = $2 AND (p.next_offset > 0 "
        "OR EXISTS (SELECT FROM weir.dead_letter AS l WHERE l.position_id = p.position_id) "
        "OR EXISTS (SELECT FROM weir.decision AS d WHERE d.position_id = p.position_id)))",
        2, values, &result, error);
    *ret_new = code == 0 && *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return code;
}

static int has_records(struct kafka_reader *reader, const char *topic, int *ret_has,
                       struct error *error)
{
    int32_t partitions = 0;
    int code = kafka_reader_partitions(reader, topic, &partitions, error);
    *ret_has = 0;
    for (int32_t i = 0; code == 0 && !*ret_has && i < partitions; i++) {
        struct kafka_extent extent = {.topic = topic, .partition = i};
        code = kafka_reader_extent(reader, &extent, error);
        *ret_has = code == 0 && extent.low < extent.high;
    }
    return code;
}

int past_check(PGconn *conn, const struct config *config, const char *processor, int generation,
               struct error *error)
{
    struct kafka_reader *reader = NULL;
    int new = 0;
    int code = is_new(conn, processor, generation, &new, error);
    if (code != 0 || !new)
        return code;
    code = kafka_reader_open(config, &reader, error);
    for (int kind = 0; code == 0 && kind < OUTBOX_KINDS; kind++) {
        char topic[OUTBOX_TOPIC_SIZE];
        int has = 0;
        outbox_topic_name((enum outbox_kind)kind, processor, topic);
        code = has_records(reader, topic, &has, error);
        if (code == 0 && has)
            code = error_set(error, ERROR_HALT, "rebuild-needed",
                             "the topic %s holds what this database does not know: it was lost, "
                             "or is another one. `weir rebuild %s` reads it and folds all anew; "
                             "then this goes on by itself",
                             topic, processor);
    }
    kafka_reader_free(reader);
    return code;
}
