/* SPDX-License-Identifier: Apache-2.0
 *
 * The author's line in the context of an error, in the words of Postgres' translations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "processors/definition/place.h"

#define SIGNATURE "author_0123456789ab(weir_event.post_reacted_1[],weir_event.post_created_2[])"

static const struct asset apply = {.path = "sql/processors/x/apply.sql"};
static const struct asset screen = {.path = "sql/processors/x/screen.sql"};
static const struct processor processor = {.apply = &apply, .screen = &screen};

static void assert_place(const char *context, const struct asset *file, int line)
{
    int found = -1;
    assert_ptr_equal(place_find(&processor, context, &found), file);
    assert_int_equal(found, line);
}

static void test_every_language_leads_to_the_line(void **state)
{
    (void)state;
    static const char *const contexts[] = {
        "PL/pgSQL function " SIGNATURE " line 17 at SQL statement",
        "PL/pgSQL-Funktion " SIGNATURE " Zeile 17 bei SQL-Anweisung",
        "fonction PL/pgSQL x_1." SIGNATURE ", ligne 17 à instruction SQL",
        "PL/pgSQL関数" SIGNATURE "の17行目 - SQL ステートメント",
        "PL/pgSQL 함수 \"" SIGNATURE "\" 의 17번째 SQL 문",
        "x_1." SIGNATURE " PL/pgSQL fonksiyonu, 17. satır, SQL ifadesi içinde",
        "在SQL语句的第17行的PL/pgSQL函数x_1." SIGNATURE,
    };
    for (size_t i = 0; i < sizeof contexts / sizeof *contexts; i++)
        assert_place(contexts[i], &apply, 17);
}

static void test_the_innermost_of_the_authors_functions_counts(void **state)
{
    (void)state;
    assert_place(
        "PL/pgSQL function refuse() line 2 at RAISE\nSQL statement \"INSERT INTO a\nVALUES "
        "(1)\"\nPL/pgSQL function " SIGNATURE " line 9 at SQL statement\n"
        "PL/pgSQL function x_1.apply_0123456789ab(a[]) line 1 at PERFORM",
        &apply, 9);
    assert_place("PL/pgSQL function screen_0123456789ab(a[]) line 3 at SQL statement\n"
                 "PL/pgSQL function " SIGNATURE " line 1 at PERFORM",
                 &screen, 3);
    assert_place("PL/pgSQL function " SIGNATURE " during function entry", &apply, 0);
}

static void test_elsewhere(void **state)
{
    (void)state;
    assert_place(NULL, NULL, 0);
    assert_place("", NULL, 0);
    assert_place("PL/pgSQL function weir.advance(weir.batch_position[]) line 22 at RAISE", NULL, 0);
    struct error error = {.message = "m"};
    assert_int_equal(place_prefix(&processor, "PL/pgSQL function author_", &error), 0);
    assert_string_equal(error.message, "m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_language_leads_to_the_line),
        cmocka_unit_test(test_the_innermost_of_the_authors_functions_counts),
        cmocka_unit_test(test_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
