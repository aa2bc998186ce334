/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the engine share. One thread owns all of it.
 *
 * An engine is attached or not. Attached, it holds positions under an epoch and Kafka delivers
 * their partitions. Whatever goes wrong (Postgres or Kafka away, fenced, halted, a rebalance) it
 * detaches: batches are dropped, nothing is consumed, group membership is kept. Attaching claims
 * the partitions anew and reads each anchor again, so that there is one way back from everything.
 */
#ifndef WEIR_ENGINE_INTERNAL_H
#define WEIR_ENGINE_INTERNAL_H

#include <librdkafka/rdkafka.h>

#include "processors/definition/install.h"
#include "processors/engine/breaker.h"
#include "processors/engine/engine.h"
#include "processors/fold/session.h"
#include "processors/fold/slicing.h"

enum {
    BACKOFF_FIRST_MS = 50, /* after a failure that may pass; doubles up to BACKOFF_MAX_MS */
    BACKOFF_MAX_MS = 2000,
    FENCED_PAUSE_MS =
        3000, /* after another owner took over: two owners must not take turns in haste */
    ASIDE_PAUSE_MS = 2000,  /* how often one of another version looks whether its own is back */
    HALTED_PAUSE_MS = 1000, /* how often a halted processor looks whether it was resumed */
    IDLE_WAIT_MS = 100,     /* longest sleep of the loop */
    GROW_WAIT_MS = 5,
    METADATA_TIMEOUT_MS = 5000,
    REVOKE_WAIT_MS = 20000,   /* how long a rebalance or a shutdown waits for the batch under way */
    OWNER_INTERVAL_MS = 2000, /* how often an idle owner looks whether it still is one */
    HINT_INTERVAL_MS = 1000,  /* how often Kafka learns the positions, for lag tools */
    LAG_INTERVAL_MS = 2000,   /* how often Kafka is asked for the lag while nothing is consumed */
    LAG_TIMEOUT_MS = 1000,    /* and how long each of two answers may take */
    LOOK_UP_INTERVAL_MS = 2000, /* how often an unknown schema id is looked up again */
    POLL_GRACE_MS =
        30000, /* without a poll beyond the longest wait; then Kafka takes the partitions */
    POLL_SPARE_MS = 10000, /* with no room a record is taken so often, which is a poll */
    SPARE_RECORDS = 1000,  /* room for these */
    BACKLOG_AGE_MS = 1000, /* records older than this are a backlog: batches may grow */
    RESENDS_MAX = 5,       /* of a slice that another transaction was in the way of */
    RESEND_PAUSE_MS = 20,  /* longest pause before, drawn */
    SEARCH_MAX = 64,       /* events that are tried one by one in one call */
    FAILED_RUN_MAX = 64,   /* events in a row that fail and are parked by one call */
    PARKED_LOG_INTERVAL_MS = 1000,
    DRAIN_ROWS_MAX = 1000,      /* parked events in one batch */
    DRAIN_BYTES_MAX = 32 << 20, /* and their bytes; one event may be larger */
    DUE_MAX = 64,               /* Spaces that are looked up in one go */
    DUE_INTERVAL_MS =
        100,          /* how often it is looked which Spaces are due, while some are held back */
    STORM_MS = 10000, /* of a storm, after the last search of which most has failed */
    STORM_BATCH_MAX = 1000, /* events of a live batch; larger ones are a backlog */
    TRUSTED_MAX = 100000, /* Spaces of which an event was applied lately; then they are forgotten */
    DRAIN_SEARCH_MAX = 4, /* Spaces whose first events are tried in one call */
    DRAIN_LOCK_SHARE = 5, /* pause of a Space that a lock was in the way of, in lock-timeouts */
    DRAIN_DEADLOCK_MS = 100,
    DRAIN_SCHEMA_MS = 5000,  /* pause of a Space whose events have an unknown schema */
    DRAIN_SHARE_MS = 2,      /* draining between two batches of new records */
    DECIDE_INTERVAL_MS = 500 /* how often decisions are looked for */
};

