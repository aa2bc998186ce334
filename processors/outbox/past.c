/* SPDX-License-Identifier: Apache-2.0
 *
 * What is missing is what was written last, so the newest records tell. A few of them are read: an
 * older copy's outbox is published anew, and puts what the copy knows behind what it does not. */
#include "processors/outbox/past.h"

#include "lib/pg/statement.h"
#include "processors/outbox/known.h"

enum { NEWEST_MAX = 100 }; /* records of a partition */

static int is_new(PGconn *conn, const char *processor, int *ret_new, struct error *error)
{
    const char *values[] = {processor};
    PGresult *result = NULL;
    int code = pg_query(conn, statement("has_applied_nothing"), 1, values, &result, error);
    *ret_new = code == 0 && *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return code;
}

int past_check(PGconn *conn, const struct config *config, const struct processor *processor,
               const atomic_int *stop, struct error *error)
{
    const struct known_whose whose = {processor->name, processor->topics, processor->topic_count,
                                      stop};
    int new = 0;
    int code = is_new(conn, processor->name, &new, error);
    for (int kind = 0; code == 0 && kind < OUTBOX_KINDS; kind++) {
        char topic[OUTBOX_TOPIC_SIZE];
        struct known known;
        outbox_topic_name((enum outbox_kind)kind, processor->name, topic);
        code = known_check(config, conn, &whose, (enum outbox_kind)kind,
                           new ? KNOWN_ALL : NEWEST_MAX, &known, error);
        if (code == 0 && known.unknown)
            code = error_set(error, ERROR_HALT, PAST_UNKNOWN,
                             "%s tells of %s %s, which this database does not know: it was lost, "
                             "restored from an older backup, or is another one. `weir rebuild %s` "
                             "reads it and folds all anew; then this goes on by "
                             "itself",
                             topic, kind == OUTBOX_DECISIONS ? "the decision" : "the dead letter",
                             known.first, processor->name);
    }
    return code;
}
