/* SPDX-License-Identifier: Apache-2.0
 *
 * Sends a world's events to the gateway, or straight to Kafka, at a steady rate, as many clients
 * would: an event is due at its time, whether or not earlier ones were answered (an open loop), up
 * to a window beyond the oldest event without an answer.
 *
 * An event is sent until it has an answer: 429, 503, 504 and lost connections are tried again under
 * the same Idempotency-Key with growing pauses, for up to SIMULATION_GIVE_UP_MS; a target that
 * never answered at all is given up after SIMULATION_REACH_MS. Latency counts from when an event
 * was due to its acknowledgement, so that waiting in line is not hidden. */
#ifndef WEIR_SIMULATE_SIMULATION_H
#define WEIR_SIMULATE_SIMULATION_H

#include <jansson.h>
#include <stdint.h>

#include "lib/base/config.h"
#include "lib/base/error.h"

enum {
    SIMULATION_WINDOW = 1024,
    SIMULATION_GIVE_UP_MS = 120000,
    SIMULATION_REACH_MS = 10000,  /* until the first answer */
    SIMULATION_FINISH_MS = 10000, /* after simulation_stop: from one event taken to the next */
    SIMULATION_OVERRUN_MS = 1000, /* a sender that fell behind makes no events longer than this */
    SIMULATION_PAUSE_FIRST_MS = 25,
    SIMULATION_PAUSE_MAX_MS = 1000
};

/* As a target: the topics themselves, without a gateway. */
#define SIMULATION_TARGET_KAFKA "kafka"

struct simulation_options {
    const struct config *config; /* where Kafka is; must outlive the simulation, as target */
    const char *target;          /* "http://127.0.0.1:18080", or SIMULATION_TARGET_KAFKA */
    uint64_t seed;
    int64_t spaces;
    int64_t rate;        /* events a second */
    int64_t duration_ms; /* 0: until events_max */
    int64_t events_max;  /* 0: until duration_ms */
};

struct simulation_progress {
    uint64_t made;             /* events */
    uint64_t sent;             /* requests, each retry counted */
    uint64_t acked;            /* events */
    uint64_t retried;          /* requests */
    uint64_t repeated;         /* acknowledged events sent once more on purpose */
    uint64_t doubled;          /* repeats that were answered with another event id: must stay 0 */
    uint64_t refused_as_meant; /* invalid on purpose and refused */
    uint64_t refused;          /* refused, or invalid and not refused */
    uint64_t failed;           /* given up */
    uint64_t unknown;          /* of the failed: the event may be there */
    int64_t elapsed_us;
    int64_t p50_us, p99_us, highest_us;
};

struct simulation;

int simulation_open(const struct simulation_options *options, struct simulation **ret_simulation,
                    struct error *error);
void simulation_free(struct simulation *simulation);

/* Goes on for up to timeout_ms. Returns 1 when every event has its answer or was given up, 0 when
 * there is more to do, -1 on an error. Errors: ERROR_RETRY for a target that does not answer. */
int simulation_step(struct simulation *simulation, int timeout_ms, struct error *error);

/* Makes no more events. Those under way are given up as soon as the target has taken none for
 * SIMULATION_FINISH_MS; at once when that is so already. */
void simulation_stop(struct simulation *simulation);

void simulation_progress(const struct simulation *simulation,
                         struct simulation_progress *ret_progress);

/* The first answer that was not as meant, "" when there was none. */
const char *simulation_complaint(const struct simulation *simulation);

/* Progress and totals. The caller owns it. `exact` in it says whether the tables must agree to the
 * unit: nothing is unknown. */
json_t *simulation_report(const struct simulation *simulation);

#endif
