/* SPDX-License-Identifier: Apache-2.0
 *
 * A line is a few pieces with two spaces between. When they are wider than the terminal, the piece
 * of the least weight goes, again and again; then a piece that can stretch (bar, sparkline) takes
 * what is left. So one list of pieces serves every width.
 */
#include "runner/cli/view.h"

#include "runner/cli/format.h"
#include "runner/cli/text.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#define PIECES_MAX   8
#define GAP          2
#define SHARES_SHOWN 8

typedef struct Piece Piece;
typedef struct {
    Piece *pieces;
    size_t count;
} Line;

struct Piece {
    char *text; /* NULL: stretches */
    int weight; /* the least goes first; 0: gone */
    int width;  /* of a stretching one: its least width */
    int most;   /* ... and its greatest */
    bool right; /* this and what follows stands at the right edge */
    int sgr;    /* colour; 0: none */
};

static Piece *piece_add(Line *line, int weight, int sgr, char *text)
{
    Piece *piece = &line->pieces[line->count++];

    g_assert(line->count <= PIECES_MAX);
    *piece = (Piece){.text = text, .weight = weight, .sgr = sgr, .width = text_get_width(text)};
    return piece;
}

static Piece *piece_add_stretching(Line *line, int weight, int least, int most)
{
    Piece *piece = &line->pieces[line->count++];

    g_assert(line->count <= PIECES_MAX);
    *piece = (Piece){.weight = weight, .width = least, .most = most};
    return piece;
}

static int line_width(const Line *line)
{
    int width = -GAP;

    for (size_t i = 0; i < line->count; i++) {
        if (line->pieces[i].weight)
            width += line->pieces[i].width + GAP;
    }
    return MAX(width, 0);
}

/* Drops pieces until the rest fits; false where even the last one did not. */
static bool line_fit(Line *line, int columns)
{
    while (line_width(line) > columns) {
        Piece *least = NULL;
        size_t left = 0;

        for (size_t i = 0; i < line->count; i++) {
            Piece *piece = &line->pieces[i];

            left += piece->weight != 0;
            if (piece->weight && (!least || piece->weight < least->weight))
                least = piece;
        }
        if (left <= 1)
            return false;
        least->weight = 0;
    }
    return true;
}

static Piece *stretching_find(Line *line)
{
    for (size_t i = 0; i < line->count; i++) {
        if (!line->pieces[i].text && line->pieces[i].weight)
            return &line->pieces[i];
    }
    return NULL;
}

static char *line_join(const Line *line, const ViewStyle *style)
{
    GString *out = g_string_new(NULL);
    int spare = style->columns - line_width(line);

    for (size_t i = 0; i < line->count; i++) {
        const Piece *piece = &line->pieces[i];
        g_autofree char *cut = NULL;

        if (!piece->weight || !piece->text)
            continue;
        if (out->len)
            g_string_append(out, "  ");
        if (piece->right && out->len) {
            g_string_append_printf(out, "%*s", spare, "");
            spare = 0;
        }
        cut = text_cut(piece->text, style->columns, style->unicode);
        if (style->colour && piece->sgr)
            g_string_append_printf(out, "\x1b[%dm%s\x1b[0m", piece->sgr, cut);
        else
            g_string_append(out, cut);
    }
    return g_string_free(out, FALSE);
}

static void line_clear(Line *line)
{
    for (size_t i = 0; i < line->count; i++)
        g_free(line->pieces[i].text);
    line->count = 0;
}

/* ---- the lines ---- */

static int state_colour(JobState state)
{
    switch (state) {
    case JOB_RUNNING:
    case JOB_SUCCEEDED:
        return 32;
    case JOB_FAILED:
    case JOB_CANCELLED:
        return 31;
    default:
        return 33;
    }
}

static void head_fill(Line *line, const ViewJob *view)
{
    const Job *job = view->job;
    int64_t eta = course_get_eta_ms(view->course, view->now_ms);
    Piece *piece = NULL;

    piece_add(line, 10, 1, g_strdup_printf("%s #%" G_GINT64_FORMAT, job->name, job->id.value));
    piece_add(line, 8, state_colour(job->state), g_strdup(job_state_name(job->state)));
    if (job->attempts > 1)
        piece_add(line, 3, 0, g_strdup_printf("attempt %d", job->attempts));
    if (view->course->checkpoint_step >= 0)
        piece_add(
            line, 2, 0,
            g_strdup_printf("checkpoint at %" G_GINT64_FORMAT, view->course->checkpoint_step));
    if (view->elapsed_ms >= 0) {
        g_autofree char *elapsed = format_duration(view->elapsed_ms);

        piece = piece_add(line, 7, 0, g_strdup_printf("elapsed %s", elapsed));
        piece->right = true;
    }
    if (eta >= 0 && job->state == JOB_RUNNING) {
        g_autofree char *left = format_duration(eta);
        Piece *last = piece_add(line, 6, 0, g_strdup_printf("ETA %s", left));

        last->right = !piece;
    }
}

