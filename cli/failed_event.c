/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer's schema comes from weir.schema, where every build records its catalog under the ids
 * that are on the wire, whoever gave them. */
#include "cli/failed_event.h"

#include <stdio.h>
#include <string.h>

#include "lib/avro/datum.h"
#include "lib/avro/json.h"
#include "lib/base/base64.h"
#include "lib/pg/statement.h"

enum { FRAME = 5 }; /* 0 and the schema id before the Avro bytes */

json_t *failed_bytes_json(const void *data, size_t size)
{
    if (!data)
        return json_null();
    json_t *text = json_stringn(data, size);
    if (text)
        return text;
    struct buf base64 = {0};
    buf_put_text(&base64, "base64:");
    base64_encode(data, size, &base64);
    text = json_stringn(base64.data, base64.size);
    buf_free(&base64);
    return text;
}

static unsigned char *unescape(const PGresult *rows, int row, int column, size_t *ret_size)
{
    *ret_size = 0;
    if (PQgetisnull(rows, row, column))
        return NULL;
    return PQunescapeBytea((const unsigned char *)PQgetvalue(rows, row, column), ret_size);
}

static json_t *headers_json(const PGresult *rows)
{
    json_t *array = json_array();
    for (int i = 0; i < PQntuples(rows) && !PQgetisnull(rows, i, 2); i++) {
        size_t size;
        unsigned char *value = unescape(rows, i, 3, &size);
        json_array_append_new(
            array, json_pack("[s, o]", PQgetvalue(rows, i, 2), failed_bytes_json(value, size)));
        PQfreemem(value);
    }
    return array;
}

int failed_record_load(PGconn *conn, enum failed_kind kind, const PGresult *rows, int row,
                       struct failed_record *ret_record, struct error *error)
{
    const char *values[] = {PQgetvalue(rows, row, FAILED_POSITION),
                            PQgetvalue(rows, row, FAILED_OFFSET),
                            failed_text(rows, row, FAILED_SPACE)};
    *ret_record = (struct failed_record){0};
    PGresult *result = NULL;
    if (pg_query(conn, statement(kind == FAILED_PARKED ? "parked_record" : "letter_record"), 3,
                 values, &result, error) != 0)
        return -1;
    if (PQntuples(result) == 0) {
        char name[512];
        failed_name(rows, row, name, sizeof name);
        PQclear(result);
        return error_set(error, ERROR_USAGE, "gone", "%s has been dealt with meanwhile", name);
    }
    ret_record->key = unescape(result, 0, 0, &ret_record->key_size);
    ret_record->value = unescape(result, 0, 1, &ret_record->value_size);
    ret_record->headers = headers_json(result);
    PQclear(result);
    return 0;
}

void failed_record_free(struct failed_record *record)
{
    PQfreemem(record->key);
    PQfreemem(record->value);
    json_decref(record->headers);
    *record = (struct failed_record){0};
}

/* The schema that the record was written with. */
static int load_writer(PGconn *conn, const struct failed_record *record,
                       const struct catalog *catalog, const struct catalog_event **ret_event,
                       struct schema_document **ret_writer, struct error *error)
{
    char text[16];
    const char *values[] = {text};
    PGresult *result = NULL;
    if (!record->value)
        return error_set(error, ERROR_DEAD_LETTER, "frame-invalid", "it has no value");
    if (record->value_size < FRAME || record->value[0] != 0)
        return error_set(error, ERROR_DEAD_LETTER, "frame-invalid",
                         "no schema id before the bytes");
    snprintf(text, sizeof text, "%d", (int)buf_get_be32((const char *)record->value + 1));
    if (pg_query(conn, "SELECT event, definition FROM weir.schema WHERE schema_id = $1", 1, values,
                 &result, error) != 0)
        return -1;
    int code = 0;
    if (PQntuples(result) == 0)
        code =
            error_set(error, ERROR_HALT, "schema-unknown", "nobody has recorded schema %s", text);
    else {
        *ret_event = catalog_find_event(catalog, PQgetvalue(result, 0, 0));
        code = schema_parse(PQgetvalue(result, 0, 1), (size_t)PQgetlength(result, 0, 1), ret_writer,
                            error);
    }
    PQclear(result);
    return code;
}

static int convert(const struct schema *writer, const struct schema *reader,
                   const struct failed_record *record, int flags, json_t **ret_json,
                   struct error *error)
{
    struct datum_reader *datums = NULL;
    struct buf value = {0};
    size_t used = 0;
    size_t size = record->value_size - FRAME;
    int code = datum_open(writer, reader, &datums, error);
    if (code == 0)
        code = datum_read(datums, record->value + FRAME, size, FRAME, &value, &used, error);
    if (code == 0 && used < size)
        code = error_set(error, ERROR_DEAD_LETTER, "avro-invalid",
                         "byte %zu: %zu bytes are left over", used + FRAME, size - used);
    if (code == 0)
        code = avro_to_json(reader, (const unsigned char *)(value.data ? value.data : ""),
                            value.size, flags, ret_json, error);
    datum_free(datums);
    buf_free(&value);
    return code;
}

int failed_event_json(PGconn *conn, const struct catalog *catalog,
                      const struct failed_record *record, int show_pii,
                      const struct catalog_event **ret_event, json_t **ret_json,
                      struct error *error)
{
    const struct catalog_event *event = NULL;
    struct schema_document *writer = NULL;
    int code = load_writer(conn, record, catalog, &event, &writer, error);
    if (code == 0)
        code = convert(schema_root(writer),
                       event ? catalog_newest(event)->schema : schema_root(writer), record,
                       show_pii ? 0 : AVRO_JSON_MASK_PII, ret_json, error);
    schema_free(writer);
    if (ret_event)
        *ret_event = event;
    return code;
}
