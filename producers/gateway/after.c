/* SPDX-License-Identifier: Apache-2.0
 *
 * One thread asks the database about all receipts that are waited for at once, every few
 * milliseconds while there are any, so that many waiting reads cost no more than one. A position
 * moves in the transaction that writes the rows: once it is seen, a read that starts sees them. */
#include "producers/gateway/after.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/json_text.h"
#include "lib/base/log.h"
#include "lib/base/timestamp.h"
#include "lib/pg/pg.h"
#include "producers/gateway/ends.h"

enum {
    ASK_INTERVAL_US = 4000,
    ARRAYS = 5,
    DOUBT_AFTER_US = 100000 /* healthy processors have applied an event by then */
};

/* What became of one receipt with one processor. */
static const char ASK[] = "SELECT number, processor, next_offset, outcome "
                          "FROM weir.receipt_outcome($1, $2, $3, $4, $5)";
enum { COLUMN_NUMBER, COLUMN_PROCESSOR, COLUMN_NEXT_OFFSET, COLUMN_OUTCOME };

struct after {
    struct after_options options;
    struct query_session *session;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under the lock. */
    struct read *arrived;
    int count;       /* with those that the thread has */
    atomic_int stop; /* set under the lock; a session looks at it without */
};

/* What is known of one waiting read after asking. */
struct verdict {
    int behind;
    int parked;
    int dead;
    struct buf places; /* where each processor is, as JSON */
};

static void put_arrays(struct read *const *waiting, int count, struct buf arrays[ARRAYS])
{
    for (int i = 0; i < ARRAYS; i++)
        buf_put_u8(&arrays[i], '{');
    int number = 0;
    for (int i = 0; i < count; i++)
        for (size_t r = 0; r < waiting[i]->receipt_count; r++) {
            const struct receipt *receipt = &waiting[i]->receipts[r];
            const struct query *query = waiting[i]->query;
            const char *comma = number++ ? "," : "";
            buf_printf(&arrays[0], "%s\"", comma);
            for (size_t k = 0; k < query->read_count; k++)
                buf_printf(&arrays[0], "%s%s", k ? "," : "", query->reads[k]);
            buf_put_u8(&arrays[0], '"');
            buf_printf(&arrays[1], "%s\"%s\"", comma, receipt->topic);
            buf_printf(&arrays[2], "%s%d", comma, receipt->partition);
            buf_printf(&arrays[3], "%s%lld", comma, (long long)receipt->offset);
            buf_printf(&arrays[4], "%s%s", comma, waiting[i]->space);
        }
    for (int i = 0; i < ARRAYS; i++)
        buf_put_u8(&arrays[i], '}');
}

static void note(struct verdict *verdict, const struct receipt *receipt, const PGresult *result,
                 int row)
{
    const char *outcome = PQgetvalue(result, row, COLUMN_OUTCOME);
    verdict->behind += strcmp(outcome, "behind") == 0;
    verdict->parked += strcmp(outcome, "parked") == 0;
    verdict->dead += strcmp(outcome, "dead-lettered") == 0;
    struct buf *out = &verdict->places;
    buf_put_text(out, out->size ? ",{" : ",\"processors\":[{");
    json_text_member(out, "processor", PQgetvalue(result, row, COLUMN_PROCESSOR));
    json_text_member(out, "topic", receipt->topic);
    json_text_number(out, "partition", receipt->partition);
    json_text_number(out, "offset", receipt->offset);
    json_text_number(out, "next_offset", pg_int(result, row, COLUMN_NEXT_OFFSET));
    json_text_member(out, "outcome", outcome);
    buf_put_text(out, "}");
}

/* Whether one of its events is not in the log at all. */
static int is_beyond(struct after *after, const struct read *read)
{
    int beyond = 0;
    for (size_t i = 0; i < read->receipt_count; i++) {
        const struct receipt *receipt = &read->receipts[i];
        beyond |= ends_is_beyond(after->options.ends, receipt->topic, receipt->partition,
                                 receipt->offset, read->started_us);
    }
    return beyond;
}

