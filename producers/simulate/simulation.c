/* SPDX-License-Identifier: Apache-2.0
 *
 * Event n has the slot n % window from when it is made to its last answer; the next event for a
 * slot waits until it is free, which is what bounds both memory and how far the sender runs ahead.
 * Slots that can be sent now stand in a ring; those that pause before another try are found by
 * looking at all slots, which are few. */
#include "producers/simulate/simulation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/timestamp.h"
#include "producers/simulate/latency.h"
#include "producers/simulate/random.h"
#include "producers/simulate/totals.h"
#include "producers/simulate/transport.h"

enum slot_state { SLOT_FREE, SLOT_READY, SLOT_FLYING, SLOT_PAUSED };

/* Being late by less than this is the timer's doing, not the system's. */
static const int64_t TIMER_GRAIN_US = 2000;
static const int64_t DAY_US = INT64_C(86400000000);

struct slot {
    struct simulation *simulation;
    enum slot_state state;
    struct sim_event event;
    int acked; /* now on its repeat */
    int attempts;
    int maybe_there; /* an attempt's outcome is unknown */
    int64_t due_us;
    int64_t retry_us;
    char event_id[UUID_TEXT_SIZE +
                  1]; /* of the first acknowledgement, when there will be a repeat */
};

struct simulation {
    struct simulation_options options;
    struct transport *transport;
    struct sim_world *world;
    struct sim_totals totals;
    struct latency latency;
    struct simulation_progress progress;
    struct sim_random jitter;
    int64_t start_us;
    int64_t end_us; /* when the last slot was emptied after stopping */
    int stopped;
    int interrupted;   /* what is under way need not have its answer */
    int64_t taken_us;  /* when an event was taken last */
    int reached;       /* something was answered */
    char problem[128]; /* why the latest attempt had no answer */
    size_t busy;       /* slots that are not free */
    size_t paused;
    size_t ready_first, ready_count;
    size_t ready[SIMULATION_WINDOW];
    char complaint[512];
    struct slot slots[SIMULATION_WINDOW];
};

static void on_answer(const struct http_answer *answer, void *opaque);

int simulation_open(const struct simulation_options *options, struct simulation **ret_simulation,
                    struct error *error)
{
    struct transport *transport;
    int direct = strcmp(options->target, SIMULATION_TARGET_KAFKA) == 0;
    if ((direct ? transport_kafka_open(options->config, on_answer, &transport, error)
                : transport_http_open(options->target, on_answer, &transport, error)) != 0)
        return -1;
    struct simulation *simulation = xcalloc(1, sizeof *simulation);
    int64_t now_us = timestamp_now_us();
    simulation->options = *options;
    simulation->transport = transport;
    simulation->world = sim_world_new(options->seed, (size_t)options->spaces, SIMULATION_WINDOW,
                                      now_us - now_us % DAY_US);
    simulation->jitter.state = options->seed ^ (uint64_t)now_us;
    simulation->start_us = monotonic_now_us();
    totals_open(&simulation->totals, (size_t)options->spaces);
    for (size_t i = 0; i < SIMULATION_WINDOW; i++)
        simulation->slots[i].simulation = simulation;
    *ret_simulation = simulation;
    return 0;
}

void simulation_free(struct simulation *simulation)
{
    if (!simulation)
        return;
    simulation->transport->free(simulation->transport);
    sim_world_free(simulation->world);
    totals_free(&simulation->totals);
    for (size_t i = 0; i < SIMULATION_WINDOW; i++)
        buf_free(&simulation->slots[i].event.body);
    free(simulation);
}

void simulation_stop(struct simulation *simulation)
{
    simulation->stopped = 1;
    simulation->interrupted = 1;
}

/* Whatever has no answer yet is given up. Nothing may be polled afterwards. */
static void give_all_up(struct simulation *simulation)
{
    for (size_t i = 0; i < SIMULATION_WINDOW; i++) {
        struct slot *slot = &simulation->slots[i];
        if (slot->state == SLOT_FREE)
            continue;
        simulation->progress.failed++;
        simulation->progress.unknown +=
            (slot->maybe_there || slot->state == SLOT_FLYING) && !slot->acked;
        slot->state = SLOT_FREE;
    }
    simulation->busy = 0;
    if (!*simulation->complaint)
        snprintf(simulation->complaint, sizeof simulation->complaint,
                 "stopped while events had no answer%s%s", *simulation->problem ? ": " : "",
                 simulation->problem);
}

const char *simulation_complaint(const struct simulation *simulation)
{
    return simulation->complaint;
}

static void make_ready(struct simulation *simulation, struct slot *slot)
{
    size_t place = (simulation->ready_first + simulation->ready_count++) % SIMULATION_WINDOW;
    simulation->ready[place] = (size_t)(slot - simulation->slots);
    slot->state = SLOT_READY;
}

static void empty_slot(struct slot *slot)
{
    slot->state = SLOT_FREE;
    slot->simulation->busy--;
}

static int64_t due_of(const struct simulation *simulation, uint64_t index)
{
    return simulation->start_us + (int64_t)((double)index * 1e6 / (double)simulation->options.rate);
}

