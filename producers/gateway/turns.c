/* SPDX-License-Identifier: Apache-2.0
 *
 * A Space has a turn while anything of it waits, runs or is being sent. Turns with somebody waiting
 * form a row: the first one that may run gives its first read and goes to the end. */
#include "producers/gateway/turns.h"

#include <stdlib.h>

#include "lib/base/idtable.h"
#include "lib/base/timestamp.h"

enum { SHARE = 4 }; /* a Space has this part of what there is */

struct turn {
    struct idtable_key key;
    struct read *first;
    struct read **last; /* where the next one is linked */
    int queued;
    int running;
    int64_t bytes;
    struct turn *next; /* in the row */
};

struct place {
    struct idtable_key key; /* first */
    struct turn *turn;
};

struct turns {
    struct turns_limits limits;
    struct idtable *places; /* of all turns */
    struct turn *first;     /* the row */
    struct turn **last;
    int queued;
    int64_t bytes;
};

struct turns *turns_new(const struct turns_limits *limits)
{
    struct turns *turns = xcalloc(1, sizeof *turns);
    turns->limits = *limits;
    turns->places = idtable_new(sizeof(struct place));
    turns->last = &turns->first;
    return turns;
}

void turns_free(struct turns *turns)
{
    if (!turns)
        return;
    for (size_t i = 0; i < idtable_count(turns->places); i++)
        free(((struct place *)idtable_at(turns->places, i))->turn);
    idtable_free(turns->places);
    free(turns);
}

int turns_queued(const struct turns *turns)
{
    return turns->queued;
}

int64_t turns_bytes(const struct turns *turns)
{
    return turns->bytes;
}

static struct turn *turn_of(struct turns *turns, const char *space)
{
    struct idtable_key key = {0};
    int is_new;
    uuid_parse(space, UUID_TEXT_SIZE, &key.id);
    struct place *place = idtable_put(turns->places, &key, &is_new);
    if (is_new) {
        place->turn = xcalloc(1, sizeof *place->turn);
        place->turn->key = key;
        place->turn->last = &place->turn->first;
    }
    return place->turn;
}

static void free_if_idle(struct turns *turns, struct turn *turn)
{
    if (turn->queued || turn->running || turn->bytes)
        return;
    idtable_remove(turns->places, &turn->key);
    free(turn);
}

static void to_the_end(struct turns *turns, struct turn *turn)
{
    turn->next = NULL;
    *turns->last = turn;
    turns->last = &turn->next;
}

static void out_of_the_row(struct turns *turns, struct turn **link)
{
    struct turn *turn = *link;
    *link = turn->next;
    if (turns->last == &turn->next)
        turns->last = link;
}

/* Takes the read at *link of a turn out. */
static struct read *unlink_read(struct turns *turns, struct turn *turn, struct read **link)
{
    struct read *read = *link;
    *link = read->next;
    if (turn->last == &read->next)
        turn->last = link;
    turn->queued--;
    turns->queued--;
    return read;
}

/* The latest read of the Space that has most waiting, when that is more than `than`. */
static struct read *push_out(struct turns *turns, int than)
{
    struct turn **most = NULL;
    for (struct turn **link = &turns->first; *link; link = &(*link)->next)
        if (!most || (*link)->queued > (*most)->queued)
            most = link;
    if (!most || (*most)->queued <= than)
        return NULL;
    struct turn *turn = *most;
    struct read **link = &turn->first;
    while ((*link)->next)
        link = &(*link)->next;
    struct read *read = unlink_read(turns, turn, link);
    read->turn = NULL;
    return read; /* it had more than one: the turn stays in the row */
}

int turns_put(struct turns *turns, struct read *read, struct read **ret_out)
{
    struct turn *turn = turn_of(turns, read->space);
    int share = turns->limits.queued_max / SHARE;
    int full = turn->queued >= (share ? share : 1);
    *ret_out = NULL;
    if (!full && turns->queued >= turns->limits.queued_max) {
        *ret_out = push_out(turns, turn->queued + 1);
        full = !*ret_out;
    }
    if (full) {
        free_if_idle(turns, turn);
        return -1;
    }
    read->next = NULL;
    read->turn = turn;
    read->expires_us = monotonic_now_us() + turns->limits.wait_us;
    if (turn->queued++ == 0)
        to_the_end(turns, turn);
    turns->queued++;
    *turn->last = read;
    turn->last = &read->next;
    return 0;
}

static int may_run(const struct turns *turns, const struct turn *turn)
{
    const struct turns_limits *limits = &turns->limits;
    return turn->running < limits->running_of_space_max &&
           turn->bytes + limits->read_bytes <= limits->bytes_max / SHARE &&
           turns->bytes + limits->read_bytes <= limits->bytes_max;
}

struct read *turns_take(struct turns *turns)
{
    struct turn **link = &turns->first;
    while (*link && !may_run(turns, *link))
        link = &(*link)->next;
    struct turn *turn = *link;
    if (!turn)
        return NULL;
    struct read *read = unlink_read(turns, turn, &turn->first);
    out_of_the_row(turns, link);
    if (turn->queued > 0)
        to_the_end(turns, turn);
    turn->running++;
    read->bytes = turns->limits.read_bytes;
    turn->bytes += read->bytes;
    turns->bytes += read->bytes;
    return read;
}

static void set_bytes(struct turns *turns, struct read *read, int64_t bytes)
{
    turns->bytes += bytes - read->bytes;
    read->turn->bytes += bytes - read->bytes;
    read->bytes = bytes;
}

void turns_answered(struct turns *turns, struct read *read, size_t bytes)
{
    if (!read->turn)
        return;
    read->turn->running--;
    set_bytes(turns, read, (int64_t)bytes);
}

void turns_sent(struct turns *turns, struct read *read)
{
    if (!read->turn)
        return;
    set_bytes(turns, read, 0);
    free_if_idle(turns, read->turn);
    read->turn = NULL;
}

struct read *turns_expired(struct turns *turns, int64_t now_us)
{
    for (struct turn **link = &turns->first; *link; link = &(*link)->next) {
        struct turn *turn = *link;
        if (turn->first->expires_us > now_us)
            continue;
        struct read *read = unlink_read(turns, turn, &turn->first);
        read->turn = NULL;
        if (turn->queued == 0) {
            out_of_the_row(turns, link);
            free_if_idle(turns, turn);
        }
        return read;
    }
    return NULL;
}