/* Ends the wait of a read if there is a reason to. Returns 1 when it has. */
static int end_wait(struct after *after, struct read *read, struct verdict *verdict)
{
    int64_t now_us = monotonic_now_us();
    int over = now_us >= read->wait_until_us;
    if (verdict->places.size > 0)
        buf_put_text(&verdict->places, "]");
    const char *places = verdict->places.size > 0 ? buf_text(&verdict->places) : NULL;
    if (verdict->dead)
        read_problem_with(read, PROBLEM_DEAD_LETTERED, places,
                          "the event is a dead letter and is not in this answer");
    else if (verdict->parked)
        read_problem_with(read, PROBLEM_PARKED, places,
                          "the event is parked: it waits for a retry or for another event");
    else if (!verdict->behind)
        after->options.on_applied(read, after->options.context);
    else if (now_us - read->started_us > DOUBT_AFTER_US && is_beyond(after, read))
        read_problem_with(read, PROBLEM_RECEIPT_BEYOND, places,
                          "the log of the topic ends before this offset");
    else if (over)
        read_problem_with(read, PROBLEM_NOT_APPLIED, places, "the event is not applied yet");
    else
        return 0;
    return 1;
}

/* Returns how many still wait; they are moved to the front. */
static int end_waits(struct after *after, struct read **waiting, int count, const PGresult *result)
{
    int left = 0;
    int number = 0; /* of receipts before this read's */
    int row = 0;
    for (int i = 0; i < count; i++) {
        struct read *read = waiting[i];
        struct verdict verdict = {0};
        int end = number + (int)read->receipt_count;
        for (; row < PQntuples(result) && pg_int(result, row, COLUMN_NUMBER) <= end; row++) {
            int64_t index = pg_int(result, row, COLUMN_NUMBER) - number - 1;
            note(&verdict, &read->receipts[index], result, row);
        }
        number = end;
        if (!end_wait(after, read, &verdict))
            waiting[left++] = read;
        buf_free(&verdict.places);
    }
    return left;
}

/* Until the first wait is over, and a moment longer: it has to be answered then. */
static struct pg_limit limit_of(const struct after *after, struct read *const *waiting, int count)
{
    int64_t now_us = monotonic_now_us();
    int64_t until_us = now_us + after->options.timeout_ms * 1000;
    for (int i = 0; i < count; i++)
        if (waiting[i]->wait_until_us < until_us)
            until_us = waiting[i]->wait_until_us;
    return (struct pg_limit){.deadline_us =
                                 (until_us > now_us ? until_us : now_us) + QUERY_GRACE_MS * 1000,
                             .stop = &after->stop};
}

static int ask(struct after *after, struct read **waiting, int count, PGresult **ret_result,
               struct error *error)
{
    struct buf arrays[ARRAYS] = {0};
    const char *values[ARRAYS];
    struct pg_limit limit = limit_of(after, waiting, count);
    if (!after->session &&
        query_session_open(after->options.conninfo, after->options.queries,
                           after->options.timeout_ms, &limit, &after->session, error) != 0)
        return -1;
    put_arrays(waiting, count, arrays);
    for (int i = 0; i < ARRAYS; i++)
        values[i] = buf_text(&arrays[i]);
    int code = query_session_ask(after->session, ASK, ARRAYS, values, &limit, ret_result, error);
    for (int i = 0; i < ARRAYS; i++)
        buf_free(&arrays[i]);
    if (query_session_lost(after->session)) {
        query_session_free(after->session);
        after->session = NULL;
    }
    return code;
}

/* Asks once about all of them, again when the session had been lost in the meantime. */
static int round_of(struct after *after, struct read **waiting, int count)
{
    struct error error = {0};
    PGresult *result = NULL;
    int fresh = !after->session;
    int code = ask(after, waiting, count, &result, &error);
    if (code != 0 && !after->session && !fresh && strcmp(error.code, PG_NO_ANSWER) != 0)
        code = ask(after, waiting, count, &result, &error);
    if (code == 0) {
        int left = end_waits(after, waiting, count, result);
        PQclear(result);
        return left;
    }
    if (error.class != ERROR_RETRY)
        log_error("reads: asking about receipts: %s", error.message);
    int silent = strcmp(error.code, PG_NO_ANSWER) == 0;
    int left = 0;
    if (strcmp(error.code, PG_STOPPED) == 0)
        return count;
    for (int i = 0; i < count; i++)
        if (silent && monotonic_now_us() < waiting[i]->wait_until_us)
            waiting[left++] = waiting[i];
        else
            read_problem(waiting[i], PROBLEM_DATABASE_AWAY, "reads are not possible at the moment");
    return left;
}

