/* SPDX-License-Identifier: Apache-2.0
 *
 * The states of a job and the events that move it. The only place where a move is allowed or
 * refused.
 */
#ifndef QUEUE_STATE_H
#define QUEUE_STATE_H

#include <stdbool.h>

typedef enum {
    JOB_PENDING,
    JOB_STARTING,
    JOB_RUNNING,
    JOB_STOPPING,
    JOB_RETRYING,
    JOB_SUCCEEDED,
    JOB_FAILED,
    JOB_CANCELLED
} JobState;

const char *job_state_name(JobState state); /* "pending", ... */
bool job_state_parse(const char *name, JobState *state);
bool job_state_is_ended(JobState state);
/* Somebody must be at work on it: neither pending nor ended. */
bool job_state_is_active(JobState state);
/* The state after an event of `type` in `state`; false when that event may not happen there. Events
 * that report only (progress, note, ...) leave the state as it is. */
bool job_state_next(JobState state, const char *type, JobState *next);

#endif
