/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole attempts with every ending that a job file and its programs can bring about.
 */
#include "tests/unit/launcher/run.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void assert_done(const json_t *event, const char *reason, int code)
{
    g_assert_cmpstr(run_string(event, "event"), ==, "done");
    g_assert_cmpstr(run_string(event, "reason"), ==, reason);
    g_assert_cmpint(run_integer(event, "code"), ==, code);
}

static void assert_message(const json_t *event, const char *words)
{
    const char *message = run_string(event, "message");

    if (!message || !strstr(message, words))
        g_error("the message '%s' does not say '%s'", message, words);
}

static void assert_exit(const Run *run, int rank, int code, int number)
{
    const json_t *event = run_find_rank(run, "rank_exit", rank);

    g_assert_nonnull(event);
    g_assert_cmpint(run_integer(event, "code"), ==, code);
    g_assert_cmpint(run_integer(event, "signal"), ==, number);
}

static void plan_set(char **member, const char *value)
{
    g_free(*member);
    *member = g_strdup(value);
}

/* ---- the ranks' world ---- */

static void test_success(void)
{
    g_autoptr(Run) run = run_new("echo \"$TEST_COMMON $RANK\"; echo err >&2; cat; pwd", 2, 2);

    run_start(run);
    assert_done(run_wait(run, NULL), "succeeded", 0);

    g_autofree char *log = run_read(run, "attempt-1/rank-1.log");
    g_autofree char *want = g_strdup_printf("common value 1\nerr\n%s\n", run->dir);

    g_assert_cmpstr(log, ==, want);
    g_assert_cmpuint(run_count_processes(run->dir), ==, 0);
}

static guint event_index(const Run *run, const char *name, int rank)
{
    for (guint i = 0; i < run->events->len; i++) {
        const json_t *event = run->events->pdata[i];

        if (strcmp(run_string(event, "event"), name) == 0 &&
            (rank < 0 || run_integer(event, "rank") == rank))
            return i;
    }
    g_error("no event '%s'", name);
    return 0;
}

static void test_event_order(void)
{
    g_autoptr(Run) run = run_new("echo '{\"event\":\"progress\",\"step\":3}' >&3; sleep 0.2", 2, 2);
    int64_t mono = 0;

    plan_set(&run->plan->setup, "true");
    run_start(run);
    run_wait(run, NULL);
    g_assert_cmpuint(event_index(run, "setup", -1), ==, 0);
    g_assert_cmpuint(event_index(run, "setup_done", -1), ==, 1);
    g_assert_cmpuint(event_index(run, "started", -1), ==, 2);
    for (int rank = 0; rank < 2; rank++) {
        guint started = event_index(run, "rank_started", rank);

        g_assert_cmpint(run_integer(run->events->pdata[started], "pid"), >, 1);
        g_assert_cmpuint(started, <, event_index(run, "running", -1));
        g_assert_cmpuint(started, <, event_index(run, "progress", rank));
        g_assert_cmpuint(event_index(run, "progress", rank), <,
                         event_index(run, "rank_exit", rank));
    }
    g_assert_cmpuint(event_index(run, "done", -1), ==, run->events->len - 1);
    for (guint i = 0; i < run->events->len; i++) {
        const json_t *event = run->events->pdata[i];

        g_assert_cmpint(json_integer_value(json_object_get(event, "at_ms")), >, 0);
        g_assert_cmpint(json_integer_value(json_object_get(event, "mono_ms")), >=, mono);
        mono = json_integer_value(json_object_get(event, "mono_ms"));
    }
}

/* The pid in rank_started is one that this process can use, namespace or not. */
static void test_pid(void)
{
    g_autoptr(Run) run = run_new("exec sleep 1000", 1, 1);

    run_start(run);
    run_wait(run, "running");
    pid_t pid = run_integer(run_find(run, "rank_started", 0), "pid");

    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    assert_done(run_wait(run, NULL), "failed", 128 + SIGKILL);
    assert_exit(run, 0, 0, SIGKILL);
}

/* `drover rank` itself is killed: its rank goes with it and counts as killed. */
static void test_shim_killed(void)
{
    g_autoptr(Run) run = run_new("exec sleep 1000", 2, 2);

    run_start(run);
    run_wait(run, "running");
    g_autofree char *path =
        g_strdup_printf("/proc/%d/stat", run_integer(run_find_rank(run, "rank_started", 1), "pid"));
    g_autofree char *stat = NULL;
    int shim = 0;

    g_assert_true(g_file_get_contents(path, &stat, NULL, NULL));
    g_assert_cmpint(sscanf(strrchr(stat, ')'), ") %*c %d", &shim), ==, 1);
    g_assert_cmpint(kill(shim, SIGKILL), ==, 0);
    assert_done(run_wait(run, NULL), "failed", 128 + SIGKILL);
    assert_exit(run, 1, 0, SIGKILL);
    g_assert_cmpuint(run_count_processes(run->dir), ==, 0);
}

