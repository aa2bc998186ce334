/* SPDX-License-Identifier: Apache-2.0
 *
 * The read side of Confluent's schema registry API, served from the catalog, so that clients and
 * tools that know that API decode Weir's events without another server. */
#ifndef WEIR_GATEWAY_REGISTRY_H
#define WEIR_GATEWAY_REGISTRY_H

#include "producers/gateway/gateway.h"

/* Answers a request whose path belongs to the registry's API: /subjects, /schemas, /config, /mode
 * and what is below them. Returns 1 when it has answered, 0 when the path is another's. */
int registry_answer(struct gateway *gateway, struct http_request *request);

#endif
