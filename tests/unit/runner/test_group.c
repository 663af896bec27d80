/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole jobs through a Group, with a launcher that does as the test says (fake_launch.c). What is
 * asserted is what a user sees: the states in their order, the reason, the time on the bill.
 */
#include "fixture.h"
#include "runner/queue/bill.h"
#include "runner/queue/group.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_MS 60000
#define BEAT_MS     20
#define RETRY       "retry: {on: [nonzero_exit, supplier_lost], max: 2, backoff: 10ms..20ms}\n"

typedef struct Fixture Fixture;

/* One group and what it told. */
typedef struct {
    Fixture *fixture;
    Group *group;
    GString *log; /* "t:pending t:starting ..." */
    GError *error;
    bool done;
    int active_most;
    const char *act_on; /* state at which `act` is called, once */
    void (*act)(Fixture *fixture);
} Watch;

struct Fixture {
    char *dir;
    Store *store;
    Node *node;
    PriceList *prices;
    char *program;
    GroupConfig config;
    Watch watch;
    Watch other;
    guint deadline;
};

static gboolean on_deadline(gpointer user_data)
{
    (void)user_data;
    g_error("the group did not come to an end in time");
    return G_SOURCE_REMOVE;
}

static void set_up(Fixture *fixture, gconstpointer data)
{
    (void)data;
    fixture->dir = fixture_make_dir();
    fixture->store = fixture_open(fixture->dir);
    fixture->node = fixture_node("H100", 1);
    fixture->prices = price_list_load(NULL, NULL);
    fixture->program = g_build_filename(TEST_BUILD_DIR, "tests", "fake_launch", NULL);
    fixture->config = (GroupConfig){.store = fixture->store,
                                    .node = fixture->node,
                                    .prices = fixture->prices,
                                    .program = fixture->program,
                                    .heartbeat_ms = BEAT_MS};
    fixture->deadline = g_timeout_add(DEADLINE_MS, on_deadline, NULL);
}

static void clear_watch(Watch *watch)
{
    g_clear_pointer(&watch->group, group_free);
    if (watch->log)
        g_string_free(watch->log, true);
    g_clear_error(&watch->error);
    *watch = (Watch){0};
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
    (void)data;
    clear_watch(&fixture->watch);
    clear_watch(&fixture->other);
    fixture_check(fixture->store);
    g_source_remove(fixture->deadline);
    store_close(fixture->store);
    node_free(fixture->node);
    price_list_free(fixture->prices);
    g_free(fixture->program);
    fixture_remove_dir(fixture->dir);
}

static void on_changed(const Job *job, void *user_data)
{
    Watch *watch = user_data;
    g_autofree char *words = g_strdup_printf("%s:%s", job->name, job_state_name(job->state));
    const char *last = strrchr(watch->log->str, ' ');
    int active = 0;

    if (g_strcmp0(last ? last + 1 : watch->log->str, words) != 0)
        g_string_append_printf(watch->log, "%s%s", watch->log->len ? " " : "", words);
    if (watch->group) {
        g_autoptr(GPtrArray) jobs = group_get_jobs(watch->group);

        for (guint i = 0; i < jobs->len; i++)
            active += job_state_is_active(((Job *)g_ptr_array_index(jobs, i))->state);
    }
    watch->active_most = MAX(watch->active_most, active);
    if (watch->act && g_strcmp0(watch->act_on, job_state_name(job->state)) == 0) {
        void (*act)(Fixture * fixture) = watch->act;

        watch->act = NULL;
        act(watch->fixture);
    }
}

static void on_done(const GError *error, void *user_data)
{
    Watch *watch = user_data;

    g_assert_false(watch->done);
    watch->done = true;
    watch->error = error ? g_error_copy(error) : NULL;
}

static const GroupFuncs funcs = {.changed = on_changed, .done = on_done};

