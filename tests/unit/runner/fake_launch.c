/* SPDX-License-Identifier: Apache-2.0
 *
 * Stands in for `drover launch`: speaks the protocol of launcher/launch.h, and what it tells is
 * written in the job's `run`, as words. Parts divided by '|' are for attempt 1, 2, ...; the last
 * serves all that follow.
 *
 *   started running setup stopping      the event
 *   setup_done:N checkpoint:N note:N    the event with N
 *   progress:N                          one event for each step to N
 *   setup_if_due                        setup and setup_done:0 where the plan has a setup
 *   raw=JSON                            the line as it is
 *   sleep:MS wait                       until the time is over; for ever
 *   deaf                                from here on "stop" is not heard, only "kill"
 *   slow                                from here on a kill takes 300 ms
 *   done:REASON[:CODE]                  the last event, and the end
 *   die                                 the end without it
 *
 * While it sleeps, "stop" ends in done:requested, "kill" in done:killed, end of file in nothing.
 */
#include <glib.h>
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t mono_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void tell(json_t *event)
{
    char *text;

    json_object_set_new(event, "at_ms", json_integer(g_get_real_time() / 1000));
    json_object_set_new(event, "mono_ms", json_integer(mono_ms()));
    text = json_dumps(event, JSON_COMPACT);
    puts(text);
    fflush(stdout);
    free(text);
    json_decref(event);
}

static void tell_done(const char *reason, int code)
{
    tell(json_pack("{s:s, s:s, s:i, s:s}", "event", "done", "reason", reason, "code", code,
                   "message", ""));
    exit(0);
}

static void tell_progress(int steps)
{
    for (int step = 1; step <= steps; step++)
        tell(json_pack("{s:s, s:i, s:i, s:i, s:f, s:f}", "event", "progress", "rank", step % 2,
                       "step", step, "steps", steps, "loss", 10.0 / step, "share", 0.5));
}

typedef struct {
    bool deaf;
    bool slow;
    bool setup_due;
} Fake;

static void obey(const Fake *fake)
{
    char line[64] = "";

    if (read(STDIN_FILENO, line, sizeof line - 1) <= 0)
        exit(0);
    if (strstr(line, "kill")) {
        if (fake->slow)
            g_usleep(300000);
        tell_done("killed", 137);
    }
    if (strstr(line, "stop") && !fake->deaf) {
        tell(json_pack("{s:s, s:s}", "event", "stopping", "reason", "requested"));
        tell_done("requested", 0);
    }
}

static void wait_until(int64_t until, const Fake *fake)
{
    while (mono_ms() < until) {
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

        if (poll(&in, 1, (int)MIN(until - mono_ms(), 1000)) > 0)
            obey(fake);
    }
}

static void play_setup(const Fake *fake)
{
    if (!fake->setup_due)
        return;
    tell(json_pack("{s:s}", "event", "setup"));
    tell(json_pack("{s:s, s:i}", "event", "setup_done", "status", 0));
}

static void play(const char *word, Fake *fake)
{
    g_auto(GStrv) part = g_strsplit(word, ":", 3);
    const char *name = part[0];
    int number = part[1] ? atoi(part[1]) : 0;

    if (!name || !*name)
        return;
    if (g_str_has_prefix(word, "raw=")) {
        puts(word + 4);
        fflush(stdout);
    } else if (g_str_equal(name, "setup_if_due")) {
        play_setup(fake);
    } else if (g_str_equal(name, "die"))
        _exit(1);
    else if (g_str_equal(name, "deaf"))
        fake->deaf = true;
    else if (g_str_equal(name, "slow"))
        fake->slow = true;
    else if (g_str_equal(name, "sleep"))
        wait_until(mono_ms() + number, fake);
    else if (g_str_equal(name, "wait"))
        wait_until(INT64_MAX, fake);
    else if (g_str_equal(name, "done"))
        tell_done(part[1], part[2] ? atoi(part[2]) : 0);
    else if (g_str_equal(name, "progress"))
        tell_progress(number);
    else if (g_str_equal(name, "setup_done"))
        tell(json_pack("{s:s, s:i}", "event", name, "status", number));
    else
        tell(json_pack("{s:s, s:i, s:i}", "event", name, "rank", 0, "step", number));
}

/* One line, byte by byte: what follows it is for obey(). */
static char *read_plan(void)
{
    GString *line = g_string_new(NULL);
    char byte;

    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n')
        g_string_append_c(line, byte);
    return g_string_free(line, false);
}

int main(int argc, char **argv)
{
    g_autofree char *line = read_plan();
    json_t *plan = json_loads(line, 0, NULL);
    g_auto(GStrv) parts = g_strsplit(json_string_value(json_object_get(plan, "run")), "|", -1);
    int attempt = (int)json_integer_value(json_object_get(plan, "attempt"));
    int last = (int)g_strv_length(parts) - 1;
    g_auto(GStrv) words = g_strsplit(parts[MIN(attempt - 1, last)], " ", -1);
    Fake fake = {.setup_due = json_is_string(json_object_get(plan, "setup"))};

    json_decref(plan);
    if (argc != 2 || strcmp(argv[1], "launch") != 0)
        return 2;
    for (char **word = words; *word; word++)
        play(*word, &fake);
    return 0;
}
