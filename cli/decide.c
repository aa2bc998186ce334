/* SPDX-License-Identifier: Apache-2.0
 *
 * The first one goes alone. Then as many may be without an outcome as have one, DECIDED_AHEAD at
 * most, so that a failure spoils no more than what went well before. A decision that somebody wrote
 * before and that nobody has taken up yet is waited for, not written twice: the command may be run
 * again after it was interrupted. */
#include "cli/decide.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/decide_outcome.h"
#include "lib/base/timestamp.h"
#include "lib/pg/statement.h"

enum {
    DECIDED_AHEAD = 500, /* without an outcome, at any time */
    POLL_MS = 50,
    WAIT_DEFAULT_MS = 30000,
    QUESTION_ROWS = 10, /* shown before it is asked */
    BY_SIZE = 64
};

static void user_name(const struct config *config, char ret_name[BY_SIZE])
{
    const struct passwd *user = getpwuid(getuid());
    if (*config_text(config, OPT_BY))
        snprintf(ret_name, BY_SIZE, "%s", config_text(config, OPT_BY));
    else if (user)
        snprintf(ret_name, BY_SIZE, "%s", user->pw_name);
    else
        snprintf(ret_name, BY_SIZE, "uid %d", (int)getuid());
}

int decide_check(const struct decide *decide, struct error *error)
{
    int needed = strcmp(decide->verdict, "discard") == 0 || strcmp(decide->verdict, "patch") == 0 ||
                 strcmp(decide->verdict, "skip") == 0;
    if (needed && !*config_text(decide->config, OPT_REASON))
        return error_set(error, ERROR_USAGE, "bad-option",
                         "a %s needs --reason TEXT: it is kept for ever, and the event is not "
                         "applied",
                         decide->verdict);
    return 0;
}

/* What a dead letter is in the end, when it is decided about in this way. */
static const char *final_status(const struct decide *decide)
{
    return !strcmp(decide->verdict, "redrive")   ? "redriven"
           : !strcmp(decide->verdict, "discard") ? "discarded"
                                                 : "patched";
}

/* Why a row cannot be decided about in this way, or NULL. A redrive under way is waited for. */
static const char *obstacle(const struct decide *decide, const PGresult *rows, int row)
{
    const char *status = PQgetvalue(rows, row, FAILED_STATUS);
    if (decide->kind == FAILED_DEAD_LETTERS) {
        if (!strcmp(status, "redriving") && !strcmp(decide->verdict, "redrive"))
            return NULL;
        if (strcmp(status, "open") != 0)
            return strcmp(status, final_status(decide)) ? "it is not open any more"
                                                        : "it is settled in that way already";
        if (!strcmp(decide->verdict, "redrive") && PQgetisnull(rows, row, FAILED_SPACE))
            return "its key names no Space, so it can never be applied";
    } else if (strcmp(decide->verdict, "retry") == 0) {
        if (strcmp(status, "waiting") == 0)
            return "it waits behind the first parked event of its Space; only that one can be "
                   "tried";
        if (strcmp(status, "blocked") == 0)
            return "its Space waits for a decision about a dead letter";
    }
    return NULL;
}

/* Copies the rows that can be decided about into a result of their own. */
static PGresult *keep_decidable(const struct decide *decide, const PGresult *rows,
                                int *ret_all_done)
{
    PGresult *kept = PQcopyResult(rows, PG_COPYRES_ATTRS);
    int to = 0;
    *ret_all_done = 1;
    for (int i = 0; i < PQntuples(rows); i++) {
        const char *why = obstacle(decide, rows, i);
        char name[512];
        failed_name(rows, i, name, sizeof name);
        if (why) {
            fprintf(stderr, "%s is left out: %s\n", name, why);
            if (strcmp(PQgetvalue(rows, i, FAILED_STATUS), final_status(decide)) != 0)
                *ret_all_done = 0;
            continue;
        }
        for (int column = 0; column < FAILED_COLUMNS; column++) {
            int null = PQgetisnull(rows, i, column);
            PQsetvalue(kept, to, column, null ? NULL : PQgetvalue(rows, i, column),
                       null ? -1 : PQgetlength(rows, i, column));
        }
        to++;
    }
    return kept;
}

