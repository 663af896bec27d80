/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/progress.h"

#include <string.h>

typedef struct {
    ProgressReader *reader;
    GPtrArray *events; /* json_t * */
} Stream;

static void on_event(json_t *event, void *user_data)
{
    g_ptr_array_add(user_data, event);
}

static Stream stream_new(void)
{
    Stream stream = {.events = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref)};

    stream.reader = progress_reader_new(3, on_event, stream.events);
    return stream;
}

static void stream_clear(Stream *stream)
{
    progress_reader_free(stream->reader);
    g_ptr_array_unref(stream->events);
}

static void feed(Stream *stream, const char *text, int64_t now_ms)
{
    progress_reader_feed(stream->reader, text, strlen(text), now_ms);
}

static const char *string_at(const Stream *stream, guint index, const char *member)
{
    g_assert_cmpuint(index, <, stream->events->len);
    return json_string_value(json_object_get(stream->events->pdata[index], member));
}

static json_int_t integer_at(const Stream *stream, guint index, const char *member)
{
    g_assert_cmpuint(index, <, stream->events->len);
    return json_integer_value(json_object_get(stream->events->pdata[index], member));
}

static void test_lines(void)
{
    static const struct {
        const char *line;
        const char *want; /* NULL: refused */
    } table[] = {
        {"{\"event\":\"progress\",\"step\":1}", "{\"event\":\"progress\",\"rank\":3,\"step\":1}"},
        {"{\"event\":\"progress\",\"step\":1,\"rank\":9,\"event2\":{}}",
         "{\"event\":\"progress\",\"rank\":3,\"step\":1}"},
        {"{\"event\":\"progress\",\"step\":0,\"steps\":5,\"loss\":-1.5,\"val_loss\":2,"
         "\"tokens_per_s\":0,\"share\":1}",
         "{\"event\":\"progress\",\"loss\":-1.5,\"rank\":3,\"share\":1.0,\"step\":0,\"steps\":5,"
         "\"tokens_per_s\":0.0,\"val_loss\":2.0}"},
        {"{\"event\":\"checkpoint\",\"step\":20,\"path\":\"a b\"}",
         "{\"event\":\"checkpoint\",\"path\":\"a b\",\"rank\":3,\"step\":20}"},
        {"{\"event\":\"note\",\"text\":\"\\u001b[31mred\\n\"}",
         "{\"event\":\"note\",\"rank\":3,\"text\":\" [31mred \"}"},
        {"{\"event\":\"note\"}", NULL},
        {"{\"event\":\"progress\"}", NULL},
        {"{\"event\":\"progress\",\"step\":-1}", NULL},
        {"{\"event\":\"progress\",\"step\":1.5}", NULL},
        {"{\"event\":\"progress\",\"step\":\"1\"}", NULL},
        {"{\"event\":\"progress\",\"step\":9007199254740993}", NULL},
        {"{\"event\":\"progress\",\"step\":99999999999999999999}", NULL},
        {"{\"event\":\"progress\",\"step\":1,\"step\":2}", NULL},
        {"{\"event\":\"progress\",\"step\":1,\"loss\":1e999}", NULL},
        {"{\"event\":\"progress\",\"step\":1,\"loss\":NaN}", NULL},
        {"{\"event\":\"progress\",\"step\":1,\"loss\":null}", NULL},
        {"{\"event\":\"progress\",\"step\":1,\"share\":1.01}", NULL},
        {"{\"event\":\"progress\",\"step\":1,\"tokens_per_s\":-1}", NULL},
        {"{\"event\":\"checkpoint\",\"step\":1,\"path\":\"a\\u0007b\"}", NULL},
        {"{\"event\":\"checkpoint\",\"step\":1,\"path\":\"\"}", NULL},
        {"{\"event\":\"done\",\"reason\":\"succeeded\"}", NULL},
        {"{\"event\":\"rank_exit\",\"code\":0}", NULL},
        {"[\"progress\"]", NULL},
        {"{\"event\":\"note\",\"text\":\"\xff\"}", NULL},
        {"{\"event\":\"note\",\"text\":\"\\u0000\"}", NULL},
        {"", NULL},
        {"nonsense", NULL},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        json_t *event = progress_parse(table[i].line, strlen(table[i].line), 3);
        char *text = event ? json_dumps(event, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

        g_assert_cmpstr(text, ==, table[i].want);
        free(text);
        json_decref(event);
    }
}

static void test_deep(void)
{
    g_autofree char *line = g_strnfill(PROGRESS_LINE_MAX, '[');

    g_assert_null(progress_parse(line, PROGRESS_LINE_MAX, 0));
}

/* Cut anywhere, the stream says the same. */
static void test_split(void)
{
    const char *text =
        "{\"event\":\"note\",\"text\":\"a\"}\n{\"event\":\"checkpoint\",\"step\":7}\n";

    for (size_t cut = 0; cut <= strlen(text); cut++) {
        Stream stream = stream_new();

        progress_reader_feed(stream.reader, text, cut, 0);
        progress_reader_feed(stream.reader, text + cut, strlen(text) - cut, 0);
        g_assert_cmpuint(stream.events->len, ==, 2);
        g_assert_cmpstr(string_at(&stream, 0, "text"), ==, "a");
        g_assert_cmpint(integer_at(&stream, 1, "step"), ==, 7);
        stream_clear(&stream);
    }
}

static void test_malformed_once(void)
{
    Stream stream = stream_new();

    feed(&stream, "junk\n\n{}\n{\"event\":\"note\",\"text\":\"after\"}\njunk\n", 0);
    g_assert_cmpuint(stream.events->len, ==, 2);
    g_assert_nonnull(strstr(string_at(&stream, 0, "text"), "not a progress line"));
    g_assert_cmpstr(string_at(&stream, 1, "text"), ==, "after");
    stream_clear(&stream);
}

static void test_too_long(void)
{
    Stream stream = stream_new();
    g_autofree char *junk = g_strnfill(100000, ' ');

    for (int i = 0; i < 100; i++)
        feed(&stream, junk, 0);
    feed(&stream, "{\"event\":\"note\",\"text\":\"inside\"}\n", 0);
    feed(&stream, "{\"event\":\"note\",\"text\":\"after\"}\n", 0);
    g_assert_cmpuint(stream.events->len, ==, 2);
    g_assert_cmpstr(string_at(&stream, 1, "text"), ==, "after");
    stream_clear(&stream);
}

/* A thousand lines in one moment are a few events; the last of them is told when its time has come.
 */
static void test_flood(void)
{
    Stream stream = stream_new();
    guint at_once;

    for (int i = 1; i <= 1000; i++) {
        g_autofree char *line = g_strdup_printf("{\"event\":\"progress\",\"step\":%d}\n", i);

        feed(&stream, line, 1000);
    }
    at_once = stream.events->len;
    g_assert_cmpuint(at_once, >=, 1);
    g_assert_cmpuint(at_once, <=, 4);
    g_assert_true(progress_reader_flush(stream.reader, 1001, false));
    g_assert_cmpuint(stream.events->len, ==, at_once);
    g_assert_false(progress_reader_flush(stream.reader, 1000 + PROGRESS_PERIOD_MS, false));
    g_assert_cmpuint(stream.events->len, ==, at_once + 1);
    g_assert_cmpint(integer_at(&stream, at_once, "step"), ==, 1000);
    stream_clear(&stream);
}

/* At a humane rate nothing is lost. */
static void test_steady(void)
{
    Stream stream = stream_new();

    for (int i = 1; i <= 1000; i++) {
        g_autofree char *line = g_strdup_printf("{\"event\":\"progress\",\"step\":%d}\n", i);

        feed(&stream, line, (int64_t)i * PROGRESS_PERIOD_MS);
    }
    g_assert_cmpuint(stream.events->len, ==, 1000);
    stream_clear(&stream);
}

static void test_end_flushes(void)
{
    Stream stream = stream_new();

    for (int i = 0; i < 100; i++)
        feed(&stream, "{\"event\":\"checkpoint\",\"step\":1}\n", 0);
    feed(&stream, "{\"event\":\"checkpoint\",\"step\":99}\n", 0);
    progress_reader_flush(stream.reader, 0, true);
    g_assert_cmpint(integer_at(&stream, stream.events->len - 1, "step"), ==, 99);
    stream_clear(&stream);
}

/* The clock may stand still or jump by a lifetime. */
static void test_clock(void)
{
    Stream stream = stream_new();

    feed(&stream, "{\"event\":\"note\",\"text\":\"a\"}\n", 0);
    feed(&stream, "{\"event\":\"note\",\"text\":\"b\"}\n", INT64_MAX);
    feed(&stream, "{\"event\":\"note\",\"text\":\"c\"}\n", INT64_MAX);
    g_assert_cmpuint(stream.events->len, ==, 3);
    stream_clear(&stream);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/progress/lines", test_lines);
    g_test_add_func("/progress/deep", test_deep);
    g_test_add_func("/progress/split", test_split);
    g_test_add_func("/progress/malformed_once", test_malformed_once);
    g_test_add_func("/progress/too_long", test_too_long);
    g_test_add_func("/progress/flood", test_flood);
    g_test_add_func("/progress/steady", test_steady);
    g_test_add_func("/progress/end_flushes", test_end_flushes);
    g_test_add_func("/progress/clock", test_clock);
    return g_test_run();
}
