/* SPDX-License-Identifier: Apache-2.0
 *
 * The live lines of a running job, fitted to the width of the terminal. Pure.
 */
#ifndef CLI_VIEW_H
#define CLI_VIEW_H

#include "runner/cli/course.h"
#include "runner/queue/store.h"

typedef struct {
    int columns;
    bool unicode;
    bool colour;
} ViewStyle;

/* Borrowed for the call. */
typedef struct {
    const Job *job;
    const Course *course;
    int64_t now_ms;     /* monotonic, as the course has it */
    int64_t elapsed_ms; /* since the job's first process; -1: not started */
    const char *cost;   /* "0.002134 USDC"; NULL: not known */
    const char *notice; /* a line for what is to be said now; NULL: none */
} ViewJob;

/* Appends at most VIEW_LINES lines (char *, owned by the array), none wider than the terminal. */
void view_append_job(GPtrArray *lines, const ViewJob *view, const ViewStyle *style);
#define VIEW_LINES 4
/* "rank 0 60 %  1 40 %"; NULL where no share is known, or one rank has it all. */
char *view_format_shares(const Course *course);
/* One plain line: "step 410/1000 (41 %), loss 2.4132, ...", "" where nothing is known. Of a job
 * that has ended: without shares and time left. */
char *view_format_plain(const ViewJob *view);

#endif
