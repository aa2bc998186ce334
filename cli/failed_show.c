/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything about one record that was not applied: the event, why it failed, what was decided
 * about it, and what a decision would mean for the order of its Space. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/failed_event.h"
#include "lib/base/buf.h"
#include "lib/pg/statement.h"

enum {
    SHOWN_MAX = 100,        /* in one go */
    HEX_SHOWN = 2048,       /* bytes of what cannot be decoded, in text */
    LATER_TIMEOUT_MS = 2000 /* to look for later events of the Space */
};

struct shown {
    PGconn *conn;
    const struct catalog *catalog;
    enum failed_kind kind;
    const PGresult *rows;
    int row;
    int show_pii;
    struct failed_record record;
    json_t *payload; /* NULL: `why` says why not */
    struct error why;
    json_t *decisions;
    int64_t later;   /* events of the Space applied although they come later; -1: not known */
    int64_t behind;  /* parked behind it */
    int64_t earlier; /* open dead letters of the Space before it */
    int64_t blocker; /* offset of the dead letter that the Space waits for, or -1 */
};

static int load_decisions(struct shown *shown, struct error *error)
{
    const char *values[] = {PQgetvalue(shown->rows, shown->row, FAILED_POSITION),
                            PQgetvalue(shown->rows, shown->row, FAILED_OFFSET)};
    PGresult *result = NULL;
    if (pg_query(shown->conn, statement("decisions_about"), 2, values, &result, error) != 0)
        return -1;
    shown->decisions = json_array();
    for (int i = 0; i < PQntuples(result); i++)
        json_array_append_new(shown->decisions, json_loads(PQgetvalue(result, i, 0), 0, NULL));
    PQclear(result);
    return 0;
}

/* This may have to unpack many runs: it gets a moment, and otherwise the answer is that it is not
 * known. */
static int load_later(struct shown *shown, struct error *error)
{
    char schema[128];
    const char *values[] = {PQgetvalue(shown->rows, shown->row, FAILED_POSITION),
                            PQgetvalue(shown->rows, shown->row, FAILED_OFFSET),
                            PQgetvalue(shown->rows, shown->row, FAILED_SPACE),
                            PQgetvalue(shown->rows, shown->row, FAILED_TIMESTAMP)};
    snprintf(schema, sizeof schema, "%.60s_%s",
             PQgetvalue(shown->rows, shown->row, FAILED_PROCESSOR),
             PQgetvalue(shown->rows, shown->row, FAILED_GENERATION));
    char *name = PQescapeIdentifier(shown->conn, schema, strlen(schema));
    char *sql = xasprintf("SELECT count(*) FROM %s.applied_run AS r CROSS JOIN LATERAL "
                          "weir.run_entries(r.entries) AS e WHERE r.position_id = $1 "
                          "AND r.newest_timestamp >= $4 AND e.kafka_offset > $2 "
                          "AND e.space_id = $3 AND e.kafka_timestamp >= $4",
                          name);
    PGresult *result = NULL;
    struct error ignored = {0};
    shown->later = -1;
    int code = pg_runf(shown->conn, error, "SET statement_timeout = %d", LATER_TIMEOUT_MS);
    if (code == 0 && pg_query(shown->conn, sql, 4, values, &result, &ignored) == 0)
        shown->later = pg_int(result, 0, 0);
    PQclear(result);
    if (code == 0)
        code = pg_run(shown->conn, "RESET statement_timeout", error);
    PQfreemem(name);
    free(sql);
    return code;
}

static int load_order(struct shown *shown, struct error *error)
{
    const char *values[] = {PQgetvalue(shown->rows, shown->row, FAILED_POSITION),
                            PQgetvalue(shown->rows, shown->row, FAILED_OFFSET),
                            failed_text(shown->rows, shown->row, FAILED_SPACE)};
    PGresult *result = NULL;
    shown->blocker = -1;
    if (!values[2])
        return 0;
    if (pg_query(shown->conn, statement("place_in_space"), 3, values, &result, error) != 0)
        return -1;
    shown->behind = pg_int(result, 0, 0);
    shown->earlier = pg_int(result, 0, 1);
    shown->blocker = pg_int(result, 0, 2);
    PQclear(result);
    return shown->kind == FAILED_DEAD_LETTERS ? load_later(shown, error) : 0;
}

static json_t *hex_json(const unsigned char *data, size_t size)
{
    struct buf text = {0};
    for (size_t i = 0; i < size; i++)
        buf_printf(&text, "%02x", data[i]);
    json_t *json = json_stringn(text.data ? text.data : "", text.size);
    buf_free(&text);
    return json;
}

