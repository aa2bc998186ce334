/* SPDX-License-Identifier: Apache-2.0
 *
 * Listening sockets, made by ourselves so that a failure says which address and why. */
#ifndef WEIR_HTTP_LISTEN_H
#define WEIR_HTTP_LISTEN_H

#include "lib/base/error.h"

/* Opens a non-blocking listening TCP socket for "HOST:PORT" or "[V6]:PORT"; the caller closes it.
 * Errors: ERROR_USAGE when the text is no address, ERROR_FATAL when it cannot be bound. */
int listen_open(const char *address, int *ret_socket, struct error *error);

/* Whether HOST is a loopback address; a name counts when all its addresses do. Errors: as above. */
int listen_is_loopback(const char *address, int *ret_loopback, struct error *error);

/* The port that a bound socket has. */
int listen_port(int socket);

#endif
