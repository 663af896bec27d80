/* SPDX-License-Identifier: Apache-2.0
 *
 * bytes -> lines (bounded) -> events (known members of the right type and range) -> limited rate.
 *
 * Each kind of event may come in a burst and then once per PROGRESS_PERIOD_MS. What comes faster
 * replaces the one that waits, so that the last loss and the last checkpoint always arrive and a
 * rank gone mad costs one event per kind and period, and the memory of one line and three events.
 *
 * The first malformed line gives a note; the rest of them are dropped in silence.
 */
#include "launcher/progress.h"

#include "launcher/event_out.h"

#include <math.h>
#include <string.h>

#define PROGRESS_STEP_MAX (INT64_C(1) << 53) /* exact in every JSON reader */
#define PROGRESS_TEXT_MAX 1024

typedef enum {
    MEMBER_COUNT,
    MEMBER_REAL,
    MEMBER_RATE,
    MEMBER_SHARE,
    MEMBER_TEXT,
    MEMBER_PATH
} MemberType;

typedef struct {
    const char *name;
    MemberType type;
    bool required;
} Member;

typedef struct {
    const char *name;
    int burst;
    Member members[6];
} Kind;

enum { PROGRESS_KINDS = 3 };

static const Kind progress_kinds[PROGRESS_KINDS] = {
    {"progress",
     2,
     {{"step", MEMBER_COUNT, true},
      {"steps", MEMBER_COUNT, false},
      {"loss", MEMBER_REAL, false},
      {"val_loss", MEMBER_REAL, false},
      {"tokens_per_s", MEMBER_RATE, false},
      {"share", MEMBER_SHARE, false}}},
    {"checkpoint", 16, {{"step", MEMBER_COUNT, true}, {"path", MEMBER_PATH, false}}},
    {"note", 16, {{"text", MEMBER_TEXT, true}}},
};

typedef struct {
    json_t *waiting; /* NULL: none */
    int tokens;
    int64_t refilled_at_ms;
} Gate;

struct ProgressReader {
    int rank;
    ProgressFunc func;
    void *user_data;
    char line[PROGRESS_LINE_MAX];
    size_t used;
    bool too_long;  /* the line at hand does not fit; its rest is dropped */
    bool malformed; /* noted already */
    Gate gates[PROGRESS_KINDS];
};

/* ---- one line ---- */

static json_t *member_read_text(const json_t *value)
{
    const char *text = json_string_value(value);
    g_autofree char *clean = text ? event_clean_text(text, PROGRESS_TEXT_MAX) : NULL;

    return clean ? json_string(clean) : NULL;
}

static json_t *member_read_path(const json_t *value)
{
    const char *path = json_string_value(value);

    for (const char *at = path; at && *at; at += g_utf8_skip[(guchar)*at])
        if (g_unichar_iscntrl(g_utf8_get_char(at)))
            return NULL;
    return path && *path ? json_string(path) : NULL;
}

/* A checked copy, or NULL. */
static json_t *member_read(const Member *member, const json_t *value)
{
    double number = json_number_value(value);

    switch (member->type) {
    case MEMBER_COUNT:
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            json_integer_value(value) > PROGRESS_STEP_MAX)
            return NULL;
        return json_integer(json_integer_value(value));
    case MEMBER_REAL:
    case MEMBER_RATE:
    case MEMBER_SHARE:
        if (!json_is_number(value) || !isfinite(number) ||
            (member->type != MEMBER_REAL && number < 0) ||
            (member->type == MEMBER_SHARE && number > 1))
            return NULL;
        return json_real(number);
    case MEMBER_TEXT:
        return member_read_text(value);
    case MEMBER_PATH:
        return member_read_path(value);
    }
    return NULL;
}

static int kind_find(const json_t *json)
{
    const char *name = json_string_value(json_object_get(json, "event"));

    for (int i = 0; name && i < PROGRESS_KINDS; i++)
        if (strcmp(name, progress_kinds[i].name) == 0)
            return i;
    return -1;
}