static void open_watch(Fixture *fixture, Watch *watch)
{
    watch->fixture = fixture;
    watch->log = g_string_new(NULL);
    watch->group = group_new(&fixture->config, &funcs, watch);
}

static void add(Watch *watch, const char *yaml)
{
    g_autoptr(GPtrArray) specs = fixture_specs(yaml);
    g_autoptr(GError) error = NULL;

    group_add_jobs(watch->group, specs, "/", &error);
    g_assert_no_error(error);
}

static void finish(Watch *watch)
{
    while (!watch->done)
        g_main_context_iteration(NULL, true);
}

/* Runs the jobs of `yaml` to the end. */
static void run(Fixture *fixture, const char *yaml)
{
    open_watch(fixture, &fixture->watch);
    add(&fixture->watch, yaml);
    group_start(fixture->watch.group);
    finish(&fixture->watch);
}

static char *job_of(const char *run, const char *more)
{
    return g_strdup_printf("version: 1\nname: t\nrun: '%s'\n%s", run, more);
}

static void run_one(Fixture *fixture, const char *words, const char *more)
{
    g_autofree char *yaml = job_of(words, more);

    run(fixture, yaml);
}

static void resume(Fixture *fixture, JobId id)
{
    g_autoptr(GError) error = NULL;

    clear_watch(&fixture->watch);
    open_watch(fixture, &fixture->watch);
    group_resume_job(fixture->watch.group, id, &error);
    g_assert_no_error(error);
    group_start(fixture->watch.group);
    finish(&fixture->watch);
}

static const JobId first = {1};

static Job *the_job(Fixture *fixture)
{
    return fixture_job(fixture->store, first);
}

static int64_t used_ms(Fixture *fixture, JobId id)
{
    g_autoptr(GPtrArray) leases = store_list_leases(fixture->store, id, NULL);
    int64_t used = 0;

    for (guint i = 0; i < leases->len; i++)
        used += ((Lease *)g_ptr_array_index(leases, i))->used_ms;
    return used;
}

static guint count_events(Fixture *fixture, JobId id, const char *type)
{
    g_autoptr(GPtrArray) events = store_list_events(fixture->store, id, 0, NULL);
    guint count = 0;

    for (guint i = 0; i < events->len; i++)
        count += g_str_equal(((Event *)g_ptr_array_index(events, i))->type, type);
    return count;
}

static void assert_has(const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        g_error("'%s' is not in: %s", part, text ? text : "(nothing)");
}

static void assert_ended(Fixture *fixture, JobState state, const char *cause, const char *reason)
{
    g_autoptr(Job) job = the_job(fixture);

    g_assert_cmpstr(job_state_name(job->state), ==, job_state_name(state));
    g_assert_cmpstr(job->cause, ==, cause);
    if (reason)
        assert_has(job->reason, reason);
}

/* ---- one job ---- */

static void test_succeeds(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Invoice) invoice = NULL;
    int64_t balance;

    (void)data;
    run_one(fixture, "started running sleep:100 progress:3 done:succeeded", "");
    g_assert_no_error(fixture->watch.error);
    g_assert_cmpstr(fixture->watch.log->str, ==, "t:pending t:starting t:running t:succeeded");
    assert_ended(fixture, JOB_SUCCEEDED, NULL, NULL);
    g_assert_cmpint(used_ms(fixture, first), >=, 100);
    invoice = bill_build(fixture->store, first, NULL);
    g_assert_true(invoice->final);
    g_assert_cmpint(invoice->gpu_ms, ==, used_ms(fixture, first));
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
    run_one(fixture, "setup sleep:300 setup_done:0 started running sleep:50 done:succeeded",
            "setup: 'true'\n");
    took_ms = (g_get_monotonic_time() - begin) / 1000;
    g_assert_cmpint(used_ms(fixture, first), >=, 50);
    g_assert_cmpint(used_ms(fixture, first), <=, took_ms - 300);
    job = the_job(fixture);
    g_assert_true(job->setup_done);
}

