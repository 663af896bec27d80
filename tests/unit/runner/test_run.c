/* SPDX-License-Identifier: Apache-2.0
 *
 * One job from its start to its end: what a user sees of it, which is states in their order, the
 * reason and the time on the bill.
 */
#include "runner/queue/bill.h"
#include "watch.h"

#include <string.h>

/* ---- one job ---- */

static void test_succeeds(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Invoice) invoice = NULL;
    int64_t balance;

    (void)data;
    watch_run_one(fixture, "started running sleep:100 progress:3 done:succeeded", "");
    g_assert_no_error(fixture->watch.error);
    g_assert_cmpstr(fixture->watch.log->str, ==, "t:pending t:starting t:running t:succeeded");
    watch_assert_ended(fixture, JOB_SUCCEEDED, NULL, NULL);
    g_assert_cmpint(watch_used_ms(fixture, watch_first), >=, 100);
    invoice = bill_build(fixture->store, watch_first, NULL);
    g_assert_true(invoice->final);
    g_assert_cmpint(invoice->gpu_ms, ==, watch_used_ms(fixture, watch_first));
    g_assert_true(ledger_get_balance(store_get_ledger(fixture->store), "renter/default", MONEY_USDC,
                                     &balance, NULL));
    g_assert_cmpint(ABS(balance), ==, invoice->total);
}

/* Time before the first process of the ranks, setup above all, is not on the bill. */
static void test_setup_is_free(Fixture *fixture, gconstpointer data)
{
    gint64 begin = g_get_monotonic_time();
    int64_t took_ms;
    g_autoptr(Job) job = NULL;

    (void)data;
    watch_run_one(fixture, "setup sleep:300 setup_done:0 started running sleep:50 done:succeeded",
                  "setup: 'true'\n");
    took_ms = (g_get_monotonic_time() - begin) / 1000;
    g_assert_cmpint(watch_used_ms(fixture, watch_first), >=, 50);
    g_assert_cmpint(watch_used_ms(fixture, watch_first), <=, took_ms - 300);
    job = watch_first_job(fixture);
    g_assert_true(job->setup_done);
}

/* A job that reports as fast as it can fills no disk, and its last word is kept. */
static void test_reports_are_thinned(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Job) job = NULL;

    (void)data;
    fixture->config.heartbeat_ms = 1000;
    watch_run_one(fixture,
                  "started running progress:20000 checkpoint:7 checkpoint:8 done:succeeded", "");
    job = watch_first_job(fixture);
    g_assert_cmpint(job->step, ==, 20000);
    g_assert_cmpfloat(job->loss, ==, 10.0 / 20000);
    g_assert_cmpint(job->checkpoint_step, ==, 8);
    g_assert_cmpuint(watch_count_events(fixture, watch_first, "progress"), <=, 20);
}

static void test_setup_runs_once(Fixture *fixture, gconstpointer data)
{
    (void)data;
    watch_run_one(
        fixture,
        "setup_if_due started running done:failed:3|setup_if_due started running done:succeeded",
        "setup: make\n" WATCH_RETRY);
    watch_assert_ended(fixture, JOB_SUCCEEDED, NULL, NULL);
    g_assert_cmpuint(watch_count_events(fixture, watch_first, "attempt"), ==, 2);
    g_assert_cmpuint(watch_count_events(fixture, watch_first, "setup"), ==, 1);
}

/* A setup that fails is not taken for done. */
static void test_setup_fails(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Job) job = NULL;

    (void)data;
    watch_run_one(fixture, "setup setup_done:2 done:setup:2", "setup: make\n");
    watch_assert_ended(fixture, JOB_FAILED, "setup", "setup failed");
    job = watch_first_job(fixture);
    g_assert_false(job->setup_done);
    g_assert_cmpint(job->exit_code, ==, 2);
    g_assert_cmpint(watch_used_ms(fixture, watch_first), ==, 0);
}

/* Whatever a launcher says, time and state stay sane. */
static void test_odd_events(Fixture *fixture, gconstpointer data)
{
    gint64 begin = g_get_monotonic_time();
    g_autoptr(Job) job = NULL;

    (void)data;
    watch_run_one(
        fixture,
        "raw={\"event\":\"succeeded\"} raw={\"event\":\"attempt\"} raw={\"event\":7} raw=[1] "
        "raw={\"event\":\"interrupted\"} raw=nonsense raw= raw={} "
        "raw={\"event\":\"started\",\"mono_ms\":-5,\"at_ms\":\"x\"} "
        "raw={\"event\":\"started\",\"mono_ms\":9000000000000000000} "
        "raw={\"event\":\"progress\"} raw={\"event\":\"progress\",\"step\":1e308,\"rank\":\"x\"} "
        "raw={\"event\":\"progress\",\"step\":4,\"rank\":-1,\"share\":{},\"loss\":[]} "
        "raw={\"event\":\"checkpoint\",\"step\":null} raw={\"event\":\"note\",\"text\":5} "
        "running running raw={\"event\":\"rank_exit\"} "
        "raw={\"event\":\"done\",\"reason\":\"succeeded\",\"mono_ms\":9000000000000000000}",
        "");
    watch_assert_ended(fixture, JOB_SUCCEEDED, NULL, NULL);
    g_assert_cmpint(watch_used_ms(fixture, watch_first), <=,
                    (g_get_monotonic_time() - begin) / 1000 + 1);
    job = watch_first_job(fixture);
    g_assert_cmpint(job->step, ==, 4);
    g_assert_cmpint(job->attempts, ==, 1);
}

