/* SPDX-License-Identifier: Apache-2.0
 *
 * Each option has one slot that holds its text and, for numbers, its value; a later source
 * overwrites an earlier one. Values are checked when they are stored, so that the error can name
 * the source. */
#include "lib/base/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/nearest.h"
#include "lib/base/timestamp.h"

enum option_kind {
    KIND_TEXT,
    KIND_SECRET,
    KIND_LIST,
    KIND_INTEGER,
    KIND_SIZE,
    KIND_DURATION,
    KIND_FLAG
};

static const struct option_spec {
    const char *name;
    enum option_kind kind;
    const char *argument;
    const char *preset;
    int64_t lowest;
    int64_t highest;
    const char *help;
} specs[OPTION_COUNT] = {
#define OPTION(id, name, kind, argument, preset, lowest, highest, help)                            \
    [OPT_##id] = {name, KIND_##kind, argument, preset, lowest, highest, help},
#include "lib/base/options.def"
#undef OPTION
};

static const enum option_id general[] = {OPT_CONFIG, OPT_HOME, OPT_LOG_LEVEL, OPT_LOG_FORMAT,
                                         OPT_OUTPUT};
enum { GENERAL_COUNT = sizeof general / sizeof *general };

enum { VARIABLE_SIZE = 96 };

struct config {
    char taken[OPTION_COUNT]; /* the command takes it */
    char set[OPTION_COUNT];
    char by_word[OPTION_COUNT]; /* on the command line, where `ps` shows it */
    char *text[OPTION_COUNT];
    int64_t value[OPTION_COUNT];
    const char *list[OPTION_COUNT][CONFIG_LIST_MAX];
    size_t list_count[OPTION_COUNT];
    const char *arguments[CONFIG_ARGUMENTS_MAX];
    size_t argument_count;
    int help;
};

static int parse_size(const char *text, int64_t *ret_bytes)
{
    static const struct {
        const char *suffix;
        int64_t bytes;
    } units[] = {{"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || value < 0)
        return -1;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].suffix) == 0)
            return __builtin_mul_overflow(value, units[i].bytes, ret_bytes) ? -1 : 0;
    return -1;
}

static int parse_integer(const char *text, int64_t *ret_value)
{
    char *end;
    errno = 0;
    *ret_value = strtoll(text, &end, 10);
    return errno || end == text || *end ? -1 : 0;
}

static int parse_flag(const char *text, int64_t *ret_value)
{
    *ret_value = !strcmp(text, "true") || !strcmp(text, "1") || !strcmp(text, "yes");
    return *ret_value || !strcmp(text, "false") || !strcmp(text, "0") || !strcmp(text, "no") ? 0
                                                                                             : -1;
}

static int parse_value(enum option_kind kind, const char *text, int64_t *ret_value)
{
    switch (kind) {
    case KIND_INTEGER:
        return parse_integer(text, ret_value);
    case KIND_SIZE:
        return parse_size(text, ret_value);
    case KIND_DURATION:
        return duration_parse(text, ret_value);
    case KIND_FLAG:
        return parse_flag(text, ret_value);
    case KIND_TEXT:
    case KIND_SECRET:
    case KIND_LIST:
        break;
    }
    *ret_value = 0;
    return 0;
}

static const char *kind_example(enum option_kind kind)
{
    static const char *const examples[] = {[KIND_INTEGER] = "a whole number",
                                           [KIND_SIZE] = "a size such as 64KiB",
                                           [KIND_DURATION] = "a time such as 200ms, 30s, 5m",
                                           [KIND_FLAG] = "true or false"};
    return examples[kind];
}

