/* SPDX-License-Identifier: Apache-2.0
 *
 * Points in time as microseconds since 1970-01-01 UTC, and durations as people write them. */
#ifndef WEIR_BASE_TIMESTAMP_H
#define WEIR_BASE_TIMESTAMP_H

#include <stddef.h>
#include <stdint.h>

/* Postgres counts from 2000-01-01. */
#define POSTGRES_EPOCH_US INT64_C(946684800000000)

int64_t timestamp_now_us(void);
/* A clock that never steps, for deadlines and durations. */
int64_t monotonic_now_us(void);

/* Reads RFC 3339 ("2026-11-22T10:00:00.123456Z", any offset). Digits below a microsecond are cut.
 * Returns 0, or -1 when the text is anything else or outside the years 1970–9999. */
int timestamp_parse(const char *text, size_t size, int64_t *ret_us);

enum { TIMESTAMP_TEXT_SIZE = 27 };
/* Writes "2026-11-22T10:00:00.123456Z" and a NUL. */
void timestamp_format(int64_t us, char ret_text[TIMESTAMP_TEXT_SIZE + 1]);

/* Days since 1970-01-01 of "2026-11-22". Returns 0 or -1. */
int date_parse(const char *text, size_t size, int32_t *ret_days);

/* Reads "200ms", "30s", "5m", "12h", "7d". Returns 0 or -1. */
int duration_parse(const char *text, int64_t *ret_ms);

#endif
