/* SPDX-License-Identifier: Apache-2.0
 *
 * The choice is one query with a parameter for each option; NULL means that nothing was said. */
#include "cli/failed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/timestamp.h"
#include "lib/base/uuid.h"
#include "lib/pg/statement.h"

enum {
    VALUE_PROCESSOR,
    VALUE_SPACE,
    VALUE_EVENT,
    VALUE_ERROR,
    VALUE_SINCE,
    VALUE_UNTIL,
    VALUE_STATUS, /* of parked events: whether all of them are wanted */
    VALUE_IDS,
    VALUE_TOPICS,
    VALUE_PARTITIONS,
    VALUE_OFFSETS,
    VALUE_LIMIT,
    VALUE_COUNT
};

const char *failed_text(const PGresult *rows, int row, enum failed_column column)
{
    return PQgetisnull(rows, row, column) ? NULL : PQgetvalue(rows, row, column);
}

void failed_place(const PGresult *rows, int row, char ret_place[FAILED_PLACE_SIZE])
{
    snprintf(ret_place, FAILED_PLACE_SIZE, "%.250s/%.12s/%.24s",
             PQgetvalue(rows, row, FAILED_TOPIC), PQgetvalue(rows, row, FAILED_PARTITION),
             PQgetvalue(rows, row, FAILED_OFFSET));
}

void failed_name(const PGresult *rows, int row, char *ret_name, size_t size)
{
    char place[FAILED_PLACE_SIZE];
    const char *id = failed_text(rows, row, FAILED_ID);
    failed_place(rows, row, place);
    if (id)
        snprintf(ret_name, size, "dead letter %s (%s, %s)", id, place,
                 PQgetvalue(rows, row, FAILED_PROCESSOR));
    else
        snprintf(ret_name, size, "%s %s of %s",
                 strcmp(PQgetvalue(rows, row, FAILED_STATUS), FAILED_AHEAD) ? "parked event"
                                                                            : "record",
                 place, PQgetvalue(rows, row, FAILED_PROCESSOR));
}

void failed_print(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        unsigned char next = i + 1 < size ? (unsigned char)text[i + 1] : 0;
        int pair = c == 0xc2 && next >= 0x80 && next < 0xa0; /* U+0080 to U+009F */
        putchar(c < 0x20 || c == 0x7f || pair ? '?' : c);
        i += (size_t)pair;
    }
}

