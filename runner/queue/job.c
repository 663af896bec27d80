/* SPDX-License-Identifier: Apache-2.0
 *
 * Job is the fold of its events: job_apply() is the only place where an event changes what is known
 * about a job. It is pure, so the row in the store can be checked against a fold from the start.
 */
#include "runner/queue/store_priv.h"

#include <math.h>

Job *job_new(JobId id, const char *name, const char *group)
{
    Job *job = g_new0(Job, 1);

    job->id = id;
    job->name = g_strdup(name);
    job->group = g_strdup(group);
    job->state = JOB_PENDING;
    job->exit_code = -1;
    job->loss = (double)NAN;
    job->val_loss = (double)NAN;
    job->checkpoint_step = -1;
    return job;
}

Job *job_copy(const Job *job)
{
    Job *copy = g_memdup2(job, sizeof *job);

    copy->name = g_strdup(job->name);
    copy->reason = g_strdup(job->reason);
    copy->cause = g_strdup(job->cause);
    copy->group = g_strdup(job->group);
    return copy;
}

void job_free(Job *job)
{
    if (!job)
        return;
    g_free(job->name);
    g_free(job->reason);
    g_free(job->cause);
    g_free(job->group);
    g_free(job);
}

static void fold_integer(const Event *event, const char *member, int64_t *out)
{
    const json_t *value = json_object_get(event->body, member);

    if (json_is_integer(value))
        *out = json_integer_value(value);
}

static void fold_number(const Event *event, const char *member, double *out)
{
    const json_t *value = json_object_get(event->body, member);

    if (json_is_number(value))
        *out = json_number_value(value);
}

static void fold_text(const Event *event, const char *member, char **out)
{
    g_free(*out);
    *out = g_strdup(json_string_value(json_object_get(event->body, member)));
}

static void fold_code(const Event *event, Job *job)
{
    int64_t code = -1;

    fold_integer(event, "code", &code);
    if (code >= 0 && code <= G_MAXINT)
        job->exit_code = (int)code;
}

static void apply_accepted(Job *job, const Event *event)
{
    job->created_at_ms = event->at_ms;
}

static void apply_attempt(Job *job, const Event *event)
{
    job->attempts = event->attempt;
    g_clear_pointer(&job->reason, g_free);
    g_clear_pointer(&job->cause, g_free);
}

static void apply_reason(Job *job, const Event *event)
{
    fold_text(event, "reason", &job->reason);
    fold_text(event, "cause", &job->cause);
}

static void apply_retrying(Job *job, const Event *event)
{
    apply_reason(job, event);
    fold_code(event, job);
    job->retries++;
    fold_integer(event, "retry_at_ms", &job->retry_at_ms);
}

static void apply_queued(Job *job, const Event *event)
{
    (void)event;
    job->retry_at_ms = 0;
}

static void apply_interrupted(Job *job, const Event *event)
{
    apply_reason(job, event);
    job->retry_at_ms = 0;
}

static void apply_ended(Job *job, const Event *event)
{
    apply_interrupted(job, event);
    fold_code(event, job);
    job->ended_at_ms = event->at_ms;
}

static void apply_resumed(Job *job, const Event *event)
{
    apply_reason(job, event);
    job->ended_at_ms = 0;
    job->retries = 0;
    job->cancel_requested = false;
    job->cancel_now = false;
}

static void apply_cancel_requested(Job *job, const Event *event)
{
    job->cancel_requested = true;
    job->cancel_now |= json_is_true(json_object_get(event->body, "now"));
}

static void apply_setup_done(Job *job, const Event *event)
{
    int64_t status = -1;

    fold_integer(event, "status", &status);
    job->setup_done |= status == 0;
}

static void apply_started(Job *job, const Event *event)
{
    if (job->started_at_ms == 0)
        job->started_at_ms = event->at_ms;
}

static void apply_progress(Job *job, const Event *event)
{
    fold_integer(event, "step", &job->step);
    fold_integer(event, "steps", &job->steps);
    fold_number(event, "loss", &job->loss);
    fold_number(event, "val_loss", &job->val_loss);
    fold_number(event, "tokens_per_s", &job->tokens_per_s);
}