int decide_load(const struct decide *decide, PGresult **ret_rows, int *ret_count,
                struct error *error)
{
    static struct failed_choice choice; /* too large for a stack frame */
    PGresult *rows = NULL;
    int64_t max = config_int(decide->config, OPT_MAX);
    if (failed_choose(decide->config, decide->kind, &choice, error) != 0)
        return -1;
    if (!choice.narrow)
        return error_set(error, ERROR_USAGE, "bad-argument",
                         "say which: an id, topic/partition/offset, or options such as --processor "
                         "NAME");
    if (failed_load(decide->conn, &choice, max + 1, &rows, error) != 0)
        return -1;
    if (PQntuples(rows) == 0) {
        PQclear(rows);
        return error_set(error, ERROR_USAGE, "not-found", "there is none like that");
    }
    int more = PQntuples(rows) > max;
    int all_done;
    *ret_rows = keep_decidable(decide, rows, &all_done);
    PQclear(rows);
    *ret_count = PQntuples(*ret_rows);
    if (*ret_count > max)
        *ret_count = (int)max;
    if (*ret_count == 0) {
        PQclear(*ret_rows);
        *ret_rows = NULL;
        if (all_done)
            return 0;
        return error_set(error, ERROR_RETRY, "nothing-to-decide", "nothing is left to decide");
    }
    if (more)
        fprintf(stderr, "there are more than --max %" PRId64 "; the oldest come first\n", max);
    return 0;
}

int decide_confirm(const struct decide *decide, const char *question, struct error *error)
{
    char answer[16] = "";
    if (config_int(decide->config, OPT_YES))
        return 0;
    if (!isatty(STDIN_FILENO))
        return error_set(error, ERROR_USAGE, "not-confirmed",
                         "%s Nobody is there to ask: say --yes to do it", question);
    fprintf(stderr, "%s [y/N] ", question);
    if (fgets(answer, sizeof answer, stdin) && (*answer == 'y' || *answer == 'Y'))
        return 0;
    return error_set(error, ERROR_USAGE, "not-confirmed", "nothing was done");
}

/* Before it acts on more than one. */
static int confirm_rows(const struct decide *decide, const PGresult *rows, int count,
                        struct error *error)
{
    char question[160];
    if (count == 1)
        return 0;
    if (!config_int(decide->config, OPT_YES) && isatty(STDIN_FILENO)) {
        for (int i = 0; i < count && i < QUESTION_ROWS; i++) {
            char name[512];
            failed_name(rows, i, name, sizeof name);
            fprintf(stderr, "  %s %s: %s\n", name,
                    PQgetisnull(rows, i, FAILED_EVENT) ? "-" : PQgetvalue(rows, i, FAILED_EVENT),
                    PQgetisnull(rows, i, FAILED_CODE) ? "-" : PQgetvalue(rows, i, FAILED_CODE));
        }
        if (count > QUESTION_ROWS)
            fprintf(stderr, "  … and %d more\n", count - QUESTION_ROWS);
    }
    snprintf(question, sizeof question, "This is to %s %d %s.", decide->verdict, count,
             decide->kind == FAILED_PARKED ? "parked events" : "dead letters");
    return decide_confirm(decide, question, error);
}

