/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows are a sorted list. Each record, and each row of the outbox, names its dead letter in headers
 * and ticks it off; of several headers of one name the last counts. What is not ticked off was
 * never published. A record without a row is nothing bad: `weir processor reset` forgets rows. */
#include "processors/audit/letters.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/kafka/reader.h"
#include "lib/pg/statement.h"
#include "processors/outbox/known.h"
#include "processors/outbox/topics.h"

enum { NUMBER_BYTES = 24 };

struct letter {
    const char *topic; /* of `rows` */
    int64_t partition;
    int64_t offset;
    int published;
};

struct letters {
    PGresult *rows;
    struct letter *list;
    size_t count;
};

static int compare(const void *a, const void *b)
{
    const struct letter *x = a;
    const struct letter *y = b;
    int topics = strcmp(x->topic, y->topic);
    if (topics)
        return topics;
    if (x->partition != y->partition)
        return x->partition < y->partition ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static void tick_off(struct letters *letters, const char *topic, int64_t partition, int64_t offset)
{
    const struct letter key = {.topic = topic, .partition = partition, .offset = offset};
    struct letter *found = bsearch(&key, letters->list, letters->count, sizeof key, compare);
    if (found)
        found->published = 1;
}

static int load(PGconn *conn, const char *processor, int generation, struct letters *letters,
                struct error *error)
{
    const char *values[] = {processor, PG_NUMBER(generation)};
    if (pg_query(conn, statement("audited_letters"), 2, values, &letters->rows, error) != 0)
        return -1;
    letters->count = (size_t)PQntuples(letters->rows);
    letters->list = xcalloc(letters->count + 1, sizeof *letters->list);
    for (size_t i = 0; i < letters->count; i++)
        letters->list[i] = (struct letter){.topic = PQgetvalue(letters->rows, (int)i, 0),
                                           .partition = pg_int(letters->rows, (int)i, 1),
                                           .offset = pg_int(letters->rows, (int)i, 2)};
    return 0;
}

static int read_outbox(PGconn *conn, const char *topic, struct letters *letters,
                       struct error *error)
{
    const char *values[] = {topic};
    PGresult *rows = NULL;
    if (pg_query(conn, statement("letters_in_outbox"), 1, values, &rows, error) != 0)
        return -1;
    for (int i = 0; i < PQntuples(rows); i++)
        tick_off(letters, PQgetvalue(rows, i, 0), pg_int(rows, i, 1), pg_int(rows, i, 2));
    PQclear(rows);
    return 0;
}

/* The last header of that name as text; 0 when there is none, or it is longer than `size`. */
static int header_text(const rd_kafka_headers_t *headers, const char *name, char *ret_text,
                       size_t size)
{
    const void *value;
    size_t length;
    if (rd_kafka_header_get_last(headers, name, &value, &length) != 0 || !value || length >= size)
        return 0;
    memcpy(ret_text, value, length);
    ret_text[length] = '\0';
    return 1;
}

static int take_record(void *opaque, rd_kafka_message_t *message, struct error *error)
{
    struct letters *letters = opaque;
    rd_kafka_headers_t *headers;
    char topic[OUTBOX_TOPIC_SIZE];
    char partition[NUMBER_BYTES];
    char offset[NUMBER_BYTES];
    if (rd_kafka_message_headers(message, &headers) == 0 &&
        header_text(headers, "weir_topic", topic, sizeof topic) &&
        header_text(headers, "weir_partition", partition, sizeof partition) &&
        header_text(headers, "weir_offset", offset, sizeof offset))
        tick_off(letters, topic, strtoll(partition, NULL, 10), strtoll(offset, NULL, 10));
    (void)error;
    return 0;
}

static void check_published(const struct letters *letters, const char *processor, const char *topic,
                            struct audit_report *report)
{
    static const char rule[] = "each dead letter is a record of its topic, or in the outbox";
    const struct letter *first = NULL;
    int64_t missing = 0;
    for (size_t i = 0; i < letters->count; i++) {
        missing += !letters->list[i].published;
        if (!letters->list[i].published && !first)
            first = &letters->list[i];
    }
    if (letters->count > AUDIT_LETTERS_MAX)
        audit_add(report, "I10", processor, rule, AUDIT_SKIPPED,
                  "%zu dead letters are too many to look for (at most %d)", letters->count,
                  AUDIT_LETTERS_MAX);
    else if (first)
        audit_add(report, "I10", processor, rule, AUDIT_BROKEN,
                  "%" PRId64 " of %zu were not published to %s; the first: %s partition %" PRId64
                  " offset %" PRId64,
                  missing, letters->count, topic, first->topic, first->partition, first->offset)
            ->rows = missing;
    else
        audit_add(report, "I10", processor, rule, AUDIT_HOLDS, "%zu dead letters", letters->count);
}

int audit_letters(const struct config *config, PGconn *conn, const char *processor, int generation,
                  struct audit_report *report, struct error *error)
{
    char topic[OUTBOX_TOPIC_SIZE];
    struct letters letters = {0};
    outbox_topic_name(OUTBOX_DEAD_LETTERS, processor, topic);
    int result = load(conn, processor, generation, &letters, error);
    if (result == 0 && letters.count > 0 && letters.count <= AUDIT_LETTERS_MAX) {
        result = read_outbox(conn, topic, &letters, error);
        if (result == 0)
            result =
                kafka_reader_topic(config, topic, INT64_MAX, NULL, take_record, &letters, error);
    }
    if (result == 0)
        check_published(&letters, processor, topic, report);
    free(letters.list);
    PQclear(letters.rows);
    return result;
}

int audit_known(const struct config *config, PGconn *conn, const struct processor *processor,
                struct audit_report *report, struct error *error)
{
    static const char *const rules[OUTBOX_KINDS] = {
        [OUTBOX_DEAD_LETTERS] = "each record about a dead letter is about one that is known",
        [OUTBOX_DECISIONS] = "each record of a decision is of one that is known"};
    const struct known_whose whose = {processor->name, processor->topics, processor->topic_count,
                                      NULL};
    int code = 0;
    for (int kind = 0; code == 0 && kind < OUTBOX_KINDS; kind++) {
        char topic[OUTBOX_TOPIC_SIZE];
        struct known known;
        outbox_topic_name((enum outbox_kind)kind, processor->name, topic);
        code = known_check(config, conn, &whose, (enum outbox_kind)kind, KNOWN_ALL, &known, error);
        if (code == 0 && known.unknown)
            audit_add(report, "I2", processor->name, rules[kind], AUDIT_BROKEN,
                      "%" PRId64 " of %" PRId64 " records of %s are unknown here; the first: %s. "
                      "Was this database lost, or is it an older copy, and folded into before it "
                      "was rebuilt? Drop it, and see docs/rebuild.md",
                      known.unknown, known.read, topic, known.first)
                ->rows = known.unknown;
        else if (code == 0)
            audit_add(report, "I2", processor->name, rules[kind], AUDIT_HOLDS,
                      "%" PRId64 " records", known.read);
    }
    return code;
}