static void print_as_json(struct shown *shown)
{
    json_t *object = failed_json(shown->rows, shown->row);
    const struct failed_record *record = &shown->record;
    json_object_set_new(object, "key", failed_bytes_json(record->key, record->key_size));
    json_object_set(object, "headers", record->headers);
    json_object_set_new(object, "payload",
                        shown->payload ? json_incref(shown->payload) : json_null());
    if (!shown->payload) {
        json_object_set_new(object, "payload_error", json_string(shown->why.message));
        if (shown->show_pii)
            json_object_set_new(object, "payload_hex", hex_json(record->value, record->value_size));
    }
    json_object_set(object, "decisions", shown->decisions);
    json_object_set_new(object, "parked_behind", json_integer(shown->behind));
    json_object_set_new(object, "blocked_by",
                        shown->blocker < 0 ? json_null() : json_integer(shown->blocker));
    if (shown->kind == FAILED_DEAD_LETTERS) {
        json_object_set_new(object, "later_applied",
                            shown->later < 0 ? json_null() : json_integer(shown->later));
        json_object_set_new(object, "earlier_open", json_integer(shown->earlier));
    }
    print_json(object);
}

/* What a decision would mean for the order of the Space. */
static void print_order(const struct shown *shown)
{
    const char *status = PQgetvalue(shown->rows, shown->row, FAILED_STATUS);
    int settled = strcmp(status, "redriven") == 0 || strcmp(status, "discarded") == 0 ||
                  strcmp(status, "patched") == 0;
    if (shown->kind == FAILED_PARKED) {
        if (strcmp(status, "waiting") == 0)
            puts("  order      it waits behind an earlier event of its Space");
        else if (shown->blocker >= 0)
            printf("  order      it waits until the dead letter at offset %" PRId64
                   " is decided: %" PRId64 " wait behind it\n",
                   shown->blocker, shown->behind);
        else
            printf("  order      its Space is held back: %" PRId64 " wait behind it\n",
                   shown->behind);
        return;
    }
    if (strcmp(status, "redriven") == 0)
        printf("  order      it was applied behind offset %s\n",
               PQgetvalue(shown->rows, shown->row, FAILED_APPLIED_AFTER));
    if (settled || PQgetisnull(shown->rows, shown->row, FAILED_SPACE))
        return;
    if (shown->later > 0)
        printf("  order      later events of this Space were already applied: %" PRId64
               "; a redrive comes behind them\n",
               shown->later);
    else if (shown->later < 0)
        puts("  order      later events of this Space, if there are any, may have been applied "
             "already");
    else
        puts("  order      no later event of this Space was applied: a redrive keeps the order");
    if (shown->behind > 0 || shown->blocker == pg_int(shown->rows, shown->row, FAILED_OFFSET))
        printf("             its Space is still held back: %" PRId64 " wait behind it\n",
               shown->behind);
    if (shown->earlier > 0)
        printf("             earlier events of this Space are open dead letters too: %" PRId64
               "; redrive those first\n",
               shown->earlier);
}

static void print_line(const char *label, const char *text)
{
    if (!text || !*text)
        return;
    printf("  %-10s ", label);
    failed_print(text, strlen(text));
    putchar('\n');
}

/* The same of formatted text. */
__attribute__((format(printf, 2, 3))) static void print_linef(const char *label, const char *format,
                                                              ...)
{
    va_list arguments;
    char *text = NULL;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) >= 0)
        print_line(label, text);
    va_end(arguments);
    free(text);
}

static const char *member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static void print_decisions(const struct shown *shown)
{
    size_t i;
    json_t *decision;
    json_array_foreach(shown->decisions, i, decision)
    {
        const char *outcome = member(decision, "outcome");
        const char *message = member(decision, "message");
        const char *reason = member(decision, "reason");
        const char *instead = member(decision, "replacement_id");
        print_linef(i ? "" : "decisions", "%s %s by %s%s%s%s%s: %s%s%s",
                    member(decision, "decided_at"), member(decision, "verdict"),
                    member(decision, "decided_by"), *instead ? ", instead of it " : "", instead,
                    *reason ? ", because: " : "", reason,
                    *outcome                        ? outcome
                    : *member(decision, "taken_at") ? "under way"
                                                    : "not carried out yet",
                    *message ? ": " : "", message);
    }
}

static void print_payload(const struct shown *shown)
{
    if (shown->payload) {
        char *text = json_dumps(shown->payload, JSON_INDENT(2) | JSON_ENCODE_ANY);
        for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
            failed_print(line, strcspn(line, "\n"));
            putchar('\n');
        }
        free(text);
        return;
    }
    const struct failed_record *record = &shown->record;
    print_line("payload", shown->why.message);
    if (!shown->show_pii) {
        printf("             %zu bytes; --show-pii shows them\n", record->value_size);
        return;
    }
    for (size_t i = 0; i < record->value_size && i < HEX_SHOWN; i++)
        printf("%s%02x", i % 32 ? (i % 8 ? "" : " ") : (i ? "\n    " : "    "), record->value[i]);
    puts(record->value_size > HEX_SHOWN ? "\n    …" : "");
}