/* "done" without a reason, or with one nobody knows, is a launcher that is lost. */
static void test_unknown_end(Fixture *fixture, gconstpointer data)
{
    (void)data;
    watch_run_one(fixture, "started running raw={\"event\":\"done\"}|started running done:eaten",
                  "retry: {on: [supplier_lost], max: 1, backoff: 10ms..10ms}\n");
    watch_assert_ended(fixture, JOB_FAILED, "supplier_lost", "after 1 of 1 retries");
}

static void test_fails(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Job) job = NULL;

    (void)data;
    watch_run_one(fixture, "started running done:failed:3",
                  "retry: {on: [supplier_lost], max: 3}\n");
    watch_assert_ended(fixture, JOB_FAILED, "nonzero_exit", "a rank failed");
    job = watch_first_job(fixture);
    g_assert_cmpint(job->exit_code, ==, 3);
    g_assert_cmpint(job->attempts, ==, 1);
}

static void test_retries(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GPtrArray) leases = NULL;
    g_autoptr(Job) job = NULL;

    (void)data;
    watch_run_one(fixture,
                  "started running sleep:30 done:failed:3|started running sleep:30 done:succeeded",
                  WATCH_RETRY);
    g_assert_cmpstr(fixture->watch.log->str, ==,
                    "t:pending t:starting t:running t:retrying t:pending t:starting t:running "
                    "t:succeeded");
    job = watch_first_job(fixture);
    g_assert_cmpint(job->attempts, ==, 2);
    g_assert_cmpint(job->retries, ==, 1);
    leases = store_list_leases(fixture->store, watch_first, NULL);
    g_assert_cmpuint(leases->len, ==, 2);
}

static void test_retries_end(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Job) job = NULL;

    (void)data;
    watch_run_one(fixture, "started running done:failed:9", WATCH_RETRY);
    watch_assert_ended(fixture, JOB_FAILED, "nonzero_exit", "after 2 of 2 retries");
    job = watch_first_job(fixture);
    g_assert_cmpint(job->attempts, ==, 3);
}

/* By default a job is tried again where the supplier is at fault, and only there. */
static void test_launcher_dies(Fixture *fixture, gconstpointer data)
{
    (void)data;
    watch_run_one(fixture, "started running sleep:50 die|started running done:succeeded",
                  "retry: {max: 1, backoff: 10ms..10ms}\n");
    watch_assert_ended(fixture, JOB_SUCCEEDED, NULL, NULL);
    g_assert_cmpuint(watch_count_events(fixture, watch_first, "retrying"), ==, 1);
}

static void test_launcher_is_not_there(Fixture *fixture, gconstpointer data)
{
    (void)data;
    fixture->config.program = "/nonexistent/drover";
    watch_run_one(fixture, "done:succeeded", "");
    watch_assert_ended(fixture, JOB_FAILED, "plan", "/nonexistent/drover");
    g_assert_cmpint(watch_used_ms(fixture, watch_first), ==, 0);
}

static void test_workdir_is_not_there(Fixture *fixture, gconstpointer data)
{
    (void)data;
    watch_run_one(fixture, "done:succeeded", "workdir: nowhere/at/all\n");
    watch_assert_ended(fixture, JOB_FAILED, "plan", "workdir: '/nowhere/at/all' is not a folder");
}

static void test_never_fits(Fixture *fixture, gconstpointer data)
{
    (void)data;
    watch_run_one(fixture, "done:succeeded", "resources: {accelerators: 'RTX4090:2'}\n");
    watch_assert_ended(fixture, JOB_FAILED, "no_match", "node 'n' has no RTX4090");
    g_assert_cmpstr(fixture->watch.log->str, ==, "t:pending t:failed");
}

/* ---- limits ---- */

static void test_max_cost(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Invoice) invoice = NULL;

    (void)data;
    /* 2.20 USD an hour and 2 % on it: 0.0005 USD last 802 ms. */
    watch_run_one(fixture, "started running wait", "limits: {max_cost: 0.0005}\n");
    watch_assert_ended(fixture, JOB_FAILED, "max_cost", "limits.max_cost, 0.000500 USDC");
    invoice = bill_build(fixture->store, watch_first, NULL);
    g_assert_cmpint(invoice->total, <=, 500);
    g_assert_cmpint(invoice->total, >, 100);
    /* What is left does not carry another attempt far, and never past the limit. */
    for (int i = 0; i < 3; i++) {
        g_autoptr(Invoice) again = NULL;

        watch_resume(fixture, watch_first);
        watch_assert_ended(fixture, JOB_FAILED, "max_cost", NULL);
        again = bill_build(fixture->store, watch_first, NULL);
        g_assert_cmpint(again->total, <=, 500);
    }
}

