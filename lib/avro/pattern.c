/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a pattern by keeping all places of the program at which a match could be (Thompson 1968).
 * Each place is entered once for each character, whatever the pattern is. */
#include "lib/avro/pattern.h"

#include <string.h>

#include "lib/avro/pattern_parts.h"

/* The places to go on at; `seen` says in which round each was entered last. */
struct places {
    uint16_t list[PATTERN_STEPS_MAX];
    size_t count;
};

struct run {
    const struct pattern *pattern;
    uint16_t open[PATTERN_STEPS_MAX + 1]; /* to be entered: one more for each that was */
    uint32_t seen[PATTERN_STEPS_MAX];
    uint32_t round; /* 1 for the beginning of the text */
    int at_end;
    int matched;
};

uint32_t pattern_next(const char **at)
{
    const unsigned char *byte = (const unsigned char *)*at;
    int more = byte[0] < 0x80 ? 0 : byte[0] < 0xe0 ? 1 : byte[0] < 0xf0 ? 2 : 3;
    uint32_t point = more == 0 ? byte[0] : byte[0] & (0x3fu >> more);
    for (int i = 1; i <= more; i++)
        point = point << 6 | (byte[i] & 0x3fu);
    *at += 1 + more;
    return point;
}

static int in_set(const struct pattern_set *set, uint32_t point)
{
    if (point < 128)
        return (int)(set->ascii[point / 64] >> point % 64 & 1);
    for (size_t i = 0; i < set->range_count; i++)
        if (point >= set->ranges[i].first && point <= set->ranges[i].last)
            return !set->negated;
    return set->negated;
}

/* Enters a place and all that it goes on to without a character. */
static void enter(struct run *run, struct places *places, size_t first)
{
    uint16_t *open = run->open;
    size_t count = 0;
    open[count++] = (uint16_t)first;
    while (count > 0) {
        size_t place = open[--count];
        const struct pattern_step *step = &run->pattern->steps[place];
        if (run->seen[place] == run->round)
            continue;
        run->seen[place] = run->round;
        if (step->kind == PATTERN_MATCH)
            run->matched = 1;
        else if (step->kind == PATTERN_SET)
            places->list[places->count++] = (uint16_t)place;
        else if ((step->kind == PATTERN_BEGIN && run->round != 1) ||
                 (step->kind == PATTERN_END && !run->at_end))
            continue;
        else
            open[count++] = (uint16_t)(place + (size_t)step->to);
        if (step->kind == PATTERN_SPLIT)
            open[count++] = (uint16_t)(place + (size_t)step->or_to);
    }
}

int pattern_matches(const struct pattern *pattern, const char *text)
{
    struct run run = {.pattern = pattern, .round = 1, .at_end = !*text};
    struct places two[2];
    struct places *now = &two[0];
    struct places *then = &two[1];
    now->count = 0;
    enter(&run, now, 0);
    while (*text && !run.matched) {
        uint32_t point = pattern_next(&text);
        run.round++;
        run.at_end = !*text;
        then->count = 0;
        for (size_t i = 0; i < now->count; i++)
            if (in_set(&pattern->sets[pattern->steps[now->list[i]].set], point))
                enter(&run, then, now->list[i] + (size_t)1);
        enter(&run, then, 0); /* a match may begin anywhere */
        struct places *free = now;
        now = then;
        then = free;
    }
    return run.matched;
}

size_t pattern_steps(const struct pattern *pattern)
{
    return pattern->step_count;
}

const char *pattern_text(const struct pattern *pattern)
{
    return pattern->text;
}

static void put_point(struct buf *out, uint32_t point)
{
    int more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    buf_put_u8(out, (uint8_t)(more ? 0xff00u >> (more + 1) | point >> 6 * more : point));
    while (more-- > 0)
        buf_put_u8(out, (uint8_t)(0x80 | (point >> 6 * more & 0x3f)));
}

/* One of the printable ASCII members, else the first of others. */
static void make_member(const struct pattern_set *set, uint64_t drawn, struct buf *out)
{
    uint32_t members[128];
    size_t count = 0;
    for (uint32_t byte = ' '; byte < 127; byte++)
        if (in_set(set, byte))
            members[count++] = byte;
    if (count == 0 && set->range_count > 0)
        members[count++] = set->ranges[0].first;
    if (count > 0)
        put_point(out, members[drawn % count]);
}

void pattern_make(const struct pattern *pattern, uint64_t (*next)(void *context), void *context,
                  struct buf *out)
{
    size_t place = 0;
    for (int i = 0; i < PATTERN_STEPS_MAX; i++) {
        const struct pattern_step *step = &pattern->steps[place];
        if (step->kind == PATTERN_MATCH)
            return;
        uint64_t drawn = next(context);
        if (step->kind == PATTERN_SET)
            make_member(&pattern->sets[step->set], drawn, out);
        int other = step->kind == PATTERN_SPLIT && drawn & 1;
        place += (size_t)(step->kind == PATTERN_SET ? 1 : other ? step->or_to : step->to);
    }
}
