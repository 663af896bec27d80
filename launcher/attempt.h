/* SPDX-License-Identifier: Apache-2.0
 *
 * One attempt from its plan to its "done", in the process `drover launch`.
 */
#ifndef LAUNCHER_ATTEMPT_H
#define LAUNCHER_ATTEMPT_H

#include "launcher/backend.h"
#include "launcher/event_out.h"

typedef struct Attempt Attempt;

typedef enum {
    ATTEMPT_STOP_REQUESTED, /* a second one is ATTEMPT_STOP_KILL */
    ATTEMPT_STOP_DEADLINE,
    ATTEMPT_STOP_KILL, /* no grace */
} AttemptStop;

/* All borrowed, and must outlive the attempt. The working directory becomes the attempt's folder.
 * `program` is this executable. `loop` is quit after "done" has been sent; a failure to start is a
 * "done" as well. */
Attempt *attempt_new(const Plan *plan, const Backend *backend, const char *program, EventOut *out,
                     GMainLoop *loop);
void attempt_begin(Attempt *attempt);
bool attempt_is_done(const Attempt *attempt);
void attempt_stop(Attempt *attempt, AttemptStop stop);
void attempt_free(Attempt *attempt);

#endif