static void test_environment(void)
{
    g_autoptr(Run) run = run_new("echo $PATH; env; nproc", 2, 2);

    plan_set(&run->plan->path_prefix, "/opt/own");
    g_setenv("OMPI_MCA_pml", "user_choice", TRUE);
    run_start(run);
    g_unsetenv("OMPI_MCA_pml");
    assert_done(run_wait(run, NULL), "succeeded", 0);

    g_autofree char *log = run_read(run, "attempt-1/rank-0.log");
    g_autofree char *path = g_strdup_printf("/opt/own:%s\n", g_getenv("PATH"));

    g_assert_true(g_str_has_prefix(log, path));
    g_assert_nonnull(strstr(log, "\nDROVER_PROGRESS_FD=3\n"));
    g_assert_nonnull(strstr(log, "\nOMPI_COMM_WORLD_SIZE=2\n"));
    g_assert_nonnull(strstr(log, "\nOMPI_MCA_pml=user_choice\n"));
    g_assert_null(strstr(log, "HWLOC_COMPONENTS"));
    g_assert_null(strstr(log, "OMPI_MCA_state="));
    g_assert_null(strstr(log, "DROVER_ENGINE_ONLY"));
    g_assert_null(strstr(log, "OMPI_ALLOW_RUN_AS_ROOT"));
    if (g_get_num_processors() >= 2)
        g_assert_true(g_str_has_suffix(log, "\n1\n")); /* bound to one core of two */
}

static void test_oversubscribed(void)
{
    g_autoptr(Run) run = run_new("true", 7, 2);

    run_start(run);
    assert_done(run_wait(run, NULL), "succeeded", 0);
    for (int rank = 0; rank < 7; rank++)
        assert_exit(run, rank, 0, 0);
}

static void test_bad_workdir(void)
{
    g_autoptr(Run) run = run_new("true", 1, 1);

    plan_set(&run->plan->workdir, "/nonexistent/place");
    run_start(run);
    assert_done(run_wait(run, NULL), "failed", 126);

    g_autofree char *log = run_read(run, "attempt-1/rank-0.log");

    g_assert_nonnull(strstr(log, "cannot enter workdir /nonexistent/place"));
}

static guint files_with(const char *dir_name, const char *text)
{
    g_autoptr(GDir) dir = g_dir_open(dir_name, 0, NULL);
    const char *name;
    guint found = 0;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(dir_name, name, NULL);
        g_autofree char *data = NULL;
        gsize size;

        if (g_file_test(path, G_FILE_TEST_IS_DIR))
            found += files_with(path, text);
        else if (g_file_get_contents(path, &data, &size, NULL))
            found += memmem(data, size, text, strlen(text)) != NULL;
    }
    return found;
}

static void test_secret(void)
{
    g_autoptr(Run) run = run_new("test ${#TEST_SECRET} -eq 9 && echo known > known; "
                                 "grep -rl \"$TEST_SECRET\" attempt-1 >> known; exit 0",
                                 1, 1);
    struct stat info;

    g_ptr_array_add(run->plan->secrets, g_strdup("TEST_SECRET"));
    plan_set(&run->plan->setup, "test ${#TEST_SECRET} -eq 9");
    g_setenv("TEST_SECRET", "hush-7f3a", TRUE);
    run_start(run);
    assert_done(run_wait(run, NULL), "succeeded", 0);
    g_unsetenv("TEST_SECRET");

    g_autofree char *known = run_read(run, "known");
    g_autofree char *log = g_build_filename(run->attempt_dir, "rank-0.log", NULL);

    g_assert_cmpstr(known, ==, "known\n"); /* and in no file, Open MPI's included, while it ran */
    g_assert_cmpuint(files_with(run->attempt_dir, "hush-7f3a"), ==, 0);
    g_assert_cmpint(stat(log, &info), ==, 0);
    g_assert_cmpuint(info.st_mode & 0777, ==, 0600);
}

