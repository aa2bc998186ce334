/* SPDX-License-Identifier: Apache-2.0
 *
 * The test build's failpoints. The environment is read once, before main; hits are counted with
 * atomics, so that a place costs next to nothing while it waits for its turn. */
#include "lib/base/failpoint.h"

#ifdef WEIR_FAILPOINTS

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ORDERS_MAX = 16, /* in one WEIR_FAILPOINT */
    SPEC_MAX = 1024, /* bytes of it */
    SLEEP_MAX_MS = 600000,
    USAGE_EXIT = 2
};

enum action { ACTION_KILL, ACTION_FREEZE, ACTION_ABORT, ACTION_FAIL, ACTION_SLEEP };

struct order {
    const char *name; /* "*" for any */
    long from;        /* the hit that is meant, from 1 on */
    int on;           /* and every one behind it */
    enum action action;
    int sleep_ms;
    atomic_long hits;
};

static const struct {
    const char *name;
    const char *meaning;
} known[] = {
#define FAILPOINT_NAME(name, meaning) {name, meaning},
#include "lib/base/failpoint.def"
#undef FAILPOINT_NAME
};

/* What the environment asks for: written before main, then only the counters change. */
static char spec[SPEC_MAX];
static struct order orders[ORDERS_MAX];
static size_t order_count;

__attribute__((noreturn, format(printf, 1, 2))) static void refuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "weir: WEIR_FAILPOINT: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    _exit(USAGE_EXIT);
}

static int is_known(const char *name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return 1;
    return 0;
}

static void parse_action(struct order *order, const char *text)
{
    static const char *const names[] = {"kill", "freeze", "abort", "fail"};
    for (int i = 0; i <= ACTION_FAIL; i++) {
        if (strcmp(text, names[i]) == 0) {
            order->action = (enum action)i;
            return;
        }
    }
    char *end = NULL;
    long ms = strncmp(text, "sleep=", 6) == 0 ? strtol(text + 6, &end, 10) : -1;
    if (ms < 0 || ms > SLEEP_MAX_MS || *end)
        refuse("no action is called %s", text);
    order->action = ACTION_SLEEP;
    order->sleep_ms = (int)ms;
}

/* One NAME:N[+][:ACTION]; cuts `text` into its parts. */
static void parse_order(struct order *order, char *text)
{
    char *count = strchr(text, ':');
    if (!count)
        refuse("%s: NAME:N is needed", text);
    *count++ = '\0';
    char *action = strchr(count, ':');
    if (action)
        *action++ = '\0';
    char *end;
    order->name = text;
    order->from = strtol(count, &end, 10);
    order->on = *end == '+';
    if (order->from < 1 || end[order->on])
        refuse("%s: %s is no number of a hit", text, count);
    if (strcmp(text, "*") != 0 && !is_known(text))
        refuse("no failpoint is called %s; WEIR_FAILPOINT=list names them", text);
    if (action)
        parse_action(order, action);
}

__attribute__((constructor)) static void read_environment(void)
{
    const char *text = getenv("WEIR_FAILPOINT");
    if (!text || !*text)
        return;
    if (strcmp(text, "list") == 0) {
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            printf("%-16s %s\n", known[i].name, known[i].meaning);
        fflush(stdout);
        _exit(0);
    }
    if (strlen(text) >= sizeof spec)
        refuse("longer than %d bytes", SPEC_MAX - 1);
    memcpy(spec, text, strlen(text) + 1);
    char *rest = NULL;
    for (char *part = strtok_r(spec, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
        if (order_count == ORDERS_MAX)
            refuse("more than %d failpoints", ORDERS_MAX);
        parse_order(&orders[order_count++], part);
    }
}

/* Says what happens, by write alone: the next thing may be the end of the process. */
static void say(const char *name, long hit, const char *what)
{
    char line[160];
    int size = snprintf(line, sizeof line, "failpoint %s, hit %ld: %s\n", name, hit, what);
    ssize_t written = write(STDERR_FILENO, line, (size_t)size);
    (void)written;
}

static int act(const struct order *order, const char *name, long hit, int fd)
{
    switch (order->action) {
    case ACTION_KILL:
        say(name, hit, "kill");
        raise(SIGKILL);
        break;
    case ACTION_FREEZE:
        say(name, hit, "freeze");
        raise(SIGSTOP);
        break;
    case ACTION_ABORT:
        say(name, hit, fd < 0 ? "no connection to abort" : "abort");
        if (fd >= 0)
            shutdown(fd, SHUT_RDWR);
        break;
    case ACTION_FAIL:
        say(name, hit, "fail");
        return 1;
    case ACTION_SLEEP:
        say(name, hit, "sleep");
        poll(NULL, 0, order->sleep_ms);
        break;
    }
    return 0;
}

int failpoint_hit(const char *name, int fd)
{
    int failed = 0;
    if (!is_known(name))
        refuse("%s is hit, but failpoint.def does not list it", name);
    for (size_t i = 0; i < order_count; i++) {
        struct order *order = &orders[i];
        if (*order->name != '*' && strcmp(order->name, name) != 0)
            continue;
        long hit = atomic_fetch_add(&order->hits, 1) + 1;
        if (hit == order->from || (order->on && hit > order->from))
            failed |= act(order, name, hit, fd);
    }
    return failed;
}

#else

/* ISO C wants something in every file. */
typedef int failpoint_nothing;

#endif
