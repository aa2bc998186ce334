/* SPDX-License-Identifier: Apache-2.0
 *
 * Failpoints: the program that people run holds none of them. In the test build (preset chaos) each
 * action does what failpoint.h says, in a process of its own: this one again, with a mode as its
 * argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/failpoint.h"

enum { HITS = 5, BROKEN_EXIT = 9 };

#ifndef WEIR_FAILPOINTS

static const char *const names[] = {
#define FAILPOINT_NAME(name, meaning) name,
#include "lib/base/failpoint.def"
#undef FAILPOINT_NAME
};

static char *read_program(size_t *ret_size)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 8);
    assert_true(length > 0);
    path[length] = '\0';
    memcpy(strrchr(path, '/'), "/weir", sizeof "/weir");
    FILE *file = fopen(path, "rb");
    if (!file)
        skip(); /* the tests alone were built */
    fseek(file, 0, SEEK_END);
    *ret_size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*ret_size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *ret_size, file), *ret_size);
    fclose(file);
    return bytes;
}

static void test_program_holds_none(void **state)
{
    (void)state;
    size_t size;
    char *program = read_program(&size);
    assert_non_null(memmem(program, size, "WEIR_", 5)); /* what there is, is found */
    assert_null(memmem(program, size, "WEIR_FAILPOINT", 14));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        /* with its end: a name may be part of a message */
        assert_null(memmem(program, size, names[i], strlen(names[i]) + 1));
    free(program);
    assert_int_equal(FAILPOINT("batch.sent"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_program_holds_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

/* The child: hits places, and ends with the number of those that were to fail. */
static int hit_places(void)
{
    int fds[2];
    int failed = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        return BROKEN_EXIT;
    for (int i = 0; i < HITS; i++) {
        failed += FAILPOINT("batch.filled");
        failed += FAILPOINT_AT("batch.sent", fds[0]);
    }
    /* a connection that was aborted shows as the end of what can be read */
    char byte;
    if (recv(fds[1], &byte, 1, MSG_DONTWAIT) == 0)
        failed += HITS * 2;
    return failed;
}

/* Runs the child with WEIR_FAILPOINT=spec; returns its wait status. */
static int run(const char *spec)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("WEIR_FAILPOINT", spec, 1);
        execl("/proc/self/exe", "test_failpoint", "child", (char *)NULL);
        _exit(BROKEN_EXIT);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    if (WIFSTOPPED(status)) {
        kill(pid, SIGKILL);
        int end;
        waitpid(pid, &end, 0);
    }
    return status;
}

static void test_actions(void **state)
{
    (void)state;
    int status = run("batch.sent:3");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status = run("batch.filled:1:freeze");
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    static const struct {
        const char *spec;
        int exit;
    } cases[] = {{"", 0},
                 {"batch.sent:6", 0},
                 {"batch.sent:2:fail", 1},
                 {"batch.sent:2+:fail", HITS - 1},
                 {"*:10:fail", 1},
                 {"*:4+:fail", HITS * 2 - 3},
                 {"batch.sent:1:fail,batch.filled:5:fail", 2},
                 {"batch.sent:2:abort", HITS * 2},
                 {"batch.filled:2:abort", 0},
                 {"batch.sent:1:sleep=1", 0},
                 {"list", 0},
                 {"batch.sent", 2},
                 {"batch.sent:0", 2},
                 {"batch.sent:1:explode", 2},
                 {"no.such:1", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        status = run(cases[i].spec);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != cases[i].exit)
            fail_msg("%s: status %x, exit code %d expected", cases[i].spec, status, cases[i].exit);
    }
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return hit_places();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_actions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