static int store(struct config *config, enum option_id id, const char *text, const char *source,
                 struct error *error)
{
    const struct option_spec *spec = &specs[id];
    int64_t value;
    if (parse_value(spec->kind, text, &value) != 0)
        return error_set(error, ERROR_USAGE, "bad-option", "%s: %s is \"%s\", but must be %s",
                         source, spec->name, text, kind_example(spec->kind));
    int bounded =
        spec->kind == KIND_INTEGER || spec->kind == KIND_SIZE || spec->kind == KIND_DURATION;
    if (bounded && (value < spec->lowest || value > spec->highest))
        return error_set(error, ERROR_USAGE, "bad-option",
                         "%s: %s is %s, but must be from %lld to %lld%s", source, spec->name, text,
                         (long long)spec->lowest, (long long)spec->highest,
                         spec->kind == KIND_DURATION ? " ms" : "");
    if (spec->kind == KIND_LIST && *text) {
        if (config->list_count[id] == CONFIG_LIST_MAX)
            return error_set(error, ERROR_USAGE, "bad-option", "%s: %s is given more than %d times",
                             source, spec->name, CONFIG_LIST_MAX);
        config->list[id][config->list_count[id]++] = xstrdup(text);
    }
    free(config->text[id]);
    config->text[id] = xstrdup(text);
    config->value[id] = value;
    config->set[id] = 1;
    return 0;
}

/* Two commands may mean different things by one name: the one that this command takes counts. */
static int find_option(const struct config *config, const char *name, size_t size)
{
    int found = -1;
    for (int id = 0; id < OPTION_COUNT; id++)
        if (strlen(specs[id].name) == size && memcmp(specs[id].name, name, size) == 0 &&
            (found < 0 || config->taken[id]))
            found = id;
    return found;
}

char *config_trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    char *end = text + strlen(text);
    while (end > text && isspace((unsigned char)end[-1]))
        *--end = '\0';
    return text;
}

static int read_file(struct config *config, const char *path, struct error *error)
{
    struct stat status;
    FILE *file = fopen(path, "r");
    if (!file || fstat(fileno(file), &status) != 0 || S_ISDIR(status.st_mode)) {
        int code = error_set(error, ERROR_USAGE, "config-unreadable", "--config %s: %s", path,
                             strerror(file ? EISDIR : errno));
        if (file)
            fclose(file);
        return code;
    }
    char line[4096];
    int result = 0;
    for (int number = 1; result == 0 && fgets(line, sizeof line, file); number++) {
        char *text = config_trim(line);
        char source[512];
        snprintf(source, sizeof source, "%s:%d", path, number);
        if (*text == '\0' || *text == '#')
            continue;
        char *equals = strchr(text, '=');
        if (!equals) {
            result =
                error_set(error, ERROR_USAGE, "bad-config", "%s: expected name = value", source);
            break;
        }
        *equals = '\0';
        char *name = config_trim(text);
        int id = find_option(config, name, strlen(name));
        if (id < 0 || id == OPT_CONFIG)
            result = error_set(error, ERROR_USAGE, "unknown-option",
                               "%s: there is no option \"%s\"", source, name);
        else /* one file serves every role, so options of other commands are checked and kept */
            result = store(config, (enum option_id)id, config_trim(equals + 1), source, error);
    }
    if (result == 0 && ferror(file))
        result = error_set(error, ERROR_USAGE, "config-unreadable", "--config %s: %s", path,
                           strerror(errno));
    fclose(file);
    return result;
}

/* WEIR_KAFKA_BROKERS for kafka-brokers */
static void variable_of(enum option_id id, char ret_name[VARIABLE_SIZE])
{
    size_t size = (size_t)snprintf(ret_name, VARIABLE_SIZE, "WEIR_%s", specs[id].name);
    for (size_t i = 0; i < size; i++)
        ret_name[i] = ret_name[i] == '-' ? '_' : (char)toupper((unsigned char)ret_name[i]);
}

/* Variables of the name that are no option's: those of the scripts of a checkout and of its tests,
 * and what Kubernetes sets for a service that is called weir-something. */