void failed_age(int64_t seconds, char ret_age[24])
{
    static const struct {
        int64_t seconds;
        const char *unit;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (seconds >= 2 * units[i].seconds) {
            snprintf(ret_age, 24, "%" PRId64 " %s", seconds / units[i].seconds, units[i].unit);
            return;
        }
    snprintf(ret_age, 24, "%" PRId64 " s", seconds);
}

/* A point in time, or how long ago it was. */
static int read_time(const struct config *config, enum option_id id, const char *name,
                     char ret_text[40], struct error *error)
{
    const char *text = config_text(config, id);
    int64_t us;
    int64_t ago_ms;
    if (!*text)
        return 0;
    if (timestamp_parse(text, strlen(text), &us) != 0) {
        if (duration_parse(text, &ago_ms) != 0)
            return error_set(error, ERROR_USAGE, "bad-option",
                             "%s is \"%s\", but must be a time such as 2026-11-22T10:00:00Z, or "
                             "how long ago: 30m, 2h, 7d",
                             name, text);
        us = timestamp_now_us() - ago_ms * 1000;
    }
    timestamp_format(us, ret_text);
    return 0;
}

static int is_number(const char *text)
{
    return *text && strlen(text) < 19 && strspn(text, "0123456789") == strlen(text);
}

/* Appends to the text of an array. */
static void append(char *array, size_t size, const char *value, size_t value_size)
{
    size_t used = strlen(array);
    snprintf(array + used, size - used, "%s%.*s", used > 1 ? "," : "", (int)value_size, value);
}

int failed_parse_place(const char *text, struct failed_place *ret_place)
{
    const char *partition = strchr(text, '/');
    const char *offset = partition ? strchr(partition + 1, '/') : NULL;
    size_t size = partition ? (size_t)(partition - text) : 0;
    if (!offset || !is_number(offset + 1) || size == 0 || size > 200 ||
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != size ||
        offset - partition > 10)
        return -1;
    snprintf(ret_place->partition, sizeof ret_place->partition, "%.*s",
             (int)(offset - partition - 1), partition + 1);
    if (!is_number(ret_place->partition))
        return -1;
    snprintf(ret_place->topic, sizeof ret_place->topic, "%s%.*s",
             memchr(text, '.', size) ? "" : "weir.", (int)size, text);
    snprintf(ret_place->offset, sizeof ret_place->offset, "%s", offset + 1);
    return 0;
}

static int add_place(struct failed_choice *choice, const char *text)
{
    struct failed_place place;
    if (failed_parse_place(text, &place) != 0)
        return -1;
    append(choice->topics, sizeof choice->topics, place.topic, strlen(place.topic));
    append(choice->partitions, sizeof choice->partitions, place.partition, strlen(place.partition));
    append(choice->offsets, sizeof choice->offsets, place.offset, strlen(place.offset));
    return 0;
}

/* The first argument says what to do. */
static int read_arguments(const struct config *config, struct failed_choice *choice,
                          struct error *error)
{
    char *const arrays[] = {choice->ids, choice->topics, choice->partitions, choice->offsets};
    for (size_t i = 0; i < 4; i++)
        arrays[i][0] = '{';
    for (size_t i = 1; i < config_argument_count(config); i++) {
        const char *text = config_argument(config, i);
        if (choice->kind == FAILED_DEAD_LETTERS && is_number(text))
            append(choice->ids, sizeof choice->ids, text, strlen(text));
        else if (add_place(choice, text) != 0)
            return error_set(error, ERROR_USAGE, "bad-argument",
                             "\"%s\" is no %stopic/partition/offset, such as weir.commerce/3/17",
                             text, choice->kind == FAILED_DEAD_LETTERS ? "id and no " : "");
        choice->named++;
    }
    for (size_t i = 0; i < 4; i++) {
        arrays[i][strlen(arrays[i])] = '}'; /* CONFIG_ARGUMENTS_MAX of them leave room */
        choice->values[VALUE_IDS + i] = choice->named ? arrays[i] : NULL;
    }
    return 0;
}

static const char *set_or_null(const struct config *config, enum option_id id)
{
    const char *text = config_text(config, id);
    return *text ? text : NULL;
}

static int read_status(const struct config *config, struct failed_choice *choice,
                       struct error *error)
{
    static const char *const known[] = {"open", "redriving", "redriven", "discarded", "patched"};
    if (choice->kind == FAILED_PARKED) {
        choice->values[VALUE_STATUS] = choice->named || config_int(config, OPT_ALL) ? "all" : NULL;
        return 0;
    }
    const char *status = config_text(config, OPT_STATUS);
    if (!strcmp(status, "any") || (choice->named && !config_is_set(config, OPT_STATUS)))
        return 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(status, known[i]) == 0) {
            choice->values[VALUE_STATUS] = known[i];
            return 0;
        }
    return error_set(error, ERROR_USAGE, "bad-option",
                     "status is \"%s\", but must be open, redriving, redriven, discarded, patched "
                     "or any",
                     status);
}

int failed_choose(const struct config *config, enum failed_kind kind,
                  struct failed_choice *ret_choice, struct error *error)
{
    struct failed_choice *choice = ret_choice;
    struct uuid uuid;
    *choice = (struct failed_choice){.kind = kind};
    const char *space = set_or_null(config, OPT_SPACE);
    if (space && uuid_parse(space, strlen(space), &uuid) != 0)
        return error_set(error, ERROR_USAGE, "bad-option", "space is \"%s\", but must be a UUID",
                         space);
    if (read_time(config, OPT_SINCE, "since", choice->since, error) != 0 ||
        read_time(config, OPT_UNTIL, "until", choice->until, error) != 0 ||
        read_arguments(config, choice, error) != 0 || read_status(config, choice, error) != 0)
        return -1;
    choice->values[VALUE_PROCESSOR] = set_or_null(config, OPT_PROCESSOR);
    choice->values[VALUE_SPACE] = space;
    choice->values[VALUE_EVENT] = set_or_null(config, OPT_EVENT);
    choice->values[VALUE_ERROR] = set_or_null(config, OPT_ERROR);
    choice->values[VALUE_SINCE] = *choice->since ? choice->since : NULL;
    choice->values[VALUE_UNTIL] = *choice->until ? choice->until : NULL;
    choice->narrow = choice->named > 0;
    for (int i = 0; i < VALUE_STATUS; i++)
        choice->narrow |= choice->values[i] != NULL;
    return 0;
}

