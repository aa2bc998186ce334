/* SPDX-License-Identifier: Apache-2.0
 *
 * The answer about each event: a receipt or a problem, always with the key under which the
 * client can send the event again without doubling it. */
#ifndef WEIR_GATEWAY_ANSWER_H
#define WEIR_GATEWAY_ANSWER_H

#include "producers/gateway/ingest.h"

/* Writes and sends the answer of a request whose lines all have ended. The ingest and its request
 * are gone afterwards. */
void answer_events(struct ingest *ingest);

/* Answers with a problem that is not about an event. `allow` is NULL or the methods for a 405. */
void answer_problem(struct gateway *gateway, struct http_request *request, enum problem_type type,
                    const char *allow, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#endif