struct engine_metrics {
    struct metric_series *events, *duplicates, *dead_letters, *batches, *failures, *rebalances,
        *batch_rows, *apply_time, *latency, *misplaced, *halted, *attached, *aside, *waiting,
        *parked, *known, *known_bytes;
    struct metric *lag;
};

/* A Space whose parked events are to be tried. */
struct due {
    uint32_t position; /* index */
    struct uuid space_id;
    enum {
        DUE_ANY,   /* its first event may be searched with those of others */
        DUE_ALONE, /* by itself */
        DUE_DONE   /* it failed again, which is recorded */
    } state;
};

/* Another version is live. */
enum aside {
    ASIDE_NOT,
    ASIDE_FOLLOWS, /* the generation of this one is kept for a rollback */
    ASIDE_ALONE    /* there is none any more */
};

struct parked_headers;

/* What is under way with parked events. */
struct drain {
    struct batch *batch;
    PGresult *rows; /* its records; NULL when nothing is under way */
    struct parked_headers *headers;
    struct buf failed; /* those that failed again, as a JSON array under way */
    struct due due[DUE_MAX];
    struct due
        *taken; /* the Spaces under way, in `due`; of several the first events are searched */
    size_t taken_count;
    size_t due_next, due_count;
    int64_t find_at_us, look_up_at_us, began_us;
    int64_t spent_us; /* since the last batch of new records */
};

struct engine {
    const struct config *config;
    const struct processor *processor;
    const atomic_int *stop;
    struct health *health;
    struct engine_metrics metrics;
    char *check;                 /* name of the health check */
    size_t index, session_count; /* of the sessions of this processor, here */
    char session_name[24];       /* from 1 on */
    struct installed installed;

    rd_kafka_t *kafka;
    rd_kafka_queue_t *queue;
    int wake_fd;
    rd_kafka_topic_partition_list_t *group; /* what the group gave this member; NULL: nothing yet */

    struct session *session; /* NULL: none is open */
    int past_known; /* by the database of this session, which cannot become another one meanwhile */
    struct decoder *decoder;

    struct positions positions; /* only while attached */
    int drained;                /* the consumer's queue was empty when it was read last */
    int attached;
    int64_t attach_at_us; /* monotonic: not before */
    int64_t backoff_ms;
    int halted;
    int joined;   /* the group, or with force-partitions has them all */
    int fitted;   /* build and database fitted at least once, or it stood aside */
    int previous; /* generation of this build that a rollback would go to; 0: none, or it is live */
    enum aside aside;

    size_t rows_max;
    int64_t bytes_max;
    int64_t age_max_us;
    struct batch *filling;
    struct batch *applying;
    struct batch *current; /* the one that the slice is of: applying, or that of the drain */
    int64_t polled_us;
    struct error failure; /* of the last call that was refused */
    struct slicing slicing;
    /* In flight is a search from this entry on to the end of the slice (search.c). */
    int searching;
    size_t search_open;
    int search_untried; /* some of what it tries never were */
    struct parked *parked;
    struct skips *skips;
    struct drain drain;
    int64_t decide_at_us;
    struct breaker breaker;
    int64_t storm_until_us;  /* most of what was searched has failed */
    struct idtable *trusted; /* Spaces of which an event was applied lately */
    int64_t parked_said_us, postponed_said_us, storm_said_us;
    int parked_unsaid;

    int64_t hinted_us;
    int64_t lag_asked_us;
    int64_t owner_checked_us;
    int64_t pruned_us;
    int64_t look_up_at_us;
    int waiting;        /* partitions that wait for a schema id */
    int misplaced_said; /* the first record in a wrong partition was logged */
};

static inline PGconn *conn_of(const struct engine *engine)
{
    return session_conn(engine->session);
}

/* What was sent last, of engine->current. */
static inline const struct slice *slice_of(const struct engine *engine)
{
    return session_slice(engine->session);
}

