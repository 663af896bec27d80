/* SPDX-License-Identifier: Apache-2.0
 *
 * Between console.c (what happens) and console_say.c (how it is said).
 */
#ifndef CLI_CONSOLE_PRIV_H
#define CLI_CONSOLE_PRIV_H

#include "runner/cli/console.h"
#include "runner/cli/course.h"
#include "runner/cli/follow.h"
#include "runner/cli/screen.h"
#include "runner/cli/view.h"

struct Console {
    Store *store; /* borrowed */
    Group *group; /* borrowed; NULL until console_run() */
    bool json;
    bool live;
    ViewStyle style; /* columns are asked for at each drawing */
    Screen *screen;
    GPtrArray *jobs; /* Shown * */
    GMainLoop *loop;
    int interrupts;
    bool done;
    GError *error;
};

/* One job of the group. */
typedef struct {
    Console *console; /* borrowed */
    Job *job;
    Course *course;
    Follow *logs; /* NULL: all read, or nothing to read */
    int logs_attempt;
    int64_t started_ms;  /* monotonic; -1: not in this process */
    int64_t stopping_ms; /* monotonic; -1: it does not */
    int64_t said_ms;     /* monotonic: the last plain line of progress */
    bool news;           /* progress since then */
} Shown;

int64_t console_now_ms(void); /* monotonic */
/* One line for all jobs of the group. */
void console_say_accepted(Console *console);
/* The lines that a change of state is worth. `before`: NULL for a new job. */
void console_say_change(Console *console, Shown *shown, const Job *before);
/* What the job has cost so far; NULL: not known. */
char *console_format_cost(Console *console, const Shown *shown);
/* The live lines of all jobs, as many as the terminal has room for. */
void console_append_lines(Console *console, GPtrArray *lines);
/* The bill; returns the exit status of the command. */
int console_finish(Console *console);

#endif
