/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole attempts with every ending. This program is its own `drover`: it has the commands `launch`
 * and `rank`.
 */
#include "tests/unit/launcher/run.h"

#include <signal.h>
#include <string.h>

static void assert_done(const json_t *event, const char *reason, int code)
{
    g_assert_cmpstr(run_string(event, "event"), ==, "done");
    g_assert_cmpstr(run_string(event, "reason"), ==, reason);
    g_assert_cmpint(run_integer(event, "code"), ==, code);
    g_assert_nonnull(run_string(event, "message"));
}

static void test_success(void)
{
    g_autoptr(Run) run = run_new("echo \"$TEST_COMMON $RANK\"", 2, 2);

    run_start(run);
    assert_done(run_wait(run, NULL), "succeeded", 0);

    g_autofree char *log = run_read(run, "attempt-1/rank-1.log");

    g_assert_cmpstr(log, ==, "common value 1\n");
}

static void test_exit_code(void)
{
    g_autoptr(Run) run = run_new("exit 7", 1, 2);

    run_start(run);
    assert_done(run_wait(run, NULL), "failed", 7);
    g_assert_cmpint(run_integer(run_find(run, "rank_exit", 0), "code"), ==, 7);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "launch") == 0)
        return launch_main();
    if (argc > 1 && strcmp(argv[1], "rank") == 0)
        return rank_main(argc - 1, argv + 1);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launch/success", test_success);
    g_test_add_func("/launch/exit_code", test_exit_code);
    return g_test_run();
}
