/* SPDX-License-Identifier: Apache-2.0
 *
 * Who a command is to Postgres. Gateway, processors and operators have logins of their own, so one
 * --database without a user serves them all. */
#ifndef WEIR_CLI_LOGIN_H
#define WEIR_CLI_LOGIN_H

#include "lib/base/config.h"
#include "lib/base/error.h"

/* The login that owns the schemas: it migrates and rebuilds, and operators decide as it. */
#define LOGIN_OWNER "weir_owner"

/* Puts a user into --database where neither that nor PGUSER names one: `login`, or the owner when
 * it is NULL. Errors (ERROR_USAGE): the connection string cannot be read, or the command line shows
 * a password in it. */
int login_complete(struct config *config, const char *login, struct error *error);

#endif
