/* SPDX-License-Identifier: Apache-2.0
 *
 * Options of a command, read from defaults, then the configuration file, then the environment, then
 * the command line; the last one wins. lib/base/options.def is the only list of them. An unknown
 * name, a value that does not fit or an option that the command does not take is an error that
 * names it. */
#ifndef WEIR_BASE_CONFIG_H
#define WEIR_BASE_CONFIG_H

#include <stdint.h>
#include <stdio.h>

#include "lib/base/error.h"

enum option_id {
#define OPTION(id, ...) OPT_##id,
#include "lib/base/options.def"
#undef OPTION
    OPTION_COUNT
};

enum { CONFIG_ARGUMENTS_MAX = 64, CONFIG_LIST_MAX = 64 };

struct config;

/* Reads the options of one command.
 *   options   what the command takes beside the general ones (config, home, log-level, log-format,
 * output) argv      the words behind the command's name; `--name value`, `--name=value`, `-o X`,
 * `-f`, `-h` Words that are no options become arguments. `--` ends the options. Errors:
 * ERROR_USAGE. */
int config_parse(const enum option_id *options, size_t option_count, int argc, char **argv,
                 struct config **ret_config, struct error *error);
void config_free(struct config *config);

/* Cuts blanks off the end of a text, and returns where it begins behind blanks. */
char *config_trim(char *text);

/* --help or -h was given. */
int config_wants_help(const struct config *config);

/* Values are valid as long as `config`. Text is never NULL; "" means not set. */
const char *config_text(const struct config *config, enum option_id id);
int64_t config_int(const struct config *config,
                   enum option_id id); /* INTEGER, SIZE in bytes, DURATION in ms, FLAG 0/1 */
size_t config_list(const struct config *config, enum option_id id, const char *const **ret_values);
/* Whether the option was set anywhere, or only has its default. */
int config_is_set(const struct config *config, enum option_id id);

/* Whether the command line set it, where `ps` shows it to everybody. */
int config_is_shown(const struct config *config, enum option_id id);
/* Replaces the text, as if it came from the same source. */
void config_replace(struct config *config, enum option_id id, const char *text);

size_t config_argument_count(const struct config *config);
const char *config_argument(const struct config *config, size_t index); /* NULL behind the last */

/* Prints "  --name ARG   help (default: x)" for each option, general ones last. */
void config_print_options(FILE *out, const enum option_id *options, size_t option_count);

#endif