json_t *progress_parse(const char *line, size_t size, int rank)
{
    json_t *json = json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL);
    int kind = kind_find(json);
    json_t *event = NULL;

    if (kind >= 0)
        event = json_pack("{s:s, s:i}", "event", progress_kinds[kind].name, "rank", rank);
    for (size_t i = 0; event && i < G_N_ELEMENTS(progress_kinds[kind].members); i++) {
        const Member *member = &progress_kinds[kind].members[i];
        const json_t *value = member->name ? json_object_get(json, member->name) : NULL;
        json_t *copy = value ? member_read(member, value) : NULL;

        if (copy)
            json_object_set_new(event, member->name, copy);
        if (!copy && (value || member->required))
            g_clear_pointer(&event, json_decref);
    }
    json_decref(json);
    return event;
}

/* ---- the stream ---- */

ProgressReader *progress_reader_new(int rank, ProgressFunc func, void *user_data)
{
    ProgressReader *reader = g_new0(ProgressReader, 1);

    reader->rank = rank;
    reader->func = func;
    reader->user_data = user_data;
    for (int i = 0; i < PROGRESS_KINDS; i++)
        reader->gates[i] = (Gate){.tokens = progress_kinds[i].burst, .refilled_at_ms = INT64_MIN};
    return reader;
}

static void gate_refill(Gate *gate, int burst, int64_t now_ms)
{
    int64_t periods;

    if (gate->refilled_at_ms == INT64_MIN)
        gate->refilled_at_ms = now_ms;
    periods = (now_ms - gate->refilled_at_ms) / PROGRESS_PERIOD_MS;
    if (periods <= 0)
        return;
    gate->refilled_at_ms += periods * PROGRESS_PERIOD_MS;
    gate->tokens = (int)MIN(gate->tokens + periods, burst);
}

static void reader_pass(ProgressReader *reader, int kind, json_t *event, int64_t now_ms)
{
    Gate *gate = &reader->gates[kind];

    gate_refill(gate, progress_kinds[kind].burst, now_ms);
    if (gate->tokens > 0 && !gate->waiting) {
        gate->tokens--;
        reader->func(event, reader->user_data);
        return;
    }
    json_decref(gate->waiting);
    gate->waiting = event;
}

static void reader_note_malformed(ProgressReader *reader)
{
    if (reader->malformed)
        return;
    reader->malformed = true;
    reader->func(json_pack("{s:s, s:i, s:s}", "event", "note", "rank", reader->rank, "text",
                           "wrote something on DROVER_PROGRESS_FD that is not a progress line; "
                           "such lines are dropped"),
                 reader->user_data);
}

static void reader_end_line(ProgressReader *reader, int64_t now_ms)
{
    json_t *event =
        reader->too_long ? NULL : progress_parse(reader->line, reader->used, reader->rank);

    if (event)
        reader_pass(reader, kind_find(event), event, now_ms);
    else if (reader->used > 0)
        reader_note_malformed(reader);
    reader->used = 0;
    reader->too_long = false;
}

void progress_reader_feed(ProgressReader *reader, const char *data, size_t size, int64_t now_ms)
{
    while (size > 0) {
        const char *newline = memchr(data, '\n', size);
        size_t part = newline ? (size_t)(newline - data) : size;

        if (part > sizeof reader->line - reader->used) {
            reader->too_long = true;
            reader_note_malformed(reader);
        }
        if (!reader->too_long) {
            memcpy(reader->line + reader->used, data, part);
            reader->used += part;
        }
        if (newline) {
            reader_end_line(reader, now_ms);
            part++;
        }
        data += part;
        size -= part;
    }
}

bool progress_reader_flush(ProgressReader *reader, int64_t now_ms, bool end)
{
    bool held = false;

    for (int i = 0; i < PROGRESS_KINDS; i++) {
        Gate *gate = &reader->gates[i];

        gate_refill(gate, progress_kinds[i].burst, now_ms);
        if (gate->waiting && (end || gate->tokens > 0)) {
            gate->tokens--;
            reader->func(g_steal_pointer(&gate->waiting), reader->user_data);
        }
        held = held || gate->waiting;
    }
    return held;
}

void progress_reader_free(ProgressReader *reader)
{
    if (!reader)
        return;
    for (int i = 0; i < PROGRESS_KINDS; i++)
        json_decref(reader->gates[i].waiting);
    g_free(reader);
}
