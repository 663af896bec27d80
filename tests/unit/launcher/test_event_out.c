/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/event_out.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    int fd;
    GString *text;
} Reader;

static void *read_all(void *user_data)
{
    Reader *reader = user_data;
    char data[65536];
    ssize_t size;

    while ((size = read(reader->fd, data, sizeof data)) > 0)
        g_string_append_len(reader->text, data, size);
    return NULL;
}

static json_t *progress(int step)
{
    return json_pack("{s:s, s:i}", "event", "progress", "step", step);
}

/* A reader that sleeps costs bounded memory: reports are dropped, and what moves a job is not. */
static void test_slow_reader(void)
{
    const int many = 200000;
    int ends[2];

    g_assert_cmpint(pipe(ends), ==, 0);
    EventOut *out = event_out_new(ends[1]);

    for (int i = 0; i < many; i++)
        event_out_send(out, progress(i));
    event_out_send(out, json_pack("{s:s}", "event", "running"));
    event_out_send(out, json_pack("{s:s}", "event", "done"));

    Reader reader = {ends[0], g_string_new(NULL)};
    GThread *thread = g_thread_new("reader", read_all, &reader);

    event_out_drain(out);
    event_out_free(out);
    close(ends[1]);
    g_thread_join(thread);
    close(ends[0]);
    g_assert_cmpuint(reader.text->len, <, 2 << 20);
    g_assert_nonnull(strstr(reader.text->str, "\"event\":\"running\""));

    g_auto(GStrv) lines = g_strsplit(g_strchomp(reader.text->str), "\n", 0);
    guint count = g_strv_length(lines);

    g_assert_cmpuint(count, >, 1000);
    g_assert_cmpuint(count, <, (guint)many);
    for (guint i = 0; i < count; i++) {
        json_t *event = json_loads(lines[i], 0, NULL);

        g_assert_true(json_is_integer(json_object_get(event, "mono_ms")));
        g_assert_true(json_is_integer(json_object_get(event, "at_ms")));
        json_decref(event);
    }
    g_assert_nonnull(strstr(lines[count - 1], "\"event\":\"done\""));
    g_string_free(reader.text, TRUE);
}

static void test_reader_gone(void)
{
    int ends[2];

    g_assert_cmpint(pipe(ends), ==, 0);
    close(ends[0]);
    EventOut *out = event_out_new(ends[1]);

    for (int i = 0; i < 1000; i++)
        event_out_send(out, progress(i));
    event_out_drain(out);
    event_out_free(out);
    close(ends[1]);
}

/* The reader goes away with events still queued for it. */
static void test_reader_leaves(void)
{
    int ends[2];

    g_assert_cmpint(pipe(ends), ==, 0);
    EventOut *out = event_out_new(ends[1]);

    for (int i = 0; i < 10000; i++)
        event_out_send(out, progress(i));
    close(ends[0]);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    event_out_drain(out);
    event_out_free(out);
    close(ends[1]);
}

static void test_clean_text(void)
{
    static const struct {
        const char *text;
        size_t size_max;
        const char *want;
    } table[] = {
        {"plain", 100, "plain"},
        {"", 100, ""},
        {"a\033[31mb\r\nc\177", 100, "a [31mb  c "},
        {"caf\xc3\xa9", 5, "caf\xc3\xa9"},
        {"caf\xc3\xa9", 4, "caf"},
        {"\xc2\x9b", 100, " "}, /* a terminal's CSI in one character */
        {"\xff", 100, "\xef\xbf\xbd"},
        {"abc", 0, ""},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autofree char *clean = event_clean_text(table[i].text, table[i].size_max);

        g_assert_cmpstr(clean, ==, table[i].want);
    }
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* as launch_main() has it */
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/event_out/slow_reader", test_slow_reader);
    g_test_add_func("/event_out/reader_gone", test_reader_gone);
    g_test_add_func("/event_out/reader_leaves", test_reader_leaves);
    g_test_add_func("/event_out/clean_text", test_clean_text);
    return g_test_run();
}
