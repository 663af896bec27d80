/* SPDX-License-Identifier: Apache-2.0
 *
 * What is left after kill -9 of this and that: nothing. The job's processes detach themselves and
 * ignore what can be ignored. Each case runs with namespaces and where none can be made.
 */
#include "launcher/proc.h"

#include "tests/unit/launcher/run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

/* Two processes a rank: the rank itself and one that has left its session, group and parent. */
static const char *const stubborn =
    "trap '' HUP INT TERM USR1 USR2; (setsid sh -c '(while :; do sleep 1; done) & "
    "echo r > ready-'$RANK'; while :; do sleep 1; done' &) ; while :; do sleep 1; done";

/* Always on the run: there is never a moment in which all of them are in one listing of /proc. */
static const char *const storm =
    "echo r > ready-$RANK; while :; do (setsid sh -c 'sleep 0.02; sleep 0.02' &); done";

#ifdef MPI_PROGRAM
static const char *const mpi = MPI_PROGRAM " stubborn";
#endif

typedef struct {
    char *dir;
    pid_t runner;
    pid_t launcher;
    pid_t keeper;
    char *memory; /* see engine_folder() */
} Tree;

typedef void (*KillFunc)(const Tree *tree);

typedef struct {
    const char *name;
    KillFunc kill;
    bool confined;
    const char *const *command;
} Case;

static pid_t child_of(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/children", pid, pid);
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? atoi(text) : 0;
}

static bool file_is_there(const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* Where Open MPI has its files: a folder in memory behind a link, or NULL for one that is mounted
 * in a namespace and cannot outlive it. */
static char *engine_folder(const char *dir)
{
    g_autofree char *path = g_build_filename(dir, "attempt-1", "engine", NULL);

    return g_file_read_link(path, NULL);
}

/* Polls until it holds; the test has failed when it does not in time. */
static void wait_until(bool (*holds)(const Tree *tree), const Tree *tree, const char *what)
{
    gint64 end = g_get_monotonic_time() + RUN_DEADLINE_S * G_USEC_PER_SEC;

    while (!holds(tree)) {
        if (g_get_monotonic_time() > end)
            g_error("%s: not within %d s", what, RUN_DEADLINE_S);
        g_usleep(10000);
    }
}

static bool both_ready(const Tree *tree)
{
    if (waitpid(tree->runner, NULL, WNOHANG) != 0)
        g_error("the runner ended before its time");
    return file_is_there(tree->dir, "ready-0") && file_is_there(tree->dir, "ready-1");
}

static bool none_left(const Tree *tree)
{
    waitpid(tree->runner, NULL, WNOHANG);
    return run_count_processes(tree->dir) == 0 &&
           !(tree->memory && g_file_test(tree->memory, G_FILE_TEST_EXISTS));
}

/* The runner's lock, which it gave to the launcher to keep. */
static bool is_unlocked(const Tree *tree)
{
    g_autofree char *path = g_build_filename(tree->dir, "lock", NULL);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool unlocked = flock(fd, LOCK_EX | LOCK_NB) == 0;

    close(fd);
    return unlocked;
}

/* False: confinement is not to be had here, and the test is skipped. */
static bool tree_start(Tree *tree, const Case *test)
{
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);

    tree->dir = g_dir_make_tmp("drover-survivors-XXXXXX", NULL);
    tree->runner = fork();
    if (tree->runner == 0) {
        execl(program, program, "run", tree->dir, *test->command, "2",
              test->confined ? "confined" : NULL, NULL);
        _exit(1);
    }
    for (;;) {
        int status;

        if (waitpid(tree->runner, &status, WNOHANG) > 0) {
            g_assert_cmpint(WEXITSTATUS(status), ==, RUN_EXIT_NOT_CONFINED);
            return false;
        }
        if (file_is_there(tree->dir, "events"))
            break;
        g_usleep(5000);
    }
    wait_until(both_ready, tree, "both ranks ready");
    tree->launcher = child_of(tree->runner);
    tree->keeper = child_of(tree->launcher);
    g_assert_cmpint(tree->keeper, >, 1);
    return true;
}

