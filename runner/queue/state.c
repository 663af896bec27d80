/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a job:
 *
 *                ┌────────────────────── interrupted ────────────────────┐
 *                v                                                       │
 *    accepted         attempt             running           stopping     │
 *   ─────────> pending ─────> starting ──────────> running ─────────> stopping
 *              ^  ^              │                    │                  │
 *       queued │  │              ├────────────────────┴──────────────────┤
 *              │  │              v retrying                              │
 *              └──┼────────── retrying                                   v
 *                 │ resumed                succeeded        failed, cancelled
 *                 └──────────────────────────────────────────────┘
 *
 * starting and running may both go to stopping; each of the three states of an attempt may end,
 * retry or be interrupted. pending and retrying may fail and be cancelled, retrying may be
 * interrupted, and resuming an interrupted (pending) job is noted.
 *
 * Every move is one row below; what is not there cannot happen. Rows whose move is STAY only
 * report. "accepted" begins the life and is no move.
 */
#include "runner/queue/state.h"

#include <glib.h>

#define IN(state) (1u << (state))
#define STAY      -1

enum {
    NOT_BEGUN = IN(JOB_PENDING),
    STARTED = IN(JOB_STARTING) | IN(JOB_RUNNING),
    ATTEMPT = STARTED | IN(JOB_STOPPING),
    UNENDED = NOT_BEGUN | ATTEMPT | IN(JOB_RETRYING),
    LOST = IN(JOB_FAILED) | IN(JOB_CANCELLED)
};

typedef struct {
    const char *type;
    unsigned from;
    int to;
} Move;

static const Move moves[] = {
    {"attempt", NOT_BEGUN, JOB_STARTING},
    {"running", IN(JOB_STARTING), JOB_RUNNING},
    {"stopping", ATTEMPT, JOB_STOPPING},
    {"retrying", ATTEMPT, JOB_RETRYING},
    {"queued", IN(JOB_RETRYING), JOB_PENDING},
    {"interrupted", ATTEMPT | IN(JOB_RETRYING), JOB_PENDING},
    {"resumed", NOT_BEGUN | LOST, JOB_PENDING},
    {"succeeded", ATTEMPT, JOB_SUCCEEDED},
    {"failed", UNENDED, JOB_FAILED},
    {"cancelled", UNENDED, JOB_CANCELLED},

    {"waiting", NOT_BEGUN, STAY},
    {"cancel_requested", UNENDED, STAY},
    {"setup", ATTEMPT, STAY},
    {"setup_done", ATTEMPT, STAY},
    {"started", ATTEMPT, STAY},
    {"rank_started", ATTEMPT, STAY},
    {"progress", ATTEMPT, STAY},
    {"checkpoint", ATTEMPT, STAY},
    {"note", ATTEMPT, STAY},
    {"rank_exit", ATTEMPT, STAY},
};

static const char *const names[] = {
    [JOB_PENDING] = "pending",   [JOB_STARTING] = "starting",   [JOB_RUNNING] = "running",
    [JOB_STOPPING] = "stopping", [JOB_RETRYING] = "retrying",   [JOB_SUCCEEDED] = "succeeded",
    [JOB_FAILED] = "failed",     [JOB_CANCELLED] = "cancelled",
};

const char *job_state_name(JobState state)
{
    g_return_val_if_fail((unsigned)state < G_N_ELEMENTS(names), "?");
    return names[state];
}

bool job_state_parse(const char *name, JobState *state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_str_equal(name, names[i])) {
            *state = (JobState)i;
            return true;
        }
    }
    return false;
}

bool job_state_is_ended(JobState state)
{
    return !(UNENDED & IN(state));
}

bool job_state_is_active(JobState state)
{
    return (UNENDED & ~NOT_BEGUN & IN(state)) != 0;
}

bool job_state_next(JobState state, const char *type, JobState *next)
{
    for (size_t i = 0; i < G_N_ELEMENTS(moves); i++) {
        const Move *move = &moves[i];

        if (g_str_equal(move->type, type) && (move->from & IN(state))) {
            *next = move->to == STAY ? state : (JobState)move->to;
            return true;
        }
    }
    return false;
}
