/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/course.h"

#include <math.h>

static bool take(Course *course, int64_t now_ms, const char *text)
{
    json_t *event = json_loads(text, 0, NULL);
    bool told;

    g_assert_nonnull(event);
    told = course_take(course, event, now_ms);
    json_decref(event);
    return told;
}

static void test_progress_is_kept(void)
{
    g_autoptr(Course) course = course_new();

    g_assert_true(isnan(course->loss));
    g_assert_cmpint(course_get_eta_ms(course, 5), ==, -1);
    g_assert_true(take(course, 1000,
                       "{\"event\":\"progress\",\"rank\":0,\"step\":1,\"steps\":11,\"loss\":4,"
                       "\"tokens_per_s\":1800.5,\"share\":0.75}"));
    g_assert_true(take(course, 3000,
                       "{\"event\":\"progress\",\"rank\":2,\"step\":3,\"loss\":3.5,"
                       "\"val_loss\":3.75,\"share\":0.25}"));
    g_assert_cmpint(course->step, ==, 3);
    g_assert_cmpint(course->steps, ==, 11);
    g_assert_cmpfloat(course->loss, ==, 3.5);
    g_assert_cmpfloat(course->val_loss, ==, 3.75);
    g_assert_cmpfloat(course->tokens_per_s, ==, 1800.5);
    g_assert_cmpuint(course->shares->len, ==, 3);
    g_assert_cmpfloat(g_array_index(course->shares, double, 0), ==, 0.75);
    g_assert_true(isnan(g_array_index(course->shares, double, 1)));
    g_assert_cmpfloat(g_array_index(course->shares, double, 2), ==, 0.25);
    g_assert_cmpint(course_get_eta_ms(course, 3000), ==, 8000); /* 2 steps took 2 s, 8 are left */
}

static void test_ranks_of_one_step_count_once(void)
{
    g_autoptr(Course) course = course_new();

    take(course, 1, "{\"event\":\"progress\",\"rank\":0,\"step\":1,\"loss\":4}");
    take(course, 2, "{\"event\":\"progress\",\"rank\":1,\"step\":1,\"loss\":4}");
    take(course, 3, "{\"event\":\"progress\",\"rank\":1,\"step\":2,\"loss\":3}");
    g_assert_cmpuint(course->losses->len, ==, 2);
}

/* A resumed job must not count the steps of the earlier attempt as made in no time. */
static void test_eta_begins_with_the_attempt(void)
{
    g_autoptr(Course) course = course_new();

    take(course, 1000, "{\"event\":\"progress\",\"rank\":0,\"step\":1,\"steps\":1000}");
    take(course, 2000, "{\"event\":\"progress\",\"rank\":0,\"step\":501,\"steps\":1000}");
    course_restart(course);
    g_assert_cmpint(course_get_eta_ms(course, 9000), ==, -1);
    take(course, 9000, "{\"event\":\"progress\",\"rank\":0,\"step\":500,\"steps\":1000}");
    take(course, 19000, "{\"event\":\"progress\",\"rank\":0,\"step\":600,\"steps\":1000}");
    g_assert_cmpint(course_get_eta_ms(course, 19000), ==, 40000);
}

static void test_checkpoints_and_the_rest(void)
{
    g_autoptr(Course) course = course_new();

    g_assert_true(take(course, 1, "{\"event\":\"checkpoint\",\"rank\":0,\"step\":20}"));
    g_assert_cmpint(course->checkpoint_step, ==, 20);
    g_assert_false(take(course, 1, "{\"event\":\"running\"}"));
    g_assert_false(take(course, 1, "{}"));
    g_assert_false(take(course, 1, "{\"event\":7}"));
}

static void test_odd_numbers_do_no_harm(void)
{
    g_autoptr(Course) course = course_new();

    take(course, 1, "{\"event\":\"progress\",\"rank\":-1,\"share\":1,\"step\":-5,\"loss\":2}");
    take(course, 1, "{\"event\":\"progress\",\"rank\":2000000000,\"share\":1}");
    take(course, 1, "{\"event\":\"progress\",\"step\":\"x\",\"loss\":\"nan\",\"steps\":-1}");
    g_assert_cmpuint(course->shares->len, ==, 0);
    g_assert_cmpint(course->step, ==, 0);
    g_assert_cmpint(course->steps, ==, 0);
    take(course, 5, "{\"event\":\"progress\",\"step\":9223372036854775806,\"steps\":1}");
    take(course, 6, "{\"event\":\"progress\",\"step\":9223372036854775807,\"steps\":1}");
    g_assert_cmpint(course_get_eta_ms(course, 7), ==, -1);
}

static void test_losses_are_thinned(void)
{
    g_autoptr(Course) course = course_new();
    const double *losses;

    for (int i = 0; i < 1000000; i++)
        course_add_loss(course, 1000000 - i);
    g_assert_cmpuint(course->losses->len, <, COURSE_LOSSES);
    g_assert_cmpuint(course->losses->len, >=, COURSE_LOSSES / 2 - 1);
    losses = (const double *)(const void *)course->losses->data;
    g_assert_cmpfloat(losses[0], >, 990000);
    for (guint i = 1; i < course->losses->len; i++)
        g_assert_cmpfloat(losses[i], <, losses[i - 1]);
    g_assert_cmpfloat(losses[course->losses->len - 1], <, 20000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli/course/progress", test_progress_is_kept);
    g_test_add_func("/cli/course/ranks", test_ranks_of_one_step_count_once);
    g_test_add_func("/cli/course/eta", test_eta_begins_with_the_attempt);
    g_test_add_func("/cli/course/checkpoint", test_checkpoints_and_the_rest);
    g_test_add_func("/cli/course/odd", test_odd_numbers_do_no_harm);
    g_test_add_func("/cli/course/thinned", test_losses_are_thinned);
    return g_test_run();
}
