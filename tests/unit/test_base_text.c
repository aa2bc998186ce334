/* SPDX-License-Identifier: Apache-2.0
 *
 * UUIDs, UTF-8, base64 and arenas: each held against a plain second way of saying the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/arena.h"
#include "lib/base/base64.h"
#include "lib/base/utf8.h"
#include "lib/base/uuid.h"

static void test_uuid(void **state)
{
    (void)state;
    static const char text[] = "0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9aFF";
    static const unsigned char bytes[] = {0x01, 0x90, 0xa6, 0xb2, 0x7c, 0x1d, 0x7e, 0x3f,
                                          0x8a, 0x4b, 0x5c, 0x6d, 0x7e, 0x8f, 0x9a, 0xff};
    char again[UUID_TEXT_SIZE + 1];
    struct uuid uuid;
    assert_int_equal(uuid_parse(text, 36, &uuid), 0);
    assert_memory_equal(uuid.bytes, bytes, 16);
    uuid_format(&uuid, again);
    assert_string_equal(again, "0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9aff");
    assert_int_equal(uuid_parse(text, 35, &uuid), -1);
}

/* Every byte at every place. */
static void test_uuid_digits(void **state)
{
    (void)state;
    char text[] = "0190a6b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b";
    for (int at = 0; at < 36; at++) {
        for (int c = 0; c < 256; c++) {
            struct uuid uuid;
            char old = text[at];
            int dash = at == 8 || at == 13 || at == 18 || at == 23;
            text[at] = (char)c;
            int good = dash ? c == '-' : c < 128 && isxdigit(c);
            assert_int_equal(uuid_parse(text, 36, &uuid), good ? 0 : -1);
            if (good) {
                char again[UUID_TEXT_SIZE + 1];
                uuid_format(&uuid, again);
                assert_int_equal(again[at], tolower(c));
            }
            text[at] = old;
        }
    }
}

/* RFC 3629's grammar, read one code point at a time. */
static int plain_valid(const unsigned char *at, size_t size)
{
    while (size > 0) {
        size_t more = at[0] < 0x80   ? 0
                      : at[0] < 0xc0 ? 9
                      : at[0] < 0xe0 ? 1
                      : at[0] < 0xf0 ? 2
                      : at[0] < 0xf8 ? 3
                                     : 9;
        static const uint32_t least[] = {1, 0x80, 0x800, 0x10000};
        uint32_t point = more ? at[0] & (0x3fu >> more) : at[0];
        if (more > 3 || more >= size)
            return 0;
        for (size_t i = 1; i <= more; i++) {
            if ((at[i] & 0xc0) != 0x80)
                return 0;
            point = point << 6 | (at[i] & 0x3fu);
        }
        if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            return 0;
        at += more + 1;
        size -= more + 1;
    }
    return 1;
}

static void test_utf8(void **state)
{
    (void)state;
    /* All pairs of bytes at every place of a word, and all heads of three and four. */
    for (int pair = 0; pair < 65536; pair++) {
        unsigned char text[12];
        for (size_t at = 0; at < 11; at += 5) {
            memset(text, 'x', sizeof text);
            text[at] = (unsigned char)(pair >> 8);
            text[at + 1] = (unsigned char)pair;
            assert_int_equal(utf8_valid(text, sizeof text), plain_valid(text, sizeof text));
            text[at + 2 > 11 ? 0 : at + 2] = 0x80;
            assert_int_equal(utf8_valid(text, sizeof text), plain_valid(text, sizeof text));
            if (at + 3 < 12)
                text[at + 3] = 0xbf;
            assert_int_equal(utf8_valid(text, sizeof text), plain_valid(text, sizeof text));
        }
    }
    assert_true(utf8_valid("", 0));
    assert_true(utf8_valid("größe 日本 😀", strlen("größe 日本 😀")));
    assert_false(utf8_valid("abcdefgh\0ijklmnop", 17));
    assert_true(utf8_encoded("abcdefgh\0ijklmnop", 17));
    assert_false(utf8_encoded("abcdefgh\0ijklmno\xff", 17));
    assert_false(utf8_valid("\xf0\x9f\x98", 3));
}

static void test_base64(void **state)
{
    (void)state;
    /* RFC 4648 §10 */
    static const char *const cases[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    static const char *const wrong[] = {
        "Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm9v\n", "Zg==Zg==", "Zm-v"};
    struct buf out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        out.size = 0;
        base64_encode(cases[i][0], strlen(cases[i][0]), &out);
        assert_int_equal(out.size, strlen(cases[i][1]));
        assert_memory_equal(out.data ? out.data : "", cases[i][1], out.size);
        out.size = 0;
        assert_int_equal(base64_decode(cases[i][1], strlen(cases[i][1]), &out), 0);
        assert_int_equal(out.size, strlen(cases[i][0]));
        assert_memory_equal(out.data ? out.data : "", cases[i][0], out.size);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        out.size = 1;
        assert_int_equal(base64_decode(wrong[i], strlen(wrong[i]), &out), -1);
        assert_int_equal(out.size, 1);
    }
    buf_free(&out);
}

static void test_arena(void **state)
{
    (void)state;
    struct arena arena = {0};
    char *pieces[200];
    for (int i = 0; i < 200; i++) {
        size_t size = (size_t)i * 331;
        pieces[i] = arena_alloc(&arena, size);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        for (size_t k = 0; k < size; k++)
            assert_int_equal(pieces[i][k], 0);
        memset(pieces[i], i, size);
    }
    for (int i = 1; i < 200; i++)
        assert_int_equal((unsigned char)pieces[i][i * 331 - 1], i);
    assert_string_equal(arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
    assert_string_equal(arena_strdup(&arena, "copy"), "copy");
    arena_free(&arena);
    assert_null(arena.newest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uuid),  cmocka_unit_test(test_uuid_digits),
        cmocka_unit_test(test_utf8),  cmocka_unit_test(test_base64),
        cmocka_unit_test(test_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
