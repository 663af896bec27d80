/* SPDX-License-Identifier: Apache-2.0
 *
 * The group tells what happens (changed, event, done); ten times a second a tick reads the logs of
 * the ranks and draws. A tick is bounded in bytes, so a job that writes without end delays nothing:
 * on a terminal the middle of its output is left out with a notice, in a pipe it waits in its log
 * files.
 *
 * Order: what an attempt wrote is shown before what drover says of its end.
 */
#include "runner/cli/console.h"

#include "runner/cli/console_priv.h"
#include "runner/cli/format.h"
#include "runner/cli/jobs.h"
#include "runner/cli/text.h"

#include <glib-unix.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#define TICK_MS            100
#define PLAIN_MS           10000 /* between two plain lines of progress of one job */
#define READ_BYTES_EACH    16384
#define TICK_BYTES_PIPE    4194304
#define TICK_BYTES_SCREEN  32768
#define SCREEN_BEHIND_MOST 262144 /* unread bytes of a log beyond which a terminal skips */

/* Default colours of labels, by rank. */
static const int label_colours[] = {36, 35, 34, 32, 33, 31};

int64_t console_now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

static void shown_free(void *data)
{
    Shown *shown = data;

    job_free(shown->job);
    course_free(shown->course);
    follow_free(shown->logs);
    g_free(shown);
}

/* Ignoring the signal would be inherited by the ranks; a handler is not. */
static void pipe_handle(int signal_number G_GNUC_UNUSED)
{
}

Console *console_new(const Cli *cli, Store *store, bool json)
{
    struct sigaction action = {.sa_handler = pipe_handle, .sa_flags = SA_RESTART};
    Cli plain = *cli;
    Console *console = g_new0(Console, 1);

    sigaction(SIGPIPE, &action, NULL);
    plain.tty = cli->tty && !json;
    console->store = store;
    console->json = json;
    console->live = plain.tty;
    console->style = (ViewStyle){.unicode = cli->unicode, .colour = cli->colour};
    console->screen = screen_new(&plain);
    console->jobs = g_ptr_array_new_with_free_func(shown_free);
    console->loop = g_main_loop_new(NULL, FALSE);
    return console;
}

void console_free(Console *console)
{
    if (!console)
        return;
    g_ptr_array_unref(console->jobs);
    screen_free(console->screen);
    g_main_loop_unref(console->loop);
    g_clear_error(&console->error);
    g_free(console);
}

/* ---- output of the ranks ---- */

static void line_show(const FollowLine *line, void *user_data)
{
    const Shown *shown = user_data;
    Console *console = shown->console;
    int colour = label_colours[(guint)MAX(line->rank, 0) % G_N_ELEMENTS(label_colours)];
    g_autofree char *label = NULL;

    if (line->notice)
        screen_say(console->screen, "drover: %s: %s", line->source, line->text);
    else if (console->jobs->len == 1)
        screen_add(console->screen, line->source, colour, line->text);
    else {
        label = g_strdup_printf("%s #%" G_GINT64_FORMAT " %s", shown->job->name,
                                shown->job->id.value, line->source);
        screen_add(console->screen, label, colour, line->text);
    }
}

static void logs_open(Console *console, Shown *shown)
{
    g_autofree char *dir =
        store_get_attempt_dir(console->store, shown->job->id, shown->job->attempts);
    FollowConfig config = {.dir = dir, .rank = -1, .unicode = console->style.unicode};

    if (shown->logs)
        follow_finish(shown->logs);
    g_clear_pointer(&shown->logs, follow_free);
    shown->logs = follow_new(&config, line_show, shown);
    shown->logs_attempt = shown->job->attempts;
}

/* As much as a tick may take; true: all there is has been read. */
static bool logs_read(Console *console, Shown *shown)
{
    bool shared = screen_is_shared(console->screen);
    size_t total = 0, most = shared ? TICK_BYTES_SCREEN : TICK_BYTES_PIPE;

    if (!shown->logs)
        return true;
    if (shared)
        follow_skip(shown->logs, SCREEN_BEHIND_MOST);
    while (total < most && screen_is_ready(console->screen)) {
        size_t bytes = follow_read(shown->logs, READ_BYTES_EACH);

        if (bytes == 0)
            return true;
        total += bytes;
        if (!shared)
            screen_show(console->screen, NULL);
    }
    return false;
}

