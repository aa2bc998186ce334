/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of weir.generation: which generations of a processor there are beside the live one, and
 * how far the one in work has come. */
#ifndef WEIR_REBUILD_GENERATION_H
#define WEIR_REBUILD_GENERATION_H

#include "lib/pg/pg.h"
#include "processors/definition/install.h"
#include "processors/rebuild/stage.h"

struct generation {
    int number;
    int version;
    int indexed; /* its indexes are there, and apply.sql works in it batch by batch */
    int resumed; /* it was begun before */
    enum stage_state stage;
    int sets; /* of its stage */
    struct installed installed;
};

/* The application_name of sessions of followers (follow.h). */
#define FOLLOWER_SESSION "weir follow"

/* Until it ends, this session is the only one that folds into generations of the processor
 * beside the live one. It waits for a follower, which has the lock for moments. A follower that
 * keeps the lock, because its process is frozen, loses its session. Errors: ERROR_USAGE
 * "rebuild-running" says who does. */
int generation_lock(PGconn *conn, const char *processor, struct error *error);

/* The same for a follower: without waiting, and until it gives the lock back. */
int generation_try_lock(PGconn *conn, const char *processor, int *ret_taken, struct error *error);
void generation_unlock(PGconn *conn, const char *processor);

/* The live generation. Errors: ERROR_USAGE "not-migrated". */
int generation_live(PGconn *conn, const struct processor *processor, struct generation *ret_live,
                    struct error *error);

/* Creates the next generation, with a stage of `sets` sets, or without one when that is 0; or finds
 * the one that an earlier run of the same SQL began. One that other SQL began, or whose stage is
 * lost, is dropped. */
int generation_begin(PGconn *conn, const struct processor *processor, int sets,
                     struct generation *ret_next, struct error *error);

/* The generation that was live before, for a rollback. Errors: ERROR_USAGE "no-previous", and
 * "version-changed" when another build made it. */
int generation_previous(PGconn *conn, const struct processor *processor,
                        struct generation *ret_previous, struct error *error);

/* Adds the indexes, with parallel helpers, or `quietly` without, beside a live processor. Ends the
 * stage. */
int generation_index(PGconn *conn, const struct processor *processor, struct generation *generation,
                     int quietly, struct error *error);

/* So that its first readers get plans that fit. */
int generation_analyze(PGconn *conn, const struct generation *generation, struct error *error);

/* What `weir rebuild --status` shows. Fields that are NULL or -1 stay. */
int generation_note(PGconn *conn, const char *processor, int number, const char *state,
                    const char *phase, int64_t done, int64_t total, int64_t rate,
                    struct error *error);

/* Drops the one that a rebuild began and did not make live. Errors: ERROR_USAGE "no-rebuild". */
int generation_abandon(PGconn *conn, const char *processor, struct generation *ret_dropped,
                       int64_t *ret_records, struct error *error);
/* Drops one in a transaction, with its tables and positions, and all rows that refer to those. */
int generation_drop(PGconn *conn, const char *processor, int number, struct error *error);
/* Drops those that were live before. Errors: ERROR_USAGE "views-depend" names what others built on
 * their tables. */
int generation_drop_previous(PGconn *conn, const char *processor, int *ret_count,
                             struct error *error);

#endif