static void print_as_text(const struct shown *shown)
{
    const PGresult *rows = shown->rows;
    int row = shown->row;
    char name[512];
    char age[24];
    size_t i;
    json_t *header;
    failed_name(rows, row, name, sizeof name);
    failed_age(pg_int(rows, row, FAILED_AGE_S), age);
    printf("%s: %s, set aside %s ago\n", name, PQgetvalue(rows, row, FAILED_STATUS), age);
    print_line("space", failed_text(rows, row, FAILED_SPACE));
    if (failed_text(rows, row, FAILED_EVENT))
        printf("  %-10s %s, written as version %s\n", "event", PQgetvalue(rows, row, FAILED_EVENT),
               PQgetvalue(rows, row, FAILED_VERSION));
    print_line("event id", failed_text(rows, row, FAILED_EVENT_ID));
    print_line("broker", failed_text(rows, row, FAILED_TIMESTAMP));
    if (failed_text(rows, row, FAILED_CODE))
        print_linef("error", "%s: %s", PQgetvalue(rows, row, FAILED_CODE),
                    PQgetvalue(rows, row, FAILED_MESSAGE));
    if (failed_text(rows, row, FAILED_FIRST))
        printf("  %-10s %s, first %s, last %s\n", "attempts",
               PQgetvalue(rows, row, FAILED_ATTEMPTS), PQgetvalue(rows, row, FAILED_FIRST),
               PQgetvalue(rows, row, FAILED_LAST));
    if (shown->kind == FAILED_PARKED)
        print_line("next try", failed_text(rows, row, FAILED_NEXT));
    json_array_foreach(shown->record.headers, i, header)
    {
        const char *value = json_string_value(json_array_get(header, 1));
        print_linef(i ? "" : "headers", "%s: %s", json_string_value(json_array_get(header, 0)),
                    value ? value : "");
    }
    print_decisions(shown);
    print_order(shown);
    print_payload(shown);
}

static int show_one(struct shown *shown, enum output_format format, struct error *error)
{
    int code = failed_record_load(shown->conn, shown->kind, shown->rows, shown->row, &shown->record,
                                  error);
    if (code == 0)
        code = load_decisions(shown, error);
    if (code == 0)
        code = load_order(shown, error);
    if (code == 0 && failed_event_json(shown->conn, shown->catalog, &shown->record, shown->show_pii,
                                       NULL, &shown->payload, &shown->why) != 0)
        shown->payload = NULL;
    if (code == 0 && format == OUTPUT_TEXT)
        print_as_text(shown);
    else if (code == 0)
        print_as_json(shown);
    json_decref(shown->payload);
    json_decref(shown->decisions);
    failed_record_free(&shown->record);
    return code;
}

static int show_rows(const struct config *config, PGconn *conn, enum failed_kind kind,
                     const PGresult *rows, enum output_format format, struct error *error)
{
    struct assets *assets = NULL;
    struct catalog *catalog = NULL;
    int code = assets_open(config_text(config, OPT_HOME), &assets, error);
    if (code == 0)
        code = catalog_open(assets, &catalog, error);
    for (int i = 0; code == 0 && i < PQntuples(rows); i++) {
        struct shown shown = {.conn = conn,
                              .catalog = catalog,
                              .kind = kind,
                              .rows = rows,
                              .row = i,
                              .show_pii = (int)config_int(config, OPT_SHOW_PII)};
        if (i && format == OUTPUT_TEXT)
            putchar('\n');
        code = show_one(&shown, format, error);
    }
    catalog_free(catalog);
    assets_free(assets);
    return code;
}

int failed_show(const struct config *config, PGconn *conn, enum failed_kind kind,
                enum output_format format, struct error *error)
{
    static struct failed_choice choice; /* too large for a stack frame */
    PGresult *rows = NULL;
    if (failed_choose(config, kind, &choice, error) != 0)
        return EXIT_USAGE;
    int code = choice.narrow ? failed_load(conn, &choice, SHOWN_MAX, &rows, error)
                             : error_set(error, ERROR_USAGE, "bad-argument",
                                         "say which: an id, topic/partition/offset, or options");
    if (code == 0 && PQntuples(rows) == 0)
        code = error_set(error, ERROR_USAGE, "not-found", "there is none like that");
    if (code == 0)
        code = show_rows(config, conn, kind, rows, format, error);
    PQclear(rows);
    return code == 0 ? EXIT_OK : EXIT_FAILED;
}