static inline int is_busy(const struct engine *engine)
{
    return session_is_busy(engine->session);
}

/* What is to be done after a call that was refused, or a search. */
enum next {
    NEXT_RESEND, /* the slice is sent again, by what is known of its entries now */
    NEXT_OTHER   /* nothing: something else was sent, or the batch is over */
};

/* engine.c */

/* Joins the group, or with force-partitions takes all partitions. Errors: ERROR_USAGE. */
int engine_subscribe(struct engine *engine, struct error *error);

/* The next attachment opens another one. */
void engine_close_session(struct engine *engine);

/* metrics.c */

/* Registers the engine's metrics. */
void metrics_of_engine(struct engine *engine, struct metrics *metrics);

/* attach.c */

/* Registers the rebalance callback with `conf`; the engine is its opaque. */
void attach_register(rd_kafka_conf_t *conf);
/* Connects, claims and assigns if it is time to. Returns -1 only for ERROR_USAGE. */
int attach_try(struct engine *engine, struct error *error);
/* Drops batches and assignment and sets when to try again. */
void attach_detach(struct engine *engine, int64_t pause_ms);
/* Keeps the claim but has Kafka deliver all partitions again, from their positions on. Frees the
 * positions when that fails. */
void attach_restart(struct engine *engine);
/* After a failure: detaches with growing pauses; gives the connection up when it is broken. */
void attach_recover(struct engine *engine, const struct error *error);

/* halt.c */

/* Stops the processor until a person resumes it. `position` and `entry` are the guilty record, or
 * NULL. */
void halt(struct engine *engine, const struct error *error, const struct position *position,
          const struct entry *entry);
/* The same, at a record that is not in a batch. */
void halt_at(struct engine *engine, const struct error *error, const struct position *position,
             int64_t offset);
/* Returns 1 while a row of weir.halt says that the processor is to stay stopped, -1 on an error. */
int halt_check(struct engine *engine, struct error *error);

/* session.c */

/* Connects and prepares; sets engine->session. Errors: ERROR_USAGE when build and database do not
 * fit; "version-changed" when another version is live: then engine->previous is set. */
int engine_open_session(struct engine *engine, struct error *error);

/* fetch.c */

/* Looks up the schema ids that partitions wait for, when it is time to and nothing is in flight. */
void fetch_look_up(struct engine *engine);
/* Whether a partition waits at a record that is to be skipped. */
int fetch_waits_for_skipped(const struct engine *engine);

/* Takes what has arrived into the filling batch, without waiting. */
void fetch_some(struct engine *engine);
int fetch_is_full(const struct engine *engine);

/* apply.c */

/* Starts applying the filling batch, if there is something in it and nothing in flight. */
void apply_start(struct engine *engine);
/* Takes results that have arrived. */
void apply_poll(struct engine *engine);
/* Reads what Postgres says although nothing is in flight: that it goes away. A crash takes the last
 * commits back, so that what was applied must be read again although no new record comes. */
void apply_watch(struct engine *engine);
/* Waits for the call in flight, at most `timeout_ms`. */
void apply_wait(struct engine *engine, int64_t timeout_ms);
/* Starts applying a batch: the one that was filled, or parked events. */
void apply_batch(struct engine *engine, struct batch *batch);
/* Whether new records wait. */
int apply_is_behind(const struct engine *engine);
/* After a failure that no event causes. */
void apply_fail(struct engine *engine, const struct error *error);

/* park.c */

/* Tells the breaker that the entry failed by itself. Returns whether the processor was halted,
 * because it is not the events, or because too many Spaces would be held back. */
int park_halts(struct engine *engine, const struct entry *entry, const char *message);
/* Tells the breaker that an event which failed becomes a dead letter. */
void park_set_aside(struct engine *engine, const char *message);
/* Marks an entry of the batch that fails, so that it is parked when it is sent again, or set aside
 * when one attempt is all it has. Returns -1 when the processor was halted instead. */
