/* SPDX-License-Identifier: Apache-2.0
 *
 * What several subcommands share: the catalog's topics, the output format, and tables of text. */
#ifndef WEIR_CLI_SUPPORT_H
#define WEIR_CLI_SUPPORT_H

#include <jansson.h>
#include <stddef.h>

#include "lib/base/asset.h"
#include "lib/base/config.h"
#include "lib/base/error.h"

enum output_format { OUTPUT_TEXT, OUTPUT_JSON, OUTPUT_JSONL };

/* Reads --output. Errors: ERROR_USAGE. */
int output_format(const struct config *config, enum output_format *ret_format, struct error *error);

/* Prints one JSON value on a line of stdout and gives it up. */
void print_json(json_t *value);

enum { TOPIC_NAMES_MAX = 256, TOPIC_NAME_SIZE = 250 };

struct topic_names {
    size_t count;
    char names[TOPIC_NAMES_MAX][TOPIC_NAME_SIZE];
};

/* From the assets that --home names: the topic of each domain, "weir.<domain>" for each folder
 * below schemas/, in name order; behind them those of each processor, its dead letters and
 * decisions. Neither schemas nor processors are read. Errors: ERROR_USAGE when there is no domain
 * or there are too many topics. */
int topic_names_open(const struct config *config, struct topic_names *ret_names,
                     struct error *error);

/* "http://host:port" of a listen address as this machine reaches it: an address that means all of
 * them becomes loopback. */
void listen_base(const char *listen, char *ret_base, size_t size);

/* The gateway as the options say: --target when it is set, otherwise where --gateway-listen is. No
 * '/' at the end. */
void gateway_base(const struct config *config, char *ret_base, size_t size);

#endif
