/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/text.h"
#include "runner/cli/view.h"

#include <math.h>
#include <string.h>

typedef struct {
    char name[16];
    Job job;
    Course *course;
    ViewJob view;
} Fixture;

static void setup(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    double shares[] = {0.6, 0.4};

    g_strlcpy(fixture->name, "gpt-char", sizeof fixture->name);
    fixture->job = (Job){.id = {12},
                         .name = fixture->name,
                         .state = JOB_RUNNING,
                         .attempts = 2,
                         .loss = NAN,
                         .val_loss = NAN};
    fixture->course = course_new();
    fixture->course->step = 410;
    fixture->course->steps = 1000;
    fixture->course->loss = 2.4132;
    fixture->course->val_loss = 2.5;
    fixture->course->tokens_per_s = 18200;
    fixture->course->first_step = 10;
    fixture->course->first_at_ms = 0;
    g_array_append_vals(fixture->course->shares, shares, 2);
    for (int i = 8; i > 0; i--)
        course_add_loss(fixture->course, i);
    fixture->view = (ViewJob){.job = &fixture->job,
                              .course = fixture->course,
                              .now_ms = 40000,
                              .elapsed_ms = 72000,
                              .cost = "0.002134 USDC"};
}

static void teardown(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    course_free(fixture->course);
}

static GPtrArray *draw(const Fixture *fixture, int columns, bool unicode, bool colour)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
    ViewStyle style = {.columns = columns, .unicode = unicode, .colour = colour};

    view_append_job(lines, &fixture->view, &style);
    return lines;
}

static void expect(const GPtrArray *lines, guint index, const char *expected)
{
    g_assert_cmpuint(index, <, lines->len);
    g_assert_cmpstr(g_ptr_array_index(lines, index), ==, expected);
}

static void test_wide(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GPtrArray) lines = draw(fixture, 90, true, false);
    g_autofree char *head = g_strdup_printf("gpt-char #12  running  attempt 2%36selapsed 1m12s"
                                            "  ETA 59s",
                                            "");
    g_autofree char *loss = g_strdup_printf("loss 2.4132  █▇▆▅▄▃▂▁  val 2.5000  "
                                            "rank 0 60 %%  1 40 %%%23s0.002134 USDC",
                                            "");

    g_assert_cmpuint(lines->len, ==, 3);
    expect(lines, 0, head);
    expect(lines, 1, "████████████████▍░░░░░░░░░░░░░░░░░░░░░░░   41 %  step 410/1000  18.2k tok/s");
    expect(lines, 2, loss);
}

static void test_ascii(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GPtrArray) lines = draw(fixture, 80, false, false);

    for (guint i = 0; i < lines->len; i++)
        g_assert_true(g_str_is_ascii(g_ptr_array_index(lines, i)));
    g_assert_nonnull(strstr(g_ptr_array_index(lines, 1), "####"));
    g_assert_nonnull(strstr(g_ptr_array_index(lines, 2), "#*+=-,._"));
}

/* What matters most stays longest. */
static void test_narrow(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GPtrArray) lines = draw(fixture, 30, true, false);

    expect(lines, 0, "gpt-char #12  running");
    expect(lines, 1, " 41 %  step 410/1000");
    expect(lines, 2, "loss 2.4132      0.002134 USDC");
}

static void test_every_width_fits(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    fixture->view.notice = "stopping: killed in 58s";
    for (int columns = 1; columns < 200; columns++) {
        g_autoptr(GPtrArray) lines = draw(fixture, columns, true, false);

        g_assert_cmpuint(lines->len, ==, VIEW_LINES);
        for (guint i = 0; i < lines->len; i++)
            g_assert_cmpint(text_get_width(g_ptr_array_index(lines, i)), <=, columns);
    }
}

static void test_colour_only_where_asked(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GPtrArray) plain = draw(fixture, 90, true, false);
    g_autoptr(GPtrArray) colour = draw(fixture, 90, true, true);

    for (guint i = 0; i < plain->len; i++) {
        g_autoptr(GString) clean = g_string_new(NULL);
        const char *line = g_ptr_array_index(colour, i);

        g_assert_null(strchr(g_ptr_array_index(plain, i), '\x1b'));
        g_assert_nonnull(strchr(line, '\x1b'));
        text_append_clean(clean, line, strlen(line), true);
        expect(plain, i, clean->str);
    }
}

static void test_a_silent_job(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(Course) course = course_new();
    g_autoptr(GPtrArray) lines = NULL;

    fixture->view.course = course;
    lines = draw(fixture, 60, true, false);
    g_assert_cmpuint(lines->len, ==, 2);
    expect(lines, 0, "gpt-char #12  running  attempt 2               elapsed 1m12s");
    expect(lines, 1, "0.002134 USDC");
}

static void test_many_ranks(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    double share = 1.0 / 64;
    g_autofree char *text = NULL;

    g_array_set_size(fixture->course->shares, 0);
    for (int i = 0; i < 64; i++)
        g_array_append_val(fixture->course->shares, share);
    text = view_format_shares(fixture->course);
    g_assert_cmpstr(text, ==,
                    "rank 0 2 %  1 2 %  2 2 %  3 2 %  4 2 %  5 2 %  6 2 %  7 2 %  (64 ranks)");
}

static void test_plain(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *text = view_format_plain(&fixture->view);
    g_autoptr(Course) nothing = course_new();
    g_autofree char *empty = NULL;

    g_assert_cmpstr(text, ==,
                    "step 410/1000 (41 %), loss 2.4132, val 2.5000, 18.2k tok/s, "
                    "rank 0 60 %  1 40 %, ETA 59s, 0.002134 USDC");
    fixture->view.course = nothing;
    fixture->view.cost = NULL;
    empty = view_format_plain(&fixture->view);
    g_assert_cmpstr(empty, ==, "");
}

#define ADD(path, function) g_test_add(path, Fixture, NULL, setup, function, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/cli/view/wide", test_wide);
    ADD("/cli/view/ascii", test_ascii);
    ADD("/cli/view/narrow", test_narrow);
    ADD("/cli/view/every-width", test_every_width_fits);
    ADD("/cli/view/colour", test_colour_only_where_asked);
    ADD("/cli/view/silent", test_a_silent_job);
    ADD("/cli/view/many-ranks", test_many_ranks);
    ADD("/cli/view/plain", test_plain);
    return g_test_run();
}
