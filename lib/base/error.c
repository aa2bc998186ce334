/* SPDX-License-Identifier: Apache-2.0
 *
 * Formats errors into the caller's struct; nothing is allocated, so that running out of memory can
 * be reported. */
#include "lib/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef error_set
#undef error_prefix

int error_set(struct error *error, enum error_class class, const char *code, const char *format,
              ...)
{
    if (!error)
        return -1;
    /* The arguments may point into the old message, so the new one is made aside. */
    char message[sizeof error->message];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    error->class = class;
    snprintf(error->code, sizeof error->code, "%s", code);
    memcpy(error->message, message, sizeof message);
    return -1;
}

int error_prefix(struct error *error, const char *format, ...)
{
    if (!error)
        return -1;
    char prefix[sizeof error->message];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    size_t used = length < 0 ? 0 : strnlen(prefix, sizeof prefix);
    snprintf(prefix + used, sizeof prefix - used, ": %s", error->message);
    memcpy(error->message, prefix, sizeof prefix);
    return -1;
}
