/* SPDX-License-Identifier: Apache-2.0 */
#include "processors/definition/policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/timestamp.h"

const struct policy policy_default = {.attempts = 8,
                                      .backoff_ms = 1000,
                                      .backoff_max_ms = 300000,
                                      .age_max_ms = 3600000,
                                      .breaker_failures = 10,
                                      .breaker_after_ms = 30000,
                                      .parked_spaces_max = 100000};

enum kind { KIND_NUMBER, KIND_TIME, KIND_USED_UP };

static const struct key {
    const char *name;
    enum kind kind;
    size_t offset;
    int64_t lowest, highest;
} keys[] = {
    {"attempts", KIND_NUMBER, offsetof(struct policy, attempts), 1, 1000},
    {"backoff", KIND_TIME, offsetof(struct policy, backoff_ms), 1, 86400000},
    {"backoff_max", KIND_TIME, offsetof(struct policy, backoff_max_ms), 1, 7 * 86400000},
    {"age_max", KIND_TIME, offsetof(struct policy, age_max_ms), 1, INT64_C(366) * 86400000},
    {"used_up", KIND_USED_UP, offsetof(struct policy, block), 0, 1},
    {"breaker_failures", KIND_NUMBER, offsetof(struct policy, breaker_failures), 2,
     BREAKER_FAILURES_MAX},
    {"breaker_after", KIND_TIME, offsetof(struct policy, breaker_after_ms), 1, 86400000},
    {"parked_spaces_max", KIND_NUMBER, offsetof(struct policy, parked_spaces_max), 1, 1000000},
};

static int parse(enum kind kind, const char *value, int64_t *ret_number)
{
    char *end;
    switch (kind) {
    case KIND_TIME:
        return duration_parse(value, ret_number);
    case KIND_USED_UP:
        *ret_number = strcmp(value, "block") == 0;
        return *ret_number || strcmp(value, "drain") == 0 ? 0 : -1;
    default:
        errno = 0;
        *ret_number = strtoll(value, &end, 10);
        return errno || end == value || *end ? -1 : 0;
    }
}

int policy_set(struct policy *policy, const char *key, const char *value, const char *place,
               struct error *error)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct key *k = &keys[i];
        int64_t number;
        if (strcmp(k->name, key) != 0)
            continue;
        if (parse(k->kind, value, &number) == 0 && number >= k->lowest && number <= k->highest) {
            memcpy((char *)policy + k->offset, &number, sizeof number);
            return 1;
        }
        return k->kind == KIND_USED_UP
                   ? error_set(error, ERROR_USAGE, "bad-processor",
                               "%s: %s is drain (the events behind go on) or block (they wait for "
                               "a decision)",
                               place, key)
                   : error_set(error, ERROR_USAGE, "bad-processor",
                               "%s: %s must be %s from %" PRId64 " to %" PRId64 "%s", place, key,
                               k->kind == KIND_TIME ? "a time such as 30s," : "a number", k->lowest,
                               k->highest, k->kind == KIND_TIME ? " ms" : "");
    }
    return 0;
}

int64_t policy_attempts(const struct policy *policy, const char *code)
{
    int hopeless =
        strncmp(code, "22", 2) == 0 || strncmp(code, "54", 2) == 0 || strcmp(code, "screened") == 0;
    return hopeless && policy->attempts > HOPELESS_ATTEMPTS ? HOPELESS_ATTEMPTS : policy->attempts;
}

int64_t policy_pause_ms(const struct policy *policy, int64_t failures)
{
    int64_t pause_ms = policy->backoff_ms;
    for (int64_t i = 1; i < failures && pause_ms < policy->backoff_max_ms; i++)
        pause_ms *= 2;
    pause_ms = pause_ms < policy->backoff_max_ms ? pause_ms : policy->backoff_max_ms;
    uint32_t drawn = 0;
    if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn)
        drawn = (uint32_t)monotonic_now_us();
    return pause_ms / 2 + (int64_t)((uint64_t)drawn * (uint64_t)(pause_ms - pause_ms / 2) >> 32);
}
