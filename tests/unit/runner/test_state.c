/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of moves against a second statement of it, made for reading: one line a state, each
 * event that may happen there and where it leads.
 */
#include "runner/queue/state.h"

#include <glib.h>
#include <string.h>

#define REPORTS                                                                                  \
    " setup=. setup_done=. started=. rank_started=. progress=. checkpoint=. note=. rank_exit=. " \
    "cancel_requested=. "

static const char *const truth[] = {
    [JOB_PENDING] = " attempt=starting waiting=. cancel_requested=. resumed=. failed=failed"
                    " cancelled=cancelled ",
    [JOB_STARTING] = " running=running stopping=stopping retrying=retrying interrupted=pending"
                     " succeeded=succeeded failed=failed cancelled=cancelled" REPORTS,
    [JOB_RUNNING] = " stopping=stopping retrying=retrying interrupted=pending"
                    " succeeded=succeeded failed=failed cancelled=cancelled" REPORTS,
    [JOB_STOPPING] = " stopping=. retrying=retrying interrupted=pending"
                     " succeeded=succeeded failed=failed cancelled=cancelled" REPORTS,
    [JOB_RETRYING] = " queued=pending interrupted=pending failed=failed cancelled=cancelled"
                     " cancel_requested=. ",
    [JOB_SUCCEEDED] = " ",
    [JOB_FAILED] = " resumed=pending ",
    [JOB_CANCELLED] = " resumed=pending ",
};

static const char *const events[] = {
    "accepted", "attempt",  "running",      "stopping",         "retrying",  "queued",
    "waiting",  "resumed",  "interrupted",  "cancel_requested", "succeeded", "failed",
    "setup",    "progress", "setup_done",   "cancelled",        "started",   "checkpoint",
    "note",     "",         "rank_started", "rank_exit",        "Attempt",   "running ",
};

static void test_moves(void)
{
    for (JobState state = JOB_PENDING; state <= JOB_CANCELLED; state++) {
        for (size_t i = 0; i < G_N_ELEMENTS(events); i++) {
            g_autofree char *key = g_strdup_printf(" %s=", events[i]);
            const char *entry = strstr(truth[state], key);
            JobState next = (JobState)99;
            bool moved = job_state_next(state, events[i], &next);

            if (moved != (entry != NULL))
                g_error("'%s' in state %s: %s", events[i], job_state_name(state),
                        moved ? "allowed" : "refused");
            if (!moved) {
                g_assert_cmpint(next, ==, 99);
            } else {
                const char *to = entry + strlen(key);
                const char *name = *to == '.' ? job_state_name(state) : job_state_name(next);

                g_assert_cmpint(strncmp(*to == '.' ? name : to, name, strlen(name)), ==, 0);
                g_assert_true(*to != '.' || next == state);
            }
        }
    }
}

static void test_ends(void)
{
    for (JobState state = JOB_PENDING; state <= JOB_CANCELLED; state++) {
        JobState parsed;

        g_assert_true(job_state_parse(job_state_name(state), &parsed));
        g_assert_cmpint(parsed, ==, state);
        g_assert_true(job_state_is_ended(state) == (state >= JOB_SUCCEEDED));
        g_assert_true(job_state_is_active(state) ==
                      (state >= JOB_STARTING && state <= JOB_RETRYING));
    }
    JobState none;
    g_assert_false(job_state_parse("", &none));
    g_assert_false(job_state_parse("PENDING", &none));
}

/* From every state that has not ended there is a way to an end, or a job could hang for ever. */
static void test_every_state_can_end(void)
{
    for (JobState state = JOB_PENDING; state < JOB_SUCCEEDED; state++) {
        JobState next;

        g_assert_true(job_state_next(state, "cancelled", &next));
        g_assert_cmpint(next, ==, JOB_CANCELLED);
        g_assert_true(job_state_next(state, "failed", &next));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/state/moves", test_moves);
    g_test_add_func("/state/ends", test_ends);
    g_test_add_func("/state/every-state-can-end", test_every_state_can_end);
    return g_test_run();
}
