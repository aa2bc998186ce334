/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway's pure parts: keys, event ids, fingerprints, problems, names and JSON text. What
 * needs a broker is in tests/system/test_gateway.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/json_text.h"
#include "lib/base/nearest.h"
#include "producers/gateway/etag.h"
#include "producers/gateway/event.h"
#include "producers/gateway/problem.h"

#define SPACE "0190a5f0-7a1c-7000-8000-000000000001"

static void keys(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        const char *key; /* NULL: refused */
    } cases[] = {
        {"abc", "abc"},
        {"\"abc\"", "abc"},
        {"\"a b\"", "a b"},
        {"\"a\\\"b\\\\\"", "a\"b\\"},
        {"a b", NULL},
        {"a\"b", NULL},
        {"\"abc", NULL},
        {"\"abc\"d", NULL},
        {"", NULL},
        {"\"\"", NULL},
        {"a\tb", NULL},
        {"\"\x01\"", NULL},
        {"caf\xc3\xa9", NULL},
        {"\"a\\n\"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct key key;
        const char *why = NULL;
        int result = key_parse(cases[i].header, KEY_BYTES_MAX, &key, &why);
        if (!cases[i].key) {
            assert_int_equal(result, -1);
            assert_non_null(why);
            continue;
        }
        assert_int_equal(result, 0);
        assert_string_equal(key.text, cases[i].key);
        assert_int_equal(key.size, strlen(cases[i].key));
    }
    char longest[KEY_BYTES_MAX + 2];
    struct key key;
    const char *why;
    memset(longest, 'k', sizeof longest);
    longest[KEY_BYTES_MAX + 1] = '\0';
    assert_int_equal(key_parse(longest, KEY_BYTES_MAX, &key, &why), -1);
    longest[KEY_BYTES_MAX] = '\0';
    assert_int_equal(key_parse(longest, KEY_BYTES_MAX, &key, &why), 0);
}

static struct uuid id_of(const char *space, const char *text)
{
    struct key key;
    const char *why;
    assert_int_equal(key_parse(text, KEY_BYTES_MAX, &key, &why), 0);
    return key_event_id(space, &key);
}

static void event_ids(void **state)
{
    (void)state;
    struct key made;
    char text[UUID_TEXT_SIZE + 1];
    key_make(&made);
    struct uuid id = key_event_id(SPACE, &made);
    uuid_format(&id, text);
    assert_string_equal(text, made.text); /* a key of ours is the id */
    assert_int_equal(uuid_version(&id), 7);

    struct uuid one = id_of(SPACE, "order-1");
    struct uuid again = id_of(SPACE, "\"order-1\"");
    struct uuid other_key = id_of(SPACE, "order-2");
    struct uuid other_space = id_of("0190a5f0-7a1c-7000-8000-000000000002", "order-1");
    assert_int_equal(uuid_version(&one), 5);
    assert_memory_equal(&one, &again, sizeof one);
    assert_memory_not_equal(&one, &other_key, sizeof one);
    assert_memory_not_equal(&one, &other_space, sizeof one);
    /* A UUID of another version is a key like any other. */
    struct uuid version_4 = id_of(SPACE, "936da01f-9abd-4d9d-80c7-02af85c822a8");
    assert_int_equal(uuid_version(&version_4), 5);

    struct key line;
    key_of_line(&made, 12, &line);
    assert_int_equal(line.size, made.size + 3);
    assert_string_equal(line.text + made.size, "#12");
}

static int64_t fingerprint(const char *event, const char *body)
{
    struct buf scratch = {0};
    json_t *json = json_loads(body, 0, NULL);
    int64_t value = key_fingerprint(event, json, &scratch);
    json_decref(json);
    buf_free(&scratch);
    return value;
}

