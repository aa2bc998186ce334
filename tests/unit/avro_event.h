/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests: an event ThingHappened with the usual `meta`, and fields of the test's own, without a
 * catalog on disk. */
#ifndef WEIR_TESTS_AVRO_EVENT_H
#define WEIR_TESTS_AVRO_EVENT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/catalog.h"
#include "lib/base/buf.h"

#define TEST_UUID "{\"type\":\"string\",\"logicalType\":\"uuid\"}"
#define TEST_MICROS "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}"
#define TEST_META                                                                                  \
    "{\"name\":\"meta\",\"type\":{\"type\":\"record\",\"name\":\"Meta\",\"namespace\":\"weir\","   \
    "\"fields\":[{\"name\":\"event_id\",\"type\":" TEST_UUID "},"                                  \
    "{\"name\":\"occurred_at\",\"type\":" TEST_MICROS "},"                                         \
    "{\"name\":\"received_at\",\"type\":" TEST_MICROS "},"                                         \
    "{\"name\":\"actor\",\"type\":[\"null\",\"string\"],\"default\":null,\"x-pii\":true},"         \
    "{\"name\":\"correlation_id\",\"type\":[\"null\"," TEST_UUID "],\"default\":null},"            \
    "{\"name\":\"causation_id\",\"type\":[\"null\"," TEST_UUID "],\"default\":null},"              \
    "{\"name\":\"fingerprint\",\"type\":\"long\"}]}}"

struct test_event {
    struct catalog_event event;
    struct catalog_version version;
    struct schema_document *document;
};

/* Parses a schema or ends the test program. */
static inline struct schema_document *test_schema(const char *text)
{
    struct schema_document *document;
    struct error error;
    if (schema_parse(text, strlen(text), &document, &error) != 0) {
        fprintf(stderr, "%s\n%s\n", error.message, text);
        abort();
    }
    return document;
}

/* The document of the event with `fields` (each with a comma before it) behind `meta`. */
static inline struct schema_document *test_event_schema(const char *fields)
{
    char *text =
        xasprintf("{\"type\":\"record\",\"name\":\"ThingHappened\",\"namespace\":\"weir.test\","
                  "\"fields\":[%s%s]}",
                  TEST_META, fields);
    struct schema_document *document = test_schema(text);
    free(text);
    return document;
}

static inline void test_event_open(struct test_event *event, const char *fields)
{
    event->document = test_event_schema(fields);
    event->version = (struct catalog_version){
        .version = 1, .id = 1, .schema = schema_root(event->document), .event = &event->event};
    event->event = (struct catalog_event){.name = "ThingHappened",
                                          .relation = "thing_happened",
                                          .domain = "test",
                                          .topic = "weir.test",
                                          .versions = &event->version,
                                          .version_count = 1};
}

static inline void test_event_close(struct test_event *event)
{
    schema_free(event->document);
    event->document = NULL;
}

#endif