static void apply_checkpoint(Job *job, const Event *event)
{
    fold_integer(event, "step", &job->checkpoint_step);
    job->step = MAX(job->step, job->checkpoint_step);
    job->checkpoint_at_ms = event->at_ms;
}

static const struct {
    const char *type;
    void (*apply)(Job *job, const Event *event);
} appliers[] = {
    {"accepted", apply_accepted},       {"attempt", apply_attempt},
    {"waiting", apply_reason},          {"setup_done", apply_setup_done},
    {"started", apply_started},         {"progress", apply_progress},
    {"checkpoint", apply_checkpoint},   {"cancel_requested", apply_cancel_requested},
    {"retrying", apply_retrying},       {"queued", apply_queued},
    {"interrupted", apply_interrupted}, {"resumed", apply_resumed},
    {"succeeded", apply_ended},         {"failed", apply_ended},
    {"cancelled", apply_ended},
};

/* Attempts count from 1 without a gap, and what is said of an attempt is said of the last. */
static bool is_attempt_in_turn(const Job *job, const Event *event)
{
    if (g_str_equal(event->type, "attempt"))
        return event->attempt == job->attempts + 1;
    return event->attempt <= job->attempts;
}

bool job_apply(Job *job, const Event *event)
{
    bool first = g_str_equal(event->type, "accepted") && job->created_at_ms == 0;
    JobState next = job->state;

    if ((!first && !job_state_next(job->state, event->type, &next)) ||
        !is_attempt_in_turn(job, event))
        return false;
    job->state = next;
    for (size_t i = 0; i < G_N_ELEMENTS(appliers); i++) {
        if (g_str_equal(event->type, appliers[i].type))
            appliers[i].apply(job, event);
    }
    return true;
}

bool job_check(const Job *job, const char **why)
{
    bool ended = job_state_is_ended(job->state);

    *why = NULL;
    if (ended != (job->ended_at_ms != 0))
        *why = "it has an end if and only if its state is one of the ends";
    else if (job_state_is_active(job->state) && job->attempts == 0)
        *why = "a job at work has begun an attempt";
    else if ((job->state == JOB_RETRYING) != (job->retry_at_ms != 0))
        *why = "it has a time to try again if and only if it is retrying";
    else if (job->state == JOB_SUCCEEDED && job->attempts == 0)
        *why = "nothing succeeds without an attempt";
    else if (job->retries > job->attempts)
        *why = "each retry follows an attempt";
    else if (MIN(job->created_at_ms, MIN(job->started_at_ms, job->ended_at_ms)) < 0)
        *why = "its times are after 1970";
    return *why == NULL;
}

static bool is_same_number(double a, double b)
{
    return isnan(a) ? isnan(b) : !isnan(b) && !(a < b) && !(a > b);
}

bool job_is_equal(const Job *a, const Job *b)
{
    return a->id.value == b->id.value && g_strcmp0(a->name, b->name) == 0 && a->state == b->state &&
           g_strcmp0(a->reason, b->reason) == 0 && g_strcmp0(a->cause, b->cause) == 0 &&
           g_strcmp0(a->group, b->group) == 0 && a->attempts == b->attempts &&
           a->retries == b->retries && a->retry_at_ms == b->retry_at_ms &&
           a->created_at_ms == b->created_at_ms && a->started_at_ms == b->started_at_ms &&
           a->ended_at_ms == b->ended_at_ms && a->exit_code == b->exit_code && a->step == b->step &&
           a->steps == b->steps && is_same_number(a->loss, b->loss) &&
           is_same_number(a->val_loss, b->val_loss) &&
           is_same_number(a->tokens_per_s, b->tokens_per_s) &&
           a->checkpoint_step == b->checkpoint_step && a->checkpoint_at_ms == b->checkpoint_at_ms &&
           a->setup_done == b->setup_done && a->cancel_requested == b->cancel_requested &&
           a->cancel_now == b->cancel_now;
}