static void test_secret_missing(void)
{
    g_autoptr(Run) run = run_new("true", 1, 1);
    g_autoptr(GError) error = NULL;

    g_ptr_array_add(run->plan->secrets, g_strdup("TEST_SECRET_NOT_SET"));
    g_assert_null(launch_start("/bin/true", run->plan, -1, NULL, NULL, &error));
    g_assert_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_PLAN);
    g_assert_nonnull(strstr(error->message, "TEST_SECRET_NOT_SET"));
}

/* ---- ranks that end ---- */

static void test_exit_code(void)
{
    g_autoptr(Run) run = run_new("exit 7", 1, 1);

    run_start(run);
    const json_t *done = run_wait(run, NULL);

    assert_done(done, "failed", 7);
    assert_message(done, "rank 0 exited with 7");
    assert_exit(run, 0, 7, 0);
}

static void test_signal(void)
{
    g_autoptr(Run) run = run_new("kill -SEGV $$", 1, 1);

    run_start(run);
    assert_done(run_wait(run, NULL), "failed", 128 + SIGSEGV);
    assert_exit(run, 0, 0, SIGSEGV);
}

/* The others are asked to end, and the attempt has the code of the one that began. */
static void test_one_fails(void)
{
    g_autoptr(Run) run = run_new(
        "trap 'exit 9' TERM; test $RANK = 1 && { while test ! -e ready; do sleep 0.02; done; "
        "exit 5; }; touch ready; while :; do sleep 0.05; done",
        2, 2);

    run_start(run);
    const json_t *done = run_wait(run, NULL);

    assert_done(done, "failed", 5);
    assert_message(done, "rank 1 exited with 5");
    assert_exit(run, 0, 9, 0);
    assert_exit(run, 1, 5, 0);
}

static void test_one_fails_others_refuse(void)
{
    g_autoptr(Run) run =
        run_new("trap '' TERM; test $RANK = 1 && { while test ! -e ready; do sleep 0.02; done; "
                "exit 5; }; touch ready; while :; do sleep 0.05; done",
                2, 2);

    run_start(run);
    assert_done(run_wait(run, NULL), "failed", 5);
    assert_exit(run, 0, 0, SIGKILL);
    g_assert_cmpuint(run_count_processes(run->dir), ==, 0);
}

static void test_background_ends(void)
{
    g_autoptr(Run) run =
        run_new("(setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' &) ; exit 0", 2, 2);

    run_start(run);
    assert_done(run_wait(run, NULL), "succeeded", 0);
    g_assert_cmpuint(run_count_processes(run->dir), ==, 0);
}

/* ---- setup ---- */

static void test_setup(void)
{
    g_autoptr(Run) run = run_new("cat made", 2, 2);

    plan_set(&run->plan->setup, "echo once >> made; echo said; (sleep 1000 &)");
    run_start(run);
    assert_done(run_wait(run, NULL), "succeeded", 0);
    g_assert_cmpint(run_integer(run_find(run, "setup_done", 0), "status"), ==, 0);

    g_autofree char *log = run_read(run, "attempt-1/setup.log");
    g_autofree char *made = run_read(run, "attempt-1/rank-1.log");

    g_assert_cmpstr(log, ==, "said\n");
    g_assert_cmpstr(made, ==, "once\n");
}

static void test_setup_fails(void)
{
    g_autoptr(Run) run = run_new("touch ran", 1, 1);

    plan_set(&run->plan->setup, "head -c 3000000 /dev/zero; echo; printf 'a\\033[31m\\377b\\n'; "
                                "echo no such compiler; exit 3");
    run_start(run);
    const json_t *done = run_wait(run, NULL);

    assert_done(done, "setup", 3);
    assert_message(done, "no such compiler");
    g_assert_null(strchr(run_string(done, "message"), '\033'));
    g_assert_cmpint(run_integer(run_find(run, "setup_done", 0), "status"), ==, 3);
    g_assert_null(run_find(run, "started", 0));
    g_assert_null(run_read(run, "ran"));
}

static void test_setup_stopped(void)
{
    g_autoptr(Run) run = run_new("touch ran", 1, 1);

    plan_set(&run->plan->setup, "touch go; sleep 1000");
    run_start(run);
    run_wait(run, "setup");
    while (run_count_processes(run->dir) < 2)
        g_main_context_iteration(NULL, FALSE);
    launch_stop(run->launch, false);
    assert_done(run_wait(run, NULL), "requested", 0);
    g_assert_cmpint(run_integer(run_find(run, "setup_done", 0), "status"), ==, 128 + SIGTERM);
    g_assert_cmpuint(run_count_processes(run->dir), ==, 0);
}

