/* SPDX-License-Identifier: Apache-2.0
 *
 * A list with a limit; the checks of all processors together stay far below it. */
#include "processors/audit/report.h"

#include <stdarg.h>
#include <stdio.h>

struct audit_item *audit_add(struct audit_report *report, const char *invariant,
                             const char *processor, const char *name, enum audit_state state,
                             const char *format, ...)
{
    if (report->count < AUDIT_ITEMS_MAX)
        report->count++;
    struct audit_item *item = &report->items[report->count - 1];
    json_decref(item->first);
    *item = (struct audit_item){.state = state};
    snprintf(item->invariant, sizeof item->invariant, "%s", invariant);
    snprintf(item->processor, sizeof item->processor, "%s", processor);
    snprintf(item->name, sizeof item->name, "%s", name);
    va_list args;
    va_start(args, format);
    vsnprintf(item->message, sizeof item->message, format, args);
    va_end(args);
    return item;
}

size_t audit_count(const struct audit_report *report, enum audit_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++)
        count += report->items[i].state == state;
    return count;
}

void audit_report_clear(struct audit_report *report)
{
    for (size_t i = 0; i < report->count; i++)
        json_decref(report->items[i].first);
    report->count = 0;
}