void failed_choose_place(const PGresult *rows, int row, enum failed_kind kind,
                         struct failed_choice *ret_choice)
{
    *ret_choice = (struct failed_choice){.kind = kind, .ids = "{}"};
    snprintf(ret_choice->topics, sizeof ret_choice->topics, "{%s}",
             PQgetvalue(rows, row, FAILED_TOPIC));
    snprintf(ret_choice->partitions, sizeof ret_choice->partitions, "{%s}",
             PQgetvalue(rows, row, FAILED_PARTITION));
    snprintf(ret_choice->offsets, sizeof ret_choice->offsets, "{%s}",
             PQgetvalue(rows, row, FAILED_OFFSET));
    ret_choice->values[VALUE_SPACE] = failed_text(rows, row, FAILED_SPACE);
    ret_choice->values[VALUE_STATUS] = kind == FAILED_PARKED ? "all" : "open";
    ret_choice->values[VALUE_IDS] = ret_choice->ids;
    ret_choice->values[VALUE_TOPICS] = ret_choice->topics;
    ret_choice->values[VALUE_PARTITIONS] = ret_choice->partitions;
    ret_choice->values[VALUE_OFFSETS] = ret_choice->offsets;
}

int failed_load(PGconn *conn, struct failed_choice *choice, int64_t limit, PGresult **ret_rows,
                struct error *error)
{
    snprintf(choice->limit, sizeof choice->limit, "%" PRId64, limit);
    choice->values[VALUE_LIMIT] = limit ? choice->limit : NULL;
    return pg_query(conn,
                    statement(choice->kind == FAILED_PARKED ? "chosen_parked" : "chosen_letters"),
                    VALUE_COUNT, choice->values, ret_rows, error);
}

json_t *failed_json(const PGresult *rows, int row)
{
    static const struct {
        const char *name;
        enum failed_column column;
        int number;
    } members[] = {{"dead_letter_id", FAILED_ID, 1},
                   {"processor", FAILED_PROCESSOR, 0},
                   {"generation", FAILED_GENERATION, 1},
                   {"topic", FAILED_TOPIC, 0},
                   {"partition", FAILED_PARTITION, 1},
                   {"offset", FAILED_OFFSET, 1},
                   {"timestamp", FAILED_TIMESTAMP, 0},
                   {"space_id", FAILED_SPACE, 0},
                   {"event_id", FAILED_EVENT_ID, 0},
                   {"schema_id", FAILED_SCHEMA_ID, 1},
                   {"event", FAILED_EVENT, 0},
                   {"version", FAILED_VERSION, 1},
                   {"status", FAILED_STATUS, 0},
                   {"code", FAILED_CODE, 0},
                   {"message", FAILED_MESSAGE, 0},
                   {"attempts", FAILED_ATTEMPTS, 1},
                   {"first_failed_at", FAILED_FIRST, 0},
                   {"last_failed_at", FAILED_LAST, 0},
                   {"since", FAILED_SINCE, 0},
                   {"age_seconds", FAILED_AGE_S, 1},
                   {"parked_of_space", FAILED_HELD, 1},
                   {"next_attempt_at", FAILED_NEXT, 0},
                   {"applied_after", FAILED_APPLIED_AFTER, 1}};
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const char *text = failed_text(rows, row, members[i].column);
        if (members[i].column == FAILED_ID && !text)
            continue;
        json_object_set_new(object, members[i].name,
                            !text               ? json_null()
                            : members[i].number ? json_integer(strtoll(text, NULL, 10))
                                                : json_string(text));
    }
    return object;
}
