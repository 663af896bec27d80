/* SPDX-License-Identifier: Apache-2.0
 *
 * A job's output is written by a stranger. The cleaner is a small state machine over the bytes of
 * one line, after ECMA-48 (5th edition): CSI sequences end with a byte of 0x40..0x7e, the strings
 * of OSC, DCS, SOS, PM and APC with BEL or ESC \. A sequence also ends where its line does, so an
 * unfinished one hides nothing of the next line.
 */
#include "runner/cli/text.h"

#include <string.h>

#define ESC 0x1b
#define BEL 0x07

/* Bytes of `data` (after its ESC) that belong to the sequence. */
static size_t escape_length(const char *data, size_t length)
{
    size_t i = 1;

    if (length == 0)
        return 0;
    if (data[0] == '[') {
        while (i < length && (data[i] < 0x40 || data[i] > 0x7e))
            i++;
        return MIN(i + 1, length);
    }
    if (strchr("]PX^_", data[0])) {
        while (i < length && data[i] != BEL && data[i] != ESC)
            i++;
        if (i < length && data[i] == ESC)
            i++;
        return MIN(i + 1, length);
    }
    i = 0;
    while (i < length && data[i] >= 0x20 && data[i] <= 0x2f)
        i++;
    return MIN(i + 1, length);
}

/* Controls beyond ASCII that would act instead of show: C1, and those that turn the direction of
 * text around. */
static bool is_acting(gunichar c)
{
    return (c >= 0x80 && c <= 0x9f) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0x2028 || c == 0x2029;
}

/* One character of UTF-8 beyond ASCII; returns the bytes read. */
static size_t wide_append(GString *out, const char *data, size_t length, bool unicode)
{
    gunichar c = g_utf8_get_char_validated(data, (gssize)length);
    size_t bytes;

    if (c == (gunichar)-1 || c == (gunichar)-2) {
        g_string_append(out, unicode ? "\xef\xbf\xbd" : "?");
        return 1;
    }
    bytes = (size_t)g_unichar_to_utf8(c, NULL);
    if (!is_acting(c))
        g_string_append_len(out, unicode ? data : "?", unicode ? (gssize)bytes : 1);
    return bytes;
}

void text_append_clean(GString *out, const char *data, size_t length, bool unicode)
{
    const char *overwritten;

    if (length && data[length - 1] == '\r')
        length--;
    overwritten = length ? memrchr(data, '\r', length) : NULL;
    if (overwritten) {
        length -= (size_t)(overwritten + 1 - data);
        data = overwritten + 1;
    }
    for (size_t i = 0; i < length;) {
        unsigned char c = (unsigned char)data[i];

        if (c == ESC) {
            i++;
            i += escape_length(data + i, length - i);
        } else if (c >= 0x80) {
            i += wide_append(out, data + i, length - i, unicode);
        } else {
            if (c == '\t' || (c >= 0x20 && c != 0x7f))
                g_string_append_c(out, (char)c);
            i++;
        }
    }
}

/* g_utf8_next_char() without its cast. */
static const char *next_get(const char *at)
{
    return at + g_utf8_skip[(guchar)*at];
}

int text_get_width(const char *text)
{
    int width = 0;

    for (const char *at = text; *at; at = next_get(at)) {
        gunichar c = g_utf8_get_char(at);

        if (!g_unichar_iszerowidth(c))
            width += g_unichar_iswide(c) ? 2 : 1;
    }
    return width;
}

char *text_cut(const char *text, int width, bool unicode)
{
    const char *at = text;
    int used = 0;

    if (text_get_width(text) <= width)
        return g_strdup(text);
    if (width <= 0)
        return g_strdup("");
    while (*at) {
        gunichar c = g_utf8_get_char(at);
        int cells = g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;

        if (used + cells > width - 1)
            break;
        used += cells;
        at = next_get(at);
    }
    return g_strdup_printf("%.*s%s", (int)(at - text), text, unicode ? "…" : "~");
}