int park_mark(struct engine *engine, struct entry *entry, const char *code, const char *message);
/* Parks an entry of the batch that fails. */
enum next park_entry(struct engine *engine, size_t index, const char *code, const char *message);
/* Parks what screen.sql takes out. */
enum next park_screened(struct engine *engine);

/* storm.c */

/* The slice was applied: notes its Spaces. */
void storm_trust(struct engine *engine);
/* A search has ended of events that were not tried before. */
void storm_searched(struct engine *engine, size_t failed, size_t tried);
/* During a storm marks the Spaces to be parked untried, from an entry to the end of the current
 * batch. Returns whether there were any. */
int storm_hold_back(struct engine *engine, size_t from);

/* search.c */

/* Whether events cause a failure, and may be searched for one by one: their data, or
 * that one is too big; not that all together are slow or want too much memory. */
int search_helps(const struct error *error);
/* Has the entries of the slice from `open` on tried one by one, if they are few enough and were not
 * before. Returns whether it was sent. */
int search_start(struct engine *engine, size_t open);
/* Has all of the drain's batch tried one by one. Returns whether it was sent. `untried`: some never
 * were, and may be duplicates. */
int search_drain(struct engine *engine, int untried);
/* The search has ended: marks what it found. */
enum next search_finish(struct engine *engine);

/* drain.c */

/* Makes and frees what parking needs; after the batches were made. */
void drain_init(struct engine *engine);
void drain_free(struct engine *engine);
/* Reads which Spaces are held back in the partitions that were just claimed. */
int drain_load(struct engine *engine, struct error *error);
/* Prepares what is asked again and again, in a session that is being opened. */
int drain_prepare(PGconn *conn, struct error *error);
/* Tries the parked events of a Space whose turn it is, if nothing is in flight. */
void drain_start(struct engine *engine);
/* Whether it would start on one now. */
int drain_is_due(const struct engine *engine);
/* The batch of the drain is applied. */
void drain_finish(struct engine *engine);
/* The event of that row failed. Returns -1 when the processor was halted. */
int drain_mark(struct engine *engine, size_t row, const char *code, const char *message);
/* Records what was marked, if anything, and ends what is under way: the other Spaces that were
 * taken go on one by one. */
void drain_record(struct engine *engine);
/* The event of that row is all that failed. */
void drain_fail(struct engine *engine, size_t row, const char *code, const char *message);
/* Nothing is wrong with the events, but they cannot be tried now: other Spaces go on. */
void drain_postpone(struct engine *engine, const struct error *reason, int64_t pause_ms);
/* Ends what is under way; the Spaces that were taken go on one by one. */
void drain_part(struct engine *engine);
/* Forgets what is under way. */
void drain_drop(struct engine *engine);
/* decisions.c */

/* Prepares what is asked again and again, in a session that is being opened. */
int decisions_prepare(PGconn *conn, struct error *error);
/* Carries out what people decided about partitions that were just claimed, and reads what holds of
 * them: which Spaces are held back, and which records are to be skipped. */
int decisions_load(struct engine *engine, struct error *error);
/* Carries out what people have decided since, when it is time to and nothing is in flight. */
void decisions_poll(struct engine *engine);

/* upkeep.c */

/* Commits the positions to Kafka, as a hint for lag tools, and sets the lag. While nothing is
 * consumed, the lag is what Kafka says: from the last hint to the end of the log. */
void upkeep_hint(struct engine *engine);
/* The partitions were claimed: finds the series of their lag. */
void upkeep_show_lag(struct engine *engine);
/* The group's partitions are not this member's any more: their lag is shown by others. */
void upkeep_hide_lag(struct engine *engine);
/* While idle: sees that the positions are still this owner's. */
void upkeep_check_owner(struct engine *engine);
/* Merges small runs of applied events, and removes what has left the duplicate window. */
void upkeep_prune(struct engine *engine);

#endif
