/* SPDX-License-Identifier: Apache-2.0
 *
 * Receipts as headers: `topic/partition/offset/event-id`, several with commas between. The answer
 * to a POST carries Weir-Receipt; a GET that sends it back as Weir-After sees the effects of the
 * event.
 */
#ifndef WEIR_GATEWAY_RECEIPT_H
#define WEIR_GATEWAY_RECEIPT_H

#include "producers/gateway/ingest.h"

enum {
    RECEIPTS_MAX = 6, /* in one header: a Space has one partition of each topic */
    RECEIPT_TOPIC_BYTES = 128
};

struct receipt {
    char topic[RECEIPT_TOPIC_BYTES];
    int32_t partition;
    int64_t offset;
};

/* Adds Weir-Receipt to the answer: for each topic the last event that was acknowledged. */
void receipt_put(const struct ingest *ingest);

/* Reads Weir-After. The event id may be left out. `partition` is the Space's; another one is no
 * receipt of it. Returns 0, or -1 with what is wrong. */
int receipt_parse(const struct catalog *catalog, const char *text, int32_t partition,
                  struct receipt ret_receipts[RECEIPTS_MAX], size_t *ret_count,
                  const char **ret_why);

#endif