/* ---- asked to end ---- */

/* The program stands behind a shell that waits for it, and that shell must live to tell its status.
 */
static const char *const saver =
    "sh -c 'trap \"sleep 0.3; echo saved > saved-$RANK; exit 0\" USR1; echo r > ready-$RANK; "
    "while :; do sleep 0.05; done'; exit $?";

static void start_ready(Run *run, const char *file)
{
    run_start(run);
    run_wait(run, "running");
    g_free(run_wait_file(run, file));
}

static void test_stop_grace(void)
{
    g_autoptr(Run) run = run_new(saver, 2, 2);

    run->plan->checkpoint_signal = SIGUSR1;
    start_ready(run, "ready-0");
    g_free(run_wait_file(run, "ready-1"));
    launch_stop(run->launch, false);
    launch_stop(run->launch, false); /* idempotent */
    assert_done(run_wait(run, NULL), "requested", 0);
    g_assert_cmpstr(run_string(run_find(run, "stopping", 0), "reason"), ==, "requested");
    g_assert_null(run_find(run, "stopping", 1));
    assert_exit(run, 0, 0, 0);
    assert_exit(run, 1, 0, 0);
    g_free(run_wait_file(run, "saved-0"));
    g_free(run_wait_file(run, "saved-1"));
}

/* A program that does not know the checkpoint signal gets SIGTERM instead of dying of USR1. */
static void test_stop_no_handler(void)
{
    g_autoptr(Run) run = run_new("echo r > ready; exec sleep 1000", 1, 1);

    run->plan->checkpoint_signal = SIGUSR1;
    start_ready(run, "ready");
    launch_stop(run->launch, false);
    assert_done(run_wait(run, NULL), "requested", 128 + SIGTERM);
    assert_exit(run, 0, 0, SIGTERM);
}

static void test_stop_ignored(void)
{
    g_autoptr(Run) run = run_new("trap '' TERM USR1 INT HUP; echo r > ready; "
                                 "while :; do sleep 1; done",
                                 1, 1);

    run->plan->checkpoint_signal = SIGUSR1;
    run->plan->grace_ms = 300;
    start_ready(run, "ready");
    launch_stop(run->launch, false);
    assert_done(run_wait(run, NULL), "requested", 128 + SIGKILL);
    assert_exit(run, 0, 0, SIGKILL);
    g_assert_cmpuint(run_count_processes(run->dir), ==, 0);
}

/* The launcher finds the request behind the plan, in one read. */
static void test_stop_at_once(void)
{
    g_autoptr(Run) run = run_new("exec sleep 1000", 1, 1);

    run->plan->max_duration_ms = 10000; /* where it is not heard */
    run_start(run);
    launch_stop(run->launch, false);
    g_assert_cmpstr(run_string(run_wait(run, NULL), "reason"), ==, "requested");
}

static void test_stop_now(void)
{
    g_autoptr(Run) run = run_new("trap '' TERM; echo r > ready; while :; do sleep 1; done", 1, 1);

    start_ready(run, "ready");
    launch_stop(run->launch, false);
    run_wait(run, "stopping");
    launch_stop(run->launch, true);
    assert_done(run_wait(run, NULL), "killed", 128 + SIGKILL);
}

static void test_deadline(void)
{
    g_autoptr(Run) run = run_new(saver, 1, 1);

    run->plan->checkpoint_signal = SIGUSR1;
    run->plan->max_duration_ms = 1000;
    run_start(run);
    const json_t *done = run_wait(run, NULL);

    g_assert_cmpstr(run_string(done, "reason"), ==, "deadline");
    g_assert_cmpstr(run_string(run_find(run, "stopping", 0), "reason"), ==, "deadline");
}

/* Limits that no timer of milliseconds holds are not over at once. */
static void test_long_limits(void)
{
    const int64_t limits_ms[] = {(int64_t)G_MAXUINT + 1, INT64_MAX / 1000 + 1, INT64_MAX - 1};

    for (size_t i = 0; i < G_N_ELEMENTS(limits_ms); i++) {
        g_autoptr(Run) run = run_new("exec sleep 0.1", 1, 1);

        run->plan->max_duration_ms = run->plan->start_within_ms = limits_ms[i];
        run_start(run);
        assert_done(run_wait(run, NULL), "succeeded", 0);
    }
}

/* ---- an engine that does not do ---- */