static int is_foreign(const char *name)
{
    static const char *const starts[] = {
#ifdef WEIR_FAILPOINTS
        "WEIR_FAILPOINT",
#endif
        "WEIR_STATE",         "WEIR_TEST_",  "WEIR_KAFKA_HEAP", "WEIR_KAFKA_PROXY",
        "WEIR_REGISTRY_KEEP", "WEIR_CHAOS_", "WEIR_HOSTILE_"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return 1;
    return strstr(name, "_PORT") != NULL || strstr(name, "_SERVICE_") != NULL;
}

static int refuse_variable(const char *name, struct error *error)
{
    char candidate[VARIABLE_SIZE];
    char nearest[VARIABLE_SIZE] = "";
    size_t least = SIZE_MAX;
    for (int id = 0; id < OPTION_COUNT; id++) {
        variable_of((enum option_id)id, candidate);
        size_t distance = nearest_distance(name, candidate);
        if (distance < least) {
            least = distance;
            memcpy(nearest, candidate, sizeof nearest);
        }
    }
    return error_set(error, ERROR_USAGE, "unknown-option",
                     "environment: there is no option %s%s%s; WEIR_ begins the names of options "
                     "alone",
                     name, nearest_plausible(name, least) ? ", perhaps " : "",
                     nearest_plausible(name, least) ? nearest : "");
}

static int check_environment(struct error *error)
{
    for (char **variable = environ; *variable; variable++) {
        char name[VARIABLE_SIZE];
        char known[VARIABLE_SIZE];
        int id = 0;
        if (strncmp(*variable, "WEIR_", 5) != 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*variable, "="), *variable);
        for (; id < OPTION_COUNT; id++) {
            variable_of((enum option_id)id, known);
            if (strcmp(name, known) == 0)
                break;
        }
        if (id == OPTION_COUNT && !is_foreign(name))
            return refuse_variable(name, error);
    }
    return 0;
}

static int read_environment(struct config *config, struct error *error)
{
    if (check_environment(error) != 0)
        return -1;
    for (int id = 0; id < OPTION_COUNT; id++) {
        char name[VARIABLE_SIZE];
        if (find_option(config, specs[id].name, strlen(specs[id].name)) != id)
            continue;
        variable_of((enum option_id)id, name);
        const char *value = getenv(name);
        if (value && store(config, (enum option_id)id, value, name, error) != 0)
            return -1;
    }
    return 0;
}

/* A file's name is none. */
static int is_secret(enum option_id id, const char *value)
{
    static const char *const keys[] = {"password", "secret", "key.pem"};
    if (specs[id].kind == KIND_SECRET)
        return *value != '@';
    for (size_t i = 0; id == OPT_KAFKA && i < sizeof keys / sizeof *keys; i++)
        if (memmem(value, strcspn(value, "="), keys[i], strlen(keys[i])))
            return 1;
    return 0;
}

static int refuse_secret(const char *name, struct error *error)
{
    return error_set(error, ERROR_USAGE, "secret-shown",
                     "--%s: a secret on the command line shows in `ps`; set it in the environment, "
                     "or in the file of --config",
                     name);
}

/* Takes one word that starts with "-". `next` is the word behind it. Returns how many words were
 * used, or -1. */
static int read_word(struct config *config, const char *word, const char *next, struct error *error)
{
    const char *name = word + (word[1] == '-' ? 2 : 1);
    if (strcmp(word, "-o") == 0)
        name = "output";
    else if (strcmp(word, "-f") == 0)
        name = "follow";
    else if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
        config->help = 1;
        return 1;
    } else if (word[1] != '-')
        return error_set(error, ERROR_USAGE, "unknown-option", "there is no option %s; see --help",
                         word);
    size_t size = strcspn(name, "=");
    int id = find_option(config, name, size);
    if (id < 0)
        return error_set(error, ERROR_USAGE, "unknown-option", "there is no option %s; see --help",
                         word);
    if (!config->taken[id])
        return error_set(error, ERROR_USAGE, "unknown-option",
                         "this command takes no option --%s; see --help", specs[id].name);
    const char *value = name[size] == '=' ? name + size + 1 : next;
    if (value && is_secret((enum option_id)id, value))
        return refuse_secret(specs[id].name, error);
    config->by_word[id] = 1;
    if (name[size] == '=')
        return store(config, (enum option_id)id, name + size + 1, "command line", error) == 0 ? 1
                                                                                              : -1;
    if (specs[id].kind == KIND_FLAG)
        return store(config, (enum option_id)id, "true", "command line", error) == 0 ? 1 : -1;
    if (!next)
        return error_set(error, ERROR_USAGE, "bad-option", "--%s needs a value: %s", specs[id].name,
                         specs[id].argument);
    return store(config, (enum option_id)id, next, "command line", error) == 0 ? 2 : -1;
}

