/* SPDX-License-Identifier: Apache-2.0
 *
 * The record must be there and still to come: the position is asked for first, then the log. The
 * decision itself is one like the others: a row that the owner of the partition carries out. */
#include "cli/processor_skip.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/decide.h"
#include "lib/base/timestamp.h"
#include "lib/kafka/reader.h"
#include "lib/pg/statement.h"

enum { POLL_MS = 100, READ_TIMEOUT_MS = 10000 };

/* Behind the columns of a row of `cli/failed.h`: why it can be skipped no more, or NULL. */
enum { COLUMN_BECAME = FAILED_COLUMNS };

struct skip {
    const char *processor;
    struct failed_place place;
    int64_t offset;
};

static int read_arguments(const struct config *config, struct skip *skip, struct error *error)
{
    skip->processor = config_argument(config, 1);
    const char *place = config_argument(config, 2);
    if (!place || config_argument_count(config) > 3)
        return error_set(error, ERROR_USAGE, "bad-argument",
                         "say which record: weir processor skip NAME TOPIC/PARTITION/OFFSET "
                         "--reason TEXT");
    if (failed_parse_place(place, &skip->place) != 0)
        return error_set(error, ERROR_USAGE, "bad-argument",
                         "\"%s\" is no topic/partition/offset, such as weir.commerce/3/17", place);
    skip->offset = strtoll(skip->place.offset, NULL, 10);
    return 0;
}

/* Why there is no position. */
static int explain_missing(PGconn *conn, const struct skip *skip, struct error *error)
{
    PGresult *result = NULL;
    const char *values[] = {skip->processor};
    if (pg_query(conn, "SELECT FROM weir.processor WHERE processor = $1", 1, values, &result,
                 error) != 0)
        return -1;
    int known = PQntuples(result) > 0;
    PQclear(result);
    if (!known)
        return error_set(error, ERROR_USAGE, "unknown-processor",
                         "this database has no processor \"%s\"", skip->processor);
    return error_set(error, ERROR_USAGE, "unknown-partition",
                     "%s has no position in partition %s of %s: it does not consume that, or never "
                     "claimed it; see `weir position %s`",
                     skip->processor, skip->place.partition, skip->place.topic, skip->processor);
}

/* The record as a row like those of dead letters, of which little is known yet. */
static int load_position(PGconn *conn, const struct skip *skip, PGresult **ret_rows,
                         struct error *error)
{
    const char *values[] = {skip->processor, skip->place.topic, skip->place.partition,
                            skip->place.offset, FAILED_AHEAD};
    if (pg_query(conn, statement("record_ahead"), 5, values, ret_rows, error) != 0)
        return -1;
    if (PQntuples(*ret_rows) == 0)
        return explain_missing(conn, skip, error);
    if (PQgetisnull(*ret_rows, 0, COLUMN_BECAME))
        return 0;
    return error_set(error, ERROR_USAGE, "not-skipped", "it cannot be skipped any more: %s",
                     PQgetvalue(*ret_rows, 0, COLUMN_BECAME));
}

/* The first record from the offset on. */
static int read_record(struct kafka_reader *reader, const struct skip *skip, int32_t partition,
                       struct error *error)
{
    rd_kafka_message_t *message = NULL;
    int64_t deadline_us = monotonic_now_us() + READ_TIMEOUT_MS * INT64_C(1000);
    kafka_reader_add(reader, skip->place.topic, partition, skip->offset);
    int code = kafka_reader_start(reader, error);
    while (code == 0 && !message && !kafka_reader_at_end(reader) &&
           monotonic_now_us() < deadline_us)
        code = kafka_reader_next(reader, POLL_MS, &message, error);
    if (code != 0)
        return -1;
    int64_t found = message ? message->offset : -1;
    if (message)
        rd_kafka_message_destroy(message);
    if (found == skip->offset)
        return 0;
    if (found < 0 && !kafka_reader_at_end(reader))
        return error_set(error, ERROR_RETRY, "kafka-stalled", "Kafka did not send the record");
    return error_set(error, ERROR_USAGE, "no-record",
                     "%s partition %s has no record at offset %s, only what Kafka writes for "
                     "itself",
                     skip->place.topic, skip->place.partition, skip->place.offset);
}

static int check_log(const struct config *config, const struct skip *skip, struct error *error)
{
    struct kafka_reader *reader = NULL;
    struct kafka_extent extent = {.topic = skip->place.topic,
                                  .partition = (int32_t)strtol(skip->place.partition, NULL, 10)};
    int code = kafka_reader_open(config, &reader, error);
    if (code == 0)
        code = kafka_reader_extent(reader, &extent, error);
    if (code == 0 && skip->offset >= extent.high)
        code =
            error_set(error, ERROR_USAGE, "beyond-end",
                      "%s partition %d ends at offset %" PRId64 ": there is no record at %" PRId64,
                      extent.topic, extent.partition, extent.high, skip->offset);
    if (code == 0)
        code = read_record(reader, skip, extent.partition, error);
    kafka_reader_free(reader);
    return code;
}

int processor_skip(const struct config *config, PGconn *conn, enum output_format format,
                   struct error *error)
{
    const struct decide decide = {
        .config = config, .conn = conn, .format = format, .verdict = "skip"};
    struct skip skip = {0};
    PGresult *rows = NULL;
    int result = EXIT_FAILED;
    if (read_arguments(config, &skip, error) != 0 || decide_check(&decide, error) != 0)
        return EXIT_USAGE;
    if (load_position(conn, &skip, &rows, error) == 0 && check_log(config, &skip, error) == 0)
        result = decide_rows(&decide, rows, 1, error);
    PQclear(rows);
    return result;
}