static int count_of_space(struct read *const *waiting, int count, const char *space)
{
    int same = 0;
    for (int i = 0; i < count; i++)
        same += strcmp(waiting[i]->space, space) == 0;
    return same;
}

/* Fetches what has arrived, waiting for it when there is nothing, else for the next round. */
static int collect(struct after *after, struct read **waiting, int left, int *ret_stop)
{
    pthread_mutex_lock(&after->lock);
    after->count = left;
    if (left > 0 && !after->stop && !after->arrived) {
        int64_t until_us = monotonic_now_us() + ASK_INTERVAL_US;
        struct timespec until = {.tv_sec = until_us / 1000000,
                                 .tv_nsec = until_us % 1000000 * 1000};
        pthread_cond_timedwait(&after->wake, &after->lock, &until);
    }
    while (left == 0 && !after->stop && !after->arrived)
        pthread_cond_wait(&after->wake, &after->lock);
    struct read *arrived = after->arrived;
    struct read *full = NULL;
    after->arrived = NULL;
    while (arrived) {
        struct read *read = arrived;
        arrived = read->next;
        if (count_of_space(waiting, left, read->space) < READ_WAITING_OF_SPACE_MAX) {
            waiting[left++] = read;
        } else {
            read->next = full;
            full = read;
        }
    }
    after->count = left;
    *ret_stop = after->stop;
    pthread_mutex_unlock(&after->lock);
    while (full) {
        struct read *next = full->next;
        read_problem(full, PROBLEM_READS_FULL, "%d reads of this Space wait for events already",
                     READ_WAITING_OF_SPACE_MAX);
        full = next;
    }
    return left;
}

static void *watch(void *context)
{
    struct after *after = context;
    struct read **waiting = xcalloc(READ_WAITING_MAX, sizeof(struct read *));
    int left = 0;
    int stop = 0;
    while (!stop) {
        left = collect(after, waiting, left, &stop);
        if (!stop)
            left = round_of(after, waiting, left);
    }
    for (int i = 0; i < left; i++)
        read_problem(waiting[i], PROBLEM_SHUTTING_DOWN, "ask another gateway");
    free(waiting);
    query_session_free(after->session);
    return NULL;
}

void after_submit(struct after *after, struct read *read)
{
    pthread_mutex_lock(&after->lock);
    int stop = after->stop;
    int full = after->count >= READ_WAITING_MAX;
    if (!stop && !full) {
        after->count++;
        read->next = after->arrived;
        after->arrived = read;
        pthread_cond_signal(&after->wake);
    }
    pthread_mutex_unlock(&after->lock);
    if (stop)
        read_problem(read, PROBLEM_SHUTTING_DOWN, "ask another gateway");
    else if (full)
        read_problem(read, PROBLEM_READS_FULL, "%d reads wait for events already",
                     READ_WAITING_MAX);
}

int after_start(const struct after_options *options, struct after **ret_after, struct error *error)
{
    struct after *after = xcalloc(1, sizeof *after);
    pthread_condattr_t clock;
    after->options = *options;
    pthread_mutex_init(&after->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&after->wake, &clock);
    pthread_condattr_destroy(&clock);
    if (pthread_create(&after->thread, NULL, watch, after) != 0) {
        after->stop = 1;
        after_free(after);
        return error_set(error, ERROR_FATAL, "thread", "cannot start the threads for reads");
    }
    *ret_after = after;
    return 0;
}

void after_stop(struct after *after)
{
    if (!after)
        return;
    pthread_mutex_lock(&after->lock);
    int stopped = after->stop;
    after->stop = 1;
    pthread_cond_signal(&after->wake);
    pthread_mutex_unlock(&after->lock);
    if (!stopped)
        pthread_join(after->thread, NULL);
}

void after_free(struct after *after)
{
    if (!after)
        return;
    after_stop(after);
    pthread_cond_destroy(&after->wake);
    pthread_mutex_destroy(&after->lock);
    free(after);
}