static int read_words(struct config *config, int argc, char **argv, struct error *error)
{
    int options_ended = 0;
    for (int i = 0; i < argc;) {
        if (!options_ended && strcmp(argv[i], "--") == 0) {
            options_ended = 1;
            i++;
        } else if (!options_ended && argv[i][0] == '-' && argv[i][1]) {
            int used = read_word(config, argv[i], i + 1 < argc ? argv[i + 1] : NULL, error);
            if (used < 0)
                return -1;
            i += used;
        } else if (config->argument_count == CONFIG_ARGUMENTS_MAX) {
            return error_set(error, ERROR_USAGE, "bad-argument", "more than %d arguments",
                             CONFIG_ARGUMENTS_MAX);
        } else {
            config->arguments[config->argument_count++] = argv[i++];
        }
    }
    return 0;
}

/* The file is named by the command line or the environment, and read before both. */
static const char *config_file(int argc, char **argv)
{
    const char *path = getenv("WEIR_CONFIG");
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0)
            path = argv[i] + 9;
        else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            path = argv[i + 1];
    }
    return path && *path ? path : NULL;
}

int config_parse(const enum option_id *options, size_t option_count, int argc, char **argv,
                 struct config **ret_config, struct error *error)
{
    struct config *config = xcalloc(1, sizeof *config);
    const char *path = config_file(argc, argv);
    for (size_t i = 0; i < GENERAL_COUNT; i++)
        config->taken[general[i]] = 1;
    for (size_t i = 0; i < option_count; i++)
        config->taken[options[i]] = 1;
    for (int id = 0; id < OPTION_COUNT; id++) {
        config->text[id] = xstrdup(specs[id].preset);
        parse_value(specs[id].kind, specs[id].preset, &config->value[id]);
    }
    if ((path && read_file(config, path, error) != 0) || read_environment(config, error) != 0 ||
        read_words(config, argc, argv, error) != 0) {
        config_free(config);
        return -1;
    }
    *ret_config = config;
    return 0;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (int id = 0; id < OPTION_COUNT; id++) {
        free(config->text[id]);
        for (size_t i = 0; i < config->list_count[id]; i++)
            free((char *)config->list[id][i]);
    }
    free(config);
}

int config_wants_help(const struct config *config)
{
    return config->help;
}

const char *config_text(const struct config *config, enum option_id id)
{
    return config->text[id];
}

int64_t config_int(const struct config *config, enum option_id id)
{
    return config->value[id];
}

size_t config_list(const struct config *config, enum option_id id, const char *const **ret_values)
{
    *ret_values = config->list[id];
    return config->list_count[id];
}

int config_is_set(const struct config *config, enum option_id id)
{
    return config->set[id];
}

int config_is_shown(const struct config *config, enum option_id id)
{
    return config->by_word[id];
}

void config_replace(struct config *config, enum option_id id, const char *text)
{
    free(config->text[id]);
    config->text[id] = xstrdup(text);
}

size_t config_argument_count(const struct config *config)
{
    return config->argument_count;
}

const char *config_argument(const struct config *config, size_t index)
{
    return index < config->argument_count ? config->arguments[index] : NULL;
}

static void print_option(FILE *out, enum option_id id)
{
    const struct option_spec *spec = &specs[id];
    char left[80];
    snprintf(left, sizeof left, "--%s%s%s", spec->name, *spec->argument ? " " : "", spec->argument);
    fprintf(out, "  %-32s %s", left, spec->help);
    if (*spec->preset && spec->kind != KIND_FLAG)
        fprintf(out, " (default: %s)", spec->preset);
    fputc('\n', out);
}

void config_print_options(FILE *out, const enum option_id *options, size_t option_count)
{
    for (size_t i = 0; i < option_count; i++)
        print_option(out, options[i]);
    for (size_t i = 0; i < GENERAL_COUNT; i++)
        print_option(out, general[i]);
}
