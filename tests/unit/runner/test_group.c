/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups of jobs: stopping and resuming them, what they wait for, and death of the process around
 * them.
 */
#include "watch.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- stopping ---- */

static void act_interrupt(Fixture *fixture)
{
    group_stop(fixture->watch.group, GROUP_STOP_INTERRUPT);
}

static void act_interrupt_twice(Fixture *fixture)
{
    act_interrupt(fixture);
    act_interrupt(fixture);
}

static void act_group_cancel(Fixture *fixture)
{
    group_stop(fixture->watch.group, GROUP_STOP_CANCEL);
}

static void act_cancel_elsewhere(Fixture *fixture)
{
    Store *elsewhere = fixture_open(fixture->dir);
    g_autoptr(GError) error = NULL;

    g_assert_true(store_cancel_job(elsewhere, watch_first, false, fixture_now_ms(), NULL, &error));
    store_close(elsewhere);
}

static void act_cancel_now_elsewhere(Fixture *fixture)
{
    Store *elsewhere = fixture_open(fixture->dir);
    g_autoptr(GError) error = NULL;

    g_assert_true(store_cancel_job(elsewhere, watch_first, true, fixture_now_ms(), NULL, &error));
    store_close(elsewhere);
}

static void run_and_act(Fixture *fixture, const char *words, const char *state,
                        void (*act)(Fixture *fixture))
{
    fixture->watch.act_on = state;
    fixture->watch.act = act;
    watch_run_one(fixture, words, WATCH_RETRY);
}

static void test_interrupt_and_resume(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Job) job = NULL;

    (void)data;
    run_and_act(fixture, "started running sleep:20 wait|started running sleep:50 done:succeeded",
                "running", act_interrupt);
    g_assert_cmpstr(fixture->watch.log->str, ==,
                    "t:pending t:starting t:running t:stopping t:pending");
    watch_assert_ended(fixture, JOB_PENDING, "interrupted", "drover run --resume 1");
    watch_resume(fixture, watch_first);
    g_assert_cmpstr(fixture->watch.log->str, ==, "t:pending t:starting t:running t:succeeded");
    job = watch_first_job(fixture);
    g_assert_cmpint(job->attempts, ==, 2);
    g_assert_cmpint(job->retries, ==, 0);
}

static void test_interrupt_twice_kills(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_and_act(fixture, "started running deaf wait", "running", act_interrupt_twice);
    watch_assert_ended(fixture, JOB_PENDING, "interrupted", NULL);
}

static void test_interrupt_while_retrying(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_and_act(fixture, "started running done:failed:3", "retrying", act_interrupt);
    watch_assert_ended(fixture, JOB_PENDING, "interrupted", "waited for a retry");
}

static void test_cancel_while_retrying(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_and_act(fixture, "started running done:failed:3", "retrying", act_group_cancel);
    watch_assert_ended(fixture, JOB_CANCELLED, "cancelled", NULL);
}

static void test_cancel_elsewhere(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_and_act(fixture, "started running wait", "running", act_cancel_elsewhere);
    watch_assert_ended(fixture, JOB_CANCELLED, "cancelled", "cancelled by drover cancel");
    g_assert_cmpint(watch_used_ms(fixture, watch_first), >, 0);
}

static void test_cancel_now_elsewhere(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_and_act(fixture, "started running deaf wait", "running", act_cancel_now_elsewhere);
    watch_assert_ended(fixture, JOB_CANCELLED, "cancelled", NULL);
}

static void test_cancel_before_start(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_and_act(fixture, "done:succeeded", "pending", act_cancel_elsewhere);
    watch_assert_ended(fixture, JOB_CANCELLED, "cancelled", NULL);
    g_assert_cmpuint(watch_count_events(fixture, watch_first, "attempt"), ==, 0);
}

