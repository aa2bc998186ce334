/* SPDX-License-Identifier: Apache-2.0
 *
 * Records are made in one random sequence of events and dealt to their partitions, so that each
 * partition's order and the broker's timestamps fit together. */
#include "processors/processor_test/corpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/json.h"
#include "lib/avro/sample.h"
#include "lib/base/hash.h"

enum { DUPLICATE_ONE_IN = 40, ID_POOL = 8 };

/* Any fixed day: what is made must not depend on today. */
static const int64_t START_US = INT64_C(1767225600000000); /* 2026-01-01 */

static struct uuid random_uuid(struct sample *sample)
{
    struct uuid uuid;
    uint64_t words[2] = {sample_next(sample), sample_next(sample)};
    memcpy(uuid.bytes, words, sizeof words);
    uuid.bytes[6] = (unsigned char)((uuid.bytes[6] & 0x0f) | 0x70);
    uuid.bytes[8] = (unsigned char)((uuid.bytes[8] & 0x3f) | 0x80);
    return uuid;
}

static json_t *make_meta(struct sample *sample, int64_t at_us)
{
    char id[UUID_TEXT_SIZE + 1];
    struct uuid uuid = random_uuid(sample);
    uuid_format(&uuid, id);
    return json_pack("{s:s, s:I, s:I, s:I}", "event_id", id, "occurred_at",
                     (json_int_t)(at_us - (int64_t)(sample_next(sample) % 7200000000u)),
                     "received_at", (json_int_t)at_us, "fingerprint",
                     (json_int_t)(sample_next(sample) >> 1));
}

/* One framed event of a random type and version. */
static int make_value(const struct processor *processor, struct sample *sample, int64_t at_us,
                      struct record *record, struct error *error)
{
    const struct consumed *consumed =
        &processor->consumed[sample_next(sample) % processor->consumed_count];
    const struct catalog_event *event = consumed->event;
    const struct catalog_version *version =
        &event->versions[sample_next(sample) % event->version_count];
    struct faults faults = {0};
    struct buf value = {0};
    json_t *meta = make_meta(sample, at_us);
    json_t *fields = sample_event(sample, version->schema);
    buf_put_u8(&value, 0);
    buf_put_be32(&value, (uint32_t)version->id);
    int code = avro_event_from_json(version->schema, meta, fields, &value, &faults);
    if (code != 0)
        error_set(error, ERROR_FATAL, "corpus", "a made-up %s is not valid: %s %s", event->name,
                  faults.items[0].pointer, faults.items[0].message);
    json_decref(meta);
    json_decref(fields);
    record->topic = event->topic;
    record->value = value.data;
    record->value_size = value.size;
    record->owner = value.data;
    return code;
}

/* A record with its key behind its value's place in memory: the key is one of a few Spaces. */
static int make_record(const struct processor *processor, const struct corpus_options *options,
                       struct sample *sample, char (*spaces)[UUID_TEXT_SIZE + 1],
                       const struct record *earlier, size_t earlier_count,
                       struct record *ret_record, struct error *error)
{
    struct record record = {0};
    int64_t at_us = START_US + (int64_t)earlier_count * 1000000;
    if (earlier_count > 0 && sample_next(sample) % DUPLICATE_ONE_IN == 0) {
        record = earlier[sample_next(sample) % earlier_count];
        void *copy = xmalloc(record.value_size);
        memcpy(copy, record.value, record.value_size);
        record.value = record.owner = copy;
    } else {
        record.key = spaces[sample_next(sample) % (uint64_t)options->spaces];
        record.key_size = UUID_TEXT_SIZE;
        if (make_value(processor, sample, at_us, &record, error) != 0)
            return -1;
    }
    record.partition = hash_partition(record.key, record.key_size, options->partitions);
    record.timestamp_us = at_us;
    *ret_record = record;
    return 0;
}

static int compare_stream(const void *left, const void *right)
{
    const struct record *a = left;
    const struct record *b = right;
    int order = strcmp(a->topic, b->topic);
    if (order == 0)
        order = (a->partition > b->partition) - (a->partition < b->partition);
    return order ? order
                 : (a->timestamp_us > b->timestamp_us) - (a->timestamp_us < b->timestamp_us);
}

