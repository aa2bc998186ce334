/* SPDX-License-Identifier: Apache-2.0
 *
 * The editor's file holds what may identify people: it is the user's alone and goes away. */
#include "cli/edit.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"

/* "~1" is a slash and "~0" a tilde. */
static void unescape(const char *from, size_t size, char *to)
{
    for (size_t i = 0; i < size; i++) {
        int escaped = from[i] == '~' && i + 1 < size && (from[i + 1] == '0' || from[i + 1] == '1');
        *to++ = !escaped ? from[i] : from[i + 1] == '1' ? '/' : '~';
        i += (size_t)escaped;
    }
    *to = '\0';
}

/* The index that a part of a pointer names in an array, or -1. */
static int array_index(const json_t *array, const char *name, size_t *ret_index)
{
    char *end;
    errno = 0;
    unsigned long index = strtoul(name, &end, 10);
    if (strcmp(name, "-") == 0) {
        *ret_index = json_array_size(array);
        return 0;
    }
    if (errno || *end || *name < '0' || *name > '9' || index > json_array_size(array))
        return -1;
    *ret_index = index;
    return 0;
}

/* Goes down one step. NULL when there is nothing. */
static json_t *step_down(json_t *value, const char *name)
{
    size_t index;
    if (json_is_object(value))
        return json_object_get(value, name);
    if (json_is_array(value) && array_index(value, name, &index) == 0)
        return json_array_get(value, index);
    return NULL;
}

static int put(json_t *parent, const char *name, json_t *value)
{
    size_t index;
    if (json_is_object(parent))
        return json_object_set_new(parent, name, value);
    if (json_is_array(parent) && array_index(parent, name, &index) == 0)
        return index == json_array_size(parent) ? json_array_append_new(parent, value)
                                                : json_array_set_new(parent, index, value);
    json_decref(value);
    return -1;
}

/* Puts `text` at a JSON pointer (RFC 6901) of the value; `assignment` is "/a/0/b=text". The text is
 * taken as JSON if it is JSON, otherwise as a string. The member may be new; "-" appends to an
 * array. Errors: ERROR_USAGE. */
static int set(json_t *value, const char *assignment, struct error *error)
{
    const char *equals = strchr(assignment, '=');
    const char *at = assignment;
    json_t *parent = value;
    if (*assignment != '/' || !equals)
        return error_set(error, ERROR_USAGE, "bad-option",
                         "set is \"%s\", but must be a JSON pointer and a value: /total=1999",
                         assignment);
    char *name = xmalloc((size_t)(equals - assignment) + 1);
    for (;;) {
        const char *end = memchr(at + 1, '/', (size_t)(equals - at - 1));
        size_t size = (size_t)((end ? end : equals) - at - 1);
        unescape(at + 1, size, name);
        if (!end)
            break;
        parent = step_down(parent, name);
        at = end;
    }
    json_t *json = json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (!json)
        json = json_string(equals + 1);
    int code = json ? put(parent, name, json) : -1;
    free(name);
    return code == 0 ? 0
                     : error_set(error, ERROR_USAGE, "bad-option",
                                 "%.*s: there is no such place in the event",
                                 (int)(equals - assignment), assignment);
}

static int parse(const char *path, const struct buf *text, json_t **ret_value, struct error *error)
{
    json_error_t fault;
    *ret_value =
        json_loadb(text->data ? text->data : "", text->size, JSON_REJECT_DUPLICATES, &fault);
    if (!*ret_value)
        return error_set(error, ERROR_USAGE, "bad-json", "%s:%d: %s", path, fault.line, fault.text);
    return 0;
}

/* Reads one JSON value from a file, or from standard input when `path` is "-". Errors: ERROR_USAGE
 * with the line. */
static int read_value(const char *path, json_t **ret_value, struct error *error)
{
    int is_stdin = strcmp(path, "-") == 0;
    struct buf text = {0};
    FILE *file = is_stdin ? stdin : fopen(path, "rb");
    if (!file)
        return error_set(error, ERROR_USAGE, "input-unreadable", "%s: %s", path, strerror(errno));
    int code = 0;
    for (size_t got = 1; got > 0 && code == 0;) {
        got = fread(buf_reserve(&text, 65536), 1, 65536, file);
        text.size += got;
        if (text.size > EDIT_BYTES_MAX)
            code = error_set(error, ERROR_USAGE, "input-too-large", "%s: more than %d bytes", path,
                             EDIT_BYTES_MAX);
    }
    if (!is_stdin)
        fclose(file);
    if (code == 0)
        code = parse(is_stdin ? "standard input" : path, &text, ret_value, error);
    buf_free(&text);
    return code;
}

/* Writes the value to a file of the editor's own. */
static int make_file(struct edit *edit, struct error *error)
{
    const char *folder = getenv("TMPDIR");
    snprintf(edit->path, sizeof edit->path, "%.200s/weir-event-XXXXXX.json",
             folder && *folder ? folder : "/tmp");
    int fd = mkstemps(edit->path, 5); /* mode 0600 */
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!file) {
        error_set(error, ERROR_USAGE, "editor", "%s: %s", edit->path, strerror(errno));
        if (fd >= 0)
            close(fd);
        edit->path[0] = '\0';
        return -1;
    }
    json_dumpf(edit->value, file, JSON_INDENT(2));
    fputc('\n', file);
    return fclose(file) == 0
               ? 0
               : error_set(error, ERROR_USAGE, "editor", "%s: %s", edit->path, strerror(errno));
}

/* By the shell, because $EDITOR may hold options; the path is an argument of its own. */
static int run_editor(struct edit *edit, struct error *error)
{
    char *const arguments[] = {"sh", "-c",       "exec ${VISUAL:-${EDITOR:-vi}} \"$1\"",
                               "sh", edit->path, NULL};
    pid_t pid;
    int status = -1;
    if (!*edit->path && make_file(edit, error) != 0)
        return -1;
    if (posix_spawnp(&pid, "sh", NULL, NULL, arguments, environ) == 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return error_set(error, ERROR_USAGE, "editor",
                         "the editor did not end well; nothing was done");
    return 0;
}

int edit_apply(const struct config *config, struct edit *edit, int *ret_by_hand,
               struct error *error)
{
    const char *path = config_text(config, OPT_FILE);
    const char *const *assignments;
    size_t count = config_list(config, OPT_SET, &assignments);
    json_t *read = NULL;
    *ret_by_hand = 0;
    if (!*path && count == 0) {
        if (!isatty(STDIN_FILENO))
            return error_set(error, ERROR_USAGE, "bad-option",
                             "say what to change: --set POINTER=VALUE or --file FILE; without a "
                             "terminal there is no editor");
        if (run_editor(edit, error) != 0)
            return -1;
        *ret_by_hand = 1;
        path = edit->path;
    }
    if (*path) {
        if (read_value(path, &read, error) != 0)
            return -1;
        json_decref(edit->value);
        edit->value = read;
    }
    if (!json_is_object(edit->value))
        return error_set(error, ERROR_USAGE, "bad-json", "the event must be a JSON object");
    for (size_t i = 0; i < count; i++)
        if (set(edit->value, assignments[i], error) != 0)
            return -1;
    return 0;
}

void edit_free(struct edit *edit)
{
    json_decref(edit->value);
    edit->value = NULL;
    if (*edit->path)
        unlink(edit->path);
    edit->path[0] = '\0';
}