static void tree_clear(Tree *tree)
{
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", tree->dir);

    g_assert_cmpint(system(command), ==, 0);
    g_free(tree->dir);
    g_free(tree->memory);
}

/* ---- who is killed ---- */

static void kill_runner(const Tree *tree)
{
    kill(tree->runner, SIGKILL);
}

static void kill_launcher(const Tree *tree)
{
    kill(tree->launcher, SIGKILL);
}

static void kill_both(const Tree *tree)
{
    kill(tree->runner, SIGSTOP);
    kill(tree->launcher, SIGKILL);
    kill(tree->runner, SIGKILL);
}

static void kill_keeper(const Tree *tree)
{
    kill(tree->keeper, SIGKILL);
}

/* As `pkill -9 drover` would: everything that carries the program's name (comm). */
static void kill_by_name(const Tree *tree)
{
    g_autoptr(ProcTable) table = proc_table_new();
    g_autoptr(GArray) pids = proc_list_descendants(table, tree->runner);
    g_autofree char *own = NULL;
    guint killed = 0;

    g_assert_true(g_file_get_contents("/proc/self/comm", &own, NULL, NULL));
    g_array_prepend_val(pids, tree->runner);
    for (guint i = 0; i < pids->len; i++) {
        g_autofree char *path = g_strdup_printf("/proc/%d/comm", g_array_index(pids, pid_t, i));
        g_autofree char *name = NULL;

        if (g_file_get_contents(path, &name, NULL, NULL) && strcmp(name, own) == 0)
            killed += kill(g_array_index(pids, pid_t, i), SIGKILL) == 0;
    }
    g_assert_cmpuint(killed, >=, 1); /* of four: the death of one may bring that of the next */
}

static void kill_engine(const Tree *tree)
{
    pid_t engine = child_of(tree->keeper);

    g_assert_cmpint(engine, >, 1);
    kill(engine, SIGKILL);
}

static void test_case(const void *data)
{
    const Case *test = data;
    Tree tree = {0};

    if (!tree_start(&tree, test)) {
        g_test_skip("user namespaces are not to be had here");
        tree_clear(&tree);
        return;
    }
    g_assert_cmpuint(run_count_processes(tree.dir), >=, 5);
    tree.memory = engine_folder(tree.dir);
    test->kill(&tree);
    if (tree.memory || test->kill != kill_keeper) { /* whoever has the lock now may be sure */
        wait_until(is_unlocked, &tree, test->name);
        waitpid(tree.runner, NULL, WNOHANG);
        g_assert_cmpuint(run_count_processes(tree.dir), ==, 0);
    }
    wait_until(none_left, &tree, test->name);
    tree_clear(&tree);
}

int main(int argc, char **argv)
{
    static const Case cases[] = {
        {"runner", kill_runner, false, &stubborn},
        {"launcher", kill_launcher, false, &stubborn},
        {"both", kill_both, false, &stubborn},
        {"keeper", kill_keeper, false, &stubborn},
        {"by_name", kill_by_name, false, &stubborn},
        {"engine", kill_engine, false, &stubborn},
        {"storm", kill_by_name, false, &storm},
        {"runner_confined", kill_runner, true, &stubborn},
        {"launcher_confined", kill_launcher, true, &stubborn},
        {"both_confined", kill_both, true, &stubborn},
        {"keeper_confined", kill_keeper, true, &stubborn},
        {"by_name_confined", kill_by_name, true, &stubborn},
        {"engine_confined", kill_engine, true, &stubborn},
        {"storm_confined", kill_by_name, true, &storm},
#ifdef MPI_PROGRAM
        {"mpi_runner", kill_runner, false, &mpi},
        {"mpi_keeper", kill_keeper, false, &mpi},
        {"mpi_runner_confined", kill_runner, true, &mpi},
#endif
    };
    int status = run_main(argc, argv);

    if (status >= 0)
        return status;
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/survivors/", cases[i].name, NULL);

        g_test_add_data_func(path, &cases[i], test_case);
    }
    return g_test_run();
}
