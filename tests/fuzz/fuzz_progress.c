/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes of a rank. The first byte says how far apart in time they arrive and in which portions.
 * Every event that comes out must be one the runner may believe.
 */
#include "launcher/progress.h"

#include <math.h>
#include <string.h>

static const char *const kinds[] = {"progress", "checkpoint", "note"};

static void check_member(const char *name, json_t *value)
{
    if (strcmp(name, "step") == 0 || strcmp(name, "steps") == 0)
        g_assert_true(json_is_integer(value) && json_integer_value(value) >= 0);
    else if (strcmp(name, "loss") == 0 || strcmp(name, "val_loss") == 0 ||
             strcmp(name, "tokens_per_s") == 0 || strcmp(name, "share") == 0)
        g_assert_true(json_is_real(value) && isfinite(json_real_value(value)));
    else if (strcmp(name, "path") == 0 || strcmp(name, "text") == 0)
        g_assert_true(json_is_string(value) && json_string_length(value) < PROGRESS_LINE_MAX);
    else if (strcmp(name, "rank") == 0)
        g_assert_cmpint(json_integer_value(value), ==, 5);
    else
        g_assert_cmpstr(name, ==, "event");
}

static void on_event(json_t *event, void *user_data)
{
    const char *kind = json_string_value(json_object_get(event, "event"));
    const char *name;
    json_t *value;
    guint known = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        known += g_strcmp0(kind, kinds[i]) == 0;
    g_assert_cmpuint(known, ==, 1);
    json_object_foreach(event, name, value) check_member(name, value);
    ++*(guint *)user_data;
    json_decref(event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    guint events = 0;
    g_autoptr(ProgressReader) reader = progress_reader_new(5, on_event, &events);
    size_t portion = size ? (size_t)(data[0] & 63) + 1 : 1;
    int64_t apart_ms = size ? data[0] >> 6 : 0, now_ms = 0;

    for (size_t at = 1; at < size; at += portion) {
        progress_reader_feed(reader, (const char *)data + at, MIN(portion, size - at), now_ms);
        now_ms += apart_ms * apart_ms * 10;
    }
    progress_reader_flush(reader, now_ms, true);
    g_assert_cmpint(events, <=, 40 + 3 * (now_ms / PROGRESS_PERIOD_MS));
    return 0;
}