/* Puts a program `mpirun` of our making, or none, first and last in PATH. */
static void run_start_with_engine(Run *run, const char *script)
{
    g_autofree char *path = g_strdup(g_getenv("PATH"));
    g_autofree char *file = g_build_filename(run->dir, "mpirun", NULL);

    if (script) {
        g_assert_true(g_file_set_contents(file, script, -1, NULL));
        g_chmod(file, 0700);
    }
    g_setenv("PATH", run->dir, TRUE);
    run_start(run);
    g_setenv("PATH", path, TRUE);
}

static void test_engine_missing(void)
{
    g_autoptr(Run) run = run_new("true", 1, 1);

    run_start_with_engine(run, NULL);
    const json_t *done = run_wait(run, NULL);

    assert_done(done, "missing", 1);
    assert_message(done, "apt install openmpi-bin");
}

static void test_engine_fails(void)
{
    g_autoptr(Run) run = run_new("true", 1, 1);

    run_start_with_engine(run, "#!/bin/sh\necho ----; echo the fabric is on fire; exit 4\n");
    const json_t *done = run_wait(run, NULL);

    assert_done(done, "start", 4);
    assert_message(done, "the fabric is on fire");
}

static void test_start_within(void)
{
    g_autoptr(Run) run = run_new("true", 1, 1);

    run->plan->start_within_ms = 200;
    run_start_with_engine(run, "#!/bin/sh\nwhile :; do /bin/sleep 1; done\n");
    const json_t *done = run_wait(run, NULL);

    assert_done(done, "start", 1);
    assert_message(done, "limits.start_within");
}

/* ---- MPI programs ---- */

#ifdef MPI_PROGRAM

static void test_mpi_sum(const void *ranks)
{
    g_autoptr(Run) run = run_new(MPI_PROGRAM " sum", GPOINTER_TO_INT(ranks), 2);

    run_start(run);
    assert_done(run_wait(run, NULL), "succeeded", 0);

    g_autofree char *log = run_read(run, "attempt-1/rank-0.log");

    g_assert_true(g_str_has_prefix(log, "sum is right\n"));
}

static void test_mpi_abort(void)
{
    g_autoptr(Run) run = run_new(MPI_PROGRAM " abort", 2, 2);

    run_start(run);
    assert_done(run_wait(run, NULL), "failed", 3);
    assert_exit(run, 1, 3, 0);
    g_assert_cmpuint(run_count_processes(run->dir), ==, 0);
}

/* One rank leaves without MPI_Finalize, with status 0, while the other waits for it: Open MPI calls
 * that a failure, and so do we. */
static void test_mpi_leaves(void)
{
    g_autoptr(Run) run = run_new(MPI_PROGRAM " leave", 2, 2);

    run_start(run);
    const json_t *done = run_wait(run, NULL);

    assert_done(done, "failed", 1);
    assert_message(done, "Open MPI ended the job");
    assert_exit(run, 1, 0, 0);
}

/* A checkpoint that one rank writes is not cut short by another that is done with MPI already. */
static void test_mpi_stop(void)
{
    g_autoptr(Run) run = run_new(MPI_PROGRAM " save", 2, 2);

    run->plan->checkpoint_signal = SIGUSR1;
    start_ready(run, "ready-0");
    g_free(run_wait_file(run, "ready-1"));
    launch_stop(run->launch, false);
    assert_done(run_wait(run, NULL), "requested", 0);
    g_free(run_wait_file(run, "saved-0"));
}

#endif

/* ---- reports ---- */

static void test_reports(void)
{
    g_autoptr(Run) run =
        run_new("cat >&3 <<'X'\n"
                "{\"event\":\"note\",\"text\":\"resumed from step 20\"}\n"
                "{\"event\":\"progress\",\"step\":1,\"loss\":4.5,\"rank\":7,\"x\":1}\n"
                "{\"event\":\"checkpoint\",\"step\":20,\"path\":\"ck\"}\nX\n",
                2, 2);

    run_start(run);
    assert_done(run_wait(run, NULL), "succeeded", 0);
    for (int rank = 0; rank < 2; rank++) {
        const json_t *progress = run_find_rank(run, "progress", rank);

        g_assert_cmpint(run_integer(progress, "step"), ==, 1);
        g_assert_cmpfloat(json_real_value(json_object_get(progress, "loss")), ==, 4.5);
        g_assert_null(json_object_get(progress, "x"));
        g_assert_cmpstr(run_string(run_find_rank(run, "checkpoint", rank), "path"), ==, "ck");
        g_assert_nonnull(run_find_rank(run, "note", rank));
    }
}

