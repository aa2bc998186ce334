/* SPDX-License-Identifier: Apache-2.0
 *
 * Splitting SQL into statements, and seeing which names they mention. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "lib/pg/sql_scan.h"

static struct sql_statement one(const char *text)
{
    struct sql_cursor cursor = sql_open(text, strlen(text));
    struct sql_statement statement;
    assert_int_equal(sql_next(&cursor, &statement), 1);
    return statement;
}

static int count(const char *text)
{
    struct sql_cursor cursor = sql_open(text, strlen(text));
    struct sql_statement statement;
    int number = 0;
    while (sql_next(&cursor, &statement))
        number++;
    return number;
}

static void assert_statement(const struct sql_statement *statement, const char *expected)
{
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)statement->size, statement->text);
    assert_string_equal(text, expected);
}

static void test_semicolons_in_quotes_do_not_split(void **state)
{
    (void)state;
    assert_int_equal(count("SELECT ';'; SELECT \";\";"), 2);
    assert_int_equal(count("SELECT $a$ ; $b$ ; $a$"), 1);
    assert_int_equal(count("SELECT 'it''s; fine'; SELECT E'a\\';b'"), 2);
    assert_int_equal(count("SELECT 1 -- a; b\n + 2"), 1);
    assert_int_equal(count("SELECT 1 /* a; /* b; */ c; */ + 2"), 1);
}

static void test_blank_text_holds_no_statement(void **state)
{
    (void)state;
    assert_int_equal(count(""), 0);
    assert_int_equal(count(" ;; -- nothing\n ; /* here */"), 0);
}

static void test_an_unclosed_quote_ends_with_the_text(void **state)
{
    (void)state;
    assert_int_equal(count("SELECT 'a; b"), 1);
    assert_int_equal(count("SELECT $x$ a; b"), 1);
    assert_int_equal(count("SELECT /* a; b"), 1);
}

static void test_lines_are_counted(void **state)
{
    (void)state;
    const char *text = "-- head\nSELECT\n1;\n\n-- two\nSELECT 2;";
    struct sql_cursor cursor = sql_open(text, strlen(text));
    struct sql_statement statement;
    assert_int_equal(sql_next(&cursor, &statement), 1);
    assert_int_equal(statement.line, 2);
    assert_statement(&statement, "SELECT\n1");
    assert_int_equal(sql_next(&cursor, &statement), 1);
    assert_int_equal(statement.line, 6);
    assert_statement(&statement, "SELECT 2");
}

static void test_a_leading_with_is_found(void **state)
{
    (void)state;
    struct sql_statement plain = one("WITH a AS (SELECT 1) SELECT * FROM a");
    assert_int_equal(plain.with_size, 4);
    assert_false(plain.recursive);
    struct sql_statement recursive = one("with /* deep */ Recursive t AS (SELECT 1) SELECT 1");
    assert_int_equal(recursive.with_size, strlen("with /* deep */ Recursive"));
    assert_true(recursive.recursive);
    assert_int_equal(one("INSERT INTO t SELECT 1").with_size, 0);
    assert_int_equal(one("WITHIN").with_size, 0);
}

static void test_names_count_outside_of_strings_and_comments(void **state)
{
    (void)state;
    struct sql_statement statement = one(
        "SELECT Product_Purchased.seq, 'member_joined' FROM product_purchased -- post_published\n"
        "JOIN \"space_created\" USING (seq)");
    assert_true(sql_mentions(&statement, "product_purchased"));
    assert_true(sql_mentions(&statement, "space_created"));
    assert_false(sql_mentions(&statement, "member_joined"));
    assert_false(sql_mentions(&statement, "post_published"));
    assert_false(sql_mentions(&statement, "product"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_semicolons_in_quotes_do_not_split),
        cmocka_unit_test(test_blank_text_holds_no_statement),
        cmocka_unit_test(test_an_unclosed_quote_ends_with_the_text),
        cmocka_unit_test(test_lines_are_counted),
        cmocka_unit_test(test_a_leading_with_is_found),
        cmocka_unit_test(test_names_count_outside_of_strings_and_comments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
