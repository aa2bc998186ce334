/* SPDX-License-Identifier: Apache-2.0
 *
 * Random but valid events by schema, the same for the same seed. Identifiers come from small pools
 * that are shared by field name, so that events refer to one another; amounts are small; optional
 * fields are sometimes null. */
#ifndef WEIR_AVRO_SAMPLE_H
#define WEIR_AVRO_SAMPLE_H

#include <jansson.h>
#include <stdint.h>

#include "lib/avro/schema.h"

struct sample {
    uint64_t state; /* set it to the seed */
    int pool_size;  /* distinct ids per field name, such as 8 */
    int64_t now_us; /* timestamps lie in the 90 days before it */
};

uint64_t sample_next(struct sample *sample);
/* The body of an event: every field but `meta`, in the form that avro_from_json takes. The caller
 * owns it. */
json_t *sample_event(struct sample *sample, const struct schema *record);

#endif