/* What a rank's program says on the launcher's socket changes nothing. */
static void test_rogue(void)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *command =
        g_strdup_printf("touch up-$RANK; while test ! -e up-1; do sleep 0.02; done; "
                        "test $RANK = 1 || { '%s' rogue && echo r > told-0; }; sleep 0.2",
                        self);
    g_autoptr(Run) run = run_new(command, 2, 2);

    run_start(run);
    assert_done(run_wait(run, NULL), "succeeded", 0);
    assert_exit(run, 0, 0, 0);
    assert_exit(run, 1, 0, 0);

    g_autofree char *told = run_read(run, "told-0");

    g_assert_nonnull(told);
}

/* A rank that writes without end neither stops itself, nor the others, nor floods the events; what
 * it wrote last is told. */
static void test_flood(void)
{
    g_autoptr(Run) run = run_new(
        "test $RANK = 0 && { echo junk >&3; i=0; while test $i -lt 30000; do i=$((i+1)); "
        "echo \"{\\\"event\\\":\\\"progress\\\",\\\"step\\\":$i}\"; done 2>/dev/null >&3; "
        "head -c 3000000 /dev/zero >&3 2>/dev/null; "
        "until echo '\n{\"event\":\"checkpoint\",\"step\":30000}' >&3; do sleep 0.05; done; "
        "} 2>/dev/null; exit 0",
        2, 2);

    run_start(run);
    assert_done(run_wait(run, NULL), "succeeded", 0);
    g_assert_cmpuint(run->events->len, <, 600);
    g_assert_nonnull(run_find_rank(run, "progress", 0));
    g_assert_nonnull(run_find_rank(run, "note", 0));
    g_assert_cmpint(run_integer(run_find_rank(run, "checkpoint", 0), "step"), ==, 30000);
}

int main(int argc, char **argv)
{
    int status = run_main(argc, argv);

    if (status >= 0)
        return status;
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launch/success", test_success);
    g_test_add_func("/launch/event_order", test_event_order);
    g_test_add_func("/launch/pid", test_pid);
    g_test_add_func("/launch/shim_killed", test_shim_killed);
    g_test_add_func("/launch/environment", test_environment);
    g_test_add_func("/launch/oversubscribed", test_oversubscribed);
    g_test_add_func("/launch/bad_workdir", test_bad_workdir);
    g_test_add_func("/launch/secret", test_secret);
    g_test_add_func("/launch/secret_missing", test_secret_missing);
    g_test_add_func("/launch/exit_code", test_exit_code);
    g_test_add_func("/launch/signal", test_signal);
    g_test_add_func("/launch/one_fails", test_one_fails);
    g_test_add_func("/launch/one_fails_others_refuse", test_one_fails_others_refuse);
    g_test_add_func("/launch/background_ends", test_background_ends);
    g_test_add_func("/launch/setup", test_setup);
    g_test_add_func("/launch/setup_fails", test_setup_fails);
    g_test_add_func("/launch/setup_stopped", test_setup_stopped);
    g_test_add_func("/launch/stop_grace", test_stop_grace);
    g_test_add_func("/launch/stop_no_handler", test_stop_no_handler);
    g_test_add_func("/launch/stop_ignored", test_stop_ignored);
    g_test_add_func("/launch/stop_at_once", test_stop_at_once);
    g_test_add_func("/launch/stop_now", test_stop_now);
    g_test_add_func("/launch/deadline", test_deadline);
    g_test_add_func("/launch/long_limits", test_long_limits);
    g_test_add_func("/launch/engine_missing", test_engine_missing);
    g_test_add_func("/launch/engine_fails", test_engine_fails);
    g_test_add_func("/launch/start_within", test_start_within);
#ifdef MPI_PROGRAM
    g_test_add_data_func("/launch/mpi/sum", GINT_TO_POINTER(2), test_mpi_sum);
    g_test_add_data_func("/launch/mpi/sum_oversubscribed", GINT_TO_POINTER(5), test_mpi_sum);
    g_test_add_func("/launch/mpi/abort", test_mpi_abort);
    g_test_add_func("/launch/mpi/leaves", test_mpi_leaves);
    g_test_add_func("/launch/mpi/stop", test_mpi_stop);
#endif
    g_test_add_func("/launch/reports", test_reports);
    g_test_add_func("/launch/rogue", test_rogue);
    g_test_add_func("/launch/flood", test_flood);
    return g_test_run();
}
