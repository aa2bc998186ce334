/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/engine/breaker.h"

#include <string.h>

static int enough_spaces(const struct breaker *breaker, const struct policy *policy)
{
    return (int64_t)breaker->space_count >= policy->breaker_failures;
}

void breaker_passed(struct breaker *breaker)
{
    breaker->space_count = 0;
    breaker->dead_letters = 0;
}

int breaker_failed(struct breaker *breaker, const struct policy *policy,
                   const struct uuid *space_id, int64_t now_us)
{
    int doubted = breaker_doubts(breaker, policy);
    if (breaker->space_count == 0)
        breaker->since_us = now_us;
    for (size_t i = 0; i < breaker->space_count; i++)
        if (memcmp(&breaker->spaces[i], space_id, sizeof *space_id) == 0)
            return 0;
    if (!enough_spaces(breaker, policy))
        breaker->spaces[breaker->space_count++] = *space_id;
    return !doubted && breaker_doubts(breaker, policy);
}

int breaker_set_aside(struct breaker *breaker, const struct policy *policy)
{
    int doubted = breaker_doubts(breaker, policy);
    breaker->dead_letters++;
    return !doubted && breaker_doubts(breaker, policy);
}

int breaker_doubts(const struct breaker *breaker, const struct policy *policy)
{
    return enough_spaces(breaker, policy) || breaker->dead_letters >= policy->breaker_failures;
}

int breaker_is_open(const struct breaker *breaker, const struct policy *policy, int64_t now_us)
{
    return enough_spaces(breaker, policy) &&
           now_us - breaker->since_us >= policy->breaker_after_ms * 1000;
}