/* A job that reports as fast as it can fills no disk, and its last word is kept. */
static void test_reports_are_thinned(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Job) job = NULL;

    (void)data;
    fixture->config.heartbeat_ms = 1000;
    run_one(fixture, "started running progress:20000 checkpoint:7 checkpoint:8 done:succeeded", "");
    job = the_job(fixture);
    g_assert_cmpint(job->step, ==, 20000);
    g_assert_cmpfloat(job->loss, ==, 10.0 / 20000);
    g_assert_cmpint(job->checkpoint_step, ==, 8);
    g_assert_cmpuint(count_events(fixture, first, "progress"), <=, 20);
}

static void test_setup_runs_once(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_one(
        fixture,
        "setup_if_due started running done:failed:3|setup_if_due started running done:succeeded",
        "setup: make\n" RETRY);
    assert_ended(fixture, JOB_SUCCEEDED, NULL, NULL);
    g_assert_cmpuint(count_events(fixture, first, "attempt"), ==, 2);
    g_assert_cmpuint(count_events(fixture, first, "setup"), ==, 1);
}

/* A setup that fails is not taken for done. */
static void test_setup_fails(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Job) job = NULL;

    (void)data;
    run_one(fixture, "setup setup_done:2 done:setup:2", "setup: make\n");
    assert_ended(fixture, JOB_FAILED, "setup", "setup failed");
    job = the_job(fixture);
    g_assert_false(job->setup_done);
    g_assert_cmpint(job->exit_code, ==, 2);
    g_assert_cmpint(used_ms(fixture, first), ==, 0);
}

/* Whatever a launcher says, time and state stay sane. */
static void test_odd_events(Fixture *fixture, gconstpointer data)
{
    gint64 begin = g_get_monotonic_time();
    g_autoptr(Job) job = NULL;

    (void)data;
    run_one(
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
    assert_ended(fixture, JOB_SUCCEEDED, NULL, NULL);
    g_assert_cmpint(used_ms(fixture, first), <=, (g_get_monotonic_time() - begin) / 1000 + 1);
    job = the_job(fixture);
    g_assert_cmpint(job->step, ==, 4);
    g_assert_cmpint(job->attempts, ==, 1);
}

/* "done" without a reason, or with one nobody knows, is a launcher that is lost. */
static void test_unknown_end(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_one(fixture, "started running raw={\"event\":\"done\"}|started running done:eaten",
            "retry: {on: [supplier_lost], max: 1, backoff: 10ms..10ms}\n");
    assert_ended(fixture, JOB_FAILED, "supplier_lost", "after 1 of 1 retries");
}

static void test_fails(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Job) job = NULL;

    (void)data;
    run_one(fixture, "started running done:failed:3", "retry: {on: [supplier_lost], max: 3}\n");
    assert_ended(fixture, JOB_FAILED, "nonzero_exit", "a rank failed");
    job = the_job(fixture);
    g_assert_cmpint(job->exit_code, ==, 3);
    g_assert_cmpint(job->attempts, ==, 1);
}

static void test_retries(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GPtrArray) leases = NULL;
    g_autoptr(Job) job = NULL;

    (void)data;
    run_one(fixture,
            "started running sleep:30 done:failed:3|started running sleep:30 done:succeeded",
            RETRY);
    g_assert_cmpstr(fixture->watch.log->str, ==,
                    "t:pending t:starting t:running t:retrying t:pending t:starting t:running "
                    "t:succeeded");
    job = the_job(fixture);
    g_assert_cmpint(job->attempts, ==, 2);
    g_assert_cmpint(job->retries, ==, 1);
    leases = store_list_leases(fixture->store, first, NULL);
    g_assert_cmpuint(leases->len, ==, 2);
}

