/* SPDX-License-Identifier: Apache-2.0
 *
 * Losses are kept in bounded memory however long the training is: when the array is full,
 * neighbours are averaged and from then on twice as many steps make one entry.
 */
#include "runner/cli/course.h"

#include "runner/cli/format.h"

#include <math.h>
#include <string.h>

Course *course_new(void)
{
    Course *course = g_new0(Course, 1);

    course->loss = course->val_loss = NAN;
    course->losses = g_array_new(FALSE, FALSE, sizeof(double));
    course->shares = g_array_new(FALSE, FALSE, sizeof(double));
    course->checkpoint_step = -1;
    course->stride = 1;
    course->first_step = -1;
    return course;
}

void course_free(Course *course)
{
    if (!course)
        return;
    g_array_unref(course->losses);
    g_array_unref(course->shares);
    g_free(course);
}

void course_restart(Course *course)
{
    course->first_step = -1;
    course->tokens_per_s = 0;
    g_array_set_size(course->shares, 0);
}

static double two_mean(double a, double b)
{
    if (isnan(a))
        return b;
    return isnan(b) ? a : a / 2 + b / 2;
}

static void losses_halve(Course *course)
{
    double *values = (double *)(void *)course->losses->data;

    for (guint i = 0; i < course->losses->len / 2; i++)
        values[i] = two_mean(values[2 * i], values[2 * i + 1]);
    g_array_set_size(course->losses, course->losses->len / 2);
    course->stride *= 2;
}

void course_add_loss(Course *course, double loss)
{
    double mean;

    course->pending_sum += loss;
    if (++course->pending < course->stride)
        return;
    mean = course->pending_sum / (double)course->pending;
    g_array_append_val(course->losses, mean);
    course->pending = 0;
    course->pending_sum = 0;
    if (course->losses->len == COURSE_LOSSES)
        losses_halve(course);
}

/* Numbers arrive as integers or reals, a NaN or infinity as a string or not at all. */
static bool number_get(const json_t *event, const char *key, double *value)
{
    const json_t *json = json_object_get(event, key);

    if (!json_is_number(json))
        return false;
    *value = json_number_value(json);
    return true;
}

static void share_take(Course *course, const json_t *event)
{
    json_int_t rank = json_integer_value(json_object_get(event, "rank"));
    double share, unknown = NAN;

    if (!number_get(event, "share", &share) || rank < 0 || rank >= COURSE_RANKS)
        return;
    while (course->shares->len <= (guint)rank)
        g_array_append_val(course->shares, unknown);
    g_array_index(course->shares, double, rank) = share;
}

static void step_take(Course *course, const json_t *event, int64_t now_ms)
{
    json_int_t step = json_integer_value(json_object_get(event, "step"));
    json_int_t steps = json_integer_value(json_object_get(event, "steps"));
    double loss;

    if (steps > 0)
        course->steps = steps;
    if (step <= 0)
        return;
    if (course->first_step < 0) {
        course->first_step = step;
        course->first_at_ms = now_ms;
    }
    /* every rank tells each step: one loss a step is enough */
    if (number_get(event, "loss", &loss) && (step != course->step || isnan(course->loss)))
        course_add_loss(course, loss);
    course->step = step;
}

bool course_take(Course *course, const json_t *event, int64_t now_ms)
{
    const char *type = json_string_value(json_object_get(event, "event"));

    if (!type)
        return false;
    if (strcmp(type, "checkpoint") == 0) {
        course->checkpoint_step = json_integer_value(json_object_get(event, "step"));
        return true;
    }
    if (strcmp(type, "progress") != 0)
        return false;
    step_take(course, event, now_ms);
    number_get(event, "loss", &course->loss);
    number_get(event, "val_loss", &course->val_loss);
    number_get(event, "tokens_per_s", &course->tokens_per_s);
    share_take(course, event);
    return true;
}

int64_t course_get_eta_ms(const Course *course, int64_t now_ms)
{
    if (course->steps <= 0 || course->first_step < 0)
        return -1;
    return format_eta_ms(now_ms - course->first_at_ms, course->step - course->first_step,
                         course->steps - course->step);
}
