/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults: where they are and how they are worded for the person who sent the value. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/avro/json_encode.h"

enum { NAME_COMPARED_MAX = 64 };

static void add(struct faults *faults, const char *pointer, const char *format, va_list args)
{
    if (faults->count == FAULTS_MAX)
        return;
    struct fault *fault = &faults->items[faults->count++];
    snprintf(fault->pointer, sizeof fault->pointer, "%s", pointer);
    vsnprintf(fault->message, sizeof fault->message, format, args);
}

void faults_add(struct faults *faults, const char *pointer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(faults, pointer, format, args);
    va_end(args);
}

int encoder_fault(struct encoder *encoder, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(encoder->faults, encoder->pointer, format, args);
    va_end(args);
    return -1;
}

size_t encoder_push(struct encoder *encoder, const char *name)
{
    size_t before = encoder->pointer_size;
    size_t room = sizeof encoder->pointer - 3; /* an escape and the NUL */
    size_t size = before;
    if (size < room)
        encoder->pointer[size++] = '/';
    for (; *name && size < room; name++) {
        if (*name == '~' || *name == '/') {
            encoder->pointer[size++] = '~';
            encoder->pointer[size++] = *name == '~' ? '0' : '1';
        } else {
            encoder->pointer[size++] = *name;
        }
    }
    /* A name that was cut must not end inside of a character. */
    while (*name && size > before && (*name & 0xc0) == 0x80) {
        name--;
        size--;
    }
    encoder->pointer[size] = '\0';
    encoder->pointer_size = size;
    return before;
}

void encoder_pop(struct encoder *encoder, size_t size)
{
    encoder->pointer_size = size;
    encoder->pointer[size] = '\0';
}

/* The Levenshtein distance of two names, of which at most NAME_COMPARED_MAX characters count. */
static size_t distance(const char *left, const char *right)
{
    size_t row[NAME_COMPARED_MAX + 1];
    size_t width = strnlen(right, NAME_COMPARED_MAX);
    for (size_t k = 0; k <= width; k++)
        row[k] = k;
    for (size_t i = 0; left[i] && i < NAME_COMPARED_MAX; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t k = 1; k <= width; k++) {
            size_t change = diagonal + (left[i] != right[k - 1]);
            size_t least = row[k] < row[k - 1] ? row[k] + 1 : row[k - 1] + 1;
            diagonal = row[k];
            row[k] = change < least ? change : least;
        }
    }
    return row[width];
}

/* A name that was two fields' is the first one's. */
static int owns_alias(const struct schema *record, const struct schema_field *field,
                      const char *alias)
{
    for (size_t i = 0; i < record->field_count; i++) {
        const struct schema_field *other = &record->fields[i];
        if (strcmp(other->name, alias) == 0)
            return 0;
        for (size_t a = 0; other != field && a < other->alias_count; a++)
            if (other < field && strcmp(other->aliases[a], alias) == 0)
                return 0;
    }
    return 1;
}

const char *encoder_field_name(const struct schema *record, const struct schema_field *field,
                               const json_t *object)
{
    if (json_object_get(object, field->name))
        return field->name;
    for (size_t a = 0; a < field->alias_count; a++)
        if (json_object_get(object, field->aliases[a]) &&
            owns_alias(record, field, field->aliases[a]))
            return field->aliases[a];
    return field->name;
}

void encoder_unknown_fields(struct encoder *encoder, const struct schema *record,
                            const json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        if (encoder->faults->count ==
            FAULTS_MAX) /* looking for names costs more than they are worth */
            break;
        const char *nearest = NULL;
        size_t least = strlen(name) / 3 + 2; /* farther names help nobody */
        int known = 0;
        for (size_t i = 0; i < record->field_count && !known; i++) {
            size_t far = distance(name, record->fields[i].name);
            known = strcmp(name, encoder_field_name(record, &record->fields[i], object)) == 0;
            if (far < least) {
                least = far;
                nearest = record->fields[i].name;
            }
        }
        if (known)
            continue;
        size_t before = encoder_push(encoder, name);
        if (nearest)
            encoder_fault(encoder, "there is no such field; did you mean \"%s\"?", nearest);
        else
            encoder_fault(encoder, "there is no such field");
        encoder_pop(encoder, before);
    }
}