static void test_retries_end(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Job) job = NULL;

    (void)data;
    run_one(fixture, "started running done:failed:9", RETRY);
    assert_ended(fixture, JOB_FAILED, "nonzero_exit", "after 2 of 2 retries");
    job = the_job(fixture);
    g_assert_cmpint(job->attempts, ==, 3);
}

/* By default a job is tried again where the supplier is at fault, and only there. */
static void test_launcher_dies(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_one(fixture, "started running sleep:50 die|started running done:succeeded",
            "retry: {max: 1, backoff: 10ms..10ms}\n");
    assert_ended(fixture, JOB_SUCCEEDED, NULL, NULL);
    g_assert_cmpuint(count_events(fixture, first, "retrying"), ==, 1);
}

static void test_launcher_is_not_there(Fixture *fixture, gconstpointer data)
{
    (void)data;
    fixture->config.program = "/nonexistent/drover";
    run_one(fixture, "done:succeeded", "");
    assert_ended(fixture, JOB_FAILED, "plan", "/nonexistent/drover");
    g_assert_cmpint(used_ms(fixture, first), ==, 0);
}

static void test_workdir_is_not_there(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_one(fixture, "done:succeeded", "workdir: nowhere/at/all\n");
    assert_ended(fixture, JOB_FAILED, "plan", "workdir: '/nowhere/at/all' is not a folder");
}

static void test_never_fits(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_one(fixture, "done:succeeded", "resources: {accelerators: 'RTX4090:2'}\n");
    assert_ended(fixture, JOB_FAILED, "no_match", "node 'n' has no RTX4090");
    g_assert_cmpstr(fixture->watch.log->str, ==, "t:pending t:failed");
}

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

    g_assert_true(store_cancel_job(elsewhere, first, false, fixture_now_ms(), NULL, &error));
    store_close(elsewhere);
}

static void act_cancel_now_elsewhere(Fixture *fixture)
{
    Store *elsewhere = fixture_open(fixture->dir);
    g_autoptr(GError) error = NULL;

    g_assert_true(store_cancel_job(elsewhere, first, true, fixture_now_ms(), NULL, &error));
    store_close(elsewhere);
}

static void run_and_act(Fixture *fixture, const char *words, const char *state,
                        void (*act)(Fixture *fixture))
{
    fixture->watch.act_on = state;
    fixture->watch.act = act;
    run_one(fixture, words, RETRY);
}

static void test_interrupt_and_resume(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Job) job = NULL;

    (void)data;
    run_and_act(fixture, "started running sleep:20 wait|started running sleep:50 done:succeeded",
                "running", act_interrupt);
    g_assert_cmpstr(fixture->watch.log->str, ==,
                    "t:pending t:starting t:running t:stopping t:pending");
    assert_ended(fixture, JOB_PENDING, "interrupted", "drover run --resume 1");
    resume(fixture, first);
    g_assert_cmpstr(fixture->watch.log->str, ==, "t:pending t:starting t:running t:succeeded");
    job = the_job(fixture);
    g_assert_cmpint(job->attempts, ==, 2);
    g_assert_cmpint(job->retries, ==, 0);
}

static void test_interrupt_twice_kills(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_and_act(fixture, "started running deaf wait", "running", act_interrupt_twice);
    assert_ended(fixture, JOB_PENDING, "interrupted", NULL);
}

static void test_interrupt_while_retrying(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_and_act(fixture, "started running done:failed:3", "retrying", act_interrupt);
    assert_ended(fixture, JOB_PENDING, "interrupted", "waited for a retry");
}

static void test_cancel_while_retrying(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_and_act(fixture, "started running done:failed:3", "retrying", act_group_cancel);
    assert_ended(fixture, JOB_CANCELLED, "cancelled", NULL);
}

static void test_cancel_elsewhere(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_and_act(fixture, "started running wait", "running", act_cancel_elsewhere);
    assert_ended(fixture, JOB_CANCELLED, "cancelled", "cancelled by drover cancel");
    g_assert_cmpint(used_ms(fixture, first), >, 0);
}

