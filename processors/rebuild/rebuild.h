/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds a generation of a processor beside the live one from the first record on, verifies it, and
 * makes it the live one. The same steps bring a previous generation up to date for a rollback.
 *
 *   fold      all records up to where the live generation is, several workers, no indexes
 *   index     indexes and constraints
 *   follow    what the live generation has dealt with meanwhile, again and again until it is little
 *   verify    both generations at one offset vector, in one snapshot: checks, and equality
 *   swap      the live generation stands still for a moment, the views are replaced
 *
 * The database has all progress: the next run continues one that was killed.
 */
#ifndef WEIR_REBUILD_REBUILD_H
#define WEIR_REBUILD_REBUILD_H

#include <jansson.h>
#include <stdatomic.h>

#include "processors/definition/processor.h"

struct rebuild_progress {
    const char *processor;
    int generation;
    const char *phase; /* "fold", "index", "follow", "verify", "swap" */
    int64_t done;      /* records */
    int64_t total;
    int64_t rate;  /* records a second */
    int64_t eta_s; /* -1: unknown */
};

struct rebuild_options {
    const struct config *config;
    int verify; /* compare the rows with those of the live generation */
    int no_swap;
    int break_views;
    int rollback;      /* to the generation that was live before, instead of a new one */
    const char *space; /* verify only this Space; NULL: all */
    int workers;       /* 0: one per processor core */
    const atomic_int *stop;
    void (*on_progress)(const struct rebuild_progress *progress, void *opaque);
    void *opaque;
};

enum rebuild_outcome { REBUILD_DONE, REBUILD_DIFFERS };

/* Runs to the end. Fills *ret_report, which the caller gives up:
 * {"processor", "generation", "former", "version", "records", "seconds", "resumed", "checks",
 *  "verified": null | "equal" | "different" | "not compared: ...", "findings": [...],
 *  "dropped": [...], "swapped"}.
 * Returns 0 or -1. Errors: ERROR_USAGE "rebuild-running", "not-migrated", "views-break", …;
 * ERROR_RETRY "stopped" when *stop was set: the next run goes on. */
int rebuild_run(const struct processor *processor, const struct rebuild_options *options,
                enum rebuild_outcome *ret_outcome, json_t **ret_report, struct error *error);

#endif
