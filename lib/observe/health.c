/* SPDX-License-Identifier: Apache-2.0
 *
 * A short table under a mutex: checks are reported by loops a few times a second and read by
 * probes, so nothing here is hot. */
#include "lib/observe/health.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct check {
    char name[HEALTH_NAME_BYTES];
    char text[HEALTH_TEXT_BYTES];
    int ok;
};

struct health {
    pthread_mutex_t lock;
    struct check checks[HEALTH_CHECKS_MAX];
    size_t count;
};

struct health *health_new(void)
{
    struct health *health = xcalloc(1, sizeof *health);
    pthread_mutex_init(&health->lock, NULL);
    return health;
}

void health_free(struct health *health)
{
    if (!health)
        return;
    pthread_mutex_destroy(&health->lock);
    free(health);
}

/* A check beyond the limit shares the last place, so that its failure is still seen. */
static struct check *find(struct health *health, const char *name, int *ret_new)
{
    *ret_new = 0;
    for (size_t i = 0; i < health->count; i++)
        if (strncmp(health->checks[i].name, name, HEALTH_NAME_BYTES - 1) == 0)
            return &health->checks[i];
    if (health->count == HEALTH_CHECKS_MAX)
        return &health->checks[HEALTH_CHECKS_MAX - 1];
    *ret_new = 1;
    struct check *check = &health->checks[health->count++];
    snprintf(check->name, sizeof check->name, "%s", name);
    return check;
}

int health_set(struct health *health, const char *name, int ok, const char *text)
{
    if (!health)
        return 0;
    int new;
    pthread_mutex_lock(&health->lock);
    struct check *check = find(health, name, &new);
    int changed = new || check->ok != !!ok;
    check->ok = !!ok;
    snprintf(check->text, sizeof check->text, "%s", text ? text : "");
    pthread_mutex_unlock(&health->lock);
    return changed;
}

int health_ready(struct health *health)
{
    pthread_mutex_lock(&health->lock);
    int ready = health->count > 0;
    for (size_t i = 0; i < health->count; i++)
        ready &= health->checks[i].ok;
    pthread_mutex_unlock(&health->lock);
    return ready;
}

void health_write(struct health *health, int verbose, struct buf *out)
{
    int ready = health_ready(health);
    pthread_mutex_lock(&health->lock);
    for (size_t i = 0; i < health->count; i++) {
        const struct check *check = &health->checks[i];
        if (check->ok && verbose)
            buf_printf(out, "[+]%s ok\n", check->name);
        else if (!check->ok)
            buf_printf(out, "[-]%s failed%s%s\n", check->name, *check->text ? ": " : "",
                       check->text);
    }
    pthread_mutex_unlock(&health->lock);
    buf_put_text(out, ready ? "ready\n" : "not ready\n");
}
