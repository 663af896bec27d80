/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/event_out.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVENT_OUT_SOFT_MAX (1 << 20) /* bytes queued beyond which reports are dropped */

struct EventOut {
    int fd;
    GString *queue;
    guint source; /* 0: nothing waits to be written */
    bool broken;  /* the reader is gone */
};

EventOut *event_out_new(int fd)
{
    EventOut *out = g_new0(EventOut, 1);

    out->fd = fd;
    out->queue = g_string_new(NULL);
    g_unix_set_fd_nonblocking(fd, TRUE, NULL);
    return out;
}

/* Writes what can be written; true: something is left. */
static bool event_out_write(EventOut *out)
{
    while (out->queue->len > 0 && !out->broken) {
        ssize_t written = write(out->fd, out->queue->str, out->queue->len);

        if (written >= 0)
            g_string_erase(out->queue, 0, written);
        else if (errno == EAGAIN)
            return true;
        else if (errno != EINTR)
            out->broken = true; /* the end of the runner is noticed at stdin */
    }
    return false;
}

static gboolean event_out_ready(int fd, GIOCondition condition, void *user_data)
{
    EventOut *out = user_data;

    (void)fd;
    (void)condition;
    if (event_out_write(out))
        return G_SOURCE_CONTINUE;
    out->source = 0;
    return G_SOURCE_REMOVE;
}

char *event_clean_text(const char *text, size_t size_max)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *clean = g_string_new(NULL);

    for (const char *at = valid; *at; at += g_utf8_skip[(guchar)*at]) {
        gunichar c = g_utf8_get_char(at);

        if (clean->len + (guchar)g_utf8_skip[(guchar)*at] > size_max)
            break;
        g_string_append_unichar(clean, g_unichar_iscntrl(c) ? ' ' : c);
    }
    return g_string_free(clean, FALSE);
}

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool event_is_report(const json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "event"));

    return g_strcmp0(name, "progress") == 0 || g_strcmp0(name, "note") == 0;
}

void event_out_send(EventOut *out, json_t *event)
{
    g_assert(event); /* json_pack takes no text that is not UTF-8; all of ours is */
    if (!out->broken && !(out->queue->len > EVENT_OUT_SOFT_MAX && event_is_report(event))) {
        json_object_set_new(event, "at_ms", json_integer(clock_ms(CLOCK_REALTIME)));
        json_object_set_new(event, "mono_ms", json_integer(clock_ms(CLOCK_BOOTTIME)));

        char *line = json_dumps(event, JSON_COMPACT);

        g_string_append(out->queue, line);
        g_string_append_c(out->queue, '\n');
        free(line);
        if (!out->source && event_out_write(out))
            out->source = g_unix_fd_add(out->fd, G_IO_OUT | G_IO_ERR, event_out_ready, out);
    }
    json_decref(event);
}

void event_out_drain(EventOut *out)
{
    struct pollfd fd = {.fd = out->fd, .events = POLLOUT};

    while (event_out_write(out))
        poll(&fd, 1, -1);
}

void event_out_free(EventOut *out)
{
    if (!out)
        return;
    if (out->source)
        g_source_remove(out->source);
    g_string_free(out->queue, TRUE);
    g_free(out);
}
