/* SPDX-License-Identifier: Apache-2.0
 *
 * A retry's outcome only says that the event was made due. It is known once the event is not
 * parked any more, or has failed once more. */
#include "cli/decide_outcome.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/pg/statement.h"

enum { NAME_SIZE = 512 };

/* Processors of the rows of which nobody owns the partition, or which are halted. */
static int load_unattended(const struct outcomes *outcomes, PGresult **ret_result,
                           struct error *error)
{
    struct buf ids = {0};
    buf_put_text(&ids, "{");
    for (int i = 0; i < outcomes->count; i++)
        buf_printf(&ids, "%s%s", i ? "," : "", PQgetvalue(outcomes->rows, i, FAILED_POSITION));
    buf_put_text(&ids, "}");
    /* A halt at the very record that is skipped ends with that. */
    int skips = strcmp(outcomes->verdict, "skip") == 0;
    const char *values[] = {buf_text(&ids),
                            skips ? PQgetvalue(outcomes->rows, 0, FAILED_OFFSET) : NULL};
    int code = pg_query(outcomes->conn, statement("unattended"), 2, values, ret_result, error);
    buf_free(&ids);
    return code;
}

int outcomes_begin(struct outcomes *outcomes, struct error *error)
{
    PGresult *result = NULL;
    outcomes->report = json_array();
    if (load_unattended(outcomes, &result, error) != 0)
        return -1;
    for (int i = 0; i < PQntuples(result); i++) {
        const char *name = PQgetvalue(result, i, 0);
        if (PQgetisnull(result, i, 1))
            fprintf(stderr,
                    "no process runs %s at the moment: the decision waits until `weir "
                    "process %s` does\n",
                    name, name);
        else
            fprintf(stderr, "%s is halted: the decision waits until `weir processor resume %s`\n",
                    name, name);
    }
    PQclear(result);
    return 0;
}

static int is_success(const char *outcome)
{
    return strcmp(outcome, "applied") == 0 || strcmp(outcome, "discarded") == 0 ||
           strcmp(outcome, "skipped") == 0;
}

/* The outcome of one is known: prints it. */
static void note_outcome(struct outcomes *outcomes, int row, const char *outcome,
                         const char *message, const char *applied_after)
{
    char name[NAME_SIZE];
    failed_name(outcomes->rows, row, name, sizeof name);
    outcomes->items[row].known = 1;
    outcomes->known++;
    outcomes->failed += !is_success(outcome);
    if (outcomes->format == OUTPUT_TEXT) {
        printf("%s: %s", name, outcome);
        if (applied_after)
            printf(", behind offset %s", applied_after);
        fputs(message ? ": " : "", stdout);
        failed_print(message, message ? strlen(message) : 0);
        putchar('\n');
        fflush(stdout);
        return;
    }
    json_t *object = failed_json(outcomes->rows, row);
    json_object_del(object, "status"); /* what was before is no news */
    json_object_set_new(object, "decision_id", json_string(outcomes->items[row].id));
    json_object_set_new(object, "verdict", json_string(outcomes->verdict));
    if (outcomes->replacement_id)
        json_object_set_new(object, "replacement_id", json_string(outcomes->replacement_id));
    json_object_set_new(object, "outcome", json_string(outcome));
    json_object_set_new(object, "outcome_message", message ? json_string(message) : json_null());
    json_object_set_new(object, "applied_after",
                        applied_after ? json_integer(strtoll(applied_after, NULL, 10))
                                      : json_null());
    if (outcomes->format == OUTPUT_JSONL) {
        print_json(object);
        fflush(stdout);
    } else {
        json_array_append_new(outcomes->report, object);
    }
}

/* What became of an event that was made due. */
static int poll_retried(struct outcomes *outcomes, int row, int *ret_moved, struct error *error)
{
    const char *values[] = {PQgetvalue(outcomes->rows, row, FAILED_POSITION),
                            PQgetvalue(outcomes->rows, row, FAILED_OFFSET),
                            PQgetvalue(outcomes->rows, row, FAILED_SPACE)};
    PGresult *result = NULL;
    if (pg_query(outcomes->conn, statement("retried_event"), 3, values, &result, error) != 0)
        return -1;
    int parked = *PQgetvalue(result, 0, 0) == 't';
    *ret_moved = 1;
    if (!parked && PQgetisnull(result, 0, 1))
        note_outcome(outcomes, row, "applied", NULL, NULL);
    else if (!parked)
        note_outcome(outcomes, row, "failed, a dead letter now", PQgetvalue(result, 0, 1), NULL);
    else if (pg_int(result, 0, 2) > pg_int(outcomes->rows, row, FAILED_ATTEMPTS))
        note_outcome(outcomes, row, "failed", PQgetvalue(result, 0, 3), NULL);
    else
        *ret_moved = 0;
    PQclear(result);
    return 0;
}