/* The attempt has ended: the rest, as far as the reader takes it now. */
static void logs_end(Console *console, Shown *shown)
{
    if (shown->logs && logs_read(console, shown)) {
        follow_finish(shown->logs);
        g_clear_pointer(&shown->logs, follow_free);
    }
}

/* Whatever is left, however slow the reader. */
static void logs_drain(Console *console)
{
    for (guint i = 0; i < console->jobs->len; i++) {
        Shown *shown = g_ptr_array_index(console->jobs, i);

        if (!shown->logs)
            continue;
        if (screen_is_shared(console->screen))
            follow_skip(shown->logs, TICK_BYTES_SCREEN);
        while (follow_read(shown->logs, READ_BYTES_EACH))
            screen_drain(console->screen);
        follow_finish(shown->logs);
        g_clear_pointer(&shown->logs, follow_free);
    }
    screen_drain(console->screen);
}

/* ---- what the group tells ---- */

static Shown *shown_get(Console *console, const Job *job)
{
    Shown *shown;

    for (guint i = 0; i < console->jobs->len; i++) {
        shown = g_ptr_array_index(console->jobs, i);
        if (shown->job->id.value == job->id.value)
            return shown;
    }
    shown = g_new0(Shown, 1);
    shown->console = console;
    shown->course = course_new();
    shown->started_ms = shown->stopping_ms = -1;
    shown->said_ms = -PLAIN_MS;
    g_ptr_array_add(console->jobs, shown);
    return shown;
}

/* A resumed job goes on with the course it had. */
static void course_load(Console *console, Shown *shown)
{
    g_autoptr(GArray) losses = NULL;

    if (shown->job->attempts == 0)
        return;
    shown->logs_attempt = shown->job->attempts;
    losses = store_list_losses(console->store, shown->job->id, COURSE_LOSSES, NULL);
    for (guint i = 0; losses && i < losses->len; i++)
        course_add_loss(shown->course, g_array_index(losses, double, i));
}

static void event_print(Console *console, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII);

    screen_add_raw(console->screen, text);
    free(text);
    json_decref(json);
}

static void job_changed(const Job *job, void *user_data)
{
    Console *console = user_data;
    Shown *shown = shown_get(console, job);
    Job *before = shown->job;

    shown->job = job_copy(job);
    if (!before)
        course_load(console, shown);
    if (console->json) {
        json_t *json = jobs_to_json(job);

        json_object_set_new(json, "event", json_string("job"));
        json_object_set_new(json, "at_ms", json_integer(jobs_now_ms()));
        event_print(console, json);
    } else {
        if (job->state != JOB_STARTING && job->state != JOB_RUNNING && job->state != JOB_STOPPING)
            logs_end(console, shown);
        if (job->attempts > shown->logs_attempt) {
            course_restart(shown->course);
            logs_open(console, shown);
        }
        if (job->state == JOB_STOPPING && shown->stopping_ms < 0)
            shown->stopping_ms = console_now_ms();
        else if (job->state != JOB_STOPPING)
            shown->stopping_ms = -1;
        console_say_change(console, shown, before);
    }
    g_clear_pointer(&before, job_free);
}

static void note_say(Console *console, const json_t *event)
{
    const json_t *text = json_object_get(event, "text");
    g_autoptr(GString) clean = g_string_new(NULL);

    if (!json_is_string(text) || !screen_is_ready(console->screen))
        return; /* it is in the store, and a terminal that stands still costs no memory */
    text_append_clean(clean, json_string_value(text), json_string_length(text),
                      console->style.unicode);
    screen_say(console->screen, "drover: rank %" JSON_INTEGER_FORMAT ": %s",
               json_integer_value(json_object_get(event, "rank")), clean->str);
}