/* Makes the events that are due and have a slot. */
static void make_events(struct simulation *simulation, int64_t now_us)
{
    const struct simulation_options *options = &simulation->options;
    while (!simulation->stopped) {
        uint64_t index = simulation->progress.made;
        struct slot *slot = &simulation->slots[index % SIMULATION_WINDOW];
        int64_t due_us = due_of(simulation, index);
        if ((options->events_max && index >= (uint64_t)options->events_max) ||
            (options->duration_ms &&
             due_us - simulation->start_us >= options->duration_ms * 1000) ||
            (options->duration_ms && now_us - simulation->start_us >=
                                         (options->duration_ms + SIMULATION_OVERRUN_MS) * 1000)) {
            simulation->stopped = 1;
            return;
        }
        if (due_us > now_us || slot->state != SLOT_FREE)
            return;
        sim_world_next(simulation->world, &slot->event);
        slot->acked = 0;
        slot->attempts = 0;
        slot->maybe_there = 0;
        slot->due_us = now_us - due_us < TIMER_GRAIN_US ? now_us : due_us;
        simulation->progress.made++;
        simulation->busy++;
        make_ready(simulation, slot);
    }
}

static void complain(struct simulation *simulation, const struct slot *slot,
                     const struct http_answer *answer)
{
    if (*simulation->complaint)
        return;
    snprintf(simulation->complaint, sizeof simulation->complaint, "%s (Space %s): %d %s%.300s",
             sim_type_name(slot->event.type), slot->event.space_id, answer->status, answer->problem,
             answer->body_size ? answer->body : "");
}

/* Tries again later, or gives up. */
static void pause_slot(struct slot *slot, const struct http_answer *answer)
{
    struct simulation *simulation = slot->simulation;
    int64_t now_us = monotonic_now_us();
    slot->maybe_there |=
        answer->status == 504 || answer->status == 500 || (answer->status == 0 && answer->sent);
    if (now_us - slot->due_us > (int64_t)SIMULATION_GIVE_UP_MS * 1000) {
        complain(simulation, slot, answer);
        simulation->progress.failed++;
        simulation->progress.unknown += slot->maybe_there && !slot->acked;
        empty_slot(slot);
        return;
    }
    int doublings = slot->attempts < 8 ? slot->attempts : 8;
    int64_t pause_ms = (int64_t)SIMULATION_PAUSE_FIRST_MS << doublings;
    if (answer->retry_after_ms > pause_ms)
        pause_ms = answer->retry_after_ms;
    if (pause_ms > SIMULATION_PAUSE_MAX_MS)
        pause_ms = SIMULATION_PAUSE_MAX_MS;
    slot->retry_us =
        now_us + pause_ms * 500 + sim_random_between(&simulation->jitter, 0, pause_ms * 500);
    slot->state = SLOT_PAUSED;
    slot->attempts++;
    simulation->paused++;
    simulation->progress.retried++;
}

static void read_event_id(const struct http_answer *answer, char ret_id[UUID_TEXT_SIZE + 1])
{
    json_t *receipt = json_loadb(answer->body, answer->body_size, 0, NULL);
    const char *id = json_string_value(json_object_get(receipt, "event_id"));
    snprintf(ret_id, UUID_TEXT_SIZE + 1, "%s", id ? id : "");
    json_decref(receipt);
}

static void take_acknowledgement(struct slot *slot, const struct http_answer *answer)
{
    struct simulation *simulation = slot->simulation;
    if (slot->acked) {
        char id[UUID_TEXT_SIZE + 1];
        read_event_id(answer, id);
        simulation->progress.repeated++;
        if (strcmp(id, slot->event_id) != 0) {
            simulation->progress.doubled++;
            complain(simulation, slot, answer);
        }
        empty_slot(slot);
        return;
    }
    totals_add(&simulation->totals, &slot->event);
    latency_add(&simulation->latency, monotonic_now_us() - slot->due_us);
    simulation->progress.acked++;
    if (!slot->event.repeat) {
        empty_slot(slot);
        return;
    }
    read_event_id(answer, slot->event_id);
    slot->acked = 1;
    slot->attempts = 0;
    make_ready(simulation, slot);
}

static void on_answer(const struct http_answer *answer, void *opaque)
{
    struct slot *slot = opaque;
    struct simulation *simulation = slot->simulation;
    int status = answer->status;
    int direct = strcmp(simulation->options.target, SIMULATION_TARGET_KAFKA) == 0;
    if (status > 0 && !(direct && status >= 500))
        simulation->reached = 1;
    else
        snprintf(simulation->problem, sizeof simulation->problem, "%s", answer->problem);
    if (status > 0 && status < 429)
        simulation->taken_us = monotonic_now_us();
    if (status == 0 || status == 429 || status >= 500) {
        pause_slot(slot, answer);
    } else if (status >= 200 && status < 300 && !slot->event.invalid) {
        take_acknowledgement(slot, answer);
    } else if (slot->event.invalid && (status == 400 || status == 422)) {
        simulation->progress.refused_as_meant++;
        empty_slot(slot);
    } else {
        complain(simulation, slot, answer);
        simulation->progress.refused++;
        empty_slot(slot);
    }
}