static void fingerprints(void **state)
{
    (void)state;
    assert_int_equal(fingerprint("A", "{\"x\":1,\"y\":[1,2]}"),
                     fingerprint("A", "{ \"y\": [1, 2], \"x\": 1 }"));
    assert_int_not_equal(fingerprint("A", "{\"x\":1}"), fingerprint("A", "{\"x\":2}"));
    assert_int_not_equal(fingerprint("A", "{\"x\":1}"), fingerprint("B", "{\"x\":1}"));
    assert_int_not_equal(fingerprint("A", "{\"x\":[1,2]}"), fingerprint("A", "{\"x\":[2,1]}"));
    /* sha256("A\n{\"x\":1}") as Python's hashlib has it */
    assert_int_equal(fingerprint("A", "{\"x\":1}"), INT64_C(-1528099911986398365));
}

static void problems(void **state)
{
    (void)state;
    struct buf out = {0};
    struct faults faults;
    faults.count = 0;
    faults_add(&faults, "/price/amount", "must be %s", "a \"number\"");
    buf_put_u8(&out, '{');
    problem_members(&out, PROBLEM_INVALID_EVENT, "1 fault\n");
    problem_errors(&out, &faults);
    buf_put_text(&out, "}");
    json_t *json = json_loadb(out.data, out.size, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "type")),
                        "/problems/invalid-event");
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 422);
    assert_string_equal(json_string_value(json_object_get(json, "detail")), "1 fault\n");
    const json_t *first = json_array_get(json_object_get(json, "errors"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "pointer")), "/price/amount");
    assert_string_equal(json_string_value(json_object_get(first, "detail")),
                        "must be a \"number\"");
    json_decref(json);
    buf_free(&out);
    for (int type = 0; type < PROBLEM_TYPE_COUNT; type++)
        assert_in_range(problem_status((enum problem_type)type), 400, 599);
}

static void json_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *json;
    } cases[] = {{"plain", "\"plain\""},
                 {"\"\\", "\"\\\"\\\\\""},
                 {"a\nb\x01", "\"a\\nb\\u0001\""},
                 {"caf\xc3\xa9", "\"caf\xc3\xa9\""},
                 {"cut \xc3", "\"cut ?\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        json_text_put(&out, cases[i].text, strlen(cases[i].text));
        buf_put_u8(&out, 0);
        assert_string_equal(out.data, cases[i].json);
        buf_free(&out);
    }
}

static void nearest(void **state)
{
    (void)state;
    assert_int_equal(nearest_distance("MemberJoined", "MemberJoined"), 0);
    assert_int_equal(nearest_distance("memberjoined", "MemberJoined"), 0);
    assert_int_equal(nearest_distance("MemberJoin", "MemberJoined"), 2);
    assert_int_equal(nearest_distance("", "abc"), 3);
    assert_true(nearest_plausible("MemberJoin", 2));
    assert_false(nearest_plausible("Tip", 3));
}

static void traceparents(void **state)
{
    (void)state;
    const char *good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_ptr_equal(event_traceparent(good), good);
    assert_null(event_traceparent(NULL));
    assert_null(event_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"));
    assert_null(event_traceparent("00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    assert_null(event_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7\n01"));
}

static void etags(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        int matches;
    } cases[] = {
        {"\"ab\"", 1},
        {" \t\"ab\" ", 1},
        {"W/\"ab\"", 1},
        {"\"x\", \"ab\"", 1},
        {"\"x\",,W/\"ab\" ,", 1},
        {"\"a,b\", \"ab\"", 1},
        {"*", 1},
        {" * ", 1},
        {NULL, 0},
        {"", 0},
        {"ab", 0},
        {"\"abc\"", 0},
        {"w/\"ab\"", 0},
        {"*, \"x\"", 0},
        {"\"x\", *", 0},
        {"\"ab\"x", 0},      /* no list */
        {"x\"ab\"", 0},      /* no list */
        {"\"ab\" \"x\"", 0}, /* no comma */
        {"\"ab\", \"x", 0},  /* not closed */
        {"\"ab\", x", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(etag_matches(cases[i].header, "\"ab\""), cases[i].matches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),         cmocka_unit_test(event_ids),
        cmocka_unit_test(fingerprints), cmocka_unit_test(problems),
        cmocka_unit_test(json_texts),   cmocka_unit_test(nearest),
        cmocka_unit_test(traceparents), cmocka_unit_test(etags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
