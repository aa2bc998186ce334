/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns: what they match, with glibc's regexec as the oracle; what is refused; that none takes
 * long; and that what is made by one matches it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "lib/avro/pattern.h"
#include "lib/base/timestamp.h"

enum {
    PATTERNS = 3000,
    TEXTS = 20,
    LONG_TEXT = 20000,
    LONG_MS_MAX = 2000 /* of 20 ms on a quiet machine; what goes back takes years */
};

static uint64_t state;

static uint64_t next(void *context)
{
    (void)context;
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return state >> 33;
}

static size_t below(size_t limit)
{
    return (size_t)next(NULL) % limit;
}

static struct pattern *compiled(const char *text)
{
    struct pattern *pattern = NULL;
    struct error error = {0};
    if (pattern_compile(text, &pattern, &error) != 0)
        fail_msg("%s", error.message);
    return pattern;
}

static void test_matches(void **unused)
{
    (void)unused;
    static const struct {
        const char *pattern;
        const char *text;
        int matches;
    } cases[] = {
        {"", "", 1},
        {"", "a", 1},
        {"^$", "", 1},
        {"^$", "a", 0},
        {"b", "abc", 1},
        {"^b", "abc", 0},
        {"b$", "abc", 0},
        {"^[A-Z]{3}$", "EUR", 1},
        {"^[A-Z]{3}$", "EURO", 0},
        {"^[A-Z]{3}$", "EuR", 0},
        {"^[A-Z]{3}$", "EUR\n", 0},
        {"^.{2}$", "äß", 1},
        {"^.$", "🙂", 1},
        {"^[^a]$", "漢", 1},
        {"^[^漢]$", "漢", 0},
        {"^[ä-ü]+$", "öö", 1},
        {"^[a-ü]$", "z", 1},
        {"^[a-ü]$", "ý", 0},
        {"^[]a-]+$", "]-a", 1},
        {"^[^]]$", "]", 0},
        {"^[\\\\]$", "\\", 1},
        {"^(a|bc|)d$", "bcd", 1},
        {"^(a|bc|)d$", "d", 1},
        {"^(a|bc|)d$", "bd", 0},
        {"^a{2,}$", "a", 0},
        {"^a{2,}$", "aaaa", 1},
        {"^a{0}b$", "b", 1},
        {"^a{1,2}$", "aaa", 0},
        {"^(a*)*$", "aaaa", 1},
        {"^(()|a)+b$", "aab", 1},
        {"^\\.\\[$", ".[", 1},
        {"^[[:alpha:]_][[:alnum:]_]*$", "_a1", 1},
        {"^[[:digit:]]$", "a", 0},
        {"a|^b", "cb", 0},
        {"^a|b$", "xb", 1},
        {"(^|,)x(,|$)", "a,x", 1},
        {"x{3}", "axxb", 0},
        {"}", "}", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pattern *pattern = compiled(cases[i].pattern);
        if (pattern_matches(pattern, cases[i].text) != cases[i].matches)
            fail_msg("%s on \"%s\" is not %d", cases[i].pattern, cases[i].text, cases[i].matches);
        pattern_free(pattern);
    }
}

static void test_refused(void **unused)
{
    (void)unused;
    static const char *const cases[][2] = {
        {"(", "a ( has no )"},
        {"a)", "a ) has no ("},
        {"[a", "a [ has no ]"},
        {"[", "a [ has no ]"},
        {"*a", "nothing before a *"},
        {"ä|+", "nothing before a + that could repeat (at character 3)"},
        {"(?:a)", "nothing before a ?"},
        {"a{", "the repeat {"},
        {"a{,2}", "the repeat {"},
        {"a{2,1}", "the repeat {2,1}"},
        {"a{2", "the repeat {2"},
        {"a{501}", "repeats more than 500 times"},
        {"a{99999999999999999999}", "repeats more than 500 times"},
        {"(a{99}){99}", "more than 500 steps"},
        {"((((((((((a{2}){2}){2}){2}){2}){2}){2}){2}){2}){2})", "more than 500 steps"},
        {"\\d", "\"\\d\" means nothing"},
        {"(a)\\1", "\"\\1\" means nothing"},
        {"a\\", "means nothing"},
        {"[\\d]", "a backslash in [ ]"},
        {"[b-a]", "ends before it begins"},
        {"[[:alfa:]]", "there is no class [:alfa:]"},
        {"[[.a.]]", "there is no class"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pattern *pattern;
        struct error error = {0};
        if (pattern_compile(cases[i][0], &pattern, &error) == 0)
            fail_msg("%s is taken", cases[i][0]);
        if (!strstr(error.message, cases[i][1]))
            fail_msg("\"%s\" does not say \"%s\"", error.message, cases[i][1]);
    }
    struct buf deep = {0};
    struct pattern *pattern;
    struct error error = {0};
    for (int i = 0; i <= PATTERN_DEPTH_MAX; i++)
        buf_put_u8(&deep, '(');
    assert_int_equal(pattern_compile(buf_text(&deep), &pattern, &error), -1);
    assert_non_null(strstr(error.message, "nested deeper"));
    buf_free(&deep);
}

/* No anchors inside: glibc takes some of those wrongly, such as (a?b|$){2} on "b". */
static void make_pattern(struct buf *out, int depth)
{
    static const char *const atoms[] = {"a", "b", "c", ".", "[ab]", "[^a]", "[a-c]", "\\."};
    static const char *const repeats[] = {"*", "+", "?", "{2}", "{1,3}", "{2,}", "", "", "", ""};
    size_t count = below(3) + (depth == 0);
    for (size_t i = 0; i < count; i++) {
        if (depth < 2 && below(4) == 0) {
            buf_put_u8(out, '(');
            make_pattern(out, depth + 1);
            buf_put_u8(out, '|');
            make_pattern(out, depth + 1);
            buf_put_u8(out, ')');
        } else {
            buf_put_text(out, atoms[below(8)]);
        }
        buf_put_text(out, repeats[below(10)]);
    }
}

static void compare(const char *text)
{
    regex_t regex;
    struct pattern *pattern = compiled(text);
    assert_int_equal(regcomp(&regex, text, REG_EXTENDED | REG_NOSUB), 0);
    for (int i = 0; i < TEXTS; i++) {
        char tried[10] = "";
        size_t size = below(sizeof tried);
        for (size_t k = 0; k < size; k++)
            tried[k] = "abc. "[below(5)];
        if (pattern_matches(pattern, tried) != (regexec(&regex, tried, 0, NULL, 0) == 0))
            fail_msg("%s on \"%s\": the oracle says otherwise", text, tried);
    }
    struct buf made = {0};
    pattern_make(pattern, next, NULL, &made);
    if (!pattern_matches(pattern, buf_text(&made)))
        fail_msg("%s made \"%s\"", text, buf_text(&made));
    buf_free(&made);
    regfree(&regex);
    pattern_free(pattern);
}

static void test_oracle(void **unused)
{
    (void)unused;
    struct buf text = {0};
    state = 20;
    for (int i = 0; i < PATTERNS; i++) {
        buf_reset(&text);
        buf_put_text(&text, below(2) ? "^" : "");
        make_pattern(&text, 0);
        buf_put_text(&text, below(2) ? "$" : "");
        compare(buf_text(&text));
    }
    buf_free(&text);
}

static void test_makes_other_than_ascii(void **unused)
{
    (void)unused;
    static const char *const patterns[] = {"^[ä]$", "^[漢]$", "^[🙂]$"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct buf made = {0};
        struct pattern *pattern = compiled(patterns[i]);
        pattern_make(pattern, next, NULL, &made);
        assert_int_equal(pattern_matches(pattern, buf_text(&made)), 1);
        buf_free(&made);
        pattern_free(pattern);
    }
}

/* What makes others go back, or keep a state for each subset of places. */
static void test_time(void **unused)
{
    (void)unused;
    static const char *const hard[] = {"a.*b", "(a+)+b", "((a|a)*)*b", "^(a|c)*a(a|c){100}b",
                                       "(.*)(.*)(.*)(.*)(.*)[b]"};
    char *text = xmalloc(LONG_TEXT + 1);
    memset(text, 'a', LONG_TEXT);
    text[LONG_TEXT] = '\0';
    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) {
        struct pattern *pattern = compiled(hard[i]);
        int64_t began_us = monotonic_now_us();
        assert_int_equal(pattern_matches(pattern, text), 0);
        assert_true(monotonic_now_us() - began_us < LONG_MS_MAX * 1000);
        pattern_free(pattern);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_oracle),  cmocka_unit_test(test_makes_other_than_ascii),
        cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
