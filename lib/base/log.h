/* SPDX-License-Identifier: Apache-2.0
 *
 * The program's log: one line per event on stderr, readable text on a terminal and JSON otherwise.
 * Only loops, roles and commands log; libraries return errors. A thread may carry context fields
 * (its processor, say) that are added to each of its lines. Payloads, keys and secrets are never
 * logged. */
#ifndef WEIR_BASE_LOG_H
#define WEIR_BASE_LOG_H

#include "lib/base/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_AUTO, LOG_TEXT, LOG_JSON };

/* Call once before threads start. */
void log_setup(enum log_level lowest, enum log_format format);

/* Sets a context field of the calling thread; NULL removes it. At most LOG_CONTEXT_MAX; key and
 * value must outlive the thread. */
enum { LOG_CONTEXT_MAX = 4 };
void log_context(const char *key, const char *value);

/* A line that stays below the log on a terminal: each line of the log takes it away, and puts it
 * back below itself. Draws `text` over the one before; NULL takes it away. The caller removes
 * control characters; a text longer than LOG_STATUS_MAX - 1 is cut. Any thread. */
enum { LOG_STATUS_MAX = 512 };
void log_status(const char *text);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