static void event_print_json(Console *console, const Shown *shown, const json_t *event)
{
    static const char *const many[] = {"progress", "checkpoint", "note", NULL};
    const char *type = json_string_value(json_object_get(event, "event"));
    json_t *json;

    if (!screen_is_ready(console->screen) && g_strv_contains(many, type))
        return; /* a reader that stands still misses what may come without end */
    json = json_deep_copy(event);
    json_object_set_new(json, "job", json_integer(shown->job->id.value));
    json_object_set_new(json, "attempt", json_integer(shown->job->attempts));
    event_print(console, json);
}

static void job_event(const Job *job, const json_t *event, void *user_data)
{
    Console *console = user_data;
    Shown *shown = shown_get(console, job);
    const char *type = json_string_value(json_object_get(event, "event"));

    if (!type || !shown->job)
        return;
    if (course_take(shown->course, event, console_now_ms()))
        shown->news = true;
    if (strcmp(type, "started") == 0 && shown->started_ms < 0)
        shown->started_ms = console_now_ms();
    if (console->json)
        event_print_json(console, shown, event);
    else if (strcmp(type, "note") == 0)
        note_say(console, event);
    else if (strcmp(type, "setup") == 0)
        screen_say(console->screen, "drover: %s #%" G_GINT64_FORMAT ": setup", job->name,
                   job->id.value);
}

static void group_done(const GError *error, void *user_data)
{
    Console *console = user_data;

    console->done = true;
    console->error = error ? g_error_copy(error) : NULL;
    g_main_loop_quit(console->loop);
}

const GroupFuncs *console_get_funcs(void)
{
    static const GroupFuncs funcs = {job_changed, job_event, group_done};

    return &funcs;
}

/* ---- the tick ---- */

static void plain_say(Console *console, Shown *shown)
{
    int64_t now_ms = console_now_ms();
    ViewJob view = {.job = shown->job, .course = shown->course, .now_ms = now_ms};
    g_autofree char *cost = NULL, *text = NULL;

    if (!shown->news || now_ms - shown->said_ms < PLAIN_MS)
        return;
    cost = console_format_cost(console, shown);
    view.cost = cost;
    text = view_format_plain(&view);
    if (text[0])
        screen_say(console->screen, "drover: %s #%" G_GINT64_FORMAT ": %s", shown->job->name,
                   shown->job->id.value, text);
    shown->news = false;
    shown->said_ms = now_ms;
}

static gboolean console_tick(gpointer user_data)
{
    Console *console = user_data;
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < console->jobs->len && !console->json; i++) {
        Shown *shown = g_ptr_array_index(console->jobs, i);

        logs_read(console, shown);
        if (!console->live)
            plain_say(console, shown);
    }
    if (console->live)
        console_append_lines(console, lines);
    screen_show(console->screen, lines);
    return G_SOURCE_CONTINUE;
}

static gboolean console_interrupt(gpointer user_data)
{
    Console *console = user_data;

    console->interrupts++;
    if (!console->json && console->interrupts == 1)
        screen_say(console->screen, "drover: stopping: jobs get their checkpoint signal and their "
                                    "grace; Ctrl-C again kills them");
    else if (!console->json && console->interrupts == 2)
        screen_say(console->screen, "drover: killing");
    group_stop(console->group, GROUP_STOP_INTERRUPT);
    return G_SOURCE_CONTINUE;
}

/* nohup(1) has it ignored, and means that. */
static bool hangup_is_ignored(void)
{
    struct sigaction now;

    return sigaction(SIGHUP, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

int console_run(Console *console, Group *group, GError **error)
{
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP};
    guint sources[G_N_ELEMENTS(stops) + 1], count = 0;

    console->group = group;
    for (size_t i = 0; i < G_N_ELEMENTS(stops); i++) {
        if (stops[i] != SIGHUP || !hangup_is_ignored())
            sources[count++] = g_unix_signal_add(stops[i], console_interrupt, console);
    }
    sources[count++] = g_timeout_add(TICK_MS, console_tick, console);
    if (!console->json)
        console_say_accepted(console);
    group_start(group);
    if (!console->done)
        g_main_loop_run(console->loop);
    /* From here a signal ends the program as usual: all that matters is in the store. */
    for (guint i = 0; i < count; i++)
        g_source_remove(sources[i]);
    logs_drain(console);
    if (console->error) {
        g_propagate_error(error, g_steal_pointer(&console->error));
        return -1;
    }
    return console_finish(console);
}
