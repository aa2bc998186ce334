/* SPDX-License-Identifier: Apache-2.0
 *
 * What an audit found: one item per invariant, processor and check. */
#ifndef WEIR_AUDIT_REPORT_H
#define WEIR_AUDIT_REPORT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum audit_state { AUDIT_HOLDS, AUDIT_BROKEN, AUDIT_SKIPPED };

enum { AUDIT_ITEMS_MAX = 1024, AUDIT_ROWS_SHOWN = 3 };

struct audit_item {
    char invariant[8]; /* "I1", "" for a processor's own rule */
    char processor[64];
    char name[160]; /* the rule */
    enum audit_state state;
    char message[480];
    int64_t rows;  /* that break the rule */
    json_t *first; /* the first AUDIT_ROWS_SHOWN of them as objects, or NULL */
};

struct audit_report {
    size_t count;
    struct audit_item items[AUDIT_ITEMS_MAX];
};

/* Adds an item and returns it for more; the last one is used again when the report is full. */
struct audit_item *audit_add(struct audit_report *report, const char *invariant,
                             const char *processor, const char *name, enum audit_state state,
                             const char *format, ...) __attribute__((format(printf, 6, 7)));

size_t audit_count(const struct audit_report *report, enum audit_state state);

/* Frees what the items own. */
void audit_report_clear(struct audit_report *report);

#endif
