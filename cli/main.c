/* SPDX-License-Identifier: Apache-2.0
 *
 * The program: finds the subcommand, reads its options, runs it, and turns its error into a message
 * and an exit code. The only place that ends the process. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/login.h"
#include "lib/base/log.h"

#define COMMAND(name) extern const struct command command_##name;
#include "cli/commands.def"
#undef COMMAND

static const struct command *const commands[] = {
#define COMMAND(name) &command_##name,
#include "cli/commands.def"
#undef COMMAND
    NULL};

static void print_usage(FILE *out)
{
    fputs("Weir takes a creator platform's events from HTTP through Kafka into Postgres, exactly "
          "once.\n\n"
          "Usage: weir COMMAND [OPTIONS] [ARGUMENTS]\n\nCommands:\n",
          out);
    for (size_t i = 0; commands[i]; i++)
        fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n`weir COMMAND --help` says more. Exit codes: 0 done, 1 failed, 2 wrong usage or "
          "configuration,\n"
          "3 a check found something wrong.\n",
          out);
}

static void print_help(const struct command *command)
{
    printf("Usage: weir %s%s%s [OPTIONS]\n\n%s\n\nOptions:\n", command->name,
           *command->arguments ? " " : "", command->arguments, command->help);
    config_print_options(stdout, command->options, command->option_count);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int setup_log(const struct config *config, struct error *error)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    static const char *const formats[] = {"auto", "text", "json"};
    int level = -1;
    int format = -1;
    for (int i = 0; i < 4; i++)
        if (strcmp(config_text(config, OPT_LOG_LEVEL), levels[i]) == 0)
            level = i;
    for (int i = 0; i < 3; i++)
        if (strcmp(config_text(config, OPT_LOG_FORMAT), formats[i]) == 0)
            format = i;
    if (level < 0)
        return error_set(error, ERROR_USAGE, "bad-option",
                         "log-level is \"%s\", but must be debug, info, warn or error",
                         config_text(config, OPT_LOG_LEVEL));
    if (format < 0)
        return error_set(error, ERROR_USAGE, "bad-option",
                         "log-format is \"%s\", but must be auto, text or json",
                         config_text(config, OPT_LOG_FORMAT));
    log_setup((enum log_level)level, (enum log_format)format);
    return 0;
}

static int run_command(const struct command *command, int argc, char **argv)
{
    struct error error = {0};
    struct config *config = NULL;
    int code = EXIT_USAGE;
    if (config_parse(command->options, command->option_count, argc, argv, &config, &error) == 0) {
        if (config_wants_help(config)) {
            print_help(command);
            code = EXIT_OK;
        } else if (setup_log(config, &error) == 0 &&
                   login_complete(config, command->login, &error) == 0) {
            code = command->run(config, &error);
        }
    }
    if (code != EXIT_OK && error.class != ERROR_NONE)
        fprintf(stderr, "weir %s: %s\n", command->name, error.message);
    if (error.class == ERROR_USAGE)
        code = EXIT_USAGE;
    config_free(config);
    return code;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2 || !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") ||
        !strcmp(argv[1], "-h")) {
        print_usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_OK;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version")) {
        puts("weir " WEIR_VERSION);
        return EXIT_OK;
    }
    const struct command *command = find_command(argv[1]);
    if (!command) {
        fprintf(stderr, "weir: there is no command \"%s\"; `weir help` lists them\n", argv[1]);
        return EXIT_USAGE;
    }
    return run_command(command, argc - 2, argv + 2);
}
