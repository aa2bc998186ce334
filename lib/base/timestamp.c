/* SPDX-License-Identifier: Apache-2.0
 *
 * The calendar is computed with the civil-day algorithm (proleptic Gregorian, era of 400 years), so
 * that neither the C library's locale nor its time zone can matter. */
#include "lib/base/timestamp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t US_PER_SECOND = 1000000;
static const int64_t US_PER_DAY = 86400 * INT64_C(1000000);

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * US_PER_SECOND + now.tv_nsec / 1000;
}

int64_t timestamp_now_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

int64_t monotonic_now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

static int64_t days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* Reads exactly `count` digits. Returns their value or -1. */
static int digits(const char *text, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

int date_parse(const char *text, size_t size, int32_t *ret_days)
{
    if (size != 10 || text[4] != '-' || text[7] != '-')
        return -1;
    int year = digits(text, 4);
    int month = digits(text + 5, 2);
    int day = digits(text + 8, 2);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return -1;
    *ret_days = (int32_t)days_from_civil(year, month, day);
    return 0;
}

/* Reads "Z" or "+hh:mm" at the end. Returns 0 or -1. */
static int parse_offset(const char *text, size_t size, int64_t *ret_minutes)
{
    if (size == 1 && (*text == 'Z' || *text == 'z')) {
        *ret_minutes = 0;
        return 0;
    }
    if (size != 6 || (*text != '+' && *text != '-') || text[3] != ':')
        return -1;
    int hours = digits(text + 1, 2);
    int minutes = digits(text + 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return -1;
    *ret_minutes = (*text == '-' ? -1 : 1) * (hours * 60 + minutes);
    return 0;
}

int timestamp_parse(const char *text, size_t size, int64_t *ret_us)
{
    int32_t days;
    if (size < 20 || date_parse(text, 10, &days) != 0 || (text[10] != 'T' && text[10] != 't'))
        return -1;
    int hour = digits(text + 11, 2);
    int minute = digits(text + 14, 2);
    int second = digits(text + 17, 2);
    if (text[13] != ':' || text[16] != ':' || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        second < 0 || second > 59)
        return -1;
    size_t at = 19;
    int64_t fraction = 0;
    if (text[at] == '.') {
        int64_t unit = US_PER_SECOND;
        size_t start = ++at;
        for (; at < size && text[at] >= '0' && text[at] <= '9'; at++) {
            unit /= 10;
            fraction += (text[at] - '0') * unit;
        }
        if (at == start)
            return -1;
    }
    int64_t offset;
    if (parse_offset(text + at, size - at, &offset) != 0)
        return -1;
    int64_t seconds = ((int64_t)hour * 60 + minute - offset) * 60 + second;
    int64_t us = days * US_PER_DAY + seconds * US_PER_SECOND + fraction;
    if (us < 0)
        return -1;
    *ret_us = us;
    return 0;
}

void timestamp_format(int64_t us, char ret_text[TIMESTAMP_TEXT_SIZE + 1])
{
    int64_t fraction = us % US_PER_SECOND;
    int64_t whole = us / US_PER_SECOND;
    if (fraction < 0) {
        fraction += US_PER_SECOND;
        whole--;
    }
    time_t seconds = (time_t)whole;
    struct tm tm;
    char day[32];
    char all[64];
    gmtime_r(&seconds, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(all, sizeof all, "%s.%06dZ", day, (int)fraction);
    memcpy(ret_text, all, TIMESTAMP_TEXT_SIZE);
    ret_text[TIMESTAMP_TEXT_SIZE] = '\0';
}

int duration_parse(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *suffix;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || value < 0)
        return -1;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].suffix) == 0)
            return __builtin_mul_overflow(value, units[i].ms, ret_ms) ? -1 : 0;
    return -1;
}
