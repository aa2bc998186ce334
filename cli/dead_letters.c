/* SPDX-License-Identifier: Apache-2.0
 *
 * weir dead-letters: what was not applied, and what is to become of it. weir parked: events that
 * wait, the one that failed and those of its Space behind it. */
#include <string.h>

#include "cli/dead_letters.h"
#include "cli/decide.h"

static int run_list(struct letters_context *context, struct error *error)
{
    return failed_list(context->config, context->conn, context->kind, context->format, error);
}

static int run_show(struct letters_context *context, struct error *error)
{
    return failed_show(context->config, context->conn, context->kind, context->format, error);
}

static struct decide decide_about(struct letters_context *context, const char *verdict)
{
    return (struct decide){.config = context->config,
                           .conn = context->conn,
                           .format = context->format,
                           .kind = context->kind,
                           .verdict = verdict};
}

static int run_redrive(struct letters_context *context, struct error *error)
{
    struct decide decide = decide_about(context, "redrive");
    PGresult *rows = NULL;
    int count = 0;
    if (!config_int(context->config, OPT_DRY_RUN))
        return decide_run(&decide, error);
    if (decide_load(&decide, &rows, &count, error) != 0)
        return EXIT_FAILED;
    int result = count == 0 ? EXIT_OK : letters_rehearse(context, rows, count, NULL, error);
    PQclear(rows);
    return result;
}

static int run_retry(struct letters_context *context, struct error *error)
{
    struct decide decide = decide_about(context, "retry");
    return decide_run(&decide, error);
}

static int run_discard(struct letters_context *context, struct error *error)
{
    struct decide decide = decide_about(context, "discard");
    return decide_run(&decide, error);
}

static int run_action(struct letters_context *context, struct error *error)
{
    int parked = context->kind == FAILED_PARKED;
    const struct {
        const char *name;
        int (*run)(struct letters_context *context, struct error *error);
    } actions[] = {{"list", run_list},
                   {"show", run_show},
                   {parked ? "retry" : "redrive", parked ? run_retry : run_redrive},
                   {"discard", run_discard},
                   {"patch", letters_patch}};
    const char *name = config_argument(context->config, 0);
    for (size_t i = 0; name && i < sizeof actions / sizeof *actions; i++)
        if (strcmp(name, actions[i].name) == 0)
            return actions[i].run(context, error);
    error_set(error, ERROR_USAGE, "bad-argument",
              "say what to do: list, show, %s, discard or patch; see --help", actions[2].name);
    return EXIT_USAGE;
}

static int run(const struct config *config, enum failed_kind kind, const char *name,
               struct error *error)
{
    struct letters_context context = {.config = config, .kind = kind};
    int result = EXIT_FAILED;
    if (output_format(config, &context.format, error) == 0 &&
        pg_connect(config_text(config, OPT_DATABASE), name, &context.conn, error) == 0) {
        pg_set_patience(context.conn, PG_PATIENCE_MS);
        result = run_action(&context, error);
    }
    PQfinish(context.conn);
    return result;
}

static int run_dead_letters(const struct config *config, struct error *error)
{
    return run(config, FAILED_DEAD_LETTERS, "weir dead-letters", error);
}

static int run_parked(const struct config *config, struct error *error)
{
    return run(config, FAILED_PARKED, "weir parked", error);
}

/* Of both; `which` narrows the choice. */
#define OPTIONS(which)                                                                             \
    {                                                                                              \
        OPT_DATABASE, OPT_PROCESSOR, OPT_SPACE, OPT_EVENT, OPT_ERROR, OPT_SINCE, OPT_UNTIL, which, \
            OPT_LIMIT, OPT_SHOW_PII, OPT_YES, OPT_BY, OPT_REASON, OPT_DRY_RUN, OPT_MAX, OPT_RATE,  \
            OPT_WAIT, OPT_SET, OPT_FILE, OPT_AS, OPT_KAFKA_BROKERS, OPT_KAFKA,                     \
            OPT_DELIVERY_TIMEOUT, OPT_SCHEMA_REGISTRY_URL, OPT_SCHEMA_REGISTRY_AUTH,               \
            OPT_SCHEMA_REGISTRY_CA                                                                 \
    }