static void test_cancel_now_elsewhere(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_and_act(fixture, "started running deaf wait", "running", act_cancel_now_elsewhere);
    assert_ended(fixture, JOB_CANCELLED, "cancelled", NULL);
}

static void test_cancel_before_start(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_and_act(fixture, "done:succeeded", "pending", act_cancel_elsewhere);
    assert_ended(fixture, JOB_CANCELLED, "cancelled", NULL);
    g_assert_cmpuint(count_events(fixture, first, "attempt"), ==, 0);
}

static void test_what_can_be_resumed(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    JobId none = {9};

    (void)data;
    run_one(fixture, "started running done:failed:3|started running done:succeeded", "");
    assert_ended(fixture, JOB_FAILED, "nonzero_exit", NULL);
    resume(fixture, first);
    assert_ended(fixture, JOB_SUCCEEDED, NULL, NULL);
    clear_watch(&fixture->watch);
    open_watch(fixture, &fixture->watch);
    g_assert_false(group_resume_job(fixture->watch.group, first, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_STATE);
    assert_has(error->message, "has succeeded");
    g_clear_error(&error);
    g_assert_false(group_resume_job(fixture->watch.group, none, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_NOT_FOUND);
}

/* ---- limits ---- */

static void test_max_cost(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Invoice) invoice = NULL;

    (void)data;
    /* 2.20 USD an hour and 2 % on it: 0.0005 USD last 802 ms. */
    run_one(fixture, "started running wait", "limits: {max_cost: 0.0005}\n");
    assert_ended(fixture, JOB_FAILED, "max_cost", "limits.max_cost, 0.000500 USDC");
    invoice = bill_build(fixture->store, first, NULL);
    g_assert_cmpint(invoice->total, <=, 500);
    g_assert_cmpint(invoice->total, >, 100);
    /* What is left does not carry another attempt far, and never past the limit. */
    for (int i = 0; i < 3; i++) {
        g_autoptr(Invoice) again = NULL;

        resume(fixture, first);
        assert_ended(fixture, JOB_FAILED, "max_cost", NULL);
        again = bill_build(fixture->store, first, NULL);
        g_assert_cmpint(again->total, <=, 500);
    }
}

/* The program does not hear the stop: it is killed before the limit all the same. */
static void test_max_cost_deaf(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Invoice) invoice = NULL;

    (void)data;
    run_one(fixture, "started running deaf wait", "limits: {max_cost: 0.0005}\n");
    assert_ended(fixture, JOB_FAILED, "max_cost", NULL);
    invoice = bill_build(fixture->store, first, NULL);
    g_assert_cmpint(invoice->total, <=, 500);
}

static void test_max_cost_too_small(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_one(fixture, "started running wait", "limits: {max_cost: 0.00001}\n");
    assert_ended(fixture, JOB_FAILED, "max_cost", "too little is left to start on H100 x 1");
    g_assert_cmpuint(count_events(fixture, first, "attempt"), ==, 0);
}

static void test_max_duration_spans_attempts(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_one(fixture, "started running sleep:1100 done:failed:3",
            "limits: {max_duration: 1s}\n" RETRY);
    assert_ended(fixture, JOB_FAILED, "nonzero_exit", NULL);
    g_assert_cmpuint(count_events(fixture, first, "attempt"), ==, 1);
    resume(fixture, first);
    assert_ended(fixture, JOB_FAILED, "deadline", "limits.max_duration");
    g_assert_cmpuint(count_events(fixture, first, "attempt"), ==, 1);
}

static void test_deadline(Fixture *fixture, gconstpointer data)
{
    (void)data;
    run_one(fixture, "started running stopping done:deadline", RETRY);
    assert_ended(fixture, JOB_FAILED, "deadline", "limits.max_duration is over");
}

/* ---- several jobs ---- */

