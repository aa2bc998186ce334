/* SPDX-License-Identifier: Apache-2.0
 *
 * Only Spaces with something under way are in the table, so it is as small as that is. */
#include "producers/gateway/quota.h"

#include <pthread.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/idtable.h"

struct quota {
    pthread_mutex_t mutex;
    struct idtable *spaces;
    int max;
};

struct space {
    struct idtable_key key;
    int count;
};

struct quota *quota_new(int max)
{
    struct quota *quota = xcalloc(1, sizeof *quota);
    pthread_mutex_init(&quota->mutex, NULL);
    quota->spaces = idtable_new(sizeof(struct space));
    quota->max = max;
    return quota;
}

void quota_free(struct quota *quota)
{
    if (!quota)
        return;
    pthread_mutex_destroy(&quota->mutex);
    idtable_free(quota->spaces);
    free(quota);
}

int quota_take(struct quota *quota, const struct uuid *space)
{
    const struct idtable_key key = {.id = *space};
    int is_new;
    pthread_mutex_lock(&quota->mutex);
    struct space *item = idtable_put(quota->spaces, &key, &is_new);
    if (is_new)
        item->count = 0;
    int taken = item->count < quota->max;
    item->count += taken;
    pthread_mutex_unlock(&quota->mutex);
    return taken;
}

void quota_give(struct quota *quota, const struct uuid *space)
{
    const struct idtable_key key = {.id = *space};
    pthread_mutex_lock(&quota->mutex);
    struct space *item = idtable_find(quota->spaces, &key);
    if (--item->count == 0)
        idtable_remove(quota->spaces, &key);
    pthread_mutex_unlock(&quota->mutex);
}
