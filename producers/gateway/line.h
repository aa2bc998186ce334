/* SPDX-License-Identifier: Apache-2.0
 *
 * One event of a request: read, checked, encoded, handed to the producer; or a problem. */
#ifndef WEIR_GATEWAY_LINE_H
#define WEIR_GATEWAY_LINE_H

#include "producers/gateway/ingest.h"

/* Reads `text` as the body of line->event, or as {"event", "key"?, "data"} when that is NULL, and
 * hands it over. Afterwards the line either has a status, or its report is under way or came. */
void line_take(struct line *line, const char *text, size_t size);

/* Counts a line out that was handed over: its report came. */
void line_release(struct line *line);

/* Turns a line down that has not been handed over. `faults` may be NULL. */
void line_refuse(struct line *line, enum problem_type type, const struct faults *faults,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The event that a wrong name probably means, or NULL. */
const char *line_nearest_event(const struct catalog *catalog, const char *name);

#endif