static void course_fill(Line *line, const ViewJob *view, const ViewStyle *style)
{
    const Course *course = view->course;
    Piece *bar = NULL;

    if (course->steps > 0) {
        bar = piece_add_stretching(line, 5, 8, 40);
        piece_add(line, 10, 0,
                  g_strdup_printf("%3d %%", format_percent(course->step, course->steps)));
        piece_add(line, 9, 0,
                  g_strdup_printf("step %" G_GINT64_FORMAT "/%" G_GINT64_FORMAT, course->step,
                                  course->steps));
    } else if (course->step > 0) {
        piece_add(line, 9, 0, g_strdup_printf("step %" G_GINT64_FORMAT, course->step));
    }
    if (course->tokens_per_s > 0) {
        g_autofree char *rate = format_count(course->tokens_per_s);

        piece_add(line, 7, 0, g_strdup_printf("%s tok/s", rate));
    }
    if (bar && line_fit(line, style->columns) && bar->weight) {
        int width = MIN(bar->most, bar->width + style->columns - line_width(line));

        bar->text = format_bar(course->step, course->steps, width, style->unicode);
        bar->width = width;
        bar->sgr = 32;
    }
}

char *view_format_shares(const Course *course)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (course->shares->len < 2)
        return NULL;
    for (guint i = 0; i < course->shares->len; i++) {
        double share = g_array_index(course->shares, double, i);

        if (i == SHARES_SHOWN) {
            g_string_append_printf(text, "  (%u ranks)", course->shares->len);
            break;
        }
        if (isnan(share))
            continue;
        g_string_append_printf(text, "%s%u %.0f %%", text->len ? "  " : "rank ", i, share * 100);
    }
    return text->len ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}

static void loss_fill(Line *line, const ViewJob *view, const ViewStyle *style)
{
    const Course *course = view->course;
    char *shares = view_format_shares(course);
    Piece *spark = NULL;

    if (!isnan(course->loss)) {
        g_autofree char *loss = format_loss(course->loss);

        piece_add(line, 10, 0, g_strdup_printf("loss %s", loss));
        spark = piece_add_stretching(line, 6, 6, 24);
    }
    if (!isnan(course->val_loss)) {
        g_autofree char *loss = format_loss(course->val_loss);

        piece_add(line, 7, 0, g_strdup_printf("val %s", loss));
    }
    if (shares)
        piece_add(line, 4, 0, shares);
    if (view->cost)
        piece_add(line, 9, 33, g_strdup(view->cost))->right = true;
    if (spark && line_fit(line, style->columns) && spark->weight) {
        int width = MIN(spark->most, spark->width + style->columns - line_width(line));

        spark->text = format_sparkline((const double *)(const void *)course->losses->data,
                                       course->losses->len, width, style->unicode);
        spark->width = text_get_width(spark->text);
        spark->sgr = 36;
    }
}

static void line_finish(GPtrArray *lines, Line *line, const ViewStyle *style)
{
    Piece *unfilled;

    line_fit(line, style->columns);
    while ((unfilled = stretching_find(line)))
        unfilled->weight = 0;
    if (line->count)
        g_ptr_array_add(lines, line_join(line, style));
    line_clear(line);
}

void view_append_job(GPtrArray *lines, const ViewJob *view, const ViewStyle *style)
{
    Piece pieces[PIECES_MAX];
    Line line = {.pieces = pieces};

    head_fill(&line, view);
    line_finish(lines, &line, style);
    course_fill(&line, view, style);
    line_finish(lines, &line, style);
    loss_fill(&line, view, style);
    line_finish(lines, &line, style);
    if (view->notice) {
        piece_add(&line, 1, 33, g_strdup(view->notice));
        line_finish(lines, &line, style);
    }
}

static void plain_append(GString *text, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void plain_append(GString *text, const char *format, ...)
{
    va_list list;

    if (text->len)
        g_string_append(text, ", ");
    va_start(list, format);
    g_string_append_vprintf(text, format, list);
    va_end(list);
}

char *view_format_plain(const ViewJob *view)
{
    const Course *course = view->course;
    int64_t eta = course_get_eta_ms(course, view->now_ms);
    g_autofree char *loss = format_loss(course->loss), *val = format_loss(course->val_loss);
    g_autofree char *rate = format_count(course->tokens_per_s), *left = format_duration(eta);
    bool ended = job_state_is_ended(view->job->state);
    g_autofree char *shares = ended ? NULL : view_format_shares(course);
    GString *text = g_string_new(NULL);

    if (course->steps > 0)
        plain_append(text, "step %" G_GINT64_FORMAT "/%" G_GINT64_FORMAT " (%d %%)", course->step,
                     course->steps, format_percent(course->step, course->steps));
    else if (course->step > 0)
        plain_append(text, "step %" G_GINT64_FORMAT, course->step);
    if (!isnan(course->loss))
        plain_append(text, "loss %s", loss);
    if (!isnan(course->val_loss))
        plain_append(text, "val %s", val);
    if (course->tokens_per_s > 0)
        plain_append(text, "%s tok/s", rate);
    if (shares)
        plain_append(text, "%s", shares);
    if (eta >= 0 && !ended)
        plain_append(text, "ETA %s", left);
    if (view->cost)
        plain_append(text, "%s", view->cost);
    return g_string_free(text, FALSE);
}