static const enum option_id dead_letters_options[] = OPTIONS(OPT_STATUS);
static const enum option_id parked_options[] = OPTIONS(OPT_ALL);

const struct command command_dead_letters = {
    .name = "dead-letters",
    .arguments = "list|show|redrive|discard|patch [ID|PLACE...]",
    .summary = "records that were not applied: list, show, redrive, discard and patch them",
    .help =
        "list     a line for each dead letter, and by processor their number and greatest age\n"
        "show     the event as JSON by the newest version of its schema, the error, the headers,\n"
        "         the decisions, and whether later events of its Space were already applied\n"
        "redrive  apply them after all, in the order of the log; --dry-run shows which rows would\n"
        "         change, and changes none\n"
        "discard  never apply them; needs --reason\n"
        "patch    publish another event instead: its JSON comes from --set and --file, or from\n"
        "         $EDITOR; needs --reason; --dry-run rehearses it\n"
        "\n"
        "Choose dead letters by ID, by PLACE (topic/partition/offset, as in commerce/3/17) or by\n"
        "options; without --status the open ones. Fields that identify people (x-pii) read "
        "\"***\"\n"
        "unless --show-pii is given.\n"
        "\n"
        "A redrive or discard is recorded with who and why. The processor that owns the partition\n"
        "carries it out, and the command waits for the outcome (--wait, 30s). Of several the "
        "first\n"
        "must succeed before the others are decided, --rate a second. The first failure ends the\n"
        "command. With --wait 0s it decides about all of them and does not wait.\n"
        "\n"
        "Examples:\n"
        "  weir dead-letters list --processor ledger --error 23514 --since 2h\n"
        "  weir dead-letters show 7\n"
        "  weir dead-letters redrive --processor ledger --error 23514 --max 100 --rate 20 --yes\n"
        "  weir dead-letters discard commerce/3/17 --reason 'a test of the shop, INC-112'\n"
        "  weir dead-letters patch 7 --set /total=1999 --reason 'cents, not euros'\n"
        "\n"
        "Exit codes: 0 done; 1 an outcome is not the wanted one, or not there in time; 2 wrong\n"
        "usage, or nothing matches; 3 --dry-run: one would fail.",
    .options = dead_letters_options,
    .option_count = sizeof dead_letters_options / sizeof *dead_letters_options,
    .run = run_dead_letters,
};

const struct command command_parked = {
    .name = "parked",
    .arguments = "list|show|retry|discard|patch [PLACE...]",
    .summary = "events that wait for one that failed: list, show, retry, discard and patch them",
    .help =
        "An event that failed is tried again, and later events of its Space and topic wait behind "
        "it.\n"
        "\n"
        "list     a line for each Space that is held back: the event that failed, when it is "
        "tried\n"
        "         next, and how many are parked; with --all a line for each event\n"
        "show     the event as JSON, the error, the headers, the decisions\n"
        "retry    try the first event of a Space now\n"
        "discard  never apply it: it becomes a discarded dead letter; needs --reason\n"
        "patch    publish another event instead: its JSON comes from --set and --file, or from\n"
        "         $EDITOR; needs --reason; --dry-run rehearses it\n"
        "\n"
        "Choose events by PLACE (topic/partition/offset, as in commerce/3/17) or by options. "
        "Fields\n"
        "that identify people (x-pii) read \"***\" unless --show-pii is given. A decision is "
        "recorded\n"
        "with who and why. The processor that owns the partition carries it out, and the command\n"
        "waits for the outcome (--wait, 30s). Of several the first must succeed before the others\n"
        "are decided, --rate a second. The first failure ends the command.\n"
        "\n"
        "Examples:\n"
        "  weir parked list --processor ledger\n"
        "  weir parked show commerce/3/17\n"
        "  weir parked retry --processor ledger --error 23514 --yes\n"
        "  weir parked patch commerce/3/17 --processor ledger --set /total=1999 --reason 'cents, "
        "not euros'\n"
        "\n"
        "Exit codes: 0 done; 1 an outcome is not the wanted one, or not there in time; 2 wrong\n"
        "usage, or nothing matches.",
    .options = parked_options,
    .option_count = sizeof parked_options / sizeof *parked_options,
    .run = run_parked,
};
