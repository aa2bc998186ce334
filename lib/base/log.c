/* SPDX-License-Identifier: Apache-2.0
 *
 * Each line is formatted into one buffer and written in one go, with the status line taken away
 * before and put back behind, so that lines of threads never mix. Control bytes are escaped: a
 * message can carry text that a client chose. */
#include "lib/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096 };

static enum log_level lowest_level = LOG_INFO;
static int as_json;
static _Thread_local struct {
    const char *key;
    const char *value;
} context[LOG_CONTEXT_MAX];
static struct {
    pthread_mutex_t lock; /* held while anything is written */
    char text[LOG_STATUS_MAX];
} status = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char CLEAR[] = "\r\x1b[K";

struct line {
    char text[LINE_MAX_BYTES];
    size_t size;
};

void log_setup(enum log_level lowest, enum log_format format)
{
    lowest_level = lowest;
    as_json = format == LOG_JSON || (format == LOG_AUTO && !isatty(STDERR_FILENO));
}

void log_context(const char *key, const char *value)
{
    for (int i = 0; i < LOG_CONTEXT_MAX; i++) {
        if (!context[i].key || strcmp(context[i].key, key) == 0) {
            context[i].key = value ? key : NULL;
            context[i].value = value;
            return;
        }
    }
}

/* Under the lock. */
static void write_parts(const char *first, const char *second, size_t second_size,
                        const char *third)
{
    /* writev only reads them */
    struct iovec parts[] = {{.iov_base = (void *)(uintptr_t)first, .iov_len = strlen(first)},
                            {.iov_base = (void *)(uintptr_t)second, .iov_len = second_size},
                            {.iov_base = (void *)(uintptr_t)third, .iov_len = strlen(third)}};
    if (writev(STDERR_FILENO, parts, sizeof parts / sizeof *parts) < 0)
        return; /* nowhere to complain */
}

void log_status(const char *text)
{
    pthread_mutex_lock(&status.lock);
    snprintf(status.text, sizeof status.text, "%s", text ? text : "");
    if (text)
        write_parts("\r", status.text, strlen(status.text), CLEAR + 1);
    else
        write_parts(CLEAR, "", 0, "");
    pthread_mutex_unlock(&status.lock);
}

static void put_char(struct line *line, char c)
{
    if (line->size < sizeof line->text - 2)
        line->text[line->size++] = c;
}

static void put_raw(struct line *line, const char *text)
{
    while (*text)
        put_char(line, *text++);
}

static void put_escaped(struct line *line, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char code[8];
        if (c < 0x20 || c == 0x7f) {
            snprintf(code, sizeof code, "\\u%04x", c);
            put_raw(line, code);
        } else {
            if (as_json && (c == '"' || c == '\\'))
                put_char(line, '\\');
            put_char(line, (char)c);
        }
    }
}

static void put_time(struct line *line)
{
    struct timespec now;
    struct tm tm;
    char text[40];
    char whole[64];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(whole, sizeof whole, "%s.%03ldZ", text, now.tv_nsec / 1000000);
    put_raw(line, whole);
}

void log_write(enum log_level level, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if (level < lowest_level)
        return;
    char message[LINE_MAX_BYTES - 512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    struct line line = {.size = 0};
    put_raw(&line, as_json ? "{\"time\":\"" : "");
    put_time(&line);
    put_raw(&line, as_json ? "\",\"level\":\"" : " ");
    put_raw(&line, names[level]);
    for (int i = 0; i < LOG_CONTEXT_MAX; i++) {
        if (!context[i].key)
            continue;
        put_raw(&line, as_json ? "\",\"" : " ");
        put_raw(&line, context[i].key);
        put_raw(&line, as_json ? "\":\"" : "=");
        put_escaped(&line, context[i].value);
    }
    put_raw(&line, as_json ? "\",\"message\":\"" : " ");
    put_escaped(&line, message);
    /* A message that was cut still ends as valid JSON. */
    if (as_json && line.size > sizeof line.text - 8)
        line.size = sizeof line.text - 8;
    put_raw(&line, as_json ? "\"}" : "");
    line.text[line.size++] = '\n';
    pthread_mutex_lock(&status.lock);
    write_parts(*status.text ? CLEAR : "", line.text, line.size, status.text);
    pthread_mutex_unlock(&status.lock);
}