static int same_stream(const struct record *a, const struct record *b)
{
    return a->partition == b->partition && strcmp(a->topic, b->topic) == 0;
}

static void number_offsets(struct corpus *corpus)
{
    qsort(corpus->records, corpus->count, sizeof *corpus->records, compare_stream);
    corpus->streams = xcalloc(corpus->count + 1, sizeof *corpus->streams);
    int64_t offset = 0;
    for (size_t i = 0; i < corpus->count; i++, offset++) {
        if (i == 0 || !same_stream(&corpus->records[i], &corpus->records[i - 1])) {
            corpus->streams[corpus->stream_count++] = i;
            offset = 0;
        }
        corpus->records[i].offset = offset;
    }
    corpus->streams[corpus->stream_count] = corpus->count;
}

/* The names of the Spaces, kept in the corpus because keys point to them. */
struct corpus_with_keys {
    struct corpus corpus;
    char (*spaces)[UUID_TEXT_SIZE + 1];
};

int corpus_make(const struct processor *processor, const struct corpus_options *options,
                struct corpus **ret_corpus, struct error *error)
{
    struct corpus_with_keys *whole = xcalloc(1, sizeof *whole);
    struct corpus *corpus = &whole->corpus;
    struct sample sample = {.state = options->seed, .pool_size = ID_POOL, .now_us = START_US};
    whole->spaces = xcalloc((size_t)options->spaces, sizeof *whole->spaces);
    for (int i = 0; i < options->spaces; i++) {
        struct uuid uuid = random_uuid(&sample);
        uuid_format(&uuid, whole->spaces[i]);
    }
    corpus->records = xcalloc(options->events, sizeof *corpus->records);
    for (; corpus->count < options->events; corpus->count++) {
        if (make_record(processor, options, &sample, whole->spaces, corpus->records, corpus->count,
                        &corpus->records[corpus->count], error) != 0) {
            corpus_free(corpus);
            return -1;
        }
    }
    number_offsets(corpus);
    *ret_corpus = corpus;
    return 0;
}

void corpus_free(struct corpus *corpus)
{
    if (!corpus)
        return;
    struct corpus_with_keys *whole = (struct corpus_with_keys *)corpus;
    for (size_t i = 0; i < corpus->count; i++)
        free(corpus->records[i].owner);
    free(corpus->records);
    free(corpus->streams);
    free(whole->spaces);
    free(whole);
}

const char *corpus_order_name(enum corpus_order order)
{
    static const char *const names[] = {"topic by topic", "topics backwards", "round robin",
                                        "at random"};
    return names[order];
}

/* The stream to take the next record from. `taken` counts what each has given. */
static size_t next_stream(const struct corpus *corpus, enum corpus_order order,
                          struct sample *sample, const size_t *taken, size_t last)
{
    size_t count = corpus->stream_count;
    size_t start = last;
    if (order == ORDER_ROUND_ROBIN)
        start = last + 1;
    else if (order == ORDER_RANDOM)
        start = (size_t)(sample_next(sample) % count);
    for (size_t i = 0; i < count; i++) {
        size_t stream =
            order == ORDER_BY_TOPIC_BACKWARDS ? (start + count - i) % count : (start + i) % count;
        if (corpus->streams[stream] + taken[stream] < corpus->streams[stream + 1])
            return stream;
    }
    return 0;
}

void corpus_arrange(const struct corpus *corpus, enum corpus_order order, uint64_t seed,
                    size_t *ret_order)
{
    struct sample sample = {.state = seed};
    size_t *taken = xcalloc(corpus->stream_count, sizeof *taken);
    size_t last = order == ORDER_BY_TOPIC_BACKWARDS ? corpus->stream_count - 1 : 0;
    for (size_t i = 0; i < corpus->count; i++) {
        last = next_stream(corpus, order, &sample, taken, last);
        ret_order[i] = corpus->streams[last] + taken[last]++;
    }
    free(taken);
}
