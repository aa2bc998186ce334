/* SPDX-License-Identifier: Apache-2.0
 *
 * All events of a Space in one topic are in one partition, so that of several acknowledged ones the
 * last says it all. */
#include "producers/gateway/receipt.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct line *last_of_topic(const struct ingest *ingest, const char *topic)
{
    const struct line *last = NULL;
    for (size_t i = 0; i < ingest->line_count; i++) {
        const struct line *line = &ingest->lines[i];
        /* The broker does not repeat the offset of what it knew already. */
        if (!line->event || line->status || line->report.outcome != PRODUCER_ACKED ||
            line->report.offset < 0 || strcmp(line->event->topic, topic) != 0)
            continue;
        if (!last || line->report.offset > last->report.offset)
            last = line;
    }
    return last;
}

void receipt_put(const struct ingest *ingest)
{
    const struct catalog *catalog = ingest->gateway->catalog;
    char text[HTTP_REPLY_VALUE_BYTES];
    char id[UUID_TEXT_SIZE + 1];
    size_t used = 0;
    size_t count = 0;
    for (size_t i = 0; i < catalog_topic_count(catalog) && count < RECEIPTS_MAX; i++) {
        const struct line *line = last_of_topic(ingest, catalog_topic_at(catalog, i));
        if (!line)
            continue;
        uuid_format(&line->event_id, id);
        int more = snprintf(text + used, sizeof text - used, "%s%s/%d/%lld/%s", count ? ", " : "",
                            line->event->topic, line->report.partition,
                            (long long)line->report.offset, id);
        if (more < 0 || used + (size_t)more >= sizeof text)
            break; /* longer topics than ours: those that fit are receipts all the same */
        used += (size_t)more;
        count++;
    }
    text[used] = '\0';
    if (count > 0)
        http_reply_header(ingest->request, "Weir-Receipt", text);
}

static int read_number(const char **at, int64_t highest, int64_t *ret_number)
{
    char *end;
    if (!isdigit((unsigned char)**at))
        return -1;
    errno = 0;
    *ret_number = strtoll(*at, &end, 10);
    *at = end;
    return errno || *ret_number > highest ? -1 : 0;
}

static int read_one(const char *at, const char *end, struct receipt *ret_receipt)
{
    struct uuid id;
    int64_t partition;
    size_t size = strcspn(at, "/");
    if (at + size >= end || size >= sizeof ret_receipt->topic)
        return -1;
    memcpy(ret_receipt->topic, at, size);
    ret_receipt->topic[size] = '\0';
    at += size + 1;
    if (read_number(&at, INT32_MAX, &partition) != 0 || *at++ != '/' ||
        read_number(&at, INT64_MAX, &ret_receipt->offset) != 0)
        return -1;
    ret_receipt->partition = (int32_t)partition;
    return at == end || (*at == '/' && uuid_parse(at + 1, (size_t)(end - at - 1), &id) == 0) ? 0
                                                                                             : -1;
}

static int has_topic(const struct catalog *catalog, const char *topic)
{
    for (size_t i = 0; i < catalog_topic_count(catalog); i++)
        if (strcmp(catalog_topic_at(catalog, i), topic) == 0)
            return 1;
    return 0;
}

int receipt_parse(const struct catalog *catalog, const char *text, int32_t partition,
                  struct receipt ret_receipts[RECEIPTS_MAX], size_t *ret_count,
                  const char **ret_why)
{
    *ret_count = 0;
    while (*text) {
        text += strspn(text, " \t,");
        const char *end = text + strcspn(text, " \t,");
        if (end == text)
            break;
        if (*ret_count == RECEIPTS_MAX) {
            *ret_why = "there are too many receipts";
            return -1;
        }
        struct receipt *receipt = &ret_receipts[(*ret_count)++];
        *ret_why = "a receipt is topic/partition/offset, as Weir-Receipt gave it";
        if (read_one(text, end, receipt) != 0)
            return -1;
        *ret_why = "there is no such topic";
        if (!has_topic(catalog, receipt->topic))
            return -1;
        *ret_why = "this receipt is of another Space: its partition is not this one's";
        if (receipt->partition != partition)
            return -1;
        text = end;
    }
    *ret_why = "there is no receipt in it";
    return *ret_count ? 0 : -1;
}
