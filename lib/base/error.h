/* SPDX-License-Identifier: Apache-2.0
 *
 * One error value for every fallible call. The class says what may be done about it and is set
 * where the error arises; only the processor engine, the gateway and main act on it. Libraries
 * return errors and never log them. */
#ifndef WEIR_BASE_ERROR_H
#define WEIR_BASE_ERROR_H

enum error_class {
    ERROR_NONE,
    ERROR_RETRY,       /* may go away by itself: connection, restart, lock */
    ERROR_SHRINK,      /* too big for one statement: a smaller batch may pass */
    ERROR_DEAD_LETTER, /* this event's own fault */
    ERROR_SCREENED,    /* the processor's screen.sql takes events out; the message names them */
    ERROR_UNSURE,      /* an unlisted state: a few more tries, then the event is at fault */
    ERROR_HALT,        /* a person must look: broken SQL, another log than before */
    ERROR_FENCED,      /* another owner took over; write nothing */
    ERROR_USAGE,       /* wrong option, configuration or file */
    ERROR_FATAL        /* the program cannot go on */
};

struct error {
    enum error_class class;
    char code[40]; /* short and stable: "schema-invalid", an SQLSTATE, a librdkafka error name */
    char message[1024]; /* what, where, and what to do */
};

/* Fills `error` (which may be NULL) and returns -1, so that a caller can `return error_set(...)`.
 */
int error_set(struct error *error, enum error_class class, const char *code, const char *format,
              ...) __attribute__((format(printf, 4, 5)));

/* Puts "text: " before the message. Returns -1. */
int error_prefix(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#ifdef __clang_analyzer__ /* it reads one file at a time: this is what both return */
#define error_set(...) (error_set(__VA_ARGS__), -1)
#define error_prefix(...) (error_prefix(__VA_ARGS__), -1)
#endif

#endif