static int find_item(const struct outcomes *outcomes, const char *id)
{
    for (int i = outcomes->first; i < outcomes->decided; i++)
        if (!outcomes->items[i].known && strcmp(outcomes->items[i].id, id) == 0)
            return i;
    return -1;
}

static void take_outcome(struct outcomes *outcomes, const PGresult *result, int i, int *ret_moved)
{
    int row = find_item(outcomes, PQgetvalue(result, i, 0));
    if (row < 0)
        return;
    if (strcmp(PQgetvalue(result, i, 1), "retried") == 0) {
        outcomes->items[row].retried = 1;
        return;
    }
    note_outcome(outcomes, row, PQgetvalue(result, i, 1),
                 PQgetisnull(result, i, 2) ? NULL : PQgetvalue(result, i, 2),
                 PQgetisnull(result, i, 3) ? NULL : PQgetvalue(result, i, 3));
    *ret_moved = 1;
}

int outcomes_poll(struct outcomes *outcomes, int *ret_moved, struct error *error)
{
    struct buf ids = {0};
    PGresult *result = NULL;
    int asked = 0;
    int code = 0;
    *ret_moved = 0;
    buf_put_text(&ids, "{");
    for (int i = outcomes->first; i < outcomes->decided; i++)
        if (!outcomes->items[i].known && !outcomes->items[i].retried)
            buf_printf(&ids, "%s%s", asked++ ? "," : "", outcomes->items[i].id);
    buf_put_text(&ids, "}");
    const char *values[] = {buf_text(&ids)};
    if (asked)
        code = pg_query(outcomes->conn, statement("decision_outcomes"), 1, values, &result, error);
    for (int i = 0; code == 0 && i < PQntuples(result); i++)
        take_outcome(outcomes, result, i, ret_moved);
    PQclear(result);
    buf_free(&ids);
    for (int i = outcomes->first; code == 0 && i < outcomes->decided; i++) {
        int moved = 0;
        if (outcomes->items[i].retried && !outcomes->items[i].known)
            code = poll_retried(outcomes, i, &moved, error);
        *ret_moved |= moved;
    }
    while (outcomes->first < outcomes->decided && outcomes->items[outcomes->first].known)
        outcomes->first++;
    return code;
}

static void print_sum(struct outcomes *outcomes, int waited)
{
    int open = outcomes->decided - outcomes->known;
    int left = outcomes->count - outcomes->decided;
    if (outcomes->format == OUTPUT_JSON) {
        print_json(json_pack("{s:s, s:O, s:i, s:i, s:i, s:i}", "verdict", outcomes->verdict,
                             "decisions", outcomes->report, "succeeded",
                             outcomes->known - outcomes->failed, "failed", outcomes->failed,
                             "without_outcome", open, "not_decided", left));
        return;
    }
    if (outcomes->format == OUTPUT_JSONL || outcomes->count == 1)
        return;
    printf("%d of %d decided", outcomes->decided, outcomes->count);
    if (waited)
        printf(": %d as wanted, %d not, %d without an outcome so far",
               outcomes->known - outcomes->failed, outcomes->failed, open);
    putchar('\n');
}

/* Whoever should have carried it out. */
static void explain_silence(const struct outcomes *outcomes, int open, struct error *error)
{
    PGresult *result = NULL;
    char why[256] = "the processor runs, but has not come to it yet; look at its log";
    if (load_unattended(outcomes, &result, NULL) == 0 && PQntuples(result) > 0) {
        const char *name = PQgetvalue(result, 0, 0);
        if (PQgetisnull(result, 0, 1))
            snprintf(why, sizeof why, "no process runs %.40s (`weir process %.40s` does)", name,
                     name);
        else
            snprintf(why, sizeof why, "%.40s is halted (`weir processor resume %.40s`)", name,
                     name);
    }
    PQclear(result);
    error_set(error, ERROR_RETRY, "no-outcome",
              "%d decided, but not carried out yet: %s. The decision stays; the same command waits "
              "for it again",
              open, why);
}

int outcomes_finish(struct outcomes *outcomes, int waited, struct error *error)
{
    int open = outcomes->decided - outcomes->known;
    int left = outcomes->count - outcomes->decided;
    print_sum(outcomes, waited);
    if (!waited) {
        if (outcomes->format == OUTPUT_TEXT)
            puts("decided; what comes of it shows in `weir dead-letters show` and the table "
                 "weir.decision");
        return EXIT_OK;
    }
    if (outcomes->failed > 0 && left > 0)
        error_set(error, ERROR_RETRY, "stopped", "stopped at the first failure; %d not decided",
                  left);
    else if (outcomes->failed > 0)
        error_set(error, ERROR_RETRY, "failed", "not everything came out as wanted");
    else if (open > 0)
        explain_silence(outcomes, open, error);
    return outcomes->failed || open ? EXIT_FAILED : EXIT_OK;
}