typedef struct {
    const Fixture *fixture;
    int left;
} FailingCommits;

static int on_commit(void *user_data)
{
    FailingCommits *failing = user_data;

    return strstr(failing->fixture->watch.log->str, "t:running") && failing->left-- > 0;
}

/* As on a full disk: what a heartbeat could not store comes with the next that can. */
static void test_failed_heartbeats(Fixture *fixture, gconstpointer data)
{
    FailingCommits failing = {fixture, 4};

    (void)data;
    sqlite3_commit_hook(store_get_db(fixture->store), on_commit, &failing);
    watch_run_one(fixture, "started running note:1 progress:5 sleep:300 done:succeeded", "");
    sqlite3_commit_hook(store_get_db(fixture->store), NULL, NULL);
    g_assert_cmpint(failing.left, <, 0);
    watch_assert_ended(fixture, JOB_SUCCEEDED, NULL, NULL);
    g_assert_cmpuint(watch_count_events(fixture, watch_first, "note"), ==, 1);
    g_assert_cmpuint(watch_count_events(fixture, watch_first, "progress"), ==, 1);
}

/* The program does not hear the stop: it is killed before the limit all the same. */
static void test_max_cost_deaf(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Invoice) invoice = NULL;

    (void)data;
    watch_run_one(fixture, "started running deaf wait", "limits: {max_cost: 0.0005}\n");
    watch_assert_ended(fixture, JOB_FAILED, "max_cost", NULL);
    invoice = bill_build(fixture->store, watch_first, NULL);
    g_assert_cmpint(invoice->total, <=, 500);
}

/* Not even the kill is in time: what is over the limit is not metered. */
static void test_max_cost_slow_kill(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Invoice) invoice = NULL;

    (void)data;
    watch_run_one(fixture, "started running deaf slow wait", "limits: {max_cost: 0.0005}\n");
    watch_assert_ended(fixture, JOB_FAILED, "max_cost", NULL);
    invoice = bill_build(fixture->store, watch_first, NULL);
    g_assert_cmpint(invoice->total, <=, 500);
    g_assert_cmpint(invoice->total, >=, 499);
}

static void test_max_cost_too_small(Fixture *fixture, gconstpointer data)
{
    (void)data;
    watch_run_one(fixture, "started running wait", "limits: {max_cost: 0.00001}\n");
    watch_assert_ended(fixture, JOB_FAILED, "max_cost", "too little is left to start on H100 x 1");
    g_assert_cmpuint(watch_count_events(fixture, watch_first, "attempt"), ==, 0);
}

static void test_max_duration_spans_attempts(Fixture *fixture, gconstpointer data)
{
    (void)data;
    watch_run_one(fixture, "started running sleep:1100 done:failed:3",
                  "limits: {max_duration: 1s}\n" WATCH_RETRY);
    watch_assert_ended(fixture, JOB_FAILED, "nonzero_exit", NULL);
    g_assert_cmpuint(watch_count_events(fixture, watch_first, "attempt"), ==, 1);
    watch_resume(fixture, watch_first);
    watch_assert_ended(fixture, JOB_FAILED, "deadline", "limits.max_duration");
    g_assert_cmpuint(watch_count_events(fixture, watch_first, "attempt"), ==, 1);
}

static void test_deadline(Fixture *fixture, gconstpointer data)
{
    (void)data;
    watch_run_one(fixture, "started running stopping done:deadline", WATCH_RETRY);
    watch_assert_ended(fixture, JOB_FAILED, "deadline", "limits.max_duration is over");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Fixture *fixture, gconstpointer data);
    } tests[] = {
        {"succeeds", test_succeeds},
        {"setup-is-free", test_setup_is_free},
        {"reports-are-thinned", test_reports_are_thinned},
        {"setup-runs-once", test_setup_runs_once},
        {"setup-fails", test_setup_fails},
        {"odd-events", test_odd_events},
        {"unknown-end", test_unknown_end},
        {"fails", test_fails},
        {"retries", test_retries},
        {"retries-end", test_retries_end},
        {"failed-heartbeats", test_failed_heartbeats},
        {"launcher-dies", test_launcher_dies},
        {"launcher-is-not-there", test_launcher_is_not_there},
        {"workdir-is-not-there", test_workdir_is_not_there},
        {"never-fits", test_never_fits},
        {"max-cost", test_max_cost},
        {"max-cost-deaf", test_max_cost_deaf},
        {"max-cost-slow-kill", test_max_cost_slow_kill},
        {"max-cost-too-small", test_max_cost_too_small},
        {"max-duration-spans-attempts", test_max_duration_spans_attempts},
        {"deadline", test_deadline},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/run/%s", tests[i].name);

        g_test_add(path, Fixture, NULL, watch_set_up, tests[i].run, watch_tear_down);
    }
    return g_test_run();
}