/* Writes a decision, unless the same one is there and not carried out yet. */
static int write_decision(const struct decide *decide, const PGresult *rows, int row,
                          char ret_id[DECISION_ID_SIZE], struct error *error)
{
    char by[BY_SIZE];
    user_name(decide->config, by);
    const char *values[] = {PQgetvalue(rows, row, FAILED_POSITION),
                            PQgetvalue(rows, row, FAILED_OFFSET),
                            failed_text(rows, row, FAILED_SPACE),
                            decide->verdict,
                            decide->replacement_id,
                            by,
                            config_text(decide->config, OPT_REASON)};
    PGresult *result = NULL;
    if (pg_query(decide->conn, statement("decide"), 7, values, &result, error) != 0)
        return -1;
    snprintf(ret_id, DECISION_ID_SIZE, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    return 0;
}

/* How many may be decided by now. The first one goes alone. */
static int allowed(const struct decide *decide, const struct outcomes *outcomes, int64_t since_us)
{
    int64_t rate = config_int(decide->config, OPT_RATE);
    int ahead = outcomes->known < DECIDED_AHEAD ? outcomes->known : DECIDED_AHEAD;
    if (outcomes->failed > 0)
        return 0;
    if (outcomes->known == 0)
        return 1;
    int64_t by_rate = 2 + (monotonic_now_us() - since_us) * rate / 1000000;
    int all = outcomes->known + ahead;
    if (all > by_rate)
        all = (int)by_rate;
    return all < outcomes->count ? all : outcomes->count;
}

static int64_t wait_ms(const struct decide *decide)
{
    return config_is_set(decide->config, OPT_WAIT) ? config_int(decide->config, OPT_WAIT)
                                                   : WAIT_DEFAULT_MS;
}

/* Everything at once, at the rate, and looks at no outcome. */
static int decide_blindly(const struct decide *decide, struct outcomes *outcomes,
                          struct error *error)
{
    int64_t pause_us = 1000000 / config_int(decide->config, OPT_RATE);
    for (int i = 0; i < outcomes->count; i++) {
        if (write_decision(decide, outcomes->rows, i, outcomes->items[i].id, error) != 0)
            return -1;
        outcomes->decided++;
        usleep((useconds_t)pause_us);
    }
    return 0;
}

static int decide_and_wait(const struct decide *decide, struct outcomes *outcomes,
                           struct error *error)
{
    int64_t first_us = 0; /* when the one that goes first had succeeded */
    int64_t moved_us = monotonic_now_us();
    while (outcomes->known < outcomes->decided || allowed(decide, outcomes, first_us) > 0) {
        if (outcomes->known > 0 && first_us == 0)
            first_us = monotonic_now_us();
        for (int to = allowed(decide, outcomes, first_us); outcomes->decided < to;) {
            struct outcome *item = &outcomes->items[outcomes->decided];
            if (write_decision(decide, outcomes->rows, outcomes->decided, item->id, error) != 0)
                return -1;
            outcomes->decided++;
            moved_us = monotonic_now_us();
        }
        int moved = 0;
        if (outcomes_poll(outcomes, &moved, error) != 0)
            return -1;
        if (moved)
            moved_us = monotonic_now_us();
        if (outcomes->known == outcomes->count)
            break;
        if (monotonic_now_us() - moved_us > wait_ms(decide) * 1000)
            break;
        if (!moved)
            usleep(POLL_MS * 1000);
    }
    return 0;
}

int decide_rows(const struct decide *decide, const PGresult *rows, int count, struct error *error)
{
    struct outcomes outcomes = {.conn = decide->conn,
                                .kind = decide->kind,
                                .verdict = decide->verdict,
                                .replacement_id = decide->replacement_id,
                                .format = decide->format,
                                .rows = rows,
                                .count = count,
                                .items = xcalloc((size_t)count, sizeof *outcomes.items)};
    int waits = wait_ms(decide) > 0;
    int code = outcomes_begin(&outcomes, error);
    if (code == 0)
        code = waits ? decide_and_wait(decide, &outcomes, error)
                     : decide_blindly(decide, &outcomes, error);
    int result = EXIT_FAILED;
    if (code == 0)
        result = outcomes_finish(&outcomes, waits, error);
    free(outcomes.items);
    json_decref(outcomes.report);
    return result;
}

int decide_run(const struct decide *decide, struct error *error)
{
    PGresult *rows = NULL;
    int count = 0;
    if (decide_check(decide, error) != 0)
        return EXIT_USAGE;
    if (decide_load(decide, &rows, &count, error) != 0)
        return EXIT_FAILED;
    int result = EXIT_USAGE;
    if (count == 0)
        result = EXIT_OK;
    else if (confirm_rows(decide, rows, count, error) == 0)
        result = decide_rows(decide, rows, count, error);
    PQclear(rows);
    return result;
}
