/* SPDX-License-Identifier: Apache-2.0
 *
 * Handlers are set once in a process, so each case is a process of its own.
 */
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "collectives/coll.h"

static volatile sig_atomic_t *program_handled(void)
{
    static volatile sig_atomic_t count;

    return &count;
}

static void program_handler(int number)
{
    (void)number;
    (*program_handled())++;
}

/* Runs the test again in a child; true there. */
static gboolean in_child(const char *checkpoint_signal)
{
    if (g_test_subprocess())
        return TRUE;
    if (checkpoint_signal)
        g_setenv("DROVER_CHECKPOINT_SIGNAL", checkpoint_signal, TRUE);
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
    g_unsetenv("DROVER_CHECKPOINT_SIGNAL");
    return FALSE;
}

static void test_sigterm(void)
{
    if (!in_child(NULL)) {
        g_test_trap_assert_passed();
        return;
    }
    g_assert_false(coll_stop_requested());
    g_assert_false(coll_stop_requested());
    raise(SIGTERM);
    g_assert_true(coll_stop_requested());
    raise(SIGTERM);
    g_assert_true(coll_stop_requested());
}

static void test_checkpoint_signal(void)
{
    g_autofree char *number = g_strdup_printf("%d", SIGUSR1);

    if (!in_child(number)) {
        g_test_trap_assert_passed();
        return;
    }
    g_assert_false(coll_stop_requested());
    raise(SIGUSR1);
    g_assert_true(coll_stop_requested());
}

/* Without the variable the signal is not ours: its default ends the process. */
static void test_other_signals_are_left(void)
{
    if (!in_child(NULL)) {
        g_test_trap_assert_failed();
        return;
    }
    coll_stop_requested();
    raise(SIGUSR1);
}

static void test_nonsense_is_ignored(void)
{
    const char *const bad[] = {"", "USR1", "-1", "0", "9", "19", "100000", "10x", "15"};

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        if (!in_child(bad[i])) {
            g_test_trap_assert_passed();
            continue;
        }
        g_assert_false(coll_stop_requested());
        raise(SIGTERM);
        g_assert_true(coll_stop_requested());
        return;
    }
}

static void test_program_handler_is_called(void)
{
    if (!in_child(NULL)) {
        g_test_trap_assert_passed();
        return;
    }
    signal(SIGTERM, program_handler);
    g_assert_false(coll_stop_requested());
    raise(SIGTERM);
    g_assert_true(coll_stop_requested());
    g_assert_cmpint(*program_handled(), ==, 1);
}

/* A read that waits goes on after the signal (SA_RESTART). */
static gpointer poke_then_write(gpointer data)
{
    const int *fds = data;
    ssize_t written;

    for (int i = 0; i < 20; i++) {
        kill(getpid(), SIGTERM);
        g_thread_yield();
    }
    written = write(fds[1], "x", 1);
    return GINT_TO_POINTER((int)written);
}

static void test_restarts_system_calls(void)
{
    int fds[2];
    char byte;
    GThread *thread;
    sigset_t term;

    if (!in_child(NULL)) {
        g_test_trap_assert_passed();
        return;
    }
    g_assert_cmpint(pipe(fds), ==, 0);
    g_assert_false(coll_stop_requested());
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, NULL); /* the new thread inherits: signals come to this one */
    thread = g_thread_new("poke", poke_then_write, fds);
    pthread_sigmask(SIG_UNBLOCK, &term, NULL);
    g_assert_cmpint(read(fds[0], &byte, 1), ==, 1);
    g_assert_cmpint(GPOINTER_TO_INT(g_thread_join(thread)), ==, 1);
    g_assert_true(coll_stop_requested());
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stop/sigterm", test_sigterm);
    g_test_add_func("/stop/checkpoint_signal", test_checkpoint_signal);
    g_test_add_func("/stop/other_signals_are_left", test_other_signals_are_left);
    g_test_add_func("/stop/nonsense_is_ignored", test_nonsense_is_ignored);
    g_test_add_func("/stop/program_handler_is_called", test_program_handler_is_called);
    g_test_add_func("/stop/restarts_system_calls", test_restarts_system_calls);
    return g_test_run();
}
