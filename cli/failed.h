/* SPDX-License-Identifier: Apache-2.0
 *
 * Records that a processor did not apply, as `weir dead-letters` and `weir parked` choose and show
 * them: dead letters, and events that are parked. Both come as rows of the same columns, of the
 * live generations only, in the order of the log. */
#ifndef WEIR_CLI_FAILED_H
#define WEIR_CLI_FAILED_H

#include <jansson.h>

#include "cli/command.h"
#include "cli/support.h"
#include "lib/pg/pg.h"

enum failed_kind { FAILED_DEAD_LETTERS, FAILED_PARKED };

enum failed_column {
    FAILED_ID, /* dead_letter_id; NULL of a parked event */
    FAILED_POSITION,
    FAILED_PROCESSOR,
    FAILED_TOPIC,
    FAILED_PARTITION,
    FAILED_OFFSET,
    FAILED_SPACE,
    FAILED_EVENT_ID,
    FAILED_SCHEMA_ID,
    FAILED_EVENT, /* its type; NULL when the schema id is unknown or missing */
    FAILED_VERSION,
    FAILED_CODE, /* of a parked event: only when it is the one that failed */
    FAILED_MESSAGE,
    FAILED_ATTEMPTS,
    FAILED_FIRST,  /* times are RFC 3339 */
    FAILED_LAST,   /* when it failed last */
    FAILED_SINCE,  /* when it was set aside */
    FAILED_AGE_S,  /* seconds since then */
    FAILED_STATUS, /* of a parked event: failing (it is tried again), blocked (not before somebody
                      decides about a dead letter), waiting (behind another one) */
    FAILED_HELD,   /* parked events of the same Space, topic and processor */
    FAILED_NEXT,   /* when the first of those is tried next */
    FAILED_TIMESTAMP, /* the broker's */
    FAILED_APPLIED_AFTER,
    FAILED_GENERATION,
    FAILED_COLUMNS
};

enum { FAILED_PLACE_SIZE = 320 };

/* FAILED_STATUS of a record that its processor has not come to. */
#define FAILED_AHEAD "ahead"

/* topic/partition/offset, taken apart. */
struct failed_place {
    char topic[TOPIC_NAME_SIZE];
    char partition[16];
    char offset[24];
};

/* Reads "weir.commerce/3/17" or "commerce/3/17". Returns -1 when it is none. */
int failed_parse_place(const char *text, struct failed_place *ret_place);

/* What the options and arguments choose. Arguments are ids of dead letters or places, which are
 * topic/partition/offset; the topic may be short. */
struct failed_choice {
    enum failed_kind kind;
    const char *values[12];
    char since[40];
    char until[40];
    char ids[64 * 24];
    char topics[64 * 256];
    char partitions[64 * 16];
    char offsets[64 * 24];
    char limit[24];
    int named;  /* how many arguments name one */
    int narrow; /* something was said about which ones */
};

/* Reads the arguments from the second on, and the options. Errors: ERROR_USAGE. */
int failed_choose(const struct config *config, enum failed_kind kind,
                  struct failed_choice *ret_choice, struct error *error);

/* Chooses one record, whatever processors it failed in, among open dead letters or parked events.
 * `rows` must outlive the choice. */
void failed_choose_place(const PGresult *rows, int row, enum failed_kind kind,
                         struct failed_choice *ret_choice);

/* The rows, `limit` at most (0: all of them). The caller clears *ret_rows. */
int failed_load(PGconn *conn, struct failed_choice *choice, int64_t limit, PGresult **ret_rows,
                struct error *error);

/* "weir.commerce/3/17" */
void failed_place(const PGresult *rows, int row, char ret_place[FAILED_PLACE_SIZE]);

/* "dead letter 7 (weir.commerce/3/17, ledger)", and the like of parked events and records that are
 * still to come. */
void failed_name(const PGresult *rows, int row, char *ret_name, size_t size);

/* The text of a column, or NULL. */
const char *failed_text(const PGresult *rows, int row, enum failed_column column);

/* Prints text that came from outside: control characters, which a terminal would obey, become "?".
 */
void failed_print(const char *text, size_t size);

/* One row for a program. */
json_t *failed_json(const PGresult *rows, int row);

/* `weir … list`: a table, or JSON, and how many there are in all of them. */
int failed_list(const struct config *config, PGconn *conn, enum failed_kind kind,
                enum output_format format, struct error *error);

/* How much waits, by processor and generation; those of which nothing does are not there. */
enum failed_depth_column {
    DEPTH_PROCESSOR,
    DEPTH_GENERATION,
    DEPTH_LIVE,
    DEPTH_LETTERS, /* open ones; then their Spaces, and the age of the oldest in seconds */
    DEPTH_LETTER_SPACES,
    DEPTH_LETTER_AGE_S,
    DEPTH_PARKED, /* the same of parked events */
    DEPTH_PARKED_SPACES,
    DEPTH_PARKED_AGE_S
};
int failed_depths(PGconn *conn, PGresult **ret_depths, struct error *error);
/* One of these numbers; 0 when there is no row. */
int64_t failed_depth(const PGresult *depths, const char *processor, int generation,
                     enum failed_depth_column column);

/* "3 h", "12 s" */
void failed_age(int64_t seconds, char ret_age[24]);

/* `weir … show`: everything about each of the chosen ones. */
int failed_show(const struct config *config, PGconn *conn, enum failed_kind kind,
                enum output_format format, struct error *error);

#endif
