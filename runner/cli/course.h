/* SPDX-License-Identifier: Apache-2.0
 *
 * What is known of one running job, gathered from the events of its launcher. No clock and no
 * output of its own: time comes in with each call (monotonic ms).
 */
#ifndef CLI_COURSE_H
#define CLI_COURSE_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t step;  /* 0: none told */
    int64_t steps; /* 0: unknown */
    double loss;   /* NAN: none, as the others */
    double val_loss;
    double tokens_per_s;     /* 0: none */
    GArray *losses;          /* double: the whole way, thinned to at most COURSE_LOSSES */
    GArray *shares;          /* double by rank, NAN: unknown */
    int64_t checkpoint_step; /* -1: none */

    /* Private: means of `stride` losses make one of `losses`; where the clock of ETA began. */
    int64_t stride, pending;
    double pending_sum;
    int64_t first_step, first_at_ms;
} Course;

#define COURSE_LOSSES 256
#define COURSE_RANKS  4096 /* shares of ranks beyond are not kept */

Course *course_new(void);
void course_free(Course *course);
/* A new attempt: the course so far stays, the clock of ETA begins anew. */
void course_restart(Course *course);
/* An event of drover launch (launcher/launch.h). True: it told something to show. */
bool course_take(Course *course, const json_t *event, int64_t now_ms);
void course_add_loss(Course *course, double loss);
int64_t course_get_eta_ms(const Course *course, int64_t now_ms); /* -1: cannot be told */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Course, course_free)

#endif
