/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast one core turns Avro into rows: random events of one type, each version decoded again and
 * again by the plan to the newest schema. Prints one line per version. "Reference" is not in the
 * catalog: a record of 170 bytes, of ten scalars (seven of them `meta`'s) and a map of two entries,
 * which becomes jsonb. Usage: bench_decode [EVENT [SECONDS [LEAST_EVENTS_PER_S]]]: exits 1 when a
 * version is slower. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/avro/json.h"
#include "lib/avro/plan.h"
#include "lib/avro/sample.h"
#include "lib/base/timestamp.h"

enum { EVENTS = 1000 };

#define UUID "{\"type\":\"string\",\"logicalType\":\"uuid\"}"
#define MICROS "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}"

static const char reference[] =
    "{\"type\":\"record\",\"name\":\"Reference\",\"namespace\":\"weir.bench\",\"fields\":["
    "{\"name\":\"meta\",\"type\":{\"type\":\"record\",\"name\":\"Meta\",\"namespace\":\"weir\","
    "\"fields\":[{\"name\":\"event_id\",\"type\":" UUID "},"
    "{\"name\":\"occurred_at\",\"type\":" MICROS "},{\"name\":\"received_at\",\"type\":" MICROS "},"
    "{\"name\":\"actor\",\"type\":[\"null\",\"string\"],\"default\":null},"
    "{\"name\":\"correlation_id\",\"type\":[\"null\"," UUID "],\"default\":null},"
    "{\"name\":\"causation_id\",\"type\":[\"null\"," UUID "],\"default\":null},"
    "{\"name\":\"fingerprint\",\"type\":\"long\"}]}},"
    "{\"name\":\"member_id\",\"type\":" UUID "},{\"name\":\"title\",\"type\":\"string\"},"
    "{\"name\":\"amount\",\"type\":\"long\"},"
    "{\"name\":\"labels\",\"type\":{\"type\":\"map\",\"values\":\"string\"}}]}";

struct load {
    struct buf bytes;
    size_t starts[EVENTS + 1];
};

static void die(const char *message)
{
    fprintf(stderr, "bench_decode: %s\n", message);
    exit(1);
}

/* The body of an event of the record above. */
static json_t *reference_event(struct sample *sample)
{
    char id[UUID_TEXT_SIZE + 1];
    struct uuid uuid = uuid_v7();
    uuid_format(&uuid, id);
    return json_pack("{s:s,s:s,s:I,s:{s:s,s:s}}", "member_id", id, "title",
                     "Evening class, second term", "amount",
                     (json_int_t)(1000 + sample_next(sample) % 100000), "labels", "channel",
                     "newsletter", "campaign", "spring");
}

static void make_load(const struct schema *schema, struct load *load)
{
    struct sample sample = {.state = 1, .pool_size = 1000, .now_us = timestamp_now_us()};
    struct faults faults = {0};
    char event_id[UUID_TEXT_SIZE + 1];
    for (size_t i = 0; i < EVENTS; i++) {
        struct uuid uuid = uuid_v7();
        uuid_format(&uuid, event_id);
        json_t *meta =
            json_pack("{s:s,s:I,s:I,s:I}", "event_id", event_id, "occurred_at",
                      (json_int_t)sample.now_us, "received_at", (json_int_t)sample.now_us,
                      "fingerprint", (json_int_t)sample_next(&sample));
        json_t *body = strcmp(schema->name, "Reference") == 0 ? reference_event(&sample)
                                                              : sample_event(&sample, schema);
        load->starts[i] = load->bytes.size;
        if (avro_event_from_json(schema, meta, body, &load->bytes, &faults) != 0)
            die(faults.items[0].message);
        json_decref(meta);
        json_decref(body);
    }
    load->starts[EVENTS] = load->bytes.size;
}

/* Of this process, so that what else runs on the machine does not count. */
static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Returns events a second. */
static double run(const struct catalog_version *version, const struct relation_set *set,
                  double seconds)
{
    struct error error;
    struct plan *plan;
    struct plan_envelope envelope;
    struct buf rows[RELATIONS_PER_EVENT_MAX] = {0};
    uint32_t counts[RELATIONS_PER_EVENT_MAX] = {0};
    struct load *load = xcalloc(1, sizeof *load);
    make_load(version->schema, load);
    if (plan_compile(version->schema, set, &plan, &error) != 0)
        die(error.message);
    int64_t events = 0;
    size_t row_bytes = 0;
    double start = cpu_seconds();
    while (cpu_seconds() < start + seconds) {
        for (size_t r = 0; r < relation_count(set); r++) {
            row_bytes += rows[r].size;
            buf_reset(&rows[r]);
        }
        for (size_t i = 0; i < EVENTS; i++, events++) {
            struct plan_record record = {.seq = (int32_t)i,
                                         .avro =
                                             (unsigned char *)load->bytes.data + load->starts[i],
                                         .avro_size = load->starts[i + 1] - load->starts[i]};
            if (plan_decode(plan, &record, rows, counts, &envelope, &error) != 0)
                die(error.message);
        }
    }
    double elapsed = cpu_seconds() - start;
    double child_rows = 0;
    for (size_t r = 1; r < relation_count(set); r++)
        child_rows += (double)counts[r] / (double)events;
    printf("%s/%d: %zu columns, %.1f child rows, %zu bytes → %.0f bytes: %.2f M events/s, %.0f ns "
           "each\n",
           version->event->name, version->version, relation_at(set, 0)->column_count, child_rows,
           load->bytes.size / EVENTS, (double)row_bytes / (double)events,
           (double)events / elapsed / 1e6, elapsed * 1e9 / (double)events);
    for (size_t r = 0; r < relation_count(set); r++)
        buf_free(&rows[r]);
    plan_free(plan);
    buf_free(&load->bytes);
    free(load);
    return (double)events / elapsed;
}

/* All versions; returns how many are slower than `least`. */
static int run_event(const struct catalog_event *event, double seconds, double least)
{
    struct error error;
    struct relation_set *set;
    int slow = 0;
    if (relation_build(event, &set, &error) != 0)
        die(error.message);
    for (size_t i = 0; i < event->version_count; i++)
        slow += run(&event->versions[i], set, seconds) < least;
    relation_free(set);
    return slow;
}

static int run_reference(double seconds, double least)
{
    struct error error;
    struct schema_document *document;
    struct catalog_event event = {.name = "Reference",
                                  .relation = "reference",
                                  .domain = "bench",
                                  .topic = "weir.bench",
                                  .version_count = 1};
    struct catalog_version version = {.version = 1, .id = 1, .event = &event};
    if (schema_parse(reference, strlen(reference), &document, &error) != 0)
        die(error.message);
    version.schema = schema_root(document);
    event.versions = &version;
    int slow = run_event(&event, seconds, least);
    schema_free(document);
    return slow;
}

int main(int argc, char **argv)
{
    struct error error;
    struct assets *assets;
    struct catalog *catalog;
    const char *name = argc > 1 ? argv[1] : "Reference";
    double seconds = argc > 2 ? atof(argv[2]) : 2;
    double least = argc > 3 ? atof(argv[3]) : 0;
    if (strcmp(name, "Reference") == 0)
        return run_reference(seconds, least) > 0;
    if (assets_open(NULL, &assets, &error) != 0 || catalog_open(assets, &catalog, &error) != 0)
        die(error.message);
    const struct catalog_event *event = catalog_find_event(catalog, name);
    if (!event)
        die("there is no such event");
    int slow = run_event(event, seconds, least);
    catalog_free(catalog);
    assets_free(assets);
    return slow > 0;
}
