/* SPDX-License-Identifier: Apache-2.0
 *
 * Places at which a test can make the program die, stop or fail. They exist in the test build only
 * (preset chaos, -DWEIR_FAILPOINTS=ON); elsewhere FAILPOINT compiles to nothing and its name is not
 * in the program.
 *
 * The environment of the test build says what happens: WEIR_FAILPOINT=NAME:N[+][:ACTION][,…]. The
 * N-th hit of NAME (with + every hit from there on; NAME * counts the hits of all) does ACTION:
 *
 *   kill       SIGKILL of this process, the default
 *   freeze     SIGSTOP of this process
 *   abort      ends the connection that the place works on, without a word to the other side
 *   fail       FAILPOINT is true: the place behaves as if its step had failed
 *   sleep=MS   goes on later
 *
 * WEIR_FAILPOINT=list prints the names and ends the program. A name that failpoint.def does not
 * list, or an action that there is not, ends it too. Hits are counted per process, over all
 * threads.
 */
#ifndef WEIR_BASE_FAILPOINT_H
#define WEIR_BASE_FAILPOINT_H

#ifdef WEIR_FAILPOINTS

/* Counts a hit of `name` and does what was asked for. `fd` is the connection's socket for abort,
 * -1 where there is none. Returns 1 when the caller is to fail. */
int failpoint_hit(const char *name, int fd);

#define FAILPOINT_AT(name, fd) failpoint_hit(name, fd)

#else

static inline int failpoint_off(void)
{
    return 0;
}

#define FAILPOINT_AT(name, fd) failpoint_off()

#endif

/* A place that can be killed, frozen or delayed; true when it is to fail: FAILPOINT("a.b"); or
 * if (FAILPOINT("a.b")) …. FAILPOINT_AT names the socket of the place's connection as well. */
#define FAILPOINT(name) FAILPOINT_AT(name, -1)

#endif