static void test_what_can_be_resumed(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    JobId none = {9};

    (void)data;
    watch_run_one(fixture, "started running done:failed:3|started running done:succeeded", "");
    watch_assert_ended(fixture, JOB_FAILED, "nonzero_exit", NULL);
    watch_resume(fixture, watch_first);
    watch_assert_ended(fixture, JOB_SUCCEEDED, NULL, NULL);
    watch_clear(&fixture->watch);
    watch_open(fixture, &fixture->watch);
    g_assert_false(group_resume_job(fixture->watch.group, watch_first, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_STATE);
    watch_assert_has(error->message, "has succeeded");
    g_clear_error(&error);
    g_assert_false(group_resume_job(fixture->watch.group, none, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_NOT_FOUND);
}

/* ---- several jobs ---- */

static void test_dependencies(Fixture *fixture, gconstpointer data)
{
    const char *log;

    (void)data;
    watch_run(fixture, "version: 1\nname: a\nrun: 'started running done:succeeded'\n"
                       "---\nversion: 1\nname: b\nrun: 'started running done:succeeded'\n"
                       "priority: 90\ndepends_on: [{job: a, when: succeeded}]\n"
                       "---\nversion: 1\nname: c\nrun: 'done:succeeded'\n"
                       "depends_on: [{job: a, when: failed}]\n"
                       "---\nversion: 1\nname: d\nrun: 'started running done:succeeded'\n"
                       "depends_on: [{job: c, when: ended}]\n"
                       "---\nversion: 1\nname: e\nrun: 'done:succeeded'\n"
                       "depends_on: [{job: c, when: succeeded}]\n");
    log = fixture->watch.log->str;
    g_assert_true(strstr(log, "b:starting") > strstr(log, "a:succeeded"));
    watch_assert_has(log, "c:cancelled");
    watch_assert_has(log, "d:succeeded");
    watch_assert_has(log, "e:cancelled");
    {
        g_autoptr(Job) c = fixture_job(fixture->store, (JobId){3});

        g_assert_cmpstr(c->cause, ==, "dependency");
        g_assert_cmpstr(c->reason, ==, "depends on 'a' (job 1) to have failed; it is succeeded");
    }
}

static void test_priority(Fixture *fixture, gconstpointer data)
{
    const char *log;

    (void)data;
    watch_run(fixture,
              "version: 1\nname: low\nrun: 'started running done:succeeded'\npriority: 1\n"
              "---\nversion: 1\nname: high\nrun: 'started running done:succeeded'\npriority: 99\n"
              "---\nversion: 1\nname: mid\nrun: 'started running done:succeeded'\n");
    log = fixture->watch.log->str;
    g_assert_true(strstr(log, "high:starting") < strstr(log, "mid:starting"));
    g_assert_true(strstr(log, "mid:starting") < strstr(log, "low:starting"));
    /* One device: never two at a time. */
    g_assert_cmpint(fixture->watch.active_most, ==, 1);
}

static void test_max_parallel(Fixture *fixture, gconstpointer data)
{
    (void)data;
    node_free(fixture->node);
    fixture->config.node = fixture->node = fixture_node("H100", 8);
    watch_run(fixture,
              "version: 1\nname: m\nrun: 'started running sleep:60 done:succeeded'\n"
              "matrix: {seed: 1..6}\nmax_parallel: 2\nresources: {accelerators: 'H100:1'}\n");
    g_assert_cmpint(fixture->watch.active_most, ==, 2);
    for (int64_t id = 1; id <= 6; id++) {
        g_autoptr(Job) job = fixture_job(fixture->store, (JobId){id});

        g_assert_cmpint(job->state, ==, JOB_SUCCEEDED);
    }
}

/* Two groups share a device: the second waits and says for what, then runs. */
static void test_waits_for_device(Fixture *fixture, gconstpointer data)
{
    const JobId second = {2};
    g_autofree char *long_job = watch_job_file("started running wait", "");
    g_autofree char *short_job = watch_job_file("started running done:succeeded", "");
    g_autoptr(Job) waiting = NULL;
    g_autoptr(Job) after = NULL;

    (void)data;
    watch_open(fixture, &fixture->watch);
    watch_open(fixture, &fixture->other);
    watch_add(&fixture->watch, long_job);
    watch_add(&fixture->other, short_job);
    group_start(fixture->watch.group);
    while (!strstr(fixture->watch.log->str, "running"))
        g_main_context_iteration(NULL, true);
    group_start(fixture->other.group);
    while (watch_count_events(fixture, second, "waiting") == 0)
        g_main_context_iteration(NULL, true);
    waiting = fixture_job(fixture->store, second);
    g_assert_cmpint(waiting->state, ==, JOB_PENDING);
    g_assert_cmpstr(waiting->cause, ==, "devices");
    watch_assert_has(waiting->reason, "too few are free on node 'n' now");
    group_stop(fixture->watch.group, GROUP_STOP_CANCEL);
    watch_finish(&fixture->other);
    watch_finish(&fixture->watch);
    after = fixture_job(fixture->store, second);
    g_assert_cmpint(after->state, ==, JOB_SUCCEEDED);
    g_assert_cmpuint(watch_count_events(fixture, second, "waiting"), ==, 1);
}

static void test_start_within(Fixture *fixture, gconstpointer data)
{
    g_autofree char *long_job = watch_job_file("started running wait", "");
    g_autofree char *short_job = watch_job_file("done:succeeded", "limits: {start_within: 1s}\n");
    g_autoptr(Job) job = NULL;

    (void)data;
    watch_open(fixture, &fixture->watch);
    watch_open(fixture, &fixture->other);
    watch_add(&fixture->watch, long_job);
    watch_add(&fixture->other, short_job);
    group_start(fixture->watch.group);
    while (!strstr(fixture->watch.log->str, "running"))
        g_main_context_iteration(NULL, true);
    group_start(fixture->other.group);
    watch_finish(&fixture->other);
    job = fixture_job(fixture->store, (JobId){2});
    g_assert_cmpint(job->state, ==, JOB_FAILED);
    g_assert_cmpstr(job->cause, ==, "start_within");
    group_stop(fixture->watch.group, GROUP_STOP_INTERRUPT);
    watch_finish(&fixture->watch);
}

static void act_take_device(Fixture *fixture)
{
    g_autofree char *yaml = watch_job_file("started running sleep:200 done:succeeded", "");

    watch_open(fixture, &fixture->other);
    watch_add(&fixture->other, yaml);
    group_start(fixture->other.group);
}

/* Another job takes the device between two attempts: the retry's own wait is what counts, not the
 * time since the first one. */
static void test_start_within_of_retry(Fixture *fixture, gconstpointer data)
{
    g_autofree char *yaml =
        watch_job_file("started running sleep:2100 done:failed:1|started running done:succeeded",
                       "limits: {start_within: 2s}\n"
                       "retry: {on: [nonzero_exit], max: 1, backoff: 100ms..100ms}\n");

    (void)data;
    fixture->watch.act_on = "retrying";
    fixture->watch.act = act_take_device;
    watch_run(fixture, yaml);
    watch_finish(&fixture->other);
    watch_assert_ended(fixture, JOB_SUCCEEDED, NULL, NULL);
    g_assert_cmpuint(watch_count_events(fixture, watch_first, "waiting"), ==, 1);
}

/* Resuming a job takes along what it depends on. */
static void test_resume_with_dependencies(Fixture *fixture, gconstpointer data)
{
    (void)data;
    fixture->watch.act_on = "running";
    fixture->watch.act = act_interrupt;
    watch_run(fixture,
              "version: 1\nname: a\nrun: 'started running wait|started running done:succeeded'\n"
              "---\nversion: 1\nname: b\nrun: 'started running done:succeeded'\n"
              "depends_on: [{job: a, when: succeeded}]\n"
              "---\nversion: 1\nname: c\nrun: 'done:succeeded'\n");
    watch_resume(fixture, (JobId){2});
    watch_assert_has(fixture->watch.log->str, "a:succeeded");
    watch_assert_has(fixture->watch.log->str, "b:succeeded");
    g_assert_null(strstr(fixture->watch.log->str, "c:"));
}

/* ---- death ---- */

static void test_runner_is_killed(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GPtrArray) leases = NULL;
    int said[2];
    char byte;
    pid_t pid;

    (void)data;
    g_assert_cmpint(pipe(said), ==, 0);
    pid = fork();
    if (pid == 0) {
        Store *mine = fixture_open(fixture->dir);
        g_autofree char *yaml =
            watch_job_file("started running wait|started running done:succeeded", "");

        fixture->config.store = mine;
        watch_open(fixture, &fixture->watch);
        watch_add(&fixture->watch, yaml);
        group_start(fixture->watch.group);
        while (!strstr(fixture->watch.log->str, "running"))
            g_main_context_iteration(NULL, true);
        for (int beats = 0; beats < 5; beats++)
            g_main_context_iteration(NULL, true);
        g_assert_cmpint(write(said[1], "x", 1), ==, 1);
        watch_finish(&fixture->watch);
        _exit(1);
    }
    g_assert_cmpint(read(said[0], &byte, 1), ==, 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(said[0]);
    close(said[1]);
    /* The launcher may live on for a moment; resuming waits for it. */
    watch_resume(fixture, watch_first);
    watch_assert_ended(fixture, JOB_SUCCEEDED, NULL, NULL);
    g_assert_cmpuint(watch_count_events(fixture, watch_first, "interrupted"), ==, 1);
    leases = store_list_leases(fixture->store, watch_first, NULL);
    g_assert_cmpuint(leases->len, ==, 2);
}

static void act_break_store(Fixture *fixture)
{
    sqlite3_exec(store_get_db(fixture->store), "PRAGMA query_only = 1", NULL, NULL, NULL);
}

/* The store fails under two running jobs: both are killed, the error says why, nothing is invented.
 */
static void test_store_breaks(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    const JobId second = {2};
    g_autoptr(Job) job = NULL;

    (void)data;
    node_free(fixture->node);
    fixture->config.node = fixture->node = fixture_node("H100", 2);
    fixture->watch.act_on = "running";
    fixture->watch.act = act_break_store;
    watch_run(fixture,
              "version: 1\nname: a\nrun: 'started sleep:100 running sleep:50 done:succeeded'\n"
              "---\nversion: 1\nname: b\nrun: 'started wait'\n");
    g_assert_nonnull(fixture->watch.error);
    watch_assert_has(fixture->watch.error->message, "job ");
    watch_clear(&fixture->watch);
    sqlite3_exec(store_get_db(fixture->store), "PRAGMA query_only = 0", NULL, NULL, NULL);
    /* The launcher lets go of the lock when it is gone. */
    while (store_is_locked(fixture->store, watch_first) || store_is_locked(fixture->store, second))
        g_main_context_iteration(NULL, false);
    g_assert_true(store_recover(fixture->store, fixture_now_ms(), &error));
    watch_assert_ended(fixture, JOB_PENDING, "interrupted", NULL);
    job = fixture_job(fixture->store, second);
    g_assert_cmpint(job->state, ==, JOB_PENDING);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Fixture *fixture, gconstpointer data);
    } tests[] = {
        {"interrupt-and-resume", test_interrupt_and_resume},
        {"interrupt-twice-kills", test_interrupt_twice_kills},
        {"interrupt-while-retrying", test_interrupt_while_retrying},
        {"cancel-while-retrying", test_cancel_while_retrying},
        {"cancel-elsewhere", test_cancel_elsewhere},
        {"cancel-now-elsewhere", test_cancel_now_elsewhere},
        {"cancel-before-start", test_cancel_before_start},
        {"what-can-be-resumed", test_what_can_be_resumed},
        {"dependencies", test_dependencies},
        {"priority", test_priority},
        {"max-parallel", test_max_parallel},
        {"waits-for-device", test_waits_for_device},
        {"start-within", test_start_within},
        {"start-within-of-retry", test_start_within_of_retry},
        {"resume-with-dependencies", test_resume_with_dependencies},
        {"runner-is-killed", test_runner_is_killed},
        {"store-breaks", test_store_breaks},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/group/%s", tests[i].name);

        g_test_add(path, Fixture, NULL, watch_set_up, tests[i].run, watch_tear_down);
    }
    return g_test_run();
}
