/* SPDX-License-Identifier: Apache-2.0
 *
 * Values from JSON against the limits of their contract. A text is counted only when its bytes
 * could be too many characters, and matched only when it is short enough. */
#include <stdio.h>

#include "lib/avro/json_encode.h"
#include "lib/avro/limits.h"
#include "lib/avro/scalar.h"

enum { KEY_SHOWN = 24 };

/* What a fault of a text begins with: nothing, or which key of a map it is. The pointer is the
 * map's then, because a long key would be cut there. */
static const char *subject(const struct schema *schema, const char *text, size_t size,
                           char room[KEY_SHOWN + 16])
{
    size_t shown = size > KEY_SHOWN ? KEY_SHOWN : size;
    while (shown < size && ((unsigned char)text[shown] & 0xc0) == 0x80)
        shown--;
    *room = '\0';
    if (schema->type == AVRO_MAP_TYPE)
        snprintf(room, KEY_SHOWN + 16, "the key \"%.*s%s\" ", (int)shown, text,
                 shown < size ? "…" : "");
    return room;
}

int encoder_check_text(struct encoder *encoder, const struct schema *schema, const char *text,
                       size_t size)
{
    const struct limits *limits = schema->limits;
    char room[KEY_SHOWN + 16];
    if (!limits)
        return 0;
    if ((uint64_t)size > (uint64_t)limits->length_max) {
        int64_t count = limits_characters(text, size);
        if (count > limits->length_max)
            return encoder_fault(encoder, "%shas %lld characters, but may have %lld at most",
                                 subject(schema, text, size, room), (long long)count,
                                 (long long)limits->length_max);
    }
    if (limits->pattern && !pattern_matches(limits->pattern, text))
        return encoder_fault(encoder, "%sdoes not match the pattern %s",
                             subject(schema, text, size, room), pattern_text(limits->pattern));
    return 0;
}

int encoder_check_bytes(struct encoder *encoder, const struct schema *schema, size_t size)
{
    const struct limits *limits = schema->limits;
    if (!limits || (uint64_t)size <= (uint64_t)limits->length_max)
        return 0;
    return encoder_fault(encoder, "has %zu bytes, but may have %lld at most", size,
                         (long long)limits->length_max);
}

int encoder_check_items(struct encoder *encoder, const struct schema *schema, size_t count)
{
    const struct limits *limits = schema->limits;
    if (!limits || (uint64_t)count <= (uint64_t)limits->items_max)
        return 0;
    return encoder_fault(encoder, "has %zu items, but may have %lld at most", count,
                         (long long)limits->items_max);
}

/* A bound of a date or time as people write it, where it can be. */
static const char *bound_text(const struct schema *schema, int64_t bound,
                              char room[SCALAR_TEXT_SIZE])
{
    if (scalar_to_text(schema, bound, room) == 0)
        snprintf(room, SCALAR_TEXT_SIZE, "%lld", (long long)bound);
    return room;
}

int encoder_check_integer(struct encoder *encoder, const struct schema *schema, int64_t value)
{
    const struct limits *limits = schema->limits;
    char least[SCALAR_TEXT_SIZE];
    char most[SCALAR_TEXT_SIZE];
    if (!limits || (value >= limits->least && value <= limits->most))
        return 0;
    return encoder_fault(encoder, "must be from %s to %s", bound_text(schema, limits->least, least),
                         bound_text(schema, limits->most, most));
}

int encoder_check_real(struct encoder *encoder, const struct schema *schema, double value)
{
    const struct limits *limits = schema->limits;
    if (!limits || (value >= limits->real_least && value <= limits->real_most))
        return 0;
    return encoder_fault(encoder, "must be from %.17g to %.17g", limits->real_least,
                         limits->real_most);
}