static int send_slot(struct simulation *simulation, struct slot *slot, struct error *error)
{
    char key[64];
    snprintf(key, sizeof key, "sim-%" PRIx64 "-%" PRIu64, simulation->options.seed,
             slot->event.index);
    slot->state = SLOT_FLYING;
    simulation->progress.sent++;
    return simulation->transport->send(simulation->transport, &slot->event, key, slot, error);
}

static int send_ready(struct simulation *simulation, struct error *error)
{
    while (simulation->ready_count &&
           simulation->transport->under_way < simulation->transport->limit) {
        struct slot *slot = &simulation->slots[simulation->ready[simulation->ready_first]];
        simulation->ready_first = (simulation->ready_first + 1) % SIMULATION_WINDOW;
        simulation->ready_count--;
        if (send_slot(simulation, slot, error) != 0)
            return -1;
    }
    return 0;
}

/* Wakes the slots whose pause is over. Returns when the next one's is. */
static int64_t wake_paused(struct simulation *simulation, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    for (size_t i = 0; simulation->paused && i < SIMULATION_WINDOW; i++) {
        struct slot *slot = &simulation->slots[i];
        if (slot->state != SLOT_PAUSED)
            continue;
        if (slot->retry_us <= now_us) {
            simulation->paused--;
            make_ready(simulation, slot);
        } else if (slot->retry_us < next_us) {
            next_us = slot->retry_us;
        }
    }
    return next_us;
}

int simulation_step(struct simulation *simulation, int timeout_ms, struct error *error)
{
    int64_t now_us = monotonic_now_us();
    int64_t until_us = now_us + (int64_t)timeout_ms * 1000;
    do {
        int64_t next_us = wake_paused(simulation, now_us);
        make_events(simulation, now_us);
        if (send_ready(simulation, error) != 0)
            return -1;
        if (!simulation->reached &&
            now_us - simulation->start_us > SIMULATION_REACH_MS * INT64_C(1000))
            return error_set(error, ERROR_RETRY, "no-answer", "%s: no answer in %d s%s%s",
                             simulation->options.target, SIMULATION_REACH_MS / 1000,
                             *simulation->problem ? ": " : "", simulation->problem);
        if (simulation->interrupted &&
            now_us - simulation->taken_us > SIMULATION_FINISH_MS * INT64_C(1000))
            give_all_up(simulation);
        if (simulation->stopped && simulation->busy == 0) {
            if (!simulation->end_us)
                simulation->end_us = now_us;
            return 1;
        }
        const struct slot *slot = &simulation->slots[simulation->progress.made % SIMULATION_WINDOW];
        int64_t due_us = due_of(simulation, simulation->progress.made);
        if (!simulation->stopped && slot->state == SLOT_FREE && due_us < next_us)
            next_us = due_us;
        if (next_us > until_us)
            next_us = until_us;
        int64_t wait_us = next_us - now_us;
        if (simulation->transport->poll(
                simulation->transport, wait_us > 0 ? (int)((wait_us + 999) / 1000) : 0, error) != 0)
            return -1;
        now_us = monotonic_now_us();
    } while (now_us < until_us);
    return 0;
}

void simulation_progress(const struct simulation *simulation,
                         struct simulation_progress *ret_progress)
{
    *ret_progress = simulation->progress;
    int64_t end_us = simulation->end_us ? simulation->end_us : monotonic_now_us();
    ret_progress->elapsed_us = end_us - simulation->start_us;
    ret_progress->p50_us = latency_percentile(&simulation->latency, 50);
    ret_progress->p99_us = latency_percentile(&simulation->latency, 99);
    ret_progress->highest_us = simulation->latency.highest_us;
}

json_t *simulation_report(const struct simulation *simulation)
{
    struct simulation_progress progress;
    simulation_progress(simulation, &progress);
    json_t *requests = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "events", (json_int_t)progress.made,
        "sent", (json_int_t)progress.sent, "retried", (json_int_t)progress.retried, "repeated",
        (json_int_t)progress.repeated, "doubled", (json_int_t)progress.doubled, "refused_as_meant",
        (json_int_t)progress.refused_as_meant, "refused", (json_int_t)progress.refused, "failed",
        (json_int_t)progress.failed, "unknown", (json_int_t)progress.unknown);
    json_t *latency =
        json_pack("{s:f, s:f, s:f}", "p50", (double)progress.p50_us / 1000.0, "p99",
                  (double)progress.p99_us / 1000.0, "max", (double)progress.highest_us / 1000.0);
    json_t *report = json_pack(
        "{s:I, s:I, s:s, s:f, s:b, s:o, s:o}", "seed", (json_int_t)simulation->options.seed,
        "spaces", (json_int_t)simulation->options.spaces, "target", simulation->options.target,
        "seconds", (double)progress.elapsed_us / 1e6, "exact", progress.unknown == 0, "requests",
        requests, "latency_ms", latency);
    totals_json(&simulation->totals, simulation->world, report);
    return report;
}
