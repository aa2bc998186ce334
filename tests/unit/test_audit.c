/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit's pure parts: names of rules, lag, and a report that cannot overflow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h needs those before it */
#include <cmocka.h>

#include "processors/audit/checks.h"
#include "processors/audit/positions.h"
#include "processors/audit/report.h"

static void expect_name(const char *lead, const char *name, const char *invariant)
{
    char found[160];
    char found_invariant[8];
    audit_check_name(lead, strlen(lead), 12, found, found_invariant);
    assert_string_equal(found, name);
    assert_string_equal(found_invariant, invariant);
}

static void names_come_from_comments(void **state)
{
    (void)state;
    expect_name("\n\n-- name: entries sum to zero (I1)\n", "entries sum to zero", "I1");
    expect_name("-- about the file\n-- name: nobody owes\n", "nobody owes", "");
    expect_name("-- name: first (I1)\n-- name: second (I11)", "second", "I11");
    expect_name("-- name: balances (cached) add up (I9)\n", "balances (cached) add up", "I9");
    expect_name("-- name: balances (cached)\n", "balances (cached)", "");
    expect_name("-- name: a (Incident)\n", "a (Incident)", "");
    expect_name("-- another comment\n", "statement in line 12", "");
    expect_name("", "statement in line 12", "");
    expect_name("-- name:", "", "");
}

static void lag_counts_what_is_there(void **state)
{
    (void)state;
    struct audit_position position = {.next_offset = 3, .low = 0, .high = 10};
    assert_int_equal(audit_lag(&position), 7);
    position.low = 5; /* 3 and 4 are gone for ever */
    assert_int_equal(audit_lag(&position), 5);
    position.next_offset = 12;
    assert_int_equal(audit_lag(&position), 0);
    position.high = -1;
    assert_int_equal(audit_lag(&position), 0);
}

static void reports_have_a_limit(void **state)
{
    (void)state;
    struct audit_report *report = calloc(1, sizeof *report);
    for (int i = 0; i < AUDIT_ITEMS_MAX + 5; i++)
        audit_add(report, "I1", "ledger", "rule", i % 2 ? AUDIT_BROKEN : AUDIT_HOLDS, "%d", i)
            ->first = json_array();
    assert_int_equal(report->count, AUDIT_ITEMS_MAX);
    assert_string_equal(report->items[AUDIT_ITEMS_MAX - 1].message, "1028");
    assert_int_equal(audit_count(report, AUDIT_BROKEN) + audit_count(report, AUDIT_HOLDS),
                     AUDIT_ITEMS_MAX);
    audit_report_clear(report);
    assert_int_equal(report->count, 0);
    free(report);
}

static void topics_are_expected_once(void **state)
{
    (void)state;
    struct audit_positions positions = {0};
    audit_positions_expect(&positions, "ledger", 1, "weir.commerce");
    audit_positions_expect(&positions, "ledger", 1, "weir.commerce");
    audit_positions_expect(&positions, "ledger", 2, "weir.commerce");
    assert_int_equal(positions.count, 2);
    assert_int_equal(positions.rows[0].position_id, 0);
    assert_true(positions.rows[0].live);
    audit_positions_free(&positions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_come_from_comments), cmocka_unit_test(lag_counts_what_is_there),
        cmocka_unit_test(reports_have_a_limit), cmocka_unit_test(topics_are_expected_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
