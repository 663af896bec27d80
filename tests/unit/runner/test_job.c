/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <math.h>

static bool apply(Job *job, int attempt, const char *type, const char *body)
{
    g_autoptr(Event) event = g_new0(Event, 1);

    event->job = job->id;
    event->attempt = attempt;
    event->at_ms = fixture_now_ms();
    event->type = g_strdup(type);
    event->body = body ? json_loads(body, 0, NULL) : NULL;
    return job_apply(job, event);
}

static Job *new_job(void)
{
    Job *job = job_new((JobId){1}, "t", "g");

    g_assert_true(apply(job, 0, "accepted", NULL));
    return job;
}

static void must(Job *job, int attempt, const char *type, const char *body)
{
    const char *why;

    if (!apply(job, attempt, type, body))
        g_error("'%s' refused in %s", type, job_state_name(job->state));
    if (!job_check(job, &why))
        g_error("after '%s': %s", type, why);
}

static void test_first(void)
{
    g_autoptr(Job) job = new_job();

    g_assert_cmpint(job->state, ==, JOB_PENDING);
    g_assert_cmpint(job->exit_code, ==, -1);
    g_assert_cmpint(job->checkpoint_step, ==, -1);
    g_assert_true(isnan(job->loss));
    g_assert_false(apply(job, 0, "accepted", NULL));
}

static void test_retry_and_resume(void)
{
    g_autoptr(Job) job = new_job();

    must(job, 1, "attempt", NULL);
    must(job, 1, "retrying", "{\"retry_at_ms\":99,\"code\":7,\"reason\":\"r\",\"cause\":\"c\"}");
    g_assert_cmpint(job->retries, ==, 1);
    g_assert_cmpint(job->retry_at_ms, ==, 99);
    g_assert_cmpint(job->exit_code, ==, 7);
    g_assert_cmpstr(job->reason, ==, "r");
    must(job, 1, "queued", NULL);
    g_assert_cmpint(job->retry_at_ms, ==, 0);
    must(job, 2, "attempt", NULL);
    g_assert_null(job->reason);
    must(job, 2, "cancel_requested", "{\"now\":false}");
    must(job, 2, "cancel_requested", "{\"now\":true}");
    must(job, 2, "cancelled", "{\"reason\":\"x\",\"cause\":\"cancelled\"}");
    g_assert_cmpint(job->ended_at_ms, >, 0);
    must(job, 2, "resumed", NULL);
    g_assert_cmpint(job->ended_at_ms, ==, 0);
    g_assert_cmpint(job->retries, ==, 0);
    g_assert_false(job->cancel_requested);
    g_assert_false(job->cancel_now);
    g_assert_null(job->reason);
    g_assert_cmpint(job->attempts, ==, 2);
}

/* An interrupted job that was waiting for its retry waits no more. */
static void test_interrupted_while_retrying(void)
{
    g_autoptr(Job) job = new_job();

    must(job, 1, "attempt", NULL);
    must(job, 1, "retrying", "{\"retry_at_ms\":99}");
    must(job, 1, "interrupted", NULL);
    g_assert_cmpint(job->retry_at_ms, ==, 0);
}

/* Bodies with members of wrong types, huge or missing: what is known stays. */
static void test_odd_bodies(void)
{
    g_autoptr(Job) job = new_job();

    must(job, 1, "attempt", "{\"entry\":[]}");
    must(job, 1, "progress", "{\"step\":5,\"loss\":1.5}");
    must(job, 1, "progress", "{\"step\":\"6\",\"loss\":null,\"steps\":1e300,\"val_loss\":{}}");
    must(job, 1, "progress", NULL);
    must(job, 1, "checkpoint", "{}");
    must(job, 1, "setup_done", NULL);
    g_assert_cmpint(job->step, ==, 5);
    g_assert_cmpint(job->steps, ==, 0);
    g_assert_cmpfloat(job->loss, ==, 1.5);
    g_assert_true(isnan(job->val_loss));
    g_assert_false(job->setup_done);
    must(job, 1, "failed", "{\"code\":99999999999,\"reason\":5}");
    g_assert_cmpint(job->exit_code, ==, -1);
    g_assert_null(job->reason);
}

static void test_attempts_count_up(void)
{
    g_autoptr(Job) job = new_job();

    g_assert_false(apply(job, 0, "attempt", NULL));
    g_assert_false(apply(job, 2, "attempt", NULL));
    g_assert_false(apply(job, G_MAXINT, "attempt", NULL));
    must(job, 1, "attempt", NULL);
    g_assert_false(apply(job, 2, "running", NULL));
}

static void test_check(void)
{
    g_autoptr(Job) job = new_job();
    const char *why;

    g_assert_true(job_check(job, &why));
    g_assert_null(why);
    job->ended_at_ms = 5;
    g_assert_false(job_check(job, &why));
    g_assert_nonnull(why);
    job->ended_at_ms = 0;
    job->state = JOB_RUNNING;
    g_assert_false(job_check(job, &why));
    job->state = JOB_PENDING;
    job->retry_at_ms = 1;
    g_assert_false(job_check(job, &why));
    job->retry_at_ms = 0;
    job->retries = 1;
    g_assert_false(job_check(job, &why));
    job->retries = 0;
    job->created_at_ms = INT64_MIN; /* what shows "... ago" subtracts it */
    g_assert_false(job_check(job, &why));
}

static void test_copy(void)
{
    g_autoptr(Job) job = new_job();
    g_autoptr(Job) copy = NULL;

    must(job, 1, "attempt", NULL);
    must(job, 1, "failed", "{\"reason\":\"r\",\"cause\":\"c\"}");
    copy = job_copy(job);
    g_assert_true(job_is_equal(job, copy));
    copy->val_loss = 1;
    g_assert_false(job_is_equal(job, copy));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/job/first", test_first);
    g_test_add_func("/job/retry-and-resume", test_retry_and_resume);
    g_test_add_func("/job/interrupted-while-retrying", test_interrupted_while_retrying);
    g_test_add_func("/job/odd-bodies", test_odd_bodies);
    g_test_add_func("/job/attempts-count-up", test_attempts_count_up);
    g_test_add_func("/job/check", test_check);
    g_test_add_func("/job/copy", test_copy);
    return g_test_run();
}
