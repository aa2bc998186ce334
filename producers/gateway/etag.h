/* SPDX-License-Identifier: Apache-2.0
 *
 * Entity tags of conditional requests (RFC 9110, section 13.1.2). */
#ifndef WEIR_GATEWAY_ETAG_H
#define WEIR_GATEWAY_ETAG_H

/* Whether the value of an If-None-Match header names `etag`, an opaque tag with its quotes: "*", or
 * a list of tags, weak ones (W/"…") too, as the comparison is weak. `header` may be NULL. A value
 * that is neither matches nothing, so that the client gets the whole answer. */
int etag_matches(const char *header, const char *etag);

#endif
