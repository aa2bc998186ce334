/* SPDX-License-Identifier: Apache-2.0
 *
 * Tells whether programs with one version of a schema can read records of another version, and
 * if not, why, in words. It uses the resolution that decode plans are compiled from, so the
 * engine does what this promises. It is stricter in one point: a symbol or a branch without a
 * place in the reader is a break, although a plan is compiled and only such values fail. */
#ifndef WEIR_AVRO_COMPAT_H
#define WEIR_AVRO_COMPAT_H

#include "lib/avro/catalog.h"

/* The names are those of Confluent's registry. */
enum compat_mode {
    COMPAT_NONE = 0,
    COMPAT_BACKWARD = 1, /* the new version reads what the one before wrote */
    COMPAT_FORWARD = 2,  /* the one before reads what the new version writes */
    COMPAT_FULL = COMPAT_BACKWARD | COMPAT_FORWARD,
    COMPAT_TRANSITIVE = 4 /* all older versions, not just the one before */
};

/* "BACKWARD_TRANSITIVE", "none", … Errors: ERROR_USAGE. */
int compat_mode_parse(const char *text, enum compat_mode *ret_mode, struct error *error);

struct compat_break {
    const char *path;   /* in the new version, "items[].quantity"; "" is the whole */
    const char *column; /* of the SQL relation, "quantity", "price_amount"; "" is the whole */
    const char *reason;
    const char *advice; /* what to do instead */
    int older;          /* version number */
    int forward;        /* the older version is the reader */
};

typedef void compat_visit(void *context, const struct compat_break *found);

/* Calls `visit` for each obstacle to reading values of `writer` as `reader`. One of the two is
 * the older version, by its number. Returns how many there are. */
size_t compat_pair(const struct schema *writer, int writer_version, const struct schema *reader,
                   int reader_version, compat_visit *visit, void *context);

/* Writes the SQL column that a path belongs to, "price_amount" of "price.amount". An array of
 * records is a relation of its own; what is inside of a map is in the map's column. */
void compat_column(const char *path, char *ret_column, size_t size);

/* Compares the newest version of an event with older ones. Returns how many breaks there are. */
size_t compat_event(const struct catalog_event *event, enum compat_mode mode, compat_visit *visit,
                    void *context);

#endif