static void test_dependencies(Fixture *fixture, gconstpointer data)
{
    const char *log;

    (void)data;
    run(fixture, "version: 1\nname: a\nrun: 'started running done:succeeded'\n"
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
    assert_has(log, "c:cancelled");
    assert_has(log, "d:succeeded");
    assert_has(log, "e:cancelled");
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
    run(fixture,
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
    run(fixture, "version: 1\nname: m\nrun: 'started running sleep:60 done:succeeded'\n"
                 "matrix: {seed: 1..6}\nmax_parallel: 2\nresources: {accelerators: 'H100:1'}\n");
    g_assert_cmpint(fixture->watch.active_most, ==, 2);
    for (int64_t id = 1; id <= 6; id++) {
        g_autoptr(Job) job = fixture_job(fixture->store, (JobId){id});

        g_assert_cmpint(job->state, ==, JOB_SUCCEEDED);
    }
}

/* Two groups share a device: the second waits and says for whom, then runs. */
static void test_waits_for_device(Fixture *fixture, gconstpointer data)
{
    g_autofree char *long_job = job_of("started running sleep:400 done:succeeded", "");
    g_autofree char *short_job = job_of("started running done:succeeded", "");
    g_autoptr(GPtrArray) events = NULL;
    const Event *waiting;

    (void)data;
    open_watch(fixture, &fixture->watch);
    open_watch(fixture, &fixture->other);
    add(&fixture->watch, long_job);
    add(&fixture->other, short_job);
    group_start(fixture->watch.group);
    while (!strstr(fixture->watch.log->str, "running"))
        g_main_context_iteration(NULL, true);
    group_start(fixture->other.group);
    finish(&fixture->other);
    g_assert_true(strstr(fixture->watch.log->str, "succeeded") != NULL);
    events = store_list_events(fixture->store, (JobId){2}, 0, NULL);
    waiting = g_ptr_array_index(events, 1);
    g_assert_cmpstr(waiting->type, ==, "waiting");
    assert_has(json_string_value(json_object_get(waiting->body, "reason")),
               "too few are free on node 'n' now");
    finish(&fixture->watch);
}

static void test_start_within(Fixture *fixture, gconstpointer data)
{
    g_autofree char *long_job = job_of("started running wait", "");
    g_autofree char *short_job = job_of("done:succeeded", "limits: {start_within: 1s}\n");
    g_autoptr(Job) job = NULL;

    (void)data;
    open_watch(fixture, &fixture->watch);
    open_watch(fixture, &fixture->other);
    add(&fixture->watch, long_job);
    add(&fixture->other, short_job);
    group_start(fixture->watch.group);
    while (!strstr(fixture->watch.log->str, "running"))
        g_main_context_iteration(NULL, true);
    group_start(fixture->other.group);
    finish(&fixture->other);
    job = fixture_job(fixture->store, (JobId){2});
    g_assert_cmpint(job->state, ==, JOB_FAILED);
    g_assert_cmpstr(job->cause, ==, "start_within");
    group_stop(fixture->watch.group, GROUP_STOP_INTERRUPT);
    finish(&fixture->watch);
}

/* Resuming a job takes along what it depends on. */
static void test_resume_with_dependencies(Fixture *fixture, gconstpointer data)
{
    (void)data;
    fixture->watch.act_on = "running";
    fixture->watch.act = act_interrupt;
    run(fixture, "version: 1\nname: a\nrun: 'started running wait|started running done:succeeded'\n"
                 "---\nversion: 1\nname: b\nrun: 'started running done:succeeded'\n"
                 "depends_on: [{job: a, when: succeeded}]\n"
                 "---\nversion: 1\nname: c\nrun: 'done:succeeded'\n");
    resume(fixture, (JobId){2});
    assert_has(fixture->watch.log->str, "a:succeeded");
    assert_has(fixture->watch.log->str, "b:succeeded");
    g_assert_null(strstr(fixture->watch.log->str, "c:"));
}

/* ---- death ---- */

static void test_runner_is_killed(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Job) dead = NULL;
    g_autoptr(GPtrArray) leases = NULL;
    int said[2];
    char byte;
    pid_t pid;

    (void)data;
    g_assert_cmpint(pipe(said), ==, 0);
    pid = fork();
    if (pid == 0) {
        Store *mine = fixture_open(fixture->dir);
        g_autofree char *yaml = job_of("started running wait|started running done:succeeded", "");

        fixture->config.store = mine;
        open_watch(fixture, &fixture->watch);
        add(&fixture->watch, yaml);
        group_start(fixture->watch.group);
        while (!strstr(fixture->watch.log->str, "running"))
            g_main_context_iteration(NULL, true);
        for (int beats = 0; beats < 5; beats++)
            g_main_context_iteration(NULL, true);
        g_assert_cmpint(write(said[1], "x", 1), ==, 1);
        finish(&fixture->watch);
        _exit(1);
    }
    g_assert_cmpint(read(said[0], &byte, 1), ==, 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(said[0]);
    close(said[1]);
    /* The launcher may live on for a moment; resuming waits for it. */
    resume(fixture, first);
    assert_ended(fixture, JOB_SUCCEEDED, NULL, NULL);
    g_assert_cmpuint(count_events(fixture, first, "interrupted"), ==, 1);
    leases = store_list_leases(fixture->store, first, NULL);
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
    run(fixture, "version: 1\nname: a\nrun: 'started sleep:100 running sleep:50 done:succeeded'\n"
                 "---\nversion: 1\nname: b\nrun: 'started wait'\n");
    g_assert_nonnull(fixture->watch.error);
    assert_has(fixture->watch.error->message, "job ");
    clear_watch(&fixture->watch);
    sqlite3_exec(store_get_db(fixture->store), "PRAGMA query_only = 0", NULL, NULL, NULL);
    /* The launcher lets go of the lock when it is gone. */
    while (store_is_locked(fixture->store, first) || store_is_locked(fixture->store, second))
        g_main_context_iteration(NULL, false);
    g_assert_true(store_recover(fixture->store, fixture_now_ms(), &error));
    assert_ended(fixture, JOB_PENDING, "interrupted", NULL);
    job = fixture_job(fixture->store, second);
    g_assert_cmpint(job->state, ==, JOB_PENDING);
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
        {"launcher-dies", test_launcher_dies},
        {"launcher-is-not-there", test_launcher_is_not_there},
        {"workdir-is-not-there", test_workdir_is_not_there},
        {"never-fits", test_never_fits},
        {"interrupt-and-resume", test_interrupt_and_resume},
        {"interrupt-twice-kills", test_interrupt_twice_kills},
        {"interrupt-while-retrying", test_interrupt_while_retrying},
        {"cancel-while-retrying", test_cancel_while_retrying},
        {"cancel-elsewhere", test_cancel_elsewhere},
        {"cancel-now-elsewhere", test_cancel_now_elsewhere},
        {"cancel-before-start", test_cancel_before_start},
        {"what-can-be-resumed", test_what_can_be_resumed},
        {"max-cost", test_max_cost},
        {"max-cost-deaf", test_max_cost_deaf},
        {"max-cost-too-small", test_max_cost_too_small},
        {"max-duration-spans-attempts", test_max_duration_spans_attempts},
        {"deadline", test_deadline},
        {"dependencies", test_dependencies},
        {"priority", test_priority},
        {"max-parallel", test_max_parallel},
        {"waits-for-device", test_waits_for_device},
        {"start-within", test_start_within},
        {"resume-with-dependencies", test_resume_with_dependencies},
        {"runner-is-killed", test_runner_is_killed},
        {"store-breaks", test_store_breaks},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/group/%s", tests[i].name);

        g_test_add(path, Fixture, NULL, set_up, tests[i].run, tear_down);
    }
    return g_test_run();
}
